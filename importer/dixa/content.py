"""What a conversation says, in the same words for both APIs and both sides: what was sent, and what Dixa
shows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from importer.dixa.matching import Item

# The value of a column that Dixa shows to be empty. None is for what it does not show at all.
NOTHING = ""
MESSAGE, NOTE = "message", "note"


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A message or a private note."""

    # `message` or `note`.
    kind: str
    # The id of the message in the export; None for a part in Dixa that does not show it.
    key: str | None
    text: str | None
    # User ids; what was sent without an author matches every author.
    author: str | None = None
    direction: str | None = None
    # Unix time; None where the API sets it itself.
    at: float | None = None
    # Names, or addresses where the API keeps no names.
    files: tuple[str, ...] = ()
    dixa_id: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """A conversation. A column that is None says nothing."""

    # By the column's name in the export, such as `requester` and `subject`. Ids, texts, Unix times, sets.
    columns: Mapping[str, Any] = field(default_factory=dict)
    # In reading order, messages first.
    parts: Sequence[ContentPart] = ()
    # Whether Dixa says that it was anonymised.
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What Dixa shows of a conversation, as it was read. What the API has no list for is empty."""

    conversation: Item
    messages: Sequence[Item]
    notes: Sequence[Item] = ()
    tags: Sequence[Item] = ()
