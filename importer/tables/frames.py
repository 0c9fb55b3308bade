"""Names and dtypes of every frame that crosses from one folder to another. Pure.

A frame may have more columns than its schema names: those of its table (schemas/tables/*.json), typed, and
`custom.<name>`. tests/tables/test_frames.py holds the frames of a run to these schemas.
"""

from collections.abc import Mapping

import polars as pl

_INSTANT = pl.Datetime("us", "UTC")
# Where a row came from: `_file` is an index into the table's origins, `_record` counts the source's rows from
# 0, the header not counted (see read.mapping.explode for rows that come out of a cell).
_PLACE = {"_file": pl.UInt16(), "_record": pl.UInt64()}
# Rows know each other by 64 bit hashes of ids: `key` of their own, `parent` of the ticket they belong to (of
# attachments: the message).
_KEYS = {"key": pl.UInt64(), "parent": pl.UInt64()}
# An opening message has the place of its ticket's row, so that alone does not tell them apart.
_OPENING = {"_opening": pl.Boolean()}

# read → validate. `_flaw` is what is wrong with the shape of a row, `_skip` why it is skipped; both mostly
# null. All other columns are text.
SCANNED = pl.Schema({**_PLACE, "_flaw": pl.String(), "_skip": pl.String()})

# validate → relate: rows that break no rule. `items` counts the attachments that a cell lists.
GOOD = pl.Schema({**_PLACE, **_KEYS, "items": pl.UInt32()})

# Every other row and every rule that it breaks; enough to find the row again and what depends on it. `state`
# is a State, `ticket_id` that of a ticket's own row.
FATES = pl.Schema(
    {
        **_PLACE,
        **_KEYS,
        "items": pl.UInt32(),
        "state": pl.String(),
        "rule": pl.String(),
        "ticket_id": pl.String(),
    }
)

# Where texts stand. They are most of an export and no rule looks at them, so they have frames of their own.
BODIES: Mapping[str, tuple[str, str]] = {
    "messages": ("text", "html"),
    "tickets": ("opening_text", "opening_html"),
}
BODIES_OF_ROWS = pl.Schema({**_PLACE, "parent": pl.UInt64(), "text": pl.String(), "html": pl.String()})

# What shows who wrote a message to whom. Few of these are different, so that messages name theirs by a hash,
# `signature`.
AUTHOR_SIGNATURE: Mapping[str, pl.DataType] = {
    "author_id": pl.String(),
    "author_email": pl.String(),
    "author_name": pl.String(),
    "author_role": pl.String(),
    "from_email": pl.String(),
    "direction": pl.String(),
    "public": pl.Boolean(),
}

# Before the name of a row signal: a trace of damage on a single row, true or false.
SIGNAL = "damage."

# relate → plan. Tickets that go, beside the columns of their table.
TICKETS = pl.Schema(
    {
        **_PLACE,
        **_KEYS,
        "requester_email": pl.String(),
        "requester_phone": pl.String(),
        "requester_name": pl.String(),
        "requester_external": pl.String(),
        "assignee_email": pl.String(),
        "assignee_phone": pl.String(),
        "_default_requester": pl.Boolean(),
    }
)

# Messages that go. `body.bytes` is the size of the text, null without any; `body.words` a hash of what it
# says.
GOING = pl.Schema(
    {
        **_OPENING,
        **_PLACE,
        **_KEYS,
        "items": pl.UInt32(),
        "signature": pl.UInt64(),
        "created_at": _INSTANT,
        "body.bytes": pl.UInt64(),
        "body.words": pl.UInt64(),
    }
)

# The author of each signature. `_unsaid`: nothing says whether the message is public. `_sideless`: nothing
# shows whether a customer wrote it. `_unknown`: the export has only an id of the author. `_written`: who
# wrote it as the export has it, whoever replaces them. `person` is what an agent is called in agents.csv.
# `messages` have this signature, from `first` to `last`, and `going` of them go.
AUTHORS = pl.Schema(
    {
        "signature": pl.UInt64(),
        "direction": pl.String(),
        "is_agent": pl.Boolean(),
        "_unsaid": pl.Boolean(),
        "_sideless": pl.Boolean(),
        "_unknown": pl.Boolean(),
        "_written": pl.String(),
        "author_email": pl.String(),
        "author_phone": pl.String(),
        "author_name": pl.String(),
        "author_external": pl.String(),
        "messages": pl.UInt32(),
        "first": _INSTANT,
        "last": _INSTANT,
        "going": pl.UInt32(),
        "key": pl.String(),
        "person": pl.String(),
    }
)

# The different people whom tickets and messages name, by contact key (Contact.key).
CONTACTS = pl.Schema(
    {
        "key": pl.String(),
        "email": pl.String(),
        "phone": pl.String(),
        "name": pl.String(),
        "external": pl.String(),
        "is_agent": pl.Boolean(),
        "is_end_user": pl.Boolean(),
    }
)

# How many messages a ticket (`parent`) has. `first_public` is the instant of its first public message in µs,
# twice, plus one where an agent wrote it, so that of several in one instant the customer's counts.
MESSAGES_BY_TICKET = pl.Schema({"parent": pl.UInt64(), "messages": pl.UInt32(), "first_public": pl.Int64()})
