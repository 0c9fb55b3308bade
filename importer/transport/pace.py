"""When the next request may start: within the account's limit, and not while the host has asked for a pause.

Dixa's limit is a strict token bucket (10 per second, burst 4, for the Dixa API; docs.dixa.io, "API standards
& rules"). Requests that are sent evenly still arrive in clumps, so the limiter spends half the burst and
leaves the other half to the network. 99.5 % of the rate keeps it within the limit if this clock runs faster
than Dixa's. tests/bench/pace.py measures this limiter against others.
"""

import asyncio
import random
from collections.abc import Callable

from aiolimiter import AsyncLimiter

MARGIN = 0.995
BACKOFF_CAP_SECONDS = 60.0
# Requests in flight at the same time are refused together; that is one refusal.
ONE_MOMENT_SECONDS = 1.0
# Two refusals within this time mean that another client uses the same limit.
REPEATED_WITHIN_SECONDS = 60.0
# The rate rises one step after this time without a refusal.
FASTER_AFTER_SECONDS = 30.0
SHARE_FLOOR = 0.1


class Stopped(Exception):
    """The run is to end, so no new request starts. Not an error."""


def limiter(rate: float, burst: int) -> AsyncLimiter:
    """A limiter that allows half the burst at once and refills at 99.5 % of the rate. Create it inside the
    running event loop."""
    at_once = max(1, burst // 2)
    return AsyncLimiter(at_once, at_once / (rate * MARGIN))


class Pace:
    """One gate for the requests of all workers. `hold` closes it for all of them. After `stop`, waiting
    raises Stopped. `rate` is in requests per second."""

    def __init__(self, rate: float, burst: int, *, jitter: Callable[[], float] = random.random) -> None:
        self._rate, self._burst = rate, burst
        self._limiter = limiter(rate, burst)
        self._jitter = jitter
        self._share = 1.0
        self._changed_at = self._refused_at = self._quiet_until = float("-inf")
        self._holds = 0
        self._stop = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End the run: no new request starts, and all waiting workers wake up."""
        self._stop.set()

    async def turn(self) -> None:
        """Wait until a request may start. Raises Stopped if the run is to end."""
        while True:
            await self._wait_for_quiet()
            self._speed_up()
            await self._limiter.acquire()
            if self.stopped:
                raise Stopped
            if self._quiet_until <= self._now():
                return

    def backoff(self, times: int) -> float:
        """Seconds to wait after this many failures: 1, 2, 4 … 60, times a random factor between 0.5 and 1."""
        return min(BACKOFF_CAP_SECONDS, 2.0 ** min(times, 10)) * (0.5 + self._jitter() / 2)

    def hold(self, seconds: float | None) -> float:
        """Keep all workers from starting a request for the time that the host gave, or, if it gave none, for
        a backoff that grows until `open` is called. Returns the remaining seconds."""
        now = self._now()
        if seconds is None:
            if self._quiet_until > now:
                return self._quiet_until - now
            seconds = self.backoff(self._holds)
            self._holds += 1
        self._quiet_until = max(self._quiet_until, now + seconds)
        return self._quiet_until - now

    def open(self) -> None:
        """The host accepts requests again: the next backoff starts small."""
        self._holds = 0

    def refused(self) -> None:
        """The host refused a request because of the limit. After repeated refusals the rate drops, because
        another client uses the same limit. Refusals at the same moment count once."""
        now = self._now()
        since, self._refused_at = now - self._refused_at, now
        if ONE_MOMENT_SECONDS < since < REPEATED_WITHIN_SECONDS:
            self._change(max(SHARE_FLOOR, self._share * 0.7))

    def _speed_up(self) -> None:
        if self._share < 1.0 and self._now() - self._changed_at >= FASTER_AFTER_SECONDS:
            self._change(min(1.0, self._share + 0.1))

    def _change(self, share: float) -> None:
        self._share, self._changed_at = share, self._now()
        self._limiter = limiter(self._rate * share, self._burst)

    @property
    def share(self) -> float:
        """The share of the rate that is used now, from 0.1 to 1."""
        return self._share

    async def pause(self, seconds: float) -> None:
        """Wait for this time. Raises Stopped as soon as the run is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
        raise Stopped

    async def _wait_for_quiet(self) -> None:
        while (wait := self._quiet_until - self._now()) > 0:
            await self.pause(wait)
        if self.stopped:
            raise Stopped

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
