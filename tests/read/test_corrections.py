"""Rejected rows are written, corrected and read again: each replaces the row that it came from."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.pipeline.prepare import Prepared
from importer.private_files import writing
from importer.read.guarded_csv import guarded, unguarded
from importer.read.rejects_format import REASON_COLUMNS
from importer.report import rejects

Migration = Callable[..., Path]
HEADER = "ticket_id,subject,requester_email,channel,opening_text"
GOOD, BAD = "1,one,a@b.example,email,hello", "2,two,a@b.example,telegram,hello"


@dataclass
class Trip:
    """A migration whose rejects can be written and read again."""

    prepare: Callable[..., Prepared]
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "minimal.toml"

    def out(self, name: str = "tickets") -> Path:
        """The file of rejects."""
        return self.folder / "rejects" / f"{name}.csv"

    def judged(self, *more: Path, table: str = "tickets", balanced: bool = True) -> Prepared:
        """The migration with more files, its rejects written as the program does."""
        files = {f"source__{table}__files": self.files(table, more)} if more else {}
        ready = self.prepare(self.path, **files)
        (self.folder / "rejects").mkdir(exist_ok=True)
        rejects.write(ready.tables, ready.related.fates, self.folder / "rejects")
        assert ready.books.balanced or not balanced
        return ready

    def files(self, table: str, more: Iterable[Path]) -> list[str]:
        own = (
            next(self.folder.glob(f"{table}.csv"))
            if not list(self.folder.glob("t.parquet"))
            else self.folder / "t.parquet"
        )
        return [own.name, *map(str, more)]


@pytest.fixture
def trip(prepare, tmp_path: Path) -> Trip:
    return Trip(prepare, tmp_path)


def subjects(ready: Prepared) -> list[tuple[str, str | None]]:
    return sorted((job.ticket_id, job.subject) for job in ready.parts.jobs())


def fates(ready: Prepared, table: str = "tickets") -> list[tuple[str, str]]:
    return sorted(ready.related.fates[table].select("state", "rule").collect().rows())


def read_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return list(csv.reader(stream))


def correct(path: Path, old: str, new: str) -> None:
    data = path.read_bytes()
    assert old.encode() in data
    path.write_bytes(data.replace(old.encode(), new.encode()))


def in_sources(path: Path, table: str, *files: str) -> None:
    """Add files to a table of a migration."""
    text = path.read_text("utf-8")
    old = f'files = ["export/{table}.csv"]'
    assert old in text
    path.write_text(text.replace(old, f"files = {json.dumps([f'export/{table}.csv', *files])}"), "utf-8")


# -- through the program


def counted(sandbox: Any) -> tuple[int, int]:
    return sandbox.store.count("conversations"), sandbox.store.count("messages") + sandbox.store.count(
        "notes"
    )


def test_corrected_tickets_and_messages_follow_and_nothing_is_imported_twice(
    dixa_import, sandbox, samples
) -> None:
    """Two tickets wait: 5002 for its channel, 5001 for the direction of its first message."""
    tickets, messages = samples / "export" / "tickets.csv", samples / "export" / "messages.csv"
    correct(tickets, ",widget_chat,Chat,", ",telegram,Chat,")
    correct(
        messages, "9001,5001,2023-11-02 09:14:03,101,,,inbound", "9001,5001,2023-11-02 09:14:03,101,,,inwards"
    )
    path, report = samples / "helpdesk.toml", samples / "nordlys.report"
    fast = ("--base-url", sandbox.url, "--rate", 500, "--burst", 50)

    assert dixa_import("run", path, *fast).code == 3
    assert counted(sandbox)[0] == 10
    out = {name: report / "rejects" / f"{name}.csv" for name in ("tickets", "messages")}
    assert [len(read_rows(file)) for file in out.values()] == [2, 2]

    correct(out["tickets"], ",telegram,Chat,", ",widget_chat,Chat,")
    correct(out["messages"], ",,,inwards", ",,,inbound")
    corrected = {name: file.read_bytes() for name, file in out.items()}
    for name in out:
        in_sources(path, name, f"nordlys.report/rejects/{name}.csv")

    done = dixa_import("validate", path, token=None)
    assert done.code == 0, done.out + done.err
    value = json.loads((report / "report.json").read_text("utf-8"))
    found = {
        (problem["table"], problem["rule"], problem["state"], problem["count"])
        for problem in value["problems"]
    }
    assert {("tickets", "corrected", "filtered", 1), ("messages", "corrected", "filtered", 1)} <= found

    assert dixa_import("run", path, *fast).code == 0
    assert counted(sandbox) == (12, 24)
    assert dixa_import("run", path, *fast).code == 0
    assert counted(sandbox) == (12, 24)
    assert {name: file.read_bytes() for name, file in out.items()} == corrected


def test_validate_shows_the_rejects_and_does_not_overwrite_those_that_it_reads(dixa_import, samples) -> None:
    correct(samples / "export" / "tickets.csv", ",widget_chat,Chat,", ",telegram,Chat,")
    path, folder = samples / "helpdesk.toml", samples / "nordlys.report" / "rejects"
    out = dixa_import("validate", path, token=None).out
    assert f"Rejected rows: {folder / 'tickets.csv'}\n" in out
    step = f"Correct the rejected rows in {folder / 'tickets.csv'}, and add it to source.tickets.files in {path}."
    assert step in out
    in_sources(path, "tickets", "nordlys.report/rejects/tickets.csv")
    before = (folder / "tickets.csv").read_bytes()
    done = dixa_import("validate", path, token=None)
    assert (done.code, f"Rejected rows: {folder / 'tickets.2.csv'}" in done.out) == (6, True)
    assert (folder / "tickets.csv").read_bytes() == before


# -- which row replaces which


def test_a_corrected_row_replaces_the_rejected_one(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{GOOD}\n{BAD}\n")
    assert subjects(trip.judged()) == [("1", "one")]
    assert read_rows(trip.out())[0] == [*REASON_COLUMNS, *HEADER.split(",")]
    correct(trip.out(), "two,a@b.example,telegram", "corrected,a@b.example,email")
    ready = trip.judged(trip.out())
    assert subjects(ready) == [("1", "one"), ("2", "corrected")]
    assert fates(ready) == [("filtered", "corrected")]
    assert ready.books["tickets"].read == 3


def test_what_is_not_corrected_stays_rejected_once(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n{BAD.replace('2,two', '3,three')}\n{GOOD}\n")
    trip.judged()
    correct(trip.out(), "3,three,a@b.example,telegram", "3,three,a@b.example,email")
    ready = trip.judged(trip.out())
    assert subjects(ready) == [("1", "one"), ("3", "three")]
    assert fates(ready) == [
        ("filtered", "corrected"),
        ("filtered", "corrected"),
        ("rejected", "channel.enum"),
    ]


def test_a_row_that_was_deleted_from_the_rejects_stays_rejected_in_the_source(
    migration: Migration, trip: Trip
) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n{BAD.replace('2,two', '3,three')}\n")
    trip.judged()
    header, _, third = trip.out().read_text("utf-8").splitlines()
    trip.out().write_text(f"{header}\n{third.replace('telegram', 'email')}\n", "utf-8")
    ready = trip.judged(trip.out())
    assert subjects(ready) == [("3", "three")]
    assert fates(ready) == [("filtered", "corrected"), ("rejected", "channel.enum")]


def test_a_row_that_was_pasted_twice_is_rejected(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n")
    trip.judged()
    correct(trip.out(), "telegram,hello", "email,hello")
    header, row = trip.out().read_text("utf-8").splitlines()
    trip.out().write_text("\n".join([header, row, row]) + "\n", "utf-8")
    ready = trip.judged(trip.out())
    assert subjects(ready) == []
    assert [rule for _, rule in fates(ready)].count("ticket_id.unique") == 2


@pytest.mark.parametrize("now", [BAD.replace("telegram", "phone"), BAD.replace("two", "other")])
def test_a_row_of_the_source_that_changed_meanwhile_is_not_superseded(
    migration: Migration, trip: Trip, now: str
) -> None:
    migration(tickets=f"{HEADER}\n{GOOD}\n{BAD}\n")
    trip.judged()
    correct(trip.out(), "telegram,hello", "email,hello")
    correct(trip.folder / "tickets.csv", BAD, now)
    ready = trip.judged(trip.out(), balanced=False)
    assert not [rule for _, rule in fates(ready) if rule == "corrected"]
    assert ready.books["tickets"].read == 3


def test_a_row_that_moved_to_another_place_is_not_superseded(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{GOOD}\n{BAD}\n")
    trip.judged()
    correct(trip.out(), "telegram,hello", "email,hello")
    (trip.folder / "tickets.csv").write_text(f"{HEADER}\n{BAD}\n{GOOD}\n")
    ready = trip.judged(trip.out(), balanced=False)
    assert fates(ready) == [("rejected", "channel.enum")]


def test_a_corrected_row_beside_a_row_that_changed_meanwhile_is_in_the_books(
    migration: Migration, trip: Trip
) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n{BAD.replace('telegram', 'email')}\n")
    trip.judged()


def test_rejects_of_rejects_replace_the_first_ones(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{GOOD}\n{BAD}\n")
    trip.judged()
    correct(trip.out(), "telegram,hello", "telegraph,hello")
    first = trip.out().read_bytes()
    assert fates(trip.judged(trip.out())) == [("filtered", "corrected"), ("rejected", "channel.enum")]
    second = trip.out("tickets.2")
    assert trip.out().read_bytes() == first
    assert read_rows(second)[1][5].startswith("tickets.csv#1|tickets.csv#0#")
    correct(second, "telegraph,hello", "email,hello")
    ready = trip.judged(trip.out(), second)
    assert subjects(ready) == [("1", "one"), ("2", "two")]
    assert fates(ready) == [("filtered", "corrected"), ("filtered", "corrected")]
    assert (trip.out().exists(), second.exists(), trip.out("tickets.3").exists()) == (True, True, False)


def test_rejects_that_nobody_reads_and_that_no_longer_apply_are_removed(
    migration: Migration, trip: Trip
) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n")
    trip.judged()
    trip.judged(trip.out())
    assert trip.out("tickets.2").exists()
    correct(trip.out(), "telegram,hello", "email,hello")
    trip.judged(trip.out())
    assert trip.out().exists()
    assert not trip.out("tickets.2").exists()
    correct(trip.folder / "tickets.csv", "telegram", "email")
    of_people = trip.out("people")
    of_people.write_text("of a table that the migration names no more")
    trip.judged()
    assert not trip.out().exists()
    assert not of_people.exists()


def test_without_source_column_a_row_replaces_none(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n")
    trip.judged()
    kept = [[*row[:5], *row[6:]] for row in read_rows(trip.out())]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(kept)
    trip.out().write_text(out.getvalue().replace("telegram,hello", "email,hello"), "utf-8")
    ready = trip.judged(trip.out(), balanced=False)
    assert fates(ready) == [("rejected", "channel.enum")]
    assert ready.books["tickets"].read == 2
    assert not [name for name in ready.tables["tickets"].good.collect_schema() if name.startswith("custom.")]


def test_rows_of_several_files_come_back_to_their_own(migration: Migration, trip: Trip) -> None:
    (trip.folder / "tickets.csv").write_text(f"{HEADER}\n{BAD}\n")
    (trip.folder / "more.csv").write_text(
        f"Note;{HEADER.replace(',', ';')}\nx;{BAD.replace('2,two', '3,three').replace(',', ';')}\n"
    )
    migration('tickets.files = ["tickets.csv", "more.csv"]')
    trip.judged()
    found = read_rows(trip.out())
    assert found[0][len(REASON_COLUMNS) :] == [*HEADER.split(","), "Note"]
    assert [row[5].split("#")[0] for row in found[1:]] == ["tickets.csv", "more.csv"]
    correct(trip.out(), "telegram,hello", "email,hello")
    ready = trip.judged(trip.folder / "more.csv", trip.out())
    assert subjects(ready) == [("2", "two"), ("3", "three")]
    assert fates(ready) == [("filtered", "corrected"), ("filtered", "corrected")]
    custom = ready.tables["tickets"].good.sort("ticket_id").collect()["custom.Note"].to_list()
    assert custom == [None, "x"]


def test_rows_of_parquet_come_back_as_csv(migration: Migration, trip: Trip) -> None:
    cells = [dict(zip(HEADER.split(","), line.split(","), strict=True)) for line in (GOOD, BAD)]
    pl.DataFrame(cells).with_columns(tags=pl.lit(["a", "b"])).write_parquet(trip.folder / "t.parquet")
    migration('tickets.files = ["t.parquet"]')
    trip.judged()
    correct(trip.out(), "telegram,hello", "email,hello")
    ready = trip.judged(trip.out())
    assert fates(ready) == [("filtered", "corrected")]
    assert [list(job.tags) for job in ready.parts.jobs()] == [["a", "b"], ["a", "b"]]


def test_messages_from_cells_are_corrected_in_the_row_of_their_ticket(
    migration: Migration, trip: Trip
) -> None:
    words = (
        'messages.files = []\nmessages.each = { column = "Comment", parts = ["at", "text"] }\n'
        'messages.columns = { ticket_id = "ticket_id", created_at = "each.at", text = "each.text" }'
    )
    migration(words, tickets=f"{HEADER},Comment,Comment\n{GOOD},2024-01-01;a,someday;b\n")
    ready = trip.judged()
    assert fates(ready, "messages") == [
        ("rejected", "created_at.type"),
        ("rejected", "ticket_rejected"),
        ("rejected", "ticket_rejected"),
    ]
    assert not trip.out("messages").exists()
    (row,) = read_rows(trip.out())[1:]
    assert row[1:5] == [
        "Comment",
        "messages.created_at.type",
        "someday;b",
        "Comment: created_at of item 2: is not an ISO 8601 time (e.g. 2024-03-31T09:15:00Z)",
    ]
    assert row[5].startswith("tickets.csv#0#")
    assert row[len(REASON_COLUMNS) :] == [*GOOD.split(","), "2024-01-01;a", "someday;b"]
    correct(trip.out(), "someday", "2024-01-02")
    (job,) = trip.judged(trip.out()).parts.jobs()
    assert sorted(m.text for m in job.messages) == ["a", "b", "hello"]


def test_blank_cells_of_repeated_columns_are_not_items(migration: Migration, trip: Trip) -> None:
    words = (
        'messages.files = []\nmessages.each = { column = "Comment", parts = ["at", "text"] }\n'
        'messages.columns = { ticket_id = "ticket_id", created_at = "each.at", text = "each.text" }'
    )
    cells = [*GOOD.split(","), " ", "", "2024-01-01;a", "someday;b"]
    quoted = ",".join(f'"{cell}"' for cell in cells)
    migration(words, tickets=f"{HEADER},Comment,Comment,Comment,Comment\n{quoted}\n")
    assert trip.judged().tables["messages"].read == 2
    (row,) = read_rows(trip.out())[1:]
    assert row[3:5] == [
        "someday;b",
        "Comment: created_at of item 2: is not an ISO 8601 time (e.g. 2024-03-31T09:15:00Z)",
    ]


def test_a_row_that_is_wrong_as_a_ticket_and_as_a_message_is_corrected_once(
    migration: Migration, trip: Trip
) -> None:
    rows = ["message_id,ticket_id,requester_email,status,direction,text"]
    rows += ["a,A,a@b.example,Odd,nowhere,1", "b,B,a@b.example,open,inbound,2", ""]
    migration(messages="\n".join(rows))
    trip.judged(table="messages")
    assert not trip.out().exists()
    (row,) = read_rows(trip.out("messages"))[1:]
    assert (row[1], row[2]) == ("status, direction", "tickets.status.enum, direction.enum")


def test_of_several_headers_the_one_with_a_value_is_named(migration: Migration, trip: Trip) -> None:
    words = 'tickets.columns.requester_email = ["Mail", "Backup"]'
    migration(words, tickets="ticket_id,subject,Mail,Backup,opening_text\n1,a,,nobody,x\n2,b,,,y\n")
    trip.judged()
    found = [row[1:4] for row in read_rows(trip.out())[1:]]
    assert found == [["Backup", "requester_email.format", "nobody"], ["", "requester.required", ""]]


# -- the content of the file


def test_the_reason_columns_are_ignored(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER},Priority\n{BAD},high\n")
    trip.judged()
    correct(trip.out(), "telegram,hello", "email,hello")
    ready = trip.judged(trip.out())
    scanned = ready.tables["tickets"].scanned
    assert [name for name in scanned.columns[1] if name.startswith("custom.")] == ["custom.Priority"]
    assert not any("_" + name in scanned.unused for name in ("line", "rule", "source"))
    assert subjects(ready) == [("2", "two")]


def test_a_column_of_the_source_with_the_name_of_a_reason_column_is_kept(
    migration: Migration, trip: Trip
) -> None:
    migration(tickets=f"{HEADER},_line\n{BAD},77\n")
    trip.judged()
    assert read_rows(trip.out())[1][-1] == "77"


CELLS = [
    "=1+1", "+45 20304050", "-x", "@bob", "\ttab", "'=x", "''=x", "'+1", "'plain'", "it's =", " =x", "'", "''",
    "a\n=b", "=a\nb,\"c\"",
]  # fmt: skip


def test_cells_that_a_spreadsheet_would_execute_are_guarded_and_come_back_unchanged(
    migration: Migration, trip: Trip
) -> None:
    """Each cell is in a good ticket too, to compare with."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER.split(","))
    for number, cell in enumerate(CELLS):
        writer.writerow([f"good{number}", "s", "a@b.example", "email", cell])
        writer.writerow([f"bad{number}", "s", "a@b.example", "telegram", cell])
    migration(tickets=out.getvalue())
    trip.judged()
    for cell, row in zip(CELLS, read_rows(trip.out())[1:], strict=True):
        assert not row[-1].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert row[-1] in (cell, f"'{cell}")
    correct(trip.out(), "a@b.example,telegram", "a@b.example,email")
    ready = trip.judged(trip.out())
    texts = {job.ticket_id: job.messages[0].text for job in ready.parts.jobs()}
    numbers = range(len(CELLS))
    assert [texts[f"bad{n}"] for n in numbers] == [texts[f"good{n}"] for n in numbers]


def test_guarding_does_not_grow_from_one_round_to_the_next(migration: Migration, trip: Trip) -> None:
    cells = ["=1+1", "'=x", "''-x"]
    lines = [f"{n},{cell},a@b.example,telegram,hello" for n, cell in enumerate(cells)]
    migration(tickets="\n".join([HEADER, *lines]) + "\n")
    trip.judged()
    trip.judged(trip.out())
    subject = len(REASON_COLUMNS) + 1
    for path in (trip.out(), trip.out("tickets.2")):
        assert [row[subject] for row in read_rows(path)[1:]] == [f"'{cell}" for cell in cells]


@given(st.text(alphabet="'=+-@\t\ra \n1"))
def test_a_guarded_cell_is_never_executed_and_always_comes_back(cell: str) -> None:
    safe = guarded(cell)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(safe) == cell
    assert safe in (cell, f"'{cell}")


def test_the_value_that_broke_the_rule_is_guarded_too(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n2,two,a@b.example,=cmd,hello\n")
    trip.judged()
    row = dict(zip(read_rows(trip.out())[0], read_rows(trip.out())[1], strict=True))
    assert (row["_value"], row["channel"]) == ("'=cmd", "'=cmd")


def test_a_header_that_a_spreadsheet_would_execute_is_guarded_in_the_reasons(
    migration: Migration, trip: Trip
) -> None:
    migration('tickets.columns.channel = "=cmd"', tickets=f"{HEADER.replace('channel', '=cmd')}\n{BAD}\n")
    trip.judged()
    row = read_rows(trip.out())[1]
    assert not [cell for cell in row if cell.startswith("=")]


@pytest.mark.parametrize(
    "said",
    [
        "",
        'tickets.encoding = "cp1252"',
        pytest.param(
            'tickets.delimiter = ";"',
        ),
    ],
)
def test_rejects_of_a_cp1252_source_with_semicolons_come_back_in_utf8(
    migration: Migration, trip: Trip, said: str
) -> None:
    lines = [
        HEADER,
        *(f"{n},Rückfrage für Größe {n} – “ja”,a@b.example,email,Grüße aus Köln" for n in range(10, 30)),
        "2,Ärger: 5 €; sofort,a@b.example,telegram,Übel",
    ]
    text = "\n".join(
        line.replace(",", ";") if "sofort" not in line else '2;"Ärger: 5 €; sofort";a@b.example;telegram;Übel'
        for line in lines
    )
    migration(said, tickets=(text + "\n").encode("cp1252"))
    trip.judged()
    assert read_rows(trip.out())[1][len(REASON_COLUMNS) :] == [
        "2",
        "Ärger: 5 €; sofort",
        "a@b.example",
        "telegram",
        "Übel",
    ]
    correct(trip.out(), "telegram,", "email,")
    ready = trip.judged(trip.out())
    assert ("2", "Ärger: 5 €; sofort") in subjects(ready)
    assert len(subjects(ready)) == 21
    assert fates(ready) == [("filtered", "corrected")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_rejects_that_a_spreadsheet_saved_are_read(migration: Migration, trip: Trip, encoding: str) -> None:
    migration(tickets=f'{HEADER}\n{GOOD}\n2,=Größe für Ärger,a@b.example,telegram,"a\nb"\n')
    trip.judged()
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerows(read_rows(trip.out()))
    trip.out().write_bytes(out.getvalue().replace(';telegram;"', ';email;"').encode(encoding))
    ready = trip.judged(trip.out())
    assert subjects(ready) == [("1", "one"), ("2", "=Größe für Ärger")]
    assert fates(ready) == [("filtered", "corrected")]


RAW = b"2,caf\xe9 \xff\xfe,a@b.example,email,gr\xc3\xbc\xc3\x9fe"


def with_bytes(migration: Migration, trip: Trip) -> bytes:
    """The rejects of a source in which one row has undecodable bytes."""
    sound = "\n".join(f"{n},Größe,a@b.example,email,grüße" for n in range(10, 20)).encode()
    migration(tickets=b"\n".join([HEADER.encode(), sound, RAW, b""]))
    assert fates(trip.judged()) == [("rejected", "row.encoding")]
    return trip.out().read_bytes()


def test_undecodable_bytes_survive_unchanged_and_can_be_corrected(migration: Migration, trip: Trip) -> None:
    before = with_bytes(migration, trip)
    assert before.endswith(b"," + RAW + b"\n")
    trip.out().write_bytes(before.replace(b"caf\xe9 \xff\xfe", "café".encode()))
    ready = trip.judged(trip.out())
    assert ("2", "café") in subjects(ready)
    assert fates(ready) == [("filtered", "corrected")]


def test_undecodable_bytes_stay_rejected_until_they_are_corrected(migration: Migration, trip: Trip) -> None:
    with_bytes(migration, trip)
    ready = trip.judged(trip.out())
    assert fates(ready) == [("filtered", "corrected"), ("rejected", "row.encoding")]
    assert trip.out("tickets.2").read_bytes().endswith(b"," + RAW + b"\n")


def test_undecodable_bytes_survive_beside_texts(migration: Migration, trip: Trip) -> None:
    before = with_bytes(migration, trip)
    header, row, _ = before.split(b"\n")
    texts = "\n".join(f",,,,,,x{n},Größe,a@b.example,email,grüße" for n in range(3)).encode()
    trip.out().write_bytes(b"\n".join([header, texts, row, b""]))
    assert fates(trip.judged(trip.out())) == [("filtered", "corrected"), ("rejected", "row.encoding")]
    assert trip.out("tickets.2").read_bytes().endswith(b"," + RAW + b"\n")


@pytest.mark.parametrize(
    ("row", "rule", "corrected"),
    [
        ("2,two,a@b.example,email", "row.width", "2,two,a@b.example,email,hello"),
        ("2,two,a@b.example,email,hello,more", "row.width", "2,two,a@b.example,email,hello"),
        ('2,"two,a@b.example,email,hello', "row.quotes", "2,two,a@b.example,email,hello"),
        ("2,tw\0o,a@b.example,email,hello", "row.nul", "2,two,a@b.example,email,hello"),
    ],
)
def test_a_row_with_a_broken_structure_stays_broken_until_it_is_corrected(
    migration: Migration, trip: Trip, row: str, rule: str, corrected: str
) -> None:
    migration(tickets=f"{HEADER}\n{row}\n{GOOD}\n{GOOD.replace('1,one', '3,three')}\n")
    assert fates(trip.judged()) == [("rejected", rule)]
    again = trip.judged(trip.out())
    assert ("filtered", "corrected") in fates(again)
    assert [state for state, _ in fates(again)] == ["filtered", "rejected"]
    found = read_rows(trip.out())
    reasons = found[1][: len(REASON_COLUMNS)]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([found[0], [*reasons, *corrected.split(",")]])
    trip.out().write_text(out.getvalue(), "utf-8")
    ready = trip.judged(trip.out())
    assert subjects(ready) == [("1", "one"), ("2", "two"), ("3", "three")]
    assert fates(ready) == [("filtered", "corrected")]


@pytest.mark.parametrize(
    "row", ["2,two", "2,two,a@b.example,email,hello,more", '2,"two,a@b.example,email,hello']
)
def test_a_row_with_a_broken_structure_is_not_corrected_by_saving_it_as_wide_as_the_others(
    migration: Migration, trip: Trip, row: str
) -> None:
    migration(tickets=f"{HEADER}\n{row}\n{GOOD}\n")
    first = fates(trip.judged())
    found = read_rows(trip.out())
    width = max(map(len, found))
    with trip.out().open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=";").writerows([*row, *[""] * (width - len(row))] for row in found)
    again = trip.judged(trip.out())
    assert [fate for fate in fates(again) if fate[0] == "rejected"] == first
    assert subjects(again) == [("1", "one")]


def test_only_the_owner_can_read_a_file_of_rejects(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{BAD}\n")
    trip.judged()
    assert trip.out().stat().st_mode & 0o777 == 0o600


def test_a_corrected_message_brings_back_its_gathered_ticket(migration: Migration, trip: Trip) -> None:
    rows = ["message_id,ticket_id,requester_email,direction,text"]
    rows += ["a,A,a@b.example,inbound,x", "b,A,old@b.example,wrong,y", "c,B,a@b.example,inbound,z", ""]
    migration(messages="\n".join(rows))
    assert [job.ticket_id for job in trip.judged(table="messages").parts.jobs()] == ["B"]
    correct(trip.out("messages"), "old@b.example,wrong", "a@b.example,inbound")
    ready = trip.judged(trip.out("messages"), table="messages")
    assert {job.ticket_id: [m.message_id for m in job.messages] for job in ready.parts.jobs()} == {
        "A": ["a", "b"],
        "B": ["c"],
    }
    assert fates(ready) == []
    assert ready.tables["tickets"].differing == {}


def test_of_a_ticket_in_several_rows_the_wrong_ones_are_rejected(migration: Migration, trip: Trip) -> None:
    rows = ["message_id,ticket_id,requester_email,status,direction,text"]
    rows += ["a,A,a@b.example,open,inbound,1", "b,A,a@b.example,Odd,inbound,2", "c,A,nobody,More,inbound,3"]
    rows += ["d,B,a@b.example,open,inbound,4", ""]
    migration(messages="\n".join(rows))
    ready = trip.judged(table="messages")
    assert [job.ticket_id for job in ready.parts.jobs()] == ["B"]
    assert ready.books["tickets"].places["rejected"] == 1
    found = [row[:4] for row in read_rows(trip.out("messages"))[1:]]
    assert found == [
        ["3", "status", "tickets.status.enum", "Odd"],
        ["4", "status", "tickets.status.enum", "More"],
    ]
    correct(trip.out("messages"), "Odd", "open")
    correct(trip.out("messages"), "More", "open")
    ready = trip.judged(trip.out("messages"), table="messages")
    assert {job.ticket_id: [m.message_id for m in job.messages] for job in ready.parts.jobs()} == {
        "A": ["a", "b", "c"],
        "B": ["d"],
    }
    assert fates(ready) == []


def test_corrected_rows_have_the_time_format_of_the_file_that_they_came_from(
    migration: Migration, trip: Trip, tmp_path: Path
) -> None:
    header = "ticket_id,requester_email,created_at,opening_text"
    (tmp_path / "more.csv").write_text(
        f"{header}\n3,a@b.example,04/30/2024,x\n4,nobody,04/16/2024 10:00,x\n5,nobody,04/07/2024,x\n"
    )
    migration(
        tickets=f"{header}\n1,a@b.example,30/04/2024,x\n2,nobody,05/04/2024 10:00,x\n6,nobody,99/04/2024,x\n"
    )
    more = tmp_path / "more.csv"
    trip.judged(more)
    correct(trip.out(), ",nobody,", ",b@b.example,")
    correct(trip.out(), "99/04/2024", "2024-04-09 10:00")
    found = {job.ticket_id: str(job.created_at)[:10] for job in trip.judged(more, trip.out()).parts.jobs()}
    assert found == {
        "1": "2024-04-30", "2": "2024-04-05", "3": "2024-04-30", "4": "2024-04-16", "5": "2024-04-07",
        "6": "2024-04-09",
    }  # fmt: skip


def test_a_row_that_is_corrected_twice_keeps_its_number_too(migration: Migration, trip: Trip) -> None:
    header = "requester_email,channel,opening_text"
    migration(
        'tickets.columns.ticket_id = "row-{_row}"',
        tickets=f"{header}\na@b.example,email,x\nb@b.example,email,y\nnobody,telegram,z\n",
    )
    trip.judged()
    correct(trip.out(), ",nobody,telegram", ",nobody,email")
    trip.judged(trip.out())
    second = trip.out().with_name("tickets.2.csv")
    correct(second, ",nobody,email", ",c@b.example,email")
    ready = trip.judged(trip.out(), second)
    assert [key for key, _ in subjects(ready)] == ["row-1", "row-2", "row-3"]
    assert {rule for _, rule in fates(ready)} == {"corrected"}


def test_a_corrected_row_keeps_the_number_that_is_its_id(
    migration: Migration, trip: Trip, tmp_path: Path
) -> None:
    header = "subject,requester_email,channel,opening_text"
    (tmp_path / "more.csv").write_text(f"{header}\nthree,a@b.example,telegram,x\nfour,a@b.example,email,y\n")
    migration(
        'tickets.columns.ticket_id = "{_file}-{_row}"',
        tickets=f"{header}\none,a@b.example,email,x\ntwo,a@b.example,telegram,y\n",
    )
    more = tmp_path / "more.csv"
    first = trip.judged(more)
    assert subjects(first) == [("more.csv-2", "four"), ("tickets.csv-1", "one")]
    correct(trip.out(), "telegram", "email")
    assert subjects(trip.judged(more, trip.out())) == [
        ("more.csv-1", "three"),
        ("more.csv-2", "four"),
        ("tickets.csv-1", "one"),
        ("tickets.csv-2", "two"),
    ]


@pytest.mark.parametrize(
    ("short", "other"),
    [
        ("2,two,b@b.example", "ticket_id,extra,subject,requester_email,opening_text\n4,,x,nobody,y"),
        ("2,two", "ticket_id,extra,subject,requester_email,opening_text\n4,,x,nobody,y"),
        ("2,two,nobody,x", "opening_text,ticket_id,requester_email\nhello,4"),
    ],
)
def test_a_short_row_stays_broken_among_rows_of_files_with_other_headers(
    migration: Migration, trip: Trip, tmp_path: Path, short: str, other: str
) -> None:
    (tmp_path / "more.csv").write_text(f"{other}\n")
    migration(tickets=f"ticket_id,subject,requester_email,opening_text\n{short}\n1,one,a@b.example,hello\n")
    first = fates(trip.judged(tmp_path / "more.csv"))
    again = trip.judged(tmp_path / "more.csv", trip.out())
    assert sorted(rule for _, rule in first) == ["requester_email.format", "row.width"]
    assert [fate for fate in fates(again) if fate[0] == "rejected"] == first
    assert subjects(again) == [("1", "one")]


@pytest.mark.parametrize("row", ["hello,a@b.example", ",a@b.example,2", "hello,a@b.example,2,two,more"])
def test_a_row_with_a_broken_structure_is_not_corrected_by_saving_it_in_another_order(
    migration: Migration, trip: Trip, tmp_path: Path, row: str
) -> None:
    (tmp_path / "more.csv").write_text(f"opening_text,requester_email,ticket_id,subject\n{row}\n")
    bad, good = "2,two,nobody,hello", "1,one,a@b.example,hello"
    migration(tickets=f"ticket_id,subject,requester_email,opening_text\n{bad}\n{good}\n")
    first = fates(trip.judged(tmp_path / "more.csv"))
    found = read_rows(trip.out())
    width = max(map(len, found))
    with trip.out().open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([*row, *[""] * (width - len(row))] for row in found)
    again = trip.judged(tmp_path / "more.csv", trip.out())
    assert [fate for fate in fates(again) if fate[0] == "rejected"] == first
    assert subjects(again) == [("1", "one")]


def test_a_row_with_a_broken_structure_is_not_corrected_by_saving_it_twice(
    migration: Migration, trip: Trip
) -> None:
    migration(tickets=f"{HEADER}\n2,two\n{GOOD}\n")
    first = fates(trip.judged())
    read_from = []
    for number in (1, 2, 3):
        path = trip.out("tickets" if number == 1 else f"tickets.{number}")
        found = read_rows(path)
        width = max(map(len, found))
        with path.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([*row, *[""] * (width - len(row))] for row in found)
        read_from.append(path)
        again = trip.judged(*read_from)
        assert [fate for fate in fates(again) if fate[0] == "rejected"] == first
        assert subjects(again) == [("1", "one")]


def test_a_row_that_is_emptied_among_the_rejects_is_removed(migration: Migration, trip: Trip) -> None:
    migration(tickets=f"{HEADER}\n{GOOD}\n{GOOD}\n{BAD}\n")
    trip.judged()
    found = read_rows(trip.out())
    width = len(REASON_COLUMNS)
    kept = [found[0], found[1], [*found[2][:width], *[" "] * (len(found[0]) - width)], found[3]]
    with trip.out().open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(kept)
    again = trip.judged(trip.out())
    assert subjects(again) == [("1", "one")]
    assert fates(again) == [
        ("filtered", "corrected"), ("filtered", "corrected"), ("filtered", "corrected"),
        ("filtered", "removed"), ("rejected", "channel.enum"),
    ]  # fmt: skip


def test_a_row_with_a_broken_structure_is_accepted_when_its_rule_is_emptied(
    migration: Migration, trip: Trip
) -> None:
    migration(tickets=f"{HEADER}\n2,two,a@b.example\n{GOOD}\n")
    trip.judged()
    header, row = read_rows(trip.out())
    row[REASON_COLUMNS.index("_rule")] = ""
    with trip.out().open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([header, [*row, *[""] * (len(header) - len(row))]])
    again = trip.judged(trip.out())
    assert sorted(fates(again)) == [("filtered", "corrected"), ("filtered", "empty_ticket")]


def test_a_file_that_was_not_finished_does_not_exist(tmp_path: Path) -> None:
    def half() -> None:
        with writing(tmp_path / "out.csv") as out:
            out.write("begun")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        half()
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_file_is_not_executed_and_its_rows_are_replaced(
    trip: Trip, migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "=tickets.csv").write_text(f"{HEADER}\n{GOOD}\n{BAD}\n", "utf-8")
    migration('tickets.files = "=tickets.csv"')
    trip.judged()
    _, row = read_rows(trip.out())
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    corrected = trip.out().rename(tmp_path / "corrected.csv")
    correct(corrected, "telegram", "email")
    ready = trip.prepare(trip.path, source__tickets__files=["=tickets.csv", "corrected.csv"])
    assert subjects(ready) == [("1", "one"), ("2", "two")]
    assert fates(ready) == [("filtered", "corrected")]
