"""`run`, the whole path, and `retry`, the same over what failed: both go on where an earlier run stopped."""

import asyncio
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import polars as pl
from tqdm import tqdm

from importer.checkpoint import database as checkpoint
from importer.cli.group import (
    Session,
    authorization,
    command_line,
    migration_argument,
    overrides,
    target_options,
    token_options,
)
from importer.cli.validate import counted_lines, evidence_of, prepared, show_plan
from importer.errors import ConfigError, Invalid
from importer.migration import file as config
from importer.migration.file import Migration
from importer.model import State, TicketResult
from importer.pipeline import prepare as dry_run
from importer.pipeline import run as pipeline
from importer.push.workers import Options
from importer.report import files, text
from importer.report.rejects import Problem
from importer.transport.pace import Pace

NO_LIMITS = pipeline.Limits()

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds out of `90`, `90s`, `15m`, `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no duration; examples: 90s, 15m, 2h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def limit_options(command: F) -> F:
    for option in (
        click.option("--max-duration", type=Duration(), help="Stop after this long, as 45m or 8h (exit 8)."),
        click.option(
            "--max-errors", type=click.IntRange(1), help="Stop at so many tickets not imported (exit 8)."
        ),
        click.option("--limit", type=click.IntRange(0), help="Begin at most so many tickets (exit 8)."),
    ):
        command = option(command)
    return command


@click.command(
    epilog="\b\nExample, against the sandbox:\n  dixa-import demo --into demo\n  dixa-import sandbox &\n"
    "  DIXA_API_TOKEN=sandbox dixa-import run demo/helpdesk.toml"
)
@migration_argument
@target_options
@token_options
@click.option("-n", "--dry-run", is_flag=True, help="The same as `plan`: everything but sending.")
@click.option("--strict", is_flag=True, help="Send nothing when anything is rejected (exit 6).")
@click.option("--with-holes", is_flag=True, help="Import tickets although messages of theirs are rejected.")
@limit_options
@click.pass_obj
def run(
    session: Session,
    migration: Path,
    token_file: Path | None,
    token_command: str | None,
    dry_run: bool,
    strict: bool,
    with_holes: bool,
    limit: int | None,
    max_errors: int | None,
    max_duration: float | None,
) -> int:
    """Import the good tickets; run it again to go on after whatever stopped it."""
    if dry_run:
        return show_plan(session, migration, "run --dry-run", with_holes=with_holes)
    loaded = config.load(migration, overrides())
    header = authorization(loaded, token_file, token_command)
    limits = pipeline.Limits(limit, max_errors, max_duration)
    options = pipeline.options(loaded, with_holes=with_holes, strict=strict)
    return push(session, loaded, migration, authorization=header, options=options, limits=limits)


@click.command(
    epilog="\b\nExample, after a run that ended with 3:\n"
    "  DIXA_API_TOKEN=sandbox dixa-import retry demo/helpdesk.toml"
)
@migration_argument
@target_options
@token_options
@click.option("--with-holes", is_flag=True, help="Import tickets although messages of theirs are rejected.")
@limit_options
@click.pass_obj
def retry(
    session: Session,
    migration: Path,
    token_file: Path | None,
    token_command: str | None,
    with_holes: bool,
    limit: int | None,
    max_errors: int | None,
    max_duration: float | None,
) -> int:
    """A run over the failed and refused tickets only, also where their content is the same as before."""
    loaded = config.load(migration, overrides())
    header = authorization(loaded, token_file, token_command)
    limits = pipeline.Limits(limit, max_errors, max_duration)
    options = pipeline.options(loaded, with_holes=with_holes, again=True)
    return push(
        session, loaded, migration, authorization=header, options=options, limits=limits, command="retry"
    )


def push(
    session: Session,
    migration: Migration,
    path: Path,
    *,
    authorization: str,
    options: Options,
    limits: pipeline.Limits = NO_LIMITS,
    command: str = "run",
) -> int:
    """Everything of `run` behind its options; the exit code."""
    binding = checkpoint.Binding(migration.name, migration.target.api, migration.target.base_url)
    checkpoint.ensure_free(migration.checkpoint)
    with prepared(session, migration, with_holes=options.with_holes) as (ready, problems, paths):
        if options.strict and not ready.books.clean:
            session.say(text.problems(problems))
            raise Invalid(
                f"records are rejected, so nothing is sent (--strict); see {migration.report / 'rejects'}"
            )
        nobody = ready.related.default_requesters
        if nobody and "people.default_requester" in migration.placeholders():
            raise ConfigError(
                f"people.default_requester: {nobody:,} tickets name no requester, and "
                f"{migration.people.default_requester} is what init wrote and nobody's address; set one of "
                "yours, or name the column that has theirs"
            )
        with checkpoint.Checkpoint(migration.checkpoint, binding) as journal:
            for line in checkpoint.changes(journal, migration.fingerprints()):
                session.say(line)
            journal.note("opened", {kind: ledger.as_dict() for kind, ledger in ready.books.ledgers.items()})
            journal.note("closed", None)
            ran = _with_signals(session, ready, journal, authorization, options, limits)
            code = _code(ran)
            more = evidence_of(session, migration, path, ready)
            value = _summary(command, migration, ran, problems, code, more)
            journal.note("exit_code", code)
            journal.note("closed", {kind: value[kind] for kind in ready.books.ledgers})
            journal.hold_back(_rejected(ready))
        files.write(migration.report, value)
        records = checkpoint.tickets(migration.checkpoint)
        files.write_tickets(migration.report, records, ready.related.fates["tickets"])
        files.write_changed(migration.report, ran.changed)
        session.result("\n".join(_lines(migration, path, ready, problems, paths, ran, code)), value)
        if ran.failure:
            session.told = True
            raise ran.failure
        return code


def _with_signals(
    session: Session,
    ready: dry_run.Prepared,
    journal: checkpoint.Checkpoint,
    authorization: str,
    options: Options,
    limits: pipeline.Limits,
) -> pipeline.Ran:
    """The push under a progress bar. A first SIGINT or SIGTERM lets what is under way end; a second one
    ends at once, which leaves in doubt what was under way."""
    with session.bar(ready.parts.tickets, smoothing=0.1) as bar:

        def say(message: str) -> None:
            if not session.quiet:
                tqdm.write(message, file=sys.stderr)

        bad = 0

        def ended(result: TicketResult) -> None:
            nonlocal bad
            bad += result.state in (State.REJECTED, State.FAILED, State.IN_DOUBT)
            bar.update(result.state is not State.LEFT)
            if bad:
                bar.set_postfix_str(f"{bad} not imported", refresh=False)

        async def whole() -> pipeline.Ran:
            task = asyncio.current_task()
            loop = asyncio.get_running_loop()
            gate: list[Pace] = []
            asked = False

            def interrupt() -> None:
                nonlocal asked
                if gate and not asked:
                    asked = True
                    say("Stopping: what is under way is let to end. Once more to stop at once.")
                    gate[0].stop()
                elif task:
                    task.cancel()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, interrupt)
            return await pipeline.run(
                ready,
                journal,
                authorization=authorization,
                options=options,
                limits=limits,
                world=pipeline.World(say, ended, gate.append),
            )

        try:
            return asyncio.run(whole())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            # The loop has set it back to what ends a process without a word.
            signal.signal(signal.SIGTERM, signal.default_int_handler)


def _code(ran: pipeline.Ran) -> int:
    if ran.failure:
        return ran.failure.exit_code
    if not ran.books.balanced:
        return 1
    if ran.limit:
        return 8
    if ran.interrupted:
        return 130
    return 3 if not ran.books.clean or ran.doubles or ran.partial or ran.not_in_export else 0


def _rejected(ready: dry_run.Prepared) -> list[str]:
    """The tickets that are rejected before anything is sent."""
    fates = ready.related.fates["tickets"].filter(pl.col("state") == State.REJECTED)
    return (
        fates.select(pl.col("ticket_id").drop_nulls().unique())
        .collect(engine="streaming")["ticket_id"]
        .to_list()
    )


def _summary(
    command: str,
    migration: Migration,
    ran: pipeline.Ran,
    problems: list[Problem],
    code: int,
    more: dict[str, Any],
) -> dict[str, Any]:
    return files.summary(
        command,
        migration.name,
        ran.books,
        problems,
        exit_code=code,
        traffic=ran.traffic,
        seconds=ran.seconds,
        more={
            **more,
            "unknown_agents": list(ran.unknown_agents),
            "replaced_agents": list(ran.replaced_agents),
            "changed": len(ran.changed),
            "partial": ran.partial,
            **({"error": str(ran.failure)} if ran.failure else {}),
            "doubles": [{"ticket_id": ticket, "what": what} for ticket, what in ran.doubles],
        },
    )


def _lines(
    migration: Migration,
    path: Path,
    ready: dry_run.Prepared,
    problems: list[Problem],
    rejects: list[Path],
    ran: pipeline.Ran,
    code: int,
) -> list[str]:
    traffic = ran.traffic
    lines = [text.books(ran.books)]
    if problems:
        lines += ["", text.problems(problems)]
    lines += counted_lines(ready)
    lines += _agents("Agents whom Dixa does not know; their tickets stay", ran.unknown_agents)
    lines += _agents("Agents whom Dixa does not know; people.default_agent stands in", ran.replaced_agents)
    if ran.people_file:
        lines.append(
            f"Fill in who stands for them (column agent): {ran.people_file}. It counts for tickets that are "
            "not in Dixa yet."
        )
    if ran.changed:
        lines.append(
            f"{len(ran.changed):,} records have another content than what was imported and are not touched: "
            f"{migration.report / 'changed.csv'}"
        )
    lines += [
        f"Twice in Dixa, and nothing can delete it: ticket {ticket}: {what}" for ticket, what in ran.doubles
    ]
    if ran.settled:
        lines.append(
            f"{ran.settled:,} request(s) of an earlier run without an outcome were settled by asking Dixa."
        )
    rate = f", {traffic.sent / ran.seconds:.1f} a second" if ran.seconds else ""
    made = ran.books["tickets"].places[State.IMPORTED]
    each = f", {traffic.sent / made:.1f} a conversation" if made else ""
    lines += [
        "",
        f"{traffic.sent:,} requests in {text.duration(ran.seconds)}{rate}{each}; "
        f"{traffic.retried:,} repeated, {traffic.statuses[429]:,} answered 429.",
        text.balance(ran.books),
        *text.rejects(rejects),
        f"Report: {migration.report}",
        f"Checkpoint: {migration.checkpoint}",
    ]
    tickets = ran.books["tickets"].places
    if tickets[State.IN_DOUBT]:
        lines.append(
            "In doubt: sent, and it cannot be told whether Dixa created it; failed.csv has the evidence."
        )
    if ran.not_in_export:
        named = text.some(ran.not_in_export, 5)
        lines.append(
            f"{len(ran.not_in_export):,} ticket(s) that an earlier run began are not in this export, so what "
            f"they lack is not in Dixa: {named}"
        )
    if ran.partial:
        lines.append(
            f"{ran.partial:,} ticket(s) in Dixa lack something that Dixa refused: success.csv names it; "
            f"{command_line('retry', path)} sends again what can be sent again."
        )
    if ran.limit:
        lines.append(f"Stopped at {ran.limit}; {tickets[State.LEFT]:,} tickets are left.")
    again = code in (2, 4, 5, 8, 130) or any(tickets[s] for s in (State.FAILED, State.IN_DOUBT, State.LEFT))
    if rejects and not again:
        return [*lines, f"Next: mend the rejected rows, then {command_line('run', path)}"]
    return [*lines, f"Next: {command_line('run' if again else 'status', path)}"]


def _agents(title: str, keys: tuple[str, ...]) -> list[str]:
    return [f"{title}: {text.some([key.partition(':')[2] for key in keys])}"] if keys else []
