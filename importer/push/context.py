"""What the pushing of conversations needs: the API, the network, the journal, and the options of the run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

from importer.dixa.api import Target
from importer.model import Doubt, State, TicketMemory
from importer.push.people import PeopleDirectory
from importer.push.reconcile import Settler
from importer.transport.exchange import Exchange, Journal


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


@dataclass(frozen=True, slots=True)
class PushContext:
    """What all conversations of a run share."""

    target: Target
    exchange: Exchange
    people: PeopleDirectory
    journal: TicketJournal
    settler: Settler
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
    # The user ids of requesters for whom a creation is still in doubt.
    doubted: set[str] = field(default_factory=set)
    # By the user id of the requester.
    locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def lock(self, requester: str) -> asyncio.Lock:
        """The lock to hold while a conversation of this requester is created or looked for."""
        lock = self.locks.get(requester)
        if lock is None:
            lock = self.locks[requester] = asyncio.Lock()
        return lock
