"""Names and dtypes of the frames that cross from one room to another. Pure."""

from collections.abc import Mapping

import polars as pl

# What a reject or a filtered row keeps: enough to find it again and to know what hangs on it. `ticket_id` is
# that of a ticket's own row.
FATE_SCHEMA = pl.Schema(
    {
        "_file": pl.UInt16,
        "_record": pl.UInt64,
        "key": pl.UInt64,
        "parent": pl.UInt64,
        "items": pl.UInt32,
        "state": pl.String,
        "rule": pl.String,
        "ticket_id": pl.String,
    }
)


# Where texts stand. They are most of an export and no rule looks at them, so they go their own way.
BODIES: Mapping[str, tuple[str, str]] = {
    "messages": ("text", "html"),
    "tickets": ("opening_text", "opening_html"),
}


# What says who wrote a message to whom. Few of these are different, so messages name them by a hash, `case`.
AUTHOR_SIGNATURE: Mapping[str, pl.DataType] = {
    "author_id": pl.String(),
    "author_email": pl.String(),
    "author_name": pl.String(),
    "author_role": pl.String(),
    "from_email": pl.String(),
    "direction": pl.String(),
    "public": pl.Boolean(),
}


SIGNAL = "damage."
