"""How something in Dixa is recognised when it is read back: by address, text and time. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from importer.model import Contact, Doubt

Item = Mapping[str, Any]

# How much the times that Dixa stores and the Date of its responses may differ, because several machines write
# them. A value that is too large costs a look-up. A value that is too small would create something twice.
CLOCK_TOLERANCE_SECONDS = 60.0


def has_address(item: Item, contact: Contact, *, emails: Sequence[str], phones: Sequence[str]) -> bool:
    """Whether a user has exactly this address in one of these fields. It is checked here because the rules by
    which the APIs match addresses are not documented."""
    if contact.email:
        return contact.email.lower() in [address.lower() for address in _addresses(item, emails)]
    return bool(contact.phone) and contact.phone in _addresses(item, phones)


def _addresses(item: Item, names: Sequence[str]) -> list[str]:
    values = [item.get(name) for name in names]
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [value for value in flat if isinstance(value, str)]


def text_hash(text: str) -> str:
    """The identity of a text: a hash that ignores differences in whitespace and line ends."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()


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


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.:](\d+))?Z(?:\[[A-Za-z/]+\])?")


def instant(text: Any) -> float | None:
    """Unix time from a time as Dixa writes it: with a point or a colon before the fraction, with or without
    the
    name of a time zone in brackets at the end. None for anything else."""
    match = _TIME.fullmatch(str(text or ""))
    if match is None:
        return None
    seconds, fraction = match.groups()
    return datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")
