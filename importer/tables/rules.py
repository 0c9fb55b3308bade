"""The constraints of a Table Schema as named rules: polars expressions that are true for rows that break
them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from importer.parse.addresses import EMAIL, URL
from importer.parse.distinct import all_false
from importer.parse.fastpath import CellTransform, Evaluator
from importer.parse.instants import InstantState
from importer.tables.schema import Field, TableSchema


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about single rows."""

    # `<column>.<constraint>`, or the name of a flaw.
    name: str
    # Empty for a rule about the complete row.
    column: str
    # What is wrong with a value, or what is expected.
    message: str
    # True for a row that breaks the rule.
    fails: pl.Expr


_TYPE_WORDS = {
    "datetime": "is not an ISO 8601 time (e.g. 2024-03-31T09:15:00Z)",
    "boolean": "is neither true nor false (map it in values.{column})",
    "integer": "is not a whole number",
    "array": "has brackets that do not contain a list of texts",
}


def row_rules(
    schema: TableSchema, given: Collection[str], timezone: str | None, evaluator: Evaluator
) -> list[Rule]:
    """All rules about single rows and the given columns, in the order of the schema. `validate` checks
    uniqueness, and `relate` foreign keys."""
    fields = [field for field in schema.fields if field.name in given]
    return [
        rule
        for field in fields
        for rule in _rules_of(field, timezone, evaluator, beside=field.beside in given)
    ]


def _rules_of(field: Field, timezone: str | None, evaluator: Evaluator, *, beside: bool) -> list[Rule]:
    def rule(name: str, message: str, fails: pl.Expr) -> Rule:
        if beside and name == "pattern":
            fails &= pl.col(str(field.beside)).is_null()
        return Rule(f"{field.name}.{name}", field.name, message, fails.fill_null(value=False))

    if field.type == "string":
        given = pl.col(field.name)
        rules = []
    else:
        given = pl.col(f"raw.{field.name}")
        rules = _type_rules(field, timezone, rule, evaluator)
    rules += [
        rule(name, *make(given, field, limit, evaluator))
        for name, limit in field.constraints.items()
        if (make := _CONSTRAINTS.get(name)) and limit is not False
    ]
    if field.format in _FORMATS:
        message, pattern = _FORMATS[field.format]
        rules.append(rule("format", message, evaluator.test(given, lambda part: ~part.str.contains(pattern))))
    return rules


def _type_rules(
    field: Field, timezone: str | None, rule: Callable[[str, str, pl.Expr], Rule], evaluator: Evaluator
) -> list[Rule]:
    raw, value = pl.col(f"raw.{field.name}"), pl.col(field.name)
    unread = raw.is_not_null() & value.is_null()
    if field.type != "datetime":
        rules = [rule("type", _TYPE_WORDS[field.type].format(column=field.name), unread)]
        if field.item_format in _FORMATS:
            message, pattern = _FORMATS[field.item_format]
            rules.append(
                rule(
                    "format",
                    f"an item of the list {message}",
                    evaluator.transform(value, without(pattern)),
                )
            )
        return rules
    state = pl.col(f"state.{field.name}")
    zoneless = (
        "has no time zone; set source.timezone"
        if timezone is None
        else f"does not exist in {timezone}, because the clock goes forward then"
    )
    return [
        rule("type", _TYPE_WORDS["datetime"], state == InstantState.NO_TIME.value),
        rule("timezone", zoneless, state == InstantState.NO_INSTANT.value),
    ]


def without(pattern: str) -> CellTransform:
    """The transform of a list to whether one of its items does not match the pattern."""

    def found(cells: pl.Series) -> pl.Series:
        there = cells.is_not_null()
        given = cells.filter(there)
        if given.list.eval(pl.element().str.contains(pattern)).list.all().all():
            return all_false(cells)
        return ~cells.list.eval(pl.element().str.contains(pattern)).list.all()

    return CellTransform(found, lambda cell: cell.list.first().str.contains(pattern), all_false, pl.Boolean)


def _length(limit: int) -> CellTransform:
    """The transform of a text to whether it is too long. Bytes are faster to count than characters, and never
    fewer."""

    def too_long(cells: pl.Series) -> pl.Series:
        longest = cells.str.len_bytes().max()
        if not isinstance(longest, int) or longest <= limit:
            return all_false(cells)
        return (cells.str.len_chars() > limit).fill_null(value=False)

    return CellTransform(too_long, lambda cell: cell.str.len_bytes() <= limit, all_false, pl.Boolean)


_FORMATS = {
    "email": ("is not a single e-mail address", EMAIL),
    "uri": ("is not an http(s) URL", URL),
}


_CONSTRAINTS: Mapping[str, Callable[[pl.Expr, Field, Any, Evaluator], tuple[str, pl.Expr]]] = {
    "required": lambda cell, *_: ("must not be empty", cell.is_null()),
    "enum": lambda cell, field, values, *__: (
        f"must be one of {', '.join(values)} (map other values in values.{field.name})",
        ~cell.is_in(values),
    ),
    "pattern": lambda cell, field, pattern, evaluator: (
        f"must look like {field.example or pattern}",
        evaluator.test(cell, lambda part: ~part.str.contains(f"^(?:{pattern})$")),
    ),
    "minLength": lambda cell, _, limit, *__: (
        f"is shorter than {limit} characters",
        cell.str.len_chars() < limit,
    ),
    "maxLength": lambda cell, _, limit, evaluator: (
        f"is longer than {limit} characters",
        evaluator.transform(cell, _length(limit)),
    ),
    "minimum": lambda _, field, limit, __: (f"is less than {limit}", pl.col(field.name) < limit),
    "maximum": lambda _, field, limit, __: (f"is more than {limit}", pl.col(field.name) > limit),
}
