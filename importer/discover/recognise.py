"""Recognises an export: by the headers of a preset, else by headers that many exports use, else by values.
Pure: the files were read before."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from importer.discover.aliases import Aliased, CellsOf, aliased, known_as
from importer.migration.presets import ExplodeRule, Part, Preset
from importer.read.mapping import explode as items
from importer.read.mapping.header import Header
from importer.read.sample import Sample
from importer.read.source_file import SourceFile
from importer.tables.schema import TABLES, fold

# A file that has all columns of one of these sets is that table. Other files are tickets if they have a
# column of a ticket.
_MARKS: Mapping[str, tuple[frozenset[str], ...]] = {
    "attachments": (frozenset({"message_id", "url"}),),
    "messages": (
        frozenset({"message_id", "ticket_id"}),
        frozenset({"ticket_id", "text", "public"}),
        frozenset({"ticket_id", "text", "direction"}),
        frozenset({"ticket_id", "text", "author_id"}),
        frozenset({"ticket_id", "html", "author_id"}),
    ),
    "people": (frozenset({"person_id", "email", "name"}),),
}
# Characters. A column whose cells have this length on average holds texts, whatever its header is.
_TEXT = 60
# A file of tickets has each id once, apart from a few damaged rows. A file of messages repeats the ids.
_DISTINCT = 0.9
# Headers of ids that say nothing about what they identify.
GENERIC_ID_HEADERS = frozenset({"id", "nr", "no", "number", "nummer", "numero", "número", "key", "#"})
# Columns that only tickets have.
_OF_A_TICKET = frozenset({"status", "opening_text", "opening_html", "assignee_name", "queue"})


@dataclass(frozen=True, slots=True)
class Placement:
    """The table that a file was recognised as."""

    file: SourceFile
    # A canonical table, or `lookup:<name>`.
    table: str
    # The headers by which it was recognised.
    by: tuple[str, ...]
    # How many of its `total` headers the preset or the aliases use.
    known: int
    total: int
    # Canonical column → header, path or template, without a preset.
    columns: Mapping[str, str] = field(default_factory=dict)
    # Canonical columns for which the values mean the opposite.
    inverted: frozenset[str] = frozenset()
    # The column of a file of tickets whose cells hold the rows of this table.
    each: str | None = None
    # The first rows of the file, without a preset.
    sample: Sample | None = None
    # Canonical columns that were recognised only by their values.
    guessed: frozenset[str] = frozenset()

    def named(self, table: str) -> Aliased:
        """The columns of the file if it is this table."""
        header = Header(self.file.header, self.file.repeats)
        known = replace(self, each=None)
        return aliased(table, header, self.file.nested, known.cells if self.sample else None)

    def taken_for(self, table: str, by: tuple[str, ...], **said: str) -> "Placement":
        """The file as this table. `said` are columns that are known already."""
        found = self.named(table)
        columns = {name: own for name, own in found.columns.items() if own not in said.values()} | said
        return replace(self, table=table, by=by).filled(found, columns)

    def filled(self, found: Aliased, columns: Mapping[str, str]) -> "Placement":
        """The placement with these columns. `found` gives the rest."""
        known = min(len(columns), self.total)
        return replace(self, columns=columns, inverted=found.inverted, guessed=found.guessed, known=known)

    def guessed_as(self, table: str) -> frozenset[str]:
        """The columns that were recognised only by their values, in its own table or in a gathered one."""
        return self.guessed if table == self.table else self.named(table).guessed

    def cells(self, source: str) -> pl.Series:
        """The cells of a header, path or template in the sample, without empty cells."""
        if self.sample is None:
            return pl.Series(dtype=pl.String)
        rows, names = self.sample.frame, self.file.header
        if self.each:
            each, header = ExplodeRule(column=self.each), Header(names, self.file.repeats)
            numbered = rows.lazy().with_row_index("_record").with_columns(_flaw=pl.lit(None, pl.String))
            rows = items.explode(numbered, each, header).collect()
            names = (*names, *items.item_names(each, names))
        found = Header(names, self.file.repeats).find(source)
        return rows.select(found.value).to_series().drop_nulls() if found else pl.Series(dtype=pl.String)

    def untaken_texts(self, inside: Collection[str]) -> list[str]:
        """The headers of columns of texts that the aliases do not use. `inside` are the headers that other
        tables are made of."""
        if self.each:
            return []
        unknown = [title for title in self.unknown if title not in inside]
        return [title for title in unknown if _holds_texts(title, self.cells(title))]

    @property
    def unknown(self) -> list[str]:
        """The headers that the aliases do not use."""
        sources = self.columns.values()
        used = {*sources, *(re.split(r"\[\]|\.", source)[0] for source in sources)}
        used |= {name for source in sources for name in re.findall(r"\{([^{}]*)\}", source)}
        return [title for title in dict.fromkeys(self.file.titles) if title and title not in used]


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the files of an export are."""

    # The preset that knows the most files. None where no preset does, and columns are mapped by aliases.
    preset: str | None
    places: tuple[Placement, ...]
    # Files that were not recognised.
    strangers: tuple[SourceFile, ...]
    # Other presets that know as many files.
    others: tuple[str, ...] = ()

    @property
    def inside(self) -> set[str]:
        """The headers whose cells hold rows of another table."""
        return {
            header
            for place in self.places
            if place.each
            for header in items.used_columns(
                ExplodeRule(column=place.each),
                Header(place.file.header, place.file.repeats),
                place.columns.values(),
            )
        }


def recognise(
    files: Sequence[SourceFile],
    presets: Iterable[tuple[str, Preset]],
    sampled: Callable[[SourceFile], Sample | None] = lambda _: None,
) -> Recognised:
    """Recognise the files of one export. `sampled` gives the first rows of a file; it is called only where no
    preset fits."""
    found = [(name, _places(files, preset)) for name, preset in presets]
    fitting = [(name, places) for name, places in found if _has_rows(places)]
    if not fitting:
        return _by_alias([_looked_into(file, sampled(file)) for file in files])
    name, places = max(fitting, key=lambda item: _weight(item[1]))
    known = {place.file.path for place in places}
    others = sorted(n for n, p in fitting if n != name and _weight(p)[0] == _weight(places)[0])
    return Recognised(
        name, tuple(places), tuple(file for file in files if file.path not in known), tuple(others)
    )


def _weight(places: Sequence[Placement]) -> tuple[int, int, float]:
    """The number of known files, the number of headers that identify them, and the share of used headers. The
    preset with the largest weight wins."""
    tables = {place.file.path for place in places if not place.table.startswith("lookup:")}
    share = sum(place.known for place in places) / max(1, sum(place.total for place in places))
    return len(tables), sum(len(place.by) for place in places), share


def _has_rows(places: Sequence[Placement]) -> bool:
    return any(place.table in ("tickets", "messages") for place in places)


def _places(files: Sequence[SourceFile], preset: Preset) -> list[Placement]:
    places = [place for file in files for place in _places_of(file, preset)]
    # A file of a table may have all headers of a lookup too. It is not the lookup if another file is only
    # that.
    of_tables = {place.file.path for place in places if not place.table.startswith("lookup:")}
    own = {place.table for place in places if place.file.path not in of_tables}
    return [place for place in places if place.table not in own or place.file.path not in of_tables]


def _places_of(file: SourceFile, preset: Preset) -> Iterator[Placement]:
    header = Header(file.header, file.repeats)
    for table in TABLES:
        part = next(
            (p for p in preset.parts(table) if p.read is None and p.headers and p.fits(file.titles)), None
        )
        if part is not None:
            yield Placement(file, table, part.headers, _known(part, header), len(set(file.titles)))
            break
    for name, lookup in preset.lookups.items():
        if lookup.headers and {fold(h) for h in lookup.headers} <= {fold(t) for t in file.titles}:
            yield Placement(
                file, f"lookup:{name}", lookup.headers, len(lookup.headers), len(set(file.titles))
            )


def _known(part: Part, header: Header) -> int:
    sources = {s for several in part.columns.values() for s in several} | {*part.drop, *part.skip, *part.only}
    found = {f.header for s in sources if (f := header.find(s))}
    return len(found | {lookup.on for lookup in part.lookups.values()})


def _holds_texts(title: str, cells: pl.Series) -> bool:
    if cells.is_empty():
        return False
    long = int(cells.str.len_chars().sum()) >= len(cells) * _TEXT
    return long or known_as("messages", "text", title)


def _looked_into(file: SourceFile, sample: Sample | None) -> tuple[SourceFile, Sample | None]:
    if sample is None or file.kind == "parquet":
        return file, sample
    return replace(file, nested=sample.nested()), sample


def _by_alias(files: Sequence[tuple[SourceFile, Sample | None]]) -> Recognised:
    places = _joined([_place_by_alias(file, sample) for file, sample in files])
    known = [place for place in places if place.columns]
    if known and not _has_rows(known):
        known = [tickets for place in known if (tickets := _as_tickets(place)).columns]
    strangers = tuple(file for file, _ in files if all(place.file is not file for place in known))
    if not any(place.table == "messages" for place in known):
        known += [inside for place in known if (inside := _in_cells(place) or _in_numbered(place))]
    return Recognised(None, tuple(known), strangers)


def _in_cells(place: Placement) -> Placement | None:
    """The messages that are a list of structs in a column of the tickets."""
    if place.table != "tickets":
        return None
    for title in place.file.titles:
        start = f"{title}[]."
        inner = [path.removeprefix(start) for path in place.file.nested if path.startswith(start)]
        plain = [path for path in inner if not re.search(r"\.|\[\]", path)]
        deeper = [path for path in inner if path not in plain]
        inside = replace(place, table="messages", by=(title,), each=title)
        found = aliased("messages", Header(plain, {}), deeper, _cells_of(inside, {}))
        if {"text", "html"} & set(found.columns):
            columns = {name: f"each.{own}" for name, own in found.columns.items()}
            return replace(inside, total=len(inner)).filled(found, columns)
    return None


def _in_numbered(place: Placement) -> Placement | None:
    """The messages that are in numbered columns of the tickets (`Comment 1` and so on), with the numbered
    columns beside these (`Comment 1 Author`)."""
    if place.table != "tickets":
        return None
    titles = list(dict.fromkeys(place.file.titles))
    numbered: dict[str, list[str]] = {}
    for title in titles:
        if match := re.search(r"\d+", title):
            name = f"{title[: match.start()]}{items.NUMBER}{title[match.end() :]}"
            numbered.setdefault(name, []).append(title)
    for column in (name for name, several in numbered.items() if len(several) > 1):
        word = column.replace(items.NUMBER, "").strip(" _-.:#")
        if not known_as("messages", "text", word) or not _speaks(place, numbered[column]):
            continue
        inside = replace(place, table="messages", by=tuple(numbered[column]), each=column)
        beside = {_without(word, name): f"each.{name}" for name in numbered if name != column}
        found = aliased("messages", Header([*beside], {}), (), _cells_of(inside, beside))
        columns = {name: beside[short] for name, short in found.columns.items()}
        columns = {name: own for name, own in columns.items() if name != "html"} | {"text": "each"}
        return replace(inside, total=len(beside) + 1).filled(found, columns)
    return None


def _speaks(place: Placement, titles: Sequence[str]) -> bool:
    """Whether most cells of these columns have letters, or all are empty."""
    cells = pl.concat([place.cells(title) for title in titles])
    return cells.is_empty() or int(cells.str.contains(r"\p{L}").sum()) * 2 > len(cells)


def _cells_of(place: Placement, sources: Mapping[str, str]) -> CellsOf:
    """The cells of the items of a placement. `sources` maps short names to their sources."""
    return lambda name: place.cells(sources.get(name, f"each.{name}"))


def _without(word: str, name: str) -> str:
    """The short name of a column beside a numbered one: `Author` for `Comment {n} Author`."""
    short = name.replace(items.NUMBER, " ")
    if short.casefold().startswith(word.casefold()):
        short = short[len(word) :]
    return short.strip(" _-.:#") or name


def _place_by_alias(file: SourceFile, sample: Sample | None) -> Placement:
    place = Placement(file, "tickets", (), 0, len(set(file.titles)), sample=sample)
    for table, marks in _MARKS.items():
        found = place.named(table)
        if table != "messages" and _OF_A_TICKET & set(place.named("tickets").columns):
            continue
        for mark in marks:
            if mark <= set(found.columns) and not (table == "messages" and _are_tickets(place, found)):
                return place.taken_for(table, tuple(found.columns[name] for name in sorted(mark)))
    if by := _repeated_id(place):
        return place.taken_for("messages", by)
    return _as_tickets(place)


def _are_tickets(place: Placement, messages: Aliased) -> bool:
    """Whether rows with the columns of messages are tickets: they have a subject, and each ticket once or no
    text."""
    if "subject" not in place.named("tickets").columns:
        return False
    ids = place.cells(messages.columns["ticket_id"])
    each_once = len(ids) > 1 and ids.n_unique() == len(ids)
    return each_once or not {"text", "html"} & set(messages.columns)


def _repeated_id(place: Placement) -> tuple[str, ...]:
    """The headers of the ticket id and the text, where ids repeat but pairs of id and text do not: such rows
    are messages. Empty where they are not."""
    columns = place.named("messages").columns
    id_, text = columns.get("ticket_id"), columns.get("text") or columns.get("html")
    sample = place.sample
    if sample is None or not id_ or not text or {id_, text} - set(sample.frame.columns):
        return ()
    pairs = sample.frame.select(id_, text).drop_nulls()
    few = pairs[id_].n_unique() < pairs.height * _DISTINCT
    return (id_, text) if few and pairs.n_unique() >= pairs.height * _DISTINCT else ()


def _joined(places: Sequence[Placement]) -> list[Placement]:
    """Recognise messages among the files of tickets: they have a text, and the ids of another file's
    tickets."""
    joined = list(places)
    for parent, ticket in enumerate(places):
        for child, other in enumerate(places):
            key = _key(ticket, other) if parent != child else None
            text = other.named("messages").columns.get("text") if key else None
            if key and text:
                joined[parent] = ticket.taken_for("tickets", ticket.by, ticket_id=key)
                joined[child] = other.taken_for("messages", (key, text), ticket_id=key)
    return joined


def _key(ticket: Placement, other: Placement) -> str | None:
    """The header of the ticket id that both files have: by its name, else by its values."""
    are_tickets = ticket.table == "tickets" and "subject" in ticket.columns
    if not are_tickets or other.table != "tickets" or "subject" in other.columns:
        return None
    shared = [title for title in ticket.file.titles if title in other.file.titles]
    own = ticket.columns.get("ticket_id")
    if own in shared and own is not None:
        # With a generic header each file may have ids of its own.
        return own if fold(own) not in GENERIC_ID_HEADERS else None
    return next(
        (title for title in shared if not own and _refers(ticket.cells(title), other.cells(title))), None
    )


def _refers(ids: pl.Series, references: pl.Series) -> bool:
    """Whether the ids are unique, and most of the references are among them."""
    if ids.is_empty() or references.is_empty() or ids.n_unique() < len(ids):
        return False
    return int(references.is_in(ids.implode()).sum()) >= len(references) * _DISTINCT


def _as_tickets(place: Placement) -> Placement:
    found = place.named("tickets")
    if not {"ticket_id", "subject", "opening_text", "opening_html"} & set(found.columns):
        return replace(place, table="tickets", by=(), known=0, columns={}, inverted=frozenset())
    return place.taken_for("tickets", ())
