"""Decide in which format each column of a file writes its times, and report it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from importer.errors import SourceError
from importer.parse.time_formats import IN_WORDS, ORDERS, Decision, Form, decide

# The format is decided from so many first rows of each file; from all of them only where that is ambiguous.
_LOOKED_AT = 20_000
# A message lists at most this many files.
_NAMED = 10


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column of times: its header in the file, and its cells as a frame with one column `cell`."""

    header: str
    cells: pl.LazyFrame


@dataclass(frozen=True, slots=True)
class FileTimes:
    """The columns of times of one file. `is_copy` says that its rows come from the other files, as rejected
    rows do."""

    path: str
    columns: Mapping[str, TimeColumn]
    is_copy: bool = False


@dataclass(slots=True)
class TimeForms:
    """The formats of all columns and the notes about them, each by file in order. Both are complete unless
    `unclear` has messages about ambiguous columns."""

    by_file: list[dict[str, Form]] = field(default_factory=list)
    notes: list[list[str]] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def time_forms(table: str, clocks: Sequence[FileTimes], said: Mapping[str, Form]) -> TimeForms:
    """The format of each column in each file. `said` are those that the migration file or the preset sets.

    All columns of a file come from one exporter. So where one column does not show the order of day and
    month, the other columns of the file decide, then those of the other files. Raises SourceError for a file
    that cannot be read.
    """
    decided = [
        {name: _decision(clock.path, column) for name, column in clock.columns.items() if name not in said}
        for clock in clocks
    ]
    shown = [
        {decision.form for decision in columns.values() if _shows(decision) and not clock.is_copy}
        for clock, columns in zip(clocks, decided, strict=True)
    ]
    everywhere = set().union(*shown)
    has_originals = any(not clock.is_copy for clock in clocks)
    found = TimeForms()
    unclear: dict[tuple[str, str, tuple[Form, ...]], list[tuple[str, Decision]]] = {}
    for clock, columns, here in zip(clocks, decided, shown, strict=True):
        found.by_file.append({name: said[name] for name in clock.columns if name in said})
        found.notes.append([])
        for name, own in columns.items():
            decision = _taken_over(own, here or everywhere) if own.unclear or clock.is_copy else own
            if clock.is_copy and has_originals and (decision.unclear or len(everywhere) > 1):
                # Its rows have the formats of the files that they came from, which differ.
                decision = replace(decision, form=Form.ISO, shown_by=(), contrary=0, unclear=())
            if decision.unclear:
                key = name, clock.columns[name].header, decision.unclear
                unclear.setdefault(key, []).append((clock.path, decision))
            found.by_file[-1][name] = decision.form
            found.notes[-1] += _notes(table, name, decision, everywhere)
    found.unclear += [_unclear(table, *of, files) for of, files in unclear.items()]
    return found


def _shows(decision: Decision) -> bool:
    return bool(decision.shown_by) and not decision.unclear


def _taken_over(own: Decision, orders: set[Form]) -> Decision:
    """The order that other columns show, if they agree and the column can have it."""
    possible = own.unclear or (ORDERS if own.form in ORDERS else ())
    if len(orders) != 1 or own.contrary or not orders <= set(possible):
        return own
    return replace(own, form=next(iter(orders)), shown_by=(), unclear=())


def _decision(path: str, column: TimeColumn) -> Decision:
    """The format by the beginning of the file; where that is ambiguous, by all of it."""
    try:
        decision = decide(_different(column.cells.head(_LOOKED_AT)))
        return decide(_different(column.cells)) if decision.unclear else decision
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None


def _different(cells: pl.LazyFrame) -> list[str]:
    return sorted(cells.drop_nulls().unique().collect(engine="streaming")["cell"])


def _unclear(
    table: str, name: str, header: str, orders: tuple[Form, ...], files: Sequence[tuple[str, Decision]]
) -> str:
    *others, last = (f"'{form}'" for form in orders)
    setting = f"set source.{table}.times.{name} = {', '.join(others)} or {last}"
    where = ", ".join(path for path, _ in files[:_NAMED])
    where += f" and {len(files) - _NAMED:,} more files" if len(files) > _NAMED else ""
    if shown := next((decision.shown_by for _, decision in files if decision.shown_by), None):
        both = " and ".join(map(repr, shown))
        return f"{where}: {header!r} has times in two orders: {both}; change them to one order, or {setting}"
    of = "whether day or month comes first"
    if Form.YMD in orders:
        of = "which of day, month and year comes first"
    count = sum(decision.matching for _, decision in files)
    return f"{where}: no cell of {header!r} shows {of} ({count:,} are ambiguous); {setting}"


def _notes(table: str, name: str, decision: Decision, everywhere: set[Form]) -> Iterator[str]:
    if decision.form is Form.ISO or decision.unclear:
        return
    shown = f"shown by {' and '.join(map(repr, decision.shown_by))}; " if decision.shown_by else ""
    yield (
        f"{name} of {table}: time format: {IN_WORDS[decision.form]} "
        f"({shown}{decision.matching:,} of {decision.looked_at:,} distinct values match)"
    )
    if decision.contrary:
        yield (
            f"{name} of {table}: {decision.contrary:,} of these only fit another order and are not "
            "converted; check how they were exported"
        )
    if decision.form in ORDERS and everywhere - {decision.form}:
        yield f"{name} of {table}: another file or column has day and month in the other order"
