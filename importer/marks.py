"""Marks of damage on single rows, as expressions: made while rows are judged, so that texts are read once."""

import re
from collections.abc import Collection, Iterator

import polars as pl

from importer.cells import Change, nowhere
from importer.schema import TableSchema

PREFIX = "damage."
# UTF-8 that was read as cp1252 or Latin-1, as it looks for the commonest letters and signs; and what stands
# for bytes that somebody could not read.
_MOJIBAKE = (
    *(f"Ã{second}" for second in "©¨¤¶¼¸¥¦±³¡ªº§´®¯²Ÿ"),
    "â€™", "â€œ", "â€“", "â€”", "â€¦", "â‚¬", "Â\u00a0", "Â°", "ï¿½", "\ufffd",
)  # fmt: skip
_GARBLED = "|".join(map(re.escape, _MOJIBAKE))
_EATEN = r"^\d(?:[.,]\d+)?[eE]\+\d+$|^\d+\.0$"
_HOLE = r"\{\{\s*[A-Za-z_][\w.\-]*\s*\}\}|\{%\s*\w|<%=\s*\w"
_TEXTS = ("text", "html", "opening_text", "opening_html")


def marks(schema: TableSchema, given: Collection[str]) -> Iterator[pl.Expr]:
    """`damage.<mark>`, true or false, for the columns that the export has."""
    texts = [name for name in _TEXTS if name in given]
    if texts:
        yield _mark("template_holes", texts, _holes)
    read = [*texts, *(["subject"] if "subject" in given else [])]
    if read:
        yield _mark("mojibake", read, _garbled)
    for field in schema.fields:
        if field.name in given and field.name.endswith("_id"):
            eaten = pl.col(field.name).map_batches(_eaten, return_dtype=pl.Boolean, is_elementwise=True)
            yield eaten.alias(f"{PREFIX}eaten.{field.name}")
    times = [field.name for field in schema.fields if field.type == "datetime" and field.name in given]
    if times:
        twice = pl.any_horizontal(pl.col(f"twice.{name}") for name in times)
        yield twice.fill_null(value=False).alias(f"{PREFIX}repeated_times")


def _mark(name: str, texts: Collection[str], test: Change) -> pl.Expr:
    found = (pl.col(text).map_batches(test, return_dtype=pl.Boolean, is_elementwise=True) for text in texts)
    return pl.any_horizontal(found).fill_null(value=False).alias(f"{PREFIX}{name}")


# A few signs that are rare in sound texts are looked for first, since that is much faster than all patterns.


def _holes(texts: pl.Series) -> pl.Series:
    suspects = texts.str.contains(r"\{\{|\{%|<%=")
    return texts.str.contains(_HOLE) if suspects.any() else suspects


def _garbled(texts: pl.Series) -> pl.Series:
    suspects = texts.str.contains("Ã|â€|â‚|Â|ï¿½|\ufffd")
    return texts.str.contains(_GARBLED) if suspects.any() else suspects


def _eaten(cells: pl.Series) -> pl.Series:
    """Ids as a spreadsheet rounds them (3.7E+11, 1000.0). The pattern is dear, and most exports have none."""
    if not ((cells >= "0") & (cells < ":")).any():
        return nowhere(cells)
    suspects = cells.str.ends_with(".0") | cells.str.contains("+", literal=True)
    return (cells.str.contains(_EATEN) if suspects.any() else suspects).fill_null(value=False)
