"""Counts and durations in words, and tables of counts for the terminal."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from importer.books import Books
from importer.model import State

_HEADINGS = {state: state.value.replace("_", " ") for state in State}


def books(value: Books, *, planned: bool = False) -> str:
    """A table with a line for each kind of record; columns of zeros are skipped. Before a run, what is
    `left`
    is good."""
    kinds = [kind for kind, ledger in value.ledgers.items() if ledger.read or kind == "tickets"]
    states = [s for s in State if any(value[kind].places[s] for kind in kinds)]
    names = {**_HEADINGS, State.LEFT: "good"} if planned else _HEADINGS
    rows = [[kind, value[kind].read, *(value[kind].places[state] for state in states)] for kind in kinds]
    return tabulate(rows, headers=["", "read", *(names[state] for state in states)], intfmt=",")


def balance(value: Books) -> str:
    """Whether every record that was read is accounted for."""
    if value.balanced:
        return "All records are accounted for."
    return "NOT all records are accounted for: " + "; ".join(value.imbalances)


def some(names: Sequence[str], shown: int = 10) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def duration(seconds: float) -> str:
    """`40 s`, `7 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def pairs(values: Iterable[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    return tabulate(list(values), tablefmt="plain", disable_numparse=True, preserve_whitespace=True)
