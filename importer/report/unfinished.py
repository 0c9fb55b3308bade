"""The differences that a `verify` found before it was interrupted. They hold texts, so they are beside the
other reports and not in the checkpoint."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from importer.errors import ConfigError
from importer.private_files import private_folder
from importer.verify.compare import Difference, Mark

NAME = "verify.part"


def opened(folder: Path, *, number: int) -> TextIO:
    """The file to add to, which is begun anew for another round. Raises ConfigError if it cannot be
    written."""
    path = private_folder(folder) / NAME
    try:
        if _round_of(path) != number:
            path.unlink(missing_ok=True)
        out = os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "a", encoding="utf-8")
        if not out.tell():
            out.write(json.dumps({"round": number}) + "\n")
        return out
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def add(out: TextIO, ticket_id: str, differences: Sequence[Difference]) -> None:
    """Add the differences of a ticket."""
    for difference in differences:
        out.write(json.dumps([ticket_id, asdict(difference)]) + "\n")
    out.flush()


def read(folder: Path) -> dict[str, list[Difference]]:
    """The differences by ticket id. A line that was not written to its end is skipped."""
    found: dict[str, list[Difference]] = defaultdict(list)
    with suppress(OSError), (folder / NAME).open(encoding="utf-8") as lines:
        for line in lines:
            with suppress(ValueError, TypeError):
                ticket_id, fields = json.loads(line)
                found[ticket_id].append(Difference(**{**fields, "mark": Mark(fields["mark"])}))
    return found


def remove(folder: Path) -> None:
    """Remove the file of a `verify` that came to its end."""
    (folder / NAME).unlink(missing_ok=True)


def _round_of(path: Path) -> int | None:
    with suppress(OSError, ValueError, TypeError, AttributeError), path.open(encoding="utf-8") as lines:
        return int(json.loads(lines.readline()).get("round"))
    return None
