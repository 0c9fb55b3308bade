"""Paths, globs and folders → the files of an export."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_UNREAD = (".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".zip", ".xml", ".sql")


_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def find(patterns: Sequence[str], folder: Path) -> Iterator[Path | str]:
    """The files that the patterns name, each pattern's in order of name; a text says what one does not
    find."""
    for pattern in patterns:
        path = Path(os.path.normpath(folder / pattern))
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and _is_table(file))
            inside = [file for file in inside if not is_ours(file, path)]
            yield from inside
            if not inside:
                yield f"{path}: no CSV or Parquet file is in this folder"
        elif path.exists():
            yield path
        elif any(sign in pattern for sign in "*?["):
            matches = sorted(match for match in _glob(folder, pattern) if match.is_file())
            yield from matches
            if not matches:
                yield f"{path}: no file matches this pattern"
        else:
            yield f"{path}: there is no such file"


def no_tables(folder: Path) -> list[Path]:
    """The files below a folder that may hold data of an export, and that nothing here reads."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in _UNREAD)


def is_ours(file: Path, folder: Path) -> bool:
    """Whether this program wrote the file, and it is no export: it belongs to a report below the folder, or
    lists agents."""
    reports = [up for up in file.parents if up.is_relative_to(folder) and up.suffix == ".report"]
    return file.name.endswith(".agents.csv") or any((up / "report.json").exists() for up in reports)


def _is_table(path: Path) -> bool:
    return not path.name.startswith((".", "_")) and any(suffix in _TABLES for suffix in path.suffixes)


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    base = Path(pattern)
    if base.is_absolute():
        return Path(base.anchor).glob(str(base.relative_to(base.anchor)))
    return folder.glob(pattern)
