"""The rows of a CSV file one by one, each with its line in an editor and the flaw in its structure.

This is the exact but slow reader: for files that fail their structure check, and for single rows that the
user has to correct. A broken row ends at the end of its line, so that it does not affect others.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TextIO

from importer.read.dialect import has_undecoded
from importer.read.flaws import Flaw
from importer.read.guarded_csv import unguarded
from importer.read.limits import LONGEST_RECORD, SHOWN_OF_LONG
from importer.read.source_file import SourceFile

# Longer footers of reports are not known; more short rows are flawed rows.
_FOOTER_LINES = 8
# So many possible footer rows wait for the end of the file, which bounds memory.
_ROWS_HELD = 64


@dataclass(frozen=True, slots=True)
class ExactRow:
    """A row of a CSV file."""

    # Counts from 0, without the header.
    number: int
    # The line on which the row begins, from 1.
    line: int
    # As the file has them, in any number. Undecodable bytes are lone surrogates.
    cells: tuple[str, ...]
    # What is wrong with its structure.
    flaw: Flaw | None = None
    # Whether a byte order mark was in front of the row. It is not part of the cells.
    marked: bool = False


def exact_rows(file: SourceFile) -> Iterator[ExactRow]:
    """All rows of a CSV file except its header, in order."""
    with file.text() as stream:
        lines = _Lines(stream)
        for _ in range(file.dialect.preamble):
            next(lines, None)
        next(_records(lines, file), None)
        yield from _without_footer(_judged(lines, file), len(file.header))


class _Lines:
    """The lines of a text. Lines can be given back, to be read again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0
        self.size = 0
        self.marked = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._read()
        if not self.taken and line.startswith("\ufeff"):
            # Files were concatenated with their byte order marks.
            line = line.lstrip("\ufeff")
            self.marked = True
        self.taken.append(line)
        self.number += 1
        self.size += len(line)
        if self.size > LONGEST_RECORD:
            raise csv.Error("longer than any record")
        return line

    def _read(self) -> str:
        """The next line. Of one that is too long, the beginning."""
        if not (line := self._stream.readline(LONGEST_RECORD + 1)):
            raise StopIteration
        if len(line) <= LONGEST_RECORD or line.endswith("\n"):
            return line
        rest = line
        while rest and not rest.endswith("\n"):
            rest = self._stream.readline(1 << 20)
        return line

    def begin(self) -> None:
        """Begin a new record."""
        self.taken, self.size, self.marked = [], 0, False

    def give_back(self, count: int) -> None:
        """Give back all lines of the record except the first `count`."""
        self._back.extendleft(reversed(self.taken[count:]))
        self.number -= len(self.taken) - count
        self.taken = self.taken[:count]


def _records(lines: _Lines, file: SourceFile) -> Iterator[tuple[int, list[str], Flaw | None]]:
    """For each record its line, its cells, and whether its quotes are wrong or it is too long. Of a line that
    is too long, it has the beginning."""
    while True:
        lines.begin()
        line = lines.number + 1
        try:
            yield line, next(file.dialect.reader(_kept_returns(lines), strict=True)), None
        except StopIteration:
            return
        except csv.Error:
            lines.give_back(1)
            first = lines.taken[0]
            if len(first) > LONGEST_RECORD:
                yield line, _as_it_stands(first[:SHOWN_OF_LONG], file), Flaw.LENGTH
            else:
                yield line, _as_it_stands(first, file), Flaw.QUOTES


def _kept_returns(lines: _Lines) -> Iterator[str]:
    """The lines with single carriage returns hidden: they are part of a cell, but end a line for the csv
    module."""
    for line in lines:
        yield line if "\r" not in line else _hide_returns(line)


# Replaces a carriage return while the csv module reads; decoded text never contains this lone surrogate.
_HIDDEN = "\ud800"


def _hide_returns(line: str) -> str:
    end = "\r\n" if line.endswith("\r\n") else "\n" if line.endswith("\n") else ""
    body = line[: len(line) - len(end)]
    return body.replace("\r", _HIDDEN) + end


def _as_it_stands(line: str, file: SourceFile) -> list[str]:
    """The cells of a line with wrong quotes, as far as they can be split."""
    return next(file.dialect.reader(iter([_hide_returns(line)])), [])


def _judged(lines: _Lines, file: SourceFile) -> Iterator[ExactRow]:
    """Each record with its flaw. A record of several lines whose width differs from the header may contain
    other records because of an unclosed quote: then only its first line is a broken row."""
    width = len(file.header)
    for number, (line, cells, flaw) in enumerate(_records(lines, file)):
        cells = _shown(cells)
        taken = lines.taken
        if not flaw and len(taken) > 1 and not _fits(cells, width) and _swallowed(taken, file):
            lines.give_back(1)
            cells, flaw = _shown(_as_it_stands(taken[0], file)), Flaw.QUOTES
        if file.is_rejects:
            cells = [*map(unguarded, cells)]
        cut = not lines.taken[-1].endswith("\n")
        if flaw is Flaw.QUOTES and cut:
            flaw = Flaw.CUT_OFF
        flaw = flaw or _flaw(cells, file, width, cut=cut)
        yield ExactRow(number, line, tuple(cells), flaw, lines.marked)


def _shown(cells: list[str]) -> list[str]:
    return [cell.replace(_HIDDEN, "\r") if _HIDDEN in cell else cell for cell in cells]


def _swallowed(taken: list[str], file: SourceFile) -> bool:
    """Whether a line after the first one is a complete record."""
    width = len(file.header)
    for line in taken[1:]:
        if line.count('"') % 2:
            continue
        try:
            if len(next(file.dialect.reader(iter([_hide_returns(line)]), strict=True), [])) == width > 1:
                return True
        except csv.Error:
            continue
    return False


def _flaw(cells: list[str], file: SourceFile, width: int, *, cut: bool) -> Flaw | None:
    if not any(cells):
        return Flaw.BLANK
    if any("\0" in cell for cell in cells):
        return Flaw.NUL
    if [cell.strip() for cell in cells] == list(file.titles):
        return Flaw.HEADER
    if any(map(has_undecoded, cells)):
        return Flaw.ENCODING
    if len(cells) < width and cut:
        return Flaw.CUT_OFF
    return None if _fits(cells, width) else Flaw.WIDTH


def _fits(cells: list[str], width: int) -> bool:
    """Whether the row has the right width. Delimiters after the last column do not count."""
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))


def _without_footer(judged: Iterator[ExactRow], width: int) -> Iterator[ExactRow]:
    """The rows, with short ones after the last complete row and a blank one marked as the footer of a
    report."""
    held: deque[ExactRow] = deque()
    for row in judged:
        if row.flaw is Flaw.BLANK or (held and row.flaw in (Flaw.WIDTH, Flaw.CUT_OFF)):
            held.append(row)
            if len(held) > _ROWS_HELD:
                yield held.popleft()
            continue
        yield from held
        held.clear()
        yield row
    short = all(row.flaw is Flaw.BLANK or len(row.cells) < max(width // 2, 2) for row in held)
    is_footer = short and sum(row.flaw is not Flaw.BLANK for row in held) <= _FOOTER_LINES
    for row in held:
        is_line = is_footer and row.flaw is not Flaw.BLANK
        yield replace(row, flaw=Flaw.FOOTER) if is_line else row
