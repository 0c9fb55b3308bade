"""The identities of things in Dixa API v1, by which they are recognised when they are read back: times,
authors, texts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from importer.dixa.matching import SAME_INSTANT_SECONDS, instant, signature


def note_identity(note: Mapping[str, Any]) -> list[Any]:
    """Author, Unix time and signature of the text of a note that is sent. It is a list because it is stored
    as JSON. The author is None for a note that is sent without an agent; Dixa assigns an author to it, so
    None matches every author."""
    return [note.get("agentId"), instant(note.get("createdAt")), signature(str(note.get("message")))]


def is_same_time(at: float | None, wanted: float | None) -> bool:
    """Whether a time that was read back is the one that was sent (both Unix times)."""
    return at is not None and wanted is not None and abs(at - wanted) <= SAME_INSTANT_SECONDS


def same_instant(at: float | None, sent: str) -> bool:
    """Whether a time that was read back (Unix time) is the one that was sent (as requests give it)."""
    return is_same_time(at, instant(sent))


def iso(at: datetime) -> str:
    """A time as requests give it: UTC, with milliseconds, or with microseconds if it has any."""
    precise = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precise).replace("+00:00", "Z")
