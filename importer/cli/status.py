"""`status`: what the checkpoint holds, while a run is going on too."""

from pathlib import Path

import click
from tabulate import tabulate

from importer import checkpoint, config
from importer.cli.group import Session, command_line, migration_argument
from importer.model import State


@click.command(
    epilog="\b\nExample, after a run against the sandbox:\n  dixa-import status demo/helpdesk.toml"
)
@migration_argument
@click.pass_obj
def status(session: Session, migration: Path) -> int:
    """Say what has been imported, what is in doubt, and what is left."""
    loaded = config.load(migration)
    now = checkpoint.snapshot(loaded.checkpoint)
    kinds = {
        "tickets": now.tickets,
        "messages": now.messages,
        "attachments": now.attachments,
        "people": now.people,
    }
    books = now.notes.get("books", {})
    for kind in ("tickets", "messages"):
        # Of the last finished run: rows that never came as far as the checkpoint.
        for name in ("read", State.FILTERED, State.REJECTED):
            kinds[kind] = {f"{name} at the last run": books.get(kind, {}).get(name, 0), **kinds[kind]}
    holder = now.notes.get("holder")
    lines = [
        f"{now.binding.migration} → {now.binding.base_url} ({now.binding.api})",
        "",
        tabulate(
            [
                [kind, state.replace("_", " "), count]
                for kind, counts in kinds.items()
                for state, count in counts.items()
                if count
            ],
            tablefmt="plain",
            intfmt=",",
        ),
        "",
        f"A run is going on: {holder}." if holder else "No run is going on.",
        f"Next: {command_line('run', migration)}",
    ]
    value = {
        "version": 1,
        "command": "status",
        "migration": now.binding.migration,
        "api": now.binding.api,
        "base_url": now.binding.base_url,
        "running": holder,
        **{kind: dict(counts) for kind, counts in kinds.items()},
        "last_run": {"books": books, "exit_code": now.notes.get("exit_code")},
    }
    session.result("\n".join(lines), value)
    return 0
