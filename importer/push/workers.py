"""Several conversations in parallel, one per slot, started in the order of the plan. Knows no HTTP and no
disk."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from importer.model import Contact, Conversation, TicketMemory, TicketResult
from importer.push.context import PushContext
from importer.push.ticket import TicketRun

# How many tickets are looked up together, in the checkpoint and as people in Dixa.
BATCH = 50
# Those that wait until a doubt can be settled have no slot. More of them only cost memory.
BEGUN_AT_ONCE = 1_000


async def push(context: PushContext, jobs: Iterable[Conversation]) -> AsyncGenerator[TicketResult, None]:
    """Yields the result of each job when it ends, so not in the order of the jobs. Jobs that did not start
    because of a stop or a failure of the run have no result. Raises the first failure of the run after the
    jobs in progress have ended."""
    results: asyncio.Queue[TicketResult | None] = asyncio.Queue()
    failures: list[BaseException] = []
    begun = asyncio.Semaphore(BEGUN_AT_ONCE)

    def fail(error: BaseException) -> None:
        failures.append(error)
        context.exchange.pace.stop()

    async def work(job: Conversation, memory: TicketMemory) -> None:
        ticket = TicketRun(context, job, memory)
        try:
            results.put_nowait(await ticket.run())
        except Exception as error:
            fail(error)
            results.put_nowait(ticket.cut_short())
        finally:
            context.slots.give()
            begun.release()

    async def whole() -> None:
        under_way: set[asyncio.Task[None]] = set()
        try:
            async for job, memory in _remembering(context, jobs):
                await begun.acquire()
                await context.slots.take()
                if context.exchange.pace.stopped:
                    context.slots.give()  # those that wait for one would wait for ever
                    break
                task = asyncio.create_task(work(job, memory))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await _ended(under_way)
        except asyncio.CancelledError:
            for task in under_way:
                task.cancel()
            raise
        except BaseException as error:  # a panic of polars is not an Exception
            fail(error)
        finally:
            await _ended(under_way)
            results.put_nowait(None)

    running = asyncio.create_task(whole())
    try:
        while (result := await results.get()) is not None:
            yield result
    finally:
        running.cancel()
        await asyncio.wait([running])
    if failures:
        raise failures[0]


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(set(tasks))


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
