"""What Dixa holds of the tickets of an export, whatever the checkpoint knows: for a checkpoint that was lost,
or that is an older copy. Only reads from Dixa.

A ticket's conversation is found among those of its requester, by what was sent (ReadingApi.recognise). What
is as it was sent belongs to its ticket at once. What may belong to several tickets is decided in a second
round, when the others have found theirs. What cannot be decided then is in doubt; it is never guessed.
"""

import asyncio
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from importer.dixa.api import Api, Target, lists_additions
from importer.dixa.matching import Item, Likeness, Recognition, Seen, Sent, seen
from importer.model import (
    AGENT,
    SETTINGS,
    Carried,
    Conversation,
    Judgement,
    State,
    Step,
    StepKind,
    TicketMemory,
    TicketResult,
    Verdict,
    fingerprint,
)
from importer.push.adopted import Adopted, AdoptionJournal, ticket_result
from importer.push.people import PeopleDirectory
from importer.push.reconcile import ReadAll, shaped
from importer.transport.exchange import NotRead

# Lists of so many requesters are kept. Those of others are read again when they are needed.
REQUESTERS_KEPT = 20_000
# So many conversations are looked at at most, before a first run, and for those with another time.
LOOKED_AT = 200
# Longer texts are kept as what is needed to compare them.
TEXT_KEPT = 80
NO_RECORD = TicketMemory()


@dataclass(frozen=True, slots=True)
class _Candidate:
    item: Item
    found: Recognition

    @property
    def dixa_id(self) -> str:
        return str(self.item["id"])


@dataclass(frozen=True, slots=True)
class _Sought:
    """A ticket, as it is looked for."""

    job: Conversation
    memory: TicketMemory
    # User ids as Target.request needs them, and that of the requester.
    ids: Mapping[str, str]
    requester: str
    # The creation of its conversation, with what is expected; and what its request says. Conversations that
    # equal requests created are interchangeable, as long as nothing was added to them.
    creation: Step
    says: bytes
    # The messages that were added after the creation.
    sent: Mapping[str, Sent]

    @property
    def dixa_id(self) -> str | None:
        """The id of its conversation, if the checkpoint knows it."""
        records = (r for r in self.memory.steps if r.kind is StepKind.CONVERSATION and r.done)
        return next((record.dixa_id for record in records if record.dixa_id), None)


@dataclass(slots=True)
class Adoption:
    """Finds the tickets of an export in Dixa, and records what is found."""

    api: Api
    target: Target
    people: PeopleDirectory
    journal: AdoptionJournal
    read_all: ReadAll
    # The user id by an agent's contact key.
    agents: Mapping[str, str]
    # The tickets that are to be asked for in a second round.
    open: set[str] = field(default_factory=set)
    # How many more conversations are looked at that do not have the time of a ticket.
    looks_left: float = LOOKED_AT
    _conversations: OrderedDict[str, Mapping[str, Item]] = field(default_factory=OrderedDict)
    # By requester: the conversations among them that are no ticket's yet, by id.
    _unclaimed: dict[str, dict[str, Item]] = field(default_factory=dict)
    _messages: dict[str, Sequence[Item]] = field(default_factory=dict)
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _taken: set[str] = field(default_factory=set)
    # Conversation id → the creations of the open tickets that it may belong to.
    _rivals: dict[str, list[bytes]] = field(default_factory=dict)
    # Creation → how many of the open tickets were not yet asked for in the second round.
    _waiting: Counter[bytes] = field(default_factory=Counter)
    # Conversation id → the ticket that it is a duplicate of, unless it belongs to another one.
    _suspected: dict[str, str] = field(default_factory=dict)
    _named: dict[str, list[str]] = field(default_factory=dict)

    async def ask(self, job: Conversation, memory: TicketMemory) -> TicketResult | None:
        """Look for a ticket, and record what is found. None if it is to be asked for in the second round
        (`open`). Raises what ends a run."""
        is_last = job.ticket_id in self.open
        try:
            sought = await self._sought(job, memory)
            if sought is None:
                return self._absent(job, memory)
            lock = self._locks.get(sought.requester)
            if lock is None:
                lock = self._locks[sought.requester] = asyncio.Lock()
            async with lock:
                with shaped():
                    return await self._find(sought, is_last=is_last)
        except NotRead as error:
            return ticket_result(job, State.FAILED, reason=str(error))

    async def first_held(self, jobs: Iterable[Conversation]) -> tuple[str, str] | None:
        """The first of these tickets that Dixa seems to hold, and the id of its conversation. Records
        nothing, and looks at LOOKED_AT conversations at most. Raises what ends a run."""
        for job in jobs:
            try:
                requester = await self.people.lookup(job.requester)
                if requester is None or not await self.conversations_of(requester.dixa_id or ""):
                    continue
                sought = await self._sought(job, NO_RECORD)
                if sought is None:
                    continue
                with shaped():
                    likely, unlikely = self._by_likelihood(sought)
                    for item in (*likely, *unlikely):
                        if (await self._recognised(sought, item)).found.likeness >= Likeness.PROBABLE:
                            return job.ticket_id, str(item["id"])
                        if len(self._messages) >= LOOKED_AT:
                            return None
            except NotRead:
                continue
        return None

    def finish(self) -> None:
        """Name the duplicates that were found."""
        for dixa_id, ticket_id in self._suspected.items():
            if dixa_id not in self._taken:
                self._named.setdefault(ticket_id, []).append(
                    f"conversation {dixa_id} is a duplicate of the one in success.csv"
                )
        for ticket_id, doubles in self._named.items():
            self.journal.name_doubles(ticket_id, doubles)

    async def _sought(self, job: Conversation, memory: TicketMemory) -> _Sought | None:
        """None if Dixa does not know the requester; then it holds nothing of the ticket."""
        ids: dict[str, str] = {}
        requester = await self.people.lookup(job.requester)
        if requester is None or requester.dixa_id is None:
            return None
        ids[job.requester.key or ""] = requester.dixa_id
        for message in job.messages:
            key = message.author.key if message.author else None
            if message.author is None or key is None:
                continue
            if message.by_agent:
                ids[AGENT + key] = self.agents.get(key, "")
            elif key not in ids:
                author = await self.people.lookup(message.author)
                # Whom Dixa does not know wrote nothing there.
                ids[key] = (author.dixa_id if author else None) or ""
        creation = self._expecting(self.target.steps(job)[0], job, ids)
        says = fingerprint(json.dumps(self.target.request(creation, job, ids).json, sort_keys=True))
        carried = {carried.key for carried in creation.carries}
        keys = {message.message_id for message in job.messages} - carried
        sent = self.target.sent(job, ids, keys)
        return _Sought(job, memory, ids, requester.dixa_id, creation, says, sent)

    def _expecting(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Step:
        request = self.target.request(step, job, ids)
        expected = self.target.expected(step, request, ids)
        # When the request was sent is not known. So where Dixa sets the times itself, they decide nothing.
        expected |= {"offset": None if self.target.ordered else 0.0, "latest": 0.0, "adopted": True}
        expected["alone"] = not self.target.is_unmistakable(step, job)
        return replace(step, expected=expected)

    async def _find(self, sought: _Sought, *, is_last: bool) -> TicketResult | None:
        job = sought.job
        if sought.dixa_id:
            return await self._adopt(sought, await self._known(sought, sought.dixa_id))
        candidates = await self._candidates(sought, beyond=True)
        certain = [c for c in candidates if c.found.likeness is Likeness.CERTAIN]
        probable = [c for c in candidates if c.found.likeness is Likeness.PROBABLE]
        if certain:
            best = max(certain, key=lambda candidate: len(candidate.found.added))
            others = (c.dixa_id for c in certain if c is not best)
            self._suspected |= dict.fromkeys(others, job.ticket_id)
            return await self._adopt(sought, best)
        if not is_last and candidates:
            self.open.add(job.ticket_id)
            self._waiting[sought.says] += 1
            for candidate in probable:
                self._rivals.setdefault(candidate.dixa_id, []).append(sought.says)
            return None
        waiting, self._waiting[sought.says] = self._waiting[sought.says], self._waiting[sought.says] - 1
        rivals = [says for candidate in probable for says in self._rivals.get(candidate.dixa_id, ())]
        if probable and set(rivals) == {sought.says} and len(probable) <= waiting:
            return await self._adopt(sought, probable[0])
        if not candidates:
            return self._absent(job, sought.memory)
        ids = [candidate.dixa_id for candidate in candidates]
        reason = (
            f"Dixa holds {len(ids)} conversation(s) of the requester that could be it: {', '.join(ids[:5])}"
        )
        self.journal.begin(job.ticket_id)
        self.journal.adopt(sought.creation, State.IN_DOUBT, reason=reason)
        self.journal.end(job.ticket_id, State.IN_DOUBT, dixa_id=None, reason=reason)
        return ticket_result(job, State.IN_DOUBT, reason=reason)

    async def _candidates(self, sought: _Sought, *, beyond: bool = False) -> list[_Candidate]:
        """The conversations of the requester that may be the ticket's and are nobody else's. If there is none
        and `beyond`, also those that show another time, as long as `looks_left`: the times of the export
        may be read otherwise than at the import."""
        await self.conversations_of(sought.requester)
        likely, unlikely = self._by_likelihood(sought)
        found = [await self._recognised(sought, item) for item in likely]
        found = [candidate for candidate in found if candidate.found.likeness is not Likeness.OTHER]
        for item in () if found or not beyond else unlikely:
            if self.looks_left <= 0:
                break
            self.looks_left -= str(item["id"]) not in self._messages
            candidate = await self._recognised(sought, item)
            if candidate.found.likeness is Likeness.CERTAIN:
                # The times are other ones, so all the others have to be looked at too.
                self.looks_left = math.inf
                return [candidate]
        return found

    def _by_likelihood(self, sought: _Sought) -> tuple[list[Item], list[Item]]:
        """The requester's conversations that are nobody's yet: those that could be the ticket's, and the
        others."""
        unclaimed = self._unclaimed[sought.requester].values()
        likely = [item for item in unclaimed if self.api.could_be_ticket(item, sought.creation.expected)]
        ids = {item["id"] for item in likely}
        return likely, [item for item in unclaimed if item["id"] not in ids]

    async def twins(self, job: Conversation) -> list[str]:
        """The ids of conversations that hold this ticket too, and that the checkpoint does not know."""
        sought = await self._sought(job, NO_RECORD)
        candidates = await self._candidates(sought) if sought else []
        timed = not self.target.ordered
        return [
            candidate.dixa_id
            for candidate in candidates
            if candidate.found.likeness >= Likeness.PROBABLE and (timed or candidate.found.added)
        ]

    async def _known(self, sought: _Sought, dixa_id: str) -> _Candidate:
        """The conversation that the checkpoint knows."""
        items = await self.conversations_of(sought.requester)
        own = items.get(dixa_id, {"id": dixa_id})
        if not lists_additions(self.api):
            return _Candidate(own, Recognition(Likeness.CERTAIN))
        return await self._recognised(sought, own)

    async def _recognised(self, sought: _Sought, item: Item) -> _Candidate:
        dixa_id = str(item["id"])
        messages = self._messages.get(dixa_id)
        if messages is None:
            listed = await self.read_all(self.api.messages_of(dixa_id))
            messages = self._messages[dixa_id] = [_condensed(message) for message in listed]
        return _Candidate(item, self.api.recognise(item, messages, sought.creation, sought.sent))

    async def conversations_of(self, requester: str) -> Mapping[str, Item]:
        """The conversations of a requester by id. Raises NotRead, and what ends a run."""
        listed = self._conversations.get(requester)
        if listed is None:
            items = await self.read_all(self.api.conversations_of(requester))
            listed = {str(item["id"]): _condensed(item) for item in items}
            self._conversations[requester] = listed
            self._unclaimed[requester] = {
                dixa_id: item
                for dixa_id, item in listed.items()
                if dixa_id not in self._taken and not self.journal.conversation_known(dixa_id)
            }
        self._conversations.move_to_end(requester)
        if len(self._conversations) > REQUESTERS_KEPT:
            oldest, _ = self._conversations.popitem(last=False)
            del self._unclaimed[oldest]
        return listed

    def _absent(self, job: Conversation, memory: TicketMemory) -> TicketResult:
        """Nothing of the ticket is there. What the checkpoint has as sent is to be sent again."""
        known = {(r.kind, r.key): r for r in memory.steps}
        for step in self.target.steps(job):
            record = known.get((step.kind, step.key))
            if record and record.state in (None, State.IN_DOUBT):
                self.journal.withdraw(step)
        return ticket_result(job, State.LEFT)

    async def _adopt(self, sought: _Sought, there: _Candidate) -> TicketResult:
        """Record what Dixa holds of a ticket, all of it at once."""
        job, dixa_id = sought.job, there.dixa_id
        work = Adopted(job, sought.memory)
        ids = {**sought.ids, "conversation": dixa_id}
        additions: Sequence[Item] | None = None
        notes: list[Carried] = []
        refusals: dict[str, str] = {}
        if not sought.dixa_id:
            judgement = there.found.judgement or Judgement(Verdict.CREATED)
            refused = {key for key, outcome in judgement.outcomes.items() if outcome.state is State.REJECTED}
            work.conversation(sought.creation, replace(judgement, dixa_id=dixa_id), without=refused)
            # What came to the ticket after its import is a note, if it was sent.
            late = self.target.steps(job, created=True, wanted=refused)
            notes += (c for step in late if step.kind is StepKind.NOTES for c in step.carries)
            sendable = self.target.steps(job, created=True, wanted=refused, late=refused)
            unsendable = refused - {c.key for step in sendable for c in step.carries}
            refusals = {key: judgement.outcomes[key].reason for key in unsendable}
        for step in self.target.steps(job)[1:]:
            missing = [c for c in step.carries if not work.is_done(StepKind.MESSAGE, c.key)]
            if step.kind is StepKind.MESSAGE and missing:
                work.message(step, there.found.added.get(step.key))
            elif step.kind is StepKind.NOTES:
                notes += missing
            elif step.kind in SETTINGS and not work.is_done(step.kind, step.key):
                expecting = self._expecting(step, job, ids)
                work.setting(step, is_there=self.api.is_changed_since(there.item, expecting))
        if notes:
            # All together, since of several that are alike their number decides.
            additions = await self.read_all(self.api.additions_of(dixa_id))
            all_notes = Step(StepKind.NOTES, job.ticket_id, notes[0].key, tuple(notes))
            work.notes(self.api, self._expecting(all_notes, job, ids), additions, refusals)
        self._taken.add(dixa_id)
        self._unclaimed.get(sought.requester, {}).pop(dixa_id, None)
        messages = self._messages.pop(dixa_id, None)
        listed = messages if lists_additions(self.api) else additions
        if listed and sought.sent:
            sent = list(sought.sent.values())
            twice = self.api.duplicates(listed, work.known, sent, self.target.openings)
            named = [f"{n} in conversation {dixa_id} is a duplicate" for n, sure in twice.items() if sure]
            if named:
                self._named[job.ticket_id] = named
        return work.record(self.journal, dixa_id)


def _condensed(value: Any) -> Any:
    """What Dixa shows, without long texts: of them, what is needed to compare them."""
    if isinstance(value, str):
        return seen(value) if len(value) > TEXT_KEPT else value
    if isinstance(value, Mapping):
        return {key: _condensed(part) for key, part in value.items()}
    return [_condensed(part) for part in value] if isinstance(value, list) else value


def is_condensed(value: Any) -> bool:
    """Whether long texts were taken out of it."""
    if isinstance(value, Mapping):
        return any(map(is_condensed, value.values()))
    return isinstance(value, Seen) or (isinstance(value, list) and any(map(is_condensed, value)))
