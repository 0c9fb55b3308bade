"""What an account must have for Dixa API v1, and the protocol for that account."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from importer.dixa.api import Account, Need
from importer.dixa.matching import Item
from importer.dixa.v1.protocol import EMAIL, DixaV1, V1Settings
from importer.model import ConversationSettings, Request

# What is looked up in the account, as messages to the user name it.
QUEUE, ENDPOINT, ATTRIBUTE = "queue", "e-mail endpoint", "custom attribute of conversations"


NEEDS_TIMES = HAS_EXTERNAL_IDS = True
ORGANIZATION = Request("GET", "/v1/organization")


def needs(settings: ConversationSettings) -> tuple[Need, ...]:
    """The e-mail endpoint, the queue and the custom attributes that the migration names. Tags are not needed,
    because the API creates missing ones."""
    found = []
    if settings.queue:
        found.append(
            Need(
                QUEUE,
                (settings.queue,),
                Request("GET", "/v1/queues"),
                lambda item: (str(item.get("id")), [str(item.get("name"))]),
            )
        )
    if settings.kind == EMAIL and settings.endpoint:
        query = {"_type": "EmailEndpoint"}
        listed = Request("GET", "/v1/contact-endpoints", query=query)
        found.append(Need(ENDPOINT, (settings.endpoint,), listed, _endpoint))
    if settings.attributes:
        found.append(
            Need(
                ATTRIBUTE,
                tuple(settings.attributes),
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


def target(settings: ConversationSettings, account: Account | None) -> DixaV1:
    """The protocol for a migration. Without an account, names replace the ids, and every agent counts as
    known."""
    ids = account.ids if account else {}
    attributes = ids.get(ATTRIBUTE, {name: name for name in settings.attributes})
    by_field = settings.kind == EMAIL
    opening = "" if by_field else "[Ticket {ticket_id}: {subject}]"
    resolved = V1Settings(
        migration=settings.migration,
        kind=settings.kind,
        endpoint=ids.get(ENDPOINT, {}).get(settings.endpoint or "", settings.endpoint),
        queue_id=ids.get(QUEUE, {}).get(settings.queue or "", settings.queue),
        tags=settings.tags,
        attributes={attributes[name]: column for name, column in settings.attributes.items()},
        grown=settings.grown,
        markdown=settings.text_format == "markdown",
        max_bytes=settings.max_bytes,
        head=settings.head or "",
        opening_head=opening if settings.opening_head is None else settings.opening_head,
        author_head=settings.author_head,
        zone=ZoneInfo(settings.head_timezone),
    )
    if account is None:
        return DixaV1(replace(resolved, default_agent=settings.default_agent))
    return DixaV1(
        replace(
            resolved,
            agents=account.agents,
            replaced=frozenset(account.replaced),
            default_agent=account.default_agent,
        )
    )
