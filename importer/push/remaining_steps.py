"""What is still to be sent of a ticket, by what the checkpoint knows of it. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from importer.dixa.api import Target
from importer.model import DERIVED, SETTINGS, Conversation, State, Step, StepKind, StepRecord, TicketMemory

READ_DIFFERENTLY = "the export seems to be read otherwise than when it was imported, so it is not sent again"
OUT_OF_ORDER = "it belongs before messages that are in Dixa already (--with-holes adds it at the end)"


@dataclass(slots=True)
class RemainingSteps:
    """Once found: `steps` are to be sent, in this order. Of the rest: `states` by message, `refused` counts
    the attachments that Dixa did not take; `carried` are the messages that came in with the conversation
    (`dixa_id`), so that their ids are not known; `changed` names what has another content than what was
    imported. `held` says which doubt holds the ticket, `refusal` why there is no conversation, `lacks` what
    the conversation lacks.

    `with_holes`: a refused message does not hold back the ones after it. `again`: what was refused is tried
    also where its content is the same.
    """

    job: Conversation
    memory: TicketMemory
    target: Target
    with_holes: bool = False
    again: bool = False
    dixa_id: str | None = None
    steps: list[Step] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    carried: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    held: str = ""
    refusal: str = ""
    lacks: list[str] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Whether nothing of it goes. A conversation that is there may go on without a message of it where
        its messages have their own times, so that nothing comes too late."""
        allowed = self.with_holes or not self.target.ordered
        may_lack = self.memory.state is State.PARTIAL or (allowed and self.dixa_id is not None)
        return bool(self.refusal) or (bool(self.lacks) and not may_lack)

    def find(self) -> None:
        known = {(record.kind, record.key): record for record in self.memory.steps}
        conversation = known.get((StepKind.CONVERSATION, ""))
        wanted: set[str] | None = None
        if conversation is not None and conversation.done and conversation.dixa_id:
            self.dixa_id = conversation.dixa_id
            if conversation.fingerprint != self.target.fingerprint(self.job):
                self.changed.append("ticket")
            if conversation.state is State.PARTIAL:
                self.lacks.append(conversation.reason)
            wanted = self._wanted(known)
        late = {
            message_id
            for message_id in wanted or ()
            if self.memory.finished and (StepKind.MESSAGE, message_id) not in known
        }
        steps = self.target.steps(self.job, created=wanted is not None, wanted=wanted, late=late)
        self.steps = [step for step in steps if not self._settled(step, known)]
        going = {carried.key for step in self.steps for carried in step.carries}
        for message_id in sorted(wanted or ()):
            if message_id not in going:
                self.refuse(message_id, self.target.not_added)

    def _wanted(self, known: Mapping[tuple[StepKind, str], StepRecord]) -> set[str]:
        """The messages of a conversation that is in Dixa which are still to be sent."""
        wanted = {
            message.message_id
            for message in self.job.messages
            if not self._is_known(message.message_id, message.fingerprint, known)
        }
        wanted = self._without_new_readings(wanted, known)
        if not self.target.ordered or self.with_holes:
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
            if self.again or record.fingerprint != fingerprint:
                return False
            self.refuse(message_id, record.reason)
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
            self.set_state(step, State.IN_DOUBT)
            return True
        if record.state is not State.REJECTED:
            return record.done
        refused = {
            key: old.fingerprint
            for (kind, key), old in known.items()
            if kind is StepKind.MESSAGE and step.kind is StepKind.CONVERSATION
        }
        same = (
            not self.again
            and record.fingerprint == step.fingerprint
            and refused == {c.key: c.fingerprint for c in step.carries}
        )
        if same and step.kind is StepKind.CONVERSATION:
            self.refusal = f"{step.kind}: {record.reason}"
            self.set_state(step, State.REJECTED)
        elif same:
            self.lacks.append(f"{step.kind}: {record.reason}")
        return same

    def _hold(self, what: str, record: StepRecord) -> None:
        self.held = (
            self.held or f"{what}: sent, and it is unknown whether Dixa created it. {record.reason}".strip()
        )

    def set_state(self, step: Step, state: State) -> None:
        for carried in step.carries:
            self.states[carried.key] = state

    def refuse(self, message_id: str, reason: str) -> None:
        self.states[message_id] = State.REJECTED
        self.lacks.append(f"message {message_id}: {reason}")

    def _without_new_readings(
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
            self.refuse(message_id, READ_DIFFERENTLY)
        return wanted - derived

    def _in_order(self, wanted: set[str]) -> set[str]:
        """Without those that would come too late: nothing can be put before what Dixa has."""
        places = {message.message_id: n for n, message in enumerate(self.job.messages)}
        last = max(
            (places[key] for key, state in self.states.items() if state is State.ALREADY_THERE), default=-1
        )
        late = {message_id for message_id in wanted if places[message_id] < last}
        for message_id in sorted(late, key=places.__getitem__):
            self.refuse(message_id, OUT_OF_ORDER)
        return wanted - late
