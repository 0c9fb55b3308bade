"""A proof, from the bytes alone, that a CSV file has one reading only, so that polars reads it right.

polars reads every file right that RFC 4180 allows, and reads some others wrongly without a word: short rows,
blank lines, quotes within a cell, NULs. So each file's bytes are looked at first. Proved is that every quote
stands where it may, that every byte is text, and that the delimiters outside quotes are as many as records of
the header's width have; a row that is too long, which could make up for a short one, polars refuses itself.
Quotes become a mask of the bytes inside them by prefix-xor, 64 bytes a word, as simdjson does
(https://arxiv.org/abs/1902.08318, section 3.1).
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt
import polars as pl

from importer.read.dialect import no_utf8

CHUNK = 1 << 20  # bytes: smaller ones wait for each other, larger ones leave the cache
_AT_ONCE = 2
_HELD = 2 * _AT_ONCE + 4  # pieces that wait or are looked at, and some more
_LONGEST_LINE = 1 << 26
_BAD_SAMPLE = 1 << 16
BOM_INSIDE = "byte order marks inside the file"
_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = 34, 10, 13
_ONE, _TOP, _HIGH = np.uint64(1), np.uint64(63), np.uint64(0x8080_8080_8080_8080)

_Words = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Proof:
    """What the bytes say. `records` counts the header and every line that ends outside quotes; `unproved`
    names what keeps the file from having one reading only. `no_utf8` holds lines with bytes that are no
    UTF-8, and `utf8` says whether most lines with characters beyond ASCII are, somewhere in the file."""

    records: int = 0
    delimiters: int = 0
    unproved: set[str] = field(default_factory=set)
    no_utf8: bytes = b""
    utf8: bool = False


def prove(stream: IO[bytes], delimiter: str, width: int) -> Proof:
    """Look at the bytes of a UTF-8 file with `width` columns, from its beginning."""
    proof = Proof()
    before = _NEWLINE
    # Whether a piece begins inside quotes is known as soon as the quotes before it are counted.
    inside: Future[bool] = Future()
    inside.set_result(False)
    pending: deque[Future[Proof]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for chunk, size in _chunks(stream):
            ends_inside: Future[bool] = Future()
            look = _Look(chunk, size, ord(delimiter), before, inside, ends_inside)
            pending.append(pool.submit(look.found))
            inside, before = ends_inside, chunk[size - 1]
            if len(pending) > _AT_ONCE * 2:
                _add(proof, pending.popleft().result())
        for future in pending:
            _add(proof, future.result())
    if inside.result():
        proof.unproved.add("an unclosed quote")
    proof.records += before != _NEWLINE
    if proof.delimiters != proof.records * (width - 1):
        proof.unproved.add("rows of another width than the header")
    return proof


def records(stream: IO[bytes], numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The lines (1-based, as an editor shows them) on which these records begin (0-based, the header counted
    as the first, ascending), and their bytes, of a file that was proved."""
    wanted = deque(numbers)
    inside, ended, passed = False, 0, 0
    # A record that goes on in the next piece.
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
            places, newlines = _places(ends), _places(newline)
            if begun:
                begun[1].append(bytes(chunk[: places[0] + 1 if count else size]))
                if count:
                    yield begun[0], b"".join(begun[1])
                    begun = None
            # Record n begins behind the n-th line end outside quotes.
            while wanted and wanted[0] <= ended + count:
                place = int(wanted.popleft()) - ended - 1
                start = int(places[place]) + 1
                line = passed + 1 + int(np.searchsorted(newlines, start))
                if place + 1 < count:
                    yield line, bytes(chunk[start : int(places[place + 1]) + 1])
                else:
                    begun = (line, [bytes(chunk[start:size])])
        if not wanted and not begun:
            return
        ended += count
        passed += _count(newline)
        inside ^= bool(_count(quote) & 1)
    if begun:
        yield begun[0], b"".join(begun[1])


def _places(mask: _Words) -> npt.NDArray[np.int64]:
    words = np.flatnonzero(mask != 0)
    bits = np.unpackbits(mask[words].view(np.uint8), bitorder="little").view(np.bool_)
    found = np.flatnonzero(bits)
    places: npt.NDArray[np.int64] = (words[found >> 6] << 6) + (found & 63)
    return places


def _chunks(stream: IO[bytes]) -> Iterator[tuple[bytearray, int]]:
    """Pieces that end with a line end, so that no character and no CR LF is cut: a buffer, and how many of
    its bytes are the piece; behind them stand line ends up to a whole word. A byte order mark at the
    beginning is left out. A buffer is used again for the piece that comes _HELD later."""
    buffers = deque(bytearray(2 * CHUNK) for _ in range(_HELD))
    rest: bytes | bytearray = stream.read(len(_BOM)).removeprefix(_BOM)
    while True:
        held = len(rest)
        room = buffers.popleft()
        if len(room) < held + CHUNK + 64:
            room = bytearray(held + CHUNK + 64)
        buffers.append(room)
        room[:held] = rest
        with memoryview(room) as view, view[held : held + CHUNK] as free:
            count = stream.readinto(free)  # type: ignore[attr-defined]
        size = held + count
        end = room.rfind(b"\n", held, size) + 1
        if count and end == 0 and held < _LONGEST_LINE:
            rest = room[:size]
            continue
        end = end if count and end else size
        if end:
            # Any closing quote may have a line end behind it.
            rest = room[end:size]
            fill = -end % 64
            room[end : end + fill] = b"\n" * fill
            yield room, end
        if not count:
            return


def _add(proof: Proof, part: Proof) -> None:
    proof.records += part.records
    proof.delimiters += part.delimiters
    proof.unproved |= part.unproved
    proof.no_utf8 += part.no_utf8[: max(0, _BAD_SAMPLE - len(proof.no_utf8))]
    proof.utf8 |= part.utf8


@dataclass(slots=True)
class _Look:
    """One look at one piece of `size` bytes, filled up to whole words; `before` is the byte before it. It
    waits for `inside`, whether the piece begins inside quotes, and sets `ends_inside` for the next."""

    chunk: bytearray
    size: int
    delimiter: int
    before: int
    inside: Future[bool]
    ends_inside: Future[bool]

    def found(self) -> Proof:
        found = Proof()
        try:
            self._look_at_structure(found)
        except BaseException as error:
            if not self.ends_inside.done():
                self.ends_inside.set_exception(error)
            raise
        if self.chunk.find(0, 0, self.size) >= 0:
            found.unproved.add("NUL bytes")
        # One byte is found faster than three, and most files have none.
        if self.chunk.find(_BOM[0], 0, self.size) >= 0 and self.chunk.find(_BOM, 0, self.size) >= 0:
            found.unproved.add(BOM_INSIDE)
        if _some(_words_of(self.chunk, self.size).view(np.uint64) & _HIGH):
            _look_at_text(found, bytes(memoryview(self.chunk)[: self.size]))
        return found

    def _look_at_structure(self, found: Proof) -> None:
        """Quotes, line ends and delimiters, as bits, the first byte lowest."""
        size = self.size
        data = _words_of(self.chunk, size)
        quote = _equal(data, _QUOTE)
        quotes = _count(quote)
        was_inside = self.inside.result()
        self.ends_inside.set_result(was_inside ^ bool(quotes & 1))
        newline, parts = _equal(data, _NEWLINE), _equal(data, self.delimiter)
        boundary = quote | newline | parts
        if has_returns := self.chunk.find(_RETURN, 0, self.size) >= 0:
            returns = _equal(data, _RETURN)
            boundary |= returns
        outside, ends = ~quote, newline
        if quotes or was_inside:
            inside = _prefix_xor(quote, was_inside)
            outside = ~inside
            before_is_boundary = self.before in (_QUOTE, _NEWLINE, _RETURN, self.delimiter)
            # An opening quote comes after a boundary or, as the second one of a doubled quote, after a quote.
            openers = quote & inside & ~_earlier(boundary, before_is_boundary)
            closers = quote & outside & ~_later(boundary, carry=True)
            if _some(openers | closers):
                found.unproved.add("quotes inside cells")
            ends, parts = newline & outside, parts & outside
        real = _first(size)
        bare = ends
        if has_returns:
            returning = returns & outside
            bare = ends | returning
            if _some(returning & ~_later(newline, carry=size % 64 != 0)):
                found.unproved.add("carriage returns alone")
        line_starts = _earlier(ends, self.before == _NEWLINE and not was_inside)
        if _some(line_starts & bare & real):
            found.unproved.add("blank lines")
        ends &= real
        found.records = _count(ends)
        found.delimiters = _count(parts)


def _look_at_text(found: Proof, chunk: bytes) -> None:
    if _is_utf8(chunk):
        found.utf8 = True
        return
    found.unproved.add("bytes that are no text")
    lines = [line for line in chunk.split(b"\n") if not line.isascii()]
    bad = no_utf8(lines)
    found.utf8 = len(bad) * 2 <= len(lines)
    found.no_utf8 = b"\n".join(line[:4096] for line in bad[:64]) + b"\n"


def _is_utf8(data: bytes) -> bool:
    try:
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


# New memory for each piece costs more than the comparison that goes into it.
_kept = threading.local()


def _scratch(size: int) -> npt.NDArray[np.bool_]:
    """Room for that many hits, which the next call in this thread uses again."""
    room: npt.NDArray[np.bool_] | None = getattr(_kept, "room", None)
    if room is None or room.size < size:
        room = _kept.room = np.empty(max(size, 2 * CHUNK), np.bool_)
    return room[:size]


def _words_of(chunk: bytearray, size: int) -> npt.NDArray[np.uint8]:
    """The bytes of a piece with what fills its last word."""
    return np.frombuffer(chunk, np.uint8, -(-size // 64) * 64)


def _equal(data: npt.NDArray[np.uint8], byte: int) -> _Words:
    return _mask(np.equal(data, np.uint8(byte), out=_scratch(data.size)))


def _mask(hits: npt.NDArray[np.bool_]) -> _Words:
    words: _Words = np.packbits(hits, bitorder="little").view(np.uint64)
    return words


def _prefix_xor(quote: _Words, inside: bool) -> _Words:
    """The bytes inside quotes, an opening quote with them and a closing one not."""
    mask = quote.copy()
    shifted = np.empty_like(mask)
    for shift in (1, 2, 4, 8, 16, 32):
        mask ^= np.left_shift(mask, np.uint64(shift), out=shifted)
    odd = (mask >> _TOP).view(np.int64)
    carried = np.cumsum(odd) - odd + inside
    # Minus one has all bits: it turns a word that begins inside quotes round.
    mask ^= (-(carried & 1)).view(np.uint64)
    return mask


def _earlier(mask: _Words, carry: bool) -> _Words:
    """For each byte, whether the byte before it is in the mask."""
    shifted = mask << _ONE
    shifted[1:] |= mask[:-1] >> _TOP
    shifted[0] |= np.uint64(carry)
    return shifted


def _later(mask: _Words, *, carry: bool) -> _Words:
    """For each byte, whether the byte after it is in the mask."""
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
