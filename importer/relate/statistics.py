"""Statistics of the imported messages, for the report."""

from typing import Any

import polars as pl

from importer.relate.related import Related


def statistics(related: Related) -> dict[str, Any]:
    """Numbers of messages per month, channel, direction and ticket, and sizes of texts in bytes. All values
    are JSON. Months are ascending; channels and directions begin with the largest number."""
    size, at, count = pl.col("body.bytes"), pl.col("created_at"), pl.col("messages")
    by_month, by_direction, sizes, by_ticket, by_channel = pl.collect_all(
        [
            related.going.group_by(key=at.dt.year().cast(pl.Int32) * 12 + at.dt.month().cast(pl.Int32) - 1)
            .len()
            .drop_nulls()
            .sort("key"),
            related.authors.group_by(key="direction")
            .agg(pl.col("going").sum())
            .filter(pl.col("going") > 0)
            .sort("going", "key", descending=[True, False]),
            related.going.select(total=size.sum(), mean=size.mean(), largest=size.max()),
            related.by_ticket.select(mean=count.mean(), largest=count.max()),
            related.tickets.select("key", "channel")
            .join(related.by_ticket, left_on="key", right_on="parent")
            .group_by("channel")
            .agg(count.sum())
            .sort("messages", "channel", descending=[True, False]),
        ],
        engine="streaming",
    )

    def pairs(frame: pl.DataFrame) -> list[list[Any]]:
        return [[key or "", count] for key, count in frame.iter_rows()]

    def rounded(frame: pl.DataFrame) -> dict[str, Any]:
        return {key: round(value or 0, 1) for key, value in frame.row(0, named=True).items()}

    return {
        "messages_per_month": [[f"{m // 12:04}-{m % 12 + 1:02}", n] for m, n in by_month.iter_rows()],
        "by_channel": pairs(by_channel),
        "by_direction": pairs(by_direction),
        "text_bytes": rounded(sizes),
        "messages_per_ticket": rounded(by_ticket),
    }
