"""A thin layer over aiohttp: one request, one response. It decides nothing and never retries."""

import asyncio
import os
import ssl
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from socket import EAI_NONAME
from types import TracebackType

import aiohttp
from yarl import URL

from importer import __version__
from importer.errors import ConfigError, ProtocolError
from importer.model import NoAnswer, Request, Response
from importer.transport.border import BODY_LIMIT, TooLarge, answer_of, body_of

# A host that does not accept a connection in this time is away; the request has not been sent.
CONNECT_SECONDS = 10.0
# Where the usual programs look for the certificates of a company's own authority.
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Client:
    """Sends requests to one host. The token is in the session's header and nowhere else.

    Redirects are not followed, and a request whose URL has another origin than the base URL is not sent, so
    that the token cannot reach another host. Proxy and certificates come from the usual environment
    variables; `.netrc` is not read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        authorization: str,
        timeout_seconds: float,
        connections: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises ConfigError for a proxy or a file of certificates that cannot be used. Call it inside the
        running event loop."""
        self._base_url = base_url
        self._origin = URL(base_url).origin()
        self._token = authorization.removeprefix("Bearer ")
        self._now = now
        proxy = _proxy(self._origin)
        self._proxy = proxy.with_user(None) if proxy else None
        headers = {"Authorization": authorization, "User-Agent": f"dixa-importer/{__version__}"}
        self._session = aiohttp.ClientSession(
            headers={**headers, "Accept-Encoding": "gzip, deflate"},
            timeout=aiohttp.ClientTimeout(
                total=timeout_seconds, sock_connect=min(CONNECT_SECONDS, timeout_seconds)
            ),
            connector=aiohttp.TCPConnector(limit=connections, ssl=_certificates()),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
            proxy_auth=aiohttp.BasicAuth(proxy.user, proxy.password or "") if proxy and proxy.user else None,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Response:
        """Send once. A failure of the network is a NoAnswer, never an exception. Raises ProtocolError, and
        sends nothing, if the path leads to another host."""
        url = self._url(request)
        try:
            async with self._session.request(
                request.method, url, params=request.query or None, json=request.json, allow_redirects=False
            ) as response:
                body = await body_of(response)
                return answer_of(
                    response.status, response.headers, body, request, token=self._token, now=self._now()
                )
        except TooLarge:
            return NoAnswer(sent=True, reason=f"the response is larger than {BODY_LIMIT >> 20} MiB")
        except aiohttp.ClientHttpProxyError as error:
            return NoAnswer(sent=False, reason=f"the proxy answered {error.status}", hopeless=_login(error))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            return NoAnswer(sent=False, reason=f"no connection: {error}", hopeless=self._hopeless(error))
        except TimeoutError:
            return NoAnswer(sent=True, reason="no answer within the timeout")
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            # aiohttp raises ValueError for some responses that it cannot parse.
            return NoAnswer(sent=True, reason=f"connection broken: {type(error).__name__}")

    def _url(self, request: Request) -> URL:
        try:
            url = URL(self._base_url + request.path)
            is_home = request.path.startswith("/") and url.origin() == self._origin and url.user is None
        except ValueError:
            is_home = False
        if not is_home:
            raise ProtocolError(
                f"A link of Dixa leads away from {self._base_url}, so it is not followed: the token must not "
                "reach another host"
            )
        return url

    def _hopeless(self, error: BaseException) -> str:
        """What to set, if waiting cannot mend it."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return (
                f"The certificate of {self._origin} cannot be verified ({_brief(error)}). If your network "
                "has a certificate authority of its own, set SSL_CERT_FILE to its file; otherwise check "
                "target.base_url"
            )
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return ""
        if isinstance(error, aiohttp.ClientConnectorDNSError) and error.errno == EAI_NONAME:
            return f"There is no host {self._origin.host}. Check target.base_url, and that you are online"
        return ""


def _login(error: aiohttp.ClientHttpProxyError) -> str:
    if error.status != 407:
        return ""
    return "The proxy asks for a login. Set it in HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT"


def _brief(error: BaseException) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__)


def _proxy(origin: URL) -> URL | None:
    """The proxy that the environment names for this host: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY."""
    if urllib.request.proxy_bypass(f"{origin.host}:{origin.port}"):
        return None
    named = urllib.request.getproxies()
    text = named.get(origin.scheme) or named.get("all")
    if not text:
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
        if proxy.scheme in ("http", "https") and proxy.host:
            return proxy
    except ValueError:
        pass
    raise ConfigError(
        f"The environment names a proxy for {origin} that cannot be used. Give it as http://HOST:PORT"
    )


def _certificates() -> ssl.SSLContext:
    """Trusts what the system trusts, and what each of the usual variables names."""
    context = ssl.create_default_context()
    for variable in _CA_VARIABLES:
        if path := os.environ.get(variable):
            try:
                context.load_verify_locations(path)
            except (OSError, ssl.SSLError) as error:
                reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
                raise ConfigError(f"{variable}: {path} has no usable certificates: {reason}") from None
    return context
