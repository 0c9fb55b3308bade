"""Faults on demand: what a network, a proxy or a host in trouble does to a request, seeded so that a run of
bad luck can be had again.

`before` and `after` say on which side of the commit a fault strikes: an answer of 500 may hide a conversation
that was created. A request may name its own fault in the header X-Sandbox-Fault, or `none`.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

HEADER = "X-Sandbox-Fault"


class Fault(StrEnum):
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


_AFTER_THE_COMMIT = {
    Fault.ERROR_AFTER,
    Fault.GATEWAY_AFTER,
    Fault.UNAVAILABLE_AFTER,
    Fault.CUT_AFTER,
    Fault.HANG_AFTER,
    Fault.HTML_AFTER,
    Fault.TRUNCATED,
}
_BY_NAME = {fault.value: fault for fault in Fault}


@dataclass(frozen=True, slots=True)
class Plan:
    """`rates` is the share of requests that each fault strikes. `hang_seconds` is how long a hanging answer
    is held, `late_seconds` after what time a request whose connection is gone is carried out all the same.
    `script` strikes the n-th request that changes something (counted from 1), whatever the rates."""

    rates: Mapping[Fault, float] = field(default_factory=dict)
    seed: int = 0
    retry_after_seconds: int = 1
    hang_seconds: float = 60.0
    late_seconds: float = 1.0
    script: Mapping[int, Fault] = field(default_factory=dict)


class Faults:
    """Strikes requests by the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - luck, not secrecy
        self._late: set[asyncio.Task[None]] = set()
        self._creations = 0

    def choose(self, request: web.Request) -> Fault | None:
        """The fault that strikes this request. One draw a request, whatever comes of it."""
        draw = self._chance.random()
        changes = request.method != "GET"
        self._creations += changes
        if changes and self._creations in self._plan.script:
            return self._plan.script[self._creations]
        named = request.headers.get(HEADER)
        if named is not None:
            return _BY_NAME.get(named)
        for fault, rate in self._plan.rates.items():
            if draw < rate:
                return fault
            draw -= rate
        return None

    async def strike(
        self, fault: Fault, request: web.Request, carry_out: Callable[[bool], web.Response]
    ) -> web.StreamResponse:
        """The answer that the client gets, if any; `carry_out` commits and gives the right one, or, told so,
        one in which a part is refused."""
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

    async def close(self) -> None:
        """Let what is still to come late come."""
        await asyncio.gather(*self._late)

    async def _carry_out_late(self, carry_out: Callable[[bool], web.Response]) -> None:
        await asyncio.sleep(self._plan.late_seconds)
        carry_out(False)


def parse(text: str) -> tuple[Fault, float]:
    """`500-after=0.1` → the fault and its rate. Raises ValueError."""
    name, _, rate = text.partition("=")
    share = float(rate or 1.0)
    if not 0 <= share <= 1:
        raise ValueError(f"{share:g} is no share between 0 and 1")
    return Fault(name), share


def _cut(request: web.Request) -> web.Response:
    """The connection broken off, without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _message(status: int, message: str, retry_after_seconds: int | None = None) -> web.Response:
    headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds is not None else {}
    return web.json_response({"message": message}, status=status, headers=headers)
