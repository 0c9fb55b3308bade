"""Reading back from Dixa API v1: what was created, and what a conversation lacks of what was sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from importer.dixa.api import SettingCheck
from importer.dixa.matching import Item, came_in_time, instant, text_hash
from importer.dixa.paging import list_items
from importer.dixa.v1.identity import SAME_INSTANT_SECONDS, counted_identity, note_identity, same_instant
from importer.model import Answer, Doubt, Judgement, Outcome, Request, State, StepKind, Verdict, fingerprint


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


def is_conversation(item: Item, messages: Sequence[Item], doubt: Doubt) -> bool | None:
    """Whether it is the conversation in doubt. If its messages show external ids, those decide. Otherwise the
    times of the conversation and of its messages must be those that were sent. If no public message was sent,
    time and subject must be those that were sent; None if it has messages, because somebody else wrote them
    and it cannot be decided then."""
    wanted = doubt.expected
    shown = {message["externalId"] for message in messages if message.get("externalId")}
    if shown and wanted["external_ids"]:
        return bool(shown & set(wanted["external_ids"]))
    if not same_instant(instant(item.get("createdAt")), wanted["created_at"]):
        return False
    if not wanted["times"]:
        if text_hash(item.get("subject") or "") != wanted["subject"]:
            return False
        return None if messages else True
    held = [instant(message.get("createdAt")) for message in messages]
    return all(any(same_instant(at, sent) for at in held) for sent in wanted["times"])


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


def match(items: Sequence[Item], doubt: Doubt) -> tuple[Mapping[str, Outcome], list[str]]:
    """Which notes in doubt are there. Notes keep the time that was sent, so a note with the author, time and
    text of a note in doubt is that note."""
    free = [item for item in items if str(item.get("id")) not in doubt.known]
    outcomes: dict[str, Outcome] = {}
    pairs = zip(doubt.expected["keys"], doubt.expected["notes"], strict=True)
    # Notes without an agent match every author, so they are matched last.
    for message_id, wanted in sorted(pairs, key=lambda pair: pair[1][0] is None):
        match = next((item for item in free if _is_note(item, wanted)), None)
        if match is not None:
            free.remove(match)
            outcomes[message_id] = Outcome(State.IMPORTED, str(match.get("id")))
    return outcomes, []


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


def identity(item: Item) -> tuple[Any, ...] | None:
    """Time and text hash, by which equal notes are counted. None if the text is not shown."""
    return counted_identity(item) if item.get("message") is not None else None


def _is_note(item: Item, wanted: Sequence[Any]) -> bool:
    author, at, text = note_identity(item, "authorId")
    in_its_time = at is not None and wanted[1] is not None and abs(at - wanted[1]) <= SAME_INSTANT_SECONDS
    return wanted[0] in (None, author) and in_its_time and text == wanted[2]


def _count_files(message: Item) -> int:
    attributes = message.get("attributes")
    files = attributes.get("attachments") if isinstance(attributes, dict) else None
    return len(files) if isinstance(files, list) else 0
