"""Words for true and false in cells. Pure."""

import polars as pl

from importer.parse.distinct import map_distinct
from importer.parse.fastpath import CellTransform

TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def _booleans(cells: pl.Series) -> pl.Series:
    def read(part: pl.Series) -> pl.Series:
        folded = part.str.to_lowercase()
        true = folded.is_in(TRUE)
        return true.zip_with(true | folded.is_in(FALSE), pl.Series([None], dtype=pl.Boolean))

    return map_distinct(cells, read)


BOOLEAN = CellTransform(
    _booleans,
    lambda cell: cell.str.to_lowercase().is_in((*TRUE, *FALSE)),
    lambda cell: cell.str.to_lowercase().is_in(TRUE),
    pl.Boolean,
)
