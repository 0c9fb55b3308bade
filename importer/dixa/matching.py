"""How a thing in Dixa is known again when it is read back: by address, text and time. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from importer.model import Contact, Doubt

Item = Mapping[str, Any]

# How far Dixa's stamps and the Date of its answers may lie apart, since several machines write them. Too
# large a value costs a look-up. Too small a value would create something twice.
CLOCK_TOLERANCE_SECONDS = 60.0


def has_address(item: Item, contact: Contact, *, emails: Sequence[str], phones: Sequence[str]) -> bool:
    """Whether a user has exactly this address in one of these fields; the APIs' matching rules are not
    documented."""
    if contact.email:
        return contact.email.lower() in [address.lower() for address in _addresses(item, emails)]
    return bool(contact.phone) and contact.phone in _addresses(item, phones)


def _addresses(item: Item, names: Sequence[str]) -> list[str]:
    values = [item.get(name) for name in names]
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [value for value in flat if isinstance(value, str)]


def text_hash(text: str) -> str:
    """A hash by which a text is known again, whatever was done to its blanks and line ends on the way."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()


def came_in_time(created_at: float | None, doubt: Doubt) -> bool:
    """What stood there before the request was sent, or came long after it, cannot have come of it. Compared
    by the host's clock; without its time, everything is in time."""
    offset = doubt.expected.get("offset")
    if offset is None or created_at is None:
        return True
    earliest = doubt.first_at + offset - CLOCK_TOLERANCE_SECONDS
    latest = doubt.last_at + offset + doubt.expected["latest"] + CLOCK_TOLERANCE_SECONDS
    return bool(earliest <= created_at <= latest)
