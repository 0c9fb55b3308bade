"""Runs conversations, several at once, the steps of one in order. Knows no HTTP and no disk.

Steps that the checkpoint has as done are not repeated. A step in doubt is settled before anything else of its
conversation; while it cannot be, the conversation is held. At most one creation per requester is under way
or in doubt at a time, also across conversations, so that what is read back can be told apart.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol
from weakref import WeakValueDictionary

from importer.exchange import Exchange, Journal, NotRead
from importer.model import (
    DERIVED,
    Conversation,
    Doubt,
    Judgement,
    Request,
    State,
    Step,
    StepKind,
    StepRecord,
    TicketMemory,
    TicketResult,
    Verdict,
)
from importer.pace import Stopped
from importer.people import People
from importer.settle import Found, Settler

BATCH = 200
_VERDICT_STATES = {
    Verdict.REFUSED: State.REJECTED,
    Verdict.IN_DOUBT: State.IN_DOUBT,
    Verdict.AGAIN: State.FAILED,
}
OTHERWISE = "the export seems to be read otherwise than when it was imported, so it is not sent again"
ANOTHER_IN_DOUBT = "another creation for the same requester is in doubt"
OUT_OF_ORDER = "it belongs before messages that are in Dixa already (--with-holes adds it at the end)"


class Target(Protocol):
    """The protocol of one API."""

    def steps(self, job: Conversation, *, created: bool = False) -> tuple[Step, ...]: ...

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request: ...

    def expected(self, request: Request, ids: Mapping[str, str]) -> dict[str, Any]: ...


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
            batch = await asyncio.to_thread(lambda: list(islice(source, BATCH)))
            if not batch:
                return
            known = await asyncio.to_thread(self.remembered, [job.ticket_id for job in batch])
            for job in batch:
                yield job, known.get(job.ticket_id, TicketMemory())


@dataclass(slots=True)
class _Run:
    """One job under way. `states` is by message; `carried` are the messages that came in with
    the conversation, so that their ids are not known; `held` says which doubt holds it."""

    pusher: Pusher
    job: Conversation
    memory: TicketMemory
    states: dict[str, State] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    new_messages: set[str] = field(default_factory=set)
    carried: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    held: str = ""
    old_refusal: str = ""
    doubtful: bool = False
    open_doubt: bool = False
    creation: Doubt | None = None

    async def run(self) -> TicketResult:
        self.doubtful = self.memory.doubtful
        self.creation = self.pusher.settled.get(self.job.ticket_id)
        todo = self._todo()
        if self.held:
            return self._result(State.IN_DOUBT, self.held)
        holes = self.memory.state is State.PARTIAL or (
            self.pusher.options.with_holes and "conversation" in self.ids
        )
        if self.old_refusal and not holes:
            return self._result(State.REJECTED, self.old_refusal)
        if not todo and not self.doubtful:
            return self._result(State.ALREADY_THERE, self.old_refusal)
        if self.pusher.options.again and self.memory.state not in (State.FAILED, State.REJECTED):
            return self._result(State.LEFT, "")
        if not self.pusher.allowance.take():
            return self._result(State.LEFT, "")
        try:
            return await self._send(todo)
        except Stopped:
            return self.cut_short()
        except NotRead as error:
            return self._result(State.FAILED, str(error))

    def cut_short(self) -> TicketResult:
        """What is known where the run ends in the middle of this job."""
        return self._result(State.IN_DOUBT if self.open_doubt else State.LEFT, "stopped", ended=False)

    def _todo(self) -> list[Step]:
        """The steps that are still to be sent; takes over what the checkpoint says of the others."""
        known = {(record.kind, record.key): record for record in self.memory.steps}
        conversation = known.get((StepKind.CONVERSATION, ""))
        created = conversation is not None and conversation.state is State.IMPORTED
        if created and conversation and conversation.dixa_id:
            self.ids["conversation"] = conversation.dixa_id
            if conversation.fingerprint != self.job.fingerprint:
                self.changed.append("ticket")
        steps = self.pusher.target.steps(self.job, created=created)
        todo = [step for step in steps if not self._settled(step, known)]
        if not created:
            return todo
        todo = self._without_others_readings(todo, known)
        return todo if self.pusher.options.with_holes else self._in_order(todo)

    def _without_others_readings(
        self, todo: list[Step], known: Mapping[tuple[StepKind, str], StepRecord]
    ) -> list[Step]:
        """Without messages whose derived id may only be new because the export is read otherwise than when it
        was imported. Where some that were imported are not in the export any more, it looks like that."""
        wanted = {message.message_id for message in self.job.messages}
        gone = any(
            record.state is State.IMPORTED and key.startswith(DERIVED) and key not in wanted
            for (kind, key), record in known.items()
        )
        if not gone:
            return todo
        for step in todo:
            if step.key.startswith(DERIVED):
                self.changed.append(step.key)
                self.old_refusal = f"message {step.key}: {OTHERWISE}"
                self._mark(step, State.REJECTED)
        return [step for step in todo if not step.key.startswith(DERIVED)]

    def _settled(self, step: Step, known: Mapping[tuple[StepKind, str], StepRecord]) -> bool:
        """Whether the checkpoint already says what became of a step."""
        record = known.get((step.kind, step.key))
        if record is None:
            return False
        if record.state in (None, State.IN_DOUBT):
            what = f"message {step.key}" if step.kind is StepKind.MESSAGE else "the conversation"
            self.held = f"{what}: sent, and it is unknown whether Dixa created it. {record.reason}".strip()
            self._mark(step, State.IN_DOUBT)
            return True
        if record.state is State.REJECTED:
            content = [(step.kind, step.key, step.fingerprint)]
            content += [(StepKind.MESSAGE, c.message_id, c.fingerprint) for c in step.carries]
            same = not self.pusher.options.again and all(
                (old := known.get((kind, key))) is not None and old.fingerprint == fingerprint
                for kind, key, fingerprint in content
            )
            if same:
                self.old_refusal = f"{step.kind} {step.key}".strip() + f": {record.reason}"
                self._mark(step, State.REJECTED)
            return same
        if record.state is not State.IMPORTED:
            return False
        if record.fingerprint != step.fingerprint:
            self.changed.append(step.key)
        if record.dixa_id is None:
            self.carried.add(step.key)
        self._mark(step, State.ALREADY_THERE)
        return True

    def _in_order(self, todo: list[Step]) -> list[Step]:
        """Without those that would come too late: nothing can be put before what Dixa has."""
        places = {message.message_id: n for n, message in enumerate(self.job.messages)}
        last = max(
            (places[key] for key, state in self.states.items() if state is State.ALREADY_THERE), default=-1
        )
        for step in todo:
            if places[step.key] < last:
                self.old_refusal = f"message {step.key}: {OUT_OF_ORDER}"
                self._mark(step, State.REJECTED)
        return [step for step in todo if places[step.key] > last]

    async def _send(self, todo: list[Step]) -> TicketResult:
        self.pusher.journal.begin(self.job.ticket_id)
        if problem := await self._meet_everybody():
            return self._result(*problem)
        reason = ""
        for step in todo:
            judgement = await self._create(step)
            if judgement.verdict is Verdict.CREATED:
                continue
            state = _VERDICT_STATES[judgement.verdict]
            self._mark(step, state)
            reason = f"{step.kind} {step.key}".strip() + f": {judgement.reason}"
            hole = (
                state is State.REJECTED and step.kind is StepKind.MESSAGE and self.pusher.options.with_holes
            )
            if not hole:
                return self._result(state, reason)
        doubles = await self._read_back() if self.doubtful else None
        state = State.PARTIAL if reason or self.old_refusal else State.IMPORTED
        if not todo:
            state = State.ALREADY_THERE
        reason = "; ".join(filter(None, [reason, self.old_refusal, *(doubles or ())]))
        return self._result(state, reason, doubles=doubles)

    async def _create(self, step: Step) -> Judgement:
        """Send a step until it is known what became of it, or until it cannot be known."""
        requester = self.ids[self.job.requester.key or ""]
        if step.kind is StepKind.CONVERSATION:
            async with self.pusher.lock(requester):
                if requester in self.pusher.doubted:
                    return Judgement(Verdict.AGAIN, reason=ANOTHER_IN_DOUBT)
                judgement = await self._create_and_settle(step)
                if judgement.verdict is Verdict.IN_DOUBT:
                    self.pusher.doubted.add(requester)
                return judgement
        return await self._create_and_settle(step)

    async def _create_and_settle(self, step: Step) -> Judgement:
        request = self.pusher.target.request(step, self.job, self.ids)
        expected = self.pusher.target.expected(request, self.ids)
        if step.kind is StepKind.MESSAGE:
            expected["twins"] = sum(self._expected(key) == expected for key in self.carried)
        expected["offset"] = self.pusher.exchange.clock_offset()
        expected["latest"] = self.pusher.options.latest_seconds
        first_at = self.pusher.clock()
        marked = replace(step, expected=expected)
        for _ in range(self.pusher.exchange.patience.attempts):
            judgement = await self.pusher.exchange.create(marked, request)
            if judgement.verdict is not Verdict.IN_DOUBT:
                break
            judgement = await self._settle(marked, first_at, judgement)
            if judgement.verdict is not Verdict.AGAIN:
                break
        if judgement.verdict is Verdict.CREATED and judgement.dixa_id:
            self._mark(step, State.IMPORTED)
            if step.kind is StepKind.CONVERSATION:
                self.ids["conversation"] = judgement.dixa_id
                self.carried = {carried.message_id for carried in step.carries}
            else:
                self.new_messages.add(judgement.dixa_id)
        return judgement

    async def _settle(self, step: Step, first_at: float, judgement: Judgement) -> Judgement:
        """Created, or `again` where nothing was, or still in doubt with the evidence."""
        self.doubtful = self.open_doubt = True
        self._mark(step, State.IN_DOUBT)
        known = self.new_messages.union(record.dixa_id for record in self.memory.steps if record.dixa_id)
        doubt = Doubt(
            step.kind, step.ticket_id, step.key, step.expected, first_at, judgement.sent_at, frozenset(known)
        )
        if step.kind is StepKind.CONVERSATION:
            self.creation = self.creation or doubt
        await self.pusher.exchange.pace.pause(self.pusher.options.grace_seconds)
        await self.pusher.journal.flush()
        try:
            settlement = await self.pusher.settler.settle(doubt)
        except NotRead as error:
            return Judgement(Verdict.IN_DOUBT, reason=f"{judgement.reason}; {error}")
        self.open_doubt = settlement.found is Found.AMBIGUOUS
        if settlement.found is Found.CREATED:
            self.pusher.journal.record(step, State.IMPORTED, dixa_id=settlement.dixa_id)
            return Judgement(Verdict.CREATED, settlement.dixa_id)
        if settlement.found is Found.NOTHING:
            self.pusher.journal.withdraw(step)
            self._unmark(step)
            return Judgement(Verdict.AGAIN, reason=judgement.reason)
        reason = f"{judgement.reason}; {settlement.evidence}"
        self.pusher.journal.record(step, State.IN_DOUBT, reason=reason)
        return Judgement(Verdict.IN_DOUBT, reason=reason)

    async def _read_back(self) -> tuple[str, ...] | None:
        """What stands twice, in a conversation of which something was once in doubt; None where it cannot be
        read now, so that the next run does."""
        done = (State.IMPORTED, State.ALREADY_THERE)
        sent = [self._expected(key) for key, state in self.states.items() if state in done]
        async with self.pusher.lock(self.ids[self.job.requester.key or ""]):
            await self.pusher.journal.flush()
            try:
                return await self.pusher.settler.doubles(self.ids["conversation"], sent, self.creation)
            except NotRead:
                return None

    def _expected(self, message_id: str) -> dict[str, Any]:
        """By what a message of this job is known again, however it came in."""
        step = Step(StepKind.MESSAGE, self.job.ticket_id, message_id)
        return self.pusher.target.expected(self.pusher.target.request(step, self.job, self.ids), self.ids)

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
        for carried in step.carries:
            self.states[carried.message_id] = state

    def _unmark(self, step: Step) -> None:
        for carried in step.carries:
            self.states.pop(carried.message_id, None)

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
        mark = None if self.changed else self.job.mark
        if ended and state is not State.LEFT:
            kept = state
            if state is State.ALREADY_THERE:
                kept = State.PARTIAL if self.memory.state is State.PARTIAL else State.IMPORTED
            self.pusher.journal.end(
                self.job.ticket_id, kept, dixa_id=dixa_id, reason=reason, doubles=doubles, mark=mark
            )
        # The untried messages of a ticket that is refused or failed share its fate.
        rest = state if state in (State.REJECTED, State.FAILED) else State.LEFT
        messages: Counter[State] = Counter()
        attachments: Counter[State] = Counter()
        for message in self.job.messages:
            place = self.states.get(message.message_id, rest)
            messages[place] += 1
            attachments[place] += len(message.attachments)
        return TicketResult(
            self.job.ticket_id, state, dixa_id, messages, attachments, reason, tuple(self.changed)
        )
