"""Reading back from Dixa API v1: what was created, and what a conversation lacks of what was sent."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from importer.dixa.api import SettingCheck
from importer.dixa.matching import (
    Item,
    Likeness,
    Match,
    Recognition,
    Sent,
    came_in_time,
    instant,
    is_text,
    is_whole,
    long_ago,
)
from importer.dixa.paging import list_items
from importer.dixa.v1.identity import is_same_time, same_instant
from importer.model import (
    Answer,
    Doubt,
    Judgement,
    Outcome,
    Request,
    State,
    Step,
    StepKind,
    Verdict,
    fingerprint,
)


def conversations_of(requester_id: str) -> Request:
    """The list of a requester's conversations."""
    return Request("GET", f"/v1/endusers/{requester_id}/conversations", query={"pageLimit": "100"})


def messages_of(dixa_id: str) -> Request:
    """The list of a conversation's public messages."""
    return Request("GET", f"/v1/conversations/{dixa_id}/messages")


def additions_of(dixa_id: str) -> Request:
    """The list of a conversation's private notes."""
    return Request("GET", f"/v1/conversations/{dixa_id}/notes")


def could_be_conversation(item: Item, doubt: Doubt) -> bool:
    """Whether it has the time that was sent. In case Dixa sets its own time instead, a possible creation time
    counts too."""
    created_at = instant(item.get("createdAt"))
    if created_at is None:
        return True
    return same_instant(created_at, doubt.expected["created_at"]) or came_in_time(created_at, doubt)


def likeness(item: Item, messages: Sequence[Item], doubt: Doubt) -> Likeness:
    """Whether it is the conversation in doubt. If its messages show external ids, those decide. Otherwise the
    times of the conversation and of its messages must be those that were sent. Without public messages there
    are the time of the conversation and its subject."""
    wanted = doubt.expected
    shown = {message["externalId"] for message in messages if message.get("externalId")}
    if shown and wanted["external_ids"]:
        return Likeness.CERTAIN if shown & set(wanted["external_ids"]) else Likeness.OTHER
    at = instant(item.get("createdAt"))
    if at is not None and not same_instant(at, wanted["created_at"]):
        # Dixa keeps the time of an import. If it did not, this one could be ours.
        return Likeness.UNCLEAR if not shown and came_in_time(at, doubt) else Likeness.OTHER
    if wanted["times"]:
        return _by_times(messages, doubt)
    if messages:
        # None was sent. What is older than the request came with an import of somebody else.
        held = [instant(message.get("createdAt")) for message in messages]
        since = any(came_in_time(time, doubt) for time in held)
        return Likeness.UNCLEAR if since and not shown else Likeness.OTHER
    subject = item.get("subject")
    alike = subject is None or is_text(subject, wanted["subject"])
    return Likeness.PROBABLE if at is not None and alike else Likeness.UNCLEAR


def _by_times(messages: Sequence[Item], doubt: Doubt) -> Likeness:
    held = [instant(message.get("createdAt")) for message in messages]
    if held and all(any(same_instant(at, sent) for at in held) for sent in doubt.expected["times"]):
        return Likeness.PROBABLE
    # The list of its messages may be behind, or Dixa may have set times of its own.
    possible = not held or any(at is None or came_in_time(at, doubt) for at in held)
    return Likeness.UNCLEAR if possible else Likeness.OTHER


NOT_SHOWN = "Dixa does not show it in the conversation; `retry` adds it as a private note"


def could_be_ticket(item: Item, expected: Mapping[str, Any]) -> bool:
    """Whether it has the time that was sent, or shows none."""
    created_at = instant(item.get("createdAt"))
    return created_at is None or same_instant(created_at, expected["created_at"])


def recognise(item: Item, messages: Sequence[Item], step: Step, sent: Mapping[str, Sent]) -> Recognition:
    """As `likeness`. Which messages it holds is told by their external ids, if it shows any. Notes are not
    among its messages."""
    del sent
    doubt = long_ago(step)
    prefix = step.expected["prefix"]
    shown = {str(message.get("externalId") or "").removeprefix(prefix) for message in messages}
    # To a conversation of notes, somebody may have replied since.
    how = likeness(item, messages if step.carries or any(shown) else (), doubt)
    if how <= Likeness.UNCLEAR:
        return Recognition(how)
    absent = [carried.key for carried in step.carries if carried.key not in shown and any(shown)]
    expected = {**doubt.expected, "messages": doubt.expected["messages"] - len(absent)}
    judgement = lacking(item, messages, replace(doubt, expected=expected))
    outcomes = {**judgement.outcomes, **{key: Outcome(State.REJECTED, reason=NOT_SHOWN) for key in absent}}
    return Recognition(how, replace(judgement, outcomes=outcomes))


def is_changed_since(item: Item, step: Step) -> bool:
    """Whether it has a value for one of the attributes, a queue or an agent, or is closed. Its tags are not
    shown."""
    assignment = item.get("assignment") or {}
    match step.kind:
        case StepKind.ATTRIBUTES:
            held = {a.get("id") for a in item.get("customAttributes") or () if a.get("value")}
            return bool(held & set(step.expected["attributes"]))
        case StepKind.TRANSFER:
            queue = item.get("queue") or {}
            return bool(queue.get("id") or assignment.get("agentId") or item.get("state") == "Closed")
        case StepKind.CLOSE:
            return bool(assignment.get("agentId") or item.get("state") == "Closed")
        case _:
            return False


def lacking(item: Item, messages: Sequence[Item], doubt: Doubt) -> Judgement:
    """What the conversation lacks of what was sent: attachments, messages, the assignee, the state."""
    reasons: list[str] = []
    outcomes: dict[str, Outcome] = {}
    files = {message.get("externalId"): _count_files(message) for message in messages}
    sent_files, held_files = sum(doubt.expected["attachments"].values()), sum(map(_count_files, messages))
    if not any(files) and held_files < sent_files:
        reasons.append(f"{sent_files - held_files} attachment(s) are missing")
    for external_id, sent in doubt.expected["attachments"].items() if any(files) else ():
        lost = sent - files.get(external_id, 0)
        if lost > 0:
            reason = f"{lost} attachment(s) of {external_id} are missing"
            reasons.append(reason)
            message_id = external_id.partition(":")[2]
            outcomes[message_id] = Outcome(State.PARTIAL, reason=reason, refused=lost)
    if len(messages) < doubt.expected["messages"]:
        reasons.append(f"{doubt.expected['messages'] - len(messages)} message(s) are missing")
    assignment = item.get("assignment") or {}
    if doubt.expected["agent_id"] and assignment.get("agentId") != doubt.expected["agent_id"]:
        reasons.append("it is not assigned to its assignee")
    if doubt.expected["closed"] and item.get("state") not in (None, "Closed"):
        reasons.append(f"it is {item['state']}, not closed")
    return Judgement(Verdict.CREATED, partial=bool(reasons), reason="; ".join(reasons), outcomes=outcomes)


def match(items: Sequence[Item], doubt: Doubt) -> Match:
    """Which notes in doubt are there. Notes keep the time and the author that were sent. Of several that are
    alike in both, the text says which ones are there, else their number does."""
    free = [item for item in items if str(item["id"]) not in doubt.known]
    pairs = zip(doubt.expected["keys"], doubt.expected["notes"], strict=True)
    wanted = {key: Sent(*note) for key, note in pairs}
    found: dict[str, Item] = {}

    def take(key: str, item: Item) -> None:
        found[key] = item
        free.remove(item)
        del wanted[key]

    # The author may be another one since, so the time and the whole text are enough. Notes without an agent
    # match every author, so they are matched last.
    for fits in (_is_note, _is_at):
        for key, note in sorted(wanted.items(), key=lambda pair: pair[1].author is None):
            whole = (item for item in free if fits(item, note) and is_whole(item.get("message"), note.text))
            if (item := next(whole, None)) is not None:
                take(key, item)
    for key, note in list(wanted.items()):
        alike = [item for item in free if _is_note(item, note) and is_text(item.get("message"), note.text)]
        # What is cut may be the beginning of several.
        others = sum(is_text(item.get("message"), other.text) for item in alike for other in wanted.values())
        if len(alike) == others == 1:
            take(key, alike[0])
    for (author, at), keys in _by_author_and_time(wanted):
        candidates = [item for item in free if _is_note(item, Sent(author, at, ()))]
        if candidates and len(candidates) < len(keys):
            return Match(
                {key: Outcome(State.IMPORTED, str(item["id"])) for key, item in found.items()},
                tuple(str(item["id"]) for item in candidates),
            )
        for key, item in zip(keys, candidates, strict=False):
            take(key, item)
    # Nobody writes at a time in the past, so these are some of them, by another author and with another text.
    at_the_time = [item for item in free if any(_is_at(item, note) for note in wanted.values())]
    # If Dixa set times of its own, a note that came since the request may be one that is still missing.
    unclear = [str(item["id"]) for item in at_the_time]
    for item in list(free) if wanted else ():
        if came_in_time(instant(item.get("createdAt")), doubt):
            key = next((k for k, note in wanted.items() if is_text(item.get("message"), note.text)), None)
            if key is None:
                unclear.append(str(item["id"]))
            else:
                take(key, item)
    outcomes = {key: Outcome(State.IMPORTED, str(item["id"])) for key, item in found.items()}
    return Match(outcomes, tuple(unclear) if wanted else ())


def _by_author_and_time(
    wanted: Mapping[str, Sent],
) -> list[tuple[tuple[str | None, float | None], list[str]]]:
    """The keys of notes that are alike in author and time; those without an author last."""
    groups: dict[tuple[str | None, float | None], list[str]] = {}
    for key, note in wanted.items():
        groups.setdefault((note.author, note.at), []).append(key)
    return sorted(groups.items(), key=lambda group: group[0][0] is None)


def duplicates(
    items: Sequence[Item], known: Collection[str], sent: Sequence[Sent], openings: int
) -> dict[str, bool]:
    """The notes that the import created and the checkpoint does not know, by id: those with author and time
    of one that was sent. True, because nobody else writes at a time in the past."""
    del openings
    unknown = [item for item in items if str(item["id"]) not in known]
    return {str(item["id"]): True for item in unknown if any(_is_note(item, note) for note in sent)}


def setting(doubt: Doubt) -> SettingCheck:
    """How to check a setting: read the conversation, or its tags, and compare them with what the step
    sets."""
    path = f"/v1/conversations/{doubt.expected['csid']}"
    request = Request("GET", f"{path}/tags" if doubt.kind is StepKind.TAGS else path)
    return SettingCheck(request, lambda answer: _is_set(answer, doubt))


def _is_set(answer: Answer, doubt: Doubt) -> bool:
    """Whether a conversation already has the setting of a step."""
    wanted = doubt.expected
    if doubt.kind is StepKind.TAGS:
        return set(wanted["tags"]) <= {tag.get("name") for tag in list_items(answer)}
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    conversation = data if isinstance(data, dict) else {}
    match doubt.kind:
        case StepKind.ATTRIBUTES:
            held = conversation.get("customAttributes") or []
            values = {
                a.get("id"): fingerprint(str(a.get("value"))).hex() for a in held if isinstance(a, dict)
            }
            return all(values.get(name) == value for name, value in wanted["attributes"].items())
        case StepKind.TRANSFER:
            queue = conversation.get("queue") or {}
            return bool(queue.get("id") == wanted["queue_id"])
        case _:
            return conversation.get("state") == "Closed"


def _is_note(item: Item, note: Sent) -> bool:
    return _is_at(item, note) and note.author in (None, item.get("authorId"))


def _is_at(item: Item, note: Sent) -> bool:
    return is_same_time(instant(item.get("createdAt")), note.at)


def _count_files(message: Item) -> int:
    attributes = message.get("attributes")
    files = attributes.get("attachments") if isinstance(attributes, dict) else None
    return len(files) if isinstance(files, list) else 0
