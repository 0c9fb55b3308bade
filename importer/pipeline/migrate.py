"""`run`, `retry` and `adopt`: the complete path, and the reports about it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from importer.checkpoint import queries
from importer.checkpoint.journal import Binding, Checkpoint, setting_changes
from importer.checkpoint.lock import ensure_free
from importer.errors import CheckpointError, ConfigError, ExitCode, Invalid
from importer.migration.file import Migration
from importer.model import State
from importer.pipeline.adopt import adopt
from importer.pipeline.check import evidence_of, migration_facts
from importer.pipeline.prepare import examined
from importer.pipeline.run import run
from importer.pipeline.values import (
    CommandResult,
    Drive,
    Examined,
    Limits,
    Prepared,
    RunHooks,
    RunResult,
    Say,
)
from importer.push.context import PushOptions
from importer.report import files, lines


def migrate(
    migration: Migration,
    path: Path,
    *,
    command: str,
    flags: tuple[str, ...],
    authorization: str,
    options: PushOptions,
    limits: Limits,
    now: Callable[[], datetime],
    say: Say,
    drive: Drive,
) -> CommandResult:
    """Prepare, push, and write the reports, also where the push fails. `path` is the migration file as the
    user named it; `flags` are those that the next command needs too.

    Raises RunError for what is wrong before the push begins.
    """
    binding = Binding(migration.name, migration.target.api, migration.target.base_url)
    is_adoption = command == "adopt"
    ensure_free(migration.checkpoint)
    if not is_adoption and not options.from_scratch:
        _ensure_not_lost(migration)
    # A ticket may have been imported with holes.
    with_holes = options.with_holes or is_adoption
    with examined(migration, with_holes=with_holes, jobs=True, say=say) as found:
        if not is_adoption:
            _ensure_wanted(found, options, say)
        with Checkpoint(migration.checkpoint, binding) as journal:
            for line in setting_changes(journal, migration.fingerprints()):
                say(line)
            opened = found.ready.books.ledgers
            journal.note("opened", {kind: ledger.as_dict() for kind, ledger in opened.items()})
            journal.note("closed", None)
            journal.note("started", now().timestamp())

            def push(hooks: RunHooks) -> Awaitable[RunResult]:
                if is_adoption:
                    return adopt(
                        found.ready, journal, authorization=authorization, options=options, hooks=hooks
                    )
                return run(
                    found.ready,
                    journal,
                    authorization=authorization,
                    options=options,
                    limits=limits,
                    hooks=hooks,
                )

            ran = drive(found.ready.parts.tickets, push)
            evidence = evidence_of(found.ready, now=now(), say=say)
            report = _report(command, found, path, flags, ran, evidence)
            journal.note("exit_code", report["exit_code"])
            journal.note("closed", {kind: report[kind] for kind in ran.books.ledgers})
            journal.hold_back(_rejected_tickets(found.ready))
        files.write(migration.report, report)
        records = queries.tickets(migration.checkpoint)
        files.write_tickets(migration.report, records, found.ready.related.fates["tickets"])
        files.write_changed(migration.report, ran.changed)
        shown = [*lines.run_lines(found, ran, is_adoption=is_adoption), *lines.next_lines(report)]
        return CommandResult(shown, report, report["exit_code"], ran.failure)


def exit_code(ran: RunResult) -> ExitCode:
    """How the run ended."""
    if ran.failure:
        return ran.failure.exit_code
    if not ran.books.balanced:
        return ExitCode.UNEXPECTED
    if ran.limit:
        return ExitCode.LIMIT
    if ran.interrupted:
        return ExitCode.INTERRUPTED
    incomplete = not ran.books.clean or ran.doubles or ran.unread or ran.partial or ran.not_in_export
    return ExitCode.INCOMPLETE if incomplete else ExitCode.OK


def _ensure_not_lost(migration: Migration) -> None:
    """Raises CheckpointError where the checkpoint knows less than the report of an earlier run."""
    known, imported = queries.ticket_count(migration.checkpoint), files.imported_count(migration.report)
    if imported > known:
        raise CheckpointError(
            f"{migration.checkpoint}: is lost or is an older copy. It knows {known:,} tickets, but "
            f"{migration.report / 'success.csv'} lists {imported:,} that an earlier run imported, and a run "
            "would import them again. Put the right checkpoint back, or complete it with "
            "`dixa-import adopt`. If they are in another account, as after a rehearsal, move "
            f"{migration.report} away and run again"
        )


def _ensure_wanted(found: Examined, options: PushOptions, say: Say) -> None:
    """Raises Invalid where something is rejected and --strict is set, ConfigError where a placeholder of init
    would be used."""
    migration, nameless = found.ready.migration, found.ready.related.default_requesters
    if options.strict and not found.ready.books.clean:
        say("\n".join(lines.problem_lines(found.problems)))
        raise Invalid(
            f"records are rejected, so nothing is sent (--strict); see {migration.report / 'rejects'}"
        )
    if nameless and "people.default_requester" in migration.placeholders():
        raise ConfigError(
            f"people.default_requester: {nameless:,} tickets name no requester, and "
            f"{migration.people.default_requester} is only the placeholder that init wrote; set an address "
            "of yours, or name the column that has the requesters"
        )


def _rejected_tickets(ready: Prepared) -> list[str]:
    """The tickets that are rejected before anything is sent."""
    fates = ready.related.fates["tickets"].filter(pl.col("state") == State.REJECTED)
    ids = fates.select(pl.col("ticket_id").drop_nulls().unique()).collect(engine="streaming")
    return ids["ticket_id"].to_list()


def _report(
    command: str,
    found: Examined,
    path: Path,
    flags: tuple[str, ...],
    ran: RunResult,
    evidence: dict[str, Any],
) -> dict[str, Any]:
    migration = found.ready.migration
    more = {
        **migration_facts(found, path),
        "flags": list(flags),
        "agents_file": str(ran.agents_file) if ran.agents_file else None,
        **evidence,
        "unknown_agents": list(ran.unknown_agents),
        "replaced_agents": list(ran.replaced_agents),
        "changed": len(ran.changed),
        "partial": ran.partial,
        "unread": ran.unread,
        "doubles": [{"ticket_id": ticket, "what": what} for ticket, what in ran.doubles],
        "error": str(ran.failure) if ran.failure else None,
    }
    report = files.summary(
        command,
        migration.name,
        ran.books,
        found.problems,
        exit_code=exit_code(ran),
        traffic=ran.traffic,
        seconds=ran.seconds,
        more=more,
    )
    return files.with_next(report)
