import base64
import gzip
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from importer.errors import SourceError
from importer.migration import file as config
from importer.read.fetch import fetch
from importer.read.frames import batches
from importer.read.look import look
from importer.read.readable import ReadMode
from importer.read.scan import scan as scan_table
from importer.read.table import Scanned

Migration = Callable[..., Path]


def scan(path: Path) -> dict[str, Scanned]:
    loaded = config.load_migration(path)
    return {
        name: found.table for name, found in scan_table(loaded.source, loaded.folder, path.parent).items()
    }


def rows(path: Path, table: str, *columns: str) -> list[tuple[object, ...]]:
    return scan(path)[table].frame.select(columns).collect().rows()


def test_cells_are_text_and_ids_keep_their_zeros(migration: Migration) -> None:
    path = migration(tickets="ticket_id,subject\n00123,1e5\n")
    assert rows(path, "tickets", "ticket_id", "subject") == [("00123", "1e5")]


@pytest.mark.parametrize("header", ["Ticket ID", "ticket-id", "TICKETID", "ticket_id "])
def test_canonical_headers_are_matched_case_and_blanks_aside(migration: Migration, header: str) -> None:
    assert rows(migration(tickets=f"{header}\n1\n"), "tickets", "ticket_id") == [("1",)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(migration: Migration, delimiter: str) -> None:
    path = migration(tickets=f'ticket_id{delimiter}subject\n1{delimiter}"a,b;c"\n')
    assert rows(path, "tickets", "ticket_id", "subject") == [("1", "a,b;c")]


def test_a_bom_is_not_part_of_the_first_header(migration: Migration) -> None:
    assert rows(migration(tickets="\ufeffticket_id\n7\n"), "tickets", "ticket_id") == [("7",)]


def test_an_encoding_can_be_set(migration: Migration) -> None:
    path = migration(
        'tickets.encoding = "cp1252"', tickets="ticket_id,subject\n1,Rückfrage €\n".encode("cp1252")
    )
    assert rows(path, "tickets", "subject") == [("Rückfrage €",)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_an_encoding_that_shows_late_is_detected_whatever_ends_the_lines(
    migration: Migration, newline: str
) -> None:
    lines = ["ticket_id,subject", *(f"{n},{'x' * 2000}" for n in range(700)), "late,Rückfrage €", ""]
    path = migration(tickets=newline.join(lines).encode("cp1252"))
    scanned = scan_table(config.load_migration(path).source, path.parent, path.parent)["tickets"]
    scanned = (scanned if scanned.is_unambiguous() else scanned.again(ReadMode.CHECKED)).table
    frame = scanned.frame.filter(pl.col("ticket_id") == "late")
    assert frame.select("subject", "_flaw").collect().rows() == [("Rückfrage €", None)]


def test_zero_bytes_after_another_header_do_not_make_a_file_utf_16(migration: Migration) -> None:
    first, second = "ticket_id;subject\r\n1;one\r\n" * 4, "ticket_id;subject\r\n" + "2;two\r\n" * 40
    path = migration(tickets=first.encode() + b"\xff\xfe" + second.encode("utf-16-le"))
    with pytest.raises(SourceError, match="its bytes are not text in any known encoding"):
        scan(path)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_files_are_read(migration: Migration, tmp_path: Path, suffix: str) -> None:
    content = b'ticket_id,subject\n1,"two\nlines"\n2,b\n'
    packed = gzip.compress(content) if suffix == "gz" else pa.compress(content, "zstd", asbytes=True)
    (tmp_path / f"tickets.csv.{suffix}").write_bytes(packed)
    path = migration(f'tickets.files = "tickets.csv.{suffix}"')
    assert rows(path, "tickets", "ticket_id", "subject") == [("1", "two\nlines"), ("2", "b")]


def test_several_files_are_one_table(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "part-1.csv").write_text("ticket_id,subject\n1,a\n")
    (tmp_path / "part-2.csv").write_text("Subject;Ticket Id\nb;2\n")
    path = migration('tickets.files = ["part-*.csv"]')
    expected = [(0, 0, "1", "a"), (1, 0, "2", "b")]
    assert rows(path, "tickets", "_file", "_record", "ticket_id", "subject") == expected


def test_values_defaults_and_skips(migration: Migration) -> None:
    path = migration(
        'tickets.values.status = { Solved = "closed", "*" = "open" }\n'
        'tickets.defaults.channel = "email"\ntickets.skip.subject = ["SPAM"]',
        tickets="ticket_id,status,channel,subject\n1,solved,,x\n2,weird,Widget Chat,spam\n3,,phone,y\n",
    )
    assert rows(path, "tickets", "status", "channel", "_skip") == [
        ("closed", "email", None),
        ("open", "widget_chat", "skip.subject"),
        (None, "phone", None),
    ]


def test_rows_without_any_cell_are_skipped(migration: Migration) -> None:
    path = migration(tickets="ticket_id,subject\n1,a\n\n,\n \t,\u3000\n2,b\n")
    assert rows(path, "tickets", "_skip") == [(None,), *[("blank_row",)] * 3, (None,)]


def test_further_columns_of_tickets_are_kept_as_custom(migration: Migration) -> None:
    frame = scan(migration(tickets="ticket_id,Priority\n1,high\n"))["tickets"].frame.collect()
    assert frame["custom.Priority"].to_list() == ["high"]


def test_tickets_are_gathered_from_message_rows_in_any_order(migration: Migration) -> None:
    lines = ["1,a@b.example,m1,first", "1,a@b.example,m2,second", "2,c@d.example,m3,third"]
    for order in (lines, lines[::-1]):
        path = migration(messages="\n".join(["ticket_id,requester_email,message_id,text", *order]))
        gathered = sorted(rows(path, "tickets", "ticket_id", "requester_email", "_differs"))
        assert gathered == [("1", "a@b.example", ""), ("2", "c@d.example", "")]


def test_columns_in_which_the_rows_of_a_ticket_differ_are_named(migration: Migration) -> None:
    path = migration(messages="ticket_id,subject,text\n1,Old,a\n1,New,b\n")
    assert rows(path, "tickets", "subject", "_differs") == [("New", "subject")]


def test_parquet_types_become_the_text_of_a_csv(migration: Migration, tmp_path: Path) -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    pl.DataFrame(
        {
            "ticket_id": [7],
            "created_at": [datetime(2024, 3, 31, 9, 15, tzinfo=ZoneInfo("Europe/Copenhagen"))],
            "tags": [["a", 'b"c']],
            "cc": [[]],
            "bcc": pl.Series([None], dtype=pl.List(pl.String)),
            "subject": pl.Series(["x"], dtype=pl.Categorical),
            "status": [None],
        }
    ).write_parquet(tmp_path / "t.parquet")
    path = migration('tickets.files = "t.parquet"')
    (row,) = rows(
        path, "tickets", "ticket_id", "created_at", "tags", "custom.cc", "custom.bcc", "subject", "status"
    )
    assert row == ("7", "2024-03-31T09:15:00.000000+02:00", '["a","b\\"c"]', None, None, "x", None)


def int96(folder: Path, *times: datetime) -> Path:
    ids = [str(number) for number, _ in enumerate(times)]
    # Microseconds represent times that nanoseconds cannot.
    columns = {"ticket_id": ids, "created_at": pa.array(times, pa.timestamp("us"))}
    pq.write_table(
        pa.table(columns), folder / "t.parquet", use_deprecated_int96_timestamps=True, store_schema=False
    )
    return folder / "t.parquet"


def test_times_beyond_64_bits_are_refused(migration: Migration, tmp_path: Path) -> None:
    int96(tmp_path, datetime(2024, 5, 1, 12), datetime(9999, 12, 31))  # noqa: DTZ001 - Parquet's have no zone
    path = migration('tickets.files = "t.parquet"')
    with pytest.raises(SourceError, match="outside the years 1677 to 2262"):
        scan(path)
    int96(tmp_path, datetime(2024, 5, 1, 12))  # noqa: DTZ001 - Parquet's have no zone
    assert rows(path, "tickets", "created_at") == [("2024-05-01T12:00:00.000000000",)]


def test_times_with_more_digits_than_their_schema_allows_are_refused(
    migration: Migration, tmp_path: Path
) -> None:
    said = pa.schema([("created_at", pa.timestamp("ms"))]).serialize().to_pybytes()
    table = pa.table(
        {"ticket_id": ["1"], "created_at": pa.array([1_714_564_800_123_456], pa.timestamp("us"))}
    )
    with pq.ParquetWriter(
        tmp_path / "t.parquet", table.schema, use_deprecated_int96_timestamps=True, store_schema=False
    ) as out:
        out.write_table(table)
        out.add_key_value_metadata({"ARROW:schema": base64.b64encode(said).decode()})
    with pytest.raises(SourceError, match="times with more digits than the unit in its footer allows"):
        scan(migration('tickets.files = "t.parquet"'))


def test_a_parquet_page_that_contradicts_its_footer_is_refused(migration: Migration, tmp_path: Path) -> None:
    table = pa.table({"ticket_id": [str(n) for n in range(9)], "subject": [None, "a", "b"] * 3})
    pq.write_table(table, tmp_path / "t.parquet", compression="none", use_dictionary=False)
    data = (tmp_path / "t.parquet").read_bytes()
    # The definition levels of `subject`: nine bits, and every third one is a null.
    levels = bytes([0b10110110, 0b1])
    assert data.count(levels) == 1
    (tmp_path / "t.parquet").write_bytes(data.replace(levels, bytes([0b10010110, 0b1])))
    with pytest.raises(SourceError, match="has 4 empty cells, but its footer says 3"):
        scan(migration('tickets.files = "t.parquet"'))


def test_a_byte_order_mark_after_the_sep_line_is_not_part_of_the_header(
    migration: Migration,
) -> None:
    path = migration(tickets='sep=;\n\ufeff"ticket_id";"subject"\n1;a\n')
    assert rows(path, "tickets", "ticket_id", "subject") == [("1", "a")]


@pytest.mark.parametrize(
    ("row", "text", "said"),
    [
        (r'1;"a \"b\" c:\\d"', r'a "b" c:\d', "backslashes too"),
        (r'1;"a \"b\" c:\d"', r'a "b" c:\d', "backslashes are not"),
        (r'1;"a \"b\" c:\\d ""e"" f"', r'a "b" c:\\d "e" f', "backslashes are not"),
    ],
)
def test_what_backslashes_escape_is_detected_and_noted(
    migration: Migration, row: str, text: str, said: str
) -> None:
    path = migration(tickets=f"ticket_id;subject\n{row}\n")
    assert rows(path, "tickets", "subject") == [(text,)]
    (origin,) = scan(path)["tickets"].origins
    assert said in " ".join(origin.notes)


def test_tickets_are_gathered_from_messages_with_only_their_id(migration: Migration) -> None:
    path = migration(messages="ticket_id,text\nA,one\nA,two\nB,one\n")
    assert sorted(rows(path, "tickets", "ticket_id")) == [("A",), ("B",)]


def test_everything_that_is_missing_is_reported_together(migration: Migration, tmp_path: Path) -> None:
    path = migration(
        'tickets.columns = { subject = "Betreff", statsu = "S" }\nmessages.files = ["none-*.csv"]\n'
        'people.files = ["nobody.csv"]',
        tickets="id\n1\n",
    )
    with pytest.raises(SourceError) as caught:
        scan(path)
    text = str(caught.value)
    for part in (
        "'Betreff' (for subject)",
        "ticket_id (required)",
        "did you mean status?",
        "none-*.csv",
        "nobody.csv",
    ):
        assert part in text


def test_a_folder_means_all_its_files(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "export" / "deep").mkdir(parents=True)
    with pytest.raises(SourceError, match="this folder contains no CSV or Parquet file"):
        scan(migration('tickets.files = ["export"]'))
    (tmp_path / "export" / "1.csv").write_text("ticket_id\n1\n")
    (tmp_path / "export" / "deep" / "2.csv").write_text("ticket_id\n2\n")
    (tmp_path / "export" / "notes.md").write_text("no table")
    found = scan(migration('tickets.files = ["export"]'))["tickets"].frame.select("ticket_id").collect()
    assert found["ticket_id"].to_list() == ["1", "2"]


def test_a_truncated_gzip_is_refused(migration: Migration, tmp_path: Path) -> None:
    packed = gzip.compress(b"ticket_id,subject\n" + b"1,abc\n" * 5000)
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match="t.csv.gz"):
        look(tmp_path / "t.csv.gz", encoding="utf-8", delimiter=None)


def test_rows_are_fetched_with_their_line_in_an_editor(migration: Migration, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('ticket_id,subject\n1,"a\nb\nc"\n2,x\n\n3,"y\n"\n4,z\n')
    file = look(path, encoding="utf-8", delimiter=None)
    fetched = [(r.number, r.line, r.cells) for r in fetch(file, [0, 1, 3, 4])]
    assert fetched == [
        (0, 2, ("1", "a\nb\nc")),
        (1, 5, ("2", "x")),
        (3, 7, ("3", "y\n")),
        (4, 9, ("4", "z")),
    ]


def test_quotes_inside_cells_are_noted_for_a_file_with_a_sep_line_too(
    migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text('sep=,\nticket_id,subject\n1,a "b" c\n2,d\n')
    (origin,) = scan(migration('tickets.files = "t.csv"'))["tickets"].origins
    assert origin.notes == ("first line is a sep= line", "read row by row because it has quotes inside cells")


def test_batches_have_many_rows_or_few_long_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pl.select(n=pl.int_range(50_000), text=pl.lit("x" * 100)).write_csv(tmp_path / "t.csv")
    frame = pl.scan_csv(tmp_path / "t.csv", infer_schema=False)
    (whole,) = batches(frame)
    monkeypatch.setattr("importer.read.frames._BYTES", 1 << 20)
    parts = list(batches(frame))
    assert 1 < len(parts) < 10  # polars reads some MB at a time
    assert whole.equals(pl.concat(parts))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_wildcards_in_names_of_folders_can_be_escaped(
    migration: Migration, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "export [1]"
    folder.mkdir()
    frame = pl.DataFrame({"ticket_id": ["1"]})
    frame.write_csv(folder / "t.csv") if suffix == "csv" else frame.write_parquet(folder / "t.parquet")
    path = migration(f"tickets.files = ['export [[]1]/*.{suffix}']")
    assert rows(path, "tickets", "ticket_id") == [("1",)]


def test_a_first_line_that_does_not_end_is_not_a_header(migration: Migration) -> None:
    path = migration(tickets="ticket_id,subject," + "x" * (1 << 20) + ",status\n1,a,b,c\n")
    with pytest.raises(
        SourceError, match=r"tickets\.csv:1: its first line is longer than 1,048,576 characters"
    ):
        scan(path)
