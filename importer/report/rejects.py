"""The rejected rows, with the source's own columns behind the reason, so that a mended file can be fed in."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from importer import read
from importer.model import State
from importer.read.files import REASON_COLUMNS, SourceFile
from importer.relate import RULES
from importer.report.private import writing
from importer.validate import Checked

# Rows that are whole in themselves and wait for another one: they need no mending.
WAITING = frozenset({"message_rejected", "attachment_rejected", "ticket_rejected"})
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that some rows of a table break. `examples` are `file:line: column: value` texts."""

    table: str
    rule: str
    state: State
    count: int
    first_line: int | None
    message: str
    examples: tuple[str, ...] = ()


def write(
    checked: Mapping[str, Checked], fates: Mapping[str, pl.LazyFrame], folder: Path
) -> tuple[list[Problem], list[Path]]:
    """Write `<folder>/<table>.csv` for each table with rejected rows, and sum up all fates by rule.

    Files of an earlier run that no longer apply are removed.
    """
    problems: list[Problem] = []
    paths: list[Path] = []
    for name, table in checked.items():
        rejected = _rejected(fates[name])
        first: dict[str, tuple[int, list[str]]] = {}
        path = folder / f"{name}.csv"
        path.unlink(missing_ok=True)
        if not rejected.is_empty():
            paths.append(path)
            _write_table(table, rejected, path, first)
        problems += _problems(name, table, fates[name], first)
    return problems, paths


def _rejected(fates: pl.LazyFrame) -> pl.DataFrame:
    """One line a row that needs mending: `_file`, `_record`, and all its rules."""
    return (
        fates.filter(
            (pl.col("state") == State.REJECTED) & ~pl.col("rule").is_in(sorted(WAITING)) & ~_opening(fates)
        )
        .group_by("_file", "_record")
        .agg(pl.col("rule").unique(maintain_order=True))
        .sort("_file", "_record")
        .collect(engine="streaming")
    )


def _opening(fates: pl.LazyFrame) -> pl.Expr:
    """An opening message is a cell of its ticket's row, which is not in the messages' files."""
    has = "_opening" in fates.collect_schema().names()
    return pl.col("_opening") if has else pl.lit(value=False)


def _write_table(
    table: Checked, rejected: pl.DataFrame, path: Path, first: dict[str, tuple[int, list[str]]]
) -> None:
    files = table.scanned.files
    header = list(dict.fromkeys(name for file in files for name in file.header if name not in REASON_COLUMNS))
    with writing(path) as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*REASON_COLUMNS, *header])
        for number, file in enumerate(files):
            rules = rejected.filter(pl.col("_file") == number)
            columns = table.scanned.columns[number]
            for record, names in _records(file, rules):
                cells = dict(zip(file.header, record.cells, strict=False))
                reasons = [_reason(table, name, columns, cells) for name in names]
                for name, (column, value, _) in zip(names, reasons, strict=True):
                    _, examples = first.setdefault(name, (record.line, []))
                    if len(examples) < EXAMPLES:
                        examples.append(_example(file, record.line, column, name, value))
                writer.writerow(
                    [
                        record.line,
                        ", ".join(dict.fromkeys(column for column, _, _ in reasons)),
                        ", ".join(names),
                        reasons[0][1],
                        "; ".join(
                            f"{column}: {message}" if column else message for column, _, message in reasons
                        ),
                        *(cells.get(name, "") for name in header),
                    ]
                )


def _records(file: SourceFile, rules: pl.DataFrame) -> Iterator[tuple[read.Record, list[str]]]:
    numbers = rules["_record"].to_list()
    yield from zip(read.fetch(file, numbers), rules["rule"].to_list(), strict=True) if numbers else ()


def _reason(
    table: Checked, rule: str, columns: Mapping[str, str], cells: Mapping[str, str]
) -> tuple[str, str, str]:
    """Column as the file calls it, its cell, and what is wrong."""
    canonical = table.rules[rule].column if rule in table.rules else rule.partition(".")[0]
    column = columns.get(canonical, canonical if rule in table.rules else "")
    return column, cells.get(column, ""), message(table, rule)


def message(table: Checked, rule: str) -> str:
    if rule in table.rules:
        return table.rules[rule].message
    if rule.startswith("skip."):
        return f"left out by source.{table.scanned.schema.name}.{rule}"
    return RULES.get(rule, "")


def _problems(
    name: str, table: Checked, fates: pl.LazyFrame, first: Mapping[str, tuple[int, list[str]]]
) -> Iterator[Problem]:
    counts = fates.group_by("state", "rule").len().sort("state", "rule", descending=[True, False])
    for state, rule, count in counts.collect(engine="streaming").iter_rows():
        line, examples = first.get(rule, (None, []))
        yield Problem(name, rule, State(state), count, line, message(table, rule), tuple(examples))


def _example(file: SourceFile, line: int, column: str, rule: str, value: str) -> str:
    """`file:line: column: value`, as editors and grep like it; a rule of no single column stands for it."""
    return f"{file.path}:{line}: {column}: {_short(value)!r}" if column else f"{file.path}:{line}: {rule}"


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + "..."
