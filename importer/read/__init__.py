"""Export files become LazyFrames of the canonical columns, every cell text.

The only place that knows CSV from Parquet. A wrong *shape* (no such file, no such column, a duplicate header,
something that is no table) raises SourceError here, with everything that is wrong named at once; wrong *data*
is passed on as it is, for `validate` to judge.
"""

from importer.read.assembly import Origin, Piece, Scanned
from importer.read.files import (
    REASON_COLUMNS,
    SourceFile,
    find,
    guarded,
    is_ours,
    look,
    no_tables,
    row_writer,
)
from importer.read.frames import batches
from importer.read.items import record_of
from importer.read.mended import TOO_WIDE, source
from importer.read.records import Record, fault, fetch
from importer.read.rows import FLAWS, HARMLESS
from importer.read.samples import Sample, sample
from importer.read.scan import scan
from importer.read.shape import UNNAMED

__all__ = [
    "FLAWS",
    "HARMLESS",
    "REASON_COLUMNS",
    "TOO_WIDE",
    "UNNAMED",
    "Origin",
    "Piece",
    "Record",
    "Sample",
    "Scanned",
    "SourceFile",
    "batches",
    "fault",
    "fetch",
    "find",
    "guarded",
    "is_ours",
    "look",
    "no_tables",
    "record_of",
    "row_writer",
    "sample",
    "scan",
    "source",
]
