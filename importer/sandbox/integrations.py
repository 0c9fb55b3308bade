"""The operations of the Integrations API on the sandbox's store. Each is named after its operationId in
schemas/api/integrations.yaml. They have the mistakes that the real documentation shows: a colon before the
milliseconds, and `activity_timestmap`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from importer.sandbox.contract import Call, Refusal
from importer.sandbox.store import Store, StoredRow
from importer.sandbox.view import View

PAGE_SIZE = 50
ANONYMIZING_SECONDS = 2.0

# The type of endpoint that a conversation comes in by.
_KINDS = {"callback": "phone_number", "contact_form": "email_address"}

Reply = tuple[int, dict[str, Any]]
Handler = Callable[["IntegrationsSandbox", Call], Reply | Refusal]


@dataclass(frozen=True, slots=True)
class IntegrationsSandbox:
    """The operations on one store. `now` returns the current time."""

    store: Store
    view: View = field(default_factory=View)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def list_users(self, call: Call) -> Reply | Refusal:
        filters = {name: call.query[name] for name in ("email", "phone_number") if name in call.query}
        where = " AND ".join(["n > ?", *(f"{name} = ?" for name in filters), self.view.condition()])
        return self._page("/v1/users", "users", where, call, filters, self._user)

    def create_user(self, call: Call) -> Reply | Refusal:
        body = call.body
        for name in ("email", "phone_number"):
            query = f"SELECT 1 FROM users WHERE {name} = ?"  # noqa: S608 - names are ours
            if body.get(name) and self.store.one(query, body[name]):
                return Refusal(409, f"Another user has this {name}.")
        user = self.store.insert(
            "users",
            email=body.get("email"),
            phone_number=body.get("phone_number"),
            name=body.get("name"),
            roles=[],
        )
        return 201, {"data": self._user(user)}

    def list_requested_conversations(self, call: Call) -> Reply | Refusal:
        user_id = call.path["userId"]
        if self.store.one("SELECT 1 FROM users WHERE id = ?", user_id) is None:
            return Refusal(404, "There is no such user.")
        path = f"/v1/users/{user_id}/requested_conversations"
        where = f"id > ? AND requester_id = ? AND {self.view.condition()}"
        return self._page(path, "conversations", where, call, {}, _conversation, user_id)

    def create_anonymization_request(self, call: Call) -> Reply | Refusal:
        body = call.body
        table = "users" if body["entity_type"] == "user" else "conversations"
        query = f"SELECT 1 FROM {table} WHERE CAST(id AS TEXT) = ?"  # noqa: S608 - names are ours
        if self.store.one(query, body["entity_id"]) is None:
            return Refusal(404, f"There is no such {body['entity_type']}.")
        open_ones = self.store.one(
            "SELECT count(*) AS n FROM conversations WHERE CAST(id AS TEXT) = ? OR requester_id = ?",
            body["entity_id"],
            body["entity_id"],
        )
        if open_ones and open_ones["n"] and not body.get("force_anonymization", False):
            return Refusal(409, "It still has open conversations; force_anonymization overrides this.")
        request = self.store.insert(
            "anonymizations",
            entity_id=body["entity_id"],
            entity_type=body["entity_type"],
            initiated_at=self._stamp(),
        )
        return 201, {"data": self._anonymization(request)}

    def get_anonymization_request(self, call: Call) -> Reply | Refusal:
        request = self.store.one("SELECT * FROM anonymizations WHERE id = ?", call.path["requestId"])
        if request is None:
            return Refusal(404, "There is no such anonymization request.")
        return 200, {"data": self._anonymization(request)}

    def list_tags(self, call: Call) -> Reply | Refusal:
        return 200, {"data": self.store.all("SELECT id, name FROM tags ORDER BY n")}

    def list_queues(self, call: Call) -> Reply | Refusal:
        return self._page("/v1/queues", "queues", "n > ?", call, {}, _queue)

    def get_queue(self, call: Call) -> Reply | Refusal:
        queue = self.store.one("SELECT * FROM queues WHERE id = ?", call.path["id"])
        return (200, {"data": _queue(queue)}) if queue else Refusal(404, "There is no such queue.")

    def list_endpoints(self, call: Call) -> Reply | Refusal:
        filters = {"type": call.query["type"]} if "type" in call.query else {}
        where = "n > ? AND type = ?" if filters else "n > ?"
        return self._page("/v1/endpoints", "endpoints", where, call, filters, _endpoint)

    def get_endpoint(self, call: Call) -> Reply | Refusal:
        endpoint = self.store.one(
            "SELECT * FROM endpoints WHERE id = ? OR address = ?", call.path["id"], call.path["id"]
        )
        return (
            (200, {"data": _endpoint(endpoint)}) if endpoint else Refusal(404, "There is no such endpoint.")
        )

    def create_conversation(self, call: Call) -> Reply | Refusal:
        body = call.body
        if self.store.one("SELECT 1 FROM users WHERE id = ?", body["requester_id"]) is None:
            return Refusal(404, "The requester does not exist.")
        kind, endpoint = _KINDS[body["channel"]], body.get("endpoint_id") or body.get("email_integration_id")
        found = self.store.one("SELECT type FROM endpoints WHERE ? IN (id, address)", endpoint)
        if found is None:
            return Refusal(404, "The endpoint does not exist.")
        if found["type"] != kind:
            return Refusal(400, f"A {body['channel']} needs an endpoint of the type {kind}.")
        for tag in body.get("tags", []):
            if self.store.one("SELECT 1 FROM tags WHERE name = ?", tag) is None:
                return Refusal(400, f"There is no tag {tag!r}.")
        queue_id = body.get("queue_id")
        if queue_id and self.store.one("SELECT 1 FROM queues WHERE id = ?", queue_id) is None:
            return Refusal(404, "The queue does not exist.")
        with self.store.transaction():
            conversation = self.store.insert(
                "conversations",
                requester_id=body["requester_id"],
                channel=body["channel"],
                direction=body.get("direction", "inbound"),
                subject=body.get("subject"),
                queue_id=queue_id,
                endpoint_id=endpoint,
                tags=body.get("tags", []),
                created_at=self._stamp(),
            )
            self._log(conversation["id"], "conversation_created_by_customer")
            if "message" in body:
                self._add_message(
                    conversation["id"],
                    author_id=body["requester_id"],
                    channel="contact_form",
                    direction="inbound",
                    text=body["message"]["text"],
                )
        return 201, {"data": _conversation(conversation)}

    def get_conversation(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        return (200, {"data": _conversation(conversation)}) if conversation else _no_conversation()

    def list_messages(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        rows = self.store.all("SELECT * FROM messages WHERE csid = ? ORDER BY n", conversation["id"])
        hidden = self._is_hidden(conversation)
        listed = [row for row in rows if self.view.lists(row["born"])]
        return 200, {"data": [self._message(row, hidden=hidden) for row in listed]}

    def add_historical_message(self, call: Call) -> Reply | Refusal:
        conversation = self._conversation(call)
        if conversation is None:
            return _no_conversation()
        body = call.body
        author_id = body.get("author_id", conversation["requester_id"])
        if self.store.one("SELECT 1 FROM users WHERE id = ?", author_id) is None:
            return Refusal(409, "The author does not exist.")
        with self.store.transaction():
            message = self._add_message(
                conversation["id"],
                author_id=author_id,
                channel=body.get("channel", conversation["channel"]),
                direction=body.get("direction", "inbound"),
                text=body.get("text"),
                from_email=body.get("from_email"),
                to_email=body.get("to_email"),
                attachments=body.get("attachments", []),
            )
        return 200, {"data": self._message(message)}

    def list_notes(self, call: Call) -> Reply | Refusal:
        return (200, {"data": []}) if self._conversation(call) else _no_conversation()

    def get_conversation_activity_log(self, call: Call) -> Reply | Refusal:
        if self._conversation(call) is None:
            return _no_conversation()
        rows = self.store.all("SELECT * FROM activities WHERE csid = ? ORDER BY n", call.path["csid"])
        return 200, {"data": [_activity(row) for row in rows]}

    def list_activity_log(self, call: Call) -> Reply | Refusal:
        ids = call.query.get("csids", [])
        marks = ", ".join("?" * len(ids))
        where = f"n > ? AND csid IN ({marks})" if ids else "n > ?"
        filters = {"csids": ",".join(map(str, ids))} if ids else {}
        return self._page(
            "/v1/conversations/activitylog", "activities", where, call, filters, _activity, *ids
        )

    def list_flows(self, call: Call) -> Reply | Refusal:
        return 200, {"data": []}

    def _add_message(self, csid: int, **values: Any) -> StoredRow:
        message = self.store.insert(
            "messages", csid=csid, created_at=self._stamp(), **{"attachments": [], **values}
        )
        inbound = values["direction"] == "inbound"
        self._log(csid, "message_added_by_customer" if inbound else "message_added_by_agent")
        return message

    def _log(self, csid: int, kind: str) -> None:
        self.store.insert("activities", csid=csid, type=kind, at=self._stamp())

    def _conversation(self, call: Call) -> StoredRow | None:
        return self.store.one("SELECT * FROM conversations WHERE id = ?", call.path["csid"])

    def _user(self, row: StoredRow) -> dict[str, Any]:
        shown = {name: row[name] for name in ("id", "email", "name", "roles")}
        number = row["phone_number"]
        return _given({**shown, "phone_number": number and self.view.phone(number)})

    def _message(self, row: StoredRow, *, hidden: bool = False) -> dict[str, Any]:
        """A message; nothing of what it says is left if it is `hidden`."""
        names = ("id", "created_at", "author_id", "channel", "direction")
        shown = {name: row[name] for name in names}
        if hidden:
            return {**shown, "attributes": {"text": ""}}
        attributes = _given(
            {
                "text": row["text"] and self.view.text(row["text"]),
                "from_email": row["from_email"],
                "to_emails": [row["to_email"]] if row["to_email"] else None,
                "attachments": [file["url"] for file in row["attachments"]] or None,
            }
        )
        return {**shown, "attributes": attributes}

    def _is_hidden(self, conversation: StoredRow) -> bool:
        """Whether nothing of a conversation can be read any more, because of itself or of its requester."""
        requests = self.store.all(
            "SELECT * FROM anonymizations WHERE entity_id IN (?, ?)",
            str(conversation["id"]),
            conversation["requester_id"],
        )
        return any(self._is_done(request) for request in requests)

    def _stamp(self) -> str:
        now = self.now()
        return f"{now:%Y-%m-%dT%H:%M:%S}:{now.microsecond // 1000:03}Z"

    def _anonymization(self, request: StoredRow) -> dict[str, Any]:
        return {
            "id": request["id"],
            "target_entity_id": request["entity_id"],
            "entity_type": request["entity_type"],
            "initiated_at": request["initiated_at"],
            "requested_by": "sandbox",
            **({"processed_at": self._stamp()} if self._is_done(request) else {}),
        }

    def _is_done(self, request: StoredRow) -> bool:
        started = datetime.strptime(request["initiated_at"], "%Y-%m-%dT%H:%M:%S:%fZ").replace(tzinfo=UTC)
        return (self.now() - started).total_seconds() >= ANONYMIZING_SECONDS

    def _page(
        self,
        path: str,
        table: str,
        where: str,
        call: Call,
        filters: Mapping[str, str],
        shape: Callable[[StoredRow], dict[str, Any]],
        *more: Any,
    ) -> Reply:
        """The rows after the cursor. An unknown cursor returns the first page."""
        number = "id" if table == "conversations" else "n"
        cursor = call.query.get("cursor", "")
        after = int(cursor) if cursor.isdecimal() and len(cursor) < 19 else 0
        size = call.query.get("limit", PAGE_SIZE)
        values = [after, *(more or filters.values()), size + 1]
        query = f"SELECT * FROM {table} WHERE {where} ORDER BY {number} LIMIT ?"  # noqa: S608 - names are ours
        rows = self.store.all(query, *values)
        link = None
        if len(rows) > size:
            rows = rows[:size]
            limit = {"limit": size} if "limit" in call.query else {}
            link = f"{path}?{urlencode({**filters, **limit, 'cursor': rows[-1][number]})}"
        paging = {"cursors": {"before": None, "after": None}, "next_page": link, "prev_page": None}
        return 200, {"data": [shape(row) for row in rows], "paging": paging}


def _no_conversation() -> Refusal:
    return Refusal(404, "There is no such conversation.")


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _queue(row: StoredRow) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "is_default": row["n"] == 1, "priority": row["n"]}


def _endpoint(row: StoredRow) -> dict[str, Any]:
    if row["type"] == "phone_number":
        return {"phone_number": {"id": row["id"], "phone_number": row["address"]}}
    return {"email_address": {"id": row["id"], "internal_email_address": row["address"]}}


def _conversation(row: StoredRow) -> dict[str, Any]:
    names = ("id", "created_at", "requester_id", "channel", "direction", "queue_id")
    return _given({**{name: row[name] for name in names}, "status": "open"})


def _activity(row: StoredRow) -> dict[str, Any]:
    return {
        "id": row["id"],
        "conversation_id": row["csid"],
        "activity_timestmap": row["at"],
        "activity_type": row["type"],
    }
