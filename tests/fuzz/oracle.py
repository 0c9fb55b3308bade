"""An independent reading of a file, and every difference between it and the importer's reading.

CSV is read by Python's csv module in strict mode, in the dialect in which the file was written. Another
dialect is accepted where a note of the importer names it. A row with another width than the header, with NULs
or undecodable bytes, or with wrong quotes must not be good. A broken row ends with its line, so that the next
rows are still recognised. Parquet is read by pyarrow.
"""

import codecs
import csv
import gzip
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from exports import Case, Written
from reading import Reading

from importer.read.guarded_csv import guarded

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

NO_TEXT = "\udcff"  # replaces undecodable bytes
_BLANKS = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_BODIES = ("text", "html", "opening_text", "opening_html")
_LISTS = ("tags", "cc", "bcc", "attachments")
# Columns whose cells the importer interprets, so they are not compared.
_OTHER = (
    "requester_email",
    "author_email",
    "assignee_email",
    "from_email",
    "to_email",
    "requester_phone",
    *_LISTS,
)
_TIMES = ("created_at", "updated_at", "closed_at")
_SHAPES = ("row.width", "row.quotes", "row.encoding", "row.nul", "row.cut_off")


def _as_no_text(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return NO_TEXT, error.end


codecs.register_error("no-text", _as_no_text)


def judge(case: Case, reading: Reading) -> list[str]:
    """Everything that is wrong with the reading; empty for a correct one."""
    if reading.escaped:
        return [f"escaped: {reading.escaped}"]
    if reading.refused is not None:
        return [f"refused although undamaged: {reading.refused}"] if not case.damages else []
    wrong = list(_books(reading))
    if wrong:
        return wrong
    return list(_of_parquet(case, reading) if case.kind == "parquet" else _of_csv(case, reading))


def _books(reading: Reading) -> Iterator[str]:
    good, others = set(reading.good), set(reading.fates)
    if good & others:
        yield f"books: row(s) {sorted(good & others)[:3]} are good and have a fate"
    if (good | others) != set(range(len(good | others))):
        yield f"books: rows are missing among {sorted(good | others)}"
    if len(good) + len(others) != reading.total:
        yield f"books: {len(good)} good, {len(others)} others, {reading.total} read"
    if reading.records is not None and reading.records != reading.total + 1:
        yield f"books: the bytes have {reading.records} records, {reading.total} rows and a header are read"
    rejected = {n for n, fates in reading.fates.items() if any(state == "rejected" for state, _ in fates)}
    if rejected != set(reading.lines):
        yield f"books: rejected are {sorted(rejected)}, the file of rejects has {sorted(reading.lines)}"


def _said(reading: Reading, word: str) -> bool:
    return any(word in note for note in reading.notes)


# -- CSV: the bytes and their dialect


def _of_csv(case: Case, reading: Reading) -> Iterator[str]:
    data = _unpacked(case)
    if data is None:
        yield "packing: is damaged, but the file was read"
        return
    wrong, written = _dialect(case, reading, data)
    if wrong:
        yield wrong
        return
    text = Text(data, written)
    wrong_header = _header(text, reading)
    if wrong_header:
        yield wrong_header
        return
    yield from _aligned(text, reading)
    if not case.damages:
        yield from _whole(case, reading, guessed=written.encoding != case.written.encoding)


def _unpacked(case: Case) -> bytes | None:
    """The uncompressed bytes; None where the compression is damaged."""
    data = case.data
    if "truncated_packing" in case.damages:
        return case.plain
    try:
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            return bytes(pa.CompressedInputStream(io.BytesIO(data), "zstd").read())
    except (OSError, EOFError, ValueError, pa.ArrowException, zlib.error):
        return None
    return data


def _dialect(case: Case, reading: Reading, data: bytes) -> tuple[str | None, Written]:
    """The dialect to read in: that of the file, or another one that a note names; and what is wrong with
    it."""
    own, seen, written = case.written, reading.dialect, case.written
    if _decoded(data, own.encoding) != _decoded(data, seen.encoding):
        name = seen.encoding.removesuffix("-sig")
        # UTF-8 is the default; rows with other bytes must not be good.
        if not (name == "utf-8" and case.damages) and not _said(reading, name):
            return f"dialect: {own.encoding} is read as {seen.encoding}, and no note says so", written
        written = replace(written, encoding=seen.encoding)
    if own.delimiter != seen.delimiter:
        mixed = {"wrong_delimiter", "concatenated"} & set(case.damages) and seen.delimiter == ","
        said = _said(reading, f"delimiter: {seen.delimiter_name}") or _said(reading, "no known delimiter")
        if not mixed and not said:
            return f"dialect: {own.delimiter!r} is read as {seen.delimiter!r}, and no note says so", written
        written = replace(written, delimiter=seen.delimiter)
    if (own.newline == "\r") != (seen.newline == "\r"):
        if seen.newline == "\r" and not _said(reading, "CR without LF"):
            return "dialect: lines are split at CR, and no note says so", written
        written = replace(written, newline=seen.newline)
    if seen.escape and not own.escape:
        if not _said(reading, "backslash"):
            return "dialect: backslashes are read as escapes, and no note says so", written
        if seen.escape == "all" and not _said(reading, "backslashes too"):
            return "dialect: two backslashes are read as one, and no note says so", written
        # The bytes of a single row show no more than that.
        written = replace(written, escape=seen.escape)
    if seen.escape == "quotes" and own.escape == "all" and _said(reading, "backslashes are not"):
        written = replace(written, escape="quotes")
    text = _decoded(data, written.encoding)
    # Bytes that RFC 4180 allows can be read so too, and nothing in them shows that it is wrong.
    escapes = _ESCAPED_QUOTE.search(text) is not None and not _is_rfc(text, written)
    if own.escape and not seen.escape and (_said(reading, "quotes inside cells") or not escapes):
        written = replace(written, escape=None)
    return None, replace(written, preamble=seen.preamble if _said(reading, "sep=") else own.preamble)


# The last of an odd number of backslashes escapes the quote after it.
_ESCAPED_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*\\"')


def _is_rfc(text: str, written: Written) -> bool:
    """Whether its quotes are correct without escapes, and all rows are as wide as the header."""
    lines = io.StringIO(re.sub(r"\r\n?", "\n", text), newline="")
    try:
        widths = {len(row) for row in csv.reader(lines, delimiter=written.delimiter, strict=True) if row}
    except csv.Error:
        return False
    return len(widths) == 1


def _decoded(data: bytes, encoding: str) -> str:
    if encoding in ("utf-8", "utf-8-sig"):
        data, encoding = data.removeprefix(codecs.BOM_UTF8), "utf-8"
        return data.decode(encoding, "no-text")
    return data.decode(encoding, "no-text").removeprefix("\ufeff" if encoding[-3:] in ("-le", "-be") else "")


# -- CSV: records


@dataclass(frozen=True, slots=True)
class Parsed:
    """A record that begins on some line: its cells (None where its quotes are wrong) and its number of
    lines."""

    cells: tuple[str, ...] | None
    count: int


class Text:
    """The lines of a file, and the record that begins on each, as the csv module reads it."""

    def __init__(self, data: bytes, written: Written) -> None:
        text = _decoded(data, written.encoding)
        if written.newline == "\r":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.written = written
        self.lines = io.StringIO(text, newline="\n").readlines()
        self._return, self._quote, self._backslash = _unused_characters(text)
        self._known: dict[int, Parsed] = {}
        self.width = 0

    def record(self, place: int) -> Parsed:
        if place not in self._known:
            self._known[place] = self._parsed(place)
        return self._known[place]

    def _parsed(self, place: int) -> Parsed:
        written = self.written
        first, *others = self.lines[place:]
        reader = csv.reader(
            # A byte order mark in front of a record is not part of it.
            map(self._hidden, [first.lstrip("\ufeff"), *others]),
            delimiter=written.delimiter,
            strict=True,
        )
        try:
            cells = next(reader)
        except (csv.Error, StopIteration):
            return Parsed(None, 1)
        return Parsed(tuple(map(self._shown, cells)), reader.line_num)

    def _hidden(self, line: str) -> str:
        """The line with its CRs hidden: they are part of a cell, but end a line for the csv module."""
        end = next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "")
        body = line[: len(line) - len(end)]
        body = body.replace("\r", self._return)
        # The csv module is not strict with its own escapes: it accepts text after a closing quote.
        if self.written.escape == "all":
            body = body.replace("\\\\", self._backslash)
            return body.replace('\\"', self._quote) + end
        # Where backslashes are not escaped, two in front of a quote do not escape it.
        escaped = re.sub(r'(?<!\\)((?:\\\\)*)\\"', rf"\1{self._quote}", body)
        return (escaped if self.written.escape else body) + end

    def _shown(self, cell: str) -> str:
        return cell.replace(self._return, "\r").replace(self._quote, '"').replace(self._backslash, "\\")


def _unused_characters(text: str) -> tuple[str, str, str]:
    free = (chr(code) for code in range(0xF000, 0xF8FF) if chr(code) not in text)
    return next(free), next(free), next(free)


def _header(text: Text, reading: Reading) -> str | None:
    first = text.record(text.written.preamble)
    if first.cells is None:
        return "header: its quotes are wrong, but the file was read"
    titles, seen = (
        [title.replace("\ufeff", "").strip() for title in each] for each in (first.cells, reading.titles)
    )
    if any(NO_TEXT in title or "\0" in title for title in titles):
        return f"header: {titles} are not text, but the file was read"
    if titles != seen:
        return f"header: is {titles}, was read as {list(reading.titles)}"
    kept = {*reading.columns.values(), *reading.unused}
    repeated = {title for title in titles if titles.count(title) > 1}
    lost = [
        t
        for t, name in zip(titles, reading.header, strict=True)
        if t and name not in kept and t not in repeated
    ]
    if lost:
        return f"header: neither used nor reported as unused: {lost}"
    text.width = len(titles)
    return None


# -- CSV: the importer's rows in order, on the lines of the file


def _aligned(text: Text, reading: Reading) -> Iterator[str]:
    """Every row must begin where the previous one ends, and the last must end where the file does."""
    first = text.written.preamble
    start = first + text.record(first).count
    pending, seen = [(start, 0)], set()
    furthest, why = -1, ""
    while pending:
        place, number = state = pending.pop()
        if state in seen:
            continue
        seen.add(state)
        if number == reading.total:
            if place >= len(text.lines):
                return
            reason, steps = f"rows: {text.lines[place][:60]!r} (line {place + 1}) is in no row", []
        elif place >= len(text.lines):
            reason, steps = f"rows: row {number} is not in the bytes", []
        else:
            reason, steps = _step(text, reading, place, number)
        pending += [(place + count, number + 1) for count in steps]
        if not steps and number > furthest:
            furthest, why = number, reason
    yield why


def _step(text: Text, reading: Reading, place: int, number: int) -> tuple[str, list[int]]:
    """How many lines the row may take; empty, with the reason, where it cannot be here."""
    found = text.record(place)
    if number in reading.good:
        wrong = _not_good(text, reading, found, number)
        where = f"row {number} (line {place + 1}) is good, but "
        return (where + wrong, []) if wrong else ("", [found.count])
    wrong = _not_fated(text, reading, found, place, number)
    if wrong:
        return f"row {number} (line {place + 1}): {wrong}", []
    if found.cells is None or found.count == 1:
        return "", [found.count]
    swallows = len(found.cells) != text.width or any(r == "row.quotes" for _, r in reading.fates[number])
    return "", [1, found.count] if swallows else [found.count]  # the last one is tried first


def _not_good(text: Text, reading: Reading, found: Parsed, number: int) -> str | None:
    cells = found.cells
    if cells is None:
        return "its quotes are wrong"
    if len(cells) != text.width and (len(cells) < text.width or any(cells[text.width :])):
        return f"has {len(cells)} cells, not {text.width}: {cells}"
    if any(NO_TEXT in cell for cell in cells):
        return f"has undecodable bytes: {cells}"
    if any("\0" in cell for cell in cells):
        return f"has NULs: {cells}"
    return _other_cells(dict(zip(reading.header, cells, strict=False)), reading, number)


def _not_fated(text: Text, reading: Reading, found: Parsed, place: int, number: int) -> str | None:
    """The fate of a row must be true."""
    rules = [rule for _, rule in reading.fates[number]]
    cells = found.cells
    if number in reading.lines and reading.lines[number] != place + 1:
        return f"{rules}: the file of rejects says line {reading.lines[number]}"
    if rules == ["blank_row"]:
        blank = cells is not None and not any(cell.strip(_BLANKS + "\ufeff") for cell in cells)
        return None if blank else f"is skipped as blank: {cells}"
    if rules == ["repeated_header"]:
        same = cells is not None and [c.strip().lstrip("\ufeff") for c in cells] == list(reading.titles)
        return None if same else f"is skipped as a header: {cells}"
    if rules == ["report_footer"]:
        return f"is skipped as a footer: {cells}" if cells is not None and len(cells) == text.width else None
    if number in reading.cells and cells is not None and not any(rule in _SHAPES for rule in rules):
        kept = tuple(map(guarded, cells))
        return (
            None
            if kept == reading.cells[number]
            else f"{cells} is {reading.cells[number]} in the file of rejects"
        )
    return None


def harsh(case: Case, reading: Reading) -> list[str]:
    """The structure rules by which complete rows are rejected. Not an error, but worth a look."""
    data = _unpacked(case) if case.kind == "csv" and not reading.refused and not reading.escaped else None
    if data is None or reading.dialect is None:
        return []
    wrong, written = _dialect(case, reading, data)
    if wrong:
        return []
    text = Text(data, written)
    width = len(reading.titles)
    found = []
    for number, line in reading.lines.items():
        cells = text.record(line - 1).cells if line <= len(text.lines) else None
        whole = cells and len(cells) == width and not any("\0" in c or NO_TEXT in c for c in cells)
        found += [rule for _, rule in reading.fates[number] if whole and rule in _SHAPES]
    return found


# -- cells


def _other_cells(cells: Mapping[str, str], reading: Reading, number: int) -> str | None:
    for name, header in reading.columns.items():
        if name in _OTHER:
            continue
        should, has = _canonical(name, header, cells, reading), reading.good[number][name]
        if (
            isinstance(should, str)
            and isinstance(has, str)
            and _said(reading, "carriage returns without line feeds")
        ):
            should, has = should.rstrip("\r"), has.rstrip("\r")
        if not _same(should, has):
            return f"its {name} is {should!r}, was read as {has!r}"
    return None


_ANY = object()  # any value, since the importer parses it by its own rules


def _canonical(name: str, header: str, cells: Mapping[str, str], reading: Reading) -> Any:
    title = dict(zip(reading.header, reading.titles, strict=True))[header]
    several = [n for n, t in zip(reading.header, reading.titles, strict=True) if t == title]
    if len(several) > 1 and name.startswith("custom."):
        listed = [cell for n in several if (cell := (cells.get(n) or "").strip(_BLANKS))]
        return Json(listed) if listed else None
    return of_text(name, cells[header])


def of_text(name: str, cell: str) -> Any:
    """The expected value of a cell in a canonical column."""
    tidy = cell.strip(_BLANKS)
    if not tidy:
        return None
    if name in _BODIES:
        return cell
    if name in _TIMES:
        return _instant(tidy)
    if name in ("status", "channel", "author_role", "direction"):
        return re.sub(f"[{_BLANKS}\\-]+", "_", tidy.lower())
    if name == "public":
        return {"true": True, "false": False}.get(tidy.lower(), _ANY)
    return tidy


def _instant(text: str) -> Any:
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", text)
    if not found or not text.isascii():
        return _ANY
    day, clock, fraction, zone = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{clock}{(zone or 'Z').replace('Z', '+00:00')}").astimezone(UTC)
    except (ValueError, OverflowError):
        return _ANY
    return at + timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))


@dataclass(frozen=True, slots=True)
class Json:
    value: Any


@dataclass(frozen=True, slots=True)
class Number:
    value: Any


@dataclass(frozen=True, slots=True)
class Moment:
    """Nanoseconds since 1970. Times without a zone are in UTC."""

    value: int


def _same(should: Any, has: Any) -> bool:
    if should is _ANY:
        return has is not None
    match should:
        case Json(value):
            return has is not None and _json(has) == value
        case Number(value):
            return has is not None and _equal_numbers(value, has)
        case Moment(value):
            return has is not None and _nanoseconds(has) == value
        case _:
            return type(should) is type(has) and should == has


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _equal_numbers(value: Any, text: Any) -> bool:
    try:
        number = float(text) if isinstance(value, float) else Decimal(text)
    except (TypeError, ValueError, InvalidOperation):
        return False
    return number == value or (isinstance(value, float) and math.isnan(value) and math.isnan(number))


def _nanoseconds(value: Any) -> int | None:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1) * 1000
    found = re.fullmatch(r"(.{10}T.{8})(?:\.(\d+))?(.*)", value) if isinstance(value, str) else None
    if not found:
        return None
    try:
        at = datetime.fromisoformat(found[1] + (found[3] or "+00:00").replace("Z", "+00:00"))
    except ValueError:
        return None
    return (at - _EPOCH) // timedelta(seconds=1) * 10**9 + int((found[2] or "0").ljust(9, "0"))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# -- undamaged files


def _whole(case: Case, reading: Reading, *, guessed: bool) -> Iterator[str]:
    """Every written row must be good and have its cells. Where the importer had to guess the encoding and
    says which one it used, the letters may differ."""
    if reading.fates:
        number, fates = next(iter(sorted(reading.fates.items())))
        yield f"whole: {len(reading.fates)} rows are not good, first {number}: {fates}"
    if reading.total != len(case.rows):
        yield f"whole: {len(case.rows)} rows were written, {reading.total} read"
    if guessed or reading.fates:
        return
    for number, row in enumerate(case.rows[: reading.total]):
        cells = dict(zip(case.header, row, strict=True))
        if case.written.newline == "\r":
            cells = {name: cell.replace("\r\n", "\n").replace("\r", "\n") for name, cell in cells.items()}
        wrong = _other_cells(cells, reading, number)
        if wrong:
            yield f"whole: row {number}: {wrong}"
            return


# -- Parquet


def _of_parquet(case: Case, reading: Reading) -> Iterator[str]:
    table = _table(case.data)
    if isinstance(table, str):
        yield f"parquet: pyarrow refuses it ({table}), but it was read"
        return
    if list(table.column_names) != list(reading.titles):
        yield f"parquet: the columns are {table.column_names}, were read as {list(reading.titles)}"
        return
    if table.num_rows != reading.total:
        yield f"parquet: has {table.num_rows} rows, {reading.total} were read"
        return
    names = {header: name for name, header in reading.columns.items()}
    for header, column in zip(reading.header, table.columns, strict=True):
        if header in names:
            yield from _column(names[header], column, reading)
    if not case.damages and reading.fates:
        yield f"whole: {len(reading.fates)} rows are not good: {sorted(reading.fates.items())[0]}"
    blank = [n for n, fates in reading.fates.items() if fates[0][1] == "blank_row"]
    empty = [
        n
        for n in blank
        if all(value in (None, "", []) for value in table.slice(n, 1).to_pylist()[0].values())
    ]
    if blank != empty:
        yield f"parquet: row(s) skipped as blank have values: {sorted(set(blank) - set(empty))}"


def _table(data: bytes) -> pa.Table | str:
    try:
        # Nanoseconds in 64 bits cannot represent all times of INT96.
        table = pq.read_table(pa.BufferReader(data), partitioning=None, coerce_int96_timestamp_unit="us")
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    return table


def _column(name: str, column: pa.ChunkedArray, reading: Reading) -> Iterator[str]:
    if name in _OTHER:
        return
    values = list(_values(column))
    for number, has in sorted((n, row[name]) for n, row in reading.good.items()):
        should = values[number]
        if isinstance(should, str):
            should = of_text(name, should)
        if isinstance(should, Moment) and name in _TIMES:
            should = Moment(should.value // 1000 * 1000)
        if not _same(should, has):
            yield f"parquet: row {number}: its {name} ({column.type}) is {should!r}, was read as {has!r}"
            return


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    type_ = column.type
    if pa.types.is_dictionary(type_):
        column, type_ = column.cast(type_.value_type), type_.value_type
    if pa.types.is_timestamp(type_):
        factor = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[type_.unit]
        for value in column.cast(pa.int64()).to_pylist():
            yield None if value is None else _moment(value * factor)
        return
    for value in column.to_pylist():
        yield _value(value, type_)


def _moment(nanoseconds: int) -> Any:
    """Years with more than four digits have no text to compare with."""
    return Moment(nanoseconds) if -62135596800 * 10**9 < nanoseconds < 253402300799 * 10**9 else _ANY


def _value(value: Any, type_: pa.DataType) -> Any:
    if value is None or isinstance(value, str):
        return value
    if value == []:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.decode("utf-8", "no-text")
    if pa.types.is_nested(type_):
        return Json(value)
    if isinstance(value, int | float | Decimal):
        return Number(value)
    return str(value)


def summary(reading: Reading) -> str:
    """The outcome of a file, for the table of all outcomes."""
    if reading.refused is not None:
        return "refused"
    if any(state == "rejected" for fates in reading.fates.values() for state, _ in fates):
        return "rejected in part"
    return "skipped in part" if reading.fates else "clean"
