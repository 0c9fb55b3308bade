"""Tables × schemas → good rows, and every other row with the reason that keeps it out.

One streaming pass a table: the rows go to Parquet files in a work folder, so memory does not grow with the
export. Data never raises here; a file that cannot be read at all does (SourceError, with the line).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from importer import read
from importer.errors import SourceError
from importer.marks import marks
from importer.model import State
from importer.schema import Rule, TableSchema

# What a reject or a filtered row keeps: enough to find it again and to know what hangs on it.
FATE_SCHEMA = pl.Schema(
    {
        "_file": pl.UInt16,
        "_record": pl.UInt64,
        "id": pl.String,
        "parent": pl.String,
        "items": pl.UInt32,
        "state": pl.String,
        "rule": pl.String,
    }
)
# Where texts stand. They are most of an export and no rule looks at them, so they go their own way.
BODIES: Mapping[str, tuple[str, str]] = {
    "messages": ("text", "html"),
    "tickets": ("opening_text", "opening_html"),
}
_IDENTITY = ("_file", "_record", "id", "parent", "items")
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

    `good` has the canonical columns, typed, with `_file`, `_record` and the marks of damage. `fates`
    (FATE_SCHEMA) has a line for every other row and every rule that it breaks: `id` is its own, `parent` what
    it belongs to (the ticket, for attachments the message), `items` counts the attachments in a message's
    cell. Every row read is in exactly one of them.

    In place of its texts a good row has `body.bytes` (null without any), `body.hash` and, where asked for,
    `body.words`, a hash of what the text says whatever its layout. `bodies` has `_file`, `_record`, `text`
    and `html`, where they are kept.
    """

    scanned: read.Scanned
    rules: Mapping[str, Rule]
    read: int
    rows_by_file: Mapping[int, int]
    good: pl.LazyFrame
    fates: pl.LazyFrame
    differing: Mapping[str, int]
    bodies: pl.LazyFrame | None = None


def validate(
    scanned: read.Scanned, *, timezone: str | None, workdir: Path, bodies: bool = True, words: bool = False
) -> Checked:
    """Judge one table. Its good rows and the fates of the others are written below `workdir`, their texts
    only with `bodies`."""
    schema = scanned.schema
    rules = [*_FLAW_RULES, *schema.rules(timezone)]
    good_path, bad_path = workdir / f"{schema.name}.good.parquet", workdir / f"{schema.name}.bad.parquet"
    bodies_path = workdir / f"{schema.name}.bodies.parquet" if bodies and schema.name in BODIES else None
    frame = _judged(scanned, rules, timezone)
    read_on = _collect(scanned, _sinks(frame, schema.name, good_path, bad_path, bodies_path, words=words))
    rows = _rows_by_file(good_path, bad_path) if read_on else {}
    # What polars read must be what the bytes have, or the proof was none.
    if not read_on or any(_differs(origin, rows.get(n, 0)) for n, origin in enumerate(scanned.origins)):
        if scanned.exactly is None or (again := scanned.exactly()) is None:
            raise AssertionError(f"{schema.name}: read row by row, and still not as its bytes are")
        return validate(again, timezone=timezone, workdir=workdir, bodies=bodies, words=words)
    good = pl.scan_parquet(good_path, glob=False)
    fates = _fates(pl.scan_parquet(bad_path, glob=False), rules)
    doubles = [_doubles(good, schema.name, column) for column in schema.unique]
    for double in doubles:
        good = good.join(double.lazy(), on=["_file", "_record"], how="anti")
    fates = pl.concat([_apart(fates, good, schema), *(double.lazy() for double in doubles)])
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
        pl.scan_parquet(bodies_path, glob=False) if bodies_path else None,
    )


def _sinks(
    frame: pl.LazyFrame, table: str, good_path: Path, bad_path: Path, bodies_path: Path | None, *, words: bool
) -> list[pl.LazyFrame]:
    """One pass over the judged rows: the good ones, the others, and the texts of the good ones."""
    own = BODIES.get(table)
    out = pl.col("_skip").is_not_null() | (pl.col("_broken") != 0)
    sinks = [
        frame.filter(~out)
        .with_columns(_traces(*own, words=words) if own else [])
        .drop("_skip", "_flaw", "_broken", "^(raw|state|twice)\\..*$", *(own or ()))
        .sink_parquet(good_path, compression="lz4", statistics=False, lazy=True),
        frame.filter(out).select(*_identity(table), "_skip", "_broken").sink_parquet(bad_path, lazy=True),
    ]
    if own and bodies_path:
        sinks.append(
            frame.filter(~out & pl.coalesce(own).is_not_null())
            .select("_file", "_record", text=own[0], html=own[1])
            .sink_parquet(bodies_path, compression="lz4", statistics=False, lazy=True)
        )
    return sinks


def _differs(origin: read.Origin, rows: int) -> bool:
    """Whether a file that was proved has other rows than its bytes have records behind the header."""
    return origin.records is not None and rows != origin.records - 1


def _judged(scanned: read.Scanned, rules: list[Rule], timezone: str | None) -> pl.LazyFrame:
    """The frame with its typed columns, and in `_broken` a bit for every rule that a row breaks."""
    schema = scanned.schema
    if len(rules) > 64:
        raise AssertionError(f"{schema.name} has more rules than bits")
    bits = [pl.when(rule.fails).then(pl.lit(1 << i, pl.UInt64)) for i, rule in enumerate(rules)]
    # Of a row whose shape is broken nothing else can be said: its cells may stand in the wrong columns.
    of_shape, of_cells = bits[: len(_FLAW_RULES)], bits[len(_FLAW_RULES) :]
    broken = (
        pl.when(pl.col("_flaw").is_not_null())
        .then(pl.sum_horizontal(of_shape, ignore_nulls=True))
        .otherwise(pl.sum_horizontal(of_cells, ignore_nulls=True))
    )
    given = {name for columns in scanned.columns for name in columns}
    typed = schema.typed(scanned.frame, timezone)
    return typed.with_columns(broken.alias("_broken"), *marks(schema, given))


def _traces(text: str, html: str, *, words: bool) -> list[pl.Expr]:
    """What stands for a text where only its being there, its size and its sameness matter."""
    size = pl.sum_horizontal(pl.col(name).str.len_bytes() for name in (text, html))
    plain = pl.coalesce(text, html).str.replace_all(r"<[^>]*>", " ")
    plain = plain.str.replace_all(r"\s+|&nbsp;", " ").str.strip_chars().str.to_lowercase()
    return [
        pl.when(pl.coalesce(text, html).is_not_null()).then(size).cast(pl.UInt64).alias("body.bytes"),
        (pl.col(text).hash() * 31 + pl.col(html).hash()).alias("body.hash"),
        (plain.hash() if words else pl.lit(None, pl.UInt64)).alias("body.words"),
    ]


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
    skipped = bad.filter(pl.col("_skip").is_not_null()).select(
        *_IDENTITY, pl.lit(State.FILTERED.value).alias("state"), rule="_skip"
    )
    names = [
        pl.when((pl.col("_broken") & (1 << i)) != 0).then(pl.lit(rule.name)) for i, rule in enumerate(rules)
    ]
    rejected = (
        bad.filter(pl.col("_skip").is_null())
        .with_columns(rule=pl.concat_list(names).list.drop_nulls())
        .explode("rule")
        .select(*_IDENTITY, pl.lit(State.REJECTED.value).alias("state"), "rule")
    )
    return pl.concat([skipped, rejected]).cast(FATE_SCHEMA)


def _apart(fates: pl.LazyFrame, good: pl.LazyFrame, schema: TableSchema) -> pl.LazyFrame:
    """A row that is left out or rejected beside a good one of the same record (an older version, one that was
    mended) says nothing about that record, so it has no id."""
    if schema.primary is None:
        return fates
    there = good.select(id=schema.primary, _there=pl.lit(value=True)).unique("id")
    return (
        fates.join(there, on="id", how="left")
        .with_columns(id=pl.when(pl.col("_there").is_null()).then("id"))
        .select(*FATE_SCHEMA)
    )


def _doubles(good: pl.LazyFrame, table: str, column: str) -> pl.DataFrame:
    """The rows that share an id with another, as fates. Hashes find the few candidates, ids decide."""
    hashes = good.select(pl.col(column).drop_nulls().hash().alias("hash")).collect(engine="streaming")["hash"]
    ordered = hashes.sort()
    twice = ordered.filter(ordered == ordered.shift()).unique().to_frame()
    if twice.is_empty():
        return FATE_SCHEMA.to_frame()
    return (
        good.with_columns(pl.col(column).hash().alias("hash"))
        .join(twice.lazy(), on="hash", how="semi")
        .filter(pl.col(column).is_not_null() & pl.col(column).is_duplicated())
        .select(
            *_identity(table),
            pl.lit(State.REJECTED.value).alias("state"),
            pl.lit(f"{column}.unique").alias("rule"),
        )
        .cast(FATE_SCHEMA)
        .collect(engine="streaming")
    )


def _identity(table: str) -> list[pl.Expr]:
    own, parent = _IDS[table]
    count = pl.col("attachments").list.len().fill_null(0) if table == "messages" else pl.lit(0)
    return [
        pl.col("_file"),
        pl.col("_record"),
        (pl.col(own) if own else pl.lit(None, pl.String)).alias("id"),
        pl.col(parent).alias("parent"),
        count.cast(pl.UInt32).alias("items"),
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
