"""What to send to the Integrations API (deprecated) for one conversation, without I/O.

A conversation is created first, then its messages are added one by one. The API sets all times itself, so the
order of the requests is the reading order. The API has no external ids and no idempotency key. The facts are
from the Integrations API reference 1.0.0 at docs.dixa.io and from public clients;
schemas/api/integrations.yaml has all of them, and says how certain each one is.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from importer.dixa.api import Trait
from importer.dixa.matching import Sent, signature
from importer.model import (
    AGENT,
    Carried,
    Conversation,
    Direction,
    Message,
    Request,
    Step,
    StepKind,
    fingerprint,
)
from importer.text.heads import heads

# The channels that a message can have. Any other is replaced by that of the conversation.
CHANNELS = (
    "widget_chat", "phone", "voice_mail", "email", "contact_form", "callback", "facebook_messenger",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IntegrationsSettings:
    """The settings of the migration, with names resolved to the ids of the account."""

    # `callback` or `contact_form`.
    kind: str
    # Only for callbacks.
    queue_id: str | None
    endpoint_id: str
    # For every callback, in addition to the tags of the ticket.
    tags: tuple[str, ...]
    # The template of the first lines of every text.
    head: str
    # The template of the first line of the first text.
    opening_head: str
    # Of the times in heads.
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Integrations:
    """The protocol for one account."""

    settings: IntegrationsSettings
    # The tags of the account; None if they are not known. Other tags of tickets are not sent, because no
    # operation creates a tag.
    known_tags: frozenset[str] | None = None
    # As in api.Target.
    ordered: bool = True
    not_added: str = ""

    def fingerprint(self, job: Conversation) -> bytes:
        """Changes with the ticket, and with kind and endpoint of the conversation."""
        return fingerprint(job.fingerprint.hex(), self.settings.kind, self.settings.endpoint_id)

    def steps(
        self,
        job: Conversation,
        *,
        created: bool = False,
        wanted: AbstractSet[str] | None = None,
        late: AbstractSet[str] = frozenset(),
    ) -> tuple[Step, ...]:
        """The creation of the conversation and of each message, in the order in which they must be sent. If
        the conversation is `created` already, only the `wanted` messages."""
        if created:
            return tuple(
                _message_step(job, message)
                for message in job.messages
                if wanted is None or message.message_id in wanted
            )
        carried = self._carried(job)
        first = Step(
            StepKind.CONVERSATION,
            job.ticket_id,
            "",
            carries=(Carried(carried.message_id, carried.fingerprint),) if carried else (),
            fingerprint=self.fingerprint(job),
        )
        rest = job.messages[1:] if carried else job.messages
        return (first, *(_message_step(job, message) for message in rest))

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request:
        """The request of a step; `ids` as in api.Target."""
        if step.kind is StepKind.CONVERSATION:
            return Request("POST", "/v1/conversations", json=self._conversation_body(job, ids))
        index, message = next((i, m) for i, m in enumerate(job.messages) if m.message_id == step.key)
        path = f"/v1/conversations/{ids['conversation']}/messages/historical"
        return Request("POST", path, json=self._message_body(message, index, job, ids))

    def expected(self, step: Step, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """The identity of what a request creates."""
        body = request.json
        if step.kind is StepKind.CONVERSATION:
            text = body["message"]["text"] if "message" in body else None
            return {
                "requester_id": body["requester_id"],
                "channel": body["channel"],
                "direction": body.get("direction"),
                "queue_id": body.get("queue_id"),
                "text": signature(text) if text is not None else None,
            }
        return {
            "csid": ids["conversation"],
            "author_id": body.get("author_id"),
            "text": signature(body["text"]),
            "openings": self.openings,
        }

    def sent(self, job: Conversation, ids: Mapping[str, str], keys: AbstractSet[str]) -> dict[str, Sent]:
        """Author and text of each of these messages; the API sets their times itself."""
        bodies = {
            message.message_id: self._message_body(message, index, job, ids)
            for index, message in enumerate(job.messages)
            if message.message_id in keys
        }
        return {
            key: Sent(body.get("author_id"), None, signature(body["text"])) for key, body in bodies.items()
        }

    def is_unmistakable(self, step: Step, job: Conversation) -> bool:
        """Never: this API keeps no ids that it is given."""
        return False

    @property
    def openings(self) -> int:
        """A contact form has its text as first message."""
        return int(self.settings.kind == "contact_form")

    def losses(self, job: Conversation) -> dict[str, int]:
        """How much of a conversation this API cannot carry, counted by aspect."""
        return {t.aspect: t.lost(self.settings, job) for t in TRAITS if t.lost}

    def _conversation_body(self, job: Conversation, ids: Mapping[str, str]) -> dict[str, Any]:
        requester_id = ids[job.requester.key or ""]
        if self.settings.kind == "callback":
            tags = self.tags_of(job)
            return {
                "channel": "callback",
                "direction": job.direction.value,
                "queue_id": self.settings.queue_id,
                "requester_id": requester_id,
                "endpoint_id": self.settings.endpoint_id,
                **({"tags": tags} if tags else {}),
            }
        carried = self._carried(job)
        text = self._text(carried, 0, job) if carried else self._placeholder(job)
        return {
            "channel": "contact_form",
            "requester_id": requester_id,
            "email_integration_id": self.settings.endpoint_id,
            "subject": job.subject or f"Ticket {job.ticket_id}",
            "message": {"text": text},
        }

    def tags_of(self, job: Conversation) -> list[str]:
        """The tags of the migration, and those tags of the ticket that the account has."""
        known = self.known_tags
        own = (tag for tag in job.tags if known is None or tag in known)
        return list(dict.fromkeys([*self.settings.tags, *own]))

    def _message_body(
        self, message: Message, index: int, job: Conversation, ids: Mapping[str, str]
    ) -> dict[str, Any]:
        channel = message.channel if message.channel in CHANNELS else self.settings.kind
        body: dict[str, Any] = {
            "channel": channel,
            "direction": message.direction.value,
            "text": self._text(message, index, job),
        }
        if message.author and message.author.key:
            # It is not documented who may be an author.
            body["author_id"] = ids[f"{AGENT if message.by_agent else ''}{message.author.key}"]
        if message.from_email:
            body["from_email"] = message.from_email
        if message.to_email:
            body["to_email"] = message.to_email
        if message.attachments:
            body["attachments"] = [{"url": file.url} for file in message.attachments]
        return body

    def _text(self, message: Message, index: int, job: Conversation) -> str:
        templates = [self.settings.opening_head if index == 0 else "", self.settings.head]
        above = "\n".join(heads(templates, job, message, self.settings.zone))
        return above + ("\n\n" if above and message.text else "") + message.text

    def _carried(self, job: Conversation) -> Message | None:
        """The message that the creation of a contact form carries: the first message, if the requester wrote
        it and it is public and without attachments. No client is known to send attachments there."""
        if self.settings.kind != "contact_form" or not job.messages:
            return None
        first = job.messages[0]
        by_requester = first.author is not None and first.author.key == job.requester.key
        fits = first.direction is Direction.INBOUND and by_requester and not first.attachments
        return first if fits else None

    def _placeholder(self, job: Conversation) -> str:
        """The text of a contact form that cannot carry the ticket's first message."""
        return f"Ticket {job.ticket_id}: {job.subject}" if job.subject else f"Ticket {job.ticket_id}"


def _message_step(job: Conversation, message: Message) -> Step:
    return Step(
        StepKind.MESSAGE,
        job.ticket_id,
        message.message_id,
        carries=(Carried(message.message_id, message.fingerprint, len(message.attachments)),),
        fingerprint=message.fingerprint,
    )


TRAITS: tuple[Trait, ...] = (
    Trait("requests for a conversation", "1, plus 1 per message"),
    Trait(
        "times",
        "lost; written in the first line of each text",
        lambda _, job: len(job.messages),
    ),
    Trait(
        "subject",
        "a field with kind = 'contact_form'; otherwise in the first line of the first text",
        lambda settings, job: int(settings.kind == "callback" and job.subject is not None),
    ),
    Trait(
        "texts in HTML",
        "converted to plain text",
        lambda _, job: sum(message.html is not None for message in job.messages),
    ),
    Trait("private notes", "messages with direction = 'internal'"),
    Trait(
        "closed and pending states",
        "lost; no operation closes a conversation",
        lambda _, job: int(job.status not in (None, "open")),
    ),
    Trait("assignee", "lost", lambda _, job: int(job.assigned)),
    Trait("authors", "kept, including agents"),
    Trait("CC and BCC", "lost", lambda _, job: sum(bool(m.cc or m.bcc) for m in job.messages)),
    Trait(
        "attachments",
        "by URL; their names are lost",
        lambda _, job: sum(bool(file.name) for m in job.messages for file in m.attachments),
    ),
    Trait(
        "tags",
        "with kind = 'callback' those that the account has; otherwise lost",
        lambda settings, job: 0 if settings.kind == "callback" else len(job.tags),
    ),
    Trait("custom fields", "lost", lambda _, job: len(job.custom)),
    Trait("external ids", "none; the checkpoint maps old ids to new ones"),
    Trait("new messages of a ticket that is in Dixa", "added at the end"),
    Trait("very large conversations", "like any other"),
)
