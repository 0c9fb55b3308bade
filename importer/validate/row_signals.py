"""Row signals: expressions that say whether a single row shows damage. They are evaluated while rows are
judged, so that texts are read once."""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import polars as pl

from importer.parse.addresses import EMAIL
from importer.parse.distinct import all_false
from importer.parse.fastpath import CellTransform, Evaluator
from importer.tables.frames import SIGNAL
from importer.tables.rules import without
from importer.tables.schema import Field, TableSchema

# What the commonest letters and punctuation look like in UTF-8 that was read as cp1252 or Latin-1, and
# characters that replace undecodable bytes.
_GARBLED_SIGNS = (
    *(f"Ã{second}" for second in "©¨¤¶¼¸¥¦±³¡ªº§´®¯²Ÿ"),
    "â€™", "â€œ", "â€“", "â€”", "â€¦", "â‚¬", "Â\u00a0", "Â°", "ï¿½", "\ufffd",
)  # fmt: skip
_GARBLED = "|".join(map(re.escape, _GARBLED_SIGNS))
# Ids that a spreadsheet has turned into numbers, such as 3.7E+11 and 1000.0.
_EATEN = r"^\d(?:[.,]\d+)?[eE]\+\d+$|^\d+\.0$"
# Placeholders of templates that were not filled in.
_HOLE = r"\{\{\s*[A-Za-z_][\w.\-]*\s*\}\}|\{%\s*\w|<%=\s*\w"
_TEXTS = ("text", "html", "opening_text", "opening_html")


def row_signals(schema: TableSchema, given: Collection[str], evaluator: Evaluator) -> Iterator[pl.Expr]:
    """`damage.<name>`, a boolean column for each row signal whose columns the export has."""
    texts = [name for name in _TEXTS if name in given]
    if texts:
        yield _signal("template_holes", texts, _HOLES, evaluator, checked_later=True)  # as part of mojibake
    read = [*texts, *(["subject"] if "subject" in given else [])]
    if read:
        yield _signal("mojibake", read, _MOJIBAKE, evaluator)
    for field in schema.fields:
        if field.name in given and field.name.endswith("_id"):
            yield evaluator.transform(pl.col(field.name), _EATEN_ID).alias(f"{SIGNAL}eaten.{field.name}")
    copies = [name for name in ("cc", "bcc") if name in given]
    if copies:
        yield _signal("copies_without_address", copies, _NO_ADDRESS, evaluator)
    for field in schema.fields:
        if field.name in given and field.beside in given:
            yield evaluator.transform(pl.col(field.name), _unlike(field)).alias(
                f"{SIGNAL}unlike.{field.name}"
            )
    times = [field.name for field in schema.fields if field.type == "datetime" and field.name in given]
    if times:
        twice = pl.any_horizontal(pl.col(f"twice.{name}") for name in times)
        yield twice.fill_null(value=False).alias(f"{SIGNAL}repeated_times")


def _signal(
    name: str,
    texts: Collection[str],
    work: CellTransform,
    evaluator: Evaluator,
    *,
    checked_later: bool = False,
) -> pl.Expr:
    found = [evaluator.transform(pl.col(text), work, checked_later=checked_later) for text in texts]
    return pl.any_horizontal(found).fill_null(value=False).alias(f"{SIGNAL}{name}")


def _rare(pattern: str, plain: Callable[[Any], Any]) -> CellTransform:
    """The transform of a cell to whether it contains a pattern, which is expensive to search and rare.
    `plain` is a cheap test that is true only for cells without it."""

    def found(cells: pl.Series) -> pl.Series:
        return all_false(cells) if plain(cells).all() else cells.str.contains(pattern).fill_null(value=False)

    return CellTransform(found, plain, all_false, pl.Boolean)


def _unlike(field: Field) -> CellTransform:
    """The transform of a cell to whether it does not match the pattern of its column."""
    pattern = f"^(?:{field.constraints['pattern']})$"
    return CellTransform(
        lambda cells: (~cells.str.contains(pattern)).fill_null(value=False),
        lambda cell: cell.str.contains(pattern),
        all_false,
        pl.Boolean,
    )


# Characters of both patterns that are rare in undamaged texts, so that one test is enough for both.
_SIGNS = "Ã|â€|â‚|Â|ï¿½|\ufffd|" + r"\{\{|\{%|<%="
_HOLES = _rare(_HOLE, lambda texts: ~texts.str.contains(_SIGNS))
_MOJIBAKE = _rare(_GARBLED, lambda texts: ~texts.str.contains(_SIGNS))
_NO_ADDRESS = without(EMAIL)
# Ids without blanks that a spreadsheet cannot have rounded (3.7E+11).
_ID = r"^\+*(?:[!-*,-DF-df-~]\+*|[eE])+$"
_EATEN_ID = _rare(_EATEN, lambda ids: ids.str.contains(_ID) & ~ids.str.ends_with(".0"))
