"""The values that modules exchange. No I/O, and no behaviour beyond small derivations."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What became of a record. Every record that is read ends in exactly one of these states; `PARTIAL` is
    also counted as `IMPORTED`."""

    IMPORTED = "imported"
    PARTIAL = "partial"
    ALREADY_THERE = "already_there"
    FILTERED = "filtered"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    LEFT = "left"


class Direction(StrEnum):
    """Which way a message went. `INTERNAL` is a private note."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class Role(StrEnum):
    """What the author of a message is in the old helpdesk."""

    END_USER = "end_user"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Contact:
    """A person as Dixa can identify them: by e-mail address, else by phone number, else by external id."""

    email: str | None = None
    # In E.164 form.
    phone: str | None = None
    name: str | None = None
    # `<migration>:<person_id>`; only where the API has external ids of people.
    external_id: str | None = None

    @property
    def key(self) -> str | None:
        """The identity of the person: `email:a@b` (lower case), `phone:+45…` or `id:…`. None if all three are
        missing."""
        if self.email:
            return f"email:{self.email.lower()}"
        if self.phone:
            return f"phone:{self.phone}"
        return f"id:{self.external_id}" if self.external_id else None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message. Dixa fetches it from its URL."""

    url: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message or private note of a conversation."""

    message_id: str
    # With a time zone; None if the export gives no time at all.
    created_at: datetime | None
    direction: Direction
    # The author that Dixa is to show.
    author: Contact | None
    # Whether the author must be an agent. This program cannot create agents.
    by_agent: bool
    # The author's name in the old helpdesk.
    author_name: str | None
    # Always plain text, also where the source has HTML.
    text: str
    channel: str | None = None
    from_email: str | None = None
    to_email: str | None = None
    attachments: tuple[Attachment, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    # The text as HTML, if the source has HTML.
    html: str | None = None
    # Whether `text` was derived from `html`.
    from_html: bool = False
    # Whether the author has no address, so that the default agent replaces the author.
    stand_in: bool = False
    # Changes when the content of the message changes.
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One ticket, as it is imported into Dixa."""

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
    # Whether the export names an assignee.
    assigned: bool = False
    # The assignee; None also where the export names one without an address.
    assignee: Contact | None = None
    # The old helpdesk's other fields, by name.
    custom: Mapping[str, str] = field(default_factory=dict)
    # Changes when what is sent of the ticket itself may change.
    fingerprint: bytes = b""
    # A hash of all its source rows. Two runs compare it to find out whether anything has changed.
    source_hash: int | None = None


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """The conversation settings of the migration file, with names as the user wrote them. Each API resolves
    them to the ids of the account. migration/target.py describes the keys."""

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


# Prefix of an agent's key where user ids are stored by contact key: the same person may also write as a
# customer, under another user id.
AGENT = "agent "

# Prefix of the id of a message for which the export has no id. Such an id is derived from the content.
DERIVED = "derived:"


class StepKind(StrEnum):
    """What a step changes in Dixa."""

    PERSON = "person"
    CONVERSATION = "conversation"
    MESSAGE = "message"
    NOTES = "notes"
    TAGS = "tags"
    ATTRIBUTES = "attributes"
    TRANSFER = "transfer"
    CLOSE = "close"


# If one of these is refused, the steps after it are not sent (except after a message with --with-holes). If
# another kind is refused, only its own content is missing in Dixa, and the run goes on with the next step.
ESSENTIAL = frozenset({StepKind.CONVERSATION, StepKind.MESSAGE})
# These steps are idempotent.
SETTINGS = frozenset({StepKind.TAGS, StepKind.ATTRIBUTES, StepKind.TRANSFER, StepKind.CLOSE})


@dataclass(frozen=True, slots=True)
class Carried:
    """A message or a person that a step creates."""

    # The id of the message, or the key of the contact.
    key: str
    # Changes when the content changes.
    fingerprint: bytes = b""
    # How many attachments the message has.
    attachments: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One change in Dixa, made by one request."""

    kind: StepKind
    # Empty for a person.
    ticket_id: str
    # Unique among the steps of one kind in one ticket: the id of the message, the id of the first private
    # note, the key of the contact; empty for the other kinds.
    key: str
    # The messages or people that the request creates, in the order of the request. Empty for a conversation
    # without messages; the message itself for a message.
    carries: tuple[Carried, ...] = ()
    # Changes when the content of the request may change.
    fingerprint: bytes = b""
    # The identity of what the request creates, by which it is recognised when it is read back. Ids and
    # hashes, no texts.
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without host and token."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    # None if the body is not JSON.
    json: Any
    text: str = ""
    # None without the header.
    retry_after_seconds: float | None = None
    # Unix time by the host's clock; None without the header.
    date: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There was no response. `sent` says whether any byte of the request can have reached the host."""

    sent: bool
    reason: str
    # What the user must set first, if waiting cannot mend it; otherwise an empty string.
    hopeless: str = ""


Response = Answer | NoAnswer


class Verdict(StrEnum):
    """What a response proves, by what the caller does next. `AGAIN` proves that nothing was created."""

    CREATED = "created"
    AGAIN = "again"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    # A 403: either the token may not do this, or something refuses only this content.
    FORBIDDEN = "forbidden"
    MOVED = "moved"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message that a step carried, where it differs from the others."""

    state: State
    dixa_id: str | None = None
    reason: str = ""
    # How many attachments of the message Dixa rejected.
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the response to a request proves."""

    verdict: Verdict
    # The id of what was created.
    dixa_id: str | None = None
    # Why nothing was created, or not everything, in Dixa's own words.
    reason: str = ""
    retry_after_seconds: float | None = None
    # When the request was sent (Unix time).
    sent_at: float = 0.0
    # Whether Dixa created the conversation without a part of it.
    partial: bool = False
    # By message id, or by contact key where the request creates people.
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def state(self) -> State | None:
        """The state that the checkpoint records for the step; None if it is proved that nothing was created
        and the request may be sent again."""
        if self.verdict is Verdict.CREATED:
            return State.PARTIAL if self.partial else State.IMPORTED
        states = {
            Verdict.REFUSED: State.REJECTED,
            Verdict.IN_DOUBT: State.IN_DOUBT,
            Verdict.MOVED: State.IN_DOUBT,
        }
        return states.get(self.verdict)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step, or a message that another step carried, as the checkpoint stores it."""

    kind: StepKind
    key: str
    # None for an intent without an outcome: the run ended after it sent the request.
    state: State | None
    dixa_id: str | None
    fingerprint: bytes = b""
    reason: str = ""
    # How many attachments of the message Dixa rejected.
    refused: int = 0
    # When it was sent (Unix time).
    at: float = 0.0

    @property
    def done(self) -> bool:
        """Whether it is in Dixa."""
        return self.state in (State.IMPORTED, State.PARTIAL)


@dataclass(frozen=True, slots=True)
class TicketMemory:
    """What the checkpoint knows of a ticket."""

    steps: tuple[StepRecord, ...] = ()
    state: State | None = None
    # Whether a step was in doubt at some time and the conversation has not been read back since then to look
    # for duplicates.
    doubtful: bool = False
    # The creation of the conversation, if that was in doubt and the conversation was not found.
    suspect: "Doubt | None" = None

    @property
    def finished(self) -> bool:
        """Whether a run has imported the ticket completely or partially."""
        return self.state in (State.IMPORTED, State.PARTIAL)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A request whose outcome is not known."""

    kind: StepKind
    ticket_id: str
    key: str
    # As in Step.
    expected: Mapping[str, Any]
    # When it was sent for the first and for the last time (Unix time, this machine's clock).
    first_at: float
    last_at: float
    # The ids in Dixa of the ticket's other messages.
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TicketResult:
    """What became of one ticket in this run."""

    ticket_id: str
    state: State
    dixa_id: str | None
    # Counts by state. `imported` is the work of this run, `already_there` that of an earlier run.
    messages: Mapping[State, int]
    attachments: Mapping[State, int]
    reason: str = ""
    # The ids of the messages whose content has changed since the import; `ticket` for the ticket itself.
    changed: tuple[str, ...] = ()


def fingerprint(*content: object) -> bytes:
    """Eight bytes that change when the content changes. The separator is a character that texts do not
    contain."""
    text = "\x1f".join(["" if part is None else str(part) for part in content])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person as the checkpoint stores them."""

    # None if the request that creates the person was sent and its outcome is not known.
    state: State | None
    dixa_id: str | None
    reason: str
    # Unix time, in seconds.
    at: float
