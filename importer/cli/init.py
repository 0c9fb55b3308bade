"""`init`: what an export is, and a migration file to begin with. `presets`: the exports that are known."""

from pathlib import Path
from textwrap import fill

import click
from tabulate import tabulate

from importer.cli.group import Command
from importer.cli.session import Session
from importer.discover import lines
from importer.discover.recognise import recognise
from importer.discover.survey import survey
from importer.discover.template import gaps, migration_lines, name_of
from importer.errors import ConfigError, SourceError
from importer.migration import presets
from importer.migration.file import load_migration
from importer.private_files import writing
from importer.read.sample import sample
from importer.report.files import envelope


@click.command(
    cls=Command,
    epilog="\b\nExample:\n  dixa-import demo --into demo\n"
    "  dixa-import init demo/presets/zendesk-fivetran --into zendesk.toml\n"
    "  dixa-import validate zendesk.toml",
)
@click.argument("files", nargs=-1, required=True)
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--preset", help="Use this preset, whatever the headers say.")
@click.option("--timezone", help="IANA zone of times that have none, e.g. Europe/Copenhagen.")
@click.option("--region", help="Country of phone numbers without a country code, e.g. DK.")
@click.pass_obj
def init(
    session: Session,
    files: tuple[str, ...],
    into: Path | None,
    preset: str | None,
    timezone: str | None,
    region: str | None,
) -> int:
    """Recognise an export and write a migration file to edit.

    FILES are CSV or Parquet files, globs, or folders of them. Exits with 2 where a file cannot be read or
    recognised."""
    surveyed, skipped = survey(files)
    known = [(preset, presets.load(preset, Path.cwd()))] if preset else presets.everything()
    found = recognise(surveyed, known, sample)
    if preset and found.preset is None:
        raise SourceError(
            f"the preset {preset!r} fits none of the {len(surveyed)} file(s); "
            f"`dixa-import presets {preset}` shows the headers that it looks for"
        )
    if not found.places:
        titles = "".join(f"\n  {file.path}: {', '.join(file.titles[:40])}" for file in surveyed)
        written = "".join(f"\n  {path}: {why}" for path, why in skipped.items())
        raise SourceError(
            "no column has a known name; map the columns by hand (docs/migration-file.md):" + titles + written
        )
    path = into or Path(f"{found.preset or name_of(surveyed[0].path.stem)}.toml")
    if path.exists():
        raise ConfigError(f"{path}: exists already; name another file with --into")
    text = "\n".join(migration_lines(found, path, timezone, region))
    with writing(path) as out:
        out.write(text + "\n")
    try:
        load_migration(path)
    except ConfigError:
        path.unlink()
        raise
    todo = gaps(text.split("\n"))
    command = f"dixa-import validate {path}"
    value = {
        **envelope("init", path.stem),
        "migration_file": str(path),
        "preset": found.preset,
        "files": [
            {
                "path": str(place.file.path),
                "table": place.table,
                "by": list(place.by),
                "known": place.known,
                "of": place.total,
            }
            for place in found.places
        ],
        "strangers": [str(file.path) for file in found.strangers],
        "skipped": {str(path): why for path, why in skipped.items()},
        "todo": todo,
        "next": [{"words": f"Edit {path}, then check the export:", "command": command}],
    }
    shown = [
        *lines.recognised_lines(found, skipped, timezone),
        lines.marked_line(todo, path),
        "",
        "Next:",
        f"- Edit {path}, then check the export:",
        f"  {command}",
    ]
    session.result(shown, value)
    return 0


@click.command("presets", cls=Command, epilog="\b\nExample:\n  dixa-import presets zendesk-fivetran")
@click.argument("name", required=False)
@click.pass_obj
def list_presets(session: Session, name: str | None) -> int:
    """List the exports that are known; with NAME, show its mapping."""
    if name is None:
        rows = [(n, preset.title) for n, preset in presets.everything()]
        session.result(
            [
                tabulate(rows, headers=["preset", "export"], disable_numparse=True),
                "",
                "More about one: dixa-import presets NAME",
            ],
            {**envelope("presets"), "presets": [{"name": n, "title": t} for n, t in rows], "next": []},
        )
        return 0
    preset = presets.load(name, Path.cwd())
    value = preset.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    session.result(
        [preset.title, "", fill(preset.about, 100, break_on_hyphens=False), "", *lines.preset_lines(preset)],
        {**envelope("presets"), "preset": value, "next": []},
    )
    return 0
