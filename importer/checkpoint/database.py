"""The checkpoint file: a durable record of what was sent and what became of it, and the map from old ids to
new ones. One SQLite file.

An intent is on disk before its request is sent (WAL, synchronous=FULL). Its outcome is on disk before the
next intent of the same ticket, because writes are committed in the order in which they were made. Writes are
grouped: while one commit is in progress, the next writes are collected.

The file holds ids, states, fingerprints and error messages of Dixa. It holds no message text and no token.
Its mode is 0600.
"""

import os
import sqlite3
from pathlib import Path

from importer.errors import CheckpointError

# Of the tables below; stored as SQLite's user_version. Increase it when they change.
FORMAT = 4

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tickets (
    n INTEGER PRIMARY KEY, ticket_id TEXT NOT NULL UNIQUE, state TEXT, dixa_id TEXT, reason TEXT,
    doubtful INTEGER NOT NULL DEFAULT 0, suspect TEXT, doubles TEXT, source_hash INTEGER
);
CREATE TABLE steps (
    ticket INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, state TEXT, dixa_id TEXT,
    fingerprint BLOB, attachments INTEGER NOT NULL, refused INTEGER NOT NULL DEFAULT 0, expected TEXT,
    reason TEXT, at REAL,
    PRIMARY KEY (ticket, kind, key)
) WITHOUT ROWID;
CREATE INDEX open_steps ON steps (ticket) WHERE state IS NULL OR state = 'in_doubt';
CREATE INDEX conversations ON steps (dixa_id) WHERE kind = 'conversation';
CREATE TABLE held_back (ticket_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE verified (
    ticket_id TEXT PRIMARY KEY, round INTEGER NOT NULL, at REAL NOT NULL, digest TEXT,
    differences INTEGER NOT NULL, since INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE people (
    key TEXT PRIMARY KEY, state TEXT, dixa_id TEXT, reason TEXT, at REAL
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open a checkpoint for reading and writing; create it if it does not exist. Raises CheckpointError if
    the file cannot be written, is not a checkpoint or has another format."""
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
        raise CheckpointError(
            f"{path}: is not a usable checkpoint: {error}. Put a copy of the checkpoint in its place. "
            "Without one, a run would import everything again"
        ) from None
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: is a checkpoint of format {version}; this version of the program needs format {FORMAT}"
        )
    return db


def read_only(path: Path) -> sqlite3.Connection:
    """Open an existing checkpoint for reading, also while a run writes to it."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
