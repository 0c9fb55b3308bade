"""`NAME.agents.csv`: the agents of the export whom Dixa does not know, to be filled in by hand.

The last column, `agent`, is the user's: the e-mail address of the agent in Dixa who shall stand for that
person. It is read back by every later command, and kept when the file is written again.
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

COLUMNS = ("person", "name", "messages", "first", "last", "suggestion", "agent")


@dataclass(frozen=True, slots=True)
class UnknownAgent:
    """`person` is what tells the agent from others in the export: the e-mail address, else the phone number,
    else the name."""

    person: str
    name: str | None
    messages: int
    first: datetime | None
    last: datetime | None


def read(path: Path) -> dict[str, str]:
    """Who stands for whom: person (lower case) → e-mail address in Dixa. Nothing where there is no file.

    Raises ConfigError where the file cannot be read as what this program wrote.
    """
    try:
        data = path.read_bytes()
        # A spreadsheet writes the encoding of its country.
        text = data.decode(with_encoding(data, None).encoding)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; save it as CSV in UTF-8") from None
    # A spreadsheet writes the separator of its country.
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    if missing := {"person", "agent"} - set(rows.fieldnames or ()):
        raise ConfigError(
            f"{path}: has no column {' and no column '.join(sorted(missing))}; delete it, and the next run "
            "writes it anew"
        )
    named: dict[str, str] = {}
    for row in rows:
        person, agent = ((row[column] or "").strip() for column in ("person", "agent"))
        if agent and not re.fullmatch(EMAIL, agent):
            raise ConfigError(
                f"{path}:{rows.line_num}: agent: {agent!r} is no e-mail address; write the one "
                "under which Dixa knows the agent"
            )
        if person and agent:
            named[person.lower()] = agent
    return named


def file_rows(
    unknown: Iterable[UnknownAgent], filled_in: Mapping[str, str], suggestions: Mapping[str, str]
) -> list[list[str]]:
    """The rows of the file: the unknown, and those whom the user has named already."""
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
    """The agents among `authors` (AUTHORS of tables/frames.py) with these contact keys, and those without an
    address, with what they wrote."""
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
    """The file in which the user maps unknown agents; None, and nothing is written, where there are none.
    Raises ConfigError where it cannot be read or written."""
    if not unknown:
        return None
    rows = file_rows(unknown, read(path), suggestions)
    with writing(path) as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    return path
