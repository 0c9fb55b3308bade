"""Compares what was sent with what Dixa shows. Pure.

A text that differs in mark-up alone (entities, tags, blanks, the form of Unicode), or that is shown cut, is a
milder difference. What people wrote in Dixa since the import is none.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from importer.dixa.content import NOTE, Content, ContentPart
from importer.dixa.matching import SAME_INSTANT_SECONDS, evened_out

# How much of a text is shown around the place where it differs.
AROUND = 40
_ELLIPSES = ("…", "...", "[…]", "[...]")


class Mark(StrEnum):
    """What kind of difference it is, as rclone's check prints it."""

    MISSING = "-"
    EXTRA = "+"
    DIFFERENT = "*"
    ERROR = "!"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which Dixa differs from the export."""

    mark: Mark
    # `conversation`, `message`, `note`, `person`.
    what: str
    # The id of the message in the export, or the id in Dixa of what the export does not have.
    where: str = ""
    column: str = ""
    sent: str = ""
    shown: str = ""
    # Whether only the mark-up differs, or Dixa does not show it: that is told, and is no difference.
    is_mild: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the checkpoint knows of the parts of a ticket, by message id."""

    # The ids in Dixa, where a response told them.
    ids: Mapping[str, str] = field(default_factory=dict)
    # What is not in Dixa: refused, failed or not yet sent.
    absent: Collection[str] = ()
    # How many files Dixa refused.
    refused: Mapping[str, int] = field(default_factory=dict)
    # What has other content in the export now than what was sent, so that only its presence is compared.
    changed: Collection[str] = ()
    # Whether that is so of the ticket itself.
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a conversation in Dixa compares with what was sent."""

    differences: tuple[Difference, ...]
    # How many parts people added in Dixa since.
    since: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """A ticket that was read back."""

    ticket_id: str
    dixa_id: str
    comparison: Comparison
    # Of what Dixa shows (proof.digest_of); None if the conversation is gone.
    digest: str | None
    # Why it could not be read back; then nothing else is known.
    unread: str = ""
    # What was sent and what Dixa shows, of a few tickets that somebody is to look at.
    sides: tuple[Content, Content] | None = None


def compare(sent: Content, held: Content, known: Known) -> Comparison:
    """Every difference, the conversation's own first, then in reading order."""
    if held.is_anonymous:
        gone = Difference(Mark.DIFFERENT, "conversation", "", "anonymised", "no", "yes")
        return Comparison((gone,))
    expected = [part for part in sent.parts if part.key not in known.absent]
    pairs, missing, extra = _paired(expected, held.parts, known.ids)
    found = [] if known.is_changed else _columns(sent.columns, held.columns)
    for part in missing:
        found.append(Difference(Mark.MISSING, part.kind, part.key or "", "", _cut(part.text), ""))
    for one, other in pairs:
        if one.key in known.changed:
            continue
        found += _part(one, other, known)
    found += _moved(pairs, held.parts)
    since = 0
    for part in extra:
        if why := _is_ours(part, sent.parts):
            found.append(Difference(Mark.EXTRA, part.kind, part.dixa_id or "", why, "", _cut(part.text)))
        else:
            since += 1
    return Comparison(tuple(found), since)


def _columns(sent: Mapping[str, Any], held: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name, value in sent.items():
        shown = held.get(name, "" if name.startswith("attribute ") else None)
        if value is None:
            continue
        if shown is None:
            found.append(_not_shown("conversation", "", name))
        elif name == "tags":
            found += [
                Difference(Mark.MISSING, "conversation", "", "tag", tag) for tag in sorted(value - shown)
            ]
        elif name == "created_at":
            if abs(value - shown) > SAME_INSTANT_SECONDS:
                found.append(_different("conversation", "", name, _time(value), _time(shown)))
        elif value != shown:
            is_mild = name == "subject" and is_markup(value, shown)
            found.append(_different("conversation", "", name, str(value), str(shown), is_mild=is_mild))
    return found


def _paired(
    sent: Sequence[ContentPart], held: Sequence[ContentPart], ids: Mapping[str, str]
) -> tuple[list[tuple[ContentPart, ContentPart]], list[ContentPart], list[ContentPart]]:
    """The parts on both sides that belong together, those that Dixa does not show, and those that it shows
    in addition."""
    waiting = list(sent)
    free = list(held)
    pairs: list[tuple[ContentPart, ContentPart]] = []

    def pair(fits: Callable[[ContentPart, ContentPart], bool]) -> None:
        for part in list(waiting):
            other = next((there for there in free if there.kind == part.kind and fits(part, there)), None)
            if other is not None:
                pairs.append((part, other))
                waiting.remove(part)
                free.remove(other)

    def is_open(part: ContentPart) -> bool:
        """Whether no id says which one it is."""
        return (part.key or "") not in ids

    pair(lambda part, there: there.key is not None and there.key == part.key)
    pair(lambda part, there: ids.get(part.key or "") == there.dixa_id)
    pair(lambda part, there: is_open(part) and _same_text(part, there) and _same_time(part, there))
    pair(lambda part, there: is_open(part) and _same_text(part, there) and not there.key)
    pair(
        lambda part, there: (
            is_open(part) and part.at is not None and _same_time(part, there) and not there.key
        )
    )
    pair(lambda part, there: is_open(part) and part.at is None and _same_author(part, there))
    order = {id(part): place for place, part in enumerate(sent)}
    pairs.sort(key=lambda both: order[id(both[0])])
    return pairs, waiting, free


def _part(sent: ContentPart, held: ContentPart, known: Known) -> list[Difference]:
    found = []
    key = sent.key or ""
    refused = known.refused.get(key, 0)
    told = (
        ("author", sent.author, held.author),
        ("direction", sent.direction, held.direction),
        ("created_at", sent.at, held.at),
        ("text", sent.text or None, held.text),
    )
    found += [
        _not_shown(sent.kind, key, name) for name, one, other in told if one is not None and other is None
    ]
    if held.author is not None and not _same_author(sent, held):
        found.append(_different(sent.kind, key, "author", sent.author or "", held.author))
    if sent.direction and held.direction and sent.direction != held.direction:
        found.append(_different(sent.kind, key, "direction", sent.direction, held.direction))
    if not _same_time(sent, held):
        found.append(_different(sent.kind, key, "created_at", _time(sent.at), _time(held.at)))
    if text := _text(sent, held, known):
        found.append(text)
    lost = Counter(sent.files) - Counter(held.files)
    # Dixa may show other names, so their number counts.
    short = len(sent.files) - len(held.files) - refused
    if short > 0:
        names = ", ".join(list(lost.elements())[:3])
        found.append(
            Difference(
                Mark.MISSING,
                sent.kind,
                key,
                "attachments",
                f"{len(sent.files)}: {names}",
                str(len(held.files)),
            )
        )
    return found


def _text(sent: ContentPart, held: ContentPart, known: Known) -> Difference | None:
    wanted, shown = sent.text or "", held.text
    if shown is None or wanted == shown:
        return None
    even = evened_out(shown)
    if known.refused.get(sent.key or "") and evened_out(wanted) in even:
        return None  # the address of a file that Dixa could not fetch was added
    if known.is_changed and even.endswith(evened_out(wanted.partition("\n\n")[2])):
        return None  # the lines above the text quote the ticket, which is another one in the export now
    one, other = _around(wanted, shown)
    return _different(sent.kind, sent.key or "", "text", one, other, is_mild=is_markup(wanted, shown))


def is_markup(sent: str, shown: str) -> bool:
    """Whether a text differs from what was sent in mark-up alone, or is only cut, with an ellipsis at its
    end."""
    even = evened_out(sent)
    if even == evened_out(shown):
        return True
    plain = re.sub(r"(</?\w+>|\s)+$", "", shown)
    end = next((end for end in _ELLIPSES if plain.endswith(end)), None)
    if end is None:
        return False
    # The cut may be inside an entity or a tag.
    beginning = evened_out(re.sub(r"(&[#\w]*|<[^<>]*)$", "", plain.removesuffix(end)))
    beginning = re.sub(r"<[^<>]*$", "", beginning)
    return bool(beginning) and even.startswith(beginning)


def _moved(pairs: Sequence[tuple[ContentPart, ContentPart]], held: Sequence[ContentPart]) -> list[Difference]:
    """Messages that are not in the order in which they were sent. Where the API keeps times, those say it."""
    untimed = [(part, there) for part, there in pairs if part.at is None]
    all_places = {id(part): place for place, part in enumerate(held)}
    ranks = {place: rank for rank, place in enumerate(sorted(all_places[id(there)] for _, there in untimed))}
    places = [ranks[all_places[id(there)]] for _, there in untimed]
    kept = _longest_rise(places)
    return [
        _different(part.kind, part.key or "", "order", f"place {number + 1}", f"place {place + 1}")
        for number, ((part, _), place) in enumerate(zip(untimed, places, strict=True))
        if place not in kept
    ]


def _longest_rise(places: Sequence[int]) -> set[int]:
    """The values of a longest rising subsequence: what is not in it was moved."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        at = bisect_left(ends, place)
        before[place] = ends[at - 1] if at else None
        ends[at : at + 1] = [place]
    kept: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return kept


def _is_ours(part: ContentPart, sent: Sequence[ContentPart]) -> str:
    """Why a part that was not sent, or not once more, seems to be the import's; empty if people wrote it."""
    if part.key is not None:
        return "twice" if any(part.key == other.key for other in sent) else "of another ticket"
    for other in sent:
        timed = other.at is not None and part.at is not None
        if other.kind == part.kind and _same_text(other, part) and (not timed or _same_time(other, part)):
            return "twice"
        if (
            part.kind == NOTE == other.kind
            and timed
            and _same_time(other, part)
            and _same_author(other, part)
        ):
            return "twice"
    return ""


def _same_text(part: ContentPart, there: ContentPart) -> bool:
    return there.text is not None and evened_out(part.text or "") == evened_out(there.text)


def _same_time(part: ContentPart, there: ContentPart) -> bool:
    return part.at is None or there.at is None or abs(part.at - there.at) <= SAME_INSTANT_SECONDS


def _same_author(part: ContentPart, there: ContentPart) -> bool:
    return part.author is None or there.author is None or part.author == there.author


def _different(
    what: str, where: str, column: str, sent: str, shown: str, *, is_mild: bool = False
) -> Difference:
    return Difference(Mark.DIFFERENT, what, where, column, sent, shown, is_mild)


def _not_shown(what: str, where: str, column: str) -> Difference:
    return Difference(Mark.ERROR, what, where, column, "", "not shown", is_mild=True)


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at is not None else ""


def _cut(text: str | None) -> str:
    whole = text or ""
    return whole if len(whole) <= 2 * AROUND else f"{whole[: 2 * AROUND]}…"


def _around(sent: str, shown: str) -> tuple[str, str]:
    """The places where two texts differ first, with what is around them."""
    same = next(
        (n for n, (a, b) in enumerate(zip(sent, shown, strict=False)) if a != b), min(len(sent), len(shown))
    )
    start = max(0, same - AROUND)
    before = "…" if start else ""

    def part(text: str) -> str:
        end = same + AROUND
        return before + text[start:end] + ("…" if len(text) > end else "")

    return part(sent), part(shown)
