"""The format of CSV files of rejected rows: the source's own columns behind reason columns."""

# The columns in front of the source's own columns in a file of rejects.
# `_source` identifies the source row, which the corrected row replaces.
REASON_COLUMNS = ("_line", "_column", "_rule", "_value", "_message", "_source")
