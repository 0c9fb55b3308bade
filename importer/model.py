"""The values that cross the borders between modules. No I/O, no behaviour beyond small derivations."""

import hashlib
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
    """Somebody whom Dixa can know: by e-mail address, else by phone number (E.164), else by `external_id`
    (`<migration>:<person_id>`, where the API has such ids)."""

    email: str | None = None
    phone: str | None = None
    name: str | None = None
    external_id: str | None = None

    @property
    def key(self) -> str | None:
        """What tells two people apart: `email:a@b` (lower case), `phone:+45…` or `id:…`; none without any."""
        if self.email:
            return f"email:{self.email.lower()}"
        if self.phone:
            return f"phone:{self.phone}"
        return f"id:{self.external_id}" if self.external_id else None


@dataclass(frozen=True, slots=True)
class Attachment:
    url: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message or private note of a conversation."""

    message_id: str
    # With a zone; None where the export gives no time at all.
    created_at: datetime | None
    direction: Direction
    # Whom Dixa shall show as its author.
    author: Contact | None
    # Whether the author must be an agent, whom this program cannot create.
    by_agent: bool
    # What the old helpdesk called the author.
    author_name: str | None
    # Plain text, whatever the source has.
    text: str
    channel: str | None = None
    from_email: str | None = None
    to_email: str | None = None
    attachments: tuple[Attachment, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    # Where the source has HTML.
    html: str | None = None
    # Whether `text` was made from `html`.
    from_html: bool = False
    # Whether the default agent replaces an author without an address.
    stand_in: bool = False
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One ticket on its way into Dixa."""

    ticket_id: str
    requester: Contact
    direction: Direction
    subject: str | None
    channel: str | None
    created_at: datetime | None
    tags: tuple[str, ...]
    # In reading order.
    messages: tuple[Message, ...]
    status: str | None = None
    updated_at: datetime | None = None
    closed_at: datetime | None = None
    queue: str | None = None
    # Whether the export names an assignee, and who it is where it has an address.
    assigned: bool = False
    assignee: Contact | None = None
    # The old helpdesk's other fields, by name.
    custom: Mapping[str, str] = field(default_factory=dict)
    # Changes when what is sent of the ticket itself may change.
    fingerprint: bytes = b""
    # A hash of all its source rows, compared between runs to see whether anything has changed at all.
    source_hash: int | None = None


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """What the migration file says about conversations, by the names that the user gave. Each API resolves
    them to the account's ids. The keys are described in migration/target.py."""

    migration: str
    kind: str
    queue: str | None = None
    endpoint: str | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    grown: str = "list"
    text_format: str = "text"
    max_bytes: int = 4_000_000
    head: str | None = None
    opening_head: str | None = None
    author_head: str = "[{author}]"
    head_timezone: str = "UTC"
    default_agent: str | None = None


# Before the key of an agent, where user ids are kept by contact key: the same person may write as a customer.
AGENT = "agent "

# What the id of a message begins with that has none of its own: it follows from the content.
DERIVED = "derived:"


class StepKind(StrEnum):
    PERSON = "person"
    CONVERSATION = "conversation"
    MESSAGE = "message"
    NOTES = "notes"
    TAGS = "tags"
    ATTRIBUTES = "attributes"
    TRANSFER = "transfer"
    CLOSE = "close"


# Without these there is nothing for the rest to follow; where one of the others is refused, what it would
# have brought is missing, and the rest goes on.
ESSENTIAL = frozenset({StepKind.CONVERSATION, StepKind.MESSAGE})
# What these do is the same however often it is done.
SETTINGS = frozenset({StepKind.TAGS, StepKind.ATTRIBUTES, StepKind.TRANSFER, StepKind.CLOSE})


@dataclass(frozen=True, slots=True)
class Carried:
    """A message (or person) that a step brings in. The fingerprint changes when its content does."""

    key: str
    fingerprint: bytes = b""
    attachments: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One change in Dixa. `key` tells it from the other steps of its kind in the same ticket; that of a
    message is its id, that of notes the first one's, that of a person the contact's key.

    `carries` are the messages that this one request brings in, in its order: none for a bare conversation,
    itself for a message, several where one call imports many; where one call makes several people, they are
    their keys. `expected` is what tells the thing created
    from others when it is read back: ids and hashes, no texts.
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


Response = Answer | NoAnswer


class Verdict(StrEnum):
    """What a response proves, sorted by what the caller does next."""

    CREATED = "created"
    AGAIN = "again"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message that a step carried, where it is not the same as for all of them.
    `refused` is how many of its attachments Dixa did not take."""

    state: State
    dixa_id: str | None = None
    reason: str = ""
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """`dixa_id` where something was created; `reason` in Dixa's own words where it was not, or not wholly
    (`partial`); `outcomes` by message id; `sent_at` is when the request left (Unix time)."""

    verdict: Verdict
    dixa_id: str | None = None
    reason: str = ""
    retry_after_seconds: float | None = None
    sent_at: float = 0.0
    partial: bool = False
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def state(self) -> State | None:
        """What a step so judged is recorded as; None where nothing came of it."""
        if self.verdict is Verdict.CREATED:
            return State.PARTIAL if self.partial else State.IMPORTED
        return {Verdict.REFUSED: State.REJECTED, Verdict.IN_DOUBT: State.IN_DOUBT}.get(self.verdict)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step, or a message that another step carried, as the checkpoint holds it. `state` is None for an
    intent without an outcome: sent, and then the run ended. `refused` as in Outcome."""

    kind: StepKind
    key: str
    state: State | None
    dixa_id: str | None
    fingerprint: bytes = b""
    reason: str = ""
    refused: int = 0

    @property
    def done(self) -> bool:
        return self.state in (State.IMPORTED, State.PARTIAL)


@dataclass(frozen=True, slots=True)
class TicketMemory:
    """What the checkpoint knows of a ticket. `doubtful` while a step of it was once in doubt and its
    conversation has not been read back since, to see whether something came twice; `suspect` is then the
    creation of the conversation itself, where that was in doubt and nothing was found."""

    steps: tuple[StepRecord, ...] = ()
    state: State | None = None
    doubtful: bool = False
    suspect: "Doubt | None" = None

    @property
    def finished(self) -> bool:
        """Whether a run brought it to an end in Dixa."""
        return self.state in (State.IMPORTED, State.PARTIAL)


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


def fingerprint(*content: object) -> bytes:
    """Eight bytes that change when the content does. Fields are joined by a character that no text has."""
    text = "\x1f".join(["" if part is None else str(part) for part in content])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """`state` is None where a creation was sent and no outcome is known; `at` is Unix time in seconds."""

    state: State | None
    dixa_id: str | None
    reason: str
    at: float
