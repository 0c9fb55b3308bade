"""Each sample with one defect breaks the rule that it is named after, on the right line."""

import csv
import io
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from importer.errors import SourceError
from importer.model import State
from importer.relate.reasons import WAITING
from importer.report import rejects
from importer.resources import SAMPLES

BROKEN = sorted((SAMPLES / "broken").glob("*.csv"))
SHAPES = {
    "messages.missing-column.csv": "1 column(s) of messages missing: ticket_id (required)",
    "tickets.binary.csv": "tickets.binary.csv: is not CSV text (it contains NUL bytes)",
    "tickets.workbook.csv": "tickets.workbook.csv: is a ZIP archive or a workbook (.xlsx, .ods)",
    "tickets.json-lines.csv": "tickets.json-lines.csv: is JSON, but CSV or Parquet is expected",
    "tickets.no-header.csv": "tickets.no-header.csv:1: its first line looks like a row, not like a header "
    "(ann@example.com, 2024-01-02T10:00:00Z)",
    "tickets.damaged.parquet": "tickets.damaged.parquet: is a damaged or unsupported Parquet file",
    "tickets.duplicate-header.csv": "1 header(s) occur more than once: 'Status'",
    "tickets.empty.csv": "tickets.empty.csv: is empty; a header line is expected",
    "tickets.no-parquet.parquet": "tickets.no-parquet.parquet: is not a Parquet file",
}
# Rows without a record: how many of each kind. A blank row precedes the footer of a report.
HARMLESS = {
    "messages.blank_row.csv": {"blank_row": 1},
    "messages.repeated_header.csv": {"repeated_header": 1},
    "people.report_footer.csv": {"blank_row": 1, "report_footer": 1},
    "tickets.blank_row.csv": {"blank_row": 3},
    "tickets.repeated_header.csv": {"repeated_header": 1},
    "tickets.report_footer.csv": {"blank_row": 1, "report_footer": 4},
}


def first_broken_line(broken: Path, table: str) -> int:
    """The line in an editor on which the first row with different bytes begins."""
    good = (SAMPLES / "export" / f"{table}.csv").read_bytes()
    pairs = zip_longest(broken.read_bytes().splitlines(), good.splitlines())
    differs = next(number for number, (has, should) in enumerate(pairs, 1) if has != should)
    rows = csv.reader(io.StringIO(good.decode(), newline=""))
    begins = [1, *(rows.line_num + 1 for _ in rows)]
    return max(line for line in begins if line <= differs)


def first_different_line(broken: Path, table: str) -> int:
    """The line in an editor on which the first row begins that the good sample does not have."""
    if ".row." in broken.name:
        return first_broken_line(broken, table)
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
    rejected = [p for p in problems if p.state is State.REJECTED and p.rule not in WAITING]
    assert [p.rule for p in rejected if p.table == table] == [rule]
    problem = next(p for p in rejected if p.table == table)
    # Of two rows that share an id, both are rejected.
    doubled = rule.endswith(".unique")
    assert problem.count == (2 if doubled else 1)
    if not doubled:
        assert problem.first_line == first_different_line(path, table)
    assert ready.books.balanced


@pytest.mark.parametrize("name", sorted(path.name for path in (SAMPLES / "broken" / "shape").iterdir()))
def test_a_file_with_a_wrong_structure_is_refused(name: str, prepare) -> None:
    path = SAMPLES / "broken" / "shape" / name
    with pytest.raises(SourceError) as caught:
        prepare(SAMPLES / "helpdesk.toml", **{f"source__{name.split('.')[0]}__files": [str(path)]})
    assert SHAPES[name] in str(caught.value)


def plan(ready: Any) -> list[Any]:
    """What would be imported."""
    return [
        (
            job.ticket_id,
            job.subject,
            job.requester.key,
            job.status,
            job.tags,
            job.created_at,
            [(m.message_id, m.fingerprint) for m in job.messages],
        )
        for job in ready.parts.jobs()
    ]


@pytest.mark.parametrize("path", sorted((SAMPLES / "broken" / "harmless").iterdir()), ids=lambda p: p.stem)
def test_a_row_without_a_record_is_skipped_and_counted(path: Path, prepare, tmp_path: Path) -> None:
    table, _, rule = path.stem.partition(".")
    good = prepare(SAMPLES / "helpdesk.toml")
    ready = prepare(SAMPLES / "helpdesk.toml", **{f"source__{table}__files": [str(path)]})
    assert plan(ready) == plan(good)
    problems, _ = rejects.write(ready.tables, ready.related.fates, tmp_path)
    usual, _ = rejects.write(good.tables, good.related.fates, tmp_path)
    known = {(p.table, p.rule) for p in usual}
    new = [p for p in problems if (p.table, p.rule) not in known]
    assert {p.state for p in new} == {State.FILTERED}
    found = {p.rule: p.count for p in new if p.table == table}
    assert found == HARMLESS[path.name]
    assert rule in found
    assert ready.books.balanced


@pytest.mark.parametrize("path", sorted((SAMPLES / "broken" / "readable").iterdir()), ids=lambda p: p.name)
def test_another_dialect_of_the_same_data_gives_the_same_plan(path: Path, prepare, tmp_path: Path) -> None:
    good = plan(prepare(SAMPLES / "helpdesk.toml"))
    ready = prepare(SAMPLES / "helpdesk.toml", source__tickets__files=[str(path)])
    if "cp1252" in path.name:  # it has no emoji
        good = [(id_, _in_cp1252(subject), *rest) for id_, subject, *rest in good]
    assert plan(ready) == good
    problems, _ = rejects.write(ready.tables, ready.related.fates, tmp_path)
    assert not [p for p in problems if p.table == "tickets" and p.state is State.REJECTED]
    assert ready.books.balanced


def _in_cp1252(text: str | None) -> str | None:
    return None if text is None else text.encode("cp1252", "replace").decode("cp1252")


def test_a_broken_row_has_its_line_in_an_editor(prepare, tmp_path: Path) -> None:
    """An explicit line for one file, since the other lines are computed."""
    path = SAMPLES / "broken" / "messages.row.quotes.csv"
    ready = prepare(SAMPLES / "helpdesk.toml", source__messages__files=[str(path)])
    problems, _ = rejects.write(ready.tables, ready.related.fates, tmp_path)
    assert [(p.rule, p.first_line, p.count) for p in problems if p.rule.startswith("row.")] == [
        ("row.quotes", 13, 1)
    ]


def test_csv_and_parquet_of_the_same_data_give_the_same_plan(prepare) -> None:
    plans = [plan(prepare(SAMPLES / name)) for name in ("helpdesk.toml", "helpdesk-parquet.toml")]
    assert plans[0] == plans[1]
    assert len(plans[0]) == 12


def test_the_samples_show_every_channel_state_and_kind_of_message() -> None:
    tickets = pl.read_csv(SAMPLES / "export" / "tickets.csv", infer_schema=False)
    messages = pl.read_csv(SAMPLES / "export" / "messages.csv", infer_schema=False)
    assert tickets["Channel"].n_unique() == 7
    assert {"solved", "closed", "pending", "open", "on hold"} <= set(tickets["Status"])
    assert {"inbound", "outbound", "internal"} <= set(messages["direction"])
