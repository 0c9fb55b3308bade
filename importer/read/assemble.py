"""Assemble one table from its files: provenance, skip reason and the canonical columns, as lazy frames of
text."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import polars as pl

from importer.errors import SourceError
from importer.migration.presets import Part
from importer.migration.source import LookupTable, Source, Table
from importer.parse.fastpath import Evaluator, FullEvaluator
from importer.parse.time_formats import Form, to_iso
from importer.read import corrections
from importer.read.csv.structure import Structure
from importer.read.frames import raw_frame, source_frame, with_flaw
from importer.read.mapping import canonical as shape
from importer.read.mapping import explode as items
from importer.read.mapping.columns import (
    ColumnMapping,
    MappingRules,
    map_columns,
    not_the_preset,
    unknown_names,
    used_headers,
    wrong_values,
)
from importer.read.mapping.header import Header
from importer.read.mapping.time_columns import FileTimes, TimeColumn, time_forms
from importer.read.readable import Files, Readable
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.source_file import SourceFile
from importer.read.table import Origin, Piece, Scanned
from importer.tables.schema import TABLES, TableSchema, load


@dataclass(slots=True)
class _Entry:
    """One file that contributes rows to the table."""

    ready: Readable
    # The kind of file that it is read as.
    part: Part
    # Its columns, and the names under which values from inside its cells are found.
    header: Header
    # The canonical columns that it has.
    mapped: ColumnMapping
    # The time format of each canonical column of times.
    forms: dict[str, Form] = field(default_factory=dict)
    # For rejected rows: the time formats of the files that they came from, by file name.
    originals: Mapping[str, Mapping[str, Form]] = field(default_factory=dict)
    # What was detected, for the user.
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, str]:
        return self.mapped.columns

    @property
    def file(self) -> SourceFile:
        return self.ready.file

    @property
    def used(self) -> set[str]:
        return used_headers(self.part, self.header) | set(self.columns.values())


@dataclass(slots=True)
class Assembly:
    """Assembles one table from its files, once."""

    source: Source
    # The files of the migration, in the mode in which they are read.
    files: Files
    schema: TableSchema
    # Everything that is wrong with the files; reported together.
    problems: list[str] = field(default_factory=list)
    # The structure checks of the files that are read without a copy.
    checks: list[Future[Structure]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.schema.name

    @property
    def own(self) -> Table:
        return self.source.table(self.name) or Table()

    def scanned(self) -> Scanned | None:
        """The table; None where the migration has no such table.

        Raises SourceError that lists all problems of the files. Raises SourceError too where rejected rows
        are looked up in a file whose structure check fails; reading the files in ReadMode.CHECKED avoids
        that.
        """
        parts = self.source.parts(self.name)
        self.problems += [*unknown_names(self.schema, self.own), *wrong_values(self.schema, self.own)]
        is_named = self.name != "tickets" and self.source.table(self.name) is not None
        if is_named and not self.own.files and not any(part.read for part in parts):
            self.problems.append(f"source.{self.name}.files: is empty; name at least one file")
        entries = [*self._own_files(parts), *self._other_tables_files(parts)]
        self.problems += _alike(self.name, entries)
        if self.problems:
            raise SourceError("\n".join(self.problems))
        if not entries:
            return None
        custom = sorted({name for entry in entries for name in entry.columns if name.startswith("custom.")})
        names = [*self._given(entries), *custom]
        if any(entry.file.is_rejects for entry in entries) and not self.is_unambiguous():
            raise SourceError("rejected rows are looked up in a file whose structure check failed")
        superseded = corrections.superseded([entry.file for entry in entries])
        self._decide_times(entries)
        uncorrected = corrections.uncorrected([entry.file for entry in entries])
        guesses = shape.guessed(entry.part for entry in entries)
        making = _Making(self.schema, names, guesses, superseded, uncorrected, self.source.region)
        alone = [(n, entry) for n, entry in enumerate(entries) if _stands_alone(entry.part)]
        frames: dict[int, list[pl.LazyFrame]] = {}
        for number, entry in enumerate(entries):
            if not _stands_alone(entry.part):
                rows = self._looked_up(entry, _rows(entry, raw_frame(entry.file)))
                frame = making.frame(number, entry, rows, FullEvaluator())
                frames.setdefault(parts.index(entry.part), []).append(frame)
        together = {n: self._part_frame(parts[n], some, guesses) for n, some in frames.items()}
        return Scanned(
            self.schema,
            tuple(Piece(source_frame(entry.file), partial(making.piece, n, entry)) for n, entry in alone),
            tuple(
                shape.gathered(frame, names) if parts[n].gather else frame for n, frame in together.items()
            ),
            tuple(_origin(entry) for entry in entries),
            self._unused(entries),
            given=tuple(names),
            scattered=tuple(frame.filter(shape.speaks()) for n, frame in together.items() if parts[n].gather),
        )

    def _given(self, entries: Sequence[_Entry]) -> list[str]:
        """The canonical columns that a file has, or that a default or a lookup of the migration fills."""
        given = {name for e in entries for name in (*e.columns, *e.part.defaults, *e.part.lookups)}
        return [name for name in self.schema.columns if name in given or name in self.schema.required]

    def _unused(self, entries: Sequence[_Entry]) -> tuple[str, ...]:
        """Headers of the table's own files that nothing uses. Tickets keep all columns, unless they are
        gathered from messages."""
        if self.name == "tickets" and not any(entry.part.gather for entry in entries):
            return ()
        own = [entry for entry in entries if entry.part.read is None]
        unused: set[str] = set()
        for entry in own:
            unused |= set(entry.file.header) - entry.used - self._used_by_others(entry)
        unused -= {"", *REASON_COLUMNS}
        return tuple(sorted(unused))

    def _used_by_others(self, entry: _Entry) -> set[str]:
        """The headers used by other tables that are made from the files of this one."""
        used: set[str] = set()
        for name in TABLES:
            other = replace(self, schema=load(name), problems=[], checks=[])
            for part in self.source.parts(name):
                if part.read == self.name and not (part.gather and other.own.files):
                    used |= {header for made in other._entry(entry.ready, part) for header in made.used}
        return used

    def is_unambiguous(self) -> bool:
        """Whether all structure checks have passed. Waits for them."""
        return all(check.exception() is None and not check.result().ambiguities for check in self.checks)

    # -- files and their columns

    def _ready(self, table: Table | LookupTable) -> Iterator[Readable | str]:
        for ready in self.files.of(table):
            if isinstance(ready, Readable) and ready.structure:
                self.checks.append(ready.structure)
            yield ready

    def _own_files(self, parts: Sequence[Part]) -> Iterator[_Entry]:
        candidates = [part for part in parts if part.read is None]
        for ready in self._ready(self.own):
            if isinstance(ready, str):
                self.problems.append(ready)
                continue
            part = next((part for part in candidates if self._fits(part, ready.file)), None)
            if part is None:
                self.problems.append(not_the_preset(ready.file, self.name, candidates))
                continue
            yield from self._entry(ready, part)

    def _fits(self, part: Part, file: SourceFile) -> bool:
        """Whether a file is of this kind. A file that the preset does not know fits if the migration maps at
        least one of its columns and it has all required ones."""
        if part.headers or self.source.preset is None:
            return part.fits(file.titles)
        header = Header(file.header, file.repeats)
        named = {name: any(map(header.find, sources)) for name, sources in part.columns.items()}
        there = {name for name in self.schema.columns if named.get(name, header.name(name) is not None)}
        return any(named.values()) and there.issuperset(self.schema.required)

    def _other_tables_files(self, parts: Sequence[Part]) -> Iterator[_Entry]:
        """The files of other tables from whose rows this table's rows are made."""
        for part in parts:
            other = self.source.table(part.read) if part.read else None
            if other is None or (part.gather and self.own.files):
                continue
            for ready in self._ready(other):
                if isinstance(ready, Readable) and part.fits(ready.file.titles):
                    has = part.each is None or items.item_columns(part.each, Header(ready.file.header, {}))
                    yield from self._entry(ready, part) if has else ()

    def _entry(self, ready: Readable, part: Part) -> Iterator[_Entry]:
        file = ready.file
        names = [*file.header, *items.item_names(part.each, file.header)]
        names = [name for name in names if name not in REASON_COLUMNS or not file.is_rejects]
        header = Header(names, file.repeats, shape.provenance(file, part))
        try:
            found = map_columns(file, part, header, self._words(part))
        except SourceError as error:
            self.problems.append(str(error))
            return
        for name in self._inside(header):
            found.columns.pop(name, None)
            found.found.pop(name, None)
        yield _Entry(ready, part, header, found)

    def _inside(self, header: Header) -> Iterator[str]:
        """The custom columns of tickets whose cells contain rows of other tables."""
        parts = (part for name in TABLES for part in self.source.parts(name) if part.read == "tickets")
        for part in parts if self.name == "tickets" else ():
            if part.each:
                sources = [source for several in part.columns.values() for source in several]
                yield from (f"custom.{name}" for name in items.used_columns(part.each, header, sources))

    def _words(self, part: Part) -> MappingRules:
        messages = self.source.messages
        tickets = {k: v for k, v in messages.columns.items() if k == "ticket_id"} if messages else {}
        is_known = self.source.preset is not None and bool(part.headers or part.read)
        return MappingRules(self.schema, self.own, is_known, tickets)

    # -- values of cells

    def _decide_times(self, entries: Sequence[_Entry]) -> None:
        """Decide the format of each column of times, for all files of a part together. Raises SourceError
        where a format stays ambiguous."""
        times = [f.name for f in self.schema.fields if f.type == "datetime"]
        for part in {id(e.part): e.part for e in entries}.values():
            of_part = [entry for entry in entries if entry.part is part]
            clocks = [_clock(entry, [name for name in times if name in entry.columns]) for entry in of_part]
            decided = time_forms(self.name, clocks, part.times)
            self.problems += decided.unclear
            for entry, by_column, notes in zip(of_part, decided.by_file, decided.notes, strict=True):
                entry.forms.update(by_column)
                entry.notes += notes
            originals = {e.file.path.name: e.forms for e in of_part if not e.file.is_rejects}
            for entry in of_part:
                entry.originals = originals if entry.file.reasons == len(REASON_COLUMNS) else {}
        if self.problems:
            raise SourceError("\n".join(self.problems))

    def _looked_up(self, entry: _Entry, frame: pl.LazyFrame) -> pl.LazyFrame:
        for name, lookup in entry.part.lookups.items():
            table = self.source.lookup(lookup.source)
            on = entry.header.find(lookup.on)
            if table is None or not table.files or on is None:
                if name in self.schema.required and name not in entry.columns:
                    raise SourceError(
                        f"{entry.file.path}: {name} comes from a lookup file, and none is configured; set "
                        f"source.lookups.{lookup.source}.files"
                    )
                entry.notes.append(
                    f"{name} of {self.name}: not looked up, because source.lookups.{lookup.source}.files "
                    "is not set"
                )
                continue
            found = self._lookup_frame(table, lookup.source, lookup.key, lookup.value, name)
            if found is not None:
                frame = frame.with_columns(shape.tidied("", on.value, FullEvaluator()).alias("_on")).join(
                    found, left_on="_on", right_on="_key", how="left"
                )
        return frame

    def _lookup_frame(
        self, table: LookupTable, source: str, key: str, value: str, name: str
    ) -> pl.LazyFrame | None:
        is_list = any(f.name == name and f.type == "array" for f in self.schema.fields)
        frames: list[pl.LazyFrame] = []
        for ready in self._ready(table):
            if isinstance(ready, str):
                raise SourceError(ready)
            header = Header(ready.file.header, ready.file.repeats)
            found, wanted = header.find(key), header.find(value)
            if found is None or wanted is None:
                raise SourceError(
                    f"{ready.file.path}: source.lookups.{source} needs the columns {key!r} and {value!r}; "
                    f"its header has: {', '.join(ready.file.titles)}"
                )
            evaluator = FullEvaluator()
            left = shape.left_out(table.skip, table.only, header, {}, evaluator)
            frames.append(
                raw_frame(ready.file)
                .filter(pl.col("_flaw").is_null() & left.is_null())
                .select(
                    _key=shape.tidied("", found.value, evaluator),
                    _value=shape.tidied("", wanted.value, evaluator),
                    _at=pl.lit(len(frames) << 32, pl.UInt64) + pl.col("_record").cast(pl.UInt64),
                )
                .drop_nulls()
            )
        return shape.by_key(pl.concat(frames), is_list=is_list, name=f"lookup.{name}") if frames else None

    # -- all rows of a part

    def _part_frame(self, part: Part, frames: Sequence[pl.LazyFrame], guesses: Sequence[str]) -> pl.LazyFrame:
        frame = pl.concat(frames)
        if part.newest_by:
            frame = shape.newest(frame, self.schema.primary or self.schema.required[0], part)
        return shape.with_meaning(frame.drop("_newest"), part, self.schema, guesses, FullEvaluator())


def _alike(table: str, entries: Sequence[_Entry]) -> Iterator[str]:
    """Files with the same name in a column whose template uses the name to make ids unique."""
    for column in {name for entry in entries for name in entry.part.columns}:
        named = [e for e in entries if any("{_file}" in source for source in e.part.columns.get(column, ()))]
        paths: dict[str, list[str]] = {}
        for entry in named:
            if not entry.file.is_rejects:
                paths.setdefault(entry.file.path.name, []).append(str(entry.file.path))
        for several in paths.values():
            if len(set(several)) > 1:
                both = " and ".join(sorted(set(several)))
                yield (
                    f"source.{table}.columns.{column}: {{_file}} is the same for {both}; rename one of them "
                    "before the first run"
                )


def _stands_alone(part: Part) -> bool:
    """Whether each row of its files becomes a row of the table independently of other rows."""
    return not (part.each or part.gather or part.newest_by or part.lookups)


def _rows(entry: _Entry, frame: pl.LazyFrame) -> pl.LazyFrame:
    """The file's own columns as text, with `_record`, `_flaw` and, where rows come from cells, `each…`."""
    raw = shape.cleaned(frame, entry.file.header, entry.part)
    return items.explode(raw, entry.part.each, entry.header) if entry.part.each else raw


def _clock(entry: _Entry, names: Sequence[str]) -> FileTimes:
    rows = _rows(entry, raw_frame(entry.file))
    columns = {
        name: TimeColumn(entry.columns[name], rows.select(cell=entry.mapped.value(name, FullEvaluator())))
        for name in names
    }
    return FileTimes(str(entry.file.path), columns, is_copy=entry.file.is_rejects)


@dataclass(frozen=True, slots=True)
class _Making:
    """Converts the rows of a file to rows of the table."""

    schema: TableSchema
    # The columns of the table.
    names: Sequence[str]
    # See mapping.canonical.guessed.
    guesses: Sequence[str]
    # See corrections.superseded.
    superseded: Mapping[Path, Sequence[int]]
    # See corrections.uncorrected.
    uncorrected: Mapping[Path, Mapping[int, str]]
    # The country of phone numbers without a country code.
    region: str | None

    def piece(self, number: int, entry: _Entry, source: pl.LazyFrame, evaluator: Evaluator) -> pl.LazyFrame:
        rows = _rows(entry, with_flaw(source, entry.file, evaluator))
        frame = self.frame(number, entry, rows, evaluator).drop("_newest")
        return shape.with_meaning(frame, entry.part, self.schema, self.guesses, evaluator)

    def frame(self, number: int, entry: _Entry, rows: pl.LazyFrame, evaluator: Evaluator) -> pl.LazyFrame:
        part = entry.part
        fields = {f.name: f for f in self.schema.fields}
        values = {
            name: entry.mapped.value(name, evaluator, is_strict=shape.is_strict(fields.get(name), part))
            for name in entry.columns
        }
        for name in part.lookups:
            if f"lookup.{name}" in rows.collect_schema():
                values[name] = pl.coalesce([f"lookup.{name}", *([values[name]] if name in values else [])])
        for name, form in entry.forms.items():
            value = values[name]
            for file, theirs in entry.originals.items():
                if (own := theirs.get(name, form)) is not form:
                    came = pl.col("_source").str.starts_with(f"{file}#").fill_null(value=False)
                    value = pl.when(came).then(to_iso(value, own)).otherwise(value)
            values[name] = to_iso(value, form)
        final = {
            name: shape.finished(name, value, part, fields.get(name), self.region, evaluator)
            for name, value in values.items()
        }
        superseded = self.superseded.get(entry.file.path)
        skip = shape.skipped(part, entry.header, final, entry.file, superseded, evaluator)
        newest = part.newest_by and entry.header.find(part.newest_by)
        return rows.select(
            pl.lit(number, pl.UInt16).alias("_file"),
            pl.col("_record").cast(pl.UInt64),
            shape.flaw(part, self.uncorrected.get(entry.file.path)),
            skip.alias("_skip"),
            *((newest.value if newest else pl.lit(None, pl.String)).alias("_newest"),),
            *(final.get(name, pl.lit(None, pl.String)).alias(name) for name in self.names),
            *evaluator.plain(),
        )


def _origin(entry: _Entry) -> Origin:
    ready, dialect = entry.ready, entry.file.dialect
    notes = list(dialect.notes)
    if ready.why:
        notes.append(f"read row by row because it has {', '.join(ready.why)}")
    if dialect.delimiter != ",":
        notes.append(f"delimiter: {dialect.delimiter_name}")
    notes += entry.notes
    derived = entry.part.each is not None or entry.part.gather
    columns = {n: list(dict.fromkeys(one.header for one in f)) for n, f in entry.mapped.found.items()}
    return Origin(entry.file, entry.part, columns, ready.structure, tuple(notes), is_each=not derived)
