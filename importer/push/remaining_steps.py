"""The steps of a ticket that are still to be sent, given what the checkpoint knows of it. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from importer.dixa.api import Target
from importer.model import DERIVED, SETTINGS, Conversation, State, Step, StepKind, StepRecord, TicketMemory

READ_DIFFERENTLY = (
    "the export is read differently than at the import, so this message may be in Dixa already; "
    "it is not sent again"
)
OUT_OF_ORDER = "it belongs before messages that are in Dixa already (--with-holes adds it at the end)"


@dataclass(slots=True)
class RemainingSteps:
    """What is left to do for one ticket. `find` fills the fields after the options."""

    job: Conversation
    memory: TicketMemory
    target: Target
    # Send the messages after a refused message.
    with_holes: bool = False
    # Try refused steps and messages also if their content has not changed.
    again: bool = False
    # The id of the conversation, if it is in Dixa.
    dixa_id: str | None = None
    # To be sent, in this order.
    steps: list[Step] = field(default_factory=list)
    # By message id, for the messages whose outcome is known.
    states: dict[str, State] = field(default_factory=dict)
    # By message id: how many of its attachments Dixa rejected.
    refused: Counter[str] = field(default_factory=Counter)
    # The ids of the messages whose content has changed since the import; `ticket` for the ticket itself.
    changed: list[str] = field(default_factory=list)
    # The doubt that blocks the ticket, or an empty string.
    held: str = ""
    # Why Dixa refused the conversation, or an empty string.
    refusal: str = ""
    # What the conversation lacks, one reason each.
    lacks: list[str] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Whether nothing of the ticket is sent. If a message was refused, the rest of an existing
        conversation is sent only if the order does not matter, because messages have their own times, or with
        --with-holes."""
        allowed = self.with_holes or not self.target.ordered
        may_lack = self.memory.state is State.PARTIAL or (allowed and self.dixa_id is not None)
        return bool(self.refusal) or (bool(self.lacks) and not may_lack)

    def find(self) -> None:
        """Fill the fields from what the checkpoint knows."""
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
        """The ids of the messages that are still to be sent to a conversation that is in Dixa."""
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
        """Whether the checkpoint knows what became of a message, so that it is not sent now."""
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
        self.states[message_id] = State.ALREADY_THERE
        self.refused[message_id] = record.refused
        if record.refused and record.dixa_id:
            # What the creation of the conversation lacks is in its own reason.
            self.lacks.append(record.reason)
        return True

    def _settled(self, step: Step, known: Mapping[tuple[StepKind, str], StepRecord]) -> bool:
        """Whether the checkpoint knows what became of a step, so that it is not sent now. Messages and notes
        are never settled here; `_is_known` decides on them."""
        record = known.get((step.kind, step.key))
        if step.kind in (StepKind.MESSAGE, StepKind.NOTES):
            return False
        otherwise = record is None or (record.done and record.fingerprint != step.fingerprint)
        if step.kind in SETTINGS and self.memory.finished and otherwise:
            # Since an earlier run finished the conversation, people in Dixa may have changed it. Only a
            # setting that was refused is sent again.
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
        self.held = self.held or f"{what}: it is not known whether Dixa holds it. {record.reason}".strip()

    def set_state(self, step: Step, state: State) -> None:
        """Set the state of all messages that a step carries."""
        for carried in step.carries:
            self.states[carried.key] = state

    def refuse(self, message_id: str, reason: str) -> None:
        """Note that the conversation lacks a message, and why."""
        self.states[message_id] = State.REJECTED
        self.lacks.append(f"message {message_id}: {reason}")

    def _without_new_readings(
        self, wanted: set[str], known: Mapping[tuple[StepKind, str], StepRecord]
    ) -> set[str]:
        """The wanted messages, without those whose derived id may be new only because the export is read
        differently than at the import. That is assumed if derived ids which were imported are no longer in
        the export."""
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
        """The wanted messages, without those that belong before a message that is in Dixa: a message can only
        be added at the end."""
        places = {message.message_id: n for n, message in enumerate(self.job.messages)}
        last = max(
            (places[key] for key, state in self.states.items() if state is State.ALREADY_THERE), default=-1
        )
        late = {message_id for message_id in wanted if places[message_id] < last}
        for message_id in sorted(late, key=places.__getitem__):
            self.refuse(message_id, OUT_OF_ORDER)
        return wanted - late
