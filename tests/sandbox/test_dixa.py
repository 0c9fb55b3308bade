"""The sandbox of Dixa API v1. Every response is checked against schemas/api/dixa.yaml."""

import http.server
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from importer.resources import SCHEMAS
from importer.sandbox import Settings, dixa, running
from importer.sandbox.contract import load
from importer.sandbox.faults import HEADER
from importer.sandbox.server import Running

AGENTS = tuple(f"agent{number}@example.com" for number in range(1, 4))
NOBODY = "11111111-1111-4111-8111-111111111111"
ENDPOINT = {"emailIntegrationId": "imported@email.dixa.io"}
TEN, ELEVEN = "2024-01-01T10:00:00Z", "2024-01-01T11:00:00Z"
PARTIAL = {HEADER: "partial"}
IMPORT = "/v1/conversations/import"
DESCRIPTION = yaml.safe_load((SCHEMAS / "api" / "dixa.yaml").read_text("utf-8"))


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(Settings(api="dixa", rate=0, agents=AGENTS)) as state:
        yield state


@pytest.fixture
def file_url(tmp_path: Path) -> Iterator[str]:
    """An attachment that can be fetched."""
    files = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.HTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@cache
def response_schema(method: str, path: str, status: int) -> jsonschema_rs.Draft202012Validator | None:
    """The schema of a response: None if it has no body, KeyError if the description has no such response."""
    paths = DESCRIPTION["paths"]
    fitting = [template for template in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)]
    template = min(fitting, key=lambda template: template.count("{"))
    answer = paths[template][method.lower()]["responses"][str(status)]
    if "$ref" in answer:
        answer = DESCRIPTION["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    if "content" not in answer:
        return None
    schema = {**answer["content"]["application/json"]["schema"], "components": DESCRIPTION["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def ask(sandbox: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        sandbox.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": sandbox.token, "Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    schema = response_schema(method, path.partition("?")[0], status)
    assert bool(text) == (schema is not None), f"{method} {path}: {status} {text!r}"
    found = json.loads(text or b"null")
    if schema is not None:
        schema.validate(found)
    return status, found


def done(sandbox: Running, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The `data` of a successful response."""
    status, found = ask(sandbox, method, path, body, **headers)
    assert status < 300, found
    return found and found["data"]


def get(sandbox: Running, path: str) -> Any:
    return done(sandbox, "GET", path)


def end_user(sandbox: Running, **fields: Any) -> str:
    return str(done(sandbox, "POST", "/v1/endusers", fields)["id"])


def agent(sandbox: Running, number: int = 1) -> str:
    return str(get(sandbox, f"/v1/agents?email=agent{number}@example.com")[0]["id"])


def email(requester: str, **more: Any) -> dict[str, Any]:
    named = {"genericChannelName": "email", "requesterId": requester, "direction": "Inbound"}
    return {**named, "createdAt": TEN, "attributes": ENDPOINT, **more}


def message(kind: str = "Inbound", at: str = TEN, **more: Any) -> dict[str, Any]:
    return {"_type": f"{kind}Import", "content": {"_type": "Text", "value": "Hi"}, "createdAt": at, **more}


def imported(sandbox: Running, requester: str | None = None, **more: Any) -> str:
    """The path of a new conversation."""
    body = email(requester or end_user(sandbox), **more)
    return f"/v1/conversations/{done(sandbox, 'POST', IMPORT, body)['id']}"


def pages(sandbox: Running, path: str) -> list[list[Any]]:
    """The ids on each page, following meta.next."""
    found, link = [], path
    while link:
        page = ask(sandbox, "GET", link)[1]
        found.append([item["id"] for item in page["data"]])
        link = page["meta"].get("next")
    return found


def test_every_operation_of_the_description_exists() -> None:
    operations = load(SCHEMAS / "api" / "dixa.yaml")
    assert len(operations) == 32
    assert all(callable(getattr(dixa.DixaSandbox, operation.name)) for operation in operations)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requesterId": NOBODY},
        {"genericChannelName": "carrier pigeon"},
        {"attributes": {"emailIntegrationId": "other@email.dixa.io"}},
        {"attributes": {"emailIntegrationId": "+4512345678"}},
        {"attributes": {}},
        {"messages": [message(), message("Outbound", agentId=NOBODY)]},
        {"messages": [message(), message(attributes={"requesterId": NOBODY})]},
        {"messages": [message("Outbound")]},
        {"closing": {"closedAt": TEN, "closedBy": NOBODY}},
        {"createdAt": "2024-01-01T10:00:00"},
    ],
)
def test_a_wrong_import_creates_nothing(sandbox: Running, wrong: dict[str, Any]) -> None:
    requester = end_user(sandbox)
    no_agent = {"messages": [message("Outbound", agentId=requester)]}
    for body in (email(requester, **wrong), email(requester, **no_agent)):
        assert ask(sandbox, "POST", IMPORT, body)[0] == 400
    assert (sandbox.store.count("conversations"), sandbox.store.count("messages")) == (0, 0)


def test_an_import_is_read_back(sandbox: Running, file_url: str) -> None:
    requester, first = end_user(sandbox, email="a@b.example"), agent(sandbox)
    files = [{"url": file_url, "prettyName": "Å.pdf"}, {"url": "https://not.asked.example/b"}]
    to = {**ENDPOINT, "cc": ["c@d.example"]}
    body = email(
        requester,
        externalId="m:1",
        attributes={**ENDPOINT, "subject": "Grüße 🎁"},
        messages=[
            message("Outbound", ELEVEN, agentId=first, attributes=to),
            message(externalId="m:1-1", attachments=files),
        ],
        assignment={"agentId": first, "assignedAt": ELEVEN},
        closing={"closedAt": "2024-01-02T10:00:00Z", "closedBy": first},
    )
    assert done(sandbox, "POST", IMPORT, body) == {"id": 4711}
    shown = get(sandbox, "/v1/conversations/4711")
    assert (shown["state"], shown["subject"], shown["assignment"]["agentId"]) == ("Closed", "Grüße 🎁", first)
    assert shown["stateUpdatedAt"] == "2024-01-02T10:00:00.000Z[GMT]"
    assert "externalId" not in shown
    inbound, outbound = get(sandbox, "/v1/conversations/4711/messages")
    assert (inbound["authorId"], inbound["externalId"]) == (requester, "m:1-1")
    assert inbound["attributes"]["attachments"] == files
    assert (outbound["authorId"], outbound["attributes"]["cc"]) == (first, [{"email": "c@d.example"}])


def test_a_part_that_could_not_be_created_is_a_partial_error(sandbox: Running) -> None:
    files = [{"url": "http://127.0.0.1:9/a.pdf"}, {"url": "no address"}]
    nobody = {"agentId": NOBODY, "assignedAt": ELEVEN}
    body = email(
        end_user(sandbox), messages=[message(externalId="m:1", attachments=files)], assignment=nobody
    )
    errors = [error["message"] for error in done(sandbox, "POST", IMPORT, body)["partialErrors"]]
    wanted = ("http://127.0.0.1:9/a.pdf of the message with external id 'm:1'", "no address", "assigned")
    assert all(part in error for part, error in zip(wanted, errors, strict=True))
    assert get(sandbox, "/v1/conversations/4711/messages")[0]["attributes"]["attachments"] == []
    assert "assignment" not in get(sandbox, "/v1/conversations/4711")


def test_the_fault_partial_refuses_exactly_one_part(sandbox: Running) -> None:
    requester, assigned = end_user(sandbox), {"agentId": agent(sandbox), "assignedAt": ELEVEN}
    two = [message(attachments=[{"url": f"https://not.asked.example/{name}"} for name in "ab"])]
    answer = done(sandbox, "POST", IMPORT, email(requester, messages=two, assignment=assigned), **PARTIAL)
    assert len(answer["partialErrors"]) == 1
    assert len(get(sandbox, "/v1/conversations/4711/messages")[0]["attributes"]["attachments"]) == 1
    assert "assignment" in get(sandbox, "/v1/conversations/4711")
    answer = done(sandbox, "POST", IMPORT, email(requester, assignment=assigned), **PARTIAL)
    assert len(answer["partialErrors"]) == 1
    notes, users = [{"message": "1"}, {"message": "2"}], [{"externalId": "1"}, {"externalId": "2"}]
    for path, items in (("/v1/conversations/4711/notes/bulk", notes), ("/v1/endusers/bulk", users)):
        outcomes = done(sandbox, "POST", path, {"data": items}, **PARTIAL)
        assert ["error" in outcome for outcome in outcomes] == [False, True]
    assert (sandbox.store.count("notes"), sandbox.store.count("users")) == (1, len(AGENTS) + 2)


def test_a_note_of_an_unknown_agent_fails_alone(sandbox: Running) -> None:
    path = imported(sandbox)
    notes = [
        {"message": "later", "createdAt": "2024-01-01T12:00:00Z", "agentId": agent(sandbox)},
        {"message": "lost", "agentId": NOBODY},
        {"message": "earlier", "createdAt": "2024-01-01T11:00:00.000Z[GMT]"},
    ]
    outcomes = done(sandbox, "POST", f"{path}/notes/bulk", {"data": notes})
    assert [outcome["_type"] for outcome in outcomes] == [
        f"BulkAction{kind}" for kind in ("Success", "Failure", "Success")
    ]
    assert [note["message"] for note in get(sandbox, f"{path}/notes")] == ["earlier", "later"]
    assert ask(sandbox, "POST", f"{path}/notes", notes[1])[0] == 400
    assert done(sandbox, "POST", f"{path}/notes", notes[0])["authorId"] == agent(sandbox)


def test_missing_tags_are_created(sandbox: Running) -> None:
    path, names = imported(sandbox), {"data": [{"name": "imported"}, {"name": "new"}]}
    assert ask(sandbox, "POST", f"{path}/tags/bulk", names) == (202, None)
    assert ask(sandbox, "POST", "/v1/conversations/1/tags/bulk", {"data": [{"name": "never"}]})[0] == 404
    assert [tag["name"] for tag in get(sandbox, "/v1/tags")] == ["imported", "new"]
    new = done(sandbox, "POST", "/v1/tags", {"name": "new"})
    assert new in get(sandbox, f"{path}/tags")
    assert ask(sandbox, "DELETE", f"{path}/tags/{new['id']}")[0] == 204
    assert [tag["name"] for tag in get(sandbox, f"{path}/tags")] == ["imported"]
    assert ask(sandbox, "PUT", f"{path}/tags/{new['id']}")[0] == 204
    assert new in get(sandbox, f"{path}/tags")


def test_end_users_are_looked_up_by_only_one_of_their_addresses(sandbox: Running) -> None:
    fields = {"email": "Ase@B.example", "phoneNumber": "+4520304050", "externalId": "c 7"}
    found = end_user(sandbox, **fields)
    end_user(sandbox, email="other@b.example")
    for query in ("email=aSE@b.EXAMPLE", "phone=%2B4520304050", "externalId=c%207"):
        assert [user["id"] for user in get(sandbox, f"/v1/endusers?{query}")] == [found]
    assert get(sandbox, f"/v1/endusers?email={AGENTS[0]}") == []
    assert ask(sandbox, "GET", "/v1/endusers?email=a@b.example&externalId=1")[0] == 400
    assert ask(sandbox, "GET", "/v1/agents?email=a@b.example&phone=%2B4520304050")[0] == 400
    assert get(sandbox, f"/v1/endusers/{found}").items() >= fields.items()
    assert ask(sandbox, "GET", f"/v1/endusers/{NOBODY}")[0] == 404


def test_an_address_or_a_number_belongs_to_one_user(sandbox: Running) -> None:
    end_user(sandbox, email="a@b.example", phoneNumber="+4520304050")
    for address in ("A@B.example", AGENTS[0]):
        assert ask(sandbox, "POST", "/v1/endusers", {"email": address})[0] == 400
    bulk = [{"email": "new@b.example"}, {"phoneNumber": "+4520304050"}, {"email": "NEW@b.example"}, {}]
    outcomes = done(sandbox, "POST", "/v1/endusers/bulk", {"data": bulk})
    assert ["error" in outcome for outcome in outcomes] == [False, True, True, False]
    assert sandbox.store.count("users") == len(AGENTS) + 3


def test_custom_attributes_are_set_and_read_back(sandbox: Running) -> None:
    path, definition = imported(sandbox), get(sandbox, "/v1/custom-attributes")[0]
    held = done(sandbox, "PATCH", f"{path}/custom-attributes", {definition["id"]: "1001"})
    assert [(item["name"], item["value"]) for item in held] == [("Old ticket id", "1001")]
    wrong = {definition["id"]: "2", NOBODY: "x"}
    assert ask(sandbox, "PATCH", f"{path}/custom-attributes", wrong)[0] == 404
    assert get(sandbox, path)["customAttributes"] == held


def test_a_conversation_is_claimed_moved_and_closed(sandbox: Running) -> None:
    path, queue = imported(sandbox), get(sandbox, "/v1/queues")[0]["id"]
    first, second = agent(sandbox, 1), agent(sandbox, 2)
    for action, body, status in (
        ("claim", {"agentId": first}, 204),
        ("claim", {"agentId": first}, 204),
        ("claim", {"agentId": second}, 409),
        ("claim", {"agentId": NOBODY, "force": True}, 404),
    ):
        assert ask(sandbox, "PUT", f"{path}/{action}", body)[0] == status
    assert get(sandbox, path)["assignment"]["agentId"] == first
    assert ask(sandbox, "PUT", f"{path}/claim", {"agentId": second, "force": True})[0] == 204
    assert get(sandbox, path)["assignment"]["agentId"] == second
    for wrong in ({"queueId": NOBODY}, {"queueId": queue, "userId": NOBODY}):
        assert ask(sandbox, "PUT", f"{path}/transfer/queue", wrong)[0] == 400
    assert ask(sandbox, "PUT", f"{path}/transfer/queue", {"queueId": queue})[0] == 204
    assert get(sandbox, path)["queue"]["id"] == queue
    assert ask(sandbox, "PUT", f"{path}/close", {"userId": NOBODY})[0] == 400
    assert get(sandbox, path)["state"] == "Open"
    assert ask(sandbox, "PUT", f"{path}/close", {"userId": first})[0] == 204
    assert get(sandbox, path)["state"] == "Closed"


def test_lists_come_in_pages(sandbox: Running) -> None:
    users = [end_user(sandbox, externalId="same") for _ in range(5)]
    for _ in range(3):
        imported(sandbox, users[0])
    imported(sandbox, users[1])
    assert pages(sandbox, "/v1/endusers?pageLimit=2") == [users[:2], users[2:4], users[4:]]
    assert pages(sandbox, "/v1/endusers?externalId=same&pageLimit=3") == [users[:3], users[3:]]
    assert [len(page) for page in pages(sandbox, "/v1/agents?pageLimit=2")] == [2, 1]
    assert pages(sandbox, f"/v1/endusers/{users[0]}/conversations?pageLimit=2") == [[4711, 4712], [4713]]


@pytest.mark.parametrize("sent", [TEN, "2024-06-30T23:30:00.123456+05:30", "2024-01-01T00:00:00.007-01:00"])
def test_times_come_back_as_the_same_instants(sandbox: Running, sent: str) -> None:
    path = imported(sandbox, createdAt=sent, messages=[message(at=sent)])
    note = done(sandbox, "POST", f"{path}/notes", {"message": "n", "createdAt": sent})
    shown = [item["createdAt"] for item in (get(sandbox, path), *get(sandbox, f"{path}/messages"), note)]
    assert all(time_shown.endswith("Z[GMT]") for time_shown in shown)
    instants = {datetime.fromisoformat(time_shown.removesuffix("[GMT]")) for time_shown in shown}
    assert instants == {datetime.fromisoformat(sent).astimezone(UTC)}


def test_anonymization_is_done_later(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dixa, "ANONYMIZING_SECONDS", 0.2)
    requester = end_user(sandbox)
    path = imported(sandbox, requester, messages=[message(), message(at=ELEVEN)])
    for open_one in (path, f"/v1/endusers/{requester}"):
        assert ask(sandbox, "PATCH", f"{open_one}/anonymize")[0] == 409
    closed = imported(sandbox, closing={"closedAt": TEN, "closedBy": agent(sandbox)})
    assert ask(sandbox, "PATCH", f"{closed}/anonymize")[0] == 202

    def anonymize(what: str) -> list[str]:
        """The texts after the anonymization."""
        request = done(sandbox, "PATCH", what)
        assert "processedAt" not in request
        time.sleep(0.25)
        assert "processedAt" in get(sandbox, f"/v1/anonymization/request/{request['id']}")
        found = get(sandbox, f"{path}/messages")
        return [item["attributes"]["emailContent"]["content"]["value"] for item in found]

    first = get(sandbox, f"{path}/messages")[0]["id"]
    assert anonymize(f"{path}/messages/{first}/anonymize") == ["", "Hi"]
    assert anonymize(f"{path}/anonymize?force=true") == ["", ""]
    assert get(sandbox, path)["_type"] == "AnonymizedConversation"
    anonymize(f"/v1/endusers/{requester}/anonymize?force=true")


def test_the_account_can_be_read(sandbox: Running) -> None:
    queue, endpoints = get(sandbox, "/v1/queues")[0], get(sandbox, "/v1/contact-endpoints")
    assert get(sandbox, f"/v1/queues/{queue['id']}") == queue
    assert [item["_type"] for item in endpoints] == ["EmailEndpoint", "TelephonyEndpoint"]
    assert get(sandbox, "/v1/contact-endpoints?_type=EmailEndpoint") == endpoints[:1]
    assert get(sandbox, "/v1/contact-endpoints/%2B4512345678") == endpoints[1]
    assert get(sandbox, "/v1/organization")["name"]
