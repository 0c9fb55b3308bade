"""How one invocation talks: results to stdout, everything else to stderr, in colour and wrapped on a
terminal."""

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, TextIO

import click

from importer.errors import ConfigError

# Lines that begin so are commands to copy, which are never wrapped.
_COMMAND = "  dixa-import "
_COLOURS = (
    ("Error:", "red"),
    ("NOT all records", "red"),
    ("All records are accounted for", "green"),
    ("Warnings:", "yellow"),
    ("Next:", "cyan"),
    (_COMMAND, "cyan"),
)


@dataclass(slots=True)
class Session:
    """The global options, and what they mean for output."""

    verbose: int = 0
    quiet: bool = False
    json: bool = False
    log_file: Path | None = None
    log_json: bool = False
    # The name of the command, for the JSON of a failure; and whether JSON was already printed.
    command: str = ""
    printed: bool = False

    def say(self, message: str) -> None:
        """Tell what is going on."""
        if not self.quiet:
            self._print(message.splitlines(), sys.stderr)

    def error(self, message: str) -> None:
        """Tell what went wrong, whatever the options say."""
        self._print(message.splitlines(), sys.stderr)

    def result(self, lines: Sequence[str], value: Mapping[str, Any]) -> None:
        """The result, in words or as JSON."""
        self.printed = True
        if self.json:
            click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        else:
            self._print([part for line in lines for part in line.split("\n")], sys.stdout)

    def failure(self, message: str, exit_code: int) -> None:
        """The JSON of a command that gave no result."""
        if self.json and not self.printed:
            value = {"version": 1, "command": self.command, "migration": None, "exit_code": int(exit_code)}
            click.echo(json.dumps({**value, "error": message, "next": []}, ensure_ascii=False, indent=2))

    def counting(self, tickets: int) -> Callable[[], object]:
        """A progress bar that disappears at its end. The result is to be called for each ticket."""
        bar = self.bar(tickets, leave=False)
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            bar.update()
            if done >= tickets:
                bar.close()

        return count

    def bar(self, tickets: int, **looks: Any) -> Any:
        """Shows on a terminal how many of the tickets are done."""
        # Imported when it is needed, so that `--help` starts at once.
        from tqdm import tqdm

        hidden = self.quiet or self.json or not sys.stderr.isatty()
        return tqdm(total=tickets, unit=" tickets", disable=hidden, dynamic_ncols=True, **looks)

    def set_up_log(self) -> None:
        """Raises ConfigError where the log file cannot be written."""
        is_debug = self.verbose > 1 or self.log_file
        level = logging.DEBUG if is_debug else logging.INFO if self.verbose else logging.WARNING
        path = self.log_file
        try:
            if path:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            handler = logging.FileHandler(path, encoding="utf-8") if path else logging.StreamHandler()
        except OSError as error:
            raise ConfigError(f"{path}: the log cannot be written: {error.strerror}") from None
        handler.setFormatter(
            _JsonLines() if self.log_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
        )
        log = logging.getLogger("importer")
        log.handlers[:] = [handler]
        log.setLevel(level)

    def _print(self, lines: Sequence[str], stream: TextIO) -> None:
        is_terminal = stream.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else 0
        colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        for line in lines:
            for part in wrapped(line, width):
                click.echo(coloured(part) if colour else part, file=stream, color=colour)


def wrapped(line: str, width: int) -> list[str]:
    """The line in pieces of at most `width` columns, broken between words and indented like its beginning.
    Commands and lines that fit are not broken; width 0 breaks nothing."""
    if not width or len(line) <= width or line.startswith(_COMMAND):
        return [line]
    text = line.lstrip(" ")
    indent = " " * (len(line) - len(text) + 2)
    if text[:1].isdigit():
        # A count, and what is counted: further lines are indented to the latter.
        indent = " " * (line.index(text) + len(text.split(" ", 1)[0]) + 1)
    pieces = wrap(
        line,
        max(width, len(indent) + 20),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return pieces or [line]


def coloured(line: str) -> str:
    """The line in the colour of its meaning: wrong, right, or next."""
    for start, colour in _COLOURS:
        if line.startswith(start):
            return click.style(line, fg=colour)
    return line


class _JsonLines(logging.Formatter):
    """The log as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        line = {"at": at, "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
