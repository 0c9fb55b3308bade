"""Properties that hold for every export, whatever it contains."""

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from importer.migration import file as config
from importer.read.csv.structure import check_structure, records
from importer.read.guarded_csv import guarded, unguarded
from importer.read.scan import scan
from importer.report import rejects
from importer.tables.frames import FATES
from importer.validate.judge import judge_table

HEADER = ("ticket_id", "requester_email", "subject", "status", "created_at", "opening_text", "Note")
MIGRATION = """
version = 1
name = "properties"
[source]
timezone = "UTC"
tickets.files = {files}
[target]
api = "integrations"
[conversation]
queue = "Imported"
endpoint = "+4512345678"
[people]
default_agent = "migration@nordlys.example"
"""
few = settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(max_examples=400, derandomize=True, deadline=None)

# NUL is not text, and a byte order mark inside a cell is an ambiguity in CSV only.
letters = st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff")
pieces = st.sampled_from(
    ['"', '""', ",", ";", "\n", "\r\n", "\r", "'", "=1+1", "\\", '\\"', " ", "\u2028", "🙂", "a"]
)
texts = st.one_of(st.text(letters, max_size=12), st.lists(pieces, max_size=6).map("".join))
rows = st.tuples(
    st.sampled_from(["1", "2", "3", "00123", "1e5", ""]) | st.text("abc", min_size=1, max_size=4),
    st.sampled_from(["", "a@b.example", "no address"]),
    texts,
    st.sampled_from(["open", "Closed", "", "nowhere"]),
    st.sampled_from(["2024-03-31T09:15:00Z", "2024-03-31 09:15", "yesterday", ""]),
    texts,
    texts,
)
blank = st.just(("",) * len(HEADER))
exports = st.lists(st.one_of(rows, rows, rows, blank), min_size=1, max_size=6)


@dataclass
class Judged:
    """The result of judging tickets."""

    read: int
    # Cells by row.
    good: dict[tuple[int, int], dict[str, Any]]
    # States and rules by row.
    fates: dict[tuple[int, int], list[tuple[str, str]]]
    # The rows of the file of rejects, without the reason columns that depend on the file itself.
    rejects: list[dict[str, str]]
    # The file of rejects.
    path: Path


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def judged(place: Path, *names: str) -> Judged:
    """The tickets of these files, judged as in a dry run."""
    path = place / "properties.toml"
    path.write_text(MIGRATION.format(files=list(names)), "utf-8")
    migration = config.load_migration(path)
    scanned = scan(migration.source, place, place)
    checked = judge_table(scanned["tickets"], timezone="UTC", workdir=place)
    fates = {
        "tickets": checked.fates,
        "messages": pl.LazyFrame(schema={**FATES, "_opening": pl.Boolean}),
    }
    (place / "rejects").mkdir(exist_ok=True)
    _, paths = rejects.write({"tickets": checked}, fates, place / "rejects")
    bodies = checked.bodies.rename({"text": "opening_text", "html": "opening_html"}).collect()
    good = checked.good.collect().join(bodies, on=["_file", "_record"], how="left")
    states: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for file, record, state, rule in (
        checked.fates.select("_file", "_record", "state", "rule").collect().rows()
    ):
        states.setdefault((file, record), []).append((state, rule))
    return Judged(
        checked.read,
        {(row.pop("_file"), row.pop("_record")): row for row in good.to_dicts()},
        {key: sorted(of_row) for key, of_row in sorted(states.items())},
        [row for path in paths for row in rejected(path)],
        paths[0] if paths else Path(),
    )


def rejected(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, strict=True):
            yield {name: cell for name, cell in row.items() if name not in ("_line", "_source")}


def as_csv(table: Sequence[Sequence[str]], quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=quoting).writerows([HEADER, *table])
    return out.getvalue().encode()


def write_parquet(path: Path, table: Sequence[Sequence[str]]) -> None:
    columns = {name: [row[n] or None for row in table] for n, name in enumerate(HEADER)}
    pl.DataFrame(columns, schema=dict.fromkeys(HEADER, pl.String)).write_parquet(path)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["minimal", "all"])
@few
@example([("",) * 7, ("1", "", "", "", "", "", "")])
@given(exports)
def test_csv_zstd_and_parquet_of_the_same_data_are_judged_alike(
    quoting: int, table: list[tuple[str, ...]]
) -> None:
    with folder() as place:
        data = as_csv(table, quoting)
        (place / "t.csv").write_bytes(data)
        (place / "t.csv.zst").write_bytes(pa.compress(data, "zstd", asbytes=True))
        write_parquet(place / "t.parquet", table)
        of_csv, *others = (judged(place, name) for name in ("t.csv", "t.csv.zst", "t.parquet"))
        for other in others:
            assert (of_csv.read, of_csv.good) == (other.read, other.good)
            assert (of_csv.fates, of_csv.rejects) == (other.fates, other.rejects)


@few
@given(exports)
def test_every_row_is_good_or_has_a_fate(table: list[tuple[str, ...]]) -> None:
    balanced(table)


@few
@example([("1",) * 6, ("2",) * 8])  # as many delimiters as rows of the right width have
@example([(*["1"] * 6, ""), (*["1"] * 6, "\n\\"), ("0",), ("0",), ("0",)])  # no escaped quote
@given(st.lists(rows | st.lists(texts, max_size=9).map(tuple), min_size=1, max_size=8))
def test_every_row_of_any_width_is_good_or_has_a_fate(table: list[tuple[str, ...]]) -> None:
    balanced(table)


def balanced(table: list[tuple[str, ...]]) -> None:
    with folder() as place:
        (place / "t.csv").write_bytes(as_csv(table))
        found = judged(place, "t.csv")
        assert not set(found.good) & set(found.fates)
        assert sorted([*found.good, *found.fates]) == [(0, number) for number in range(len(table))]
        assert found.read == len(table)
        assert all(len({state for state, _ in fates}) == 1 for fates in found.fates.values())


# -- structure checks

soup = st.lists(
    st.sampled_from([b"a", b"b", b",", b",", b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b" "])
    | st.sampled_from(["é".encode(), b"\xef\xbb\xbf", b'","', b'"\n"', b"a,b\n", b"a" * 70]),
    max_size=40,
).map(b"".join)


@many
@given(soup, st.sampled_from([64, 128, 1 << 19]))
def test_a_file_that_passes_its_structure_check_has_one_reading(data: bytes, chunk: int) -> None:
    data = b"a,b\n" + data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importer.read.csv.structure.CHUNK", chunk)
        found = check_structure(io.BytesIO(data), ",", 2)
    if found.ambiguities:
        return
    table = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    try:
        frame = pl.scan_csv(io.BytesIO(data), infer_schema=False).collect()
    except pl.exceptions.PolarsError:
        assert any(len(row) > 2 for row in table)  # polars itself refuses these
        return
    assert {len(row) for row in table} == {2}
    assert [tuple(cell or "" for cell in row) for row in frame.rows()] == [tuple(row) for row in table[1:]]
    assert found.records == len(table)


@many
@given(
    st.lists(st.tuples(texts, texts), max_size=20),
    st.sampled_from([64, 1 << 19]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_rfc_4180_allows_passes_the_structure_check(
    table: list[tuple[str, str]], chunk: int, newline: str
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importer.read.csv.structure.CHUNK", chunk)
        found = check_structure(io.BytesIO(out.getvalue().encode()), ",", 2)
    assert (found.ambiguities, found.records) == (set(), len(table) + 1)


@many
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=20),
    st.sampled_from([64, 1 << 19]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.data(),
)
def test_records_of_a_checked_file_are_found_in_its_bytes(
    table: list[tuple[str, str]], chunk: int, newline: str, ends: bool, data: st.DataObject
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    text = out.getvalue() if ends else out.getvalue().removesuffix(newline)
    numbers = sorted(data.draw(st.sets(st.integers(0, len(table)), min_size=1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importer.read.csv.structure.CHUNK", chunk)
        found = list(records(io.BytesIO(text.encode()), numbers))
    whole = [("a", "b"), *table]
    for number, (line, content) in zip(numbers, found, strict=True):
        (row,) = csv.reader(io.StringIO(content.decode().removesuffix(newline), newline=""), strict=True)
        assert tuple(row) == whole[number]
        before = io.StringIO()
        csv.writer(before, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows(whole[:number])
        assert line == before.getvalue().count("\n") + 1


# -- the round trip of rejects


@many
@given(st.text() | st.text("'=+-@\t\r a", max_size=6))
def test_a_guarded_cell_comes_back_as_it_was(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


@few
@example([("", "", "a\rb", "", "", "=1", "\r")])
@given(exports)
def test_unchanged_rejects_are_rejected_again_and_duplicate_nothing(table: list[tuple[str, ...]]) -> None:
    with folder() as place:
        (place / "t.csv").write_bytes(as_csv(table))
        first = judged(place, "t.csv")
        if not first.rejects:
            return
        again = judged(place, "t.csv", str(first.path))
        assert again.rejects == first.rejects
        assert list(again.good.values()) == list(first.good.values())


@few
@example([("", "", "a\rb", "", "", "=1", "\r")])
@given(exports)
def test_corrected_rejects_become_good(table: list[tuple[str, ...]]) -> None:
    with folder() as place:
        (place / "t.csv").write_bytes(as_csv(table))
        first = judged(place, "t.csv")
        if not first.rejects:
            return
        correct(first.path)
        again = judged(place, "t.csv", str(first.path))
        assert again.rejects == []
        assert len(again.good) == len(first.good) + len(first.rejects)
        assert [row for (file, _), row in again.good.items() if file == 0] == list(first.good.values())
        kept = [unguarded(row["Note"]) for row in first.rejects]
        assert [row["custom.Note"] for (file, _), row in sorted(again.good.items()) if file == 1] == [
            same_blanks(note) for note in kept
        ]


def same_blanks(text: str | None) -> str | None:
    """The text without surrounding blanks, as polars strips them."""
    return pl.Series([text], dtype=pl.String).str.strip_chars().replace("", None).item()


def correct(path: Path) -> None:
    """Correct all rows as a user would: with valid cells, and a distinct id for each row."""
    with path.open(encoding="utf-8", newline="") as stream:
        header, *table = csv.reader(stream, strict=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for number, row in enumerate(table):
            corrected = dict(zip(header, row, strict=True))
            corrected |= {
                "ticket_id": f"corrected {number}",
                "requester_email": "m@b.example",
                "status": "open",
            }
            writer.writerow((corrected | {"created_at": "2024-03-31T09:15:00Z"}).values())
