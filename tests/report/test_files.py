"""The files of a report for people: what stands in success.csv and failed.csv."""

import csv
from pathlib import Path

import polars as pl

from importer.checkpoint.queries import TicketRecord
from importer.model import State
from importer.report.files import write_tickets


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
