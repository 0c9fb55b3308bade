"""The path up to the push: read → validate → relate → plan, and what a run would send from there."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from importer.attachments.hosts import needs_login
from importer.books import Books
from importer.checkpoint import database as checkpoint
from importer.dixa import APIS
from importer.errors import ConfigError
from importer.migration.file import Migration
from importer.model import Conversation, State, TicketMemory
from importer.plan.conversation import Parts, plan
from importer.private_files import writing
from importer.push.people import PEOPLE_AT_ONCE
from importer.push.remaining_steps import Outstanding
from importer.push.workers import BATCH
from importer.read.scan import TableScan
from importer.read.table import Scanned
from importer.relate import agents_csv as agents
from importer.relate.authors import Names
from importer.relate.fates import Related, relate
from importer.relate.join import Rules
from importer.validate.judge import Checked, judge_table
from importer.validate.kept import row_count

Say = Callable[[str], None]

LOGINS = "attachments behind a login"

MARKS = f"polars {pl.__version__}"


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
    migration: Migration,
    scanned: Mapping[str, TableScan],
    workdir: Path,
    *,
    with_holes: bool,
    say: Say,
    jobs: bool = True,
) -> Prepared:
    """Judge the tables and plan; without `jobs` only count what would go. Raises SourceError for a file that
    cannot be read to its end."""
    if "tickets" not in scanned:
        raise ConfigError("source: no file says what tickets there are; name one in source.tickets.files")
    tickets = scanned["tickets"].table
    _check_attributes(migration, tickets)
    tables = {}
    imported = checkpoint.marks(migration.checkpoint, maker=MARKS)
    has_openings = any(
        name in columns for columns in tickets.columns for name in ("opening_text", "opening_html")
    )
    for name, table in scanned.items():
        files = len(table.table.files)
        say(f"reading {name} ({files} file{'s' * (files > 1)})")
        tables[name] = judge_table(
            table,
            timezone=migration.source.timezone,
            workdir=workdir,
            whole=jobs or bool(imported),
            words=has_openings,
        )
    say("joining the tables")
    api = APIS[migration.target.api]
    rules = Rules(
        default_requester=migration.people.default_requester,
        default_agent=migration.people.default_agent,
        import_empty=migration.conversation.empty == "import",
        with_holes=with_holes,
        names=Names(
            agents.read(migration.agents_file),
            f"{migration.name}:" if api.HAS_EXTERNAL_IDS else None,
        ),
        times_required=api.NEEDS_TIMES,
        opening=migration.source.opening,
    )
    related = relate(tables, rules=rules, workdir=workdir)
    say("planning")
    parts = plan(
        related,
        default_agent=migration.people.default_agent,
        workdir=workdir,
        jobs=jobs,
        imported=pl.DataFrame(imported, schema={"ticket_id": pl.String, "mark": pl.Int64}, orient="row"),
    )
    return Prepared(migration, tables, related, parts, _opened(tables, related, parts))


def _check_attributes(migration: Migration, tickets: Scanned) -> None:
    """That every further column which shall become a custom attribute is in the export."""
    there = sorted({name for columns in tickets.columns for name in columns if name.startswith("custom.")})
    wanted = migration.conversation.attributes.values()
    missing = [name for name in wanted if name.startswith("custom.") and name not in there]
    if missing:
        raise ConfigError(
            f"conversation.attributes: {len(missing)} column(s) are in no file of tickets: "
            f"{', '.join(missing)}; there is: {', '.join(there) or 'none'}"
        )


def _opened(tables: Mapping[str, Checked], related: Related, parts: Parts) -> Books:
    books = Books()
    for kind in books.ledgers:
        rows = related.fates[kind]
        lines = rows.unique(
            [n for n in ("_opening", "_file", "_record") if n in rows.collect_schema().names()]
        )
        states = lines.group_by("state").agg(pl.len().alias("rows"), pl.col("items").sum()).collect()
        books[kind].add({State(state): rows for state, rows, _ in states.iter_rows()})
        if kind == "messages":
            books["attachments"].add({State(state): items for state, _, items in states.iter_rows()})
    books["tickets"].read = _read(tables, "tickets")
    books["messages"].read = _read(tables, "messages") + related.openings.count
    books["attachments"].read = _read(tables, "attachments") + _listed(tables)
    contacts = row_count(related.contacts)
    unused = books["people"].accounted
    books["people"].read = contacts + unused
    planned = (parts.tickets, parts.messages, parts.attachments)
    for kind, left, there in zip(books.ledgers, planned, parts.already_there, strict=False):
        books[kind].add({State.LEFT: left, State.ALREADY_THERE: there})
    books["people"].add({State.LEFT: contacts})
    return books


def _read(tables: Mapping[str, Checked], name: str) -> int:
    return tables[name].read if name in tables else 0


def _listed(tables: Mapping[str, Checked]) -> int:
    """Attachments named in message rows, good and bad."""
    if "messages" not in tables:
        return 0
    messages = tables["messages"]
    good = messages.good.select(pl.col("items").sum())
    bad = messages.fates.unique(["_file", "_record"]).select(pl.col("items").sum())
    return sum(int(frame.collect(engine="streaming").item() or 0) for frame in (good, bad))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would send from here. `seconds` is the time at the limit, at best; `held_back` counts
    messages of tickets that are in Dixa which will not go."""

    conversations: int
    messages: int
    people_to_look_up: int
    people_to_create_at_most: int
    requests: int
    seconds: float
    already_there: int
    held_back: int
    losses: Mapping[str, int]


def forecast(
    prepared: Prepared, *, with_holes: bool = False, counted: Callable[[], object] = lambda: None
) -> Forecast:
    """Count the steps of every job, less those that the checkpoint has. `counted` is called for each."""
    migration = prepared.migration
    api = APIS[migration.target.api]
    target = api.target(migration.conversation_settings(), None)
    conversations = messages = requests = there = held_back = 0
    losses: Counter[str] = Counter()
    for job, memory in _with_memory(prepared.parts.jobs(), migration.checkpoint):
        counted()
        due = Outstanding(job, memory, target, with_holes=with_holes)
        due.find()
        held_back += sum(state is State.REJECTED for state in due.states.values())
        if due.held or due.is_refused or not due.steps:
            there += due.dixa_id is not None
            continue
        conversations += due.dixa_id is None
        messages += sum(len(step.carries) for step in due.steps)
        requests += len(due.steps)
        losses.update(target.losses(job))
        losses[LOGINS] += sum(
            needs_login(file.url) for message in job.messages for file in message.attachments
        )
    known = (
        {key for key, _ in checkpoint.people(migration.checkpoint)}
        if migration.checkpoint.exists()
        else set()
    )
    contacts = prepared.related.contacts.filter(~pl.col("key").is_in(sorted(known))).collect()
    end_users = contacts.filter("is_end_user").height
    asked = contacts.height if api.AGENTS is None else end_users
    there += prepared.parts.already_there[0]
    together = api.create_people is not None
    batches = -(-conversations // BATCH) + -(-end_users // PEOPLE_AT_ONCE) - 1
    requests += asked + (min(max(batches, 0), end_users) if together else end_users)
    return Forecast(
        conversations,
        messages,
        asked,
        end_users,
        requests,
        requests / migration.target.rate,
        there,
        held_back,
        {name: count for name, count in losses.items() if count},
    )


def _with_memory(jobs: Iterator[Conversation], path: Path) -> Iterator[tuple[Conversation, TicketMemory]]:
    """Each job with what the checkpoint knows of it."""
    while batch := list(islice(jobs, BATCH)):
        known = checkpoint.memories(path, [job.ticket_id for job in batch]) if path.exists() else {}
        for job in batch:
            yield job, known.get(job.ticket_id, TicketMemory())


def unknown_agents(prepared: Prepared, keys: AbstractSet[str]) -> list[agents.UnknownAgent]:
    """The agents with these keys, and those without an address, with what they wrote."""
    wanted = pl.col("key").is_in(sorted(keys)) | (pl.col("key").is_null() & pl.col("person").is_not_null())
    found = (
        prepared.related.authors.filter(pl.col("is_agent") & wanted)
        .group_by("person")
        .agg(
            pl.col("author_name").drop_nulls().min(),
            pl.col("messages").sum(),
            pl.col("first").min(),
            pl.col("last").max(),
        )
        .collect(engine="streaming")
    )
    return [agents.UnknownAgent(*row) for row in found.iter_rows()]


def write_agents(
    migration: Migration, unknown: Sequence[agents.UnknownAgent], suggestions: Mapping[str, str]
) -> Path | None:
    """The file in which the user says who stands for whom; None where everybody is known."""
    path = migration.agents_file
    if not unknown:
        return None
    rows = agents.lines(unknown, agents.read(path), suggestions)
    with writing(path) as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    return path
