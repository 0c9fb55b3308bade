"""A conversation of the Integrations API as it was sent and as it is shown, to compare them."""

from collections.abc import Collection, Mapping
from typing import Any

from importer.dixa.content import MESSAGE, Content, ContentPart, Shown
from importer.dixa.integrations.protocol import Integrations
from importer.dixa.integrations.reading import created_at
from importer.dixa.matching import Item
from importer.model import Conversation, Request, StepKind

# No operation lists the tags of a conversation.
tags_of = None
# The id of the text that the creation of a contact form brings, where it carries no message of the ticket.
OPENING = ""


def conversation_of(dixa_id: str) -> Request:
    """One conversation."""
    return Request("GET", f"/v1/conversations/{dixa_id}")


def sent_content(
    target: Integrations, job: Conversation, ids: Mapping[str, str], added: Collection[str]
) -> Content:
    """What the requests of a conversation say. `ids` as in api.Target, with the conversation's own. `added`
    are the messages that were added to it after its creation."""
    del added
    columns: dict[str, Any] = {}
    parts: list[ContentPart] = []
    for step in target.steps(job):
        body = target.request(step, job, ids).json
        if step.kind is not StepKind.CONVERSATION:
            files = tuple(file["url"] for file in body.get("attachments", ()))
            author = body.get("author_id")
            parts.append(ContentPart(MESSAGE, step.key, body["text"], author, body["direction"], None, files))
            continue
        columns = {
            "requester": body["requester_id"],
            "channel": body["channel"],
            "direction": body.get("direction"),
            "queue": body.get("queue_id"),
        }
        if "message" in body:
            key = step.carries[0].key if step.carries else OPENING
            parts.append(ContentPart(MESSAGE, key, body["message"]["text"], body["requester_id"], "inbound"))
    return Content(columns, parts)


def held(target: Integrations, shown: Shown) -> Content:
    """What Dixa shows of a conversation."""
    del target
    item = shown.conversation
    columns = {
        "requester": item.get("requester_id"),
        "channel": item.get("channel"),
        "direction": item.get("direction"),
        "queue": item.get("queue_id"),
    }
    ordered = sorted(shown.messages, key=lambda message: created_at(message) or 0.0)
    return Content(columns, [_shown_message(message) for message in ordered])


def _shown_message(item: Item) -> ContentPart:
    attributes = item.get("attributes") or {}
    files = attributes.get("attachments") or ()
    return ContentPart(
        MESSAGE,
        None,
        attributes.get("text"),
        item.get("author_id"),
        item.get("direction"),
        None,
        tuple(str(file.get("url") if isinstance(file, dict) else file) for file in files),
        str(item["id"]),
    )
