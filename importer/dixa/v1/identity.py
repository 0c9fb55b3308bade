"""By what things of Dixa API v1 are known again: times and texts."""

import re
from datetime import UTC, datetime
from typing import Any

from importer.dixa.api import Item, text_mark

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


def note_mark(note: Item, author: str) -> list[Any]:
    """Author, Unix time and text mark, as a list since that is what JSON gives back. A note without an agent
    gets an author from Dixa, so that nobody stands for anybody."""
    return [note.get(author), instant(note.get("createdAt")), text_mark(str(note.get("message")))]


def mark_of(note: Item) -> tuple[Any, ...]:
    _, at, text = note_mark(note, "authorId")
    return (None if at is None else int(at), text)


def same_instant(at: float | None, sent: str) -> bool:
    wanted = instant(sent)
    return at is not None and wanted is not None and abs(at - wanted) < SAME_INSTANT_SECONDS


def iso(at: datetime) -> str:
    precise = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precise).replace("+00:00", "Z")
