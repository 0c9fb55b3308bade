"""The client against real sockets that behave badly."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from importer.model import Answer, NoAnswer, Request, Response
from importer.transport.client import Client

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def answering(*parts: bytes, hang: bool = False) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(parts))
        await writer.drain()
        if hang:
            await reader.read()  # until the client closes the connection
        writer.close()

    return handle


def ending(handler: Handler, *, timeout: float = 5.0) -> Response:
    async def talk() -> Response:
        talks: list[asyncio.Task[None]] = []

        def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.append(asyncio.ensure_future(handler(reader, writer)))

        server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            async with Client(
                f"http://127.0.0.1:{port}",
                authorization="secret",
                timeout_seconds=timeout,
                connections=1,
                now=lambda: NOW,
            ) as client:
                result = await client.send(Request("POST", "/x", json={"a": 1}))
            await asyncio.gather(*talks)
            return result

    return asyncio.run(talk())


def http(status: str, body: bytes, *headers: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}".encode(), b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", body])


def test_json_is_returned_unchanged() -> None:
    assert ending(answering(http("201 Created", b'{"data":{"id":1}}'))) == Answer(201, {"data": {"id": 1}})


def test_a_body_that_is_not_json_is_text() -> None:
    assert ending(answering(http("502 Bad Gateway", b"<html>"))) == Answer(502, None, "<html>")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b"Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        (b"Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        (b"soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes, seconds: float | None) -> None:
    answer = ending(answering(http("429 Too Many Requests", b"", b"Retry-After: " + value)))
    assert isinstance(answer, Answer)
    assert answer.retry_after_seconds == seconds


def test_a_closed_port_is_not_sent() -> None:
    async def talk() -> Response:
        server = await asyncio.start_server(answering(b""), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        url = f"http://127.0.0.1:{port}"
        async with Client(url, authorization="x", timeout_seconds=5, connections=1) as client:
            return await client.send(Request("POST", "/x", json={}))

    result = asyncio.run(talk())
    assert isinstance(result, NoAnswer)
    assert not result.sent


@pytest.mark.parametrize(
    "handler",
    [
        answering(b""),
        answering(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"),
        answering(b"nonsense\r\n\r\n"),
        answering(hang=True),
        answering(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{", hang=True),
    ],
    ids=["closed", "cut", "no HTTP", "hanging", "hanging body"],
)
def test_a_request_without_a_complete_response_may_have_arrived(handler: Handler) -> None:
    result = ending(handler, timeout=0.3)
    assert isinstance(result, NoAnswer)
    assert result.sent


def test_a_redirect_is_not_followed() -> None:
    answer = ending(answering(http("302 Found", b"", b"Location: http://127.0.0.1:1/elsewhere")))
    assert isinstance(answer, Answer)
    assert answer.status == 302
