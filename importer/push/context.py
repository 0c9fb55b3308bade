"""What the pushing of conversations needs: the API, the network, the journal, and the options of the run."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from importer.dixa.api import Target
from importer.model import Doubt, State, TicketMemory
from importer.push.people import PeopleDirectory
from importer.push.reconcile import Settler
from importer.transport.exchange import Exchange, Journal

T = TypeVar("T")


class Slots:
    """How many conversations are sent at the same time. One that waits gives its slot to another."""

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)

    async def take(self) -> None:
        """Wait for a slot."""
        await self._free.acquire()

    def give(self) -> None:
        """Give the slot back."""
        self._free.release()

    async def without(self, waiting: Awaitable[T]) -> T:
        """Wait for something without a slot. The caller has one, and has one again afterwards."""
        self.give()
        try:
            return await waiting
        finally:
            await self.take()


class TicketJournal(Journal, Protocol):
    """A journal that also records tickets."""

    def begin(self, ticket_id: str) -> None: ...

    def end(
        self,
        ticket_id: str,
        state: State,
        *,
        dixa_id: str | None,
        reason: str = "",
        doubles: Sequence[str] | None = None,
        source_hash: int | None = None,
    ) -> None: ...

    async def flush(self) -> None: ...


@dataclass(slots=True)
class Allowance:
    """A limit on the number of tickets that a run begins."""

    # How many more tickets may be begun; None for no limit.
    tickets: int | None = None
    # Whether a ticket was not begun because of the limit.
    spent: bool = False

    def take(self) -> bool:
        """Whether one more ticket may be begun; if so, it is counted."""
        if self.tickets is None:
            return True
        self.spent = self.spent or self.tickets <= 0
        self.tickets -= 1
        return self.tickets >= 0


@dataclass(frozen=True, slots=True)
class PushOptions:
    """The options of a run that concern the pushing of conversations."""

    # Send the messages after a refused message.
    with_holes: bool = False
    # Try only tickets that failed, are partial or were rejected; rejected ones also if their content has not
    # changed.
    again: bool = False
    # Send nothing if an agent is unknown.
    strict: bool = False
    # How long to wait before Dixa is asked whether a request in doubt was carried out.
    grace_seconds: float = 5.0
    # How long after it was sent Dixa may still carry out a request.
    latest_seconds: float = 65.0
    # How long to wait for lists that are behind.
    patience_seconds: float = 900.0
    # What to do with files that Dixa cannot fetch: link, leave or reject (push.unfetchable).
    unfetchable: str = "link"
    # With a new checkpoint, import also what Dixa holds of this export already.
    from_scratch: bool = False


@dataclass(frozen=True, slots=True)
class PushContext:
    """What all conversations of a run share."""

    target: Target
    exchange: Exchange
    people: PeopleDirectory
    journal: TicketJournal
    settler: Settler
    slots: Slots
    # What the checkpoint knows of some tickets. It is called in a thread, so it may block.
    remembered: Callable[[Sequence[str]], Mapping[str, TicketMemory]]
    # The user id by an agent's contact key, resolved before the run.
    agents: Mapping[str, str]
    options: PushOptions
    allowance: Allowance
    # Unix time, in seconds.
    clock: Callable[[], float]
    # The creations of conversations that were in doubt when the run began, by ticket id.
    settled: Mapping[str, Doubt] = field(default_factory=dict)
    # The user ids of requesters for whom a creation is still in doubt that nothing but text and time can tell
    # from others.
    doubted: set[str] = field(default_factory=set)
    # By user id of the requester: how many of the other creations are in flight.
    under_way: Counter[str] = field(default_factory=Counter)
    # By the user id of the requester.
    locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    @asynccontextmanager
    async def creating(self, requester: str, *, alone: bool) -> AsyncIterator[None]:
        """Hold this while a conversation of this requester is created or looked for; `alone`, if no other one
        may be in flight meanwhile."""
        if not alone:
            self.under_way[requester] += 1
            try:
                yield
            finally:
                self.under_way[requester] -= 1
            return
        lock = self.locks.get(requester)
        if lock is None:
            lock = self.locks[requester] = asyncio.Lock()
        await self.slots.without(lock.acquire())
        try:
            yield
        finally:
            lock.release()
