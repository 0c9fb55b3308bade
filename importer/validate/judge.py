"""Judge the rows of tables by their schemas: good rows, and all others with the rules that they break.

Each table takes one streaming pass. The rows are written to Parquet files in a work folder, so memory does
not grow with the export. Wrong data never raises; a file that cannot be read does (SourceError with the
line).

Rows refer to each other by keys, which are 64 bit hashes of their ids. Among 10 million ids, two share a key
with a probability of one in 400,000. The ids themselves decide uniqueness, and join the data that is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from importer.errors import SourceError
from importer.model import State
from importer.parse.fastpath import Evaluator, FullEvaluator
from importer.read.fetch import find_fault
from importer.read.flaws import FLAWS, HARMLESS
from importer.read.readable import ReadMode
from importer.read.scan import TableScan
from importer.read.source_file import SourceFile
from importer.read.table import Origin, Scanned
from importer.read.workdir import full, says_full
from importer.tables.frames import AUTHOR_SIGNATURE, BODIES, FATES, SIGNAL
from importer.tables.rules import Rule, row_rules
from importer.tables.typed import typed
from importer.validate.batches import judged_in_batches
from importer.validate.checked import Checked
from importer.validate.duplicates import apart, duplicates
from importer.validate.kept import (
    PLACE,
    bodies,
    distinct_signatures,
    identity,
    kept,
    or_null,
    row_count,
    texts_of,
)
from importer.validate.row_signals import row_signals

_FLAW_RULES = [
    Rule(flaw.value, "", message, (pl.col("_flaw") == flaw.value).fill_null(value=False))
    for flaw, message in FLAWS.items()
    if flaw not in HARMLESS
]


def judge_table(
    scan: TableScan, *, timezone: str | None, workdir: Path, whole: bool = True, words: bool = False
) -> Checked:
    """Judge one table, in the fastest mode of reading that is correct for its files.

    The rows are written below `workdir`: texts and complete messages only if `whole`, hashes of the words of
    texts only if `words`. Raises SourceError for a file that cannot be read to its end.
    """
    judging = _Judging(timezone, workdir, whole, words)
    while True:
        could_read = judging.write(scan)
        if not scan.is_unambiguous():
            scan = scan.again(ReadMode.CHECKED)
        elif not could_read or judging.differs_from_bytes(scan.table):
            # polars read other rows than the file has, or failed although the structure check passed.
            scan = scan.again(ReadMode.EXACT)
        else:
            return judging.checked(scan.table)


@dataclass(frozen=True, slots=True)
class _Judging:
    """The steps of judging one table. Each works on the rows that the previous one has written."""

    # The time zone of times without a zone.
    timezone: str | None
    # The folder for the written rows.
    workdir: Path
    # Whether texts and complete messages are kept.
    whole: bool
    # Whether hashes of the words of texts are kept.
    words: bool

    def write(self, scan: TableScan) -> bool:
        """Judge the rows and write them. False where polars cannot read the files, and another mode of
        reading may. Raises SourceError where no mode can."""
        table = scan.table

        def judge(rows: pl.LazyFrame, evaluator: Evaluator) -> pl.LazyFrame:
            judged = _judged(table, rows, self.timezone, evaluator)
            return kept(table, judged, whole=self.whole, words=self.words)

        judged = [judge(frame, FullEvaluator()) for frame in table.frames]
        judged = [judged_in_batches(table.pieces, judge), *judged] if table.pieces else judged
        frame = pl.concat(judged, how="diagonal")
        # Without texts most columns are hashes, which do not compress and are read several times.
        has_texts = "text" in frame.collect_schema()
        compression: Literal["lz4", "uncompressed"] = "lz4" if has_texts else "uncompressed"
        try:
            frame.sink_parquet(
                self._path(table), compression=compression, statistics=False, engine="streaming"
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            if says_full(error):
                raise SourceError(full(self.workdir, f"source.{table.schema.name}")) from None
            has_csv = any(file.kind == "csv" for file in table.files)
            if scan.mode is not ReadMode.EXACT and has_csv:
                return False
            faults = [found for file in table.files if (found := find_fault(file))]
            where = ", ".join(str(file.path) for file in table.files)
            raise SourceError("\n".join(faults) or f"{where}: cannot be read: {error}") from None
        return True

    def differs_from_bytes(self, table: Scanned) -> bool:
        """Whether the number of rows read from a CSV file differs from that of its structure check. Raises
        SourceError where it differs for a Parquet file, since there is no other way to read that."""
        rows = self._rows_by_file(table)
        differing = [n for n, origin in enumerate(table.origins) if _differs(origin, rows.get(n, 0))]
        if damaged := [n for n in differing if table.files[n].kind == "parquet"]:
            raise SourceError("\n".join(_unread(table.files[n], rows.get(n, 0)) for n in damaged))
        return bool(differing)

    def checked(self, table: Scanned) -> Checked:
        """The written rows, with good ones separated from others."""
        schema = table.schema
        rules = [*_FLAW_RULES, *row_rules(schema, table.given, self.timezone, FullEvaluator())]
        every = pl.scan_parquet(self._path(table), glob=False)
        out = pl.col("_out")
        good = every.filter(~out) if every.select(out.any()).collect(engine="streaming").item() else every
        fates = _fates(every.filter(out), schema.name, rules)
        if schema.primary:
            doubled = duplicates(table, good)
            good = good.join(doubled.lazy(), on=PLACE, how="anti") if not doubled.is_empty() else good
            fates = pl.concat([apart(fates, good), doubled.lazy()])
        named = {rule.name: rule for rule in rules}
        for column in schema.unique:
            name = f"{column}.unique"
            named[name] = Rule(name, column, "occurs in more than one row", pl.lit(value=False))
        is_narrow = schema.name == "messages" and not self.whole
        texts = texts_of(table)
        narrowed = (*AUTHOR_SIGNATURE, "message_id") if is_narrow else ()
        rows = self._rows_by_file(table)
        return Checked(
            scanned=table,
            rules=named,
            read=sum(rows.values()),
            rows_by_file=rows,
            good=good.drop(*_JUDGED, *texts, *narrowed, strict=False),
            fates=fates,
            differing=_differing(table, good),
            at_fault=_at_fault(table, fates, self.timezone, rules),
            signatures=distinct_signatures(table, every) if schema.name == "messages" else None,
            bodies=bodies(schema.name, texts, good) if self.whole and schema.name in BODIES else None,
        )

    def _path(self, table: Scanned) -> Path:
        return self.workdir / f"{table.schema.name}.rows.parquet"

    def _rows_by_file(self, table: Scanned) -> Mapping[int, int]:
        rows = pl.scan_parquet(self._path(table), glob=False)
        counts = rows.group_by("_file").len().sort("_file").collect(engine="streaming")
        return {int(number): int(count) for number, count in counts.iter_rows()}


_JUDGED = ("_skip", "_flaw", "_broken", "_out", "_first")


def _differs(origin: Origin, rows: int) -> bool:
    """Whether the number of rows read from a file differs from the expected one."""
    return origin.rows is not None and rows != origin.rows


def _unread(file: SourceFile, rows: int) -> str:
    return (
        f"{file.path}: is a damaged or unsupported Parquet file: {rows:,} of its {file.rows:,} rows could be "
        "read"
    )


def _judged(scanned: Scanned, rows: pl.LazyFrame, timezone: str | None, evaluator: Evaluator) -> pl.LazyFrame:
    """The rows with typed columns and row signals. `_broken` has a bit for each rule that a row breaks, and
    `_out` is true for rows that are not good. Plain rows break no rule."""
    schema = scanned.schema
    parsed = typed(schema, rows, scanned.given, timezone, evaluator)
    rules = row_rules(schema, scanned.given, timezone, evaluator)
    if len(_FLAW_RULES) + len(rules) > 64:
        raise AssertionError(f"{schema.name} has more rules than bits")
    given = {name for columns in scanned.columns for name in columns}
    sound = pl.all_horizontal(pl.col("_flaw").is_null(), *(~rule.fails for rule in rules))
    fails = [rule.fails.alias(f"{i}") for i, rule in enumerate([*_FLAW_RULES, *rules])]
    broken = evaluator.rows(fails, _bits, none=sound, value=pl.lit(0, pl.UInt64))
    judged = parsed.with_columns(
        *row_signals(schema, given, evaluator), broken.alias("_broken"), *evaluator.plain()
    )
    there = judged.collect_schema()
    unlike = [name for name in given if f"{SIGNAL}unlike.{name}" in there]
    return judged.with_columns(
        (pl.col("_skip").is_not_null() | (pl.col("_broken") != 0)).alias("_out"),
        *(pl.when(~pl.col(f"{SIGNAL}unlike.{name}")).then(name).alias(name) for name in unlike),
    )


def _bits(fails: pl.Series) -> pl.Series:
    """A bit for each rule that a row breaks."""
    rules = fails.struct.unnest()
    if not rules.select(pl.any_horizontal(pl.all())).to_series().any():
        return pl.Series(fails.name, [0], dtype=pl.UInt64).new_from_index(0, len(fails))
    bits = [
        pl.when(name).then(pl.lit(1 << i, pl.UInt64)).otherwise(pl.lit(0, pl.UInt64))
        for i, name in enumerate(rules.columns)
    ]
    # The cells of a row with a broken structure may be in the wrong columns, so other rules do not count.
    of_shape, all_bits = pl.sum_horizontal(bits[: len(_FLAW_RULES)]), pl.sum_horizontal(bits)
    return rules.select(pl.when(of_shape != 0).then(of_shape).otherwise(all_bits)).to_series()


def _fates(bad: pl.LazyFrame, table: str, rules: list[Rule]) -> pl.LazyFrame:
    """One line for each broken rule. For a skipped row, one line with the reason."""
    bad = bad.with_columns(ticket_id=or_null("ticket_id" if table == "tickets" else None))
    identity = [name for name in FATES if name not in ("state", "rule")]
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
    return pl.concat([frame.select(*FATES).cast(FATES) for frame in (skipped, rejected)])


def _at_fault(
    scanned: Scanned, fates: pl.LazyFrame, timezone: str | None, rules: list[Rule]
) -> pl.LazyFrame | None:
    """Each message row of a rejected ticket that breaks a rule of tickets, with the rule."""
    rejected = fates.filter(pl.col("state") == State.REJECTED).select("ticket_id").drop_nulls().unique()
    if not scanned.scattered or row_count(rejected) == 0:
        return None
    rows = pl.concat(scanned.scattered, how="diagonal").join(rejected, on="ticket_id", how="semi")
    judged = _judged(scanned, rows, timezone, FullEvaluator()).with_columns(
        *identity(scanned.schema.name, scanned.given)
    )
    own = _fates(judged.filter(pl.col("_broken") != 0), scanned.schema.name, rules)
    return own.filter(pl.col("state") == State.REJECTED).select("ticket_id", "rule", *PLACE)


def _differing(scanned: Scanned, good: pl.LazyFrame) -> Mapping[str, int]:
    """How many tickets gathered from message rows have rows with different values, by column."""
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
