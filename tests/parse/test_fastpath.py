"""Rows are the same with the full and the fast evaluator."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from importer.migration import file as config
from importer.parse.addresses import ADDRESS, URL
from importer.parse.booleans import BOOLEAN
from importer.parse.fastpath import CellTransform, Evaluator, FastEvaluator, FullEvaluator
from importer.parse.instants import reading
from importer.parse.lists import LIST
from importer.parse.phones import phone
from importer.read.mapping import canonical as shape
from importer.read.scan import scan
from importer.read.table import Piece
from importer.tables.rules import _length
from importer.validate import batches, row_signals
from importer.validate.judge import judge_table

many = settings(max_examples=300, derandomize=True, deadline=None)
URL = URL
TIMES = ["2024-03-31T09:15:00Z", "2024-03-31 09:15:00", "2024-10-27 02:30:00", "2024-03-31 02:30:00"]
WORKS: dict[str, CellTransform] = {
    "tidy": shape._TIDY,
    "tidy body": shape._TIDY_BODY,
    "spelling": shape._spelling(["in_bound", "a"]),
    "address": ADDRESS,
    "phone": phone("DK"),
    "boolean": BOOLEAN,
    "list": LIST,
    "length": _length(3),
    "holes": row_signals._HOLES,
    "mojibake": row_signals._MOJIBAKE,
    "eaten id": row_signals._EATEN_ID,
    **{f"times like {cell} in Copenhagen": reading("Europe/Copenhagen", pl.Series([cell])) for cell in TIMES},
    "times with a zone": reading(None, pl.Series(TIMES[:1])),
    "times without a zone": reading(None, pl.Series(TIMES[1:])),
}
pieces = st.sampled_from(
    [
        *" \t\n\u00a0\u1680\u2003\u3000\u0085aéÆあ,;|[]{}<>'\"+-@.0123456789ITUZ:",
        "true", "False", "yes", "in_bound", "In-Bound", "a@b.example", "<a@b.example>", "mailto:", "http://x.y/z",
        "{{", "{{ name }}", "<%=", "Ã©", "â€™", "\ufffd", "1.0", "1e+5", "4.5E+12", "+4512345678", "12 34 56 78",
        *TIMES, "2024-02-30T00:00:00Z", "2024-03-31T09:15:00+02:00", "10000-01-01T00:00:00Z", "+024-03-31 09:15:00",
        "2024-03-31T24:00:00Z", "2024- 3-31 09:15:00", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z",
    ]
)  # fmt: skip
BLANKS = ("", *"\t\n\x0b\x0c\r \x85\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000")
cells = st.lists(st.none() | st.lists(pieces, max_size=3).map("".join), min_size=1, max_size=20)


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
@many
@given(cells)
@example([*BLANKS, *(f"{blank}a" for blank in BLANKS), *(f"a{blank}" for blank in BLANKS)])
def test_an_already_clean_cell_has_the_result_of_the_full_transform(
    work: CellTransform, column: list[str | None]
) -> None:
    frame = pl.DataFrame({"cell": column}, schema={"cell": pl.String})
    found = frame.select(
        already_clean=work.already_clean(pl.col("cell")).fill_null(value=False) | pl.col("cell").is_null(),
        value=work.passthrough(pl.col("cell")),
        exact=FullEvaluator().transform(pl.col("cell"), work),
    )
    assert found.schema["value"] == found.schema["exact"]
    already_clean = found.filter("already_clean")
    assert already_clean["value"].to_list() == already_clean["exact"].to_list()


@pytest.mark.parametrize("work", [work for name, work in WORKS.items() if "without a zone" not in name])
def test_some_cells_are_already_clean_and_some_are_not(work: CellTransform) -> None:
    """So that the tests of already clean cells are not about none."""
    shown = [
        "a",
        " a ",
        "",
        "In Bound",
        "<a@b.example>",
        "+4512345678",
        "true",
        "maybe",
        "a,b",
        "{{ a }}",
        "Ã©",
    ]
    frame = pl.DataFrame({"cell": [*shown, "1.0", "too long", *TIMES, "Tuesday"]})
    already_clean = frame.select(work.already_clean(pl.col("cell")).fill_null(value=False)).to_series()
    assert not already_clean.all()
    assert already_clean.any()


def test_times_without_a_zone_are_already_clean_where_one_is_set() -> None:
    work = reading("Europe/Copenhagen", pl.Series(TIMES[1:2]))
    already_clean = pl.DataFrame({"cell": TIMES}).select(work.already_clean(pl.col("cell"))).to_series()
    # A time with its own zone, a plain one, one that exists twice, one that does not exist.
    assert already_clean.to_list() == [False, True, False, False]


HEADERS = ("message_id", "ticket_id", "created_at", "author_email", "author_role", "public", "to_email", "text", "attachments")  # fmt: skip
nasty = st.lists(pieces, max_size=2).map("".join)
sound = {
    "message_id": st.integers(1, 99).map(str),
    "ticket_id": st.just("1"),
    "created_at": st.just(TIMES[0]) | st.sampled_from(TIMES),
    "author_email": st.just("a@b.example"),
    "author_role": st.sampled_from(["agent", "end_user", "Agent", "end user"]),
    "public": st.sampled_from(["true", "No", " No "]),
    "to_email": st.sampled_from(["", "c@d.example"]),
    "text": st.sampled_from(["hello", "skip me"]),
    "attachments": st.sampled_from(["", "https://x.example/a", "https://x.example/a https://x.example/b"]),
}


@st.composite
def rows(draw: st.DrawFn) -> tuple[str, ...]:
    """A row with at most one wrong cell: rows with more would hardly ever be plain."""
    row = [draw(sound[name]) for name in HEADERS]
    place = draw(st.integers(0, 2 * len(HEADERS)))
    if place < len(HEADERS):
        row[place] = draw(nasty)
    return tuple(row)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(rows(), min_size=1, max_size=25))
@example([("1", "1", " ", "a@b.example", "agent", "true", "", "hello", "")])
@example([HEADERS])
@example(
    [("1", "1", TIMES[0], "a@b.example", "agent", word, "", "hello", "") for word in (" yes", "no", "no")]
)
@example(
    [
        ("", "1", time, "", "", "", "", "", "")
        for time in (TIMES[0], "2024-03-31T\u00a09:5:00Z", "\t2024-03-31T9:05:00Z")
    ]
)
def test_a_table_is_the_same_with_both_evaluators(made: list[tuple[str, ...]]) -> None:
    frame = pl.DataFrame(made, schema=dict.fromkeys(HEADERS, pl.String), orient="row")
    both = [judged(frame, way) for way in (batches.judged_in_batches, _thorough_alone)]
    for one, other in zip(*both, strict=True):
        assert one.sort(one.columns).equals(other.sort(other.columns), null_equal=True)


def judged(frame: pl.DataFrame, way: Callable[..., pl.LazyFrame]) -> list[pl.DataFrame]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("importer.validate.judge.judged_in_batches", way)
        patch.setattr("importer.read.frames._ROWS", 7)
        patch.setattr(batches, "_OTHERS", 3)
        path = Path(folder) / "m.toml"
        frame.write_csv(path.with_name("messages.csv"))
        pl.DataFrame({"ticket_id": ["1"], "requester_email": ["a@b.example"]}).write_csv(
            path.with_name("tickets.csv")
        )
        path.write_text(MIGRATION)
        loaded = config.load_migration(path)
        table = scan(loaded.source, loaded.folder, Path(folder))["messages"]
        found = []
        for whole in (True, False):
            checked = judge_table(table, timezone="Europe/Copenhagen", workdir=Path(folder), whole=whole)
            authors = checked.good.join(
                checked.signatures, on="signature", how="left", suffix=" of signature"
            )
            found += [authors.drop("attachments", strict=False).collect(), checked.fates.collect()]
        return found


MIGRATION = """version = 1
name = "fastpath"
[source]
timezone = "Europe/Copenhagen"
[source.tickets]
files = ["tickets.csv"]
[source.messages]
files = ["messages.csv"]
skip = {text = ["skip me"]}
values = {public = {"No" = "false", "*" = "true"}}
[conversation]
endpoint = "a@b.example"
"""


def _thorough_alone(
    pieces: tuple[Piece, ...], judge: Callable[[pl.LazyFrame, Evaluator], pl.LazyFrame]
) -> pl.LazyFrame:
    evaluator = FullEvaluator()
    return pl.concat([judge(piece.read(piece.source, evaluator), evaluator) for piece in pieces])


def test_plain_rows_need_no_work() -> None:
    """Otherwise no row would use the fast path."""
    frame = pl.LazyFrame({"cell": ["a", " b", None, ""]})
    evaluator = FastEvaluator()
    value = evaluator.transform(pl.col("cell"), shape._TIDY)
    assert frame.select(value, *evaluator.plain()).collect().rows() == [
        ("a", True),
        (" b", False),
        (None, True),
        (None, True),
    ]


def test_a_row_is_blank_also_where_its_number_is_its_id(
    migration: Callable[..., Path], prepare: Callable[..., Any]
) -> None:
    path = migration(
        tickets="subject,requester_email\nhello,a@b.example\n,\nx,a@b.example\n",
        source='tickets.columns.ticket_id = "_row"\n',
    )
    ready = prepare(path)
    assert ready.tables["tickets"].fates.select("_record", "rule").collect().rows() == [(1, "blank_row")]


def test_a_file_without_known_columns_is_judged(
    migration: Callable[..., Path], prepare: Callable[..., Any]
) -> None:
    path = migration(
        tickets="foo,bar\n1,2\n3,4\n",
        source='tickets.defaults = {ticket_id = "1", requester_email = "a@b.example"}\n',
    )
    rules = prepare(path).tables["tickets"].fates.select("rule").collect()["rule"].to_list()
    assert rules == ["ticket_id.unique", "ticket_id.unique"]


def test_every_good_message_has_its_author_signature_also_after_rows_that_need_work(
    migration: Callable[..., Path], tmp_path: Path
) -> None:
    head = "message_id,ticket_id,author_email,public,text\n"
    pairs = (f"{2 * n},1,u{n}@b.example, yes,a\n{2 * n + 1},1,u{n}@b.example,no,b\n" for n in range(2_000))
    loaded = config.load_migration(migration(messages=head + "".join(pairs)))
    table = scan(loaded.source, loaded.folder, tmp_path)["messages"]
    checked = judge_table(table, timezone="UTC", workdir=tmp_path, whole=False)
    assert checked.signatures is not None
    public = checked.good.join(checked.signatures, on="signature", how="left").collect()["public"]
    assert (public.sum(), public.null_count(), len(public)) == (2_000, 0, 4_000)
