"""`status`: what a checkpoint holds, while a run is going on too."""

from pathlib import Path
from typing import Any

from importer.books import PLACES, Books
from importer.checkpoint.lock import is_held
from importer.checkpoint.queries import Snapshot, snapshot
from importer.errors import ExitCode
from importer.migration.file import Migration
from importer.model import State
from importer.pipeline.values import CommandResult
from importer.report import files, lines, text


def status(migration: Migration, path: Path) -> CommandResult:
    """What has been imported, what is in doubt, and what is left. Raises ConfigError where there is no
    checkpoint yet, CheckpointError where it cannot be read."""
    now = snapshot(migration.checkpoint)
    books = _books(now)
    holder = now.notes.get("holder") if is_held(migration.checkpoint) else None
    code = ExitCode.OK if books.balanced else ExitCode.UNEXPECTED
    report: dict[str, Any] = {
        **files.envelope("status", now.binding.migration, exit_code=code),
        "migration_file": str(path),
        "rejects": {str(file): file.name.partition(".")[0] for file in _rejects(migration)},
        "api": now.binding.api,
        "base_url": now.binding.base_url,
        "balanced": books.balanced,
        "running": holder,
        **{kind: ledger.as_dict() for kind, ledger in books.ledgers.items()},
        "last_exit_code": now.notes.get("exit_code"),
    }
    report = files.with_next(report)
    shown = [
        f"{now.binding.migration} → {now.binding.base_url} ({now.binding.api})",
        "",
        text.books(books),
        "",
        text.balance(books),
        f"A run is in progress: {holder}." if holder else _last_run(now),
        f"Report: {migration.report}",
        *lines.next_lines(report),
    ]
    return CommandResult(shown, report, code)


def _rejects(migration: Migration) -> list[Path]:
    """The files of rejected rows that the last command wrote."""
    return sorted((migration.report / "rejects").glob("*.csv"))


def _last_run(now: Snapshot) -> str:
    """How the last run ended."""
    if "holder" in now.notes:
        return (
            f"No run is in progress. The last one ({now.notes['holder']}) was killed; run again to continue."
        )
    return "No run is in progress."


def _books(now: Snapshot) -> Books:
    """Those that the last run closed. While a run is going on, or after one that could not close them: what
    it read and filtered as it noted when it began, what the checkpoint says of the rest, and what that does
    not know yet as left."""
    books = Books()
    opened = now.notes.get("opened") or {}
    closed = now.notes.get("closed") or {}
    held = {"tickets": now.tickets, "messages": now.messages, "attachments": now.attachments}
    for kind, ledger in books.ledgers.items():
        noted = closed.get(kind) or opened.get(kind, {})
        ledger.read = noted.get("read", 0)
        # The checkpoint also knows people whom the export does not name, such as the default agent.
        if kind in closed or kind == "people":
            ledger.add({state: noted.get(state.value, 0) for state in PLACES})
            continue
        ledger.add({state: noted.get(state.value, 0) for state in (State.FILTERED, State.REJECTED)})
        ledger.add({State(state): count for state, count in held[kind].items() if state != State.LEFT})
        # It may also know tickets of an earlier export which this one does not have.
        ledger.read = max(ledger.read, ledger.accounted)
        ledger.add({State.LEFT: ledger.read - ledger.accounted})
    return books
