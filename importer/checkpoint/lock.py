"""One run at a time: who holds a checkpoint."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from importer.checkpoint.database import read_only
from importer.errors import CheckpointError, Locked


def is_held(path: Path) -> bool:
    """Whether a run is going on with this checkpoint. Creates nothing."""
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
    """Raise Locked where a run is going on with this checkpoint, CheckpointError where it can be none."""
    if path.is_dir():
        raise CheckpointError(
            f"{path}: is a folder; the checkpoint is a file of this name. Move the folder away"
        )
    if is_held(path):
        raise locked(path)


def locked(path: Path) -> Locked:
    return Locked(
        f"{path}: another run is going on with this checkpoint ({_holder(path)}); "
        "wait for it, or end it and run again"
    )


def _holder(path: Path) -> str:
    with suppress(sqlite3.Error, TypeError, CheckpointError), closing(read_only(path)) as db:
        return str(json.loads(db.execute("SELECT value FROM meta WHERE key = 'holder'").fetchone()[0]))
    return "holder unknown"
