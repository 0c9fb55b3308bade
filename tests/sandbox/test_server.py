import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from importer.resources import SCHEMAS
from importer.sandbox import Settings, running
from importer.sandbox.contract import load
from importer.sandbox.faults import HEADER, Fault, Plan, parse
from importer.sandbox.server import Bucket, Running


def ask(sandbox: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        sandbox.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": sandbox.token, "Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


@pytest.fixture
def api() -> str:
    return "integrations"


def user(sandbox: Running, email: str = "a@b.example") -> str:
    status, body = ask(sandbox, "POST", "/v1/users", {"email": email, "name": "A"})
    assert status == 201
    return str(body["data"]["id"])


def callback(sandbox: Running, requester: str) -> dict[str, Any]:
    queue = ask(sandbox, "GET", "/v1/queues")[1]["data"][0]["id"]
    return {
        "channel": "callback",
        "direction": "inbound",
        "queue_id": queue,
        "requester_id": requester,
        "endpoint_id": "+4512345678",
    }


def test_the_bucket_is_strict() -> None:
    at = 0.0
    bucket = Bucket(10, 4, clock=lambda: at)
    assert [bucket.take() for _ in range(5)] == [True] * 4 + [False]
    at = 0.1
    assert [bucket.take(), bucket.take()] == [True, False]


def test_over_the_limit_the_sandbox_returns_429() -> None:
    with running(Settings(api="integrations", rate=0.001, burst=2)) as sandbox:
        assert [ask(sandbox, "GET", "/v1/flows")[0] for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("token", ["", "wrong", "Bearer wrong"])
def test_a_wrong_token_is_refused(sandbox: Running, token: str) -> None:
    assert ask(sandbox, "GET", "/v1/queues", Authorization=token)[0] == 401
    assert ask(sandbox, "GET", "/v1/queues", Authorization=f"Bearer {sandbox.token}")[0] == 200


def test_every_operation_of_the_description_exists() -> None:
    from importer.sandbox.integrations import IntegrationsSandbox

    operations = load(SCHEMAS / "api" / "integrations.yaml")
    assert len(operations) == 18
    assert all(callable(getattr(IntegrationsSandbox, operation.name)) for operation in operations)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"queue_id": None}, 400),
        ({"quueue": "x"}, 400),
        ({"direction": "sideways"}, 400),
        ({"requester_id": "nobody"}, 404),
        ({"endpoint_id": "+4500000000"}, 404),
    ],
)
def test_a_request_that_violates_the_description_is_refused(
    sandbox: Running, change: dict[str, Any], status: int
) -> None:
    body = callback(sandbox, user(sandbox)) | change
    assert ask(sandbox, "POST", "/v1/conversations", body)[0] == status


def test_an_address_belongs_to_one_user(sandbox: Running) -> None:
    user(sandbox)
    assert ask(sandbox, "POST", "/v1/users", {"email": "A@B.example"})[0] == 409


def test_lists_come_in_pages(sandbox: Running) -> None:
    requester = user(sandbox)
    body = callback(sandbox, requester)
    made = [ask(sandbox, "POST", "/v1/conversations", body)[1]["data"]["id"] for _ in range(5)]
    found, path = [], f"/v1/users/{requester}/requested_conversations?limit=2"
    while path:
        page = ask(sandbox, "GET", path)[1]
        assert len(page["data"]) <= 2
        found += [item["id"] for item in page["data"]]
        path = page["paging"]["next_page"]
    assert found == made


def test_the_documented_mistakes_are_simulated(sandbox: Running) -> None:
    csid = ask(sandbox, "POST", "/v1/conversations", callback(sandbox, user(sandbox)))[1]["data"]["id"]
    conversation = ask(sandbox, "GET", f"/v1/conversations/{csid}")[1]["data"]
    assert conversation["created_at"].count(":") == 3
    assert "activity_timestmap" in ask(sandbox, "GET", f"/v1/conversations/{csid}/activitylog")[1]["data"][0]


def test_anonymization_is_refused_while_a_conversation_is_open_unless_forced(sandbox: Running) -> None:
    requester = user(sandbox)
    ask(sandbox, "POST", "/v1/conversations", callback(sandbox, requester))
    body = {"entity_id": requester, "entity_type": "user"}
    assert ask(sandbox, "POST", "/v1/anonymization_request", body)[0] == 409
    status, answer = ask(sandbox, "POST", "/v1/anonymization_request", body | {"force_anonymization": True})
    assert status == 201
    assert "processed_at" not in answer["data"]
    assert ask(sandbox, "GET", f"/v1/anonymization_request/{answer['data']['id']}")[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "created"),
    [
        (Fault.ERROR_BEFORE, 500, 0),
        (Fault.ERROR_AFTER, 500, 1),
        (Fault.UNAVAILABLE_RETRY_AFTER, 503, 0),
        (Fault.TOO_MANY_RETRY_AFTER, 429, 0),
    ],
)
def test_a_request_may_name_its_own_fault(sandbox: Running, fault: Fault, status: int, created: int) -> None:
    answer = ask(sandbox, "POST", "/v1/users", {"email": "x@y.example"}, **{HEADER: fault.value})
    assert (answer[0], sandbox.store.count("users") - 3) == (status, created)


def test_the_same_seed_gives_the_same_faults() -> None:
    def statuses() -> list[int]:
        with running(
            Settings(api="integrations", rate=0, faults=Plan({Fault.ERROR_BEFORE: 0.5}, seed=7))
        ) as sandbox:
            return [ask(sandbox, "GET", "/v1/flows")[0] for _ in range(20)]

    first = statuses()
    assert first == statuses()
    assert set(first) == {200, 500}


def test_the_state_is_kept_when_the_server_stops(tmp_path) -> None:
    settings = Settings(api="integrations", rate=0, database=tmp_path / "sandbox.db")
    with running(settings) as sandbox:
        user(sandbox, "kept@b.example")
    with running(settings) as sandbox:
        assert ask(sandbox, "GET", "/v1/users?email=kept@b.example")[1]["data"][0]["name"] == "A"


@pytest.mark.parametrize("text", ["500-after=2", "nonsense=0.1", "late=x"])
def test_an_invalid_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="2 is not a share|nonsense|could not convert"):
        parse(text)
