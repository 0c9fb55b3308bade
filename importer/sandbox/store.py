"""The state of the sandbox: one SQLite file, which is kept when the server stops and which can be
inspected."""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, email TEXT UNIQUE COLLATE NOCASE,
    phone_number TEXT UNIQUE, name TEXT, roles TEXT NOT NULL, external_id TEXT, created_at TEXT,
    more TEXT NOT NULL DEFAULT '{}', born REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_external_id ON users (external_id);
CREATE TABLE IF NOT EXISTS queues (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS tags (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'Active'
);
CREATE TABLE IF NOT EXISTS attributes (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, label TEXT NOT NULL, identifier TEXT NOT NULL UNIQUE,
    options TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS endpoints (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, address TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS conversations (
    id INTEGER PRIMARY KEY, requester_id TEXT NOT NULL, channel TEXT NOT NULL, direction TEXT NOT NULL,
    subject TEXT, queue_id TEXT, queued_at TEXT, endpoint_id TEXT, tags TEXT NOT NULL,
    created_at TEXT NOT NULL, external_id TEXT, state TEXT, state_at TEXT, assignment TEXT,
    attributes TEXT NOT NULL DEFAULT '{}', born REAL NOT NULL DEFAULT 0,
    tags_before TEXT NOT NULL DEFAULT '[]', tags_born REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_requester ON conversations (requester_id);
CREATE TABLE IF NOT EXISTS messages (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, csid INTEGER NOT NULL, author_id TEXT NOT NULL,
    channel TEXT NOT NULL, direction TEXT NOT NULL, text TEXT, from_email TEXT, to_email TEXT,
    attachments TEXT NOT NULL, created_at TEXT NOT NULL, external_id TEXT, more TEXT NOT NULL DEFAULT '{}',
    born REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_conversation ON messages (csid);
CREATE TABLE IF NOT EXISTS notes (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, csid INTEGER NOT NULL, author_id TEXT NOT NULL,
    message TEXT NOT NULL, created_at TEXT NOT NULL, born REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS notes_by_conversation ON notes (csid);
CREATE TABLE IF NOT EXISTS activities (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, csid INTEGER NOT NULL, type TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS activities_by_conversation ON activities (csid);
CREATE TABLE IF NOT EXISTS anonymizations (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, entity_id TEXT NOT NULL, entity_type TEXT NOT NULL,
    initiated_at TEXT NOT NULL
);
"""
# When a row was committed, in seconds since 1970, so that lists can lag: 0 for what was always there. Files
# of earlier versions lack these columns.
_BORN = ("users", "conversations", "messages", "notes")
_LATER = (
    *((table, "born REAL NOT NULL DEFAULT 0") for table in _BORN),
    ("conversations", "tags_before TEXT NOT NULL DEFAULT '[]'"),
    ("conversations", "tags_born REAL NOT NULL DEFAULT 0"),
)
FIRST_CSID = 4711
# Ids are derived from table and row number. So every sandbox has the same ids, and the examples in
# schemas/api are right in a sandbox with one agent (the first user that is created is then the second user).
_NAMESPACE = uuid.UUID("d1ca0000-0000-4000-8000-000000000000")

StoredRow = dict[str, Any]


class Store:
    """Stores and returns rows. Every write is committed before it returns, without fsync, which a rehearsal
    does not need."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)
        for table, column in _LATER:
            have = {row["name"] for row in self._db.execute(f"PRAGMA table_info({table})")}
            if column.split()[0] not in have:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A context manager for several writes in one commit."""
        if self._db.in_transaction:  # a rehearsal, which ends it
            yield
            return
        self._db.execute("BEGIN")
        with self._db:
            yield

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A context manager for writes that are taken back."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def insert(self, table: str, **values: Any) -> StoredRow:
        """Add a row and return it. It gets a new `id` unless one is given. Lists and mappings are stored as
        JSON."""
        if table != "conversations":
            number = self._db.execute(f"SELECT coalesce(max(n), 0) + 1 FROM {table}").fetchone()[0]  # noqa: S608
            values.setdefault("id", self.number(table, number))
        elif "id" not in values and self.one("SELECT 1 FROM conversations LIMIT 1") is None:
            values["id"] = FIRST_CSID
        if table in _BORN:
            values.setdefault("born", time.time())
        values = _written(values)
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING *"  # noqa: S608 - names are ours
        return _row(self._db.execute(statement, tuple(values.values())).fetchone())

    @staticmethod
    def number(table: str, number: int) -> str:
        """The id of the n-th row of a table."""
        return str(uuid.uuid5(_NAMESPACE, f"{table}:{number}"))

    def update(self, table: str, row_id: Any, **values: Any) -> None:
        """Change a row."""
        changes = ", ".join(f"{name} = ?" for name in values)
        statement = f"UPDATE {table} SET {changes} WHERE id = ?"  # noqa: S608 - names are ours
        self._db.execute(statement, (*_written(values).values(), row_id))

    def one(self, query: str, *values: Any) -> StoredRow | None:
        """The first row of a query; None if it has none."""
        row = self._db.execute(query, values).fetchone()
        return _row(row) if row else None

    def all(self, query: str, *values: Any) -> list[StoredRow]:
        """All rows of a query."""
        return [_row(row) for row in self._db.execute(query, values)]

    def count(self, table: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - names are ours

    def seed(
        self,
        *,
        agents: Sequence[str],
        queues: Sequence[str],
        tags: Sequence[str],
        emails: Sequence[str],
        phones: Sequence[str],
        attributes: Sequence[str] = (),
        created_at: str = "2024-01-01T00:00:00.000Z",
    ) -> None:
        """Add to the account what is missing of these."""
        for email in agents:
            if self.one("SELECT 1 FROM users WHERE email = ?", email) is None:
                name = email.split("@")[0].title()
                self.insert("users", email=email, name=name, roles=["Agent"], created_at=created_at, born=0)
        for table, names in (("queues", queues), ("tags", tags)):
            for name in names:
                if self.one(f"SELECT 1 FROM {table} WHERE name = ?", name) is None:  # noqa: S608 - names are ours
                    self.insert(table, name=name)
        for kind, addresses in (("email_address", emails), ("phone_number", phones)):
            for address in addresses:
                if self.one("SELECT 1 FROM endpoints WHERE address = ?", address) is None:
                    self.insert("endpoints", type=kind, address=address)
        for label in attributes:
            identifier = label.casefold().replace(" ", "_")
            if self.one("SELECT 1 FROM attributes WHERE identifier = ?", identifier) is None:
                self.insert("attributes", label=label, identifier=identifier, options=[])


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(v) if isinstance(v, list | dict) else v for name, v in values.items()}


def _row(row: sqlite3.Row) -> StoredRow:
    values: StoredRow = dict(row)
    for name in (
        "roles",
        "tags",
        "tags_before",
        "attachments",
        "options",
        "more",
        "assignment",
        "attributes",
    ):
        if values.get(name) is not None:
            values[name] = json.loads(values[name])
    return values
