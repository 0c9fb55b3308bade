"""Check from its bytes that a CSV file is unambiguous, so that polars reads it correctly.

polars reads all files correctly that RFC 4180 allows. It misreads some others without an error: files with
short rows, blank lines, quotes inside cells, or NULs. So the bytes of each file are checked first. The check
passes if every quote is where RFC 4180 allows it, all bytes are text, and the number of delimiters outside
quotes equals that of records as wide as the header. A row that is too long could compensate for a short one,
but polars itself refuses it. A prefix xor turns quotes into a mask of the bytes inside them, 64 bytes per
word, as in simdjson (https://arxiv.org/abs/1902.08318, section 3.1).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt
import polars as pl

from importer.read.dialect import no_utf8
from importer.read.limits import LONGEST_RECORD

# Bytes that are checked at once; larger chunks do not fit into the cache.
CHUNK = 1 << 21
# Bytes of lines that are not UTF-8, kept to detect their encoding.
_BAD_SAMPLE = 1 << 16
BOM_INSIDE = "byte order marks inside the file"
QUOTES_INSIDE = "quotes inside cells"
TOO_LONG = f"rows of more than {LONGEST_RECORD:,} bytes"
_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = 34, 10, 13
_ONE, _TOP = np.uint64(1), np.uint64(63)

_Words = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Structure:
    """What a structure check finds."""

    # The header and every line that ends outside quotes.
    records: int = 0
    # Delimiters outside quotes.
    delimiters: int = 0
    # Why polars may misread the file; empty where the check passes.
    ambiguities: set[str] = field(default_factory=set)
    # A sample of the lines that are not UTF-8.
    no_utf8: bytes = b""
    # Whether in some chunk at least half of the non-ASCII lines are UTF-8.
    utf8: bool = False
    # Bytes of the record that goes on in the next chunk; and the number of the first record that is too long.
    unfinished: int = 0
    too_long: int | None = None


def check_structure(stream: IO[bytes], delimiter: str, width: int) -> Structure:
    """Check the bytes of a UTF-8 file with `width` columns, from its beginning."""
    found = Structure()
    inside, before = False, _NEWLINE
    for chunk, size in _chunks(stream):
        inside = _look(found, chunk, size, ord(delimiter), inside, before)
        before = chunk[size - 1]
    if inside:
        found.ambiguities.add("an unclosed quote")
    found.records += before != _NEWLINE
    if found.delimiters != found.records * (width - 1):
        found.ambiguities.add("rows with more or fewer cells than the header")
    return found


def records(stream: IO[bytes], numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The line (1-based) on which each of these records begins, and its bytes, in order.

    `numbers` are 0-based and ascending, with the header as record 0. The file must have passed its structure
    check.
    """
    wanted = deque(numbers)
    inside, ended, passed = False, 0, 0
    # A record that continues in the next chunk.
    begun: tuple[int, list[bytes]] | None = None
    if wanted and wanted[0] == 0:
        wanted.popleft()
        begun = (1, [])
    for chunk, size in _chunks(stream):
        data = _words_of(chunk, size)
        newline = _equal(data, _NEWLINE) & _first(size)
        quote = _equal(data, _QUOTE)
        ends = newline & ~_prefix_xor(quote, inside)
        count = _count(ends)
        if begun or (wanted and wanted[0] <= ended + count):
            place = _Places(ends)
            if begun:
                begun[1].append(bytes(chunk[: place.of(0) + 1 if count else size]))
                if count:
                    yield begun[0], b"".join(begun[1])
                    begun = None
            # Record n begins after the n-th line end outside quotes.
            while wanted and wanted[0] <= ended + count:
                number = int(wanted.popleft()) - ended
                start = place.of(number - 1) + 1
                line = passed + 1 + _count_before(newline, start)
                if number < count:
                    yield line, bytes(chunk[start : place.of(number) + 1])
                else:
                    begun = (line, [bytes(chunk[start:size])])
        if not wanted and not begun:
            return
        ended += count
        passed += _count(newline)
        inside ^= bool(_count(quote) & 1)
    if begun:
        yield begun[0], b"".join(begun[1])


class _Places:
    """Positions of bits in a mask, computed on demand since only a few are needed."""

    def __init__(self, mask: _Words) -> None:
        self._mask = mask
        self._until = np.cumsum(np.bitwise_count(mask), dtype=np.int64)

    def of(self, number: int) -> int:
        """The position of the set bit with this number (from 0)."""
        word = int(np.searchsorted(self._until, number, side="right"))
        bits = int(self._mask[word])
        for _ in range(number - (int(self._until[word - 1]) if word else 0)):
            bits &= bits - 1
        return word * 64 + (bits & -bits).bit_length() - 1


def _count_before(mask: _Words, place: int) -> int:
    word, bit = divmod(place, 64)
    return (
        _count(mask[:word]) + (int(mask[word]) & ((1 << bit) - 1)).bit_count() if bit else _count(mask[:word])
    )


def _chunks(stream: IO[bytes]) -> Iterator[tuple[bytearray, int]]:
    """Chunks that end with a line end, so that no character and no CR LF is split: a buffer, and how many of
    its bytes are the chunk. Line ends after them fill the last word. A byte order mark at the beginning of
    the stream is skipped. The buffer is reused for the next chunk."""
    room = bytearray(2 * CHUNK)
    rest: bytes | bytearray = stream.read(len(_BOM)).removeprefix(_BOM)
    while True:
        held = len(rest)
        # A long line is read in steps that grow with it. One that is too long is split, which bounds memory.
        more = max(CHUNK, held)
        if len(room) < held + more + 64:
            room = bytearray(held + more + 64)
        room[:held] = rest
        with memoryview(room) as view, view[held : held + more] as free:
            count = stream.readinto(free)  # type: ignore[attr-defined]
        size = held + count
        end = room.rfind(b"\n", held, size) + 1
        if count and end == 0 and held < LONGEST_RECORD:
            rest = room[:size]
            continue
        end = end if count and end else size
        if end:
            # A line end may follow any closing quote, so the filling adds no ambiguity.
            rest = room[end:size]
            fill = -end % 64
            room[end : end + fill] = b"\n" * fill
            yield room, end
        if not count:
            return


def _look(found: Structure, chunk: bytearray, size: int, delimiter: int, inside: bool, before: int) -> bool:
    """Add the findings of a chunk of `size` bytes, which begins `inside` quotes or not, after the byte
    `before`. Returns whether it ends inside quotes."""
    inside = _look_at_structure(found, chunk, size, delimiter, inside, before)
    if chunk.find(0, 0, size) >= 0:
        found.ambiguities.add("NUL bytes")
    text = bytes(memoryview(chunk)[:size])
    if not text.isascii():
        _look_at_text(found, text)
    return inside


def _look_at_structure(
    found: Structure, chunk: bytearray, size: int, delimiter: int, was_inside: bool, before: int
) -> bool:
    """Check quotes, line ends and delimiters, as masks with the first byte in the lowest bit."""
    data = _words_of(chunk, size)
    quote, newline, parts = (_equal(data, byte) for byte in (_QUOTE, _NEWLINE, delimiter))
    quotes = _count(quote)
    boundary = quote | newline | parts
    if has_returns := chunk.find(_RETURN, 0, size) >= 0:
        returns = _equal(data, _RETURN)
        boundary |= returns
    outside, ends = ~quote, newline
    if quotes or was_inside:
        inside = _prefix_xor(quote, was_inside)
        outside = ~inside
        before_is_boundary = before in (_QUOTE, _NEWLINE, _RETURN, delimiter)
        # An opening quote follows a boundary, or a quote if it is the second one of a doubled quote.
        openers = quote & inside & ~_earlier(boundary, before_is_boundary)
        closers = quote & outside & ~_later(boundary, carry=True)
        if _some(openers | closers):
            found.ambiguities.add(QUOTES_INSIDE)
        ends, parts = newline & outside, parts & outside
    bare = ends
    if has_returns:
        returning = returns & outside
        bare = ends | returning
        if _some(returning & ~_later(newline, carry=size % 64 != 0)):
            found.ambiguities.add("carriage returns without line feeds")
    real = _first(size)
    line_starts = _earlier(ends, before == _NEWLINE and not was_inside)
    if _some(line_starts & bare & real):
        found.ambiguities.add("blank lines")
    _look_at_length(found, ends & real, size)
    found.delimiters += _count(parts)
    return was_inside ^ bool(quotes & 1)


def _look_at_length(found: Structure, ends: _Words, size: int) -> None:
    """Count the records that end in a chunk, and notice one that has grown too long in chunks before it."""
    count = _count(ends)
    places = _Places(ends) if count else None
    found.unfinished += places.of(0) if places else size
    if found.unfinished > LONGEST_RECORD and found.too_long is None:
        found.too_long = found.records
        found.ambiguities.add(TOO_LONG)
    found.unfinished = size - places.of(count - 1) if places else found.unfinished
    found.records += count


def _look_at_text(found: Structure, chunk: bytes) -> None:
    # Searching for one byte is faster than searching for three.
    if chunk.find(_BOM[0]) >= 0 and _BOM in chunk:
        found.ambiguities.add(BOM_INSIDE)
    if _is_utf8(chunk):
        found.utf8 = True
        return
    found.ambiguities.add("bytes that are not UTF-8")
    lines = [line for line in chunk.split(b"\n") if not line.isascii()]
    bad = no_utf8(lines)
    found.utf8 |= len(bad) * 2 <= len(lines)
    sample = b"\n".join(line[:4096] for line in bad[:64]) + b"\n"
    found.no_utf8 += sample[: max(0, _BAD_SAMPLE - len(found.no_utf8))]


def _is_utf8(data: bytes) -> bool:
    try:
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def _words_of(chunk: bytearray, size: int) -> npt.NDArray[np.uint8]:
    """The bytes of a chunk and those that fill its last word."""
    return np.frombuffer(chunk, np.uint8, -(-size // 64) * 64)


def _equal(data: npt.NDArray[np.uint8], byte: int) -> _Words:
    return _mask(data == byte)


def _mask(hits: npt.NDArray[np.bool_]) -> _Words:
    words: _Words = np.packbits(hits, bitorder="little").view(np.uint64)
    return words


def _prefix_xor(quote: _Words, inside: bool) -> _Words:
    """A mask of the bytes inside quotes, with the opening quotes and without the closing ones."""
    mask = quote.copy()
    shifted = np.empty_like(mask)
    for shift in (1, 2, 4, 8, 16, 32):
        mask ^= np.left_shift(mask, np.uint64(shift), out=shifted)
    odd = (mask >> _TOP).view(np.int64)
    carried = np.cumsum(odd) - odd + inside
    # -1 has all bits set, so it inverts each word that begins inside quotes.
    mask ^= (-(carried & 1)).view(np.uint64)
    return mask


def _earlier(mask: _Words, carry: bool) -> _Words:
    """For each byte, whether the previous byte is in the mask."""
    shifted = mask << _ONE
    shifted[1:] |= mask[:-1] >> _TOP
    shifted[0] |= np.uint64(carry)
    return shifted


def _later(mask: _Words, *, carry: bool) -> _Words:
    """For each byte, whether the next byte is in the mask."""
    shifted = mask >> _ONE
    shifted[:-1] |= mask[1:] << _TOP
    shifted[-1] |= np.uint64(carry) << _TOP
    return shifted


def _first(size: int) -> _Words:
    """The bits of the first `size` bytes."""
    words = np.full(-(-size // 64), ~np.uint64(0))
    if size % 64:
        words[-1] = (_ONE << np.uint64(size % 64)) - _ONE
    return words


def _some(mask: _Words) -> bool:
    return bool(mask.max())


def _count(mask: _Words) -> int:
    return int(np.bitwise_count(mask).sum())
