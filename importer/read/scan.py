"""Source files become one LazyFrame per table: provenance, skip reason, and the canonical columns as text."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from importer.config import Source, Table
from importer.errors import SourceError
from importer.read.files import REASON_COLUMNS, SourceFile, find, look
from importer.read.parquet import parquet_frame
from importer.schema import TableSchema, load

PROVENANCE = ("_file", "_record")

# In bodies, blanks at the edges are the author's; elsewhere they are the exporter's.
_BODIES = frozenset({"text", "html", "opening_text", "opening_html"})
# In a file of messages these headers speak of the message, so a ticket takes them only when told to.
_OF_THE_MESSAGE = frozenset({"created_at", "channel", "opening_text", "opening_html"})


@dataclass(frozen=True, slots=True)
class Scanned:
    """A table before any judgement.

    `frame` has `_file` (index into `files`), `_record` (0-based, header not counted), `_skip` (why the row is
    left out, or null) and every canonical column as text, absent ones null; `custom.<name>` behind them.
    `columns` maps canonical names to headers, one mapping a file. `unused` are headers that nothing takes.
    `derived` says that the rows are tickets gathered out of message rows.
    """

    schema: TableSchema
    frame: pl.LazyFrame
    files: tuple[SourceFile, ...]
    columns: tuple[Mapping[str, str], ...]
    unused: tuple[str, ...]
    derived: bool = False


def scan(source: Source, folder: Path, workdir: Path) -> dict[str, Scanned]:
    """Every table that the migration names. Raises one SourceError that names all that is wrong."""
    problems: list[str] = []
    tables: dict[str, Scanned] = {}
    for name, table, derived in _tables(source):
        try:
            tables[name] = _scan_table(load(name), table, folder, workdir, derived=derived)
        except SourceError as error:
            problems.append(str(error))
        except pl.exceptions.PolarsError as error:
            problems.append(f"source.{name}: its files cannot be read as a table: {error}")
    if problems:
        raise SourceError("\n".join(dict.fromkeys(problems)))
    return tables


def _tables(source: Source) -> Iterator[tuple[str, Table, bool]]:
    tickets, messages = source.tickets, source.messages
    if tickets.files:
        yield "tickets", tickets, False
    elif messages is not None:
        dialect = {"files": messages.files, "encoding": messages.encoding, "delimiter": messages.delimiter}
        columns = {"ticket_id": messages.columns["ticket_id"]} if "ticket_id" in messages.columns else {}
        yield (
            "tickets",
            tickets.model_copy(update={**dialect, "columns": {**columns, **tickets.columns}}),
            True,
        )
    for name, table in (
        ("messages", messages),
        ("people", source.people),
        ("attachments", source.attachments),
    ):
        if table is not None:
            yield name, table, False


def _scan_table(schema: TableSchema, table: Table, folder: Path, workdir: Path, *, derived: bool) -> Scanned:
    problems = [*_unknown_names(schema, table)]
    files: list[SourceFile] = []
    mappings: list[Mapping[str, str]] = []
    for found in find(table.files, folder):
        try:
            if isinstance(found, str):
                raise SourceError(found)
            file = look(found, encoding=table.encoding, delimiter=table.delimiter)
            mappings.append(_mapping(schema, table, file, derived=derived))
            files.append(file)
        except SourceError as error:
            problems.append(str(error))
    if not table.files:
        problems.append(f"source.{schema.name}.files: is empty; name at least one file")
    if problems:
        raise SourceError("\n".join(problems))
    custom = sorted({name for mapping in mappings for name in mapping if name.startswith("custom.")})
    names = [*schema.columns, *custom]
    frames = [
        _file_frame(number, file, mapping, names, workdir)
        for number, (file, mapping) in enumerate(zip(files, mappings, strict=True))
    ]
    frame = _with_meaning(pl.concat(frames), table, schema)
    if derived:
        frame = _gathered(frame, names)
    unused = {h for f, m in zip(files, mappings, strict=True) for h in f.header if h not in m.values()}
    return Scanned(
        schema, frame, tuple(files), tuple(mappings), tuple(sorted(unused - {*REASON_COLUMNS})), derived
    )


def _unknown_names(schema: TableSchema, table: Table) -> Iterator[str]:
    for section in ("columns", "values", "defaults", "skip"):
        for name in getattr(table, section):
            if name in schema.columns or (schema.name == "tickets" and name.startswith("custom.")):
                continue
            near = difflib.get_close_matches(name, schema.columns, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(schema.columns)}"
            yield f"source.{schema.name}.{section}.{name}: is no column of {schema.name}{hint}"


def _mapping(schema: TableSchema, table: Table, file: SourceFile, *, derived: bool) -> dict[str, str]:
    """Canonical name → header, for one file. What the migration names must be there; other canonical columns
    are taken where a header is their name, case, blanks, `_` and `-` aside."""
    header = [name for name in file.header if name not in REASON_COLUMNS]
    if doubles := sorted({name for name in header if header.count(name) > 1}):
        raise SourceError(
            f"{file.path}: {len(doubles)} header(s) stand more than once: {', '.join(map(repr, doubles))}; "
            "rename them, so that each column has one name"
        )
    by_fold = {_fold(name): name for name in reversed(header)}
    mapping: dict[str, str] = {}
    missing: list[str] = []
    for canonical, wanted in table.columns.items():
        match = wanted if wanted in header else by_fold.get(_fold(wanted))
        if match is None:
            missing.append(f"{wanted!r} (for {canonical})")
        else:
            mapping[canonical] = match
    for canonical in schema.columns:
        match = by_fold.get(_fold(canonical))
        unclear = derived and canonical in _OF_THE_MESSAGE
        if canonical not in mapping and match and match not in mapping.values() and not unclear:
            mapping[canonical] = match
    if schema.name == "tickets" and not derived:
        mapping |= {f"custom.{name}": name for name in header if name not in mapping.values()}
    missing += [
        f"{name} (required)"
        for name in schema.required
        if name not in mapping and name not in table.columns and name not in table.defaults
    ]
    if missing:
        raise SourceError(
            f"{file.path}: {len(missing)} column(s) of {schema.name} missing: {', '.join(missing)}\n"
            f"  its header has: {', '.join(file.header)}\n"
            f"  name the right one under [source.{schema.name}] columns"
        )
    return mapping


def _fold(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()


def _file_frame(
    number: int, file: SourceFile, mapping: Mapping[str, str], names: list[str], workdir: Path
) -> pl.LazyFrame:
    frame = _csv_frame(number, file, workdir) if file.kind == "csv" else parquet_frame(file.path)
    blank = pl.all_horizontal(pl.col(name).is_null() for name in file.header)
    return frame.select(
        pl.lit(number, pl.UInt16).alias("_file"),
        pl.col("_record").cast(pl.UInt32),
        pl.when(blank).then(pl.lit("blank_row")).alias("_skip"),
        *(
            _tidied(name, pl.col(mapping[name])) if name in mapping else pl.lit(None, pl.String).alias(name)
            for name in names
        ),
    )


def _csv_frame(number: int, file: SourceFile, workdir: Path) -> pl.LazyFrame:
    copy = workdir / f"{file.path.stem}-{number}.utf8.csv"
    path = file.path if file.encoding == "utf-8-sig" else _transcoded(file, copy)
    return pl.scan_csv(
        path,
        separator=file.delimiter,
        infer_schema=False,
        row_index_name="_record",
        with_column_names=lambda _: list(file.header),
    )


def _transcoded(file: SourceFile, path: Path) -> Path:
    """A UTF-8 copy, since polars reads nothing else."""
    try:
        with file.text() as source, path.open("w", encoding="utf-8", newline="") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file.path}: is no {file.encoding} text: {error.reason}; set another encoding"
        ) from None
    return path


def _tidied(name: str, column: pl.Expr) -> pl.Expr:
    stripped = column.str.strip_chars()
    kept = column if name in _BODIES else stripped
    return pl.when(stripped != "").then(kept).alias(name)


def _with_meaning(frame: pl.LazyFrame, table: Table, schema: TableSchema) -> pl.LazyFrame:
    """Skips, value maps and defaults of the migration file, then the spelling of enumerations."""
    for name, values in table.skip.items():
        folded = [value.casefold() for value in values]
        reason = pl.when(pl.col(name).str.to_lowercase().is_in(folded)).then(pl.lit(f"skip.{name}"))
        frame = frame.with_columns(pl.coalesce("_skip", reason).alias("_skip"))
    changes = [_mapped(name, values) for name, values in table.values.items()]
    frame = frame.with_columns(changes) if changes else frame
    spelled = [
        pl.col(field.name).str.to_lowercase().str.replace_all(r"[\s\-]+", "_")
        for field in schema.fields
        if "enum" in field.constraints
    ]
    frame = frame.with_columns(spelled) if spelled else frame
    filled = [pl.col(name).fill_null(value) for name, value in table.defaults.items()]
    return frame.with_columns(filled) if filled else frame


def _mapped(name: str, values: Mapping[str, str]) -> pl.Expr:
    known = {old.casefold(): new for old, new in values.items() if old != "*"}
    column, folded = pl.col(name), pl.col(name).str.to_lowercase()
    rest = pl.when(column.is_not_null()).then(pl.lit(values["*"])) if "*" in values else column
    if not known:
        return rest.alias(name)
    return folded.replace_strict(known, default=rest, return_dtype=pl.String).alias(name)


def _gathered(frame: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """One row a ticket out of one row a message. Where the rows of a ticket differ, the smallest value stands
    for all (whatever their order); `_differs` names such columns."""
    others = [name for name in names if name != "ticket_id"]
    differing = [
        pl.when(pl.col(name).drop_nulls().n_unique() > 1).then(pl.lit(name))
        for name in others
        if name not in ("created_at", "updated_at", "closed_at")
    ]
    latest = [pl.col(name).max() for name in others if name in ("updated_at", "closed_at")]
    smallest = [pl.col(name).min() for name in others if name not in ("updated_at", "closed_at")]
    return (
        frame.filter(pl.col("ticket_id").is_not_null())
        .group_by("ticket_id")
        .agg(
            pl.col("_file").min(),
            pl.col("_record").min(),
            pl.col("_skip").min(),
            *latest,
            *smallest,
            pl.concat_list(differing).list.drop_nulls().list.join(", ").alias("_differs"),
        )
        .select(*PROVENANCE, "_skip", "_differs", *names)
    )
