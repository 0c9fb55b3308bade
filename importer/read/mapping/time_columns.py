"""In which form a file's times are written: decided for each column by its cells, and said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from importer.errors import SourceError
from importer.parse.time_formats import IN_WORDS, ORDERS, Decision, Form, decide

_LOOKED_AT = 20_000  # rows of each file
_NAMED = 10  # files that a message names


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column of times: `header` as its file calls it, `cells` a frame of one column `cell`."""

    header: str
    cells: pl.LazyFrame


@dataclass(frozen=True, slots=True)
class FileTimes:
    """The columns of times of one file. `is_copy` says that its rows come out of the other files, as rejected
    ones do that come back."""

    path: str
    columns: Mapping[str, TimeColumn]
    is_copy: bool = False


@dataclass(slots=True)
class TimeForms:
    """By file, in their order, the form of each column and what there is to say about it; both are complete
    unless `unclear` says of some columns what nobody can know."""

    by_file: list[dict[str, Form]] = field(default_factory=list)
    notes: list[list[str]] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def time_forms(table: str, clocks: Sequence[FileTimes], said: Mapping[str, Form]) -> TimeForms:
    """The form of each column in each file. `said` are those that the migration file or the preset names.

    One exporter wrote all columns of a file, so where one does not show an order, another one of it does,
    else those of the other files.
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
                # Its rows have the forms of the files that they came from.
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
    """The order that others show, if they agree, and the column can have it."""
    possible = own.unclear or (ORDERS if own.form in ORDERS else ())
    if len(orders) != 1 or own.contrary or not orders <= set(possible):
        return own
    return replace(own, form=next(iter(orders)), shown_by=(), unclear=())


def _decision(path: str, column: TimeColumn) -> Decision:
    """By the beginning of the file; where that does not show the order of day and month, by all of it."""
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
    say = f"say it: source.{table}.times.{name} = {', '.join(others)} or {last}"
    where = ", ".join(path for path, _ in files[:_NAMED])
    where += f" and {len(files) - _NAMED:,} more files" if len(files) > _NAMED else ""
    if shown := next((decision.shown_by for _, decision in files if decision.shown_by), None):
        both = " and ".join(map(repr, shown))
        return f"{where}: {header!r} has times in two orders, as {both}; make them one, or {say}"
    of = "whether day or month comes first"
    if Form.YMD in orders:
        of = "which of day, month and year comes first"
    count = sum(decision.matching for _, decision in files)
    return f"{where}: no cell of {header!r} shows {of} ({count:,} could be either); {say}"


def _notes(table: str, name: str, decision: Decision, everywhere: set[Form]) -> Iterator[str]:
    if decision.form is Form.ISO or decision.unclear:
        return
    shown = f", shown by {' and '.join(map(repr, decision.shown_by))}" if decision.shown_by else ""
    yield (
        f"{name} of {table}: read as times {IN_WORDS[decision.form]}{shown} "
        f"({decision.matching:,} of {decision.looked_at:,} different ones looked at)"
    )
    if decision.contrary:
        yield (
            f"{name} of {table}: {decision.contrary:,} of these can only be another order; they are not "
            "turned round, so look at how they were made"
        )
    if decision.form in ORDERS and everywhere - {decision.form}:
        yield f"{name} of {table}: another file or column has day and month the other way round"
