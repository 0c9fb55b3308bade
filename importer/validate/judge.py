"""Tables × schemas → good rows, and every other row with the reason that keeps it out.

One streaming pass a table: what is kept of the rows goes to Parquet files in a work folder, so memory does
not grow with the export. Data never raises here; a file that cannot be read at all does (SourceError, with
the line).

Rows are known to each other by keys, 64 bit hashes of their ids: of 10 million ids two share a key with a
probability of one in 400,000. Uniqueness is decided by the ids themselves, and what is sent is joined by
them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Literal

import polars as pl

from importer import read
from importer.errors import SourceError
from importer.model import State
from importer.parse.fastpath import PLAIN, Care, Thorough
from importer.tables.schema import Rule
from importer.validate.batches import sifted
from importer.validate.row_signals import PREFIX, marks

# What a reject or a filtered row keeps: enough to find it again and to know what hangs on it. `ticket_id` is
# that of a ticket's own row.
FATE_SCHEMA = pl.Schema(
    {
        "_file": pl.UInt16,
        "_record": pl.UInt64,
        "key": pl.UInt64,
        "parent": pl.UInt64,
        "items": pl.UInt32,
        "state": pl.String,
        "rule": pl.String,
        "ticket_id": pl.String,
    }
)
# Where texts stand. They are most of an export and no rule looks at them, so they go their own way.
BODIES: Mapping[str, tuple[str, str]] = {
    "messages": ("text", "html"),
    "tickets": ("opening_text", "opening_html"),
}
# What says who wrote a message to whom. Few of these are different, so messages name them by a hash, `case`.
CASE: Mapping[str, pl.DataType] = {
    "author_id": pl.String(),
    "author_email": pl.String(),
    "author_name": pl.String(),
    "author_role": pl.String(),
    "from_email": pl.String(),
    "direction": pl.String(),
    "public": pl.Boolean(),
}
_FACTORS = (31, 37, 41, 43, 47, 53, 59)
_IDS: Mapping[str, tuple[str | None, str]] = {
    "tickets": ("ticket_id", "ticket_id"),
    "messages": ("message_id", "ticket_id"),
    "people": ("person_id", "person_id"),
    "attachments": (None, "message_id"),
}

_FLAW_RULES = [
    Rule(flaw.value, "", message, (pl.col("_flaw") == flaw.value).fill_null(value=False))
    for flaw, message in read.FLAWS.items()
    if flaw not in read.HARMLESS
]


@dataclass(frozen=True, slots=True)
class Checked:
    """One table after the rules that look at it alone.

    `good` has `_file`, `_record`, `key` (of its own id), `parent` (of what it belongs to: the ticket, for
    attachments the message), `items` (how many attachments its cell lists) and the marks of damage; of
    messages also `case` and `created_at`; of other tables, and of messages that are kept whole, all given
    columns, typed. `fates` (FATE_SCHEMA) has a line for every other row and every rule that it breaks. Every
    row read is in exactly one of them.

    In place of its texts a good row has `body.bytes` (null without any), `body.hash` and, where asked for,
    `body.words`, a hash of what the text says whatever its layout. `bodies` has `_file`, `_record`, `parent`,
    `text` and `html`, where they are kept. `cases` are the different ones among messages, by `case`.
    `at_fault` has, of rejected tickets that are gathered out of several rows, those that break a rule
    themselves: `ticket_id`, `rule`, `_file`, `_record`.
    """

    scanned: read.Scanned
    rules: Mapping[str, Rule]
    read: int
    rows_by_file: Mapping[int, int]
    good: pl.LazyFrame
    fates: pl.LazyFrame
    differing: Mapping[str, int]
    at_fault: pl.LazyFrame | None = None
    cases: pl.LazyFrame | None = None
    bodies: pl.LazyFrame | None = None


def key(name: str) -> pl.Expr:
    """The key of an id; null without one."""
    return pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash())


def count(frame: pl.LazyFrame) -> int:
    """How many rows there are."""
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def case(columns: Collection[str]) -> pl.Expr:
    """A hash of those columns of CASE that are there; one that is not counts as null."""
    hashes = [
        pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash() * factor).otherwise(pl.lit(0, pl.UInt64))
        for name, factor in zip(CASE, _FACTORS, strict=True)
        if name in columns
    ]
    return reduce(add, hashes, pl.lit(0, pl.UInt64))


def validate(
    scanned: read.Scanned, *, timezone: str | None, workdir: Path, whole: bool = True, words: bool = False
) -> Checked:
    """Judge one table. What is kept of it is written below `workdir`; texts and whole messages only where
    `whole`."""
    schema = scanned.schema
    rules = [*_FLAW_RULES, *schema.rules(scanned.given, timezone, Thorough())]
    path = workdir / f"{schema.name}.rows.parquet"

    def judge(rows: pl.LazyFrame, care: Care) -> pl.LazyFrame:
        judged = _judged(scanned, rows, timezone, care)
        return _kept(scanned, judged, whole=whole, words=words)

    judged = [judge(frame, Thorough()) for frame in scanned.frames]
    judged = [sifted(scanned.pieces, judge), *judged] if scanned.pieces else judged
    read_on = _written(scanned, pl.concat(judged, how="diagonal"), path)
    if (proved := scanned.proved()) is not None:
        return validate(proved, timezone=timezone, workdir=workdir, whole=whole, words=words)
    rows = _rows_by_file(path) if read_on else {}
    # What polars read must be what the bytes have, or the proof was none; a panic of its own it may keep.
    differing = [n for n, origin in enumerate(scanned.origins) if _differs(origin, rows.get(n, 0))]
    if damaged := [n for n in differing if read_on and scanned.files[n].kind == "parquet"]:
        raise SourceError("\n".join(_unread(scanned.files[n], rows.get(n, 0)) for n in damaged))
    if not read_on or differing:
        if scanned.exactly is None or (again := scanned.exactly()) is None:
            raise AssertionError(f"{schema.name}: read row by row, and still not as its bytes are")
        return validate(again, timezone=timezone, workdir=workdir, whole=whole, words=words)
    every = pl.scan_parquet(path, glob=False)
    out = pl.col("_out")
    good = every.filter(~out) if every.select(out.any()).collect(engine="streaming").item() else every
    fates = _fates(every.filter(out), schema.name, rules)
    if schema.primary:
        doubles = _doubles(scanned, good)
        good = good.join(doubles.lazy(), on=_PLACE, how="anti") if not doubles.is_empty() else good
        fates = pl.concat([_apart(fates, good), doubles.lazy()])
    named = {rule.name: rule for rule in rules}
    for column in schema.unique:
        name = f"{column}.unique"
        named[name] = Rule(name, column, "stands in more than one row", pl.lit(value=False))
    texts = _texts(scanned)
    return Checked(
        scanned,
        named,
        sum(rows.values()),
        rows,
        good.drop(
            *_JUDGED,
            *texts,
            *(() if whole or schema.name != "messages" else (*CASE, "message_id")),
            strict=False,
        ),
        fates,
        _differing(scanned, good),
        at_fault=_at_fault(scanned, fates, timezone, rules),
        cases=_cases(scanned, every) if schema.name == "messages" else None,
        bodies=_bodies(schema.name, texts, good) if whole and schema.name in BODIES else None,
    )


_PLACE = ["_file", "_record"]
_JUDGED = ("_skip", "_flaw", "_broken", "_out", "_first")


def _texts(scanned: read.Scanned) -> list[str]:
    return [name for name in BODIES.get(scanned.schema.name, ()) if name in scanned.given]


def _kept(scanned: read.Scanned, judged: pl.LazyFrame, *, whole: bool, words: bool) -> pl.LazyFrame:
    """What is written of the rows: of messages as little as relations need, unless they are kept whole."""
    table, given = scanned.schema.name, scanned.given
    extra = ("_differs", PLAIN)
    found = [n for n in judged.collect_schema().names() if n.startswith(PREFIX) or n in extra]
    traces = list(_traces(scanned, whole=whole, words=words))
    kept = [*_PLACE, "_skip", "_broken", "_out", *found, "key", "parent", "items"]
    kept += [trace.meta.output_name() for trace in traces]
    kept += [name for name in given if whole or name not in _texts(scanned)]
    frame = judged.with_columns(*_identity(table, given), *traces)
    if table != "messages":
        return frame.select(kept)
    named = [name for name in CASE if name in given]
    frame = frame.with_columns(case=case(named)).with_columns(_first=_first(plain=PLAIN in found))
    if not whole:
        kept = [name for name in kept if name not in given or name in ("message_id", "created_at")]
        frame = frame.with_columns(pl.when("_first").then(name).alias(name) for name in named)
        kept += named
    return frame.select(*kept, "case", "_first")


def _first(*, plain: bool) -> pl.Expr:
    """Rows whose case is the first of its kind in the batch: enough to have each case once at least. Where
    only plain rows stay, the first of those."""
    cases = pl.when(PLAIN).then("case") if plain else pl.col("case")
    return cases.map_batches(
        lambda cases: cases.is_first_distinct(), return_dtype=pl.Boolean, is_elementwise=True
    )


def _cases(scanned: read.Scanned, rows: pl.LazyFrame) -> pl.LazyFrame:
    named = [name for name in CASE if name in scanned.given]
    return rows.filter(pl.col("_first")).group_by("case").agg(pl.first(*named))


def _bodies(table: str, texts: list[str], good: pl.LazyFrame) -> pl.LazyFrame:
    columns = {
        name: _or_null(own if own in texts else None)
        for name, own in zip(("text", "html"), BODIES[table], strict=True)
    }
    frame = good.select(*_PLACE, "parent", **columns)
    return frame.filter(pl.col("text").is_not_null() | pl.col("html").is_not_null())


def _traces(scanned: read.Scanned, *, whole: bool, words: bool) -> Iterator[pl.Expr]:
    """What stands for a text where only its being there, its size and its sameness matter."""
    texts = [pl.col(name) for name in _texts(scanned)]
    if not texts:
        return
    size = pl.sum_horizontal(text.str.len_bytes() for text in texts).cast(pl.UInt64)
    there = pl.any_horizontal(text.is_not_null() for text in texts)
    yield pl.when(there).then(size).alias("body.bytes")
    if whole:
        own = dict(zip(BODIES[scanned.schema.name], (1, 31), strict=True))
        yield reduce(add, (pl.col(name).hash() * own[name] for name in _texts(scanned))).alias("body.hash")
    if words:
        plain = pl.coalesce(*texts).str.replace_all(r"<[^>]*>", " ")
        plain = plain.str.replace_all(r"\s+|&nbsp;", " ").str.strip_chars().str.to_lowercase()
        yield plain.hash().alias("body.words")


def _or_null(name: str | None) -> pl.Expr:
    return pl.col(name) if name else pl.lit(None, pl.String)


def _differs(origin: read.Origin, rows: int) -> bool:
    """Whether a file has made other rows than its bytes say."""
    return origin.rows is not None and rows != origin.rows


def _unread(file: read.SourceFile, rows: int) -> str:
    return (
        f"{file.path}: is a damaged Parquet file, or one that cannot be read rightly: of its {file.rows:,} "
        f"rows {rows:,} could be read"
    )


def _judged(scanned: read.Scanned, rows: pl.LazyFrame, timezone: str | None, care: Care) -> pl.LazyFrame:
    """The rows with their typed columns; `_out` of one that is not good, and in `_broken` a bit for every
    rule that it breaks. Plain rows break none."""
    schema = scanned.schema
    typed = schema.typed(rows, scanned.given, timezone, care)
    rules = schema.rules(scanned.given, timezone, care)
    if len(_FLAW_RULES) + len(rules) > 64:
        raise AssertionError(f"{schema.name} has more rules than bits")
    given = {name for columns in scanned.columns for name in columns}
    sound = pl.all_horizontal(pl.col("_flaw").is_null(), *(~rule.fails for rule in rules))
    fails = [rule.fails.alias(f"{i}") for i, rule in enumerate([*_FLAW_RULES, *rules])]
    broken = care.rows(fails, _bits, none=sound, value=pl.lit(0, pl.UInt64))
    judged = typed.with_columns(*marks(schema, given, care), broken.alias("_broken"), *care.plain())
    unlike = [name for name in given if f"{PREFIX}unlike.{name}" in judged.collect_schema()]
    return judged.with_columns(
        (pl.col("_skip").is_not_null() | (pl.col("_broken") != 0)).alias("_out"),
        *(pl.when(~pl.col(f"{PREFIX}unlike.{name}")).then(name).alias(name) for name in unlike),
    )


def _bits(fails: pl.Series) -> pl.Series:
    """A bit for every rule that a row breaks."""
    rules = fails.struct.unnest()
    if not rules.select(pl.any_horizontal(pl.all())).to_series().any():
        return pl.Series(fails.name, [0], dtype=pl.UInt64).new_from_index(0, len(fails))
    bits = [
        pl.when(name).then(pl.lit(1 << i, pl.UInt64)).otherwise(pl.lit(0, pl.UInt64))
        for i, name in enumerate(rules.columns)
    ]
    # Of a row whose shape is broken nothing else can be said: its cells may stand in the wrong columns.
    of_shape, all_bits = pl.sum_horizontal(bits[: len(_FLAW_RULES)]), pl.sum_horizontal(bits)
    return rules.select(pl.when(of_shape != 0).then(of_shape).otherwise(all_bits)).to_series()


def _written(scanned: read.Scanned, frame: pl.LazyFrame, path: Path) -> bool:
    """Write the rows; False where polars cannot read the files, and they may be read row by row. Raises
    SourceError where that does not help either."""
    try:
        # Without texts most are hashes, which do not get smaller and are read several times.
        compression: Literal["lz4", "uncompressed"] = (
            "lz4" if "text" in frame.collect_schema() else "uncompressed"
        )
        frame.sink_parquet(path, compression=compression, statistics=False, engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        if scanned.exactly is not None and any(file.kind == "csv" for file in scanned.files):
            return False
        faults = [found for file in scanned.files if (found := read.fault(file))]
        where = ", ".join(str(file.path) for file in scanned.files)
        raise SourceError("\n".join(faults) or f"{where}: cannot be read: {error}") from None
    return True


def _fates(bad: pl.LazyFrame, table: str, rules: list[Rule]) -> pl.LazyFrame:
    """A line for each broken rule; for a skipped row, one line with the reason."""
    bad = bad.with_columns(ticket_id=_or_null("ticket_id" if table == "tickets" else None))
    identity = [name for name in FATE_SCHEMA if name not in ("state", "rule")]
    skipped = bad.filter(pl.col("_skip").is_not_null()).select(
        *identity, state=pl.lit(State.FILTERED.value), rule="_skip"
    )
    names = [
        pl.when((pl.col("_broken") & (1 << i)) != 0).then(pl.lit(rule.name)) for i, rule in enumerate(rules)
    ]
    rejected = (
        bad.filter(pl.col("_skip").is_null())
        .with_columns(rule=pl.concat_list(names).list.drop_nulls())
        .explode("rule")
        .select(*identity, "rule", state=pl.lit(State.REJECTED.value))
    )
    return pl.concat([frame.select(*FATE_SCHEMA).cast(FATE_SCHEMA) for frame in (skipped, rejected)])


def _apart(fates: pl.LazyFrame, good: pl.LazyFrame) -> pl.LazyFrame:
    """A row that is left out or rejected beside a good one of the same record (an older version, one that was
    mended) says nothing about that record, so it has no key."""
    own = fates.select("key").drop_nulls()
    there = good.select("key").join(own, on="key", how="semi").unique().with_columns(_there=True)
    known = pl.col("_there").is_null()
    return (
        fates.join(there, on="key", how="left")
        .with_columns(key=pl.when(known).then("key"), ticket_id=pl.when(known).then("ticket_id"))
        .select(*FATE_SCHEMA)
    )


def _doubles(scanned: read.Scanned, good: pl.LazyFrame) -> pl.DataFrame:
    """The good rows that share an id with another, as fates. Keys find the few candidates, ids decide."""
    table, column = scanned.schema.name, scanned.schema.primary
    ordered = good.select(pl.col("key").drop_nulls()).collect(engine="streaming")["key"].sort()
    twice = ordered.filter(ordered == ordered.shift()).unique().to_frame()
    if twice.is_empty() or column is None:
        return FATE_SCHEMA.to_frame()
    candidates = good.join(twice.lazy(), on="key", how="semi").collect(engine="streaming").lazy()
    return (
        candidates.filter(pl.col(column).is_duplicated())
        .select(
            "_file",
            "_record",
            "key",
            "parent",
            items="items" if table == "messages" else pl.lit(0),
            state=pl.lit(State.REJECTED.value),
            rule=pl.lit(f"{column}.unique"),
            ticket_id="ticket_id" if table == "tickets" else pl.lit(None),
        )
        .cast(FATE_SCHEMA)
        .collect()
    )


def _identity(table: str, given: Collection[str]) -> list[pl.Expr]:
    """The keys of a row, and how many attachments its cell lists."""
    own, parent = _IDS[table]
    listed = pl.col("attachments").list.len().fill_null(0) if "attachments" in given else pl.lit(0)
    return [
        (key(own) if own and own in given else pl.lit(None, pl.UInt64)).alias("key"),
        key(parent).alias("parent"),
        listed.cast(pl.UInt32).alias("items"),
    ]


def _rows_by_file(path: Path) -> Mapping[int, int]:
    counts = (
        pl.scan_parquet(path, glob=False).group_by("_file").len().sort("_file").collect(engine="streaming")
    )
    return {int(number): int(rows) for number, rows in counts.iter_rows()}


def _at_fault(
    scanned: read.Scanned, fates: pl.LazyFrame, timezone: str | None, rules: list[Rule]
) -> pl.LazyFrame | None:
    """The same rules, on what each row of a rejected ticket says of it."""
    rejected = fates.filter(pl.col("state") == State.REJECTED).select("ticket_id").drop_nulls().unique()
    if not scanned.scattered or count(rejected) == 0:
        return None
    rows = pl.concat(scanned.scattered, how="diagonal").join(rejected, on="ticket_id", how="semi")
    judged = _judged(scanned, rows, timezone, Thorough()).with_columns(
        *_identity(scanned.schema.name, scanned.given)
    )
    own = _fates(judged.filter(pl.col("_broken") != 0), scanned.schema.name, rules)
    return own.filter(pl.col("state") == State.REJECTED).select("ticket_id", "rule", *_PLACE)


def _differing(scanned: read.Scanned, good: pl.LazyFrame) -> Mapping[str, int]:
    """For tickets gathered out of message rows: how many have rows that disagree, by column."""
    if not scanned.derived:
        return {}
    counts = (
        good.select(pl.col("_differs").str.split(", "))
        .explode("_differs")
        .filter(pl.col("_differs").is_not_null() & (pl.col("_differs") != ""))
        .group_by("_differs")
        .len()
        .sort("_differs")
        .collect(engine="streaming")
    )
    return dict(counts.iter_rows())
