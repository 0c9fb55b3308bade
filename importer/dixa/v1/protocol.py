"""What to send to Dixa API v1 for one conversation, without I/O.

One request imports a conversation with all its public messages and their original times. Other requests
follow for what it cannot contain: private notes (also with their original times), tags, custom
attributes, and the queue of a ticket that stays open. Messages have external ids, by which an import is
recognised; the API never shows the external id of a conversation. The facts are from the description of
Dixa API v1 at docs.dixa.io and from public clients; schemas/api/dixa.yaml has all of them, and says how
certain each one is.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from importer.dixa.api import Trait
from importer.dixa.matching import Sent, signature
from importer.dixa.v1.identity import iso, note_identity
from importer.model import (
    AGENT,
    Attachment,
    Carried,
    Contact,
    Conversation,
    Direction,
    Message,
    Request,
    Step,
    StepKind,
    fingerprint,
)
from importer.text.heads import heads
from importer.text.html import has_inner_images, safe_html, shows_something

EMAIL = "email"
# In one request; Dixa documents no maximum.
NOTES_AT_ONCE = 50
# The maximum that a message needs in an import in addition to its content and attachments.
MESSAGE_OVERHEAD_BYTES = 1_000
# How many bytes a character can have as escaped JSON: twelve outside the Basic Multilingual Plane.
JSON_GROWTH = 12
# The number of messages by which an import is recognised. They are stored in the checkpoint.
MESSAGES_KEPT = 5
# The content of a message must not be empty.
NO_TEXT = "[no text]"


@dataclass(frozen=True, slots=True)
class V1Settings:
    """The settings of the migration, with names resolved to the ids of the account."""

    migration: str
    # The name of the generic channel, such as `email`.
    kind: str
    # The address of the e-mail endpoint; only with kind = 'email'.
    endpoint: str | None
    # For tickets that stay open and have no assignee.
    queue_id: str | None
    # For every conversation, in addition to the tags of the ticket.
    tags: tuple[str, ...]
    # The column of the ticket by the id of the custom attribute.
    attributes: Mapping[str, str]
    # What happens to public messages that come to a ticket after its import: `list` or `note`.
    grown: str
    # Whether texts that are not from HTML are Markdown.
    markdown: bool
    # The maximum size of a request.
    max_bytes: int
    # The template of the first lines of every text.
    head: str
    # The template of the first line of the first text.
    opening_head: str
    # The template of a line for texts whose author Dixa does not show.
    author_head: str
    # Of the times in heads.
    zone: ZoneInfo
    # As in api.Account. If None, every agent is known, and the key replaces the id.
    agents: Mapping[str, str] | None = None
    replaced: frozenset[str] = frozenset()
    # The user id of the default agent.
    default_agent: str | None = None

    def agent(self, contact: Contact | None) -> str | None:
        """The user id of an agent; None if Dixa does not know the agent."""
        key = contact.key if contact else None
        if key is None or key in self.replaced:
            return None
        return key if self.agents is None else self.agents.get(key)

    def shows_author(self, message: Message, requester: Contact) -> bool:
        """Whether Dixa will show the message with its own author."""
        author = message.author.key if message.author else None
        if message.by_agent:
            return not message.stand_in and author not in self.replaced
        if message.direction is Direction.INTERNAL:
            return False
        return author in (None, requester.key) or self.kind == EMAIL


@dataclass(frozen=True, slots=True)
class DixaV1:
    """The protocol for one account."""

    settings: V1Settings
    # As in api.Target.
    ordered: bool = False
    not_added: str = (
        "it came to the ticket after its import, and this API can add it only with the current time "
        "(conversation.grown = 'note' adds such messages as private notes with their own time)"
    )

    def fingerprint(self, job: Conversation) -> bytes:
        """Changes with the ticket, and with kind and endpoint of the conversation."""
        return fingerprint(job.fingerprint.hex(), self.settings.kind, self.settings.endpoint)

    def steps(
        self,
        job: Conversation,
        *,
        created: bool = False,
        wanted: AbstractSet[str] | None = None,
        late: AbstractSet[str] = frozenset(),
    ) -> tuple[Step, ...]:
        """The import, then the steps that complete it. If the conversation is `created` already: the `wanted`
        messages as notes, then the steps that complete it. Public messages that are `late` are included only
        if `grown` is `note`."""
        if created:
            notes = [
                message
                for message in job.messages
                if (wanted is None or message.message_id in wanted)
                and (
                    message.direction is Direction.INTERNAL
                    or message.message_id not in late
                    or self.settings.grown == "note"
                )
            ]
            return (*self._note_steps(job, notes), *self._settings_steps(job))
        carried, _ = self._split_by_size(job)
        inside = {message.message_id for message in carried}
        first = Step(
            StepKind.CONVERSATION,
            job.ticket_id,
            "",
            tuple(_carried(message) for message in carried),
            fingerprint=self.fingerprint(job),
        )
        notes = [message for message in job.messages if message.message_id not in inside]
        return (first, *self._note_steps(job, notes), *self._settings_steps(job))

    def request(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> Request:
        """The request of a step; `ids` as in api.Target."""
        if step.kind is StepKind.CONVERSATION:
            return Request("POST", "/v1/conversations/import", json=self._import(step, job, ids))
        path = f"/v1/conversations/{ids['conversation']}"
        match step.kind:
            case StepKind.NOTES:
                by_id = {message.message_id: message for message in job.messages}
                notes = [self._note(by_id[carried.key], job, ids) for carried in step.carries]
                return Request("POST", f"{path}/notes/bulk", json={"data": notes})
            case StepKind.TAGS:
                names = [{"name": name} for name in self._tags(job)]
                return Request("POST", f"{path}/tags/bulk", json={"data": names})
            case StepKind.ATTRIBUTES:
                return Request("PATCH", f"{path}/custom-attributes", json=self._attributes(job))
            case StepKind.TRANSFER:
                body = {"queueId": self.settings.queue_id}
                return Request("PUT", f"{path}/transfer/queue", json=body)
            case StepKind.CLOSE:
                return Request("PUT", f"{path}/close", json={})
            case _:
                raise AssertionError(step.kind)

    def expected(self, step: Step, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """The identity of what a step creates, or the settings that it makes."""
        body = request.json
        if step.kind is StepKind.CONVERSATION:
            messages = body.get("messages", [])
            return {
                "requester_id": body["requesterId"],
                "created_at": body["createdAt"],
                "external_ids": [m["externalId"] for m in messages[:MESSAGES_KEPT]],
                "times": [m["createdAt"] for m in messages[:MESSAGES_KEPT]],
                "subject": signature(body.get("attributes", {}).get("subject", "")),
                "prefix": f"{self.settings.migration}:",
                "closed": "closing" in body,
                "messages": len(messages),
                "attachments": {
                    m["externalId"]: len(m["attachments"]) for m in messages if m.get("attachments")
                },
                "agent_id": body.get("assignment", {}).get("agentId"),
            }
        common = {"csid": ids["conversation"]}
        match step.kind:
            case StepKind.NOTES:
                return {**common, "notes": [note_identity(note) for note in body["data"]],
                        "keys": [carried.key for carried in step.carries]}  # fmt: skip
            case StepKind.TAGS:
                return {**common, "tags": [tag["name"] for tag in body["data"]]}
            case StepKind.ATTRIBUTES:
                return {**common, "attributes": {n: fingerprint(str(v)).hex() for n, v in body.items()}}
            case StepKind.TRANSFER:
                return {**common, "queue_id": body["queueId"]}
            case _:
                return common

    def sent(self, job: Conversation, ids: Mapping[str, str], keys: AbstractSet[str]) -> dict[str, Sent]:
        """Author, time and text of each of these messages that is a note. The messages of the import itself
        cannot be there twice."""
        carried = {message.message_id for message in self._split_by_size(job)[0]}
        return {
            message.message_id: Sent(*note_identity(self._note(message, job, ids)))
            for message in job.messages
            if message.message_id in keys and message.message_id not in carried
        }

    def is_unmistakable(self, step: Step, job: Conversation) -> bool:
        """With public messages, which have external ids."""
        return bool(step.carries)

    @property
    def openings(self) -> int:
        """None: its notes are created by requests of their own."""
        return 0

    def losses(self, job: Conversation) -> dict[str, int]:
        """How much of a conversation this API cannot carry, counted by aspect."""
        return {t.aspect: t.lost(self, job) for t in TRAITS if t.lost}

    def overflow_notes(self, job: Conversation) -> int:
        """The number of public messages that do not fit into the import and follow as notes."""
        return len(self._split_by_size(job)[1])

    def _split_by_size(self, job: Conversation) -> tuple[list[Message], list[Message]]:
        """The public messages that the import carries, and those that do not fit into `max_bytes`."""
        public = [message for message in job.messages if message.direction is not Direction.INTERNAL]
        room = self.settings.max_bytes - MESSAGE_OVERHEAD_BYTES
        if sum(_most_bytes(message) for message in public) <= room:
            return public, []
        for number, message in enumerate(public):
            content = json.dumps(self._content(message, job, number), ensure_ascii=True)
            files = sum(len(file.url) + len(file.name or "") for file in message.attachments)
            room -= len(content) + JSON_GROWTH * files + MESSAGE_OVERHEAD_BYTES
            if room < 0 and number:
                return public[:number], public[number:]
        return public, []

    def _note_steps(self, job: Conversation, notes: Sequence[Message]) -> Iterator[Step]:
        batch: list[Message] = []
        size = 0
        for message in notes:
            own = _most_bytes(message)
            if batch and (len(batch) == NOTES_AT_ONCE or size + own > self.settings.max_bytes):
                yield _notes_step(job, batch)
                batch, size = [], 0
            batch.append(message)
            size += own
        if batch:
            yield _notes_step(job, batch)

    def _settings_steps(self, job: Conversation) -> Iterator[Step]:
        def step(kind: StepKind, *content: object) -> Step:
            return Step(kind, job.ticket_id, "", fingerprint=fingerprint(*content))

        if tags := self._tags(job):
            yield step(StepKind.TAGS, *tags)
        if attributes := self._attributes(job):
            yield step(StepKind.ATTRIBUTES, *map(str, attributes.items()))
        if self.settings.queue_id and not _is_closed(job) and not self._assignee(job):
            yield step(StepKind.TRANSFER, self.settings.queue_id)
        if _is_closed(job) and not self._closer(job):
            yield step(StepKind.CLOSE)

    def _import(self, step: Step, job: Conversation, ids: Mapping[str, str]) -> dict[str, Any]:
        settings = self.settings
        began = _began(job)
        # Not split anew: without its lost files the conversation may have room for more.
        keys = {carried.key for carried in step.carries}
        carried = [message for message in job.messages if message.message_id in keys]
        body: dict[str, Any] = {
            "_type": "GenericConversationImport",
            "genericChannelName": settings.kind,
            "requesterId": ids[job.requester.key or ""],
            "direction": job.direction.value.capitalize(),
            "createdAt": iso(began),
            "externalId": f"{settings.migration}:{job.ticket_id}",
            "messages": [self._message(m, job, ids, number) for number, m in enumerate(carried)],
        }
        if settings.kind == EMAIL:
            body["attributes"] = {
                "emailIntegrationId": settings.endpoint,
                "subject": job.subject or f"Ticket {job.ticket_id}",
            }
        if agent := self._assignee(job):
            body["assignment"] = {"agentId": agent, "assignedAt": iso(self._assigned_at(job))}
        if _is_closed(job) and (closer := self._closer(job)):
            body["closing"] = {"closedAt": iso(_ended(job)), "closedBy": closer}
        return body

    def _message(
        self, message: Message, job: Conversation, ids: Mapping[str, str], number: int
    ) -> dict[str, Any]:
        settings = self.settings
        role = AGENT if message.by_agent else ""
        author = ids.get(f"{role}{message.author.key}") if message.author else None
        outbound = message.direction is Direction.OUTBOUND and message.by_agent
        body: dict[str, Any] = {
            "_type": "OutboundImport" if outbound else "InboundImport",
            "content": self._content(message, job, number),
            "createdAt": iso(message.created_at or _began(job)),
            "externalId": f"{settings.migration}:{message.message_id}",
        }
        if outbound:
            body["agentId"] = author
        if message.attachments:
            body["attachments"] = [_file(file) for file in message.attachments]
        if settings.kind == EMAIL:
            attributes: dict[str, Any] = {"emailIntegrationId": settings.endpoint}
            if outbound:
                attributes |= {n: list(v) for n, v in (("cc", message.cc), ("bcc", message.bcc)) if v}
            elif author and author != ids[job.requester.key or ""]:
                attributes["requesterId"] = author
            body["attributes"] = attributes
        return body

    def _content(self, message: Message, job: Conversation, number: int) -> dict[str, str]:
        """HTML if the source has it and it is not too large for a request; otherwise Markdown or text."""
        above = self._heads(message, job, first=number == 0)
        if message.html is not None and len(message.html) * 2 < self.settings.max_bytes:
            shown = "".join(f"<p>{html.escape(line)}</p>" for line in above)
            safe = safe_html(message.html)
            if shows_something(safe):
                return {"_type": "Html", "value": shown + safe}
        text = _text(message)
        if message.html is None and self.settings.markdown and not message.from_html:
            return {"_type": "Markdown", "value": "\n\n".join([*above, text])}
        return {"_type": "Text", "value": "\n".join(above) + ("\n\n" if above else "") + text}

    def _heads(self, message: Message, job: Conversation, *, first: bool, by_name: bool = True) -> list[str]:
        settings = self.settings
        unseen = by_name and not settings.shows_author(message, job.requester) and message.author_name
        templates = [
            settings.opening_head if first else "",
            settings.head,
            settings.author_head if unseen else "",
        ]
        return heads(templates, job, message, settings.zone)

    def _note(self, message: Message, job: Conversation, ids: Mapping[str, str]) -> dict[str, Any]:
        """A note is plain text without files, so it lists attachments as links. A public message that becomes
        a note names its author and direction in the first line."""
        public = message.direction is not Direction.INTERNAL
        above = self._heads(message, job, first=False, by_name=not public)
        if public:
            above = [f"[{message.author_name or 'author unknown'}, {message.direction.value}]", *above]
        files = [f"{file.name}: {file.url}" if file.name else file.url for file in message.attachments]
        text = message.text if files else _text(message)
        parts = ["\n".join(above), text, "\n".join(files)]
        note: dict[str, Any] = {
            "message": "\n\n".join(part for part in parts if part),
            "createdAt": iso(message.created_at or _began(job)),
        }
        if message.by_agent and message.author:
            note["agentId"] = ids[f"{AGENT}{message.author.key}"]
        return note

    def _tags(self, job: Conversation) -> list[str]:
        return list(dict.fromkeys([*self.settings.tags, *job.tags]))

    def _attributes(self, job: Conversation) -> dict[str, Any]:
        values = {attribute: _value(job, column) for attribute, column in self.settings.attributes.items()}
        return {attribute: value for attribute, value in values.items() if value}

    def _assignee(self, job: Conversation) -> str | None:
        return self.settings.agent(job.assignee)

    def _assigned_at(self, job: Conversation) -> datetime:
        """The time of the assignee's first message, because no export has the time of the assignment; without
        one, the beginning of the conversation."""
        key = job.assignee.key if job.assignee else None
        own = (m.created_at for m in job.messages if m.by_agent and m.author and m.author.key == key)
        return next((at for at in own if at), _began(job))

    def _closer(self, job: Conversation) -> str | None:
        """The agent who closed the conversation. The API requires one, but no export has it. So it is the
        first that is known of: the assignee, the last agent who wrote, the default agent."""
        writers = (self.settings.agent(m.author) for m in reversed(job.messages) if m.by_agent)
        return self._assignee(job) or next(filter(None, writers), None) or self.settings.default_agent


def _lost_authors(target: DixaV1, job: Conversation) -> int:
    return sum(not target.settings.shows_author(message, job.requester) for message in job.messages)


TRAITS: tuple[Trait, ...] = (
    Trait(
        "requests for a conversation",
        "1, plus 1 per 50 private notes, and 1 each for tags, custom attributes and the queue",
    ),
    Trait("times", "kept for conversations, messages and private notes"),
    Trait(
        "subject",
        "a field with kind = 'email'; otherwise in the first line of the first text",
        lambda target, job: int(target.settings.kind != EMAIL and job.subject is not None),
    ),
    Trait(
        "texts in HTML",
        "kept and cleaned; plain text in private notes",
        lambda target, job: sum(
            message.html is not None and message.direction is Direction.INTERNAL for message in job.messages
        ),
    ),
    Trait("private notes", "private notes"),
    Trait(
        "images inside HTML",
        "kept if they have a URL; embedded images are lost",
        lambda _, job: sum(has_inner_images(m.html) for m in job.messages if m.html),
    ),
    Trait(
        "closed and pending states",
        "closed keeps its time if an agent can be named who closed it; pending tickets, and tickets with "
        "neither status nor closing time, arrive as open",
        lambda _, job: int(not _is_closed(job) and job.status != "open"),
    ),
    Trait(
        "assignee",
        "kept; dropped where the agent has no address or no Dixa account",
        lambda _, job: int(job.assigned and job.assignee is None),
    ),
    Trait(
        "authors",
        "agents, the requester and, with kind = 'email', all other customers; other authors, and customers "
        "who wrote private notes, are named in the first line of the text",
        _lost_authors,
    ),
    Trait(
        "CC and BCC",
        "kept for agents' messages with kind = 'email'; otherwise dropped",
        lambda target, job: sum(
            bool(m.cc or m.bcc) and (target.settings.kind != EMAIL or m.direction is not Direction.OUTBOUND)
            for m in job.messages
        ),
    ),
    Trait(
        "attachments",
        "by URL, with their names; in private notes as links in the text",
        lambda _, job: sum(len(m.attachments) for m in job.messages if m.direction is Direction.INTERNAL),
    ),
    Trait("tags", "kept; missing ones are created"),
    Trait(
        "custom fields",
        "dropped, except those in conversation.attributes",
        lambda target, job: len(
            job.custom.keys() - {c.removeprefix("custom.") for c in target.settings.attributes.values()}
        ),
    ),
    Trait("external ids", "NAME:ID for conversations and messages"),
    Trait(
        "new messages of a ticket that is in Dixa",
        "private notes are added; public messages are listed, or added as private notes (conversation.grown)",
    ),
    Trait(
        "very large conversations",
        "messages beyond conversation.max_bytes follow as private notes",
        lambda target, job: target.overflow_notes(job),
    ),
)


def _carried(message: Message) -> Carried:
    return Carried(message.message_id, message.fingerprint, len(message.attachments))


def _notes_step(job: Conversation, notes: Sequence[Message]) -> Step:
    return Step(StepKind.NOTES, job.ticket_id, notes[0].message_id, tuple(map(_carried, notes)))


def _most_bytes(message: Message) -> int:
    texts = len(message.html or "") + len(message.text)
    files = sum(len(file.url) + len(file.name or "") for file in message.attachments)
    return JSON_GROWTH * (texts + files) + MESSAGE_OVERHEAD_BYTES


def _file(file: Attachment) -> dict[str, str]:
    return {"url": file.url, **({"prettyName": file.name} if file.name else {})}


def _text(message: Message) -> str:
    """The text of a message. A content must not be empty, so a message without text has the names of its
    files, or the URLs of its images."""
    images = re.findall(r"""src=["']?(https?://[^"'\s>]+)""", message.html or "")
    return message.text or _names_of(message.attachments) or "\n".join(images) or NO_TEXT


def _names_of(files: Sequence[Attachment]) -> str:
    return ", ".join(file.name or file.url.rsplit("/", 1)[-1] or file.url for file in files)


def _began(job: Conversation) -> datetime:
    """The time of the ticket, or that of a message that is older."""
    times = [job.created_at, *(message.created_at for message in job.messages)]
    return min(at for at in times if at is not None)


def _ended(job: Conversation) -> datetime:
    last = max((m.created_at for m in job.messages if m.created_at), default=None)
    return max(job.closed_at or job.updated_at or last or _began(job), _began(job))


def _is_closed(job: Conversation) -> bool:
    return job.status == "closed" or (job.status is None and job.closed_at is not None)


def _value(job: Conversation, column: str) -> str | list[str] | None:
    if column.startswith("custom."):
        return job.custom.get(column.removeprefix("custom."))
    match column:
        case "tags":
            return list(job.tags)
        case "assignee_email":
            return job.assignee.email if job.assignee else None
        case "created_at" | "updated_at" | "closed_at":
            at: datetime | None = getattr(job, column)
            return iso(at) if at else None
        case _:
            value: str | None = getattr(job, column)
            return value
