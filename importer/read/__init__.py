"""Export files become LazyFrames of the canonical columns, every cell text.

The only place that knows CSV from Parquet. A wrong *shape* (no such file, no such column, a duplicate header,
something that is no table) raises SourceError here, with everything that is wrong named at once; wrong *data*
is passed on as it is, for `validate` to judge.
"""

from importer.read.files import SourceFile
from importer.read.records import Record, fault, fetch
from importer.read.scan import Scanned, scan

__all__ = ["Record", "Scanned", "SourceFile", "fault", "fetch", "scan"]
