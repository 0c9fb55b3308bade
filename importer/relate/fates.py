"""Relate the tables: which rows are imported, and why every other row is not.

Relations are rules too: a message needs its ticket, and a ticket needs a requester. A ticket is imported
completely or not at all (unless `--with-holes` is given), because a missing message cannot be inserted at its
place in Dixa later. A row that is not imported gets a fate: its state and the rule that it breaks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from importer.model import State
from importer.relate import opening_messages as openings
from importer.relate.authors import agent_name, contact_key, external
from importer.relate.join import (
    MESSAGE_ROW,
    Joined,
    MessageCounts,
    RelationRules,
    Spooled,
    anti_join,
    count_messages,
    good,
    join,
    spool,
)
from importer.relate.related import Related
from importer.tables.frames import FATES
from importer.validate.checked import Checked
from importer.validate.kept import row_count


def relate(tables: Mapping[str, Checked], *, rules: RelationRules, workdir: Path) -> Related:
    """Join the tables, and decide the fate of every row. Frames are written below `workdir`."""
    joined = join(tables, rules, workdir)
    fates = _settled(tables, joined, rules, workdir)
    tickets = anti_join(joined.tickets, fates.tickets, ["key"])
    going, numbers = joined.messages, joined.counts
    if fates.own.rows or fates.tickets.rows:
        left = anti_join(anti_join(going, fates.own, MESSAGE_ROW), fates.tickets, ["parent"], ["key"])
        going = spool(left, workdir / "messages.going.parquet").frame
        numbers = count_messages(joined.sided(going), workdir, "going")
    by_signature = _by_signature(joined, numbers, workdir)
    contacts = spool(_contacts(tickets, by_signature), workdir / "contacts.parquet").frame
    said = joined.sided(_said(joined.messages, good(tables, "attachments")))
    return Related(
        tickets=tickets,
        going=going,
        messages=_authored(joined, fates, workdir),
        bodies=_bodies(tables),
        attachments=anti_join(good(tables, "attachments"), fates.attachments, ["_file", "_record"]),
        contacts=contacts,
        authors=by_signature,
        by_ticket=numbers.by_ticket,
        fates={
            "tickets": fates.tickets.frame,
            "messages": fates.messages,
            "attachments": fates.attachments.frame,
            "people": _people_fates(tables, contacts, rules),
        },
        openings=openings.counted(joined.openings.frame, said, numbers.by_ticket),
        unsaid=_sum(by_signature.filter("_unsaid"), "going"),
        timeless=joined.timeless,
        sideless=_sum(by_signature.filter("_sideless"), "going"),
        default_agents=_sum(by_signature.filter(_AGENTLESS), "going"),
        default_requesters=row_count(tickets.filter("_default_requester")),
    )


@dataclass(frozen=True, slots=True)
class _Fates:
    """The fates of rows that are not imported."""

    # Good messages that break a relation themselves. The fates of their tickets depend on these.
    own: Spooled
    # All rows of each table, with these.
    messages: pl.LazyFrame
    tickets: Spooled
    attachments: Spooled


def _settled(tables: Mapping[str, Checked], joined: Joined, rules: RelationRules, workdir: Path) -> _Fates:
    """Decide the fates of messages, then of tickets (which depend on their messages), then of the other
    messages of these tickets."""
    messages, attachments = joined.messages, good(tables, "attachments")
    own = spool(
        pl.concat(_message_fates(tables, joined, attachments, rules)), workdir / "messages.own-fates.parquet"
    )
    broken = _fates(tables, "messages").with_columns(_opening=pl.lit(value=False)).select(_FATE)
    of_messages = pl.concat([broken, own.frame])
    own_attachments = spool(
        _attachment_fates(tables, attachments, messages, of_messages),
        workdir / "attachments.own-fates.parquet",
    )
    held = _ticket_fates(joined, own, of_messages, own_attachments, rules)
    tickets = spool(pl.concat([_fates(tables, "tickets"), held]), workdir / "tickets.fates.parquet")
    if tickets.rows:
        dragged = _dragged(anti_join(messages, own, MESSAGE_ROW), tickets.frame)
        path = workdir / "messages.fates.parquet"
        of_messages = spool(pl.concat([of_messages, dragged]), path).frame
    dragged = _dragged_attachments(attachments, own_attachments, of_messages)
    path = workdir / "attachments.fates.parquet"
    return _Fates(own, of_messages, tickets, spool(pl.concat([own_attachments.frame, dragged]), path))


_FATE = ["_opening", *FATES.names()]


def _bodies(tables: Mapping[str, Checked]) -> pl.LazyFrame:
    kept = [
        table.bodies.with_columns(pl.lit(name == "tickets").alias("_opening"))
        for name, table in tables.items()
        if table.bodies is not None
    ]
    numbers = {"_file": pl.UInt16, "_record": pl.UInt64, "parent": pl.UInt64}
    nothing = pl.LazyFrame(schema={**numbers, "text": pl.String, "html": pl.String, "_opening": pl.Boolean})
    return pl.concat(kept or [nothing])


def _fates(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    return tables[name].fates if name in tables else FATES.to_frame().lazy()


def _sum(frame: pl.LazyFrame, name: str) -> int:
    return int(frame.select(pl.col(name).sum()).collect(engine="streaming").item() or 0)


# -- why a row is not imported


def _fate(frame: pl.LazyFrame, state: State, rule: str) -> pl.LazyFrame:
    """Rows of messages as fates."""
    return frame.select(
        "_opening",
        "_file",
        "_record",
        "key",
        "parent",
        "items",
        state=pl.lit(state.value),
        rule=pl.lit(rule),
        ticket_id=pl.lit(None, pl.String),
    )


# Agents are known by their e-mail address or their phone number.
_AGENTLESS = pl.col("is_agent") & contact_key("author_email", "author_phone").is_null()
_WORDLESS = pl.col("body.bytes").is_null() & (pl.col("items") == 0)


def _said(messages: pl.LazyFrame, attachments: pl.LazyFrame) -> pl.LazyFrame:
    """The messages with a text or an attachment, in their own row or in the table of attachments."""
    of_files = messages.filter(_WORDLESS).join(attachments, left_on="key", right_on="parent", how="semi")
    return pl.concat([messages.filter(~_WORDLESS), of_files])


def _message_fates(
    tables: Mapping[str, Checked],
    joined: Joined,
    attachments: pl.LazyFrame,
    rules: RelationRules,
) -> Iterator[pl.LazyFrame]:
    """Repeated opening texts, orphans, empty messages, messages of unknown agents that nobody replaces, and
    messages without a time. A message gets the first fate that applies."""
    messages, opened = joined.messages, joined.openings
    said = joined.sided(_said(messages, attachments))
    repeated = openings.repeated(opened.frame, said, rules.opening) if opened.rows else None
    if repeated is not None:
        yield _fate(repeated, State.FILTERED, "opening_repeated")
        messages = messages.join(repeated, on=MESSAGE_ROW, how="anti")
    known = pl.concat([joined.tickets.select("key"), _fates(tables, "tickets").select("key").drop_nulls()])
    homeless = joined.counts.by_ticket.join(known, left_on="parent", right_on="key", how="anti")
    orphaned = homeless.select("parent").collect(engine="streaming")
    if not orphaned.is_empty():
        orphans = messages.join(orphaned.lazy(), on="parent", how="semi")
        yield _fate(orphans, State.REJECTED, "ticket_id.foreignKey")
        messages = messages.join(orphaned.lazy(), on="parent", how="anti")
    empty = messages.filter(_WORDLESS).join(attachments, left_on="key", right_on="parent", how="anti")
    yield _fate(empty, State.FILTERED, "empty_message")
    lost = _AGENTLESS & pl.lit(rules.default_agent is None)
    nameless = joined.authors.frame.filter(lost).select("signature").collect(engine="streaming")
    timeless = messages.filter(pl.col("created_at").is_null() & pl.lit(rules.times_required))
    if not nameless.is_empty():
        unknown = messages.join(nameless.lazy(), on="signature", how="semi").join(
            empty, on=MESSAGE_ROW, how="anti"
        )
        yield _fate(unknown, State.REJECTED, "author_unknown")
        timeless = timeless.join(nameless.lazy(), on="signature", how="anti")
    yield _fate(timeless.join(empty, on=MESSAGE_ROW, how="anti"), State.REJECTED, "created_at.required")


def _attachment_fates(
    tables: Mapping[str, Checked],
    attachments: pl.LazyFrame,
    messages: pl.LazyFrame,
    message_fates: pl.LazyFrame,
) -> pl.LazyFrame:
    if "attachments" not in tables:
        return FATES.to_frame().lazy()
    known = pl.concat([messages.select("key"), message_fates.select("key")]).drop_nulls()
    orphans = attachments.join(known, left_on="parent", right_on="key", how="anti")
    return pl.concat(
        [_fates(tables, "attachments"), _as_fates(orphans, State.REJECTED, pl.lit("message_id.foreignKey"))]
    )


def _as_fates(frame: pl.LazyFrame, state: State | None, rule: pl.Expr) -> pl.LazyFrame:
    """Rows of other tables as fates. Without a `state`, the frame has a column of that name."""
    there = frame.collect_schema()
    return frame.select(
        "_file",
        "_record",
        "key",
        "parent",
        items=pl.lit(0, pl.UInt32),
        state=pl.lit(state.value) if state else pl.col("state"),
        rule=rule,
        ticket_id=pl.col("ticket_id") if "ticket_id" in there else pl.lit(None, pl.String),
    )


def _ticket_fates(
    joined: Joined,
    own: Spooled,
    message_fates: pl.LazyFrame,
    attachment_fates: Spooled,
    rules: RelationRules,
) -> pl.LazyFrame:
    """One fate for each good ticket that is not imported, with the first reason that applies."""
    tickets = joined.tickets
    rejected = pl.col("state") == State.REJECTED
    holed = message_fates.filter(rejected).select(key="parent", rule=pl.lit("message_rejected"))
    bare = joined.messages.join(
        attachment_fates.frame.filter(rejected), left_on="key", right_on="parent", how="semi"
    ).select(key="parent", rule=pl.lit("attachment_rejected"))
    nobody = tickets.filter(
        contact_key("requester_email", "requester_phone", "requester_external").is_null()
    ).select("key", rule=pl.lit("requester.required"))
    silent = tickets.join(
        _spoken(joined.counts.by_ticket, own), left_on="key", right_on="parent", how="anti"
    ).select("key", "created_at", rule=pl.lit("empty_ticket"))
    timeless = silent.filter(pl.col("created_at").is_null()).with_columns(rule=pl.lit("created_at.required"))
    reasons = [
        *([] if rules.with_holes else [holed]),
        *([bare] if attachment_fates.rows and not rules.with_holes else []),
        *([] if rules.import_empty else [silent]),
        nobody,
        *([timeless] if rules.import_empty and rules.times_required else []),
    ]
    columns = ["key", "rule"]
    together = pl.concat(reason.select(columns) for reason in reasons)
    first = together.group_by("key", maintain_order=True).agg(pl.col("rule").first())
    state = (
        pl.when(pl.col("rule") == "empty_ticket")
        .then(pl.lit(State.FILTERED.value))
        .otherwise(pl.lit(State.REJECTED.value))
    )
    return _as_fates(
        tickets.join(first, on="key", how="inner").with_columns(state=state), None, pl.col("rule")
    )


def _spoken(by_ticket: pl.LazyFrame, own: Spooled) -> pl.LazyFrame:
    """The tickets that still have a message."""
    if not own.rows:
        return by_ticket
    gone = own.frame.group_by("parent").agg(pl.len().alias("gone"))
    left = pl.col("messages") > pl.col("gone").fill_null(0)
    return by_ticket.join(gone, on="parent", how="left").filter(left)


def _dragged(messages: pl.LazyFrame, ticket_fates: pl.LazyFrame) -> pl.LazyFrame:
    """The other messages of tickets that are not imported. They get the state of their ticket."""
    states = ticket_fates.group_by("key").agg(_state=pl.col("state").max())
    dragged = messages.join(states, left_on="parent", right_on="key", how="inner").with_columns(
        state="_state", rule=pl.concat_str(pl.lit("ticket_"), "_state"), ticket_id=pl.lit(None, pl.String)
    )
    return dragged.select(_FATE)


def _dragged_attachments(
    attachments: pl.LazyFrame, own: Spooled, message_fates: pl.LazyFrame
) -> pl.LazyFrame:
    states = message_fates.filter(pl.col("key").is_not_null()).group_by("key").agg(pl.col("state").max())
    dragged = anti_join(attachments, own, ["_file", "_record"]).join(
        states, left_on="parent", right_on="key", how="inner"
    )
    return _as_fates(dragged, None, pl.concat_str(pl.lit("message_"), "state"))


def _people_fates(
    tables: Mapping[str, Checked], contacts: pl.LazyFrame, rules: RelationRules
) -> pl.LazyFrame:
    """People whom no imported row names are filtered."""
    if "people" not in tables:
        return FATES.to_frame().lazy()
    named = (
        good(tables, "people")
        .with_columns(external=external("person_id", "name", rules.names))
        .with_columns(_contact=contact_key("email", "phone", "external"))
    )
    unused = named.join(contacts, left_on="_contact", right_on="key", how="anti")
    return pl.concat([_fates(tables, "people"), _as_fates(unused, State.FILTERED, pl.lit("not_needed"))])


# -- what is imported


def _authored(joined: Joined, fates: _Fates, workdir: Path) -> pl.LazyFrame | None:
    """The messages that are imported, with all their columns and their authors. None where they were not
    kept."""
    if joined.whole is None:
        return None
    kept = anti_join(anti_join(joined.whole, fates.own, MESSAGE_ROW), fates.tickets, ["parent"], ["key"])
    kept = kept.join(joined.authors.frame, on="signature", how="left").drop(
        "signature", "key", "parent", "items"
    )
    return spool(kept, workdir / "messages.whole-going.parquet").frame


def _by_signature(joined: Joined, going: MessageCounts, workdir: Path) -> pl.LazyFrame:
    frame = (
        joined.authors.frame.join(joined.counts.by_signature, on="signature", how="inner")
        .join(going.by_signature.select("signature", going="messages"), on="signature", how="left")
        .with_columns(
            pl.col("going").fill_null(0),
            key=contact_key("author_email", "author_phone", "author_external"),
            person=agent_name("author_email", "author_phone", "author_name"),
        )
    )
    return spool(frame, workdir / "authors.counted.parquet").frame


def _contacts(tickets: pl.LazyFrame, by_signature: pl.LazyFrame) -> pl.LazyFrame:
    requesters = tickets.select(
        email="requester_email",
        phone="requester_phone",
        name="requester_name",
        external="requester_external",
        is_agent=pl.lit(value=False),
    )
    authors = by_signature.filter(pl.col("going") > 0).select(
        email="author_email",
        phone="author_phone",
        name="author_name",
        external="author_external",
        is_agent="is_agent",
    )
    return (
        pl.concat([requesters, authors])
        .with_columns(key=contact_key("email", "phone", "external"))
        .filter(pl.col("key").is_not_null())
        .group_by("key")
        .agg(
            pl.col("email").min(),
            pl.col("phone").min(),
            pl.col("name").min(),
            pl.col("external").min(),
            pl.col("is_agent").any(),
            (~pl.col("is_agent")).any().alias("is_end_user"),
        )
        .sort("key")
    )
