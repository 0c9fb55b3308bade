"""Attachments, fetched as Dixa fetches them: by URL, without a login, with limits of time and size.

A URL comes from an export, so it may name anything inside the network that the sandbox runs in. Only public
addresses are fetched, and loopback, where a rehearsal has its files."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

TIMEOUT_SECONDS = 5.0
SIZE_LIMIT = 50 * 1024 * 1024
REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SCHEMES = frozenset({"http", "https"})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be fetched."""

    # Whether hosts on the internet are asked too; otherwise their files are assumed to be there.
    everywhere: bool = False
    # The ports on loopback; None for any.
    ports: frozenset[int] | None = None

    def allows(self, address: str, port: int) -> bool:
        """Whether a connection to this address is allowed."""
        found = _address(address)
        if found is None:
            return False
        if found.is_loopback:
            return self.ports is None or port in self.ports
        return found.is_global and not found.is_multicast


def attachments(body: Any) -> frozenset[str]:
    """The URLs of the attachments in a request: of its messages, or its own."""
    if not isinstance(body, dict):
        return frozenset()
    messages = body.get("messages", [body])
    return frozenset(file["url"] for message in messages for file in message.get("attachments", []))


async def unreachable(found: frozenset[str], rule: Rule) -> frozenset[str]:
    """Those of the URLs that cannot be fetched."""
    if not found:
        return frozenset()
    connector = aiohttp.TCPConnector(resolver=_Resolver(rule))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    # Packed bodies stay packed: what they unpack to has no limit.
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        urls = sorted(found)
        had = await asyncio.gather(*(_is_there(session, url, rule) for url in urls))
    return frozenset(url for url, there in zip(urls, had, strict=True) if not there)


async def _is_there(session: aiohttp.ClientSession, text: str, rule: Rule) -> bool:
    """Whether a URL can be fetched. Every redirect is a URL that has to keep the rule itself."""
    try:
        url = URL(text)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            for _ in range(REDIRECTS + 1):
                known = _known(url, rule)
                if known is not None:
                    return known
                async with session.get(url, allow_redirects=False) as answer:
                    place = answer.headers.get("Location")
                    if answer.status not in _REDIRECTS or place is None:
                        return answer.status < 300 and await _is_small(answer)
                    url = url.join(URL(place))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        pass
    return False


async def _is_small(answer: aiohttp.ClientResponse) -> bool:
    size = 0
    async for chunk in answer.content.iter_chunked(1 << 16):
        size += len(chunk)
        if size > SIZE_LIMIT:
            return False
    return True


def _known(url: URL, rule: Rule) -> bool | None:
    """Whether a URL is there, as far as that is known without a request; None if it has to be asked. The host
    is the one that the client will use: it turns digits in circles into an address."""
    host, port = url.raw_host, url.port
    if url.scheme not in _SCHEMES or not host or port is None:
        return False
    address = _address("127.0.0.1" if host == "localhost" else host)
    if address is None:
        return None if rule.everywhere else True
    if not rule.allows(str(address), port):
        return False
    return None if rule.everywhere or address.is_loopback else True


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a connection to this host ends at, if the host is one. An IPv6 address can contain
    the IPv4 address of the real end."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
    if found in _NAT64:
        inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return inner or found


class _Resolver(AbstractResolver):
    """Resolves names, and knows only the addresses that are allowed: what was checked is what is connected
    to, whatever the name resolves to a moment later."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._names = rule, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        if not all(self._rule.allows(one["host"], port) for one in found):
            raise OSError(f"{host} is an address that is not fetched")
        return found

    async def close(self) -> None:
        await self._names.close()
