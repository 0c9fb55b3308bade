"""What stands behind a judgement: the files as they were read, warnings with rows to look at, and numbers of
what goes. Values for report.json, and the same in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from importer.read.fetch import fetch
from importer.read.mapping.explode import record_of
from importer.relate.fates import Related
from importer.relate.warnings import Finding
from importer.report.rejects import example
from importer.validate.judge import Checked

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
    """What was found out, where anything had to be."""
    lines = [
        f"{origin.file.path}: {'; '.join(origin.notes)}"
        for table in tables.values()
        for origin in table.scanned.origins
        if origin.notes
    ]
    lines = list(dict.fromkeys(lines))
    yield from lines[:_FILES_SHOWN]
    if len(lines) > _FILES_SHOWN:
        yield f"… and the like of {len(lines) - _FILES_SHOWN:,} more; report.html has all"


def findings(found: Sequence[Finding], tables: Mapping[str, Checked]) -> list[dict[str, Any]]:
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
        records = sorted({record_of(place.record, origin.part) for place in places})
        shown = {record_of(place.record, origin.part): place for place in reversed(places)}
        for record in fetch(origin.file, records) if records else ():
            cells = dict(zip(origin.file.header, record.cells, strict=False))
            place = shown[record.number]
            cell = origin.shown(place.column, place.record, cells)
            yield example(origin.file, record.line, cell.header, finding.name, cell.value)


def statistics(related: Related) -> dict[str, Any]:
    """Numbers of what goes: messages by month, channel and direction, sizes of texts, messages a ticket."""
    size, at, count = pl.col("body.bytes"), pl.col("created_at"), pl.col("messages")
    by_month, by_direction, sizes, by_ticket, by_channel = pl.collect_all(
        [
            related.going.group_by(key=at.dt.year().cast(pl.Int32) * 12 + at.dt.month().cast(pl.Int32) - 1)
            .len()
            .drop_nulls()
            .sort("key"),
            related.authors.group_by(key="direction")
            .agg(pl.col("going").sum())
            .filter(pl.col("going") > 0)
            .sort("going", "key", descending=[True, False]),
            related.going.select(total=size.sum(), mean=size.mean(), largest=size.max()),
            related.by_ticket.select(mean=count.mean(), largest=count.max()),
            related.tickets.select("key", "channel")
            .join(related.by_ticket, left_on="key", right_on="parent")
            .group_by("channel")
            .agg(count.sum())
            .sort("messages", "channel", descending=[True, False]),
        ],
        engine="streaming",
    )

    def pairs(frame: pl.DataFrame) -> list[list[Any]]:
        return [[key or "", count] for key, count in frame.iter_rows()]

    def rounded(frame: pl.DataFrame) -> dict[str, Any]:
        return {key: round(value or 0, 1) for key, value in frame.row(0, named=True).items()}

    return {
        "messages_per_month": [[f"{m // 12:04}-{m % 12 + 1:02}", n] for m, n in by_month.iter_rows()],
        "by_channel": pairs(by_channel),
        "by_direction": pairs(by_direction),
        "text_bytes": rounded(sizes),
        "messages_per_ticket": rounded(by_ticket),
    }
