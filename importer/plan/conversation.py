"""Makes a conversation of a ticket and its messages. This is the only place that does.

The same rows give the same conversation. Their order in the source matters only for messages with the same
time.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from importer.model import DERIVED, Attachment, Contact, Conversation, Direction, Message, fingerprint
from importer.parse.addresses import EMAIL
from importer.text.plain import plain


def conversation(
    ticket: Mapping[str, Any],
    rows: list[dict[str, Any]],
    linked: Mapping[str, list[Attachment]],
    default_agent: Contact | None,
) -> Conversation:
    """The conversation of a ticket row and its message rows, which must be in reading order. `linked` has the
    attachments of the attachments table, by message id. `default_agent` replaces agents without a contact
    key."""
    requester = _contact(ticket, "requester")
    assignee = Contact(ticket["assignee_email"], ticket["assignee_phone"], ticket["assignee_name"])
    equals: Counter[str] = Counter()
    messages = tuple(
        _message(row, requester, linked, default_agent, ticket["channel"], equals) for row in rows
    )
    public = (m.direction for m in messages if m.direction is not Direction.INTERNAL)
    tags = tuple(ticket["tags"] or ())
    custom = {
        name.removeprefix("custom."): value
        for name, value in ticket.items()
        if name.startswith("custom.") and value is not None
    }
    return Conversation(
        ticket_id=ticket["ticket_id"],
        requester=requester,
        direction=next(public, Direction.INBOUND),
        subject=ticket["subject"],
        channel=ticket["channel"],
        created_at=ticket["created_at"] or (messages[0].created_at if messages else None),
        tags=tags,
        messages=messages,
        status=ticket["status"],
        updated_at=ticket["updated_at"],
        closed_at=ticket["closed_at"],
        queue=ticket["queue"],
        assignee=assignee if assignee.key else None,
        assigned=any(ticket[f"assignee_{name}"] for name in ("id", "email", "name")),
        custom=custom,
        source_hash=ticket["source_hash"],
        fingerprint=fingerprint(
            requester.key,
            assignee.key,
            *(ticket[name] for name in ("subject", "status", "queue", "created_at", "closed_at")),
            *tags,
            *(f"{name}={value}" for name, value in custom.items()),
        ),
    )


def _contact(row: Mapping[str, Any], who: str) -> Contact:
    return Contact(*(row[f"{who}_{name}"] for name in ("email", "phone", "name", "external")))


def _message(
    row: Mapping[str, Any],
    requester: Contact,
    linked: Mapping[str, list[Attachment]],
    default_agent: Contact | None,
    channel: str | None,
    equals: Counter[str],
) -> Message:
    written = _contact(row, "author")
    author = written if written.key else (default_agent if row["is_agent"] else requester)
    text = row["text"] if row["text"] is not None else plain(row["html"] or "")
    files = tuple(Attachment(url) for url in row["attachments"] or ()) + tuple(
        linked.get(row["message_id"] or "", ())
    )
    content = fingerprint(
        row["created_at"], row["direction"], row["_written"], text, row["html"], *(file.url for file in files)
    )
    return Message(
        message_id=row["message_id"] or _derived_id(row, text, equals),
        created_at=row["created_at"],
        direction=Direction(row["direction"]),
        author=author,
        by_agent=row["is_agent"],
        author_name=row["author_name"] or row["author_email"],
        text=text,
        channel=row["channel"] or channel,
        from_email=row["from_email"],
        to_email=row["to_email"],
        attachments=files,
        cc=_addresses(row["cc"]),
        bcc=_addresses(row["bcc"]),
        html=row["html"],
        from_html=row["text"] is None and row["html"] is not None,
        stand_in=row["is_agent"] and not written.key,
        fingerprint=content,
    )


def _addresses(items: Sequence[str] | None) -> tuple[str, ...]:
    """The items that are e-mail addresses. validate/row_signals.py finds the others."""
    return tuple(item for item in items or () if re.fullmatch(EMAIL, item))


def _derived_id(row: Mapping[str, Any], text: str, equals: Counter[str]) -> str:
    """The id of a message that has none: a hash of ticket, time, author and text, and a number among equal
    messages. The author is the one of the export, so that mapping an agent does not change the id."""
    digest = fingerprint(row["ticket_id"], row["created_at"], row["_written"], text).hex()
    equals[digest] += 1
    return f"{DERIVED}{digest}:{equals[digest]}"
