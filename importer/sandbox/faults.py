"""Faults on demand: what a network, a proxy or a failing host can do to a request. They are random with a
seed, so that they can be repeated.

`before` and `after` say on which side of the commit a fault happens: after a response of 500, the
conversation may have been created. A request may name its own fault in the header X-Sandbox-Fault, or
`none`.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

HEADER = "X-Sandbox-Fault"


class Fault(StrEnum):
    """What can happen to a request. The names are those of `--fault`."""

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
    """Which requests have faults."""

    # The share of requests with each fault, from 0 to 1.
    rates: Mapping[Fault, float] = field(default_factory=dict)
    seed: int = 0
    # The value of Retry-After.
    retry_after_seconds: int = 1
    # How long a response hangs before the connection is cut.
    hang_seconds: float = 60.0
    # How long after its connection was cut a late request is carried out.
    late_seconds: float = 1.0
    # The fault of the n-th request that changes something (counted from 1), regardless of the rates.
    script: Mapping[int, Fault] = field(default_factory=dict)


class Faults:
    """Applies a plan to requests."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - not for secrets
        self._late: set[asyncio.Task[None]] = set()
        self._creations = 0

    def choose(self, request: web.Request) -> Fault | None:
        """The fault of this request, if any. Every request takes one random number, so that the same seed
        gives the same faults."""
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
        """The response that the client gets, if any. `carry_out` commits the request and returns the right
        response; with True, one in which a part is refused."""
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
        """Wait until all late requests are carried out."""
        await asyncio.gather(*self._late)

    async def _carry_out_late(self, carry_out: Callable[[bool], web.Response]) -> None:
        await asyncio.sleep(self._plan.late_seconds)
        carry_out(False)


def parse(text: str) -> tuple[Fault, float]:
    """The fault and its rate, from a text such as `500-after=0.1`. The rate is 1 if it is not given. Raises
    ValueError for an unknown fault and for a rate that is not a number from 0 to 1."""
    name, _, rate = text.partition("=")
    share = float(rate or 1.0)
    if not 0 <= share <= 1:
        raise ValueError(f"{share:g} is not a share between 0 and 1")
    return Fault(name), share


def _cut(request: web.Request) -> web.Response:
    """Cuts the connection, so that the client gets no response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _message(status: int, message: str, retry_after_seconds: int | None = None) -> web.Response:
    headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds is not None else {}
    return web.json_response({"message": message}, status=status, headers=headers)
