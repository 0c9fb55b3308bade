"""The structure of CSV files: checked on the bytes, or read row by row."""
