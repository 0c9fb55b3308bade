"""`verify`: does Dixa hold what the export held? `proof`: what a proof says of one ticket."""

import json
from pathlib import Path

import click

from importer.cli.actions import invocation, told
from importer.cli.group import Command
from importer.cli.options import (
    authorization,
    migration_argument,
    overrides,
    target_options,
    token_options,
)
from importer.cli.session import Session
from importer.errors import ConfigError
from importer.migration.file import load_migration
from importer.pipeline.run import options
from importer.pipeline.values import Selection
from importer.pipeline.verify import verify_export
from importer.report.files import envelope
from importer.verify import proof as proofs


@click.command(
    cls=Command,
    epilog="\b\nExample, after a run against the sandbox:\n"
    "  DIXA_API_TOKEN=sandbox dixa-import verify demo/helpdesk.toml",
)
@migration_argument
@target_options
@token_options
@click.option("--sample", type=click.IntRange(1), help="Verify only so many tickets, drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which sample to draw.")
@click.option(
    "--only", metavar="TICKET", multiple=True, help="Verify this ticket. May be given several times."
)
@click.option("--since-run", is_flag=True, help="Verify only tickets of which the last run sent something.")
@click.option("--strict", is_flag=True, help="Differences in mark-up alone count too (exit 10).")
@click.option(
    "--fix",
    is_flag=True,
    help="Let the next run add messages, notes and tags that are missing in Dixa. Nothing is deleted.",
)
@click.option(
    "--proof",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file that proves later what Dixa held, without texts and addresses.",
)
@click.pass_obj
def verify(
    session: Session,
    migration: Path,
    token_file: Path | None,
    token_command: str | None,
    sample: int | None,
    seed: int,
    only: tuple[str, ...],
    since_run: bool,
    strict: bool,
    fix: bool,
    proof: Path | None,
) -> int:
    """Read Dixa back and compare it with the export.

    Sends nothing to Dixa.
    """
    loaded = load_migration(migration, overrides())
    call = invocation(
        session,
        "verify",
        loaded,
        migration,
        authorization=authorization(loaded.target.auth, token_file, token_command),
        options=options(loaded.target, loaded.attachments),
    )
    selection = Selection(sample, seed, only, since_run)
    return told(session, verify_export(call, selection, strict=strict, fix=fix, proof=proof))


@click.command(cls=Command, epilog="\b\nExample:\n  dixa-import proof proof.json 5001")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("ticket")
@click.pass_obj
def proof(session: Session, file: Path, ticket: str) -> int:
    """Show what proves one ticket of a proof, without the others."""
    try:
        whole = json.loads(file.read_bytes())
        shown = proofs.shown(whole, ticket)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: is not a proof that `verify --proof` wrote: {error}") from None
    if shown is None:
        raise ConfigError(f"{file}: has no ticket {ticket}")
    text = proofs.canonical(shown).decode("utf-8")
    session.result([text], {**envelope("proof", whole.get("migration")), "proof": shown})
    return 0
