"""What the commands that ask Dixa share: the account of a migration, through one client, at one pace."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from importer.checkpoint import queries
from importer.checkpoint.journal import Checkpoint
from importer.dixa import APIS
from importer.dixa.api import Account, Api, Target
from importer.dixa.response_rules import created_id
from importer.errors import CheckpointError, RunError, Unauthorized
from importer.model import Answer, Contact, Request, State, Step, StepKind, TicketResult
from importer.pipeline.values import Prepared, RunHooks, RunResult
from importer.push import account
from importer.push.context import PushOptions
from importer.push.people import PeopleDirectory
from importer.relate import agents_csv
from importer.transport.client import Client
from importer.transport.exchange import Exchange, NotRead, Patience
from importer.transport.listing import list_all
from importer.transport.pace import Pace, Stopped


@dataclass(frozen=True, slots=True)
class Connection:
    """The account of a migration, with what a command is given to work with."""

    prepared: Prepared
    journal: Checkpoint
    exchange: Exchange
    people: PeopleDirectory
    options: PushOptions
    hooks: RunHooks
    # What the command has done so far.
    ran: RunResult

    @property
    def api(self) -> Api:
        return APIS[self.prepared.migration.target.api]

    async def read_all(self, request: Request) -> Sequence[Mapping[str, Any]]:
        """A complete list. Raises what Exchange.read raises."""
        return await list_all(self.api, self.exchange, request, self.prepared.migration.target.base_url)

    async def read(self, request: Request) -> Answer | None:
        """As Exchange.read."""
        return await self.exchange.read(request)

    def took(self, result: TicketResult) -> None:
        """A ticket leaves `left` for the place where it ended."""
        for kind, counts in (
            ("tickets", {result.state: 1}),
            ("messages", result.messages),
            ("attachments", result.attachments),
        ):
            self.ran.books[kind].add({State.LEFT: -sum(counts.values())})
            self.ran.books[kind].add(counts)
        self.hooks.ended(result)

    async def check_organization(self) -> None:
        """That it is the account that the checkpoint is about: else what is in a rehearsal's account would
        seem to be in this one. A token that may not ask this may still do the rest, so a refusal proves
        nothing."""
        request = self.api.ORGANIZATION
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

    async def look_up(self) -> Account:
        """The account, with its agents put down as the people they are."""
        migration, related = self.prepared.migration, self.prepared.related
        authors = related.contacts.filter("is_agent").select("email", "phone", "name")
        assignees = related.tickets.select("assignee_email", "assignee_phone", "assignee_name").unique()
        dixa, known = await account.look_up(
            migration.conversation_settings(),
            base_url=migration.target.base_url,
            api_name=migration.target.api,
            api=self.api,
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
        self.ran.agents_file = agents_csv.write(migration.agents_file, missing, suggestions)
        return dixa

    def target(self, dixa: Account) -> Target:
        """The protocol of the API for this account."""
        return self.api.target(self.prepared.migration.conversation_settings(), dixa)


async def connected(
    prepared: Prepared,
    journal: Checkpoint,
    *,
    authorization: str,
    options: PushOptions,
    hooks: RunHooks,
    go: Callable[[Connection], Awaitable[None]],
) -> RunResult:
    """Do what `go` does with the account of a migration. Failures of the run end it early and stand in the
    result, so that the books of what was done up to there can be written."""
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
        try:
            await go(Connection(prepared, journal, exchange, people, options, hooks, ran))
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


async def each(items: Sequence[Any], work: Callable[[Any], Awaitable[None]], *, at_once: int) -> None:
    """Do the work for all items, so many at a time. The first failure ends the others, and is raised."""
    slots = asyncio.Semaphore(at_once)

    async def one(item: Any) -> None:
        async with slots:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


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
