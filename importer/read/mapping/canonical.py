"""Frames of a file's own columns become frames of canonical ones: which rows, values out of other files, the
newest of several versions, a ticket out of its messages. Expressions and lazy frames only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

from importer.migration.presets import Part
from importer.parse import distinct as cells
from importer.parse.addresses import ADDRESS, ADDRESSES, FIRST_ADDRESS
from importer.parse.fastpath import CellTransform, Evaluator
from importer.parse.nested import as_json
from importer.parse.phones import phone
from importer.parse.repairs import repaired_id, unescaped, unquoted
from importer.read.flaws import HARMLESS
from importer.read.mapping.explode import source_row
from importer.read.mapping.header import Header
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.source_file import SourceFile
from importer.tables.frames import SIGNAL
from importer.tables.schema import Field, TableSchema

# In bodies, blanks at the edges are the author's; elsewhere they are the exporter's.
_BODIES = frozenset({"text", "html", "opening_text", "opening_html"})
# In a file of messages these headers speak of the message, so a ticket takes them only when told to.
OF_THE_MESSAGE = frozenset({"created_at", "channel", "opening_text", "opening_html"})
# A value of these that only the `*` of its map knows may mean anything.
_STATES = frozenset({"status", "direction", "author_role", "role"})
UNNAMED = f"{SIGNAL}unnamed."
MENDED = "mended"  # why a row is left out for which a mended one stands
REMOVED = "removed"  # and why one that its owner has emptied among the rejects


def provenance(file: SourceFile, part: Part) -> Mapping[str, pl.Expr]:
    """`_row`, the number of a row in its file, and `_file`, the name of that, for rows that have no ids. A
    mended row has those of the row for which it stands, a row out of a cell those of the cell's row."""
    number, name = source_row(part), pl.lit(file.path.name)
    if file.reasons == len(REASON_COLUMNS):
        was = (
            pl.col("_source").str.extract_groups(r"^(?P<file>[^|]+)#(?P<number>\d+)(?:\||#[0-9a-f]+$)").struct
        )
        number = pl.coalesce(was.field("number").cast(pl.UInt64, strict=False), number)
        name = pl.coalesce(was.field("file"), name)
    return {"_row": (number + 1).cast(pl.String), "_file": name}


def _or_null(cell: pl.Expr) -> pl.Expr:
    """Null for an empty cell, as files have it in which every cell is quoted."""
    return pl.when(cell != "").then(cell)


_TIDY = CellTransform(cells.strip_cells, lambda cell: cell.str.strip_chars() == cell, _or_null)
_TIDY_BODY = CellTransform(
    cells.null_if_blank, lambda cell: ~cells.may_be_blank(cell) | (cell == ""), _or_null
)


def tidied(name: str, column: pl.Expr, evaluator: Evaluator, *, checked_later: bool = False) -> pl.Expr:
    return evaluator.transform(column, _TIDY_BODY if name in _BODIES else _TIDY, checked_later=checked_later)


def is_strict(field: Field | None, part: Part) -> bool:
    """Whether what the schema wants of a cell leaves no room for blanks at its edges or words around it, and
    the cell comes to the schema as it is."""
    if field is None or any(field.name in of for of in (part.values, part.extract, part.matching)):
        return False
    is_id = field.name.endswith("_id")  # marks.py looks for damage on ids
    is_typed = field.type in ("datetime", "boolean") or field.format == "email" or "enum" in field.constraints
    return is_id or is_typed


def cleaned(frame: pl.LazyFrame, header: Sequence[str], part: Part) -> pl.LazyFrame:
    """What a source writes for an empty cell, and how it escapes, undone in all columns."""
    changes = []
    for name in header:
        cell = pl.col(name)
        if part.unquote:
            cell = unquoted(cell)
        if part.text_escapes:
            cell = unescaped(cell)
        if part.nulls:
            cell = pl.when(~cell.is_in(part.nulls)).then(cell)
        changes.append(cell.alias(name))
    return frame.with_columns(changes) if part.unquote or part.text_escapes or part.nulls else frame


# -- which rows


def flaw(part: Part, unmended: Mapping[int, str] | None) -> pl.Expr:
    """What is wrong with a row's shape, for its owner to mend."""
    own: pl.Expr = pl.when(~pl.col("_flaw").is_in(sorted(HARMLESS))).then(pl.col("_flaw"))
    if unmended:
        was = source_row(part).replace_strict(
            list(unmended), list(unmended.values()), default=None, return_dtype=pl.String
        )
        own = pl.coalesce(own, was)
    return own.alias("_flaw")


def skipped(
    part: Part,
    header: Header,
    values: Mapping[str, pl.Expr],
    file: SourceFile,
    superseded: Sequence[int] | None,
    evaluator: Evaluator,
) -> pl.Expr:
    """Why a row is left out, or null."""
    names = file.header[file.reasons :]
    reasons = [pl.when(pl.col("_flaw").is_in(sorted(HARMLESS))).then(pl.col("_flaw"))]
    if superseded:
        reasons.append(pl.when(source_row(part).is_in(list(superseded))).then(pl.lit(MENDED)))
    looked_at = sorted({root for value in values.values() for root in value.meta.root_names()} & {*names})
    something = [(pl.col(name) != "").fill_null(value=False) for name in looked_at]
    none = pl.any_horizontal(*something) if something else pl.lit(value=False)
    blank = evaluator.rows(names, _blank, none=none)
    why = REMOVED if file.is_rejects else "blank_row"
    reasons.append(pl.when(blank & pl.col("_flaw").is_null()).then(pl.lit(why)))
    return pl.coalesce([*reasons, left_out(part.skip, part.only, header, values, evaluator)])


def _blank(rows: pl.Series) -> pl.Series:
    """Rows without any sign that one can see."""
    return cells.rows_where_all(
        rows, lambda _, column: (column.str.strip_chars() == "").fill_null(value=True)
    )


def left_out(
    skip: Mapping[str, Sequence[str]],
    only: Mapping[str, Sequence[str]],
    header: Header,
    values: Mapping[str, pl.Expr],
    evaluator: Evaluator,
) -> pl.Expr:
    """`skip.<name>` or `only.<name>` where that rule leaves the row out; "" stands for an empty cell. Headers
    that the file does not have leave nothing out."""
    reasons: list[pl.Expr] = [pl.lit(None, pl.String)]
    for rules, name, folded in _folded(skip, only):
        found = header.find(name)
        value = values.get(name, found.value if found else None)
        if value is None:
            continue
        hit = tidied(name, value, evaluator).str.to_lowercase().fill_null("").is_in(folded)
        out = hit if rules == "skip" else ~hit
        reasons.append(pl.when(out).then(pl.lit(f"{rules}.{name}")))
    return pl.coalesce(reasons)


def _folded(
    skip: Mapping[str, Sequence[str]], only: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, list[str]]]:
    for rules, named in (("skip", skip), ("only", only)):
        for name, values in named.items():
            yield rules, name, [value.lower() for value in values]


def newest(frame: pl.LazyFrame, key: str, part: Part) -> pl.LazyFrame:
    """Of the source rows that share an id only the one whose `_newest` is largest, as a number where it is
    one; of equal ones the last. The others are left out, also where the newest is skipped: a ticket that was
    deleted is not what it was before."""
    order = ["_number", "_newest", "_file", "_row"]
    frame = frame.with_columns(source_row(part).alias("_row"))
    keyed = frame.filter(pl.col(key).is_not_null()).select(
        key, *order[1:], _number=pl.col("_newest").cast(pl.Float64, strict=False)
    )
    last = keyed.sort(order).group_by(key, maintain_order=True).agg(pl.last("_file", "_row"))
    kept = last.with_columns(_kept=pl.lit(value=True))
    older = pl.col(key).is_not_null() & pl.col("_kept").is_null()
    return (
        frame.join(kept, on=[key, "_file", "_row"], how="left")
        .with_columns(_skip=pl.coalesce("_skip", pl.when(older).then(pl.lit("older_version"))))
        .drop("_kept", "_row")
    )


def by_key(frame: pl.LazyFrame, *, is_list: bool, name: str) -> pl.LazyFrame:
    """`_key` once each, with its last value (in the order of `_at`), or all of them as a JSON list, as
    `name`."""
    values = pl.col("_value").sort_by("_at")
    if not is_list:
        return frame.group_by("_key").agg(values.last().alias(name))
    several = frame.group_by("_key").agg(values.unique(maintain_order=True))
    return several.select("_key", as_json(pl.col("_value")).alias(name))


# -- what the cells say


def finished(
    name: str, value: pl.Expr, part: Part, field: Field | None, region: str | None, evaluator: Evaluator
) -> pl.Expr:
    """A canonical value in the form that its schema wants, before the migration's own maps."""
    if name in part.extract:
        value = pl.coalesce(tidied(name, value.str.extract(part.extract[name], 1), evaluator), value)
    if name in part.matching:
        value = pl.when(value.str.contains(part.matching[name])).then(value)
    if name in part.separators:
        value = value.str.replace_all(part.separators[name], "\n", literal=True)
    if name in ("cc", "bcc"):
        value = evaluator.transform(value, ADDRESSES)
    if part.ids == "repair" and name.endswith("_id"):
        value = repaired_id(value)
    return canonical(value, field, region, evaluator, checked_later=is_strict(field, part))


def guessed(parts: Iterable[Part]) -> list[str]:
    """The columns of a table in which the `*` of a map may say what a value means."""
    return sorted(
        {name for part in parts for name in _STATES & set(part.values) if part.values[name].get("*")}
    )


def with_meaning(
    frame: pl.LazyFrame, part: Part, schema: TableSchema, guesses: Sequence[str], evaluator: Evaluator
) -> pl.LazyFrame:
    """Value maps and defaults of the migration, then the spelling of enumerations. Of each of the `guesses`
    (see guessed) UNNAMED<column> is the value that its map does not name."""
    there = set(frame.collect_schema().names())
    changes = [_mapped(name, values) for name, values in part.values.items() if name in there]
    changes += [_unnamed(name, part.values.get(name, {})) for name in guesses if name in there]
    frame = frame.with_columns(changes) if changes else frame
    spelled = [
        evaluator.transform(pl.col(field.name), _spelling(field.constraints["enum"])).alias(field.name)
        for field in schema.fields
        if "enum" in field.constraints and field.name in there
    ]
    frame = frame.with_columns(*spelled, *evaluator.plain()) if spelled else frame
    filled = [pl.col(name).fill_null(value) for name, value in part.defaults.items() if name in there]
    return frame.with_columns(filled) if filled else frame


def _spelling(values: Sequence[str]) -> CellTransform:
    return CellTransform(_spelled, lambda cell: cell.is_in(values))


def _spelled(column: pl.Series) -> pl.Series:
    """Enumerations as the schema spells them."""
    return cells.map_distinct(column, lambda part: part.str.to_lowercase().str.replace_all(r"[\s\-]+", "_"))


def _mapped(name: str, values: Mapping[str, str]) -> pl.Expr:
    known = {old.lower(): new for old, new in values.items() if old != "*"}
    column, folded = pl.col(name), pl.col(name).str.to_lowercase()
    rest = pl.when(column.is_not_null()).then(pl.lit(values["*"])) if "*" in values else column
    mapped = folded.replace_strict(known, default=rest, return_dtype=pl.String) if known else rest
    return pl.when(mapped != "").then(mapped).alias(name)


def _unnamed(name: str, values: Mapping[str, str]) -> pl.Expr:
    if not values.get("*"):
        return pl.lit(None, pl.String).alias(f"{UNNAMED}{name}")
    known = [old.lower() for old in values if old != "*"]
    return pl.when(~pl.col(name).str.to_lowercase().is_in(known)).then(name).alias(f"{UNNAMED}{name}")


def speaks() -> pl.Expr:
    """Which rows of messages say something of their ticket: not those for which a mended one stands."""
    stands = pl.col("_flaw").is_null() & (pl.col("_skip") != MENDED).fill_null(value=True)
    return pl.col("ticket_id").is_not_null() & stands


def gathered(frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    """One row a ticket out of one row a message, at the place of its first. Where the rows of a ticket
    differ, the smallest value stands for all (whatever their order); `_differs` names such columns."""
    others = [name for name in names if name != "ticket_id"]
    differing = [
        pl.when(pl.col(name).drop_nulls().n_unique() > 1).then(pl.lit(name))
        for name in others
        if name not in ("created_at", "updated_at", "closed_at")
    ]
    latest = [pl.col(name).max() for name in others if name in ("updated_at", "closed_at")]
    smallest = [pl.col(name).min() for name in others if name not in ("updated_at", "closed_at")]
    first_file = pl.col("_file").min()
    unnamed = [name for name in frame.collect_schema().names() if name.startswith(UNNAMED)]
    return (
        frame.filter(speaks())
        .group_by("ticket_id")
        .agg(
            first_file,
            pl.col("_record").filter(pl.col("_file") == first_file).min(),
            pl.lit(None, pl.String).alias("_flaw"),
            pl.col("_skip").min(),
            *latest,
            *smallest,
            *(pl.col(name).min() for name in unnamed),
            (pl.concat_list(differing).list.drop_nulls().list.join(", ") if differing else pl.lit("")).alias(
                "_differs"
            ),
        )
        .select("_file", "_record", "_flaw", "_skip", "_differs", *names, *unnamed)
    )


def canonical(
    cell: pl.Expr, field: Field | None, region: str | None, evaluator: Evaluator, *, checked_later: bool
) -> pl.Expr:
    """A field's cells as its schema wants them, whatever the source."""
    if field is not None and field.name == "to_email":
        return evaluator.transform(cell, FIRST_ADDRESS)
    if field is not None and field.format == "email":
        return evaluator.transform(cell, ADDRESS, checked_later=checked_later)
    if field is not None and field.format == "phone":
        return evaluator.transform(cell, phone(region))
    return cell
