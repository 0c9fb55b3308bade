"""`demo`: the main job on the bundled samples, against a sandbox that it starts itself."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from importer.cli.actions import invocation, told
from importer.cli.group import Command
from importer.cli.session import Session
from importer.errors import ConfigError
from importer.migration.file import load_migration
from importer.pipeline.migrate import migrate
from importer.pipeline.run import options
from importer.pipeline.values import Limits, Selection
from importer.pipeline.verify import verify_export
from importer.report.files import envelope
from importer.resources import SAMPLES
from importer.sandbox import Settings, running

AGENTS = ("lene@nordlys.example", "omar@nordlys.example", "migration@nordlys.example")


@click.command(cls=Command, epilog="\b\nExample:\n  dixa-import demo --into demo")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Only copy the samples to this new folder, to try the other commands on.",
)
@click.pass_obj
def demo(session: Session, into: Path | None) -> int:
    """Import the bundled samples into a sandbox and show the result."""
    if into is not None:
        _copy(into)
        line = f"dixa-import validate {into / 'helpdesk.toml'}"
        value = {**envelope("demo"), "folder": str(into), "next": [{"words": "Check them:", "command": line}]}
        session.result([f"The samples are in {into}.", "", "Next:", "- Check them:", f"  {line}"], value)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="dixa-import-demo-")) / "samples"
    _copy(folder)
    path = folder / "helpdesk.toml"
    session.say(f"Importing {path} into a sandbox on this machine.")
    with running(Settings(agents=AGENTS)) as sandbox:
        loaded = load_migration(path, {"target.base_url": sandbox.url})
        call = invocation(
            session,
            "demo",
            loaded,
            path,
            authorization=sandbox.token,
            options=options(loaded.target, loaded.attachments),
        )
        code = told(session, migrate(call, Limits()))
        session.say(f"The sandbox now holds {sandbox.contents()}. Reading it back:")
        verified = verify_export(replace(call, say=lambda _: None), Selection())
        for line in verified.lines[:2]:
            session.say(line)
        session.say(f"See the report: {loaded.report / 'report.html'}")
    return code or verified.exit_code


def _copy(folder: Path) -> None:
    try:
        shutil.copytree(SAMPLES, folder)
    except FileExistsError:
        raise ConfigError(f"{folder}: exists already; name a new folder") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error}") from None
