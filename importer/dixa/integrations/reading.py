"""Reading back from the Integrations API: what was created, if no response said so.

The API keeps neither ids nor times that it is given. A conversation is recognised by requester, channel and
the time of its creation; of a contact form also the text. A message is recognised by number, author and
order, because nobody else adds historical messages; its text decides only between several.
"""

from collections.abc import Callable, Collection, Sequence

from importer.dixa.api import SettingCheck
from importer.dixa.matching import Item, Likeness, Match, Sent, came_in_time, instant, is_text
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


def likeness(item: Item, messages: Sequence[Item], doubt: Doubt) -> Likeness:
    """Whether it is the conversation in doubt. A contact form is, if its first message has the text that was
    sent. With another text it may be one that the requester wrote at this moment, or ours shown otherwise. A
    new callback has no content to compare. It is the one in doubt if it is unchanged since its creation; if
    somebody has added a message or moved it, nothing decides it."""
    if doubt.expected["text"] is not None:
        first = _by_time(messages)[:1]
        known = bool(first) and is_text(_text_of(first[0]), doubt.expected["text"])
        return Likeness.PROBABLE if known else Likeness.UNCLEAR
    moved = item.get("queue_id") not in (None, doubt.expected["queue_id"])
    return Likeness.UNCLEAR if messages or moved else Likeness.PROBABLE


def lacking(item: Item, messages: Sequence[Item], doubt: Doubt) -> Judgement:
    """Nothing: this API creates a conversation completely or not at all."""
    return Judgement(Verdict.CREATED)


def match(items: Sequence[Item], doubt: Doubt) -> Match:
    """The message in doubt: the only message that is not known and that its author wrote since the request.
    Of several, the one with its text."""
    wanted = doubt.expected
    unknown = _unknown(items, doubt.known, wanted["openings"])
    possible = [item for item in unknown if came_in_time(created_at(item), doubt)]
    alike = [item for item in possible if is_text(_text_of(item), wanted["text"])]
    own = [item for item in possible if _by_author(item, wanted["author_id"])]
    # An author may have been merged with another one since, so the text alone is enough.
    candidates = [item for item in alike if item in own] or alike or own
    if not candidates:
        return Match()
    if len(candidates) == 1 or alike:
        # Several with the same text can only be this message several times. The closing check names the rest.
        return Match({doubt.key: Outcome(State.IMPORTED, str(candidates[0]["id"]))})
    return Match(unclear=tuple(str(item["id"]) for item in candidates))


def duplicates(
    items: Sequence[Item], known: Collection[str], sent: Sequence[Sent], openings: int
) -> dict[str, bool]:
    """The messages that the import created and the checkpoint does not know, by id: True if it is certain.
    Without a text that was sent, an unknown message of one of the authors may also be one of theirs."""
    found: dict[str, bool] = {}
    for item in _unknown(items, known, openings):
        by_author = [message for message in sent if _by_author(item, message.author)]
        alike = any(is_text(_text_of(item), message.text) for message in sent)
        if alike or by_author:
            found[str(item["id"])] = alike
    return found


def _unknown(items: Sequence[Item], known: Collection[str], openings: int) -> list[Item]:
    """The messages that the checkpoint does not know, in the order of their creation, without the message
    that the creation of the conversation brought in: its id is in no response, and it is the first."""
    return [item for item in _by_time(items) if str(item["id"]) not in known][openings:]


def _by_author(item: Item, author: str | None) -> bool:
    return author is None or item.get("author_id") in (None, author)


def _by_time(items: Sequence[Item]) -> list[Item]:
    """Messages in the order of their creation. It is not documented in which order the API lists them. Items
    with the same time keep the order of the list."""
    return sorted(items, key=lambda item: created_at(item) or 0.0)


def created_at(item: Item) -> float | None:
    """The creation time as Unix time; None if there is none. The separator before the milliseconds may be a
    colon or a point."""
    return instant(item.get("created_at"))


def _text_of(item: Item) -> str | None:
    attributes = item.get("attributes")
    text = attributes.get("text") if isinstance(attributes, dict) else None
    return text if isinstance(text, str) else None
