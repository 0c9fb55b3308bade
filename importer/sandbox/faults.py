"""Faults on demand: what a network, a proxy or a failing host can do to a request. They are random with a
seed, so that they can be repeated.

`before` and `after` say on which side of the commit a fault happens: after a response of 500, the
conversation may have been created. A request may name its own fault in the header X-Sandbox-Fault (an odd
answer as `odd:NAME`, with `:before` or `:after` behind it if it matters), or `none`.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from importer.sandbox.fetch import attachments
from importer.sandbox.odd import BY_NAME, ODD, PARAMETER, Odd, Sides
from importer.sandbox.view import Reword

HEADER = "X-Sandbox-Fault"
# What a server that echoes adds, so that whoever prints it without care shows a lie.
LIE = "\x1b[2K\rAll clean. Nothing is left to do.\x07"
_BLOCKED = "<html><head><title>403 Forbidden</title></head><body><h1>Request blocked</h1></body></html>"
# The members of requests that hold what people wrote.
_TEXTS = frozenset({"value", "text", "message", "subject"})


class Fault(StrEnum):
    """What can happen to a request on its way. A client that waits and asks again gets over each of these."""

    TOO_MANY = "429"
    TOO_MANY_RETRY_AFTER = "429-retry-after"
    ERROR_BEFORE = "500-before"
    ERROR_AFTER = "500-after"
    GATEWAY_BEFORE = "502-before"
    GATEWAY_AFTER = "502-after"
    UNAVAILABLE_BEFORE = "503-before"
    UNAVAILABLE_AFTER = "503-after"
    UNAVAILABLE_RETRY_AFTER = "503-retry-after"
    CUT_BEFORE = "cut-before"
    CUT_AFTER = "cut-after"
    HANG_BEFORE = "hang-before"
    HANG_AFTER = "hang-after"
    TRUNCATED = "truncated"
    HTML_BEFORE = "html-before"
    HTML_AFTER = "html-after"
    LATE = "late"
    PARTIAL = "partial"


class Trouble(StrEnum):
    """What a client does not get over by asking again: refusals, and answers that make no sense."""

    # Always for the same attachments and the same texts, whichever request they are in.
    ATTACHMENT_400 = "attachment-400"
    FORBIDDEN = "forbidden"
    # For some requests, as faults are.
    ECHO = "echo"
    ECHO_401 = "echo-401"
    ODD = "odd-answers"


_LASTING = frozenset({Trouble.ATTACHMENT_400, Trouble.FORBIDDEN})
_ECHOES = frozenset({Trouble.ECHO, Trouble.ECHO_401})
_AFTER_THE_COMMIT = {
    Fault.ERROR_AFTER,
    Fault.GATEWAY_AFTER,
    Fault.UNAVAILABLE_AFTER,
    Fault.CUT_AFTER,
    Fault.HANG_AFTER,
    Fault.HTML_AFTER,
    Fault.TRUNCATED,
}
_BY_NAME: Mapping[str, Fault | Trouble] = {fault.value: fault for fault in (*Fault, *Trouble)}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which requests have faults."""

    # The share of requests with each fault, from 0 to 1; that of attachments or texts, for those that last.
    rates: Mapping[Fault | Trouble, float] = field(default_factory=dict)
    seed: int = 0
    # The value of Retry-After.
    retry_after_seconds: int = 1
    # How long a response hangs before the connection is cut.
    hang_seconds: float = 60.0
    # How long after its connection was cut a late request is carried out.
    late_seconds: float = 1.0
    # The fault of the n-th request that changes something (counted from 1), regardless of the rates; that of
    # the n-th request that reads. An odd answer goes by its name.
    script: Mapping[int, str] = field(default_factory=dict)
    script_reads: Mapping[int, str] = field(default_factory=dict)
    # How texts are shown, and what lists do not show yet: see `View`.
    reword: frozenset[Reword] = frozenset()
    lag_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in (*self.script.values(), *self.script_reads.values()):
            if named(name) is None:
                raise ValueError(f"there is no fault or odd answer {name!r}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """An odd answer. Without a side, the seed decides."""

    odd: Odd
    side: Sides = Sides.EITHER


@dataclass(frozen=True, slots=True)
class Work:
    """What a request asks for."""

    # Commits it and returns the right response; with True, one in which a part is refused.
    carry_out: Callable[[bool], web.Response]
    # Returns the same right response, and commits nothing.
    rehearse: Callable[[], web.Response]


Struck = Fault | Trouble | Chosen


class Faults:
    """Applies a plan to requests."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - not for secrets
        self._late: set[asyncio.Task[None]] = set()
        self._creations = self._reads = 0

    def choose(self, request: web.Request) -> Struck | None:
        """The fault of this request, if any. Every request takes one random number, so that the same seed
        gives the same faults."""
        draw = self._chance.random()
        scripted = self._scripted(request)
        if scripted is not None:
            return named(scripted)
        wanted = request.headers.get(HEADER) or request.query.get(PARAMETER)
        if wanted is not None:
            return named(wanted)
        for fault, rate in self._plan.rates.items():
            if fault in _LASTING:
                continue
            if draw < rate:
                return None if fault in _ECHOES and not request.body_exists else fault
            draw -= rate
        return None

    def _scripted(self, request: web.Request) -> str | None:
        if request.method == "GET":
            self._reads += 1
            return self._plan.script_reads.get(self._reads)
        self._creations += 1
        return self._plan.script.get(self._creations)

    @property
    def refuses_attachments(self) -> bool:
        """Whether a request is refused because of an attachment, instead of being carried out without it."""
        return Trouble.ATTACHMENT_400 in self._plan.rates

    def dead(self, urls: Iterable[str]) -> frozenset[str]:
        """The attachments that can never be fetched."""
        return frozenset(url for url in urls if self._hits(Trouble.ATTACHMENT_400, url))

    def forbids(self, body: Any) -> bool:
        """Whether a firewall refuses a request with this body. Its longest text decides, since that is what
        firewalls take for an attack."""
        longest = max(_texts(body), key=len, default="")
        return bool(longest) and self._hits(Trouble.FORBIDDEN, longest)

    def _hits(self, trouble: Trouble, text: str) -> bool:
        digest = hashlib.sha256(f"{self._plan.seed}:{trouble}:{text}".encode()).digest()
        return int.from_bytes(digest[:8]) / 2**64 < self._plan.rates.get(trouble, 0.0)

    async def strike(self, fault: Struck, request: web.Request, work: Work) -> web.StreamResponse:
        """The response that the client gets, if any."""
        match fault:
            case Chosen():
                return self._odd(fault, request, work)
            case Trouble.ODD:
                return self._odd(Chosen(self._chance.choice(ODD)), request, work)
            case Trouble.ECHO:
                return await self._echo(self._chance.choice((400, 429)), request)
            case Trouble.ECHO_401:
                return await self._echo(401, request)
            case Trouble.FORBIDDEN:
                return blocked()
            case Trouble.ATTACHMENT_400:
                urls = attachments(json.loads(await request.read() or b"null"))
                return undownloadable(min(urls)) if urls else work.carry_out(False)
            case _:
                return await self._fail(fault, request, work.carry_out)

    async def _fail(
        self, fault: Fault, request: web.Request, carry_out: Callable[[bool], web.Response]
    ) -> web.StreamResponse:
        plan = self._plan
        if fault is Fault.PARTIAL:
            return carry_out(True)
        if fault is Fault.LATE:
            task = asyncio.ensure_future(self._carry_out_late(carry_out))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return _cut(request)
        answer = carry_out(False) if fault in _AFTER_THE_COMMIT else None
        match fault:
            case Fault.TOO_MANY:
                return _message(429, "Too many requests.")
            case Fault.TOO_MANY_RETRY_AFTER:
                return _message(429, "Too many requests.", plan.retry_after_seconds)
            case Fault.UNAVAILABLE_RETRY_AFTER:
                return _message(503, "Service unavailable.", plan.retry_after_seconds)
            case Fault.ERROR_BEFORE | Fault.ERROR_AFTER:
                return _message(500, "Internal server error.")
            case Fault.UNAVAILABLE_BEFORE | Fault.UNAVAILABLE_AFTER:
                return _message(503, "Service unavailable.")
            case Fault.GATEWAY_BEFORE | Fault.GATEWAY_AFTER:
                return web.Response(status=502, text="Bad gateway")
            case Fault.HTML_BEFORE | Fault.HTML_AFTER:
                page = "<html><body><h1>Something went wrong</h1></body></html>"
                return web.Response(status=504, text=page, content_type="text/html")
            case Fault.HANG_BEFORE | Fault.HANG_AFTER:
                await asyncio.sleep(plan.hang_seconds)
                return _cut(request)
            case Fault.TRUNCATED if answer is not None:
                text = answer.text or ""
                return web.Response(
                    status=answer.status, text=text[: len(text) // 2], content_type="application/json"
                )
            case _:
                return _cut(request)

    def _odd(self, chosen: Chosen, request: web.Request, work: Work) -> web.StreamResponse:
        side = chosen.odd.sides if chosen.side is Sides.EITHER else chosen.side
        if side is Sides.EITHER:
            side = self._chance.choice((Sides.BEFORE, Sides.AFTER))
        if side is Sides.AFTER or request.method == "GET":
            return chosen.odd.make(request, work.carry_out(False))
        right = work.rehearse()
        answer = chosen.odd.make(request, right)
        told_to = chosen.side is Sides.BEFORE
        if not told_to and answer.status < 300 and (request.method != "POST" or not right.body):
            # Where a success has nothing to say, any success is believed: so that it is no lie, it is done.
            work.carry_out(False)
        return answer

    async def _echo(self, status: int, request: web.Request) -> web.Response:
        """An error that repeats the whole request, with the token, and tries to rewrite a terminal."""
        body = (await request.read()).decode(errors="replace")
        token = request.headers.get("Authorization", "")
        told = f"Cannot process {request.method} with Authorization: {token} and body {body} {LIE}"
        return _message(status, told, self._plan.retry_after_seconds if status == 429 else None)

    async def close(self) -> None:
        """Wait until all late requests are carried out."""
        await asyncio.gather(*self._late)

    async def _carry_out_late(self, carry_out: Callable[[bool], web.Response]) -> None:
        await asyncio.sleep(self._plan.late_seconds)
        carry_out(False)


def named(name: str) -> Struck | None:
    """The fault of this name, or the odd answer; None if there is none."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    bare, _, side = name.removeprefix("odd:").partition(":")
    odd = BY_NAME.get(bare)
    return Chosen(odd, Sides(side or "either")) if odd and side in ("", "before", "after") else None


def read_plan(texts: Iterable[str], **more: Any) -> Plan:
    """The plan that several `--fault` give, with `more` of its fields. Raises ValueError for what is none."""
    rates: dict[Fault | Trouble, float] = {}
    reword: set[Reword] = set()
    lag_seconds = 0.0
    for text in texts:
        name, _, value = text.partition("=")
        if name == "reword":
            reword.add(Reword(value))
        elif name == "lag":
            lag_seconds = float(value)
            if not 0 <= lag_seconds < float("inf"):
                raise ValueError(f"{value} is not a number of seconds")
        else:
            fault, share = parse(text)
            rates[fault] = share
    return Plan(rates, reword=frozenset(reword), lag_seconds=lag_seconds, **more)


def parse(text: str) -> tuple[Fault | Trouble, float]:
    """The fault and its rate, from a text such as `500-after=0.1`. The rate is 1 if it is not given. Raises
    ValueError for an unknown fault and for a rate that is not a number from 0 to 1."""
    name, _, rate = text.partition("=")
    share = float(rate or 1.0)
    if not 0 <= share <= 1:
        raise ValueError(f"{share:g} is not a share between 0 and 1")
    if name not in _BY_NAME:
        raise ValueError(f"{name!r} is not a fault")
    return _BY_NAME[name], share


def blocked() -> web.Response:
    """The refusal of a firewall in front of the service."""
    return web.Response(status=403, text=_BLOCKED, content_type="text/html")


def undownloadable(url: str) -> web.Response:
    """The documented refusal of a request because of one attachment."""
    return _message(400, f"The attachment {url} could not be downloaded.")


def _texts(body: Any) -> Iterator[str]:
    if isinstance(body, list):
        for item in body:
            yield from _texts(item)
    elif isinstance(body, dict):
        for name, value in body.items():
            if isinstance(value, str):
                if name in _TEXTS:
                    yield value
            else:
                yield from _texts(value)


def _cut(request: web.Request) -> web.Response:
    """Cuts the connection, so that the client gets no response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _message(status: int, message: str, retry_after_seconds: int | None = None) -> web.Response:
    headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds is not None else {}
    return web.json_response({"message": message}, status=status, headers=headers)
