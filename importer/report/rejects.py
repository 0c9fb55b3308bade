"""The rejected rows, with the source's own columns behind the reason, so that a mended file can be fed in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import polars as pl

from importer import read
from importer.model import State
from importer.read import REASON_COLUMNS, SourceFile
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
    sources = {file.path.resolve() for table in checked.values() for file in table.scanned.files}
    for name in fates.keys() - checked.keys():
        _free_path(folder, name, sources)  # removes what an earlier run left
    for name, table in checked.items():
        own = _own(name, fates)
        rejected = _rejected(own, table.at_fault)
        first: dict[str, tuple[int, list[str]]] = {}
        path = _free_path(folder, name, sources)
        if not rejected.is_empty():
            paths.append(path)
            _write_table(table, rejected, path, first)
        problems += _problems(name, table, own, first)
    return problems, paths


def _free_path(folder: Path, name: str, sources: set[Path]) -> Path:
    """`<name>.csv`, or `<name>.2.csv` and so on where one is being read as a source. What an earlier run left
    and nobody reads is removed."""
    free: Path | None = None
    for number in count(1):
        path = folder / (f"{name}.csv" if number == 1 else f"{name}.{number}.csv")
        if path.resolve() in sources:
            continue
        if free is not None and not path.exists():
            return free
        path.unlink(missing_ok=True)
        free = free or path
    raise AssertionError("count never ends")


def _own(name: str, fates: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """What became of the rows of a table's files. An opening message is a cell of its ticket's row."""
    columns = ["_file", "_record", "state", "rule", "ticket_id"]
    own = fates[name]
    if name == "messages":
        own = own.filter(~pl.col("_opening"))
    if name == "tickets":
        openings = fates["messages"].filter(pl.col("_opening") & ~pl.col("rule").str.starts_with("ticket_"))
        return pl.concat([own.select(columns), openings.select(columns)])
    return own.select(columns)


def _rejected(fates: pl.LazyFrame, at_fault: pl.LazyFrame | None) -> pl.DataFrame:
    """One line a row that needs mending: `_file`, `_record`, and all its rules. `at_fault` as in Checked."""
    rejected = fates.filter((pl.col("state") == State.REJECTED) & ~pl.col("rule").is_in(sorted(WAITING)))
    if at_fault is not None:
        places = at_fault.select("ticket_id", "rule", file="_file", record="_record")
        rejected = rejected.join(places, on=["ticket_id", "rule"], how="left").with_columns(
            _file=pl.coalesce("file", "_file"), _record=pl.coalesce("record", "_record")
        )
    return (
        rejected.group_by("_file", "_record")
        .agg(pl.col("rule").unique(maintain_order=True))
        .sort("_file", "_record")
        .collect(engine="streaming")
    )


def _write_table(
    table: Checked, rejected: pl.DataFrame, path: Path, first: dict[str, tuple[int, list[str]]]
) -> None:
    files = table.scanned.files
    header = list(dict.fromkeys(name for file in files for name in _own_header(file)))
    titles = {name: title for file in files for name, title in zip(file.header, file.titles, strict=True)}
    with writing(path) as out:
        write = read.row_writer(out)
        write([*REASON_COLUMNS, *(read.guarded(titles[name]) for name in header)])
        for number, origin in enumerate(table.scanned.origins):
            rules = rejected.filter(pl.col("_file") == number)
            for record, names in _records(origin, rules):
                cells = dict(zip(origin.file.header, record.cells, strict=False))
                reasons = [_reason(table, name, origin.columns, cells) for name in names]
                for name, (column, value, _) in zip(names, reasons, strict=True):
                    _, examples = first.setdefault(name, (record.line, []))
                    if len(examples) < EXAMPLES:
                        examples.append(example(origin.file, record.line, column, name, value))
                write(
                    [
                        record.line,
                        read.guarded(", ".join(dict.fromkeys(column for column, _, _ in reasons))),
                        ", ".join(names),
                        read.guarded(reasons[0][1]),
                        read.guarded(
                            "; ".join(
                                f"{column}: {message}" if column else message
                                for column, _, message in reasons
                            )
                        ),
                        read.source(origin.file, record.number, record.cells),
                        *map(read.guarded, _row(origin.file, record, header)),
                    ]
                )


def _own_header(file: SourceFile) -> Iterator[str]:
    return (name for name in file.header if not (file.is_rejects and name in REASON_COLUMNS))


def _row(file: SourceFile, record: read.Record, header: list[str]) -> list[str]:
    """The source's own cells. Of a row whose width is wrong, as many as it has, so that it stays wrong until
    somebody mends it."""
    own, cells = list(file.header[file.reasons :]), list(record.cells[file.reasons :])
    if own == header:
        return cells
    by_name = dict(zip(own, cells, strict=False))
    row = [by_name.get(name, "") for name in header] + cells[len(own) :]
    if len(cells) < len(own):
        # With the header of several files it would be as long as any other, so it gets another wrong width.
        return row[:-1] if row[-1] == "" else [*row, "?"]
    return row


def _records(origin: read.Origin, rules: pl.DataFrame) -> Iterator[tuple[read.Record, list[str]]]:
    """The source rows of rejected ones, each once, with all its rules."""
    by_row: dict[int, list[str]] = {}
    for record, names in zip(rules["_record"].to_list(), rules["rule"].to_list(), strict=True):
        by_row.setdefault(read.record_of(record, origin.part), []).extend(names)
    for record in read.fetch(origin.file, list(by_row)) if by_row else ():
        yield record, list(dict.fromkeys(by_row[record.number]))


def _reason(
    table: Checked, rule: str, columns: Mapping[str, str], cells: Mapping[str, str]
) -> tuple[str, str, str]:
    """Column as the file calls it, its cell, and what is wrong."""
    if rule.startswith("row."):
        return "", "", message(table, rule)
    canonical = table.rules[rule].column if rule in table.rules else rule.partition(".")[0]
    column = columns.get(canonical, canonical if rule in table.rules else "")
    return column, cells.get(column, ""), message(table, rule)


def message(table: Checked, rule: str) -> str:
    if rule in table.rules:
        return table.rules[rule].message
    if rule.startswith(("skip.", "only.")):
        return f"left out by source.{table.scanned.schema.name}.{rule}"
    return RULES.get(rule, "")


def _problems(
    name: str, table: Checked, fates: pl.LazyFrame, first: Mapping[str, tuple[int, list[str]]]
) -> Iterator[Problem]:
    counts = fates.group_by("state", "rule").len().sort("state", "rule", descending=[True, False])
    for state, rule, rows in counts.collect(engine="streaming").iter_rows():
        line, examples = first.get(rule, (None, []))
        yield Problem(name, rule, State(state), rows, line, message(table, rule), tuple(examples))


def example(file: SourceFile, line: int, column: str, rule: str, value: str) -> str:
    """`file:line: column: value`, as editors and grep like it; a rule of no single column stands for it."""
    return f"{file.path}:{line}: {column}: {_short(value)!r}" if column else f"{file.path}:{line}: {rule}"


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + "..."
