"""`run`, the complete path, and `retry`, the same for what failed: both continue where an earlier run
stopped. `adopt`, for a checkpoint that was lost."""

from pathlib import Path

import click

from importer.cli.actions import invocation, show_plan, told
from importer.cli.group import Command
from importer.cli.options import (
    authorization,
    limit_options,
    migration_argument,
    overrides,
    target_options,
    token_options,
    with_holes_option,
)
from importer.cli.session import Session
from importer.migration.file import load_migration
from importer.pipeline.migrate import adopt_export, migrate
from importer.pipeline.run import options
from importer.pipeline.values import Limits


@click.command(
    cls=Command,
    epilog="\b\nExample, against the sandbox:\n  dixa-import demo --into demo\n  dixa-import sandbox &\n"
    "  DIXA_API_TOKEN=sandbox dixa-import run demo/helpdesk.toml",
)
@migration_argument
@target_options
@token_options
@click.option("-n", "--dry-run", is_flag=True, help="The same as `plan`: everything except sending.")
@click.option("--strict", is_flag=True, help="Send nothing when anything is rejected (exit 6).")
@click.option(
    "--from-scratch",
    is_flag=True,
    help="With a new checkpoint, import also tickets that Dixa holds already. They are in Dixa twice then.",
)
@with_holes_option
@limit_options
@click.pass_obj
def run(
    session: Session,
    migration: Path,
    token_file: Path | None,
    token_command: str | None,
    dry_run: bool,
    strict: bool,
    from_scratch: bool,
    with_holes: bool,
    limit: int | None,
    max_errors: int | None,
    max_duration: float | None,
) -> int:
    """Import the good tickets; continue where an earlier run stopped."""
    if dry_run:
        return show_plan(session, migration, "run --dry-run", with_holes=with_holes)
    loaded = load_migration(migration, overrides())
    call = invocation(
        session,
        "run",
        loaded,
        migration,
        authorization=authorization(loaded.target.auth, token_file, token_command),
        options=options(
            loaded.target,
            loaded.attachments,
            with_holes=with_holes,
            strict=strict,
            from_scratch=from_scratch,
        ),
    )
    return told(session, migrate(call, Limits(limit, max_errors, max_duration)))


@click.command(
    cls=Command,
    epilog="\b\nExample, after a run that ended with 3:\n"
    "  DIXA_API_TOKEN=sandbox dixa-import retry demo/helpdesk.toml",
)
@migration_argument
@target_options
@token_options
@with_holes_option
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
    """Retry failed, rejected and incomplete tickets, also where their content is the same as before."""
    loaded = load_migration(migration, overrides())
    call = invocation(
        session,
        "retry",
        loaded,
        migration,
        authorization=authorization(loaded.target.auth, token_file, token_command),
        options=options(loaded.target, loaded.attachments, with_holes=with_holes, again=True),
    )
    return told(session, migrate(call, Limits(limit, max_errors, max_duration)))


@click.command(
    cls=Command,
    epilog="\b\nExample, after a checkpoint was lost:\n"
    "  DIXA_API_TOKEN=sandbox dixa-import adopt demo/helpdesk.toml",
)
@migration_argument
@target_options
@token_options
@click.pass_obj
def adopt(session: Session, migration: Path, token_file: Path | None, token_command: str | None) -> int:
    """Rebuild a lost checkpoint, or complete an older copy, from what Dixa holds. Sends nothing to Dixa."""
    loaded = load_migration(migration, overrides())
    call = invocation(
        session,
        "adopt",
        loaded,
        migration,
        authorization=authorization(loaded.target.auth, token_file, token_command),
        options=options(loaded.target, loaded.attachments),
    )
    return told(session, adopt_export(call))
