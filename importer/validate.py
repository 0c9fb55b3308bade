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

import polars as pl

from importer import read
from importer.errors import SourceError
from importer.marks import marks
from importer.model import State
from importer.schema import Rule

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
    attachments the message) and the marks of damage; of messages also `created_at`, `case`, `items` (how many
    attachments its cell lists) and `channel` where given; of other tables all given columns, typed. `fates`
    (FATE_SCHEMA) has a line for every other row and every rule that it breaks. Every row read is in exactly
    one of them.

    In place of its texts a good row has `body.bytes` (null without any), `body.hash` and, where asked for,
    `body.words`, a hash of what the text says whatever its layout. `bodies` has `_file`, `_record`, `text`
    and `html`, and `whole` the good messages with all their other columns, where they are kept. `cases` are
    the different ones among messages, by `case`.
    """

    scanned: read.Scanned
    rules: Mapping[str, Rule]
    read: int
    rows_by_file: Mapping[int, int]
    good: pl.LazyFrame
    fates: pl.LazyFrame
    differing: Mapping[str, int]
    cases: pl.LazyFrame | None = None
    whole: pl.LazyFrame | None = None
    bodies: pl.LazyFrame | None = None


def key(name: str) -> pl.Expr:
    """The key of an id; null without one."""
    return pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash())


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
    rules = [*_FLAW_RULES, *schema.rules(scanned.given, timezone)]
    sinks = _Sinks(scanned, rules, workdir, whole=whole, words=words)
    read_on = _collect(scanned, list(sinks.of(_judged(scanned, rules, timezone))))
    rows = _rows_by_file(sinks.good, sinks.bad) if read_on else {}
    # What polars read must be what the bytes have, or the proof was none.
    if not read_on or any(_differs(origin, rows.get(n, 0)) for n, origin in enumerate(scanned.origins)):
        if scanned.exactly is None or (again := scanned.exactly()) is None:
            raise AssertionError(f"{schema.name}: read row by row, and still not as its bytes are")
        return validate(again, timezone=timezone, workdir=workdir, whole=whole, words=words)
    good = pl.scan_parquet(sinks.good, glob=False)
    fates = _fates(pl.scan_parquet(sinks.bad, glob=False), rules)
    doubles = _doubles(scanned, good) if schema.primary else FATE_SCHEMA.to_frame()
    if not doubles.is_empty():
        good = good.join(doubles.lazy(), on=["_file", "_record"], how="anti")
    if schema.primary:
        fates = pl.concat([_apart(fates, good), doubles.lazy()])
    named = {rule.name: rule for rule in rules}
    for column in schema.unique:
        name = f"{column}.unique"
        named[name] = Rule(name, column, "stands in more than one row", pl.lit(value=False))
    return Checked(
        scanned,
        named,
        sum(rows.values()),
        rows,
        good,
        fates,
        _differing(scanned, good),
        *(pl.scan_parquet(path, glob=False) if path else None for path in sinks.more),
    )


@dataclass(slots=True)
class _Sinks:
    """Where the rows of a table go, in one pass over them."""

    scanned: read.Scanned
    rules: list[Rule]
    workdir: Path
    whole: bool
    words: bool

    @property
    def table(self) -> str:
        return self.scanned.schema.name

    @property
    def good(self) -> Path:
        return self.workdir / f"{self.table}.good.parquet"

    @property
    def bad(self) -> Path:
        return self.workdir / f"{self.table}.bad.parquet"

    @property
    def more(self) -> tuple[Path | None, ...]:
        """Cases, whole messages, texts: where the table has them."""
        there = (self.table == "messages", self.table == "messages" and self.whole, self._keeps_texts)
        names = ("cases", "whole", "bodies")
        return tuple(
            self.workdir / f"{self.table}.{name}.parquet" if is_there else None
            for name, is_there in zip(names, there, strict=True)
        )

    @property
    def _keeps_texts(self) -> bool:
        return self.whole and bool(self._texts)

    @property
    def _texts(self) -> list[str]:
        return [name for name in BODIES.get(self.table, ()) if name in self.scanned.given]

    def of(self, frame: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
        bad = frame.filter(pl.col("_out")).select(
            *_identity(self.table, self.scanned.given), "_skip", _broken=_broken(self.rules)
        )
        yield bad.sink_parquet(self.bad, lazy=True)
        good = frame.filter(~pl.col("_out")).with_columns(
            *self._traces(),
            *(() if self.table == "messages" else _identity(self.table, self.scanned.given)[2:4]),
        )
        good = good.drop(r"^(raw|state|twice|fails)\..*$", "_skip", "_flaw", "_out")
        cases, whole, bodies = self.more
        if bodies:
            text, html = (name if name in self._texts else None for name in BODIES[self.table])
            columns = {"text": _or_null(text), "html": _or_null(html)}
            texts = good.filter(pl.any_horizontal(pl.col(self._texts).is_not_null()))
            yield _sunk(texts.select("_file", "_record", **columns), bodies)
        good = good.drop(self._texts)
        if cases:
            named = [name for name in CASE if name in self.scanned.given]
            good = good.with_columns(*_identity(self.table, self.scanned.given)[2:5], case=case(named))
            yield _sunk(good.group_by("case").agg(pl.first(*named)), cases)
        if whole:
            yield _sunk(good, whole)
        yield _sunk(good.select(self._kept(good)) if cases else good, self.good)

    def _kept(self, good: pl.LazyFrame) -> list[str]:
        kept = {"_file", "_record", "key", "parent", "items", "case", "created_at", "channel"}
        there = good.collect_schema().names()
        return [name for name in there if name in kept or name.startswith(("damage.", "body."))]

    def _traces(self) -> Iterator[pl.Expr]:
        """What stands for a text where only its being there, its size and its sameness matter."""
        if self.table not in BODIES:
            return
        null = pl.lit(None, pl.UInt64)
        texts = [pl.col(name) for name in self._texts]
        size = pl.sum_horizontal(text.str.len_bytes() for text in texts).cast(pl.UInt64) if texts else null
        there = pl.any_horizontal(text.is_not_null() for text in texts) if texts else pl.lit(value=False)
        yield pl.when(there).then(size).alias("body.bytes")
        own = dict(zip(BODIES[self.table], (1, 31), strict=True))
        hashes = [pl.col(name).hash() * own[name] for name in self._texts] if self.whole else []
        yield (reduce(add, hashes) if hashes else null).alias("body.hash")
        plain = pl.coalesce(*texts, pl.lit(None, pl.String)).str.replace_all(r"<[^>]*>", " ")
        plain = plain.str.replace_all(r"\s+|&nbsp;", " ").str.strip_chars().str.to_lowercase()
        yield (plain.hash() if self.words and texts else null).alias("body.words")


def _or_null(name: str | None) -> pl.Expr:
    return pl.col(name) if name else pl.lit(None, pl.String)


def _sunk(frame: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    return frame.sink_parquet(path, compression="lz4", statistics=False, lazy=True)


def _differs(origin: read.Origin, rows: int) -> bool:
    """Whether a file that was proved has other rows than its bytes have records behind the header."""
    return origin.records is not None and rows != origin.records - 1


def _judged(scanned: read.Scanned, rules: list[Rule], timezone: str | None) -> pl.LazyFrame:
    """The frame with its typed columns, what each rule says of a row, and `_out` of one that is not good."""
    schema = scanned.schema
    if len(rules) > 64:
        raise AssertionError(f"{schema.name} has more rules than bits")
    names = _fails(rules)
    given = {name for columns in scanned.columns for name in columns}
    typed = schema.typed(scanned.frame, scanned.given, timezone)
    judged = typed.with_columns(
        *(rule.fails.alias(name) for rule, name in zip(rules, names, strict=True)), *marks(schema, given)
    )
    out = pl.any_horizontal(pl.col("_skip").is_not_null(), pl.col("_flaw").is_not_null(), *names)
    # Several sinks take from it; without this each would judge all rows for itself.
    return judged.with_columns(_out=out).cache()


def _fails(rules: list[Rule]) -> list[str]:
    """The columns that say which rules a row breaks."""
    return [f"fails.{i}" for i in range(len(rules))]


def _broken(rules: list[Rule]) -> pl.Expr:
    """A bit for every rule that a row breaks."""
    bits = [
        pl.when(name).then(pl.lit(1 << i, pl.UInt64)).otherwise(pl.lit(0, pl.UInt64))
        for i, name in enumerate(_fails(rules))
    ]
    # Of a row whose shape is broken nothing else can be said: its cells may stand in the wrong columns.
    of_shape, of_cells = bits[: len(_FLAW_RULES)], bits[len(_FLAW_RULES) :]
    return (
        pl.when(pl.col("_flaw").is_not_null())
        .then(pl.sum_horizontal(of_shape))
        .otherwise(pl.sum_horizontal(of_cells))
    )


def _collect(scanned: read.Scanned, sinks: list[pl.LazyFrame]) -> bool:
    """Write what the sinks say; False where polars cannot read the files, and they may be read row by row.
    Raises SourceError where that does not help either."""
    try:
        pl.collect_all(sinks, engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        if scanned.exactly is not None and any(file.kind == "csv" for file in scanned.files):
            return False
        faults = [found for file in scanned.files if (found := read.fault(file))]
        where = ", ".join(str(file.path) for file in scanned.files)
        raise SourceError("\n".join(faults) or f"{where}: cannot be read: {error}") from None
    return True


def _fates(bad: pl.LazyFrame, rules: list[Rule]) -> pl.LazyFrame:
    """A line for each broken rule; for a skipped row, one line with the reason."""
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
    candidates = good.join(twice.lazy(), on="key", how="semi")
    if column not in good.collect_schema():
        ids = scanned.frame.select("_file", "_record", column).with_columns(key=key(column))
        ids = ids.join(twice.lazy(), on="key", how="semi").drop("key")
        candidates = candidates.join(ids, on=["_file", "_record"], how="inner")
    candidates = candidates.collect(engine="streaming").lazy()
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
    own, parent = _IDS[table]
    listed = pl.col("attachments").list.len().fill_null(0) if "attachments" in given else pl.lit(0)
    return [
        pl.col("_file"),
        pl.col("_record"),
        (key(own) if own and own in given else pl.lit(None, pl.UInt64)).alias("key"),
        key(parent).alias("parent"),
        listed.cast(pl.UInt32).alias("items"),
        _or_null("ticket_id" if table == "tickets" else None).alias("ticket_id"),
    ]


def _rows_by_file(*paths: Path) -> Mapping[int, int]:
    frames = [pl.scan_parquet(path, glob=False).select("_file") for path in paths]
    counts = pl.concat(frames).group_by("_file").len().sort("_file").collect(engine="streaming")
    return {int(number): int(rows) for number, rows in counts.iter_rows()}


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
