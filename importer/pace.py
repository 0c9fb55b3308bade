"""When the next request may start: inside the account's limit, and not while the host wants quiet.

Dixa's limit is a strict token bucket (10 a second, burst 4, for the Dixa API; docs.dixa.io, "API standards
& rules"). Requests that leave evenly still arrive in clumps, so the limiter spends half the burst and leaves
the other half to the network; 99.5 % of the rate keeps it inside when this clock runs faster than Dixa's.
tests/bench/pace.py measures this shape against others.
"""

import asyncio
import random
from collections.abc import Callable

from aiolimiter import AsyncLimiter

MARGIN = 0.995
BACKOFF_CAP_SECONDS = 60.0


class Stopped(Exception):
    """The run is to end; nothing new starts. Not an error."""


def limiter(rate: float, burst: int) -> AsyncLimiter:
    """Half the burst at once, refilled at 99.5 % of the rate. Create it inside the running loop."""
    at_once = max(1, burst // 2)
    return AsyncLimiter(at_once, at_once / (rate * MARGIN))


class Pace:
    """One gate for all workers. `hold` closes it for everybody; `stop` opens it with Stopped."""

    def __init__(self, rate: float, burst: int, *, jitter: Callable[[], float] = random.random) -> None:
        self._limiter = limiter(rate, burst)
        self._jitter = jitter
        self._quiet_until = 0.0
        self._stop = asyncio.Event()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    async def turn(self) -> None:
        """Wait until a request may start. Raises Stopped once the run is to end."""
        while True:
            await self._wait_for_quiet()
            await self._limiter.acquire()
            if self.stopped:
                raise Stopped
            if self._quiet_until <= asyncio.get_running_loop().time():
                return

    def hold(self, seconds: float | None, *, attempt: int) -> float:
        """Keep every worker from starting a request: as long as the host said, else capped exponential
        back-off with jitter (1, 2, 4 … 60 s, between half and the whole of it). Returns the seconds."""
        if seconds is None:
            longest = min(BACKOFF_CAP_SECONDS, 2.0**attempt)
            seconds = longest * (0.5 + self._jitter() / 2)
        until = asyncio.get_running_loop().time() + seconds
        self._quiet_until = max(self._quiet_until, until)
        return seconds

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond a stop (raises Stopped)."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
        raise Stopped

    async def _wait_for_quiet(self) -> None:
        while (wait := self._quiet_until - asyncio.get_running_loop().time()) > 0:
            await self.pause(wait)
        if self.stopped:
            raise Stopped
