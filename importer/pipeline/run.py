"""The last step of the path: what a dry run prepares is pushed."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from importer.checkpoint import queries
from importer.checkpoint.journal import Checkpoint
from importer.dixa import APIS
from importer.dixa.api import Account
from importer.dixa.response_rules import created_id
from importer.errors import CheckpointError, Invalid, RunError, Unauthorized
from importer.migration.target import AttachmentsSection, TargetSection
from importer.model import Answer, Contact, Doubt, Request, State, Step, StepKind, TicketResult
from importer.pipeline.values import Limits, Prepared, RunHooks, RunResult
from importer.plan.changes import HASH_MAKER
from importer.push import account
from importer.push.context import Allowance, PushContext, PushOptions, Slots
from importer.push.lag import Lag
from importer.push.people import PeopleDirectory
from importer.push.reconcile import Found, Settlement, Settler, record_settlement
from importer.push.workers import push
from importer.relate import agents_csv
from importer.transport.client import Client
from importer.transport.exchange import Exchange, NotRead, Patience
from importer.transport.listing import list_all
from importer.transport.pace import Pace, Stopped

# A request that comes later than timeout and grace allow is not expected; some margin costs only look-ups.
LATE_MARGIN_SECONDS = 30.0
# After so many files that Dixa could not fetch, the user is told.
FILES_LOST_TO_TELL = 3
DEFAULT_ATTACHMENTS = AttachmentsSection()


def options(
    target: TargetSection,
    attachments: AttachmentsSection = DEFAULT_ATTACHMENTS,
    *,
    with_holes: bool = False,
    again: bool = False,
    strict: bool = False,
) -> PushOptions:
    """The options of a push to this target."""
    latest = target.latest
    if latest is None:
        latest = target.timeout + target.grace + LATE_MARGIN_SECONDS
    return PushOptions(
        with_holes,
        again,
        strict,
        grace_seconds=target.grace,
        latest_seconds=latest,
        patience_seconds=target.max_outage + latest,
        unfetchable=attachments.unfetchable,
    )


async def run(
    prepared: Prepared,
    journal: Checkpoint,
    *,
    authorization: str,
    options: PushOptions,
    limits: Limits,
    hooks: RunHooks,
) -> RunResult:
    """Push the plan. Failures of the run end it early and stand in the result, so that the books of what was
    done up to there can be written."""
    target = prepared.migration.target
    api = APIS[target.api]
    ran = RunResult(prepared.books)
    started = time.monotonic()
    pace = Pace(target.rate, target.burst)
    hooks.on_pace(pace)
    async with Client(
        target.base_url,
        authorization=authorization,
        timeout_seconds=target.timeout,
        connections=target.workers,
    ) as client:
        exchange = Exchange(
            client.send,
            pace=pace,
            judge=api.judge,
            journal=journal,
            patience=Patience(target.attempts, target.max_outage, target.on_quota),
            say=hooks.say,
        )
        ran.traffic = exchange.traffic
        people = PeopleDirectory(
            exchange,
            api,
            journal=journal,
            remembered=journal.person,
            base_url=target.base_url,
            grace_seconds=options.grace_seconds,
            latest_seconds=options.latest_seconds,
            fresh=options.again,
        )
        pushing = RunPhase(prepared, journal, exchange, people, ran, options, limits, hooks)
        try:
            await pushing.go()
        except Stopped:
            pass
        except RunError as error:
            ran.failure = error
        try:
            await journal.flush()
        except RunError as error:
            ran.failure = ran.failure or error
        ran.interrupted = pace.stopped and ran.failure is None and not ran.limit
        _count_people(prepared, ran, people)
        ran.doubles = queries.doubles(prepared.migration.checkpoint)
        ran.unread = queries.unread_count(prepared.migration.checkpoint)
        ran.partial = queries.partial_count(prepared.migration.checkpoint)
        ran.not_in_export = _not_in_export(prepared)
    ran.seconds = time.monotonic() - started
    return ran


@dataclass(slots=True)
class RunPhase:
    """The last step of the path, with everything it works with."""

    prepared: Prepared
    journal: Checkpoint
    exchange: Exchange
    people: PeopleDirectory
    ran: RunResult
    options: PushOptions
    limits: Limits
    hooks: RunHooks
    bad: int = 0
    # Files that Dixa could not fetch.
    lost: int = 0
    doubted: set[str] = field(default_factory=set)

    async def go(self) -> None:
        migration = self.prepared.migration
        timer = None
        if self.limits.seconds is not None:
            timer = asyncio.get_running_loop().call_later(
                self.limits.seconds, self._stop, f"--max-duration {self.limits.seconds:g} s"
            )
        try:
            settler = Settler(
                APIS[migration.target.api],
                self._read_all,
                self._read,
                self.journal.conversation_known,
                Lag(self._read_all, latest_seconds=self.options.latest_seconds, clock=time.time),
                clock=time.time,
                patience_seconds=self.options.patience_seconds,
            )
            self.journal.note("source_hashes", HASH_MAKER)
            await self._check_organization()
            settled = await self._settle_what_was_left(settler, self.journal.doubts())
            if not self.prepared.parts.tickets:
                return
            dixa = await self._look_up()
            if self.options.strict and dixa.unknown:
                raise Invalid(
                    f"Dixa does not know {len(dixa.unknown)} agent(s), so nothing is sent (--strict)"
                )
            allowance = Allowance(self.limits.tickets)
            context = PushContext(
                APIS[migration.target.api].target(migration.conversation_settings(), dixa),
                self.exchange,
                self.people,
                self.journal,
                settler,
                Slots(migration.target.workers),
                remembered=lambda ids: queries.memories(migration.checkpoint, ids),
                agents=dixa.agents,
                options=self.options,
                allowance=allowance,
                clock=time.time,
                settled=settled,
                doubted=self.doubted,
            )
            pushed = push(context, self.prepared.parts.jobs())
            async with aclosing(pushed):
                async for result in pushed:
                    self._took(result)
            if allowance.spent:
                self.ran.limit = self.ran.limit or f"--limit {self.limits.tickets}"
        finally:
            if timer:
                timer.cancel()

    async def _look_up(self) -> Account:
        """The account, with its agents put down as the people they are."""
        migration, related = self.prepared.migration, self.prepared.related
        authors = related.contacts.filter("is_agent").select("email", "phone", "name")
        assignees = related.tickets.select("assignee_email", "assignee_phone", "assignee_name").unique()
        dixa, known = await account.look_up(
            migration.conversation_settings(),
            base_url=migration.target.base_url,
            api_name=migration.target.api,
            api=APIS[migration.target.api],
            agents=_contacts(authors),
            assignees=[contact for contact in _contacts(assignees) if contact.key],
            exchange=self.exchange,
            people=self.people,
        )
        self.ran.replaced_agents, self.ran.unknown_agents = dixa.replaced, dixa.unknown
        self.people.know(known.ids)
        named = set(related.contacts.select("key").collect()["key"])
        for key, dixa_id in known.ids.items():
            if key in named:
                self.journal.record(Step(StepKind.PERSON, "", key), State.ALREADY_THERE, dixa_id=dixa_id)
        for keys, state in ((dixa.replaced, State.FILTERED), (dixa.unknown, State.REJECTED)):
            for key in keys:
                self.journal.record(Step(StepKind.PERSON, "", key), state)
        missing = agents_csv.unknown_agents(related.authors, {*dixa.replaced, *dixa.unknown})
        suggestions = {agent.person: known.suggestion(agent.name or agent.person) for agent in missing}
        self.ran.agents_file = agents_csv.write(self.prepared.migration.agents_file, missing, suggestions)
        return dixa

    def _took(self, result: TicketResult) -> None:
        """A ticket leaves `left` for the place where it ended."""
        for kind, counts in (
            ("tickets", {result.state: 1}),
            ("messages", result.messages),
            ("attachments", result.attachments),
        ):
            self.ran.books[kind].add({State.LEFT: -sum(counts.values())})
            self.ran.books[kind].add(counts)
        self.ran.changed += [(result.ticket_id, what) for what in result.changed]
        self.hooks.ended(result)
        self.bad += result.state in (State.REJECTED, State.FAILED, State.IN_DOUBT)
        if result.state is State.PARTIAL and (lost := result.attachments.get(State.REJECTED, 0)):
            self.bad += lost
            told, self.lost = self.lost >= FILES_LOST_TO_TELL, self.lost + lost
            if self.lost >= FILES_LOST_TO_TELL and not told:
                self.hooks.say(
                    f"Dixa could not fetch {self.lost} files so far. Check that their addresses are public "
                    "and that the old helpdesk still has them. Their tickets are imported without them, and "
                    "a file cannot be added later. Stop with Ctrl-C to look at this first"
                )
        if self.limits.errors is not None and self.bad >= self.limits.errors:
            self._stop(f"--max-errors {self.limits.errors}")

    def _stop(self, limit: str) -> None:
        self.ran.limit = self.ran.limit or limit
        self.exchange.pace.stop()

    async def _check_organization(self) -> None:
        """That it is the account that the checkpoint is about: else what is in a rehearsal's account would
        seem to be in this one. A token that may not ask this may still do the rest, so a refusal proves
        nothing."""
        request = APIS[self.prepared.migration.target.api].ORGANIZATION
        if request is None:
            return
        try:
            answer = await self.exchange.read(request)
        except (Unauthorized, NotRead):
            return
        now = created_id(answer) if answer else None
        before = self.journal.noted("organization")
        if now and before and now != before:
            raise CheckpointError(
                f"{self.prepared.migration.checkpoint}: its content was sent to another organization "
                f"({before}; this token belongs to {now}). Take the right token, or give this migration "
                "another name"
            )
        if now:
            self.journal.note("organization", now)

    async def _settle_what_was_left(
        self, settler: Settler, doubts: Sequence[tuple[Step, Doubt]]
    ) -> dict[str, Doubt]:
        """What earlier runs sent without learning the outcome, before anything else is sent. Returns the
        creations of conversations among it, by ticket."""
        if not doubts:
            return {}
        grace = self.options.grace_seconds
        newest = max(doubt.last_at for _, doubt in doubts)
        until = max(0.0, newest + self.options.latest_seconds - time.time())
        self.hooks.say(
            f"{len(doubts)} request(s) of an earlier run have no known outcome. Asking Dixa; this takes up "
            f"to {max(grace, until):.0f} s"
        )
        await self.exchange.pace.pause(min(grace, until))
        requesters = Counter(doubt.expected.get("requester_id") for _, doubt in doubts)
        for step, doubt in doubts:
            await self.journal.flush()  # what the one before was settled to must count as known
            requester = doubt.expected.get("requester_id")
            try:
                settlement = await settler.settle(
                    doubt,
                    [c.key for c in step.carries],
                    wait=self.exchange.pace.pause,
                    alone=requesters[requester] <= 1,
                )
            except NotRead as error:
                settlement = Settlement(Found.AMBIGUOUS, evidence=str(error))
            record_settlement(self.journal, step, doubt, settlement, settlement.evidence)
            if settlement.found is not Found.AMBIGUOUS:
                self.ran.settled += 1
            elif requester and doubt.expected.get("alone", True):
                self.doubted.add(requester)
        await self.journal.flush()
        return {doubt.ticket_id: doubt for _, doubt in doubts if doubt.kind is StepKind.CONVERSATION}

    async def _read_all(self, request: Request) -> Sequence[Mapping[str, Any]]:
        target = self.prepared.migration.target
        return await list_all(APIS[target.api], self.exchange, request, target.base_url)

    async def _read(self, request: Request) -> Answer | None:
        return await self.exchange.read(request)


def _not_in_export(prepared: Prepared) -> tuple[str, ...]:
    """The tickets that were begun, came to no end, and are nowhere in this export."""
    begun = queries.unfinished(prepared.migration.checkpoint)
    if not begun:
        return ()
    ids = pl.concat(
        [
            prepared.related.tickets.select("ticket_id"),
            prepared.related.fates["tickets"].select("ticket_id"),
        ]
    )
    there = set(ids.filter(pl.col("ticket_id").is_in(begun)).collect(engine="streaming")["ticket_id"])
    return tuple(ticket_id for ticket_id in begun if ticket_id not in there)


def _contacts(frame: pl.LazyFrame) -> list[Contact]:
    return [Contact(*row) for row in frame.collect(engine="streaming").iter_rows()]


def _count_people(prepared: Prepared, ran: RunResult, people: PeopleDirectory) -> None:
    """The people whom the plan names, by what the checkpoint says of them now."""
    known = dict(queries.people(prepared.migration.checkpoint))
    ledger, created = ran.books["people"], people.counts[State.IMPORTED]
    for (key,) in prepared.related.contacts.select("key").collect(engine="streaming").iter_rows():
        state = known.get(key, State.LEFT) or State.IN_DOUBT
        if state is State.IMPORTED:
            state = State.IMPORTED if created > 0 else State.ALREADY_THERE
            created -= 1
        ledger.add({State.LEFT: -1})
        ledger.add({state: 1})
