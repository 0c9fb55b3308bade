"""Damages of exports: the classes of limits.md, each as a change to a draft or to bytes."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace

from exports import ENCODINGS, Draft, encoded, fresh, serialised

OfRows = Callable[[Draft, random.Random], None]
OfBytes = Callable[[bytes, random.Random], bytes]

_ODD = "^~\x1f\x01#:!* ¤¦"


# -- the dialect, before anything is written


def backslash_quotes(draft: Draft, chance: random.Random) -> None:
    escape = chance.choice(("all", "quotes"))
    draft.written = replace(draft.written, escape=escape)
    if escape == "quotes":
        draft.rows = [[cell.rstrip("\\") for cell in row] for row in draft.rows]


def cr_only(draft: Draft, chance: random.Random) -> None:
    draft.written = replace(draft.written, newline="\r")


def wide_with_mark(draft: Draft, chance: random.Random) -> None:
    draft.written = replace(draft.written, encoding=chance.choice(("utf-16", "utf-32")))


def wide_without_mark(draft: Draft, chance: random.Random) -> None:
    encoding = chance.choice(("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))
    draft.written = replace(draft.written, encoding=encoding)


def odd_delimiter(draft: Draft, chance: random.Random) -> None:
    sign = chance.choice(_ODD)
    if draft.written.encoding == "cp1252" or sign.isascii():
        draft.written = replace(draft.written, delimiter=sign)


def first_line_sep(draft: Draft, chance: random.Random) -> None:
    draft.written = replace(draft.written, preamble=1)


def repeated_title(draft: Draft, chance: random.Random) -> None:
    title = chance.choice(("Note", "Note", "subject", "Further"))
    for _ in range(2):
        draft.header.append(title)
        for row in draft.rows:
            row.append(chance.choice(("", "x", "y z")))


# -- rows, as text


def short_rows(draft: Draft, chance: random.Random) -> None:
    for number in _picked(draft, chance):
        row = draft.rows[number]
        draft.lines[number + 1] = serialised(row[: chance.randrange(1, len(row))], draft.written)


def long_rows(draft: Draft, chance: random.Random) -> None:
    for number in _picked(draft, chance):
        more = [chance.choice(("", "more", "x")) for _ in range(chance.randint(1, 3))]
        draft.lines[number + 1] = serialised([*draft.rows[number], *more], draft.written)


def short_and_long_rows(draft: Draft, chance: random.Random) -> None:
    """One row has as many delimiters too many as another one lacks."""
    one, other = chance.choices(range(len(draft.rows)), k=2)
    draft.lines[one + 1] = serialised(draft.rows[one][:-1], draft.written)
    draft.lines[other + 1] = serialised([*draft.rows[other], "more"], draft.written)


def blank_lines(draft: Draft, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 3)):
        _insert(draft, chance, chance.choice(("", "", " ", "\t")) + draft.written.newline)


def padded_rows(draft: Draft, chance: random.Random) -> None:
    width = len(draft.header)
    for _ in range(chance.randint(1, 4)):
        row = [chance.choice(("", "", " "))] * chance.choice((width, width, width - 1, width + 2))
        line = draft.written.delimiter.join(row) + draft.written.newline
        draft.lines.append(line) if chance.random() < 0.6 else _insert(draft, chance, line)


def trailing_delimiters(draft: Draft, chance: random.Random) -> None:
    more = draft.written.delimiter * chance.randint(1, 2)
    end, first = draft.written.newline, chance.choice((0, 1))
    draft.lines = [
        line.removesuffix(end) + more + end if number >= first else line
        for number, line in enumerate(draft.lines)
    ]


def repeated_header(draft: Draft, chance: random.Random) -> None:
    _insert(draft, chance, draft.lines[0])


def report_footer(draft: Draft, chance: random.Random) -> None:
    end = draft.written.newline
    if chance.random() < 0.7:
        draft.lines.append(end)
    for _ in range(chance.randint(1, 3)):
        words = chance.choice(
            ('"Total"', "Total: 17 tickets", "Report of 2024", '"Filter:","all"', "(c) Nordlys")
        )
        draft.lines.append(words + end)


def broken_quote_in_header(draft: Draft, chance: random.Random) -> None:
    draft.lines[0] = _with_broken_quote(draft.lines[0], draft, chance)


def broken_quote_in_body(draft: Draft, chance: random.Random) -> None:
    number = chance.randrange(len(draft.rows)) + 1
    draft.lines[number] = _with_broken_quote(draft.lines[number], draft, chance)


def _with_broken_quote(line: str, draft: Draft, chance: random.Random) -> str:
    """A quote that is not closed, closed twice, closed too early, or inside an unquoted cell."""
    sign, end = draft.written.delimiter, draft.written.newline
    body = line.removesuffix(end)
    places = [n for n, char in enumerate(body) if char == sign] or [0]
    place = chance.choice((-1, *places))
    match chance.randrange(5):
        case 0:
            return body[: place + 1] + '"' + body[place + 1 :] + end
        case 1:
            return body[: max(place, 0)] + '"' + body[max(place, 0) :] + end
        case 2:
            return body + '"' + end
        case 3:
            return body.replace('"', "", 1) + end if '"' in body else body[:-1] + '"x' + end
        case _:
            middle = chance.randrange(len(body) + 1)
            return body[:middle] + '"' + body[middle:] + end


def one_escaped_quote(draft: Draft, chance: random.Random) -> None:
    number = chance.randrange(len(draft.rows))
    row = [*draft.rows[number][:-1], 'she said "no", twice']
    written = replace(draft.written, escape=chance.choice(("all", "quotes")), quote_all=True)
    draft.lines[number + 1] = serialised(row, written)


def wrong_delimiter(draft: Draft, chance: random.Random) -> None:
    """Some lines, or only the header, have another delimiter than the rest."""
    other = replace(
        draft.written, delimiter=chance.choice([d for d in ",;\t|" if d != draft.written.delimiter])
    )
    if chance.random() < 0.4:
        draft.lines[0] = serialised(draft.header, other)
        return
    for number in _picked(draft, chance):
        draft.lines[number + 1] = serialised(draft.rows[number], other)


def mixed_line_ends(draft: Draft, chance: random.Random) -> None:
    for number in _picked(draft, chance):
        line = draft.lines[number + 1].removesuffix(draft.written.newline)
        draft.lines[number + 1] = line + chance.choice(("\r", "\n", "\r\n", "\r\r\n"))


def bom_in_the_middle(draft: Draft, chance: random.Random) -> None:
    number = chance.randrange(len(draft.lines))
    line = draft.lines[number]
    place = chance.choice((0, chance.randrange(len(line))))
    draft.lines[number] = line[:place] + "\ufeff" + line[place:]


def second_bom(draft: Draft, chance: random.Random) -> None:
    draft.lines[0] = "\ufeff" * chance.randint(1, 2) + draft.lines[0]


def _picked(draft: Draft, chance: random.Random) -> list[int]:
    count = len(draft.rows)
    return sorted(chance.sample(range(count), min(count, chance.choice((1, 1, 2, count)))))


def _insert(draft: Draft, chance: random.Random, line: str) -> None:
    draft.lines.insert(chance.randint(1, len(draft.lines)), line)


# -- bytes


def cut_in_the_last_row(draft: Draft, chance: random.Random) -> None:
    last = encoded(replace(draft, lines=draft.lines[-1:], written=replace(draft.written, preamble=0)))
    draft.data = draft.data[: -chance.randint(1, max(len(last) - 1, 1))]


def invalid_bytes_in_header(draft: Draft, chance: random.Random) -> None:
    draft.data = _with_invalid(draft.data, 0, max(draft.data.find(b"\n"), 1), chance)


def invalid_bytes_in_body(draft: Draft, chance: random.Random) -> None:
    start = draft.data.find(b"\n") + 1
    for _ in range(chance.choice((1, 1, 3))):
        draft.data = _with_invalid(draft.data, start, len(draft.data), chance)


def _with_invalid(data: bytes, start: int, end: int, chance: random.Random) -> bytes:
    bad = chance.choice(
        (
            b"\xff",
            b"\xc3",
            b"\xe2\x82",
            b"\x81",
            b"\xed\xa0\x80",
            b"\xc0\x80",
            b"\xf5\x80\x80\x80",
            b"\xe9",
            b"\x00\xd8",
        )
    )
    place = chance.randint(start, end)
    return data[:place] + bad + data[place + chance.choice((0, len(bad))) :]


def nul_single(draft: Draft, chance: random.Random) -> None:
    place = chance.randrange(len(draft.data) + 1)
    draft.data = draft.data[:place] + b"\0" + draft.data[place + chance.randint(0, 1) :]


def nul_padding(draft: Draft, chance: random.Random) -> None:
    draft.data += b"\0" * chance.choice((1, 7, 64, 512, 4096))


def nul_block(draft: Draft, chance: random.Random) -> None:
    place, size = chance.randint(0, len(draft.data)), chance.choice((2, 16, 64, 512))
    draft.data = draft.data[:place] + b"\0" * size + draft.data[place + chance.choice((0, size)) :]


def concatenated(first: Draft, chance: random.Random) -> None:
    """Append another export of the same kind, in its own dialect or in that of this one."""
    other = fresh(chance)
    other.header, own = list(first.header), len(first.header)
    other.rows = [(row * own)[:own] for row in other.rows]
    other.written = replace(first.written, preamble=0)
    if chance.random() < 0.4:
        other.written = replace(
            other.written, encoding=chance.choice(ENCODINGS), delimiter=chance.choice(",;")
        )
    lines = [other.header, *other.rows]
    other.lines = [serialised(row, other.written) for row in lines[chance.choice((0, 0, 1)) :]]
    joined = first.data if chance.random() < 0.7 else first.data.rstrip(b"\r\n")
    first.data = joined + encoded(other)


def _of_bytes(change: OfBytes) -> OfRows:
    def damage(draft: Draft, chance: random.Random) -> None:
        draft.data = change(draft.data, chance)

    return damage


def flipped(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(changed))
        changed[place] = chance.choice((changed[place] ^ (1 << chance.randrange(8)), chance.randrange(256)))
    return bytes(changed)


def inserted(data: bytes, chance: random.Random) -> bytes:
    place = chance.randint(0, len(data))
    signs = (
        chance.randbytes(chance.choice((1, 2, 9))),
        chance.choice((b'"', b"\n", b",", b"\r", b"\\", b"'", b" ")),
    )
    return data[:place] + chance.choice(signs) + data[place:]


def deleted(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    place, size = chance.randrange(len(data)), chance.choice((1, 1, 2, 40, 300))
    return data[:place] + data[place + size :]


def duplicated(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    place, size = chance.randrange(len(data)), chance.choice((1, 1, 2, 40, 300))
    piece = data[place : place + size]
    again = chance.choice((place + size, chance.randint(0, len(data))))
    return data[:again] + piece + data[again:]


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.choice((len(data) // 2, chance.randint(0, len(data)), max(len(data) - 1, 1)))]


OF_DIALECT: dict[str, OfRows] = {
    f.__name__: f
    for f in (
        backslash_quotes, cr_only, wide_with_mark, wide_without_mark, odd_delimiter, first_line_sep, repeated_title,
    )
}  # fmt: skip
OF_LINES: dict[str, OfRows] = {
    f.__name__: f
    for f in (
        short_rows, long_rows, short_and_long_rows, blank_lines, padded_rows, trailing_delimiters, repeated_header,
        report_footer, broken_quote_in_header, broken_quote_in_body, one_escaped_quote, wrong_delimiter,
        mixed_line_ends, bom_in_the_middle, second_bom,
    )
}  # fmt: skip
_RANDOM: dict[str, OfBytes] = {
    "flipped": flipped,
    "inserted": inserted,
    "deleted": deleted,
    "duplicated": duplicated,
}
OF_BYTES: dict[str, OfRows] = {
    **{
        f.__name__: f
        for f in (
            cut_in_the_last_row, invalid_bytes_in_header, invalid_bytes_in_body, nul_single, nul_padding, nul_block,
            concatenated,
        )
    },
    **{f"{name}_bytes": _of_bytes(change) for name, change in _RANDOM.items()},
}  # fmt: skip
OF_PACKED: dict[str, OfBytes] = {"truncated_packing": truncated, "flipped_packing": flipped}


# -- Parquet files


def _footer(data: bytes) -> int:
    """The position at which the footer begins, or should begin."""
    return max(len(data) - 8 - struct.unpack("<I", data[-8:-4])[0], 4) if len(data) > 12 else 4


def parquet_footer(data: bytes, chance: random.Random) -> bytes:
    start = _footer(data)
    return (
        data[:start]
        + chance.choice((flipped, flipped, deleted, duplicated))(data[start:-8], chance)
        + data[-8:]
    )


def parquet_pages(data: bytes, chance: random.Random) -> bytes:
    end = _footer(data)
    changed = chance.choice((flipped, flipped, flipped, nulled))(data[4:end], chance)
    return data[:4] + changed + data[end:]


def nulled(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    place, size = chance.randrange(len(data)), chance.choice((1, 4, 32, 256))
    return data[:place] + b"\0" * min(size, len(data) - place) + data[place + size :]


def parquet_lengths(data: bytes, chance: random.Random) -> bytes:
    """Change the length of the footer, or a number in the header of a page."""
    if chance.random() < 0.4:
        size = chance.choice((0, 1, 7, 2**31 - 1, 2**32 - 1, chance.randrange(2 * len(data))))
        return data[:-8] + struct.pack("<I", size) + data[-4:]
    starts = [n for n in range(4, _footer(data)) if data[n : n + 1] == b"\x15"] or [4]
    place = chance.choice(starts) + 1
    more = bytes(
        chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        for _ in range(chance.choice((1, 2, 5)))
    )
    return data[:place] + more + data[place + len(more) :]


def parquet_cut(data: bytes, chance: random.Random) -> bytes:
    return truncated(data, chance)


def parquet_shifted(data: bytes, chance: random.Random) -> bytes:
    return chance.choice((inserted, deleted, duplicated))(data, chance)


OF_PARQUET: dict[str, OfBytes] = {
    f.__name__: f for f in (parquet_footer, parquet_pages, parquet_lengths, parquet_cut, parquet_shifted)
}
