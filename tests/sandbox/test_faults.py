"""What a service may do and a look-alike is tempted not to: odd answers, refusals, texts shown otherwise, lists
that lag."""

import gzip
import http.client
import io
import itertools
import json
import re
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from click.testing import CliRunner

from importer.sandbox import Settings, running
from importer.sandbox.faults import HEADER, LIE, Fault, Plan, Trouble, read_plan
from importer.sandbox.odd import BY_NAME, ODD, Sides
from importer.sandbox.server import Running
from importer.sandbox.view import Reword

TEN = "2024-01-01T10:00:00Z"
AGENT = "agent@example.com"


@contextmanager
def serving(api: str = "dixa", **plan: Any) -> Iterator[Running]:
    with running(Settings(api=api, rate=0, agents=(AGENT,), faults=Plan(**plan))) as sandbox:
        yield sandbox


class Answer:
    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.told["data"]


def ask(sandbox: Running, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """The answer as it came over the socket; redirects are not followed."""
    parts = urlsplit(sandbox.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    http.client._MAXLINE = 1 << 20  # type: ignore[attr-defined]
    try:
        given = {"Authorization": sandbox.token, "Content-Type": "application/json", **headers}
        text = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        connection.request(method, path, text, given)
        response = connection.getresponse()
        try:
            return Answer(response.status, response.headers, response.read())
        except http.client.IncompleteRead as cut:
            return Answer(response.status, response.headers, cut.partial)
    finally:
        connection.close()


def end_user(sandbox: Running, **fields: Any) -> str:
    return str(ask(sandbox, "POST", "/v1/endusers", fields).data["id"])


def conversation(requester: str, *texts: str, subject: str = "S", **message: Any) -> dict[str, Any]:
    return {
        "genericChannelName": "email",
        "requesterId": requester,
        "direction": "Inbound",
        "createdAt": TEN,
        "attributes": {"emailIntegrationId": "imported@email.dixa.io", "subject": subject},
        "messages": [
            {
                "_type": "InboundImport",
                "content": {"_type": "Text", "value": text},
                "createdAt": TEN,
                **message,
            }
            for text in texts
        ],
    }


def imported(sandbox: Running, *texts: str, **more: Any) -> str:
    """The path of a new conversation."""
    body = conversation(end_user(sandbox), *texts, **more)
    return f"/v1/conversations/{ask(sandbox, 'POST', '/v1/conversations/import', body).data['id']}"


def shown(sandbox: Running, path: str) -> list[str]:
    """The texts of a conversation's messages."""
    messages = ask(sandbox, "GET", f"{path}/messages").data
    return [item["attributes"]["emailContent"]["content"]["value"] for item in messages]


def old_user(sandbox: Running, **fields: Any) -> str:
    return str(ask(sandbox, "POST", "/v1/users", fields).data["id"])


def form(requester: str, text: str = "Hi") -> dict[str, Any]:
    named = {"channel": "contact_form", "requester_id": requester, "subject": "S", "message": {"text": text}}
    return {**named, "email_integration_id": "imported@email.dixa.io"}


# Texts shown otherwise.

SAID = 'A "quoted"  <word>\n\nand more of what was written on that day, Größe'


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ({Reword.ENTITIES}, SAID.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")),
        ({Reword.TAGS}, f"<p>{SAID}</p>".replace("\n", "<br>")),
        ({Reword.BLANKS}, re.sub(r"\s+", " ", SAID) + " "),
        ({Reword.CUT}, SAID[:40] + "…"),
        ({Reword.UNICODE}, unicodedata.normalize("NFD", SAID)),
        ({Reword.PHONES}, SAID),
        ({Reword.TAGS, Reword.CUT}, f"<p>{SAID}".replace("\n", "<br>")[:40] + "…"),
    ],
)
def test_texts_are_shown_otherwise_wherever_they_are_shown(kinds: set[Reword], wanted: str) -> None:
    with serving(reword=frozenset(kinds)) as sandbox:
        path = imported(sandbox, SAID, subject=SAID)
        note = ask(sandbox, "POST", f"{path}/notes", {"message": SAID}).data
        bulk = ask(sandbox, "POST", f"{path}/notes/bulk", {"data": [{"message": SAID}]}).data
        notes = ask(sandbox, "GET", f"{path}/notes").data
        assert shown(sandbox, path) == [wanted]
        assert ask(sandbox, "GET", path).data["subject"] == wanted
        assert {item["message"] for item in (note, bulk[0]["data"], *notes)} == {wanted}
        assert sandbox.store.all("SELECT text FROM messages") == [{"text": SAID}]
    with serving("integrations", reword=frozenset(kinds)) as sandbox:
        requester = old_user(sandbox, email="a@b.example")
        csid = ask(sandbox, "POST", "/v1/conversations", form(requester, SAID)).data["id"]
        path = f"/v1/conversations/{csid}/messages"
        added = ask(sandbox, "POST", f"{path}/historical", {"text": SAID}).data
        texts = [item["attributes"]["text"] for item in (added, *ask(sandbox, "GET", path).data)]
        assert texts == [wanted] * 3


def test_phone_numbers_are_shown_in_another_spelling() -> None:
    phones = frozenset({Reword.PHONES})
    with serving(reword=phones) as sandbox:
        fields = {"phoneNumber": "+4512345678", "additionalPhoneNumbers": ["+45123456789"]}
        made = ask(sandbox, "POST", "/v1/endusers", fields).data
        listed = ask(sandbox, "GET", f"/v1/endusers?phone={quote('+4512345678')}").data
        assert [made["phoneNumber"], *made["additionalPhoneNumbers"]] == [
            "+45 12 34 56 78",
            "+45 12 34 56 78 9",
        ]
        assert [{**user, "customAttributes": []} for user in listed] == [made]
    with serving("integrations", reword=phones) as sandbox:
        made = ask(sandbox, "POST", "/v1/users", {"phone_number": "+4520304050"}).data
        assert made["phone_number"] == "+45 20 30 40 50"
        assert made in ask(sandbox, "GET", "/v1/users").data


# Lists that lag.


def test_lists_of_dixa_lag() -> None:
    with serving(lag_seconds=0.4) as sandbox:
        began = time.time()
        fields = {"email": "a@b.example", "externalId": "1"}
        requester = end_user(sandbox, **fields)
        body = conversation(requester, "Hi")
        csid = ask(sandbox, "POST", "/v1/conversations/import", body).data["id"]
        path = f"/v1/conversations/{csid}"
        ask(sandbox, "POST", f"{path}/notes", {"message": "N"})
        ask(sandbox, "POST", f"{path}/tags/bulk", {"data": [{"name": "imported"}]})
        lists = (
            *(f"{path}/{part}" for part in ("messages", "notes", "tags")),
            f"/v1/endusers/{requester}/conversations",
            "/v1/endusers",
            "/v1/endusers?email=a@b.example",
            "/v1/endusers?externalId=1",
        )
        before = [len(ask(sandbox, "GET", one).data) for one in lists]
        assert time.time() - began < 0.4, "too slow to tell"
        assert before == [0] * len(lists)
        assert ask(sandbox, "GET", path).data["id"] == csid
        assert len(ask(sandbox, "GET", "/v1/agents").data) == 1
        time.sleep(0.45)
        assert [len(ask(sandbox, "GET", one).data) for one in lists] == [1] * len(lists)
        ask(sandbox, "POST", f"{path}/tags/bulk", {"data": [{"name": "second"}]})
        assert [tag["name"] for tag in ask(sandbox, "GET", f"{path}/tags").data] == ["imported"]
        time.sleep(0.45)
        assert len(ask(sandbox, "GET", f"{path}/tags").data) == 2


def test_lists_of_the_integrations_api_lag() -> None:
    with serving("integrations", lag_seconds=0.4) as sandbox:
        began = time.time()
        requester = old_user(sandbox, email="a@b.example")
        csid = ask(sandbox, "POST", "/v1/conversations", form(requester)).data["id"]
        lists = (
            f"/v1/conversations/{csid}/messages",
            f"/v1/users/{requester}/requested_conversations",
            "/v1/users?email=a@b.example",
        )
        before = [len(ask(sandbox, "GET", one).data) for one in lists]
        assert time.time() - began < 0.4, "too slow to tell"
        assert before == [0, 0, 0]
        assert ask(sandbox, "GET", f"/v1/conversations/{csid}").status == 200
        assert [user["email"] for user in ask(sandbox, "GET", "/v1/users").data] == [AGENT]
        time.sleep(0.45)
        assert [len(ask(sandbox, "GET", one).data) for one in lists] == [1, 1, 1]


# Refusals that last.


def test_the_same_attachments_always_refuse_the_whole_import() -> None:
    urls = [f"https://files.example/{number}.pdf" for number in range(20)]

    def statuses() -> dict[str, int]:
        with serving(rates={Trouble.ATTACHMENT_400: 0.3}, seed=5) as sandbox:
            requester = end_user(sandbox)
            found = {}
            for url in urls:
                body = conversation(requester, "Hi", attachments=[{"url": url}])
                answer = ask(sandbox, "POST", "/v1/conversations/import", body)
                found[url] = answer.status
                if answer.status == 400:
                    assert answer.told == {"message": f"The attachment {url} could not be downloaded."}
            assert sandbox.store.count("conversations") == list(found.values()).count(201)
        with serving("integrations", rates={Trouble.ATTACHMENT_400: 0.3}, seed=5) as sandbox:
            user = old_user(sandbox, email="a@b.example")
            csid = ask(sandbox, "POST", "/v1/conversations", form(user)).data["id"]
            path = f"/v1/conversations/{csid}/messages/historical"
            for url in urls:
                answer = ask(sandbox, "POST", path, {"text": "Hi", "attachments": [{"url": url}]})
                assert answer.status == (200 if found[url] == 201 else 400)
        return found

    first = statuses()
    assert first == statuses()
    assert set(first.values()) == {201, 400}


def test_an_attachment_that_is_not_there_refuses_the_whole_import() -> None:
    with serving(rates={Trouble.ATTACHMENT_400: 0.0}) as sandbox:
        body = conversation(end_user(sandbox), "Hi", attachments=[{"url": "http://127.0.0.1:9/a"}])
        answer = ask(sandbox, "POST", "/v1/conversations/import", body)
        assert (answer.status, sandbox.store.count("conversations")) == (400, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_texts_are_always_forbidden(seed: int) -> None:
    with serving(rates={Trouble.FORBIDDEN: 0.4}, seed=seed) as sandbox:
        requester = end_user(sandbox)
        allowed = next(
            f"/v1/conversations/{answer.data['id']}"
            for number in range(99)
            if (
                answer := ask(
                    sandbox, "POST", "/v1/conversations/import", conversation(requester, f"{number}")
                )
            )
            and answer.status == 201
        )
        held = sandbox.store.count("conversations")
        found = {}
        for text in (f"This is the text number {number}." for number in range(20)):
            note = ask(sandbox, "POST", f"{allowed}/notes", {"message": text})
            again = ask(sandbox, "POST", "/v1/conversations/import", conversation(requester, "Hi", text))
            assert (note.status == 403) == (again.status == 403)
            found[text] = note.status
            if note.status == 403:
                assert note.headers["Content-Type"].startswith("text/html")
        assert set(found.values()) == {200, 403}
        assert sandbox.store.count("notes") == list(found.values()).count(200)
        assert sandbox.store.count("conversations") == held + list(found.values()).count(200)
        assert ask(sandbox, "GET", f"{allowed}/notes").status == 200


# Errors that echo.


def test_an_echo_repeats_the_request_and_creates_nothing() -> None:
    with serving(rates={Trouble.ECHO: 1.0}, seed=3) as sandbox:
        answers = [ask(sandbox, "POST", "/v1/endusers", {"displayName": "Åse"}) for _ in range(12)]
        assert {answer.status for answer in answers} == {400, 429}
        for answer in answers:
            message = answer.told["message"]
            assert all(part in message for part in (sandbox.token, '{"displayName": "Åse"}', LIE))
        assert sandbox.store.count("users") == 1
        assert ask(sandbox, "GET", "/v1/queues").status == 200
        assert ask(sandbox, "POST", "/v1/endusers", {}, **{HEADER: "echo-401"}).status == 401


# Odd answers.


def test_there_are_many_odd_answers_with_names_of_their_own() -> None:
    assert len(ODD) == len(BY_NAME) >= 40
    assert {odd.sides for odd in ODD} == set(Sides)


@pytest.mark.parametrize("api", ["dixa", "integrations"])
def test_every_odd_answer_comes_over_the_socket(api: str) -> None:
    """To a list and to a creation, on both sides of the commit."""
    with serving(api) as sandbox:
        users = "/v1/endusers" if api == "dixa" else "/v1/users"
        numbers = itertools.count()
        for odd in ODD:
            read = ask(sandbox, "GET", users, **{HEADER: f"odd:{odd.name}"})
            assert read.status != 500, odd.name
            for side, created in ((":before", 0), (":after", 1)):
                held = sandbox.store.count("users")
                body = {"email": f"a{next(numbers)}@b.example"}
                answer = ask(sandbox, "POST", users, body, **{HEADER: f"odd:{odd.name}{side}"})
                assert answer.status == read.status or read.status == 200, odd.name
                assert sandbox.store.count("users") == held + created, odd.name


def odd(
    sandbox: Running, name: str, method: str = "GET", path: str = "/v1/endusers", body: Any = None
) -> Answer:
    return ask(sandbox, method, path, body, **{HEADER: f"odd:{name}"})


def test_odd_answers_are_as_odd_as_their_names_say() -> None:
    with serving() as sandbox:
        end_user(sandbox, email="a@b.example")
        assert odd(sandbox, "id-surrogate").data[0]["id"] == "\ud800"
        assert odd(sandbox, "id-surrogate").data[0]["email"] == "a@b.example"
        assert odd(sandbox, "id-infinite").data[0]["id"] == float("inf")
        assert b'"id": NaN' in odd(sandbox, "id-nan").body
        assert odd(sandbox, "body-duplicate-keys").body.count(b'"data"') == 2
        assert odd(sandbox, "body-utf-16").body.decode("utf-16").startswith("{")
        with pytest.raises(UnicodeDecodeError):
            odd(sandbox, "body-invalid-utf-8").body.decode()
        assert odd(sandbox, "charset-idna").headers["Content-Type"].endswith("charset=idna")
        assert len(odd(sandbox, "header-long").headers["X-Long"]) == 100_000
        bomb = odd(sandbox, "gzip-bomb")
        assert len(bomb.body) < 300_000
        with gzip.GzipFile(fileobj=io.BytesIO(bomb.body)) as file:
            assert sum(len(part) for part in iter(lambda: file.read(1 << 24), b"")) == 200 * 1024 * 1024
        short, right = odd(sandbox, "length-too-short").body, ask(sandbox, "GET", "/v1/endusers").body
        assert short == right[: len(right) // 2]
        assert odd(sandbox, "length-too-long").body == right
        assert odd(sandbox, "chunked-cut").body == b""
        assert odd(sandbox, "redirect-308-elsewhere").headers["Location"] == "https://evil.test/steal"
        assert odd(sandbox, "retry-after-nan-429").headers["Retry-After"] == "nan"
        assert odd(sandbox, "next-glued").told["meta"]["next"] == "7/steal"


def test_bulk_answers_can_be_odd() -> None:
    with serving() as sandbox:
        body = {"data": [{"externalId": "1"}, {"externalId": "2"}]}
        found = {
            name: odd(sandbox, f"{name}", "POST", "/v1/endusers/bulk", body).data
            for name in ("bulk-too-few", "bulk-too-many", "bulk-not-objects", "bulk-without-ids", "id-null")
        }
        assert [len(data) for data in found.values()] == [1, 4, 2, 2, 2]
        assert found["bulk-not-objects"] == ["x", "x"]
        assert [item["data"]["id"] for item in found["id-null"]] == [None, None]


@pytest.mark.parametrize(("name", "pages"), [("next-loop", 1), ("next-endless", 9)])
def test_chains_of_pages_go_on(name: str, pages: int) -> None:
    with serving() as sandbox:
        links = set()
        link = odd(sandbox, name).told["meta"]["next"]
        for _ in range(9):
            links.add(link)
            link = ask(sandbox, "GET", link).told["meta"]["next"]
        assert len(links) == pages


def test_a_redirect_to_itself_goes_on() -> None:
    with serving() as sandbox:
        first = odd(sandbox, "redirect-307-itself", "POST", "/v1/endusers", {})
        assert ask(sandbox, "POST", first.headers["Location"], {}).status == 307


def test_scripts_name_odd_answers() -> None:
    script, reads = {2: "status-404", 3: "odd:id-empty:before", 4: Fault.ERROR_AFTER}, {2: "data-null"}
    with serving(script=script, script_reads=reads) as sandbox:
        answers = [ask(sandbox, "POST", "/v1/endusers", {}) for _ in range(5)]
        assert [answer.status for answer in answers] == [201, 404, 201, 500, 201]
        assert answers[2].data["id"] == ""
        assert ask(sandbox, "GET", "/v1/endusers").data
        assert ask(sandbox, "GET", "/v1/endusers").data is None
    with pytest.raises(ValueError, match="no fault or odd answer 'nonsense'"):
        Plan(script={1: "nonsense"})


def test_before_the_commit_no_odd_answer_is_a_lie() -> None:
    """Whatever the seed draws: a creation that has an id in a success was carried out."""
    with serving(rates={Trouble.ODD: 1.0}, seed=1) as sandbox:
        sides = set()
        for number in range(150):
            held = sandbox.store.count("users")
            answer = ask(sandbox, "POST", "/v1/endusers", {"externalId": str(number)})
            created = sandbox.store.count("users") - held
            sides.add(created)
            try:
                told = json.loads(answer.body)
                sound = answer.status < 300 and bool(told["data"]["id"])
            except (ValueError, TypeError, KeyError, RecursionError):
                sound = False
            assert created or not sound
        assert sides == {0, 1}
        for number in range(60):
            path = "/v1/conversations/1/tags/bulk"
            assert ask(sandbox, "POST", path, {"data": []}).status != 500, number


# The command line.


def test_faults_of_the_command_line() -> None:
    plan = read_plan(
        ["reword=cut", "reword=phones", "lag=8", "attachment-400=0.3", "odd-answers=0.1", "429"], seed=7
    )
    assert plan.reword == {Reword.CUT, Reword.PHONES}
    assert (plan.lag_seconds, plan.seed) == (8.0, 7)
    assert plan.rates == {Trouble.ATTACHMENT_400: 0.3, Trouble.ODD: 0.1, Fault.TOO_MANY: 1.0}


@pytest.mark.parametrize(
    "text", ["reword=loud", "reword", "lag=-1", "lag=inf", "lag=x", "odd-answers=nan", "odd"]
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    from importer.cli.sandbox import sandbox

    with pytest.raises(ValueError, match="is not|could not convert"):
        read_plan([text])
    assert "--fault" in CliRunner().invoke(sandbox, ["--fault", text]).output
