"""The tables together, as values: what goes, who is named, and what became of every other row."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Openings:
    """Messages out of ticket rows, and how many of them stand among the messages too; of the conversations
    that go, those that begin with a message of ours."""

    count: int
    repeated: int
    conversations: int
    begun_by_agents: int


@dataclass(frozen=True, slots=True)
class Related:
    """What goes into the plan, and the fates of all other rows. Columns and dtypes are in
    tables/frames.py."""

    # The tickets that go, with requester and assignee filled in: TICKETS.
    tickets: pl.LazyFrame
    # The messages that go, without what they say: GOING.
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
    # How many messages of each ticket go: MESSAGES_BY_TICKET.
    by_ticket: pl.LazyFrame
    # By table, a line for every row that does not go and every reason: FATES.
    fates: Mapping[str, pl.LazyFrame]
    # The messages that come from ticket rows.
    openings: Openings
    # Messages that do not say whether they are public, and are private notes for it.
    unsaid: int
    # Messages of which nothing shows whether a customer wrote them, and that are taken for an agent's.
    sideless: int
    # Messages without a time of their own.
    timeless: int
    # Messages whose agent has no address, so that the default agent replaces them.
    default_agents: int
    # Tickets whose requester has no address, so that the default requester replaces them.
    default_requesters: int
