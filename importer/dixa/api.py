"""What the rest of the program asks of every API that conversations can go to.

Each API is one package beside this file whose `__init__` fits `Api`. Nothing outside of such a package knows
a path or a field of an API. The contract is split by who asks: what the account must have (push.account),
people (push.people), answers (transport.exchange), and reading back (push.reconcile). What an API does not
have is None, so that no function exists only to raise.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

from importer.dixa.matching import Item
from importer.model import (
    Answer,
    Contact,
    Conversation,
    ConversationSettings,
    Doubt,
    Judgement,
    Outcome,
    Request,
    Response,
    Step,
)


@dataclass(frozen=True, slots=True)
class Need:
    """Things of one sort that the migration names and that the account must have."""

    # What the sort is called in messages.
    what: str
    # The names or ids that the migration gives.
    wanted: tuple[str, ...]
    # The list that has everything of this sort.
    request: Request
    # Of an item of that list: its id, and every name by which a user may mean it.
    entry: Callable[[Item], tuple[str | None, Sequence[str]]]
    # A list that shows no names at all, since its fields are not documented, is taken to have everything.
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What was looked up in the account before the first creation."""

    # By sort: the id of each wanted name.
    ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # By sort: everything that the account has; None where that is not known.
    names: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    # The user id for each agent's contact key; the default agent's where Dixa does not know the agent.
    agents: Mapping[str, str] = field(default_factory=dict)
    # The default agent's user id.
    default_agent: str | None = None
    # The keys of agents whom the default agent replaces.
    replaced: tuple[str, ...] = ()
    # The keys of agents whom nobody replaces.
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentList:
    """The list of all agents, and how to read one."""

    request: Request
    # Of an item: the keys (Contact.key) by which the agent is known, and the name.
    entry: Callable[[Item], tuple[list[str], str | None]]


@dataclass(frozen=True, slots=True)
class SettingCheck:
    """How to find out whether a conversation already is as a step would make it."""

    request: Request
    is_set: Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Trait:
    """An aspect in which the APIs differ, in the words of docs/apis.md."""

    aspect: str
    how: str
    # In how many places of a conversation it is a loss; None where it never is one.
    lost: Callable[[Any, Conversation], int] | None = None


class Target(Protocol):
    """The protocol of one API for one migration: what to send for a conversation, in which order."""

    @property
    def ordered(self) -> bool:
        """Whether Dixa shows messages in the order in which they were sent, so that no message can be put
        before another one later."""

    @property
    def not_added(self) -> str:
        """Why a message that no step carries cannot be added to a conversation that exists."""

    def fingerprint(self, job: Conversation) -> bytes:
        """Changes when what is sent of the ticket itself changes."""

    def steps(
        self,
        job: Conversation,
        *,
        created: bool = False,
        wanted: AbstractSet[str] | None = None,
        late: AbstractSet[str] = frozenset(),
    ) -> tuple[Step, ...]:
        """The steps of one conversation, in order. Of a conversation that is `created`: what can still be
        done for the messages `wanted` (ids; None for all), and what follows. The messages in `late` came to
        the ticket after its import was finished."""

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request:
        """The request of a step. `ids` has the user id of each customer's key, that of each agent's key
        behind AGENT, and the conversation's id under `conversation` once it exists."""

    def expected(self, step: Step, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """What a created thing is known by when it is read back: ids, times and hashes, no texts."""

    def identities(self, job: Conversation, ids: Mapping[str, str], sent: AbstractSet[str]) -> list[Any]:
        """What each of the messages `sent` (ids) is known by when the conversation is read back to look for
        doubles; the same as `ReadingApi.identity` of an item."""

    def losses(self, job: Conversation) -> Mapping[str, int]:
        """How often this API cannot carry something of a conversation, by aspect (Trait)."""


class AccountApi(Protocol):
    """What the account must have before anything is created."""

    @property
    def TRAITS(self) -> tuple[Trait, ...]: ...  # noqa: N802 - a constant of the module

    @property
    def NEEDS_TIMES(self) -> bool:  # noqa: N802 - a constant of the module
        """Whether nothing can be sent without a time."""

    @property
    def HAS_EXTERNAL_IDS(self) -> bool:  # noqa: N802 - a constant of the module
        """Whether people can be known by an id of our own."""

    @property
    def ORGANIZATION(self) -> Request | None:  # noqa: N802 - a constant of the module
        """Where the account says which organization it belongs to; None where no operation does."""

    @property
    def AGENTS(self) -> AgentList | None:  # noqa: N802 - a constant of the module
        """None where agents can only be looked up one by one, as people."""

    def needs(self, settings: ConversationSettings, /) -> tuple[Need, ...]: ...

    def target(self, settings: ConversationSettings, account: Account | None, /) -> Target:
        """The protocol; without an account, one that is good for counting steps."""


class PeopleApi(Protocol):
    """How people are looked up and created."""

    def find_person(self, contact: Contact, /) -> Request: ...

    def person_in(self, answer: Answer, contact: Contact, /) -> str | None:
        """The id of exactly this person in the answer to `find_person`."""

    def create_person(self, contact: Contact, /) -> Request: ...

    @property
    def create_people(self) -> Callable[[Sequence[Contact]], Request] | None:
        """Several people in one request; None where the API has no such operation."""


class AnswersApi(Protocol):
    """What an answer means."""

    def judge(self, response: Response, step: Step | None, /) -> Judgement:
        """What the response to a step's request proves; to a request that only reads, where step is None."""

    def next_page(self, answer: Answer, base_url: str, /) -> Request | None:
        """The request for the page after this one; None at the end. Raises ProtocolError for a link to
        another host."""


class ReadingApi(Protocol):
    """How to find out whether something that is in doubt was created."""

    def conversations_of(self, requester_id: str, /) -> Request: ...

    def messages_of(self, dixa_id: str, /) -> Request:
        """The list by which a conversation is known again."""

    def additions_of(self, dixa_id: str, /) -> Request:
        """The list of what is added to a conversation after its creation, in which something may stand
        twice."""

    def could_be_conversation(self, item: Item, doubt: Doubt, /) -> bool:
        """Whether one of the requester's conversations agrees with the one in doubt in what never changes."""

    def is_conversation(self, item: Item, messages: Sequence[Item], doubt: Doubt, /) -> bool | None:
        """Whether it is the one in doubt; None where that cannot be decided."""

    def lacking(self, item: Item, messages: Sequence[Item], doubt: Doubt, /) -> Judgement:
        """What a conversation whose creation was in doubt lacks of what was sent: `partial`, `reason` and
        `outcomes` as the answer to its creation would have said."""

    def match(self, items: Sequence[Item], doubt: Doubt, /) -> tuple[Mapping[str, Outcome], list[str]]:
        """Which of the messages in doubt are among `additions_of`; and the ids of those that may be one of
        them, where that cannot be decided."""

    @property
    def setting(self) -> Callable[[Doubt], SettingCheck] | None:
        """How to check a step that sets something; None where the API has no such steps."""

    def identity(self, item: Item, /) -> Any:
        """What an item of `additions_of` is known by; None where it shows nothing."""


class Api(AccountApi, PeopleApi, AnswersApi, ReadingApi, Protocol):
    """One API."""
