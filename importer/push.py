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
from importer.exchange import Exchange, Journal, NotRead
from importer.model import (
    AGENT,
    DERIVED,
    ESSENTIAL,
    SETTINGS,
    Contact,
    Conversation,
    Doubt,
    Judgement,
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
from importer.settle import Found, Settler, put_down

BATCH = 50
_VERDICT_STATES = {
    Verdict.REFUSED: State.REJECTED,
    Verdict.IN_DOUBT: State.IN_DOUBT,
    Verdict.AGAIN: State.FAILED,
}
OTHERWISE = "the export seems to be read otherwise than when it was imported, so it is not sent again"
ANOTHER_IN_DOUBT = "another creation for the same requester is in doubt"
OUT_OF_ORDER = "it belongs before messages that are in Dixa already (--with-holes adds it at the end)"
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
    """One job under way. `states` is by message, `refused` counts the attachments that Dixa did not take;
    `carried` are the messages that came in with the conversation, so that their ids are not known. `held`
    says which doubt holds it, `refusal` why there is no conversation, `lacks` what the conversation lacks."""

    pusher: Pusher
    job: Conversation
    memory: TicketMemory
    states: dict[str, State] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    ids: dict[str, str] = field(default_factory=dict)
    new_messages: set[str] = field(default_factory=set)
    carried: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    held: str = ""
    refusal: str = ""
    lacks: list[str] = field(default_factory=list)
    doubtful: bool = False
    open_doubt: bool = False
    creation: Doubt | None = None

    async def run(self) -> TicketResult:
        self.doubtful = self.memory.doubtful
        self.creation = self.pusher.settled.get(self.job.ticket_id, self.memory.suspect)
        todo = self._todo()
        if self.held:
            return self._result(State.IN_DOUBT, self.held)
        if self.refusal or (self.lacks and not self._may_lack()):
            return self._result(State.REJECTED, self.refusal or _joined(self.lacks))
        if not todo and not self.doubtful:
            return self._result(State.ALREADY_THERE, _joined(self.lacks))
        retried = (State.FAILED, State.REJECTED, State.PARTIAL)
        if self.pusher.options.again and self.memory.state not in retried:
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

    def _may_lack(self) -> bool:
        """Whether a conversation may go on without a message of it: where its messages have their own times,
        nothing comes too late."""
        options, target = self.pusher.options, self.pusher.target
        allowed = options.with_holes or not target.ordered
        return self.memory.state is State.PARTIAL or (allowed and "conversation" in self.ids)

    def _todo(self) -> list[Step]:
        """The steps that are still to be sent; takes over what the checkpoint says of the others."""
        known = {(record.kind, record.key): record for record in self.memory.steps}
        conversation = known.get((StepKind.CONVERSATION, ""))
        wanted: set[str] | None = None
        if conversation is not None and conversation.done and conversation.dixa_id:
            self.ids["conversation"] = conversation.dixa_id
            if conversation.fingerprint != self.pusher.target.fingerprint(self.job):
                self.changed.append("ticket")
            if conversation.state is State.PARTIAL:
                self.lacks.append(conversation.reason)
            wanted = self._wanted(known)
        late = {
            message_id
            for message_id in wanted or ()
            if self.memory.finished and (StepKind.MESSAGE, message_id) not in known
        }
        steps = self.pusher.target.steps(self.job, created=wanted is not None, wanted=wanted, late=late)
        todo = [step for step in steps if not self._settled(step, known)]
        for message_id in sorted(wanted or ()):
            if not any(message_id == c.key for step in todo for c in step.carries):
                self._refuse(message_id, self.pusher.target.not_added)
        return todo

    def _wanted(self, known: Mapping[tuple[StepKind, str], StepRecord]) -> set[str]:
        """The messages of a conversation that is in Dixa which are still to be sent."""
        wanted = {
            message.message_id
            for message in self.job.messages
            if not self._is_known(message.message_id, message.fingerprint, known)
        }
        wanted = self._without_others_readings(wanted, known)
        if not self.pusher.target.ordered or self.pusher.options.with_holes:
            return wanted
        return self._in_order(wanted)

    def _is_known(
        self, message_id: str, fingerprint: bytes, known: Mapping[tuple[StepKind, str], StepRecord]
    ) -> bool:
        """Whether the checkpoint already says what became of a message."""
        record = known.get((StepKind.MESSAGE, message_id))
        if record is None:
            return False
        if record.state in (None, State.IN_DOUBT):
            self._hold(f"message {message_id}", record)
            self.states[message_id] = State.IN_DOUBT
            return True
        if record.state is State.REJECTED:
            if self.pusher.options.again or record.fingerprint != fingerprint:
                return False
            self._refuse(message_id, record.reason)
            return True
        if not record.done:
            return False
        if record.fingerprint != fingerprint:
            self.changed.append(message_id)
        if record.dixa_id is None:
            self.carried.add(message_id)
        self.states[message_id] = State.ALREADY_THERE
        self.refused[message_id] = record.refused
        return True

    def _settled(self, step: Step, known: Mapping[tuple[StepKind, str], StepRecord]) -> bool:
        """Whether the checkpoint already says what became of a step that is no message."""
        record = known.get((step.kind, step.key))
        if step.kind in (StepKind.MESSAGE, StepKind.NOTES):
            return False
        otherwise = record is None or (record.done and record.fingerprint != step.fingerprint)
        if step.kind in SETTINGS and self.memory.finished and otherwise:
            # What an earlier run has finished lives its own life now, so only what was refused is set again.
            self.changed += [] if "ticket" in self.changed else ["ticket"]
            return True
        if record is None:
            return False
        if record.state in (None, State.IN_DOUBT):
            self._hold(f"the {step.kind}", record)
            self._mark(step, State.IN_DOUBT)
            return True
        if record.state is not State.REJECTED:
            return record.done
        refused = {
            key: old.fingerprint
            for (kind, key), old in known.items()
            if kind is StepKind.MESSAGE and step.kind is StepKind.CONVERSATION
        }
        same = (
            not self.pusher.options.again
            and record.fingerprint == step.fingerprint
            and refused == {c.key: c.fingerprint for c in step.carries}
        )
        if same and step.kind is StepKind.CONVERSATION:
            self.refusal = f"{step.kind}: {record.reason}"
            self._mark(step, State.REJECTED)
        elif same:
            self.lacks.append(f"{step.kind}: {record.reason}")
        return same

    def _hold(self, what: str, record: StepRecord) -> None:
        self.held = (
            self.held or f"{what}: sent, and it is unknown whether Dixa created it. {record.reason}".strip()
        )

    def _refuse(self, message_id: str, reason: str) -> None:
        self.states[message_id] = State.REJECTED
        self.lacks.append(f"message {message_id}: {reason}")

    def _without_others_readings(
        self, wanted: set[str], known: Mapping[tuple[StepKind, str], StepRecord]
    ) -> set[str]:
        """Without messages whose derived id may only be new because the export is read otherwise than when it
        was imported. Where some that were imported are not in the export any more, it looks like that."""
        now = {message.message_id for message in self.job.messages}
        gone = any(
            record.done and key.startswith(DERIVED) and key not in now for (_, key), record in known.items()
        )
        derived = {message_id for message_id in wanted if gone and message_id.startswith(DERIVED)}
        for message_id in sorted(derived):
            self.changed.append(message_id)
            self._refuse(message_id, OTHERWISE)
        return wanted - derived

    def _in_order(self, wanted: set[str]) -> set[str]:
        """Without those that would come too late: nothing can be put before what Dixa has."""
        places = {message.message_id: n for n, message in enumerate(self.job.messages)}
        last = max(
            (places[key] for key, state in self.states.items() if state is State.ALREADY_THERE), default=-1
        )
        late = {message_id for message_id in wanted if places[message_id] < last}
        for message_id in sorted(late, key=places.__getitem__):
            self._refuse(message_id, OUT_OF_ORDER)
        return wanted - late

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
            self._mark(step, state)
            what = f"{step.kind} {step.key}" if step.kind is StepKind.MESSAGE else str(step.kind)
            reason = f"{what}: {judgement.reason}"
            dispensable = step.kind not in ESSENTIAL or (
                step.kind is StepKind.MESSAGE and self.pusher.options.with_holes
            )
            if state is not State.REJECTED or not dispensable:
                return self._result(state, reason)
            self.lacks.append(reason)
        doubles = await self._read_back() if self.doubtful else None
        state = State.PARTIAL if self.lacks else State.IMPORTED
        if not todo:
            state = State.ALREADY_THERE
        return self._result(state, _joined([*self.lacks, *(doubles or ())]), doubles=doubles)

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
                expected["twins"] = sum(self._expected(key) == expected for key in self.carried)
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
            self.carried = {carried.key for carried in step.carries}
        if step.kind is StepKind.MESSAGE and judgement.dixa_id:
            self.new_messages.add(judgement.dixa_id)
        if judgement.partial:
            self.lacks.append(judgement.reason)
        self._mark(step, State.IMPORTED)
        for message_id, outcome in judgement.outcomes.items():
            if outcome.state is State.REJECTED:
                self._refuse(message_id, outcome.reason)
                continue
            self.states[message_id] = outcome.state
            self.refused[message_id] = outcome.refused
            if outcome.dixa_id:
                self.new_messages.add(outcome.dixa_id)

    async def _settle(self, step: Step, first_at: float, judgement: Judgement) -> tuple[Judgement, Step]:
        """Created, or `again` where not all of it was, or still in doubt with the evidence; and what is still
        to be sent."""
        self.doubtful = self.open_doubt = True
        self._mark(step, State.IN_DOUBT)
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
        sent = {message_id for message_id, state in self.states.items() if state in done}
        marks = self.pusher.target.marks(self.job, self.ids, sent)
        async with self.pusher.lock(self.ids[self.job.requester.key or ""]):
            await self.pusher.journal.flush()
            try:
                return await self.pusher.settler.doubles(self.ids["conversation"], marks, self.creation)
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

    def _mark(self, step: Step, state: State) -> None:
        for carried in step.carries:
            self.states[carried.key] = state

    def _unmark(self, step: Step) -> None:
        for carried in step.carries:
            self.states.pop(carried.key, None)

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
                kept = State.PARTIAL if self.lacks else State.IMPORTED
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
            refused = self.refused[message.message_id]
            attachments[State.REJECTED] += refused
            attachments[State.IMPORTED if place is State.PARTIAL else place] += (
                len(message.attachments) - refused
            )
        return TicketResult(
            self.job.ticket_id, state, dixa_id, messages, attachments, reason, tuple(self.changed)
        )


def _halves(step: Step) -> list[Step]:
    middle = len(step.carries) // 2
    parts = (step.carries[:middle], step.carries[middle:])
    return [replace(step, key=part[0].key, carries=part) for part in parts]


def _joined(reasons: Sequence[str]) -> str:
    more = len(reasons) - REASONS_SHOWN
    shown = "; ".join(reasons[:REASONS_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
