"""The identities of things in Dixa API v1, by which they are recognised when they are read back: times and
texts."""

from datetime import UTC, datetime
from typing import Any

from importer.dixa.matching import Item, instant, text_hash

# Times that are read back may have lost their fraction of a second.
SAME_INSTANT_SECONDS = 1.0


def note_identity(note: Item, author: str) -> list[Any]:
    """Author, Unix time and text hash. It is a list because it is compared with one that was stored as JSON.
    The author is None for a note that is sent without an agent; Dixa assigns an author to it, so None matches
    every author."""
    return [note.get(author), instant(note.get("createdAt")), text_hash(str(note.get("message")))]


def counted_identity(note: Item) -> tuple[Any, ...]:
    """Time (in full seconds) and text hash, by which equal notes are counted. The author is not compared."""
    _, at, text = note_identity(note, "authorId")
    return (None if at is None else int(at), text)


def same_instant(at: float | None, sent: str) -> bool:
    """Whether a time that was read back (Unix time) is the one that was sent."""
    wanted = instant(sent)
    return at is not None and wanted is not None and abs(at - wanted) < SAME_INSTANT_SECONDS


def iso(at: datetime) -> str:
    """A time as requests give it: UTC, with milliseconds, or with microseconds if it has any."""
    precise = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precise).replace("+00:00", "Z")
