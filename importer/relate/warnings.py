"""What is wrong with an export as a whole, although each of its rows may be right: marks of a spreadsheet, of
a cut, of a wrong encoding or zone. Warnings with numbers; nothing is refused for them.

Marks of single rows are made while the rows are judged (marks.py), so that texts are read once; what they add
up to is said here.
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

EXAMPLES, VALUES = 3, 5


@dataclass(frozen=True, slots=True)
class RowPlace:
    """A row to look at: of which file (its number among the table's), its `_record`, in which column."""

    file: int
    record: int
    column: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning: how many of how many, what it means and what to do, and where to look."""

    table: str
    name: str
    count: int
    total: int
    message: str
    places: tuple[RowPlace, ...] = ()


# Below this the numbers say nothing.
_ENOUGH_ROWS, _ENOUGH_TICKETS, _ENOUGH_MESSAGES = 1_000, 20, 100
_LIMITS = {65_535: "the rows of an old spreadsheet", 1_048_575: "the rows of a spreadsheet"}
_MIN_SHARE_OF_ROWS, _MIN_SHARE_REPEATED = 0.5, 0.1
_NIGHT_HOURS, _NIGHT_SHARE = range(5), 0.3
_FIRST_YEAR = 1990
_TEXT = 100  # characters


def findings(
    tables: Mapping[str, Checked],
    related: Related,
    *,
    now: datetime,
    timezone: str | None,
    opening: str,
    carried: Collection[str] = (),
) -> list[Finding]:
    """Everything that looks damaged, the worst kinds of damage first. `carried` are further columns of
    tickets that go."""
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
    """What single rows show, counted in one pass."""
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
                    f"values of {field.name} look as if a spreadsheet had rounded them (3.7E+11, 1000.0), so "
                    "they may not be the real ids; export again without opening the file in one, or set "
                    "ids = 'repair' for .0",
                ),
            )
        if field.beside in given:
            yield (
                f"not_sent:{field.name}",
                (
                    pl.col(f"{SIGNAL}unlike.{field.name}"),
                    field.name,
                    f"{field.name} cannot be read as one (as {field.example}), so it does not go; the "
                    f"{field.beside} beside it does",
                ),
            )
        if field.type == "datetime":
            early = pl.datetime(_FIRST_YEAR, 1, 1, time_zone="UTC")
            yield (
                f"times_in_the_future:{field.name}",
                ((cell > now).fill_null(value=False), field.name, f"{field.name} lies in the future"),
            )
            yield (
                f"times_before_1990:{field.name}",
                (
                    (cell < early).fill_null(value=False),
                    field.name,
                    f"{field.name} lies before {_FIRST_YEAR}, when no helpdesk of today was there",
                ),
            )
    if {"created_at", "closed_at"} <= given:
        backwards = (pl.col("closed_at") < pl.col("created_at")).fill_null(value=False)
        why = "closed_at lies before created_at: times of two zones, or day and month turned round in one"
        yield "closed_before_created", (backwards, "closed_at", why)
    there = set(table.good.collect_schema().names())
    for mark, (column, message) in _MARKS.items():
        if f"{SIGNAL}{mark}" in there:
            where = next((c for c in column if c in given), column[0])
            yield mark, (pl.col(f"{SIGNAL}{mark}"), where, message)


_MARKS = {
    "mojibake": (
        ("text", "html", "opening_text", "opening_html", "subject"),
        "texts look as if UTF-8 had been read as another encoding (Ã© for é); export again as UTF-8, or set "
        "the table's encoding",
    ),
    "template_holes": (
        ("text", "html", "opening_text", "opening_html"),
        "texts hold placeholders that nobody filled in ({{ticket.id}}), which customers would see",
    ),
    "copies_without_address": (
        ("cc", "bcc"),
        "CC or BCC hold something that is no e-mail address; it does not go, the message does",
    ),
    "repeated_times": (
        ("created_at",),
        "times stand twice on the clock of source.timezone (it goes back in autumn); they are read as the "
        "earlier",
    ),
}


def _unnamed(name: str, table: Checked) -> Iterator[Finding]:
    """Values of which only the `*` of values says what they mean."""
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
            f"{canonical} holds what values.{canonical} does not name, so that its '*' makes it {meant!r}: "
            f"{said}",
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
                f"most {name} belong to no row of {parent}: the files may be of different exports, or the "
                f"wrong column is taken for {rule.partition('.')[0]}",
            )


def _sideless(tables: Mapping[str, Checked], related: Related) -> Iterator[Finding]:
    if related.unsaid and related.unsaid == row_count(related.going.filter(~pl.col("_opening"))):
        yield Finding(
            "messages",
            "all_internal",
            related.unsaid,
            related.unsaid,
            "nothing says of any message whether it is public, so all are private notes; name the column "
            "that does (public, direction), or set defaults.public = 'true' if none is a note",
        )
    if related.sideless:
        yield Finding(
            "messages",
            "sides_unknown",
            related.sideless,
            tables["messages"].read,
            "nothing tells whether a customer or an agent wrote these, so they are taken for agents'; "
            "name a column as direction or author_role, or one of the tickets as requester_email (a column "
            "of senders will do for author_role, with values.author_role naming the agents)",
        )


def _unknown_people(tables: Mapping[str, Checked], related: Related) -> Iterator[Finding]:
    """Ids of people who stand nowhere, where nothing else says who it is."""
    why = (
        "no good row of people has" if "people" in tables else "no file of people (source.people.files) tells"
    )
    tickets = related.tickets.filter("_default_requester", pl.col("requester_id").is_not_null())
    nameless = pl.col("key").is_null() | ~pl.col("is_agent")
    authors = related.authors.filter("_unknown", nameless).collect(engine="streaming").lazy()
    messages = related.going.join(authors, on="signature", how="semi").filter(~pl.col("_opening"))
    for name, who, rows, stand_in in (
        ("tickets", "requester", tickets, "people.default_requester stands in"),
        (
            "messages",
            "author",
            messages,
            "people.default_agent stands in for agents, the requester for others",
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
                f"{who}_id names somebody whose address is not in the row, and {why} it; {stand_in}",
                tuple(RowPlace(file, record, f"{who}_id") for file, record in places.iter_rows()),
            )


def _cut(tables: Mapping[str, Checked]) -> Iterator[Finding]:
    for name, table in tables.items():
        if not table.read:
            yield Finding(name, "no_rows", 0, 0, "no row stands below the header of any file")
        for number, rows in table.rows_by_file.items():
            file = table.scanned.files[number]
            what = _LIMITS.get(rows) or (f"exactly {rows:,} rows" if rows % 1_000 == 0 else None)
            if what and rows >= _ENOUGH_ROWS and table.scanned.origins[number].is_each:
                yield Finding(
                    name,
                    "cut_at_a_round_number",
                    rows,
                    rows,
                    f"{file.path.name} has {what}: exports are cut at such numbers; look whether it is "
                    "complete",
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
                    f"most rows of {table.scanned.files[number].path.name} stand in another file too: the "
                    "same part may have been exported twice",
                )


def _openings(related: Related, opening: str) -> Iterator[Finding]:
    counts = related.openings
    if opening == "always" and counts.repeated > counts.count * _MIN_SHARE_REPEATED:
        yield Finding(
            "tickets",
            "openings_doubled",
            counts.repeated,
            counts.count,
            "opening texts of tickets stand among the messages too; source.opening = 'unless_repeated' (or "
            "'unless_messages') tells them once",
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
            "most conversations begin with an agent's message: the customers' first messages may stand in a "
            "column of the tickets that nothing takes (opening_text, opening_html)",
        )


def _texts_left(tickets: Checked, carried: Collection[str]) -> Iterator[Finding]:
    """Further columns of tickets in which whole texts stand: nobody has said that they are messages."""
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
                f"{name} holds texts of {found[name]:,.0f} characters on the average, and does not go: say "
                "what it is (opening_text, messages by each, conversation.attributes), or drop the header",
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
            f"of the agents' messages were written between 0 and {len(_NIGHT_HOURS)} o'clock in {zone}: the "
            "times may be of another zone (source.timezone)",
        )
