"""`NAME.agents.csv`: the agents of the export that Dixa does not know. The user maps them by hand.

The user fills in the last column, `agent`: the e-mail address of the agent in Dixa who replaces that person.
Every later command reads it, and keeps it when it writes the file again.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from importer.errors import ConfigError
from importer.parse.addresses import EMAIL
from importer.private_files import writing
from importer.read.dialect import with_encoding
from importer.read.guarded_csv import guarded_row_writer, unguarded

COLUMNS = ("person", "name", "messages", "first", "last", "suggestion", "agent")


@dataclass(frozen=True, slots=True)
class UnknownAgent:
    """An agent of the export that Dixa does not know."""

    # Identifies the agent in the export: the e-mail address, else the phone number, else the name.
    person: str
    name: str | None
    # How many messages the agent wrote, and when the first and the last one; null where none has a time.
    messages: int
    first: datetime | None
    last: datetime | None


def read(path: Path) -> dict[str, str]:
    """The entries of the user: person (lower case) → e-mail address in Dixa. Empty where there is no file.

    Raises ConfigError where the file cannot be read, lacks a column, or has an invalid address.
    """
    try:
        data = path.read_bytes()
        # A spreadsheet may save the file in the encoding of its country,
        text = data.decode(with_encoding(data, None).encoding)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; save it as CSV in UTF-8") from None
    # and with the separator of its country.
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    if missing := {"person", "agent"} - set(rows.fieldnames or ()):
        raise ConfigError(
            f"{path}: has no column {' and no column '.join(sorted(missing))}; delete the file, and the next "
            "run writes it again"
        )
    named: dict[str, str] = {}
    for row in rows:
        person, agent = (unguarded((row[column] or "").strip()) for column in ("person", "agent"))
        if agent and not re.fullmatch(EMAIL, agent):
            raise ConfigError(
                f"{path}:{rows.line_num}: agent: {agent!r} is not an e-mail address; enter the address "
                "of the agent in Dixa"
            )
        if person and agent:
            named[person.lower()] = agent
    return named


def file_rows(
    unknown: Iterable[UnknownAgent], filled_in: Mapping[str, str], suggestions: Mapping[str, str]
) -> list[list[str]]:
    """The rows of the file, header first: the unknown agents, those with the most messages first, then the
    people whom only the user's entries name. `suggestions` maps a person to an agent of Dixa."""
    found = [
        [
            agent.person,
            agent.name or "",
            str(agent.messages),
            agent.first.date().isoformat() if agent.first else "",
            agent.last.date().isoformat() if agent.last else "",
            suggestions.get(agent.person, ""),
            filled_in.get(agent.person.lower(), ""),
        ]
        for agent in sorted(unknown, key=lambda agent: (-agent.messages, agent.person))
    ]
    listed = {row[0].lower() for row in found}
    kept = [
        [person, "", "", "", "", "", agent] for person, agent in filled_in.items() if person not in listed
    ]
    return [list(COLUMNS), *found, *kept]


def unknown_agents(authors: pl.LazyFrame, keys: Collection[str]) -> list[UnknownAgent]:
    """The agents among `authors` (AUTHORS of tables/frames.py) that have one of these contact keys, or none.
    The order is not defined."""
    wanted = pl.col("key").is_in(sorted(keys)) | (pl.col("key").is_null() & pl.col("person").is_not_null())
    found = (
        authors.filter(pl.col("is_agent") & wanted)
        .group_by("person")
        .agg(
            pl.col("author_name").drop_nulls().min(),
            pl.col("messages").sum(),
            pl.col("first").min(),
            pl.col("last").max(),
        )
        .collect(engine="streaming")
    )
    return [UnknownAgent(*row) for row in found.iter_rows()]


def write(path: Path, unknown: Sequence[UnknownAgent], suggestions: Mapping[str, str]) -> Path | None:
    """Write the file in which the user maps unknown agents. Returns None, and writes nothing, where there are
    none. Raises ConfigError where the file cannot be read or written."""
    if not unknown:
        return None
    rows = file_rows(unknown, read(path), suggestions)
    with writing(path) as out:
        write = guarded_row_writer(out)
        for row in rows:
            write(row)
    return path
