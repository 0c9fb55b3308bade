"""Convert frames of a file's own columns to canonical columns: skipped rows, lookups in other files, the
newest of several versions, tickets gathered from messages. Expressions and lazy frames only."""

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

# Surrounding blanks of these are kept, since the author wrote them; in other columns they come from the
# exporter.
_BODIES = frozenset({"text", "html", "opening_text", "opening_html"})
# In a file of messages these headers describe the message, so tickets use them only if they are mapped.
OF_THE_MESSAGE = frozenset({"created_at", "channel", "opening_text", "opening_html"})
# A value of these that only the `*` of its map covers may have any meaning, so it is reported.
_STATES = frozenset({"status", "direction", "author_role", "role"})
UNNAMED = f"{SIGNAL}unnamed."
# The skip reason of a row that a corrected row replaces.
CORRECTED = "corrected"
# The skip reason of a row whose cells the user has emptied in a file of rejects.
REMOVED = "removed"


def provenance(file: SourceFile, part: Part) -> Mapping[str, pl.Expr]:
    """`_row` (the 1-based number of a row in its file) and `_file` (the name of the file), for templates of
    ids.

    A corrected row has those of the row that it replaces. A row from a cell has those of the cell's row.
    """
    number, name = source_row(part), pl.lit(file.path.name)
    if file.reasons == len(REASON_COLUMNS):
        was = (
            pl.col("_source").str.extract_groups(r"^(?P<file>[^|]+)#(?P<number>\d+)(?:\||#[0-9a-f]+$)").struct
        )
        number = pl.coalesce(was.field("number").cast(pl.UInt64, strict=False), number)
        name = pl.coalesce(was.field("file"), name)
    return {"_row": (number + 1).cast(pl.String), "_file": name}


def _or_null(cell: pl.Expr) -> pl.Expr:
    """Null for an empty cell, which files with quotes around every cell have."""
    return pl.when(cell != "").then(cell)


_TIDY = CellTransform(cells.strip_cells, lambda cell: cell.str.strip_chars() == cell, _or_null)
_TIDY_BODY = CellTransform(
    cells.null_if_blank, lambda cell: ~cells.may_be_blank(cell) | (cell == ""), _or_null
)


def tidied(name: str, column: pl.Expr, evaluator: Evaluator, *, checked_later: bool = False) -> pl.Expr:
    """The cells of a canonical column without surrounding blanks, or as they are for texts. Blank ones are
    null."""
    return evaluator.transform(column, _TIDY_BODY if name in _BODIES else _TIDY, checked_later=checked_later)


def is_strict(field: Field | None, part: Part) -> bool:
    """Whether a rule of the schema fails for every cell with surrounding blanks or other text, and nothing
    changes the cell before that rule."""
    if field is None or any(field.name in of for of in (part.values, part.extract, part.matching)):
        return False
    is_id = field.name.endswith("_id")  # row_signals.py checks ids for damage
    is_typed = field.type in ("datetime", "boolean") or field.format == "email" or "enum" in field.constraints
    return is_id or is_typed


def cleaned(frame: pl.LazyFrame, header: Sequence[str], part: Part) -> pl.LazyFrame:
    """The frame with the source's null values and escapes undone in all columns."""
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


# -- rows


def flaw(part: Part, uncorrected: Mapping[int, str] | None) -> pl.Expr:
    """`_flaw`: what the user has to correct in the structure of a row, or null."""
    own: pl.Expr = pl.when(~pl.col("_flaw").is_in(sorted(HARMLESS))).then(pl.col("_flaw"))
    if uncorrected:
        was = source_row(part).replace_strict(
            list(uncorrected), list(uncorrected.values()), default=None, return_dtype=pl.String
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
    """Why a row is skipped, or null."""
    names = file.header[file.reasons :]
    reasons = [pl.when(pl.col("_flaw").is_in(sorted(HARMLESS))).then(pl.col("_flaw"))]
    if superseded:
        reasons.append(pl.when(source_row(part).is_in(list(superseded))).then(pl.lit(CORRECTED)))
    looked_at = sorted({root for value in values.values() for root in value.meta.root_names()} & {*names})
    something = [(pl.col(name) != "").fill_null(value=False) for name in looked_at]
    none = pl.any_horizontal(*something) if something else pl.lit(value=False)
    blank = evaluator.rows(names, _blank, none=none)
    why = REMOVED if file.is_rejects else "blank_row"
    reasons.append(pl.when(blank & pl.col("_flaw").is_null()).then(pl.lit(why)))
    return pl.coalesce([*reasons, left_out(part.skip, part.only, header, values, evaluator)])


def _blank(rows: pl.Series) -> pl.Series:
    """Whether rows have only blank cells."""
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
    """`skip.<name>` or `only.<name>` where that rule skips the row, else null. The value "" matches empty
    cells. Rules for headers that the file does not have skip nothing."""
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
    """The frame with `_skip` set for all but the newest row of each id: the one with the largest `_newest`,
    compared as a number where it is one, else as text; of equal ones the last. Older rows are skipped even
    where the newest one is: a deleted ticket does not return to an earlier version."""
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
    """One row for each `_key`, with its last value in the order of `_at` as `name`, or with all its values as
    a JSON list."""
    values = pl.col("_value").sort_by("_at")
    if not is_list:
        return frame.group_by("_key").agg(values.last().alias(name))
    several = frame.group_by("_key").agg(values.unique(maintain_order=True))
    return several.select("_key", as_json(pl.col("_value")).alias(name))


# -- values of cells


def finished(
    name: str, value: pl.Expr, part: Part, field: Field | None, region: str | None, evaluator: Evaluator
) -> pl.Expr:
    """A canonical value in the form that its schema expects, before value maps are applied."""
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
    """The columns of a table in which the `*` of a value map may decide the meaning of a value, sorted."""
    return sorted(
        {name for part in parts for name in _STATES & set(part.values) if part.values[name].get("*")}
    )


def with_meaning(
    frame: pl.LazyFrame, part: Part, schema: TableSchema, guesses: Sequence[str], evaluator: Evaluator
) -> pl.LazyFrame:
    """The frame with value maps applied, enumerations spelled as in the schema, and defaults filled in. For
    each of the `guesses` (see guessed), UNNAMED<column> is the value that its map does not name."""
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
    """Values of enumerations as the schema spells them."""
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
    """Which message rows contribute to their ticket: rows that a corrected row replaces do not."""
    stands = pl.col("_flaw").is_null() & (pl.col("_skip") != CORRECTED).fill_null(value=True)
    return pl.col("ticket_id").is_not_null() & stands


def gathered(frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    """One row for each ticket, gathered from its message rows, with the place of the first one. Where the
    rows of a ticket differ, the smallest value is used, so that their order does not matter (of `updated_at`
    and `closed_at` the largest); `_differs` lists such columns."""
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
    """The cells of a field in the form that its schema expects, for addresses and phone numbers."""
    if field is not None and field.name == "to_email":
        return evaluator.transform(cell, FIRST_ADDRESS)
    if field is not None and field.format == "email":
        return evaluator.transform(cell, ADDRESS, checked_later=checked_later)
    if field is not None and field.format == "phone":
        return evaluator.transform(cell, phone(region))
    return cell
