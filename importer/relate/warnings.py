"""Warnings about an export in which each row may be valid: traces of a spreadsheet, of a cut-off file, of a
wrong encoding or time zone. They have numbers, and they reject nothing.

The traces of single rows are found while the rows are validated (validate/row_signals.py), so that texts are
read only once. Here they are counted.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from importer.model import Direction
from importer.read.mapping.canonical import UNNAMED
from importer.relate.related import Related
from importer.tables.frames import SIGNAL
from importer.tables.schema import TableSchema
from importer.validate.checked import Checked
from importer.validate.kept import row_count

# Rows that are shown for each warning, and values that are listed.
EXAMPLES, VALUES = 3, 5


@dataclass(frozen=True, slots=True)
class RowPlace:
    """A cell to look at."""

    # The index of the file among the table's origins.
    file: int
    # The `_record` of the row.
    record: int
    # The canonical column.
    column: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning."""

    table: str
    # The name of the warning, such as `mojibake`. docs/formats.md lists all.
    name: str
    # How many of the rows, or of the other things that the message names, show it.
    count: int
    total: int
    # What was seen, what it probably means, and what to do.
    message: str
    # The first rows that show it, at most EXAMPLES.
    places: tuple[RowPlace, ...] = ()


# Smaller numbers show nothing: a small file has a round number of rows by chance, and a few tickets or
# messages may be odd.
_ENOUGH_ROWS, _ENOUGH_TICKETS, _ENOUGH_MESSAGES = 1_000, 20, 100
# The rows of a sheet without its header, in the formats XLS and XLSX.
_LIMITS = {
    65_535: "65,535 rows, the limit of old spreadsheets",
    1_048_575: "1,048,575 rows, the limit of spreadsheets",
}
# If half of the rows show it, they probably share one cause. For opening texts a tenth is enough, because a
# customer rarely sends the same text again.
_MIN_SHARE_OF_ROWS, _MIN_SHARE_REPEATED = 0.5, 0.1
# Five of 24 hours are a share of 0.21, so a team that works around the clock stays below this.
_NIGHT_HOURS, _NIGHT_SHARE = range(5), 0.3
# Helpdesks of today are younger. Missing times are often written as 1970-01-01 or 1900-01-01.
_FIRST_YEAR = 1990
# Characters, on average, in a column of texts. Names, categories and links are shorter.
_TEXT = 100


def findings(
    tables: Mapping[str, Checked],
    related: Related,
    *,
    now: datetime,
    timezone: str | None,
    opening: str,
    carried: Collection[str] = (),
) -> list[Finding]:
    """All warnings, the worst kinds of damage first. `carried` are the custom columns of tickets that are
    imported. `timezone` is source.timezone, `opening` is source.opening."""
    return [
        *_apart(tables, related),
        *_sideless(tables, related),
        *_unknown_people(tables, related),
        *_cut(tables),
        *_doubled_parts(tables),
        *(finding for name, table in tables.items() for finding in _of_rows(name, table, now)),
        *(finding for name, table in tables.items() for finding in _unnamed(name, table)),
        *_openings(related, opening),
        *_texts_left(tables["tickets"], carried),
        *_at_night(related, timezone),
    ]


def _of_rows(name: str, table: Checked, now: datetime) -> Iterator[Finding]:
    """The warnings about single rows, counted in one pass."""
    schema = table.scanned.schema
    kinds = dict(_row_kinds(schema, table, now))
    if not kinds:
        return
    at = pl.struct("_file", "_record")
    counted = (
        table.good.select(
            pl.len().alias("rows"),
            *(hit.sum().alias(f"count.{key}") for key, (hit, _, _) in kinds.items()),
            *(
                at.filter(hit).head(EXAMPLES).implode().alias(f"places.{key}")
                for key, (hit, _, _) in kinds.items()
            ),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    for key, (_, column, message) in kinds.items():
        if hits := counted[f"count.{key}"]:
            places = tuple(RowPlace(p["_file"], p["_record"], column) for p in counted[f"places.{key}"])
            yield Finding(name, key.partition(":")[0], hits, counted["rows"], message, places)


def _row_kinds(
    schema: TableSchema, table: Checked, now: datetime
) -> Iterator[tuple[str, tuple[pl.Expr, str, str]]]:
    """By `name` or `name:column`: whether a row shows it, the column to look at, and the message."""
    given = {name for columns in table.scanned.columns for name in columns}
    for field in schema.fields:
        if field.name not in given:
            continue
        cell = pl.col(field.name)
        if field.name.endswith("_id"):
            yield (
                f"eaten_ids:{field.name}",
                (
                    pl.col(f"{SIGNAL}eaten.{field.name}"),
                    field.name,
                    f"{field.name} has values such as 3.7E+11 or 1000.0. A spreadsheet has probably changed "
                    "them, so they may not be the real ids. Export again without opening the file in a "
                    "spreadsheet; if only .0 was added, set ids = 'repair'",
                ),
            )
        if field.beside in given:
            yield (
                f"not_sent:{field.name}",
                (
                    pl.col(f"{SIGNAL}unlike.{field.name}"),
                    field.name,
                    f"{field.name} does not look like {field.example}. It is not imported; {field.beside} of "
                    "the same row is",
                ),
            )
        if field.type == "datetime":
            early = pl.datetime(_FIRST_YEAR, 1, 1, time_zone="UTC")
            yield (
                f"times_in_the_future:{field.name}",
                (
                    (cell > now).fill_null(value=False),
                    field.name,
                    f"{field.name} is in the future. The day and month may be swapped, or the time zone "
                    "wrong; check the times in the export",
                ),
            )
            yield (
                f"times_before_1990:{field.name}",
                (
                    (cell < early).fill_null(value=False),
                    field.name,
                    f"{field.name} is before {_FIRST_YEAR}. It is probably a placeholder for a missing time; "
                    "check the times in the export",
                ),
            )
    if {"created_at", "closed_at"} <= given:
        backwards = (pl.col("closed_at") < pl.col("created_at")).fill_null(value=False)
        why = (
            "closed_at is before created_at. One of the columns may have another time zone, or day and month "
            "swapped; check both columns in the export"
        )
        yield "closed_before_created", (backwards, "closed_at", why)
    there = set(table.good.collect_schema().names())
    for mark, (column, message) in _MARKS.items():
        if f"{SIGNAL}{mark}" in there:
            where = next((c for c in column if c in given), column[0])
            yield mark, (pl.col(f"{SIGNAL}{mark}"), where, message)


# Row signal → the columns that may show it, and the message.
_MARKS = {
    "mojibake": (
        ("text", "html", "opening_text", "opening_html", "subject"),
        "texts have characters such as Ã© for é. They were probably decoded with a wrong encoding. Export "
        "again as UTF-8, or set the table's encoding",
    ),
    "template_holes": (
        ("text", "html", "opening_text", "opening_html"),
        "texts have unfilled placeholders such as {{ticket.id}}. Customers would see them; check whether the "
        "export replaces them",
    ),
    "copies_without_address": (
        ("cc", "bcc"),
        "CC or BCC have values that are not e-mail addresses. These values are dropped; the messages are "
        "imported",
    ),
    "repeated_times": (
        ("created_at",),
        "times are ambiguous because clocks go back in source.timezone. They are read as the earlier of the "
        "two times",
    ),
}


def _unnamed(name: str, table: Checked) -> Iterator[Finding]:
    """Values that only the `*` of `values` covers."""
    for column in table.good.collect_schema().names():
        if not column.startswith(UNNAMED):
            continue
        rows, canonical = table.good.filter(pl.col(column).is_not_null()), column.removeprefix(UNNAMED)
        counted = rows.group_by(column).len().sort("len", column, descending=[True, False]).collect()
        if counted.is_empty():
            continue
        said = ", ".join(f"{value!r} ({hits:,})" for value, hits in counted.head(VALUES).iter_rows())
        said += f" and {counted.height - VALUES:,} more" if counted.height > VALUES else ""
        maps = (origin.part.values.get(canonical, {}) for origin in table.scanned.origins)
        meant = " or ".join(sorted({values["*"] for values in maps if "*" in values}))
        yield Finding(
            name,
            "values_unnamed",
            int(counted["len"].sum()),
            row_count(table.good),
            f"{canonical} has values that values.{canonical} does not name, so its '*' turns them into "
            f"{meant!r}. Add those that mean something else: {said}",
        )


def _apart(tables: Mapping[str, Checked], related: Related) -> Iterator[Finding]:
    for name, parent in (("messages", "tickets"), ("attachments", "messages")):
        if name not in tables or not tables[name].read:
            continue
        rule = "ticket_id.foreignKey" if name == "messages" else "message_id.foreignKey"
        orphans = related.fates[name].filter(pl.col("rule") == rule)
        homeless = row_count(orphans)
        if homeless > tables[name].read * _MIN_SHARE_OF_ROWS:
            yield Finding(
                name,
                "files_do_not_join",
                homeless,
                tables[name].read,
                f"most {name} belong to no row of {parent}. The files may come from different exports, or "
                f"the wrong column is mapped to {rule.partition('.')[0]}; check both",
            )


def _sideless(tables: Mapping[str, Checked], related: Related) -> Iterator[Finding]:
    if related.unsaid and related.unsaid == row_count(related.going.filter(~pl.col("_opening"))):
        yield Finding(
            "messages",
            "all_internal",
            related.unsaid,
            related.unsaid,
            "no message says whether it is public, so all become private notes. Map the column that says it "
            "(public, direction), or set defaults.public = 'true' if none of them is a note",
        )
    if related.sideless:
        yield Finding(
            "messages",
            "sides_unknown",
            related.sideless,
            tables["messages"].read,
            "nothing shows whether a customer or an agent wrote these messages, so they count as agents'. "
            "Map direction or author_role, or requester_email of the tickets (author_role may be a column of "
            "senders if values.author_role lists the agents)",
        )


def _unknown_people(tables: Mapping[str, Checked], related: Related) -> Iterator[Finding]:
    """Ids of people that no file has, in rows that have no address."""
    why = (
        "no valid row of people has this id"
        if "people" in tables
        else "no file of people is named (source.people.files)"
    )
    tickets = related.tickets.filter("_default_requester", pl.col("requester_id").is_not_null())
    nameless = pl.col("key").is_null() | ~pl.col("is_agent")
    authors = related.authors.filter("_unknown", nameless).collect(engine="streaming").lazy()
    messages = related.going.join(authors, on="signature", how="semi").filter(~pl.col("_opening"))
    for name, who, rows, stand_in in (
        ("tickets", "requester", tickets, "people.default_requester replaces the requester"),
        (
            "messages",
            "author",
            messages,
            "people.default_agent replaces agents, the requester replaces others",
        ),
    ):
        if hits := row_count(rows):
            rows = rows.select("_file", "_record").sort("_file", "_record")
            places = rows.head(EXAMPLES).collect(engine="streaming")
            yield Finding(
                name,
                "unknown_people",
                hits,
                row_count(tables[name].good),
                f"{who}_id names a person whose address is unknown: the row has none, and {why}. Until a "
                f"file of people has the id, {stand_in}",
                tuple(RowPlace(file, record, f"{who}_id") for file, record in places.iter_rows()),
            )


def _cut(tables: Mapping[str, Checked]) -> Iterator[Finding]:
    for name, table in tables.items():
        if not table.read:
            yield Finding(
                name, "no_rows", 0, 0, "no file has a row below its header; check whether the files are right"
            )
        for number, rows in table.rows_by_file.items():
            file = table.scanned.files[number]
            what = _LIMITS.get(rows) or (f"{rows:,} rows" if rows % 1_000 == 0 else None)
            if what and rows >= _ENOUGH_ROWS and table.scanned.origins[number].is_each:
                yield Finding(
                    name,
                    "cut_at_a_round_number",
                    rows,
                    rows,
                    f"{file.path.name} has exactly {what}. Exports are often cut off at such numbers; check "
                    "whether it is complete",
                )


def _doubled_parts(tables: Mapping[str, Checked]) -> Iterator[Finding]:
    for name, table in tables.items():
        if len(table.scanned.files) < 2:
            continue
        doubles = table.fates.filter(pl.col("rule").str.ends_with(".unique"))
        several = doubles.group_by("key").agg(pl.col("_file").n_unique()).filter(pl.col("_file") > 1)
        doubles = doubles.join(several, on="key", how="semi")
        counts = doubles.group_by("_file").len().collect(engine="streaming")
        for number, doubled in counts.sort("_file").iter_rows():
            rows = table.rows_by_file.get(number, 0)
            if doubled > rows * _MIN_SHARE_OF_ROWS and doubled > 1:
                yield Finding(
                    name,
                    "doubled_parts",
                    doubled,
                    rows,
                    f"most rows of {table.scanned.files[number].path.name} are in another file too. The same "
                    "part was probably exported twice; check which of the files is complete",
                )


def _openings(related: Related, opening: str) -> Iterator[Finding]:
    counts = related.openings
    if opening == "always" and counts.repeated > counts.count * _MIN_SHARE_REPEATED:
        yield Finding(
            "tickets",
            "openings_doubled",
            counts.repeated,
            counts.count,
            "opening texts of tickets are among the messages too, so they would be imported twice. Set "
            "source.opening = 'unless_repeated' (or 'unless_messages')",
        )
    if (
        counts.begun_by_agents > counts.conversations * _MIN_SHARE_OF_ROWS
        and counts.conversations >= _ENOUGH_TICKETS
    ):
        yield Finding(
            "tickets",
            "openings_missing",
            counts.begun_by_agents,
            counts.conversations,
            "most conversations begin with an agent's message. The customers' first messages may be in a "
            "column of the tickets that is not mapped; map it to opening_text or opening_html",
        )


def _texts_left(tickets: Checked, carried: Collection[str]) -> Iterator[Finding]:
    """Custom columns of tickets that have long texts and are not imported."""
    given = [name for name in tickets.scanned.given if name.startswith("custom.") and name not in carried]
    if not given:
        return
    sizes = [pl.col(name).str.len_chars().mean().alias(name) for name in given]
    filled = [pl.col(name).count().alias(f"count.{name}") for name in given]
    found = tickets.good.select(*sizes, *filled).collect(engine="streaming").row(0, named=True)
    for name in given:
        if (found[name] or 0) >= _TEXT:
            yield Finding(
                "tickets",
                "texts_left",
                found[f"count.{name}"],
                row_count(tickets.good),
                f"{name} has texts of {found[name]:,.0f} characters on average, and is not imported. Map it "
                "(opening_text, messages with each, conversation.attributes), or add the header to drop",
            )


def _at_night(related: Related, timezone: str | None) -> Iterator[Finding]:
    zone = timezone or "UTC"
    at = pl.col("created_at").dt.convert_time_zone(ZoneInfo(zone).key).dt.hour()
    agents = related.authors.filter(pl.col("is_agent") & (pl.col("direction") == Direction.OUTBOUND))
    sent = related.going.join(agents, on="signature", how="semi")
    total, night = (
        sent.select(pl.col("created_at").count(), at.is_in(list(_NIGHT_HOURS)).sum().alias("night"))
        .collect(engine="streaming")
        .row(0)
    )
    if total >= _ENOUGH_MESSAGES and night > total * _NIGHT_SHARE:
        yield Finding(
            "messages",
            "agents_at_night",
            night,
            total,
            f"agents wrote these messages between 0 and {len(_NIGHT_HOURS)} o'clock in {zone}. The times may "
            "be of another time zone; check source.timezone",
        )
