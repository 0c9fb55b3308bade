"""What an account must have for the Integrations API, and the protocol for that account."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from importer.dixa.api import Account, AgentList, Need
from importer.dixa.integrations.protocol import Integrations, IntegrationsSettings
from importer.dixa.matching import Item
from importer.model import ConversationSettings, Request

NEEDS_TIMES = HAS_EXTERNAL_IDS = False
# No operation returns the organization, and agents are in the list of users.
ORGANIZATION: Request | None = None
AGENTS: AgentList | None = None
ENDPOINT_TYPES: Mapping[str, str] = {"callback": "phone_number", "contact_form": "email_address"}
# What is looked up in the account, as messages to the user name it.
QUEUE, TAG = "queue", "tag"


def _endpoint_of(kind: str) -> str:
    return f"endpoint (for kind = '{kind}')"


def needs(settings: ConversationSettings) -> tuple[Need, ...]:
    """The endpoint; for callbacks also the queue and the tags."""
    kind = settings.kind
    endpoint = Need(
        _endpoint_of(kind),
        (settings.endpoint or "",),
        Request("GET", "/v1/endpoints", query={"type": ENDPOINT_TYPES[kind]}),
        lambda item: (_endpoint_id(item, kind), _endpoint_names(item)),
    )
    if kind != "callback":
        return (endpoint,)
    return (
        Need(QUEUE, (settings.queue or "",), Request("GET", "/v1/queues"), _named),
        endpoint,
        Need(
            TAG,
            settings.tags,
            Request("GET", "/v1/tags"),
            lambda item: (str(item["name"]), [str(item["name"])]) if item.get("name") else (None, []),
            lenient=True,
        ),
    )


def _named(item: Item) -> tuple[str | None, list[str]]:
    return str(item.get("id")), [str(item.get("name"))]


def _endpoint_id(item: Item, kind: str) -> str | None:
    """What the creation of a conversation must name: the id of a phone endpoint, or its number if it has no
    id; the internal address of an e-mail endpoint, or its id if it has none."""
    endpoint = item.get(ENDPOINT_TYPES[kind]) or {}
    if kind == "callback":
        return endpoint.get("id") or endpoint.get("phone_number")
    return endpoint.get("internal_email_address") or endpoint.get("id")


def _endpoint_names(item: Item) -> list[str]:
    """Every name that a user may use for this endpoint."""
    return [
        str(value)
        for endpoint in item.values()
        if isinstance(endpoint, dict)
        for value in endpoint.values()
        if value
    ]


def target(settings: ConversationSettings, account: Account | None) -> Integrations:
    """The protocol for a migration. Without an account, names replace the ids."""
    ids = account.ids if account else {}
    resolved = IntegrationsSettings(
        kind=settings.kind,
        queue_id=ids.get(QUEUE, {}).get(settings.queue or "", settings.queue),
        endpoint_id=ids.get(_endpoint_of(settings.kind), {}).get(
            settings.endpoint or "", settings.endpoint or ""
        ),
        tags=settings.tags,
        head="[{created_at}, {author}]" if settings.head is None else settings.head,
        opening_head="[Ticket {ticket_id}: {subject}]"
        if settings.opening_head is None
        else settings.opening_head,
        zone=ZoneInfo(settings.head_timezone),
    )
    return Integrations(resolved, account.names.get(TAG) if account else None)
