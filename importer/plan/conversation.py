"""Good rows become conversations in a stable order: oldest ticket first, equal times by id.

The one place where a ticket becomes a conversation. The same input gives the same plan whatever the order of
its rows; only messages of the same instant go by the order of the source. The rows are parted by ticket into
files of a bounded size first, so that only one part is in memory at a time.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from importer.model import DERIVED, Attachment, Contact, Conversation, Direction, Message, fingerprint
from importer.parse.addresses import EMAIL
from importer.read.frames import batches
from importer.relate.fates import Related
from importer.text.heads import plain
from importer.validate.kept import id_hash

MESSAGES_PER_PART = 50_000
# What is read at once of a file in which the rows of many parts stand.
_ROWS_TOGETHER = 2_000

_TICKET_COLUMNS = (
    "ticket_id",
    "subject",
    "requester_email",
    "requester_phone",
    "requester_name",
    "requester_external",
    "channel",
    "queue",
    "tags",
    "created_at",
    "updated_at",
    "closed_at",
    "status",
    "assignee_id",
    "assignee_email",
    "assignee_phone",
    "assignee_name",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The plan on disk. `jobs` may be iterated as often as wanted, always in the same order.

    `tickets`, `messages` and `attachments` count what is planned; `already_there` the same of what was
    imported earlier and has not changed since, for which no job is made.
    """

    folder: Path
    count: int
    tickets: int
    messages: int
    attachments: int
    already_there: tuple[int, int, int]
    default_agent: str | None

    def jobs(self) -> Iterator[Conversation]:
        agent = Contact(email=self.default_agent) if self.default_agent else None
        for part in range(self.count):
            yield from _part_jobs(self.folder, part, agent)


def plan(
    related: Related,
    *,
    default_agent: str | None,
    workdir: Path,
    imported: pl.DataFrame | None = None,
    jobs: bool = True,
    part_size: int = MESSAGES_PER_PART,
) -> Parts:
    """Bring the rows into the order of the plan, on disk below `workdir`.

    `imported` are the tickets that were imported whole (`ticket_id`, `mark`); those that still have the same
    mark are left out. Without `jobs` they are only counted.
    """
    if not jobs and (imported is None or imported.is_empty()):
        return _counted(related, workdir)
    known = (
        imported if imported is not None else pl.DataFrame(schema={"ticket_id": pl.String, "mark": pl.Int64})
    )
    tickets = _marked(related).collect(engine="streaming")
    there = tickets.join(known, on=["ticket_id", "mark"], how="semi")
    order = (
        tickets.join(known, on=["ticket_id", "mark"], how="anti")
        .sort("at", "ticket_id", nulls_last=True)
        .select(
            "ticket_id",
            "mark",
            "messages",
            "attachments",
            rank=pl.int_range(pl.len(), dtype=pl.UInt32),
            part=((pl.col("messages") + 1).cum_sum() - 1) // part_size,
        )
    )
    if not jobs:
        return Parts(workdir, 0, *_sums(order), already_there=_sums(there), default_agent=default_agent)
    frames = {
        "tickets": related.tickets.select(*_TICKET_COLUMNS, cs.starts_with("custom.")),
        "messages": _whole(related),
        "attachments": _linked(related),
    }
    folder = workdir / "plan"
    places = order.lazy().select("ticket_id", "mark", "rank", "part")
    for name, frame in frames.items():
        _parted(frame, places, "ticket_id", folder / name)
    # A text finds its part by the key of its ticket, and its message there.
    by_key = places.select("part", parent=id_hash("ticket_id")).unique()
    _parted(related.bodies, by_key, "parent", folder / "bodies")
    parts = 0 if order.is_empty() else int(order["part"].cast(pl.Int64)[-1]) + 1
    return Parts(folder, parts, *_sums(order), already_there=_sums(there), default_agent=default_agent)


def _parted(frame: pl.LazyFrame, places: pl.LazyFrame, on: str, folder: Path) -> None:
    """Write the rows to files in which those of a part stand together, each file of a bounded size."""
    folder.mkdir(parents=True)
    placed = frame.join(places, on=on, how="inner", build_side="force_right")
    for number, rows in enumerate(batches(placed)):
        path = folder / f"{number}.parquet"
        rows.sort("part").write_parquet(path, compression="lz4", row_group_size=_ROWS_TOGETHER)


def _counted(related: Related, workdir: Path) -> Parts:
    listed = related.going.select(pl.len().alias("rows"), pl.col("items").sum())
    linked = related.attachments.join(related.going, left_on="parent", right_on="key", how="semi")
    tickets, messages, linked_count = pl.collect_all(
        [related.tickets.select(pl.len()), listed, linked.select(pl.len())], engine="streaming"
    )
    attachments = int(messages["items"][0] or 0) + int(linked_count.item())
    return Parts(workdir, 0, int(tickets.item()), int(messages["rows"][0]), attachments, (0, 0, 0), None)


def _sums(tickets: pl.DataFrame) -> tuple[int, int, int]:
    return tickets.height, int(tickets["messages"].sum()), int(tickets["attachments"].sum())


def _whole(related: Related) -> pl.LazyFrame:
    if related.messages is None:
        raise AssertionError("the messages were not kept")
    return related.messages


def _linked(related: Related) -> pl.LazyFrame:
    """Rows of the attachments table with their ticket."""
    ids = _whole(related).select("message_id", "ticket_id").filter(pl.col("message_id").is_not_null())
    return related.attachments.join(ids, on="message_id", how="inner")


def _marked(related: Related) -> pl.LazyFrame:
    """A line a ticket: `at`, its number of `messages` and `attachments`, and a `mark` that changes when any
    of its rows does, whatever their order.

    A mark is for comparing two runs of the same polars only: its hashes may change from version to version.
    """
    listed = pl.col("attachments").list.len().fill_null(0)
    whole = _whole(related)
    messages = (
        whole.select("ticket_id", "created_at", listed=listed, hash=_hash(whole))
        .group_by("ticket_id")
        .agg(
            pl.len().alias("messages"),
            pl.col("created_at").min().alias("first_at"),
            pl.col("listed").sum(),
            pl.col("hash").sum(),
        )
    )
    linked = _linked(related)
    files = (
        linked.select("ticket_id", hash_of_files=_hash(linked))
        .group_by("ticket_id")
        .agg(pl.len().alias("linked"), pl.col("hash_of_files").sum())
    )
    zero = pl.lit(0, pl.UInt64)
    return (
        related.tickets.select("ticket_id", "created_at", hash_of_ticket=_hash(related.tickets))
        .join(messages, on="ticket_id", how="left")
        .join(files, on="ticket_id", how="left")
        .select(
            "ticket_id",
            at=pl.coalesce("created_at", "first_at"),
            messages=pl.col("messages").fill_null(0),
            attachments=pl.col("listed").fill_null(0) + pl.col("linked").fill_null(0),
            mark=(
                pl.col("hash_of_ticket")
                + pl.coalesce("hash", zero) * 31
                + pl.coalesce("hash_of_files", zero) * 17
            ).reinterpret(signed=True),
        )
    )


_ROW = ["_opening", "_file", "_record"]


def _hash(frame: pl.LazyFrame) -> pl.Expr:
    """A hash of a row's content, not of where it stands."""
    cells = [
        (
            pl.col(name).list.join("\x1e") if dtype == pl.List(pl.String) else pl.col(name).cast(pl.String)
        ).fill_null("\x00")
        for name, dtype in frame.collect_schema().items()
        if name not in ("_file", "_record", "key", "parent")
    ]
    return pl.concat_str(cells, separator="\x1f").hash()


def _part_jobs(folder: Path, part: int, default_agent: Contact | None) -> Iterator[Conversation]:
    tickets = _part(folder, "tickets", part)
    if tickets is None:
        return
    messages = _by_ticket(
        _with_bodies(_part(folder, "messages", part), _part(folder, "bodies", part)),
        ["rank", "created_at", "_opening", "_file", "_record"],
    )
    attachments = _part(folder, "attachments", part)
    linked: dict[str, list[Attachment]] = {}
    if attachments is not None:
        for row in attachments.sort("_file", "_record").iter_rows(named=True):
            linked.setdefault(row["message_id"], []).append(Attachment(row["url"], row["name"]))
    for ticket in tickets.sort("rank").iter_rows(named=True):
        yield conversation(ticket, messages.get(ticket["ticket_id"], []), linked, default_agent)


def _with_bodies(messages: pl.DataFrame | None, bodies: pl.DataFrame | None) -> pl.DataFrame | None:
    if messages is None:
        return None
    if bodies is None:
        return messages.with_columns(text=pl.lit(None, pl.String), html=pl.lit(None, pl.String))
    return messages.join(bodies, on=_ROW, how="left")


def _part(folder: Path, name: str, part: int) -> pl.DataFrame | None:
    files = sorted((folder / name).glob("*.parquet"))
    return pl.scan_parquet(files).filter(part=part).drop("part").collect() if files else None


def _by_ticket(messages: pl.DataFrame | None, order: list[str]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    if messages is not None:
        # An opening message goes before the others of its instant.
        opening_first = [name == "_opening" for name in order]
        for row in messages.sort(order, descending=opening_first, nulls_last=True).iter_rows(named=True):
            rows.setdefault(row["ticket_id"], []).append(row)
    return rows


def conversation(
    ticket: Mapping[str, Any],
    rows: list[dict[str, Any]],
    linked: Mapping[str, list[Attachment]],
    default_agent: Contact | None,
) -> Conversation:
    """One ticket row and its message rows, in reading order, as a conversation."""
    requester = _contact(ticket, "requester")
    assignee = Contact(ticket["assignee_email"], ticket["assignee_phone"], ticket["assignee_name"])
    equals: Counter[str] = Counter()
    messages = tuple(
        _message(row, requester, linked, default_agent, ticket["channel"], equals) for row in rows
    )
    public = (m.direction for m in messages if m.direction is not Direction.INTERNAL)
    tags = tuple(ticket["tags"] or ())
    custom = {
        name.removeprefix("custom."): value
        for name, value in ticket.items()
        if name.startswith("custom.") and value is not None
    }
    return Conversation(
        ticket_id=ticket["ticket_id"],
        requester=requester,
        direction=next(public, Direction.INBOUND),
        subject=ticket["subject"],
        channel=ticket["channel"],
        created_at=ticket["created_at"] or (messages[0].created_at if messages else None),
        tags=tags,
        messages=messages,
        status=ticket["status"],
        updated_at=ticket["updated_at"],
        closed_at=ticket["closed_at"],
        queue=ticket["queue"],
        assignee=assignee if assignee.key else None,
        assigned=any(ticket[f"assignee_{name}"] for name in ("id", "email", "name")),
        custom=custom,
        mark=ticket["mark"],
        fingerprint=fingerprint(
            requester.key,
            assignee.key,
            *(ticket[name] for name in ("subject", "status", "queue", "created_at", "closed_at")),
            *tags,
            *(f"{name}={value}" for name, value in custom.items()),
        ),
    )


def _contact(row: Mapping[str, Any], who: str) -> Contact:
    return Contact(*(row[f"{who}_{name}"] for name in ("email", "phone", "name", "external")))


def _message(
    row: Mapping[str, Any],
    requester: Contact,
    linked: Mapping[str, list[Attachment]],
    default_agent: Contact | None,
    channel: str | None,
    equals: Counter[str],
) -> Message:
    written = _contact(row, "author")
    author = written if written.key else (default_agent if row["is_agent"] else requester)
    text = row["text"] if row["text"] is not None else plain(row["html"] or "")
    files = tuple(Attachment(url) for url in row["attachments"] or ()) + tuple(
        linked.get(row["message_id"] or "", ())
    )
    content = fingerprint(
        row["created_at"], row["direction"], row["_written"], text, row["html"], *(file.url for file in files)
    )
    return Message(
        message_id=row["message_id"] or _derived_id(row, text, equals),
        created_at=row["created_at"],
        direction=Direction(row["direction"]),
        author=author,
        by_agent=row["is_agent"],
        author_name=row["author_name"] or row["author_email"],
        text=text,
        channel=row["channel"] or channel,
        from_email=row["from_email"],
        to_email=row["to_email"],
        attachments=files,
        cc=_addresses(row["cc"]),
        bcc=_addresses(row["bcc"]),
        html=row["html"],
        from_html=row["text"] is None and row["html"] is not None,
        stand_in=row["is_agent"] and not written.key,
        fingerprint=content,
    )


def _addresses(items: Sequence[str] | None) -> tuple[str, ...]:
    """Those of a list that are some; marks.py counts the others."""
    return tuple(item for item in items or () if re.fullmatch(EMAIL, item))


def _derived_id(row: Mapping[str, Any], text: str, equals: Counter[str]) -> str:
    """The id of a message that has none: from ticket, time, author (as the export has it, whoever stands for
    him) and text, and its number among equals."""
    digest = fingerprint(row["ticket_id"], row["created_at"], row["_written"], text).hex()
    equals[digest] += 1
    return f"{DERIVED}{digest}:{equals[digest]}"
