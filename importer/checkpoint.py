"""What was sent and what came of it, durable: one SQLite file, also the map from old ids to new ones.

An intent is on the disk before its request leaves (WAL, synchronous=FULL); its outcome is on the disk before
the next intent of the same ticket, because writes are committed in the order in which they came. Writes are
grouped: while one commit is on its way to the disk, the next ones gather.

It holds ids, states, fingerprints and Dixa's answers; no message body and no token. Mode 0600.
"""

import asyncio
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from importer.errors import CheckpointError, Locked
from importer.model import State, Step, StepKind, StepRecord

FORMAT = 1
GROUP_SECONDS = 0.05

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tickets (
    n INTEGER PRIMARY KEY, ticket_id TEXT NOT NULL UNIQUE, state TEXT, dixa_id TEXT, reason TEXT, at REAL
);
CREATE TABLE steps (
    ticket INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, state TEXT, dixa_id TEXT,
    fingerprint BLOB, carries INTEGER NOT NULL, attachments INTEGER NOT NULL, reason TEXT, at REAL,
    PRIMARY KEY (ticket, kind, key)
) WITHOUT ROWID;
CREATE TABLE people (
    key TEXT PRIMARY KEY, state TEXT, dixa_id TEXT, reason TEXT, at REAL
) WITHOUT ROWID;
"""
_INTEND = """
INSERT INTO steps (ticket, kind, key, fingerprint, carries, attachments, at)
SELECT n, ?, ?, ?, ?, ?, ? FROM tickets WHERE ticket_id = ?
ON CONFLICT DO UPDATE SET state = NULL, dixa_id = NULL, reason = NULL,
    fingerprint = excluded.fingerprint, carries = excluded.carries, at = excluded.at
"""
_RECORD = """
UPDATE steps SET state = ?, dixa_id = ?, reason = ?, at = ?
WHERE ticket = (SELECT n FROM tickets WHERE ticket_id = ?) AND kind = ? AND key = ?
"""
_FORGET = (
    "DELETE FROM steps WHERE ticket = (SELECT n FROM tickets WHERE ticket_id = ?) AND kind = ? AND key = ?"
)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a checkpoint belongs to. Another target or migration must not go on with it."""

    migration: str
    api: str
    base_url: str


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """`state` is None where a creation was sent and no outcome is known; `at` is Unix time in seconds."""

    state: State | None
    dixa_id: str | None
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class TicketRecord:
    """`messages` counts by state; None as state: begun, and not ended."""

    ticket_id: str
    state: State | None
    dixa_id: str | None
    reason: str
    messages: int


class Checkpoint:
    """Open for writing by one run at a time. Use as a context manager."""

    def __init__(self, path: Path, binding: Binding) -> None:
        """Open or create. Raises Locked while another run holds it, CheckpointError where it belongs to
        another target or migration, or is no checkpoint."""
        self._path = path
        self._lock = FileLock(f"{path}.lock", timeout=0, mode=0o600)
        try:
            self._lock.acquire()
        except Timeout:
            raise Locked(
                f"{path}: another run is going on with this checkpoint ({_holder(path)}); "
                "wait for it, or end it and run again"
            ) from None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from None
        self._batch: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        try:
            self._db = _connect(path)
            _bind(self._db, path, binding)
            self._reader = _read_only(path)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def person(self, key: str) -> PersonRecord | None:
        """What is known of a person. Not for one with writes under way."""
        query = "SELECT state, dixa_id, reason, at FROM people WHERE key = ?"
        row = self._reader.execute(query, (key,)).fetchone()
        return PersonRecord(State(row[0]) if row[0] else None, row[1], row[2] or "", row[3]) if row else None

    def begin(self, ticket_id: str) -> None:
        """Make a ticket known. Not durable by itself; the first intent's commit takes it along."""
        self._write("INSERT INTO tickets (ticket_id) VALUES (?) ON CONFLICT DO NOTHING", (ticket_id,))

    async def intend(self, step: Step) -> None:
        """Put down that this step is about to be sent. On return it is on the disk, and so is every outcome
        recorded before it. Raises CheckpointError where it cannot be; then nothing must be sent."""
        if step.kind is StepKind.PERSON:
            self._write(
                "INSERT INTO people (key, at) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET state = NULL, dixa_id = NULL, reason = NULL, at = excluded.at",
                (step.key, time.time()),
            )
        else:
            self._write(
                _INTEND,
                (
                    step.kind,
                    step.key,
                    step.fingerprint,
                    len(step.carries),
                    step.attachments,
                    time.time(),
                    step.ticket_id,
                ),
            )
        await self._durable()

    def record(self, step: Step, state: State, *, dixa_id: str | None = None, reason: str = "") -> None:
        """Put down what came of a step."""
        if step.kind is StepKind.PERSON:
            self._write(
                "INSERT INTO people (key, state, dixa_id, reason, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO "
                "UPDATE SET state = excluded.state, dixa_id = excluded.dixa_id, reason = excluded.reason",
                (step.key, state, dixa_id, reason, time.time()),
            )
        else:
            self._write(_RECORD, (state, dixa_id, reason, time.time(), step.ticket_id, step.kind, step.key))

    def withdraw(self, step: Step) -> None:
        """Take an intent back: its request is proved to have created nothing."""
        if step.kind is StepKind.PERSON:
            self._write("DELETE FROM people WHERE key = ? AND state IS NULL", (step.key,))
        else:
            self._write(_FORGET, (step.ticket_id, step.kind, step.key))

    def end(self, ticket_id: str, state: State, *, dixa_id: str | None, reason: str = "") -> None:
        """Put down what became of a ticket as a whole."""
        self._write(
            "UPDATE tickets SET state = ?, dixa_id = ?, reason = ?, at = ? WHERE ticket_id = ?",
            (state, dixa_id, reason, time.time(), ticket_id),
        )

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value beside the records, such as the books of the last run."""
        self._write(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (key, json.dumps(value)),
        )

    async def flush(self) -> None:
        """On return, everything written so far is on the disk."""
        await self._durable()

    def close(self) -> None:
        """Commit what is left and release the lock."""
        if self._timer:
            self._timer.cancel()
        try:
            self._thread.submit(self._commit, self._take()).result()
            self._db.execute("DELETE FROM meta WHERE key = 'holder'")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._unwritable(error) from None
        finally:
            self._thread.shutdown()
            self._reader.close()
            self._db.close()
            self._lock.release()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._batch.append((statement, values))
        with suppress(RuntimeError):  # outside a loop, close() commits
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
        except sqlite3.Error as error:
            # Whoever waits must not send; what was written goes back in front, for another attempt.
            self._batch[:0] = batch
            for future in [*waiting, *self._waiting]:
                if not future.done():
                    future.set_exception(self._unwritable(error))
            self._waiting = []
            return False
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return True

    def _unwritable(self, error: sqlite3.Error) -> CheckpointError:
        return CheckpointError(f"{self._path}: cannot be written: {error}; free some space and run again")

    def _take(self) -> list[tuple[str, tuple[Any, ...]]]:
        batch, self._batch = self._batch, []
        return batch

    def _commit(self, batch: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in batch:
                self._db.execute(statement, values)
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def steps_of(path: Path, ticket_ids: Iterable[str]) -> dict[str, list[StepRecord]]:
    """The steps already known of these tickets. Not for tickets with writes under way."""
    found: dict[str, list[StepRecord]] = {}
    with closing(_read_only(path)) as db:
        for ticket_id in ticket_ids:
            rows = db.execute(
                "SELECT kind, key, state, dixa_id, fingerprint, carries, attachments, reason FROM steps "
                "WHERE ticket = (SELECT n FROM tickets WHERE ticket_id = ?)",
                (ticket_id,),
            ).fetchall()
            if rows:
                found[ticket_id] = [_step_record(row) for row in rows]
    return found


def people(path: Path) -> Iterator[tuple[str, State | None]]:
    """Every person known, as contact key and state."""
    with closing(_read_only(path)) as db:
        for key, state in db.execute("SELECT key, state FROM people"):
            yield key, State(state) if state else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a checkpoint holds at one moment, by state (`sent`: no outcome known), and the notes beside it."""

    binding: Binding
    tickets: Mapping[str, int]
    messages: Mapping[str, int]
    attachments: Mapping[str, int]
    people: Mapping[str, int]
    notes: Mapping[str, Any]


def snapshot(path: Path) -> Snapshot:
    """Read a checkpoint without its lock, so while a run is going on too."""
    if not path.exists():
        raise CheckpointError(f"{path}: there is no checkpoint yet; `run` writes it")
    with closing(_read_only(path)) as db:
        try:
            notes = {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta")}
            by_state = {
                "tickets": "SELECT coalesce(state, 'left'), count(*) FROM tickets GROUP BY 1",
                "messages": "SELECT coalesce(state, 'sent'), sum(carries) FROM steps GROUP BY 1",
                "attachments": "SELECT coalesce(state, 'sent'), sum(attachments) FROM steps GROUP BY 1",
                "people": "SELECT coalesce(state, 'sent'), count(*) FROM people GROUP BY 1",
            }
            counts = {name: dict(db.execute(query).fetchall()) for name, query in by_state.items()}
        except (sqlite3.Error, ValueError) as error:
            raise CheckpointError(f"{path}: is no checkpoint of this program: {error}") from None
    binding = Binding(**notes.pop("binding"))
    return Snapshot(binding, notes=notes, **counts)


def tickets(path: Path) -> Iterator[TicketRecord]:
    """Every ticket begun, in the order in which they were begun."""
    query = """
        SELECT ticket_id, state, dixa_id, coalesce(reason, ''),
            (SELECT coalesce(sum(carries), 0) FROM steps WHERE ticket = n AND state = 'imported')
        FROM tickets ORDER BY n
    """
    with closing(_read_only(path)) as db:
        for ticket_id, state, dixa_id, reason, messages in db.execute(query):
            yield TicketRecord(ticket_id, State(state) if state else None, dixa_id, reason, messages)


def _step_record(row: tuple[Any, ...]) -> StepRecord:
    kind, key, state, dixa_id, fingerprint, carries, attachments, reason = row
    return StepRecord(
        StepKind(kind),
        key,
        State(state) if state else None,
        dixa_id,
        fingerprint or b"",
        carries,
        attachments,
        reason or "",
    )


def _connect(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
        (version,) = db.execute("PRAGMA user_version").fetchone()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from None
    except sqlite3.Error as error:
        raise CheckpointError(f"{path}: is no usable checkpoint: {error}") from None
    if version != FORMAT:
        raise CheckpointError(f"{path}: is a checkpoint of format {version}; this program writes {FORMAT}")
    return db


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
            "Give this migration another name, or move the checkpoint away if what it holds no longer counts"
        )
    holder = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    db.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        [("binding", json.dumps(wanted)), ("holder", json.dumps(holder))],
    )


def _holder(path: Path) -> str:
    with suppress(sqlite3.Error, TypeError, CheckpointError), closing(_read_only(path)) as db:
        return str(json.loads(db.execute("SELECT value FROM meta WHERE key = 'holder'").fetchone()[0]))
    return "holder unknown"


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
