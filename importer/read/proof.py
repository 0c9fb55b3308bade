"""A proof, from the bytes alone, that a CSV file has one reading only, so that polars reads it right.

polars reads every file right that RFC 4180 allows, and reads some others wrongly without a word: short rows,
blank lines, quotes within a cell, NULs. So each file's bytes are looked at first. Proved is that every quote
stands where it may, that every byte is text, and that the delimiters outside quotes are as many as records of
the header's width have; a row that is too long, which could make up for a short one, polars refuses itself.
Quotes become a mask of the bytes inside them by prefix-xor, 64 bytes a word, as simdjson does
(https://arxiv.org/abs/1902.08318, section 3.1).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from importer.read.dialect import no_utf8

CHUNK = 1 << 19  # bytes, a multiple of 64; the masks of one stay in a core's cache
_AT_ONCE = 2
_LONGEST_LINE = 1 << 26
_BAD_SAMPLE = 1 << 16
BOM_INSIDE = "byte order marks inside the file"
_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = 34, 10, 13
_ONE, _TOP = np.uint64(1), np.uint64(63)

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
    inside, before = False, _NEWLINE
    pending: deque[Future[Proof]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, chunk in enumerate(_chunks(stream)):
            if number == 0:
                chunk = chunk.removeprefix(_BOM)
            pending.append(pool.submit(_look, chunk, ord(delimiter), inside, before))
            inside ^= bool(np.count_nonzero(np.frombuffer(chunk, np.uint8) == _QUOTE) & 1)
            before = chunk[-1] if chunk else before
            if len(pending) > _AT_ONCE * 2:
                _add(proof, pending.popleft().result())
        for future in pending:
            _add(proof, future.result())
    if inside:
        proof.unproved.add("an unclosed quote")
    proof.records += before != _NEWLINE
    if proof.delimiters != proof.records * (width - 1):
        proof.unproved.add("rows of another width than the header")
    return proof


def lines(stream: IO[bytes], numbers: Sequence[int]) -> Iterator[int]:
    """The lines (1-based, as an editor shows them) on which these records begin (0-based, the header counted
    as the first, ascending), of a file that was proved."""
    wanted = deque(numbers)
    inside, records, passed = False, 0, 0
    if wanted and wanted[0] == 0:
        yield 1
        wanted.popleft()
    for chunk in _chunks(stream):
        data = np.frombuffer(chunk.ljust(-(-len(chunk) // 64) * 64, b"\0"), np.uint8)
        newline = _mask(data == _NEWLINE)
        quote = _mask(data == _QUOTE)
        ends = newline & ~_prefix_xor(quote, inside)
        count = _count(ends)
        # Record n begins behind the n-th line end outside quotes.
        here = []
        while wanted and wanted[0] <= records + count:
            here.append(wanted.popleft())
        if here:
            places = _places(ends)[np.array(here) - records - 1]
            yield from (passed + 2 + np.searchsorted(_places(newline), places)).tolist()
        if not wanted:
            return
        records += count
        passed += _count(newline)
        inside ^= bool(_count(quote) & 1)


def _places(mask: _Words) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Pieces that end with a line end, so that no character and no CR LF is cut."""
    rest: list[bytes] = []
    held = 0
    while data := stream.read(CHUNK):
        end = data.rfind(b"\n") + 1
        if end == 0 and held < _LONGEST_LINE:
            rest.append(data)
            held += len(data)
            continue
        yield b"".join([*rest, data[:end]])
        rest, held = [data[end:]], len(data) - end
    if last := b"".join(rest):
        yield last


def _add(proof: Proof, part: Proof) -> None:
    proof.records += part.records
    proof.delimiters += part.delimiters
    proof.unproved |= part.unproved
    proof.no_utf8 += part.no_utf8[: max(0, _BAD_SAMPLE - len(proof.no_utf8))]
    proof.utf8 |= part.utf8


def _look(chunk: bytes, delimiter: int, inside: bool, before: int) -> Proof:
    """One piece, of which is known whether it begins inside quotes and which byte comes before it."""
    found = Proof()
    _look_at_quotes(found, chunk, delimiter, inside, before)
    if chunk.find(0) >= 0:
        found.unproved.add("NUL bytes")
    # One byte is found faster than three, and most files have none.
    if chunk.find(_BOM[0]) >= 0 and chunk.find(_BOM) >= 0:
        found.unproved.add(BOM_INSIDE)
    if not chunk.isascii():
        _look_at_text(found, chunk)
    return found


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
    offsets = pa.py_buffer(np.array([0, len(data)], np.int64).tobytes())
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _look_at_quotes(found: Proof, chunk: bytes, delimiter: int, was_inside: bool, before: int) -> None:
    """Quotes, line ends and delimiters, as bits, the first byte lowest."""
    size = len(chunk)
    if size == 0:
        return
    data = np.frombuffer(chunk.ljust(-(-size // 64) * 64, b"\n"), np.uint8)
    quote, newline = _mask(data == _QUOTE), _mask(data == _NEWLINE)
    returns, parts = _mask(data == _RETURN), _mask(data == delimiter)
    inside = _prefix_xor(quote, was_inside)
    outside = ~inside
    ends = newline & outside
    returning = returns & outside
    boundary = quote | newline | returns | parts
    before_is_boundary = before in (_QUOTE, _NEWLINE, _RETURN, delimiter)
    # An opening quote comes after a boundary or, as the second one of a doubled quote, after a quote.
    openers = quote & inside & ~_earlier(boundary, before_is_boundary)
    # What was added to fill the last word are line ends, which any closing quote may have behind it.
    closers = quote & outside & ~_later(boundary, carry=True)
    if np.any(openers) or np.any(closers):
        found.unproved.add("quotes inside cells")
    if np.any(returning & ~_later(newline, carry=size % 64 != 0)):
        found.unproved.add("carriage returns alone")
    line_starts = _earlier(ends, before == _NEWLINE and not was_inside)
    real = _first(size)
    if np.any(line_starts & (ends | returning) & real):
        found.unproved.add("blank lines")
    found.records = _count(ends & real)
    found.delimiters = _count(parts & outside)


def _mask(hits: npt.NDArray[np.bool_]) -> _Words:
    words: _Words = np.packbits(hits, bitorder="little").view(np.uint64)
    return words


def _prefix_xor(quote: _Words, inside: bool) -> _Words:
    """The bytes inside quotes, an opening quote with them and a closing one not."""
    mask = quote.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        mask ^= mask << np.uint64(shift)
    odd = (mask >> _TOP).astype(np.bool_)
    carried = np.concatenate(([inside], np.logical_xor.accumulate(odd)[:-1] ^ inside))
    mask[carried] = ~mask[carried]
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


def _count(mask: _Words) -> int:
    return int(np.bitwise_count(mask).sum())
