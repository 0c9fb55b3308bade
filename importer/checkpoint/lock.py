"""The lock of a checkpoint: one run at a time."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from importer.checkpoint.database import read_only
from importer.errors import CheckpointError, Locked


def is_held(path: Path) -> bool:
    """Whether a run is using this checkpoint. Does not create the checkpoint. Raises CheckpointError if the
    lock
    file cannot be written."""
    if not path.exists():
        return False
    try:
        with FileLock(f"{path}.lock", timeout=0, mode=0o600):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from None


def ensure_free(path: Path) -> None:
    """Raises Locked if a run is using this checkpoint, and CheckpointError if the path is a folder or its
    lock
    file cannot be written."""
    if path.is_dir():
        raise CheckpointError(
            f"{path}: is a folder, but the checkpoint is a file of this name. Move the folder away"
        )
    if is_held(path):
        raise locked(path)


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
