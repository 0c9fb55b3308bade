"""The plan on disk: conversations in a stable order, the oldest ticket first and equal times by id.

The rows are split by ticket into parts of a bounded size, so that only one part is in memory at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from importer.model import Attachment, Contact, Conversation
from importer.plan.changes import linked_attachments, messages_of, ticket_hashes
from importer.plan.conversation import conversation
from importer.read.frames import batches
from importer.relate.related import Related
from importer.validate.kept import id_hash

# Bounds the memory of one part. A single ticket with more messages makes a larger part.
MESSAGES_PER_PART = 50_000
# The size of a row group. A file holds rows of many parts, and only the row groups of one part are read.
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
    """The plan on disk."""

    folder: Path
    # How many parts the folder holds; 0 where the plan was only counted.
    count: int
    # How many tickets, messages and attachments are planned.
    tickets: int
    messages: int
    attachments: int
    # The same three numbers of tickets that were imported earlier and have not changed. They have no job.
    already_there: tuple[int, int, int]
    # The e-mail address that replaces agents without a contact key.
    default_agent: str | None

    def jobs(self) -> Iterator[Conversation]:
        """The planned conversations. Every iteration gives the same ones in the same order."""
        agent = Contact(email=self.default_agent) if self.default_agent else None
        for part in range(self.count):
            yield from _part_jobs(self.folder, part, agent)


def write_parts(
    related: Related,
    *,
    default_agent: str | None,
    workdir: Path,
    imported: pl.DataFrame | None = None,
    jobs: bool = True,
    part_size: int = MESSAGES_PER_PART,
) -> Parts:
    """Write the rows in the order of the plan below `workdir`.

    `imported` are the tickets that were imported completely (`ticket_id`, `source_hash`). Those with an
    unchanged source hash are skipped. Without `jobs` the rows are only counted.
    """
    if not jobs and (imported is None or imported.is_empty()):
        return _counted(related, workdir)
    known = (
        imported
        if imported is not None
        else pl.DataFrame(schema={"ticket_id": pl.String, "source_hash": pl.Int64})
    )
    tickets = ticket_hashes(related).collect(engine="streaming")
    there = tickets.join(known, on=["ticket_id", "source_hash"], how="semi")
    order = (
        tickets.join(known, on=["ticket_id", "source_hash"], how="anti")
        .sort("at", "ticket_id", nulls_last=True)
        .select(
            "ticket_id",
            "source_hash",
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
        "messages": messages_of(related),
        "attachments": linked_attachments(related),
    }
    folder = workdir / "plan"
    places = order.lazy().select("ticket_id", "source_hash", "rank", "part")
    for name, frame in frames.items():
        _write_by_part(frame, places, "ticket_id", folder / name)
    # Texts have only the key of their ticket. They are joined to their messages inside the part.
    by_key = places.select("part", parent=id_hash("ticket_id")).unique()
    _write_by_part(related.bodies, by_key, "parent", folder / "bodies")
    parts = 0 if order.is_empty() else int(order["part"].cast(pl.Int64)[-1]) + 1
    return Parts(folder, parts, *_sums(order), already_there=_sums(there), default_agent=default_agent)


def _write_by_part(frame: pl.LazyFrame, places: pl.LazyFrame, on: str, folder: Path) -> None:
    """Write the rows to files of a bounded size, in which the rows of a part are next to each other."""
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


_ROW = ["_opening", "_file", "_record"]


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
        # An opening message comes before the others of the same time.
        opening_first = [name == "_opening" for name in order]
        for row in messages.sort(order, descending=opening_first, nulls_last=True).iter_rows(named=True):
            rows.setdefault(row["ticket_id"], []).append(row)
    return rows
