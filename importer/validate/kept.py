"""The columns of judged rows that are written: keys, typed columns, and sizes and hashes that replace
texts."""

from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from operator import add

import polars as pl

from importer.parse.fastpath import PLAIN
from importer.read.table import Scanned
from importer.tables.frames import AUTHOR_SIGNATURE, BODIES, SIGNAL

# One for each column of AUTHOR_SIGNATURE, so that equal cells in different columns give different hashes.
HASH_MULTIPLIERS = (31, 37, 41, 43, 47, 53, 59)

# The columns with the ids of a table's own rows and of those that they belong to.
_IDS: Mapping[str, tuple[str | None, str]] = {
    "tickets": ("ticket_id", "ticket_id"),
    "messages": ("message_id", "ticket_id"),
    "people": ("person_id", "person_id"),
    "attachments": (None, "message_id"),
}


def id_hash(name: str) -> pl.Expr:
    """The 64 bit hash of an id; null without an id."""
    return pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash())


def row_count(frame: pl.LazyFrame) -> int:
    """The number of rows."""
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def author_signature(columns: Collection[str]) -> pl.Expr:
    """The hash of AUTHOR_SIGNATURE. Missing columns count as null."""
    hashes = [
        pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash() * factor).otherwise(pl.lit(0, pl.UInt64))
        for name, factor in zip(AUTHOR_SIGNATURE, HASH_MULTIPLIERS, strict=True)
        if name in columns
    ]
    return reduce(add, hashes, pl.lit(0, pl.UInt64))


# The columns that identify a row of a table.
PLACE = ["_file", "_record"]


def texts_of(scanned: Scanned) -> list[str]:
    """The columns of texts that the table has."""
    return [name for name in BODIES.get(scanned.schema.name, ()) if name in scanned.given]


def kept(scanned: Scanned, judged: pl.LazyFrame, *, whole: bool, words: bool) -> pl.LazyFrame:
    """The columns of judged rows that are written. Unless `whole`, those of messages are only what `relate`
    needs."""
    table, given = scanned.schema.name, scanned.given
    extra = ("_differs", PLAIN)
    found = [n for n in judged.collect_schema().names() if n.startswith(SIGNAL) or n in extra]
    traces = list(_traces(scanned, whole=whole, words=words))
    kept = [*PLACE, "_skip", "_broken", "_out", *found, "key", "parent", "items"]
    kept += [trace.meta.output_name() for trace in traces]
    kept += [name for name in given if whole or name not in texts_of(scanned)]
    frame = judged.with_columns(*identity(table, given), *traces)
    if table != "messages":
        return frame.select(kept)
    named = [name for name in AUTHOR_SIGNATURE if name in given]
    frame = frame.with_columns(signature=author_signature(named)).with_columns(
        _first=_first(plain=PLAIN in found)
    )
    if not whole:
        kept = [name for name in kept if name not in given or name in ("message_id", "created_at")]
        frame = frame.with_columns(pl.when("_first").then(name).alias(name) for name in named)
        kept += named
    return frame.select(*kept, "signature", "_first")


def _first(*, plain: bool) -> pl.Expr:
    """Whether the signature of a row is the first of its kind in the batch, so that each one is kept at least
    once. Where only plain rows of the batch are kept, those that are not plain do not count."""
    signatures = pl.when(PLAIN).then("signature") if plain else pl.col("signature")
    return signatures.map_batches(
        lambda batch: batch.is_first_distinct(), return_dtype=pl.Boolean, is_elementwise=True
    )


def distinct_signatures(scanned: Scanned, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Each `signature` among the written rows, with its columns of AUTHOR_SIGNATURE that the table has."""
    named = [name for name in AUTHOR_SIGNATURE if name in scanned.given]
    return rows.filter(pl.col("_first")).group_by("signature").agg(pl.first(*named))


def bodies(table: str, texts: list[str], good: pl.LazyFrame) -> pl.LazyFrame:
    """BODIES_OF_ROWS: the texts of good rows that have one."""
    columns = {
        name: or_null(own if own in texts else None)
        for name, own in zip(("text", "html"), BODIES[table], strict=True)
    }
    frame = good.select(*PLACE, "parent", **columns)
    return frame.filter(pl.col("text").is_not_null() | pl.col("html").is_not_null())


def _traces(scanned: Scanned, *, whole: bool, words: bool) -> Iterator[pl.Expr]:
    """The columns that replace texts where only their existence, size and equality matter."""
    texts = [pl.col(name) for name in texts_of(scanned)]
    if not texts:
        return
    size = pl.sum_horizontal(text.str.len_bytes() for text in texts).cast(pl.UInt64)
    there = pl.any_horizontal(text.is_not_null() for text in texts)
    yield pl.when(there).then(size).alias("body.bytes")
    if whole:
        own = dict(zip(BODIES[scanned.schema.name], (1, 31), strict=True))
        yield reduce(add, (pl.col(name).hash() * own[name] for name in texts_of(scanned))).alias("body.hash")
    if words:
        plain = pl.coalesce(*texts).str.replace_all(r"<[^>]*>", " ")
        plain = plain.str.replace_all(r"\s+|&nbsp;", " ").str.strip_chars().str.to_lowercase()
        yield plain.hash().alias("body.words")


def or_null(name: str | None) -> pl.Expr:
    """The column with this name; nulls without a name."""
    return pl.col(name) if name else pl.lit(None, pl.String)


def identity(table: str, given: Collection[str]) -> list[pl.Expr]:
    """`key`, `parent` and `items` of GOOD (tables/frames.py)."""
    own, parent = _IDS[table]
    listed = pl.col("attachments").list.len().fill_null(0) if "attachments" in given else pl.lit(0)
    return [
        (id_hash(own) if own and own in given else pl.lit(None, pl.UInt64)).alias("key"),
        id_hash(parent).alias("parent"),
        listed.cast(pl.UInt32).alias("items"),
    ]
