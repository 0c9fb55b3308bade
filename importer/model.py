"""The values that cross the borders between modules. No I/O, no behaviour beyond small derivations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What became of a record. Every record read ends in exactly one of these (`PARTIAL` is a part of
    `IMPORTED`)."""

    IMPORTED = "imported"
    PARTIAL = "partial"
    ALREADY_THERE = "already_there"
    FILTERED = "filtered"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    LEFT = "left"


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class Role(StrEnum):
    END_USER = "end_user"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody whom Dixa can know: by e-mail address, else by phone number (E.164)."""

    email: str | None = None
    phone: str | None = None
    name: str | None = None

    @property
    def key(self) -> str | None:
        """What tells two people apart: `email:a@b` (lower case) or `phone:+45…`; none without either."""
        if self.email:
            return f"email:{self.email.lower()}"
        return f"phone:{self.phone}" if self.phone else None


@dataclass(frozen=True, slots=True)
class Attachment:
    url: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message or private note of a conversation.

    `author` is whom Dixa shall show as its author; `by_agent` says that this must be an agent, whom an
    importer cannot create. `author_name` is what the old helpdesk called the author. `created_at` has a
    zone, or is None where the export gives no time at all.
    """

    message_id: str
    created_at: datetime | None
    direction: Direction
    author: Contact | None
    by_agent: bool
    author_name: str | None
    text: str
    channel: str | None = None
    from_email: str | None = None
    to_email: str | None = None
    attachments: tuple[Attachment, ...] = ()
    cc: tuple[str, ...] = ()
    from_html: bool = False
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One ticket on its way into Dixa, its messages in the order in which they are to be read.

    `custom` are the old helpdesk's further fields, by name. `mark` stands for all of its source rows; it is
    compared between runs to see whether anything has changed at all.
    """

    ticket_id: str
    requester: Contact
    direction: Direction
    subject: str | None
    channel: str | None
    created_at: datetime | None
    tags: tuple[str, ...]
    messages: tuple[Message, ...]
    status: str | None = None
    assigned: bool = False
    custom: Mapping[str, str] = field(default_factory=dict)
    fingerprint: bytes = b""
    mark: int | None = None


# What the id of a message begins with that has none of its own: it follows from the content.
DERIVED = "derived:"


class StepKind(StrEnum):
    PERSON = "person"
    CONVERSATION = "conversation"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Carried:
    """A message that a step brings in. The fingerprint changes when its content does."""

    message_id: str
    fingerprint: bytes = b""
    attachments: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One creation in Dixa. `key` tells it from the other steps of its kind in the same ticket; that of a
    message is its id, that of a person the contact's key.

    `carries` are the messages that this one request brings in: none for a bare conversation, itself for a
    message, several where one call imports many. `expected` is what tells the thing created from others when
    it is read back: ids and hashes, no texts.
    """

    kind: StepKind
    ticket_id: str
    key: str
    carries: tuple[Carried, ...] = ()
    fingerprint: bytes = b""
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `json` is None where the body is not JSON; `retry_after_seconds` and `date` (Unix time,
    the host's clock) where the headers are given."""

    status: int
    json: Any
    text: str = ""
    retry_after_seconds: float | None = None
    date: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer came. `sent` says whether any byte of the request can have reached the host."""

    sent: bool
    reason: str


Ending = Answer | NoAnswer


class Verdict(StrEnum):
    """What an ending proves, sorted by what the caller does next."""

    CREATED = "created"
    AGAIN = "again"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`dixa_id` where something was created; `reason` in Dixa's own words where it was not; `sent_at` is when
    the request left (Unix time)."""

    verdict: Verdict
    dixa_id: str | None = None
    reason: str = ""
    retry_after_seconds: float | None = None
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step, or a message that another step carried, as the checkpoint holds it. `state` is None for an
    intent without an outcome: sent, and then the run ended."""

    kind: StepKind
    key: str
    state: State | None
    dixa_id: str | None
    fingerprint: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TicketMemory:
    """What the checkpoint knows of a ticket. `doubtful` while a step of it was once in doubt and its
    conversation has not been read back since, to see whether something came twice."""

    steps: tuple[StepRecord, ...] = ()
    state: State | None = None
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Doubt:
    """A creation of which no outcome is known.

    `first_at` and `last_at` are when it was sent for the first and for the last time (Unix time, this
    machine's clock); `expected` as in Step; `known` are the ids in Dixa of the ticket's other messages.
    """

    kind: StepKind
    ticket_id: str
    key: str
    expected: Mapping[str, Any]
    first_at: float
    last_at: float
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TicketResult:
    """What became of one ticket in this run.

    `messages` and `attachments` count by state: imported by this run, already there from an earlier one.
    `changed` names the messages (and `ticket` for the ticket itself) whose content is another than what was
    imported.
    """

    ticket_id: str
    state: State
    dixa_id: str | None
    messages: Mapping[State, int]
    attachments: Mapping[State, int]
    reason: str = ""
    changed: tuple[str, ...] = ()
