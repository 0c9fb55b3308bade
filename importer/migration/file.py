"""The migration file: one TOML file, checked completely before anything else is read.

Precedence: flag, environment variable, migration file, default. The command line passes flags and
environment variables as `overrides`. The token is not in the file and not in these values.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from importer.errors import ConfigError
from importer.migration import presets
from importer.migration.presets import Preset, Section
from importer.migration.source import Source
from importer.migration.target import (
    DIXA_PROBLEMS,
    INTEGRATIONS_PROBLEMS,
    KINDS,
    PLACEHOLDERS,
    AttachmentsSection,
    ConversationSection,
    PeopleSection,
    TargetSection,
)
from importer.model import ConversationSettings

# Files of an export are easily given in place of the migration file.
_EXPORT_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".gz", ".zst", ".xlsx", ".json"})


class Migration(Section):
    """A migration file. All files that a run leaves are beside it, under its `name`."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="dixa-importer migration file")

    version: Literal[1] = Field(description="The version of this format. It is always 1.")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="The name of the migration. Files and external ids begin with it.",
    )
    source: Source
    target: TargetSection = Field(default=TargetSection())
    conversation: ConversationSection = Field(default=ConversationSection())
    people: PeopleSection = Field(default=PeopleSection())
    attachments: AttachmentsSection = Field(default=AttachmentsSection())

    _folder: Path = Path()

    @model_validator(mode="before")
    @classmethod
    def _with_kind(cls, data: Any) -> Any:
        target, conversation = (data.get(name, {}) for name in ("target", "conversation"))
        if isinstance(target, dict) and isinstance(conversation, dict) and not conversation.get("kind"):
            kind = KINDS.get(target.get("api", "dixa"), "")
            return {**data, "conversation": {**conversation, "kind": kind}}
        return data

    @model_validator(mode="after")
    def _complete(self) -> "Migration":
        problems = INTEGRATIONS_PROBLEMS if self.target.api == "integrations" else DIXA_PROBLEMS
        for is_wrong, sentence in problems:
            if is_wrong(self.conversation):
                raise ValueError(sentence.format(kind=self.conversation.kind))
        return self

    def placeholders(self) -> list[str]:
        """The keys whose value is still the one that init wrote."""
        values = {
            "conversation.endpoint": self.conversation.endpoint,
            "people.default_agent": self.people.default_agent,
            "people.default_requester": self.people.default_requester,
        }
        return [key for key, value in values.items() if value == PLACEHOLDERS[key]]

    def conversation_settings(self) -> ConversationSettings:
        """The part of this file that the APIs need."""
        own = self.conversation
        return ConversationSettings(
            migration=self.name,
            kind=own.kind,
            queue=own.queue,
            endpoint=own.endpoint,
            tags=own.tags,
            attributes=own.attributes,
            grown=own.grown,
            text_format=own.text_format,
            max_bytes=own.max_bytes,
            head=own.head,
            opening_head=own.opening_head,
            author_head=own.author_head,
            head_timezone=own.head_timezone,
            default_agent=self.people.default_agent,
        )

    def fingerprints(self) -> dict[str, Any]:
        """The values that decide how the export is read and sent, by section. Two runs compare them to say
        what has changed."""
        values = self.model_dump(mode="json", exclude={"version", "name", "target"})
        source = values.pop("source")
        return {**{f"source.{name}": value for name, value in source.items()}, **values}

    @property
    def folder(self) -> Path:
        """The folder of the migration file. Relative paths start here."""
        return self._folder

    @property
    def checkpoint(self) -> Path:
        """The file that holds the state of each ticket and message."""
        return self._folder / f"{self.name}.checkpoint"

    @property
    def agents_file(self) -> Path:
        """The file in which the user maps agents that Dixa does not know."""
        return self._folder / f"{self.name}.agents.csv"

    @property
    def report(self) -> Path:
        """The folder of the reports and of the rejected rows."""
        return self._folder / f"{self.name}.report"


def load_migration(path: Path, overrides: Mapping[str, Any] | None = None) -> Migration:
    """Read a migration file. `overrides` maps dotted keys (`target.rate`) to the values of flags and
    environment variables, which have precedence.

    Raises ConfigError that lists every problem of the file, not only the first one.
    """
    data = _toml(path)
    for key, value in (overrides or {}).items():
        _put(data, key.split("."), value)
    preset = _preset(data, path.resolve().parent)
    try:
        migration = Migration.model_validate(data)
    except ValidationError as error:
        problems = [_sentence(problem) for problem in error.errors()]
        raise ConfigError(
            f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)}\n"
            + "\n".join(f"  {problem}" for problem in problems)
        ) from None
    migration._folder = path.resolve().parent
    migration.source._preset = preset
    return migration


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the migration file, for editors (schemas/migration.schema.json)."""
    schema = Migration.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such migration file") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: is a folder, not a migration file; write a migration file first: "
            f"dixa-import init {path}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if path.suffix.lower() in _EXPORT_SUFFIXES:
            reason = (
                "is an export file, not a migration file; write a migration file first: "
                f"dixa-import init {path}"
            )
        elif isinstance(error, UnicodeDecodeError):
            reason = f"is not UTF-8 text (byte {error.start}); a TOML file is expected"
        else:
            reason = f"is not TOML: {error}"
        raise ConfigError(f"{path}: {reason}") from None


def _preset(data: dict[str, Any], folder: Path) -> Preset | None:
    """The preset that the file names. Its values for the source replace those that the file does not set."""
    source = data.get("source")
    name = source.get("preset") if isinstance(source, dict) else None
    if not isinstance(source, dict) or not isinstance(name, str):
        return None
    preset = presets.load(name, folder)
    source.setdefault("opening", preset.opening)
    if preset.timezone:
        source.setdefault("timezone", preset.timezone)
    return preset


def _put(data: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        data = data.setdefault(key, {})
    data[keys[-1]] = value


# -- the sentences for problems


def _sentence(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), list(_keys_at(problem["loc"][:-1])), n=1)
        return f"{where}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{where}: is missing"
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{where}: must be a table, such as {where}.{next(_keys_at(problem['loc']), 'key')} = …"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where and not message.startswith(where) else message


def _keys_at(location: tuple[Any, ...]) -> Iterator[str]:
    """The keys that the migration file can have at this place."""
    model: type[BaseModel] = Migration
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            return
        model = inner[0]
    yield from model.model_fields


if __name__ == "__main__":
    import json
    import sys

    json.dump(json_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
