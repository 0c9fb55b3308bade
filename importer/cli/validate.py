"""`validate` and `plan`: the path up to its last step, offline."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from importer.cli.group import Session, command_line, migration_argument, overrides, target_options
from importer.dixa import APIS
from importer.migration import file as config
from importer.migration.file import Migration
from importer.pipeline import prepare as dry_run
from importer.read.scan import scan
from importer.relate import warnings as damage
from importer.report import evidence, files, rejects, text
from importer.report.rejects import Problem

_REJECTED = 6
_LOSSES = {dry_run.LOGINS: "Dixa fetches them without a login; put them where everybody can"}


@contextmanager
def prepared(
    session: Session, migration: Migration, *, with_holes: bool = False, jobs: bool = True
) -> Iterator[tuple[dry_run.Prepared, list[Problem], list[Path]]]:
    """The judged and planned export, with its rejects written."""
    with tempfile.TemporaryDirectory(prefix="dixa-import-") as folder:
        workdir = Path(folder)
        scanned = scan(migration.source, migration.folder, workdir)
        ready = dry_run.prepare(
            migration, scanned, workdir, with_holes=with_holes, say=session.say, jobs=jobs
        )
        if not migration.agents_file.exists():
            dry_run.write_agents(migration, dry_run.unknown_agents(ready, set()), {})
        report = files.folder(migration.report)
        problems, paths = rejects.write(ready.tables, ready.related.fates, report / "rejects")
        yield ready, problems, paths


@click.command(
    epilog="\b\nExample:\n  dixa-import demo --into demo && dixa-import validate demo/helpdesk.toml"
)
@migration_argument
@click.option(
    "--with-holes", is_flag=True, help="Count tickets as good although messages of theirs are rejected."
)
@click.pass_obj
def validate(session: Session, migration: Path, with_holes: bool) -> int:
    """Check the export as a whole, offline: write the rejects and a report."""
    loaded = config.load(migration, overrides())
    with prepared(session, loaded, with_holes=with_holes, jobs=False) as (ready, problems, paths):
        code = _code(ready)
        more = evidence_of(session, loaded, migration, ready)
        value = files.summary("validate", loaded.name, ready.books, problems, exit_code=code, more=more)
        files.write(loaded.report, value)
        lines = _judgement(loaded, ready, problems, paths, more["findings"])
        lines.append(f"Next: {command_line('plan' if code == 0 else 'validate', migration)}")
        session.result("\n".join(lines), value)
    return code


@click.command(epilog="\b\nExample:\n  dixa-import demo --into demo && dixa-import plan demo/helpdesk.toml")
@migration_argument
@target_options
@click.option("--with-holes", is_flag=True, help="Import tickets although messages of theirs are rejected.")
@click.pass_obj
def plan(session: Session, migration: Path, with_holes: bool) -> int:
    """Validate, then say what a run would send and what will be lost."""
    return show_plan(session, migration, "plan", with_holes=with_holes)


def show_plan(session: Session, migration: Path, command: str, *, with_holes: bool) -> int:
    loaded = config.load(migration, overrides())
    with prepared(session, loaded, with_holes=with_holes) as (ready, problems, paths):
        code = _code(ready)
        with session.bar(ready.parts.tickets, leave=False) as bar:
            forecast = dry_run.forecast(ready, with_holes=with_holes, counted=bar.update)
        more = evidence_of(session, loaded, migration, ready)
        more |= {"plan": _plan_value(forecast), "losses": loss_values(loaded, forecast)}
        more["forecast"] = {"requests": forecast.requests, "seconds": round(forecast.seconds, 1)}
        value = files.summary(command, loaded.name, ready.books, problems, exit_code=code, more=more)
        files.write(loaded.report, value)
        lines = [
            *_judgement(loaded, ready, problems, paths, more["findings"]),
            "",
            *plan_lines(loaded, ready, forecast),
        ]
        lines.append("")
        if left := loaded.placeholders():
            lines.append(f"Say first in {migration}, where init could not know it: {', '.join(left)}.")
        lines.append(f"Next: {command_line('run', migration)}")
        session.result("\n".join(lines), value)
    return code


def evidence_of(
    session: Session, migration: Migration, path: Path, ready: dry_run.Prepared
) -> dict[str, Any]:
    """What the report shows beside books and problems; what was found out about the files is said at once."""
    for line in evidence.file_lines(ready.tables):
        session.say(line)
    found = damage.findings(
        ready.tables,
        ready.related,
        now=datetime.now(UTC),
        timezone=migration.source.timezone,
        opening=migration.source.opening,
        carried=frozenset(migration.conversation.attributes.values()),
    )
    return {
        "migration_file": str(path),
        "files": evidence.files(ready.tables),
        "findings": evidence.findings(found, ready.tables),
        "statistics": evidence.statistics(ready.related),
    }


def loss_values(migration: Migration, forecast: dry_run.Forecast) -> list[dict[str, Any]]:
    how = {trait.aspect: trait.how for trait in APIS[migration.target.api].TRAITS} | _LOSSES
    return [{"what": what, "count": count, "why": how[what]} for what, count in forecast.losses.items()]


def plan_lines(migration: Migration, ready: dry_run.Prepared, forecast: dry_run.Forecast) -> list[str]:
    target = migration.target
    lines = [
        f"A run would send to {target.base_url} ({target.api}, {migration.conversation.kind}):",
        text.pairs(
            [
                ("  conversations", f"{forecast.conversations:,}"),
                ("  messages", f"{forecast.messages:,}"),
                ("  people to look up", f"{forecast.people_to_look_up:,}"),
                ("  people to create", f"at most {forecast.people_to_create_at_most:,}"),
                ("  requests", f"at most {forecast.requests:,}"),
                ("  time", f"{text.duration(forecast.seconds)} at {target.rate:g} requests a second"),
            ]
        ),
    ]
    if forecast.already_there:
        lines.append(f"  {forecast.already_there:,} tickets are there already and cost nothing.")
    if forecast.held_back:
        lines.append(
            f"  {forecast.held_back:,} messages of tickets in Dixa will not go; a run says of each why."
        )
    if forecast.losses:
        lines += ["What will not arrive as it is:"]
        lines += [
            f"  {loss['count']:>8,} {loss['what']}: {loss['why']}"
            for loss in loss_values(migration, forecast)
        ]
    return lines


def counted_lines(ready: dry_run.Prepared) -> list[str]:
    """What was decided where the export does not say."""
    related = ready.related
    differing = ready.tables["tickets"].differing
    counts = [
        (related.openings.count, "messages stand in ticket rows (opening_text)"),
        (related.unsaid, "messages do not say whether they are public, so they are internal"),
        (related.timeless, "messages have no time; their ticket's is taken, where it has one"),
        (related.default_requesters, "tickets name no requester; people.default_requester stands in"),
        (related.default_agents, "messages have an agent without an address; people.default_agent stands in"),
        *(
            (count, f"tickets whose rows disagree on {name}; the smallest value is taken")
            for name, count in differing.items()
        ),
    ]
    lines = [f"  {count:>8,} {what}" for count, what in counts if count]
    return ["Decided where the export does not say:", *lines] if lines else []


def _judgement(
    migration: Migration,
    ready: dry_run.Prepared,
    problems: list[Problem],
    paths: list[Path],
    found: list[dict[str, Any]],
) -> list[str]:
    lines = [text.books(ready.books, planned=True)]
    if problems:
        lines += ["", text.problems(problems)]
    if found:
        lines += ["", *evidence.finding_lines(found)]
    for name, table in ready.tables.items():
        if table.scanned.unused:
            lines.append(f"Columns of {name} that nothing takes: {text.some(table.scanned.unused)}")
    if counted := counted_lines(ready):
        lines += ["", *counted]
    lines += ["", text.balance(ready.books)]
    zoneless = sum(p.count for p in problems if p.rule.endswith(".timezone"))
    if zoneless and migration.source.timezone is None:
        lines.append(
            f"Set source.timezone (an example: Europe/Copenhagen): {zoneless:,} times name no zone; nothing "
            "is to be mended for that."
        )
    lines += text.rejects(paths)
    return [*lines, f"Report: {migration.report / 'report.html'} (report.json for machines)"]


def _code(ready: dry_run.Prepared) -> int:
    if not ready.books.balanced:
        return 1
    return 0 if ready.books.clean else _REJECTED


def _plan_value(forecast: dry_run.Forecast) -> dict[str, Any]:
    return {
        "conversations": forecast.conversations,
        "messages": forecast.messages,
        "people_to_look_up": forecast.people_to_look_up,
        "people_to_create_at_most": forecast.people_to_create_at_most,
        "requests": forecast.requests,
        "seconds_at_the_limit": round(forecast.seconds, 1),
        "already_there": forecast.already_there,
        "held_back": forecast.held_back,
        "losses": dict(forecast.losses),
    }
