"""The checkpoint as a run writes it: an intent before each request, its outcome afterwards."""

import asyncio
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from importer.checkpoint.database import connect, read_only
from importer.checkpoint.lock import take
from importer.errors import CheckpointError, Unwritable
from importer.model import Carried, Doubt, Outcome, PersonRecord, State, Step, StepKind

# How long a write that nobody waits for may be delayed, so that several writes share one commit.
GROUP_SECONDS = 0.05


NO_OUTCOMES: Mapping[str, Outcome] = {}


_TICKET = "(SELECT n FROM tickets WHERE ticket_id = ?)"


_INTEND = f"""
INSERT INTO steps (ticket, kind, key, fingerprint, attachments, expected, at)
VALUES ({_TICKET}, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET state = NULL, dixa_id = NULL, reason = NULL, fingerprint = excluded.fingerprint,
    attachments = excluded.attachments, refused = 0, expected = excluded.expected, at = excluded.at
"""  # noqa: S608 - a constant


# A settled step is not looked for in Dixa again, so its identity is no longer needed.
_RECORD = f"""
UPDATE steps SET state = ?, dixa_id = ?, reason = ?, refused = ?,
    expected = iif(? = 'in_doubt', expected, NULL)
WHERE ticket = {_TICKET} AND kind = ? AND key = ?
"""  # noqa: S608 - a constant


# A step without an outcome, which a run sent: what `adopt` could not decide has no time.
_OPEN = """(steps.state IS NULL OR steps.state = 'in_doubt')
    AND coalesce(json_extract(expected, '$.adopted'), 0) = 0"""
_DOUBTFUL = f"""
UPDATE tickets SET doubtful = 1
WHERE n IN (SELECT ticket FROM steps WHERE expected IS NOT NULL AND {_OPEN})
"""  # noqa: S608 - a constant
_DOUBTS = f"""
SELECT n, ticket_id, kind, key, expected, at FROM steps JOIN tickets ON n = ticket
WHERE expected IS NOT NULL AND {_OPEN}
"""  # noqa: S608 - a constant


_WITHDRAW = f"DELETE FROM steps WHERE ticket = {_TICKET} AND kind = ? AND key = ?"  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Binding:
    """The migration and the target that a checkpoint belongs to. No other migration or target may use it."""

    migration: str
    api: str
    base_url: str


class Checkpoint:
    """A checkpoint opened for writing, by one run at a time. Use it as a context manager."""

    def __init__(self, path: Path, binding: Binding) -> None:
        """Open or create the file. Raises Locked while another run holds it. Raises CheckpointError if it
        belongs to another target or migration, is not a checkpoint, or cannot be written."""
        self._path = path
        self._lock = take(path)
        # The largest size of the file, and which file its WAL is, as commits found them.
        self._size = 0
        self._wal: tuple[int, int] | None = None
        self._batch: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        try:
            self._db = connect(path)
            _bind(self._db, path, binding)
            self._reader = read_only(path)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except Unwritable:
            if kind is None:  # otherwise the first exception is the cause
                raise

    def person(self, key: str) -> PersonRecord | None:
        """What the checkpoint knows of a person. Do not call it for a person with uncommitted writes."""
        query = "SELECT state, dixa_id, reason, at FROM people WHERE key = ?"
        row = self._reader.execute(query, (key,)).fetchone()
        return PersonRecord(State(row[0]) if row[0] else None, row[1], row[2] or "", row[3]) if row else None

    def conversation_known(self, dixa_id: str) -> bool:
        """Whether this checkpoint records a conversation with this id. Call it only while no creation for the
        same requester is in flight."""
        query = "SELECT 1 FROM steps WHERE kind = 'conversation' AND dixa_id = ?"
        return self._reader.execute(query, (dixa_id,)).fetchone() is not None

    def begin(self, ticket_id: str) -> None:
        """Record that work on a ticket begins. It becomes durable with the commit of the first intent."""
        self._write("INSERT INTO tickets (ticket_id) VALUES (?) ON CONFLICT DO NOTHING", (ticket_id,))

    async def intend(self, step: Step) -> None:
        """Record that this step is about to be sent. On return the intent is on disk, and so is every outcome
        recorded before it. Raises Unwritable if it cannot be written; then the request must not be sent."""
        self._intend(step)
        await self._durable()

    def _intend(self, step: Step) -> None:
        now = time.time()
        for key in _people_of(step):
            self._write(
                "INSERT INTO people (key, at) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET state = NULL, dixa_id = NULL, reason = NULL, at = excluded.at",
                (key, now),
            )
        for kind, key, fingerprint, attachments, expected in _rows(step):
            self._write(_INTEND, (step.ticket_id, kind, key, fingerprint, attachments, expected, now))

    def adopt(
        self,
        step: Step,
        state: State,
        *,
        dixa_id: str | None = None,
        reason: str = "",
        outcomes: Mapping[str, Outcome] = NO_OUTCOMES,
    ) -> None:
        """Record what a run carried out that this checkpoint knows nothing of: the step and its outcome, in
        one commit."""
        self._intend(step)
        self.record(step, state, dixa_id=dixa_id, reason=reason, outcomes=outcomes)
        # Nothing was sent of which there could be a duplicate.
        self._write("UPDATE tickets SET doubtful = 0, suspect = NULL WHERE ticket_id = ?", (step.ticket_id,))

    def name_doubles(self, ticket_id: str, doubles: Sequence[str]) -> None:
        """Record what is in Dixa twice of a ticket."""
        self._write("UPDATE tickets SET doubles = ? WHERE ticket_id = ?", ("\n".join(doubles), ticket_id))

    def record(
        self,
        step: Step,
        state: State,
        *,
        dixa_id: str | None = None,
        reason: str = "",
        outcomes: Mapping[str, Outcome] = NO_OUTCOMES,
    ) -> None:
        """Record the outcome of a step and of the messages that it carries. A message has the outcome of the
        step unless `outcomes` (by message id, or by contact key for people) has one for it."""
        for key in _people_of(step):
            who = outcomes.get(key, Outcome(state, dixa_id, reason))
            self._write(
                "INSERT INTO people (key, state, dixa_id, reason, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO "
                "UPDATE SET state = excluded.state, dixa_id = excluded.dixa_id, reason = excluded.reason",
                (key, who.state, who.dixa_id, who.reason, time.time()),
            )
        of_each = State.IMPORTED if state is State.PARTIAL else state
        for kind, key, *_ in _rows(step):
            own = (kind, key) == (step.kind, step.key)
            what = Outcome(state, dixa_id, reason) if own else Outcome(of_each, None, reason)
            if kind == StepKind.MESSAGE:
                what = outcomes.get(key, what)
            self._write(
                _RECORD,
                (what.state, what.dixa_id, what.reason, what.refused, what.state, step.ticket_id, kind, key),
            )
        if state is State.IN_DOUBT:
            self._write("UPDATE tickets SET doubtful = 1 WHERE ticket_id = ?", (step.ticket_id,))

    def suspect(self, doubt: Doubt) -> None:
        """Record a request for a conversation whose outcome is not known and whose conversation was not
        found:
        Dixa may still create it. It is deleted when the ticket's conversation has been read back."""
        value = [dict(doubt.expected), doubt.first_at, doubt.last_at]
        self._write(
            "UPDATE tickets SET suspect = ?, doubtful = 1 WHERE ticket_id = ?",
            (json.dumps(value), doubt.ticket_id),
        )

    def withdraw(self, step: Step) -> None:
        """Delete an intent, because its request is proved to have created nothing."""
        for key in _people_of(step):
            self._write("DELETE FROM people WHERE key = ?", (key,))
        for kind, key, *_ in _rows(step):
            self._write(_WITHDRAW, (step.ticket_id, kind, key))

    def end(
        self,
        ticket_id: str,
        state: State,
        *,
        dixa_id: str | None,
        reason: str = "",
        doubles: Sequence[str] | None = None,
        source_hash: int | None = None,
    ) -> None:
        """Record what became of a ticket. `doubles` is None if the conversation has not been read back since
        the last doubt; an empty list means that it has no duplicates. `source_hash` is the hash of the source
        rows that are in Dixa now."""
        found = "\n".join(doubles) if doubles else None
        self._write(
            "UPDATE tickets SET state = ?, dixa_id = ?, reason = ?, doubtful = iif(?, 0, doubtful), "
            "suspect = iif(?, NULL, suspect), doubles = coalesce(?, doubles), source_hash = ? WHERE "
            "ticket_id = ?",
            (state, dixa_id, reason, doubles is not None, doubles is not None, found, source_hash, ticket_id),
        )

    def doubts(self) -> list[tuple[Step, Doubt]]:
        """Every request whose outcome is not known, with the step on which to record the outcome. From now on
        their tickets are doubtful, because an earlier run ended without a response to them. What `adopt`
        could not decide is not among them: of these no time is known, which would be needed to settle
        them."""
        self._db.execute(_DOUBTFUL)
        rows = self._db.execute(_DOUBTS).fetchall()
        return [
            (
                self._open_step(n, ticket_id, StepKind(kind), key),
                Doubt(StepKind(kind), ticket_id, key, json.loads(expected), at, at, self._message_ids(n)),
            )
            for n, ticket_id, kind, key, expected, at in rows
        ]

    def _open_step(self, n: int, ticket_id: str, kind: StepKind, key: str) -> Step:
        """The step with the messages that it carries: those that have no outcome either."""
        if kind is StepKind.MESSAGE:
            return Step(kind, ticket_id, key, (Carried(key),))
        query = (
            "SELECT key FROM steps WHERE ticket = ? AND kind = 'message' AND expected IS NULL "
            "AND (state IS NULL OR state = 'in_doubt')"
        )
        return Step(kind, ticket_id, key, tuple(Carried(row[0]) for row in self._db.execute(query, (n,))))

    def _message_ids(self, n: int) -> frozenset[str]:
        query = "SELECT dixa_id FROM steps WHERE ticket = ? AND kind = 'message' AND dixa_id IS NOT NULL"
        return frozenset(row[0] for row in self._db.execute(query, (n,)))

    def verified(
        self, ticket_id: str, number: int, *, digest: str | None, differences: int, since: int
    ) -> None:
        """Record that a ticket was read back in this round of `verify`, with how many differences. `digest`
        is that of what Dixa holds, None if that is gone; `since` is how many parts people added to it."""
        self._write(
            "INSERT OR REPLACE INTO verified VALUES (?, ?, ?, ?, ?, ?)",
            (ticket_id, number, time.time(), digest, differences, since),
        )

    def forget(self, ticket_id: str, kind: StepKind, key: str) -> None:
        """Forget a message or a setting of a ticket that is proved not to be in Dixa, so that a run sends
        it."""
        self._write(_WITHDRAW, (ticket_id, kind, key))
        self._write("UPDATE tickets SET state = NULL, source_hash = NULL WHERE ticket_id = ?", (ticket_id,))

    def hold_back(self, ticket_ids: Iterable[str]) -> None:
        """Record which tickets this run rejected before it sent anything, so that `retry` includes them."""
        self._write("DELETE FROM held_back", ())
        for ticket_id in ticket_ids:
            self._write("INSERT OR IGNORE INTO held_back VALUES (?)", (ticket_id,))

    def note(self, key: str, value: Any) -> None:
        """Store a JSON value, such as the counts of the last run."""
        self._write(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (key, json.dumps(value)),
        )

    def noted(self, key: str) -> Any:
        """A value stored by `note`, or None."""
        row = self._reader.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    async def flush(self) -> None:
        """On return, everything written so far is on disk. Raises Unwritable if it cannot be written."""
        await self._durable()

    def close(self) -> None:
        """Commit the remaining writes and release the lock. Raises Unwritable if they cannot be committed;
        the lock is released also then."""
        if self._timer:
            self._timer.cancel()
        last = self._take()
        try:
            self._thread.submit(self._commit, last).result()
            self._db.execute("DELETE FROM meta WHERE key = 'holder'")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except CheckpointError as error:
            raise CheckpointError(f"{error}{self._rescued(last)}") from None
        except sqlite3.Error as error:
            raise self._unwritable(error) from None
        finally:
            self._thread.shutdown()
            self._reader.close()
            self._db.close()
            os.close(self._lock)

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._batch.append((statement, values))
        with suppress(RuntimeError):  # without an event loop, close() commits
            loop = asyncio.get_running_loop()
            if self._timer is None and self._flusher is None:
                self._timer = loop.call_later(GROUP_SECONDS, self._start_flushing)

    async def _durable(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._start_flushing()
        await waiting

    def _start_flushing(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._flusher is None:
            self._flusher = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._waiting or self._batch:
                waiting, self._waiting = self._waiting, []
                if not await self._commit_for(waiting):
                    return
        finally:
            self._flusher = None

    async def _commit_for(self, waiting: list[asyncio.Future[None]]) -> bool:
        batch = self._take()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, batch)
        except Exception as error:
            # Whatever the error is, the waiting callers must not send. The writes go back to the front of the
            # queue and are committed with the next ones.
            self._batch[:0] = batch
            failure = error if isinstance(error, CheckpointError) else self._unwritable(error)
            for future in [*waiting, *self._waiting]:
                if not future.done():
                    future.set_exception(failure)
            self._waiting = []
            return False
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return True

    def _unwritable(self, error: Exception) -> Unwritable:
        return Unwritable(f"{self._path}: cannot be written: {error}. Free some disk space and run again")

    def _take(self) -> list[tuple[str, tuple[Any, ...]]]:
        batch, self._batch = self._batch, []
        return batch

    def _commit(self, batch: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._ensure_same_files()
        self._write_now(batch)

    def _ensure_same_files(self) -> None:
        """Raises CheckpointError if the file or its WAL was removed, replaced or cut, because what is written
        then is not durable."""
        now = [_identity(self._path), _identity(self._path.with_name(f"{self._path.name}-wal"))]
        own = os.fstat(self._lock)
        if now[0] != (own.st_dev, own.st_ino) or self._wal not in (None, now[1]) or self._is_cut():
            raise CheckpointError(
                f"{self._path}: was removed, replaced or cut while this run was using it, so nothing more is "
                "sent. A run without it would send everything again"
            )
        self._wal = now[1]

    def _is_cut(self) -> bool:
        now = os.fstat(self._lock).st_size
        self._size = max(self._size, now)
        return now < self._size

    def _rescued(self, last: list[tuple[str, tuple[Any, ...]]]) -> str:
        """Save what this run knows beside the checkpoint, with the `last` writes. Returns what to tell the
        user."""
        path = self._path.with_name(f"{self._path.name}.rescued")
        with suppress(sqlite3.Error, OSError):
            self._write_now(last)
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(path)) as copy:
                self._db.backup(copy)
            return f". What it held is in {path}: put that in its place, and run again"
        return ". Put a copy of it in its place before you run again"

    def _write_now(self, batch: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in batch:
                self._db.execute(statement, values)
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def setting_changes(journal: Checkpoint, now: Mapping[str, Any]) -> list[str]:
    """One message for each section of the migration file that has changed since the last run. `now` is stored
    for the comparison at the next run."""
    before = journal.noted("migration")
    journal.note("migration", now)
    if before is None:
        return []
    differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return [
        f"The migration file has changed since the last run in [{name}]. Tickets that are in Dixa stay as "
        "they were imported; those whose content is different now are listed as changed."
        for name in differing
    ]


def _people_of(step: Step) -> list[str]:
    """The keys of the people whom a step creates."""
    if step.kind is not StepKind.PERSON:
        return []
    return [carried.key for carried in step.carries] or [step.key]


def _rows(step: Step) -> list[tuple[str, str, bytes, int, str | None]]:
    """The rows of a step: its own, and one for each message that it carries. Only the first row has the
    identity (`expected`)."""
    if step.kind is StepKind.PERSON:
        return []
    own = [] if step.kind is StepKind.MESSAGE else [(step.kind.value, step.key, step.fingerprint, 0)]
    carried = [(StepKind.MESSAGE.value, c.key, c.fingerprint, c.attachments) for c in step.carries]
    expected = [json.dumps(dict(step.expected)), *[None] * (len(own) + len(carried) - 1)]
    return [(*row, text) for row, text in zip([*own, *carried], expected, strict=True)]


def _bind(db: sqlite3.Connection, path: Path, binding: Binding) -> None:
    wanted = {"migration": binding.migration, "api": binding.api, "base_url": binding.base_url}
    row = db.execute("SELECT value FROM meta WHERE key = 'binding'").fetchone()
    if row and json.loads(row[0]) != wanted:
        bound = json.loads(row[0])
        differing = [
            f"{key}: {bound.get(key)!r}, not {wanted[key]!r}"
            for key in wanted
            if bound.get(key) != wanted[key]
        ]
        raise CheckpointError(
            f"{path}: belongs to another target or migration ({'; '.join(differing)}).\n"
            "Give this migration another name, or move the checkpoint away if it is no longer needed"
        )
    holder = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    db.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        [("binding", json.dumps(wanted)), ("holder", json.dumps(holder))],
    )
