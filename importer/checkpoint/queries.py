"""Queries on a checkpoint. They do not take its lock, so they also work while a run writes to it."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from importer.checkpoint.database import read_only
from importer.checkpoint.journal import Binding
from importer.errors import CheckpointError, ConfigError
from importer.model import Doubt, State, StepKind, StepRecord, TicketMemory


@dataclass(frozen=True, slots=True)
class TicketRecord:
    """A ticket as the checkpoint stores it."""

    ticket_id: str
    # None if work on the ticket has begun and not ended.
    state: State | None
    dixa_id: str | None
    reason: str
    # How many of its messages are in Dixa.
    messages: int


def memories(path: Path, ticket_ids: Iterable[str]) -> dict[str, TicketMemory]:
    """What the checkpoint knows of these tickets, by ticket id; tickets that it does not know are missing. Do
    not call it for tickets with uncommitted writes."""
    found: dict[str, TicketMemory] = {}
    with closing(read_only(path)) as db:
        for ticket_id in ticket_ids:
            ticket = db.execute(
                "SELECT n, state, doubtful, suspect FROM tickets WHERE ticket_id = ?", (ticket_id,)
            ).fetchone()
            if ticket:
                rows = db.execute(
                    "SELECT kind, key, state, dixa_id, fingerprint, reason, refused, at FROM steps "
                    "WHERE ticket = ?",
                    ticket[:1],
                )
                found[ticket_id] = TicketMemory(
                    tuple(map(_step_record, rows)),
                    State(ticket[1]) if ticket[1] else None,
                    bool(ticket[2]),
                    _suspect(ticket_id, ticket[3]),
                )
            elif db.execute("SELECT 1 FROM held_back WHERE ticket_id = ?", (ticket_id,)).fetchone():
                found[ticket_id] = TicketMemory(state=State.REJECTED)
    return found


def source_hashes(path: Path, *, maker: str) -> list[tuple[str, int]]:
    """Id and source hash of each ticket that is imported completely and not doubtful. Empty if the hashes
    were not made by `maker`, because they cannot be compared then."""
    if not path.exists():
        return []
    with closing(read_only(path)) as db:
        try:
            row = db.execute("SELECT value FROM meta WHERE key = 'source_hashes'").fetchone()
            if row is None or json.loads(row[0]) != maker:
                return []
            return db.execute(
                "SELECT ticket_id, source_hash FROM tickets "
                "WHERE state = 'imported' AND NOT doubtful AND source_hash IS NOT NULL"
            ).fetchall()
        except sqlite3.Error:
            return []  # the run opens it later and reports the error


def in_dixa(path: Path, *, since: float = 0.0) -> dict[str, str]:
    """The id of each conversation that is in Dixa, by ticket id. With `since` (Unix time), only tickets of
    which something was sent then or later."""
    query = """
        SELECT ticket_id, s.dixa_id FROM tickets JOIN steps s ON s.ticket = n AND s.kind = 'conversation'
        WHERE s.state IN ('imported', 'partial') AND s.dixa_id IS NOT NULL
            AND EXISTS (SELECT 1 FROM steps WHERE ticket = n AND at >= ?)
    """
    with closing(read_only(path)) as db:
        return dict(db.execute(query, (since,)).fetchall())


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A ticket that `verify` read back, as the checkpoint stores it."""

    digest: str | None
    differences: int
    since: int


def verified(path: Path, number: int) -> dict[str, VerifiedRecord]:
    """The tickets that were read back in this round of `verify`, by ticket id."""
    query = "SELECT ticket_id, digest, differences, since FROM verified WHERE round = ?"
    with closing(read_only(path)) as db:
        return {row[0]: VerifiedRecord(*row[1:]) for row in db.execute(query, (number,))}


def doubles(path: Path) -> list[tuple[str, str]]:
    """Every duplicate that was ever found in Dixa: ticket id and description."""
    query = "SELECT ticket_id, doubles FROM tickets WHERE doubles IS NOT NULL ORDER BY n"
    with closing(read_only(path)) as db:
        return [(ticket_id, what) for ticket_id, lines in db.execute(query) for what in lines.split("\n")]


def unfinished(path: Path) -> list[str]:
    """The tickets that were begun and are not finished: stopped, failed or in doubt."""
    query = "SELECT ticket_id FROM tickets WHERE state IS NULL OR state IN ('failed', 'in_doubt') ORDER BY n"
    with closing(read_only(path)) as db:
        return [row[0] for row in db.execute(query)]


def ticket_count(path: Path) -> int:
    """How many tickets the checkpoint knows; 0 if there is none yet, or if it is not readable as one."""
    if not path.exists():
        return 0
    with suppress(sqlite3.Error), closing(read_only(path)) as db:
        return int(db.execute("SELECT count(*) FROM tickets").fetchone()[0])
    return 0


def unread_count(path: Path) -> int:
    """How many tickets had a step in doubt and have not been read back since then to look for duplicates."""
    with closing(read_only(path)) as db:
        return int(db.execute("SELECT count(*) FROM tickets WHERE doubtful").fetchone()[0])


def partial_count(path: Path) -> int:
    """How many tickets are in Dixa without a part that Dixa rejected."""
    with closing(read_only(path)) as db:
        return int(db.execute("SELECT count(*) FROM tickets WHERE state = 'partial'").fetchone()[0])


def people(path: Path) -> Iterator[tuple[str, State | None]]:
    """Contact key and state of every known person. The state is None if the request was sent and its outcome
    is not known."""
    with closing(read_only(path)) as db:
        for key, state in db.execute("SELECT key, state FROM people"):
            yield key, State(state) if state else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The contents of a checkpoint at one moment."""

    binding: Binding
    # Counts by state. A ticket that was begun and not ended counts as `left`; a message whose outcome is not
    # known, and its attachments, count as `in_doubt`.
    tickets: Mapping[str, int]
    messages: Mapping[str, int]
    attachments: Mapping[str, int]
    # The values stored by Checkpoint.note.
    notes: Mapping[str, Any]


def snapshot(path: Path) -> Snapshot:
    """Read a checkpoint. Raises ConfigError if there is none yet, CheckpointError if the file is not a
    checkpoint of this program."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no checkpoint yet; `run` creates it")
    with closing(read_only(path)) as db:
        try:
            notes = {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta")}
            by_state = {
                "tickets": "SELECT coalesce(state, 'left'), count(*) FROM tickets GROUP BY 1",
                "messages": "SELECT coalesce(state, 'in_doubt'), count(*) FROM steps "
                "WHERE kind = 'message' GROUP BY 1",
                "attachments": "SELECT CASE state WHEN 'partial' THEN 'imported' ELSE "
                "coalesce(state, 'in_doubt') END, sum(attachments - refused) FROM steps "
                "GROUP BY 1 HAVING sum(attachments - refused)",
                "refused": "SELECT 'rejected', sum(refused) FROM steps HAVING sum(refused)",
            }
            counts = {name: Counter(dict(db.execute(query).fetchall())) for name, query in by_state.items()}
            counts["attachments"] += counts.pop("refused")
        except (sqlite3.Error, ValueError) as error:
            raise CheckpointError(f"{path}: is not a checkpoint of this program: {error}") from None
    binding = Binding(**notes.pop("binding"))
    return Snapshot(binding, notes=notes, **counts)


def tickets(path: Path) -> Iterator[TicketRecord]:
    """Every ticket that was begun, in the order in which work on them began."""
    query = """
        SELECT ticket_id, state, dixa_id, coalesce(reason, ''),
            (SELECT count(*) FROM steps WHERE ticket = n AND kind = 'message'
                AND state IN ('imported', 'partial'))
        FROM tickets ORDER BY n
    """
    with closing(read_only(path)) as db:
        for ticket_id, state, dixa_id, reason, messages in db.execute(query):
            yield TicketRecord(ticket_id, State(state) if state else None, dixa_id, reason, messages)


def _suspect(ticket_id: str, text: str | None) -> Doubt | None:
    if text is None:
        return None
    expected, first_at, last_at = json.loads(text)
    return Doubt(StepKind.CONVERSATION, ticket_id, "", expected, first_at, last_at)


def _step_record(row: tuple[Any, ...]) -> StepRecord:
    kind, key, state, dixa_id, fingerprint, reason, refused, at = row
    now = State(state) if state else None
    return StepRecord(StepKind(kind), key, now, dixa_id, fingerprint or b"", reason or "", refused, at or 0.0)
