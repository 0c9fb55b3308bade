"""Times in the formats of exports, and their instants."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_zone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.errors import SourceError
from importer.migration import file as config
from importer.parse.instants import InstantState, instants
from importer.parse.time_formats import Decision, Form, decide, to_iso
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.scan import scan
from importer.read.table import Scanned
from importer.relate import warnings as damage

Migration = Callable[..., Path]
DMY, MDY, YMD = Form.DMY, Form.MDY, Form.YMD


def read_as(form: Form, *cells: str | None) -> list[str | None]:
    """The instants of cells in this format, in UTC; None for cells in another one."""
    iso = pl.Series("c", cells, dtype=pl.String).to_frame().select(to_iso(pl.col("c"), form)).to_series()
    return told(iso, "UTC")


def told(cells: pl.Series, timezone: str | None) -> list[str | None]:
    at = instants(cells, timezone).struct.field("at")
    return at.dt.to_string("%Y-%m-%dT%H:%M:%S%.f").to_list()


def form(*cells: str) -> Form:
    return decide(cells).form


# -- ISO 8601


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-03-31T09:15:00Z", "2024-03-31T09:15:00"),
        ("2024-03-31T09:15:00z", "2024-03-31T09:15:00"),
        ("2024-03-31 09:15:00 UTC", "2024-03-31T09:15:00"),
        ("2024-03-31 09:15:00 GMT", "2024-03-31T09:15:00"),
        ("2024-03-31T09:15:00+05:30", "2024-03-31T03:45:00"),
        ("2024-03-31 09:15:00+0545", "2024-03-31T03:30:00"),
        ("2024-03-31 09:15:00 -0330", "2024-03-31T12:45:00"),
        ("2024-03-31T09:15+02", "2024-03-31T07:15:00"),
        ("2024-03-31T00:15:00+02:00", "2024-03-30T22:15:00"),
        ("2024-03-31T09:15:00.25+00:00", "2024-03-31T09:15:00.250"),
        ("2024-03-31T09:15:00.123456789Z", "2024-03-31T09:15:00.123456"),
        ("2024-03-31 09:15:00,5Z", "2024-03-31T09:15:00.500"),
        ("2024-03-31 09:15", "2024-03-31T09:15:00"),
        ("2024-03-31", "2024-03-31T00:00:00"),
    ],
)
def test_iso_8601_in_all_its_spellings(cell: str, expected: str) -> None:
    assert form(cell) is Form.ISO
    assert read_as(Form.ISO, cell) == [expected]


@pytest.mark.parametrize(
    "cell",
    [
        "2024-02-30",
        "2024-13-01T00:00:00Z",
        "2024-01-01T24:00:00",
        "2024-01-01T10:00:00 Mars",
        "soon",
        "20240101",
    ],
)
def test_a_text_that_is_not_a_time_has_no_instant(cell: str) -> None:
    (found,) = instants(pl.Series([cell]), "UTC")
    assert (found["at"], found["state"]) == (None, InstantState.NO_TIME)


def test_a_time_with_an_impossible_zone_has_no_instant() -> None:
    assert read_as(Form.ISO, "2024-01-01T00:00:00+99:99") == [None]


@pytest.mark.parametrize("cell", ["2024-01-01 00: 0:00", "+2024-01-01T00:00:0"])
def test_a_cell_of_the_right_length_is_not_yet_a_time(cell: str) -> None:
    assert read_as(Form.ISO, cell) == [None]


@pytest.mark.parametrize("cell", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-05:00"])
def test_a_ticket_with_an_extreme_year_is_rejected_or_planned(
    migration: Migration, prepare, cell: str
) -> None:
    path = migration(
        tickets=f"ticket_id,subject,requester_email,created_at,opening_text\n1,a,a@b.example,{cell},hello\n"
    )
    ready = prepare(path)
    planned = len(list(ready.parts.jobs()))
    assert planned + ready.books["tickets"].places["rejected"] == 1


# -- numbers


@pytest.mark.parametrize(
    ("cells", "expected", "times"),
    [
        (("1719741240", "1719741241"), Form.EPOCH_S, ["2024-06-30T09:54:00", "2024-06-30T09:54:01"]),
        (("1719741240123",), Form.EPOCH_MS, ["2024-06-30T09:54:00.123"]),
        (("1719741240123456",), Form.EPOCH_US, ["2024-06-30T09:54:00.123456"]),
        (("45838,4125", "45838"), Form.EXCEL, ["2025-06-30T09:54:00", "2025-06-30T00:00:00"]),
        (("45838.4125", "45838", "45838.99999"), Form.EXCEL, [
            "2025-06-30T09:54:00", "2025-06-30T00:00:00", "2025-06-30T23:59:59"]),
    ],
)  # fmt: skip
def test_the_format_of_numbers_is_decided_by_their_size(
    cells: tuple[str, ...], expected: Form, times: list[str]
) -> None:
    assert decide(cells) == Decision(expected, len(cells), len(cells))
    assert read_as(expected, *cells) == times


def test_an_epoch_is_in_utc_and_a_spreadsheet_s_day_has_no_zone() -> None:
    cells = pl.DataFrame({"c": ["1719741240"], "e": ["45838.5"]})
    epoch = cells.select(to_iso(pl.col("c"), Form.EPOCH_S)).to_series()
    excel = cells.select(to_iso(pl.col("e"), Form.EXCEL)).to_series()
    assert told(epoch, "America/New_York") == ["2024-06-30T09:54:00"]
    assert told(excel, "America/New_York") == ["2025-06-30T16:00:00"]
    assert told(epoch, None) == ["2024-06-30T09:54:00"]
    assert told(excel, None) == [None]


def test_a_short_number_within_a_column_of_epochs_is_one_too() -> None:
    assert form("999999999", "1719741240", "1719741241") is Form.EPOCH_S
    assert read_as(Form.EPOCH_S, "999999999", "0", "-5") == [
        "2001-09-09T01:46:39", "1970-01-01T00:00:00", "1969-12-31T23:59:55",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["12345", "99999", "123456789012"])
def test_a_number_of_another_size_is_not_a_time(cell: str) -> None:
    assert decide([cell]) == Decision(Form.ISO, 0, 1)


# -- months with their names


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("30/Jun/25 9:54 AM", "2025-06-30T09:54:00"),
        ("30/Jun/25 12:05 AM", "2025-06-30T00:05:00"),
        ("30/Jun/25 12:05 PM", "2025-06-30T12:05:00"),
        ("30-Jun-2025 21:54:03", "2025-06-30T21:54:03"),
        ("June 30, 2025 9:54 p.m.", "2025-06-30T21:54:00"),
        ("Jun 3rd, 2025", "2025-06-03T00:00:00"),
        ("3rd June 2025", "2025-06-03T00:00:00"),
        ("Mon, 30 Jun 2025 09:54:00 +0200", "2025-06-30T07:54:00"),
        ("Monday, June 30, 2025 at 9:54 AM", "2025-06-30T09:54:00"),
        # Danish, Swedish, Norwegian
        ("30. marts 2025 kl. 9.54", "2025-03-30T09:54:00"),
        ("5. maj 2025 09.54", "2025-05-05T09:54:00"),
        ("5 augusti 2025 09:54", "2025-08-05T09:54:00"),
        ("5. desember 2025", "2025-12-05T00:00:00"),
        # German
        ("30. März 2025 um 09:54", "2025-03-30T09:54:00"),
        ("Mo, 30. Juni 2025 09:54", "2025-06-30T09:54:00"),
        ("30. Dez. 2025", "2025-12-30T00:00:00"),
        # French
        ("1 août 2025 à 09:54", "2025-08-01T09:54:00"),
        ("15 févr. 2024 9h54", "2024-02-15T09:54:00"),
        ("1 DÉCEMBRE 2024", "2024-12-01T00:00:00"),
        # Spanish, Portuguese
        ("30 de junio de 2025 9:54", "2025-06-30T09:54:00"),
        ("1 de ene de 2025", "2025-01-01T00:00:00"),
        ("30 de março de 2025 09:54", "2025-03-30T09:54:00"),
        ("30/dez/2025", "2025-12-30T00:00:00"),
        # Italian, Dutch
        ("30-giu-2025 09:54", "2025-06-30T09:54:00"),
        ("2 gennaio 2025", "2025-01-02T00:00:00"),
        ("3 mrt. 2025", "2025-03-03T00:00:00"),
        ("30 maart 2025 09:54", "2025-03-30T09:54:00"),
        # Finnish, Polish, Czech
        ("3. syyskuuta 2025", "2025-09-03T00:00:00"),
        ("3 września 2025", "2025-09-03T00:00:00"),
        ("3. března 2025", "2025-03-03T00:00:00"),
    ],
)  # fmt: skip
def test_months_have_names_in_many_languages(cell: str, expected: str) -> None:
    assert read_as(Form.NAMED, cell) == [expected]
    assert form(cell) is Form.NAMED


def test_a_column_may_mix_languages_and_orders_of_named_months() -> None:
    cells = ["30 Jun 2025", "June 30, 2025 1:00 PM", "30. juni 2025 kl. 14.00"]
    assert decide(cells) == Decision(Form.NAMED, 3, 3)
    assert read_as(Form.NAMED, *cells) == [
        "2025-06-30T00:00:00",
        "2025-06-30T13:00:00",
        "2025-06-30T14:00:00",
    ]


def test_a_date_with_an_unknown_month_has_no_instant() -> None:
    assert read_as(Form.NAMED, "30/Foo/25 9:54 AM", "31/Jun/25 9:54 AM") == [None, None]


def test_a_stray_cell_among_jira_s_times_does_not_matter(migration: Migration) -> None:
    path = migration(tickets="ticket_id,created_at\n1,30/Jun/25 9:54 AM\n2,soon\n")
    assert created(path) == ["2025-06-30T09:54:00", "soon"]


# -- day and month


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["04/08/2025", "25/08/2025 10:00"], Decision(DMY, 2, 2, ("25/08/2025 10:00",))),
        (["04/08/2025", "08/25/2025 1:00 PM"], Decision(MDY, 2, 2, ("08/25/2025 1:00 PM",))),
        (["04-08-2015", "05-08-2015"], Decision(DMY, 2, 2, unclear=(DMY, MDY))),
        (["2025/08/04", "2025/12/25 10:00"], Decision(YMD, 2, 2)),
        # A single error does not decide the order; two orders side by side are two exports.
        (["13/01/2024"] * 11 + ["01/15/2024"], Decision(DMY, 12, 12, ("13/01/2024",), contrary=1)),
        (["01/13/2024"] * 11 + ["15/01/2024"], Decision(MDY, 12, 12, ("01/13/2024",), contrary=1)),
        (
            ["13/01/2024", "14/01/2024", "01/15/2024"],
            Decision(DMY, 3, 3, ("13/01/2024", "01/15/2024"), contrary=1, unclear=(DMY, MDY)),
        ),
        # With two digits the year may come first too; days cover all of a month, and years do not.
        (["04-08-15", "05-08-15"], Decision(DMY, 2, 2, unclear=(DMY, MDY, YMD))),
        (["24/01/05", "24/12/09"], Decision(DMY, 2, 2, unclear=(DMY, YMD))),
        (["01/24/05", "12/24/09"], Decision(MDY, 2, 2, ("01/24/05",))),
        (["24/01/05", "24/12/31"], Decision(YMD, 2, 2, ("24/01/05", "24/12/31"))),
        (["04.08.25", "31.08.25"], Decision(DMY, 2, 2, ("31.08.25",))),
        (["05/01/99", "31/12/98"], Decision(DMY, 2, 2, ("31/12/98",))),
        (["99/01/05", "98/12/31"], Decision(YMD, 2, 2, ("99/01/05",))),
        (["00/00/00", "31/08/99", "02/08/98"], Decision(DMY, 3, 3, ("31/08/99",))),
        (["01/13/24", "12/31/24"], Decision(MDY, 2, 2, ("01/13/24",))),
        (["02.08.25", "31.08.24", "17.01.25"], Decision(DMY, 3, 3, ("31.08.24",))),
        (["25-08-02", "24-08-31", "25-01-17"], Decision(YMD, 3, 3, ("25-08-02", "24-08-31"))),
        (
            ["05/01/99", "99/01/05"],
            Decision(DMY, 2, 2, ("05/01/99", "99/01/05"), contrary=1, unclear=(DMY, MDY, YMD)),
        ),
    ],
)
def test_the_order_of_day_and_month_is_decided_by_cells_that_fit_only_one(
    cells: list[str], expected: Decision
) -> None:
    assert decide(cells) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Form.DMY, ["2015-08-04T00:00:00", "2015-08-25T13:30:05", None]),
        (Form.MDY, ["2015-04-08T00:00:00", None, "2015-08-25T00:00:00"]),
    ],
)
def test_all_cells_of_a_column_are_read_in_one_order(order: Form, expected: list[str | None]) -> None:
    assert read_as(order, "04-08-15", "25/08/2015 1:30:05 PM", "08.25.2015") == expected


def test_years_of_two_digits_are_of_this_century_up_to_68() -> None:
    assert read_as(Form.DMY, "31/12/68", "31/12/69") == ["2068-12-31T00:00:00", "1969-12-31T00:00:00"]


def test_a_cell_in_another_format_stays_unchanged() -> None:
    for each in Form:
        frame = pl.DataFrame({"c": ["soon", None]}).select(to_iso(pl.col("c"), each))
        assert frame.to_series().to_list() == ["soon", None], each


def test_the_format_of_most_cells_is_that_of_the_column() -> None:
    assert form("1719741240", "1719741241", "30/06/2025") is Form.EPOCH_S
    assert form("30/06/2025", "29/06/2025", "1719741240") is Form.DMY
    assert form("2025-06-30", "29/06/2025") is Form.ISO
    assert decide([]) == Decision(Form.ISO, 0, 0)


# -- through a migration file


def scanned(path: Path) -> dict[str, Scanned]:
    loaded = config.load_migration(path)
    return {name: found.table for name, found in scan(loaded.source, loaded.folder, path.parent).items()}


def created(path: Path, *columns: str) -> list[Any]:
    frame = scanned(path)["tickets"].frame.select(columns or ("created_at",)).collect()
    return frame.to_series().to_list() if len(columns) < 2 else frame.rows()


def test_an_ambiguous_order_is_refused_with_both_choices(migration: Migration) -> None:
    path = migration(tickets="ticket_id,Created\n1,04/08/2015\n2,05/08/2015\n", source=COLUMN)
    with pytest.raises(SourceError) as caught:
        created(path)
    text = str(caught.value)
    assert "no cell of 'Created' shows whether day or month comes first (2 are ambiguous)" in text
    assert "; set source.tickets.times.created_at = 'dmy' or 'mdy'" in text
    assert "tickets.csv" in text


COLUMN = 'tickets.columns = { created_at = "Created" }'


@pytest.mark.parametrize(("order", "month"), [("dmy", "08-04"), ("mdy", "04-08")])
def test_an_ambiguous_order_can_be_set(migration: Migration, order: str, month: str) -> None:
    path = migration(
        f'{COLUMN}\ntickets.times.created_at = "{order}"', tickets="ticket_id,Created\n1,04/08/2015\n"
    )
    assert created(path) == [f"2015-{month}T00:00:00"]


def test_an_order_that_only_a_late_row_shows_holds_for_all(migration: Migration) -> None:
    lines = ["ticket_id,created_at", *(f"{n},{n % 12 + 1:02}/05/2015" for n in range(30_000)), "x,05/31/2015"]
    path = migration(tickets="\n".join(lines) + "\n")
    found = created(path)
    assert (found[0], found[1], found[-1]) == (
        "2015-01-05T00:00:00",
        "2015-02-05T00:00:00",
        "2015-05-31T00:00:00",
    )


def test_the_files_of_a_table_are_decided_together(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("ticket_id,created_at\n1,04/08/2015\n")
    (tmp_path / "2.csv").write_text("ticket_id,created_at\n2,31/08/2015\n")
    path = migration('tickets.files = ["1.csv", "2.csv"]')
    assert created(path) == ["2015-08-04T00:00:00", "2015-08-31T00:00:00"]


def test_an_ambiguous_column_takes_the_order_of_another_column(migration: Migration) -> None:
    path = migration(tickets="ticket_id,created_at,closed_at\n1,04/08/2015,08/25/2015\n2,05/08/2015,\n")
    assert created(path, "created_at", "closed_at") == [
        ("2015-04-08T00:00:00", "2015-08-25T00:00:00"),
        ("2015-05-08T00:00:00", None),
    ]


def test_columns_that_contradict_each_other_decide_nothing_for_a_third(migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,created_at,updated_at,closed_at\n1,04/08/2015,08/25/2015,25/08/2015\n"
    )
    with pytest.raises(SourceError, match="no cell of 'created_at' shows"):
        created(path)


def test_the_order_of_another_table_decides_nothing(migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,created_at\n1,25/08/2015\n", messages="ticket_id,created_at,text\n1,04/08/2015,a\n"
    )
    with pytest.raises(SourceError, match="source.messages.times.created_at"):
        created(path)


def test_a_decision_is_noted_with_an_example(migration: Migration) -> None:
    days = [f"{n},{n}/01/2024" for n in range(13, 27)]
    path = migration(tickets="\n".join(["ticket_id,created_at", *days, "3,01/15/2024", ""]))
    (origin,) = scanned(path)["tickets"].origins
    assert origin.notes == (
        "created_at of tickets: time format: day before month (shown by '13/01/2024'; 15 of 15 distinct values "
        "match)",
        "created_at of tickets: 1 of these only fit another order and are not converted; check how they were "
        "exported",
    )


def test_a_time_in_the_other_order_is_rejected_and_not_converted(migration: Migration, prepare) -> None:
    days = [f"{n},a,a@b.example,{n}/01/2024,hi" for n in range(13, 27)]
    path = migration(
        tickets="\n".join(
            [
                "ticket_id,subject,requester_email,created_at,opening_text",
                *days,
                "3,c,a@b.example,01/15/2024,hi",
                "",
            ]
        )
    )
    fates = prepare(path).related.fates["tickets"].select("ticket_id", "state", "rule").collect().rows()
    assert fates == [("3", "rejected", "created_at.type")]


def test_a_column_that_mixes_two_orders_is_refused_with_one_of_each(migration: Migration) -> None:
    path = migration(tickets="ticket_id,created_at\n1,13/01/2024\n2,14/01/2024\n3,01/15/2024\n")
    with pytest.raises(
        SourceError, match="in two orders: '13/01/2024' and '01/15/2024'; change them to one order"
    ):
        created(path)


def test_files_that_show_opposite_orders_are_each_read_in_their_own(
    migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "1.csv").write_text("ticket_id,created_at\n1,04/08/2015\n2,31/08/2015\n")
    (tmp_path / "2.csv").write_text("ticket_id,created_at\n3,04/08/2015\n4,08/31/2015\n")
    path = migration('tickets.files = ["1.csv", "2.csv"]')
    assert created(path) == [f"2015-{day}T00:00:00" for day in ("08-04", "08-31", "04-08", "08-31")]
    other = "created_at of tickets: another file or column has day and month in the other order"
    assert [origin.notes[-1] for origin in scanned(path)["tickets"].origins] == [other, other]
    (tmp_path / "3.csv").write_text("ticket_id,created_at,closed_at\n5,04/08/2015,08/31/2015\n")
    path = migration('tickets.files = ["1.csv", "2.csv", "3.csv"]')
    assert created(path)[-1] == "2015-04-08T00:00:00"
    (tmp_path / "3.csv").write_text("ticket_id,created_at\n5,04/08/2015\n")
    path = migration('tickets.files = ["1.csv", "2.csv", "3.csv"]')
    with pytest.raises(SourceError, match=r"3\.csv: no cell of 'created_at' shows"):
        created(path)


def test_rejects_are_read_in_the_order_of_their_export(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("ticket_id,created_at\n1,04/08/2015\n2,31/08/2015\n")
    reasons = ",".join(REASON_COLUMNS)
    (tmp_path / "r.csv").write_text(f"{reasons},ticket_id,created_at\n,,,,,,3,08/31/2015\n")
    path = migration('tickets.files = ["1.csv", "r.csv"]')
    assert created(path)[2] == "2015-31-08T00:00:00"


@pytest.mark.parametrize("short", ["2024-04-03 9:05", "2024-4-3 09:05", "2024-4-3T09:05:00"])
def test_hours_and_days_of_one_digit_are_read_beside_those_of_two(migration: Migration, short: str) -> None:
    lines = ["ticket_id,created_at", "1,2024-04-03 12:00:00.5+02:00", "2,2024-04-03", "3,2024-04-03T12:00Z"]
    path = migration(tickets="\n".join([*lines, f"4,{short}", ""]))
    assert created(path) == [
        "2024-04-03T12:00:00.5+02:00",
        "2024-04-03T00:00:00",
        "2024-04-03T12:00:00Z",
        "2024-04-03T09:05:00",
    ]


# -- the clock of a zone

ZONE = "Europe/Copenhagen"
ROW = "ticket_id,subject,requester_email,created_at,opening_text"


def test_a_time_that_the_clock_skips_is_rejected(migration: Migration, prepare) -> None:
    gap, sound = "1,a,a@b.example,2024-03-31 02:30:00,hi", "2,b,a@b.example,2024-03-31 03:30:00,hi"
    ready = prepare(migration(timezone=ZONE, tickets=f"{ROW}\n{gap}\n{sound}\n"))
    fates = ready.related.fates["tickets"].select("ticket_id", "state", "rule").collect().rows()
    assert fates == [("1", "rejected", "created_at.timezone")]
    assert ready.tables["tickets"].rules["created_at.timezone"].message == (
        "does not exist in Europe/Copenhagen, because the clock goes forward then"
    )
    assert ready.parts.tickets == 1


def test_a_time_that_the_clock_shows_twice_is_the_earlier_and_counted(migration: Migration, prepare) -> None:
    lines = [
        f"{n},a,a@b.example,{time},hi"
        for n, time in enumerate(
            ["2024-10-27 01:59:59", "2024-10-27 02:00:00", "2024-10-27 02:30", "2024-10-27 02:30:00+01:00",
             "2024-10-27 03:00:00"]
        )
    ]  # fmt: skip
    ready = prepare(migration(timezone=ZONE, tickets="\n".join([ROW, *lines]) + "\n"))
    good = ready.tables["tickets"].good.sort("ticket_id").collect()
    assert good["created_at"].dt.strftime("%dT%H:%M").to_list() == [
        "26T23:59", "27T00:00", "27T00:30", "27T01:30", "27T02:00",
    ]  # fmt: skip
    found = damage.findings(
        ready.tables, ready.related, now=datetime(2025, 1, 1, tzinfo=UTC), timezone=ZONE, opening="always"
    )
    (twice,) = [finding for finding in found if finding.name == "repeated_times"]
    assert (twice.table, twice.count, twice.total) == ("tickets", 2, 5)
    assert [place.record for place in twice.places] == [1, 2]


def test_a_time_without_a_zone_needs_one(migration: Migration, prepare) -> None:
    ready = prepare(
        migration(
            timezone=None,
            tickets=f"{ROW}\n1,a,a@b.example,2024-03-31 09:15:00,hi\n2,b,a@b.example,2024-03-31T09:15:00Z,hi\n",
        )
    )
    assert ready.related.fates["tickets"].select("ticket_id", "rule").collect().rows() == [
        ("1", "created_at.timezone")
    ]


# -- fixed formats and the general pattern


_NAIVE = st.one_of(
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001
    st.sampled_from(
        [
            datetime(2024, 3, 31, 2, 0),  # noqa: DTZ001
            datetime(2024, 3, 31, 2, 30, 59),  # noqa: DTZ001
            datetime(2024, 3, 31, 3, 0),  # noqa: DTZ001
            datetime(2024, 10, 27, 2, 0),  # noqa: DTZ001
            datetime(2024, 10, 27, 2, 30),  # noqa: DTZ001
            datetime(2024, 10, 27, 3, 0),  # noqa: DTZ001
        ]
    ),
)
_ZONES = {
    "": None,
    "Z": 0,
    "z": 0,
    "UTC": 0,
    " GMT": 0,
    "+02:00": 120,
    " -0330": -210,
    "+05": 300,
    "-00:30": -30,
}
_FRACTIONS = {"": 0, ".5": 500_000, ",123": 123_000, ".123456789": 123_456}
Found = tuple[datetime | None, int, bool]


def cell_of(at: datetime, zone: str, fraction: str, *, shape: str) -> tuple[str, Found]:
    """A cell, and the expected result by the standard library."""
    if shape == "date":
        at, fraction = at.replace(hour=0, minute=0, second=0), ""
    if shape == "minutes":
        at, fraction = at.replace(second=0), ""
    text = at.strftime(
        {"date": "%Y-%m-%d", "minutes": "%Y-%m-%d %H:%M"}.get(shape, f"%Y-%m-%d{shape}%H:%M:%S")
    )
    at += timedelta(microseconds=_FRACTIONS[fraction])
    return f"{text}{fraction}{zone}", by_standard_library(at, _ZONES[zone])


def by_standard_library(at: datetime, minutes: int | None) -> Found:
    if minutes is not None:
        return (
            at.replace(tzinfo=fixed_zone(timedelta(minutes=minutes))).astimezone(UTC),
            InstantState.READ,
            False,
        )
    first, second = (at.replace(tzinfo=ZoneInfo(ZONE), fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None) != at:
        return None, InstantState.NO_INSTANT, False
    return first, InstantState.READ, first != second


_CELLS = st.one_of(
    st.builds(
        cell_of,
        _NAIVE,
        st.sampled_from(sorted(_ZONES)),
        st.sampled_from(sorted(_FRACTIONS)),
        shape=st.sampled_from(["T", " ", "date", "minutes"]),
    ),
    st.sampled_from(["soon", "2024-02-30T00:00:00Z", "2024-01-01T25:00:00", "2024-01-01T00:00:00 X", "30/06/2025"]).map(
        lambda text: (text, (None, InstantState.NO_TIME, False))
    ),
    st.just((None, (None, InstantState.READ, False))),
)  # fmt: skip


def found_in(cells: Sequence[str | None], timezone: str | None = ZONE) -> list[Found]:
    read = instants(pl.Series("c", cells, dtype=pl.String), timezone).struct.unnest()
    return [(at, state, twice) for at, state, twice in read.select("at", "state", "twice").iter_rows()]


@settings(max_examples=150, deadline=None)
@given(st.lists(_CELLS, min_size=1, max_size=12))
def test_mixed_columns_are_read_cell_by_cell_as_the_standard_library_does(
    cells: list[tuple[str | None, Found]],
) -> None:
    assert found_in([text for text, _ in cells]) == [expected for _, expected in cells]


@settings(max_examples=25, deadline=None)
@given(st.lists(_CELLS, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_a_cell_has_the_same_instant_in_any_column(
    cells: list[tuple[str | None, Found]], random: Any
) -> None:
    texts = [text for text, _ in cells]
    alone = {text: found_in([text])[0] for text in texts}
    random.shuffle(texts)
    assert found_in(texts) == [alone[text] for text in texts]


@pytest.mark.parametrize("tail", sorted(_ZONES))
def test_a_uniform_column_is_read_like_a_mixed_one(tail: str) -> None:
    times = ["2024-06-30T09:54:00", "2024-10-27 02:30:00", "2024-03-31 02:30:00", "1999-12-31T23:59:59"]
    cells = [f"{time}{tail}" for time in times]
    assert found_in([*cells, None]) == found_in([*cells, None, "2024-06-30"])[:5]


def test_empty_cells_are_not_errors() -> None:
    assert found_in([None, None]) == [(None, InstantState.READ, False)] * 2
    assert found_in([]) == []
    assert found_in(["2024-06-30T09:54:00", None], None) == [
        (None, InstantState.NO_INSTANT, False),
        (None, InstantState.READ, False),
    ]
