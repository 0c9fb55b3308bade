"""What things of Dixa API v1 are known by when they are read back: times and texts."""

import re
from datetime import UTC, datetime
from typing import Any

from importer.dixa.matching import Item, text_hash

# Times that are read back may have lost their fraction.
SAME_INSTANT_SECONDS = 1.0
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.:](\d+))?Z(?:\[[A-Za-z/]+\])?")


def instant(text: Any) -> float | None:
    """Unix time out of a time as Dixa writes it, also with a zone's name in brackets behind."""
    match = _TIME.fullmatch(str(text or ""))
    if match is None:
        return None
    seconds, fraction = match.groups()
    return datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")


def note_identity(note: Item, author: str) -> list[Any]:
    """Author, Unix time and text hash, as a list since that is what JSON gives back. A note without an agent
    gets an author from Dixa, so that nobody stands for anybody."""
    return [note.get(author), instant(note.get("createdAt")), text_hash(str(note.get("message")))]


def counted_identity(note: Item) -> tuple[Any, ...]:
    """What equal notes are counted by: time (whole seconds) and text hash, whoever their author is."""
    _, at, text = note_identity(note, "authorId")
    return (None if at is None else int(at), text)


def same_instant(at: float | None, sent: str) -> bool:
    wanted = instant(sent)
    return at is not None and wanted is not None and abs(at - wanted) < SAME_INSTANT_SECONDS


def iso(at: datetime) -> str:
    precise = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precise).replace("+00:00", "Z")
