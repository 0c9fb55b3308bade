"""`validate` and `plan`: the path up to its last step, offline."""

from datetime import UTC, datetime
from pathlib import Path

import click

from importer.cli.actions import show_plan
from importer.cli.group import Command
from importer.cli.options import migration_argument, overrides, target_options, with_holes_option
from importer.cli.session import Session
from importer.migration.file import load_migration
from importer.pipeline.check import validate_export


@click.command(
    cls=Command,
    epilog="\b\nExample:\n  dixa-import demo --into demo && dixa-import validate demo/helpdesk.toml",
)
@migration_argument
@with_holes_option
@click.pass_obj
def validate(session: Session, migration: Path, with_holes: bool) -> int:
    """Check an export offline; write the rejected rows and a report."""
    loaded = load_migration(migration, overrides())
    result = validate_export(loaded, migration, with_holes=with_holes, now=datetime.now(UTC), say=session.say)
    session.result(result.lines, result.value)
    return result.exit_code


@click.command(
    cls=Command, epilog="\b\nExample:\n  dixa-import demo --into demo && dixa-import plan demo/helpdesk.toml"
)
@migration_argument
@target_options
@with_holes_option
@click.pass_obj
def plan(session: Session, migration: Path, with_holes: bool) -> int:
    """Validate, then show what a run would send and what will be lost."""
    return show_plan(session, migration, "plan", with_holes=with_holes)
