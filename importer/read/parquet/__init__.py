"""Read Parquet files as text, like a CSV with the same data."""
