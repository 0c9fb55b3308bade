"""The command line: thin commands, and the one door from a failure to its text and exit code."""

import json
import logging
import signal
import sqlite3
import sys

import click

from importer.cli.group import EXIT_CODES, Session, dixa_import
from importer.errors import RunError

__all__ = ["EXIT_CODES", "main"]

_log = logging.getLogger("importer")


def main() -> None:
    """The program `dixa-import`."""
    session = Session()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = dixa_import.main(standalone_mode=False, obj=session)
        # `--help` and `--version` end without a value.
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        _tell_machines(session, error.format_message(), 2)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; nothing is half-written. Run the same command again to go on.", err=True)
        sys.exit(130)
    except RunError as error:
        click.echo(f"Error: {error}", err=True)
        _tell_machines(session, str(error), error.exit_code)
        sys.exit(error.exit_code)
    except sqlite3.Error as error:
        text = f"the checkpoint cannot be read or written: {error}"
        click.echo(f"Error: {text}; free some space or look at the disk, and run again", err=True)
        _tell_machines(session, text, 5)
        sys.exit(5)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        click.echo(f"Error: {error.filename or 'output'}: {error.strerror or error}", err=True)
        sys.exit(2)
    except BaseException as error:
        # polars' panics derive from BaseException, so that Exception would let them through.
        if isinstance(error, SystemExit):
            raise
        _log.debug("unexpected", exc_info=error)
        text = f"{type(error).__name__}: {error}".strip()
        click.echo(
            f"Unexpected error: {text}\nThis is a fault of the program, not of your export; "
            "what was sent up to here is in the checkpoint. -vv shows where it happened.",
            err=True,
        )
        _tell_machines(session, text, 1)
        sys.exit(1)


def _tell_machines(session: Session, message: str, code: int) -> None:
    if session.json and not session.told:
        click.echo(json.dumps({"error": message, "exit_code": code}))
