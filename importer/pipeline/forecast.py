"""What a run would send, counted without sending anything."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from importer.attachments.hosts import needs_login
from importer.checkpoint import queries
from importer.dixa import APIS
from importer.dixa.api import Api, lists_additions
from importer.model import Conversation, State, TicketMemory
from importer.pipeline.values import Forecast, Prepared
from importer.push.people import PEOPLE_AT_ONCE
from importer.push.remaining_steps import RemainingSteps
from importer.push.workers import BATCH

LOGINS = "attachments behind a login"


def forecast(
    prepared: Prepared, *, with_holes: bool = False, counted: Callable[[], object] = lambda: None
) -> Forecast:
    """Count the steps of every job, less those that the checkpoint has. `counted` is called for each job."""
    migration = prepared.migration
    api = APIS[migration.target.api]
    target = api.target(migration.conversation_settings(), None)
    conversations = messages = requests = there = held_back = 0
    losses: Counter[str] = Counter()
    for job, memory in _with_memory(prepared.parts.jobs(), migration.checkpoint):
        counted()
        remaining = RemainingSteps(job, memory, target, with_holes=with_holes)
        remaining.find()
        held_back += sum(state is State.REJECTED for state in remaining.states.values())
        if remaining.held or remaining.is_refused or not remaining.steps:
            there += remaining.dixa_id is not None
            continue
        conversations += remaining.dixa_id is None
        messages += sum(len(step.carries) for step in remaining.steps)
        requests += len(remaining.steps)
        losses.update(target.losses(job))
        losses[LOGINS] += sum(
            needs_login(file.url) for message in job.messages for file in message.attachments
        )
    known = (
        {key for key, _ in queries.people(migration.checkpoint)} if migration.checkpoint.exists() else set()
    )
    contacts = prepared.related.contacts.filter(~pl.col("key").is_in(sorted(known))).collect()
    end_users = contacts.filter("is_end_user").height
    looked_up = contacts.height if api.AGENTS is None else end_users
    batches = -(-conversations // BATCH) + -(-end_users // PEOPLE_AT_ONCE) - 1
    in_batches = min(max(batches, 0), end_users) if api.create_people is not None else end_users
    requests += looked_up + in_batches
    lists = len(api.needs(migration.conversation_settings()))
    look_ups = lists + sum(one is not None for one in (api.AGENTS, api.ORGANIZATION))
    tickets = prepared.parts.tickets + prepared.parts.already_there[0]
    everybody = prepared.related.contacts.filter("is_end_user").select(pl.len()).collect().item()
    return Forecast(
        conversations=conversations,
        messages=messages,
        people_to_look_up=looked_up,
        people_to_create_at_most=end_users,
        requests=requests,
        account_look_ups=look_ups,
        seconds=requests / migration.target.rate,
        already_there=there + prepared.parts.already_there[0],
        held_back=held_back,
        verify_requests=tickets * requests_of(api) + everybody + min(tickets, everybody) + look_ups,
        losses={name: count for name, count in losses.items() if count},
    )


def requests_of(api: Api) -> int:
    """How many requests `verify` makes for one ticket: its messages, notes and tags."""
    return 1 + (not lists_additions(api)) + (api.tags_of is not None)


def _with_memory(jobs: Iterator[Conversation], path: Path) -> Iterator[tuple[Conversation, TicketMemory]]:
    """Each job with what the checkpoint knows of it."""
    while batch := list(islice(jobs, BATCH)):
        known = queries.memories(path, [job.ticket_id for job in batch]) if path.exists() else {}
        for job in batch:
            yield job, known.get(job.ticket_id, TicketMemory())
