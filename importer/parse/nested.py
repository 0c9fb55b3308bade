"""Values inside cells of JSON or Python literals, found by path. Pure."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl


def as_json(value: pl.Expr) -> pl.Expr:
    """A list or struct as JSON. polars only encodes structs, so the value is wrapped in one."""
    return pl.struct(value.alias("x")).struct.json_encode().str.slice(len('{"x":')).str.head(-1)


def inside(cell: pl.Expr, steps: Sequence[str]) -> pl.Expr:
    """The value at a path in a JSON or Python cell as text, and lists as JSON; null where there is none."""

    def read(cells: pl.Series) -> pl.Series:
        return pl.Series(cells.name, [text_inside(text, steps) for text in cells], dtype=pl.String)

    return cell.map_batches(read, return_dtype=pl.String, is_elementwise=True)


def text_inside(cell: str | None, steps: Sequence[str]) -> str | None:
    """The value at a path in one cell, as text. The step `[]` collects the rest of the path from all items of
    a list, as a JSON list. None where there is no value."""
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
    """The value under a key that contains dots itself."""
    for count in range(len(steps), 1, -1):
        if (key := ".".join(steps[:count])) in value:
            return _inside_value(value[key], steps[count:])
    return None


def parsed(cell: str | None) -> Any:
    """The list or object that a cell contains as JSON or Python literal; None for other texts."""
    if not cell or cell.lstrip()[:1] not in ("{", "["):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def as_text(value: Any) -> str | None:
    """A parsed value as the text of a cell; None for an empty one."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
