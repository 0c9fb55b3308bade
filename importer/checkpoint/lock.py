"""The lock of a checkpoint: one run at a time.

The lock is on the file itself, so it goes where the file goes, and it cannot be removed apart from it. SQLite
uses locks of another kind (of byte ranges), which this one does not touch.
"""

import fcntl
import json
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from importer.checkpoint.database import read_only
from importer.errors import CheckpointError, Locked


def take(path: Path) -> int:
    """Lock the file, and create it if there is none (mode 0600). Returns the descriptor that holds the lock.
    Close it only after the last connection of SQLite, whose own locks end with any descriptor of the file.

    Raises Locked while another run holds the lock, CheckpointError if the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise locked(path) from None
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a run is using this checkpoint. Does not create the checkpoint. Raises CheckpointError if the
    file cannot be opened."""
    if not path.exists():
        return False
    try:
        os.close(take(path))
    except Locked:
        return True
    return False


def ensure_free(path: Path) -> None:
    """Raises Locked if a run is using this checkpoint, and CheckpointError if the path is a folder or the
    file cannot be opened."""
    if path.is_dir():
        raise CheckpointError(
            f"{path}: is a folder, but the checkpoint is a file of this name. Move the folder away"
        )
    if path.exists():
        os.close(take(path))


def locked(path: Path) -> Locked:
    """The exception that names the process which holds the checkpoint."""
    return Locked(
        f"{path}: another run is using this checkpoint ({_holder(path)}). "
        "Wait for it to finish, or stop it and run again"
    )


def _holder(path: Path) -> str:
    with suppress(sqlite3.Error, TypeError, CheckpointError), closing(read_only(path)) as db:
        return str(json.loads(db.execute("SELECT value FROM meta WHERE key = 'holder'").fetchone()[0]))
    return "holder unknown"
