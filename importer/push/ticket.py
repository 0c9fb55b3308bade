"""The steps of one conversation, one after another.

Steps that the checkpoint records as done are not repeated. A step in doubt is settled before any other step
of its conversation; until then, nothing is sent for the conversation, and others have its slot. Where nothing
but text and time tells the conversations of a requester apart, at most one creation of them is in flight or
in doubt at a time, also across tickets, so that only one conversation that is read back can be the one in
doubt."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from importer.model import (
    AGENT,
    ESSENTIAL,
    Conversation,
    Doubt,
    Judgement,
    Outcome,
    State,
    Step,
    StepKind,
    TicketMemory,
    TicketResult,
    Verdict,
)
from importer.push.context import PushContext
from importer.push.reconcile import RETRY_SECONDS, Found, lost_of, record_settlement
from importer.push.remaining_steps import RemainingSteps
from importer.push.unfetchable import LINK, REJECT, unfetchable, without
from importer.transport.exchange import NotRead, with_lost
from importer.transport.pace import Stopped

# The state of a step that was not carried out.
_STATE_OF_VERDICT = {
    Verdict.REFUSED: State.REJECTED,
    Verdict.IN_DOUBT: State.IN_DOUBT,
    Verdict.AGAIN: State.FAILED,
}
ANOTHER_IN_DOUBT = "another creation for the same requester is in doubt"
# Once this many messages have lost files, errors that name one file at a time take too long.
NAMED_ONE_BY_ONE = 3
# More reasons than this are only counted; they go into one cell of a report.
REASONS_SHOWN = 20


@dataclass(slots=True)
class TicketRun:
    """The work on one conversation in one run."""

    context: PushContext
    job: Conversation
    memory: TicketMemory
    # The steps still to be sent when the work began, and then the states of their messages.
    remaining: RemainingSteps = field(init=False)
    # User ids by contact key (agents with the prefix AGENT), and the conversation's id as `conversation`.
    ids: dict[str, str] = field(default_factory=dict)
    # The ids in Dixa of the messages created in this run.
    new_messages: set[str] = field(default_factory=set)
    # Whether a step was ever in doubt, so that the conversation has to be read back at the end.
    doubtful: bool = False
    # Whether a step is in doubt now.
    open_doubt: bool = False
    # The creation of the conversation, if that was in doubt and Dixa may still carry it out.
    creation: Doubt | None = None
    # The conversation without the files that Dixa cannot fetch, and these files by message id.
    sent: Conversation = field(init=False)
    lost: dict[str, Outcome] = field(default_factory=dict)
    # When a request in doubt was sent for the last time in this run (Unix time).
    doubted_at: float | None = None

    def __post_init__(self) -> None:
        options = self.context.options
        self.sent = self.job
        self.remaining = RemainingSteps(
            self.job, self.memory, self.context.target, with_holes=options.with_holes, again=options.again
        )

    async def run(self) -> TicketResult:
        """Send what is to be sent. Raises the failures of the run (RunError)."""
        self.doubtful = self.memory.doubtful
        suspect = self.memory.suspect
        self.creation = self.context.settled.get(self.job.ticket_id, suspect)
        if self.creation and suspect:
            # Dixa may still carry out the first request too.
            first = min(self.creation.first_at, suspect.first_at)
            self.creation = replace(self.creation, first_at=first)
        remaining = self.remaining
        remaining.find()
        if remaining.dixa_id:
            self.ids["conversation"] = remaining.dixa_id
        if remaining.held:
            return self._result(State.IN_DOUBT, remaining.held)
        if remaining.is_refused:
            return self._result(State.REJECTED, remaining.refusal or _joined(remaining.lacks))
        if not remaining.steps and not self.doubtful:
            return self._result(State.ALREADY_THERE, _joined(remaining.lacks))
        retried = (State.FAILED, State.REJECTED, State.PARTIAL)
        if self.context.options.again and self.memory.state not in retried:
            return self._result(State.LEFT, "")
        if not self.context.allowance.take():
            return self._result(State.LEFT, "")
        try:
            return await self._send(remaining.steps)
        except Stopped:
            return self.cut_short()
        except NotRead as error:
            return self._result(State.FAILED, str(error))

    def cut_short(self) -> TicketResult:
        """The result if the run ends before this conversation is finished."""
        return self._result(State.IN_DOUBT if self.open_doubt else State.LEFT, "stopped", ended=False)

    async def _send(self, todo: list[Step]) -> TicketResult:
        self.context.journal.begin(self.job.ticket_id)
        if problem := await self._resolve_people():
            return self._result(*problem)
        waiting = deque(todo)
        while waiting:
            judgement, step = await self._create(waiting.popleft())
            if judgement.verdict is Verdict.CREATED:
                continue
            if judgement.verdict is Verdict.REFUSED and len(step.carries) > 1 and step.kind is StepKind.NOTES:
                # Dixa may have refused all notes because of one. Sending halves finds that one.
                self.context.journal.withdraw(step)
                waiting.extendleft(reversed(_halves(step)))
                continue
            state = _STATE_OF_VERDICT[judgement.verdict]
            self.remaining.set_state(step, state)
            what = f"{step.kind} {step.key}" if step.kind is StepKind.MESSAGE else str(step.kind)
            reason = f"{what}: {judgement.reason}"
            dispensable = step.kind not in ESSENTIAL or (
                step.kind is StepKind.MESSAGE and self.context.options.with_holes
            )
            if state is not State.REJECTED or not dispensable:
                return self._result(state, reason)
            self.remaining.lacks.append(reason)
        doubles = await self._read_back() if self.doubtful else None
        state = State.PARTIAL if self.remaining.lacks else State.IMPORTED
        if not todo:
            state = State.ALREADY_THERE
        return self._result(state, _joined([*self.remaining.lacks, *(doubles or ())]), doubles=doubles)

    async def _create(self, step: Step) -> tuple[Judgement, Step]:
        """Send a step until its outcome is known or in doubt. Returns the outcome and the part of the step
        that has this outcome."""
        if step.kind is not StepKind.CONVERSATION:
            return await self._create_and_settle(step)
        requester = self._requester
        alone = not self.context.target.is_unmistakable(step, self.job)
        async with self.context.creating(requester, alone=alone):
            if alone and requester in self.context.doubted:
                return Judgement(Verdict.AGAIN, reason=ANOTHER_IN_DOUBT), step
            found = await self._come_after_all(step)
            judgement, step = found or await self._create_and_settle(step)
            if alone and judgement.verdict is Verdict.IN_DOUBT:
                self.context.doubted.add(requester)
            return judgement, step

    @property
    def _requester(self) -> str:
        """The user id of the requester."""
        return self.ids[self.job.requester.key or ""]

    @property
    def _known(self) -> frozenset[str]:
        """The ids in Dixa of the ticket's messages, as far as responses told them."""
        earlier = (r.dixa_id for r in self.memory.steps if r.kind is StepKind.MESSAGE and r.dixa_id)
        return frozenset(self.new_messages.union(earlier))

    async def _wait(self, seconds: float) -> None:
        """Let others have the slot for this time."""
        await self.context.slots.without(self.context.exchange.pace.pause(seconds))

    async def _come_after_all(self, step: Step) -> tuple[Judgement, Step] | None:
        """Look again for a conversation that an earlier run sent and did not find, because Dixa may have
        created it later. None if it is not there."""
        if self.creation is None:
            return None
        await self.context.journal.flush()
        settlement = await self.context.settler.look(
            self.creation, [c.key for c in step.carries], alone=self.context.under_way[self._requester] <= 1
        )
        if settlement.found is Found.NOTHING:
            return None
        await self.context.journal.intend(replace(step, expected=self.creation.expected))
        record_settlement(self.context.journal, step, self.creation, settlement, settlement.evidence)
        if settlement.found is Found.AMBIGUOUS:
            return Judgement(Verdict.IN_DOUBT, reason=settlement.evidence), step
        self._apply(step, with_lost(step, settlement.judgement, lost_of(self.creation)))
        return settlement.judgement, step

    async def _create_and_settle(self, step: Step) -> tuple[Judgement, Step]:
        first_at = self.context.clock()
        target = self.context.target
        doubts = 0
        while True:
            request = target.request(step, self.sent, self.ids)
            expected = target.expected(step, request, self.ids)
            expected["offset"] = self.context.exchange.clock_offset()
            expected["latest"] = self.context.options.latest_seconds
            lost = self._lost_of(step)
            expected["lost"] = {key: [outcome.refused, outcome.reason] for key, outcome in lost.items()}
            expected["alone"] = not target.is_unmistakable(step, self.sent)
            identified = replace(step, expected=expected)
            judgement = await self.context.exchange.create(identified, request, lost)
            if judgement.verdict is Verdict.CREATED:
                self._apply(step, judgement)
                self._tell_lag(step, judgement)
            if judgement.verdict is Verdict.REFUSED and self._leave_out(step, judgement.reason):
                self.context.journal.withdraw(step)
                continue
            if judgement.verdict is not Verdict.IN_DOUBT:
                break
            judgement, step = await self._settle(identified, first_at, judgement)
            doubts += 1
            if judgement.verdict is not Verdict.AGAIN or doubts >= self.context.exchange.patience.attempts:
                break
        return judgement, step

    def _lost_of(self, step: Step) -> dict[str, Outcome]:
        keys = {carried.key for carried in step.carries}
        return {key: outcome for key, outcome in self.lost.items() if key in keys}

    def _leave_out(self, step: Step, reason: str) -> bool:
        """Leave out the files for which Dixa refused a step. False if it was refused for something else, or
        if the ticket is to be rejected then."""
        how = self.context.options.unfetchable
        if how == REJECT:
            return False
        files = unfetchable(self.sent, step, reason, every=len(self.lost) >= NAMED_ONE_BY_ONE)
        for key, own in files.items():
            refused = self.lost.get(key, Outcome(State.PARTIAL)).refused + len(own)
            where = ", and its text names the address" if how == LINK else ""
            self.lost[key] = Outcome(
                State.PARTIAL,
                reason=f"Dixa could not fetch {refused} file(s) of message {key}{where}",
                refused=refused,
            )
        self.sent = without(self.sent, files, how)
        return bool(files)

    def _tell_lag(self, step: Step, judgement: Judgement) -> None:
        """The lists have to show what a response said to be created."""
        api, lag = self.context.settler.api, self.context.settler.lag
        if step.kind is StepKind.CONVERSATION and judgement.dixa_id:
            lag.created(
                step.kind, api.conversations_of(self._requester), judgement.dixa_id, judgement.sent_at
            )
        elif step.kind in (StepKind.MESSAGE, StepKind.NOTES):
            ids = (judgement.dixa_id, *(outcome.dixa_id for outcome in judgement.outcomes.values()))
            for dixa_id in list(filter(None, ids))[-1:]:
                lag.created(step.kind, api.additions_of(self.ids["conversation"]), dixa_id, judgement.sent_at)

    def _apply(self, step: Step, judgement: Judgement) -> None:
        """Update the state for a step that was carried out."""
        if step.kind is StepKind.CONVERSATION and judgement.dixa_id:
            self.ids["conversation"] = judgement.dixa_id
        if step.kind is StepKind.MESSAGE and judgement.dixa_id:
            self.new_messages.add(judgement.dixa_id)
        if judgement.partial:
            self.remaining.lacks.append(judgement.reason)
        self.remaining.set_state(step, State.IMPORTED)
        for message_id, outcome in judgement.outcomes.items():
            if outcome.state is State.REJECTED:
                self.remaining.refuse(message_id, outcome.reason)
                continue
            self.remaining.states[message_id] = outcome.state
            self.remaining.refused[message_id] = outcome.refused
            if outcome.dixa_id:
                self.new_messages.add(outcome.dixa_id)

    async def _settle(self, step: Step, first_at: float, judgement: Judgement) -> tuple[Judgement, Step]:
        """Settle a step in doubt. Returns CREATED, or AGAIN with the part that is still to be sent, or
        IN_DOUBT with the evidence."""
        self.doubtful = self.open_doubt = True
        self.remaining.set_state(step, State.IN_DOUBT)
        self.doubted_at = judgement.sent_at
        doubt = Doubt(
            step.kind, step.ticket_id, step.key, step.expected, first_at, judgement.sent_at, self._known
        )
        alone = True
        if step.kind is StepKind.CONVERSATION:
            doubt = replace(doubt, first_at=self.creation.first_at) if self.creation else doubt
            self.creation = doubt
            alone = self.context.under_way[self._requester] <= 1
        await self._wait(self.context.options.grace_seconds)
        await self.context.journal.flush()
        try:
            settlement = await self.context.settler.settle(
                doubt, [c.key for c in step.carries], wait=self._wait, alone=alone
            )
        except NotRead as error:
            return Judgement(Verdict.IN_DOUBT, reason=f"{judgement.reason}; {error}"), step
        self.open_doubt = settlement.found is Found.AMBIGUOUS
        reason = f"{judgement.reason}; {settlement.evidence}"
        there, rest = record_settlement(self.context.journal, step, doubt, settlement, reason)
        if settlement.found is Found.AMBIGUOUS:
            return Judgement(Verdict.IN_DOUBT, reason=reason), step
        self._clear_state(step)
        if there:
            self._apply(there, with_lost(there, settlement.judgement, lost_of(doubt)))
        if rest:
            return Judgement(Verdict.AGAIN, reason=judgement.reason), rest
        return settlement.judgement, step

    async def _read_back(self) -> tuple[str, ...] | None:
        """The duplicates in a conversation of which a step was in doubt. None if it cannot be read now; the
        next run then reads it."""
        done = (State.IMPORTED, State.PARTIAL, State.ALREADY_THERE)
        keys = {message_id for message_id, state in self.remaining.states.items() if state in done}
        sent = list(self.context.target.sent(self.job, self.ids, keys).values())
        settler, target, options = self.context.settler, self.context.target, self.context.options
        begun = self.context.clock()
        due = (self.doubted_at or 0.0) + options.latest_seconds + settler.lag.seen_seconds
        while self.context.clock() < begun + options.patience_seconds:
            await self._wait(max(due - self.context.clock(), 0.0))
            async with self.context.creating(self._requester, alone=self.creation is not None):
                await self.context.journal.flush()
                try:
                    found = await settler.duplicates(
                        self.ids["conversation"],
                        sent=sent,
                        known=self._known,
                        openings=target.openings,
                        creation=self.creation,
                    )
                except NotRead:
                    return None
            if found is not None:
                return found
            due = self.context.clock() + RETRY_SECONDS
        return None

    async def _resolve_people(self) -> tuple[State, str] | None:
        """Find or create the requester and all authors. Returns state and reason of the ticket if one of them
        has no id."""
        agents = {m.author.key for m in self.job.messages if m.by_agent and m.author and m.author.key}
        for agent in sorted(agents):
            if agent not in self.context.agents:
                return State.REJECTED, f"author_unknown: Dixa knows no agent {agent.partition(':')[2]}"
            self.ids[AGENT + agent] = self.context.agents[agent]
        authors = (m.author for m in self.job.messages if m.author and not m.by_agent)
        for contact in (self.job.requester, *authors):
            if (key := contact.key) is None or key in self.ids:
                continue
            person = await self.context.people.get_or_create(contact)
            if person.dixa_id is None:
                return person.state, f"person {key}: {person.reason}"
            self.ids[key] = person.dixa_id
        return None

    def _clear_state(self, step: Step) -> None:
        for carried in step.carries:
            self.remaining.states.pop(carried.key, None)

    def _result(
        self,
        state: State,
        reason: str,
        *,
        ended: bool = True,
        doubles: tuple[str, ...] | None = None,
    ) -> TicketResult:
        dixa_id = self.ids.get("conversation")
        # A ticket with changed content is listed at every run, so it gets no hash by which a run would skip
        # it.
        source_hash = None if self.remaining.changed else self.job.source_hash
        if ended and state is not State.LEFT:
            kept = state
            if state is State.ALREADY_THERE:
                kept = State.PARTIAL if self.remaining.lacks else State.IMPORTED
            self.context.journal.end(
                self.job.ticket_id,
                kept,
                dixa_id=dixa_id,
                reason=reason,
                doubles=doubles,
                source_hash=source_hash,
            )
        # Messages that were not tried have the state of their ticket if it was rejected or failed.
        rest = state if state in (State.REJECTED, State.FAILED) else State.LEFT
        messages: Counter[State] = Counter()
        attachments: Counter[State] = Counter()
        for message in self.job.messages:
            place = self.remaining.states.get(message.message_id, rest)
            messages[place] += 1
            refused = self.remaining.refused[message.message_id]
            attachments[State.REJECTED] += refused
            attachments[State.IMPORTED if place is State.PARTIAL else place] += (
                len(message.attachments) - refused
            )
        return TicketResult(
            self.job.ticket_id, state, dixa_id, messages, attachments, reason, tuple(self.remaining.changed)
        )


def _halves(step: Step) -> list[Step]:
    middle = len(step.carries) // 2
    parts = (step.carries[:middle], step.carries[middle:])
    return [replace(step, key=part[0].key, carries=part) for part in parts]


def _joined(reasons: Sequence[str]) -> str:
    more = len(reasons) - REASONS_SHOWN
    shown = "; ".join(reasons[:REASONS_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
