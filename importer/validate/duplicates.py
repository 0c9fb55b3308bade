"""Find rows that share an id, and separate rejected rows from good ones with the same id."""

import polars as pl

from importer.model import State
from importer.read.table import Scanned
from importer.tables.frames import FATES


def apart(fates: pl.LazyFrame, good: pl.LazyFrame) -> pl.LazyFrame:
    """The fates, without `key` and `ticket_id` where a good row has the same key: such a row (an older
    version, or one that a corrected row replaces) must not affect rows that belong to the good one."""
    own = fates.select("key").drop_nulls()
    there = good.select("key").join(own, on="key", how="semi").unique().with_columns(_there=True)
    known = pl.col("_there").is_null()
    return (
        fates.join(there, on="key", how="left")
        .with_columns(key=pl.when(known).then("key"), ticket_id=pl.when(known).then("ticket_id"))
        .select(*FATES)
    )


def duplicates(scanned: Scanned, good: pl.LazyFrame) -> pl.DataFrame:
    """The good rows that share an id, as fates. Equal keys find the candidates, equal ids decide."""
    table, column = scanned.schema.name, scanned.schema.primary
    ordered = good.select(pl.col("key").drop_nulls()).collect(engine="streaming")["key"].sort()
    twice = ordered.filter(ordered == ordered.shift()).unique().to_frame()
    if twice.is_empty() or column is None:
        return FATES.to_frame()
    candidates = good.join(twice.lazy(), on="key", how="semi").collect(engine="streaming").lazy()
    return (
        candidates.filter(pl.col(column).is_duplicated())
        .select(
            "_file",
            "_record",
            "key",
            "parent",
            items="items" if table == "messages" else pl.lit(0),
            state=pl.lit(State.REJECTED.value),
            rule=pl.lit(f"{column}.unique"),
            ticket_id="ticket_id" if table == "tickets" else pl.lit(None),
        )
        .cast(FATES)
        .collect()
    )
