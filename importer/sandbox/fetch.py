"""Attachments, fetched as Dixa fetches them: by URL, without a login, with limits of time and size."""

import asyncio
import ipaddress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

TIMEOUT_SECONDS = 5.0
SIZE_LIMIT = 50 * 1024 * 1024


async def unreachable(body: Any, *, everywhere: bool) -> frozenset[str]:
    """The URLs of attachments in a request that cannot be fetched. Only URLs on loopback are fetched, unless
    `everywhere` is set."""
    messages = body.get("messages", []) if isinstance(body, dict) else []
    files = [file for message in messages for file in message.get("attachments", [])]
    urls = {file["url"] for file in files if everywhere or _is_on_loopback(file["url"])}
    if not urls:
        return frozenset()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        had = await asyncio.gather(*(_is_there(session, url) for url in urls))
    return frozenset(url for url, there in zip(urls, had, strict=True) if not there)


async def _is_there(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            size = 0
            async for chunk in answer.content.iter_chunked(1 << 16):
                size += len(chunk)
                if size > SIZE_LIMIT:
                    return False
            return answer.ok
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return False


def _is_on_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
