"""The pace under a clock that the test sets, so that nothing really waits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from importer.sandbox.server import Bucket
from importer.transport.pace import Pace, Stopped


class HandTurned(asyncio.SelectorEventLoop):
    """A loop that jumps to its next timer. It overshoots by 20 µs: aiolimiter livelocks if the clock
    does not move."""

    _at = 1000.0

    def time(self) -> float:
        return self._at

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._at = max(self._at, self._scheduled[0]._when) + 20e-6  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def turned(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    loop = HandTurned()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("rate", "burst"), [(10.0, 4), (10.0, 1), (2.0, 2), (100.0, 20)])
def test_the_pace_stays_within_a_strict_bucket_and_uses_it(rate: float, burst: int) -> None:
    async def work() -> tuple[int, int]:
        pace, bucket = Pace(rate, burst), Bucket(rate, burst, clock=now)
        end, served, refused = now() + 120, 0, 0
        while now() < end:
            await pace.turn()
            taken = bucket.take()
            served, refused = served + taken, refused + (not taken)
        return served, refused

    served, refused = turned(work)
    assert refused == 0
    assert served >= 0.99 * 120 * rate


def test_a_hold_keeps_all_workers_waiting_as_long_as_the_host_said() -> None:
    async def work() -> list[float]:
        pace, began = Pace(1000.0, 100), now()
        pace.hold(7.0)

        async def one() -> float:
            await pace.turn()
            return now() - began

        return list(await asyncio.gather(*(one() for _ in range(5))))

    assert all(7.0 <= waited < 7.1 for waited in turned(work))


def test_a_backoff_grows_to_a_minute_until_the_host_is_back() -> None:
    async def work() -> list[float]:
        pace = Pace(1000.0, 100, jitter=lambda: 1.0)
        waits = []
        for _ in range(8):
            waits.append(pace.hold(None))
            await pace.turn()
        pace.open()
        return [*waits, pace.hold(None)]

    assert turned(work) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 1])


def test_refusals_at_the_same_moment_wait_once() -> None:
    async def work() -> tuple[float, float]:
        pace = Pace(1000.0, 100, jitter=lambda: 1.0)
        return pace.hold(None), pace.hold(None)

    assert turned(work) == pytest.approx((1.0, 1.0))


def test_repeated_refusals_lower_the_rate_and_it_recovers() -> None:
    async def work() -> list[float]:
        pace, shares = Pace(10.0, 4), []
        pace.refused()
        pace.refused()
        shares.append(pace.share)
        for _ in range(3):
            await asyncio.sleep(5)
            pace.refused()
            shares.append(pace.share)
        for _ in range(7):
            await asyncio.sleep(31)
            await pace.turn()
        return [*shares, pace.share]

    assert turned(work) == pytest.approx([1.0, 0.7, 0.49, 0.343, 1.0])


def test_a_stop_wakes_all_workers() -> None:
    async def work() -> None:
        pace = Pace(10.0, 4)
        pace.hold(3600.0)
        waiting = asyncio.ensure_future(pace.turn())
        await asyncio.sleep(1)
        pace.stop()
        with pytest.raises(Stopped):
            await waiting
        with pytest.raises(Stopped):
            await pace.pause(10)

    turned(work)
