"""Parse lists in cells: JSON, Python literals, or text with separators. Pure."""

from functools import lru_cache

import polars as pl

from importer.parse.fastpath import CellTransform
from importer.parse.nested import parsed


def cell_items(cell: str) -> list[str] | None:
    """The items of a list in a cell: JSON (`["a"]`), Python (`['a']`), or text between commas, semicolons,
    bars or line ends. Blanks separate URLs too. None for brackets that do not contain a list of texts or
    numbers."""
    cell = cell.strip()
    if cell.startswith("[") and cell.endswith("]"):
        return _bracketed(cell)
    if cell.startswith(("http://", "https://")):
        return _urls(cell)
    for separator in ("\n", "|", ";", ","):
        if separator in cell:
            return [item for item in (part.strip() for part in cell.split(separator)) if item]
    return [cell] if cell else []


def _bracketed(cell: str) -> list[str] | None:
    value = parsed(cell)
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        return None
    return [text for item in value if (text := str(item).strip())]


def _urls(cell: str) -> list[str]:
    """Split URLs. They may contain commas, semicolons and bars, which separate only in front of `http`."""
    items: list[str] = []
    for part in cell.split():
        start = 0
        for separator in (",http", ";http", "|http"):
            part = part.replace(separator, "\n" + separator[1:])
        items += [item.strip(",;|") for item in part[start:].split("\n")]
    return [item for item in items if item]


def _lists(cells: pl.Series) -> pl.Series:
    there = cells.is_not_null()
    given = cells.filter(there)
    # Most cells have one item, and most columns of lists are mostly empty: all empty cells take the null
    # after the last list.
    several = given.str.contains(_SEVERAL) | (given == "")
    lists = given.to_frame("x").select(pl.concat_list("x")).to_series()
    if several.any():
        items = pl.Series([_known_items(cell) for cell in given.filter(several)], dtype=pl.List(pl.String))
        places = pl.select(
            pl.when(several).then(several.cum_sum() - 1 + len(given)).otherwise(pl.int_range(len(given)))
        ).to_series()
        lists = pl.concat([lists, items]).gather(places)
    lists = pl.concat([lists, pl.Series([None], dtype=pl.List(pl.String))]).alias(cells.name)
    places = pl.select(pl.when(there).then(there.cum_sum() - 1).otherwise(len(given))).to_series()
    return lists.gather(places)


# Characters that separate the items of a list or enclose them.
_SEVERAL = r"[\n|;,\s]|^\["


# Lists such as tags repeat, so their items are cached.
_known_items = lru_cache(1 << 16)(cell_items)


LIST = CellTransform(
    _lists,
    lambda cell: ~cell.str.contains(_SEVERAL) & (cell != ""),
    lambda cell: pl.when(cell.is_not_null()).then(pl.concat_list(cell)),
    pl.List(pl.String),
)
