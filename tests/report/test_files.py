"""The files of a report for people: what stands in success.csv and failed.csv."""

import csv
from pathlib import Path

import polars as pl

from importer.checkpoint.queries import TicketRecord
from importer.model import State
from importer.read.guarded_csv import unguarded
from importer.report.files import write_changed, write_tickets


def test_every_ticket_stands_in_one_of_the_files_once(tmp_path: Path) -> None:
    records = [
        TicketRecord("1", State.IMPORTED, "d1", "", 2),
        TicketRecord("2", State.PARTIAL, "d2", "message b: no", 1),
        TicketRecord("3", State.IN_DOUBT, None, "no answer", 0),
        TicketRecord("4", None, None, "", 0),
    ]
    fates = pl.LazyFrame(
        {
            "ticket_id": ["3", "5", "5", "6", None],
            "state": ["rejected", "rejected", "rejected", "filtered", "rejected"],
            "rule": ["status.enum", "status.enum", "channel.enum", "skip.status", "ticket_id.required"],
        }
    )
    write_tickets(tmp_path, records, fates)
    success, failed = (
        list(csv.reader((tmp_path / f"{name}.csv").read_text("utf-8").splitlines()))
        for name in ("success", "failed")
    )
    assert success[1:] == [["1", "d1", "2", "imported", ""], ["2", "d2", "1", "partial", "message b: no"]]
    assert failed[1:] == [
        ["3", "in_doubt", "no answer; status.enum", ""],
        ["4", "left", "", ""],
        ["5", "rejected", "channel.enum, status.enum", ""],
        ["6", "filtered", "skip.status", ""],
    ]


DANGEROUS = [
    '=HYPERLINK("http://evil.example")',
    "+45 12 34 56 78",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "'=1",
    "1",
]


def assert_safe(path: Path) -> list[list[str]]:
    """The rows as they were before they were written, after a look at the cells as a spreadsheet sees them."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    return [[unguarded(cell) for cell in row] for row in rows[1:]]


def test_no_spreadsheet_executes_what_a_customer_wrote(tmp_path: Path) -> None:
    imported = [TicketRecord(text, State.IMPORTED, text, "", 2) for text in DANGEROUS]
    partial = [TicketRecord("p", State.PARTIAL, "d", text, 2) for text in DANGEROUS]
    left = [TicketRecord(f"{text} ", State.FAILED, text, text, 0) for text in DANGEROUS]
    rejected = pl.LazyFrame(
        {"ticket_id": [f"{text}!" for text in DANGEROUS], "state": "rejected", "rule": "status.enum"}
    )
    write_tickets(tmp_path, [*imported, *partial, *left], rejected)
    write_changed(tmp_path, [(text, text) for text in DANGEROUS])
    assert assert_safe(tmp_path / "success.csv") == [
        *([text, text, "2", "imported", ""] for text in DANGEROUS),
        *(["p", "d", "2", "partial", text] for text in DANGEROUS),
    ]
    failed = assert_safe(tmp_path / "failed.csv")
    assert failed[: len(left)] == [[f"{text} ", "failed", text, text] for text in DANGEROUS]
    assert sorted(row[0] for row in failed[len(left) :]) == sorted(f"{text}!" for text in DANGEROUS)
    assert assert_safe(tmp_path / "changed.csv") == [[text, text] for text in sorted(DANGEROUS)]
