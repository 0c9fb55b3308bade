"""Export files become lazy frames of the canonical columns, every cell text.

The only folder that knows CSV from Parquet. A wrong *shape* (no such file, no such column, a duplicate
header, something that is no table) raises SourceError, with everything that is wrong named at once. Wrong
*data* is passed on as it is, for `validate` to judge.
"""
