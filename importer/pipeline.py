"""The one path: read → validate → relate → plan → push. A dry run is the path without its last step."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from importer import account, checkpoint, read
from importer.config import Migration
from importer.dixa import integrations
from importer.dixa.client import Client
from importer.errors import RunError
from importer.exchange import Exchange, Traffic
from importer.model import Contact, Conversation, State, TicketResult
from importer.pace import Pace, Stopped
from importer.people import People
from importer.plan import Parts, plan
from importer.push import BATCH, Pusher
from importer.relate import Related, Rules, relate
from importer.report.books import Books
from importer.validate import Checked, validate

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything up to the push: the tables as they were judged, the plan, and books in which every row that
    goes is still `left`."""

    migration: Migration
    tables: Mapping[str, Checked]
    related: Related
    parts: Parts
    books: Books


def prepare(
    migration: Migration, scanned: Mapping[str, read.Scanned], workdir: Path, *, with_holes: bool, say: Say
) -> Prepared:
    """Judge the tables and plan. Raises SourceError for a file that cannot be read to its end."""
    tables = {}
    for name, table in scanned.items():
        say(f"reading {name} ({len(table.files)} file{'s' * (len(table.files) > 1)})")
        tables[name] = validate(table, timezone=migration.source.timezone, workdir=workdir)
    say("joining the tables")
    rules = Rules(
        default_requester=migration.people.default_requester,
        default_agent=migration.people.default_agent,
        import_empty=migration.conversation.empty == "import",
        with_holes=with_holes,
    )
    related = relate(tables, rules=rules, workdir=workdir)
    say("planning")
    parts = plan(related, default_agent=migration.people.default_agent, workdir=workdir)
    return Prepared(migration, tables, related, parts, _opened(tables, related, parts))


def _opened(tables: Mapping[str, Checked], related: Related, parts: Parts) -> Books:
    books = Books()
    for kind in books.ledgers:
        rows = related.fates[kind]
        lines = rows.unique(
            [n for n in ("_opening", "_file", "_record") if n in rows.collect_schema().names()]
        )
        states = lines.group_by("state").agg(pl.len().alias("rows"), pl.col("items").sum()).collect()
        books[kind].add({State(state): count for state, count, _ in states.iter_rows()})
        if kind == "messages":
            books["attachments"].add({State(state): items for state, _, items in states.iter_rows()})
    books["tickets"].read = _read(tables, "tickets")
    books["messages"].read = _read(tables, "messages") + related.openings
    books["attachments"].read = _read(tables, "attachments") + _listed(tables)
    contacts = _rows(related.contacts)
    unused = books["people"].accounted
    books["people"].read = contacts + unused
    books["tickets"].add({State.LEFT: parts.tickets})
    books["messages"].add({State.LEFT: parts.messages})
    listed = (
        related.messages.select(pl.col("attachments").list.len().sum()).collect(engine="streaming").item()
    )
    books["attachments"].add({State.LEFT: int(listed or 0) + _rows(related.attachments)})
    books["people"].add({State.LEFT: contacts})
    return books


def _read(tables: Mapping[str, Checked], name: str) -> int:
    return tables[name].read if name in tables else 0


def _listed(tables: Mapping[str, Checked]) -> int:
    """Attachments named in message rows, good and bad."""
    if "messages" not in tables:
        return 0
    messages = tables["messages"]
    good = messages.good.select(pl.col("attachments").list.len().sum())
    bad = messages.fates.unique(["_file", "_record"]).select(pl.col("items").sum())
    return sum(int(frame.collect(engine="streaming").item() or 0) for frame in (good, bad))


def _rows(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would send from here. `seconds` is the time at the limit, at best."""

    conversations: int
    messages: int
    people_to_look_up: int
    people_to_create_at_most: int
    requests: int
    seconds: float
    already_there: int
    losses: Mapping[str, int]


def forecast(prepared: Prepared) -> Forecast:
    """Count the steps of every job, less those that the checkpoint has."""
    migration = prepared.migration
    target = integrations.Integrations(_unresolved(migration))
    conversations = messages = requests = there = 0
    losses: Counter[str] = Counter()
    for job, done in _with_records(prepared.parts.jobs(), migration.checkpoint):
        steps = [step for step in target.steps(job) if (step.kind, step.key) not in done]
        if not steps:
            there += 1
            continue
        conversations += any(step.kind == "conversation" for step in steps)
        messages += sum(len(step.carries) for step in steps)
        requests += len(steps)
        losses += target.losses(job)
    known = (
        {key for key, _ in checkpoint.people(migration.checkpoint)}
        if migration.checkpoint.exists()
        else set()
    )
    contacts = prepared.related.contacts.filter(~pl.col("key").is_in(sorted(known))).collect()
    end_users = contacts.filter("is_end_user").height
    requests += contacts.height + end_users
    return Forecast(
        conversations,
        messages,
        contacts.height,
        end_users,
        requests,
        requests / migration.target.rate,
        there,
        {name: count for name, count in losses.items() if count},
    )


def _with_records(
    jobs: Iterator[Conversation], path: Path
) -> Iterator[tuple[Conversation, set[tuple[str, str]]]]:
    while batch := list(islice(jobs, BATCH)):
        known = checkpoint.steps_of(path, [job.ticket_id for job in batch]) if path.exists() else {}
        for job in batch:
            yield job, {(record.kind, record.key) for record in known.get(job.ticket_id, [])}


def _unresolved(migration: Migration) -> integrations.Settings:
    conversation = migration.conversation
    return integrations.Settings(
        kind=conversation.kind,
        queue_id=conversation.queue,
        endpoint_id=conversation.endpoint or "",
        tags=conversation.tags,
        head=conversation.head,
        opening_head=conversation.opening_head,
        zone=ZoneInfo(conversation.head_timezone),
    )


@dataclass(slots=True)
class Ran:
    """How a run went. `failure` is what ended it early, if anything did; `interrupted` by the user."""

    books: Books
    traffic: Traffic = field(default_factory=Traffic)
    seconds: float = 0.0
    created: int = 0
    replaced_agents: tuple[str, ...] = ()
    unknown_agents: tuple[str, ...] = ()
    failure: RunError | None = None
    interrupted: bool = False


async def run(
    prepared: Prepared,
    journal: checkpoint.Checkpoint,
    *,
    authorization: str,
    with_holes: bool,
    say: Say,
    ended: Callable[[TicketResult], None],
    on_pace: Callable[[Pace], None],
) -> Ran:
    """Push the plan. Failures of the run end it early and stand in the result, so that the books of what was
    done up to there can be written; `on_pace` is given the gate by which a signal stops the run."""
    target = prepared.migration.target
    ran = Ran(prepared.books)
    started = time.monotonic()
    pace = Pace(target.rate, target.burst)
    on_pace(pace)
    async with Client(
        target.base_url,
        authorization=authorization,
        timeout_seconds=target.timeout,
        connections=target.workers,
    ) as client:
        exchange = Exchange(
            client.send,
            pace=pace,
            judge=integrations.judge,
            journal=journal,
            attempts=target.attempts,
            say=say,
        )
        ran.traffic = exchange.traffic
        people = People(
            exchange,
            integrations,
            journal=journal,
            remembered=journal.person,
            grace_seconds=target.grace,
        )
        try:
            await _push(prepared, journal, exchange, people, ran, with_holes=with_holes, ended=ended)
        except Stopped:
            pass
        except RunError as error:
            ran.failure = error
        await journal.flush()
        ran.interrupted = pace.stopped and ran.failure is None
        ran.created = people.counts[State.IMPORTED]
        _count_people(prepared, ran)
    ran.seconds = time.monotonic() - started
    return ran


async def _push(
    prepared: Prepared,
    journal: checkpoint.Checkpoint,
    exchange: Exchange,
    people: People,
    ran: Ran,
    *,
    with_holes: bool,
    ended: Callable[[TicketResult], None],
) -> None:
    migration = prepared.migration
    agents = prepared.related.contacts.filter("is_agent").select("email", "phone", "name").collect()
    dixa = await account.look_up(
        migration,
        agents=[Contact(*row) for row in agents.iter_rows()],
        exchange=exchange,
        people=people,
    )
    ran.replaced_agents, ran.unknown_agents = dixa.replaced, dixa.unknown
    pusher = Pusher(
        dixa.target,
        exchange,
        people,
        journal,
        remembered=lambda ids: checkpoint.steps_of(migration.checkpoint, ids),
        agents=dixa.agents,
        with_holes=with_holes,
    )
    async for result in pusher.push(prepared.parts.jobs(), workers=migration.target.workers):
        _count(ran.books, result)
        ended(result)


def _count(books: Books, result: TicketResult) -> None:
    """A ticket leaves `left` for the place where it ended."""
    for kind, counts in (
        ("tickets", {result.state: 1}),
        ("messages", result.messages),
        ("attachments", result.attachments),
    ):
        books[kind].add({State.LEFT: -sum(counts.values())})
        books[kind].add(counts)


def _count_people(prepared: Prepared, ran: Ran) -> None:
    """The people whom the plan names, by what the checkpoint says of them now."""
    known = dict(checkpoint.people(prepared.migration.checkpoint))
    ledger, created = ran.books["people"], ran.created
    stand_ins = {*ran.replaced_agents}
    for (key,) in prepared.related.contacts.select("key").collect(engine="streaming").iter_rows():
        state = known.get(key, State.LEFT) or State.IN_DOUBT
        if key in stand_ins:
            state = State.FILTERED
        elif key in ran.unknown_agents:
            state = State.REJECTED
        if state is State.IMPORTED:
            state = State.IMPORTED if created > 0 else State.ALREADY_THERE
            created -= 1
        ledger.add({State.LEFT: -1})
        ledger.add({state: 1})
