"""Messages per month as a chart: every month in its place, years that can be read, outliers named apart."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import floor, log10

NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# What an export holds spans years, not centuries: a 1970 or a 9999 in it is a time that is wrong, and would
# press all that is right into a few pixels.
LONGEST = 360
# As many year labels as a phone has room for.
LABELS = 8
# A month with a single message must still look different from one without.
LOWEST_PERCENT = 0.8

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Bar:
    """`month` counts from year 0; `percent` is the height."""

    month: int
    count: int
    percent: float

    @property
    def year(self) -> int:
        return self.month // 12

    @property
    def name(self) -> str:
        return f"{NAMES[self.month % 12]} {self.year}"

    @property
    def short(self) -> str:
        return NAMES[self.month % 12][:3]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the axis, so many months wide. `label` is empty where it would run into the next one."""

    label: str
    months: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line across the chart at a round number."""

    count: int
    percent: float


@dataclass(frozen=True, slots=True)
class Year:
    """A row of the table. `counts` has twelve places, None where the chart does not reach."""

    year: int
    counts: tuple[int | None, ...]

    @property
    def total(self) -> int:
        return sum(count or 0 for count in self.counts)


@dataclass(frozen=True, slots=True)
class Chart:
    """`outside` are months too far from the others to be drawn, `undated` how many messages name no month."""

    bars: tuple[Bar, ...]
    spans: tuple[Span, ...]
    lines: tuple[Line, ...]
    years: tuple[Year, ...]
    outside: tuple[tuple[str, int], ...]
    undated: int

    @property
    def most(self) -> Bar:
        return max(self.bars, key=lambda bar: bar.count)

    @property
    def total(self) -> int:
        return sum(bar.count for bar in self.bars)

    @property
    def gutter(self) -> int:
        """How many characters the widest number beside the lines has."""
        return max((len(f"{line.count:,}") for line in self.lines), default=1)


def chart(counts: Iterable[tuple[str, int]]) -> Chart | None:
    """A chart of counts by `YYYY-MM`, in any order; None where none of them names a month."""
    dated: dict[int, int] = {}
    undated = 0
    for text, count in counts:
        if match := _MONTH.fullmatch(text):
            month = int(match[1]) * 12 + int(match[2]) - 1
            dated[month] = dated.get(month, 0) + count
        else:
            undated += count
    inside = _within(dated)
    if not inside:
        return None
    bars = _bars(inside)
    return Chart(
        bars,
        _spans(bars),
        _lines(max(inside.values())),
        _years(bars),
        tuple((_text(month), dated[month]) for month in sorted(dated.keys() - inside.keys())),
        undated,
    )


def _within(counts: Mapping[int, int]) -> dict[int, int]:
    """The months that fit into one chart: from the end that holds less, months go until the rest fits."""
    months = sorted(counts)
    first, last = 0, len(months) - 1
    while first < last and months[last] - months[first] >= LONGEST:
        if counts[months[first]] <= counts[months[last]]:
            first += 1
        else:
            last -= 1
    return {month: counts[month] for month in months[first : last + 1]}


def _bars(counts: Mapping[int, int]) -> tuple[Bar, ...]:
    most = max(*counts.values(), 1)
    return tuple(
        Bar(month, count, max(100 * count / most, LOWEST_PERCENT) if count > 0 else 0.0)
        for month in range(min(counts), max(counts) + 1)
        for count in (counts.get(month, 0),)
    )


def _spans(bars: Sequence[Bar]) -> tuple[Span, ...]:
    """Years, or so many years together that a phone has room for their labels."""
    years = bars[-1].year - bars[0].year + 1
    together = next(step for step in (1, 2, 5, 10) if years <= step * LABELS or step == 10)
    spans = []
    for _, group in groupby(bars, key=lambda bar: (bar.year - bars[0].year) // together):
        months = list(group)
        wide = len(months) * (LABELS + 1) >= len(bars)
        spans.append(Span(str(months[0].year) if wide else "", len(months)))
    return tuple(spans)


def _lines(most: int) -> tuple[Line, ...]:
    """Two to four lines at 1, 2 or 5 times a power of ten."""
    if most < 1:
        return ()
    rough = most / 4
    power = 10 ** max(floor(log10(rough)), 0)
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return tuple(Line(count, 100 * count / most) for count in range(step, most + 1, step))


def _years(bars: Sequence[Bar]) -> tuple[Year, ...]:
    years = []
    for year, group in groupby(bars, key=lambda bar: bar.year):
        known = {bar.month % 12: bar.count for bar in group}
        years.append(Year(year, tuple(known.get(month) for month in range(12))))
    return tuple(years)


def _text(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}"
