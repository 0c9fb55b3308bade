"""Find the files of an export by paths, globs and folders."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Formats that may contain an export and that this program does not read.
_UNREAD = (".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".zip", ".xml", ".sql")


_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def find(patterns: Sequence[str], folder: Path) -> Iterator[Path | str]:
    """The files that the patterns name, pattern by pattern, sorted by name within each. For a pattern that
    finds no file, a text that says so."""
    for pattern in patterns:
        path = Path(os.path.normpath(folder / pattern))
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and _is_table(file))
            inside = [file for file in inside if not is_ours(file, path)]
            yield from inside
            if not inside:
                yield f"{path}: this folder contains no CSV or Parquet file"
        elif path.exists():
            yield path
        elif any(character in pattern for character in "*?["):
            matches = sorted(match for match in _glob(folder, pattern) if match.is_file())
            yield from matches
            if not matches:
                yield f"{path}: no file matches this pattern"
        else:
            yield f"{path}: the file does not exist"


def no_tables(folder: Path) -> list[Path]:
    """The files below a folder that may contain data of an export in a format that is not supported,
    sorted."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in _UNREAD)


def is_ours(file: Path, folder: Path) -> bool:
    """Whether this program wrote the file, so that it is not part of an export: it belongs to a report below
    the folder, or is an agents file."""
    reports = [up for up in file.parents if up.is_relative_to(folder) and up.suffix == ".report"]
    return file.name.endswith(".agents.csv") or any((up / "report.json").exists() for up in reports)


def _is_table(path: Path) -> bool:
    return not path.name.startswith((".", "_")) and any(suffix in _TABLES for suffix in path.suffixes)


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    base = Path(pattern)
    if base.is_absolute():
        return Path(base.anchor).glob(str(base.relative_to(base.anchor)))
    return folder.glob(pattern)
