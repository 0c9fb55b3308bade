"""`demo`: the main job on the bundled samples, against a sandbox that it starts itself."""

import shutil
import tempfile
from pathlib import Path

import click

from importer.cli.group import Session, command_line
from importer.cli.run import push
from importer.errors import ConfigError
from importer.migration import file as config
from importer.pipeline import run as pipeline
from importer.resources import SAMPLES
from importer.sandbox import Settings, running

AGENTS = ("lene@nordlys.example", "omar@nordlys.example", "migration@nordlys.example")


@click.command(epilog="\b\nExample:\n  dixa-import demo --into demo")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Only put the samples into this new folder, to try the other commands on.",
)
@click.pass_obj
def demo(session: Session, into: Path | None) -> int:
    """Import the bundled samples into a sandbox and show what came of it."""
    if into is not None:
        _copy(into)
        session.say(f"The samples are in {into}.\nNext: {command_line('validate', into / 'helpdesk.toml')}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="dixa-import-demo-")) / "samples"
    _copy(folder)
    path = folder / "helpdesk.toml"
    session.say(f"Importing {path} into a sandbox on this machine.")
    with running(Settings(agents=AGENTS)) as sandbox:
        loaded = config.load(path, {"target.base_url": sandbox.url})
        options = pipeline.options(loaded)
        code = push(session, loaded, path, authorization=sandbox.token, options=options)
        session.say(f"The sandbox now holds {sandbox.contents()}. Look at the report: {loaded.report}")
    return code


def _copy(folder: Path) -> None:
    try:
        shutil.copytree(SAMPLES, folder)
    except FileExistsError:
        raise ConfigError(f"{folder}: is there already; name a new folder") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error}") from None
