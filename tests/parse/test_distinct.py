"""Work on distinct cells only gives the same results as work on every cell."""

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from importer.parse import distinct as cells

many = settings(max_examples=200, derandomize=True, deadline=None)
# All blanks of Unicode, a character that looks like one, and visible characters.
characters = st.sampled_from(
    "\t\n\v\f\r \x1c\x85\u00a0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\u3001!aéあΩ🙂"
)
BLANKS = tuple("\t\n\v\f\r \x85\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000")
columns = st.lists(st.none() | st.lists(characters, max_size=4).map("".join), max_size=30)


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that columns of a few cells are sampled too."""
    monkeypatch.setattr(cells, "_SAMPLE", 4)


def series(column: list[str | None]) -> pl.Series:
    return pl.Series("cell", column, dtype=pl.String)


@many
@given(columns, st.integers(1, 5))
def test_stripped_cells_have_no_surrounding_blanks(column: list[str | None], times: int) -> None:
    column = column * times
    cell = pl.col("cell").str.strip_chars()
    wanted = series(column).to_frame().select(pl.when(cell != "").then(cell))["cell"]
    assert cells.strip_cells(series(column)).to_list() == wanted.to_list()


@many
@given(columns)
@example([*BLANKS, "a", "\u200b"])
def test_blank_texts_become_null_and_others_stay(column: list[str | None]) -> None:
    wanted = series(column).to_frame().select(pl.when(pl.col("cell").str.strip_chars() != "").then("cell"))
    assert cells.null_if_blank(series(column)).to_list() == wanted["cell"].to_list()


@many
@given(columns, st.integers(1, 5))
def test_a_test_of_distinct_cells_gives_the_result_for_every_cell(
    column: list[str | None], times: int
) -> None:
    column = column * times
    found = cells.test_distinct(series(column), lambda part: part.str.contains("a"))
    assert found.to_list() == [cell is not None and "a" in cell for cell in column]


def test_the_type_changes_also_where_all_cells_are_empty() -> None:
    sizes = cells.map_distinct(series([None] * 9), lambda part: part.str.len_bytes())
    assert (sizes.dtype, sizes.to_list()) == (pl.UInt32, [None] * 9)
