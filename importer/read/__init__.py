"""Export files become lazy frames of the canonical columns. Every cell is text.

This is the only folder that distinguishes CSV from Parquet. A wrong structure (a missing file, a missing
column, a duplicate header, a file that is not a table) raises one SourceError that lists all problems. Wrong
data is passed on unchanged; `validate` judges it.
"""
