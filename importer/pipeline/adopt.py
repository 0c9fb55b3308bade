"""`adopt`: a checkpoint that was lost, or that is an older copy, is completed from what Dixa holds."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from importer.checkpoint import queries
from importer.checkpoint.journal import Checkpoint
from importer.dixa.api import Account
from importer.errors import CheckpointError
from importer.model import Conversation, State, TicketMemory
from importer.pipeline.connection import Connection, connected, each
from importer.pipeline.values import Prepared, RunHooks, RunResult
from importer.plan.changes import HASH_MAKER
from importer.push.adopt import Adoption
from importer.push.context import PushOptions

# Before its first creation, a run asks for so many tickets whether Dixa holds them already.
ASKED_FIRST = 25
# How many tickets are looked up in the checkpoint together.
BATCH = 500
ADOPTED, ADOPTING = "adopted", "adopting"


async def adopt(
    prepared: Prepared, journal: Checkpoint, *, authorization: str, options: PushOptions, hooks: RunHooks
) -> RunResult:
    """Record of every ticket of the export what Dixa holds of it. Nothing is sent to Dixa. Failures as in
    `connected`."""
    return await connected(
        prepared, journal, authorization=authorization, options=options, hooks=hooks, go=_adopt
    )


def ensure_complete(journal: Checkpoint, path: Path) -> None:
    """Raises CheckpointError if an `adopt` did not come to its end: what it did not ask for yet would be sent
    again."""
    if journal.noted(ADOPTING):
        raise CheckpointError(
            f"{path}: `adopt` was interrupted, so this checkpoint does not know yet what is in Dixa. Nothing "
            "was sent. Run `dixa-import adopt` to its end first"
        )


async def ensure_not_held(connection: Connection, dixa: Account) -> None:
    """Raises CheckpointError if the checkpoint is new, and Dixa seems to hold tickets of this export."""
    prepared, journal = connection.prepared, connection.journal
    if queries.ticket_count(prepared.migration.checkpoint) or journal.noted(ADOPTED):
        return
    first = await asyncio.to_thread(list, islice(prepared.parts.jobs(), ASKED_FIRST))
    if held := await _adoption(connection, dixa).first_held(first):
        raise CheckpointError(
            f"{prepared.migration.checkpoint} is new, but Dixa seems to hold tickets of this export already: "
            f"ticket {held[0]} as conversation {held[1]}. Nothing was sent. If the checkpoint was lost, "
            "put a copy of it back, or rebuild it with `dixa-import adopt`. To import everything once more, "
            "use `dixa-import run --from-scratch`"
        )


async def _adopt(connection: Connection) -> None:
    prepared, latest = connection.prepared, connection.options.latest_seconds
    # Before the first wait: whoever calls `adopt` does not trust the checkpoint.
    connection.journal.note(ADOPTING, True)
    await connection.journal.flush()
    connection.hooks.say(
        f"Waiting {latest:.0f} s, until Dixa can no longer carry out what the last run sent (target.latest)"
    )
    await connection.exchange.pace.pause(latest)
    await connection.check_organization()
    connection.journal.note("source_hashes", HASH_MAKER)
    adoption = _adoption(connection, await connection.look_up())
    await _ask_all(connection, adoption, prepared.parts.jobs())
    if adoption.open:
        connection.hooks.say(f"Looking again at {len(adoption.open):,} tickets that were not found exactly")
        again = (job for job in prepared.parts.jobs() if job.ticket_id in adoption.open)
        await _ask_all(connection, adoption, again)
    adoption.finish()
    connection.journal.note(ADOPTED, True)
    connection.journal.note(ADOPTING, False)
    await connection.journal.flush()


async def _ask_all(connection: Connection, adoption: Adoption, jobs: Iterable[Conversation]) -> None:
    checkpoint = connection.prepared.migration.checkpoint
    source = iter(jobs)
    while batch := await asyncio.to_thread(_next, source):
        known = await asyncio.to_thread(queries.memories, checkpoint, [job.ticket_id for job in batch])

        async def ask(job: Conversation) -> None:
            memory = known.get(job.ticket_id, TicketMemory())  # noqa: B023 - used before the next batch
            if result := await adoption.ask(job, memory):
                connection.took(result)
                connection.ran.found += result.dixa_id is not None
                connection.ran.incomplete += result.dixa_id is not None and result.state is State.LEFT

        await each(batch, ask, at_once=connection.prepared.migration.target.workers)


def _next(source: Iterator[Conversation]) -> list[Conversation]:
    return list(islice(source, BATCH))


def _adoption(connection: Connection, dixa: Account) -> Adoption:
    return Adoption(
        connection.api,
        connection.target(dixa),
        connection.people,
        connection.journal,
        connection.read_all,
        dixa.agents,
    )
