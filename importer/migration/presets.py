"""How files become canonical tables: the words for it, and the presets that say it for known exports.

A *part* is one kind of file that becomes rows of one table. A migration file says the same in the same words,
and what it says goes over its preset.
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
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExplodeRule(Section):
    """Rows that stand in a cell of another row."""

    column: str = Field(
        description="The header. Repeated, all its columns count; of 'Comment {n}' those with numbers; or a "
        "JSON list of objects."
    )
    parts: tuple[str, ...] = Field((), description="Names of the parts of a cell of text.")
    separator: str = Field(";", min_length=1, description="What stands between the parts.")
    last: bool = Field(False, description="The last part is split off from the right.")


class Lookup(Section):
    """A column's value out of another file."""

    source: str = Field(alias="from", description="Name of the lookup file, as in source.lookups.")
    on: str = Field(description="This file's header that names the row there.")
    key: str = Field(description="The lookup file's header for it.")
    value: str = Field(description="The lookup file's header, path or template whose value is taken.")


class TableMapping(Section):
    """How the rows of a file become rows of a canonical table."""

    columns: Mapping[str, OneOrMore] = Field(
        default_factory=dict,
        description="Canonical name = the file's header, a dotted path into a struct or JSON, a template "
        "as '{First} {Last}', or a list of these, of which the first that is not empty counts; '' in it "
        "says that a file may have none of them. 'Title (2)' is the second column of that title.",
    )
    values: Mapping[str, Mapping[str, str]] = Field(
        default_factory=dict,
        description="Per column: the file's value = canonical value; '*' stands for all other values, an "
        "empty new value empties the cell.",
    )
    defaults: Mapping[str, str] = Field(
        default_factory=dict, description="Per column: what stands in for an empty cell."
    )
    skip: Mapping[str, OneOrMore] = Field(
        default_factory=dict,
        description="Per column or header: values (as the file has them) whose rows are left out and "
        "counted.",
    )
    only: Mapping[str, OneOrMore] = Field(
        default_factory=dict,
        description="Per column or header: the values whose rows are taken; all others are left out and "
        "counted.",
    )
    nulls: OneOrMore = Field(default=(), description="Cells that mean an empty one, as NULL.")
    times: Mapping[str, Form] = Field(
        default_factory=dict,
        description="Per column of times: what its cells are. Found out when left out.",
    )
    lookups: Mapping[str, Lookup] = Field(
        default_factory=dict, description="Per column: where another file has its value."
    )
    each: ExplodeRule | None = Field(None, description="The rows stand in a cell of another table's rows.")
    extract: Mapping[str, str] = Field(
        default_factory=dict,
        description="Per column: a regular expression whose first group is the value.",
    )
    matching: Mapping[str, str] = Field(
        default_factory=dict,
        description="Per column: a regular expression; a cell without it counts as empty.",
    )
    separators: Mapping[str, str] = Field(
        default_factory=dict,
        description="Per column of lists: what parts the items of a cell, where it is none of the usual.",
    )
    drop: OneOrMore = Field(default=(), description="Headers without worth.")
    newest_by: str | None = Field(
        None, description="The header that tells the newest of several versions of a record."
    )
    ids: Literal["keep", "repair"] = Field(
        "keep", description="repair: ids lose inner blanks and a trailing .0 that a spreadsheet gave them."
    )
    unquote: bool = Field(False, description="Take off the ' that an exporter puts before = + - @.")
    text_escapes: bool = Field(False, description=r"\n and \t in texts are line ends and tabs.")


class Part(TableMapping):
    """One kind of file of a preset."""

    headers: OneOrMore = Field(default=(), description="A file with all of these is of this kind.")
    read: TableName | None = Field(None, description="The rows come out of that table's files.")
    gather: bool = Field(False, description="Tickets out of a row per message.")

    def fits(self, header: Iterable[str]) -> bool:
        there = {fold(name) for name in header}
        return all(fold(name) in there for name in self.headers)


class LookupFile(Section):
    headers: OneOrMore = ()
    only: Mapping[str, OneOrMore] = Field(default_factory=dict)
    skip: Mapping[str, OneOrMore] = Field(default_factory=dict)


class Preset(Section):
    """What is known of one export of one helpdesk."""

    title: str
    about: str
    sources: tuple[str, ...]
    timezone: str | None = None
    opening: Opening = "always"
    tickets: tuple[Part, ...] = ()
    messages: tuple[Part, ...] = ()
    people: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()
    lookups: Mapping[str, LookupFile] = Field(default_factory=dict)

    def parts(self, table: str) -> tuple[Part, ...]:
        value: tuple[Part, ...] = getattr(self, table)
        return value


def names() -> list[str]:
    """The presets that come with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load(name: str, folder: Path = Path()) -> Preset:
    """A preset by its name, or by the path of a TOML file (from `folder`). Raises ConfigError."""
    path = FOLDER / f"{name}.toml" if "/" not in name and not name.endswith(".toml") else folder / name
    try:
        return Preset.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except FileNotFoundError:
        raise ConfigError(
            f"source.preset: there is no preset {name!r}; there are: {', '.join(names())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is no preset: {error}") from None
    except ValidationError as error:
        problems = "\n".join(f"  {'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ConfigError(f"{path}: is no preset:\n{problems}") from None


def over(part: Part, own: TableMapping) -> Part:
    """The part with what the user's own words say over it."""
    changes: dict[str, Any] = {}
    for name in own.model_fields_set & set(TableMapping.model_fields):
        mine, theirs = getattr(own, name), getattr(part, name)
        changes[name] = {**theirs, **mine} if isinstance(mine, Mapping) else mine
    return part.model_copy(update=changes)


def everything() -> Iterator[tuple[str, Preset]]:
    for name in names():
        yield name, load(name)
