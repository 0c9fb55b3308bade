"""Read a file with the importer, and return the result as plain values that the oracle can compare."""

import csv
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from exports import Case

from importer.errors import RunError
from importer.migration import file as config
from importer.read import look
from importer.read.csv import structure
from importer.read.rejects_format import REASON_COLUMNS
from importer.read.scan import scan
from importer.report import rejects
from importer.tables.frames import BODIES, FATES
from importer.validate.checked import Checked
from importer.validate.judge import judge_table

MIGRATION = """
version = 1
name = "fuzz"
[source]
timezone = "UTC"
{table}.files = "{name}"
{declared}
[target]
api = "integrations"
[conversation]
queue = "Imported"
endpoint = "+4512345678"
[people]
default_agent = "migration@nordlys.example"
"""
# Limits that no input of the fuzz reaches, which a case can lower: (module, name) by field of the case.
_LIMITS = {"chunk": (structure, "CHUNK"), "sample": (look, "_SAMPLE_BYTES")}


@dataclass(slots=True)
class Reading:
    """The importer's reading of a file."""

    # The importer's message for a file that it refuses.
    refused: str | None = None
    # Any other exception.
    escaped: str | None = None
    dialect: Any = None
    notes: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    # The cells of each good row by canonical name, by the number of the row.
    good: dict[int, dict[str, Any]] = field(default_factory=dict)
    # State and rule of each other row, by its number.
    fates: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    # The lines and cells in the file of rejects, by the number of the row.
    lines: dict[int, int] = field(default_factory=dict)
    cells: dict[int, tuple[str, ...]] = field(default_factory=dict)
    total: int = 0
    # The records that the structure check counted, with the header.
    records: int | None = None


def written_to(case: Case, folder: Path) -> Path:
    """Write the case as a user has it: an export and a migration file. Returns the path of the latter."""
    (folder / case.name).write_bytes(case.data)
    declared = "\n".join(
        f'{case.table}.{name} = "{_toml(getattr(case.written, name))}"' for name in case.declared
    )
    path = folder / "fuzz.toml"
    path.write_text(MIGRATION.format(table=case.table, name=case.name, declared=declared), "utf-8")
    return path


def _toml(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" if not char.isalnum() and char != "-" else char for char in text)


def read_case(case: Case, folder: Path) -> Reading:
    """Read the case as a dry run does."""
    path = written_to(case, folder)
    for name, (module, constant) in _LIMITS.items():
        setattr(module, constant, getattr(case, name) or _USUAL[name])
    try:
        return _read(path, case.table)
    except RunError as error:
        return Reading(refused=str(error) or "(no message)")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of polars is not an Exception
        places = [f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
        return Reading(escaped=f"{type(error).__name__}: {error} ({' '.join(places[-3:])})")


_USUAL = {name: getattr(module, constant) for name, (module, constant) in _LIMITS.items()}


def _read(path: Path, table: str) -> Reading:
    migration = config.load_migration(path)
    scanned = scan(migration.source, migration.folder, path.parent)
    checked = {
        name: judge_table(one, timezone=migration.source.timezone, workdir=path.parent)
        for name, one in scanned.items()
    }
    own = {table: checked[table]}
    fates = {name: one.fates.with_columns(_opening=pl.lit(value=False)) for name, one in own.items()}
    none = pl.LazyFrame(schema={**FATES, "_opening": pl.Boolean})
    folder = path.parent / "rejects"
    folder.mkdir(exist_ok=True)
    _, paths = rejects.write(own, {"messages": none, "tickets": none, **fates}, folder)
    reading = _of(checked[table])
    for written in paths:
        try:
            _add_rejects(reading, written)
        except (csv.Error, ValueError, IndexError) as error:
            reading.escaped = f"the file of rejects cannot be read back: {error}"
    return reading


def _of(checked: Checked) -> Reading:
    (origin,) = checked.scanned.origins
    good = _with_bodies(checked).collect()
    fates: dict[int, list[tuple[str, str]]] = {}
    for number, state, rule in checked.fates.select("_record", "state", "rule").collect().iter_rows():
        fates.setdefault(number, []).append((state, rule))
    return Reading(
        dialect=origin.file.dialect,
        notes=origin.notes,
        titles=origin.file.titles,
        header=origin.file.header,
        columns={name: headers[0] for name, headers in origin.columns.items()},
        unused=checked.scanned.unused,
        good={row["_record"]: {name: row[name] for name in origin.columns} for row in _rows(good)},
        fates=fates,
        total=checked.read,
        records=origin.structure.result().records if origin.structure and origin.is_each else None,
    )


def _with_bodies(checked: Checked) -> pl.LazyFrame:
    """The good rows with their texts, which are in a separate frame."""
    if checked.bodies is None:
        return checked.good
    names = dict(zip(("text", "html"), BODIES[checked.scanned.schema.name], strict=True))
    return checked.good.join(checked.bodies.rename(names), on=["_file", "_record"], how="left")


def _rows(good: pl.DataFrame) -> list[dict[str, Any]]:
    if good["_record"].is_duplicated().any():
        raise AssertionError("a row is good twice")
    return good.to_dicts()


def _add_rejects(reading: Reading, path: Path) -> None:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        header = next(rows)
        for row in rows:
            number = int(row[header.index("_source")].rsplit("#", 2)[1])
            reading.lines[number] = int(row[header.index("_line")])
            reading.cells[number] = tuple(row[len(REASON_COLUMNS) :])
