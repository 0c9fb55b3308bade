"""What the responses of Dixa API v1 mean, also for each part of a success that contains single failures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from importer.dixa.matching import Item, text_hash
from importer.dixa.paging import page_request
from importer.dixa.response_rules import clean, created_id, judge_change, judge_reading
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


def judge(response: Response, step: Step | None) -> Judgement:
    """What a response proves, and what it reports of each part: failures of single notes in a 200, partial
    errors in a 201."""
    if step is None:
        return judge_reading(response)
    if step.kind in SETTINGS:
        return judge_change(response, created=lambda _: True)
    if step.kind is StepKind.NOTES or (step.kind is StepKind.PERSON and step.carries):
        judgement = judge_change(response, created=lambda answer: _are_ours(_results(answer), step))
        if judgement.verdict is Verdict.CREATED and isinstance(response, Answer):
            outcomes = zip(step.carries, map(_outcome, _results(response)), strict=True)
            return replace(judgement, outcomes={carried.key: said for carried, said in outcomes})
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


def _are_ours(results: Sequence[Item], step: Step) -> bool:
    """Whether the items of a bulk response are those that were sent, in the same order, as far as they can be
    compared. The order of the items is not documented."""
    if len(results) != len(step.carries):
        return False
    notes = step.expected.get("notes")
    for number, (carried, result) in enumerate(zip(step.carries, results, strict=True)):
        item = result.get("data", result)
        if result.get("error") or not isinstance(item, dict):
            continue
        if notes is not None and item.get("message") is not None:
            if text_hash(str(item["message"])) != notes[number][2]:
                return False
        elif notes is None and not is_person(item, carried.key):
            return False
    return True


def _outcome(result: Mapping[str, Any]) -> Outcome:
    """What became of one item of a bulk request."""
    if result.get("error"):
        return Outcome(State.REJECTED, reason=_words_of(result["error"]))
    item = result.get("data", result)
    dixa_id = item.get("id") if isinstance(item, dict) else None
    return Outcome(State.IMPORTED, str(dixa_id) if dixa_id else None)


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
    return Judgement(Verdict.CREATED, partial=bool(texts), reason="; ".join(texts), outcomes=outcomes)


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
    return clean(str(message or error))


def next_page(answer: Answer, base_url: str) -> Request | None:
    """The request for the next page; None after the last page. Raises ProtocolError if the link leads to
    another host."""
    meta = answer.json.get("meta") if isinstance(answer.json, dict) else None
    return page_request(meta.get("next") if isinstance(meta, dict) else None, base_url)
