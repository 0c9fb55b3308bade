"""Odd answers: what a service, a proxy or an attacker may answer and no description allows. They are data, so
that a test can go through them by name.

Most of them are made from the right answer, so that everything but the oddity is as it should be.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from typing import Any

from aiohttp import web

# A link that contains it gets the odd answer that it names, so that loops and endless chains go on.
PARAMETER = "sandbox-fault"
DEPTH = 100_000
BOMB_BYTES = 200 * 1024 * 1024
HUGE_BYTES = 64 * 1024 * 1024
_JSON = "application/json"
# What takes the place of a value that `json` cannot write, such as 1e400, until the body is text.
_PLACE = "@@odd@@"


class Sides(StrEnum):
    """On which side of the commit an answer may come."""

    EITHER = "either"
    # It says, in a way that cannot be told from the truth, that nothing was done.
    BEFORE = "before"
    # It may be read as a success: before the commit it would be a lie that nobody can notice.
    AFTER = "after"


Make = Callable[[web.Request, web.Response], web.StreamResponse]


@dataclass(frozen=True, slots=True)
class Odd:
    """An odd answer. `make` gets the request and the right answer to it."""

    name: str
    make: Make
    sides: Sides = Sides.EITHER


class Raw(web.Response):
    """Bytes that go to the socket as they are; then the connection ends."""

    def __init__(self, head: str, body: bytes, status: int = 200) -> None:
        super().__init__(status=status)
        self._bytes = f"HTTP/1.1 {status} Odd\r\nContent-Type: {_JSON}\r\n{head}\r\n\r\n".encode() + body

    async def prepare(self, request: web.BaseRequest) -> None:
        if request.transport is not None:
            request.transport.write(self._bytes)
            request.transport.close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything was written by `prepare`."""


def _bytes(right: web.Response) -> bytes:
    return right.body if isinstance(right.body, bytes) and right.body else b"{}"


def _told(right: web.Response) -> dict[str, Any]:
    told = json.loads(_bytes(right))
    return told if isinstance(told, dict) else {}


def _status(right: web.Response) -> int:
    """A 204 may have no body, so that an oddity in it would not arrive."""
    return 200 if right.status == 204 else right.status


def _answer(
    right: web.Response,
    body: bytes | str,
    content_type: str = _JSON,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    given = body.encode() if isinstance(body, str) else body
    return web.Response(
        status=_status(right), body=given, headers={"Content-Type": content_type, **(headers or {})}
    )


def _with(right: web.Response, **parts: Any) -> web.Response:
    return _answer(right, json.dumps({**_told(right), **parts}))


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_: value


# Bodies and headers.


def _body(change: Callable[[bytes], bytes], content_type: str = _JSON) -> Make:
    return lambda _, right: _answer(right, change(_bytes(right)), content_type)


def _header(name: str, value: str) -> Make:
    return lambda _, right: _answer(right, _bytes(right), headers={name: value})


def _fixed(status: int, text: str = "", content_type: str = _JSON) -> Make:
    return lambda _, right: web.Response(status=status, text=text or None, content_type=content_type)


def _more(name: str, value: Callable[[], str | bytes]) -> Callable[[bytes], bytes]:
    """Adds a member to the object of the body; `value` makes its JSON."""

    def change(body: bytes) -> bytes:
        rest = body.strip().removeprefix(b"{")
        comma = b"" if rest == b"}" else b", "
        made = value()
        return f'{{"{name}": '.encode() + (made if isinstance(made, bytes) else made.encode()) + comma + rest

    return change


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    blanks = b" " * (1 << 20)
    parts = [packer.compress(blanks) for _ in range(BOMB_BYTES >> 20)]
    return b"".join([*parts, packer.flush()])


def _gzip_bomb(request: web.Request, right: web.Response) -> web.Response:
    return _answer(right, _bomb(), headers={"Content-Encoding": "gzip"})


def _length(of: Callable[[int], int]) -> Make:
    """Declares another length than the body has."""

    def make(request: web.Request, right: web.Response) -> web.Response:
        body = _bytes(right)
        return Raw(f"Content-Length: {of(len(body))}", body, _status(right))

    return make


def _chunked_cut(request: web.Request, right: web.Response) -> web.Response:
    body = _bytes(right)
    half = f"{len(body):x}\r\n".encode() + body[: len(body) // 2]
    return Raw("Transfer-Encoding: chunked", half, _status(right))


def _bodies() -> Iterator[Odd]:
    after = Sides.AFTER
    for name in ("idna", "nonsense", "utf-16", "undefined"):
        yield Odd(f"charset-{name}", _body(bytes, f"{_JSON}; charset={name}"), after)
    yield Odd("content-type-none", _body(bytes, "/"), after)
    yield Odd("body-invalid-utf-8", _body(_more("note", lambda: b'"\xff\xfe"')), after)
    yield Odd("body-utf-16", _body(lambda body: body.decode().encode("utf-16")), after)
    yield Odd("body-bom", _body(lambda body: b"\xef\xbb\xbf" + body), after)
    yield Odd("body-control-characters", _body(_more("note", lambda: '"\x1b[2K\rDone.\x07\x00"')), after)
    yield Odd("body-duplicate-keys", _body(_more("data", lambda: '{"id": 1}')), after)
    yield Odd("body-deep", _body(_more("deep", lambda: "[" * DEPTH + "]" * DEPTH)), after)
    yield Odd("body-huge", _body(_more("filler", lambda: f'"{"x" * HUGE_BYTES}"')), after)
    yield Odd("body-brackets", _fixed(200, "[" * DEPTH))
    yield Odd("body-empty-200", _fixed(200))
    yield Odd("body-empty-201", _fixed(201))
    yield Odd("body-204", _fixed(204), after)
    yield Odd("body-html", _fixed(200, "<html><body>Please log in</body></html>", "text/html"))
    yield Odd("body-text", _fixed(200, "OK", "text/plain"))
    for name, text in (("null", "null"), ("list", "[]"), ("string", '"OK"'), ("number", "7")):
        yield Odd(f"body-{name}", _fixed(200, text))
    yield Odd("gzip-bomb", _gzip_bomb)
    yield Odd("encoding-nonsense", _header("Content-Encoding", "nonsense"), after)
    yield Odd("encoding-gzip-lie", _header("Content-Encoding", "gzip"), after)
    yield Odd("length-too-long", _length(lambda length: length + 100), after)
    yield Odd("length-too-short", _length(lambda length: length // 2), after)
    yield Odd("chunked-cut", _chunked_cut, after)
    yield Odd("header-long", _header("X-Long", "x" * 100_000), after)
    yield Odd("date-nonsense", _header("Date", "yesterday"), after)
    yield Odd("date-2999", _header("Date", "Tue, 31 Dec 2999 23:59:59 GMT"), after)


# Ids and data.


def _set_ids(value: Any, new: Any) -> Any:
    """The data with another id for each of its objects; those of a bulk answer have theirs one level down."""
    if isinstance(value, list):
        return [_set_ids(item, new) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("data"), dict):
        return {**value, "data": _set_ids(value["data"], new)}
    return {**value, "id": new}


def _id(literal: str) -> Make:
    def make(request: web.Request, right: web.Response) -> web.Response:
        told = _told(right)
        text = json.dumps({**told, "data": _set_ids(told.get("data", {}), _PLACE)})
        return _answer(right, text.replace(f'"{_PLACE}"', literal))

    return make


def _data(literal: Callable[[], str]) -> Make:
    def make(request: web.Request, right: web.Response) -> web.Response:
        text = json.dumps({**_told(right), "data": _PLACE})
        return _answer(right, text.replace(f'"{_PLACE}"', literal()))

    return make


def _items(right: web.Response) -> list[Any]:
    data = _told(right).get("data", {})
    return data if isinstance(data, list) else [data]


def _bulk(change: Callable[[list[Any]], list[Any]]) -> Make:
    return lambda _, right: _with(right, data=change(_items(right)))


def _partial_errors(value: Callable[[], Any]) -> Make:
    def make(request: web.Request, right: web.Response) -> web.Response:
        data = _told(right).get("data")
        return _with(right, data={**(data if isinstance(data, dict) else {}), "partialErrors": value()})

    return make


def _contents() -> Iterator[Odd]:
    for name, literal in (("null", "null"), ("empty", '""'), ("list", "[]"), ("object", "{}")):
        yield Odd(f"id-{name}", _id(literal))
    for name, literal in (
        ("surrogate", '"\\ud800"'),
        ("true", "true"),
        ("fraction", "1.5"),
        ("infinite", "1e400"),
        ("nan", "NaN"),
        ("digits", "7" * 5_000),
        ("negative", "-1"),
        ("zero", "0"),
        ("path", '"4711/../../v1/endusers"'),
        ("control-characters", '"4711\\n\\u001b[2K\\rDone.\\u0007"'),
        ("long", f'"{"7" * 10_000}"'),
    ):
        yield Odd(f"id-{name}", _id(literal), Sides.AFTER)
    for name, text in (
        ("null", "null"), ("string", '"4711"'), ("number", "4711"), ("true", "true"),
        ("text-list", '["a", 7]'), ("null-list", "[null]"), ("items-without-id", '[{"name": "x"}, {}]'),
    ):  # fmt: skip
        yield Odd(f"data-{name}", _data(_always(text)))
    yield Odd("data-deep", _data(lambda: "[" * DEPTH + "]" * DEPTH))
    yield Odd("bulk-too-few", _bulk(lambda items: items[:-1]), Sides.AFTER)
    yield Odd("bulk-too-many", _bulk(lambda items: [*items, *items]), Sides.AFTER)
    yield Odd("bulk-not-objects", _bulk(lambda items: ["x" for _ in items]))
    yield Odd("bulk-without-ids", _bulk(lambda items: [{"data": {}} for _ in items]))
    for name, value in (
        ("null", None), ("string", "Not assigned."), ("numbers", [1, 2]), ("object", {"message": "x"}),
        ("many", [{"message": f"Part {n} was left out."} for n in range(10_000)]),
    ):  # fmt: skip
        yield Odd(f"partial-errors-{name}", _partial_errors(_always(value)), Sides.AFTER)


# Links to the next page.


def _next(link: Callable[[web.Request], Any]) -> Make:
    """Both APIs' ways to name the next page."""

    def make(request: web.Request, right: web.Response) -> web.Response:
        place = link(request)
        return _with(right, meta={"next": place}, paging={"next_page": place})

    return make


def _again(request: web.Request, name: str, **more: Any) -> str:
    return f"{request.path}?{PARAMETER}=odd:{name}" + "".join(
        f"&{key}={value}" for key, value in more.items()
    )


def _page_after(request: web.Request) -> int:
    page = request.query.get("page", "0")
    return int(page) + 1 if page.isdecimal() and len(page) < 9 else 1


def _links() -> Iterator[Odd]:
    for name, link in (
        ("glued", "7/steal"),
        ("glued-host", ".evil.test/x"),
        ("glued-user", "@host/x"),
        ("no-scheme", "//evil.test/x"),
        ("broken", "http://["),
        ("other-host", "https://evil.test/x"),
        ("other-port", "http://127.0.0.1:1/x"),
        ("backslash", "/\\evil.test/x"),
        ("script", "javascript:alert(1)"),
        ("file", "file:///etc/passwd"),
        ("control-characters", "/v1/x?a=\r\nX-Evil: 1\x1b[2K"),
        ("long", f"/v1/x?pageKey={'7' * (2 * 1024 * 1024)}"),
        ("list", ["/v1/x"]),
        ("number", 7),
        ("object", {"href": "/v1/x"}),
        ("true", True),
    ):
        yield Odd(f"next-{name}", _next(_always(link)), Sides.AFTER)
    yield Odd("next-loop", _next(lambda request: _again(request, "next-loop")), Sides.AFTER)
    endless = _next(lambda request: _again(request, "next-endless", page=_page_after(request)))
    yield Odd("next-endless", endless, Sides.AFTER)


# Statuses.


def _redirect(status: int, to: Callable[[web.Request], str] | None) -> Make:
    def make(request: web.Request, right: web.Response) -> web.Response:
        headers = {"Location": to(request)} if to else {}
        return web.json_response({"message": "Moved."}, status=status, headers=headers)

    return make


def _error(status: int, headers: Mapping[str, str] | None = None) -> Make:
    return lambda _, right: web.json_response({"message": f"Odd {status}."}, status=status, headers=headers)


# By HTTP these say that the request was not carried out, and nothing contradicts them.
_REFUSALS = (405, 406, 410, 411, 413, 415, 418, 422, 426, 428, 431, 451)
_DOUBTFUL = (404, 409, 421, 423, 425, 499, 501, 505, 507, 511, *range(520, 531), 599)
_RETRY_AFTER = {
    "negative": "-1",
    "nan": "nan",
    "infinite": "inf",
    "large": "1e308",
    "soon": "soon",
    "1970": "Thu, 01 Jan 1970 00:00:00 GMT",
    "2999": "Tue, 31 Dec 2999 23:59:59 GMT",
    "empty": "",
}


def _statuses() -> Iterator[Odd]:
    for status in (301, 302, 303, 307, 308):
        for name, to in (("elsewhere", _always("https://evil.test/steal")), ("nowhere", None)):
            yield Odd(f"redirect-{status}-{name}", _redirect(status, to))
        itself = f"redirect-{status}-itself"
        yield Odd(itself, _redirect(status, partial(_again, name=itself)))
    for status in _REFUSALS:
        yield Odd(f"status-{status}", _error(status), Sides.BEFORE)
    for status in _DOUBTFUL:
        yield Odd(f"status-{status}", _error(status))
    for status in (429, 503):
        for name, value in _RETRY_AFTER.items():
            retry_after = _error(status, {"Retry-After": value})
            yield Odd(f"retry-after-{name}-{status}", retry_after, Sides.BEFORE)


ODD = tuple(odd for part in (_bodies, _contents, _links, _statuses) for odd in part())
BY_NAME: Mapping[str, Odd] = {odd.name: odd for odd in ODD}
