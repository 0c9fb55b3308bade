"""The tables together: who wrote what, what belongs to what, and what cannot go without the rest.

Relations are rules too: a message without its ticket, a ticket without a requester. A ticket goes whole or
not at all (unless holes are allowed), because nothing can be put in its place in Dixa later. Out come the
rows that go, and a fate for every row that does not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from importer import openings
from importer.marks import PREFIX
from importer.model import Direction, Role, State
from importer.presets import Opening
from importer.schema import load
from importer.validate import BODIES, FATE_SCHEMA, Checked

# Rules that relations add to the schemas' own, with what each says.
RULES: Mapping[str, str] = {
    "ticket_id.foreignKey": "no row of tickets has this ticket_id",
    "message_id.foreignKey": "no row of messages has this message_id",
    "created_at.required": "neither the message nor its ticket has a time, and this API needs one; "
    "defaults.created_at of the tickets would stand in",
    "requester.required": "neither the ticket nor an inbound message names a requester with an e-mail or "
    "phone; people.default_requester would stand in",
    "author_unknown": "an agent without an e-mail, or whom Dixa does not know; people.default_agent would "
    "stand in, or an agent whom the people.csv beside the migration names",
    "message_rejected": "one of its messages is rejected, so the ticket is held back whole (--with-holes "
    "imports it all the same)",
    "attachment_rejected": "one of its attachments is rejected, so the ticket is held back whole",
    "ticket_rejected": "its ticket is rejected",
    "ticket_filtered": "its ticket is filtered",
    "empty_message": "has no text and no attachment",
    "empty_ticket": "has no message (conversation.empty = 'import' imports it from its subject)",
    "message_filtered": "its message is filtered",
    "blank_row": "every cell is empty",
    "repeated_header": "is the header once more",
    "report_footer": "is a line of the report that wrote the file, behind its last record",
    "older_version": "a newer version of the same record is there",
    "opening_repeated": "the ticket's opening text, which stands among its messages too (source.opening)",
    "mended": "a mended row stands for it",
    "not_needed": "nothing that is imported names this person",
}

_PEOPLE_COLUMNS = ("person_id", "email", "name", "phone", "role")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the migration decides about relations. `agents` says who stands for whom (agents.read);
    `external_prefix` goes before a person's id where the API knows people by such ids; `times_required` where
    it takes nothing without a time; `opening` says when a first message in a ticket's row counts."""

    default_requester: str | None = None
    default_agent: str | None = None
    import_empty: bool = False
    with_holes: bool = False
    agents: Mapping[str, str] = field(default_factory=dict)
    external_prefix: str | None = None
    times_required: bool = False
    opening: Opening = "always"


@dataclass(frozen=True, slots=True)
class Related:
    """`tickets` go, with `requester_email`, `_phone`, `_name` filled in; `messages` are theirs, with
    `author_*` filled in, `direction` decided and `is_agent` saying on which side the author stands;
    `bodies` are the texts of all good rows (`_opening`, `_file`, `_record`, `text`, `html`), none where they
    were not kept; `attachments` are those of these messages. `fates` has every other row, by table.
    `contacts` are the distinct people these rows name: `key`, `email`, `phone`, `name`, `external`,
    `is_agent`, `is_end_user`.
    `written_by_agents` has a line for every message of an agent, whether it goes or not: `person` (see
    agents.py), `key` (none without an address), `name`, `created_at`.

    `openings` are the messages that come out of ticket rows; `unsaid` those that did not say whether they
    are public, and are internal for it; `default_agents` those whose agent has no e-mail address and
    `default_requesters` the tickets whose requester has none, so that the default stands in.
    """

    tickets: pl.LazyFrame
    messages: pl.LazyFrame
    bodies: pl.LazyFrame
    attachments: pl.LazyFrame
    contacts: pl.LazyFrame
    written_by_agents: pl.LazyFrame
    fates: Mapping[str, pl.LazyFrame]
    openings: openings.Openings
    unsaid: int
    default_agents: int
    default_requesters: int


def relate(tables: Mapping[str, Checked], *, rules: Rules, workdir: Path) -> Related:
    """Join the tables and settle what hangs on what. Frames are written below `workdir`."""

    def written(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
        path = workdir / f"{name}.parquet"
        frame.sink_parquet(path, compression="lz4", statistics=False, engine="streaming")
        return pl.scan_parquet(path, glob=False)

    people = _good(tables, "people").select(_PEOPLE_COLUMNS)
    named = written(_with_people(_good(tables, "tickets"), people, rules), "tickets.named")
    messages = written(
        _with_author(openings.with_openings(_good(tables, "messages"), named), named, people, rules),
        "messages.authored",
    )
    tickets = written(_with_fallback_requester(named, messages, rules), "tickets.requested")
    attachments = _good(tables, "attachments")

    known_tickets = pl.concat([tickets.select(id="ticket_id"), _fates(tables, "tickets").select("id")])
    repeated = _fate(openings.repeated(messages, rules.opening), State.FILTERED, pl.lit("opening_repeated"))
    own = written(
        pl.concat(
            [
                _broken(tables, messages),
                repeated,
                _message_fates(
                    messages.join(repeated, on=_ROW, how="anti"), known_tickets, attachments, rules
                ),
            ]
        ),
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
        bodies=_bodies(tables),
        attachments=attachments.join(attachment_fates, on=["_file", "_record"], how="anti"),
        contacts=contacts,
        written_by_agents=messages.filter("is_agent").select(
            "created_at",
            person=_person("author_email", "author_phone", "author_name"),
            key=_key("author_email", "author_phone"),
            name="author_name",
        ),
        fates={
            "tickets": ticket_fates,
            "messages": message_fates,
            "attachments": attachment_fates,
            "people": _people_fates(tables, contacts, rules),
        },
        openings=openings.counted(messages, going),
        unsaid=_count(going, pl.col("_unsaid")),
        default_agents=_count(going, agentless),
        default_requesters=_count(going_tickets, pl.col("_default_requester")),
    )


# A message's identity: an opening message has the row of its ticket, so the numbers alone do not tell.
_ROW = ["_opening", "_file", "_record"]
_FATE = [*FATE_SCHEMA.names()]


def _good(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    if name in tables:
        return tables[name].good.drop(f"^{re.escape(PREFIX)}.*$")
    types: dict[str, pl.DataType | type[pl.DataType]] = {
        "datetime": pl.Datetime("us", "UTC"),
        "boolean": pl.Boolean,
        "integer": pl.Int64,
    }
    traces = {"body.bytes": pl.UInt64, "body.hash": pl.UInt64, "body.words": pl.UInt64}
    columns = {
        field.name: pl.List(pl.String) if field.type == "array" else types.get(field.type, pl.String)
        for field in load(name).fields
        if field.name not in BODIES.get(name, ())
    }
    return pl.LazyFrame(schema={"_file": pl.UInt16, "_record": pl.UInt64, **columns, **traces})


def _bodies(tables: Mapping[str, Checked]) -> pl.LazyFrame:
    kept = [
        table.bodies.with_columns(pl.lit(name == "tickets").alias("_opening"))
        for name, table in tables.items()
        if table.bodies is not None
    ]
    schema = {"_file": pl.UInt16, "_record": pl.UInt64, "text": pl.String, "html": pl.String}
    return pl.concat(kept or [pl.LazyFrame(schema={**schema, "_opening": pl.Boolean})])


def _fates(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    return tables[name].fates if name in tables else FATE_SCHEMA.to_frame().lazy()


def _count(frame: pl.LazyFrame, condition: pl.Expr) -> int:
    return int(frame.select(condition.sum()).collect(engine="streaming").item() or 0)


def _key(email: str, phone: str, external: str | None = None) -> pl.Expr:
    """Contact.key of model.py, as an expression."""
    keys = [pl.lit("email:") + pl.col(email).str.to_lowercase(), pl.lit("phone:") + pl.col(phone)]
    return pl.coalesce([*keys, *([pl.lit("id:") + pl.col(external)] if external else [])])


def _person(email: str, phone: str, name: str) -> pl.Expr:
    """What an agent is called in people.csv."""
    return pl.coalesce(pl.col(email).str.to_lowercase(), phone, name)


def _external(person_id: str, name: str, rules: Rules) -> pl.Expr:
    """The id by which the API can know somebody of whom the export has an id and a name at least."""
    if rules.external_prefix is None:
        return pl.lit(None, pl.String)
    return pl.when(pl.col(name).is_not_null()).then(pl.lit(rules.external_prefix) + pl.col(person_id))


def _stood_for(prefix: str, rules: Rules) -> list[pl.Expr]:
    """The address of the agent whom the user has named for an agent of the export."""
    email, phone = f"{prefix}_email", f"{prefix}_phone"
    if not rules.agents:
        return [pl.col(email), pl.col(phone)]
    folded = _person(email, phone, f"{prefix}_name").str.to_lowercase()
    named = folded.replace_strict(rules.agents, default=None, return_dtype=pl.String)
    return [
        pl.coalesce(named, email).alias(email),
        pl.when(named.is_null()).then(phone).alias(phone),
    ]


def _with_people(tickets: pl.LazyFrame, people: pl.LazyFrame, rules: Rules) -> pl.LazyFrame:
    """Requester and assignee: the ticket's own columns, else what people says of their ids."""
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
        _external("requester_id", "requester_name", rules).alias("requester_external"),
        *_stood_for("assignee", rules),
    )


def _with_author(
    messages: pl.LazyFrame, tickets: pl.LazyFrame, people: pl.LazyFrame, rules: Rules
) -> pl.LazyFrame:
    """`author_*` filled in from people, for inbound messages also from their sender and from the ticket's
    requester; `direction` and `is_agent` decided. A missing time becomes the ticket's."""
    known = people.select(pl.all().name.prefix("p_"))
    of_ticket = tickets.select(
        "ticket_id",
        t_id="requester_id",
        t_email="requester_email",
        t_phone="requester_phone",
        t_name="requester_name",
        t_external="requester_external",
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
    addressless = pl.coalesce("author_email", "author_phone").is_null()
    nobody = pl.coalesce("author_email", "author_phone", "author_external").is_null()
    agents = pl.col("is_agent")
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
            .alias("direction"),
            _external("author_id", "author_name", rules).alias("author_external"),
        )
        .with_columns(
            pl.when(inbound & addressless).then("from_email").otherwise("author_email").alias("author_email")
        )
        .with_columns(
            pl.when(inbound & nobody).then("t_email").otherwise("author_email").alias("author_email"),
            pl.when(inbound & nobody).then("t_phone").otherwise("author_phone").alias("author_phone"),
            pl.when(inbound & nobody)
            .then("t_external")
            .otherwise("author_external")
            .alias("author_external"),
            pl.when(inbound)
            .then(pl.coalesce("author_name", "t_name"))
            .otherwise("author_name")
            .alias("author_name"),
            (~inbound & (role != Role.END_USER).fill_null(value=True)).alias("is_agent"),
        )
        .with_columns(_written=pl.coalesce("author_email", "author_phone", "author_name"))
        .with_columns(
            *(
                pl.when(agents).then(stood_for).otherwise(name).alias(name)
                for name, stood_for in zip(
                    ("author_email", "author_phone"), _stood_for("author", rules), strict=True
                )
            ),
            pl.when(~agents).then("author_external").alias("author_external"),
        )
        .drop("^p_.*$", "^t_.*$", "author_id", "author_role", "public")
    )


def _with_fallback_requester(tickets: pl.LazyFrame, messages: pl.LazyFrame, rules: Rules) -> pl.LazyFrame:
    """A ticket that names nobody belongs to the author of its first inbound message, else to the default."""
    nobody = _key("requester_email", "requester_phone", "requester_external").is_null()
    someone = _key("author_email", "author_phone", "author_external").is_not_null()
    parts = ("email", "phone", "name", "external")
    first = (
        messages.filter((pl.col("direction") == Direction.INBOUND) & someone)
        .join(tickets.filter(nobody), on="ticket_id", how="semi")
        .group_by("ticket_id")
        .agg(
            pl.col(f"author_{name}").sort_by("created_at", "_file", "_record", nulls_last=True).first()
            for name in parts
        )
    )
    named = tickets.join(first, on="ticket_id", how="left").with_columns(
        pl.coalesce(f"requester_{name}", pl.when(nobody).then(f"author_{name}")).alias(f"requester_{name}")
        for name in parts
    )
    return named.with_columns(
        _default_requester=nobody & pl.lit(rules.default_requester is not None),
        requester_email=pl.when(nobody)
        .then(pl.lit(rules.default_requester, pl.String))
        .otherwise("requester_email"),
    ).drop(*(f"author_{name}" for name in parts))


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
    wordless = pl.col("body.bytes").is_null() & (pl.col("attachments").list.len().fill_null(0) == 0)
    empty = at_home.filter(wordless).join(attachments, on="message_id", how="anti")
    unknown = pl.col("is_agent") & pl.col("author_email").is_null() & pl.lit(rules.default_agent is None)
    spoken = at_home.join(empty, on=_ROW, how="anti")
    timeless = pl.col("created_at").is_null() & pl.lit(rules.times_required)
    return pl.concat(
        [
            _fate(orphans, State.REJECTED, pl.lit("ticket_id.foreignKey")),
            _fate(empty, State.FILTERED, pl.lit("empty_message")),
            _fate(spoken.filter(unknown), State.REJECTED, pl.lit("author_unknown")),
            _fate(spoken.filter(timeless & ~unknown), State.REJECTED, pl.lit("created_at.required")),
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
    nobody = tickets.filter(
        _key("requester_email", "requester_phone", "requester_external").is_null()
    ).select("ticket_id", rule=pl.lit("requester.required"))
    spoken = messages.join(message_fates, on=_ROW, how="anti")
    silent = tickets.join(spoken, on="ticket_id", how="anti").select("ticket_id", rule=pl.lit("empty_ticket"))
    timeless = silent.join(
        tickets.filter(pl.col("created_at").is_null()), on="ticket_id", how="semi"
    ).with_columns(rule=pl.lit("created_at.required"))
    reasons = [
        *([] if rules.with_holes else [holed, bare]),
        *([] if rules.import_empty else [silent]),
        nobody,
        *([timeless] if rules.import_empty and rules.times_required else []),
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
        external="requester_external",
        is_agent=pl.lit(value=False),
    )
    authors = messages.select(
        email="author_email",
        phone="author_phone",
        name="author_name",
        external="author_external",
        is_agent="is_agent",
    )
    return (
        pl.concat([requesters, authors])
        .with_columns(key=_key("email", "phone", "external"))
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


def _people_fates(tables: Mapping[str, Checked], contacts: pl.LazyFrame, rules: Rules) -> pl.LazyFrame:
    """People whom nothing that goes names are left out."""
    unused = (
        _good(tables, "people")
        .with_columns(external=_external("person_id", "name", rules))
        .with_columns(key=_key("email", "phone", "external"))
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
