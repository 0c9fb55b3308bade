"""Names and dtypes of the columns of every frame that one folder passes to another. Pure.

A frame may have more columns than its schema names: the typed columns of its table (schemas/tables/*.json)
and `custom.<name>`. tests/tables/test_frames.py checks the frames of a run against these schemas.
"""

from collections.abc import Mapping

import polars as pl

_INSTANT = pl.Datetime("us", "UTC")
# Where a row came from: `_file` is an index into the table's origins, `_record` the number of the source row
# from 0, header not counted (see read.mapping.explode for rows that come from a cell).
_PLACE = {"_file": pl.UInt16(), "_record": pl.UInt64()}
# Rows refer to each other by 64 bit hashes of ids: `key` of their own id, `parent` of the ticket that they
# belong to (for attachments: the message).
_KEYS = {"key": pl.UInt64(), "parent": pl.UInt64()}
# An opening message has the place of its ticket's row, so the place alone does not identify a message.
_OPENING = {"_opening": pl.Boolean()}

# read → validate. `_flaw` is what is wrong with the structure of a row, `_skip` the reason why it is skipped.
# Both are mostly null. All other columns are text.
SCANNED = pl.Schema({**_PLACE, "_flaw": pl.String(), "_skip": pl.String()})

# validate → relate: rows that break no rule. `items` is the number of attachments in its cell.
GOOD = pl.Schema({**_PLACE, **_KEYS, "items": pl.UInt32()})

# One line for every other row and each rule that it breaks, to find the row again and the rows that depend on
# it. `state` is a State; `ticket_id` is null except for rows of tickets.
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

# The columns of texts. Texts are most of an export and no rule checks them, so they have separate frames.
BODIES: Mapping[str, tuple[str, str]] = {
    "messages": ("text", "html"),
    "tickets": ("opening_text", "opening_html"),
}
BODIES_OF_ROWS = pl.Schema({**_PLACE, "parent": pl.UInt64(), "text": pl.String(), "html": pl.String()})

# The columns that show who wrote a message to whom. Few combinations are distinct, so messages refer to
# theirs by a hash, `signature`.
AUTHOR_SIGNATURE: Mapping[str, pl.DataType] = {
    "author_id": pl.String(),
    "author_email": pl.String(),
    "author_name": pl.String(),
    "author_role": pl.String(),
    "from_email": pl.String(),
    "direction": pl.String(),
    "public": pl.Boolean(),
}

# The prefix of a row signal: a boolean column that says whether a single row shows a kind of damage.
SIGNAL = "damage."

# relate → plan. Tickets to import, with the columns of their table.
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

# Messages to import. `body.bytes` is the size of the text, null without text; `body.words` a hash of its
# words.
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

# The author of each signature.
AUTHORS = pl.Schema(
    {
        "signature": pl.UInt64(),
        "direction": pl.String(),
        "is_agent": pl.Boolean(),
        # The export does not say whether the message is public.
        "_unsaid": pl.Boolean(),
        # The export does not show whether a customer or an agent wrote it.
        "_sideless": pl.Boolean(),
        # The export has only an id of the author.
        "_unknown": pl.Boolean(),
        # The author in the export, also where another one replaces them.
        "_written": pl.String(),
        "author_email": pl.String(),
        "author_phone": pl.String(),
        "author_name": pl.String(),
        "author_external": pl.String(),
        # How many messages have this signature, and the times of the first and the last.
        "messages": pl.UInt32(),
        "first": _INSTANT,
        "last": _INSTANT,
        # How many of them are imported.
        "going": pl.UInt32(),
        "key": pl.String(),
        # The name of an agent in agents.csv.
        "person": pl.String(),
    }
)

# The distinct people in tickets and messages, by contact key (Contact.key).
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

# The number of messages of a ticket (`parent`). `first_public` is twice the instant of its first public
# message in µs, plus one where an agent wrote it: so of two messages at one instant the customer's is the
# first.
MESSAGES_BY_TICKET = pl.Schema({"parent": pl.UInt64(), "messages": pl.UInt32(), "first_public": pl.Int64()})
