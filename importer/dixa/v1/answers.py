"""What the responses of Dixa API v1 mean, also for each part of a success that contains single failures."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from importer.dixa.matching import Item, instant
from importer.dixa.paging import page_request
from importer.dixa.response_rules import created_id, judge_change, judge_reading, valid_id
from importer.dixa.v1.identity import is_same_time
from importer.dixa.v1.people import is_person
from importer.model import (
    SETTINGS,
    Answer,
    Carried,
    Judgement,
    Outcome,
    Request,
    Response,
    State,
    Step,
    StepKind,
    Verdict,
)

# Of a response's partial errors; they go into one cell of a report.
ERRORS_SHOWN = 20


def judge(response: Response, step: Step | None) -> Judgement:
    """What a response proves, and what it reports of each part: failures of single notes in a 200, partial
    errors in a 201."""
    if step is None:
        return judge_reading(response)
    if step.kind in SETTINGS:
        return judge_change(response, created=lambda _: True)
    if step.kind is StepKind.NOTES or (step.kind is StepKind.PERSON and step.carries):
        judgement = judge_change(response, created=lambda answer: _is_complete(_results(answer), step))
        if judgement.verdict is Verdict.CREATED and isinstance(response, Answer):
            return replace(judgement, outcomes=_outcomes(_results(response), step))
        return judgement
    judgement = judge_change(response, created=lambda answer: created_id(answer) is not None)
    if judgement.verdict is Verdict.CREATED and isinstance(response, Answer):
        partial = _partial_errors(response, step)
        return replace(
            judgement,
            dixa_id=created_id(response),
            partial=partial.partial,
            reason=partial.reason,
            outcomes=partial.outcomes,
        )
    return judgement


def _results(answer: Answer) -> list[dict[str, Any]]:
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    return data if isinstance(data, list) and all(isinstance(item, dict) for item in data) else []


def _is_complete(results: Sequence[Item], step: Step) -> bool:
    """Whether there is a result for each item that was sent: an id, however the item is shown, or an error.
    The order of the results is not documented; where one failed, it must be clear which one."""
    if len(results) != len(step.carries):
        return False
    if not all(result.get("error") or _id_of(result) for result in results):
        return False
    if step.kind is StepKind.PERSON or not any(result.get("error") for result in results):
        return True
    times = [note[1] for note in step.expected.get("notes", ())]
    shown = [instant((_item_of(result) or {}).get("createdAt")) for result in results]
    return all(at is None or is_same_time(at, sent) for at, sent in zip(shown, times, strict=False))


def _outcomes(results: Sequence[Item], step: Step) -> dict[str, Outcome]:
    """What became of each item of a bulk request. People are told apart by their addresses. If the results
    are in another order than the people, only those who show theirs have an outcome."""
    pairs = list(zip(step.carries, results, strict=True))
    if step.kind is StepKind.PERSON:
        shown = {
            carried.key: result
            for carried in step.carries
            for result in results
            if (item := _item_of(result)) is not None and is_person(item, carried.key)
        }
        moved = any(shown.get(carried.key, result) is not result for carried, result in pairs)
        pairs = [(carried, shown.get(carried.key, result)) for carried, result in pairs]
        if moved:
            pairs = [(carried, result) for carried, result in pairs if carried.key in shown]
    return {carried.key: _outcome(result) for carried, result in pairs}


def _item_of(result: Item) -> Item | None:
    item = result.get("data", result)
    return item if isinstance(item, dict) and not result.get("error") else None


def _id_of(result: Item) -> str | None:
    item = _item_of(result)
    return valid_id(item.get("id")) if item else None


def _outcome(result: Item) -> Outcome:
    """What became of one item of a bulk request."""
    if result.get("error"):
        return Outcome(State.REJECTED, reason=_words_of(result["error"]))
    return Outcome(State.IMPORTED, _id_of(result))


def _partial_errors(answer: Answer, step: Step) -> Judgement:
    """What a 201 reports as not created. An error about an attachment names the external id of its message
    (as in the documented example). An error that names none concerns the conversation."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    errors = data.get("partialErrors") if isinstance(data, dict) else None
    texts = [
        _words_of(error) for error in (errors if isinstance(errors, list) else [errors] if errors else [])
    ]
    outcomes: dict[str, Outcome] = {}
    for text in texts:
        if (carried := _meant(text, step)) is None:
            continue
        before = outcomes.get(carried.key, Outcome(State.PARTIAL))
        refused = min(before.refused + 1, carried.attachments)
        reason = "; ".join(filter(None, [before.reason, text]))
        outcomes[carried.key] = Outcome(State.PARTIAL, reason=reason, refused=refused)
    more = [f"and {len(texts) - ERRORS_SHOWN} more"] if len(texts) > ERRORS_SHOWN else []
    reason = "; ".join([*texts[:ERRORS_SHOWN], *more])
    return Judgement(Verdict.CREATED, partial=bool(texts), reason=reason, outcomes=outcomes)


def _meant(text: str, step: Step) -> Carried | None:
    """The message whose external id an error names; the longest id if one id is the beginning of another."""
    prefix = re.escape(step.expected.get("prefix", ":"))
    named = [
        carried
        for carried in step.carries
        if re.search(rf"(?<![\w:.-]){prefix}{re.escape(carried.key)}(?![\w:-]|\.\w)", text)
    ]
    return max(named, key=lambda carried: len(carried.key), default=None)


def _words_of(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else None
    return " ".join(str(message or error).split())[:300]


def next_page(answer: Answer, base_url: str, path: str) -> Request | None:
    """The request for the page after this one of the list at `path`; None after the last page. Raises
    ProtocolError if the link leads to another host, Unreadable if it is no link."""
    meta = answer.json.get("meta") if isinstance(answer.json, dict) else None
    return page_request(meta.get("next") if isinstance(meta, dict) else None, base_url, path)
