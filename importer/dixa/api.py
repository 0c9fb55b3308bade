"""The contract of an API, as the rest of the program uses it.

Each API is a package in this folder whose `__init__` implements `Api`. Code outside of such a package knows
no path and no field of an API. The contract is split by its callers: the account (push.account), people
(push.people), responses (transport.exchange) and reading back (push.reconcile). An operation that an API does
not have is None, so that no function exists only to raise.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

from importer.dixa.content import Content, Shown
from importer.dixa.matching import Item, Likeness, Match, Recognition, Sent
from importer.model import (
    Answer,
    Contact,
    Conversation,
    ConversationSettings,
    Doubt,
    Judgement,
    Request,
    Response,
    Step,
)


@dataclass(frozen=True, slots=True)
class Need:
    """Things of one kind that the migration names and that the account must have."""

    # What the kind is called in messages.
    what: str
    # The names or ids that the migration gives.
    wanted: tuple[str, ...]
    # The list of all things of this kind.
    request: Request
    # Returns the id of an item of that list, and every name that a user may use for it.
    entry: Callable[[Item], tuple[str | None, Sequence[str]]]
    # For a list whose fields are not documented: if it shows no names at all, everything is assumed to exist.
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What was looked up in the account before the first creation."""

    # By kind (Need.what): the id of each wanted name.
    ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # By kind (Need.what): the ids of everything that the account has; None if that is not known.
    names: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    # The user id by an agent's contact key; that of the default agent if Dixa does not know the agent.
    agents: Mapping[str, str] = field(default_factory=dict)
    # The user id of the default agent.
    default_agent: str | None = None
    # The contact keys of unknown agents whom the default agent replaces.
    replaced: tuple[str, ...] = ()
    # The contact keys of unknown agents for whom there is no replacement.
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentList:
    """The list of all agents, and how to read its items."""

    request: Request
    # Returns the contact keys of an agent (Contact.key), and the name.
    entry: Callable[[Item], tuple[list[str], str | None]]


@dataclass(frozen=True, slots=True)
class SettingCheck:
    """How to find out whether a conversation already has the setting of a step."""

    request: Request
    is_set: Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Trait:
    """An aspect in which the APIs differ. docs/apis.md has the same texts."""

    aspect: str
    how: str
    # Counts the losses in a conversation; None if this API loses nothing in this aspect.
    lost: Callable[[Any, Conversation], int] | None = None


class Target(Protocol):
    """The protocol of one API for one migration: what to send for a conversation, and in which order."""

    @property
    def ordered(self) -> bool:
        """Whether Dixa shows messages in the order in which they were sent, so that a message can only be
        added at the end."""

    @property
    def not_added(self) -> str:
        """The reason for a message that `steps` does not include for an existing conversation."""

    def fingerprint(self, job: Conversation) -> bytes:
        """Changes when the content of the conversation itself changes, without its messages."""

    def steps(
        self,
        job: Conversation,
        *,
        created: bool = False,
        wanted: AbstractSet[str] | None = None,
        late: AbstractSet[str] = frozenset(),
    ) -> tuple[Step, ...]:
        """The steps of one conversation, in order. If the conversation is `created` already: the steps for
        the messages `wanted` (ids; None for all) that can still be added, and the steps after them. The
        messages in `late` (ids) came to the ticket after its import was finished."""

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request:
        """The request of a step. `ids` has user ids by the contact keys of customers and, with the prefix
        AGENT, of agents. It has the id of the conversation as `conversation` once that exists."""

    def expected(self, step: Step, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """The identity of what a request creates, by which it is recognised when it is read back: ids, times
        and hashes, no texts."""

    def sent(self, job: Conversation, ids: Mapping[str, str], keys: AbstractSet[str]) -> Mapping[str, Sent]:
        """How the messages with these ids are recognised among `ReadingApi.additions_of`, where they have
        duplicates; by message id, in the order of the conversation. Messages that cannot have any are not
        included."""

    def is_unmistakable(self, step: Step, job: Conversation) -> bool:
        """Whether the creation of a conversation is recognised by ids that were sent, so that others for the
        same requester may be in doubt at the same time."""

    @property
    def openings(self) -> int:
        """How many messages the creation of a conversation brings in whose ids no response tells."""

    def losses(self, job: Conversation) -> Mapping[str, int]:
        """How much of a conversation this API cannot carry, counted by aspect (Trait)."""


class AccountApi(Protocol):
    """The account: what it must have before anything is created."""

    @property
    def TRAITS(self) -> tuple[Trait, ...]: ...  # noqa: N802 - a constant of the module

    @property
    def NEEDS_TIMES(self) -> bool:  # noqa: N802 - a constant of the module
        """Whether every conversation and message needs a time."""

    @property
    def HAS_EXTERNAL_IDS(self) -> bool:  # noqa: N802 - a constant of the module
        """Whether people can have an external id."""

    @property
    def ORGANIZATION(self) -> Request | None:  # noqa: N802 - a constant of the module
        """The request for the account's organization; None if the API has no such operation."""

    @property
    def AGENTS(self) -> AgentList | None:  # noqa: N802 - a constant of the module
        """The list of all agents; None if agents can only be looked up one by one, as people."""

    def needs(self, settings: ConversationSettings, /) -> tuple[Need, ...]:
        """What the account must have for these settings."""

    def target(self, settings: ConversationSettings, account: Account | None, /) -> Target:
        """The protocol. Without an account it has names in place of ids, which is enough to count steps."""


class PeopleApi(Protocol):
    """How people are looked up and created."""

    def find_person(self, contact: Contact, /) -> Request:
        """The look-up of a person by one address, or by the external id."""

    def person_in(self, users: Sequence[Item], contact: Contact, /) -> str | None:
        """The id of exactly this person among the users that `find_person` lists; None if it is none of
        them."""

    def create_person(self, contact: Contact, /) -> Request:
        """The creation of one person."""

    @property
    def create_people(self) -> Callable[[Sequence[Contact]], Request] | None:
        """The creation of several people in one request; None if the API has no such operation."""


class AnswersApi(Protocol):
    """What a response means."""

    def judge(self, response: Response, step: Step | None, /) -> Judgement:
        """What the response to the request of a step proves. `step` is None for a request that only reads."""

    def next_page(self, answer: Answer, base_url: str, path: str, /) -> Request | None:
        """The request for the page after this one of the list at `path`; None after the last page. Raises
        ProtocolError if the link leads to another host, Unreadable if it is no link."""


class ReadingApi(Protocol):
    """How to find out whether a request in doubt was carried out."""

    def conversations_of(self, requester_id: str, /) -> Request:
        """The list of a requester's conversations."""

    def messages_of(self, dixa_id: str, /) -> Request:
        """The list of messages by which a conversation is recognised."""

    def additions_of(self, dixa_id: str, /) -> Request:
        """The list of what is added to a conversation after its creation, which may have duplicates."""

    def could_be_conversation(self, item: Item, doubt: Doubt, /) -> bool:
        """Whether one of the requester's conversations has the same unchangeable properties as the one in
        doubt."""

    def likeness(self, item: Item, messages: Sequence[Item], doubt: Doubt, /) -> Likeness:
        """Whether a conversation with these messages is the one in doubt."""

    def lacking(self, item: Item, messages: Sequence[Item], doubt: Doubt, /) -> Judgement:
        """What the conversation lacks of what was sent. `partial`, `reason` and `outcomes` are what the
        response to its creation would have reported."""

    def match(self, items: Sequence[Item], doubt: Doubt, /) -> Match:
        """Which of the messages in doubt are among the items of `additions_of`."""

    def could_be_ticket(self, item: Item, expected: Mapping[str, Any], /) -> bool:
        """As `could_be_conversation`, whenever the conversation was created. `expected` as
        Target.expected."""

    def recognise(
        self,
        item: Item,
        messages: Sequence[Item],
        step: Step,
        sent: Mapping[str, Sent],
        /,
    ) -> Recognition:
        """Whether a conversation is the one that a step creates, whenever it was created, and which of the
        messages `sent` were added to it. The step has what is expected. CERTAIN: it holds what
        was sent, and nothing else; PROBABLE: it is, unless that is another ticket's."""

    def is_changed_since(self, item: Item, step: Step, /) -> bool:
        """Whether a conversation has the setting of a step, or was changed in that respect since its
        creation. False if it does not show that."""

    @property
    def setting(self) -> Callable[[Doubt], SettingCheck] | None:
        """How to check a step that sets something; None if the API has no such steps."""

    def duplicates(
        self, items: Sequence[Item], known: Collection[str], sent: Sequence[Sent], openings: int, /
    ) -> Mapping[str, bool]:
        """The items of `additions_of` that the import seems to have created and whose ids are not `known`, by
        id; False where it may also have been somebody else. `openings` as in Target."""


class ContentApi(Protocol):
    """What a conversation says, as it was sent and as Dixa shows it, to compare both."""

    def conversation_of(self, dixa_id: str, /) -> Request:
        """One conversation."""

    @property
    def tags_of(self) -> Callable[[str], Request] | None:
        """The list of a conversation's tags; None if the API does not show them."""

    def sent_content(
        self, target: Any, job: Conversation, ids: Mapping[str, str], added: Collection[str], /
    ) -> Content:
        """What the requests of a conversation say. `target` is of this API, `ids` as in `Target.request`,
        `added` the ids of messages that were added after its creation."""

    def held(self, target: Any, shown: Shown, /) -> Content:
        """What Dixa shows of a conversation. Raises what other shapes than the documented ones raise."""


class Api(AccountApi, PeopleApi, AnswersApi, ReadingApi, ContentApi, Protocol):
    """The complete contract of one API."""


def lists_additions(api: Api) -> bool:
    """Whether what is added to a conversation is among its messages; otherwise it has a list of its own."""
    return api.additions_of("") == api.messages_of("")
