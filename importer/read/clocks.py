"""In which form a file's times are written: decided for each column by its cells, and said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from importer.errors import SourceError
from importer.times import IN_WORDS, Decision, Form, decide

_LOOKED_AT = 20_000  # rows of each file


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of times: `header` as its file calls it, and frames of one column `cell`, one a file."""

    header: str
    where: Sequence[str]
    frames: Sequence[pl.LazyFrame]


@dataclass(slots=True)
class Forms:
    """`by_column` is complete unless `unclear` says of some columns what nobody can know."""

    by_column: dict[str, Form] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def forms(table: str, columns: Mapping[str, Cells], said: Mapping[str, Form]) -> Forms:
    """The form of each column. `said` are those that the migration file or the preset names."""
    found = Forms({name: form for name, form in said.items() if name in columns})
    decisions = {name: _decision(cells) for name, cells in columns.items() if name not in said}
    orders = {decision.form for decision in decisions.values() if decision.shown_by}
    for name, decision in decisions.items():
        if decision.unclear and len(orders) == 1:
            # One exporter wrote all columns, so what one of them shows holds for the others.
            decision = replace(decision, form=next(iter(orders)), unclear=False)
        found.by_column[name] = decision.form
        if decision.unclear:
            found.unclear.append(_unclear(table, name, columns[name], decision))
        found.notes += _notes(table, name, decision)
    return found


def _decision(cells: Cells) -> Decision:
    """By the beginning of each file; where that does not show the order of day and month, by all of it."""
    try:
        decision = decide(_different(cells, _LOOKED_AT))
        return decide(_different(cells, None)) if decision.unclear else decision
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SourceError(f"{', '.join(cells.where)}: cannot be read: {error}") from None


def _different(cells: Cells, rows: int | None) -> list[str]:
    found: set[str] = set()
    for frame in cells.frames:
        looked_at = frame if rows is None else frame.head(rows)
        found.update(looked_at.drop_nulls().unique().collect(engine="streaming")["cell"])
    return sorted(found)


def _unclear(table: str, name: str, cells: Cells, decision: Decision) -> str:
    return (
        f"{', '.join(cells.where)}: no cell of {cells.header!r} shows whether day or month comes first "
        f"({decision.matching:,} could be either); say it: source.{table}.times.{name} = 'dmy' or 'mdy'"
    )


def _notes(table: str, name: str, decision: Decision) -> Iterator[str]:
    if decision.form is Form.ISO or decision.unclear:
        return
    shown = f", shown by {decision.shown_by!r}" if decision.shown_by else ""
    yield (
        f"{name} of {table}: read as times {IN_WORDS[decision.form]}{shown} "
        f"({decision.matching:,} of {decision.looked_at:,} different ones looked at)"
    )
    if decision.contrary:
        yield (
            f"{name} of {table}: {decision.contrary:,} of these can only be the other order; the column may "
            "mix two, so look at how it was made"
        )
