"""A thin layer over aiohttp: one request, one response. It decides nothing and never retries."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

import aiohttp

from importer import __version__
from importer.model import Answer, NoAnswer, Request, Response

# A host that does not accept a connection in this time is away; the request has not been sent.
CONNECT_SECONDS = 10.0


class Client:
    """Sends requests to one host. The token is in the session's header and nowhere else.

    Redirects are not followed, so that the token cannot reach another host.
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
        self._base_url = base_url
        self._now = now
        self._session = aiohttp.ClientSession(
            headers={"Authorization": authorization, "User-Agent": f"dixa-importer/{__version__}"},
            timeout=aiohttp.ClientTimeout(
                total=timeout_seconds, sock_connect=min(CONNECT_SECONDS, timeout_seconds)
            ),
            connector=aiohttp.TCPConnector(limit=connections),
            trust_env=True,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Response:
        """Send once. A failure of the network is a NoAnswer, never an exception."""
        try:
            async with self._session.request(
                request.method,
                self._base_url + request.path,
                params=request.query or None,
                json=request.json,
                allow_redirects=False,
            ) as response:
                text = await response.text(errors="replace")
                return Answer(
                    response.status,
                    _json(text),
                    text,
                    _seconds(response.headers.get("Retry-After"), self._now()),
                    _date(response.headers.get("Date")),
                )
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
        ) as error:
            return NoAnswer(sent=False, reason=f"no connection: {error}")
        except TimeoutError:
            return NoAnswer(sent=True, reason="no answer within the timeout")
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return NoAnswer(sent=True, reason=f"connection broken: {error or type(error).__name__}")


def _json(text: str) -> object:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Seconds from now. Retry-After is a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    date = _date(retry_after)
    return None if date is None else max(0.0, date - now.timestamp())


def _date(text: str | None) -> float | None:
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(text or "").timestamp()
    return None
