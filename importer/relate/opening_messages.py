"""First messages that stand in the rows of tickets, and whether they stand among the messages once more."""

from datetime import timedelta

import polars as pl

from importer.migration.presets import Opening
from importer.model import Direction
from importer.relate.related import Openings
from importer.tables.frames import AUTHOR_SIGNATURE
from importer.validate.kept import author_signature, id_hash, row_count

# A mail that opens a ticket and the ticket's own row are written within this time.
_TOGETHER = timedelta(minutes=10)
_NEVER = 1 << 61
# Time, file and record in one number, so that the first of a group is found without a sort of all.
_AT, _FILE = 64, 48  # bits
_ORDER = (
    pl.col("created_at").dt.timestamp("us").fill_null(-_NEVER).cast(pl.Int128) * (1 << _AT)
    + pl.col("_file").cast(pl.Int128) * (1 << _FILE)
    + pl.col("_record").cast(pl.Int128)
)


def counted(opened: pl.LazyFrame, messages: pl.LazyFrame, tickets: pl.LazyFrame) -> Openings:
    """`opened` are the openings, `messages` all that say something, with their direction; `tickets` those
    that go (see by_ticket)."""
    told = row_count(opened)
    twice = repeated(opened, messages, "unless_repeated") if told else None
    begun = tickets.filter(pl.col("first_public").is_not_null())
    ours = (pl.col("first_public") % 2).sum()
    conversations, by_agents = begun.select(pl.len(), ours=ours).collect(engine="streaming").row(0)
    return Openings(told, row_count(twice) if twice is not None else 0, conversations, by_agents)


def by_ticket(messages: pl.LazyFrame) -> pl.LazyFrame:
    """By `parent` the number of `messages`, and of the `first_public` its instant (µs) twice, plus one where
    it is ours: of several in one instant the customer's counts."""
    at = pl.col("created_at").dt.timestamp("us").fill_null(_NEVER)
    is_public = pl.col("direction") != Direction.INTERNAL
    place = pl.when(is_public).then(at * 2 + (pl.col("direction") == Direction.OUTBOUND))
    return messages.group_by("parent").agg(pl.len().alias("messages"), place.min().alias("first_public"))


def messages(tickets: pl.LazyFrame) -> pl.LazyFrame:
    """The opening messages of tickets: the requester's own, in public."""
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
    """The openings that must not be told twice, since they stand among the messages that say something (with
    their direction) too; None where that is not asked."""
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
