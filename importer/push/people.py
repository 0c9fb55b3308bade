"""People by their address: each is looked up, and created if missing, only once, also if several
conversations ask for them at the same time. A creation in doubt is settled by looking them up again: after
the grace period, and, as the look-up may be behind, once more when Dixa can no longer carry it out."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from importer.dixa.api import Api
from importer.model import Carried, Contact, PersonRecord, Request, State, Step, StepKind, Verdict
from importer.transport.exchange import Exchange, Journal, NotListed, NotRead
from importer.transport.listing import list_all

# In one request; Dixa documents no maximum.
PEOPLE_AT_ONCE = 50
LOOK_UPS_AFTER_REFUSAL = 6
CreatePeople = Callable[[Sequence[Contact]], Request]


@dataclass(frozen=True, slots=True)
class Person:
    """A person in Dixa, or why there is none."""

    state: State
    # None unless the state is imported or already_there.
    dixa_id: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PersonNow:
    """A person in Dixa, some time after the import."""

    # The user id that the checkpoint has; None if it has none.
    before: str | None
    # The ids of the users who have the person's address now.
    now: tuple[str, ...]

    @property
    def dixa_id(self) -> str | None:
        """The user id that the tickets were imported with."""
        return self.before or next(iter(self.now), None)

    @property
    def problem(self) -> str:
        """What became of the person: `gone`, `merged`, `twice`, or nothing."""
        if self.before and not self.now:
            return "gone"
        if self.before and self.before not in self.now:
            return "merged"
        return "twice" if len(self.now) > 1 else ""


class PeopleDirectory:
    """Looks up and creates people. `counts` counts the distinct people of this run by state."""

    def __init__(
        self,
        exchange: Exchange,
        api: Api,
        *,
        journal: Journal,
        remembered: Callable[[str], PersonRecord | None],
        base_url: str,
        grace_seconds: float,
        latest_seconds: float,
        fresh: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """With `fresh`, people whom the checkpoint knows are looked up again, because they may have been
        merged or deleted in Dixa. `latest_seconds`: how long after it was sent Dixa may still carry out a
        request."""
        self._exchange = exchange
        self._api = api
        self._journal = journal
        self._remembered = remembered
        self._base_url = base_url
        self._grace = grace_seconds
        self._latest = latest_seconds
        self._fresh = fresh
        self._clock = clock
        # When a creation in doubt was sent, by contact key (Unix time).
        self._doubted: dict[str, float] = {}
        self._under_way: dict[str, asyncio.Task[Person]] = {}
        self._meetings: dict[str, asyncio.Task[None]] = {}
        self._ids: dict[str, str] = {}
        # Contact keys that Dixa did not know when they were looked up, and that are not looked up again.
        self._absent: set[str] = set()
        self._read_back: dict[str, asyncio.Future[PersonNow]] = {}
        self.counts: Counter[State] = Counter()

    async def get_or_create(self, contact: Contact) -> Person:
        """The person with this contact's key, created if there is none. If Dixa refuses the person, or no
        attempt succeeds, the result has no id.

        Raises ValueError for a contact without a key, otherwise what Exchange raises.
        """
        return await self._shared(contact, create=True)

    async def lookup(self, contact: Contact) -> Person | None:
        """The person with this contact's key; None if Dixa does not know them. Creates nobody. Raises what
        `get_or_create` raises."""
        if contact.key in self._absent:
            return None
        person = await self._shared(contact, create=False)
        if person.dixa_id is None and contact.key:
            self._absent.add(contact.key)
        return person if person.dixa_id else None

    async def read_back(self, contact: Contact) -> PersonNow:
        """How Dixa shows a person now, each asked for once. Raises what `Exchange.read` raises."""
        key = contact.key or ""
        if key not in self._read_back:
            self._read_back[key] = asyncio.ensure_future(self._ask_again(contact, key))
        return await asyncio.shield(self._read_back[key])

    async def _ask_again(self, contact: Contact, key: str) -> PersonNow:
        record = self._remembered(key)
        request = self._api.find_person(contact)
        users = await list_all(self._api, self._exchange, request, self._base_url)
        now = tuple(str(user["id"]) for user in users if self._api.person_in([user], contact))
        return PersonNow(record.dixa_id if record else None, now)

    def know(self, ids: Mapping[str, str]) -> None:
        """Use these user ids (by contact key) without a look-up."""
        self._ids |= ids

    async def resolve_many(self, contacts: Iterable[Contact]) -> None:
        """Look up these people, and create the missing ones many at a time. Does nothing if the API cannot
        create several people in one request. People who are not created here are left to `get_or_create`,
        which retries.

        Raises what Exchange raises, except NotRead.
        """
        fresh = {
            contact.key: contact
            for contact in contacts
            if contact.key and not any(contact.key in d for d in (self._ids, self._under_way, self._meetings))
        }
        create = self._api.create_people
        if not fresh or create is None:
            return
        task = asyncio.ensure_future(self._resolve_many(fresh, create))
        self._meetings |= dict.fromkeys(fresh, task)
        try:
            await task
        finally:
            for key in fresh:
                del self._meetings[key]

    async def _resolve_many(self, fresh: Mapping[str, Contact], create: CreatePeople) -> None:
        absent: list[tuple[str, Contact]] = []

        async def ask(key: str, contact: Contact) -> None:
            try:
                person = await self._known(contact, Step(StepKind.PERSON, "", key))
            except NotRead:
                return
            if person:
                self._took(key, person)
            else:
                absent.append((key, contact))

        await asyncio.gather(*(ask(key, contact) for key, contact in fresh.items()))
        for start in range(0, len(absent), PEOPLE_AT_ONCE):
            await self._create_together(dict(absent[start : start + PEOPLE_AT_ONCE]), create)

    async def _create_together(self, contacts: Mapping[str, Contact], create: CreatePeople) -> None:
        request = create(list(contacts.values()))
        step = Step(StepKind.PERSON, "", "", carries=tuple(map(Carried, contacts)))
        judgement = await self._exchange.create(step, request)
        in_doubt = judgement.verdict is Verdict.IN_DOUBT
        if in_doubt:
            self._doubted |= dict.fromkeys(contacts, judgement.sent_at)
            await self._exchange.pace.pause(self._grace)
        for key, contact in contacts.items():
            own = Step(StepKind.PERSON, "", key)
            outcome = judgement.outcomes.get(key)
            person = None
            if outcome and outcome.dixa_id:
                person = Person(State.IMPORTED, outcome.dixa_id)
            elif in_doubt:
                with suppress(NotRead):
                    person = await self._look_up(contact, own, State.IMPORTED)
            if person:
                self._took(key, person)
            elif judgement.verdict is Verdict.CREATED and outcome is None:
                # Somebody was created, and the response does not say who; the look-up may be behind.
                self._doubted[key] = judgement.sent_at
                self._journal.record(
                    own, State.IN_DOUBT, reason="created, and the response does not show who"
                )
            elif not in_doubt:
                self._journal.withdraw(own)

    async def _shared(self, contact: Contact, *, create: bool) -> Person:
        key = contact.key
        if key is None:
            raise ValueError(
                "a contact without e-mail address, phone number and external id cannot be looked up"
            )
        if dixa_id := self._ids.get(key):
            return Person(State.ALREADY_THERE, dixa_id)
        if (meeting := self._meetings.get(key)) and not meeting.done():
            await asyncio.wait([meeting])
            return await self._shared(contact, create=create)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._settle(contact, key, create=create))
            self._under_way[key] = task
        # Shielded: other workers may wait for the same person when this worker is cancelled.
        return await asyncio.shield(task)

    async def _settle(self, contact: Contact, key: str, *, create: bool) -> Person:
        try:
            person = await self._resolve(contact, key, create=create)
        finally:
            del self._under_way[key]
        self._took(key, person)
        return person

    def _took(self, key: str, person: Person) -> None:
        if person.dixa_id:
            self._ids[key] = person.dixa_id
        self.counts[person.state] += 1

    async def _resolve(self, contact: Contact, key: str, *, create: bool) -> Person:
        step = Step(StepKind.PERSON, "", key)
        person = await self._known(contact, step)
        if person or not create:
            return person or Person(State.LEFT, None, "Dixa knows nobody with this address")
        return await self._create(contact, step)

    async def _known(self, contact: Contact, step: Step) -> Person | None:
        """The person whom the checkpoint or Dixa knows."""
        record = self._remembered(step.key)
        if record and record.dixa_id and not self._fresh:
            return Person(State.ALREADY_THERE, record.dixa_id)
        # An earlier export may have had no address of theirs.
        former = self._remembered(f"id:{contact.external_id}") if contact.external_id else None
        if former and former.dixa_id and not self._fresh:
            self._journal.record(step, State.ALREADY_THERE, dixa_id=former.dixa_id)
            return Person(State.ALREADY_THERE, former.dixa_id)
        sent_at = self._doubt_of(step)
        if step.key in self._absent and sent_at is None:
            return None  # who comes in between is refused as already there, and looked up then
        return await self._look_up_in_time(contact, step, sent_at)

    def _doubt_of(self, step: Step) -> float | None:
        """When a creation of the person was sent whose outcome is not known (Unix time). An earlier run may
        have sent it before it ended."""
        record = self._remembered(step.key)
        times = [self._doubted.get(step.key)]
        times += [record.at] if record and record.state in (None, State.IN_DOUBT) else []
        return max((at for at in times if at is not None), default=None)

    async def _create(self, contact: Contact, step: Step) -> Person:
        """Create the person. If the creation is in doubt, or refused because somebody already has the
        address, look them up again."""
        sent_at = self._doubt_of(step)
        for _ in range(self._exchange.patience.attempts):
            judgement = await self._exchange.create(step, self._api.create_person(contact))
            if judgement.verdict is Verdict.CREATED:
                return Person(State.IMPORTED, judgement.dixa_id)
            if judgement.verdict is Verdict.IN_DOUBT:
                sent_at = judgement.sent_at
                await self._exchange.pace.pause(self._grace)
            # A refusal after a doubt may say that the first request was carried out.
            mine = State.ALREADY_THERE if sent_at is None else State.IMPORTED
            found = await self._look_up_in_time(contact, step, sent_at, mine)
            if found is None and contact.email and contact.phone:
                found = await self._look_up(replace(contact, email=None), step, mine)
            if found:
                return found
            if judgement.verdict is Verdict.REFUSED and sent_at is None:
                return Person(State.REJECTED, None, judgement.reason)
            if judgement.verdict is Verdict.REFUSED:
                found = await self._look_up_patiently(contact, step)
                return found or Person(State.FAILED, None, judgement.reason)
            self._journal.withdraw(step)
        self._journal.record(step, State.FAILED, reason=judgement.reason)
        return Person(State.FAILED, None, judgement.reason)

    async def _look_up_in_time(
        self, contact: Contact, step: Step, sent_at: float | None, state: State = State.ALREADY_THERE
    ) -> Person | None:
        """Look the person up. If a creation was sent at `sent_at` (Unix time) and its outcome is not known,
        nobody is concluded to be absent before Dixa can no longer carry it out."""
        found = await self._look_up(contact, step, state)
        wait = 0.0 if sent_at is None else sent_at + self._latest - self._clock()
        if found or wait <= 0:
            return found
        await self._exchange.pace.pause(wait)
        return await self._look_up(contact, step, state)

    async def _look_up_patiently(self, contact: Contact, step: Step) -> Person | None:
        """Look up somebody whom Dixa refuses after a creation in doubt: they may be there, and the look-up
        may be behind."""
        for _ in range(LOOK_UPS_AFTER_REFUSAL):
            await self._exchange.pace.pause(self._latest / 2)
            if found := await self._look_up(contact, step, State.IMPORTED):
                return found
        return None

    async def _look_up(
        self, contact: Contact, step: Step, state: State = State.ALREADY_THERE
    ) -> Person | None:
        request = self._api.find_person(contact)
        try:
            users = await list_all(self._api, self._exchange, request, self._base_url)
        except NotListed:
            return None
        dixa_id = self._api.person_in(users, contact)
        if dixa_id is None:
            return None
        self._journal.record(step, state, dixa_id=dixa_id)
        return Person(state, dixa_id)
