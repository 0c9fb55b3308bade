"""Read Parquet files as text, like a CSV with the same data."""

# The exit code of check.py for a file that is not damaged, but more than can be read.
TOO_MUCH = 3
