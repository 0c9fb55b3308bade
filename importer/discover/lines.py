"""The output of `init` and `presets`, line by line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent

from importer.discover.recognise import Placement, Recognised
from importer.discover.template import missing_tickets
from importer.migration import presets
from importer.migration.presets import Preset
from importer.read.source_file import SourceFile
from importer.tables.schema import TABLES

_NAMES_SHOWN = 12


def recognised_lines(found: Recognised, skipped: Mapping[Path, str], timezone: str | None) -> Iterator[str]:
    """What was recognised, by which headers, and what the user has to decide. `skipped` maps files to
    reasons."""
    preset = presets.load(found.preset) if found.preset else None
    if preset:
        yield f"This is {found.preset}: {preset.title}."
        if found.others:
            yield f"It could also be {', '.join(found.others)} (--preset chooses one of them)."
    else:
        yield "No preset knows this export. Its columns were mapped by names that many exports use."
    for place in found.places:
        yield from _place_lines(place, found)
    for file in found.strangers:
        yield f"  {file.path}: not recognised; skipped"
    yield from (f"  {path}: {why}" for path, why in skipped.items())
    if gap := missing_tickets(found):
        yield gap
    if not (timezone or (preset and preset.timezone)):
        yield "Set source.timezone if the times have no time zone (or give --timezone)."


def marked_line(count: int, path: Path) -> str:
    """How many lines of the migration file only the user can complete."""
    lines = "1 line" if count == 1 else f"{count} lines"
    return f"{path} has {lines} marked `# TODO`: what only you can know."


def _place_lines(place: Placement, found: Recognised) -> Iterator[str]:
    file = place.file
    why = f"has {', '.join(place.by)}; " if place.by else ""
    yield f"  {file.path} ({_form(file)}): {place.table}; {why}{_mapped(place, found)}"
    yield from (f"    {note}" for note in file.dialect.notes)
    if untaken := place.untaken_texts(found.inside):
        yield f"    columns with texts that are not mapped: {', '.join(untaken)}"


def _form(file: SourceFile) -> str:
    if file.kind == "parquet":
        return "Parquet"
    return f"{file.dialect.encoding_name}, {file.dialect.delimiter_name!r}"


def _mapped(place: Placement, found: Recognised) -> str:
    """How many columns are mapped, and which are not."""
    counts = f"{place.known} of {place.total} columns mapped"
    if found.preset or place.each:
        return counts
    unread = [title for title in place.unknown if title not in found.inside]
    if not unread:
        return counts
    more = f" and {len(unread) - _NAMES_SHOWN} more" if len(unread) > _NAMES_SHOWN else ""
    return f"{counts}; not mapped: {', '.join(unread[:_NAMES_SHOWN])}{more}"


def preset_lines(preset: Preset) -> Iterator[str]:
    """What a preset knows: the files, the mapping of their headers, and the sources of these facts."""
    yield f"Times without a zone: {preset.timezone or 'set source.timezone'}"
    for table in TABLES:
        for part in preset.parts(table):
            where = f"from the rows of {part.read}" if part.read else f"a file with {', '.join(part.headers)}"
            yield f"\n{table}: {where}"
            yield indent("\n".join(f"{name:<18} {' | '.join(s)}" for name, s in part.columns.items()), "  ")
    for name, lookup in preset.lookups.items():
        yield f"\nlookup {name}: a file with {', '.join(lookup.headers)}"
    yield "\nFacts from:"
    yield indent("\n".join(preset.sources), "  ")
