"""Detect the encoding, line ends, delimiter and escapes of a CSV file from its first bytes. Pure.

The encoding comes from a byte order mark, from valid UTF-8 or from charset-normalizer; `notes` say which.
"""

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from charset_normalizer import from_bytes

# A cell may contain an e-mail with its complete history; the default limit of the csv module is 128 KiB.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

UTF8 = "utf-8-sig"  # with a byte order mark or without
_MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# In order of preference, for delimiters that split the rows equally well.
_DELIMITERS = (",", ";", "\t", "|", "^", "~", "¤", "\x1f", "\x01")
# Delimiters are compared on this many records, which is enough to show the usual width.
_RECORDS_LOOKED_AT = 400
# The preferred encoding, and how much more chaos (charset-normalizer's measure, 0 to 1) than the best it may
# have.
_COMMON, _ABOUT_AS_LIKELY = "cp1252", 0.15
_NAMES = {"\t": "tab", "\x1f": "unit separator", "\x01": "SOH"}


# A backslash that escapes a quote: the last of an odd number of them.
_ESCAPED_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
# Replaces such a quote while the csv module reads; decoded text never contains this lone surrogate.
_HIDDEN_QUOTE = "\ud801"
Escape = Literal["quotes", "all"]
_UNDECODED = "importer.undecoded"


def _undecoded(error: UnicodeError) -> tuple[str, int]:
    """An error handler like surrogateescape, for encodings with two or four bytes per character."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udc80", error.end


codecs.register_error(_UNDECODED, _undecoded)


_UNDECODED_SIGN = re.compile("[\udc80-\udcff]")


def has_undecoded(text: str) -> bool:
    """Whether the text contains bytes that could not be decoded."""
    return not text.isascii() and _UNDECODED_SIGN.search(text) is not None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written."""

    # The name of a codec.
    encoding: str = UTF8
    delimiter: str = ","
    # What ends its lines: a bare CR, or LF with or without CR.
    newline: str = "\n"
    # What a backslash escapes: quotes only, or backslashes too. None where it escapes nothing.
    escape: Escape | None = None
    # How many lines precede the header.
    preamble: int = 0
    # What was detected, for the user.
    notes: tuple[str, ...] = ()

    @property
    def encoding_name(self) -> str:
        return self.encoding.removesuffix("-sig")

    @property
    def is_wide(self) -> bool:
        """Whether a character takes two or four bytes."""
        return "16" in self.encoding or "32" in self.encoding

    @property
    def errors(self) -> str:
        """The error handler that keeps undecodable bytes as lone surrogates, which decoded text never
        contains."""
        return _UNDECODED if self.is_wide else "surrogateescape"

    @property
    def delimiter_name(self) -> str:
        return _NAMES.get(self.delimiter, self.delimiter)

    def reader(self, lines: Iterator[str], *, strict: bool = False) -> Iterator[list[str]]:
        """The csv module's reader of this dialect."""
        if self.escape is None:
            return csv.reader(lines, delimiter=self.delimiter, strict=strict)
        hidden = (_ESCAPED_QUOTE.sub(rf"\1{_HIDDEN_QUOTE}", line) for line in lines)
        records = csv.reader(hidden, delimiter=self.delimiter, strict=strict)
        return ([self._unescaped(cell) for cell in record] for record in records)

    def _unescaped(self, cell: str) -> str:
        cell = cell.replace("\\\\", "\\") if self.escape == "all" else cell
        return cell.replace(_HIDDEN_QUOTE, '"')


def with_encoding(sample: bytes, wanted: str | None) -> Dialect:
    """A dialect with the wanted encoding, or with the detected one. Raises LookupError for an encoding that
    does not exist, and UnicodeError for bytes that are not text in any known encoding."""
    if wanted is not None:
        codecs.lookup(wanted)
        plain = wanted.lower().replace("_", "-") in ("utf-8", "utf8")
        return Dialect(UTF8 if plain else wanted)
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return Dialect(
                encoding, notes=() if encoding == UTF8 else (f"encoding {encoding} (byte order mark)",)
            )
    if wide := _wide(sample):
        return Dialect(wide, notes=(f"encoding {wide} (detected from its zero bytes)",))
    return Dialect() if _mostly_utf8(sample) else other_encoding(sample)


def _mostly_utf8(sample: bytes) -> bool:
    """Whether at least half of the non-ASCII lines are UTF-8: then the others are damaged, and the encoding
    is UTF-8."""
    *whole, last = re.split(rb"[\r\n]+", sample)
    # The last line may end in the middle of a character.
    whole.append(last if _is_utf8(last) else re.sub(rb"[\xc2-\xf4][\x80-\xbf]{0,2}$", b"", last))
    bad = no_utf8(whole)
    # In a file of rejects, rows that were rejected for their bytes still contain them.
    bad = [line for line in bad if b"row.encoding" not in line]
    return len(bad) * 2 <= sum(not line.isascii() for line in whole)


def no_utf8(lines: Iterable[bytes]) -> list[bytes]:
    """The lines that are not UTF-8."""
    return [line for line in lines if not line.isascii() and not _is_utf8(line)]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def other_encoding(sample: bytes) -> Dialect:
    """The encoding of bytes that are not UTF-8, as charset-normalizer detects it. Raises UnicodeError where
    no encoding fits.

    cp1252 is preferred where it is about as likely as the best one: small samples do not distinguish Western
    from Central European languages, and most exports that are not Unicode come from Western Windows systems.
    """
    matches = from_bytes(sample, chunk_size=4096)
    likely = {name: match.chaos for match in matches for name in match.could_be_from_charset}
    best = matches.best()
    if best is None:
        raise UnicodeError("its bytes are not text in any known encoding")
    is_common = likely.get(_COMMON, 1.0) <= best.chaos + _ABOUT_AS_LIKELY
    encoding = _COMMON if is_common else best.encoding
    count = len(re.findall(rb"[\x80-\xff]", sample))
    others = [name for name in likely if name != encoding and likely[name] <= best.chaos + _ABOUT_AS_LIKELY]
    rest = f"; {', '.join(others[:3])} also possible" if others else ""
    note = (
        f"encoding {encoding} (guessed by charset-normalizer from {count:,} non-ASCII bytes{rest}); set the "
        "table's encoding if names look wrong"
    )
    return Dialect(encoding, notes=(note,))


def _wide(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, detected by zero bytes: they surround most of its ASCII
    characters, those of the header included."""
    start = sample[:4096]
    if start.count(0) * 3 < len(start) or 0 not in start[:64]:
        return None
    zeros = [start[n::4].count(0) * 4 > len(start) // 2 for n in range(4)]
    return {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }.get((zeros[0], zeros[1], zeros[2], zeros[3]))


def with_shape(dialect: Dialect, start: str, delimiter: str | None) -> Dialect:
    """The dialect with line ends, preamble, delimiter and escapes as the beginning of the text shows them. A
    given `delimiter` is kept."""
    if _ends_with_return(start):
        dialect = replace(dialect, newline="\r", notes=(*dialect.notes, "lines end with CR without LF"))
        start = start.replace("\r\n", "\n").replace("\r", "\n")
    if match := re.match(r"sep=(.)\r?\n", start):
        dialect = replace(
            dialect,
            preamble=1,
            delimiter=delimiter or match[1],
            notes=(*dialect.notes, "first line is a sep= line"),
        )
        start, delimiter = start[match.end() :].lstrip("\ufeff"), delimiter or match[1]
    if delimiter is None:
        delimiter = max(_DELIMITERS, key=lambda d: _fit(replace(dialect, delimiter=d), start))
        if not _fit(replace(dialect, delimiter=delimiter), start)[0]:
            dialect = replace(dialect, notes=(*dialect.notes, "no known delimiter splits its header"))
    dialect = replace(dialect, delimiter=delimiter)
    # A writer that escapes backslashes too leaves single ones only before quotes, and does not double quotes.
    edge = rf"[{re.escape(delimiter)}\r\n]"
    bare = re.sub(r"\\.", "__", start, flags=re.DOTALL)
    doubled = re.search(rf'(?<!^)(?<!{edge})""|""(?!{edge}|$)', bare)
    alone = re.search(r'(?<!\\)(?:\\\\)*\\(?![\\"])', start)
    escaped = replace(dialect, escape="quotes" if alone or doubled else "all")
    if '\\"' in start and not _is_sound(start, edge) and _fit(escaped, start) > _fit(dialect, start):
        others = "backslashes too" if escaped.escape == "all" else "backslashes are not"
        note = rf"quotes are escaped with backslashes (\"), {others}"
        return replace(escaped, notes=(*dialect.notes, note))
    return dialect


def _ends_with_return(start: str) -> bool:
    """Whether the first line, without its quoted cells, ends with a carriage return alone."""
    outside = re.sub(r'"[^"]*"', lambda quoted: "_" * len(quoted[0]), start[: 1 << 16])
    end = re.search(r"\r\n|\r|\n", outside)
    return end is not None and end[0] == "\r" and end.end() < len(start)


def _is_sound(start: str, edge: str) -> bool:
    """Whether every quote is where RFC 4180 allows it: around a cell, or doubled inside it. The last cell may
    be cut off."""
    cell = r'"[^"]*(?:""[^"]*)*'
    bare = re.sub(rf'(?:^|(?<={edge})){cell}(?:"(?={edge}|$)|$)', "", start)
    return '"' not in bare


def _fit(dialect: Dialect, start: str) -> tuple[bool, float, int]:
    """How well a dialect splits the records: whether into more than one column, the share of records as wide
    as the header, and the width."""
    records = list(_records(dialect, start))
    width = len(records[0]) if records else 0
    same = sum(len(record) == width for record in records[1:])
    share = round(same / max(len(records) - 1, 1), 1)
    return width > 1, share, width


def _records(dialect: Dialect, start: str) -> Iterator[list[str]]:
    """The first records that are not empty, without the last one, which the sample may have cut off."""
    found: list[list[str]] = []
    whole = True
    try:
        for record in dialect.reader(io.StringIO(start, newline="\n"), strict=True):
            if any(record):
                found.append(record)
            if len(found) > _RECORDS_LOOKED_AT:
                break
    except csv.Error:
        # Text after a broken quote counts as an empty record, so that this dialect fits worse.
        found.append([])
        whole = False
    return iter(found[:-1] if whole and len(found) > 2 else found)
