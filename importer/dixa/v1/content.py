"""A conversation of Dixa API v1 as it was sent and as it is shown, to compare them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from importer.dixa.content import MESSAGE, NOTE, NOTHING, Content, ContentPart, Shown
from importer.dixa.matching import Item, instant
from importer.dixa.v1.protocol import DixaV1
from importer.model import Conversation, Request, StepKind


def tags_of(dixa_id: str) -> Request:
    """The list of a conversation's tags."""
    return Request("GET", f"/v1/conversations/{dixa_id}/tags")


def conversation_of(dixa_id: str) -> Request:
    """One conversation."""
    return Request("GET", f"/v1/conversations/{dixa_id}")


def sent_content(
    target: DixaV1, job: Conversation, ids: Mapping[str, str], added: Collection[str]
) -> Content:
    """What the requests of a conversation say. `ids` as in api.Target, with the conversation's own. `added`
    are the messages that were added to it after its creation."""
    columns: dict[str, Any] = {"state": "Open"}
    parts: list[ContentPart] = []
    for step in target.steps(job):
        body = target.request(step, job, ids).json
        match step.kind:
            case StepKind.CONVERSATION:
                columns |= _columns(body)
                messages = [_message(message, body, target) for message in body["messages"]]
                parts += [part for part in messages if part.key not in added]
                # What came to the ticket after its import was added as notes.
                late = tuple(carried for carried in step.carries if carried.key in added)
                noted = target.request(replace(step, kind=StepKind.NOTES, carries=late), job, ids).json
                parts += map(_note, [carried.key for carried in late], noted["data"])
            case StepKind.NOTES:
                parts += map(_note, [carried.key for carried in step.carries], body["data"])
            case StepKind.TAGS:
                columns["tags"] = frozenset(tag["name"] for tag in body["data"])
            case StepKind.ATTRIBUTES:
                columns |= {f"attribute {name}": _value(value) for name, value in body.items()}
            case StepKind.TRANSFER:
                columns["queue"] = body["queueId"]
            case StepKind.CLOSE:
                columns["state"] = "Closed"
            case _:
                raise AssertionError(step.kind)
    return Content(columns, parts)


def _columns(body: Mapping[str, Any]) -> dict[str, Any]:
    columns = {
        "requester": body["requesterId"],
        "direction": body["direction"].lower(),
        "created_at": instant(body["createdAt"]),
        "subject": body.get("attributes", {}).get("subject"),
        "assignee": body.get("assignment", {}).get("agentId"),
    }
    return columns | ({"state": "Closed"} if "closing" in body else {})


def _message(message: Mapping[str, Any], body: Mapping[str, Any], target: DixaV1) -> ContentPart:
    outbound = message["_type"] == "OutboundImport"
    author = message.get("agentId") if outbound else message.get("attributes", {}).get("requesterId")
    return ContentPart(
        MESSAGE,
        message["externalId"].removeprefix(f"{target.settings.migration}:"),
        message["content"]["value"],
        author or (None if outbound else body["requesterId"]),
        "outbound" if outbound else "inbound",
        instant(message["createdAt"]),
        tuple(file.get("prettyName") or file["url"] for file in message.get("attachments", ())),
    )


def _note(key: str, note: Mapping[str, Any]) -> ContentPart:
    return ContentPart(
        NOTE, key, note["message"], note.get("agentId"), "internal", instant(note["createdAt"])
    )


def held(target: DixaV1, shown: Shown) -> Content:
    """What Dixa shows of a conversation."""
    item = shown.conversation
    assignment, queue = item.get("assignment") or {}, item.get("queue") or {}
    direction = item.get("direction")
    columns = {
        "requester": item.get("requesterId"),
        "direction": direction.lower() if isinstance(direction, str) else None,
        "created_at": instant(item.get("createdAt")),
        "subject": item.get("subject") or NOTHING,
        "assignee": assignment.get("agentId") or NOTHING,
        "state": item.get("state"),
        "queue": queue.get("id") or NOTHING,
        "tags": frozenset(str(tag.get("name")) for tag in shown.tags),
    }
    for attribute in item.get("customAttributes") or ():
        columns[f"attribute {attribute.get('id')}"] = _value(attribute.get("value"))
    prefix = f"{target.settings.migration}:"
    messages = [_shown_message(message, prefix) for message in shown.messages]
    messages.sort(key=lambda part: part.at or 0.0)
    is_anonymous = bool(item.get("anonymizedAt")) or item.get("_type") == "AnonymizedConversation"
    return Content(columns, [*messages, *map(_shown_note, shown.notes)], is_anonymous)


def _shown_message(item: Item, prefix: str) -> ContentPart:
    attributes = item.get("attributes") or {}
    external_id = str(item.get("externalId") or "")
    direction = attributes.get("direction")
    files = attributes.get("attachments") or ()
    return ContentPart(
        MESSAGE,
        external_id.removeprefix(prefix) if external_id.startswith(prefix) else None,
        _text(attributes),
        item.get("authorId"),
        direction.lower() if isinstance(direction, str) else None,
        instant(item.get("createdAt")),
        tuple(str(file.get("prettyName") or file.get("url")) for file in files),
        str(item["id"]),
    )


def _shown_note(item: Item) -> ContentPart:
    at = instant(item.get("createdAt"))
    return ContentPart(
        NOTE, None, item.get("message"), item.get("authorId"), "internal", at, (), str(item["id"])
    )


def _text(attributes: Mapping[str, Any]) -> str | None:
    """The text of a message of any kind; None for one that is too large to be shown."""
    email = attributes.get("emailContent")
    content = email.get("content") if isinstance(email, dict) else attributes.get("content")
    value = content.get("value") if isinstance(content, dict) else attributes.get("text")
    return value if isinstance(value, str) else None


def _value(value: Any) -> str:
    """The value of a custom attribute, which may be a list."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
