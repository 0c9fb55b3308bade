"""Reading back from the Integrations API: what was created, if no response said so."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from importer.dixa.api import SettingCheck
from importer.dixa.matching import Item, came_in_time, instant, text_hash
from importer.model import Doubt, Judgement, Outcome, Request, State, Verdict

# No operation sets anything in a conversation.
setting: Callable[[Doubt], SettingCheck] | None = None


def conversations_of(requester_id: str) -> Request:
    """The list of a requester's conversations."""
    return Request("GET", f"/v1/users/{requester_id}/requested_conversations", query={"limit": "200"})


def messages_of(dixa_id: str) -> Request:
    """The list of a conversation's messages."""
    return Request("GET", f"/v1/conversations/{dixa_id}/messages")


additions_of = messages_of


def could_be_conversation(item: Item, doubt: Doubt) -> bool:
    """Whether channel and direction are the same and the creation time is possible. The API does not show
    subject and endpoint."""
    wanted = doubt.expected
    same = (
        item.get(name) == wanted[name]
        for name in ("channel", "direction")
        if wanted[name] is not None and item.get(name) is not None
    )
    return all(same) and came_in_time(created_at(item), doubt)


def is_conversation(item: Item, messages: Sequence[Item], doubt: Doubt) -> bool | None:
    """Whether it is the conversation in doubt. A contact form is, if its first message has the text that was
    sent. A new callback has no content to compare. It is the one in doubt if it is unchanged since its
    creation; None if somebody has added a message or moved it, because that cannot be decided then."""
    if doubt.expected["text"] is not None:
        return bool(messages) and _same_text(_by_time(messages)[0], doubt.expected["text"])
    moved = item.get("queue_id") not in (None, doubt.expected["queue_id"])
    return None if messages or moved else True


def lacking(item: Item, messages: Sequence[Item], doubt: Doubt) -> Judgement:
    """Nothing: this API creates a conversation completely or not at all."""
    return Judgement(Verdict.CREATED)


def match(items: Sequence[Item], doubt: Doubt) -> tuple[Mapping[str, Outcome], list[str]]:
    """The message in doubt, if exactly one message has its author, its text and a possible creation time."""
    matches = [
        str(item["id"])
        for item in _by_time(items)
        if str(item["id"]) not in doubt.known
        and _could_be_message(item, doubt.expected)
        and came_in_time(created_at(item), doubt)
    ]
    # The ids of equal messages that the creation of the conversation carried are not known, so they are not
    # in `doubt.known`. They are the first ones.
    own = matches[doubt.expected.get("twins", 0) :]
    if len(own) == 1:
        return {doubt.key: Outcome(State.IMPORTED, own[0])}, []
    return {}, own


def _could_be_message(item: Item, expected: Mapping[str, Any]) -> bool:
    """Whether a message has the author and the text of the one in doubt, as far as it shows them."""
    author = expected["author_id"]
    same_author = author is None or item.get("author_id") in (None, author)
    return same_author and _same_text(item, expected["text"])


def identity(item: Item) -> tuple[str, str] | None:
    """Author and text hash, by which equal messages are counted. None if the text is not shown."""
    text = _text_of(item)
    return None if text is None else (str(item.get("author_id")), text_hash(text))


def _by_time(items: Sequence[Item]) -> list[Item]:
    """Messages in the order of their creation. It is not documented in which order the API lists them. Items
    with the same time keep the order of the list."""
    return sorted(items, key=lambda item: created_at(item) or 0.0)


def created_at(item: Item) -> float | None:
    """The creation time as Unix time; None if there is none. The separator before the milliseconds may be a
    colon or a point."""
    return instant(item.get("created_at"))


def _same_text(item: Item, wanted: str) -> bool:
    text = _text_of(item)
    return text is None or text_hash(text) == wanted


def _text_of(item: Item) -> str | None:
    attributes = item.get("attributes")
    text = attributes.get("text") if isinstance(attributes, dict) else None
    return text if isinstance(text, str) else None
