"""Undo changes that spreadsheets and exporters make to cells. Pure."""

import polars as pl


def repaired_id(cell: pl.Expr) -> pl.Expr:
    """An id without the blanks and the `.0` that a spreadsheet or a report added."""
    return cell.str.replace_all(r"[\s\u00a0\u202f]+", "").str.replace(r"^(\d+)\.0+$", "${1}")


def unquoted(cell: pl.Expr) -> pl.Expr:
    """The cell without the `'` that keeps a spreadsheet from executing it."""
    return pl.when(cell.str.contains(r"^'[=+\-@]")).then(cell.str.slice(1)).otherwise(cell)


def unescaped(cell: pl.Expr) -> pl.Expr:
    """The cell with `\\n` and `\\t` replaced by line ends and tabs."""
    return cell.str.replace_many(["\\r\\n", "\\n", "\\r", "\\t"], ["\n", "\n", "\n", "\t"], leftmost=True)
