"""The related tables as values: the rows that are imported, the people they name, and the fates of all other
rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Openings:
    """Counts of opening messages: messages that come from ticket rows."""

    count: int
    # How many of them are among the other messages too.
    repeated: int
    # How many imported conversations have a public message.
    conversations: int
    # How many of these begin with a message of an agent.
    begun_by_agents: int


@dataclass(frozen=True, slots=True)
class Related:
    """The rows that are imported, and the fates of all other rows. Columns and dtypes are in
    tables/frames.py."""

    # The tickets that are imported, with requester and assignee filled in: TICKETS.
    tickets: pl.LazyFrame
    # The messages that are imported, without their texts: GOING.
    going: pl.LazyFrame
    # The same with all their columns, authors filled in and directions decided; None where they were not
    # kept.
    messages: pl.LazyFrame | None
    # The texts of all good rows, where they were kept: BODIES_OF_ROWS.
    bodies: pl.LazyFrame
    # The attachments of these messages.
    attachments: pl.LazyFrame
    # The different people whom these rows name: CONTACTS.
    contacts: pl.LazyFrame
    # One line per author signature, with how often it occurs: AUTHORS.
    authors: pl.LazyFrame
    # How many messages of each ticket are imported: MESSAGES_BY_TICKET.
    by_ticket: pl.LazyFrame
    # By table, one line for every row that is not imported and every reason: FATES.
    fates: Mapping[str, pl.LazyFrame]
    # Counts of the messages that come from ticket rows.
    openings: Openings
    # Messages that do not say whether they are public. They become private notes.
    unsaid: int
    # Messages of which nothing shows whether a customer or an agent wrote them. They count as an agent's.
    sideless: int
    # Messages without a time of their own.
    timeless: int
    # Messages whose agent has no address, so that the default agent replaces them.
    default_agents: int
    # Tickets whose requester has no address, so that the default requester replaces them.
    default_requesters: int
