"""Rejected rows that are read again: which source row each corrected row replaces."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from importer.read.csv.exact_rows import exact_rows
from importer.read.fetch import fetch
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.source_file import SourceFile

# Written after the cells of a short row, where the file of rejects has more columns than the row's own file:
# so the row still has a wrong width when it is read again.
TOO_WIDE = "?"


def source_label(file: SourceFile, number: int, cells: Sequence[str]) -> str:
    """The `_source` of a rejected row: `file#number#digest`, with a digest of its cells. If the row was
    rejected before, `file#number|` of its row in the export comes first."""
    own = f"{file.path.name}#{number}#{_digest(cells)}"
    place = REASON_COLUMNS.index("_source")
    before = cells[place] if file.reasons > place and len(cells) > place else ""
    if "|" in before:
        return f"{before.partition('|')[0]}|{own}"
    return f"{before.rpartition('#')[0]}|{own}" if before.count("#") > 1 else own


def _digest(cells: Sequence[str]) -> str:
    """A hash of the cells. Empty cells at the end do not count, since spreadsheets add and remove them."""
    text = "\x1f".join(cells).rstrip("\x1f").encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=6).hexdigest()


def superseded(files: Sequence[SourceFile]) -> Mapping[Path, list[int]]:
    """By file, the numbers (0-based, ascending) of the rows that a corrected row replaces. A row whose cells
    have changed since it was rejected is not replaced."""
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


def uncorrected(files: Sequence[SourceFile]) -> Mapping[Path, dict[int, str]]:
    """By file of rejects, the rows (0-based) that were rejected for their structure and still have the same
    cells, with the rule that they broke.

    Once a spreadsheet has saved such a row, it is as wide as the others, so only its cells show that it is
    the same. A row with an empty `_rule` is accepted unchanged.
    """
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
        """Whether a row has the same cells as the row that it came from."""
        was = _as_it_was(cells, file, origin.header[origin.reasons :])
        if not origin.is_rejects:
            return _digest(was) == digest
        # The digest covers the reason columns too, and this row has other reasons.
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
    """A row of rejects, with the cells in the order of the file that it came from. Cells beyond that file's
    columns follow the columns of the rejects, or are in untitled columns that a spreadsheet added."""
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
    """File, number and digest of the last row that a `_source` names; None where it names no row."""
    parts = source_label.rpartition("|")[2].rsplit("#", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 and parts[1].isdecimal() else None
