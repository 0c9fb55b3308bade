"""Parse columns of text to the types of a Table Schema. Pure."""

from collections.abc import Collection
from functools import partial

import polars as pl

from importer.parse.booleans import BOOLEAN
from importer.parse.fastpath import Evaluator
from importer.parse.instants import reading
from importer.parse.lists import LIST
from importer.tables.schema import Field, TableSchema


def typed(
    schema: TableSchema,
    frame: pl.LazyFrame,
    given: Collection[str],
    timezone: str | None,
    evaluator: Evaluator,
) -> pl.LazyFrame:
    """The frame with each given column that is not text parsed, with null for cells that fail, and unchanged
    as `raw.<column>`. Times also have `state.<column>` (InstantState) and `twice.<column>`: whether the clock
    shows this time twice."""
    fields = [field for field in schema.fields if field.name in given and field.type != "string"]
    frame = frame.rename({field.name: f"raw.{field.name}" for field in fields})
    parsed = [_parsed(field, timezone, frame, evaluator).alias(field.name) for field in fields]
    frame = frame.with_columns(*parsed, *evaluator.plain())
    times = [field.name for field in fields if field.type == "datetime"]
    return frame.with_columns(
        *(pl.col(name).struct.field("state").alias(f"state.{name}") for name in times),
        *(pl.col(name).struct.field("twice").alias(f"twice.{name}") for name in times),
        *(pl.col(name).struct.field("at").alias(name) for name in times),
    )


def _parsed(field: Field, timezone: str | None, frame: pl.LazyFrame, evaluator: Evaluator) -> pl.Expr:
    name = f"raw.{field.name}"
    match field.type:
        case "datetime":
            return evaluator.transform(
                pl.col(name), evaluator.learned(frame, name, partial(reading, timezone))
            )
        case "boolean":
            return evaluator.transform(pl.col(name), BOOLEAN)
        case "integer":
            return pl.col(name).cast(pl.Int64, strict=False)
        case "array":
            return evaluator.transform(pl.col(name), LIST)
        case _:
            raise AssertionError(field.type)
