"""Opening messages: first messages that are in the rows of tickets, and may be among the messages too."""

from datetime import timedelta

import polars as pl

from importer.migration.presets import Opening
from importer.model import Direction
from importer.relate.related import Openings
from importer.tables.frames import AUTHOR_SIGNATURE
from importer.validate.kept import author_signature, id_hash, row_count

# A helpdesk creates a ticket and its first message within this time.
_TOGETHER = timedelta(minutes=10)
# Replaces a missing time in µs. Twice this number still fits into 64 bits.
_NEVER = 1 << 61
# Time, file and record as one number, so that the first row of a group is found without sorting all rows. The
# record has the lowest 48 bits, the file the 16 bits above.
_AT, _FILE = 64, 48
_ORDER = (
    pl.col("created_at").dt.timestamp("us").fill_null(-_NEVER).cast(pl.Int128) * (1 << _AT)
    + pl.col("_file").cast(pl.Int128) * (1 << _FILE)
    + pl.col("_record").cast(pl.Int128)
)


def counted(opened: pl.LazyFrame, messages: pl.LazyFrame, tickets: pl.LazyFrame) -> Openings:
    """Count the opening messages.

    `opened` are the opening messages, `messages` all messages that are not empty, with their direction, and
    `tickets` the tickets that are imported (MESSAGES_BY_TICKET).
    """
    told = row_count(opened)
    twice = repeated(opened, messages, "unless_repeated") if told else None
    begun = tickets.filter(pl.col("first_public").is_not_null())
    ours = (pl.col("first_public") % 2).sum()
    conversations, by_agents = begun.select(pl.len(), ours=ours).collect(engine="streaming").row(0)
    return Openings(told, row_count(twice) if twice is not None else 0, conversations, by_agents)


def by_ticket(messages: pl.LazyFrame) -> pl.LazyFrame:
    """MESSAGES_BY_TICKET. In `first_public` a customer's message is smaller than an agent's of the same time,
    so that it counts as the first."""
    at = pl.col("created_at").dt.timestamp("us").fill_null(_NEVER)
    is_public = pl.col("direction") != Direction.INTERNAL
    place = pl.when(is_public).then(at * 2 + (pl.col("direction") == Direction.OUTBOUND))
    return messages.group_by("parent").agg(pl.len().alias("messages"), place.min().alias("first_public"))


def messages(tickets: pl.LazyFrame) -> pl.LazyFrame:
    """The opening messages of tickets: public messages of the requester."""
    return (
        tickets.filter(pl.col("body.bytes").is_not_null())
        .select(
            "_file",
            "_record",
            "ticket_id",
            "parent",
            "created_at",
            "channel",
            "body.bytes",
            "body.hash",
            "body.words",
            message_id=pl.col("ticket_id") + ":opening",
            author_id="requester_id",
            author_email="requester_email",
            author_name="requester_name",
            author_role=pl.lit(None, pl.String),
            from_email=pl.lit(None, pl.String),
            direction=pl.lit(Direction.INBOUND.value),
            public=pl.lit(None, pl.Boolean),
            items=pl.lit(0, pl.UInt32),
            _opening=pl.lit(value=True),
        )
        .with_columns(key=id_hash("message_id"), signature=author_signature(AUTHOR_SIGNATURE))
    )


def repeated(opened: pl.LazyFrame, messages: pl.LazyFrame, opening: Opening) -> pl.LazyFrame | None:
    """The opening messages to skip, because they are among the messages too. None where `opening` keeps all.

    `messages` are those that are not empty, with their direction.
    """
    others = messages.filter(~pl.col("_opening"))
    if opening == "always":
        return None
    if opening == "unless_messages":
        return opened.join(others, on="parent", how="semi")
    first = (
        others.filter(pl.col("direction") != Direction.INTERNAL)
        .select("parent", "direction", "created_at", "_file", "_record", words="body.words")
        .join(opened, on="parent", how="semi")
        .group_by("parent")
        .agg(pl.col("direction", "created_at", "words").min_by(_ORDER).name.prefix("first."))
    )
    near = (pl.col("first.created_at") - pl.col("created_at")).abs() <= _TOGETHER
    same = (pl.col("first.words") == pl.col("body.words")) | (
        (pl.col("first.direction") == Direction.INBOUND) & near
    )
    kept = opened.collect_schema().names()
    return opened.join(first, on="parent", how="inner").filter(same).select(kept)
