"""The migration file: one TOML file, checked as a whole before anything else is looked at.

Precedence is flag > environment > file > default; the command line hands over its flags and environment
as `overrides`. The token is no part of the file and no part of these values.
"""

import difflib
import ipaddress
import string
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from importer.errors import ConfigError
from importer.migration import presets
from importer.migration.presets import (
    LookupFile,
    OneOrMore,
    Opening,
    Part,
    Preset,
    Section,
    TableMapping,
    over,
)
from importer.model import ConversationSettings
from importer.text.heads import HEAD_FIELDS

URLS = {"dixa": "https://dev.dixa.io", "integrations": "https://integrations.dixa.io"}
KINDS = {"dixa": "email", "integrations": "callback"}
# Columns of a ticket that can become a custom attribute; beside these, any `custom.<name>`.
ATTRIBUTE_COLUMNS = (
    "ticket_id", "subject", "status", "channel", "queue", "tags", "created_at", "updated_at", "closed_at",
    "assignee_email",
)  # fmt: skip


class Table(TableMapping):
    """Files, and how they become one of the canonical tables."""

    files: OneOrMore = Field(
        default=(),
        description="Paths, globs or folders, below the migration file's folder: CSV, CSV.gz, CSV.zst, "
        "Parquet. Several files are one table. Left out for tickets: they are taken from the messages' rows.",
    )
    encoding: str | None = Field(None, description="Of CSV files, as cp1252. Found out when left out.")
    delimiter: str | None = Field(
        None, pattern=r'^[^"\r\n]$', description="One sign, no quote. Found out when left out."
    )


class LookupTable(LookupFile):
    """A file in which columns of other files are looked up."""

    files: OneOrMore = ()
    encoding: str | None = None
    delimiter: str | None = None


# What init writes where only the user can know the value; nobody's addresses.
PLACEHOLDERS: Mapping[str, str] = {
    "conversation.endpoint": "support@example.com",
    "people.default_agent": "agent@example.com",
    "people.default_requester": "unknown@example.com",
}


class Source(Section):
    preset: str | None = Field(None, description="A known export (dixa-import presets), or a preset's path.")
    timezone: str | None = Field(None, description="IANA zone of times that name none, as Europe/Copenhagen.")
    region: str | None = Field(
        None, pattern="^[A-Z]{2}$", description="Country of phone numbers without a country code, as DK."
    )
    opening: Opening = Field(
        "always",
        description="When the first message in a ticket's row counts: always, unless_messages (the ticket "
        "has any), or unless_repeated (its first public message is the same).",
    )
    tickets: Table = Field(default=Table())
    messages: Table | None = None
    people: Table | None = None
    attachments: Table | None = None
    lookups: Mapping[str, LookupTable] = Field(
        default_factory=dict, description="Files in which columns of other files are looked up, by name."
    )

    _preset: Preset | None = None

    def table(self, name: str) -> Table | None:
        value: Table | None = getattr(self, name)
        return value

    def parts(self, name: str) -> tuple[Part, ...]:
        """The kinds of files that may become this table, as preset and migration file say it. Behind those of
        a preset stands one for files that it does not know, and whose columns the migration names."""
        own = self.table(name) or Table()
        parts = self._preset.parts(name) if self._preset else ()
        if parts:
            return (*(over(part, own) for part in parts), over(Part(), own))
        if name == "tickets" and not self.tickets.files:
            part = Part(read="messages", gather=True)
        elif own.each is not None:
            part = Part(read="messages" if name == "attachments" else "tickets")
        else:
            part = Part()
        return (over(part, own),)

    def lookup(self, name: str) -> LookupTable | None:
        """A lookup file's words, the preset's and the migration's."""
        own = self.lookups.get(name)
        known = self._preset.lookups.get(name) if self._preset else None
        if own is None or known is None:
            return own
        return own.model_copy(
            update={key: getattr(known, key) for key in ("only", "skip") if key not in own.model_fields_set}
        )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise ValueError(f"{name!r} is no IANA time zone (an example: Europe/Copenhagen)") from None
        return name

    @model_validator(mode="after")
    def _has_files(self) -> "Source":
        if not self.tickets.files and (self.messages is None or not self.messages.files):
            raise ValueError("name at least one file: source.tickets.files or source.messages.files")
        return self


class TargetSection(Section):
    api: Literal["dixa", "integrations"] = Field(
        "dixa", description="Dixa API v1, or the deprecated Integrations API. Each has its own tokens."
    )
    base_url: str = Field("", description="The API's address. Left out: that of Dixa.")
    auth: Literal["raw", "bearer"] = Field("raw", description="How the token stands in Authorization.")
    rate: float = Field(10.0, gt=0, description="Requests per second that the account allows.")
    burst: int = Field(4, ge=1, description="Requests that may come at once.")
    workers: int = Field(16, ge=1, le=256, description="Conversations under way at once.")
    timeout: float = Field(30.0, gt=0, description="Seconds for one request.")
    grace: float = Field(5.0, ge=0, description="Seconds to wait before asking about a request in doubt.")
    attempts: int = Field(8, ge=1, description="Sendings of one request before it counts as failed.")
    max_outage: float = Field(
        900.0, ge=0, description="Seconds to wait for a host that takes no requests at all."
    )
    on_quota: Literal["wait", "stop"] = Field(
        "wait", description="When the daily quota is used up: wait for its reset, or stop (exit 5)."
    )

    @model_validator(mode="before")
    @classmethod
    def _at_home(cls, data: Any) -> Any:
        """The address of the API that is named."""
        if isinstance(data, dict) and not data.get("base_url"):
            return {**data, "base_url": URLS.get(data.get("api", "dixa"), "")}
        return data

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ValueError("must hold no user name and password; the token is given apart")
        if parts.scheme == "https" and parts.hostname:
            return url.rstrip("/")
        if parts.scheme == "http" and parts.hostname and _is_loopback(parts.hostname):
            return url.rstrip("/")
        raise ValueError("must begin with https:// (plain http is for loopback only)")


class ConversationSection(Section):
    kind: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]{0,100}$",
        description="dixa: email (the default), or the name of a generic channel, as genericapimessaging. "
        "integrations: callback (the default) or contact_form.",
    )
    queue: str | None = Field(
        None,
        description="A queue's name or id. integrations: of every callback, which needs one. "
        "dixa: of tickets that stay open and have no assignee.",
    )
    endpoint: str | None = Field(
        None, description="An e-mail endpoint's address (email, contact_form), or a phone number (callback)."
    )
    tags: OneOrMore = Field((), description="Tags of every conversation (not with contact_form).")
    attributes: Mapping[str, str] = Field(
        default_factory=dict,
        description="dixa: custom attribute (its label, identifier or id) = column of tickets, as "
        "ticket_id or custom.Priority.",
    )
    empty: Literal["filter", "import"] = Field("filter", description="Tickets without any message.")
    grown: Literal["list", "note"] = Field(
        "list",
        description="dixa: public messages that come to a ticket after its import. This API could add them "
        "with today's time only, so they are listed, or added as notes with their own.",
    )
    text_format: Literal["text", "markdown"] = Field(
        "text", description="dixa: what the text column holds; the html column is always HTML."
    )
    max_bytes: int = Field(
        4_000_000,
        ge=10_000,
        description="dixa: size of one request. What does not fit into the import follows as notes.",
    )
    head: str | None = Field(
        None,
        description="Stands above each text. Empty: nothing stands there. Left out: time and author with "
        "integrations, which keeps no times; nothing with dixa. "
        f"Fields: {', '.join(sorted(HEAD_FIELDS))}.",
    )
    opening_head: str | None = Field(
        None,
        description="Stands above the first message, over its own head. Empty: nothing stands there. Left "
        "out: ticket and subject, where the channel carries no subject.",
    )
    author_head: str = Field(
        "[{author}]",
        description="dixa: stands above a text that Dixa cannot show under its own author.",
    )
    head_timezone: str = Field("UTC", description="Zone in which times are written into texts.")

    @field_validator("attributes")
    @classmethod
    def _known_columns(cls, attributes: Mapping[str, str]) -> Mapping[str, str]:
        for column in attributes.values():
            if column not in ATTRIBUTE_COLUMNS and not column.startswith("custom."):
                raise ValueError(
                    f"{column!r} is no column that an attribute can have; known: custom.<header>, "
                    + ", ".join(ATTRIBUTE_COLUMNS)
                )
        return attributes

    @field_validator("head", "opening_head", "author_head")
    @classmethod
    def _known_fields(cls, template: str | None) -> str | None:
        if template is None:
            return None
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        except ValueError as error:
            raise ValueError(f"is no template: {error}") from None
        if unknown := names - HEAD_FIELDS:
            raise ValueError(
                f"names unknown field(s) {', '.join(sorted(unknown))}; "
                f"known: {', '.join(sorted(HEAD_FIELDS))}"
            )
        return template

    @field_validator("head_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        return Source._known_zone(name) or "UTC"


class PeopleSection(Section):
    default_agent: str | None = Field(None, description="E-mail of the agent for authors Dixa does not know.")
    default_requester: str | None = Field(None, description="E-mail for tickets that name no requester.")


_Problem = tuple[Callable[[ConversationSection], bool], str]

# What the keys of [conversation] must be for each API.
_INTEGRATIONS_PROBLEMS: tuple[_Problem, ...] = (
    (
        lambda c: c.kind not in ("callback", "contact_form"),
        "conversation.kind: with target.api = 'integrations' it is 'callback' or 'contact_form', not "
        "{kind!r}",
    ),
    (
        lambda c: c.kind == "callback" and not c.queue,
        "conversation.queue: kind = 'callback' needs a queue (its name or id)",
    ),
    (lambda c: not c.endpoint, "conversation.endpoint: kind = '{kind}' needs an endpoint"),
    (
        lambda c: c.kind == "contact_form" and bool(c.tags),
        "conversation.tags: this API takes tags with kind = 'callback' only",
    ),
    (
        lambda c: bool(c.attributes),
        "conversation.attributes: the Integrations API has no custom attributes (target.api = 'dixa' has)",
    ),
)
_DIXA_PROBLEMS: tuple[_Problem, ...] = (
    (
        lambda c: c.kind in ("callback", "contact_form"),
        "conversation.kind: with target.api = 'dixa' it is 'email' or the name of a generic channel, as "
        "'genericapimessaging'; {kind!r} belongs to target.api = 'integrations'",
    ),
    (
        lambda c: c.kind == "email" and not c.endpoint,
        "conversation.endpoint: kind = 'email' needs an e-mail endpoint's address",
    ),
)


class Migration(Section):
    """A migration file. Everything a run leaves stands beside it, under its `name`."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="dixa-importer migration file")

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    source: Source
    target: TargetSection = Field(default=TargetSection())
    conversation: ConversationSection = Field(default=ConversationSection())
    people: PeopleSection = Field(default=PeopleSection())

    _folder: Path = Path()

    @model_validator(mode="before")
    @classmethod
    def _with_kind(cls, data: Any) -> Any:
        """The kind that the API has by default."""
        target, conversation = (data.get(name, {}) for name in ("target", "conversation"))
        if isinstance(target, dict) and isinstance(conversation, dict) and not conversation.get("kind"):
            kind = KINDS.get(target.get("api", "dixa"), "")
            return {**data, "conversation": {**conversation, "kind": kind}}
        return data

    @model_validator(mode="after")
    def _complete(self) -> "Migration":
        problems = _INTEGRATIONS_PROBLEMS if self.target.api == "integrations" else _DIXA_PROBLEMS
        for is_wrong, sentence in problems:
            if is_wrong(self.conversation):
                raise ValueError(sentence.format(kind=self.conversation.kind))
        return self

    def placeholders(self) -> list[str]:
        """The keys that still have what init wrote there."""
        values = {
            "conversation.endpoint": self.conversation.endpoint,
            "people.default_agent": self.people.default_agent,
            "people.default_requester": self.people.default_requester,
        }
        return [key for key, value in values.items() if value == PLACEHOLDERS[key]]

    def conversation_settings(self) -> ConversationSettings:
        """What the APIs need to know of this file, without the file."""
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
        """What decides how the export is read and sent, by section, to say what changed between two runs."""
        values = self.model_dump(mode="json", exclude={"version", "name", "target"})
        source = values.pop("source")
        return {**{f"source.{name}": value for name, value in source.items()}, **values}

    @property
    def folder(self) -> Path:
        """The migration file's folder: relative paths start here."""
        return self._folder

    @property
    def checkpoint(self) -> Path:
        return self._folder / f"{self.name}.checkpoint"

    @property
    def agents_file(self) -> Path:
        """Where agents whom Dixa does not know are named, to be filled in by hand."""
        return self._folder / f"{self.name}.agents.csv"

    @property
    def report(self) -> Path:
        return self._folder / f"{self.name}.report"


def load_migration(path: Path, overrides: Mapping[str, Any] | None = None) -> Migration:
    """Read a migration file; `overrides` maps dotted keys (`target.rate`) to what a flag or the environment
    says.

    Raises ConfigError that lists every problem of the file, not the first one only.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such migration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a migration file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text (byte {error.start}); a TOML file is expected") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is no TOML: {error}") from None
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


def _preset(data: dict[str, Any], folder: Path) -> Preset | None:
    """The preset that the file names; what it says of the source as a whole stands in for what the file does
    not say."""
    source = data.get("source")
    name = source.get("preset") if isinstance(source, dict) else None
    if not isinstance(source, dict) or not isinstance(name, str):
        return None
    preset = presets.load(name, folder)
    source.setdefault("opening", preset.opening)
    if preset.timezone:
        source.setdefault("timezone", preset.timezone)
    return preset


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the migration file, for editors (schemas/migration.schema.json)."""
    schema = Migration.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _put(data: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        data = data.setdefault(key, {})
    data[keys[-1]] = value


def _sentence(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), list(_keys_at(problem["loc"][:-1])), n=1)
        return f"{where}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{where}: is missing"
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{where}: is a table, as {where}.{next(_keys_at(problem['loc']), 'key')} = …"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where and not message.startswith(where) else message


def _keys_at(location: tuple[Any, ...]) -> Iterator[str]:
    model: type[BaseModel] = Migration
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            return
        model = inner[0]
    yield from model.model_fields


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    import json
    import sys

    json.dump(json_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
