"""The tables together: who wrote what, what belongs to what, and what cannot go without the rest.

Relations are rules too: a message without its ticket, a ticket without a requester. A ticket goes whole or
not at all (unless holes are allowed), because nothing can be put in its place in Dixa later. Out come the
rows that go, and a fate for every row that does not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from importer import openings
from importer.authors import Authors, Names, authors, external, key, person, stood_for
from importer.model import Direction, State
from importer.presets import Opening
from importer.schema import load
from importer.validate import BODIES, CASE, FATE_SCHEMA, Checked

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
    """What the migration decides about relations. `names` says how people are called; `times_required` where
    the API takes nothing without a time; `opening` says when a first message in a ticket's row counts."""

    default_requester: str | None = None
    default_agent: str | None = None
    import_empty: bool = False
    with_holes: bool = False
    names: Names = field(default_factory=Names)
    times_required: bool = False
    opening: Opening = "always"


@dataclass(frozen=True, slots=True)
class Related:
    """`tickets` go, with `requester_email`, `_phone`, `_name` filled in. `going` are the messages that go:
    `_opening`, `_file`, `_record`, `key`, `parent` (their ticket's), `created_at`, `items`, `body.bytes`,
    `case`. `messages` are the same whole, with `author_*` filled in, `direction` decided and `is_agent`
    saying on which side the author stands; `bodies` are the texts of all good rows (`_opening`, `_file`,
    `_record`, `text`, `html`); neither where they were not kept. `attachments` are those of these messages.
    `fates` has every other row, by table.
    `contacts` are the distinct people these rows name: `key`, `email`, `phone`, `name`, `external`,
    `is_agent`, `is_end_user`.
    `authors` has a line for each case of a message: AUTHOR, `key`, `person` (see agents.py), how many
    `messages` of the export have it, the `first` and the `last` when; `going` of them go. `by_ticket` counts
    the `messages` that go by `parent`.

    `openings` are the messages that come out of ticket rows; `unsaid` those that did not say whether they
    are public, and are internal for it; `default_agents` those whose agent has no e-mail address and
    `default_requesters` the tickets whose requester has none, so that the default stands in.
    """

    tickets: pl.LazyFrame
    going: pl.LazyFrame
    messages: pl.LazyFrame | None
    bodies: pl.LazyFrame
    attachments: pl.LazyFrame
    contacts: pl.LazyFrame
    authors: pl.LazyFrame
    by_ticket: pl.LazyFrame
    fates: Mapping[str, pl.LazyFrame]
    openings: openings.Openings
    unsaid: int
    default_agents: int
    default_requesters: int


@dataclass(frozen=True, slots=True)
class _Written:
    """A frame that is on disk, with the number of its rows."""

    frame: pl.LazyFrame
    rows: int


def _written(frame: pl.LazyFrame, path: Path) -> _Written:
    frame.sink_parquet(path, compression="lz4", statistics=False, engine="streaming")
    there = pl.scan_parquet(path, glob=False)
    return _Written(there, _count(there))


def _count(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def _without(
    frame: pl.LazyFrame, others: _Written, own: list[str], theirs: list[str] | None = None
) -> pl.LazyFrame:
    """The rows that the others do not have. Mostly there are no others, and nothing has to be looked up."""
    if not others.rows:
        return frame
    return frame.join(others.frame.select(theirs or own), left_on=own, right_on=theirs or own, how="anti")


def relate(tables: Mapping[str, Checked], *, rules: Rules, workdir: Path) -> Related:
    """Join the tables and settle what hangs on what. Frames are written below `workdir`."""
    joined = _joined(tables, rules, workdir)
    tickets, messages, attachments = joined.tickets, joined.messages, _good(tables, "attachments")
    opened = joined.openings
    repeated = openings.repeated(opened.frame, joined.sided(messages), rules.opening) if opened.rows else None
    own = _written(
        pl.concat(_message_fates(tables, joined, attachments, repeated, rules)),
        workdir / "messages.own-fates.parquet",
    )
    broken = _fates(tables, "messages").with_columns(_opening=pl.lit(value=False)).select(_FATE)
    message_fates = pl.concat([broken, own.frame])
    attachment_own = _written(
        _attachment_fates(tables, attachments, messages, message_fates),
        workdir / "attachments.own-fates.parquet",
    )
    ticket_fates = _written(
        pl.concat(
            [
                _fates(tables, "tickets"),
                _ticket_fates(joined, own, message_fates, attachment_own, rules),
            ]
        ),
        workdir / "tickets.fates.parquet",
    )
    sound = _without(messages, own, _ROW)
    going = _without(sound, ticket_fates, ["parent"], ["key"])
    summed = joined.summed
    if own.rows or ticket_fates.rows:
        going = _written(going, workdir / "messages.going.parquet").frame
        message_fates = _written(
            pl.concat([message_fates, _dragged(sound, ticket_fates.frame)]),
            workdir / "messages.fates.parquet",
        ).frame
        summed = _summed(joined.sided(going), workdir, "going")
    attachment_fates = _written(
        pl.concat([attachment_own.frame, _dragged_attachments(attachments, attachment_own, message_fates)]),
        workdir / "attachments.fates.parquet",
    )
    going_tickets = _without(tickets, ticket_fates, ["key"])
    by_case = _by_case(joined, summed, workdir)
    contacts = _written(_contacts(going_tickets, by_case), workdir / "contacts.parquet").frame
    agentless = pl.col("is_agent") & pl.col("author_email").is_null()
    return Related(
        tickets=going_tickets,
        going=going,
        messages=_authored(joined, own, ticket_fates, workdir),
        bodies=_bodies(tables),
        attachments=_without(attachments, attachment_fates, ["_file", "_record"]),
        contacts=contacts,
        authors=by_case,
        by_ticket=summed.by_ticket,
        fates={
            "tickets": ticket_fates.frame,
            "messages": message_fates,
            "attachments": attachment_fates.frame,
            "people": _people_fates(tables, contacts, rules),
        },
        openings=openings.counted(joined.openings.frame, joined.sided(messages), summed.by_ticket),
        unsaid=_sum(by_case.filter("_unsaid"), "going"),
        default_agents=_sum(by_case.filter(agentless), "going"),
        default_requesters=_count(going_tickets.filter("_default_requester")),
    )


# A message's identity: an opening message has the row of its ticket, so the numbers alone do not tell.
_ROW = ["_opening", "_file", "_record"]
_FATE = ["_opening", *FATE_SCHEMA.names()]
_NARROW: Mapping[str, pl.DataType] = {
    "_opening": pl.Boolean(),
    "_file": pl.UInt16(),
    "_record": pl.UInt64(),
    "key": pl.UInt64(),
    "parent": pl.UInt64(),
    "items": pl.UInt32(),
    "case": pl.UInt64(),
    "created_at": pl.Datetime("us", "UTC"),
    "body.bytes": pl.UInt64(),
    "body.words": pl.UInt64(),
}


@dataclass(frozen=True, slots=True)
class _Summed:
    """Messages counted by `case` (`messages`, `first` and `last` when) and by ticket (openings.by_ticket)."""

    by_case: pl.LazyFrame
    by_ticket: pl.LazyFrame


@dataclass(frozen=True, slots=True)
class _Joined:
    """Good rows that know of each other: tickets with their requesters, messages (_NARROW, those out of
    ticket rows among them) with their authors' cases; `whole` has the other columns of messages too."""

    tickets: pl.LazyFrame
    messages: pl.LazyFrame
    whole: pl.LazyFrame | None
    openings: _Written
    authors: Authors
    summed: _Summed

    def sided(self, messages: pl.LazyFrame) -> pl.LazyFrame:
        return messages.join(self.authors.frame.select("case", "direction"), on="case", how="left")


def _joined(tables: Mapping[str, Checked], rules: Rules, workdir: Path) -> _Joined:
    people = _good(tables, "people").select(_PEOPLE_COLUMNS)
    tickets = _with_people(_good(tables, "tickets"), people if "people" in tables else None, rules)
    if "people" in tables:
        tickets = _written(tickets, workdir / "tickets.named.parquet").frame
    opened = _written(openings.messages(tickets), workdir / "messages.openings.parquet")
    frames, cases = [opened.frame], [opened.frame]
    if "messages" in tables:
        own, own_cases = tables["messages"].good, tables["messages"].cases
        assert own_cases is not None
        own = own.with_columns(_opening=pl.lit(value=False))
        frames, cases = ([own, *frames], [own_cases, *cases]) if opened.rows else ([own], [own_cases])
    messages = pl.concat(_filled(frame, _NARROW) for frame in frames)
    different = pl.concat(_filled(frame, {"case": pl.UInt64(), **CASE}) for frame in cases).unique("case")
    found = authors(different, messages, tickets, people, rules.names, workdir / "authors.parquet")
    timeless = int(messages.select(pl.col("created_at").null_count()).collect(engine="streaming").item())

    def settled(frame: pl.LazyFrame) -> pl.LazyFrame:
        frame = found.asked(frame)
        return _with_times(frame, tickets) if timeless else frame

    if timeless or not found.asking.is_empty():
        messages = _written(settled(messages), workdir / "messages.settled.parquet").frame
    sided = messages.join(found.frame.select("case", "direction"), on="case", how="left")
    return _Joined(
        _with_fallback_requester(tickets, messages, found, rules, workdir),
        messages,
        _whole(tables, opened, settled),
        opened,
        found,
        _summed(sided, workdir, "all"),
    )


def _whole(
    tables: Mapping[str, Checked], opened: _Written, settled: Callable[[pl.LazyFrame], pl.LazyFrame]
) -> pl.LazyFrame | None:
    """The good messages with all columns but their texts; none where they were not kept."""
    schema = load("messages")
    columns = {name: schema.dtype(name) for name in _OF_MESSAGES}
    wanted = {**_NARROW, "body.hash": pl.UInt64(), **columns}
    frames = [opened.frame] if opened.rows or "messages" not in tables else []
    if "messages" in tables:
        own = tables["messages"]
        if own.bodies is None:
            return None
        frames = [own.good.with_columns(_opening=pl.lit(value=False)), *frames]
    return settled(pl.concat(_filled(frame, wanted) for frame in frames))


# What of a message's own columns is sent.
_OF_MESSAGES = ("message_id", "ticket_id", "channel", "from_email", "to_email", "cc", "bcc", "attachments")


def _filled(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """These columns, null where the frame does not have them."""
    there = frame.collect_schema()
    return frame.select(
        pl.col(name) if name in there else pl.lit(None, dtype).alias(name) for name, dtype in schema.items()
    )


def _good(tables: Mapping[str, Checked], name: str) -> pl.LazyFrame:
    """The good rows of a table with all columns of its schema, texts aside."""
    schema = load(name)
    keys = {"_file": pl.UInt16(), "_record": pl.UInt64(), "key": pl.UInt64(), "parent": pl.UInt64()}
    columns = {n: schema.dtype(n) for n in schema.columns if n not in BODIES.get(name, ())}
    traces = {f"body.{n}": pl.UInt64() for n in ("bytes", "hash", "words")} if name in BODIES else {}
    if name not in tables:
        return pl.LazyFrame(schema={**keys, **columns, **traces})
    custom = {n: pl.String() for n in tables[name].scanned.given if n.startswith("custom.")}
    return _filled(tables[name].good, {**keys, **columns, **custom, **traces})


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


def _sum(frame: pl.LazyFrame, name: str) -> int:
    return int(frame.select(pl.col(name).sum()).collect(engine="streaming").item() or 0)


# -- who is named


def _with_people(tickets: pl.LazyFrame, people: pl.LazyFrame | None, rules: Rules) -> pl.LazyFrame:
    """Requester and assignee: the ticket's own columns, else what people says of their ids."""
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
        *stood_for("assignee", rules.names),
    )


def _with_times(messages: pl.LazyFrame, tickets: pl.LazyFrame) -> pl.LazyFrame:
    """A missing time becomes the ticket's."""
    times = tickets.select(parent="key", _at="created_at").unique("parent")
    return (
        messages.join(times, on="parent", how="left")
        .with_columns(created_at=pl.coalesce("created_at", "_at"))
        .drop("_at")
    )


def _with_fallback_requester(
    tickets: pl.LazyFrame, messages: pl.LazyFrame, found: Authors, rules: Rules, workdir: Path
) -> pl.LazyFrame:
    """A ticket that names nobody belongs to the author of its first inbound message, else to the default."""
    nobody = key("requester_email", "requester_phone", "requester_external").is_null()
    if not _count(tickets.filter(nobody)):
        return tickets.with_columns(_default_requester=pl.lit(value=False))
    someone = key("author_email", "author_phone", "author_external").is_not_null()
    parts = ("email", "phone", "name", "external")
    senders = found.frame.filter((pl.col("direction") == Direction.INBOUND) & someone)
    first = (
        messages.join(tickets.filter(nobody), left_on="parent", right_on="key", how="semi")
        .join(senders.select("case", *(f"author_{name}" for name in parts)), on="case", how="inner")
        .group_by("parent")
        .agg(
            pl.col(f"author_{name}").sort_by("created_at", "_file", "_record", nulls_last=True).first()
            for name in parts
        )
    )
    named = tickets.join(first, left_on="key", right_on="parent", how="left").with_columns(
        pl.coalesce(f"requester_{name}", pl.when(nobody).then(f"author_{name}")).alias(f"requester_{name}")
        for name in parts
    )
    named = named.with_columns(
        _default_requester=nobody & pl.lit(rules.default_requester is not None),
        requester_email=pl.when(nobody)
        .then(pl.lit(rules.default_requester, pl.String))
        .otherwise("requester_email"),
    ).drop(*(f"author_{name}" for name in parts))
    return _written(named, workdir / "tickets.requested.parquet").frame


# -- what keeps a row from going


def _fate(frame: pl.LazyFrame, state: State, rule: str) -> pl.LazyFrame:
    """Message rows as fates."""
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


def _message_fates(
    tables: Mapping[str, Checked],
    joined: _Joined,
    attachments: pl.LazyFrame,
    repeated: pl.LazyFrame | None,
    rules: Rules,
) -> Iterator[pl.LazyFrame]:
    """Openings told twice, orphans, messages that say nothing, and agents nobody can stand in for."""
    messages = joined.messages
    if repeated is not None:
        yield _fate(repeated, State.FILTERED, "opening_repeated")
        messages = messages.join(repeated, on=_ROW, how="anti")
    known = pl.concat([joined.tickets.select("key"), _fates(tables, "tickets").select("key").drop_nulls()])
    homeless = joined.summed.by_ticket.join(known, left_on="parent", right_on="key", how="anti")
    orphaned = homeless.select("parent").collect(engine="streaming")
    if not orphaned.is_empty():
        orphans = messages.join(orphaned.lazy(), on="parent", how="semi")
        yield _fate(orphans, State.REJECTED, "ticket_id.foreignKey")
        messages = messages.join(orphaned.lazy(), on="parent", how="anti")
    wordless = messages.filter(pl.col("body.bytes").is_null() & (pl.col("items") == 0))
    empty = wordless.join(attachments.select("parent"), left_on="key", right_on="parent", how="anti")
    yield _fate(empty, State.FILTERED, "empty_message")
    lost = pl.col("is_agent") & pl.col("author_email").is_null() & pl.lit(rules.default_agent is None)
    nameless = joined.authors.frame.filter(lost).select("case").collect(engine="streaming")
    timeless = messages.filter(pl.col("created_at").is_null() & pl.lit(rules.times_required))
    if not nameless.is_empty():
        unknown = messages.join(nameless.lazy(), on="case", how="semi").join(empty, on=_ROW, how="anti")
        yield _fate(unknown, State.REJECTED, "author_unknown")
        timeless = timeless.join(nameless.lazy(), on="case", how="anti")
    yield _fate(timeless.join(empty, on=_ROW, how="anti"), State.REJECTED, "created_at.required")


def _attachment_fates(
    tables: Mapping[str, Checked],
    attachments: pl.LazyFrame,
    messages: pl.LazyFrame,
    message_fates: pl.LazyFrame,
) -> pl.LazyFrame:
    if "attachments" not in tables:
        return FATE_SCHEMA.to_frame().lazy()
    known = pl.concat([messages.select("key"), message_fates.select("key")]).drop_nulls()
    orphans = attachments.join(known, left_on="parent", right_on="key", how="anti")
    return pl.concat(
        [_fates(tables, "attachments"), _as_fates(orphans, State.REJECTED, pl.lit("message_id.foreignKey"))]
    )


def _as_fates(frame: pl.LazyFrame, state: State | None, rule: pl.Expr) -> pl.LazyFrame:
    """Rows of other tables as fates, with their own `state` where none is given."""
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
    joined: _Joined,
    own: _Written,
    message_fates: pl.LazyFrame,
    attachment_fates: _Written,
    rules: Rules,
) -> pl.LazyFrame:
    """One line for each ticket that must stay, with the first reason that holds it."""
    tickets = joined.tickets
    rejected = pl.col("state") == State.REJECTED
    holed = message_fates.filter(rejected).select(key="parent", rule=pl.lit("message_rejected"))
    bare = joined.messages.join(
        attachment_fates.frame.filter(rejected), left_on="key", right_on="parent", how="semi"
    ).select(key="parent", rule=pl.lit("attachment_rejected"))
    nobody = tickets.filter(key("requester_email", "requester_phone", "requester_external").is_null()).select(
        "key", rule=pl.lit("requester.required")
    )
    silent = tickets.join(
        _spoken(joined.summed.by_ticket, own), left_on="key", right_on="parent", how="anti"
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


def _spoken(by_ticket: pl.LazyFrame, own: _Written) -> pl.LazyFrame:
    """The tickets of which some message is left."""
    if not own.rows:
        return by_ticket
    gone = own.frame.group_by("parent").agg(pl.len().alias("gone"))
    left = pl.col("messages") > pl.col("gone").fill_null(0)
    return by_ticket.join(gone, on="parent", how="left").filter(left)


def _dragged(messages: pl.LazyFrame, ticket_fates: pl.LazyFrame) -> pl.LazyFrame:
    """Sound messages of tickets that stay: they share their ticket's state."""
    states = ticket_fates.group_by("key").agg(_state=pl.col("state").max())
    dragged = messages.join(states, left_on="parent", right_on="key", how="inner").with_columns(
        state="_state", rule=pl.concat_str(pl.lit("ticket_"), "_state"), ticket_id=pl.lit(None, pl.String)
    )
    return dragged.select(_FATE)


def _dragged_attachments(
    attachments: pl.LazyFrame, own: _Written, message_fates: pl.LazyFrame
) -> pl.LazyFrame:
    states = message_fates.filter(pl.col("key").is_not_null()).group_by("key").agg(pl.col("state").max())
    dragged = _without(attachments, own, ["_file", "_record"]).join(
        states, left_on="parent", right_on="key", how="inner"
    )
    return _as_fates(dragged, None, pl.concat_str(pl.lit("message_"), "state"))


def _people_fates(tables: Mapping[str, Checked], contacts: pl.LazyFrame, rules: Rules) -> pl.LazyFrame:
    """People whom nothing that goes names are left out."""
    if "people" not in tables:
        return FATE_SCHEMA.to_frame().lazy()
    named = (
        _good(tables, "people")
        .with_columns(external=external("person_id", "name", rules.names))
        .with_columns(_contact=key("email", "phone", "external"))
    )
    unused = named.join(contacts, left_on="_contact", right_on="key", how="anti")
    return pl.concat([_fates(tables, "people"), _as_fates(unused, State.FILTERED, pl.lit("not_needed"))])


# -- what goes


def _authored(joined: _Joined, own: _Written, ticket_fates: _Written, workdir: Path) -> pl.LazyFrame | None:
    """The messages that go, whole, with their authors."""
    if joined.whole is None:
        return None
    kept = _without(_without(joined.whole, own, _ROW), ticket_fates, ["parent"], ["key"])
    kept = kept.join(joined.authors.frame, on="case", how="left").drop("case", "key", "parent", "items")
    return _written(kept, workdir / "messages.whole-going.parquet").frame


def _summed(sided: pl.LazyFrame, workdir: Path, name: str) -> _Summed:
    sided = sided.cache()
    by_case, by_ticket = (workdir / f"messages.{name}.by-{of}.parquet" for of in ("case", "ticket"))
    cases = sided.group_by("case").agg(
        pl.len().alias("messages"),
        pl.col("created_at").min().alias("first"),
        pl.col("created_at").max().alias("last"),
    )
    pl.collect_all(
        [
            cases.sink_parquet(by_case, lazy=True),
            openings.by_ticket(sided).sink_parquet(by_ticket, statistics=False, lazy=True),
        ],
        engine="streaming",
    )
    return _Summed(pl.scan_parquet(by_case, glob=False), pl.scan_parquet(by_ticket, glob=False))


def _by_case(joined: _Joined, going: _Summed, workdir: Path) -> pl.LazyFrame:
    frame = (
        joined.authors.frame.join(joined.summed.by_case, on="case", how="inner")
        .join(going.by_case.select("case", going="messages"), on="case", how="left")
        .with_columns(
            pl.col("going").fill_null(0),
            key=key("author_email", "author_phone", "author_external"),
            person=person("author_email", "author_phone", "author_name"),
        )
    )
    return _written(frame, workdir / "authors.counted.parquet").frame


def _contacts(tickets: pl.LazyFrame, by_case: pl.LazyFrame) -> pl.LazyFrame:
    requesters = tickets.select(
        email="requester_email",
        phone="requester_phone",
        name="requester_name",
        external="requester_external",
        is_agent=pl.lit(value=False),
    )
    authors = by_case.filter(pl.col("going") > 0).select(
        email="author_email",
        phone="author_phone",
        name="author_name",
        external="author_external",
        is_agent="is_agent",
    )
    return (
        pl.concat([requesters, authors])
        .with_columns(key=key("email", "phone", "external"))
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
