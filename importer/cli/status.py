"""`status`: what the checkpoint holds, while a run is going on too."""

from pathlib import Path

import click

from importer.cli import options
from importer.cli.group import Command
from importer.cli.session import Session
from importer.migration.file import load_migration
from importer.pipeline import status as checkpoint_status


@click.command(
    cls=Command,
    epilog="\b\nExample, after a run against the sandbox:\n  dixa-import status demo/helpdesk.toml",
)
@options.migration_argument
@click.pass_obj
def status(session: Session, migration: Path) -> int:
    """Show what has been imported, what is in doubt, and what is left."""
    result = checkpoint_status.status(load_migration(migration), migration)
    session.result(result.lines, result.value)
    return result.exit_code
