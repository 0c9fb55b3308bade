"""Files that only the user can read, written atomically."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from importer.errors import ConfigError


def private_folder(path: Path) -> Path:
    """Create a folder (mode 0700) with all missing parents. Raises ConfigError if it cannot be created."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: the folder cannot be created: {error.strerror}") from None
    return path


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8, mode 0600) that appears under its name only when it is complete. Lone surrogates
    are written as the bytes that they came from. Raises ConfigError if the file cannot be written."""
    part = path.with_name(path.name + ".part")
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            yield out
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink()
