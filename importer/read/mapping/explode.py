"""Rows that are inside the cells of other rows: in lists, in columns with the same title, in numbered
columns."""

import re
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from importer.migration.presets import ExplodeRule, Part
from importer.parse.nested import as_text, parsed
from importer.read.mapping.header import Header
from importer.read.source_file import SourceFile

# The `_record` of a row from a cell has the number of its source row above these bits, and its position in
# the cell in them: up to a million items per row.
_PLACE_BITS = 20
# The placeholder of the number in the title of numbered columns.
NUMBER = "{n}"


def source_record(number: int, part: Part) -> int:
    """The number of the source row of a `_record`."""
    return number >> _PLACE_BITS if part.each else number


def source_row(part: Part) -> pl.Expr:
    """The number of the source row of `_record`, as an expression."""
    return pl.col("_record") // (1 << _PLACE_BITS) if part.each else pl.col("_record")


def item_names(each: ExplodeRule | None, header: Sequence[str]) -> list[str]:
    """The names of an item's values: `each`, and `each.<part>` for its parts or for other columns with the
    same number. Empty without a rule."""
    if each is None:
        return []
    beside = _beside(each, header) if NUMBER in each.column else {}
    return ["each", *(f"each.{part}" for part in (*each.parts, *beside))]


def item_columns(each: ExplodeRule, header: Header) -> Sequence[str]:
    """The columns whose cells contain the items; none where the file does not have them."""
    if NUMBER in each.column:
        return list(_numbered(each.column, header.names).values())
    found = header.find(each.column)
    return header.repeated(found.header) if found else ()


def used_columns(each: ExplodeRule, header: Header, sources: Iterable[str]) -> set[str]:
    """The columns that contain the items, and other columns with the same numbers that the `sources` use."""
    beside = _beside(each, header.names) if NUMBER in each.column else {}
    spoken = {
        column for title, own in beside.items() if f"each.{title}" in sources for column in own.values()
    }
    return {*item_columns(each, header), *spoken}


def explode(frame: pl.LazyFrame, each: ExplodeRule, header: Header) -> pl.LazyFrame:
    """A row for each item, with its values (see item_names). Empty cells are not items. Raises AssertionError
    where the file does not have the column."""
    several = item_columns(each, header)
    if not several:
        raise AssertionError(f"{each.column} is not in the file")
    if NUMBER in each.column:
        items = _numbered_items(each, header)
    elif each.parts:
        items = pl.concat_list(pl.when(_filled(name)).then(name) for name in several).list.drop_nulls()
    else:
        found = header.find(each.column, is_list=True)
        assert found is not None
        items = found.value.map_batches(_items, return_dtype=pl.List(pl.String), is_elementwise=True)
    frame = (
        frame.filter(pl.col("_flaw").is_null())
        .with_columns(each=items)
        .filter(pl.col("each").list.len() > 0)
        .with_columns(_place=pl.int_ranges(0, pl.col("each").list.len()))
        .explode("each", "_place")
        .with_columns(
            _record=pl.col("_record").cast(pl.UInt64) * (1 << _PLACE_BITS) + pl.col("_place").cast(pl.UInt64)
        )
        .drop("_place")
    )
    if NUMBER in each.column:
        return frame.unnest("each")
    return frame.with_columns(_parts(each)) if each.parts else frame


def item_at(file: SourceFile, part: Part, record: int, cells: Mapping[str, str]) -> tuple[int, str]:
    """Which item of its source row a `_record` is (from 1), and its text. `cells` are those of the source
    row."""
    each = part.each
    assert each is not None
    cells = {name: cell for name, cell in cells.items() if cell not in part.nulls}
    header, place = Header(file.header, file.repeats), record % (1 << _PLACE_BITS)
    several = item_columns(each, header)
    if each.parts or len(several) > 1 or NUMBER in each.column:
        found = [cell for name in several if (cell := cells.get(name, "")).strip()]
    else:
        found = _listed(header.cell_at(each.column, cells))
    return place + 1, found[place] if place < len(found) else ""


def _filled(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars() != ""


def _items(cells: pl.Series) -> pl.Series:
    return pl.Series(cells.name, [_listed(cell) for cell in cells], dtype=pl.List(pl.String))


def _listed(cell: str | None) -> list[str]:
    value = parsed(cell)
    if isinstance(value, list):
        return [text for item_at in value if (text := as_text(item_at)) is not None]
    return [cell] if cell else []


# -- numbered columns


def _numbered(column: str, header: Sequence[str]) -> dict[str, str]:
    """The numbered columns by number (as the header writes it), in the order of the numbers."""
    before, _, behind = column.partition(NUMBER)
    pattern = re.compile(rf"{re.escape(before)}(\d+){re.escape(behind)}", re.IGNORECASE)
    found = {match[1]: name for name in header if (match := pattern.fullmatch(name))}
    return dict(sorted(found.items(), key=lambda item_at: (int(item_at[0]), item_at[0])))


def _beside(each: ExplodeRule, header: Sequence[str]) -> dict[str, dict[str, str]]:
    """Other columns with the same numbers, by title (such as `Comment {n} Author`) and number."""
    own = _numbered(each.column, header)
    found: dict[str, dict[str, str]] = {}
    for name in header:
        match = re.search(r"\d+", name)
        if match and match[0] in own and name not in own.values():
            title = f"{name[: match.start()]}{NUMBER}{name[match.end() :]}"
            found.setdefault(title, {})[match[0]] = name
    return found


def _numbered_items(each: ExplodeRule, header: Header) -> pl.Expr:
    beside = _beside(each, header.names)

    def values(number: str, own: str) -> list[pl.Expr]:
        others = {title: by_number.get(number) for title, by_number in beside.items()}
        return [
            pl.col(own).alias("each"),
            *((pl.col(n) if n else pl.lit(None, pl.String)).alias(f"each.{t}") for t, n in others.items()),
        ]

    items = [
        pl.when(_filled(own)).then(pl.struct(values(number, own)))
        for number, own in _numbered(each.column, header.names).items()
    ]
    return pl.concat_list(items).list.drop_nulls()


# -- cells with separators


def _parts(each: ExplodeRule) -> list[pl.Expr]:
    """The parts of a cell, split at its first separators. With `last`, the last part is split off from the
    right."""
    count, separator = len(each.parts), each.separator
    if not each.last or count < 3:
        pieces = pl.col("each").str.splitn(separator, count).struct
        return [pieces.field(f"field_{n}").alias(f"each.{part}") for n, part in enumerate(each.parts)]
    front = pl.col("each").str.splitn(separator, count - 1).struct
    rest = front.field(f"field_{count - 2}")
    tail = rest.str.split(separator).list.last()
    own = rest.str.head(
        rest.str.len_chars().cast(pl.Int64) - tail.str.len_chars().cast(pl.Int64) - len(separator)
    )
    heads = [front.field(f"field_{n}").alias(f"each.{part}") for n, part in enumerate(each.parts[:-2])]
    return [*heads, own.alias(f"each.{each.parts[-2]}"), tail.alias(f"each.{each.parts[-1]}")]
