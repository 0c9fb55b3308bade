"""The files that the user names to `init`: those that can be read, and those that are skipped."""

from collections.abc import Sequence
from pathlib import Path

from importer.errors import SourceError
from importer.read.find import find, is_ours, no_tables
from importer.read.look import look
from importer.read.source_file import SourceFile

_OURS = "was written by this program and is not part of the export; skipped"
_EMPTY = "is empty; skipped"
_NO_TABLE = "is not CSV or Parquet; skipped. Is it part of the export?"


def survey(patterns: Sequence[str]) -> tuple[list[SourceFile], dict[Path, str]]:
    """The files of an export, and the skipped files with the reason.

    Raises SourceError that names every file that cannot be read.
    """
    problems: list[str] = []
    files: list[SourceFile] = []
    skipped: dict[Path, str] = {}
    for found in find(patterns, Path()):
        try:
            if isinstance(found, str):
                raise SourceError(found)
            if str(found) not in patterns and not found.stat().st_size:
                skipped[found] = _EMPTY
            elif is_ours(found.absolute(), Path(found.anchor or "/")) or (file := look(found)).is_rejects:
                skipped[found] = _OURS
            else:
                files.append(file)
        except SourceError as error:
            problems.append(str(error))
    if problems:
        raise SourceError("\n".join(problems))
    for folder in filter(Path.is_dir, map(Path, patterns)):
        skipped |= dict.fromkeys(no_tables(folder), _NO_TABLE)
    return files, skipped
