"""How carefully cells are worked on: all of them, or none where polars alone can tell that there is nothing
to do. Pure.

Most cells of an export need no work: no blanks at their edges, spelled as the schema has it, no rule broken.
Python's part in working on them costs several times what polars needs to read them. So a table's expressions
are built twice: `Thorough` ones do every work; `Assuming` ones do none, and say for which rows that is right.
The other rows go through the thorough ones. What a row becomes is the same on both ways.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from importer.parse.distinct import Change, hits


def _same(cell: pl.Expr) -> pl.Expr:
    return cell


@dataclass(frozen=True, slots=True)
class Work:
    """What is done to each cell of a column, alone; null stays null.

    `exact` does it. `value` is what becomes of a cell of which `spared` is true, without Python; mostly the
    cell itself. `spared` may be false for cells that need no work, and must be for those that do.
    """

    exact: Change
    spared: Callable[[pl.Expr], pl.Expr]
    value: Callable[[pl.Expr], pl.Expr] = _same
    dtype: pl.DataType | type[pl.DataType] = pl.String


Columns = Sequence[str] | Sequence[pl.Expr]
NO = pl.lit(value=False)


class Care(Protocol):
    """Builds expressions on cells."""

    def work(self, cell: pl.Expr, work: Work, *, implied: bool = False) -> pl.Expr:
        """The cell after the work; `implied` where a later work or rule spares no cell that needs it."""
        ...

    def test(self, cell: pl.Expr, test: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        """Whether a cell passes; `test` is right for a Series too."""
        ...

    def rows(self, columns: Columns, found: Change, *, none: pl.Expr, value: pl.Expr = NO) -> pl.Expr:
        """What is found in rows (structs of these columns); where `none` is true it is `value`."""
        ...

    def learned(self, frame: pl.LazyFrame, name: str, learn: Callable[[pl.Series], Work]) -> Work:
        """The work on a column, learned from some of its cells where the others are assumed to be alike."""
        ...

    def plain(self) -> list[pl.Expr]:
        """`_plain`: whether a row is right as it is, by what was asked up to now."""
        ...


PLAIN = "_plain"
_EXAMPLES = 200


class Thorough:
    """Does every work; all rows are right."""

    def work(self, cell: pl.Expr, work: Work, *, implied: bool = False) -> pl.Expr:
        del implied
        return cell.map_batches(work.exact, return_dtype=work.dtype, is_elementwise=True)

    def test(self, cell: pl.Expr, test: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        return cell.map_batches(
            lambda cells: hits(cells, test),  # type: ignore[arg-type]
            return_dtype=pl.Boolean,
            is_elementwise=True,
        )

    def rows(self, columns: Columns, found: Change, *, none: pl.Expr, value: pl.Expr = NO) -> pl.Expr:
        del none
        dtype = pl.select(value).to_series().dtype
        return pl.struct(columns).map_batches(found, return_dtype=dtype, is_elementwise=True)

    def learned(self, frame: pl.LazyFrame, name: str, learn: Callable[[pl.Series], Work]) -> Work:
        del frame, name
        return learn(pl.Series(dtype=pl.String))

    def plain(self) -> list[pl.Expr]:
        return []


@dataclass(slots=True)
class Assuming:
    """Does no work, and collects what must hold for that, row by row; for one frame. `known` is what the
    frames before it have taught."""

    known: dict[str, Work] = field(default_factory=dict)
    _held: list[pl.Expr] = field(default_factory=list)
    _begun: bool = False

    def work(self, cell: pl.Expr, work: Work, *, implied: bool = False) -> pl.Expr:
        if not implied:
            self._held.append(work.spared(cell) | cell.is_null())
        return work.value(cell)

    def test(self, cell: pl.Expr, test: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        return test(cell)

    def rows(self, columns: Columns, found: Change, *, none: pl.Expr, value: pl.Expr = NO) -> pl.Expr:
        del columns, found
        self._held.append(none)
        return value

    def learned(self, frame: pl.LazyFrame, name: str, learn: Callable[[pl.Series], Work]) -> Work:
        if name not in self.known:
            cells = frame.select(name).drop_nulls().head(_EXAMPLES).collect()[name]
            if cells.is_empty():
                return learn(cells)
            self.known[name] = learn(cells)
        return self.known[name]

    def plain(self) -> list[pl.Expr]:
        held = [*self._held, *([pl.col(PLAIN)] if self._begun else [])]
        self._held.clear()
        self._begun = True
        return [pl.all_horizontal(pl.lit(value=True), *held).fill_null(value=False).alias(PLAIN)]
