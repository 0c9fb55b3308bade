"""What the host says is data: limited, decoded, and without the token, the texts that were sent and control
characters."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from importer.dixa.paging import Unreadable, distinct, identified, list_items, page_request
from importer.errors import ProtocolError
from importer.model import Answer, Request
from importer.transport.border import DEPTH_LIMIT, answer_of, seconds_to_wait

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
TOKEN = "s3cr3t-token"
TEXT = 'My card is 4111 1111 and "Ann" lives in Main Street 7.\nThanks!'
SENT = Request(
    "POST",
    "/v1/conversations/1/messages/historical",
    json={"text": TEXT, "author_id": "1234567890abcdef", "from_email": "ann@home.example"},
)


def answer(body: str | bytes, *, status: int = 400, request: Request = SENT, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else body.encode()
    return answer_of(status, headers, data, request, token=TOKEN, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"message": f"Authorization: Bearer {TOKEN}; you sent {TEXT}"}),
        json.dumps({"message": json.dumps(SENT.json) + TOKEN}),
        json.dumps({"errors": [{"detail": f"bad: {TEXT[:30]}…", "header": TOKEN}]}),
        f"<html>{TOKEN} &lt;{TEXT.replace(chr(34), '&quot;')}&gt;</html>",
        f"plain {TEXT} {TOKEN}",
    ],
)
@pytest.mark.parametrize("status", [302, 400, 401, 429, 500])
def test_an_echo_shows_neither_token_nor_text(body: str, status: int) -> None:
    shown = repr(answer(body, status=status))
    for secret in (TOKEN, "4111", "Main Street", "ann@home.example", "Thanks!"):
        assert secret not in shown


def test_ids_and_addresses_of_files_stay_readable_in_an_error() -> None:
    message = "The author 1234567890abcdef does not exist."
    assert answer(json.dumps({"message": message})).json == {"message": message}


def test_an_error_inside_a_success_is_an_error_too() -> None:
    body = json.dumps({"data": {"id": 7, "partialErrors": [{"message": f"bad: {TEXT}"}]}})
    found = answer(body, status=201)
    assert found.json["data"]["id"] == 7
    assert "4111" not in repr(found.json)


def test_control_characters_do_not_reach_a_terminal() -> None:
    lie = "\x1b[2K\rAll clean.\x07\u202e"
    assert answer(json.dumps({"message": lie})).json == {"message": "[2KAll clean."}
    listed = answer(json.dumps({"data": [{"id": "a\x1b[2K"}]}), status=200, request=Request("GET", "/x"))
    assert listed.json == {"data": [{"id": "a[2K"}]}


def test_what_is_read_back_keeps_its_texts() -> None:
    body = json.dumps({"data": [{"id": "1", "attributes": {"text": TEXT}}]})
    assert answer(body, status=200, request=Request("GET", "/x")).json == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"data":' * (DEPTH_LIMIT + 2) + b"1" + b"}" * (DEPTH_LIMIT + 2),
        b'{"id": ' + b"9" * 5_000 + b"}",
        b'{"id": 1',
    ],
)
def test_what_is_not_an_answer_is_no_json(body: bytes) -> None:
    assert answer(body, status=200).json is None


def test_a_byte_order_mark_and_a_lone_surrogate_are_read() -> None:
    found = answer(b'\xef\xbb\xbf{"data": {"id": "\\ud800"}}', status=201)
    assert found.json == {"data": {"id": "?"}}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0), ("0.5", 0.5), (" 7 ", 7.0), ("1e308", None), ("inf", None), ("nan", None), ("-1", None),
        ("999999999999", 86_400.0), ("soon", None), ("", None),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2999 00:00:00 GMT", 86_400.0), (None, None),
    ],
)  # fmt: skip
def test_a_wait_is_a_number_or_a_date_and_at_most_a_day(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, NOW) == seconds


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("http://127.0.0.1:80", "//evil.example/x"),
        ("https://dev.dixa.io", "https://evil.example/x"),
        ("https://dev.dixa.io", "http://dev.dixa.io/x"),
        ("https://dev.dixa.io", "https://dev.dixa.io:8443/x"),
        ("https://dev.dixa.io", "https://dev.dixa.io@evil.example/x"),
        ("https://dev.dixa.io", "https://user@dev.dixa.io/x"),
        ("https://dev.dixa.io", "javascript:alert(1)"),
    ],
)
def test_a_link_to_another_origin_is_not_followed(base: str, link: str) -> None:
    with pytest.raises(ProtocolError, match="another host"):
        page_request(link, base, "/v1/users")


@pytest.mark.parametrize("link", ["7/steal", ".evil.test/x", "@host/x", "/v1/users?cursor=2"])
def test_a_link_is_resolved_and_never_glued(link: str) -> None:
    page = page_request(link, "http://127.0.0.1:8000", "/v1/users")
    assert page is not None
    assert page.path.startswith("/v1/")


@pytest.mark.parametrize("link", ["http://[", 7, ["x"], "x" * 9_000])
def test_what_is_no_link_makes_the_list_unreadable(link: Any) -> None:
    with pytest.raises(Unreadable):
        page_request(link, "http://127.0.0.1:8000", "/v1/users")


@pytest.mark.parametrize("data", [None, "x", 7, {}, ["a"], [None]])
def test_a_list_of_something_else_proves_nothing(data: Any) -> None:
    with pytest.raises(Unreadable):
        list_items(Answer(200, {"data": data}))


@pytest.mark.parametrize(
    "item",
    [{}, {"id": None}, {"id": True}, {"id": ""}, {"id": "a/../b"}, {"id": ".."}, {"id": "a b"}, {"id": 1.5}],
)
def test_an_item_without_an_id_makes_the_list_unreadable(item: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        identified([item])


def test_an_error_still_names_the_file_that_another_text_names() -> None:
    request = Request(
        "POST",
        "/x",
        json={
            "text": "Please see The attachment https://files.old.example/a/1.pdf",
            "attachments": [{"url": "https://files.old.example/a/2.pdf"}],
        },
    )
    message = "The attachment https://files.old.example/a/2.pdf could not be downloaded."
    shown = answer(json.dumps({"message": message}), request=request).json["message"]
    assert "https://files.old.example/a/2.pdf" in shown


def test_one_form_of_an_echo_does_not_bring_back_what_another_took_out() -> None:
    text = r"path C:\new\tom\bob is where my secret file lies"
    shown = answer(
        json.dumps({"message": f"Bad: {text}"}), request=Request("POST", "/x", json={"text": text})
    )
    assert "tom" not in repr(shown)


def test_an_echo_of_a_text_of_many_lines_is_found_without_looking_for_each_line_alone() -> None:
    text = "\n".join(f"line number {n} of a long text" for n in range(200_000))
    request = Request("POST", "/x", json={"text": text})
    shown = answer(json.dumps({"message": f"bad: {text[:1_000]}"}), request=request).json["message"]
    assert shown.startswith("bad: [...]")
    assert "number" not in shown


def test_an_item_that_two_pages_show_is_there_once() -> None:
    first, second = {"id": "1", "at": "new"}, {"id": "2"}
    assert distinct([first, second, {"id": "1", "at": "old"}]) == [first, second]
