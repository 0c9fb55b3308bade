"""Export files become LazyFrames of the canonical columns, every cell text.

The only place that knows CSV from Parquet. A wrong *shape* (no such file, no such column, a duplicate header,
something that is no table) raises SourceError here, with everything that is wrong named at once; wrong *data*
is passed on as it is, for `validate` to judge.
"""

from importer.read.assemble import Origin, Piece, Scanned
from importer.read.corrections import TOO_WIDE, source
from importer.read.csv.exact_rows import FLAWS, HARMLESS
from importer.read.fetch import Record, fault, fetch
from importer.read.frames import batches
from importer.read.mapping.canonical import UNNAMED
from importer.read.mapping.explode import record_of
from importer.read.sample import Sample, sample
from importer.read.scan import scan
from importer.read.source_file import (
    REASON_COLUMNS,
    SourceFile,
    find,
    guarded,
    is_ours,
    look,
    no_tables,
    row_writer,
)

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
