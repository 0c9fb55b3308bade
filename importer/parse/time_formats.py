"""Convert times in the formats of exports to ISO 8601 text. Pure.

The format is decided for a complete column, never for a single cell: `04-08-15` means the same in all rows.
Where no cell shows whether day or month comes first, the column stays undecided.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

import polars as pl
from babel.dates import get_month_names
from polars.expr.struct import ExprStructNameSpace


class Form(StrEnum):
    """A format of times, by its name in the migration file."""

    ISO = "iso"
    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"
    NAMED = "named"
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"
    EXCEL = "excel"


ORDERS = (Form.DMY, Form.MDY)

# How messages describe the formats.
IN_WORDS = {
    Form.ISO: "ISO 8601",
    Form.DMY: "day before month",
    Form.MDY: "month before day",
    Form.YMD: "year, month, day",
    Form.NAMED: "dates with month names",
    Form.EPOCH_S: "seconds since 1970",
    Form.EPOCH_MS: "milliseconds since 1970",
    Form.EPOCH_US: "microseconds since 1970",
    Form.EXCEL: "day numbers of a spreadsheet",
}

# Languages of month names. A name that means different months in two of them is not used.
_LANGUAGES = ("en", "da", "sv", "nb", "de", "nl", "fr", "es", "pt", "it", "fi", "pl", "cs", "is")

_CLOCK = (
    r"(?:(?:,?\s+|T)(?:at\s+|à\s+|kl\.?\s+|um\s+)?(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})"
    r"(?:[:.](?P<second>\d{2}))?(?P<fraction>[.,]\d{1,9})?\s*(?P<half>[AaPp]\.?\s?[Mm]\.?)?"
    r"(?:\s*(?:Uhr|uur|hrs?|h|klo)\.?)?)?"
)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?(?:\s*UTC)?$"
_NUMERIC = r"^\s*(?P<a>\d{1,4})(?P<sign>[/.\-])(?P<b>\d{1,2})[/.\-](?P<c>\d{4}|\d{1,2})" + _CLOCK + _ZONE
_WEEKDAY = r"^\s*(?:\p{L}+\.?,?\s+)??"
_DAY, _MONTH, _YEAR = (
    r"(?P<day>\d{1,2})(?:\.|st|nd|rd|th|º)?",
    r"(?P<month>\p{L}{3,12})\.?",
    r"(?P<year>\d{4}|\d{2})",
)
_DAY_FIRST = (
    _WEEKDAY + _DAY + r"[\s/\-]*(?:de\s+)?" + _MONTH + r"[\s/\-,]*(?:de\s+)?" + _YEAR + _CLOCK + _ZONE
)
_MONTH_FIRST = _WEEKDAY + _MONTH + r"\s*" + _DAY + r",?\s+(?P<year>\d{4})" + _CLOCK + _ZONE
_ISO = r"^\s*\d{4}-\d{2}-\d{2}(?:[T ]+\d{2}:\d{2}|\s*$)"
_EPOCHS = {Form.EPOCH_S: 10, Form.EPOCH_MS: 13, Form.EPOCH_US: 16}
_PER_SECOND = {Form.EPOCH_S: 1, Form.EPOCH_MS: 1_000, Form.EPOCH_US: 1_000_000}
# Day numbers of the years 1954 to 2119; others are taken for plain numbers.
_EXCEL_DAYS = (20_000, 80_000)
_YEAR_FIRST = _NUMERIC.replace(r"\d{1,4}", r"\d{4}", 1)
_MONTHS, _DAYS = 12, 31
# More years than an export covers, and fewer than the days of a month.
_YEARS = 20
# A column has an order of day and month if more than this many cells show it for each that shows another
# order.
_SLIPS = 10
# Years of two digits from this one on are 19.., others 20.. (POSIX strptime, %y).
_CENTURY = 69


@dataclass(frozen=True, slots=True)
class Decision:
    """The format of a column of times."""

    form: Form
    # How many of the cells that were looked at have this format.
    matching: int
    looked_at: int
    # Examples of cells that only fit this order of day, month and year (of both orders, where they conflict).
    shown_by: tuple[str, ...] = ()
    # How many cells only fit another order.
    contrary: int = 0
    # The possible orders where the cells do not decide; empty where they do.
    unclear: tuple[Form, ...] = ()


def decide(cells: Sequence[str]) -> Decision:
    """The format of a column by its cells. Empty cells are ignored."""
    column = pl.Series("cell", cells, dtype=pl.String).drop_nulls()
    is_iso = column.str.contains(_ISO)
    iso = int(is_iso.sum())
    if iso * 2 >= len(column):
        # Hours or days of one digit are not ISO 8601. YMD reads both.
        short = int(column.filter(~is_iso).str.contains(_YEAR_FIRST).sum())
        return Decision(Form.YMD if short else Form.ISO, iso + short, len(column))
    counts = {
        form: int(column.str.contains(rf"^\d{{{size}}}(?:\.\d+)?$").sum()) for form, size in _EPOCHS.items()
    }
    number = column.str.extract(r"^(\d{5})(?:[.,]\d+)?$", 1).cast(pl.Int64, strict=False)
    counts[Form.EXCEL] = int(number.is_between(*_EXCEL_DAYS).sum())
    counts[Form.NAMED] = int(
        column.to_frame("cell").select(_named(pl.col("cell")).is_not_null().sum()).item()
    )
    form, count = max(counts.items(), key=lambda item: item[1])
    numeric = int(column.str.contains(_NUMERIC).sum())
    if numeric > count:
        return _order(column, numeric)
    if count <= iso:
        return Decision(Form.ISO, iso, len(column))
    return Decision(form, count, len(column))


def _order(column: pl.Series, numeric: int) -> Decision:
    """The order of year, month and day, by the cells that fit only one order."""
    parts = (
        column.to_frame("cell")
        .select("cell", part=pl.col("cell").str.extract_groups(_NUMERIC))
        .unnest("part")
        .drop_nulls("a")
        .select("cell", *(pl.col(n).cast(pl.Int64) for n in "abc"), first=pl.col("a"), last=pl.col("c"))
    )
    long = {n: int((parts[n].str.len_chars() == 4).sum()) * 2 > numeric for n in ("first", "last")}
    if long["first"]:
        return Decision(Form.YMD, numeric, len(column))
    day, month = (pl.col(name).is_between(_MONTHS + 1, _DAYS) for name in "ab")
    order = _between(parts, {Form.DMY: day, Form.MDY: month})
    if not long["last"]:
        year = _place_of_year(parts)
        if year.unclear:
            last = order.unclear or (order.form,)
            order = replace(year, form=order.form, unclear=(*last, Form.YMD))
        elif year.form is Form.YMD:
            order = year
    return replace(order, matching=numeric, looked_at=len(column))


def _place_of_year(parts: pl.DataFrame) -> Decision:
    """The position of the year where all parts have two digits: YMD if it comes first, else another form.
    Cells that fit only one order decide. Otherwise the part with many different values is the day, since no
    export covers as many years."""
    no_day = {name: ~pl.col(name).is_between(1, _DAYS) for name in "ac"}
    last = ~no_day["a"] & (no_day["c"] | (pl.col("b") > _MONTHS))
    shown = _between(parts, {Form.DMY: last, Form.YMD: no_day["a"] & ~no_day["c"]})
    if shown.shown_by or parts.is_empty():
        return shown
    ends = {name: parts.sort(name)["cell"].gather([0, -1]).to_list() for name in "ac"}
    apart = {name: parts.select(pl.col(name).max() - pl.col(name).min()).item() for name in "ac"}
    days = [name for name, width in apart.items() if width >= _YEARS]
    if len(days) != 1:
        return shown
    form = Form.DMY if days == ["a"] else Form.YMD
    return replace(shown, form=form, shown_by=tuple(ends[days[0]]), unclear=())


def _between(parts: pl.DataFrame, only: Mapping[Form, pl.Expr]) -> Decision:
    """One of two orders, by the cells that fit only that one. Few cells may fit only the other one, as
    errors."""
    cells = {form: parts.filter(proof)["cell"] for form, proof in only.items()}
    more = max(only, key=lambda form: len(cells[form]))
    (fewer,) = only.keys() - {more}
    shown = () if cells[more].is_empty() else (cells[more][0],)
    contrary = len(cells[fewer])
    if shown and contrary * _SLIPS < len(cells[more]):
        return Decision(more, 0, 0, shown, contrary)
    if contrary:
        shown = (*shown, cells[fewer][0])
    return Decision(more, 0, 0, shown, contrary, unclear=tuple(only))


def to_iso(cell: pl.Expr, form: Form) -> pl.Expr:
    """The cells in ISO 8601. Cells in another format stay unchanged."""
    if form is Form.ISO:
        return cell
    if form is Form.NAMED:
        return pl.coalesce(_named(cell), cell)
    if form is Form.EXCEL:
        number = cell.str.strip_chars().str.extract(r"^(\d{5}(?:[.,]\d+)?)$", 1).str.replace(",", ".")
        days = number.cast(pl.Float64, strict=False)
        at = pl.datetime(1899, 12, 30) + pl.duration(seconds=(days * 86_400).round())
        return pl.coalesce(at.dt.to_string("%Y-%m-%dT%H:%M:%S"), cell)
    if form in _EPOCHS:
        digits = cell.str.strip_chars().str.extract(r"^(-?\d+)(?:\.\d+)?$", 1).cast(pl.Int64, strict=False)
        fraction = cell.str.extract(r"\.(\d{1,6})", 1).str.pad_end(6, "0").cast(pl.Int64, strict=False)
        micros = digits * (1_000_000 // _PER_SECOND[form]) + fraction.fill_null(0) // _PER_SECOND[form]
        at = micros.cast(pl.Datetime("us"))
        return pl.coalesce(at.dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"), cell)
    return pl.coalesce(_numeric(cell, form), cell)


def _numeric(cell: pl.Expr, form: Form) -> pl.Expr:
    part = cell.str.extract_groups(_NUMERIC).struct
    year, month, day = {
        Form.DMY: ("c", "b", "a"),
        Form.MDY: ("c", "a", "b"),
        Form.YMD: ("a", "b", "c"),
    }[form]
    read = _iso(part, part.field(year), part.field(month), part.field(day))
    # A cell that begins with a year of four digits has the order YMD only.
    return read if form is Form.YMD else pl.when(part.field("a").str.len_chars() <= 2).then(read)


def _named(cell: pl.Expr) -> pl.Expr:
    def read(pattern: str) -> pl.Expr:
        part = cell.str.extract_groups(pattern).struct
        word = part.field("month").str.to_lowercase()
        month = word.replace_strict(_months(), default=None, return_dtype=pl.String)
        return _iso(part, part.field("year"), month, part.field("day"))

    return pl.coalesce(read(_DAY_FIRST), read(_MONTH_FIRST))


def _iso(part: ExprStructNameSpace, year: pl.Expr, month: pl.Expr, day: pl.Expr) -> pl.Expr:
    """The text in ISO 8601 from its parts; null where the date lacks one."""
    century = (
        pl.when(year.cast(pl.Int64, strict=False) >= _CENTURY).then(pl.lit("19")).otherwise(pl.lit("20"))
    )
    whole = pl.when(year.str.len_chars() == 2).then(pl.concat_str(century, year)).otherwise(year)
    half = part.field("half").str.to_lowercase().str.slice(0, 1)
    hour = part.field("hour").cast(pl.Int64, strict=False)
    of_day = (
        pl.when(half.is_null()).then(hour).otherwise(hour % 12 + pl.when(half == "p").then(12).otherwise(0))
    )
    zone = part.field("zone")
    return pl.concat_str(
        whole,
        pl.lit("-"),
        month.str.pad_start(2, "0"),
        pl.lit("-"),
        day.str.pad_start(2, "0"),
        pl.lit("T"),
        of_day.cast(pl.String).fill_null("00").str.pad_start(2, "0"),
        pl.lit(":"),
        part.field("minute").fill_null("00"),
        pl.lit(":"),
        part.field("second").fill_null("00"),
        part.field("fraction").fill_null(""),
        pl.when(zone.is_in(["UTC", "GMT"])).then(pl.lit("Z")).otherwise(zone).fill_null(""),
    )


@cache
def _months() -> dict[str, str]:
    """Two digits for each month name and abbreviation, in lower case (CLDR, from Babel)."""
    found: dict[str, set[int]] = {}
    for language in _LANGUAGES:
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                for number, name in get_month_names(width, context, language).items():
                    folded = name.casefold().rstrip(".")
                    found.setdefault(folded, set()).add(number)
    words = {name: f"{min(numbers):02}" for name, numbers in found.items() if len(numbers) == 1}
    return {name: number for name, number in words.items() if re.fullmatch(r"[^\W\d]{3,12}", name)}
