"""`run`, `retry` and `adopt`: the complete path, and the reports about it."""

from collections.abc import Awaitable, Callable
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
    Examined,
    Invocation,
    Limits,
    Prepared,
    RunHooks,
    RunResult,
    Say,
)
from importer.push.context import PushOptions
from importer.report import files, lines

# The last step of the path: what is done with a prepared export.
Go = Callable[[Prepared, Checkpoint, RunHooks], Awaitable[RunResult]]


def migrate(call: Invocation, limits: Limits) -> CommandResult:
    """`run` and `retry`: prepare, push, and write the reports, also where the push fails. Raises RunError for
    what is wrong before the push begins."""
    ensure_free(call.migration.checkpoint)
    if not call.options.from_scratch:
        _ensure_not_lost(call.migration)

    def push(ready: Prepared, journal: Checkpoint, hooks: RunHooks) -> Awaitable[RunResult]:
        return run(
            ready,
            journal,
            authorization=call.authorization,
            options=call.options,
            limits=limits,
            hooks=hooks,
        )

    with examined(call.migration, with_holes=call.options.with_holes, jobs=True, say=call.say) as found:
        _ensure_wanted(found, call.options, call.say)
        ran, report = _carried_out(call, found, push)
        shown = [*lines.run_lines(found, ran), *lines.next_lines(report)]
        return CommandResult(shown, report, report["exit_code"], ran.failure)


def adopt_export(call: Invocation) -> CommandResult:
    """`adopt`: the same path, and what Dixa holds is recorded in place of a push. Raises as `migrate`."""
    ensure_free(call.migration.checkpoint)

    def record(ready: Prepared, journal: Checkpoint, hooks: RunHooks) -> Awaitable[RunResult]:
        return adopt(ready, journal, authorization=call.authorization, options=call.options, hooks=hooks)

    # A ticket may have been imported with holes.
    with examined(call.migration, with_holes=True, jobs=True, say=call.say) as found:
        ran, report = _carried_out(call, found, record)
        shown = [*lines.run_lines(found, ran), *lines.adoption_lines(ran), *lines.next_lines(report)]
        return CommandResult(shown, report, report["exit_code"], ran.failure)


def _carried_out(call: Invocation, found: Examined, go: Go) -> tuple[RunResult, dict[str, Any]]:
    """What `go` did, and report.json of it. All reports are on disk then."""
    migration = call.migration
    binding = Binding(migration.name, migration.target.api, migration.target.base_url)
    with Checkpoint(migration.checkpoint, binding) as journal:
        for line in setting_changes(journal, migration.fingerprints()):
            call.say(line)
        opened = found.ready.books.ledgers
        journal.note("opened", {kind: ledger.as_dict() for kind, ledger in opened.items()})
        journal.note("closed", None)
        journal.note("started", call.now().timestamp())
        ran = call.drive(found.ready.parts.tickets, lambda hooks: go(found.ready, journal, hooks))
        evidence = evidence_of(found.ready, now=call.now(), say=call.say)
        report = _report(call, found, ran, evidence)
        journal.note("exit_code", report["exit_code"])
        journal.note("closed", {kind: report[kind] for kind in ran.books.ledgers})
        journal.hold_back(_rejected_tickets(found.ready))
    files.write(migration.report, report)
    records = queries.tickets(migration.checkpoint)
    files.write_tickets(migration.report, records, found.ready.related.fates["tickets"])
    files.write_changed(migration.report, ran.changed)
    return ran, report


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


def _report(call: Invocation, found: Examined, ran: RunResult, evidence: dict[str, Any]) -> dict[str, Any]:
    more = {
        **migration_facts(found, call.path),
        "flags": list(call.flags),
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
        call.command,
        call.migration.name,
        ran.books,
        found.problems,
        exit_code=exit_code(ran),
        traffic=ran.traffic,
        seconds=ran.seconds,
        more=more,
    )
    return files.with_next(report)
