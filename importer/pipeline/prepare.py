"""The path up to the push: read → validate → relate → plan."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from importer.books import Books
from importer.checkpoint import queries
from importer.dixa import APIS
from importer.errors import ConfigError
from importer.migration.file import Migration
from importer.model import State
from importer.pipeline.values import Examined, Prepared, Say
from importer.plan.changes import HASH_MAKER
from importer.plan.parts import Parts, write_parts
from importer.private_files import private_folder
from importer.read.scan import TableScan, scan
from importer.read.table import Scanned
from importer.read.workdir import work_folder
from importer.relate import agents_csv
from importer.relate.authors import Names
from importer.relate.fates import relate
from importer.relate.join import RelationRules
from importer.relate.related import Related
from importer.report import rejects
from importer.validate.checked import Checked
from importer.validate.judge import judge_table
from importer.validate.kept import row_count


@contextmanager
def examined(
    migration: Migration, *, with_holes: bool, jobs: bool, say: Say, every: bool = False
) -> Iterator[Examined]:
    """The export as far as a dry run takes it, with its rejects and unknown agents on disk. Work files are in
    a temporary folder, which is removed at the end. With `every`, tickets that are imported are planned
    too."""
    with work_folder() as workdir:
        scans = scan(migration.source, migration.folder, workdir)
        ready = prepare(migration, scans, workdir, with_holes=with_holes, say=say, jobs=jobs, every=every)
        if not migration.agents_file.exists():
            unknown = agents_csv.unknown_agents(ready.related.authors, set())
            agents_csv.write(migration.agents_file, unknown, {})
        folder = private_folder(private_folder(migration.report) / "rejects")
        problems, paths = rejects.write(ready.tables, ready.related.fates, folder)
        yield Examined(ready, tuple(problems), {path: path.name.partition(".")[0] for path in paths})


def prepare(
    migration: Migration,
    scans: Mapping[str, TableScan],
    workdir: Path,
    *,
    with_holes: bool,
    say: Say,
    jobs: bool = True,
    every: bool = False,
) -> Prepared:
    """Judge the tables and plan; without `jobs` only count what would go; with `every` also what is imported.
    Raises SourceError for a file that cannot be read to its end, ConfigError for words of the migration that
    the export does not fit."""
    if "tickets" not in scans:
        raise ConfigError("source: no file says what tickets there are; name one in source.tickets.files")
    tickets = scans["tickets"].table
    _check_attributes(migration, tickets)
    imported = [] if every else queries.source_hashes(migration.checkpoint, maker=HASH_MAKER)
    has_openings = any(
        name in columns for columns in tickets.columns for name in ("opening_text", "opening_html")
    )
    tables = {}
    for name, found in scans.items():
        count = len(found.table.files)
        say(f"Reading {name} ({count} file{'s' * (count > 1)})")
        tables[name] = judge_table(
            found,
            timezone=migration.source.timezone,
            workdir=workdir,
            whole=jobs or bool(imported),
            words=has_openings,
        )
    say("Joining the tables")
    related = relate(tables, rules=_relation_rules(migration, with_holes=with_holes), workdir=workdir)
    say("Planning")
    parts = write_parts(
        related,
        default_agent=migration.people.default_agent,
        workdir=workdir,
        jobs=jobs,
        imported=pl.DataFrame(
            imported, schema={"ticket_id": pl.String, "source_hash": pl.Int64}, orient="row"
        ),
    )
    return Prepared(migration, tables, related, parts, _opened_books(tables, related, parts))


def _relation_rules(migration: Migration, *, with_holes: bool) -> RelationRules:
    api = APIS[migration.target.api]
    return RelationRules(
        default_requester=migration.people.default_requester,
        default_agent=migration.people.default_agent,
        import_empty=migration.conversation.empty == "import",
        with_holes=with_holes,
        names=Names(
            agents_csv.read(migration.agents_file),
            f"{migration.name}:" if api.HAS_EXTERNAL_IDS else None,
        ),
        times_required=api.NEEDS_TIMES,
        opening=migration.source.opening,
    )


def _check_attributes(migration: Migration, tickets: Scanned) -> None:
    """Raises ConfigError where a further column that shall become a custom attribute is in no file."""
    there = sorted({name for columns in tickets.columns for name in columns if name.startswith("custom.")})
    wanted = migration.conversation.attributes.values()
    missing = [name for name in wanted if name.startswith("custom.") and name not in there]
    if missing:
        raise ConfigError(
            f"conversation.attributes: {len(missing)} column(s) are in no file of tickets: "
            f"{', '.join(missing)}; known: {', '.join(there) or 'none'}"
        )


def _opened_books(tables: Mapping[str, Checked], related: Related, parts: Parts) -> Books:
    """The books before the push: what was read, what does not go, and what is left."""
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
