"""The head of a text: lines that keep what the API does not keep, such as the time, the author or the
ticket."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from importer.model import Conversation, Message

# What a template of a head may name in braces.
HEAD_FIELDS = frozenset({"ticket_id", "subject", "message_id", "created_at", "author", "direction"})


def heads(templates: Iterable[str], job: Conversation, message: Message, zone: ZoneInfo) -> list[str]:
    """The filled templates, without empty ones. A value that the export does not have is replaced by words
    such as `time unknown`."""
    at = message.created_at
    values = {
        "ticket_id": job.ticket_id,
        "subject": job.subject or "no subject",
        "message_id": message.message_id,
        "created_at": at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z") if at else "time unknown",
        "author": message.author_name or "author unknown",
        "direction": message.direction.value,
    }
    return [template.format(**values) for template in templates if template]
