"""Join the good rows of all tables: tickets with their requesters, messages with their authors. The opening
texts of ticket rows become messages among the others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from importer.migration.presets import Opening
from importer.model import Direction
from importer.relate import opening_messages as openings
from importer.relate.authors import Authors, Names, authors, contact_key, external, replaced_by_user
from importer.tables.frames import AUTHOR_SIGNATURE, BODIES, GOING
from importer.tables.schema import load
from importer.validate.checked import Checked
from importer.validate.kept import row_count

_PEOPLE_COLUMNS = ("person_id", "email", "name", "phone", "role")


@dataclass(frozen=True, slots=True)
class RelationRules:
    """The settings of the migration that decide about relations."""

    # The address that replaces a requester without one. None: such a ticket is rejected.
    default_requester: str | None = None
    # The address that replaces an agent without one. None: the message is rejected.
    default_agent: str | None = None
    # Whether a ticket without messages is imported with its subject as text.
    import_empty: bool = False
    # Whether a ticket is imported although some of its messages are rejected.
    with_holes: bool = False
    # How people are known in Dixa.
    names: Names = field(default_factory=Names)
    # Whether the API accepts no message without a time.
    times_required: bool = False
    # When an opening text in a ticket's row becomes a message.
    opening: Opening = "always"


@dataclass(frozen=True, slots=True)
class Spooled:
    """A frame on disk, with the number of its rows."""

    frame: pl.LazyFrame
    rows: int


def spool(frame: pl.LazyFrame, path: Path) -> Spooled:
    """Write a frame to a Parquet file, so that it is computed only once."""
    frame.sink_parquet(path, compression="lz4", statistics=False, engine="streaming")
    there = pl.scan_parquet(path, glob=False)
    return Spooled(there, row_count(there))


def anti_join(
    frame: pl.LazyFrame, others: Spooled, own: list[str], theirs: list[str] | None = None
) -> pl.LazyFrame:
    """The rows of `frame` without a match in `others`. `own` are the columns to compare, `theirs` their names
    in `others` where these differ."""
    # Most exports have no rejected rows, so that the join is not needed.
    if not others.rows:
        return frame
    return frame.join(others.frame.select(theirs or own), left_on=own, right_on=theirs or own, how="anti")


# Identifies a message. An opening message has `_file` and `_record` of its ticket's row.
MESSAGE_ROW = ["_opening", "_file", "_record"]


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """Counts of messages."""

    # By `signature`: the number of `messages`, and the times of the `first` and the `last` one.
    by_signature: pl.LazyFrame
    # By ticket: MESSAGES_BY_TICKET (tables/frames.py).
    by_ticket: pl.LazyFrame


@dataclass(frozen=True, slots=True)
class Joined:
    """The good rows of all tables, joined."""

    # With requester and assignee filled in.
    tickets: pl.LazyFrame
    # With the signatures of their authors, opening messages included: GOING.
    messages: pl.LazyFrame
    # The same with the other columns of messages, but without texts. None where these were not kept.
    whole: pl.LazyFrame | None
    # The messages that come from ticket rows.
    openings: Spooled
    authors: Authors
    counts: MessageCounts
    # Rows of messages without a time of their own. They get the time of their ticket.
    timeless: int = 0

    def sided(self, messages: pl.LazyFrame) -> pl.LazyFrame:
        """Add the `direction` of each message."""
        return messages.join(self.authors.frame.select("signature", "direction"), on="signature", how="left")


def join(tables: Mapping[str, Checked], rules: RelationRules, workdir: Path) -> Joined:
    """Join the good rows of all tables. Frames are written below `workdir`."""
    people = good(tables, "people").select(_PEOPLE_COLUMNS)
    tickets = _with_people(good(tables, "tickets"), people if "people" in tables else None, rules)
    if "people" in tables:
        tickets = spool(tickets, workdir / "tickets.named.parquet").frame
    opened = spool(openings.messages(tickets), workdir / "messages.openings.parquet")
    frames, signatures = [opened.frame], [opened.frame]
    if "messages" in tables:
        own, own_signatures = tables["messages"].good, tables["messages"].signatures
        assert own_signatures is not None
        own = own.with_columns(_opening=pl.lit(value=False))
        frames, signatures = (
            ([own, *frames], [own_signatures, *signatures]) if opened.rows else ([own], [own_signatures])
        )
    messages = pl.concat(_filled(frame, GOING) for frame in frames)
    different = pl.concat(
        _filled(frame, {"signature": pl.UInt64(), **AUTHOR_SIGNATURE}) for frame in signatures
    ).unique("signature")
    different = spool(different, workdir / "messages.signatures.parquet").frame
    found = authors(different, messages, tickets, people, rules.names, workdir / "authors.parquet")
    timeless = int(messages.select(pl.col("created_at").null_count()).collect(engine="streaming").item())

    def settled(frame: pl.LazyFrame) -> pl.LazyFrame:
        frame = found.with_ticket(frame)
        return _with_times(frame, tickets) if timeless else frame

    if timeless or not found.depending.is_empty():
        messages = spool(settled(messages), workdir / "messages.settled.parquet").frame
    sided = messages.join(found.frame.select("signature", "direction"), on="signature", how="left")
    return Joined(
        _with_fallback_requester(tickets, messages, found, rules, workdir),
        messages,
        _whole(tables, opened, settled),
        opened,
        found,
        count_messages(sided, workdir, "all"),
        timeless - int(opened.frame.select(pl.col("created_at").null_count()).collect().item()),
    )


def _whole(
    tables: Mapping[str, Checked], opened: Spooled, settled: Callable[[pl.LazyFrame], pl.LazyFrame]
) -> pl.LazyFrame | None:
    """The good messages with all columns but their texts. None where these columns were not kept."""
    schema = load("messages")
    columns = {name: schema.dtype(name) for name in _OF_MESSAGES}
    wanted = {**GOING, "body.hash": pl.UInt64(), **columns}
    frames = [opened.frame] if opened.rows or "messages" not in tables else []
    if "messages" in tables:
        own = tables["messages"]
        if own.bodies is None:
            return None
        frames = [own.good.with_columns(_opening=pl.lit(value=False)), *frames]
    return settled(pl.concat(_filled(frame, wanted) for frame in frames))


# The columns of a message that are sent, beside those of GOING.
_OF_MESSAGES = ("message_id", "ticket_id", "channel", "from_email", "to_email", "cc", "bcc", "attachments")


def _filled(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The columns of a schema. Those that the frame does not have are null."""
    there = frame.collect_schema()
    return frame.select(
        pl.col(name) if name in there else pl.lit(None, dtype).alias(name) for name, dtype in schema.items()
    )


def good(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    """The good rows of a table with all columns of its schema except texts. Empty where the export does not
    have the table."""
    schema = load(name)
    keys = {"_file": pl.UInt16(), "_record": pl.UInt64(), "key": pl.UInt64(), "parent": pl.UInt64()}
    columns = {n: schema.dtype(n) for n in schema.columns if n not in BODIES.get(name, ())}
    traces = {f"body.{n}": pl.UInt64() for n in ("bytes", "hash", "words")} if name in BODIES else {}
    if name not in tables:
        return pl.LazyFrame(schema={**keys, **columns, **traces})
    custom = {n: pl.String() for n in tables[name].scanned.given if n.startswith("custom.")}
    return _filled(tables[name].good, {**keys, **columns, **custom, **traces})


# -- people


def _with_people(tickets: pl.LazyFrame, people: pl.LazyFrame | None, rules: RelationRules) -> pl.LazyFrame:
    """Fill in requester and assignee: from the ticket's own columns, else by their ids from the table of
    people."""
    if people is None:
        tickets = tickets.with_columns(assignee_phone=pl.lit(None, pl.String))
    else:
        known = people.select(pl.all().name.prefix("p_")).drop("p_role")
        for who in ("requester", "assignee"):
            own = ("email", "phone", "name") if who == "requester" else ("email", "name")
            tickets = (
                tickets.join(known, left_on=f"{who}_id", right_on="p_person_id", how="left")
                .with_columns(
                    *(pl.coalesce(f"{who}_{name}", f"p_{name}").alias(f"{who}_{name}") for name in own),
                    *([] if who == "requester" else [pl.col("p_phone").alias("assignee_phone")]),
                )
                .drop("^p_.*$")
            )
    return tickets.with_columns(
        external("requester_id", "requester_name", rules.names).alias("requester_external"),
        *replaced_by_user("assignee", rules.names),
    )


def _with_times(messages: pl.LazyFrame, tickets: pl.LazyFrame) -> pl.LazyFrame:
    """Fill in missing times from the ticket."""
    times = tickets.select(parent="key", _at="created_at").unique("parent")
    return (
        messages.join(times, on="parent", how="left")
        .with_columns(created_at=pl.coalesce("created_at", "_at"))
        .drop("_at")
    )


def _with_fallback_requester(
    tickets: pl.LazyFrame, messages: pl.LazyFrame, found: Authors, rules: RelationRules, workdir: Path
) -> pl.LazyFrame:
    """Replace a missing requester by the author of the ticket's first inbound message, else by the default
    requester."""
    nobody = contact_key("requester_email", "requester_phone", "requester_external").is_null()
    if not row_count(tickets.filter(nobody)):
        return tickets.with_columns(_default_requester=pl.lit(value=False))
    someone = contact_key("author_email", "author_phone", "author_external").is_not_null()
    parts = ("email", "phone", "name", "external")
    senders = found.frame.filter((pl.col("direction") == Direction.INBOUND) & someone)
    first = (
        messages.join(tickets.filter(nobody), left_on="parent", right_on="key", how="semi")
        .join(senders.select("signature", *(f"author_{name}" for name in parts)), on="signature", how="inner")
        .group_by("parent")
        .agg(
            pl.col(f"author_{name}").sort_by("created_at", "_file", "_record", nulls_last=True).first()
            for name in parts
        )
    )
    known = nobody & contact_key("author_email", "author_phone", "author_external").is_not_null()
    named = tickets.join(first, left_on="key", right_on="parent", how="left").with_columns(
        # The name is replaced with the address: the ticket's own name may be of another person.
        pl.when(known).then(f"author_{name}").otherwise(f"requester_{name}").alias(f"requester_{name}")
        for name in parts
    )
    stands_in = nobody & pl.lit(rules.default_requester is not None)
    named = named.with_columns(
        _default_requester=stands_in,
        requester_name=pl.when(~stands_in).then("requester_name"),
        requester_email=pl.when(nobody)
        .then(pl.lit(rules.default_requester, pl.String))
        .otherwise("requester_email"),
    ).drop(*(f"author_{name}" for name in parts))
    return spool(named, workdir / "tickets.requested.parquet").frame


def count_messages(sided: pl.LazyFrame, workdir: Path, name: str) -> MessageCounts:
    """Count messages in one pass. `sided` has their `direction`. File names contain `name`."""
    sided = sided.cache()
    by_signature, by_ticket = (workdir / f"messages.{name}.by-{of}.parquet" for of in ("signature", "ticket"))
    signatures = sided.group_by("signature").agg(
        pl.len().alias("messages"),
        pl.col("created_at").min().alias("first"),
        pl.col("created_at").max().alias("last"),
    )
    pl.collect_all(
        [
            signatures.sink_parquet(by_signature, lazy=True),
            openings.by_ticket(sided).sink_parquet(by_ticket, statistics=False, lazy=True),
        ],
        engine="streaming",
    )
    return MessageCounts(pl.scan_parquet(by_signature, glob=False), pl.scan_parquet(by_ticket, glob=False))
