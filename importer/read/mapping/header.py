"""Find the value of a canonical column in a file, by header, path into a struct, or template. Expressions on
frames in which every column is text."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from importer.parse.nested import as_json, inside, text_inside
from importer.tables.schema import fold


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """A value, and the header to show for it: of a template or path, the first header inside it."""

    value: pl.Expr
    header: str


# The suffix that selects the first of several columns with the same title, as `Comment (2)` selects the
# second.
_FIRST = " (1)"


class Header:
    """The columns of a file. Names are compared without case, blanks, `_` and `-`."""

    def __init__(
        self,
        names: Sequence[str],
        repeats: Mapping[str, Sequence[str]],
        beside: Mapping[str, pl.Expr] | None = None,
    ) -> None:
        """`repeats` maps titles that occur more than once to their columns. `beside` are values of a row that
        are not in its cells; headers with the same names take precedence."""
        self.names = tuple(names)
        self._beside = beside or {}
        self._repeats = repeats
        self._by_fold = {fold(name): name for name in reversed(self.names)}

    def name(self, wanted: str) -> str | None:
        """The column with this name; None where the file does not have it."""
        if wanted in self.names:
            return wanted
        if wanted.endswith(_FIRST) and wanted.removesuffix(_FIRST) in self._repeats:
            return wanted.removesuffix(_FIRST)
        return self._by_fold.get(fold(wanted))

    def repeated(self, name: str) -> Sequence[str]:
        """The columns that share this title."""
        return self._repeats.get(name, (name,))

    def find(self, source: str, *, is_list: bool = False) -> ColumnRef | None:
        """The value of a header, path or template; None where the file does not have it. With `is_list`, a
        repeated header is one list."""
        if source in self._beside and source not in self.names:
            return ColumnRef(self._beside[source], source)
        if name := self.name(source):
            several = self._repeats.get(name, ())
            return ColumnRef(_together(several) if is_list and several else pl.col(name), name)
        if "{" in source:
            return self._template(source)
        return self._path(source)

    def cell_at(self, source: str, cells: Mapping[str, str]) -> str | None:
        """The text under a header or at the end of a path in one row; None where there is none."""
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
