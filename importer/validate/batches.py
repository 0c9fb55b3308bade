"""Judge the rows of a table's files batch by batch: with the fast evaluator where that is enough, with the
full one for all other rows (parse/fastpath.py says why)."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl
from polars.io.plugins import register_io_source

from importer.parse.fastpath import PLAIN, CellTransform, Evaluator, FastEvaluator, FullEvaluator
from importer.read.frames import batches
from importer.read.table import Piece

JudgeRows = Callable[[pl.LazyFrame, Evaluator], pl.LazyFrame]

# So many rows or bytes that need the full evaluator are collected before they are judged.
_OTHERS, _BYTES_OF_OTHERS = 40_000, 1 << 26
# Where more rows than this need the full evaluator, the fast one saves no time.
_MAX_SHARE_OF_OTHERS = 0.5


def judged_in_batches(pieces: Sequence[Piece], judge: JudgeRows) -> pl.LazyFrame:
    """The rows of all pieces after `judge`, piece by piece. Within a piece, rows that need the full evaluator
    come after others. With a fast evaluator, `judge` must add the column PLAIN."""

    def handed_on(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            for batch in _judged(piece, judge):
                batch = batch if columns is None else batch.select(columns)
                batch = batch if predicate is None else batch.filter(predicate)
                yield batch if rows is None else batch.head(rows)
                rows = rows if rows is None else rows - min(rows, batch.height)

    thorough = partial(_thorough, pieces[0], judge)
    return register_io_source(handed_on, schema=thorough(pieces[0].source).collect_schema(), is_pure=True)


def _apart(rows: pl.DataFrame) -> pl.DataFrame:
    """A copy of the rows, so that polars can free the texts of the batch from which they come."""
    copied = pl.from_arrow(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
    assert isinstance(copied, pl.DataFrame)
    copied.columns = rows.columns  # Arrow names columns without a title
    return copied


def _thorough(piece: Piece, judge: JudgeRows, source: pl.LazyFrame) -> pl.LazyFrame:
    evaluator = FullEvaluator()
    return judge(piece.read(source, evaluator), evaluator)


def _judged(piece: Piece, judge: JudgeRows) -> Iterator[pl.DataFrame]:
    thorough = partial(_thorough, piece, judge)
    known: dict[str, CellTransform] = {}
    others: list[pl.DataFrame] = []
    worth_it = True
    for batch in batches(piece.source):
        if not worth_it:
            yield thorough(batch.lazy()).collect()
            continue
        evaluator = FastEvaluator(known)
        judged = judge(piece.read(batch.lazy(), evaluator), evaluator).collect()
        plain = judged[PLAIN]
        if plain.all():
            yield judged.drop(PLAIN)
            continue
        yield judged.filter(plain).drop(PLAIN)
        others.append(_apart(batch.filter(~plain)))
        worth_it = others[-1].height <= batch.height * _MAX_SHARE_OF_OTHERS
        rows, size = sum(some.height for some in others), sum(some.estimated_size() for some in others)
        if rows >= _OTHERS or size >= _BYTES_OF_OTHERS or not worth_it:
            yield thorough(pl.concat(others).lazy()).collect()
            others = []
    if others:
        yield thorough(pl.concat(others).lazy()).collect()
