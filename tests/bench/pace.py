"""Which limiter stays within a strict token bucket and still uses all of the allowance?

    python tests/bench/pace.py                  # a minute for each limiter and number of workers
    python tests/bench/pace.py --hours 3        # simulated: 3 hours with a client clock 100 ppm fast

The runs send to the sandbox's bucket over a network that delays each request by 0 to 50 ms. The simulated
runs use the same limiter in an event loop whose clock is set by the program.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiolimiter import AsyncLimiter
from tabulate import tabulate

from importer.sandbox.server import Bucket
from importer.transport.pace import limiter

RATE, BURST, JITTER = 10.0, 4, 0.05
SHAPES: dict[str, Callable[[], AsyncLimiter]] = {
    "AsyncLimiter(10, 1)": lambda: AsyncLimiter(10, 1),
    "AsyncLimiter(4, 0.4)": lambda: AsyncLimiter(4, 0.4),
    "AsyncLimiter(2, 0.2)": lambda: AsyncLimiter(2, 0.2),
    "AsyncLimiter(1, 0.1)": lambda: AsyncLimiter(1, 0.1),
    "pace.limiter (ours)": lambda: limiter(RATE, BURST),
}


async def trial(
    shape: Callable[[], AsyncLimiter], workers: int, seconds: float, drift: float = 0.0
) -> tuple[int, float]:
    """The number of 429s, and the share of the allowance that was used."""
    loop = asyncio.get_running_loop()
    # To a client clock that runs fast, the seconds of the server are longer.
    bucket = Bucket(RATE, BURST, clock=lambda: loop.time() / (1 + drift))
    gate, chance = shape(), random.Random(1)
    refused = served = 0
    end = loop.time() + seconds

    async def work() -> None:
        nonlocal refused, served
        while loop.time() < end:
            await gate.acquire()
            if loop.time() >= end:
                return
            await asyncio.sleep(chance.random() * JITTER)
            if bucket.take():
                served += 1
            else:
                refused += 1
            await asyncio.sleep(chance.random() * JITTER)

    await asyncio.gather(*(work() for _ in range(workers)))
    return refused, served / (seconds / (1 + drift) * RATE + BURST)


class HandTurned(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer instead of waiting. A jump overshoots by 20 µs, because
    aiolimiter livelocks if the clock does not move."""

    _at = 0.0

    def time(self) -> float:
        return self._at

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._at = max(self._at, self._scheduled[0]._when) + 20e-6  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def rows(
    seconds: float, workers: list[int], run: Callable[[Any], tuple[int, float]], drift: float
) -> Iterator[list[str]]:
    for name, shape in SHAPES.items():
        for count in workers:
            refused, share = run(trial(shape, count, seconds, drift))
            yield [name, str(count), str(refused), f"{share:.2%}"]


def simulate(work: Any) -> tuple[int, float]:
    loop = HandTurned()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--hours", type=float, help="simulate this long instead, with a clock 100 ppm fast")
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 16, 64])
    options = parser.parse_args()
    began = time.monotonic()
    if options.hours:
        table = rows(options.hours * 3600, options.workers, simulate, 100e-6)
    else:
        table = rows(options.seconds, options.workers, asyncio.run, 0.0)
    print(tabulate(table, headers=["limiter", "workers", "429s", "of the allowance"], disable_numparse=True))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
