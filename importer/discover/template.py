"""Writes the migration file of a recognised export, for the user to complete. Pure."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from importer.discover.recognise import Placement, Recognised
from importer.discover.vocabulary import UNKNOWN, vocabulary
from importer.migration import presets, target
from importer.migration.presets import Preset
from importer.parse.booleans import FALSE, TRUE
from importer.read.mapping.canonical import OF_THE_MESSAGE
from importer.read.mapping.header import Header
from importer.read.source_file import SourceFile
from importer.tables.schema import TABLES, load

_GAP = "# TODO"


def gaps(lines: Iterable[str]) -> int:
    """How many lines of a migration file are marked for the user to complete."""
    return sum(_GAP in line for line in lines)


# Columns with few different values, and the choice for a value whose meaning is not known.
_ASKED = {
    "status": "open, pending or closed",
    "channel": "a channel of Dixa, or leave it empty",
    "author_role": "end_user, agent or system",
    "role": "end_user or agent",
    "direction": "inbound, outbound or internal",
    "public": "true or false",
}
# Longer lists are too long to check by hand.
_MAX_LISTED_VALUES = 60
_AGENTS = 200


def migration_lines(found: Recognised, path: Path, timezone: str | None, region: str | None) -> Iterator[str]:
    """The lines of a commented migration file at `path`. Lines that only the user can complete are marked.

    `timezone` and `region` are those that the user has given.
    """
    preset = presets.load(found.preset) if found.preset else None
    yield f"# Written by dixa-import init. Complete the lines marked {_GAP[2:]}: only you know their values."
    yield "version = 1"
    yield f"name = {_text(name_of(path.stem))}"
    yield "\n[source]"
    if found.preset and preset:
        yield f"preset = {_text(found.preset)} # {preset.title}"
    yield from _zone(preset, timezone)
    if not preset and _opens_twice(found):
        yield 'opening = "unless_repeated" # Skip an opening text that is also the first message.'
    yield (
        f"region = {_text(region)}"
        if region
        else '# region = "DK" # Set the country if phone numbers have no country code.'
    )
    if gap := missing_tickets(found):
        yield f"\n[source.tickets]\n# {gap}\nfiles = [] {_GAP}: name the file of tickets"
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
    untaken = [text for place in found.places for text in place.untaken_texts(found.inside)]
    yield from _target_lines(_has_texts(found, preset), untaken)


def _opens_twice(found: Recognised) -> bool:
    """Whether both tickets and messages have texts."""
    opens = any(
        {"opening_text", "opening_html"} & set(p.columns) for p in found.places if p.table == "tickets"
    )
    return opens and any(place.table == "messages" for place in found.places)


def _zone(preset: Preset | None, timezone: str | None) -> Iterator[str]:
    if timezone:
        yield f"timezone = {_text(timezone)}"
    elif preset and preset.timezone:
        yield f"# timezone = {_text(preset.timezone)} # The preset sets this time zone."
    else:
        yield f'# timezone = "Europe/Copenhagen" {_GAP}: set the time zone of times that have none'


def _table_lines(
    table: str, places: Sequence[Placement], path: Path, preset: Preset | None, found: Recognised
) -> Iterator[str]:
    if each := next((place.each for place in places if place.each), None):
        yield f"each.column = {_text(each)} # Each item in this column of the tickets is a message."
    else:
        yield "files = ["
        for place in places:
            why = f"the headers {', '.join(place.by)}" if place.by else "its column names"
            yield f"  {_text(_relative(place.file, path))}, # Recognised by {_comment(why)}."
        yield "]"
    if preset:
        for part in preset.parts(table):
            kind = " in one kind of file" * (len(preset.parts(table)) > 1)
            yield f"# The preset maps these columns{kind}:"
            for name, sources in part.columns.items():
                yield f"#   {name} = {' | '.join(sources)}"
        return
    columns = _headers(places)
    if each:
        columns["ticket_id"] = _headers([p for p in found.places if p.table == "tickets"]).get(
            "ticket_id", [_row_id(found)]
        )
    elif table == "tickets" and "" in columns.get("ticket_id", ()):
        columns["ticket_id"] = [*filter(None, columns["ticket_id"]), "{_file}-{_row}"]
        yield (
            f"{_GAP}: a file has no ids, so its tickets are identified by file name and row number. Do not "
            "rename the file or move its rows."
        )
    elif table == "tickets" and "ticket_id" not in columns:
        yield "# No column of ids was recognised, so tickets are identified by row number. Do not move rows."
        yield f"columns.ticket_id = {_text(_row_id(found))} {_GAP}: name the column of ids if there is one"
    yield from _aliased_lines(table, columns, places)
    if table == "messages":
        yield from _side_lines(columns, found)
    if table == "tickets" and "created_at" not in columns:
        yield "# No column of creation times was recognised, and Dixa API v1 needs a time."
        yield f'# defaults.created_at = "2020-01-01T00:00:00Z" {_GAP}: map created_at, or set this default'
    inner = found.inside | {header for several in _gathered(found).values() for header in several}
    unknown = [title for place in places if not place.each for title in place.unknown if title not in inner]
    if unknown:
        kept = "are kept as custom fields (custom.HEADER)" if table == "tickets" else "are not imported"
        titles = ", ".join(map(_comment, dict.fromkeys(unknown)))
        yield f"# These headers are not mapped and {kept}: {titles}"


def _gathered_lines(found: Recognised) -> Iterator[str]:
    """The columns of tickets in the rows of messages, where no file has tickets."""
    if columns := _gathered(found):
        yield "\n[source.tickets] # The tickets are gathered from the rows of messages."
        places = [place for place in found.places if place.table == "messages"]
        yield from _aliased_lines("tickets", columns, places)


def _gathered(found: Recognised) -> dict[str, list[str]]:
    """Canonical columns of tickets → headers of the messages' files that messages do not use."""
    places = [place for place in found.places if place.table == "messages"]
    if found.preset or any(place.table == "tickets" for place in found.places):
        return {}
    taken = {header for place in places for header in place.columns.values()}
    columns: dict[str, list[str]] = {}
    for place in places:
        for name, header in place.named("tickets").columns.items():
            if header not in taken and name not in (*OF_THE_MESSAGE, "ticket_id"):
                columns[name] = list(dict.fromkeys([*columns.get(name, []), header]))
    return columns


def _headers(places: Sequence[Placement]) -> dict[str, list[str]]:
    """Canonical column → its headers in the files; "" among them where a file has none."""
    names = dict.fromkeys(name for place in places for name in place.columns)
    found: dict[str, list[str]] = {}
    for name in names:
        several = [_one_of_several(name, place) for place in places]
        found[name] = sorted(dict.fromkeys(several), key=lambda header: header == "")
    return found


def _one_of_several(name: str, place: Placement) -> str:
    """The header in this file. Of several columns with the same header it is the first."""
    header = place.columns.get(name, "")
    lists = {field.name for field in load(place.table).fields if field.type == "array"}
    return f"{header} (1)" if header in place.file.repeats and name not in lists else header


def _row_id(found: Recognised) -> str:
    several = len({place.file.path for place in found.places if place.table == "tickets"}) > 1
    return "{_file}-{_row}" if several else "row-{_row}"


def _comment(title: str) -> str:
    """A header without characters that would end or break a comment."""
    return "".join(c if c.isprintable() else " " for c in title)


def _aliased_lines(table: str, columns: dict[str, list[str]], places: Sequence[Placement]) -> Iterator[str]:
    for name, header in sorted(columns.items(), key=lambda item: _order(table, item[0])):
        why = ""
        if "" in header:
            why = ' # Some files do not have this column ("").'
        elif any(one.endswith(" (1)") for one in header):
            why = f" {_GAP}: several columns have this header; (1) is the first, (2) the second"
        if any(name in place.guessed_as(table) for place in places):
            why += f" {_GAP}: recognised by its values only; check that it is the right column"
        value = _text(header[0]) if len(header) == 1 else f"[{', '.join(map(_text, header))}]"
        yield f"columns.{name} = {value}{why}"
    for name in (name for name in _ASKED if name in columns):
        yield from _value_lines(name, columns[name], places)
    missing = [
        f.name for f in load(table).fields if f.name not in columns and not f.constraints.get("required")
    ]
    yield f"# These columns were not found: {', '.join(missing)}"


def _value_lines(name: str, sources: Sequence[str], places: Sequence[Placement]) -> Iterator[str]:
    """The meaning of each value of a column, except of values that are canonical already."""
    inverted = any(name in place.inverted for place in places)
    cells = pl.concat(
        [pl.Series(dtype=pl.String), *(place.cells(source) for place in places for source in sources)]
    )
    counted = cells.value_counts(sort=True)
    if counted.height > _MAX_LISTED_VALUES:
        yield f"{_GAP}: {name} has {counted.height:,} or more different values; check the column"
    known = vocabulary(name, counted[:, 0].head(_MAX_LISTED_VALUES), inverted=inverted)
    for value, meant in known.items():
        spelled = "_".join(value.lower().replace("-", " ").split())
        if meant is None:
            assumed = _text(UNKNOWN[name])
            yield f"values.{name}.{_text(value)} = {assumed} {_GAP}: unknown value; choose {_ASKED[name]}"
        elif spelled != meant and not (
            name == "public" and not inverted and value.lower() in (*TRUE, *FALSE)
        ):
            yield f"values.{name}.{_text(value)} = {_text(meant)}"
    if any(place.sample is None or not place.sample.is_whole for place in places):
        yield (
            f"# The values of {name} were taken from the first rows only. "
            "validate rejects values that are not listed."
        )


def _side_lines(columns: dict[str, list[str]], found: Recognised) -> Iterator[str]:
    """What was assumed about agents and private notes, where no column shows them."""
    if not {"direction", "public"} & set(columns):
        yield "# No column says whether a message is public, so all become private notes."
        yield f'# defaults.public = "true" {_GAP}: set this default if none of them is a private note'
    told = {name for place in found.places if place.table == "tickets" for name in place.columns}
    requester = {"requester_id", "requester_email", "requester_name"} & (told | set(_gathered(found)))
    if requester or {"direction", "author_role"} & set(columns):
        return
    senders = {name: columns[name] for name in ("author_name", "author_email") if name in columns}
    for sources in senders.values():
        if agents := _assigned(sources, found):
            yield "# No column says who is an agent. The senders who are the assignee of a ticket are listed:"
            yield f"columns.author_role = {_text(sources[0])}"
            yield from (f'values.author_role.{_text(agent)} = "agent"' for agent in agents)
            yield f'values.author_role."*" = "end_user" {_GAP}: check that all agents are listed'
            return
    if senders:
        sender = _text(next(reversed(senders.values()))[0])
        yield f"{_GAP}: no column says who is an agent, so all senders count as agents. List the agents:"
        yield f"# columns.author_role = {sender}"
        yield '# values.author_role = { "lene@example.com" = "agent", "*" = "end_user" }'


def _assigned(sources: Sequence[str], found: Recognised) -> list[str]:
    """The senders who are the assignee of a ticket, sorted. Empty where there are too many to list."""
    messages = [place for place in found.places if place.table == "messages"]
    assignees: set[str] = set()
    for place in (place for place in found.places if place.table in ("tickets", "messages")):
        headers = place.named("tickets").columns
        for name in ("assignee_name", "assignee_email"):
            assignees |= set(place.cells(headers[name])) if name in headers and not place.each else set()
    senders = {sender for place in messages for source in sources for sender in place.cells(source)}
    both = sorted(senders & assignees)
    return both if len(both) <= _AGENTS else []


def _has_texts(found: Recognised, preset: Preset | None) -> bool:
    """Whether the export has messages or opening texts."""
    if any(place.table == "messages" for place in found.places):
        return True
    named = {name for place in found.places for name in place.columns}
    for place in found.places:
        parts = preset.parts("tickets") if preset and place.table == "tickets" else ()
        header = Header(place.file.header, place.file.repeats)
        for part in (part for part in parts if part.fits(place.file.titles)):
            named |= {name for name, sources in part.columns.items() if any(map(header.find, sources))}
    reads = preset is not None and any(part.read for part in preset.messages)
    return reads or bool(named & {"opening_text", "opening_html"})


def _order(table: str, name: str) -> int:
    return load(table).columns.index(name)


def _target_lines(has_texts: bool, untaken: Sequence[str]) -> Iterator[str]:
    yield "\n[target]"
    yield 'api = "dixa" # This is Dixa API v1. "integrations" is the deprecated API.'
    yield "\n[conversation]"
    yield 'kind = "email" # It may also be the name of a generic channel.'
    endpoint, agent, requester = map(_text, target.PLACEHOLDERS.values())
    yield f"endpoint = {endpoint} {_GAP}: enter the address of your e-mail endpoint in Dixa"
    yield f'# queue = "Imported" {_GAP}: set a queue for tickets that stay open and have no assignee'
    yield 'tags = ["imported"]'
    if not has_texts:
        if untaken:
            titles = ", ".join(map(_comment, untaken))
            yield f"# No messages were recognised, but these columns have texts and are not mapped: {titles}"
            yield f'# empty = "import" {_GAP}: map the texts, or import tickets with their subject only'
        else:
            yield "# No column of texts was recognised, so tickets are imported with their subject only."
            yield f'empty = "import" {_GAP}: check that the export has no texts'
    yield "\n[people]"
    yield f"default_agent = {agent} {_GAP}: enter the agent who replaces agents that Dixa does not know"
    yield f"default_requester = {requester} {_GAP}: enter the requester of tickets that name none"


def missing_tickets(found: Recognised) -> str | None:
    """A sentence that says that the file of tickets is missing. None where it is not, or where the preset
    gathers tickets from messages."""
    preset = presets.load(found.preset) if found.preset else None
    if preset is None or any(place.table == "tickets" for place in found.places):
        return None
    if any(part.gather for part in preset.tickets):
        return None
    wanted = " or ".join(f"a file with {', '.join(part.headers)}" for part in preset.tickets)
    return f"No file of tickets was found (expected {wanted}). Name it in source.tickets.files."


def _relative(file: SourceFile, path: Path) -> str:
    return os.path.relpath(file.path.absolute(), path.absolute().parent)


def name_of(stem: str) -> str:
    """The name of a migration, made from the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "migration"


def _text(value: str) -> str:
    """A TOML basic string. A JSON string is one, except for the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
