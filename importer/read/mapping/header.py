"""Where a canonical column's value stands in a file: a header, a path into a struct, a template, a list of
these. Expressions on frames in which every column is text."""

import ast
import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import phonenumbers
import polars as pl

from importer.parse.distinct import Cells, changed
from importer.parse.fastpath import Care, Work
from importer.tables.schema import Field, cell_items, fold


@dataclass(frozen=True, slots=True)
class Found:
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

    def find(self, source: str, *, is_list: bool = False) -> Found | None:
        """What a header, path or template stands for in this file; None where the file does not have it."""
        if source in self._beside and source not in self.names:
            return Found(self._beside[source], source)
        if name := self.name(source):
            several = self._repeats.get(name, ())
            return Found(_together(several) if is_list and several else pl.col(name), name)
        if "{" in source:
            return self._template(source)
        return self._path(source)

    def look(self, source: str, cells: Mapping[str, str]) -> str | None:
        """What stands under a header or at the end of a path in one row."""
        steps = _steps(source)
        for count in range(len(steps), 0, -1):
            if name := self.name(".".join(steps[:count])):
                return _inside(cells.get(name), steps[count:]) if steps[count:] else cells.get(name)
        return None

    def _template(self, source: str) -> Found | None:
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
        return Found(pl.concat_str(parts), first) if first else None

    def _path(self, source: str) -> Found | None:
        steps = _steps(source)
        for count in range(len(steps) - 1, 0, -1):
            if name := self.name(".".join(steps[:count])):
                return Found(inside(pl.col(name), steps[count:]), name)
        return None


def _steps(path: str) -> list[str]:
    return path.replace("[]", ".[]").split(".")


def _together(names: Sequence[str]) -> pl.Expr:
    """The cells of repeated columns as a JSON list; null where all are empty."""
    tidy = (pl.col(name).str.strip_chars() for name in names)
    cells = pl.concat_list(pl.when(cell != "").then(cell) for cell in tidy).list.drop_nulls()
    return pl.when(cells.list.len() > 0).then(as_json(cells))


def as_json(value: pl.Expr) -> pl.Expr:
    """A list or struct as JSON. polars encodes structs alone, so it is wrapped in one and taken out."""
    return pl.struct(value.alias("x")).struct.json_encode().str.slice(len('{"x":')).str.head(-1)


def inside(cell: pl.Expr, steps: Sequence[str]) -> pl.Expr:
    """What a path leads to in a cell of JSON (or of Python's way of writing it), as text; lists as JSON."""

    def read(cells: pl.Series) -> pl.Series:
        return pl.Series(cells.name, [_inside(text, steps) for text in cells], dtype=pl.String)

    return cell.map_batches(read, return_dtype=pl.String, is_elementwise=True)


def _inside(cell: str | None, steps: Sequence[str]) -> str | None:
    value = parsed(cell)
    for number, step in enumerate(steps):
        if step == "[]":
            items = (
                [_inside_value(item, steps[number + 1 :]) for item in value]
                if isinstance(value, list)
                else []
            )
            kept = [item for item in items if item not in (None, "")]
            return json.dumps(kept, ensure_ascii=False) if kept else None
        if isinstance(value, dict) and step not in value:
            return _dotted(value, steps[number:])
        value = value.get(step) if isinstance(value, dict) else None
    return as_text(value)


def _inside_value(value: Any, steps: Sequence[str]) -> str | None:
    for number, step in enumerate(steps):
        if isinstance(value, dict) and step not in value:
            return _dotted(value, steps[number:])
        value = value.get(step) if isinstance(value, dict) else None
    return as_text(value)


def _dotted(value: Mapping[str, Any], steps: Sequence[str]) -> str | None:
    """What stands under a key that has dots itself."""
    for count in range(len(steps), 1, -1):
        if (key := ".".join(steps[:count])) in value:
            return _inside_value(value[key], steps[count:])
    return None


def parsed(cell: str | None) -> Any:
    """The value that a cell of JSON or of a Python literal holds; None for other texts."""
    if not cell or cell.lstrip()[:1] not in ("{", "["):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def as_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


# One address with the name that it may have in front: quoted, or without signs that could part two of them.
_NAMED = r"""^\s*(?:"[^"]*"\s*|[^<>@]*|[^<>,;]*)<\s*(?:mailto:)?([^<>\s,;]+@[^<>\s,;]+)\s*>[\s,;]*$"""


def _address(cells: pl.Series) -> pl.Series:
    """The address out of `Name <a@b.c>` or `mailto:a@b.c`; a cell of several stays as it is."""
    # Most columns hold bare addresses, and the pattern is dear.
    if _is_bare(cells).all():
        return cells
    inner = cells.str.extract(_NAMED, 1)
    return inner.zip_with(inner.is_not_null(), cells.str.strip_prefix("mailto:"))


def _is_bare(cells: Cells) -> Cells:
    return ~(cells.str.contains("<", literal=True) | cells.str.starts_with("mailto:"))


_ADDRESS = Work(lambda cells: changed(cells, _address), _is_bare)


def _addresses(cells: pl.Series) -> pl.Series:
    known = [None if cell is None or not _SIGNS.search(cell) else _listed(cell) for cell in cells]
    return pl.Series(cells.name, known, dtype=pl.String).zip_with(
        pl.Series([one is not None for one in known], dtype=pl.Boolean), cells
    )


_SIGNS = re.compile("""[<",;|]|mailto:""")
# What stands between two separators, which within quotes and angle brackets are none.
_PIECE = re.compile(r"""(?:"[^"]*"|<[^<>]*>|[^,;|\n])+""")


def _listed(cell: str) -> str:
    """The addresses of a cell, a line each. What has no `@` is a part of the name behind it, or else an item
    that is no address."""
    bracketed = cell.strip().startswith("[") and cell.strip().endswith("]")
    items = cell_items(cell) if bracketed else _PIECE.findall(cell)
    if items is None:
        return cell
    pieces = [item.strip() for item in items]
    kept: list[str] = []
    is_named = False
    for piece in reversed(pieces):
        if "@" in piece:
            is_named = "<" in piece
        if piece and ("@" in piece or not is_named):
            kept.append(piece)
    kept.reverse()
    return "\n".join(_address(pl.Series(kept, dtype=pl.String)))


# Addresses of a cell, however they are parted and named.
ADDRESSES = Work(
    lambda cells: changed(cells, _addresses), lambda cell: ~cell.str.contains("""[<",;|]|mailto:""")
)


def _first(lists: pl.Series) -> pl.Series:
    """The first line with an `@`, and of several addresses on it the first; else the first line."""
    line = lists.str.extract(r"(?m)^([^\r\n]*@[^\r\n]*)$", 1)
    several = line.str.contains(r"@.*\s.*@|^\[").fill_null(value=False)
    address = line.str.extract(r"""([^\s,;\[\]"'<>]+@[^\s,;\[\]"'<>]+)""", 1).zip_with(several, line)
    return address.zip_with(address.is_not_null(), lists.str.extract(r"^([^\n]+)", 1))


_FIRST_ADDRESS = Work(
    lambda cells: changed(changed(cells, _addresses), _first),
    lambda cell: ~cell.str.contains("""[<",;|\\s\\[]|mailto:"""),
)


def phone(region: str | None) -> Work:
    """E.164, where the number can be read; `region` is the country of those without a country code."""

    def read(cells: pl.Series) -> pl.Series:
        known = {text: _phone(text, region) for text in cells.unique() if text is not None}
        return cells.replace_strict(known, default=None, return_dtype=pl.String) if known else cells

    return Work(read, lambda cell: cell.str.contains(f"^{_E164}$"))


_E164 = r"\+[1-9][0-9]{3,14}"


def _phone(text: str, region: str | None) -> str:
    if re.fullmatch(_E164, text):
        return text
    try:
        number = phonenumbers.parse(text.removeprefix("'"), region)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_possible_number(number):
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def repaired_id(cell: pl.Expr) -> pl.Expr:
    """An id without the blanks and the `.0` that a spreadsheet or a report gave it."""
    return cell.str.replace_all(r"[\s\u00a0\u202f]+", "").str.replace(r"^(\d+)\.0+$", "${1}")


def unquoted(cell: pl.Expr) -> pl.Expr:
    """Without the `'` that keeps a spreadsheet from executing a cell."""
    return pl.when(cell.str.contains(r"^'[=+\-@]")).then(cell.str.slice(1)).otherwise(cell)


def unescaped(cell: pl.Expr) -> pl.Expr:
    """With the line ends and tabs that `\\n` and `\\t` stand for."""
    return cell.str.replace_many(["\\r\\n", "\\n", "\\r", "\\t"], ["\n", "\n", "\n", "\t"], leftmost=True)


def canonical(
    cell: pl.Expr, field: Field | None, region: str | None, care: Care, *, implied: bool
) -> pl.Expr:
    """A field's cells as its schema wants them, whatever the source."""
    if field is not None and field.name == "to_email":
        return care.work(cell, _FIRST_ADDRESS)
    if field is not None and field.format == "email":
        return care.work(cell, _ADDRESS, implied=implied)
    if field is not None and field.format == "phone":
        return care.work(cell, phone(region))
    return cell
