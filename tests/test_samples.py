"""Each sample with one defect is caught by the rule it is named after, on the right line."""

import csv
import io
from pathlib import Path

import polars as pl
import pytest

from importer.errors import SourceError
from importer.model import State
from importer.report import rejects
from importer.resources import SAMPLES

BROKEN = sorted((SAMPLES / "broken").glob("*.csv"))
SHAPES = {
    "messages.invalid-utf8.csv": "messages.invalid-utf8.csv: its beginning is no utf-8 text (byte 283)",
    "messages.long-row.csv": "messages.long-row.csv:20: has 17 cells where the header has 14",
    "messages.missing-column.csv": "1 column(s) of messages missing: ticket_id (required)",
    "messages.unclosed-quote.csv": "messages.unclosed-quote.csv:13: ",
    "tickets.binary.csv": "tickets.binary.csv: is no CSV text",
    "tickets.damaged.parquet": "tickets.damaged.parquet: is a damaged Parquet file",
    "tickets.duplicate-header.csv": "1 header(s) stand more than once: 'Status'",
    "tickets.empty.csv": "tickets.empty.csv: is empty",
    "tickets.no-parquet.parquet": "tickets.no-parquet.parquet: is no Parquet file",
}


def first_different_line(broken: Path, table: str) -> int:
    """The line, as an editor counts, on which the first row begins that the good sample does not have."""
    good = list(csv.reader(io.StringIO((SAMPLES / "export" / f"{table}.csv").read_text("utf-8"), newline="")))
    with broken.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        line = 1
        for number, row in enumerate(rows):
            if number and (
                number >= len(good)
                or row[: len(good[number])] != good[number]
                or any(row[len(good[number]) :])
            ):
                return line
            line = rows.line_num + 1
    raise AssertionError(f"{broken} has no defect")


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_defect_is_caught_by_its_rule(path: Path, prepare, tmp_path: Path) -> None:
    table, _, rule = path.stem.partition(".")
    ready = prepare(SAMPLES / "helpdesk.toml", **{f"source__{table}__files": [str(path)]})
    problems, _ = rejects.write(ready.tables, ready.related.fates, tmp_path)
    rejected = [p for p in problems if p.state is State.REJECTED and p.rule not in rejects.WAITING]
    assert [p.rule for p in rejected if p.table == table] == [rule]
    problem = next(p for p in rejected if p.table == table)
    # Two rows that share an id are both to blame.
    doubled = rule.endswith(".unique")
    assert problem.count == (2 if doubled else 1)
    if not doubled:
        assert problem.first_line == first_different_line(path, table)
    assert ready.books.balanced


@pytest.mark.parametrize("name", sorted(path.name for path in (SAMPLES / "broken" / "shape").iterdir()))
def test_a_wrong_shape_stops_at_once(name: str, prepare) -> None:
    path = SAMPLES / "broken" / "shape" / name
    with pytest.raises(SourceError) as caught:
        prepare(SAMPLES / "helpdesk.toml", **{f"source__{name.split('.')[0]}__files": [str(path)]})
    assert SHAPES[name] in str(caught.value)


def test_csv_and_parquet_of_the_same_data_give_the_same_plan(prepare) -> None:
    plans = [
        [
            (
                job.ticket_id,
                job.requester.key,
                job.tags,
                job.created_at,
                [(m.message_id, m.fingerprint) for m in job.messages],
            )
            for job in prepare(SAMPLES / name).parts.jobs()
        ]
        for name in ("helpdesk.toml", "helpdesk-parquet.toml")
    ]
    assert plans[0] == plans[1]
    assert len(plans[0]) == 12


def test_the_samples_show_every_channel_state_and_kind_of_message() -> None:
    tickets = pl.read_csv(SAMPLES / "export" / "tickets.csv", infer_schema=False)
    messages = pl.read_csv(SAMPLES / "export" / "messages.csv", infer_schema=False)
    assert tickets["Channel"].n_unique() == 7
    assert {"solved", "closed", "pending", "open", "on hold"} <= set(tickets["Status"])
    assert {"inbound", "outbound", "internal"} <= set(messages["direction"])
