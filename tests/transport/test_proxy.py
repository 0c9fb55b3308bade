"""Behind a company's proxy that opens TLS with a certificate of its own: works with the proxy's CA, says what to
set without it, and leaves the token nowhere."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

TICKETS = "ticket_id,requester_email,created_at\nA,ann@b.example,2024-01-01\nB,bo@b.example,2024-01-02\n"
MESSAGES = (
    "message_id,ticket_id,direction,text,created_at\n"
    "a1,A,inbound,one,2024-02-01\nb1,B,inbound,two,2024-02-02\n"
)
HOST = "dixa.example"
TOKEN = "a-secret-token-0123456789"


class Proxy(threading.Thread):
    """Answers CONNECT, shows a certificate of its own for the host, and passes everything on to one port."""

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(self.context)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.upstream = 0
        self.connects: list[str] = []

    def run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += client.recv(4096)
            self.connects.append(asked.split(b"\r\n")[0].decode())
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                self.context.wrap_socket(client, server_side=True) as opened,
                socket.create_connection(("127.0.0.1", self.upstream)) as behind,
            ):
                back = threading.Thread(target=_pass_on, args=(behind, opened), daemon=True)
                back.start()
                _pass_on(opened, behind)
                back.join(5)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            # The sandbox serves this machine only.
            target.sendall(data.replace(f"Host: {HOST}".encode(), b"Host: localhost"))
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def proxy(authority: trustme.CA) -> Iterator[Proxy]:
    proxy = Proxy(authority)
    proxy.start()
    yield proxy
    proxy.listening.close()


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_run_behind_a_proxy_with_a_private_ca(
    dixa_import, migration, serving, tmp_path: Path, proxy, authority, trusted: bool, variable: str
) -> None:
    (tmp_path / "netrc").write_text("default login someone password else\n")
    (tmp_path / "netrc").chmod(0o600)
    bundle = tmp_path / "ca.pem"
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(bundle)
    dixa_import.environment = {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "NETRC": str(tmp_path / "netrc"),
        variable: str(bundle),
    }
    with serving(token=TOKEN) as sandbox:
        proxy.upstream = int(sandbox.url.rsplit(":", 1)[1])
        path = migration(tickets=TICKETS, messages=MESSAGES)
        options = ("--base-url", f"https://{HOST}", "--rate", 500, "--log-file", tmp_path / "log", "-vv")
        done = dixa_import("run", path, *options, token=TOKEN)
        held = sandbox.store.count("conversations"), sandbox.store.count("messages")
    assert set(proxy.connects) == {f"CONNECT {HOST}:443 HTTP/1.1"}
    if trusted:
        assert (done.code, held) == (0, (2, 2)), done.err
    else:
        assert (done.code, held) == (2, (0, 0))
        assert "SSL_CERT_FILE" in done.err
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(left) > 5
    assert not [file for file in left if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in done.out + done.err
