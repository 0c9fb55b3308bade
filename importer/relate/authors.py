"""Who wrote what: the different cases of sender, role and direction among messages become authors.

There are few different ones among many messages, so texts are compared once a case and not once a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from importer.model import Direction, Role

# What a message's author may take over from its ticket.
_OF_TICKET = ("t_id", "t_email", "t_phone", "t_name", "t_external")
# All that is known of an author. `_unsaid` says that nothing tells whether the message is public, `_sideless`
# that nothing tells whether it is a customer's, `_unknown` that its author has but an id, and `_written`
# says who wrote it as the export has it, whoever stands for him.
AUTHOR = (
    "direction",
    "is_agent",
    "_unsaid",
    "_sideless",
    "_unknown",
    "_written",
    "author_email",
    "author_phone",
    "author_name",
    "author_external",
)


@dataclass(frozen=True, slots=True)
class Names:
    """`agents` says who stands for whom (agents.read); `external_prefix` goes before a person's id where the
    API knows people by such ids."""

    agents: Mapping[str, str] = field(default_factory=dict)
    external_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Authors:
    """`frame` has AUTHOR by `case`. `asking` are the cases that look to the ticket, so that each of their
    messages has a case of its own with its ticket (see `asked`)."""

    frame: pl.LazyFrame
    asking: pl.DataFrame

    def asked(self, messages: pl.LazyFrame) -> pl.LazyFrame:
        """Messages with the case that `frame` has; `parent` is the key of their ticket."""
        return messages if self.asking.is_empty() else _asked(messages, self.asking)


def key(email: str, phone: str, external: str | None = None) -> pl.Expr:
    """Contact.key of model.py, as an expression."""
    keys = [pl.lit("email:") + pl.col(email).str.to_lowercase(), pl.lit("phone:") + pl.col(phone)]
    return pl.coalesce([*keys, *([pl.lit("id:") + pl.col(external)] if external else [])])


def person(email: str, phone: str, name: str) -> pl.Expr:
    """What an agent is called in people.csv."""
    return pl.coalesce(pl.col(email).str.to_lowercase(), phone, name)


def external(person_id: str, name: str, names: Names) -> pl.Expr:
    """The id by which the API can know somebody of whom the export has an id and a name at least."""
    if names.external_prefix is None:
        return pl.lit(None, pl.String)
    return pl.when(pl.col(name).is_not_null()).then(pl.lit(names.external_prefix) + pl.col(person_id))


def stood_for(prefix: str, names: Names) -> list[pl.Expr]:
    """The address of the agent whom the user has named for an agent of the export."""
    email, phone = f"{prefix}_email", f"{prefix}_phone"
    if not names.agents:
        return [pl.col(email), pl.col(phone)]
    folded = person(email, phone, f"{prefix}_name").str.to_lowercase()
    named = folded.replace_strict(names.agents, default=None, return_dtype=pl.String)
    return [
        pl.coalesce(named, email).alias(email),
        pl.when(named.is_null()).then(phone).alias(phone),
    ]


def authors(
    cases: pl.LazyFrame,
    messages: pl.LazyFrame,
    tickets: pl.LazyFrame,
    people: pl.LazyFrame,
    names: Names,
    path: Path,
) -> Authors:
    """The author of each case, written to `path`. `cases` has CASE by `case`; `messages` have `case` and
    `parent`; `tickets` have `key` and `requester_*`."""
    known = people.select(pl.all().name.prefix("p_"))
    cases = (
        cases.join(known, left_on="author_id", right_on="p_person_id", how="left")
        .with_columns(
            pl.coalesce("author_email", "p_email").alias("author_email"),
            pl.col("p_phone").alias("author_phone"),
            pl.coalesce("author_name", "p_name").alias("author_name"),
            pl.coalesce("author_role", "p_role").alias("role"),
            (pl.col("direction").is_null() & pl.col("public").is_null()).alias("_unsaid"),
        )
        .with_columns(external("author_id", "author_name", names).alias("author_external"))
        .with_columns(_asks=_asks())
    )
    asking = cases.filter("_asks").select("case").collect(engine="streaming")
    if asking.is_empty():
        nothing = {name: pl.lit(None, pl.String) for name in _OF_TICKET}
        _written(_decided(cases.with_columns(**nothing), names), path)
        return Authors(pl.scan_parquet(path, glob=False), asking)
    of_ticket = tickets.select(
        parent="key",
        t_id="requester_id",
        t_email="requester_email",
        t_phone="requester_phone",
        t_name="requester_name",
        t_external="requester_external",
    ).unique("parent")
    alone = pl.col("case").alias("of")
    pairs = _asked(messages.select("case", "parent", alone), asking).unique("case")
    whole = pairs.join(cases.rename({"case": "of"}), on="of", how="inner")
    _written(_decided(whole.join(of_ticket, on="parent", how="left"), names), path)
    return Authors(pl.scan_parquet(path, glob=False), asking)


def _written(frame: pl.LazyFrame, path: Path) -> None:
    frame.select("case", *AUTHOR).sink_parquet(path, compression="lz4", statistics=False, engine="streaming")


def _asked(messages: pl.LazyFrame, asking: pl.DataFrame) -> pl.LazyFrame:
    """A case that looks to the ticket becomes one of both."""
    both = pl.col("case") * 31 + pl.col("parent") * 37
    return (
        messages.join(asking.lazy().with_columns(_asks=True), on="case", how="left")
        .with_columns(case=pl.when("_asks").then(both).otherwise("case"))
        .drop("_asks")
    )


def _asks() -> pl.Expr:
    """Whether the ticket has a say in a case: for the direction, for the side that the author of a note
    stands on, or for who the sender is."""
    public = pl.col("public").fill_null(value=False)
    hidden = pl.col("public").eq(other=False).fill_null(value=False)
    guessed = pl.col("direction").is_null() & public
    is_inbound = (pl.col("direction") == Direction.INBOUND).fill_null(value=False)
    lacking = _is_nobody() | pl.col("author_name").is_null()
    may_be_inbound = ~hidden & (is_inbound | guessed)
    is_note = (pl.col("direction") == Direction.INTERNAL).fill_null(value=pl.col("public").is_null()) | hidden
    return ((guessed | is_note) & pl.col("role").is_null()) | (may_be_inbound & lacking)


def _is_nobody(*more: str) -> pl.Expr:
    """Whether there is nothing by which an API could know the author."""
    return pl.coalesce("author_email", "author_phone", "author_external", *more).is_null()


def _same_person() -> pl.Expr:
    """Whether a message's author is its ticket's requester: by id or address, by name where there is neither
    of both; null where nothing of them can be compared."""
    email = pl.col("t_email").str.to_lowercase()
    same = [
        pl.col("author_id") == pl.col("t_id"),
        *(pl.col(name).str.to_lowercase() == email for name in ("author_email", "from_email")),
    ]
    by_name = pl.col("author_name").str.to_lowercase() == pl.col("t_name").str.to_lowercase()
    told = pl.any_horizontal(one.is_not_null() for one in same)
    return (
        pl.when(told).then(pl.any_horizontal(one.fill_null(value=False) for one in same)).otherwise(by_name)
    )


def _decided(cases: pl.LazyFrame, names: Names) -> pl.LazyFrame:
    """`author_*` filled in, for inbound messages also from their sender and from the ticket's requester;
    `direction` and `is_agent` decided."""
    same = _same_person()
    is_requester = same.fill_null(value=False)
    role = pl.col("role")
    guesses = pl.col("direction").is_null() & pl.col("public").fill_null(value=False)
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
    nobody = inbound & _is_nobody()
    agents = pl.col("is_agent")
    requester_wrote = is_requester & (pl.col("direction") == Direction.INTERNAL)
    return (
        cases.with_columns(
            (guesses & role.is_null() & same.is_null()).alias("_sideless"),
            (pl.col("author_id").is_not_null() & ~is_requester & _is_nobody("from_email")).alias("_unknown"),
            pl.when(hidden)
            .then(pl.lit(Direction.INTERNAL.value))
            .otherwise(pl.coalesce("direction", guessed))
            .alias("direction"),
        )
        .with_columns(
            pl.when(inbound & addressless).then("from_email").otherwise("author_email").alias("author_email")
        )
        .with_columns(
            *(
                pl.when(nobody).then(f"t_{name}").otherwise(f"author_{name}").alias(f"author_{name}")
                for name in ("email", "phone", "external")
            ),
            pl.when(inbound & (is_requester | nobody))
            .then(pl.coalesce("author_name", "t_name"))
            .otherwise("author_name")
            .alias("author_name"),
            (~inbound & (role != Role.END_USER).fill_null(value=~requester_wrote)).alias("is_agent"),
        )
        .with_columns(
            # An agent of whom the export has but an id can be told by it who stands for him.
            pl.when(agents & _is_nobody("author_name"))
            .then("author_id")
            .otherwise("author_name")
            .alias("author_name"),
        )
        .with_columns(_written=pl.coalesce("author_email", "author_phone", "author_name"))
        .with_columns(
            *(
                pl.when(agents).then(named).otherwise(name).alias(name)
                for name, named in zip(
                    ("author_email", "author_phone"), stood_for("author", names), strict=True
                )
            ),
            pl.when(~agents).then("author_external").alias("author_external"),
        )
        .select("case", *AUTHOR)
    )
