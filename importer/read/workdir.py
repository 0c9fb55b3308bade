"""The folder for copies and intermediate tables of a command."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How the errors of polars name them.
_FULL_TEXTS = tuple(f"(os error {number})" for number in _FULL)
_in_use: set[Path] = set()


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that only the user can read, in the system's folder for temporary files (TMPDIR). It is
    removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="dixa-import-"))
    _in_use.add(folder)
    try:
        yield folder
    finally:
        _remove(folder)


def says_full(error: BaseException) -> bool:
    """Whether an error of Python or polars says that the disk is full, or that a file may not be so large."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(text in str(error) for text in _FULL_TEXTS)


def full(folder: Path, what: str) -> str:
    """What to tell the user where there is no room for something."""
    return (
        f"{what}: its copy in {folder} cannot be written, because the disk is full; free some space there, "
        "or set TMPDIR to a folder on a larger disk"
    )


def remove_all() -> None:
    """Remove the folders that are in use, or could not be removed, before the process ends without further
    ado."""
    for folder in tuple(_in_use):
        _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            _in_use.discard(folder)
            return
        # A thread of polars, which goes on after an interrupt, has written a file meanwhile.
