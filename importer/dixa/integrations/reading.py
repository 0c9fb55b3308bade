"""Reading back from the Integrations API: what was created, if no response said so.

The API keeps neither ids nor times that it is given. A conversation is recognised by requester, channel and
the time of its creation; of a contact form also the text. A message is recognised by number, author and
order, because nobody else adds historical messages; its text decides only between several.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from importer.dixa.api import SettingCheck
from importer.dixa.matching import (
    CLOCK_TOLERANCE_SECONDS,
    SHORTEST_BEGINNING,
    Item,
    Likeness,
    Match,
    Recognition,
    Seen,
    Sent,
    begins_as,
    came_in_time,
    instant,
    is_text,
)
from importer.model import Doubt, Judgement, Outcome, Request, State, Step, Verdict

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


def could_be_ticket(item: Item, expected: Mapping[str, Any]) -> bool:
    """Whether channel and direction are the same."""
    return all(
        item.get(name) == expected[name]
        for name in ("channel", "direction")
        if expected[name] is not None and item.get(name) is not None
    )


def recognise(item: Item, messages: Sequence[Item], step: Step, sent: Mapping[str, Sent]) -> Recognition:
    """A conversation is that of a ticket if it begins with a text of the ticket and holds nothing else. What
    was added is found by text and order; a message whose text is not recognised also by its author, if it
    came right after the one before. A callback without messages may be that of a ticket."""
    opening = step.expected["text"]
    shown = _by_time(messages)
    if not shown:
        return Recognition(_empty(item, step), Judgement(Verdict.CREATED))
    rest = shown if opening is None else shown[1:]
    added, strangers = _in_order(rest, sent)
    begins = _begins(shown, opening) if opening else rest[0] not in strangers
    recognised = sum(length for _, length in added.values()) + (opening[0] if opening and begins else 0)
    if not recognised:
        openings = [Sent(None, None, opening)] if opening else []
        return Recognition(_by_number(shown, [*openings, *sent.values()]))
    likeness = Likeness.CERTAIN
    if opening and recognised < SHORTEST_BEGINNING:
        likeness = Likeness.UNCLEAR  # anybody may have written that into a contact form
    elif strangers or not begins:
        likeness = Likeness.PROBABLE if recognised >= SHORTEST_BEGINNING else Likeness.UNCLEAR
    outcomes = {key: Outcome(State.IMPORTED, str(there["id"])) for key, (there, _) in added.items()}
    return Recognition(likeness, Judgement(Verdict.CREATED), outcomes)


def _empty(item: Item, step: Step) -> Likeness:
    """Whether a conversation that shows no messages is the one that a step creates: its queue decides. A
    contact form has a message, so its list is behind."""
    queue = item.get("queue_id")
    if step.expected["text"] is not None or queue is None:
        return Likeness.UNCLEAR
    return Likeness.PROBABLE if queue == step.expected["queue_id"] else Likeness.OTHER


def _begins(shown: Sequence[Item], opening: Sequence[Any]) -> bool:
    return is_text(_text_of(shown[0]), opening, marked=True)


def _in_order(
    items: Sequence[Item], sent: Mapping[str, Sent]
) -> tuple[dict[str, tuple[Item, int]], list[Item]]:
    """Which of the messages that were sent are among the items (both in order): by id the item, and the
    length of the text by which it was recognised; 0 if its place told. Then the other items."""
    found: dict[str, tuple[Item, int]] = {}
    place = 0
    waiting = list(sent.items())
    for number, (key, message) in enumerate(waiting):
        rest = range(place, len(items))
        there = next((n for n in rest if is_text(_text_of(items[n]), message.text, marked=True)), None)
        if there is not None:
            found[key] = (items[there], message.text[0])
            place = there + 1
        elif place < len(items) and _continues(items, place, message, [m for _, m in waiting[number + 1 :]]):
            found[key] = (items[place], 0)
            place += 1
    taken = [item["id"] for item, _ in found.values()]
    return found, [item for item in items if item["id"] not in taken]


def _continues(items: Sequence[Item], place: int, message: Sent, later: Sequence[Sent]) -> bool:
    """Whether an item came so soon after the one before that it was sent with it, by the same author, and is
    none of the messages that were sent later."""
    if place == 0 or not _by_author(items[place], message.author):
        return False
    before, at = created_at(items[place - 1]), created_at(items[place])
    soon = before is not None and at is not None and at - before <= CLOCK_TOLERANCE_SECONDS
    return soon and not any(is_text(_text_of(items[place]), other.text) for other in later)


def _by_number(items: Sequence[Item], sent: Sequence[Sent]) -> Likeness:
    """Where no text at all was recognised: whether number and authors are those of a ticket, and no text
    says otherwise."""
    pairs = list(zip(items, sent, strict=False))
    fits = len(items) == len(sent) and all(
        _by_author(item, message.author) and begins_as(_text_of(item), message.text)
        for item, message in pairs
    )
    return Likeness.UNCLEAR if fits else Likeness.OTHER


def is_changed_since(item: Item, step: Step) -> bool:
    """False: no operation sets anything in a conversation."""
    del item, step
    return False


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


def _text_of(item: Item) -> str | Seen | None:
    attributes = item.get("attributes")
    text = attributes.get("text") if isinstance(attributes, dict) else None
    return text if isinstance(text, str | Seen) else None
