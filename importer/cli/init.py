"""`init`: what an export is, and a migration file to begin with. `presets`: the exports that are known."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill, indent

import click
from tabulate import tabulate

from importer.cli.group import Session, command_line
from importer.discover.recognise import Recognised, recognise
from importer.discover.template import gaps, migration_lines, missing_tickets, name_of
from importer.errors import ConfigError, SourceError
from importer.migration import file as config
from importer.migration import presets
from importer.migration.presets import Preset
from importer.private_files import writing
from importer.read.find import find, is_ours, no_tables
from importer.read.look import look
from importer.read.sample import sample
from importer.read.source_file import SourceFile
from importer.tables.schema import TABLES

_OURS = "written by this program and no part of the export, left out"
_EMPTY = "is empty, left out"
_NO_TABLE = "is no CSV or Parquet, left out; is it part of the export?"


@click.command(
    epilog="\b\nExample:\n  dixa-import demo --into demo\n"
    "  dixa-import init demo/presets/zendesk-fivetran --into zendesk.toml\n"
    "  dixa-import validate zendesk.toml"
)
@click.argument("files", nargs=-1, required=True)
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--preset", help="Take this preset, whatever the headers say.")
@click.option("--timezone", help="IANA zone of times that name none, as Europe/Copenhagen.")
@click.option("--region", help="Country of phone numbers without a country code, as DK.")
@click.pass_obj
def init(
    session: Session,
    files: tuple[str, ...],
    into: Path | None,
    preset: str | None,
    timezone: str | None,
    region: str | None,
) -> int:
    """Recognise an export by its headers and write a migration file to edit.

    FILES are CSV or Parquet files, globs, or folders of them.
    """
    looked_at, left_out = _looked_at(files)
    known = [(preset, presets.load(preset, Path.cwd()))] if preset else presets.everything()
    found = recognise(looked_at, known, sample)
    if preset and found.preset is None:
        raise SourceError(
            f"none of the {len(looked_at)} file(s) is what the preset {preset!r} knows; "
            f"`dixa-import presets {preset}` shows what it goes by"
        )
    if not found.places:
        written = "".join(f"\n  {path}: {why}" for path, why in left_out.items())
        raise SourceError(
            "no column has a name that is known; name the columns by hand (README, The migration file):\n"
            + "\n".join(f"  {file.path}: {', '.join(file.titles[:40])}" for file in looked_at)
            + written
        )
    path = into or Path(f"{found.preset or name_of(looked_at[0].path.stem)}.toml")
    if path.exists():
        raise ConfigError(f"{path}: is there already; name another file with --into")
    lines = "\n".join(migration_lines(found, path, timezone, region)).split("\n")
    with writing(path) as out:
        out.write("\n".join(lines) + "\n")
    try:
        config.load(path)
    except ConfigError:
        path.unlink()
        raise
    value = {
        "migration": str(path),
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
        "left_out": {str(path): why for path, why in left_out.items()},
        "to_say": gaps(lines),
    }
    session.result(
        "\n".join(
            [
                *_words(found, left_out, timezone),
                _asked(gaps(lines), path),
                "",
                f"Next: {command_line('validate', path)}",
            ]
        ),
        value,
    )
    return 0


@click.command("presets", epilog="\b\nExample:\n  dixa-import presets zendesk-fivetran")
@click.argument("name", required=False)
@click.pass_obj
def list_presets(session: Session, name: str | None) -> int:
    """The exports that are known; with a NAME, what is known of one."""
    if name is None:
        rows = [(n, preset.title) for n, preset in presets.everything()]
        session.result(
            tabulate(rows, headers=["preset", "export"], disable_numparse=True)
            + "\n\nMore about one: dixa-import presets NAME",
            {"presets": [{"name": n, "title": title} for n, title in rows]},
        )
        return 0
    preset = presets.load(name, Path.cwd())
    session.result(
        "\n".join(
            [preset.title, "", fill(preset.about, 100, break_on_hyphens=False), "", *_known_of(preset)]
        ),
        preset.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    )
    return 0


def _known_of(preset: Preset) -> Iterator[str]:
    yield f"Times without a zone: {preset.timezone or 'set source.timezone'}"
    for table in TABLES:
        for part in preset.parts(table):
            where = (
                f"out of the rows of {part.read}" if part.read else f"a file with {', '.join(part.headers)}"
            )
            yield f"\n{table}: {where}"
            yield indent("\n".join(f"{name:<18} {' | '.join(s)}" for name, s in part.columns.items()), "  ")
    for name, lookup in preset.lookups.items():
        yield f"\nlookup {name}: a file with {', '.join(lookup.headers)}"
    yield "\nFacts from:"
    yield indent("\n".join(preset.sources), "  ")


def _looked_at(patterns: Sequence[str]) -> tuple[list[SourceFile], dict[Path, str]]:
    """The files of an export; and those that are left out, with why."""
    problems: list[str] = []
    files: list[SourceFile] = []
    left_out: dict[Path, str] = {}
    for found in find(patterns, Path()):
        try:
            if isinstance(found, str):
                raise SourceError(found)
            if str(found) not in patterns and not found.stat().st_size:
                left_out[found] = _EMPTY
            elif is_ours(found.absolute(), Path(found.anchor or "/")) or (file := look(found)).is_rejects:
                left_out[found] = _OURS
            else:
                files.append(file)
        except SourceError as error:
            problems.append(str(error))
    if problems:
        raise SourceError("\n".join(problems))
    for folder in filter(Path.is_dir, map(Path, patterns)):
        left_out |= dict.fromkeys(no_tables(folder), _NO_TABLE)
    return files, left_out


def _asked(count: int, path: Path) -> str:
    return f"In {path} {count} lines are marked `# <- say it`: what only you can know."


def _words(found: Recognised, left_out: Mapping[Path, str], timezone: str | None) -> Iterator[str]:
    """What was recognised, how surely, and what is left to say."""
    if found.preset:
        preset = presets.load(found.preset)
        yield f"This is {found.preset}: {preset.title}."
        if found.others:
            yield f"It could also be {', '.join(found.others)} (--preset takes one of them)."
    else:
        yield "No preset knows this export; its columns were mapped by the names that many exports use."
    for place in found.places:
        file = place.file
        form = (
            "Parquet"
            if file.kind == "parquet"
            else f"{file.dialect.encoding_name}, {file.dialect.delimiter_name!r}"
        )
        why = f"has {', '.join(place.by)}; " if place.by else ""
        yield f"  {file.path} ({form}): {place.table}; {why}{place.known} of {place.total} columns known"
        yield from (f"    {note}" for note in file.dialect.notes)
        if untaken := place.untaken_texts(found.inside):
            yield f"    nothing takes {', '.join(untaken)}, though texts stand there"
    for file in found.strangers:
        yield f"  {file.path}: not recognised, left out"
    yield from (f"  {path}: {why}" for path, why in left_out.items())
    if gap := missing_tickets(found):
        yield gap
    preset_zone = presets.load(found.preset).timezone if found.preset else None
    if not (timezone or preset_zone):
        yield "Say source.timezone if its times name no zone (or --timezone)."
