"""Several conversations in parallel, one per worker, started in the order of the plan. Knows no HTTP and no
disk."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from importer.model import Contact, Conversation, TicketMemory, TicketResult
from importer.push.context import PushContext
from importer.push.ticket import TicketRun

# How many tickets are looked up together, in the checkpoint and as people in Dixa.
BATCH = 50


async def push(
    context: PushContext, jobs: Iterable[Conversation], *, workers: int
) -> AsyncGenerator[TicketResult, None]:
    """Yields the result of each job when it ends, so not in the order of the jobs. Jobs that did not start
    because of a stop or a failure of the run have no result. Raises the first failure of the run after the
    jobs in progress have ended."""
    waiting: asyncio.Queue[tuple[Conversation, TicketMemory] | None] = asyncio.Queue(2 * workers)
    results: asyncio.Queue[TicketResult | None] = asyncio.Queue()
    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        context.exchange.pace.stop()

    async def feed() -> None:
        try:
            async for item in _remembering(context, jobs):
                await waiting.put(item)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic of polars is not an Exception
            fail(error)
        finally:
            for _ in range(workers):
                await waiting.put(None)

    async def work() -> None:
        while (item := await waiting.get()) is not None:
            if context.exchange.pace.stopped:
                continue
            job = TicketRun(context, *item)
            try:
                results.put_nowait(await job.run())
            except Exception as error:
                fail(error)
                results.put_nowait(job.cut_short())

    async def all_of_it() -> None:
        try:
            await asyncio.gather(feed(), *(work() for _ in range(workers)))
        finally:
            results.put_nowait(None)

    whole = asyncio.create_task(all_of_it())
    try:
        while (result := await results.get()) is not None:
            yield result
    finally:
        whole.cancel()
        await asyncio.wait([whole])
    if failures:
        raise failures[0]


async def _remembering(
    context: PushContext, jobs: Iterable[Conversation]
) -> AsyncIterator[tuple[Conversation, TicketMemory]]:
    source = iter(jobs)
    while not context.exchange.pace.stopped and not context.allowance.spent:
        batch = await asyncio.to_thread(list, islice(source, BATCH))
        if not batch:
            return
        known = await asyncio.to_thread(context.remembered, [job.ticket_id for job in batch])
        if context.allowance.tickets is None:
            await context.people.resolve_many(_newcomers(context, batch, known))
        for job in batch:
            yield job, known.get(job.ticket_id, TicketMemory())


def _newcomers(
    context: PushContext, batch: Sequence[Conversation], known: Mapping[str, TicketMemory]
) -> Iterator[Contact]:
    """The customers of tickets that have no steps yet and will be tried."""
    for job in batch:
        memory = known.get(job.ticket_id, TicketMemory())
        if memory.steps or (context.options.again and memory.state is None):
            continue
        if any(m.by_agent and m.author and m.author.key not in context.agents for m in job.messages):
            continue
        yield job.requester
        yield from (m.author for m in job.messages if m.author and not m.by_agent)
