"""The rejected rows, with the reason in front of the source's own columns, so that a corrected file can be
read
again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import polars as pl

from importer.model import State
from importer.private_files import writing
from importer.read.corrections import TOO_WIDE, source_label
from importer.read.fetch import Record, fetch
from importer.read.guarded_csv import guarded_row_writer
from importer.read.mapping.explode import source_record
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.source_file import SourceFile
from importer.read.table import Origin
from importer.relate.reasons import RULES, WAITING
from importer.tables.schema import TABLES
from importer.validate.checked import Checked

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
    """Sum up all fates by rule, and write `<folder>/<table>.csv` with the rejected rows of a table's files:
    each row once, whatever tables are made of it, since it is corrected there and read again among those
    files.

    Files of an earlier run that no longer apply are removed.
    """
    owns = {name: _own(name, fates) for name in checked}
    rejected = {name: _rejected(own, checked[name].at_fault) for name, own in owns.items()}
    first: _First = {}
    paths: list[Path] = []
    in_use = {file.path.resolve() for table in checked.values() for file in table.scanned.files}
    for name in TABLES:
        path = _cleared(folder, name, in_use)
        uses = list(_uses(name, checked, rejected))
        if uses:
            paths.append(path)
            _write(name, uses, path, first)
    problems = [
        problem for name, own in owns.items() for problem in _problems(name, checked[name], own, first)
    ]
    return problems, paths


@dataclass(frozen=True, slots=True)
class _Use:
    """What a table (`name`) made of a file, and which of its rows are rejected."""

    name: str
    table: Checked
    origin: Origin
    rejected: pl.DataFrame


# By table and rule: the first line, and examples.
_First = dict[tuple[str, str], tuple[int, list[str]]]


def _uses(
    source: str, checked: Mapping[str, Checked], rejected: Mapping[str, pl.DataFrame]
) -> Iterator[_Use]:
    """Of the files of this table, those with rejected rows, by every table that is made of them."""
    for name, table in checked.items():
        for number, origin in enumerate(table.scanned.origins):
            own = rejected[name].filter(pl.col("_file") == number)
            if (origin.part.read or name) == source and not own.is_empty():
                yield _Use(name, table, origin, own)


def _cleared(folder: Path, name: str, in_use: set[Path]) -> Path:
    """`<name>.csv`, or `<name>.2.csv` and so on where one is being read as a source. What an earlier run left
    there and nobody reads is removed."""
    free: Path | None = None
    for number in count(1):
        path = folder / (f"{name}.csv" if number == 1 else f"{name}.{number}.csv")
        if path.resolve() in in_use:
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
    """One line for each row that needs correction: `_file`, `_record`, and all its rules. `at_fault` as in
    Checked."""
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


def _write(source: str, uses: Sequence[_Use], path: Path, first: _First) -> None:
    files = {use.origin.file.path: use.origin.file for use in uses}
    header = list(dict.fromkeys(name for file in files.values() for name in _own_header(file)))
    titles = {
        name: title for file in files.values() for name, title in zip(file.header, file.titles, strict=True)
    }
    with writing(path) as out:
        write = guarded_row_writer(out)
        write([*REASON_COLUMNS, *(titles[name] for name in header)])
        for file in files.values():
            own = [use for use in uses if use.origin.file.path == file.path]
            for record, reasons in _broken(source, own, first):
                said = [f"{one.column}: {one.message}" if one.column else one.message for one in reasons]
                write(
                    [
                        record.line,
                        ", ".join(dict.fromkeys(one.column for one in reasons)),
                        ", ".join(dict.fromkeys(one.rule for one in reasons)),
                        reasons[0].value,
                        "; ".join(dict.fromkeys(said)),
                        source_label(file, record.number, record.cells),
                        *_row(file, record, header),
                    ]
                )


def _broken(source: str, uses: Sequence[_Use], first: _First) -> Iterator[tuple[Record, list["_Reason"]]]:
    """The rejected rows of one file in their order, each once, with all reasons."""
    by_row: dict[int, list[tuple[_Use, int, list[str]]]] = {}
    for use in uses:
        for record, rules in use.rejected.select("_record", "rule").iter_rows():
            by_row.setdefault(source_record(record, use.origin.part), []).append((use, record, rules))
    file = uses[0].origin.file
    for row in fetch(file, sorted(by_row)):
        cells = dict(zip(file.header, row.cells, strict=False))
        reasons: list[_Reason] = []
        for use, record, rules in by_row[row.number]:
            for rule in rules:
                reason = _reason(source, use, rule, record, cells)
                reasons.append(reason)
                _, examples = first.setdefault((use.name, rule), (row.line, []))
                if len(examples) < EXAMPLES:
                    examples.append(example(file, row.line, reason.column, rule, reason.value))
        yield row, reasons


def _own_header(file: SourceFile) -> Iterator[str]:
    return (name for name in file.header if not (file.is_rejects and name in REASON_COLUMNS))


def _row(file: SourceFile, record: Record, header: list[str]) -> list[str]:
    """The source's own cells. Of a row whose width is wrong, as many as it has, so that it stays wrong until
    it is corrected."""
    own, cells = list(file.header[file.reasons :]), list(record.cells[file.reasons :])
    if own == header:
        return cells
    by_name = dict(zip(own, cells, strict=False))
    row = [by_name.get(name, "") for name in header] + cells[len(own) :]
    if len(cells) < len(own):
        # With the header of several files it would be as long as any other, so it gets another wrong width.
        return row[:-1] if row[-1] == "" else [*row, TOO_WIDE]
    return row


@dataclass(frozen=True, slots=True)
class _Reason:
    """`column` as the file calls it, and its cell. A rule of another table than that of the file has this
    table's name before it."""

    column: str
    rule: str
    value: str
    message: str


def _reason(source: str, use: _Use, rule: str, record: int, cells: Mapping[str, str]) -> _Reason:
    name = rule if use.name == source else f"{use.name}.{rule}"
    words = message(use.table, rule)
    if rule.startswith("row."):
        return _Reason("", name, "", words)
    canonical = use.table.rules[rule].column if rule in use.table.rules else rule.partition(".")[0]
    shown = use.origin.shown(canonical, record, cells)
    if not shown.header and rule in use.table.rules:
        return _Reason(canonical, name, "", words)
    return _Reason(shown.header, name, shown.value, f"{shown.of}{words}")


def message(table: Checked, rule: str) -> str:
    if rule in table.rules:
        return table.rules[rule].message
    if rule.startswith(("skip.", "only.")):
        return f"skipped by source.{table.scanned.schema.name}.{rule}"
    return RULES.get(rule, "")


def _problems(name: str, table: Checked, fates: pl.LazyFrame, first: _First) -> Iterator[Problem]:
    counts = fates.group_by("state", "rule").len().sort("state", "rule", descending=[True, False])
    for state, rule, rows in counts.collect(engine="streaming").iter_rows():
        line, examples = first.get((name, rule), (None, []))
        yield Problem(name, rule, State(state), rows, line, message(table, rule), tuple(examples))


def example(file: SourceFile, line: int, column: str, rule: str, value: str) -> str:
    """`file:line: column: value`, as editors and grep read it; the rule instead of the last two where it
    concerns no single column."""
    return f"{file.path}:{line}: {column}: {_short(value)!r}" if column else f"{file.path}:{line}: {rule}"


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + "..."
