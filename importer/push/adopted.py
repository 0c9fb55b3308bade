"""What Dixa holds of one ticket, and how the checkpoint records it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Protocol

from importer.dixa.api import Api
from importer.dixa.matching import Item, long_ago
from importer.model import (
    Conversation,
    Judgement,
    Outcome,
    State,
    Step,
    StepKind,
    TicketMemory,
    TicketResult,
    Verdict,
)
from importer.push.context import TicketJournal


class AdoptionJournal(TicketJournal, Protocol):
    """A journal that also records what Dixa holds already."""

    def adopt(
        self,
        step: Step,
        state: State,
        *,
        dixa_id: str | None = None,
        reason: str = "",
        outcomes: Mapping[str, Outcome] = ...,
    ) -> None: ...

    def name_doubles(self, ticket_id: str, doubles: Sequence[str]) -> None: ...

    def conversation_known(self, dixa_id: str) -> bool: ...


class Adopted:
    """What Dixa holds of one ticket, until all of it is recorded."""

    def __init__(self, job: Conversation, memory: TicketMemory) -> None:
        self._job = job
        self._records = {(record.kind, record.key): record for record in memory.steps}
        self._adopted: list[tuple[Step, Judgement]] = []
        self._absent: list[Step] = []
        # By message id.
        self._states: dict[str, Outcome] = {}
        self._lacks: list[str] = []
        self._doubt = ""

    @property
    def known(self) -> set[str]:
        """The ids in Dixa of the messages that are there."""
        earlier = (r.dixa_id for (kind, _), r in self._records.items() if kind is StepKind.MESSAGE)
        now = (outcome.dixa_id for outcome in self._states.values())
        return {dixa_id for dixa_id in (*earlier, *now) if dixa_id}

    def is_done(self, kind: StepKind, key: str) -> bool:
        """Whether the checkpoint knew it."""
        record = self._records.get((kind, key))
        return record is not None and record.done

    def conversation(self, step: Step, judgement: Judgement, *, without: AbstractSet[str]) -> None:
        """A conversation with the messages of its creation, `without` those that it does not show."""
        there = tuple(carried for carried in step.carries if carried.key not in without)
        self._adopted.append((replace(step, carries=there), judgement))
        self._states |= {c.key: judgement.outcomes.get(c.key, Outcome(State.IMPORTED)) for c in there}
        self._lacks += filter(None, [judgement.reason])

    def message(self, step: Step, outcome: Outcome | None) -> None:
        """A message that was added; None if it is not there."""
        if outcome is None:
            self._absent.append(step)
        else:
            self._states[step.key] = outcome
            self._adopted.append((step, Judgement(Verdict.CREATED, outcome.dixa_id)))

    def notes(self, api: Api, step: Step, items: Sequence[Item], refusals: Mapping[str, str]) -> None:
        """The notes of a step that are among the items. `refusals` says why messages that are not found
        cannot be sent, by message id."""
        found = api.match(items, replace(long_ago(step), known=frozenset(self.known)))
        there = tuple(c for c in step.carries if c.key in found.outcomes)
        if there:
            part = replace(step, key=there[0].key, carries=there)
            self._adopted.append((part, Judgement(Verdict.CREATED, outcomes=found.outcomes)))
            self._states |= found.outcomes
        for carried in step.carries:
            if carried.key in refusals and carried.key not in found.outcomes:
                own = Step(StepKind.MESSAGE, self._job.ticket_id, carried.key, (carried,))
                reason = refusals[carried.key]
                self._adopted.append((own, Judgement(Verdict.REFUSED, reason=reason)))
                self._states[carried.key] = Outcome(State.REJECTED, reason=reason)
                self._lacks.append(f"message {carried.key}: {reason}")
        rest = tuple(c for c in step.carries if c.key not in self._states)
        if rest and found.unclear:
            part = replace(step, key=rest[0].key, carries=rest)
            self._doubt = f"Dixa holds {len(found.unclear)} private note(s) that could be some of {len(rest)}"
            self._adopted.append((part, Judgement(Verdict.IN_DOUBT, reason=self._doubt)))
            self._states |= {c.key: Outcome(State.IN_DOUBT) for c in rest}
        elif rest:
            self._absent.append(replace(step, key=rest[0].key, carries=rest))

    def setting(self, step: Step, *, is_there: bool) -> None:
        """A setting of the conversation."""
        if is_there:
            self._adopted.append((step, Judgement(Verdict.CREATED)))
        else:
            self._absent.append(step)

    def record(self, journal: AdoptionJournal, dixa_id: str) -> TicketResult:
        """Record everything. Nothing is awaited in between, so it is one commit."""
        job = self._job
        journal.begin(job.ticket_id)
        for step, judgement in self._adopted:
            journal.adopt(
                step,
                judgement.state or State.IN_DOUBT,
                dixa_id=judgement.dixa_id,
                reason=judgement.reason,
                outcomes=judgement.outcomes,
            )
        for step in self._absent:
            record = self._records.get((step.kind, step.key))
            if record and record.state in (None, State.IN_DOUBT):
                journal.withdraw(step)
        state, reason = State.LEFT, "; ".join(self._lacks)
        if self._doubt:
            state, reason = State.IN_DOUBT, self._doubt
            journal.end(job.ticket_id, state, dixa_id=dixa_id, reason=reason)
        elif not self._absent:
            state = State.ALREADY_THERE
            kept = State.PARTIAL if self._lacks else State.IMPORTED
            journal.end(job.ticket_id, kept, dixa_id=dixa_id, reason=reason, source_hash=job.source_hash)
        places = {key: outcome.state for key, outcome in self._states.items()}
        places |= {key: State.IMPORTED for kind, key in self._records if self.is_done(kind, key)}
        return ticket_result(job, state, dixa_id, reason, places)


_PLACES = {State.IMPORTED: State.ALREADY_THERE, State.PARTIAL: State.ALREADY_THERE}


def ticket_result(
    job: Conversation,
    state: State,
    dixa_id: str | None = None,
    reason: str = "",
    places: Mapping[str, State] | None = None,
) -> TicketResult:
    """What became of a ticket. `places` are the states of the messages that were found, by message id."""
    messages: Counter[State] = Counter()
    attachments: Counter[State] = Counter()
    for message in job.messages:
        found = (places or {}).get(message.message_id, State.LEFT)
        place = _PLACES.get(found, found)
        messages[place] += 1
        attachments[place] += len(message.attachments)
    return TicketResult(job.ticket_id, state, dixa_id, messages, attachments, reason)
