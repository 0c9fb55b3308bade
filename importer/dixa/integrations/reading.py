"""Reading the Integrations API back: what was created, where a response did not say so."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from importer.dixa.api import SettingCheck
from importer.dixa.matching import Item, came_in_time, text_hash
from importer.model import Doubt, Judgement, Outcome, Request, State, Verdict

# No operation sets anything in a conversation.
setting: Callable[[Doubt], SettingCheck] | None = None
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.:](\d+))?Z(?:\[GMT\])?")


def conversations_of(requester_id: str) -> Request:
    return Request("GET", f"/v1/users/{requester_id}/requested_conversations", query={"limit": "200"})


def messages_of(dixa_id: str) -> Request:
    return Request("GET", f"/v1/conversations/{dixa_id}/messages")


additions_of = messages_of


def could_be_conversation(item: Item, doubt: Doubt) -> bool:
    """Whether channel and direction are the same, and it was made when it can have been. (The subject and
    the endpoint are not shown.)"""
    wanted = doubt.expected
    same = (
        item.get(name) == wanted[name]
        for name in ("channel", "direction")
        if wanted[name] is not None and item.get(name) is not None
    )
    return all(same) and came_in_time(created_at(item), doubt)


def is_conversation(item: Item, messages: Sequence[Item], doubt: Doubt) -> bool | None:
    """Whether it is the one in doubt. A contact form begins with the text that was sent. A callback has
    nothing of ours in it yet: as it was created it is taken for ours; None where somebody may have written
    into it or moved it since, so that it cannot be told."""
    if doubt.expected["text"] is not None:
        return bool(messages) and _same_text(_by_time(messages)[0], doubt.expected["text"])
    moved = item.get("queue_id") not in (None, doubt.expected["queue_id"])
    return None if messages or moved else True


def lacking(item: Item, messages: Sequence[Item], doubt: Doubt) -> Judgement:
    """Nothing: a creation here is whole or is not."""
    return Judgement(Verdict.CREATED)


def match(items: Sequence[Item], doubt: Doubt) -> tuple[Mapping[str, Outcome], list[str]]:
    """The message in doubt, where one message only has its author and text and came when it can have come."""
    matches = [
        str(item["id"])
        for item in _by_time(items)
        if str(item["id"]) not in doubt.known
        and _could_be_message(item, doubt.expected)
        and came_in_time(created_at(item), doubt)
    ]
    # Equal messages that came in with the conversation itself have no id that is known.
    own = matches[doubt.expected.get("twins", 0) :]
    if len(own) == 1:
        return {doubt.key: Outcome(State.IMPORTED, own[0])}, []
    return {}, own


def _could_be_message(item: Item, expected: Mapping[str, Any]) -> bool:
    """Whether a message has author and text in common with the one in doubt, as far as it shows them."""
    author = expected["author_id"]
    same_author = author is None or item.get("author_id") in (None, author)
    return same_author and _same_text(item, expected["text"])


def identity(item: Item) -> tuple[str, str] | None:
    """By what equal messages are counted: author and text hash; None where the text is not shown."""
    text = _text_of(item)
    return None if text is None else (str(item.get("author_id")), text_hash(text))


def _by_time(items: Sequence[Item]) -> list[Item]:
    """Messages in the order of their creation; in which order the API lists them is not documented. Items of
    the same instant keep the order of the list."""
    return sorted(items, key=lambda item: created_at(item) or 0.0)


def created_at(item: Item) -> float | None:
    """Unix time, whether a colon or a point stands before the milliseconds."""
    match = _STAMP.fullmatch(str(item.get("created_at") or ""))
    if match is None:
        return None
    head, fraction = match.groups()
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _same_text(item: Item, wanted: str) -> bool:
    text = _text_of(item)
    return text is None or text_hash(text) == wanted


def _text_of(item: Item) -> str | None:
    attributes = item.get("attributes")
    text = attributes.get("text") if isinstance(attributes, dict) else None
    return text if isinstance(text, str) else None
