"""Which tickets have changed since they were imported: a hash of all source rows of each ticket."""

import polars as pl

from importer.relate.related import Related


def ticket_hashes(related: Related) -> pl.LazyFrame:
    """A line a ticket: `at`, its number of `messages` and `attachments`, and a `source_hash` that changes
    when any
    of its rows does, whatever their order.

    Compare only what the same version of polars made: its hashes may change from version to version.
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
    """A hash of a row's content, not of where it stands."""
    cells = [
        (
            pl.col(name).list.join("\x1e") if dtype == pl.List(pl.String) else pl.col(name).cast(pl.String)
        ).fill_null("\x00")
        for name, dtype in frame.collect_schema().items()
        if name not in ("_file", "_record", "key", "parent")
    ]
    return pl.concat_str(cells, separator="\x1f").hash()


def messages_of(related: Related) -> pl.LazyFrame:
    if related.messages is None:
        raise AssertionError("the messages were not kept")
    return related.messages


def linked_attachments(related: Related) -> pl.LazyFrame:
    """Rows of the attachments table with their ticket."""
    ids = messages_of(related).select("message_id", "ticket_id").filter(pl.col("message_id").is_not_null())
    return related.attachments.join(ids, on="message_id", how="inner")


# Source hashes can be compared where the same version of polars made them.
HASH_MAKER = f"polars {pl.__version__}"
