"""What an account of Dixa API v1 must have, and the protocol that follows from it."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from importer.dixa.api import Account, Item, Need
from importer.dixa.v1.protocol import EMAIL, DixaV1, Settings
from importer.migration.file import Migration
from importer.model import Request

# What is looked up in the account, as it is named to the user.
QUEUE, ENDPOINT, ATTRIBUTE = "queue", "e-mail endpoint", "custom attribute of conversations"


def organization() -> Request:
    return Request("GET", "/v1/organization")


def needs(migration: Migration) -> tuple[Need, ...]:
    """The e-mail endpoint, the queue and the custom attributes that the migration names. Tags are made."""
    wanted = migration.conversation
    found = []
    if wanted.queue:
        found.append(
            Need(
                QUEUE,
                (wanted.queue,),
                Request("GET", "/v1/queues"),
                lambda item: (str(item.get("id")), [str(item.get("name"))]),
            )
        )
    if wanted.kind == EMAIL and wanted.endpoint:
        query = {"_type": "EmailEndpoint"}
        listed = Request("GET", "/v1/contact-endpoints", query=query)
        found.append(Need(ENDPOINT, (wanted.endpoint,), listed, _endpoint))
    if wanted.attributes:
        found.append(
            Need(
                ATTRIBUTE,
                tuple(wanted.attributes),
                Request("GET", "/v1/custom-attributes"),
                _attribute,
            )
        )
    return tuple(found)


def _endpoint(item: Item) -> tuple[str | None, list[str]]:
    address = item.get("address")
    names = [str(value) for value in (address, item.get("name"), item.get("id")) if value]
    return (str(address) if address else None), names


def _attribute(item: Item) -> tuple[str | None, list[str]]:
    if item.get("entityType") != "Conversation" or item.get("isArchived"):
        return None, []
    return str(item.get("id")), [str(item[name]) for name in ("label", "identifier") if item.get(name)]


def target(migration: Migration, account: Account | None) -> DixaV1:
    """The protocol for a migration; without an account names stand where a run has ids, and everybody is
    known."""
    wanted = migration.conversation
    ids = account.ids if account else {}
    attributes = ids.get(ATTRIBUTE, {name: name for name in wanted.attributes})
    by_field = wanted.kind == EMAIL
    opening = "" if by_field else "[Ticket {ticket_id}: {subject}]"
    settings = Settings(
        migration=migration.name,
        kind=wanted.kind,
        endpoint=ids.get(ENDPOINT, {}).get(wanted.endpoint or "", wanted.endpoint),
        queue_id=ids.get(QUEUE, {}).get(wanted.queue or "", wanted.queue),
        tags=wanted.tags,
        attributes={attributes[name]: column for name, column in wanted.attributes.items()},
        grown=wanted.grown,
        markdown=wanted.text_format == "markdown",
        max_bytes=wanted.max_bytes,
        head=wanted.head or "",
        opening_head=opening if wanted.opening_head is None else wanted.opening_head,
        author_head=wanted.author_head,
        zone=ZoneInfo(wanted.head_timezone),
    )
    if account is None:
        return DixaV1(replace(settings, default_agent=migration.people.default_agent))
    return DixaV1(
        replace(
            settings,
            agents=account.agents,
            replaced=frozenset(account.replaced),
            default_agent=account.default_agent,
        )
    )
