"""Table Schemas (Frictionless) of the canonical tables. Typed columns and named rules are made from them.

The name of a rule is `<column>.<constraint>` in the terms of the schema (`created_at.type`, `status.enum`),
so that reports use the same terms. Rules work on frames in which every cell is text and an empty cell is
null. Each column that is not text exists twice there: as `<column>`, parsed, and as `raw.<column>`,
unchanged. Two rules have no name in the standard: `<column>.timezone`, for times without a known zone, and
`<column>.format`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import polars as pl

from importer.resources import SCHEMAS

TABLES = ("tickets", "messages", "people", "attachments")


FieldType = Literal["string", "datetime", "boolean", "integer", "array"]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a canonical table."""

    name: str
    type: FieldType
    # The format of its texts, such as email.
    format: str | None
    # By name, as in the schema.
    constraints: Mapping[str, Any]
    # The format of the items of a list.
    item_format: str | None
    # A valid value, for messages.
    example: str | None = None
    # A column that makes this one dispensable: where it has a value, a cell without the right pattern is
    # dropped instead of rejecting the row.
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A canonical table."""

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
        """The column that identifies records; None where the table has none."""
        return next(iter(self.unique), None)

    @property
    def unique(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.constraints.get("unique"))

    def dtype(self, name: str) -> pl.DataType:
        """The type of a column after parsing."""
        kind = next(field.type for field in self.fields if field.name == name)
        return _DTYPES.get(kind, pl.String())


@cache
def load(table: str, folder: Path = SCHEMAS / "tables") -> TableSchema:
    """The schema of one canonical table, from `<folder>/<table>.json`."""
    data = json.loads((folder / f"{table}.json").read_text("utf-8"))
    return TableSchema(data["name"], tuple(_field(item) for item in data["fields"]))


def fold(name: str) -> str:
    """A header in the form in which headers are compared: without case, blanks, `_` and `-`."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


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


_DTYPES: Mapping[str, pl.DataType] = {
    "datetime": pl.Datetime("us", "UTC"),
    "boolean": pl.Boolean(),
    "integer": pl.Int64(),
    "array": pl.List(pl.String),
}
