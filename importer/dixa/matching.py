"""How something in Dixa is recognised when it is read back: by id, address, time and text. Pure.

Dixa may show a text otherwise than it got it: with entities, inside tags, with other blanks, in another form
of Unicode, or cut. So a text is evened out before it is compared, and it only chooses among things that are
alike in all else. That a text differs never proves that something is absent.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

from importer.model import Contact, Doubt, Judgement, Outcome, Step

Item = Mapping[str, Any]

# How much the times that Dixa stores and the Date of its responses may differ, because several machines write
# them. A value that is too large costs a look-up. A value that is too small would create something twice.
CLOCK_TOLERANCE_SECONDS = 60.0
# Times that are read back may have lost their fraction of a second.
SAME_INSTANT_SECONDS = 1.0
# The lengths at which the beginning of a text is remembered, so that a text which Dixa cut is recognised.
# Shorter beginnings are the same for too many texts.
SHORTEST_BEGINNING = 12
_BEGINNINGS = (*range(SHORTEST_BEGINNING, 64, 4), *(2**n for n in range(6, 23)))


class Likeness(IntEnum):
    """Whether something in Dixa is what a request in doubt creates."""

    # Something that Dixa keeps as it was given says that it is not.
    OTHER = 0
    # It may be, and nothing decides it.
    UNCLEAR = 1
    # It is, unless another request of the same kind is in flight.
    PROBABLE = 2
    # An id that was sent says so.
    CERTAIN = 3


@dataclass(frozen=True, slots=True)
class Match:
    """Which of the messages in doubt were found in a list."""

    # By message id.
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    # The ids of items that may be one of them, where nothing decides it.
    unclear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    """Whether a conversation is that of a ticket, and how much of the ticket it holds."""

    likeness: Likeness
    # What the response to its creation would have proved, without the id.
    judgement: Judgement | None = None
    # The messages that were added to it, by message id.
    added: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message or note that was sent, as it is recognised in a list."""

    # The user id; None if the request named nobody.
    author: str | None
    # Unix time; None where the API does not keep the time that it is given.
    at: float | None
    # As `signature` returns it.
    text: Sequence[Any]


def has_address(item: Item, contact: Contact, *, emails: Sequence[str], phones: Sequence[str]) -> bool:
    """Whether a user has exactly this address in one of these fields. It is checked here because the rules by
    which the APIs match addresses are not documented. A phone number may be shown with blanks and signs."""
    if contact.email:
        return contact.email.lower() in [address.strip().lower() for address in _addresses(item, emails)]
    return bool(contact.phone) and _digits(contact.phone) in map(_digits, _addresses(item, phones))


def _digits(phone: str | None) -> str:
    return "".join(character for character in phone or "" if character.isdecimal())


def _addresses(item: Item, names: Sequence[str]) -> list[str]:
    values = [item.get(name) for name in names]
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [value for value in flat if isinstance(value, str)]


def evened_out(text: str) -> str:
    """What stays of a text however it is shown: without tags, entities, blanks and control characters, in one
    form of Unicode."""
    for _ in range(3):
        plain = html.unescape(text)
        if plain == text:
            break
        text = plain
    text = unicodedata.normalize("NFKC", re.sub(r"<[^<>]*>", "", text))
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c)[0] != "C")


def signature(text: str) -> list[Any]:
    """What is remembered of a text that was sent, to recognise it: its length and its hash when evened out,
    and the hashes of its beginnings. It can be stored as JSON, and it does not show the text."""
    even = evened_out(text)
    beginnings = {str(length): _hash(even[:length]) for length in _BEGINNINGS if length < len(even)}
    return [len(even), _hash(even), beginnings]


class Seen(NamedTuple):
    """What is kept of a text that Dixa shows, to compare it later."""

    # The hash of the text when evened out.
    whole: str
    # How long it is without what Dixa puts in place of a rest that it cut.
    length: int
    # The longest beginning that signatures remember, and its hash; and the hash of the shortest.
    known: int
    beginning: str
    first: str
    # Whether it ends as a text that was cut.
    is_cut: bool


def seen(text: str) -> Seen:
    """What `is_text` needs of a text."""
    even = evened_out(text)
    whole = _hash(even)
    is_cut = even.endswith(("…", "...", "…]", "...]"))
    # What Dixa puts in place of the rest is not part of the beginning.
    even = even.rstrip(".…[]")
    known = max((n for n in _BEGINNINGS if n <= len(even)), default=0)
    first = _hash(even[:SHORTEST_BEGINNING])
    return Seen(whole, len(even), known, _hash(even[:known]), first, is_cut)


def _seen(shown: Any) -> Seen | None:
    if isinstance(shown, str):
        return seen(shown)
    return shown if isinstance(shown, Seen) else None


def is_whole(shown: Any, sent: Sequence[Any]) -> bool:
    """Whether a text that is shown is the one with this signature, and not cut."""
    kept = _seen(shown)
    return kept is not None and bool(kept.whole == sent[1])


def begins_as(shown: Any, sent: Sequence[Any]) -> bool:
    """Whether a text that is shown may be the one with this signature: it has no content, or the same
    beginning."""
    kept = _seen(shown)
    if kept is None or not kept.length:
        return True
    first = sent[2].get(str(SHORTEST_BEGINNING))
    return bool(kept.first == first if first else kept.whole == sent[1])


def is_text(shown: Any, sent: Sequence[Any], *, marked: bool = False) -> bool:
    """Whether a text that is shown is the one with this signature, also if it is shown otherwise or cut; with
    `marked`, only if the cut is marked by an ellipsis. False for what is not a text."""
    shown = _seen(shown)
    if shown is None:
        return False
    length, whole, beginnings = sent
    if shown.whole == whole:
        return True
    if marked and not shown.is_cut:
        return False
    known = shown.known > 0 and beginnings.get(str(shown.known)) == shown.beginning
    return bool(shown.length < length and known)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def ids_of(items: Iterable[Item]) -> set[str]:
    """The ids of the items of a list."""
    return {str(item.get("id")) for item in items}


def came_in_time(created_at: float | None, doubt: Doubt) -> bool:
    """Whether something with this creation time (Unix time) can be the result of a request in doubt. What is
    older than the request, or much younger, cannot. The comparison uses the host's clock; if a time is not
    known, the answer is True."""
    offset = doubt.expected.get("offset")
    if offset is None or created_at is None:
        return True
    earliest = doubt.first_at + offset - CLOCK_TOLERANCE_SECONDS
    latest = doubt.last_at + offset + doubt.expected["latest"] + CLOCK_TOLERANCE_SECONDS
    return bool(earliest <= created_at <= latest)


def long_ago(step: Step) -> Doubt:
    """A step as one that was sent so long ago that nothing can come of it any more: what it created is known
    by what was sent, not by when."""
    expected = {**step.expected, "offset": 0.0, "latest": 0.0}
    return Doubt(step.kind, step.ticket_id, step.key, expected, 0.0, 0.0)


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.:](\d{1,20}))?Z(?:\[[A-Za-z/]+\])?")


def instant(text: Any) -> float | None:
    """Unix time from a time as Dixa writes it: with a point or a colon before the fraction, with or without
    the name of a time zone in brackets at the end. None for anything else."""
    match = _TIME.fullmatch(str(text or ""))
    if match is None:
        return None
    seconds, fraction = match.groups()
    try:
        return datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        return None
