"""Work that is done on the different cells alone says the same as work on every cell."""

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from importer.parse import distinct as cells

many = settings(max_examples=200, derandomize=True, deadline=None)
# Every blank of Unicode, what looks like one, and what is none.
signs = st.sampled_from(
    "\t\n\v\f\r \x1c\x85\u00a0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\u3001!aéあΩ🙂"
)
BLANKS = tuple("\t\n\v\f\r \x85\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000")
columns = st.lists(st.none() | st.lists(signs, max_size=4).map("".join), max_size=30)


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that columns of a few cells are told apart by their beginning too."""
    monkeypatch.setattr(cells, "_SAMPLE", 4)


def series(column: list[str | None]) -> pl.Series:
    return pl.Series("cell", column, dtype=pl.String)


@many
@given(columns, st.integers(1, 5))
def test_tidied_cells_have_no_blanks_at_their_edges(column: list[str | None], times: int) -> None:
    column = column * times
    cell = pl.col("cell").str.strip_chars()
    wanted = series(column).to_frame().select(pl.when(cell != "").then(cell))["cell"]
    assert cells.strip_cells(series(column)).to_list() == wanted.to_list()


@many
@given(columns)
@example([*BLANKS, "a", "\u200b"])
def test_texts_of_blanks_alone_are_nothing_and_others_stay(column: list[str | None]) -> None:
    wanted = series(column).to_frame().select(pl.when(pl.col("cell").str.strip_chars() != "").then("cell"))
    assert cells.null_if_blank(series(column)).to_list() == wanted["cell"].to_list()


@many
@given(columns, st.integers(1, 5))
def test_hits_are_those_of_the_test_on_every_cell(column: list[str | None], times: int) -> None:
    column = column * times
    found = cells.test_distinct(series(column), lambda part: part.str.contains("a"))
    assert found.to_list() == [cell is not None and "a" in cell for cell in column]


def test_a_change_of_type_is_made_where_all_cells_are_empty_too() -> None:
    sizes = cells.map_distinct(series([None] * 9), lambda part: part.str.len_bytes())
    assert (sizes.dtype, sizes.to_list()) == (pl.UInt32, [None] * 9)
