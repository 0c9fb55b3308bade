"""The Integrations API (deprecated), without I/O: what to send, and what an answer means.

A conversation is created first, then its messages are added one by one; the API stamps times itself, so the
order of the calls is the reading order. It knows no external id and no idempotency key. Facts are from the
Integrations API reference 1.0.0 at docs.dixa.io and from public clients; schemas/api/integrations.yaml has
them in full, with how sure each is.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from importer.dixa.api import (
    Account,
    Item,
    Need,
    Trait,
    created_id,
    has_address,
    in_time,
    page,
    rows,
    text_mark,
)
from importer.dixa.response_rules import judge_change, judge_reading
from importer.migration.file import Migration
from importer.model import (
    AGENT,
    Answer,
    Carried,
    Contact,
    Conversation,
    Direction,
    Doubt,
    Ending,
    Judgement,
    Message,
    Outcome,
    Request,
    State,
    Step,
    StepKind,
    Verdict,
)
from importer.plan.conversation import fingerprint
from importer.text.heads import heads

CHANNELS = (
    "widget_chat",
    "phone",
    "voice_mail",
    "email",
    "contact_form",
    "callback",
    "facebook_messenger",
)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.:](\d+))?Z(?:\[GMT\])?")
ENDPOINT_TYPES: Mapping[str, str] = {"callback": "phone_number", "contact_form": "email_address"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The migration's choices, with names already resolved to this account's ids."""

    kind: str
    queue_id: str | None
    endpoint_id: str
    tags: tuple[str, ...]
    head: str
    opening_head: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Integrations:
    """The protocol for one account. `known_tags` are the tags that the account has, or None where the list
    could not be read; others are not sent, because no operation creates a tag."""

    settings: Settings
    known_tags: frozenset[str] | None = None
    ordered: bool = True
    not_added: str = ""

    def fingerprint(self, job: Conversation) -> bytes:
        """Changes with the ticket, and with the kind and the endpoint of its conversation."""
        return fingerprint(job.fingerprint.hex(), self.settings.kind, self.settings.endpoint_id)

    def steps(
        self,
        job: Conversation,
        *,
        created: bool = False,
        wanted: AbstractSet[str] | None = None,
        late: AbstractSet[str] = frozenset(),
    ) -> tuple[Step, ...]:
        """The creations of one conversation, in the order in which they must happen; of its messages only,
        where the conversation is `created` already."""
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
        """The request of a step. `ids` has the user id of each contact's key, and the conversation's under
        `conversation` once it exists."""
        if step.kind is StepKind.CONVERSATION:
            return Request("POST", "/v1/conversations", json=self._conversation_body(job, ids))
        index, message = next((i, m) for i, m in enumerate(job.messages) if m.message_id == step.key)
        path = f"/v1/conversations/{ids['conversation']}/messages/historical"
        return Request("POST", path, json=self._message_body(message, index, job, ids))

    def expected(self, step: Step, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """By what the thing that a request creates is told from others when it is read back."""
        body = request.json
        if step.kind is StepKind.CONVERSATION:
            text = body["message"]["text"] if "message" in body else None
            return {
                "requester_id": body["requester_id"],
                "channel": body["channel"],
                "direction": body.get("direction"),
                "queue_id": body.get("queue_id"),
                "text": text_mark(text) if text is not None else None,
            }
        return {
            "csid": ids["conversation"],
            "author_id": body.get("author_id"),
            "text": text_mark(body["text"]),
        }

    def marks(self, job: Conversation, ids: Mapping[str, str], sent: AbstractSet[str]) -> list[Any]:
        """Author and text mark of each message that was sent."""
        bodies = (
            self._message_body(message, index, job, ids)
            for index, message in enumerate(job.messages)
            if message.message_id in sent
        )
        return [(str(body.get("author_id")), text_mark(body["text"])) for body in bodies]

    def losses(self, job: Conversation) -> dict[str, int]:
        """What this API cannot carry of a conversation, and how often."""
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
        """The migration's tags and those of the ticket's that the account has."""
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
            # Not documented who may stand here.
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
        """The message that a contact form's creation brings in: only one that the requester wrote in public,
        and without attachments, since no client is known to send any there."""
        if self.settings.kind != "contact_form" or not job.messages:
            return None
        first = job.messages[0]
        by_requester = first.author is not None and first.author.key == job.requester.key
        fits = first.direction is Direction.INBOUND and by_requester and not first.attachments
        return first if fits else None

    def _placeholder(self, job: Conversation) -> str:
        """What stands in a contact form's own message where the ticket's first message cannot."""
        return f"Ticket {job.ticket_id}: {job.subject}" if job.subject else f"Ticket {job.ticket_id}"


def _message_step(job: Conversation, message: Message) -> Step:
    return Step(
        StepKind.MESSAGE,
        job.ticket_id,
        message.message_id,
        carries=(Carried(message.message_id, message.fingerprint, len(message.attachments)),),
        fingerprint=message.fingerprint,
    )


NEEDS_TIMES = HAS_EXTERNAL_IDS = False
TRAITS: tuple[Trait, ...] = (
    Trait("requests for a conversation", "1, and 1 for each message"),
    Trait(
        "times",
        "lost; they stand at the head of each text",
        lambda _, job: len(job.messages),
    ),
    Trait(
        "subject",
        "with contact_form a field, else at the head of the first text",
        lambda settings, job: int(settings.kind == "callback" and job.subject is not None),
    ),
    Trait(
        "texts in HTML",
        "become plain text",
        lambda _, job: sum(message.html is not None for message in job.messages),
    ),
    Trait("private notes", "messages with direction internal"),
    Trait(
        "closed and pending states",
        "lost; no operation closes a conversation",
        lambda _, job: int(job.status not in (None, "open")),
    ),
    Trait("assignee", "lost", lambda _, job: int(job.assigned)),
    Trait("authors", "all, agents too"),
    Trait("CC and BCC", "lost", lambda _, job: sum(bool(m.cc or m.bcc) for m in job.messages)),
    Trait(
        "attachments",
        "by URL, their names lost",
        lambda _, job: sum(bool(file.name) for m in job.messages for file in m.attachments),
    ),
    Trait(
        "tags",
        "those that the account has, with callback only",
        lambda settings, job: 0 if settings.kind == "callback" else len(job.tags),
    ),
    Trait("custom fields", "lost", lambda _, job: len(job.custom)),
    Trait("external ids", "none; the checkpoint maps old ids to new ones"),
    Trait("new messages of a ticket that is in Dixa", "are added at the end"),
    Trait("very large conversations", "as others"),
)


def organization() -> None:
    """This API does not say."""
    return


# What is looked up in the account, as it is named to the user.
QUEUE, TAG = "queue", "tag"


def _endpoint_of(kind: str) -> str:
    return f"endpoint (for kind = '{kind}')"


def needs(migration: Migration) -> tuple[Need, ...]:
    """Queue and tags of callbacks, the endpoint of both kinds."""
    wanted = migration.conversation
    kind = wanted.kind
    endpoint = Need(
        _endpoint_of(kind),
        (wanted.endpoint or "",),
        Request("GET", "/v1/endpoints", query={"type": ENDPOINT_TYPES[kind]}),
        lambda item: (_endpoint_id(item, kind), _endpoint_names(item)),
    )
    if kind != "callback":
        return (endpoint,)
    return (
        Need(QUEUE, (wanted.queue or "",), Request("GET", "/v1/queues"), _named),
        endpoint,
        Need(
            TAG,
            wanted.tags,
            Request("GET", "/v1/tags"),
            lambda item: (str(item["name"]), [str(item["name"])]) if item.get("name") else (None, []),
            lenient=True,
        ),
    )


def _named(item: Item) -> tuple[str | None, list[str]]:
    return str(item.get("id")), [str(item.get("name"))]


def agents() -> None:
    """Agents are users among others, so they are asked for one by one."""
    return


def contacts_of(agent: Item) -> tuple[list[str], str | None]:
    """Never asked, since there is no list of agents."""
    raise NotImplementedError(agent)


def target(migration: Migration, account: Account | None) -> Integrations:
    """The protocol for a migration; without an account names stand where a run has ids."""
    wanted = migration.conversation
    ids = account.ids if account else {}
    settings = Settings(
        kind=wanted.kind,
        queue_id=ids.get(QUEUE, {}).get(wanted.queue or "", wanted.queue),
        endpoint_id=ids.get(_endpoint_of(wanted.kind), {}).get(wanted.endpoint or "", wanted.endpoint or ""),
        tags=wanted.tags,
        head="[{created_at}, {author}]" if wanted.head is None else wanted.head,
        opening_head="[Ticket {ticket_id}: {subject}]"
        if wanted.opening_head is None
        else wanted.opening_head,
        zone=ZoneInfo(wanted.head_timezone),
    )
    return Integrations(settings, account.names.get(TAG) if account else None)


def find_person(contact: Contact) -> Request:
    query = {"email": contact.email} if contact.email else {"phone_number": contact.phone or ""}
    return Request("GET", "/v1/users", query=query)


def person_in(answer: Answer, contact: Contact) -> str | None:
    """The id of the user in a list of users who has exactly this address."""
    found = (u for u in rows(answer) if has_address(u, contact, emails=["email"], phones=["phone_number"]))
    return next((str(user["id"]) for user in found), None)


def create_person(contact: Contact) -> Request:
    body = {"name": contact.name, "email": contact.email, "phone_number": contact.phone}
    return Request("POST", "/v1/users", json={name: value for name, value in body.items() if value})


def create_people(contacts: Sequence[Contact]) -> None:
    """There is no such operation."""
    return


def _endpoint_id(item: Item, kind: str) -> str | None:
    """What a creation must name: the phone endpoint's id where it has one, else its number; the e-mail
    endpoint's internal address."""
    endpoint = item.get(ENDPOINT_TYPES[kind]) or {}
    if kind == "callback":
        return endpoint.get("id") or endpoint.get("phone_number")
    return endpoint.get("internal_email_address") or endpoint.get("id")


def _endpoint_names(item: Item) -> list[str]:
    """Every name by which a user may mean this endpoint."""
    return [
        str(value)
        for endpoint in item.values()
        if isinstance(endpoint, dict)
        for value in endpoint.values()
        if value
    ]


def judge(ending: Ending, step: Step | None) -> Judgement:
    """What an ending proves. The API documents no error at all."""
    if step is None:
        return judge_reading(ending)
    judgement = judge_change(ending, created=lambda answer: created_id(answer) is not None)
    if judgement.verdict is Verdict.CREATED and isinstance(ending, Answer):
        return replace(judgement, dixa_id=created_id(ending))
    return judgement


def next_page(answer: Answer, base_url: str) -> Request | None:
    """The request for the page after this one; None at the end."""
    paging = answer.json.get("paging") if isinstance(answer.json, dict) else None
    return page(paging.get("next_page") if isinstance(paging, dict) else None, base_url)


def conversations_of(requester_id: str) -> Request:
    return Request("GET", f"/v1/users/{requester_id}/requested_conversations", query={"limit": "200"})


def contents_of(dixa_id: str) -> Request:
    return Request("GET", f"/v1/conversations/{dixa_id}/messages")


listed = contents_of


def could_be_conversation(item: Item, doubt: Doubt) -> bool:
    """Whether channel and direction are the same, and it was made when it can have been. (The subject and
    the endpoint are not shown.)"""
    wanted = doubt.expected
    same = (
        item.get(name) == wanted[name]
        for name in ("channel", "direction")
        if wanted[name] is not None and item.get(name) is not None
    )
    return all(same) and in_time(created_at(item), doubt)


def is_conversation(item: Item, contents: Sequence[Item], doubt: Doubt) -> bool | None:
    """Whether it is the one in doubt. A contact form begins with the text that was sent. A callback has
    nothing of ours in it yet: as it was created it is taken for ours; None where somebody may have written
    into it or moved it since, so that it cannot be told."""
    if doubt.expected["text"] is not None:
        return bool(contents) and _same_text(_by_time(contents)[0], doubt.expected["text"])
    moved = item.get("queue_id") not in (None, doubt.expected["queue_id"])
    return None if contents or moved else True


def missing(item: Item, contents: Sequence[Item], doubt: Doubt) -> Judgement:
    """Nothing: a creation here is whole or is not."""
    return Judgement(Verdict.CREATED)


def found(items: Sequence[Item], doubt: Doubt) -> tuple[Mapping[str, Outcome], list[str]]:
    """The message in doubt, where one message only has its author and text and came when it can have come."""
    matches = [
        str(item["id"])
        for item in _by_time(items)
        if str(item["id"]) not in doubt.known
        and _could_be_message(item, doubt.expected)
        and in_time(created_at(item), doubt)
    ]
    # Equal messages that came in with the conversation itself have no id that is known.
    own = matches[doubt.expected.get("twins", 0) :]
    if len(own) == 1:
        return {doubt.key: Outcome(State.IMPORTED, own[0])}, []
    return {}, own


def setting_of(doubt: Doubt) -> Request:
    """Never asked, since this API has no settings of conversations."""
    raise NotImplementedError(doubt.kind)


def is_set(answer: Answer, doubt: Doubt) -> bool:
    """As setting_of."""
    raise NotImplementedError(doubt.kind)


def _could_be_message(item: Item, expected: Mapping[str, Any]) -> bool:
    """Whether a message has author and text in common with the one in doubt, as far as it shows them."""
    author = expected["author_id"]
    same_author = author is None or item.get("author_id") in (None, author)
    return same_author and _same_text(item, expected["text"])


def mark(item: Item) -> tuple[str, str] | None:
    """By what equal messages are counted: author and text mark; None where the text is not shown."""
    text = _text_of(item)
    return None if text is None else (str(item.get("author_id")), text_mark(text))


def _by_time(items: Sequence[Item]) -> list[Item]:
    """Messages in the order of their creation; in which order the API lists them is not documented. Items of
    the same instant keep the order of the list."""
    return sorted(items, key=lambda item: created_at(item) or 0.0)


def created_at(item: Item) -> float | None:
    """Unix time, whether a colon or a point stands before the milliseconds."""
    match = _STAMP.fullmatch(str(item.get("created_at") or ""))
    if match is None:
        return None
    head, fraction = match.groups()
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _same_text(item: Item, mark: str) -> bool:
    text = _text_of(item)
    return text is None or text_mark(text) == mark


def _text_of(item: Item) -> str | None:
    attributes = item.get("attributes")
    text = attributes.get("text") if isinstance(attributes, dict) else None
    return text if isinstance(text, str) else None
