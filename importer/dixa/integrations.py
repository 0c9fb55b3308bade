"""The Integrations API (deprecated), without I/O: what to send, and what an answer means.

A conversation is created first, then its messages are added one by one; the API stamps times itself, so the
order of the calls is the reading order. It knows no external id and no idempotency key. Facts are from the
Integrations API reference 1.0.0 at docs.dixa.io and from public clients; schemas/api/integrations.yaml has
them in full, with how sure each is.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from importer.errors import ProtocolError
from importer.model import (
    Answer,
    Carried,
    Contact,
    Conversation,
    Direction,
    Doubt,
    Ending,
    Judgement,
    Message,
    NoAnswer,
    Request,
    Step,
    StepKind,
    Verdict,
)
from importer.text import head

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

    def steps(self, job: Conversation, *, created: bool = False) -> tuple[Step, ...]:
        """The creations of one conversation, in the order in which they must happen; of its messages only,
        where the conversation is `created` already."""
        if created:
            return tuple(_message_step(job, message) for message in job.messages)
        carried = self._carried(job)
        first = Step(
            StepKind.CONVERSATION,
            job.ticket_id,
            "",
            carries=(Carried(carried.message_id, carried.fingerprint),) if carried else (),
            fingerprint=job.fingerprint,
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

    def expected(self, request: Request, ids: Mapping[str, str]) -> dict[str, Any]:
        """By what the thing that a request creates is told from others when it is read back."""
        body = request.json
        if "requester_id" in body:
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

    def losses(self, job: Conversation) -> Counter[str]:
        """What this API cannot carry of a conversation, and how often."""
        callback = self.settings.kind == "callback"
        return Counter(
            {
                "times of messages (they stand in the texts)": len(job.messages),
                "subjects as a field (they stand in the first text)": int(
                    callback and job.subject is not None
                ),
                "closed or pending states: no operation closes a conversation": int(
                    job.status not in (None, "open")
                ),
                "assignees": int(job.assigned),
                "CC addresses": sum(bool(message.cc) for message in job.messages),
                "texts in HTML (they become plain)": sum(message.from_html for message in job.messages),
                "names of attachments": sum(bool(file.name) for m in job.messages for file in m.attachments),
                "tags": 0 if callback else len(job.tags),
                "custom fields": len(job.custom),
            }
        )

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
            body["author_id"] = ids[message.author.key]  # not documented who may stand here
        if message.from_email:
            body["from_email"] = message.from_email
        if message.to_email:
            body["to_email"] = message.to_email
        if message.attachments:
            body["attachments"] = [{"url": file.url} for file in message.attachments]
        return body

    def _text(self, message: Message, index: int, job: Conversation) -> str:
        templates = [self.settings.opening_head if index == 0 else "", self.settings.head]
        heads = [
            head(
                template,
                ticket_id=job.ticket_id,
                subject=job.subject,
                message_id=message.message_id,
                created_at=message.created_at,
                author=message.author_name,
                direction=message.direction.value,
                zone=self.settings.zone,
            )
            for template in templates
            if template
        ]
        return "\n".join(heads) + ("\n\n" if heads and message.text else "") + message.text

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


def find_person(contact: Contact) -> Request:
    query = {"email": contact.email} if contact.email else {"phone_number": contact.phone or ""}
    return Request("GET", "/v1/users", query=query)


def person_in(answer: Answer, contact: Contact) -> str | None:
    """The id of the user in a list of users who has exactly this address; the API's matching rules are not
    documented, so its list is checked."""
    for user in rows(answer):
        email, phone = user.get("email"), user.get("phone_number")
        same_email = contact.email and isinstance(email, str) and email.lower() == contact.email.lower()
        if same_email or (not contact.email and contact.phone and phone == contact.phone):
            return str(user["id"])
    return None


def create_person(contact: Contact) -> Request:
    body = {"name": contact.name, "email": contact.email, "phone_number": contact.phone}
    return Request("POST", "/v1/users", json={name: value for name, value in body.items() if value})


def list_queues() -> Request:
    return Request("GET", "/v1/queues")


def list_tags() -> Request:
    return Request("GET", "/v1/tags")


def list_endpoints(kind: str) -> Request:
    return Request("GET", "/v1/endpoints", query={"type": ENDPOINT_TYPES[kind]})


def endpoint_id(item: Mapping[str, Any], kind: str) -> str | None:
    """What a creation must name: the phone endpoint's id where it has one, else its number; the e-mail
    endpoint's internal address."""
    endpoint = item.get(ENDPOINT_TYPES[kind]) or {}
    if kind == "callback":
        return endpoint.get("id") or endpoint.get("phone_number")
    return endpoint.get("internal_email_address") or endpoint.get("id")


def endpoint_names(item: Mapping[str, Any]) -> list[str]:
    """Every name by which a user may mean this endpoint."""
    return [
        str(value)
        for endpoint in item.values()
        if isinstance(endpoint, dict)
        for value in endpoint.values()
        if value
    ]


def rows(answer: Answer) -> list[dict[str, Any]]:
    """The objects of a list answer. Raises ProtocolError where `data` is no list."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    if not isinstance(data, list):
        raise ProtocolError(f"a list was expected, but Dixa answered {answer.status}: {answer.text[:200]!r}")
    return [item for item in data if isinstance(item, dict)]


def next_page(answer: Answer, base_url: str) -> Request | None:
    """The request for the page after this one; None at the end. The link is followed as given, on the same
    origin only: the token must not travel elsewhere."""
    paging = answer.json.get("paging") if isinstance(answer.json, dict) else None
    link = paging.get("next_page") if isinstance(paging, dict) else None
    if not link:
        return None
    parts, home = urlsplit(str(link)), urlsplit(base_url)
    if parts.netloc and (parts.scheme, parts.netloc) != (home.scheme, home.netloc):
        raise ProtocolError(f"the next page lies on another host ({parts.netloc}); it is not followed")
    return Request("GET", parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)))


def created_id(answer: Answer) -> str | None:
    """The id in a creation's answer, or None where it is not to be found."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    value = data.get("id") if isinstance(data, dict) else None
    return str(value) if value not in (None, "") else None


def text_mark(text: str) -> str:
    """A hash by which a text is known again, whatever was done to its blanks and line ends on the way."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()


def requested_conversations(user_id: str) -> Request:
    return Request("GET", f"/v1/users/{user_id}/requested_conversations", query={"limit": "200"})


def messages_of(csid: str) -> Request:
    return Request("GET", f"/v1/conversations/{csid}/messages")


def could_be_conversation(item: Mapping[str, Any], doubt: Doubt) -> bool:
    """Whether a conversation of the requester's has what never changes in common with the one in doubt. (The
    subject and the endpoint are not shown.)"""
    wanted = doubt.expected
    same = (
        item.get(name) == wanted[name]
        for name in ("channel", "direction")
        if wanted[name] is not None and item.get(name) is not None
    )
    return all(same)


def is_conversation(
    item: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], doubt: Doubt
) -> bool | None:
    """Whether it is the one in doubt. A contact form begins with the text that was sent. A callback has
    nothing of ours in it yet: as it was created it is taken for ours; None where somebody may have written
    into it or moved it since, so that it cannot be told."""
    if doubt.expected["text"] is not None:
        return bool(messages) and _same_text(by_time(messages)[0], doubt.expected["text"])
    moved = item.get("queue_id") not in (None, doubt.expected["queue_id"])
    return None if messages or moved else True


def could_be_message(item: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether a message has author and text in common with the one in doubt, as far as it shows them."""
    author = expected["author_id"]
    same_author = author is None or item.get("author_id") in (None, author)
    return same_author and _same_text(item, expected["text"])


def message_key(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """By what equal messages are counted: author and text mark; None where the text is not shown."""
    text = _text_of(item)
    return None if text is None else (str(item.get("author_id")), text_mark(text))


def by_time(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Messages in the order of their creation; in which order the API lists them is not documented. Items of
    the same instant keep the order of the list."""
    return sorted(items, key=lambda item: created_at(item) or 0.0)


def created_at(item: Mapping[str, Any]) -> float | None:
    """Unix time, whether a colon or a point stands before the milliseconds."""
    match = _STAMP.fullmatch(str(item.get("created_at") or ""))
    if match is None:
        return None
    head, fraction = match.groups()
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _same_text(item: Mapping[str, Any], mark: str) -> bool:
    text = _text_of(item)
    return text is None or text_mark(text) == mark


def _text_of(item: Mapping[str, Any]) -> str | None:
    attributes = item.get("attributes")
    text = attributes.get("text") if isinstance(attributes, dict) else None
    return text if isinstance(text, str) else None


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the table: an ending, what it proves, and why."""

    ending: str
    matches: Callable[[Ending], bool]
    verdict: Verdict
    why: str


def _status(*wanted: int) -> Callable[[Ending], bool]:
    return lambda ending: isinstance(ending, Answer) and ending.status in wanted


# How a creation can end, read from above; the API documents no error at all, so what a status means is what
# it means in HTTP, and what proves nothing is in doubt.
CREATION_ENDINGS: tuple[_Line, ...] = (
    _Line(
        "not sent",
        lambda e: isinstance(e, NoAnswer) and not e.sent,
        Verdict.AGAIN,
        "no connection was made, so no byte of it arrived",
    ),
    _Line(
        "no answer",
        lambda e: isinstance(e, NoAnswer),
        Verdict.IN_DOUBT,
        "it may have arrived and been carried out before the connection broke",
    ),
    _Line(
        "2xx with an id",
        lambda e: isinstance(e, Answer) and 200 <= e.status < 300 and created_id(e) is not None,
        Verdict.CREATED,
        "Dixa names what it created",
    ),
    _Line(
        "2xx without an id",
        lambda e: isinstance(e, Answer) and 200 <= e.status < 300,
        Verdict.IN_DOUBT,
        "something was created, but the answer does not say what",
    ),
    _Line("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "refused before it was looked at"),
    _Line("429", _status(429), Verdict.AGAIN, "over the limit, refused before it was looked at"),
    _Line(
        "503 with Retry-After",
        lambda e: isinstance(e, Answer) and e.status == 503 and e.retry_after_seconds is not None,
        Verdict.AGAIN,
        "the host says that it takes no requests now and when to come back",
    ),
    _Line("408", _status(408), Verdict.IN_DOUBT, "a proxy may have passed it on before it gave up"),
    _Line(
        "5xx",
        lambda e: isinstance(e, Answer) and e.status >= 500,
        Verdict.IN_DOUBT,
        "the fault may have come after the creation",
    ),
    _Line("other", lambda e: True, Verdict.REFUSED, "refused for what it says; nothing was created"),
)

# Reading changes nothing, so all that may pass is asked again.
READ_ENDINGS: tuple[_Line, ...] = (
    _Line("no answer", lambda e: isinstance(e, NoAnswer), Verdict.AGAIN, "reading may be repeated"),
    _Line("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "the token is not accepted"),
    _Line("408, 429", _status(408, 429), Verdict.AGAIN, "not now"),
    _Line(
        "5xx",
        lambda e: isinstance(e, Answer) and e.status >= 500,
        Verdict.AGAIN,
        "reading may be repeated",
    ),
    _Line(
        "2xx that is no JSON",
        lambda e: isinstance(e, Answer) and 200 <= e.status < 300 and e.json is None,
        Verdict.AGAIN,
        "cut short on its way",
    ),
    _Line("2xx", lambda e: isinstance(e, Answer) and 200 <= e.status < 300, Verdict.CREATED, "read"),
    _Line("other", lambda e: True, Verdict.REFUSED, "there is no such thing"),
)


def judge(ending: Ending, *, creates: bool) -> Judgement:
    """What an ending proves, by the table; the reason quotes Dixa's own words."""
    table = CREATION_ENDINGS if creates else READ_ENDINGS
    line = next(line for line in table if line.matches(ending))
    if isinstance(ending, NoAnswer):
        return Judgement(line.verdict, reason=ending.reason)
    dixa_id = created_id(ending) if creates and line.verdict is Verdict.CREATED else None
    return Judgement(line.verdict, dixa_id, _words(ending), ending.retry_after_seconds)


def _words(answer: Answer) -> str:
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    words = str(message) if message else " ".join(answer.text.split())[:300]
    words = words.encode(
        "utf-8", "replace"
    ).decode()  # a text cut between two surrogates can be stored nowhere
    return f"{answer.status}: {words}" if words else str(answer.status)
