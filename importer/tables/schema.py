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
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from importer.parse.distinct import changed, nowhere
from importer.parse.fastpath import Care, Work
from importer.parse.instants import State, reading
from importer.resources import SCHEMAS

TABLES = ("tickets", "messages", "people", "attachments")

# The addr-spec of RFC 5321 without its quoted and literal forms; in ASCII, since Dixa says nothing of others.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"
URL = r"^https?://[^\s/?#]+[^\s]*$"
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")

FieldType = Literal["string", "datetime", "boolean", "integer", "array"]


@dataclass(frozen=True, slots=True)
class Field:
    """`beside` names a column in whose presence a cell that cannot be right does no harm: it does not go."""

    name: str
    type: FieldType
    format: str | None
    constraints: Mapping[str, Any]
    item_format: str | None
    example: str | None = None
    beside: str | None = None


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

    def typed(
        self, frame: pl.LazyFrame, given: Collection[str], timezone: str | None, care: Care
    ) -> pl.LazyFrame:
        """The frame with each of the given columns that is not text parsed, null where it cannot be, and as
        it came in `raw.<column>`; for times also `state.<column>` (instants.State) and `twice.<column>`,
        whether the clock shows this time twice."""
        fields = [field for field in self.fields if field.name in given and field.type != "string"]
        frame = frame.rename({field.name: f"raw.{field.name}" for field in fields})
        parsed = [_parsed(field, timezone, frame, care).alias(field.name) for field in fields]
        frame = frame.with_columns(*parsed, *care.plain())
        times = [field.name for field in fields if field.type == "datetime"]
        return frame.with_columns(
            *(pl.col(name).struct.field("state").alias(f"state.{name}") for name in times),
            *(pl.col(name).struct.field("twice").alias(f"twice.{name}") for name in times),
            *(pl.col(name).struct.field("at").alias(name) for name in times),
        )

    def rules(self, given: Collection[str], timezone: str | None, care: Care) -> list[Rule]:
        """Every rule that looks at one row alone and at a given column; uniqueness and foreign keys are for
        `validate` and `relate`."""
        fields = [field for field in self.fields if field.name in given]
        return [
            rule for field in fields for rule in _rules(field, timezone, care, beside=field.beside in given)
        ]

    def dtype(self, name: str) -> pl.DataType:
        """What the column holds once it is typed."""
        kind = next(field.type for field in self.fields if field.name == name)
        return _DTYPES.get(kind, pl.String())


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
        example=item.get("example"),
        beside=item.get("beside"),
    )


def _parsed(field: Field, timezone: str | None, frame: pl.LazyFrame, care: Care) -> pl.Expr:
    name = f"raw.{field.name}"
    match field.type:
        case "datetime":
            return care.work(pl.col(name), care.learned(frame, name, partial(reading, timezone)))
        case "boolean":
            return care.work(pl.col(name), _BOOLEAN)
        case "integer":
            return pl.col(name).cast(pl.Int64, strict=False)
        case "array":
            return care.work(pl.col(name), _LIST)
        case _:
            raise AssertionError(field.type)


def _booleans(cells: pl.Series) -> pl.Series:
    def read(part: pl.Series) -> pl.Series:
        folded = part.str.to_lowercase()
        true = folded.is_in(TRUE)
        return true.zip_with(true | folded.is_in(FALSE), pl.Series([None], dtype=pl.Boolean))

    return changed(cells, read)


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

_BOOLEAN = Work(
    _booleans,
    lambda cell: cell.str.to_lowercase().is_in((*TRUE, *FALSE)),
    lambda cell: cell.str.to_lowercase().is_in(TRUE),
    pl.Boolean,
)
_LIST = Work(
    _lists,
    lambda cell: ~cell.str.contains(_SEVERAL) & (cell != ""),
    lambda cell: pl.when(cell.is_not_null()).then(pl.concat_list(cell)),
    pl.List(pl.String),
)

_DTYPES: Mapping[str, pl.DataType] = {
    "datetime": pl.Datetime("us", "UTC"),
    "boolean": pl.Boolean(),
    "integer": pl.Int64(),
    "array": pl.List(pl.String),
}
_TYPE_WORDS = {
    "datetime": "no time in ISO 8601 (an example: 2024-03-31T09:15:00Z)",
    "boolean": "neither true nor false (values.{column} says which of both it means)",
    "integer": "no whole number",
    "array": "brackets without a list of texts in them",
}


def _rules(field: Field, timezone: str | None, care: Care, *, beside: bool) -> list[Rule]:
    def rule(name: str, message: str, fails: pl.Expr) -> Rule:
        if beside and name == "pattern":
            fails &= pl.col(str(field.beside)).is_null()
        return Rule(f"{field.name}.{name}", field.name, message, fails.fill_null(value=False))

    if field.type == "string":
        given = pl.col(field.name)
        rules = []
    else:
        given = pl.col(f"raw.{field.name}")
        rules = _type_rules(field, timezone, rule, care)
    rules += [
        rule(name, *make(given, field, limit, care))
        for name, limit in field.constraints.items()
        if (make := _CONSTRAINTS.get(name)) and limit is not False
    ]
    if field.format in _FORMATS:
        message, pattern = _FORMATS[field.format]
        rules.append(rule("format", message, care.test(given, lambda part: ~part.str.contains(pattern))))
    return rules


def _type_rules(
    field: Field, timezone: str | None, rule: Callable[[str, str, pl.Expr], Rule], care: Care
) -> list[Rule]:
    raw, value = pl.col(f"raw.{field.name}"), pl.col(field.name)
    unread = raw.is_not_null() & value.is_null()
    if field.type != "datetime":
        rules = [rule("type", _TYPE_WORDS[field.type].format(column=field.name), unread)]
        if field.item_format in _FORMATS:
            message, pattern = _FORMATS[field.item_format]
            rules.append(
                rule("format", f"an item of the list is {message}", care.work(value, without(pattern)))
            )
        return rules
    state = pl.col(f"state.{field.name}")
    zoneless = (
        "a time without a zone; set source.timezone"
        if timezone is None
        else f"a time that {timezone} skips (the clock goes forward)"
    )
    return [
        rule("type", _TYPE_WORDS["datetime"], state == State.NO_TIME.value),
        rule("timezone", zoneless, state == State.NO_INSTANT.value),
    ]


def without(pattern: str) -> Work:
    """Whether a list has an item without the pattern."""

    def found(cells: pl.Series) -> pl.Series:
        there = cells.is_not_null()
        given = cells.filter(there)
        if given.list.eval(pl.element().str.contains(pattern)).list.all().all():
            return nowhere(cells)
        return ~cells.list.eval(pl.element().str.contains(pattern)).list.all()

    return Work(found, lambda cell: cell.list.first().str.contains(pattern), nowhere, pl.Boolean)


def _length(limit: int) -> Work:
    """Whether a text is too long. It has no more characters than bytes, and those are counted at once."""

    def too_long(cells: pl.Series) -> pl.Series:
        longest = cells.str.len_bytes().max()
        if not isinstance(longest, int) or longest <= limit:
            return nowhere(cells)
        return (cells.str.len_chars() > limit).fill_null(value=False)

    return Work(too_long, lambda cell: cell.str.len_bytes() <= limit, nowhere, pl.Boolean)


_FORMATS = {
    "email": ("not one e-mail address", EMAIL),
    "uri": ("no http(s) URL", URL),
}

_CONSTRAINTS: Mapping[str, Callable[[pl.Expr, Field, Any, Care], tuple[str, pl.Expr]]] = {
    "required": lambda cell, *_: ("must not be empty", cell.is_null()),
    "enum": lambda cell, field, values, *__: (
        f"must be one of {', '.join(values)} (values.{field.name} says which of them it means)",
        ~cell.is_in(values),
    ),
    "pattern": lambda cell, field, pattern, care: (
        f"must look like {field.example or pattern}",
        care.test(cell, lambda part: ~part.str.contains(f"^(?:{pattern})$")),
    ),
    "minLength": lambda cell, _, limit, *__: (
        f"is shorter than {limit} characters",
        cell.str.len_chars() < limit,
    ),
    "maxLength": lambda cell, _, limit, care: (
        f"is longer than {limit} characters",
        care.work(cell, _length(limit)),
    ),
    "minimum": lambda _, field, limit, __: (f"is less than {limit}", pl.col(field.name) < limit),
    "maximum": lambda _, field, limit, __: (f"is more than {limit}", pl.col(field.name) > limit),
}
