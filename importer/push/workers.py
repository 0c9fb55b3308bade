"""Runs conversations, several at once, the steps of one in order. Knows no HTTP and no disk.

Steps that the checkpoint has as done are not repeated. A step in doubt is settled before anything else of its
conversation; while it cannot be, the conversation is held. At most one creation per requester is under way
or in doubt at a time, also across conversations, so that what is read back can be told apart.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol
from weakref import WeakValueDictionary

from importer.dixa.api import Target
from importer.model import (
    AGENT,
    ESSENTIAL,
    Contact,
    Conversation,
    Doubt,
    Judgement,
    State,
    Step,
    StepKind,
    TicketMemory,
    TicketResult,
    Verdict,
)
from importer.push.people import People
from importer.push.reconcile import Found, Settler, put_down
from importer.push.remaining_steps import Outstanding
from importer.transport.exchange import Exchange, Journal, NotRead
from importer.transport.pace import Stopped

BATCH = 50
_VERDICT_STATES = {
    Verdict.REFUSED: State.REJECTED,
    Verdict.IN_DOUBT: State.IN_DOUBT,
    Verdict.AGAIN: State.FAILED,
}
ANOTHER_IN_DOUBT = "another creation for the same requester is in doubt"
REASONS_SHOWN = 20


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
        mark: int | None = None,
    ) -> None: ...

    async def flush(self) -> None: ...


@dataclass(slots=True)
class Allowance:
    """How many more tickets may be begun; None for any number. `spent` once one had to stay."""

    tickets: int | None = None
    spent: bool = False

    def take(self) -> bool:
        if self.tickets is None:
            return True
        self.spent = self.spent or self.tickets <= 0
        self.tickets -= 1
        return self.tickets >= 0


@dataclass(frozen=True, slots=True)
class Options:
    """`with_holes`: a refused message does not hold back the ones after it. `again`: only tickets that failed
    or were refused are tried, these also where their content is the same. `strict`: nothing is sent where an
    agent is unknown. `latest_seconds` is how long after its sending a request can still be carried out."""

    with_holes: bool = False
    again: bool = False
    strict: bool = False
    grace_seconds: float = 5.0
    latest_seconds: float = 65.0


@dataclass(frozen=True, slots=True)
class Pusher:
    """What a push works with. `remembered` gives what is known of some tickets and may take its time (it is
    asked in a thread); `agents` has the user id for each agent's key, resolved beforehand; `settled` are the
    creations of conversations that were in doubt when the run began, `doubted` the requesters of whom one
    still is."""

    target: Target
    exchange: Exchange
    people: People
    journal: TicketJournal
    settler: Settler
    remembered: Callable[[Sequence[str]], Mapping[str, TicketMemory]]
    agents: Mapping[str, str]
    options: Options
    allowance: Allowance
    clock: Callable[[], float]
    settled: Mapping[str, Doubt] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def push(self, jobs: Iterable[Conversation], *, workers: int) -> AsyncGenerator[TicketResult, None]:
        """The result of each job, as it ends. Jobs that a stop or a failure of the run keeps from starting
        give none. Raises the first failure of the run, after those under way have ended."""
        waiting: asyncio.Queue[tuple[Conversation, TicketMemory] | None] = asyncio.Queue(2 * workers)
        results: asyncio.Queue[TicketResult | None] = asyncio.Queue()
        failures: list[BaseException] = []

        def fail(error: BaseException) -> None:
            failures.append(error)
            self.exchange.pace.stop()

        async def feed() -> None:
            try:
                async for item in self._remembering(jobs):
                    await waiting.put(item)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # polars' panics are no Exception
                fail(error)
            finally:
                for _ in range(workers):
                    await waiting.put(None)

        async def work() -> None:
            while (item := await waiting.get()) is not None:
                if self.exchange.pace.stopped:
                    continue
                job = _Run(self, *item)
                try:
                    results.put_nowait(await job.run())
                except Exception as error:
                    fail(error)
                    results.put_nowait(job.cut_short())

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

    def lock(self, requester: str) -> asyncio.Lock:
        """Held while a conversation of this requester is created, or looked for."""
        lock = self.locks.get(requester)
        if lock is None:
            lock = self.locks[requester] = asyncio.Lock()
        return lock

    async def _remembering(
        self, jobs: Iterable[Conversation]
    ) -> AsyncIterator[tuple[Conversation, TicketMemory]]:
        source = iter(jobs)
        while not self.exchange.pace.stopped and not self.allowance.spent:
            batch = await asyncio.to_thread(list, islice(source, BATCH))
            if not batch:
                return
            known = await asyncio.to_thread(self.remembered, [job.ticket_id for job in batch])
            if self.allowance.tickets is None:
                await self.people.meet(self._newcomers(batch, known))
            for job in batch:
                yield job, known.get(job.ticket_id, TicketMemory())

    def _newcomers(
        self, batch: Sequence[Conversation], known: Mapping[str, TicketMemory]
    ) -> Iterator[Contact]:
        """The customers of tickets that are not in Dixa yet and will be tried."""
        for job in batch:
            memory = known.get(job.ticket_id, TicketMemory())
            if memory.steps or (self.options.again and memory.state is None):
                continue
            if any(m.by_agent and m.author and m.author.key not in self.agents for m in job.messages):
                continue
            yield job.requester
            yield from (m.author for m in job.messages if m.author and not m.by_agent)


@dataclass(slots=True)
class _Run:
    """One job under way. `due` is what was still to be sent when it began, and then what became of it."""

    pusher: Pusher
    job: Conversation
    memory: TicketMemory
    due: Outstanding = field(init=False)
    ids: dict[str, str] = field(default_factory=dict)
    new_messages: set[str] = field(default_factory=set)
    doubtful: bool = False
    open_doubt: bool = False
    creation: Doubt | None = None

    def __post_init__(self) -> None:
        options = self.pusher.options
        self.due = Outstanding(
            self.job, self.memory, self.pusher.target, with_holes=options.with_holes, again=options.again
        )

    async def run(self) -> TicketResult:
        self.doubtful = self.memory.doubtful
        self.creation = self.pusher.settled.get(self.job.ticket_id, self.memory.suspect)
        due = self.due
        due.find()
        if due.dixa_id:
            self.ids["conversation"] = due.dixa_id
        if due.held:
            return self._result(State.IN_DOUBT, due.held)
        if due.is_refused:
            return self._result(State.REJECTED, due.refusal or _joined(due.lacks))
        if not due.steps and not self.doubtful:
            return self._result(State.ALREADY_THERE, _joined(due.lacks))
        retried = (State.FAILED, State.REJECTED, State.PARTIAL)
        if self.pusher.options.again and self.memory.state not in retried:
            return self._result(State.LEFT, "")
        if not self.pusher.allowance.take():
            return self._result(State.LEFT, "")
        try:
            return await self._send(due.steps)
        except Stopped:
            return self.cut_short()
        except NotRead as error:
            return self._result(State.FAILED, str(error))

    def cut_short(self) -> TicketResult:
        """What is known where the run ends in the middle of this job."""
        return self._result(State.IN_DOUBT if self.open_doubt else State.LEFT, "stopped", ended=False)

    async def _send(self, todo: list[Step]) -> TicketResult:
        self.pusher.journal.begin(self.job.ticket_id)
        if problem := await self._meet_everybody():
            return self._result(*problem)
        waiting = deque(todo)
        while waiting:
            judgement, step = await self._create(waiting.popleft())
            if judgement.verdict is Verdict.CREATED:
                continue
            if judgement.verdict is Verdict.REFUSED and len(step.carries) > 1 and step.kind is StepKind.NOTES:
                # One that Dixa does not want must not keep out the others.
                self.pusher.journal.withdraw(step)
                waiting.extendleft(reversed(_halves(step)))
                continue
            state = _VERDICT_STATES[judgement.verdict]
            self.due.mark(step, state)
            what = f"{step.kind} {step.key}" if step.kind is StepKind.MESSAGE else str(step.kind)
            reason = f"{what}: {judgement.reason}"
            dispensable = step.kind not in ESSENTIAL or (
                step.kind is StepKind.MESSAGE and self.pusher.options.with_holes
            )
            if state is not State.REJECTED or not dispensable:
                return self._result(state, reason)
            self.due.lacks.append(reason)
        doubles = await self._read_back() if self.doubtful else None
        state = State.PARTIAL if self.due.lacks else State.IMPORTED
        if not todo:
            state = State.ALREADY_THERE
        return self._result(state, _joined([*self.due.lacks, *(doubles or ())]), doubles=doubles)

    async def _create(self, step: Step) -> tuple[Judgement, Step]:
        """Send a step until it is known what became of it, or until it cannot be known; with what of it that
        is true of."""
        requester = self.ids[self.job.requester.key or ""]
        if step.kind is StepKind.CONVERSATION:
            async with self.pusher.lock(requester):
                if requester in self.pusher.doubted:
                    return Judgement(Verdict.AGAIN, reason=ANOTHER_IN_DOUBT), step
                found = await self._come_after_all(step)
                judgement, step = found or await self._create_and_settle(step)
                if judgement.verdict is Verdict.IN_DOUBT:
                    self.pusher.doubted.add(requester)
                return judgement, step
        return await self._create_and_settle(step)

    async def _come_after_all(self, step: Step) -> tuple[Judgement, Step] | None:
        """What an earlier run sent and did not find may have come since."""
        if self.creation is None:
            return None
        await self.pusher.journal.flush()
        settlement = await self.pusher.settler.settle(self.creation, [c.key for c in step.carries])
        if settlement.found is Found.NOTHING:
            return None
        await self.pusher.journal.intend(replace(step, expected=self.creation.expected))
        put_down(self.pusher.journal, step, self.creation, settlement, settlement.evidence)
        if settlement.found is Found.AMBIGUOUS:
            return Judgement(Verdict.IN_DOUBT, reason=settlement.evidence), step
        self._take(step, settlement.judgement)
        return settlement.judgement, step

    async def _create_and_settle(self, step: Step) -> tuple[Judgement, Step]:
        first_at = self.pusher.clock()
        for _ in range(self.pusher.exchange.patience.attempts):
            request = self.pusher.target.request(step, self.job, self.ids)
            expected = self.pusher.target.expected(step, request, self.ids)
            if step.kind is StepKind.MESSAGE:
                expected["twins"] = sum(self._expected(key) == expected for key in self.due.carried)
            expected["offset"] = self.pusher.exchange.clock_offset()
            expected["latest"] = self.pusher.options.latest_seconds
            marked = replace(step, expected=expected)
            judgement = await self.pusher.exchange.create(marked, request)
            if judgement.verdict is Verdict.IN_DOUBT:
                judgement, step = await self._settle(marked, first_at, judgement)
            elif judgement.verdict is Verdict.CREATED:
                self._take(step, judgement)
            if judgement.verdict is not Verdict.AGAIN:
                break
        return judgement, step

    def _take(self, step: Step, judgement: Judgement) -> None:
        """What a step has brought in."""
        if step.kind is StepKind.CONVERSATION and judgement.dixa_id:
            self.ids["conversation"] = judgement.dixa_id
            self.due.carried = {carried.key for carried in step.carries}
        if step.kind is StepKind.MESSAGE and judgement.dixa_id:
            self.new_messages.add(judgement.dixa_id)
        if judgement.partial:
            self.due.lacks.append(judgement.reason)
        self.due.mark(step, State.IMPORTED)
        for message_id, outcome in judgement.outcomes.items():
            if outcome.state is State.REJECTED:
                self.due.refuse(message_id, outcome.reason)
                continue
            self.due.states[message_id] = outcome.state
            self.due.refused[message_id] = outcome.refused
            if outcome.dixa_id:
                self.new_messages.add(outcome.dixa_id)

    async def _settle(self, step: Step, first_at: float, judgement: Judgement) -> tuple[Judgement, Step]:
        """Created, or `again` where not all of it was, or still in doubt with the evidence; and what is still
        to be sent."""
        self.doubtful = self.open_doubt = True
        self.due.mark(step, State.IN_DOUBT)
        known = self.new_messages.union(record.dixa_id for record in self.memory.steps if record.dixa_id)
        doubt = Doubt(
            step.kind, step.ticket_id, step.key, step.expected, first_at, judgement.sent_at, frozenset(known)
        )
        if step.kind is StepKind.CONVERSATION:
            doubt = replace(doubt, first_at=self.creation.first_at) if self.creation else doubt
            self.creation = doubt
        await self.pusher.exchange.pace.pause(self.pusher.options.grace_seconds)
        await self.pusher.journal.flush()
        try:
            settlement = await self.pusher.settler.settle(doubt, [c.key for c in step.carries])
        except NotRead as error:
            return Judgement(Verdict.IN_DOUBT, reason=f"{judgement.reason}; {error}"), step
        self.open_doubt = settlement.found is Found.AMBIGUOUS
        reason = f"{judgement.reason}; {settlement.evidence}"
        there, rest = put_down(self.pusher.journal, step, doubt, settlement, reason)
        if settlement.found is Found.AMBIGUOUS:
            return Judgement(Verdict.IN_DOUBT, reason=reason), step
        self._unmark(step)
        if there:
            self._take(there, settlement.judgement)
        if rest:
            return Judgement(Verdict.AGAIN, reason=judgement.reason), rest
        return settlement.judgement, step

    async def _read_back(self) -> tuple[str, ...] | None:
        """What stands twice, in a conversation of which something was once in doubt; None where it cannot be
        read now, so that the next run does."""
        done = (State.IMPORTED, State.PARTIAL, State.ALREADY_THERE)
        sent = {message_id for message_id, state in self.due.states.items() if state in done}
        identities = self.pusher.target.identities(self.job, self.ids, sent)
        async with self.pusher.lock(self.ids[self.job.requester.key or ""]):
            await self.pusher.journal.flush()
            try:
                return await self.pusher.settler.doubles(self.ids["conversation"], identities, self.creation)
            except NotRead:
                return None

    def _expected(self, message_id: str) -> dict[str, Any]:
        """By what a message of this job is known again, however it came in."""
        step = Step(StepKind.MESSAGE, self.job.ticket_id, message_id)
        request = self.pusher.target.request(step, self.job, self.ids)
        return self.pusher.target.expected(step, request, self.ids)

    async def _meet_everybody(self) -> tuple[State, str] | None:
        """The ids of the requester and of every author; what to say where one cannot be had."""
        agents = {m.author.key for m in self.job.messages if m.by_agent and m.author and m.author.key}
        for agent in sorted(agents):
            if agent not in self.pusher.agents:
                return State.REJECTED, f"author_unknown: Dixa knows no agent {agent.partition(':')[2]}"
            self.ids[AGENT + agent] = self.pusher.agents[agent]
        authors = (m.author for m in self.job.messages if m.author and not m.by_agent)
        for contact in (self.job.requester, *authors):
            if (key := contact.key) is None or key in self.ids:
                continue
            person = await self.pusher.people.get(contact)
            if person.dixa_id is None:
                return person.state, f"person {key}: {person.reason}"
            self.ids[key] = person.dixa_id
        return None

    def _unmark(self, step: Step) -> None:
        for carried in step.carries:
            self.due.states.pop(carried.key, None)

    def _result(
        self,
        state: State,
        reason: str,
        *,
        ended: bool = True,
        doubles: tuple[str, ...] | None = None,
    ) -> TicketResult:
        dixa_id = self.ids.get("conversation")
        # What has changed is listed at every run, so it gets no mark by which it would be passed over.
        mark = None if self.due.changed else self.job.mark
        if ended and state is not State.LEFT:
            kept = state
            if state is State.ALREADY_THERE:
                kept = State.PARTIAL if self.due.lacks else State.IMPORTED
            self.pusher.journal.end(
                self.job.ticket_id, kept, dixa_id=dixa_id, reason=reason, doubles=doubles, mark=mark
            )
        # The untried messages of a ticket that is refused or failed share its fate.
        rest = state if state in (State.REJECTED, State.FAILED) else State.LEFT
        messages: Counter[State] = Counter()
        attachments: Counter[State] = Counter()
        for message in self.job.messages:
            place = self.due.states.get(message.message_id, rest)
            messages[place] += 1
            refused = self.due.refused[message.message_id]
            attachments[State.REJECTED] += refused
            attachments[State.IMPORTED if place is State.PARTIAL else place] += (
                len(message.attachments) - refused
            )
        return TicketResult(
            self.job.ticket_id, state, dixa_id, messages, attachments, reason, tuple(self.due.changed)
        )


def _halves(step: Step) -> list[Step]:
    middle = len(step.carries) // 2
    parts = (step.carries[:middle], step.carries[middle:])
    return [replace(step, key=part[0].key, carries=part) for part in parts]


def _joined(reasons: Sequence[str]) -> str:
    more = len(reasons) - REASONS_SHOWN
    shown = "; ".join(reasons[:REASONS_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
