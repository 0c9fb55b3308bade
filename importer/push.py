"""Runs conversations, several at once, the steps of one in order. Knows no HTTP and no disk.

Steps that the checkpoint has as done are not repeated. A step that is in doubt holds its conversation back:
nothing more of it is sent until the doubt is settled.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from importer.exchange import Exchange, Journal
from importer.model import (
    Conversation,
    Judgement,
    Request,
    State,
    Step,
    StepKind,
    StepRecord,
    TicketResult,
    Verdict,
)
from importer.pace import Stopped
from importer.people import People

BATCH = 200
_VERDICT_STATES = {
    Verdict.REFUSED: State.REJECTED,
    Verdict.IN_DOUBT: State.IN_DOUBT,
    Verdict.AGAIN: State.FAILED,
}


class Target(Protocol):
    """The protocol of one API."""

    def steps(self, job: Conversation) -> tuple[Step, ...]: ...

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request: ...


class TicketJournal(Journal, Protocol):
    """A journal that also knows tickets."""

    def begin(self, ticket_id: str) -> None: ...

    def end(self, ticket_id: str, state: State, *, dixa_id: str | None, reason: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Pusher:
    """What a push works with. `remembered` gives the steps already known of some tickets and may take its
    time (it is asked in a thread); `agents` has the user id for each agent's key, resolved beforehand."""

    target: Target
    exchange: Exchange
    people: People
    journal: TicketJournal
    remembered: Callable[[Sequence[str]], Mapping[str, Sequence[StepRecord]]]
    agents: Mapping[str, str]
    with_holes: bool = False

    async def push(self, jobs: Iterable[Conversation], *, workers: int) -> AsyncIterator[TicketResult]:
        """The result of each job, as it ends. Jobs that a stop or a failure of the run keeps from starting
        give none. Raises the first failure of the run, after those under way have ended."""
        waiting: asyncio.Queue[tuple[Conversation, Sequence[StepRecord]] | None] = asyncio.Queue(2 * workers)
        results: asyncio.Queue[TicketResult | None] = asyncio.Queue()
        failures: list[BaseException] = []

        async def feed() -> None:
            try:
                source = iter(jobs)
                while not self.exchange.pace.stopped:
                    batch = await asyncio.to_thread(lambda: list(islice(source, BATCH)))
                    if not batch:
                        return
                    known = await asyncio.to_thread(self.remembered, [job.ticket_id for job in batch])
                    for job in batch:
                        await waiting.put((job, known.get(job.ticket_id, ())))
            except BaseException as error:
                fail(error)
                raise
            finally:
                for _ in range(workers):
                    await waiting.put(None)

        async def work() -> None:
            while (item := await waiting.get()) is not None:
                if self.exchange.pace.stopped:
                    continue
                try:
                    results.put_nowait(await _Run(self, *item).run())
                except Exception as error:
                    fail(error)

        def fail(error: BaseException) -> None:
            failures.append(error)
            self.exchange.pace.stop()

        async def all_of_it() -> None:
            try:
                await asyncio.gather(feed(), *(work() for _ in range(workers)))
            finally:
                results.put_nowait(None)

        whole = asyncio.create_task(all_of_it())
        try:
            while (result := await results.get()) is not None:
                yield result
        finally:
            whole.cancel()
            await asyncio.wait([whole])
        if failures:
            raise failures[0]


@dataclass(slots=True)
class _Run:
    """One job under way."""

    pusher: Pusher
    job: Conversation
    records: Sequence[StepRecord]
    states: dict[str, State] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    held: str = ""

    async def run(self) -> TicketResult:
        steps = self.pusher.target.steps(self.job)
        known = {(record.kind, record.key): record for record in self.records}
        todo = [step for step in steps if not self._settled(step, known.get((step.kind, step.key)))]
        if self.held:
            return self._result(State.IN_DOUBT, self.held)
        if any(state is State.REJECTED for state in self.states.values()) and not self.pusher.with_holes:
            return self._result(State.REJECTED, self._old_reason(known))
        if not todo:
            return self._result(State.ALREADY_THERE, "")
        try:
            return await self._send(todo)
        except Stopped:
            return self._result(State.LEFT, "stopped", ended=False)

    def _settled(self, step: Step, record: StepRecord | None) -> bool:
        """Whether the checkpoint already says what became of a step; takes over what it says."""
        if record is None:
            return False
        if record.state in (None, State.IN_DOUBT):
            what = f"message {step.key}" if step.kind is StepKind.MESSAGE else step.kind.value
            self.held = f"{what}: sent, and it is unknown whether Dixa created it"
            self._mark(step, State.IN_DOUBT)
            return True
        if record.state is State.REJECTED and record.fingerprint == step.fingerprint:
            self._mark(step, State.REJECTED)
            return True
        if record.state is State.IMPORTED:
            self._mark(step, State.ALREADY_THERE)
            if step.kind is StepKind.CONVERSATION and record.dixa_id:
                self.ids["conversation"] = record.dixa_id
            return True
        return False

    async def _send(self, todo: list[Step]) -> TicketResult:
        self.pusher.journal.begin(self.job.ticket_id)
        if problem := await self._meet_everybody():
            return self._result(*problem)
        reason = ""
        for step in todo:
            request = self.pusher.target.request(step, self.job, self.ids)
            judgement = await self.pusher.exchange.create(step, request)
            if judgement.verdict is Verdict.CREATED:
                self._created(step, judgement)
                continue
            state = _VERDICT_STATES[judgement.verdict]
            self._mark(step, state)
            reason = f"{step.kind} {step.key}".strip() + f": {judgement.reason}"
            hole = state is State.REJECTED and step.kind is StepKind.MESSAGE and self.pusher.with_holes
            if not hole:
                return self._result(state, reason)
        return self._result(State.PARTIAL if reason else State.IMPORTED, reason)

    def _created(self, step: Step, judgement: Judgement) -> None:
        self._mark(step, State.IMPORTED)
        if step.kind is StepKind.CONVERSATION and judgement.dixa_id:
            self.ids["conversation"] = judgement.dixa_id

    async def _meet_everybody(self) -> tuple[State, str] | None:
        """The ids of the requester and of every author; what to say where one cannot be had."""
        agents = {m.author.key for m in self.job.messages if m.by_agent and m.author and m.author.key}
        for agent in sorted(agents):
            if agent not in self.pusher.agents:
                return State.REJECTED, f"author_unknown: Dixa knows no agent {agent.partition(':')[2]}"
            self.ids[agent] = self.pusher.agents[agent]
        authors = (message.author for message in self.job.messages if message.author)
        for contact in (self.job.requester, *authors):
            if (key := contact.key) is None or key in self.ids:
                continue
            person = await self.pusher.people.get(contact)
            if person.dixa_id is None:
                return person.state, f"person {key}: {person.reason}"
            self.ids[key] = person.dixa_id
        return None

    def _mark(self, step: Step, state: State) -> None:
        for message_id in step.carries:
            self.states[message_id] = state

    def _old_reason(self, known: Mapping[tuple[StepKind, str], StepRecord]) -> str:
        refused = (r for r in known.values() if r.state is State.REJECTED)
        return next((f"{r.kind} {r.key}".strip() + f": {r.reason}" for r in refused), "")

    def _result(self, state: State, reason: str, *, ended: bool = True) -> TicketResult:
        dixa_id = self.ids.get("conversation")
        if ended and state is not State.ALREADY_THERE:
            self.pusher.journal.end(self.job.ticket_id, state, dixa_id=dixa_id, reason=reason)
        # A ticket that did not get through keeps its untried messages as left.
        messages = Counter(self.states.get(m.message_id, State.LEFT) for m in self.job.messages)
        attachments: Counter[State] = Counter()
        for message in self.job.messages:
            attachments[self.states.get(message.message_id, State.LEFT)] += len(message.attachments)
        return TicketResult(self.job.ticket_id, state, dixa_id, messages, attachments, reason)
