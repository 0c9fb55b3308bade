"""Map the headers of a file to canonical columns, and report everything that is wrong with the mapping."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from importer.errors import SourceError
from importer.migration.presets import Part
from importer.migration.source import Table
from importer.parse.booleans import FALSE, TRUE
from importer.parse.fastpath import Evaluator
from importer.read.mapping import canonical as shape
from importer.read.mapping import explode as items
from importer.read.mapping.header import ColumnRef, Header
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.source_file import SourceFile
from importer.tables.schema import TableSchema

_NAMED_IN = ("columns", "values", "defaults", "lookups", "extract", "matching", "separators", "times")
# So many headers fit into a readable message.
_HEADERS_SHOWN = 60


@dataclass(slots=True)
class ColumnMapping:
    """The canonical columns of a file. `columns` maps each to the header to show for it, `found` to all its
    headers: the first one with a non-empty cell has the value."""

    columns: dict[str, str] = field(default_factory=dict)
    found: dict[str, Sequence[ColumnRef]] = field(default_factory=dict)

    def put(self, canonical: str, found: Sequence[ColumnRef]) -> None:
        """Map a canonical column to at least one header."""
        self.columns[canonical] = found[0].header
        self.found[canonical] = found

    def value(self, canonical: str, evaluator: Evaluator, *, is_strict: bool = False) -> pl.Expr:
        """The value of a canonical column, without surrounding blanks."""
        found = self.found[canonical]
        tidy = [shape.tidied(canonical, one.value, evaluator, checked_later=is_strict) for one in found]
        return pl.coalesce(tidy) if len(tidy) > 1 else tidy[0]


@dataclass(frozen=True, slots=True)
class MappingRules:
    """The rules for mapping the columns of one table."""

    schema: TableSchema
    # The table in the migration file.
    own: Table
    # Whether a preset maps the columns.
    by_preset: bool = False
    # The column with the ticket id in the messages table, by canonical name.
    ticket_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def lists(self) -> set[str]:
        return {f.name for f in self.schema.fields if f.type == "array"}


def map_columns(file: SourceFile, part: Part, header: Header, words: MappingRules) -> ColumnMapping:
    """The canonical columns of one file.

    Columns that the migration file maps must exist; those that a preset maps may be missing. Without a
    preset, a header that is the name of a canonical column is mapped to it. Raises SourceError that lists all
    missing columns, or all repeated headers that are ambiguous.
    """
    result = ColumnMapping()
    missing: list[str] = []
    wanted = {**(words.ticket_columns if part.gather else {}), **part.columns}
    for canonical, sources in wanted.items():
        found = [f for s in sources if (f := header.find(s, is_list=canonical in words.lists))]
        if found:
            result.put(canonical, found)
        elif canonical in words.own.columns and "" not in sources:
            missing.append(f"{' or '.join(map(repr, sources))} (for {canonical})")
    if not words.by_preset:
        _take_own_names(result, part, header, words)
    _refuse_repeated(file, result, words)
    if words.schema.name == "tickets" and not part.gather:
        _keep_rest(result, file, part, header)
    missing += _missing(result, part, header, words)
    if missing:
        more = ", …" * (len(file.titles) > _HEADERS_SHOWN)
        raise SourceError(
            f"{file.path}: {len(missing)} column(s) of {words.schema.name} missing: {', '.join(missing)}\n"
            f"  its header has: {', '.join(file.titles[:_HEADERS_SHOWN])}{more}\n"
            f"  set the right header under [source.{words.schema.name}] columns"
        )
    return result


def _take_own_names(result: ColumnMapping, part: Part, header: Header, words: MappingRules) -> None:
    for canonical in words.schema.columns:
        name = header.name(canonical)
        unclear = part.gather and canonical in shape.OF_THE_MESSAGE
        taken = canonical in result.columns or name in result.columns.values()
        if (
            name
            and not taken
            and not unclear
            and (found := header.find(name, is_list=canonical in words.lists))
        ):
            result.put(canonical, [found])


def _refuse_repeated(file: SourceFile, result: ColumnMapping, words: MappingRules) -> None:
    """Raise SourceError where a mapped header occurs more than once. It is not ambiguous in a preset, which
    means the first one, in a list, which takes all, and where the migration says which one, as in `Title
    (1)`."""
    doubled = {
        name
        for canonical, name in result.columns.items()
        if name in file.repeats
        and canonical not in words.lists
        and f"{name} (1)" not in words.own.columns.get(canonical, ())
        and (not words.by_preset or canonical in words.own.columns)
    }
    if doubled:
        raise SourceError(
            f"{file.path}: {len(doubled)} header(s) occur more than once: "
            f"{', '.join(map(repr, sorted(doubled)))}; choose one of each, e.g. {min(doubled) + ' (1)'!r}"
        )


def _keep_rest(result: ColumnMapping, file: SourceFile, part: Part, header: Header) -> None:
    """Keep unused columns as `custom.<header>`, and repeated ones as one list."""
    used = used_headers(part, header) | set(result.columns.values())
    said = {source for sources in part.columns.values() for source in sources}
    for title, names in {title: header.repeated(title) for title in file.titles if title}.items():
        if file.is_rejects and title in REASON_COLUMNS:
            continue
        if said & {f"{title} ({n + 1})" for n in range(len(names))}:
            for name in set(names) - used:
                result.put(f"custom.{name}", [ColumnRef(pl.col(name), name)])
        elif used & set(names):
            continue
        elif found := header.find(names[0], is_list=True):
            result.put(f"custom.{title}", [found])


def _missing(result: ColumnMapping, part: Part, header: Header, words: MappingRules) -> Iterator[str]:
    for section, named in (("skip", words.own.skip), ("only", words.own.only)):
        for name in named:
            if name not in words.schema.columns and header.find(name) is None:
                yield f"{name!r} (for {section})"
    for name in words.schema.required:
        if name not in {*result.columns, *part.defaults, *part.lookups, *words.own.columns}:
            yield f"{name} (required)"


def used_headers(part: Part, header: Header) -> set[str]:
    """All headers of a file that a part uses."""
    sources = [s for several in part.columns.values() for s in several]
    sources += [lookup.on for lookup in part.lookups.values()]
    sources += [*part.skip, *part.only, *part.drop, *([part.newest_by] if part.newest_by else [])]
    found = [f for source in sources if (f := header.find(source))]
    taken = items.item_columns(part.each, header) if part.each else ()
    return {*taken, *(name for f in found for name in (f.header, *f.value.meta.root_names()))}


def unknown_names(schema: TableSchema, table: Table) -> Iterator[str]:
    """Messages about settings of the migration file for columns that the table does not have."""
    for section in _NAMED_IN:
        for name in getattr(table, section):
            if name in schema.columns or (schema.name == "tickets" and name.startswith("custom.")):
                continue
            near = difflib.get_close_matches(name, schema.columns, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known columns: {', '.join(schema.columns)}"
            yield f"source.{schema.name}.{section}.{name}: is not a column of {schema.name}{hint}"


def wrong_values(schema: TableSchema, table: Table) -> Iterator[str]:
    """Messages about value maps and defaults of the migration file that give a column a value it cannot
    have."""
    for column in schema.fields:
        known: Sequence[str] = column.constraints.get("enum", ())
        if column.type == "boolean":
            known = (*TRUE, *FALSE)
        said = [
            (f"values.{column.name}", re.sub(r"[\s\-]+", "_", value.lower()), value)
            for value in table.values.get(column.name, {}).values()
        ]
        if column.name in table.defaults:
            # Defaults are not respelled, so they must be spelled as in the schema.
            said.append((f"defaults.{column.name}", table.defaults[column.name], table.defaults[column.name]))
        for section, spelled, value in said if known else ():
            if value and spelled not in known:
                yield f"source.{schema.name}.{section}: {value!r} is not one of {', '.join(known)}"


def not_the_preset(file: SourceFile, table: str, candidates: Sequence[Part]) -> str:
    """The message that a file is none of the kinds of files that the preset knows."""
    wanted = " or ".join(", ".join(part.headers) for part in candidates if part.headers) or "(none)"
    return (
        f"{file.path}: does not match the {table} file of the preset, which has the headers {wanted}\n"
        f"  its header has: {', '.join(file.titles[:_HEADERS_SHOWN])}\n"
        f"  to read a file that the preset does not know, map its columns in source.{table}.columns"
    )
