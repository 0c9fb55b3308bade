"""The last step of the one path: what a dry run prepares is pushed."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from importer.books import Books
from importer.checkpoint import database as checkpoint
from importer.dixa import APIS
from importer.dixa.api import Account
from importer.dixa.response_rules import created_id
from importer.errors import CheckpointError, Invalid, RunError, Unauthorized
from importer.migration.file import Migration
from importer.model import Answer, Contact, Doubt, Request, State, Step, StepKind, TicketResult
from importer.pipeline.prepare import MARKS, Prepared, Say, unknown_agents, write_agents
from importer.push import account
from importer.push.people import People
from importer.push.reconcile import Found, Settlement, Settler, put_down
from importer.push.workers import Allowance, Options, Pusher
from importer.transport.client import Client
from importer.transport.exchange import Exchange, NotRead, Patience, Traffic
from importer.transport.pace import Pace, Stopped

# A request that comes later than timeout and grace allow is not expected; some margin costs only look-ups.
LATE_MARGIN_SECONDS = 30.0


def options(
    migration: Migration, *, with_holes: bool = False, again: bool = False, strict: bool = False
) -> Options:
    """The options of a push, as the migration's target has them."""
    target = migration.target
    latest = target.timeout + target.grace + LATE_MARGIN_SECONDS
    return Options(with_holes, again, strict, grace_seconds=target.grace, latest_seconds=latest)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the user wants a run to stop: after so many tickets, failures, or seconds."""

    tickets: int | None = None
    errors: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Ran:
    """How a run went. `failure` is what ended it early, if anything did; `interrupted` by the user; `limit`
    names the limit at which it stopped. `partial` counts the tickets that lack something, of this run and of
    earlier ones; `not_in_export` are those that an earlier run began and that this export does not have."""

    books: Books
    traffic: Traffic = field(default_factory=Traffic)
    seconds: float = 0.0
    replaced_agents: tuple[str, ...] = ()
    unknown_agents: tuple[str, ...] = ()
    people_file: Path | None = None
    settled: int = 0
    changed: list[tuple[str, str]] = field(default_factory=list)
    doubles: list[tuple[str, str]] = field(default_factory=list)
    partial: int = 0
    not_in_export: tuple[str, ...] = ()
    failure: RunError | None = None
    interrupted: bool = False
    limit: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What a run is given of the world: how to say things, what to tell of each ticket, and to whom to hand
    the gate by which a signal stops the run."""

    say: Say
    ended: Callable[[TicketResult], None]
    on_pace: Callable[[Pace], None]


async def run(
    prepared: Prepared,
    journal: checkpoint.Checkpoint,
    *,
    authorization: str,
    options: Options,
    limits: Limits,
    world: World,
) -> Ran:
    """Push the plan. Failures of the run end it early and stand in the result, so that the books of what was
    done up to there can be written."""
    target = prepared.migration.target
    api = APIS[target.api]
    ran = Ran(prepared.books)
    started = time.monotonic()
    pace = Pace(target.rate, target.burst)
    world.on_pace(pace)
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
            say=world.say,
        )
        ran.traffic = exchange.traffic
        people = People(
            exchange,
            api,
            journal=journal,
            remembered=journal.person,
            grace_seconds=target.grace,
            fresh=options.again,
        )
        pushing = _Pushing(prepared, journal, exchange, people, ran, options, limits, world)
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
        ran.doubles = checkpoint.doubles(prepared.migration.checkpoint)
        ran.partial = checkpoint.partial(prepared.migration.checkpoint)
        ran.not_in_export = _not_in_export(prepared)
    ran.seconds = time.monotonic() - started
    return ran


@dataclass(slots=True)
class _Pushing:
    """The last step of the path, with everything it works with."""

    prepared: Prepared
    journal: checkpoint.Checkpoint
    exchange: Exchange
    people: People
    ran: Ran
    options: Options
    limits: Limits
    world: World
    bad: int = 0
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
            )
            self.journal.note("marks", MARKS)
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
            pusher = Pusher(
                APIS[migration.target.api].target(migration.conversation_settings(), dixa),
                self.exchange,
                self.people,
                self.journal,
                settler,
                remembered=lambda ids: checkpoint.memories(migration.checkpoint, ids),
                agents=dixa.agents,
                options=self.options,
                allowance=allowance,
                clock=time.time,
                settled=settled,
                doubted=self.doubted,
            )
            pushed = pusher.push(self.prepared.parts.jobs(), workers=migration.target.workers)
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
        related = self.prepared.related
        authors = related.contacts.filter("is_agent").select("email", "phone", "name")
        assignees = related.tickets.select("assignee_email", "assignee_phone", "assignee_name").unique()
        dixa, known = await account.look_up(
            self.prepared.migration,
            api=APIS[self.prepared.migration.target.api],
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
        missing = unknown_agents(self.prepared, {*dixa.replaced, *dixa.unknown})
        suggestions = {agent.person: known.suggestion(agent.name or agent.person) for agent in missing}
        self.ran.people_file = write_agents(self.prepared.migration, missing, suggestions)
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
        self.world.ended(result)
        self.bad += result.state in (State.REJECTED, State.FAILED, State.IN_DOUBT)
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
                f"{self.prepared.migration.checkpoint}: what it holds went into another organization "
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
        grace = self.prepared.migration.target.grace
        self.world.say(
            f"{len(doubts)} request(s) of an earlier run have no known outcome; Dixa is asked in {grace:g} s"
        )
        await self.exchange.pace.pause(grace)
        for step, doubt in doubts:
            await self.journal.flush()  # what the one before was settled to must count as known
            try:
                settlement = await settler.settle(doubt, [c.key for c in step.carries])
            except NotRead as error:
                settlement = Settlement(Found.AMBIGUOUS, evidence=str(error))
            put_down(self.journal, step, doubt, settlement, settlement.evidence)
            if settlement.found is Found.AMBIGUOUS:
                self.doubted |= {doubt.expected.get("requester_id", "")} - {""}
            else:
                self.ran.settled += 1
        await self.journal.flush()
        return {doubt.ticket_id: doubt for _, doubt in doubts if doubt.kind is StepKind.CONVERSATION}

    async def _read_all(self, request: Request) -> Sequence[Mapping[str, Any]]:
        target = self.prepared.migration.target
        return await account.list_all(APIS[target.api], self.exchange, request, target.base_url)

    async def _read(self, request: Request) -> Answer | None:
        return await self.exchange.read(request)


def _not_in_export(prepared: Prepared) -> tuple[str, ...]:
    """The tickets that were begun, came to no end, and are nowhere in this export."""
    begun = checkpoint.unfinished(prepared.migration.checkpoint)
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


def _count_people(prepared: Prepared, ran: Ran, people: People) -> None:
    """The people whom the plan names, by what the checkpoint says of them now."""
    known = dict(checkpoint.people(prepared.migration.checkpoint))
    ledger, created = ran.books["people"], people.counts[State.IMPORTED]
    for (key,) in prepared.related.contacts.select("key").collect(engine="streaming").iter_rows():
        state = known.get(key, State.LEFT) or State.IN_DOUBT
        if state is State.IMPORTED:
            state = State.IMPORTED if created > 0 else State.ALREADY_THERE
            created -= 1
        ledger.add({State.LEFT: -1})
        ledger.add({state: 1})
