"""First messages that stand in the rows of tickets, and whether they stand among the messages once more."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from importer.model import Direction
from importer.presets import Opening

# A mail that opens a ticket and the ticket's own row are written within this time.
_TOGETHER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Openings:
    """Messages out of ticket rows, and how many of them stand among the messages too; of the conversations
    that go, those that begin with a message of ours."""

    count: int
    repeated: int
    conversations: int
    begun_by_agents: int


def counted(messages: pl.LazyFrame, going: pl.LazyFrame) -> Openings:
    count = _rows(messages.filter("_opening"))
    twice = _rows(repeated(messages, "unless_repeated")) if count else 0
    first = (
        going.filter(pl.col("direction") != Direction.INTERNAL)
        .select(
            "ticket_id", "direction", order=pl.struct("created_at", ~pl.col("_opening"), "_file", "_record")
        )
        .group_by("ticket_id")
        .agg(pl.col("direction").sort_by("order").first())
        .select(pl.len().alias("all"), (pl.col("direction") == Direction.OUTBOUND).sum().alias("ours"))
    )
    conversations, ours = first.collect(engine="streaming").row(0)
    return Openings(count, twice, conversations, ours)


def _rows(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def with_openings(messages: pl.LazyFrame, tickets: pl.LazyFrame) -> pl.LazyFrame:
    """The messages, and the opening messages of the tickets: the requester's own, in public."""
    openings = tickets.filter(pl.col("body.bytes").is_not_null()).select(
        "_file",
        "_record",
        "ticket_id",
        "created_at",
        "channel",
        "body.bytes",
        "body.hash",
        "body.words",
        message_id=pl.col("ticket_id") + ":opening",
        author_id="requester_id",
        author_email="requester_email",
        author_name="requester_name",
        direction=pl.lit(Direction.INBOUND.value),
        _opening=pl.lit(value=True),
    )
    return pl.concat([messages.with_columns(pl.lit(value=False).alias("_opening")), openings], how="diagonal")


def repeated(messages: pl.LazyFrame, opening: Opening) -> pl.LazyFrame:
    """The openings among messages whose direction is decided that must not be told twice."""
    openings, others = messages.filter("_opening"), messages.filter(~pl.col("_opening"))
    if opening == "always":
        return openings.clear()
    if opening == "unless_messages":
        return openings.join(others, on="ticket_id", how="semi")
    first = (
        others.filter(pl.col("direction") != Direction.INTERNAL)
        .select("ticket_id", "direction", "created_at", "_file", "_record", words="body.words")
        .sort("created_at", "_file", "_record")
        .group_by("ticket_id", maintain_order=True)
        .agg(pl.first("direction", "created_at", "words").name.prefix("first."))
    )
    near = (pl.col("first.created_at") - pl.col("created_at")).abs() <= _TOGETHER
    same = (pl.col("first.words") == pl.col("body.words")) | (
        (pl.col("first.direction") == Direction.INBOUND) & near
    )
    kept = messages.collect_schema().names()
    return openings.join(first, on="ticket_id", how="inner").filter(same).select(kept)
