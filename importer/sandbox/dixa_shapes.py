"""What the responses of Dixa API v1 contain: rows of the store in the shapes that its description gives."""

from collections.abc import Mapping, Sequence
from typing import Any

from importer.sandbox.store import StoredRow
from importer.sandbox.view import View

EMAIL = "email"
# When the account was set up.
FOUNDED = "2024-01-01T00:00:00.000Z[GMT]"

Shape = dict[str, Any]


def given(row: Mapping[str, Any]) -> Shape:
    """Without what is null: Dixa leaves it out."""
    return {name: value for name, value in row.items() if value is not None}


def conversation(
    row: StoredRow, view: View, *, requester: StoredRow | None, attributes: Sequence[Shape]
) -> Shape:
    """A conversation. Of an e-mail conversation, the customer's address is on the side of its direction."""
    queue = {"id": row["queue_id"], "queuedAt": row["queued_at"]} if row["queue_id"] else None
    common = {
        "_type": "GenericConversation",
        "id": row["id"],
        "requesterId": row["requester_id"],
        "channel": row["channel"],
        "createdAt": row["created_at"],
        "direction": row["direction"],
        "state": row["state"],
        "stateUpdatedAt": row["state_at"],
        "assignment": row["assignment"],
        "queue": queue,
        "customAttributes": attributes,
    }
    if row["channel"] != EMAIL:
        return given(common)
    ours, theirs = row["endpoint_id"] or "", (requester or {}).get("email") or ""
    inbound = row["direction"] == "Inbound"
    email = {
        "_type": "EmailConversation",
        "channel": "Email",
        "fromEmail": theirs if inbound else ours,
        "toEmail": ours if inbound else theirs,
        "integrationEmail": ours,
        "subject": row["subject"] and view.text(row["subject"]),
    }
    return given({**common, **email})


def anonymized(shown: Shape, at: str) -> Shape:
    """A conversation of which nothing is left that somebody wrote, nor an address."""
    personal = {"fromEmail", "toEmail", "integrationEmail", "subject"}
    kept = {name: value for name, value in shown.items() if name not in personal}
    return {**kept, "_type": "AnonymizedConversation", "customAttributes": [], "anonymizedAt": at}


def message(
    row: StoredRow,
    view: View,
    *,
    author: StoredRow | None,
    requester: StoredRow | None,
    endpoint: str | None,
    hidden: bool,
) -> Shape:
    """A message; nothing of what it says is left if it is `hidden`."""
    content = {
        "_type": row["more"].get("content", "Text"),
        "value": "" if hidden else view.text(row["text"] or ""),
    }
    if row["channel"] == EMAIL:
        attributes = _email(row, content, author, requester, endpoint, hidden=hidden)
    else:
        attributes = {"_type": "GenericAttributes", "content": content}
    files = [] if hidden else row["attachments"]
    return given(
        {
            "id": row["id"],
            "authorId": row["author_id"],
            "externalId": row["external_id"],
            "createdAt": row["created_at"],
            "attributes": {**attributes, "attachments": files, "direction": row["direction"]},
        }
    )


def _email(
    row: StoredRow,
    content: Shape,
    author: StoredRow | None,
    requester: StoredRow | None,
    endpoint: str | None,
    *,
    hidden: bool,
) -> Shape:
    name = (author or {}).get("name")
    if row["direction"] == "Inbound":
        sender, receiver = (author or {}).get("email"), endpoint
    else:
        sender, receiver = endpoint, (requester or {}).get("email")
    people: Shape = {"from": {"email": ""}, "to": [], "cc": [], "bcc": []}
    if not hidden:
        people = {
            "from": given({"email": sender or "", "name": name}),
            "to": [{"email": receiver}] if receiver else [],
            "cc": [{"email": address} for address in row["more"].get("cc", [])],
            "bcc": [{"email": address} for address in row["more"].get("bcc", [])],
        }
    regular = {"_type": "Regular", "content": content}
    more = {"isAutoReply": False, "inlineImages": []}
    return {"_type": "EmailAttributes", "emailContent": regular, **people, **more}


def note(row: StoredRow, view: View, *, hidden: bool = False) -> Shape:
    return {
        "id": row["id"],
        "authorId": row["author_id"],
        "createdAt": row["created_at"],
        "csid": row["csid"],
        "message": "" if hidden else view.text(row["message"]),
    }


def end_user(row: StoredRow, view: View) -> Shape:
    """An end user as in lists; alone it has custom attributes too."""
    more = {"middleNames": [], "additionalEmails": [], "additionalPhoneNumbers": [], **row["more"]}
    numbers = [view.phone(number) for number in more["additionalPhoneNumbers"]]
    return given(
        {
            "id": row["id"],
            "createdAt": row["created_at"],
            "displayName": row["name"],
            "email": row["email"],
            "phoneNumber": row["phone_number"] and view.phone(row["phone_number"]),
            "externalId": row["external_id"],
            **more,
            "additionalPhoneNumbers": numbers,
        }
    )


def agent(row: StoredRow, view: View) -> Shape:
    return {**end_user(row, view), "roles": row["roles"]}


def queue(row: StoredRow, organization_id: str) -> Shape:
    return {
        "id": row["id"],
        "name": row["name"],
        "organizationId": organization_id,
        "isDefault": row["n"] == 1,
        "priority": row["n"],
        "queueThresholds": {},
        "slaCalculationMethod": "AbandonedIgnored",
        "doNotOfferTimeouts": {},
        "isDoNotOfferEnabled": False,
    }


def endpoint(row: StoredRow) -> Shape:
    if row["type"] == "phone_number":
        return {"_type": "TelephonyEndpoint", "number": row["address"]}
    return {"_type": "EmailEndpoint", "address": row["address"]}


def definition(row: StoredRow) -> Shape:
    """A custom attribute of conversations."""
    options = [{"label": option, "value": option} for option in row["options"]]
    return {
        "id": row["id"],
        "entityType": "Conversation",
        "identifier": row["identifier"],
        "label": row["label"],
        "inputDefinition": {"_type": "Select", "options": options} if options else {"_type": "Text"},
        "createdAt": FOUNDED,
        "isRequired": False,
        "isArchived": False,
        "isDeactivated": False,
    }


def done(shown: Shape) -> Shape:
    """What became of one part of a bulk request."""
    return {"_type": "BulkActionSuccess", "data": shown}


def failed(message: str, **more: str) -> Shape:
    return {"_type": "BulkActionFailure", "error": {**more, "message": message}}
