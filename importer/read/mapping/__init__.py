"""A file's own columns become canonical columns."""
