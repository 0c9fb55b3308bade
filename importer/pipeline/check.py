"""`validate` and `plan`: the path up to its last step, offline."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from importer.dixa import APIS
from importer.errors import ExitCode
from importer.migration.file import Migration
from importer.pipeline.forecast import LOGINS, forecast
from importer.pipeline.prepare import examined
from importer.pipeline.values import CommandResult, Examined, Forecast, Prepared, Say
from importer.relate import warnings
from importer.relate.statistics import statistics
from importer.report import evidence, files, lines

_LOSSES = {LOGINS: "Dixa fetches them without a login; put them where everybody can fetch them"}


def validate_export(
    migration: Migration, path: Path, *, with_holes: bool, now: datetime, say: Say
) -> CommandResult:
    """Check the export as a whole and write the report. `path` is the migration file as the user named it."""
    with examined(migration, with_holes=with_holes, jobs=False, say=say) as found:
        report = check_report("validate", found, path, more=evidence_of(found.ready, now=now, say=say))
        files.write(migration.report, report)
        shown = [*lines.check_lines(found, report), *lines.next_lines(report)]
        return CommandResult(shown, report, report["exit_code"])


def plan_export(
    migration: Migration,
    path: Path,
    *,
    command: str,
    flags: tuple[str, ...],
    with_holes: bool,
    now: datetime,
    say: Say,
    counting: Callable[[int], Callable[[], object]],
) -> CommandResult:
    """The same, and what a run would send. `counting` is given the number of tickets, and gives what is to be
    called for each of them; `flags` are those that the next command needs too."""
    with examined(migration, with_holes=with_holes, jobs=True, say=say) as found:
        counted = counting(found.ready.parts.tickets)
        expected = forecast(found.ready, with_holes=with_holes, counted=counted)
        losses = _losses(migration, expected)
        more = {
            **evidence_of(found.ready, now=now, say=say),
            "flags": list(flags),
            "plan": _plan(expected),
            "losses": losses,
            "forecast": {"requests": expected.requests, "seconds": round(expected.seconds, 1)},
        }
        report = check_report(command, found, path, more=more)
        files.write(migration.report, report)
        shown = [
            *lines.check_lines(found, report),
            "",
            *lines.plan_lines(found.ready, expected, losses),
            *lines.next_lines(report),
        ]
        return CommandResult(shown, report, report["exit_code"])


def check_report(command: str, found: Examined, path: Path, *, more: Mapping[str, Any]) -> dict[str, Any]:
    """report.json of a command that sends nothing."""
    ready = found.ready
    code = ExitCode.OK if ready.books.clean else ExitCode.INVALID
    code = code if ready.books.balanced else ExitCode.UNEXPECTED
    facts = {**migration_facts(found, path), **more}
    report = files.summary(
        command, ready.migration.name, ready.books, found.problems, exit_code=code, more=facts
    )
    return files.with_next(report)


def migration_facts(found: Examined, path: Path) -> dict[str, Any]:
    """What report.next_steps looks at beside counts and exit code."""
    migration = found.ready.migration
    zoneless = sum(problem.count for problem in found.problems if problem.rule.endswith(".timezone"))
    return {
        "migration_file": str(path),
        "rejects": {str(file): table for file, table in found.rejects.items()},
        "placeholders": migration.placeholders(),
        "zoneless": zoneless if migration.source.timezone is None else 0,
    }


def evidence_of(ready: Prepared, *, now: datetime, say: Say) -> dict[str, Any]:
    """What the report shows beside counts and problems; what was found out about the files is said at
    once."""
    for line in evidence.file_lines(ready.tables):
        say(line)
    migration = ready.migration
    found = warnings.findings(
        ready.tables,
        ready.related,
        now=now,
        timezone=migration.source.timezone,
        opening=migration.source.opening,
        carried=frozenset(migration.conversation.attributes.values()),
    )
    return {
        "files": evidence.files(ready.tables),
        "findings": evidence.findings(found, ready.tables),
        "statistics": statistics(ready.related),
    }


def _losses(migration: Migration, expected: Forecast) -> list[dict[str, Any]]:
    how = {trait.aspect: trait.how for trait in APIS[migration.target.api].TRAITS} | _LOSSES
    return [{"what": what, "count": count, "why": how[what]} for what, count in expected.losses.items()]


def _plan(expected: Forecast) -> dict[str, Any]:
    return {
        "conversations": expected.conversations,
        "messages": expected.messages,
        "people_to_look_up": expected.people_to_look_up,
        "people_to_create_at_most": expected.people_to_create_at_most,
        "requests": expected.requests,
        "account_look_ups": expected.account_look_ups,
        "seconds_at_the_limit": round(expected.seconds, 1),
        "already_there": expected.already_there,
        "held_back": expected.held_back,
        "verify_requests": expected.verify_requests,
        "losses": dict(expected.losses),
    }
