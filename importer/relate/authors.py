"""The author of each message, decided once per author signature (sender, role and direction of a message).

Many messages share few different signatures, so names and addresses are compared once per signature instead
of once per message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from importer.model import Direction, Role

# The columns of a ticket from which the author of a message may be filled in.
_OF_TICKET = ("t_id", "t_email", "t_phone", "t_name", "t_external")
# The columns of AUTHORS (tables/frames.py) that are decided here. The others count messages.
AUTHOR_COLUMNS = (
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
    """How people of the export are known in Dixa."""

    # Person of the export (lower case) → the address of the agent who replaces them (agents_csv.read).
    agents: Mapping[str, str] = field(default_factory=dict)
    # The prefix of a person's external id. None where the API has no external ids.
    external_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Authors:
    """The author of each signature."""

    # `signature` and AUTHOR_COLUMNS: one row per signature.
    frame: pl.LazyFrame
    # The signatures that cannot be decided without the ticket. `with_ticket` replaces them by a signature for
    # each ticket.
    depending: pl.DataFrame

    def with_ticket(self, messages: pl.LazyFrame) -> pl.LazyFrame:
        """The messages with the signatures of `frame`. `parent` must be the key of their ticket."""
        return messages if self.depending.is_empty() else _with_ticket(messages, self.depending)


def contact_key(email: str, phone: str, external: str | None = None) -> pl.Expr:
    """Contact.key of model.py as an expression. The arguments are names of columns."""
    keys = [pl.lit("email:") + pl.col(email).str.to_lowercase(), pl.lit("phone:") + pl.col(phone)]
    return pl.coalesce([*keys, *([pl.lit("id:") + pl.col(external)] if external else [])])


def agent_name(email: str, phone: str, name: str) -> pl.Expr:
    """The `person` of an agent in agents.csv. The arguments are names of columns."""
    return pl.coalesce(pl.col(email).str.to_lowercase(), phone, name)


def external(person_id: str, name: str, names: Names) -> pl.Expr:
    """The external id of a person for the API. Null where the export has no id or no name of the person, or
    where the API has no external ids. `person_id` and `name` are names of columns."""
    if names.external_prefix is None:
        return pl.lit(None, pl.String)
    return pl.when(pl.col(name).is_not_null()).then(pl.lit(names.external_prefix) + pl.col(person_id))


def replaced_by_user(prefix: str, names: Names) -> list[pl.Expr]:
    """The columns `email` and `phone` of an agent, replaced where the user has mapped the agent."""
    email, phone = f"{prefix}_email", f"{prefix}_phone"
    if not names.agents:
        return [pl.col(email), pl.col(phone)]
    folded = agent_name(email, phone, f"{prefix}_name").str.to_lowercase()
    named = folded.replace_strict(names.agents, default=None, return_dtype=pl.String)
    return [
        pl.coalesce(named, email).alias(email),
        pl.when(named.is_null()).then(phone).alias(phone),
    ]


def authors(
    signatures: pl.LazyFrame,
    messages: pl.LazyFrame,
    tickets: pl.LazyFrame,
    people: pl.LazyFrame,
    names: Names,
    path: Path,
) -> Authors:
    """Decide the author of each signature, and write the authors to `path`.

    `signatures` has the columns `signature` and AUTHOR_SIGNATURE, `messages` has `signature` and `parent`,
    `tickets` has `key` and `requester_*`.
    """
    known = people.select(pl.all().name.prefix("p_"))
    signatures = (
        signatures.join(known, left_on="author_id", right_on="p_person_id", how="left")
        .with_columns(
            pl.coalesce("author_email", "p_email").alias("author_email"),
            pl.col("p_phone").alias("author_phone"),
            pl.coalesce("author_name", "p_name").alias("author_name"),
            pl.coalesce("author_role", "p_role").alias("role"),
            (pl.col("direction").is_null() & pl.col("public").is_null()).alias("_unsaid"),
        )
        .with_columns(external("author_id", "author_name", names).alias("author_external"))
        .with_columns(_depends=_depends_on_ticket())
    )
    depending = signatures.filter("_depends").select("signature").collect(engine="streaming")
    if depending.is_empty():
        nothing = {name: pl.lit(None, pl.String) for name in _OF_TICKET}
        _written(_decided(signatures.with_columns(**nothing), names), path)
        return Authors(pl.scan_parquet(path, glob=False), depending)
    of_ticket = tickets.select(
        parent="key",
        t_id="requester_id",
        t_email="requester_email",
        t_phone="requester_phone",
        t_name="requester_name",
        t_external="requester_external",
    ).unique("parent")
    alone = pl.col("signature").alias("of")
    pairs = _with_ticket(messages.select("signature", "parent", alone), depending).unique("signature")
    whole = pairs.join(signatures.rename({"signature": "of"}), on="of", how="inner")
    _written(_decided(whole.join(of_ticket, on="parent", how="left"), names), path)
    return Authors(pl.scan_parquet(path, glob=False), depending)


def _written(frame: pl.LazyFrame, path: Path) -> None:
    frame.select("signature", *AUTHOR_COLUMNS).sink_parquet(
        path, compression="lz4", statistics=False, engine="streaming"
    )


def _with_ticket(messages: pl.LazyFrame, depending: pl.DataFrame) -> pl.LazyFrame:
    """Replace each signature that depends on the ticket by a hash of signature and ticket."""
    both = pl.col("signature") * 31 + pl.col("parent") * 37
    return (
        messages.join(depending.lazy().with_columns(_depends=True), on="signature", how="left")
        .with_columns(signature=pl.when("_depends").then(both).otherwise("signature"))
        .drop("_depends")
    )


def _depends_on_ticket() -> pl.Expr:
    """Whether the ticket decides the direction, or whether the author of a note is an agent, or who the
    sender is."""
    public = pl.col("public").fill_null(value=False)
    hidden = pl.col("public").eq(other=False).fill_null(value=False)
    guessed = pl.col("direction").is_null() & public
    is_inbound = (pl.col("direction") == Direction.INBOUND).fill_null(value=False)
    lacking = _is_nobody() | pl.col("author_name").is_null()
    may_be_inbound = ~hidden & (is_inbound | guessed)
    is_note = (pl.col("direction") == Direction.INTERNAL).fill_null(value=pl.col("public").is_null()) | hidden
    return ((guessed | is_note) & pl.col("role").is_null()) | (may_be_inbound & lacking)


def _is_nobody(*more: str) -> pl.Expr:
    """Whether the author has no address and no external id."""
    return pl.coalesce("author_email", "author_phone", "author_external", *more).is_null()


def _same_person() -> pl.Expr:
    """Whether the author of a message is the requester of its ticket. Ids and addresses are compared, and
    names where there are none of these. Null where nothing can be compared."""
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


def _decided(signatures: pl.LazyFrame, names: Names) -> pl.LazyFrame:
    """Fill in `author_*`, and decide `direction` and `is_agent`. Authors of inbound messages are filled in
    from the sender's address and from the ticket's requester too."""
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
        signatures.with_columns(
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
            # With the id as a name, the user can map an agent of whom the export has only the id.
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
                    ("author_email", "author_phone"), replaced_by_user("author", names), strict=True
                )
            ),
            pl.when(~agents).then("author_external").alias("author_external"),
        )
        .select("signature", *AUTHOR_COLUMNS)
    )
