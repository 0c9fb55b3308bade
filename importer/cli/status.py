"""`status`: what the checkpoint holds, while a run is going on too."""

from pathlib import Path

import click

from importer.books import PLACES, Books
from importer.checkpoint import database as checkpoint
from importer.cli.group import Session, command_line, migration_argument
from importer.migration import file as config
from importer.model import State
from importer.report import text


@click.command(
    epilog="\b\nExample, after a run against the sandbox:\n  dixa-import status demo/helpdesk.toml"
)
@migration_argument
@click.pass_obj
def status(session: Session, migration: Path) -> int:
    """Say what has been imported, what is in doubt, and what is left."""
    loaded = config.load(migration)
    now = checkpoint.snapshot(loaded.checkpoint)
    books = _books(now)
    going_on = checkpoint.is_held(loaded.checkpoint)
    holder = now.notes.get("holder") if going_on else None
    idle = not any(books["tickets"].places[state] for state in (State.LEFT, State.FAILED, State.IN_DOUBT))
    lines = [
        f"{now.binding.migration} → {now.binding.base_url} ({now.binding.api})",
        "",
        text.books(books),
        "",
        text.balance(books),
        f"A run is going on: {holder}." if going_on else _last(now),
        f"Report: {loaded.report}",
        *([] if going_on else [_rest(books)] if idle else [f"Next: {command_line('run', migration)}"]),
    ]
    value = {
        "version": 1,
        "command": "status",
        "migration": now.binding.migration,
        "api": now.binding.api,
        "base_url": now.binding.base_url,
        "balanced": books.balanced,
        "running": holder,
        **{kind: ledger.as_dict() for kind, ledger in books.ledgers.items()},
        "last_exit_code": now.notes.get("exit_code"),
    }
    session.result("\n".join(lines), value)
    return 0 if books.balanced else 1


def _rest(books: Books) -> str:
    """What is to be done where nothing is left to send."""
    tickets = books["tickets"].places
    mend = sum(ledger.places[State.REJECTED] for ledger in books.ledgers.values())
    said = [
        *([f"{mend:,} rejected records need mending (failed.csv and rejects/ name them)"] if mend else []),
        *(
            [f"{tickets[State.PARTIAL]:,} tickets in Dixa lack something (success.csv names it)"]
            if tickets[State.PARTIAL]
            else []
        ),
    ]
    return f"Nothing is left to send as it is; {', '.join(said)}." if said else "Nothing is left to do."


def _last(now: checkpoint.Snapshot) -> str:
    """How the last run ended, as far as it could say."""
    if "holder" in now.notes:
        return f"No run is going on. The last one ({now.notes['holder']}) ended without closing; run again."
    return "No run is going on."


def _books(now: checkpoint.Snapshot) -> Books:
    """Those that the last run closed; while one is going on, or after one that could not close them, what it
    read and left out as it noted when it began, and what the checkpoint says of the rest; what it does not
    know yet is left."""
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
