"""The evidence of a report: the files as they were read, and warnings with rows to look at.
Values for report.json, and the same in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from importer.read.fetch import fetch
from importer.read.mapping.explode import source_record
from importer.relate.warnings import Finding
from importer.report.rejects import example
from importer.validate.checked import Checked

_FILES_SHOWN = 20


def files(tables: Mapping[str, Checked]) -> list[dict[str, Any]]:
    """Each file of each table: how it was read, and what was found out about it."""
    return [
        {
            "table": name,
            "path": str(origin.file.path),
            "kind": origin.file.kind,
            "encoding": origin.file.dialect.encoding_name if origin.file.kind == "csv" else None,
            "delimiter": origin.file.dialect.delimiter_name if origin.file.kind == "csv" else None,
            "rows": table.rows_by_file.get(number, 0),
            "notes": list(origin.notes),
        }
        for name, table in tables.items()
        for number, origin in enumerate(table.scanned.origins)
    ]


def file_lines(tables: Mapping[str, Checked]) -> Iterator[str]:
    """What was found out about the files, where anything had to be."""
    lines = [
        f"{origin.file.path}: {'; '.join(origin.notes)}"
        for table in tables.values()
        for origin in table.scanned.origins
        if origin.notes
    ]
    lines = list(dict.fromkeys(lines))
    yield from lines[:_FILES_SHOWN]
    if len(lines) > _FILES_SHOWN:
        yield f"… and {len(lines) - _FILES_SHOWN:,} more files with notes; report.html has all of them"


def findings(found: Sequence[Finding], tables: Mapping[str, Checked]) -> list[dict[str, Any]]:
    """Warnings as values, each with the rows to look at as `file:line: column: value`."""
    return [
        {
            "table": finding.table,
            "name": finding.name,
            "count": finding.count,
            "total": finding.total,
            "message": finding.message,
            "examples": list(_examples(finding, tables[finding.table])) if finding.places else [],
        }
        for finding in found
    ]


def finding_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same in words: the count first, then what it is, then where."""
    if found:
        yield "Warnings:"
    for finding in found:
        of = f" of {finding['total']:,}" if finding["total"] != finding["count"] else ""
        yield f"{finding['count']:>8,}{of} {finding['table']}: {finding['message']} ({finding['name']})"
        yield from (f"{'':>9}{text}" for text in finding["examples"])


def _examples(finding: Finding, table: Checked) -> Iterator[str]:
    """Each file is read once for all its rows."""
    for number, origin in enumerate(table.scanned.origins):
        places = [place for place in finding.places if place.file == number]
        records = sorted({source_record(place.record, origin.part) for place in places})
        shown = {source_record(place.record, origin.part): place for place in reversed(places)}
        for record in fetch(origin.file, records) if records else ():
            cells = dict(zip(origin.file.header, record.cells, strict=False))
            place = shown[record.number]
            cell = origin.shown(place.column, place.record, cells)
            yield example(origin.file, record.line, cell.header, finding.name, cell.value)
