"""Rejected rows that come back: which rows of which file a mended row stands for."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from importer.read.csv.exact_rows import exact_rows
from importer.read.fetch import fetch
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.source_file import SourceFile

# What stands behind a short row among rows of files with other headers, so that it has a wrong width still.
TOO_WIDE = "?"


def source_label(file: SourceFile, number: int, cells: Sequence[str]) -> str:
    """What `_source` says of a row: its file, its number, and what stood in it. Of a row that was rejected
    before, first the file and the number that it had in the export."""
    own = f"{file.path.name}#{number}#{_digest(cells)}"
    place = REASON_COLUMNS.index("_source")
    before = cells[place] if file.reasons > place and len(cells) > place else ""
    if "|" in before:
        return f"{before.partition('|')[0]}|{own}"
    return f"{before.rpartition('#')[0]}|{own}" if before.count("#") > 1 else own


def _digest(cells: Sequence[str]) -> str:
    """Empty cells at the end aside, which a spreadsheet adds and takes."""
    text = "\x1f".join(cells).rstrip("\x1f").encode("utf-8", "surrogateescape")
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


def unmended(files: Sequence[SourceFile]) -> Mapping[Path, dict[int, str]]:
    """By file of rejects, the rows (0-based) whose shape was wrong and that say what they said then, with
    what was wrong. Saved by a spreadsheet they are as wide as all others, so only their cells tell. Whoever
    empties `_rule` takes the row as it is."""
    place, rule = REASON_COLUMNS.index("_source"), REASON_COLUMNS.index("_rule")
    origins: dict[str, list[SourceFile]] = {}
    broken: dict[Path, dict[int, Sequence[str]]] = {}
    for file in files:
        origins.setdefault(file.path.name, []).append(file)
        broken[file.path] = {
            row.number: row.cells
            for row in (exact_rows(file) if file.reasons > place else ())
            if len(row.cells) > place and row.cells[rule].startswith("row.")
        }

    def is_still(
        cells: Sequence[str], file: SourceFile, origin: SourceFile, number: int, digest: str
    ) -> bool:
        """Whether a row says what the row said that it came from."""
        was = _as_it_was(cells, file, origin.header[origin.reasons :])
        if not origin.is_rejects:
            return _digest(was) == digest
        # The digest is of its reasons too, which this row does not have.
        came_from = broken[origin.path].get(number, ())
        return _digest(came_from) == digest and _digest(came_from[origin.reasons :]) == _digest(was)

    found: dict[Path, dict[int, str]] = {}
    for file in files:
        for own_number, cells in broken[file.path].items():
            name, number, digest = _told(cells[place]) or ("", "0", "")
            own = cells[file.reasons :]
            if any(is_still(own, file, origin, int(number), digest) for origin in origins.get(name, ())):
                found.setdefault(file.path, {})[own_number] = cells[rule].partition(",")[0]
    return found


def _as_it_was(cells: Sequence[str], file: SourceFile, header: Sequence[str]) -> Sequence[str]:
    """A row of rejects in the order of the file that it came from. What it had beyond that file's columns
    stands beyond those of the rejects, or in columns without a title that a spreadsheet gave it."""
    own, titles = file.header[file.reasons :], file.titles[file.reasons :]
    by_name = dict(zip(own, cells, strict=False))
    untitled = [name for name, title in zip(own, titles, strict=True) if not title and name not in header]
    further = [*(by_name.get(name, "") for name in untitled), *cells[len(own) :]]
    row = [by_name.get(name, "") for name in header]
    return row if further[:1] == [TOO_WIDE] else [*row, *further]


def _sources(files: Iterable[SourceFile]) -> Iterable[tuple[str, str, str]]:
    place = REASON_COLUMNS.index("_source")
    for file in files:
        for row in exact_rows(file) if file.reasons > place else ():
            if len(row.cells) > place and (told := _told(row.cells[place])):
                yield told


def _told(source_label: str) -> tuple[str, str, str] | None:
    """File, number and digest of the row that a `_source` names last."""
    parts = source_label.rpartition("|")[2].rsplit("#", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 and parts[1].isdecimal() else None
