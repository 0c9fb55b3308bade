"""What pushing conversations needs: the API, the network, the journal, and the options of the run."""

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
    """A journal that also knows tickets."""

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
    """How many more tickets may be begun; None for any number. `spent` once one could not be."""

    tickets: int | None = None
    spent: bool = False

    def take(self) -> bool:
        if self.tickets is None:
            return True
        self.spent = self.spent or self.tickets <= 0
        self.tickets -= 1
        return self.tickets >= 0


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How to push."""

    # A refused message does not hold back the ones after it.
    with_holes: bool = False
    # Only tickets that failed, lack something or were refused are tried; the latter also where their content
    # is the same.
    again: bool = False
    # Nothing is sent where an agent is unknown.
    strict: bool = False
    # How long to wait before Dixa is asked about a request in doubt.
    grace_seconds: float = 5.0
    # How long after its sending a request can still be carried out.
    latest_seconds: float = 65.0


@dataclass(frozen=True, slots=True)
class PushContext:
    """What every conversation of a run shares."""

    target: Target
    exchange: Exchange
    people: PeopleDirectory
    journal: TicketJournal
    settler: Settler
    # What the checkpoint knows of some tickets. Asked in a thread, so it may take its time.
    remembered: Callable[[Sequence[str]], Mapping[str, TicketMemory]]
    # The user id for each agent's key, resolved beforehand.
    agents: Mapping[str, str]
    options: PushOptions
    allowance: Allowance
    # Unix time, in seconds.
    clock: Callable[[], float]
    # The creations of conversations that were in doubt when the run began, by ticket.
    settled: Mapping[str, Doubt] = field(default_factory=dict)
    # The requesters of whom a creation is still in doubt.
    doubted: set[str] = field(default_factory=set)
    locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def lock(self, requester: str) -> asyncio.Lock:
        """Held while a conversation of this requester is created or looked for."""
        lock = self.locks.get(requester)
        if lock is None:
            lock = self.locks[requester] = asyncio.Lock()
        return lock
