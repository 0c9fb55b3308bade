"""Parse ISO 8601 texts to instants in UTC, with a state for those that fail. Pure.

Most cells of a column have the same form: 19 characters of date and time, then one of a few fractions and
zones. These are parsed with a fixed format, which is several times faster than the pattern for all forms. The
pattern parses the others.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

import polars as pl

from importer.parse.fastpath import CellTransform

_FIXED, _FIXED_LENGTH = "%Y-%m-%dT%H:%M:%S", 19
_DIGITS = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
_ZONE = r"(?P<zone>Z|z|UTC|GMT|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?"
_FRACTION = r"(?P<fraction>[.,]\d{1,9})?"
_TAIL = rf"^{_FRACTION}\s*{_ZONE}$"
# Python's calendar ends with the year 9999; the last year is left as a margin for time zones.
_YEARS = (1, 9998)
# The commonest form is that of so many first cells.
_LOOKED_AT = 200
_FIRST, _LAST = map(datetime.fromisoformat, ("0001-01-01", "9998-12-31T23:59:59"))
_WHOLE = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    rf"(?:[T ]+(?P<clock>\d{{2}}:\d{{2}})(?P<seconds>:\d{{2}})?{_FRACTION})?\s*{_ZONE}$"
)


class InstantState(IntEnum):
    """The result for a cell: READ for an instant or an empty cell, NO_TIME for a text that is not a time,
    NO_INSTANT for a time whose zone is not known, or that does not exist in its zone because the clock goes
    forward."""

    READ = 0
    NO_TIME = 1
    NO_INSTANT = 2


DTYPE = pl.Struct({"at": pl.Datetime("us", "UTC"), "state": pl.UInt8, "twice": pl.Boolean})


def instants(cells: pl.Series, timezone: str | None) -> pl.Series:
    """`at`, `state` (InstantState) and `twice`, as structs: `twice` says that the clock of `timezone` shows
    this time twice, and `at` is the earlier one. `timezone` applies to times without a zone."""
    if (pattern := _pattern(cells, timezone)) is not None:
        cell = pl.col("cell")
        alike = (
            cells.alias("cell")
            .to_frame()
            .select(read=pattern.read(cell), all=(pattern.fits(cell) | cell.is_null()).all())
        )
        if alike["all"].all():
            return alike["read"].alias(cells.name)
    frame = _alike(cells)
    years = pl.col("naive").dt.year()
    in_reach = pl.when(years.is_between(*_YEARS)).then("naive")
    others = frame.filter(pl.col("naive").is_null() & pl.col("cell").is_not_null())
    if not others.is_empty():
        frame = frame.update(others.select("row", *_by_pattern()), on="row", maintain_order="left")
    frame = frame.with_columns(naive=in_reach)
    no_zone = pl.col("minutes").is_null()
    zoned = (pl.col("naive") - pl.duration(minutes="minutes")).dt.replace_time_zone("UTC")
    at: pl.Expr = pl.when(~no_zone).then(zoned)
    twice: pl.Expr = pl.lit(value=False)
    if timezone is not None and frame.select((no_zone & pl.col("naive").is_not_null()).any()).item():
        first, second = (_local(pl.col("naive"), timezone, which) for which in ("earliest", "latest"))
        at = pl.when(no_zone).then(first).otherwise(zoned)
        twice = (no_zone & (first != second)).fill_null(value=False)
    state = (
        pl.when(pl.col("cell").is_null() | pl.col("at").is_not_null())
        .then(InstantState.READ.value)
        .when(pl.col("naive").is_null())
        .then(InstantState.NO_TIME.value)
        .otherwise(InstantState.NO_INSTANT.value)
        .cast(pl.UInt8)
    )
    read = frame.with_columns(at=at, twice=twice).with_columns(state=state)
    return read.select(pl.struct("at", "state", "twice").alias(cells.name)).to_series()


def reading(timezone: str | None, examples: pl.Series) -> CellTransform:
    """The transform of a column to instants. Cells in the commonest form of the examples count as already
    clean."""
    pattern = _pattern(examples, timezone)

    def exact(cells: pl.Series) -> pl.Series:
        return instants(cells, timezone)

    if pattern is None:
        return CellTransform(exact, lambda cell: cell.is_null(), lambda _: _read(pl.lit(None)), DTYPE)
    return CellTransform(exact, pattern.fits, pattern.read, DTYPE)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The form in which most times of a column are written."""

    # The format for polars, with the tail.
    form: str
    # The text after date and time: a zone, or nothing.
    tail: str
    # The offset of the zone, in minutes east of Greenwich.
    minutes: int
    # The time zone of times without a zone.
    timezone: str | None = None

    def _naive(self, cell: pl.Expr) -> pl.Expr:
        return cell.str.to_datetime(self.form, strict=False, time_unit="us")

    def read(self, cell: pl.Expr) -> pl.Expr:
        naive = self._naive(cell)
        if self.timezone:
            at = _local(naive, self.timezone, "earliest")
        else:
            at = (naive - timedelta(minutes=self.minutes) if self.minutes else naive).dt.replace_time_zone(
                "UTC"
            )
        return _read(at)

    def fits(self, cell: pl.Expr) -> pl.Expr:
        """Whether a cell has this form, and its time exists exactly once in its zone."""
        naive = self._naive(cell)
        digits = _DIGITS.replace("[T ]", self.form[8])
        fits = cell.str.contains(f"^{digits}{re.escape(self.tail)}$") & naive.is_between(_FIRST, _LAST)
        if self.timezone:
            first, second = (_local(naive, self.timezone, which) for which in ("earliest", "latest"))
            fits &= (first == second).fill_null(value=False)
        return fits.fill_null(value=False)


def _read(at: pl.Expr) -> pl.Expr:
    state = pl.lit(InstantState.READ.value, pl.UInt8)
    return pl.struct(at.alias("at"), state.alias("state"), pl.lit(value=False).alias("twice")).cast(DTYPE)


def _pattern(cells: pl.Series, timezone: str | None) -> _Pattern | None:
    """The commonest form among the first cells; None where they have fractions, or are not times."""
    there = cells.drop_nulls().head(_LOOKED_AT)
    if there.is_empty():
        return None
    signs = there.str.slice(10, 1) + there.str.slice(_FIXED_LENGTH)
    example = there.filter(signs == signs.mode().sort()[0])[0]
    head, tail = example[:_FIXED_LENGTH], example[_FIXED_LENGTH:]
    form = (_FIXED.replace("T", " ") if head[10:11] == " " else _FIXED) + tail
    if not tail:
        return _Pattern(form, tail, 0, timezone) if timezone is not None else None
    minutes = pl.select(_minutes(pl.lit(tail).str.extract(f"^{_ZONE}$", 1))).item()
    return None if minutes is None else _Pattern(form, tail, minutes)


def _alike(cells: pl.Series) -> pl.DataFrame:
    """`row` and `cell`, and for cells that the fixed format reads `naive` (with its fraction) and the
    `minutes` of the zone."""
    cell = pl.col("cell")
    frame = cells.alias("cell").to_frame().with_row_index("row")
    head = cell.str.slice(0, _FIXED_LENGTH).str.replace(" ", "T", literal=True)
    naive = head.str.to_datetime(_FIXED, strict=False, time_unit="us")
    sound = cell.map_batches(lambda part: ~_odd(part), return_dtype=pl.Boolean, is_elementwise=True)
    frame = frame.with_columns(naive=pl.when(sound).then(naive), tail=cell.str.slice(_FIXED_LENGTH))
    part = pl.col("tail").str.extract_groups(_TAIL).struct
    tails = (
        frame.select(pl.col("tail").drop_nulls().unique())
        .filter(pl.col("tail").str.contains(_TAIL))
        .with_columns(micros=_micros(part.field("fraction")), minutes=_minutes(part.field("zone")))
    )
    joined = frame.join(tails, on="tail", how="left", maintain_order="left")
    return joined.select("row", "cell", "minutes", naive=pl.col("naive") + pl.duration(microseconds="micros"))


def _odd(cells: pl.Series) -> pl.Series:
    """Cells that the fixed format would accept by mistake, such as cells with blanks for digits."""
    return ~cells.str.contains(f"^{_DIGITS}")


def _by_pattern() -> list[pl.Expr]:
    part = pl.col("cell").str.extract_groups(_WHOLE).struct
    text = pl.concat_str(
        part.field("date"),
        pl.lit("T"),
        part.field("clock").fill_null("00:00"),
        part.field("seconds").fill_null(":00"),
    )
    naive = text.str.to_datetime(_FIXED, strict=False, time_unit="us")
    return [
        (naive + pl.duration(microseconds=_micros(part.field("fraction")))).alias("naive"),
        _minutes(part.field("zone")).alias("minutes"),
    ]


def _micros(fraction: pl.Expr) -> pl.Expr:
    digits = fraction.str.slice(1).str.pad_end(6, "0").str.slice(0, 6).fill_null("0")
    return digits.cast(pl.Int64, strict=False)


def _minutes(zone: pl.Expr) -> pl.Expr:
    """The offset in minutes east of Greenwich; null without a zone."""
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    digits = zone.str.replace_all(r"[^0-9]", "")
    hours, minutes = (digits.str.slice(n, 2).cast(pl.Int64, strict=False).fill_null(0) for n in (0, 2))
    return pl.when(zone.is_not_null()).then(sign * (hours * 60 + minutes))


def _local(naive: pl.Expr, timezone: str, which: str) -> pl.Expr:
    local = naive.dt.replace_time_zone(timezone, ambiguous=which, non_existent="null")  # type: ignore[arg-type]
    return local.dt.convert_time_zone("UTC")
