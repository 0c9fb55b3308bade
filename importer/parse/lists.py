"""Lists in cells: JSON, Python literals, or text with separators → lists of texts. Pure."""

from functools import lru_cache

import polars as pl

from importer.parse.fastpath import CellTransform
from importer.parse.nested import parsed


def cell_items(cell: str) -> list[str] | None:
    """The items of a list in a cell: JSON (`["a"]`), Python (`['a']`), or text between commas, semicolons,
    bars or line ends; a blank between two URLs parts them too. None for brackets that hold no list."""
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
    """URLs may hold commas, semicolons and bars: only one of these before the next `http` parts them."""
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
    # Most cells hold one item, and most columns of lists are mostly empty: the empty ones all take the null
    # behind the last list.
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


# What parts the items of a list, or stands around them.
_SEVERAL = r"[\n|;,\s]|^\["


_known_items = lru_cache(1 << 16)(cell_items)


LIST = CellTransform(
    _lists,
    lambda cell: ~cell.str.contains(_SEVERAL) & (cell != ""),
    lambda cell: pl.when(cell.is_not_null()).then(pl.concat_list(cell)),
    pl.List(pl.String),
)
