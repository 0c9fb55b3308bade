"""What is asked of every API that conversations can go to. Each is one module of this package that fits
`Api`; the rest of the program knows no path and no field of any."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from importer.errors import ProtocolError
from importer.migration.file import Migration
from importer.model import Answer, Contact, Conversation, Doubt, Ending, Judgement, Outcome, Request, Step

Item = Mapping[str, Any]

# How far Dixa's stamps and the Date of its answers may lie apart (several machines write them). Taking too
# much for possible costs a look; taking too little would double.
CLOCK_TOLERANCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Need:
    """Things of one sort that the migration names and the account must have.

    `entry` gives an item's id and all names by which a user may mean it. `lenient`: an account whose list
    shows no names at all (its fields are not documented) is taken to have everything.
    """

    what: str
    wanted: tuple[str, ...]
    listed: Request
    entry: Callable[[Item], tuple[str | None, Sequence[str]]]
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What was looked up. `ids` has, for each sort, the id of each thing wanted; `names` all that the account
    has of a sort, None where that could not be told.

    `agents` has the user id for each agent's contact key, the default agent's where Dixa does not know one;
    `replaced` are the keys for which it stands in, `unknown` those for which nothing does. `default_agent` is
    the default agent's id.
    """

    ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    names: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)
    default_agent: str | None = None
    replaced: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trait:
    """Something in which the APIs differ, in the words of the README's table; `lost` counts in how many
    places of a conversation it is a loss."""

    aspect: str
    how: str
    lost: Callable[[Any, Conversation], int] | None = None


class Target(Protocol):
    """The protocol of one API for one migration."""

    @property
    def ordered(self) -> bool:
        """Whether messages stand in the order in which they were sent, so that none can come before others
        later."""

    @property
    def not_added(self) -> str:
        """Why a message that no step carries cannot be added to a conversation that is there already."""

    def fingerprint(self, job: Conversation) -> bytes:
        """Changes when what is sent of the ticket itself does."""

    def steps(
        self,
        job: Conversation,
        *,
        created: bool = False,
        wanted: AbstractSet[str] | None = None,
        late: AbstractSet[str] = frozenset(),
    ) -> tuple[Step, ...]:
        """What must happen for one conversation, in order. Where it is `created` already: what can still be
        done for the messages `wanted` (ids; None for all), and what follows. Those that are `late` came to
        the ticket after its import was finished."""

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request:
        """The request of a step. `ids` has the user id of each customer's key, that of each agent's behind
        AGENT, and the conversation's under `conversation` once it exists."""

    def expected(self, step: Step, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """By what that which a request creates is told from others when it is read back: ids and hashes."""

    def marks(self, job: Conversation, ids: Mapping[str, str], sent: AbstractSet[str]) -> list[Any]:
        """By what each of the messages `sent` (ids) is counted when the conversation is read back for
        doubles: as `Api.mark` gives it of an item."""

    def losses(self, job: Conversation) -> Mapping[str, int]:
        """What this API cannot carry of a conversation, and how often."""


class Api(Protocol):
    """One API."""

    @property
    def TRAITS(self) -> tuple[Trait, ...]: ...  # noqa: N802 - a constant of the module

    @property
    def NEEDS_TIMES(self) -> bool:  # noqa: N802 - a constant of the module
        """Whether nothing can be sent without a time."""

    @property
    def HAS_EXTERNAL_IDS(self) -> bool:  # noqa: N802 - a constant of the module
        """Whether people can be known by an id of our own."""

    # What the account must have.

    def organization(self) -> Request | None:
        """Where the account says whose it is; None where it cannot be asked."""

    def needs(self, migration: Migration, /) -> tuple[Need, ...]: ...

    def agents(self) -> Request | None:
        """The list of all agents; None where they can only be asked for one by one, as people."""

    def contacts_of(self, agent: Item, /) -> tuple[list[str], str | None]:
        """The keys (Contact.key) by which an agent is known, and the name."""

    def target(self, migration: Migration, account: Account | None, /) -> Target:
        """The protocol; without an account, one that is good for counting steps."""

    # People.

    def find_person(self, contact: Contact, /) -> Request: ...

    def person_in(self, answer: Answer, contact: Contact, /) -> str | None: ...

    def create_person(self, contact: Contact, /) -> Request: ...

    def create_people(self, contacts: Sequence[Contact], /) -> Request | None:
        """Several people in one request; None where the API has none for that."""

    # Answers.

    def judge(self, ending: Ending, step: Step | None, /) -> Judgement:
        """What the ending of a step's request proves; of a request that only reads, where there is none."""

    def next_page(self, answer: Answer, base_url: str, /) -> Request | None: ...

    # Reading back.

    def conversations_of(self, requester_id: str, /) -> Request: ...

    def contents_of(self, dixa_id: str, /) -> Request:
        """The list by which a conversation is known again."""

    def listed(self, dixa_id: str, /) -> Request:
        """The list in which something may stand twice."""

    def could_be_conversation(self, item: Item, doubt: Doubt, /) -> bool:
        """Whether a conversation of the requester's has what never changes in common with the one in
        doubt."""

    def is_conversation(self, item: Item, contents: Sequence[Item], doubt: Doubt, /) -> bool | None:
        """Whether it is the one in doubt; None where that cannot be told."""

    def missing(self, item: Item, contents: Sequence[Item], doubt: Doubt, /) -> Judgement:
        """What a conversation whose creation was in doubt lacks of what was sent: `partial`, `reason` and
        `outcomes` as its answer would have said."""

    def found(self, items: Sequence[Item], doubt: Doubt, /) -> tuple[Mapping[str, Outcome], list[str]]:
        """Which of the messages in doubt stand in the list `listed`, and what stands there that may be one of
        them but cannot be told."""

    def setting_of(self, doubt: Doubt, /) -> Request:
        """Where to read what a setting is now."""

    def is_set(self, answer: Answer, doubt: Doubt, /) -> bool: ...

    def mark(self, item: Item, /) -> Any:
        """By what equal things of the list `listed` are counted; None where nothing is shown."""


def rows(answer: Answer) -> list[dict[str, Any]]:
    """The objects of a list answer. Raises ProtocolError where `data` is no list."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    if not isinstance(data, list):
        raise ProtocolError(f"a list was expected, but Dixa answered {answer.status}: {answer.text[:200]!r}")
    return [item for item in data if isinstance(item, dict)]


def created_id(answer: Answer) -> str | None:
    """The id in a creation's answer, or None where it is not to be found."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    value = data.get("id") if isinstance(data, dict) else None
    return str(value) if value not in (None, "") else None


def page(link: Any, base_url: str) -> Request | None:
    """The request behind a link to the next page; None where there is no link. It is followed as given, on
    the same origin only: the token must not travel elsewhere."""
    if not link:
        return None
    parts, home = urlsplit(str(link)), urlsplit(base_url)
    if parts.netloc and (parts.scheme, parts.netloc) != (home.scheme, home.netloc):
        raise ProtocolError(f"the next page lies on another host ({parts.netloc}); it is not followed")
    return Request("GET", parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)))


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


def text_mark(text: str) -> str:
    """A hash by which a text is known again, whatever was done to its blanks and line ends on the way."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()


def in_time(created_at: float | None, doubt: Doubt) -> bool:
    """What stood there before the request was sent, or came long after it, cannot have come of it. Compared
    by the host's clock; without its time, everything is in time."""
    offset = doubt.expected.get("offset")
    if offset is None or created_at is None:
        return True
    earliest = doubt.first_at + offset - CLOCK_TOLERANCE_SECONDS
    latest = doubt.last_at + offset + doubt.expected["latest"] + CLOCK_TOLERANCE_SECONDS
    return bool(earliest <= created_at <= latest)
