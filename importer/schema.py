"""A Table Schema (Frictionless) becomes typed columns and named rules, both polars expressions.

A rule's name is `column.constraint` in the schema's own words (`created_at.type`, `status.enum`), so that the
words of a report are those of the schema. Expressions work on frames in which every cell is text and an
empty cell is null; each column that is not text stands there once more, as `<column>` parsed beside
`raw.<column>` as it came. Two more rules have no word in the standard: `<column>.timezone`, a time without a
zone where none is configured, and `<column>.format`.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import polars as pl

from importer.resources import SCHEMAS

TABLES = ("tickets", "messages", "people", "attachments")

# The addr-spec of RFC 5321 without its quoted and literal forms; in ASCII, since Dixa says nothing of others.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"
URL = r"^https?://[^\s/?#]+[^\s]*$"
_TIME = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ]+(?P<clock>\d{2}:\d{2})(?P<seconds>:\d{2})?(?P<fraction>[.,]\d{1,9})?)?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")

FieldType = Literal["string", "datetime", "boolean", "integer", "array"]


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: FieldType
    format: str | None
    constraints: Mapping[str, Any]
    item_format: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """`fails` is true for a row that breaks the rule; `message` says what would be right."""

    name: str
    column: str
    message: str
    fails: pl.Expr


@dataclass(frozen=True, slots=True)
class TableSchema:
    name: str
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.constraints.get("required"))

    @property
    def primary(self) -> str | None:
        """The column that tells records apart."""
        return next(iter(self.unique), None)

    @property
    def unique(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.constraints.get("unique"))

    def typed(self, timezone: str | None) -> list[pl.Expr]:
        """Expressions that parse the columns that are not text. What cannot be parsed becomes null."""
        return [_parsed(field, timezone).alias(field.name) for field in self.fields if field.type != "string"]

    def rules(self, timezone: str | None) -> list[Rule]:
        """Every rule that looks at one row alone; uniqueness and foreign keys are for `validate` and
        `relate`."""
        return [rule for field in self.fields for rule in _rules(field, timezone)]


@cache
def load(table: str, folder: Path = SCHEMAS / "tables") -> TableSchema:
    """The schema of one canonical table, from `<folder>/<table>.json`."""
    data = json.loads((folder / f"{table}.json").read_text("utf-8"))
    return TableSchema(data["name"], tuple(_field(item) for item in data["fields"]))


def fold(name: str) -> str:
    """A header as it is compared: without case, blanks, `_` and `-`."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


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
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
            return [str(item).strip() for item in value if str(item).strip()]
    return None


def _urls(cell: str) -> list[str]:
    """URLs may hold commas, semicolons and bars: only one of these before the next `http` parts them."""
    items: list[str] = []
    for part in cell.split():
        start = 0
        for separator in (",http", ";http", "|http"):
            part = part.replace(separator, "\n" + separator[1:])
        items += [item.strip(",;|") for item in part[start:].split("\n")]
    return [item for item in items if item]


def _field(item: Mapping[str, Any]) -> Field:
    return Field(
        name=item["name"],
        type=item["type"],
        format=item.get("format"),
        constraints=item.get("constraints", {}),
        item_format=item.get("arrayItem", {}).get("format"),
    )


def _parsed(field: Field, timezone: str | None) -> pl.Expr:
    raw = pl.col(f"raw.{field.name}")
    match field.type:
        case "datetime":
            return _instant(raw, timezone)
        case "boolean":
            folded = raw.str.to_lowercase()
            return pl.when(folded.is_in(_TRUE)).then(True).when(folded.is_in(_FALSE)).then(False)
        case "integer":
            return raw.cast(pl.Int64, strict=False)
        case "array":
            return raw.map_batches(_lists, return_dtype=pl.List(pl.String), is_elementwise=True)
        case _:
            raise AssertionError(field.type)


def _lists(cells: pl.Series) -> pl.Series:
    return pl.Series(
        cells.name, [None if cell is None else cell_items(cell) for cell in cells], dtype=pl.List(pl.String)
    )


def _instant(raw: pl.Expr, timezone: str | None) -> pl.Expr:
    """ISO 8601 with or without a zone → Datetime(us, UTC); null where it is no time or its zone is unknown.

    A time that a DST change repeats is read as the earlier one; one that it skips is null.
    """
    naive, zone = _naive(raw), _groups(raw).struct.field("zone")
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    digits = zone.str.replace_all(r"[^0-9]", "")
    minutes = sign * (
        digits.str.slice(0, 2).cast(pl.Int64, strict=False).fill_null(0) * 60
        + digits.str.slice(2, 2).cast(pl.Int64, strict=False).fill_null(0)
    )
    zoned = (naive - pl.duration(minutes=minutes)).dt.replace_time_zone("UTC")
    if timezone is None:
        return pl.when(zone.is_not_null()).then(zoned)
    local = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return pl.when(zone.is_not_null()).then(zoned).otherwise(local.dt.convert_time_zone("UTC"))


def stands_twice(name: str, timezone: str) -> pl.Expr:
    """Whether a time without a zone is one that the clock shows twice, when it goes back."""
    raw = pl.col(f"raw.{name}")
    naive, zone = _naive(raw), _groups(raw).struct.field("zone")
    first, second = (
        naive.dt.replace_time_zone(timezone, ambiguous=which, non_existent="null")
        for which in ("earliest", "latest")
    )
    return zone.is_null() & (first != second)


def _groups(raw: pl.Expr) -> pl.Expr:
    return raw.str.extract_groups(_TIME)


def _naive(raw: pl.Expr) -> pl.Expr:
    part = _groups(raw).struct
    fraction = part.field("fraction").str.slice(1).str.pad_end(6, "0").str.slice(0, 6).fill_null("000000")
    text = pl.concat_str(
        part.field("date"),
        pl.lit("T"),
        part.field("clock").fill_null("00:00"),
        part.field("seconds").fill_null(":00"),
    )
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us") + pl.duration(
        microseconds=fraction.cast(pl.Int64, strict=False)
    )


_TYPE_WORDS = {
    "datetime": "no time in ISO 8601 (an example: 2024-03-31T09:15:00Z)",
    "boolean": "neither true nor false",
    "integer": "no whole number",
    "array": "brackets without a list of texts in them",
}


def _rules(field: Field, timezone: str | None) -> list[Rule]:
    def rule(name: str, message: str, fails: pl.Expr) -> Rule:
        return Rule(f"{field.name}.{name}", field.name, message, fails.fill_null(value=False))

    if field.type == "string":
        given = pl.col(field.name)
        rules = []
    else:
        given = pl.col(f"raw.{field.name}")
        rules = _type_rules(field, timezone, rule)
    rules += [
        rule(name, *make(given, field, limit))
        for name, limit in field.constraints.items()
        if (make := _CONSTRAINTS.get(name)) and limit is not False
    ]
    if field.format in _FORMATS:
        message, pattern = _FORMATS[field.format]
        rules.append(rule("format", message, ~given.str.contains(pattern)))
    return rules


def _type_rules(field: Field, timezone: str | None, rule: Callable[[str, str, pl.Expr], Rule]) -> list[Rule]:
    raw, value = pl.col(f"raw.{field.name}"), pl.col(field.name)
    unread = raw.is_not_null() & value.is_null()
    if field.type != "datetime":
        rules = [rule("type", _TYPE_WORDS[field.type], unread)]
        if field.item_format in _FORMATS:
            message, pattern = _FORMATS[field.item_format]
            wrong = ~value.list.eval(pl.element().str.contains(pattern)).list.all()
            rules.append(rule("format", f"an item of the list is {message}", wrong))
        return rules
    is_time = _naive(raw).is_not_null()
    zoneless = (
        "a time without a zone; set source.timezone"
        if timezone is None
        else f"a time that {timezone} skips (the clock goes forward)"
    )
    return [
        rule("type", _TYPE_WORDS["datetime"], unread & ~is_time),
        rule("timezone", zoneless, unread & is_time),
    ]


_FORMATS = {
    "email": ("no e-mail address", EMAIL),
    "uri": ("no http(s) URL", URL),
}

_CONSTRAINTS: Mapping[str, Callable[[pl.Expr, Field, Any], tuple[str, pl.Expr]]] = {
    "required": lambda cell, field, _: ("must not be empty", cell.is_null()),
    "enum": lambda cell, field, values: (f"must be one of {', '.join(values)}", ~cell.is_in(values)),
    "pattern": lambda cell, field, pattern: (
        f"must look like {pattern}",
        ~cell.str.contains(f"^(?:{pattern})$"),
    ),
    "minLength": lambda cell, field, limit: (
        f"is shorter than {limit} characters",
        cell.str.len_chars() < limit,
    ),
    "maxLength": lambda cell, field, limit: (
        f"is longer than {limit} characters",
        cell.str.len_chars() > limit,
    ),
    "minimum": lambda cell, field, limit: (f"is less than {limit}", pl.col(field.name) < limit),
    "maximum": lambda cell, field, limit: (f"is more than {limit}", pl.col(field.name) > limit),
}
