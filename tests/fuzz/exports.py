"""Build small exports in any dialect: their rows, and the bytes of their file."""

import codecs
import csv
import datetime as dt
import decimal
import gzip
import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HEADERS = {
    "tickets": ("ticket_id", "subject", "queue", "opening_text", "created_at", "status", "Priority", "Note"),
    "messages": ("message_id", "ticket_id", "created_at", "author_name", "public", "text"),
}
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252")
DELIMITERS = (",", ",", ",", ";", "\t", "|")
NEWLINES = ("\n", "\n", "\r\n", "\r\n", "\r")
PACKINGS = (None, None, None, "gzip", "zstd")
STATES = ("open", "pending", "awaiting_pending", "closed")

_WORDS = (
    "Where is my order?", "Hej, tak for hjælpen", "Grüße aus Köln", "it costs 5,00 €", "naïve café", "done",
    "n/a", "NULL", "0", "00123", "1e5", "=1+1", "'=quoted", "-5", "@home", "a,b", "a;b", "a|b", "a\tb",
    'she said "no"', '"', '""', '","', '";"', "{'a': 1}", '["x", "y"]', "C:\\temp\\new", "  blanks  ", "\\",
    "line\nline", "line\r\nline", "\n", "para\n\n\ngraph", '"\n"', "1,2\n3,4", "http://shop.example/?a=1,2;3",
)  # fmt: skip
_FAR = (
    "日本語のテキスト", "Привет", "🙂 👩‍👩‍👧", "Żółć", "العربية", "\u2028sep\u2029", "\x85next", "a\x0bb\x0cc",
    "\x1cfs\x1d", "\ue00dprivate", "\ufffdlost", "e\u0301", "nb\u00a0sp", "zero\u200bwidth",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """How a CSV file is written."""

    encoding: str = "utf-8"
    delimiter: str = ","
    newline: str = "\n"
    quote_all: bool = False
    # What backslashes escape: "all" for quotes and backslashes, "quotes" for quotes only.
    escape: str | None = None
    preamble: int = 0
    packing: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One input."""

    seed: int
    kind: str
    table: str
    # The header and rows before any damage.
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    written: Written
    damages: tuple[str, ...] = ()
    # The bytes before compression.
    plain: bytes = b""
    # The bytes of the file.
    data: bytes = b""
    # The properties of `written` that the migration file sets.
    declared: tuple[str, ...] = ()
    # Lower limits of the reader, so that it treats the file as a long one.
    chunk: int | None = None
    sample: int | None = None
    features: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        if self.kind == "parquet":
            return "export.parquet"
        return "export.csv" + {"gzip": ".gz", "zstd": ".zst", None: ""}[self.written.packing]


@dataclass(slots=True)
class Draft:
    """A CSV export before it is complete. `lines` are its records as text, with the header first."""

    table: str
    header: list[str]
    rows: list[list[str]]
    written: Written
    lines: list[str] = field(default_factory=list)
    data: bytes = b""


def fresh(chance: random.Random) -> Draft:
    table = chance.choice(("tickets", "tickets", "messages"))
    written = Written(
        chance.choice(ENCODINGS),
        chance.choice(DELIMITERS),
        chance.choice(NEWLINES),
        chance.random() < 0.4,
        packing=chance.choice(PACKINGS),
    )
    header = [name for name in HEADERS[table] if name.endswith("_id") or chance.random() < 0.85]
    count = chance.choice((1, 2, 3, chance.randint(1, 40)))
    say = texts(chance, written)
    rows = [[_cell(name, number, chance, say) for name in header] for number in range(count)]
    return Draft(table, header, rows, written)


def texts(chance: random.Random, written: Written) -> Callable[[], str]:
    """A function that returns a random text that the encoding can represent."""
    far = _FAR if written.encoding.startswith("utf") and chance.random() < 0.6 else ()
    words = [*_WORDS, *far] if chance.random() < 0.8 else ["plain", "words", "only here"]
    if written.encoding == "cp1252":
        words = [word for word in words if _fits(word)]

    def say() -> str:
        if chance.random() < 0.004:
            return "long cell, " * chance.choice((200, 3000, 14_000))
        return " ".join(chance.choice(words) for _ in range(chance.choice((0, 1, 1, 2, 5))))

    return say


def _fits(word: str) -> bool:
    try:
        word.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _cell(name: str, number: int, chance: random.Random, say: Callable[[], str]) -> str:
    match name:
        case "ticket_id" | "message_id":
            return f"{name[0].upper()}-{number + 1:05}"
        case "created_at":
            return moment(chance).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "status":
            return chance.choice(STATES)
        case "public":
            return chance.choice(("true", "false"))
        case "subject":
            return say()[:1900]
        case "queue" | "author_name" | "Priority":
            return say()[:80]
        case _:
            return say()


def moment(chance: random.Random) -> dt.datetime:
    return dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=chance.randrange(40_000_000))


def serialised(row: Sequence[str], written: Written) -> str:
    """A record as text, with its line end."""
    if written.escape == "quotes":
        cells = ('"' + cell.replace('"', '\\"') + '"' for cell in row)
        return written.delimiter.join(cells) + written.newline
    out = io.StringIO()
    csv.writer(
        out,
        delimiter=written.delimiter,
        lineterminator="\r\n",  # so that CR and LF in cells are quoted, whatever ends the lines
        quoting=csv.QUOTE_ALL if written.quote_all else csv.QUOTE_MINIMAL,
        escapechar="\\" if written.escape else None,
        doublequote=written.escape is None,
    ).writerow(row)
    return out.getvalue().removesuffix("\r\n") + written.newline


def _as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """The bytes of text that a damage inserted and the encoding cannot represent. Lone surrogates replace
    bytes."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return text.encode("utf-8", "surrogateescape"), error.end


codecs.register_error("as-bytes", _as_bytes)


def encoded(draft: Draft) -> bytes:
    text = "".join(draft.lines)
    if draft.written.preamble:
        text = f"sep={draft.written.delimiter}{draft.written.newline}{text}"
    return text.encode(draft.written.encoding, "as-bytes")


def packed(data: bytes, packing: str | None) -> bytes:
    match packing:
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "zstd":
            return bytes(pa.compress(data, "zstd", asbytes=True))
        case _:
            return data


# -- Parquet


def parquet(seed: int, chance: random.Random) -> Case:
    """A Parquet export. Its `rows` stay empty, since the oracle reads them from the bytes."""
    count = chance.choice((1, 2, chance.randint(1, 40)))
    columns: dict[str, pa.Array] = {
        "ticket_id": _ids(count, chance),
        "subject": _text(count, chance, 1900),
        "opening_text": _text(count, chance),
        "created_at": _times(count, chance),
    }
    makers = list(_FURTHER)
    for number in range(chance.randint(0, 6)):
        name = chance.choice(makers)
        columns[f"{name} {number}"] = _FURTHER[name](count, chance)
    table = pa.table(columns)
    out = io.BytesIO()
    pq.write_table(
        table,
        out,
        compression=chance.choice(("none", "none", "snappy", "zstd", "gzip")),
        row_group_size=chance.choice((3, 1000)),
        use_dictionary=chance.random() < 0.5,
        data_page_version=chance.choice(("1.0", "2.0")),
        use_deprecated_int96_timestamps=chance.random() < 0.2,
        version=chance.choice(("2.4", "2.6")),
        write_page_index=chance.random() < 0.3,
        store_schema=chance.random() < 0.7,
    )
    data = out.getvalue()
    return Case(seed, "parquet", "tickets", tuple(columns), (), Written(), plain=data, data=data)


def _ids(count: int, chance: random.Random) -> pa.Array:
    ids = [f"{n + 1:05}" for n in range(count)]
    match chance.randrange(4):
        case 0:
            return pa.array([int(text) for text in ids], pa.int64())
        case 1:
            return pa.array(ids, pa.large_string())
        case 2:
            return pa.array(ids).dictionary_encode()
        case _:
            return pa.array(ids)


def _text(count: int, chance: random.Random, longest: int | None = None) -> pa.Array:
    say = texts(chance, Written())
    values = [None if chance.random() < 0.1 else say()[:longest] for _ in range(count)]
    kind = chance.randrange(4)
    array = pa.array(values, pa.large_string() if kind == 1 else pa.string())
    return array.dictionary_encode() if kind == 2 else array


def _times(count: int, chance: random.Random) -> pa.Array:
    unit, zone = chance.choice(("s", "ms", "us", "ns")), chance.choice((None, "UTC", "Europe/Copenhagen"))
    values = [None if chance.random() < 0.1 else moment(chance) for _ in range(count)]
    array = pa.array([value and value.replace(tzinfo=None) for value in values], pa.timestamp(unit))
    return array.cast(pa.timestamp(unit, zone)) if zone else array


def _some(
    type_: pa.DataType, make: Callable[[random.Random], Any]
) -> Callable[[int, random.Random], pa.Array]:
    def array(count: int, chance: random.Random) -> pa.Array:
        return pa.array([None if chance.random() < 0.15 else make(chance) for _ in range(count)], type_)

    return array


def _word(chance: random.Random) -> str:
    return chance.choice((*_WORDS, *_FAR))


_PAIR = pa.struct({"name": pa.string(), "count": pa.int64(), "on": pa.bool_()})
_FURTHER: dict[str, Callable[[int, random.Random], pa.Array]] = {
    "text": _text,
    "time": _times,
    "null": lambda count, chance: pa.nulls(count),
    "null text": lambda count, chance: pa.nulls(count, pa.string()),
    "bool": _some(pa.bool_(), lambda c: c.random() < 0.5),
    "int": _some(pa.int64(), lambda c: c.randint(-(2**60), 2**60)),
    "small int": _some(pa.int8(), lambda c: c.randint(-128, 127)),
    "unsigned": _some(pa.uint64(), lambda c: c.randrange(2**64)),
    "float": _some(pa.float64(), lambda c: c.choice((0.0, -1.5, 1e300, 1 / 3, float("nan"), 12345.0))),
    "date": _some(pa.date32(), lambda c: moment(c).date()),
    "decimal": _some(pa.decimal128(12, 2), lambda c: decimal.Decimal(c.randrange(10**9)) / 100),
    "binary": _some(pa.binary(), lambda c: _word(c).encode()),
    "list": _some(pa.list_(pa.string()), lambda c: [_word(c) for _ in range(c.randrange(4))]),
    "numbers": _some(pa.list_(pa.int32()), lambda c: [c.randrange(99) for _ in range(c.randrange(4))]),
    "struct": _some(_PAIR, lambda c: {"name": _word(c), "count": c.randrange(99), "on": None}),
    "structs": _some(
        pa.list_(_PAIR), lambda c: [{"name": _word(c), "count": 1, "on": True} for _ in range(c.randrange(3))]
    ),
    "nested": _some(
        pa.struct({"a": pa.struct({"b": pa.list_(pa.string())})}),
        lambda c: {"a": {"b": [_word(c), None]} if c.random() < 0.8 else None},
    ),
}


def with_data(case: Case, data: bytes, damages: Sequence[str]) -> Case:
    return replace(case, data=data, damages=tuple(damages))
