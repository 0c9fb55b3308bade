"""Rejected rows that come back: which rows of which file a mended row stands for."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from importer.read.files import REASON_COLUMNS, SourceFile
from importer.read.records import fetch
from importer.read.rows import rows


def source(file: SourceFile, number: int, cells: Sequence[str]) -> str:
    """What `_source` says of a row: its file, its number, and what stood in it."""
    return f"{file.path.name}#{number}#{_digest(cells)}"


def _digest(cells: Sequence[str]) -> str:
    text = "\x1f".join(cells).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=6).hexdigest()


def superseded(files: Sequence[SourceFile]) -> Mapping[Path, list[int]]:
    """By file, the rows (0-based) for which a mended one stands. A row that is not the one that was rejected
    any more stays."""
    wanted = set(_sources(file for file in files if file.is_rejects))
    found: dict[Path, list[int]] = {}
    for file in {file.path: file for file in files}.values():
        numbers = sorted({int(n) for name, n, _ in wanted if name == file.path.name})
        if numbers:
            same = [
                record.number
                for record in fetch(file, numbers)
                if (file.path.name, str(record.number), _digest(record.cells)) in wanted
            ]
            if same:
                found[file.path] = same
    return found


def _sources(files: Iterable[SourceFile]) -> Iterable[tuple[str, str, str]]:
    place = REASON_COLUMNS.index("_source")
    for file in files:
        for row in rows(file) if file.reasons > place else ():
            parts = row.cells[place].rsplit("#", 2) if len(row.cells) > place else []
            if len(parts) == 3 and parts[1].isdecimal():
                yield parts[0], parts[1], parts[2]
