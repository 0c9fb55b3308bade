"""What the sandbox fetches as an attachment, and what it does not even ask. A request to anything but loopback
fails these tests (tests/conftest.py)."""

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from importer.sandbox.fetch import REDIRECTS, Rule, attachments, unreachable


class Files(http.server.BaseHTTPRequestHandler):
    """Serves `/a`; `/to?URL` redirects to the URL, and `/loop` to itself."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        path, _, to = "/loop?/loop".partition("?") if self.path == "/loop" else self.path.partition("?")
        self.send_response({"/a": 200, "/to": 302, "/loop": 307}.get(path, 404))
        if to:
            self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def files() -> Iterator[http.server.ThreadingHTTPServer]:
    with serving() as server:
        yield server


def is_there(url: str, **rule: Any) -> bool:
    return not asyncio.run(unreachable(frozenset({url}), Rule(**rule)))


def test_the_attachments_of_a_request_are_found() -> None:
    files = [{"url": "u1"}, {"url": "u2"}]
    assert attachments({"messages": [{"attachments": files}, {}]}) == {"u1", "u2"}
    assert attachments({"attachments": files}) == {"u1", "u2"}
    assert attachments([]) == attachments({}) == frozenset()


def test_files_on_loopback_are_fetched(files: Any) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert is_there(f"http://{host}:{files.server_port}/a")
        assert not is_there(f"http://{host}:{files.server_port}/missing")
    assert len(files.asked) == 4
    assert not is_there("http://127.0.0.1:9/a")


def test_only_ports_that_it_was_told_are_asked(files: Any) -> None:
    port = files.server_port
    assert is_there(f"http://127.0.0.1:{port}/a", ports=frozenset({port}))
    for ports in (frozenset[int](), frozenset({port + 1})):
        assert not is_there(f"http://127.0.0.1:{port}/a", ports=ports)
        assert not is_there(f"http://localhost:{port}/a", ports=ports)
    assert files.asked == ["/a"]


def test_other_hosts_are_assumed_to_have_their_files() -> None:
    assert is_there("https://not.asked.example/a")
    assert is_there("https://93.184.215.14/a")


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "[fe80::1]", "[fc00::1]", "[::]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]",
        "[2002:a00:1::]", "①⓪.⓪.⓪.①",
    ],
)  # fmt: skip
def test_private_addresses_are_never_asked(host: str, everywhere: bool) -> None:
    assert not is_there(f"http://{host}/a", everywhere=everywhere)
    if host.isascii():
        with serving() as files:
            redirect = f"http://127.0.0.1:{files.server_port}/to?http://{host}/a"
            assert not is_there(redirect, everywhere=everywhere)


@pytest.mark.parametrize(
    "url", ["", "no address", "ftp://127.0.0.1/a", "file:///etc/passwd", "http://[", "http://"]
)
def test_what_is_no_url_of_the_web_is_not_there(url: str) -> None:
    assert not is_there(url, everywhere=True)
    assert not is_there(url)


def test_a_name_is_judged_by_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert not is_there("http://inside.example/a", everywhere=True)
    assert asked == ["inside.example"]


def test_every_redirect_has_to_keep_the_rule(files: Any) -> None:
    start = f"http://127.0.0.1:{files.server_port}"
    assert is_there(f"{start}/to?/a")
    assert is_there(f"{start}/to?https://not.asked.example/a")
    with serving() as other:
        there = f"{start}/to?http://127.0.0.1:{other.server_port}/a"
        assert is_there(there)
        assert not is_there(there, ports=frozenset({files.server_port}))
        assert other.asked == ["/a"]


def test_there_is_an_end_to_redirects(files: Any) -> None:
    assert not is_there(f"http://127.0.0.1:{files.server_port}/loop")
    assert not is_there(f"http://127.0.0.1:{files.server_port}/to?")
    path = "/a"
    for _ in range(REDIRECTS):
        path = f"/to?{path}"
    files.asked.clear()
    assert is_there(f"http://127.0.0.1:{files.server_port}{path}")
    assert not is_there(f"http://127.0.0.1:{files.server_port}/to?{path}")
    assert len(files.asked) == REDIRECTS + 1 + REDIRECTS + 1
