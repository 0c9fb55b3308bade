"""The report folder (0700, files 0600): report.json for programs, success.csv and failed.csv for people."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from importer.books import Books
from importer.checkpoint.queries import TicketRecord
from importer.model import State
from importer.private_files import writing
from importer.read.guarded_csv import guarded_row_writer
from importer.report.html import page
from importer.report.next_steps import facts_of, next_steps
from importer.report.rejects import Problem
from importer.transport.exchange import Traffic


def envelope(
    command: str, migration: str | None = None, *, exit_code: int = 0, error: str | None = None
) -> dict[str, Any]:
    """What the JSON of every command begins with."""
    return {
        "version": 1,
        "command": command,
        "migration": migration,
        "exit_code": int(exit_code),
        "error": error,
    }


def with_next(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with what to do next: `next`, a list of `words` and `command`."""
    steps = next_steps(facts_of(report))
    return {**report, "next": [{"words": step.words, "command": step.line} for step in steps]}


def summary(
    command: str,
    migration: str,
    books: Books,
    problems: Iterable[Problem],
    *,
    exit_code: int,
    traffic: Traffic | None = None,
    seconds: float = 0.0,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """report.json as a value: the envelope of `--json`, then what the command has to say."""
    return {
        **envelope(command, migration, exit_code=exit_code),
        "balanced": books.balanced,
        **{kind: ledger.as_dict() for kind, ledger in books.ledgers.items()},
        "requests": requests(traffic or Traffic(), seconds),
        "problems": [
            {
                "table": problem.table,
                "rule": problem.rule,
                "state": problem.state.value,
                "count": problem.count,
                "first_line": problem.first_line,
                "message": problem.message,
                "examples": list(problem.examples),
            }
            for problem in problems
        ],
        **(more or {}),
    }


def write(folder: Path, value: Mapping[str, Any]) -> None:
    """report.json, and the same as a page to look at."""
    with writing(folder / "report.json") as out:
        json.dump(value, out, ensure_ascii=False, indent=2)
        out.write("\n")
    with writing(folder / "report.html") as out:
        out.write(page(value))


def write_tickets(path: Path, records: Iterable[TicketRecord], fates: pl.LazyFrame) -> None:
    """success.csv: every ticket with an id in Dixa. failed.csv: every other one, with what became of it, and
    why it is not imported."""
    others: dict[str, TicketRecord] = {}
    with writing(path / "success.csv") as out:
        write = guarded_row_writer(out)
        write(["ticket_id", "dixa_id", "messages", "state", "reason"])
        for ticket in records:
            if ticket.state in (State.IMPORTED, State.PARTIAL):
                reason = ticket.reason if ticket.state is State.PARTIAL else ""
                write([ticket.ticket_id, ticket.dixa_id, ticket.messages, ticket.state, reason])
            else:
                others[ticket.ticket_id] = ticket
    kept = (
        fates.drop_nulls("ticket_id")
        .group_by("ticket_id")
        .agg(pl.col("state").first(), pl.col("rule").unique().sort().str.join(", "))
        .sort("ticket_id")
    )
    begun = pl.col("ticket_id").is_in(list(others))
    rules = {ticket_id: rule for ticket_id, _, rule in kept.filter(begun).collect().iter_rows()}
    with writing(path / "failed.csv") as out:
        write = guarded_row_writer(out)
        write(["ticket_id", "state", "reason", "dixa_id"])
        for ticket in others.values():
            reasons = filter(None, (ticket.reason, rules.get(ticket.ticket_id)))
            write([ticket.ticket_id, ticket.state or State.LEFT, "; ".join(reasons), ticket.dixa_id])
        for row in kept.filter(~begun).collect(engine="streaming").iter_rows():
            write([*row, ""])


def write_changed(path: Path, changed: Iterable[tuple[str, str]]) -> None:
    """changed.csv: what has other content than what was imported. Removed where nothing has."""
    rows = sorted(changed)
    if not rows:
        (path / "changed.csv").unlink(missing_ok=True)
        return
    with writing(path / "changed.csv") as out:
        write = guarded_row_writer(out)
        write(["ticket_id", "message_id"])
        for ticket, what in rows:
            write([ticket, "" if what == "ticket" else what])


def requests(traffic: Traffic, seconds: float) -> dict[str, Any]:
    hundreds: dict[str, int] = {f"status_{n}xx": 0 for n in (2, 3, 4, 5)}
    for status, count in traffic.statuses.items():
        if status:
            hundreds[f"status_{status // 100}xx"] = hundreds.get(f"status_{status // 100}xx", 0) + count
    return {
        "sent": traffic.sent,
        **hundreds,
        "status_429": traffic.statuses[429],
        "no_answer": traffic.statuses[0],
        "retried": traffic.retried,
        "seconds": round(seconds, 3),
    }


def imported_count(path: Path) -> int:
    """How many tickets success.csv lists as imported; 0 if there is none."""
    try:
        with (path / "success.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            return max(0, sum(1 for row in csv.reader(lines) if row) - 1)
    except (OSError, csv.Error):
        return 0
