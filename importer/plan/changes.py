"""Detects tickets that have changed since they were imported, by a hash of all source rows of each ticket."""

import polars as pl

from importer.relate.related import Related


def ticket_hashes(related: Related) -> pl.LazyFrame:
    """One row per ticket: `ticket_id`, `at` (its time, else that of its first message, else null), the
    numbers of its `messages` and `attachments`, and its `source_hash`. The hash changes if any of the
    ticket's rows changes. The order of rows makes no difference.

    Hashes are comparable only if the same version of polars (HASH_MAKER) made them.
    """
    listed = pl.col("attachments").list.len().fill_null(0)
    whole = messages_of(related)
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
    linked = linked_attachments(related)
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
            source_hash=(
                pl.col("hash_of_ticket")
                + pl.coalesce("hash", zero) * 31
                + pl.coalesce("hash_of_files", zero) * 17
            ).reinterpret(signed=True),
        )
    )


def _hash(frame: pl.LazyFrame) -> pl.Expr:
    """A hash of the content of each row, without its place in the source."""
    cells = [
        (
            pl.col(name).list.join("\x1e") if dtype == pl.List(pl.String) else pl.col(name).cast(pl.String)
        ).fill_null("\x00")
        for name, dtype in frame.collect_schema().items()
        if name not in ("_file", "_record", "key", "parent")
    ]
    return pl.concat_str(cells, separator="\x1f").hash()


def messages_of(related: Related) -> pl.LazyFrame:
    """The imported messages with all their columns. They must have been kept."""
    if related.messages is None:
        raise AssertionError("the messages were not kept")
    return related.messages


def linked_attachments(related: Related) -> pl.LazyFrame:
    """The rows of the attachments table with the `ticket_id` of their message."""
    ids = messages_of(related).select("message_id", "ticket_id").filter(pl.col("message_id").is_not_null())
    return related.attachments.join(ids, on="message_id", how="inner")


# The version of polars that makes source hashes. Other versions may make other hashes.
HASH_MAKER = f"polars {pl.__version__}"
