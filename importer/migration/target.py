"""[target], [conversation] and [people] of the migration file: where the conversations go and how they look
there."""

import ipaddress
import string
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from importer.migration.presets import OneOrMore, Section
from importer.migration.zones import known_zone
from importer.text.heads import HEAD_FIELDS

URLS = {"dixa": "https://dev.dixa.io", "integrations": "https://integrations.dixa.io"}
# The kind of conversation that each API has by default.
KINDS = {"dixa": "email", "integrations": "callback"}
# Columns of a ticket that can become a custom attribute, beside any `custom.<name>`.
ATTRIBUTE_COLUMNS = (
    "ticket_id", "subject", "status", "channel", "queue", "tags", "created_at", "updated_at", "closed_at",
    "assignee_email",
)  # fmt: skip

# What init writes where only the user can know the value. RFC 2606 reserves example.com, so nobody has these
# addresses.
PLACEHOLDERS: Mapping[str, str] = {
    "conversation.endpoint": "support@example.com",
    "people.default_agent": "agent@example.com",
    "people.default_requester": "unknown@example.com",
}


class TargetSection(Section):
    """The API, and how fast requests are sent to it."""

    api: Literal["dixa", "integrations"] = Field(
        "dixa",
        description="dixa: Dixa API v1. integrations: the deprecated Integrations API. Each needs a token of "
        "its own.",
    )
    base_url: str = Field("", description="The address of the API. Default: the address of Dixa.")
    auth: Literal["raw", "bearer"] = Field(
        "raw",
        description="How the token is sent in the header Authorization. raw: alone; bearer: after Bearer.",
    )
    rate: float = Field(10.0, gt=0, description="The requests per second that the account allows.")
    burst: int = Field(4, ge=1, description="The requests that the account allows at once.")
    workers: int = Field(16, ge=1, le=256, description="The conversations that are sent in parallel.")
    timeout: float = Field(30.0, gt=0, description="The seconds to wait for the response to a request.")
    grace: float = Field(
        5.0,
        ge=0,
        description="The seconds to wait before Dixa is asked about a request that got no response.",
    )
    latest: float | None = Field(
        None,
        ge=0,
        description="The seconds after which Dixa no longer carries out a request that got no response. "
        "Nothing is sent again earlier. Default: timeout plus grace plus 30.",
    )
    attempts: int = Field(8, ge=1, description="How often a request is sent before it counts as failed.")
    max_outage: float = Field(
        900.0,
        ge=0,
        description="The seconds to wait for a host that accepts no requests. Then the run stops (exit 5).",
    )
    on_quota: Literal["wait", "stop"] = Field(
        "wait",
        description="What to do when the daily quota is used up. wait: wait for its reset; stop: stop the "
        "run (exit 5).",
    )

    @model_validator(mode="before")
    @classmethod
    def _at_home(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("base_url"):
            return {**data, "base_url": URLS.get(data.get("api", "dixa"), "")}
        return data

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ValueError(
                "must not hold a user name or password; set the token in the environment instead"
            )
        if parts.scheme == "https" and parts.hostname:
            return url.rstrip("/")
        if parts.scheme == "http" and parts.hostname and _is_loopback(parts.hostname):
            return url.rstrip("/")
        raise ValueError("must begin with https:// (plain http is allowed on loopback only)")


class ConversationSection(Section):
    """What the conversations are in Dixa."""

    kind: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]{0,100}$",
        description="With dixa: email (the default), or the name of a generic channel, such as "
        "genericapimessaging. With integrations: callback (the default) or contact_form.",
    )
    queue: str | None = Field(
        None,
        description="The name or id of a queue. With dixa: for tickets that stay open and have no assignee. "
        "With integrations: for every callback, which needs one.",
    )
    endpoint: str | None = Field(
        None,
        description="The endpoint of the conversations, as Dixa calls it: an e-mail address (email, "
        "contact_form) or a phone number (callback).",
    )
    tags: OneOrMore = Field((), description="Tags of every conversation. Not possible with contact_form.")
    attributes: Mapping[str, str] = Field(
        default_factory=dict,
        description="With dixa: custom attribute (its label, identifier or id) = column of tickets, such as "
        "ticket_id or custom.Priority. The attribute must exist in Dixa.",
    )
    empty: Literal["filter", "import"] = Field(
        "filter",
        description="What to do with tickets without any message. filter: skip and count them; import: "
        "import them with their subject as text.",
    )
    grown: Literal["list", "note"] = Field(
        "list",
        description="With dixa: what to do with public messages that a later export adds to an imported "
        "ticket. The API can add them with today's time only. list: name them in the report; note: add them "
        "as private notes with their own time.",
    )
    text_format: Literal["text", "markdown"] = Field(
        "text", description="With dixa: what the column text holds. The column html is always HTML."
    )
    max_bytes: int = Field(
        4_000_000,
        ge=10_000,
        description="With dixa: the largest size of one request. Messages that do not fit follow as private "
        "notes.",
    )
    head: str | None = Field(
        None,
        description="A line above each text. An empty value writes none. Default: time and author with "
        "integrations, which keeps no times; nothing with dixa. "
        f"Fields: {', '.join(sorted(HEAD_FIELDS))}.",
    )
    opening_head: str | None = Field(
        None,
        description="A line above the first message, before its own head. An empty value writes none. "
        "Default: ticket and subject, where the channel carries no subject.",
    )
    author_head: str = Field(
        "[{author}]",
        description="With dixa: a line above each text that Dixa cannot show under its own author.",
    )
    head_timezone: str = Field("UTC", description="The time zone of times in these lines.")

    @field_validator("attributes")
    @classmethod
    def _known_columns(cls, attributes: Mapping[str, str]) -> Mapping[str, str]:
        for column in attributes.values():
            if column not in ATTRIBUTE_COLUMNS and not column.startswith("custom."):
                raise ValueError(
                    f"{column!r} is not a column that an attribute can have; choose one of custom.<header>, "
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
            raise ValueError(f"is not a template: {error}") from None
        if unknown := names - HEAD_FIELDS:
            raise ValueError(
                f"has unknown field(s) {', '.join(sorted(unknown))}; "
                f"known fields: {', '.join(sorted(HEAD_FIELDS))}"
            )
        return template

    @field_validator("head_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        return known_zone(name)


class PeopleSection(Section):
    """Who replaces people that are not known."""

    default_agent: str | None = Field(
        None,
        description="The e-mail address of an agent in Dixa. It replaces agents that Dixa does not know.",
    )
    default_requester: str | None = Field(
        None,
        description="The e-mail address of the requester of tickets that name none. Without it such tickets "
        "are rejected.",
    )


class AttachmentsSection(Section):
    """What happens to files that Dixa cannot fetch."""

    unfetchable: Literal["link", "leave", "reject"] = Field(
        "link",
        description="What to do with a file that Dixa cannot fetch. link: the text names it and its address; "
        "leave: it is left out; reject: Dixa's refusal rejects the ticket. Lost files are counted.",
    )


# Whether the keys of [conversation] are wrong for an API, and what to say then.
_Problem = tuple[Callable[[ConversationSection], bool], str]

INTEGRATIONS_PROBLEMS: tuple[_Problem, ...] = (
    (
        lambda c: c.kind not in ("callback", "contact_form"),
        "conversation.kind: {kind!r} is not possible with target.api = 'integrations'; use 'callback' or "
        "'contact_form'",
    ),
    (
        lambda c: c.kind == "callback" and not c.queue,
        "conversation.queue: kind = 'callback' needs a queue (its name or id)",
    ),
    (lambda c: not c.endpoint, "conversation.endpoint: kind = '{kind}' needs an endpoint"),
    (
        lambda c: c.kind == "contact_form" and bool(c.tags),
        "conversation.tags: this API accepts tags with kind = 'callback' only",
    ),
    (
        lambda c: bool(c.attributes),
        "conversation.attributes: the Integrations API has no custom attributes (target.api = 'dixa' has)",
    ),
)
DIXA_PROBLEMS: tuple[_Problem, ...] = (
    (
        lambda c: c.kind in ("callback", "contact_form"),
        "conversation.kind: {kind!r} belongs to target.api = 'integrations'; with target.api = 'dixa' use "
        "'email' or the name of a generic channel, such as 'genericapimessaging'",
    ),
    (
        lambda c: c.kind == "email" and not c.endpoint,
        "conversation.endpoint: kind = 'email' needs the address of an e-mail endpoint",
    ),
)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
