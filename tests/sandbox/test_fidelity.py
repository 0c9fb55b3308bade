"""Where the sandbox keeps to the published descriptions, and what it refuses before anything else."""

import http.client
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml

from importer.resources import SCHEMAS
from importer.sandbox import Settings, dixa, integrations, running
from importer.sandbox.faults import Plan
from importer.sandbox.server import Running
from importer.sandbox.store import Store

AGENT = "agent@example.com"
TEN = "2024-01-01T10:00:00Z"
ENDPOINT = "imported@email.dixa.io"


def serve(api: str, **more: Any) -> Any:
    return running(Settings(api=api, rate=0, agents=(AGENT,), **more))


@pytest.fixture
def new() -> Iterator[Running]:
    with serve("dixa") as sandbox:
        yield sandbox


@pytest.fixture
def old() -> Iterator[Running]:
    with serve("integrations") as sandbox:
        yield sandbox


def ask(sandbox: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    parts = urlsplit(sandbox.url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
        given = {"Authorization": sandbox.token, "Content-Type": "application/json", **headers}
        connection.request(method, path, None if body is None else json.dumps(body).encode(), given)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")


def done(sandbox: Running, method: str, path: str, body: Any = None) -> Any:
    status, told = ask(sandbox, method, path, body)
    assert status < 300, told
    return told and told["data"]


def imported(sandbox: Running, requester: str, **more: Any) -> str:
    agent = done(sandbox, "GET", "/v1/agents")[0]["id"]
    content = {"content": {"_type": "Text", "value": "Secret"}, "createdAt": TEN}
    body = {
        "genericChannelName": "email",
        "requesterId": requester,
        "direction": "Inbound",
        "createdAt": TEN,
        "attributes": {"emailIntegrationId": ENDPOINT, "subject": "Secret"},
        "messages": [
            {"_type": "InboundImport", **content},
            {"_type": "OutboundImport", "agentId": agent, **content, "attributes": {"cc": ["c@d.example"]}},
        ],
        **more,
    }
    return f"/v1/conversations/{done(sandbox, 'POST', '/v1/conversations/import', body)['id']}"


# Fields.


def test_an_email_conversation_says_from_whom_to_whom(new: Running) -> None:
    user = done(new, "POST", "/v1/endusers", {"email": "a@b.example", "displayName": "Åse"})["id"]
    path = imported(new, user)
    there = done(new, "GET", path)
    back = done(new, "GET", imported(new, user, direction="Outbound"))
    assert (there["fromEmail"], there["toEmail"]) == ("a@b.example", ENDPOINT)
    assert (back["fromEmail"], back["toEmail"]) == (ENDPOINT, "a@b.example")
    inbound, outbound = (item["attributes"] for item in done(new, "GET", f"{path}/messages"))
    assert (inbound["from"], inbound["to"]) == (
        {"email": "a@b.example", "name": "Åse"},
        [{"email": ENDPOINT}],
    )
    assert (outbound["from"]["email"], outbound["to"]) == (ENDPOINT, [{"email": "a@b.example"}])
    assert (inbound["isAutoReply"], inbound["inlineImages"]) == (False, [])
    without = done(new, "POST", "/v1/endusers", {"displayName": "B"})["id"]
    assert done(new, "GET", imported(new, without))["fromEmail"] == ""


def test_the_results_of_bulk_requests_say_what_they_are(new: Running) -> None:
    path = "/v1/endusers/bulk"
    users = done(new, "POST", path, {"data": [{"email": "a@b.example"}, {"email": "a@b.example"}]})
    assert [item["_type"] for item in users] == ["BulkActionSuccess", "BulkActionFailure"]
    assert users[1]["error"]["_type"] == "Integrity"
    assert ask(new, "GET", f"/v1/endusers/{users[1]['error']['id']}")[0] == 404
    notes = f"{imported(new, users[0]['data']['id'])}/notes/bulk"
    nobody = {"message": "N", "agentId": users[0]["data"]["id"]}
    found = done(new, "POST", notes, {"data": [{"message": "N"}, nobody]})
    assert [item["_type"] for item in found] == ["BulkActionSuccess", "BulkActionFailure"]


def test_the_account_has_the_fields_that_are_documented(new: Running) -> None:
    organization = done(new, "GET", "/v1/organization")
    queue = done(new, "GET", "/v1/queues")[0]
    definition = done(new, "GET", "/v1/custom-attributes")[0]
    assert {"subdomain", "status"} <= set(organization)
    assert queue["organizationId"] == organization["id"]
    assert {
        "queueThresholds",
        "slaCalculationMethod",
        "doNotOfferTimeouts",
        "isDoNotOfferEnabled",
    } <= set(queue)
    assert {"createdAt", "isRequired", "isArchived", "isDeactivated"} <= set(definition)


def test_the_last_page_has_no_link(new: Running) -> None:
    for _ in range(2):
        done(new, "POST", "/v1/endusers", {})
    first = ask(new, "GET", "/v1/endusers?pageLimit=1")[1]["meta"]
    assert set(first) == {"next"}
    assert ask(new, "GET", first["next"])[1]["meta"] == {}


@pytest.mark.parametrize("name", ["dixa", "integrations"])
def test_the_examples_of_the_descriptions_keep_to_them(name: str) -> None:
    description = yaml.safe_load((SCHEMAS / "api" / f"{name}.yaml").read_text("utf-8"))
    seen = 0
    for item in description["paths"].values():
        for operation in (value for key, value in item.items() if key != "parameters"):
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                for media in part.get("content", {}).values():
                    schema = {**media["schema"], "components": description["components"]}
                    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
                    for example in media.get("examples", {}).values():
                        validator.validate(example["value"])
                        seen += 1
    assert seen > 20


# Anonymization.


@pytest.mark.parametrize("whole", ["conversation", "user"])
def test_nothing_can_be_read_after_anonymization(
    new: Running, monkeypatch: pytest.MonkeyPatch, whole: str
) -> None:
    monkeypatch.setattr(dixa, "ANONYMIZING_SECONDS", 0.3)
    user = done(new, "POST", "/v1/endusers", {"email": "a@b.example", "displayName": "Åse"})["id"]
    path = imported(new, user)
    done(new, "POST", f"{path}/notes", {"message": "Secret"})
    what = path if whole == "conversation" else f"/v1/endusers/{user}"

    def texts() -> list[Any]:
        messages = [item["attributes"] for item in done(new, "GET", f"{path}/messages")]
        return [
            done(new, "GET", path).get("subject"),
            done(new, "GET", f"/v1/endusers/{user}/conversations")[0].get("subject"),
            *(item["emailContent"]["content"]["value"] for item in messages),
            *(item["message"] for item in done(new, "GET", f"{path}/notes")),
        ]

    done(new, "PATCH", f"{what}/anonymize?force=true")
    assert texts() == ["Secret"] * 5
    time.sleep(0.35)
    assert texts() == [None, None, "", "", ""]
    shown = json.dumps([done(new, "GET", path), done(new, "GET", f"{path}/messages")])
    assert not any(part in shown for part in ("Secret", "b.example", "d.example", "Åse", "\\u00c5se"))


@pytest.mark.parametrize("whole", ["conversation", "user"])
def test_nothing_can_be_read_after_anonymization_in_the_integrations_api(
    old: Running, monkeypatch: pytest.MonkeyPatch, whole: str
) -> None:
    monkeypatch.setattr(integrations, "ANONYMIZING_SECONDS", 0.3)
    user, csid = contact(old)
    path = f"/v1/conversations/{csid}/messages"
    more = {
        "text": "Secret",
        "from_email": "a@b.example",
        "attachments": [{"url": "https://a.example/secret"}],
    }
    done(old, "POST", f"{path}/historical", more)
    entity = {"entity_id": str(csid) if whole == "conversation" else user, "entity_type": whole}
    done(old, "POST", "/v1/anonymization_request", {**entity, "force_anonymization": True})
    assert [item["attributes"]["text"] for item in done(old, "GET", path)] == ["Secret", "Secret"]
    time.sleep(0.35)
    assert [item["attributes"] for item in done(old, "GET", path)] == [{"text": ""}, {"text": ""}]


def contact(sandbox: Running) -> tuple[str, int]:
    """A user and a conversation of theirs."""
    user = done(sandbox, "POST", "/v1/users", {"email": "a@b.example"})["id"]
    body = {"channel": "contact_form", "requester_id": user, "email_integration_id": ENDPOINT, "subject": "S"}
    return user, done(sandbox, "POST", "/v1/conversations", {**body, "message": {"text": "Secret"}})["id"]


# Refusals.


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8484", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8484", 200),
        ("evil.test", 421),
        ("evil.test:8484", 421),
        ("127.0.0.1.evil.test", 421),
        ("localhost@evil.test", 421),
        ("127.0.0.1:", 421),
        ("", 421),
        ("10.0.0.1", 421),
    ],
)
def test_a_foreign_host_is_refused(new: Running, host: str, status: int) -> None:
    assert ask(new, "GET", "/v1/queues", Host=host)[0] == status


def test_a_foreign_host_is_refused_before_anything_else() -> None:
    with running(Settings(rate=0.001, burst=1, faults=Plan(script_reads={1: "status-599"}))) as sandbox:
        assert ask(sandbox, "GET", "/v1/queues", Host="evil.test", Authorization="wrong")[0] == 421
        assert ask(sandbox, "GET", "/nowhere", Host="evil.test")[0] == 421
        assert ask(sandbox, "GET", "/v1/queues")[0] == 599
        assert sandbox.statuses == {421: 2, 599: 1}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"tags": ["imported"]}, 201),
        ({"tags": ["imported", "unknown"]}, 400),
        ({"endpoint_id": ENDPOINT}, 400),
        ({"endpoint_id": "+4500000000"}, 404),
    ],
)
def test_a_callback_needs_known_tags_and_a_phone(old: Running, change: dict[str, Any], status: int) -> None:
    user = done(old, "POST", "/v1/users", {"email": "a@b.example"})["id"]
    queue = done(old, "GET", "/v1/queues")[0]["id"]
    body = {"channel": "callback", "direction": "inbound", "queue_id": queue, "requester_id": user}
    assert (
        ask(old, "POST", "/v1/conversations", {**body, "endpoint_id": "+4512345678", **change})[0] == status
    )
    assert old.store.count("conversations") == (status == 201)


def test_a_contact_form_needs_an_email_endpoint(old: Running) -> None:
    user, _ = contact(old)
    body = {"channel": "contact_form", "requester_id": user, "subject": "S", "message": {"text": "T"}}
    assert ask(old, "POST", "/v1/conversations", {**body, "email_integration_id": "+4512345678"})[0] == 400
    assert old.store.count("conversations") == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("name", ["import", "activitylog", "flows", "search"])
def test_literal_paths_are_never_taken_for_ids(new: Running, old: Running, method: str, name: str) -> None:
    for sandbox, own in ((new, ("POST", "import")), (old, ("GET", "activitylog"))):
        status = ask(sandbox, method, f"/v1/conversations/{name}", {})[0]
        if (method, name) == own:
            assert status in (200, 400)
        else:
            assert status == (405 if name == own[1] else 404)


def test_bulk_is_never_taken_for_an_id(new: Running, old: Running) -> None:
    for method in ("GET", "PUT", "PATCH"):
        assert ask(new, method, "/v1/endusers/bulk", {})[0] == 405
    assert ask(old, "GET", "/v1/conversations/1/messages/historical")[0] == 405


# The store.


def test_a_file_of_an_earlier_version_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    with serve("dixa", database=path) as sandbox:
        user = done(sandbox, "POST", "/v1/endusers", {"email": "a@b.example"})["id"]
        imported(sandbox, user)
    with closing(sqlite3.connect(path)) as file:
        for table in ("users", "conversations", "messages", "notes"):
            file.execute(f"ALTER TABLE {table} DROP COLUMN born")
        for column in ("tags_before", "tags_born"):
            file.execute(f"ALTER TABLE conversations DROP COLUMN {column}")
        file.commit()
    with serve("dixa", database=path, faults=Plan(lag_seconds=60.0)) as sandbox:
        assert len(done(sandbox, "GET", f"/v1/endusers/{user}/conversations")) == 1
        imported(sandbox, user)
        assert len(done(sandbox, "GET", f"/v1/endusers/{user}/conversations")) == 1


def test_a_rehearsal_leaves_nothing() -> None:
    store = Store(":memory:")
    with store.rehearsal(), store.transaction():
        store.insert("queues", name="Q")
    assert store.count("queues") == 0
    with store.transaction():
        store.insert("queues", name="Q")
    assert store.count("queues") == 1
    store.close()


def test_a_failed_transaction_leaves_nothing() -> None:
    store = Store(":memory:")

    def fail() -> None:
        with store.transaction():
            store.insert("queues", name="R")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.count("queues") == 0
    store.close()
