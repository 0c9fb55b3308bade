"""The border: what the host says is data. Every response passes through here before it is judged, stored or
shown.

Its size and depth are limited. The token, the texts that the request sent and control characters are taken
out of what may be stored or shown. Pure, except that `body_of` reads from the network."""

import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from importer.model import Answer, Request

# Decompressed. The largest list is a conversation's messages; Dixa documents no maximum.
BODY_LIMIT = 64 * 1024 * 1024
DEPTH_LIMIT = 50
# Of a response that is not JSON, and of each string in an error.
TEXT_LIMIT = 2_000
# A daily quota returns within a day, so a host that names a longer time is not believed.
WAIT_LIMIT_SECONDS = 86_400.0

# All but line feed and tab; also what turns the direction of a text on a terminal.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_NO_TEXT = "[...]"
# A run of this many characters that also stands in a text that was sent is taken for an echo.
_ECHO = 12
# Their values are ids, addresses of files and words of the API, which an error must be able to name.
_NAMES_KEPT = frozenset(
    {
        "_type", "externalId", "requesterId", "requester_id", "agentId", "author_id", "queueId", "queue_id",
        "endpoint_id", "emailIntegrationId", "email_integration_id", "channel", "direction", "createdAt",
        "closedAt", "closedBy", "assignedAt", "genericChannelName", "url", "tags",
    }
)  # fmt: skip
_NAMED_IN_ERRORS = ("url", "externalId")
# The parts of a success that say what failed.
_ERRORS = ("error", "errors", "partialErrors")


class TooLarge(Exception):
    """A response is larger than any that Dixa gives."""


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """The decompressed body. Raises TooLarge beyond BODY_LIMIT, without reading further."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > BODY_LIMIT:
            raise TooLarge
    return b"".join(parts)


def answer_of(
    status: int, headers: Mapping[str, str], body: bytes, request: Request, *, token: str, now: datetime
) -> Answer:
    """The response as the rest of the program sees it. JSON is UTF-8 (RFC 8259), whatever the header says."""
    text = body.decode("utf-8-sig", "replace")
    value = _parsed(text)
    failed = status >= 300
    sent = _sent_by(request.json)

    def clean(string: str) -> str:
        string = _CONTROL.sub("", string.replace(token, "[token]") if token else string)
        return string.encode("utf-8", "replace").decode()

    def redact(string: str) -> str:
        return _without(clean(string)[:TEXT_LIMIT], sent)

    with suppress(_TooDeep):
        value = _walked(value, redact if failed else clean, redact)
        return Answer(
            status,
            value,
            redact(" ".join(text[: 4 * TEXT_LIMIT].split())) if value is None else _shown(value, failed),
            seconds_to_wait(headers.get("Retry-After"), now),
            _date(headers.get("Date")),
        )
    return Answer(status, None, "", seconds_to_wait(headers.get("Retry-After"), now), None)


def seconds_to_wait(retry_after: str | None, now: datetime) -> float | None:
    """Seconds from now, at most a day; None for what is neither a number nor a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", retry_after.strip()):
        return min(float(retry_after), WAIT_LIMIT_SECONDS)
    date = _date(retry_after)
    return None if date is None else min(max(0.0, date - now.timestamp()), WAIT_LIMIT_SECONDS)


def _shown(value: Any, failed: bool) -> str:
    """An error without a message of its own is shown as it is."""
    return json.dumps(value, ensure_ascii=False)[:TEXT_LIMIT] if failed else ""


class _TooDeep(Exception):
    pass


def _parsed(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def _walked(value: Any, clean: Any, redact: Any, depth: int = 0) -> Any:
    if depth > DEPTH_LIMIT:
        raise _TooDeep
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_walked(item, clean, redact, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            clean(name): _walked(item, redact if name in _ERRORS else clean, redact, depth + 1)
            for name, item in value.items()
        }
    return value


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a request sent, to find its echo."""

    # All texts, one after another.
    texts: str
    # The lines that are too short to be told from words by a part of them.
    short: frozenset[str]
    # The addresses of files and the external ids, which an error has to name.
    kept: tuple[str, ...]


def _sent_by(body: Any) -> _Sent:
    strings = list(_strings(body))
    texts = [text for name, text in strings if name not in _NAMES_KEPT]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    short = frozenset(line for line in lines if 3 < len(line) < _ECHO)
    kept = tuple(text for name, text in strings if name in _NAMED_IN_ERRORS and text)
    # Nothing that is found spans two texts, or two lines of which an echo may have changed the blanks.
    return _Sent("\0".join([*texts, *(line for line in lines if len(line) >= _ECHO)]), short, kept)


def _strings(body: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The strings of a request, with the names that they stand under."""
    if isinstance(body, str):
        yield name, body
    elif isinstance(body, list):
        for item in body:
            yield from _strings(item, name)
    elif isinstance(body, dict):
        for key, item in body.items():
            yield from _strings(item, key)


def _without(text: str, sent: _Sent) -> str:
    """A text without what stands in the texts that were sent, also where it is escaped or cut."""
    forms = (text, html.unescape(text), _unescaped(text))
    redacted = [found for form in forms if (found := _echoes(form, sent)) != form]
    # The form in which the echo was made is the one in which the most of it is found.
    return min(redacted, key=len, default=text)


def _unescaped(text: str) -> str:
    """The text with the escapes of JSON resolved: an echo of the raw request has them."""
    quoted = re.sub(r'(?<!\\)"', r'\\"', text)
    with suppress(ValueError):
        return str(json.loads(f'"{quoted}"', strict=False))
    return text


def _echoes(text: str, sent: _Sent) -> str:
    covered = bytearray(len(text))
    for start in range(len(text) - _ECHO + 1):
        if text[start : start + _ECHO] in sent.texts:
            covered[start : start + _ECHO] = b"\1" * _ECHO
    for line in sent.short:
        if line in text:  # most are not, and this is fast
            _cover(covered, rf"(?<!\w){re.escape(line)}(?!\w)", text, 1)
    for name in sent.kept:
        _cover(covered, re.escape(name), text, 0)
    pieces: list[str] = []
    for start, end in _runs(covered):
        pieces.append(_NO_TEXT if covered[start] else text[start:end])
    return "".join(pieces)


def _cover(covered: bytearray, pattern: str, text: str, flag: int) -> None:
    for match in re.finditer(pattern, text):
        covered[match.start() : match.end()] = bytes([flag]) * (match.end() - match.start())


def _runs(flags: bytearray) -> Iterator[tuple[int, int]]:
    start = 0
    for place in range(1, len(flags) + 1):
        if place == len(flags) or flags[place] != flags[start]:
            yield start, place
            start = place


def _date(text: str | None) -> float | None:
    """Unix time from a date as HTTP writes it; None for anything else."""
    with suppress(ValueError, TypeError, OverflowError, IndexError):
        return parsedate_to_datetime(text or "").timestamp()
    return None
