"""`init`: what an export is, and a migration file to begin with. `presets`: the exports that are known."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill, indent

import click
from tabulate import tabulate

from importer import config, presets
from importer.cli.group import Session, command_line
from importer.errors import ConfigError, SourceError
from importer.presets import Preset
from importer.read import SourceFile, find, is_ours, look
from importer.read.shape import OF_THE_MESSAGE
from importer.recognise import Place, Recognised, aliased, recognise
from importer.report.private import writing
from importer.schema import FALSE, TABLES, TRUE, load

_GAP = "# <- say it"
_OURS = "written by this program and no part of the export, left out"


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
    looked_at, ours = _looked_at(files)
    known = [(preset, presets.load(preset, Path.cwd()))] if preset else presets.everything()
    found = recognise(looked_at, known)
    if preset and found.preset is None:
        raise SourceError(
            f"none of the {len(looked_at)} file(s) is what the preset {preset!r} knows; "
            f"`dixa-import presets {preset}` shows what it goes by"
        )
    if not found.places:
        written = "".join(f"\n  {path}: {_OURS}" for path in ours)
        raise SourceError(
            "no column has a name that is known; name the columns by hand (README, The migration file):\n"
            + "\n".join(f"  {file.path}: {', '.join(file.titles[:40])}" for file in looked_at)
            + written
        )
    path = into or Path(f"{found.preset or _name(looked_at[0].path.stem)}.toml")
    if path.exists():
        raise ConfigError(f"{path}: is there already; name another file with --into")
    with writing(path) as out:
        out.write("\n".join(migration_lines(found, path, timezone, region)) + "\n")
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
        "written_by_this_program": list(map(str, ours)),
    }
    session.result(
        "\n".join([*_words(found, ours, timezone), "", f"Next: {command_line('validate', path)}"]), value
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


def _looked_at(patterns: Sequence[str]) -> tuple[list[SourceFile], list[Path]]:
    """The files of an export, and those that this program has written itself."""
    problems: list[str] = []
    files: list[SourceFile] = []
    ours: list[Path] = []
    for found in find(patterns, Path()):
        try:
            if isinstance(found, str):
                raise SourceError(found)
            if is_ours(found.absolute(), Path(found.anchor or "/")) or (file := look(found)).is_rejects:
                ours.append(found)
            else:
                files.append(file)
        except SourceError as error:
            problems.append(str(error))
    if problems:
        raise SourceError("\n".join(problems))
    return files, ours


def _words(found: Recognised, ours: Sequence[Path], timezone: str | None) -> Iterator[str]:
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
    for file in found.strangers:
        yield f"  {file.path}: not recognised, left out"
    yield from (f"  {path}: {_OURS}" for path in ours)
    if gap := _missing_tickets(found):
        yield gap
    preset_zone = presets.load(found.preset).timezone if found.preset else None
    if not (timezone or preset_zone):
        yield "Say source.timezone if its times name no zone (or --timezone)."


def _missing_tickets(found: Recognised) -> str | None:
    """That the file of tickets is not among the files of an export that has one."""
    preset = presets.load(found.preset) if found.preset else None
    if preset is None or any(place.table == "tickets" for place in found.places):
        return None
    if any(part.gather for part in preset.tickets):
        return None
    wanted = " or ".join(f"a file with {', '.join(part.headers)}" for part in preset.tickets)
    return f"No file of tickets is among these ({wanted}); name it in source.tickets.files."


# -- the migration file


def migration_lines(found: Recognised, path: Path, timezone: str | None, region: str | None) -> Iterator[str]:
    """A commented migration file. What nobody can know is marked."""
    preset = presets.load(found.preset) if found.preset else None
    yield f"# Written by dixa-import init. {_GAP[2:].capitalize()}: marks what only you can know."
    yield "version = 1"
    yield f"name = {_text(_name(path.stem))}"
    yield "\n[source]"
    if found.preset and preset:
        yield f"preset = {_text(found.preset)} # {preset.title}"
    yield from _zone(preset, timezone)
    yield (
        f"region = {_text(region)}"
        if region
        else '# region = "DK" # country of phone numbers without a country code'
    )
    if gap := _missing_tickets(found):
        yield f"\n[source.tickets]\n# {gap}\nfiles = [] {_GAP}"
    yield from _gathered_lines(found)
    for table in TABLES:
        places = [place for place in found.places if place.table == table]
        if places:
            yield f"\n[source.{table}]"
            yield from _table_lines(table, places, path, preset, found)
    for name in dict.fromkeys(p.table for p in found.places if p.table.startswith("lookup:")):
        files = [_relative(place.file, path) for place in found.places if place.table == name]
        yield f"\n[source.lookups.{name.removeprefix('lookup:')}]"
        yield f"files = [{', '.join(map(_text, files))}]"
    yield from _target_lines(_has_texts(found, preset))


def _zone(preset: Preset | None, timezone: str | None) -> Iterator[str]:
    if timezone:
        yield f"timezone = {_text(timezone)}"
    elif preset and preset.timezone:
        yield f"# timezone = {_text(preset.timezone)} # by the preset"
    else:
        yield f'# timezone = "Europe/Copenhagen" # of times that name no zone {_GAP}'


def _table_lines(
    table: str, places: Sequence[Place], path: Path, preset: Preset | None, found: Recognised
) -> Iterator[str]:
    if each := next((place.each for place in places if place.each), None):
        yield f"each.column = {_text(each)} # a row is an item of this column of the tickets"
    else:
        yield "files = ["
        for place in places:
            why = f"has {', '.join(place.by)}" if place.by else "by its column names"
            yield f"  {_text(_relative(place.file, path))}, # {why}"
        yield "]"
    if preset:
        for part in preset.parts(table):
            yield f"# the preset's columns{' (of one of its files)' * (len(preset.parts(table)) > 1)}:"
            for name, sources in part.columns.items():
                yield f"#   {name} = {' | '.join(sources)}"
        return
    columns = _headers(places)
    if each:
        columns["ticket_id"] = _headers([p for p in found.places if p.table == "tickets"]).get(
            "ticket_id", [_row_id(found)]
        )
    elif table == "tickets" and "ticket_id" not in columns:
        yield "# no column is known as an id. This is right while the files and their rows stay as they are:"
        yield f"columns.ticket_id = {_text(_row_id(found))} {_GAP}"
    inverted = {name for place in places for name in place.inverted}
    yield from _aliased_lines(table, columns, inverted)
    if table == "tickets" and "created_at" not in columns:
        yield "# no column is known as the time of creation, and Dixa API v1 needs one:"
        yield f'# defaults.created_at = "2020-01-01T00:00:00Z" {_GAP}'
    inner = {place.each for place in found.places}
    unknown = [title for place in places if not place.each for title in place.unknown if title not in inner]
    if unknown:
        kept = "custom fields, as custom.HEADER" if table == "tickets" else "in no column"
        titles = ", ".join(map(_comment, dict.fromkeys(unknown)))
        yield f"# headers that are not known ({kept}): {titles}"


def _gathered_lines(found: Recognised) -> Iterator[str]:
    """What rows of messages say of their ticket, where no file has tickets."""
    places = [place for place in found.places if place.table == "messages"]
    if found.preset or not places or any(place.table == "tickets" for place in found.places):
        return
    taken = {header for place in places for header in place.columns.values()} | {"ticket_id"}
    columns: dict[str, list[str]] = {}
    for place in places:
        for name, header in aliased("tickets", place.file)[0].items():
            if header not in taken and name not in (*OF_THE_MESSAGE, "ticket_id"):
                columns[name] = list(dict.fromkeys([*columns.get(name, []), header]))
    if columns:
        yield "\n[source.tickets] # gathered out of the rows of messages"
        yield from _aliased_lines("tickets", columns, set())


def _headers(places: Sequence[Place]) -> dict[str, list[str]]:
    """Canonical column → its headers in the files; "" among them where a file has none."""
    names = dict.fromkeys(name for place in places for name in place.columns)
    found: dict[str, list[str]] = {}
    for name in names:
        several = [_one_of_several(name, place) for place in places]
        found[name] = sorted(dict.fromkeys(several), key=lambda header: header == "")
    return found


def _one_of_several(name: str, place: Place) -> str:
    """The header in this file; of repeated ones the first."""
    header = place.columns.get(name, "")
    lists = {field.name for field in load(place.table).fields if field.type == "array"}
    return f"{header} (1)" if header in place.file.repeats and name not in lists else header


def _row_id(found: Recognised) -> str:
    several = len({place.file.path for place in found.places if place.table == "tickets"}) > 1
    return "{_file}-{_row}" if several else "row-{_row}"


def _comment(title: str) -> str:
    """A header as a comment can have it."""
    return "".join(sign if sign.isprintable() else " " for sign in title)


def _aliased_lines(table: str, columns: dict[str, list[str]], inverted: set[str]) -> Iterator[str]:
    for name, header in sorted(columns.items(), key=lambda item: _order(table, item[0])):
        why = ""
        if "" in header:
            why = ' # "": not every file has it'
        elif any(one.endswith(" (1)") for one in header):
            why = f" # it stands more than once; (2) is the second {_GAP}"
        value = _text(header[0]) if len(header) == 1 else json.dumps(header, ensure_ascii=False)
        yield f"columns.{name} = {value}{why}"
    for name in sorted(inverted):
        no, yes = ("inbound", "outbound") if name == "direction" else ("true", "false")
        spelled = [*((word, yes) for word in TRUE), *((word, no) for word in FALSE)]
        # What says neither is taken for private: nothing may be shown by mistake.
        spelled += [('"*"', yes)] if name == "public" else []
        yield f"values.{name} = {{ {', '.join(f'{word} = {_text(value)}' for word, value in spelled)} }}"
    if "direction" in columns and "direction" not in inverted:
        yield 'values.direction = { true = "inbound", false = "outbound", in = "inbound", out = "outbound" }'
    if "status" in columns:
        yield (
            'values.status = { new = "open", open = "open", active = "open", "in progress" = "open", '
            f'pending = "pending", "on hold" = "pending", "*" = "closed" }} {_GAP}'
        )
    if "channel" in columns:
        yield (
            'values.channel = { email = "email", mail = "email", chat = "widget_chat", phone = "phone", '
            f'web = "contact_form", "web form" = "contact_form", "*" = "" }} {_GAP}'
        )
    if "role" in columns:
        yield f'values.role = {{ agent = "agent", admin = "agent", "*" = "end_user" }} {_GAP}'
    missing = [
        f.name for f in load(table).fields if f.name not in columns and not f.constraints.get("required")
    ]
    yield f"# columns that were not found: {', '.join(missing)}"


def _has_texts(found: Recognised, preset: Preset | None) -> bool:
    """Whether the export has any message, or tickets alone."""
    if any(place.table == "messages" for place in found.places):
        return True
    parts = preset.parts("tickets") if preset else ()
    named = {name for part in parts for name in part.columns}
    named |= {name for place in found.places for name in place.columns}
    reads = preset is not None and any(part.read for part in preset.messages)
    return reads or bool(named & {"opening_text", "opening_html"})


def _order(table: str, name: str) -> int:
    return load(table).columns.index(name)


def _target_lines(has_texts: bool) -> Iterator[str]:
    yield "\n[target]"
    yield 'api = "dixa" # Dixa API v1; "integrations" is the deprecated one'
    yield "\n[conversation]"
    yield 'kind = "email" # or the name of a generic channel'
    yield f'endpoint = "support@example.com" # the e-mail endpoint in Dixa {_GAP}'
    yield f'# queue = "Imported" # for tickets that stay open and have no assignee {_GAP}'
    yield 'tags = ["imported"]'
    if not has_texts:
        yield "# no column of texts is known, so each ticket goes with its subject alone"
        yield f'empty = "import" {_GAP}'
    yield "\n[people]"
    yield f'default_agent = "agent@example.com" # stands in for agents whom Dixa does not know {_GAP}'
    yield f'default_requester = "{config.PLACEHOLDER}" # stands in where a ticket names nobody {_GAP}'


def _relative(file: SourceFile, path: Path) -> str:
    return os.path.relpath(file.path.absolute(), path.absolute().parent)


def _name(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "migration"


def _text(value: str) -> str:
    """A TOML basic string, which a JSON string is."""
    return json.dumps(value, ensure_ascii=False)
