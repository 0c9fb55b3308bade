"""The tables together: who wrote what, what belongs to what, and what cannot go without the rest.

Relations are rules too: a message without its ticket, a ticket without a requester. A ticket goes whole or
not at all (unless holes are allowed), because nothing can be put in its place in Dixa later. Out come the
rows that go, and a fate for every row that does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from importer.model import Direction, Role, State
from importer.schema import load
from importer.validate import FATE_SCHEMA, Checked

# Rules that relations add to the schemas' own, with what each says.
RULES: Mapping[str, str] = {
    "ticket_id.foreignKey": "no row of tickets has this ticket_id",
    "message_id.foreignKey": "no row of messages has this message_id",
    "requester.required": "neither the ticket nor an inbound message names a requester with an e-mail or "
    "phone; people.default_requester would stand in",
    "author_unknown": "an agent without an e-mail, or whom Dixa does not know; people.default_agent would "
    "stand in",
    "message_rejected": "one of its messages is rejected, so the ticket is held back whole (--with-holes "
    "imports it all the same)",
    "attachment_rejected": "one of its attachments is rejected, so the ticket is held back whole",
    "ticket_rejected": "its ticket is rejected",
    "ticket_filtered": "its ticket is filtered",
    "empty_message": "has no text and no attachment",
    "empty_ticket": "has no message (conversation.empty = 'import' imports it from its subject)",
    "message_filtered": "its message is filtered",
    "blank_row": "every cell is empty",
    "not_needed": "nothing that is imported names this person",
}

_PEOPLE_COLUMNS = ("person_id", "email", "name", "phone", "role")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the migration decides about relations."""

    default_requester: str | None = None
    default_agent: str | None = None
    import_empty: bool = False
    with_holes: bool = False


@dataclass(frozen=True, slots=True)
class Related:
    """`tickets` go, with `requester_email`, `_phone`, `_name` filled in; `messages` are theirs, with
    `author_*` filled in, `direction` decided and `is_agent` saying on which side the author stands;
    `attachments` are those of these messages. `fates` has every other row, by table. `contacts` are the
    distinct people these rows name: `key`, `email`, `phone`, `name`, `is_agent`, `is_end_user`.

    `openings` counts the messages that come out of ticket rows; `unsaid` those that did not say whether they
    are public, and are internal for it; `default_agents` those whose agent has no e-mail address and
    `default_requesters` the tickets whose requester has none, so that the default stands in.
    """

    tickets: pl.LazyFrame
    messages: pl.LazyFrame
    attachments: pl.LazyFrame
    contacts: pl.LazyFrame
    fates: Mapping[str, pl.LazyFrame]
    openings: int
    unsaid: int
    default_agents: int
    default_requesters: int


def relate(tables: Mapping[str, Checked], *, rules: Rules, workdir: Path) -> Related:
    """Join the tables and settle what hangs on what. Frames are written below `workdir`."""

    def written(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
        path = workdir / f"{name}.parquet"
        frame.sink_parquet(path, engine="streaming")
        return pl.scan_parquet(path, glob=False)

    people = _good(tables, "people").select(_PEOPLE_COLUMNS)
    named = written(_with_requester(_good(tables, "tickets"), people), "tickets.named")
    messages = written(_with_author(_all_messages(tables, named), named, people), "messages.authored")
    tickets = written(_with_fallback_requester(named, messages, rules), "tickets.requested")
    attachments = _good(tables, "attachments")

    known_tickets = pl.concat([tickets.select(id="ticket_id"), _fates(tables, "tickets").select("id")])
    own = written(
        pl.concat([_broken(tables, messages), _message_fates(messages, known_tickets, attachments, rules)]),
        "messages.own-fates",
    )
    attachment_own = written(_attachment_fates(tables, attachments, messages, own), "attachments.own-fates")
    ticket_fates = written(
        pl.concat(
            [
                _fates(tables, "tickets"),
                _ticket_fates(tickets, messages, own, attachment_own, rules),
            ]
        ),
        "tickets.fates",
    )
    sound = messages.join(own, on=_ROW, how="anti")
    going = written(
        sound.join(ticket_fates, left_on="ticket_id", right_on="id", how="anti"), "messages.going"
    )
    message_fates = written(pl.concat([own, _dragged(sound, ticket_fates, "ticket")]), "messages.fates")
    going_tickets = written(
        tickets.join(ticket_fates, left_on="ticket_id", right_on="id", how="anti"), "tickets.going"
    )
    attachment_fates = written(
        pl.concat([attachment_own, _dragged_attachments(attachments, attachment_own, message_fates)]),
        "attachments.fates",
    )
    contacts = written(_contacts(going_tickets, going), "contacts")
    agentless = pl.col("is_agent") & pl.col("author_email").is_null()
    return Related(
        tickets=going_tickets,
        messages=going,
        attachments=attachments.join(attachment_fates, on=["_file", "_record"], how="anti"),
        contacts=contacts,
        fates={
            "tickets": ticket_fates,
            "messages": message_fates,
            "attachments": attachment_fates,
            "people": _people_fates(tables, contacts),
        },
        openings=_count(messages, pl.col("_opening")),
        unsaid=_count(going, pl.col("_unsaid")),
        default_agents=_count(going, agentless),
        default_requesters=_count(going_tickets, pl.col("_default_requester")),
    )


# A message's identity: an opening message has the row of its ticket, so the numbers alone do not tell.
_ROW = ["_opening", "_file", "_record"]
_FATE = [*FATE_SCHEMA.names()]


def _good(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    if name in tables:
        return tables[name].good
    types: dict[str, pl.DataType | type[pl.DataType]] = {
        "datetime": pl.Datetime("us", "UTC"),
        "boolean": pl.Boolean,
        "integer": pl.Int64,
    }
    columns = {
        field.name: pl.List(pl.String) if field.type == "array" else types.get(field.type, pl.String)
        for field in load(name).fields
    }
    return pl.LazyFrame(schema={"_file": pl.UInt16, "_record": pl.UInt32, **columns})


def _fates(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    return tables[name].fates if name in tables else FATE_SCHEMA.to_frame().lazy()


def _count(frame: pl.LazyFrame, condition: pl.Expr) -> int:
    return int(frame.select(condition.sum()).collect(engine="streaming").item() or 0)


def _key(email: str, phone: str) -> pl.Expr:
    """Contact.key of model.py, as an expression."""
    return pl.coalesce(
        pl.lit("email:") + pl.col(email).str.to_lowercase(),
        pl.lit("phone:") + pl.col(phone),
    )


def _with_requester(tickets: pl.LazyFrame, people: pl.LazyFrame) -> pl.LazyFrame:
    """The ticket's own columns, else what people says of requester_id."""
    known = people.select(pl.all().name.prefix("p_")).drop("p_role")
    return (
        tickets.join(known, left_on="requester_id", right_on="p_person_id", how="left")
        .with_columns(
            pl.coalesce(f"requester_{name}", f"p_{name}").alias(f"requester_{name}")
            for name in ("email", "phone", "name")
        )
        .drop("^p_.*$")
    )


def _all_messages(tables: Mapping[str, Checked], tickets: pl.LazyFrame) -> pl.LazyFrame:
    """The messages, and the opening messages that stand in ticket rows: the requester's own, in public."""
    messages = _good(tables, "messages").with_columns(pl.lit(value=False).alias("_opening"))
    openings = tickets.filter(pl.coalesce("opening_text", "opening_html").is_not_null()).select(
        "_file",
        "_record",
        "ticket_id",
        "created_at",
        "channel",
        author_id="requester_id",
        author_email="requester_email",
        author_name="requester_name",
        direction=pl.lit(Direction.INBOUND.value),
        text="opening_text",
        html="opening_html",
        _opening=pl.lit(value=True),
    )
    return pl.concat([messages, openings], how="diagonal")


def _with_author(messages: pl.LazyFrame, tickets: pl.LazyFrame, people: pl.LazyFrame) -> pl.LazyFrame:
    """`author_*` filled in from people, for inbound messages also from their sender and from the ticket's
    requester; `direction` and `is_agent` decided. A missing time becomes the ticket's."""
    known = people.select(pl.all().name.prefix("p_"))
    of_ticket = tickets.select(
        "ticket_id",
        t_id="requester_id",
        t_email="requester_email",
        t_phone="requester_phone",
        t_name="requester_name",
        t_created_at="created_at",
    ).unique("ticket_id")
    is_requester = pl.coalesce(
        pl.col("author_id") == pl.col("t_id"),
        pl.col("author_email").str.to_lowercase() == pl.col("t_email").str.to_lowercase(),
    ).fill_null(value=False)
    role = pl.col("author_role")
    guessed = (
        pl.when(pl.col("public") & ((role == Role.END_USER) | (role.is_null() & is_requester)))
        .then(pl.lit(Direction.INBOUND.value))
        .when(pl.col("public"))
        .then(pl.lit(Direction.OUTBOUND.value))
        .otherwise(pl.lit(Direction.INTERNAL.value))
    )
    hidden = pl.col("public").eq(other=False).fill_null(value=False)
    inbound = pl.col("direction") == Direction.INBOUND
    nobody = pl.col("author_email").is_null() & pl.col("author_phone").is_null()
    return (
        messages.join(known, left_on="author_id", right_on="p_person_id", how="left")
        .join(of_ticket, on="ticket_id", how="left")
        .with_columns(
            pl.coalesce("author_email", "p_email").alias("author_email"),
            pl.col("p_phone").alias("author_phone"),
            pl.coalesce("author_name", "p_name").alias("author_name"),
            pl.coalesce("author_role", "p_role").alias("author_role"),
            pl.coalesce("created_at", "t_created_at").alias("created_at"),
            (pl.col("direction").is_null() & pl.col("public").is_null()).alias("_unsaid"),
        )
        .with_columns(
            pl.when(hidden)
            .then(pl.lit(Direction.INTERNAL.value))
            .otherwise(pl.coalesce("direction", guessed))
            .alias("direction")
        )
        .with_columns(
            pl.when(inbound & nobody).then("from_email").otherwise("author_email").alias("author_email")
        )
        .with_columns(
            pl.when(inbound & nobody).then("t_email").otherwise("author_email").alias("author_email"),
            pl.when(inbound & nobody).then("t_phone").otherwise("author_phone").alias("author_phone"),
            pl.when(inbound)
            .then(pl.coalesce("author_name", "t_name"))
            .otherwise("author_name")
            .alias("author_name"),
            (~inbound & (role != Role.END_USER).fill_null(value=True)).alias("is_agent"),
        )
        .drop("^p_.*$", "^t_.*$", "author_id", "author_role", "public")
    )


def _with_fallback_requester(tickets: pl.LazyFrame, messages: pl.LazyFrame, rules: Rules) -> pl.LazyFrame:
    """A ticket that names nobody belongs to the author of its first inbound message, else to the default."""
    nobody = _key("requester_email", "requester_phone").is_null()
    first = (
        messages.filter(
            (pl.col("direction") == Direction.INBOUND) & _key("author_email", "author_phone").is_not_null()
        )
        .join(tickets.filter(nobody), on="ticket_id", how="semi")
        .group_by("ticket_id")
        .agg(
            pl.col(f"author_{name}").sort_by("created_at", "_file", "_record", nulls_last=True).first()
            for name in ("email", "phone", "name")
        )
    )
    named = tickets.join(first, on="ticket_id", how="left").with_columns(
        pl.coalesce(f"requester_{name}", pl.when(nobody).then(f"author_{name}")).alias(f"requester_{name}")
        for name in ("email", "phone", "name")
    )
    return named.with_columns(
        _default_requester=nobody & pl.lit(rules.default_requester is not None),
        requester_email=pl.when(nobody)
        .then(pl.lit(rules.default_requester, pl.String))
        .otherwise("requester_email"),
    ).drop("author_email", "author_phone", "author_name")


def _fate(frame: pl.LazyFrame, state: State, rule: pl.Expr) -> pl.LazyFrame:
    """Message rows as fates."""
    return frame.select(
        "_opening",
        "_file",
        "_record",
        id="message_id",
        parent="ticket_id",
        items=pl.col("attachments").list.len().fill_null(0).cast(pl.UInt32),
        state=pl.lit(state.value),
        rule=rule,
    )


def _broken(tables: Mapping[str, Checked], messages: pl.LazyFrame) -> pl.LazyFrame:
    return _fates(tables, "messages").select(pl.lit(value=False).alias("_opening"), *_FATE)


def _message_fates(
    messages: pl.LazyFrame, known_tickets: pl.LazyFrame, attachments: pl.LazyFrame, rules: Rules
) -> pl.LazyFrame:
    """Orphans, messages that say nothing, and agents nobody can stand in for."""
    orphans = messages.join(known_tickets, left_on="ticket_id", right_on="id", how="anti")
    at_home = messages.join(known_tickets, left_on="ticket_id", right_on="id", how="semi")
    wordless = pl.coalesce("text", "html").is_null() & (pl.col("attachments").list.len().fill_null(0) == 0)
    empty = at_home.filter(wordless).join(attachments, on="message_id", how="anti")
    unknown = pl.col("is_agent") & pl.col("author_email").is_null() & pl.lit(rules.default_agent is None)
    authorless = at_home.join(empty, on=_ROW, how="anti").filter(unknown)
    return pl.concat(
        [
            _fate(orphans, State.REJECTED, pl.lit("ticket_id.foreignKey")),
            _fate(empty, State.FILTERED, pl.lit("empty_message")),
            _fate(authorless, State.REJECTED, pl.lit("author_unknown")),
        ]
    )


def _attachment_fates(
    tables: Mapping[str, Checked], attachments: pl.LazyFrame, messages: pl.LazyFrame, own: pl.LazyFrame
) -> pl.LazyFrame:
    known = pl.concat([messages.select(id="message_id"), own.select("id")]).drop_nulls()
    orphans = attachments.join(known, left_on="message_id", right_on="id", how="anti").select(
        "_file",
        "_record",
        id=pl.lit(None, pl.String),
        parent="message_id",
        items=pl.lit(0, pl.UInt32),
        state=pl.lit(State.REJECTED.value),
        rule=pl.lit("message_id.foreignKey"),
    )
    return pl.concat([_fates(tables, "attachments"), orphans])


def _ticket_fates(
    tickets: pl.LazyFrame,
    messages: pl.LazyFrame,
    message_fates: pl.LazyFrame,
    attachment_fates: pl.LazyFrame,
    rules: Rules,
) -> pl.LazyFrame:
    """One line for each ticket that must stay, with the first reason that holds it."""
    rejected = pl.col("state") == State.REJECTED
    holed = message_fates.filter(rejected).select(ticket_id="parent", rule=pl.lit("message_rejected"))
    bare = messages.join(
        attachment_fates.filter(rejected), left_on="message_id", right_on="parent", how="semi"
    ).select("ticket_id", rule=pl.lit("attachment_rejected"))
    nobody = tickets.filter(_key("requester_email", "requester_phone").is_null()).select(
        "ticket_id", rule=pl.lit("requester.required")
    )
    spoken = messages.join(message_fates, on=_ROW, how="anti")
    silent = tickets.join(spoken, on="ticket_id", how="anti").select("ticket_id", rule=pl.lit("empty_ticket"))
    reasons = [
        *([] if rules.with_holes else [holed, bare]),
        nobody,
        *([] if rules.import_empty else [silent]),
    ]
    first = pl.concat(reasons).group_by("ticket_id", maintain_order=True).agg(pl.col("rule").first())
    return tickets.join(first, on="ticket_id", how="inner").select(
        "_file",
        "_record",
        id="ticket_id",
        parent="ticket_id",
        items=pl.lit(0, pl.UInt32),
        state=pl.when(pl.col("rule") == "empty_ticket")
        .then(pl.lit(State.FILTERED.value))
        .otherwise(pl.lit(State.REJECTED.value)),
        rule="rule",
    )


def _dragged(messages: pl.LazyFrame, ticket_fates: pl.LazyFrame, what: str) -> pl.LazyFrame:
    """Sound messages of tickets that stay: they share their ticket's state."""
    states = ticket_fates.group_by("id").agg(pl.col("state").max())
    return _fate(
        messages.join(states, left_on="ticket_id", right_on="id", how="inner"),
        State.REJECTED,
        pl.concat_str(pl.lit(f"{what}_"), "state"),
    ).with_columns(state=pl.col("rule").str.strip_prefix(f"{what}_"))


def _dragged_attachments(
    attachments: pl.LazyFrame, own: pl.LazyFrame, message_fates: pl.LazyFrame
) -> pl.LazyFrame:
    states = message_fates.filter(pl.col("id").is_not_null()).group_by("id").agg(pl.col("state").max())
    return (
        attachments.join(own, on=["_file", "_record"], how="anti")
        .join(states, left_on="message_id", right_on="id", how="inner")
        .select(
            "_file",
            "_record",
            id=pl.lit(None, pl.String),
            parent="message_id",
            items=pl.lit(0, pl.UInt32),
            state="state",
            rule=pl.concat_str(pl.lit("message_"), "state"),
        )
    )


def _contacts(tickets: pl.LazyFrame, messages: pl.LazyFrame) -> pl.LazyFrame:
    requesters = tickets.select(
        email="requester_email",
        phone="requester_phone",
        name="requester_name",
        is_agent=pl.lit(value=False),
    )
    authors = messages.select(
        email="author_email", phone="author_phone", name="author_name", is_agent="is_agent"
    )
    return (
        pl.concat([requesters, authors])
        .with_columns(key=_key("email", "phone"))
        .filter(pl.col("key").is_not_null())
        .group_by("key")
        .agg(
            pl.col("email").min(),
            pl.col("phone").min(),
            pl.col("name").min(),
            pl.col("is_agent").any(),
            (~pl.col("is_agent")).any().alias("is_end_user"),
        )
        .sort("key")
    )


def _people_fates(tables: Mapping[str, Checked], contacts: pl.LazyFrame) -> pl.LazyFrame:
    """People whom nothing that goes names are left out."""
    unused = (
        _good(tables, "people")
        .with_columns(key=_key("email", "phone"))
        .join(contacts, on="key", how="anti")
        .select(
            "_file",
            "_record",
            id="person_id",
            parent="person_id",
            items=pl.lit(0, pl.UInt32),
            state=pl.lit(State.FILTERED.value),
            rule=pl.lit("not_needed"),
        )
    )
    return pl.concat([_fates(tables, "people"), unused])
