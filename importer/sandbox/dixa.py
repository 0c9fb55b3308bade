"""The operations of Dixa API v1 on the sandbox's store. Each is named after its operationId in
schemas/api/dixa.yaml. They have the peculiarities that the documentation shows: single failures inside a
success, and times that end in `Z[GMT]`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from importer.sandbox import dixa_shapes as shapes
from importer.sandbox.contract import Call, Refusal
from importer.sandbox.dixa_shapes import EMAIL
from importer.sandbox.store import Store, StoredRow
from importer.sandbox.view import View

PAGE_SIZE = 50
ANONYMIZING_SECONDS = 2.0
# The names of generic channels that any version of Dixa's documentation has shown.
CHANNELS = frozenset({EMAIL, "genericapimessaging", "widgetchat"})
_NOBODY = "00000000-0000-4000-8000-000000000000"

Reply = tuple[int, dict[str, Any] | None]


class _RefusedError(Exception):
    """A request is refused because of a part of its body."""

    def __init__(self, message: str) -> None:
        self.problem = Refusal(400, message)


@dataclass(frozen=True, slots=True)
class DixaSandbox:
    """The operations on one store. `now` returns the current time."""

    store: Store
    view: View = field(default_factory=View)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    # Conversations.

    def import_conversation(self, call: Call) -> Reply | Refusal:
        """Create a conversation with its messages. What could not be created is in `partialErrors`."""
        body = call.body
        try:
            self._check_import(body)
            messages, errors = self._messages(body, call)
            assignment = self._assignment(body.get("assignment"), call, errors)
            closing = body.get("closing")
            closed_at = _utc(closing["closedAt"]) if closing else None
            with self.store.transaction():
                conversation = self.store.insert(
                    "conversations",
                    requester_id=body["requesterId"],
                    channel=body["genericChannelName"],
                    direction=body["direction"],
                    subject=body.get("attributes", {}).get("subject"),
                    endpoint_id=body.get("attributes", {}).get("emailIntegrationId"),
                    tags=[],
                    created_at=_utc(body["createdAt"]),
                    external_id=body.get("externalId"),
                    state="Closed" if closing else "Open",
                    state_at=closed_at or self._now(),
                    assignment=assignment,
                )
                for message in messages:
                    self.store.insert("messages", csid=conversation["id"], **message)
        except _RefusedError as refused:
            return refused.problem
        found = [{"message": error} for error in errors]
        return 201, {"data": {"id": conversation["id"], **({"partialErrors": found} if found else {})}}

    def get_conversation(self, call: Call) -> Reply | Refusal:
        row = self._conversation(call)
        return (200, {"data": self._shown(row)}) if row else _no_conversation()

    def list_messages(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        rows = self.store.all(
            "SELECT * FROM messages WHERE csid = ? ORDER BY substr(created_at, 1, 23), n", conversation["id"]
        )
        whole = self._is_hidden(conversation)
        requester = self._user(conversation["requester_id"])
        return 200, {
            "data": [
                shapes.message(
                    row,
                    self.view,
                    author=self._user(row["author_id"]),
                    requester=requester,
                    endpoint=conversation["endpoint_id"],
                    hidden=whole or self._is_anonymized(f"{row['csid']}_{row['id']}"),
                )
                for row in rows
                if self.view.lists(row["born"])
            ]
        }

    def close_conversation(self, call: Call) -> Reply | Refusal:
        user_id = call.body.get("userId")
        if user_id and not self._is_agent(user_id):
            return Refusal(400, "The user is not an agent or administrator.")
        return self._changed(call, state="Closed", state_at=self._now())

    def claim_conversation(self, call: Call) -> Reply | Refusal:
        agent_id = call.body["agentId"]
        conversation = self._conversation(call)
        if conversation is None or not self._is_agent(agent_id):
            return Refusal(404, "There is no such conversation or agent.")
        holder = (conversation["assignment"] or {}).get("agentId")
        if holder not in (None, agent_id) and not call.body.get("force", False):
            return Refusal(409, "The conversation is assigned to another agent.")
        assignment = {"agentId": agent_id, "assignedAt": self._now()}
        return self._changed(call, assignment=assignment, state="Open", state_at=self._now())

    def transfer_to_queue(self, call: Call) -> Reply | Refusal:
        if self.store.one("SELECT 1 FROM queues WHERE id = ?", call.body["queueId"]) is None:
            return Refusal(400, "There is no such queue.")
        user_id = call.body.get("userId")
        if user_id and not self._is_agent(user_id):
            return Refusal(400, "The user is not an agent or administrator.")
        return self._changed(call, queue_id=call.body["queueId"], queued_at=self._now(), assignment=None)

    def set_conversation_attributes(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        values = dict(conversation["attributes"])
        for attribute_id, value in call.body.items():
            definition = self.store.one("SELECT * FROM attributes WHERE id = ?", attribute_id)
            if definition is None:
                return Refusal(404, f"There is no custom attribute {attribute_id}.")
            chosen = value if isinstance(value, list) else [value]
            if definition["options"] and not set(chosen) <= set(definition["options"]):
                return Refusal(400, f"{definition['label']}: the value is none of its options.")
            values[attribute_id] = value
        self._changed(call, attributes=values)
        return 200, {"data": self._attributes(values)}

    # Notes.

    def list_notes(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        rows = self.store.all(
            "SELECT * FROM notes WHERE csid = ? ORDER BY substr(created_at, 1, 23), n", conversation["id"]
        )
        hidden = self._is_hidden(conversation)
        listed = [row for row in rows if self.view.lists(row["born"])]
        return 200, {"data": [self._note(row, hidden=hidden) for row in listed]}

    def create_note(self, call: Call) -> Reply | Refusal:
        if self._conversation(call) is None:
            return _no_conversation()
        try:
            return 200, {"data": self._note(self._add_note(call, call.body))}
        except _RefusedError as refused:
            return refused.problem

    def create_notes(self, call: Call) -> Reply | Refusal:
        if self._conversation(call) is None:
            return _no_conversation()
        results: list[dict[str, Any]] = []
        notes = call.body["data"]
        with self.store.transaction():
            for number, note in enumerate(notes):
                if call.refuse_one and number == len(notes) - 1:
                    results.append(shapes.failed("The note could not be stored."))
                    continue
                try:
                    results.append(shapes.done(self._note(self._add_note(call, note))))
                except _RefusedError as refused:
                    results.append(shapes.failed(refused.problem.message))
        return 200, {"data": results}

    # Tags.

    def list_tags(self, call: Call) -> Reply | Refusal:
        everything = call.query.get("includeDeactivated") == "true"
        where = "" if everything else "WHERE state = 'Active'"
        rows = self.store.all(f"SELECT id, name, state FROM tags {where} ORDER BY n")  # noqa: S608 - a constant
        return 200, {"data": rows}

    def create_tag(self, call: Call) -> Reply | Refusal:
        return 200, {"data": self._tag(call.body["name"])}

    def list_conversation_tags(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        return 200, {"data": [self._tag(name) for name in self._listed_tags(conversation)]}

    def add_tags(self, call: Call) -> Reply | Refusal:
        if self._conversation(call) is None:
            return _no_conversation()
        names = [self._tag(tag["name"])["name"] for tag in call.body["data"]]
        reply = self._tagged(call, lambda tags: list(dict.fromkeys([*tags, *names])))
        return reply if isinstance(reply, Refusal) else (202, None)

    def add_tag(self, call: Call) -> Reply | Refusal:
        tag = self.store.one("SELECT * FROM tags WHERE id = ? AND state = 'Active'", call.path["tagId"])
        if tag is None:
            return Refusal(404, "There is no such active tag.")
        return self._tagged(call, lambda tags: list(dict.fromkeys([*tags, tag["name"]])))

    def remove_tag(self, call: Call) -> Reply | Refusal:
        tag = self.store.one("SELECT * FROM tags WHERE id = ?", call.path["tagId"])
        if tag is None:
            return Refusal(404, "There is no such tag.")
        return self._tagged(call, lambda tags: [name for name in tags if name != tag["name"]])

    # People.

    def list_end_users(self, call: Call) -> Reply | Refusal:
        columns = {"email": "email", "phone": "phone_number", "externalId": "external_id"}
        filters = {name: call.query[name] for name in columns if name in call.query}
        if len(filters) > 1:
            return Refusal(400, "Only one of email, phone and externalId is allowed.")
        where = ["roles = '[]'", *(f"{columns[name]} = ?" for name in filters), self.view.condition()]
        return self._page("/v1/endusers", "users", where, call, filters, self._end_user)

    def create_end_user(self, call: Call) -> Reply | Refusal:
        try:
            return 201, {"data": self._single_end_user(self._add_end_user(call.body))}
        except _RefusedError as refused:
            return refused.problem

    def create_end_users(self, call: Call) -> Reply | Refusal:
        results: list[dict[str, Any]] = []
        users = call.body["data"]
        for number, user in enumerate(users):
            if call.refuse_one and number == len(users) - 1:
                results.append(shapes.failed("Not now.", _type="Infrastructure", id=self._nobody(number)))
                continue
            try:
                results.append(shapes.done(self._end_user(self._add_end_user(user))))
            except _RefusedError as refused:
                message, nobody = refused.problem.message, self._nobody(number)
                results.append(shapes.failed(message, _type="Integrity", id=nobody))
        return 201, {"data": results}

    def get_end_user(self, call: Call) -> Reply | Refusal:
        row = self._user(call.path["userId"])
        return (
            (200, {"data": self._single_end_user(row)}) if row else Refusal(404, "There is no such end user.")
        )

    def list_end_user_conversations(self, call: Call) -> Reply | Refusal:
        user_id = call.path["userId"]
        if self._user(user_id) is None:
            return Refusal(404, "There is no such end user.")
        path = f"/v1/endusers/{user_id}/conversations"
        where = ["requester_id = ?", self.view.condition()]
        return self._page(path, "conversations", where, call, {}, self._shown, user_id)

    def list_agents(self, call: Call) -> Reply | Refusal:
        columns = {"email": "email", "phone": "phone_number"}
        filters = {name: call.query[name] for name in columns if name in call.query}
        if len(filters) > 1:
            return Refusal(400, "Only one of email and phone is allowed.")
        where = ["roles != '[]'", *(f"{columns[name]} = ?" for name in filters)]
        return self._page("/v1/agents", "users", where, call, filters, self._agent)

    # The account.

    def list_queues(self, call: Call) -> Reply | Refusal:
        return 200, {"data": [self._queue(row) for row in self.store.all("SELECT * FROM queues ORDER BY n")]}

    def get_queue(self, call: Call) -> Reply | Refusal:
        row = self.store.one("SELECT * FROM queues WHERE id = ?", call.path["queueId"])
        return (200, {"data": self._queue(row)}) if row else Refusal(404, "There is no such queue.")

    def list_contact_endpoints(self, call: Call) -> Reply | Refusal:
        kinds = {"EmailEndpoint": "email_address", "TelephonyEndpoint": "phone_number"}
        wanted = kinds.get(call.query.get("_type", ""))
        rows = self.store.all("SELECT * FROM endpoints WHERE ? IN (type, '') ORDER BY n", wanted or "")
        return 200, {"data": [shapes.endpoint(row) for row in rows]}

    def get_contact_endpoint(self, call: Call) -> Reply | Refusal:
        row = self.store.one("SELECT * FROM endpoints WHERE address = ?", call.path["contactEndpointId"])
        return (200, {"data": shapes.endpoint(row)}) if row else Refusal(404, "There is no such endpoint.")

    def list_custom_attributes(self, call: Call) -> Reply | Refusal:
        rows = self.store.all("SELECT * FROM attributes ORDER BY n")
        return 200, {"data": [shapes.definition(row) for row in rows]}

    def get_organization(self, call: Call) -> Reply | Refusal:
        names = {"name": "Sandbox", "subdomain": "sandbox", "status": "Active"}
        return 200, {"data": {"id": self._organization_id(), **names}}

    # Anonymization.

    def anonymize_conversation(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        if conversation["state"] != "Closed" and call.query.get("force") != "true":
            return Refusal(409, "The conversation is not closed; force overrides this.")
        return self._anonymize(str(conversation["id"]), "Conversation")

    def anonymize_message(self, call: Call) -> Reply | Refusal:
        csid, message_id = call.path["conversationId"], call.path["messageId"]
        if self.store.one("SELECT 1 FROM messages WHERE csid = ? AND id = ?", csid, message_id) is None:
            return Refusal(404, "There is no such message.")
        return self._anonymize(f"{csid}_{message_id}", "Message")

    def anonymize_end_user(self, call: Call) -> Reply | Refusal:
        user_id = call.path["userId"]
        if self._user(user_id) is None:
            return Refusal(404, "There is no such end user.")
        query = "SELECT 1 FROM conversations WHERE requester_id = ? AND state != 'Closed'"
        if self.store.one(query, user_id) and call.query.get("force") != "true":
            return Refusal(409, "The end user has open conversations; force overrides this.")
        return self._anonymize(user_id, "User")

    def get_anonymization_request(self, call: Call) -> Reply | Refusal:
        row = self.store.one("SELECT * FROM anonymizations WHERE id = ?", call.path["requestId"])
        if row is None:
            return Refusal(404, "There is no such anonymization request.")
        return 200, {"data": self._request(row)}

    # Parts of the operations.

    def _check_import(self, body: Mapping[str, Any]) -> None:
        if body["genericChannelName"] not in CHANNELS:
            raise _RefusedError(f"The channel {body['genericChannelName']!r} is not supported.")
        if self._user(body["requesterId"]) is None:
            raise _RefusedError("The requester does not exist.")
        if body["genericChannelName"] == EMAIL:
            self._check_endpoint(body.get("attributes", {}).get("emailIntegrationId"))
        closing = body.get("closing")
        if closing and self._user(closing["closedBy"]) is None:
            raise _RefusedError("The user who closed it does not exist.")

    def _check_endpoint(self, address: Any) -> None:
        query = "SELECT 1 FROM endpoints WHERE type = 'email_address' AND address = ?"
        if not isinstance(address, str) or self.store.one(query, address) is None:
            raise _RefusedError("The attribute emailIntegrationId names no e-mail endpoint.")

    def _messages(self, body: Mapping[str, Any], call: Call) -> tuple[list[dict[str, Any]], list[str]]:
        """The rows to insert, and an error for each attachment that could not be fetched."""
        rows: list[dict[str, Any]] = []
        errors: list[str] = []
        refuse_one = call.refuse_one
        for message in body.get("messages", []):
            attributes = message.get("attributes", {})
            outbound = message["_type"] == "OutboundImport"
            if body["genericChannelName"] == EMAIL and "emailIntegrationId" in attributes:
                self._check_endpoint(attributes["emailIntegrationId"])
            author = message["agentId"] if outbound else attributes.get("requesterId", body["requesterId"])
            if self._user(author) is None or (outbound and not self._is_agent(author)):
                raise _RefusedError(f"The {'agent' if outbound else 'author'} {author} does not exist.")
            files = []
            for file in message.get("attachments", []):
                if refuse_one or file["url"] in call.unreachable or not _is_url(file["url"]):
                    refuse_one = False
                    errors.append(
                        f"The attachment {file['url']} of the message with external id "
                        f"'{message.get('externalId', '')}' could not be downloaded."
                    )
                    continue
                files.append(file)
            rows.append(
                {
                    "author_id": author,
                    "channel": body["genericChannelName"],
                    "direction": "Outbound" if outbound else "Inbound",
                    "text": message["content"]["value"],
                    "attachments": files,
                    "created_at": _utc(message["createdAt"]),
                    "external_id": message.get("externalId"),
                    "more": {
                        "content": message["content"]["_type"],
                        "cc": attributes.get("cc", []) if outbound else [],
                        "bcc": attributes.get("bcc", []) if outbound else [],
                    },
                }
            )
        return rows, errors

    def _assignment(
        self, wanted: Mapping[str, Any] | None, call: Call, errors: list[str]
    ) -> dict[str, Any] | None:
        if not wanted:
            return None
        if not self._is_agent(wanted["agentId"]) or (call.refuse_one and not errors):
            errors.append("The conversation could not be assigned.")
            return None
        return {"agentId": wanted["agentId"], "assignedAt": _utc(wanted["assignedAt"])}

    def _add_note(self, call: Call, note: Mapping[str, Any]) -> StoredRow:
        agent_id = note.get("agentId")
        if agent_id and not self._is_agent(agent_id):
            raise _RefusedError(f"The agent {agent_id} does not exist.")
        return self.store.insert(
            "notes",
            csid=call.path["conversationId"],
            author_id=agent_id or _NOBODY,
            message=note["message"],
            created_at=_utc(note["createdAt"]) if "createdAt" in note else self._now(),
        )

    def _nobody(self, number: int) -> str:
        """The id of an end user who was not created: errors name the one whom they are about."""
        return self.store.number("refused end users", number)

    def _add_end_user(self, body: Mapping[str, Any]) -> StoredRow:
        for name, column in (("email", "email"), ("phoneNumber", "phone_number")):
            query = f"SELECT 1 FROM users WHERE {column} = ?"  # noqa: S608 - names are ours
            if body.get(name) and self.store.one(query, body[name]):
                raise _RefusedError(f"Another user has this {name}.")
        return self.store.insert(
            "users",
            email=body.get("email"),
            phone_number=body.get("phoneNumber"),
            name=body.get("displayName"),
            roles=[],
            external_id=body.get("externalId"),
            created_at=self._now(),
            more={name: value for name, value in body.items() if name in _NAMES},
        )

    def _tag(self, name: str) -> StoredRow:
        """The tag of this name, created if there is none."""
        row = self.store.one("SELECT id, name, state FROM tags WHERE name = ?", name)
        return row or {
            k: v for k, v in self.store.insert("tags", name=name).items() if k in ("id", "name", "state")
        }

    def _tagged(self, call: Call, change: Callable[[list[str]], list[str]]) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        return self._changed(
            call,
            tags=change(conversation["tags"]),
            tags_before=self._listed_tags(conversation),
            tags_born=time.time(),
        )

    def _listed_tags(self, conversation: StoredRow) -> list[str]:
        """The tags that a list shows yet: those before the last changes, if it lags."""
        seen = self.view.lists(conversation["tags_born"])
        tags: list[str] = conversation["tags" if seen else "tags_before"]
        return tags

    def _changed(self, call: Call, **values: Any) -> Reply | Refusal:
        if self._conversation(call) is None:
            return _no_conversation()
        self.store.update("conversations", call.path["conversationId"], **values)
        return 204, None

    def _conversation(self, call: Call) -> StoredRow | None:
        return self.store.one("SELECT * FROM conversations WHERE id = ?", call.path["conversationId"])

    def _user(self, user_id: str) -> StoredRow | None:
        return self.store.one("SELECT * FROM users WHERE id = ?", user_id)

    def _is_agent(self, user_id: str) -> bool:
        return self.store.one("SELECT 1 FROM users WHERE id = ? AND roles != '[]'", user_id) is not None

    def _now(self) -> str:
        return _stamp(self.now())

    def _shown(self, row: StoredRow) -> dict[str, Any]:
        shown = shapes.conversation(
            row,
            self.view,
            requester=self._user(row["requester_id"]),
            attributes=self._attributes(row["attributes"]),
        )
        return shapes.anonymized(shown, self._now()) if self._is_hidden(row) else shown

    def _end_user(self, row: StoredRow) -> dict[str, Any]:
        return shapes.end_user(row, self.view)

    def _single_end_user(self, row: StoredRow) -> dict[str, Any]:
        return {**self._end_user(row), "customAttributes": []}

    def _agent(self, row: StoredRow) -> dict[str, Any]:
        return shapes.agent(row, self.view)

    def _note(self, row: StoredRow, *, hidden: bool = False) -> dict[str, Any]:
        return shapes.note(row, self.view, hidden=hidden)

    def _queue(self, row: StoredRow) -> dict[str, Any]:
        return shapes.queue(row, self._organization_id())

    def _organization_id(self) -> str:
        return self.store.number("organizations", 1)

    def _attributes(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        shown = []
        for attribute_id, value in values.items():
            definition = self.store.one("SELECT * FROM attributes WHERE id = ?", attribute_id)
            if definition:
                names = {"name": definition["label"], "identifier": definition["identifier"]}
                shown.append({"id": attribute_id, **names, "value": value})
        return shown

    def _anonymize(self, entity_id: str, kind: str) -> Reply:
        row = self.store.insert(
            "anonymizations", entity_id=entity_id, entity_type=kind, initiated_at=self._now()
        )
        return 202, {"data": self._request(row)}

    def _request(self, row: StoredRow) -> dict[str, Any]:
        request = {
            "_type": row["entity_type"],
            "id": row["id"],
            "entityType": f"{row['entity_type']}AnonymizationType",
            "targetEntityId": row["entity_id"],
            "initiatedAt": row["initiated_at"],
            "requestedBy": _NOBODY,
        }
        return {**request, "processedAt": self._now()} if self._is_done(row) else request

    def _is_hidden(self, conversation: StoredRow) -> bool:
        """Whether nothing of a conversation can be read any more, because of itself or of its requester."""
        return self._is_anonymized(str(conversation["id"]), conversation["requester_id"])

    def _is_anonymized(self, *entity_ids: str) -> bool:
        marks = ", ".join("?" * len(entity_ids))
        query = f"SELECT * FROM anonymizations WHERE entity_id IN ({marks})"  # noqa: S608 - question marks
        return any(self._is_done(row) for row in self.store.all(query, *entity_ids))

    def _is_done(self, request: StoredRow) -> bool:
        started = datetime.fromisoformat(request["initiated_at"].removesuffix("[GMT]"))
        return (self.now() - started).total_seconds() >= ANONYMIZING_SECONDS

    def _page(
        self,
        path: str,
        table: str,
        where: Sequence[str],
        call: Call,
        filters: Mapping[str, str],
        shape: Callable[[StoredRow], dict[str, Any]],
        *more: Any,
    ) -> Reply:
        """The rows after the page key. An unknown key returns the first page."""
        number = "id" if table == "conversations" else "n"
        key = call.query.get("pageKey", "")
        after = int(key) if key.isdecimal() and len(key) < 19 else 0
        size = call.query.get("pageLimit", PAGE_SIZE)
        condition = " AND ".join([f"{number} > ?", *where])
        query = f"SELECT * FROM {table} WHERE {condition} ORDER BY {number} LIMIT ?"  # noqa: S608 - names are ours
        rows = self.store.all(query, after, *filters.values(), *more, size + 1)
        link = None
        if len(rows) > size:
            rows = rows[:size]
            limit = {"pageLimit": size} if "pageLimit" in call.query else {}
            link = f"{path}?{urlencode({**filters, **limit, 'pageKey': rows[-1][number]})}"
        return 200, {"data": [shape(row) for row in rows], "meta": {"next": link} if link else {}}


_NAMES = frozenset(
    {"firstName", "middleNames", "lastName", "additionalEmails", "additionalPhoneNumbers", "avatarUrl"}
)


def _utc(text: str) -> str:
    """A time of a request in UTC, as responses give it."""
    try:
        at = datetime.fromisoformat(text.upper().removesuffix("[GMT]")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _RefusedError(f"{text!r} is not a time.") from None
    return _stamp(at)


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds" if at.microsecond % 1000 else "milliseconds").replace(
        "+00:00", "Z[GMT]"
    )


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _no_conversation() -> Refusal:
    return Refusal(404, "There is no such conversation.")
