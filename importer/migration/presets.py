"""How files become canonical tables: the keys that describe it, and the presets of known exports.

A *part* describes one kind of file that becomes rows of one table. A migration file uses the same keys, and
has precedence over its preset.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from importer.errors import ConfigError
from importer.parse.time_formats import Form
from importer.resources import SCHEMAS
from importer.tables.schema import fold

FOLDER = SCHEMAS / "presets"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
TableName = Literal["tickets", "messages", "people", "attachments"]
Opening = Literal["always", "unless_messages", "unless_repeated"]


class Section(BaseModel):
    """A table of a migration file or preset. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExplodeRule(Section):
    """Rows of this table that are in a cell of another table's row."""

    column: str = Field(
        description="The header. All columns with this header are read. {n} stands for a number: "
        "'Comment {n}' reads all numbered columns. A cell may be a JSON list of objects."
    )
    parts: tuple[str, ...] = Field(
        (), description="The names of the parts of a cell of text. The last one takes the rest."
    )
    separator: str = Field(";", min_length=1, description="The separator of the parts.")
    last: bool = Field(False, description="Split the last part off from the right end of the cell.")


class Lookup(Section):
    """The value of a column, taken from another file."""

    source: str = Field(alias="from", description="The name of the lookup in source.lookups.")
    on: str = Field(description="The header of this file that holds the key.")
    key: str = Field(description="The header of the lookup file that holds the key.")
    value: str = Field(description="The header, path or template of the lookup file that gives the value.")


class TableMapping(Section):
    """How the rows of a file become rows of a canonical table."""

    columns: Mapping[str, OneOrMore] = Field(
        default_factory=dict,
        description="Canonical column = where its value is: a header, a dotted path into a struct or JSON, a "
        "template such as '{First} {Last}', or a list of these, of which the first that is not empty is "
        "taken. An item '' says that a file may have none of these headers. 'Title (2)' is the second column "
        "with the header Title.",
    )
    values: Mapping[str, Mapping[str, str]] = Field(
        default_factory=dict,
        description="Per column: the file's value = canonical value. '*' stands for all other values. An "
        "empty new value empties the cell.",
    )
    defaults: Mapping[str, str] = Field(
        default_factory=dict, description="Per column: the value for empty cells."
    )
    skip: Mapping[str, OneOrMore] = Field(
        default_factory=dict,
        description="Per column or header: rows with these values are skipped and counted. Values are "
        "compared as the file has them.",
    )
    only: Mapping[str, OneOrMore] = Field(
        default_factory=dict,
        description="Per column or header: rows with other values are skipped and counted.",
    )
    nulls: OneOrMore = Field(default=(), description="Cells with exactly this text are empty, e.g. NULL.")
    times: Mapping[str, Form] = Field(
        default_factory=dict,
        description="Per column of times: the form of its cells. Detected by default.",
    )
    lookups: Mapping[str, Lookup] = Field(
        default_factory=dict, description="Per column: the place of its value in another file."
    )
    each: ExplodeRule | None = Field(
        None, description="The rows of this table are in cells of another table's rows."
    )
    extract: Mapping[str, str] = Field(
        default_factory=dict,
        description="Per column: keeps the first group of a regular expression. A value that does not match "
        "stays as it is.",
    )
    matching: Mapping[str, str] = Field(
        default_factory=dict,
        description="Per column: a regular expression. A value that does not match counts as empty.",
    )
    separators: Mapping[str, str] = Field(
        default_factory=dict,
        description="Per column of lists: the separator of the items in a cell, if it is not a comma, "
        "semicolon, bar or line end.",
    )
    drop: OneOrMore = Field(
        default=(), description="Headers that are not needed. Reports do not list them as unused."
    )
    newest_by: str | None = Field(
        None,
        description="A header. If several rows have the same id, only the row with the largest value counts.",
    )
    ids: Literal["keep", "repair"] = Field(
        "keep",
        description="repair: removes blanks and a trailing .0 from ids that a spreadsheet has changed.",
    )
    unquote: bool = Field(False, description="Removes the ' that some exporters put before =, +, - and @.")
    text_escapes: bool = Field(False, description=r"\n and \t in texts become line ends and tabs.")


class Part(TableMapping):
    """One kind of file of a preset."""

    headers: OneOrMore = Field(default=(), description="A file with all these headers is of this kind.")
    read: TableName | None = Field(None, description="The rows come out of the files of that table.")
    gather: bool = Field(
        False, description="For tickets with read = 'messages': several rows of messages make one ticket."
    )

    def fits(self, header: Iterable[str]) -> bool:
        """Whether a file with this header is of this kind. Case, blanks, `_` and `-` make no difference."""
        there = {fold(name) for name in header}
        return all(fold(name) in there for name in self.headers)


class LookupFile(Section):
    """Files in which values of other files are looked up."""

    headers: OneOrMore = Field(default=(), description="A file with all these headers is of this kind.")
    only: Mapping[str, OneOrMore] = Field(
        default_factory=dict, description="Per header: rows with other values are not used."
    )
    skip: Mapping[str, OneOrMore] = Field(
        default_factory=dict, description="Per header: rows with these values are not used."
    )


class Preset(Section):
    """What is known about one export of one helpdesk."""

    # What the export is, in one line and in a few sentences. `dixa-import presets` shows both.
    title: str
    about: str
    # Where the facts come from: documentation, header rows, programs that write such files.
    sources: tuple[str, ...]
    # Replace the keys of the same name where the migration file does not set them.
    timezone: str | None = None
    opening: Opening = "always"
    # By table, one part for each kind of file, language or version. The first one that fits a file is used.
    tickets: tuple[Part, ...] = ()
    messages: tuple[Part, ...] = ()
    people: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()
    # Files in which values are looked up, by name.
    lookups: Mapping[str, LookupFile] = Field(default_factory=dict)

    def parts(self, table: str) -> tuple[Part, ...]:
        """The parts of a canonical table."""
        value: tuple[Part, ...] = getattr(self, table)
        return value


def names() -> list[str]:
    """The names of the presets that come with the program, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load(name: str, folder: Path = Path()) -> Preset:
    """The preset with this name, or the one in this TOML file (a path relative to `folder`).

    Raises ConfigError where there is no such preset, or where the file is not a preset.
    """
    path = FOLDER / f"{name}.toml" if "/" not in name and not name.endswith(".toml") else folder / name
    try:
        return Preset.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except FileNotFoundError:
        raise ConfigError(
            f"source.preset: there is no preset {name!r}; choose one of {', '.join(names())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not a preset: {error}") from None
    except ValidationError as error:
        problems = "\n".join(f"  {'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ConfigError(f"{path}: is not a preset:\n{problems}") from None


def over(part: Part, own: TableMapping) -> Part:
    """The part with the keys that the migration file sets. Keys that are tables are merged entry by entry."""
    changes: dict[str, Any] = {}
    for name in own.model_fields_set & set(TableMapping.model_fields):
        mine, theirs = getattr(own, name), getattr(part, name)
        changes[name] = {**theirs, **mine} if isinstance(mine, Mapping) else mine
    return part.model_copy(update=changes)


def everything() -> Iterator[tuple[str, Preset]]:
    """All presets that come with the program, by name."""
    for name in names():
        yield name, load(name)
