"""Where a canonical column's value stands in a file: a header, a path into a struct, a template, a list of
these. Expressions on frames in which every column is text."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from importer.parse.nested import as_json, inside, text_inside
from importer.tables.schema import fold


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """`header` is the one that a reader should look at (a template or path has it inside)."""

    value: pl.Expr
    header: str


# The first of several columns of one title, as `Comment (2)` is the second.
_FIRST = " (1)"


class Header:
    """The columns of a file, found case, blanks, `_` and `-` aside."""

    def __init__(
        self,
        names: Sequence[str],
        repeats: Mapping[str, Sequence[str]],
        beside: Mapping[str, pl.Expr] | None = None,
    ) -> None:
        """`beside` is what is known of a row beside its cells, by names that a header goes over."""
        self.names = tuple(names)
        self._beside = beside or {}
        self._repeats = repeats
        self._by_fold = {fold(name): name for name in reversed(self.names)}

    def name(self, wanted: str) -> str | None:
        if wanted in self.names:
            return wanted
        if wanted.endswith(_FIRST) and wanted.removesuffix(_FIRST) in self._repeats:
            return wanted.removesuffix(_FIRST)
        return self._by_fold.get(fold(wanted))

    def repeated(self, name: str) -> Sequence[str]:
        """The columns that share this title."""
        return self._repeats.get(name, (name,))

    def find(self, source: str, *, is_list: bool = False) -> ColumnRef | None:
        """What a header, path or template stands for in this file; None where the file does not have it."""
        if source in self._beside and source not in self.names:
            return ColumnRef(self._beside[source], source)
        if name := self.name(source):
            several = self._repeats.get(name, ())
            return ColumnRef(_together(several) if is_list and several else pl.col(name), name)
        if "{" in source:
            return self._template(source)
        return self._path(source)

    def cell_at(self, source: str, cells: Mapping[str, str]) -> str | None:
        """What stands under a header or at the end of a path in one row."""
        steps = _steps(source)
        for count in range(len(steps), 0, -1):
            if name := self.name(".".join(steps[:count])):
                return text_inside(cells.get(name), steps[count:]) if steps[count:] else cells.get(name)
        return None

    def _template(self, source: str) -> ColumnRef | None:
        parts: list[pl.Expr] = []
        first: str | None = None
        for words, inner, _, _ in string.Formatter().parse(source):
            if words:
                parts.append(pl.lit(words))
            if inner is not None:
                found = self.find(inner)
                if found is None:
                    return None
                first = first or found.header
                parts.append(found.value)
        return ColumnRef(pl.concat_str(parts), first) if first else None

    def _path(self, source: str) -> ColumnRef | None:
        steps = _steps(source)
        for count in range(len(steps) - 1, 0, -1):
            if name := self.name(".".join(steps[:count])):
                return ColumnRef(inside(pl.col(name), steps[count:]), name)
        return None


def _steps(path: str) -> list[str]:
    return path.replace("[]", ".[]").split(".")


def _together(names: Sequence[str]) -> pl.Expr:
    """The cells of repeated columns as a JSON list; null where all are empty."""
    tidy = (pl.col(name).str.strip_chars() for name in names)
    cells = pl.concat_list(pl.when(cell != "").then(cell) for cell in tidy).list.drop_nulls()
    return pl.when(cells.list.len() > 0).then(as_json(cells))
