"""Do expensive work only on those cells of a column that need it: on its distinct values, or on cells that a
cheap test leaves over. Pure. The results equal those of the work on every cell."""

from collections.abc import Callable
from typing import TypeVar

import polars as pl

Change = Callable[[pl.Series], pl.Series]
Cells = TypeVar("Cells", pl.Series, pl.Expr)

# So many first cells show whether values repeat. Shorter columns are not worth the test.
_SAMPLE = 2_000
# Texts that begin with a blank sort before the first visible character of ASCII, or among Unicode's other
# blanks.
_FIRST_SIGN = "!"
_WIDE_BLANKS = (("\u0085", "\u00a1"), ("\u1680", "\u1681"), ("\u2000", "\u2060"), ("\u3000", "\u3001"))


def map_distinct(cells: pl.Series, change: Change) -> pl.Series:
    """The cells after `change`, which must treat each cell independently of others and keep nulls."""
    if not _are_alike(cells):
        return change(cells)
    different = cells.drop_nulls().unique()
    after = change(different)
    if after.dtype == cells.dtype and after.equals(different, null_equal=True):
        return cells
    return cells.replace_strict(different, after, default=None, return_dtype=after.dtype)


def test_distinct(cells: pl.Series, test: Change) -> pl.Series:
    """Whether `test` is true for each cell; it must treat each cell independently of others. False for
    nulls."""
    if not _are_alike(cells):
        return test(cells).fill_null(value=False)
    different = cells.drop_nulls().unique()
    found = different.filter(test(different))
    return all_false(cells) if found.is_empty() else cells.is_in(found.implode()).fill_null(value=False)


def rows_where_all(rows: pl.Series, test: Callable[[str, pl.Series], pl.Series]) -> pl.Series:
    """Whether each row (a struct) passes `test` in every column; `test` takes the name and the cells of a
    column. In most files no row passes in the first column, so the others are not tested."""
    found = ~all_false(rows)
    for name in rows.struct.fields:
        found &= test(name, rows.struct.field(name)).fill_null(value=False)
        if not found.any():
            break
    return found


def all_false(cells: Cells) -> Cells:
    """False for every cell."""
    if isinstance(cells, pl.Expr):
        return pl.lit(value=False)
    return pl.Series(cells.name, [False], dtype=pl.Boolean).new_from_index(0, len(cells))


def strip_cells(cells: pl.Series) -> pl.Series:
    """The cells without surrounding blanks; null where nothing is left."""
    return map_distinct(cells, _stripped)


def null_if_blank(texts: pl.Series) -> pl.Series:
    """The texts, with null for those that contain only blanks."""
    suspects = may_be_blank(texts)
    if not suspects.any():
        return texts
    stripped = texts.set(~suspects.fill_null(value=False), None).str.strip_chars()
    blank = (stripped == "").fill_null(value=False)
    return texts.set(blank, None) if blank.any() else texts


def may_be_blank(texts: Cells) -> Cells:
    """False for texts that begin with a visible character."""
    found = texts < _FIRST_SIGN
    for first, after in _WIDE_BLANKS:
        found |= (texts >= first) & (texts < after)
    return found


def _stripped(cells: pl.Series) -> pl.Series:
    stripped = cells.str.strip_chars()
    sizes = stripped.str.len_bytes()
    if sizes.min() != 0:
        return cells if sizes.sum() == cells.str.len_bytes().sum() else stripped
    return stripped.zip_with((sizes > 0).fill_null(value=False), pl.Series([None], dtype=pl.String))


def _are_alike(cells: pl.Series) -> bool:
    sample = cells.head(_SAMPLE)
    return len(cells) > _SAMPLE and sample.n_unique() * 2 < len(sample)
