"""The same in words: tables of counts, problems with examples, and the last lines of a command."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from importer.books import Books
from importer.model import State
from importer.report.rejects import Problem

_HEADINGS = {state: state.value.replace("_", " ") for state in State}
PROBLEMS_SHOWN = 20


def books(value: Books, *, planned: bool = False) -> str:
    """A line a kind; columns in which nothing stands are left out. Before a run, what is left will go."""
    kinds = [kind for kind, ledger in value.ledgers.items() if ledger.read or kind == "tickets"]
    states = [s for s in State if any(value[kind].places[s] for kind in kinds)]
    names = {**_HEADINGS, State.LEFT: "good"} if planned else _HEADINGS
    rows = [[kind, value[kind].read, *(value[kind].places[state] for state in states)] for kind in kinds]
    return tabulate(rows, headers=["", "read", *(names[state] for state in states)], intfmt=",")


def problems(found: Sequence[Problem]) -> str:
    """Count first, then what is wrong, then up to three places where."""
    lines: list[str] = []
    for problem in found[:PROBLEMS_SHOWN]:
        lines.append(
            f"{problem.count:>8,} {problem.state} · {problem.table}: {problem.rule}"
            + (f" ({problem.message})" if problem.message else "")
        )
        lines += [f"{'':>9}{example}" for example in problem.examples]
        if problem.examples and problem.count > len(problem.examples):
            lines.append(f"{'':>9}and {problem.count - len(problem.examples):,} more")
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"and {len(found) - PROBLEMS_SHOWN} more kinds of problem; report.json has them all")
    return "\n".join(lines)


def rejects(paths: Iterable[Path]) -> list[str]:
    """Where the rejected rows are, and how they come back. The file is named after the table."""
    tables = [(path, path.name.partition(".")[0]) for path in paths]
    return [f"Rejects: {path} (mend them there, and add the file to source.{t}.files)" for path, t in tables]


def balance(value: Books) -> str:
    if value.balanced:
        return "The books balance: every record read is accounted for."
    return "The books do NOT balance: " + "; ".join(value.imbalances)


def some(names: Sequence[str], shown: int = 10) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def pairs(values: Iterable[tuple[str, str]]) -> str:
    return tabulate(list(values), tablefmt="plain", disable_numparse=True, preserve_whitespace=True)
