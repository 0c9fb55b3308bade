"""Good rows become conversations in a stable order: oldest ticket first, equal times by id.

The one place where a ticket becomes a conversation. The same input gives the same plan whatever the order of
its rows; only messages of the same instant go by the order of the source. The rows are parted by ticket into
files of a bounded size first, so that only one part is in memory at a time.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from importer.model import Attachment, Contact, Conversation, Direction, Message
from importer.relate import Related
from importer.text import plain

MESSAGES_PER_PART = 50_000

_TICKET_COLUMNS = (
    "ticket_id",
    "subject",
    "requester_email",
    "requester_phone",
    "requester_name",
    "channel",
    "tags",
    "created_at",
    "status",
    "assignee_id",
    "assignee_email",
    "assignee_name",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The plan on disk. `jobs` may be iterated as often as wanted, always in the same order."""

    folder: Path
    count: int
    tickets: int
    messages: int
    default_agent: str | None

    def jobs(self) -> Iterator[Conversation]:
        agent = Contact(email=self.default_agent) if self.default_agent else None
        for part in range(self.count):
            yield from _part_jobs(self.folder, part, agent)


def plan(
    related: Related, *, default_agent: str | None, workdir: Path, part_size: int = MESSAGES_PER_PART
) -> Parts:
    """Bring the rows into the order of the plan, on disk below `workdir`."""
    counts = related.messages.group_by("ticket_id").len()
    first = related.messages.group_by("ticket_id").agg(pl.col("created_at").min().alias("first_at"))
    order = (
        related.tickets.select("ticket_id", "created_at")
        .join(counts, on="ticket_id", how="left")
        .join(first, on="ticket_id", how="left")
        .with_columns(at=pl.coalesce("created_at", "first_at"))
        .sort("at", "ticket_id", nulls_last=True)
        .select(
            "ticket_id",
            rank=pl.int_range(pl.len(), dtype=pl.UInt32),
            part=((pl.col("len").fill_null(0) + 1).cum_sum() - 1) // part_size,
        )
        .collect(engine="streaming")
    )
    ids = related.messages.select("message_id", "ticket_id").filter(pl.col("message_id").is_not_null())
    frames = {
        "tickets": related.tickets.select(*_TICKET_COLUMNS, cs.starts_with("custom.")),
        "messages": related.messages,
        "attachments": related.attachments.join(ids, on="message_id", how="inner"),
    }
    folder = workdir / "plan"
    for name, frame in frames.items():
        target = pl.PartitionBy(folder / name, key="part", include_key=False)
        frame.join(order.lazy(), on="ticket_id", how="inner").sink_parquet(
            target, mkdir=True, engine="streaming"
        )
    parts = 0 if order.is_empty() else int(order["part"].cast(pl.Int64)[-1]) + 1
    messages = int(related.messages.select(pl.len()).collect(engine="streaming").item())
    return Parts(folder, parts, order.height, messages, default_agent)


def _part_jobs(folder: Path, part: int, default_agent: Contact | None) -> Iterator[Conversation]:
    tickets = _part(folder, "tickets", part)
    if tickets is None:
        return
    messages = _by_ticket(
        _part(folder, "messages", part), ["rank", "created_at", "_opening", "_file", "_record"]
    )
    attachments = _part(folder, "attachments", part)
    linked: dict[str, list[Attachment]] = {}
    if attachments is not None:
        for row in attachments.sort("_file", "_record").iter_rows(named=True):
            linked.setdefault(row["message_id"], []).append(Attachment(row["url"], row["name"]))
    for ticket in tickets.sort("rank").iter_rows(named=True):
        yield conversation(ticket, messages.get(ticket["ticket_id"], []), linked, default_agent)


def _part(folder: Path, name: str, part: int) -> pl.DataFrame | None:
    files = sorted((folder / name / f"part={part}").glob("*.parquet"))
    return pl.read_parquet(files) if files else None


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
    requester = Contact(ticket["requester_email"], ticket["requester_phone"], ticket["requester_name"])
    equals: Counter[str] = Counter()
    messages = tuple(
        _message(row, requester, linked, default_agent, ticket["channel"], equals) for row in rows
    )
    public = (m.direction for m in messages if m.direction is not Direction.INTERNAL)
    tags = tuple(ticket["tags"] or ())
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
        assigned=any(ticket[f"assignee_{name}"] for name in ("id", "email", "name")),
        custom={
            name.removeprefix("custom."): value
            for name, value in ticket.items()
            if name.startswith("custom.") and value is not None
        },
        fingerprint=fingerprint(requester.key, ticket["subject"], tags),
    )


def _message(
    row: Mapping[str, Any],
    requester: Contact,
    linked: Mapping[str, list[Attachment]],
    default_agent: Contact | None,
    channel: str | None,
    equals: Counter[str],
) -> Message:
    written = Contact(row["author_email"], row["author_phone"], row["author_name"])
    author = written if written.key else (default_agent if row["is_agent"] else requester)
    text = row["text"] if row["text"] is not None else plain(row["html"] or "")
    files = tuple(Attachment(url) for url in row["attachments"] or ()) + tuple(
        linked.get(row["message_id"] or "", ())
    )
    content = fingerprint(
        _iso(row["created_at"]), row["direction"], written.key, text, [file.url for file in files]
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
        cc=tuple(row["cc"] or ()),
        from_html=row["text"] is None and row["html"] is not None,
        fingerprint=content,
    )


def fingerprint(*content: Any) -> bytes:
    """Eight bytes that change when the content does."""
    text = json.dumps(content, ensure_ascii=False, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _derived_id(row: Mapping[str, Any], text: str, equals: Counter[str]) -> str:
    """The id of a message that has none: from ticket, time, author and text, and its number among equals."""
    if row["_opening"]:
        return f"{row['ticket_id']}:opening"
    author = row["author_email"] or row["author_phone"] or row["author_name"]
    digest = fingerprint(row["ticket_id"], _iso(row["created_at"]), author, text).hex()
    equals[digest] += 1
    return f"derived:{digest}:{equals[digest]}"


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
