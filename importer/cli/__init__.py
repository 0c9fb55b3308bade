"""The command line: thin commands, and the one door from a failure to its text and exit code."""

from importer.cli import interrupt

__all__ = ["main"]


def main() -> None:
    """The program `dixa-import`."""
    interrupt.end_at_once()
    # Signals come first, so these are imported only now.
    import logging
    import sqlite3
    import sys

    import click

    from importer.cli.group import dixa_import
    from importer.cli.session import Session
    from importer.errors import ExitCode, RunError
    from importer.read.workdir import says_full

    session = Session()

    def interrupted() -> None:
        session.error(interrupt.WORDS)
        session.failure("interrupted", ExitCode.INTERRUPTED)

    try:
        with interrupt.watched(interrupted):
            code = dixa_import.main(standalone_mode=False, obj=session)
        # `--help` and `--version` end without a value.
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.UsageError) and error.ctx is not None:
            session.command = session.command or error.ctx.info_name or ""
        session.failure(error.format_message(), ExitCode.CONFIGURATION)
        sys.exit(ExitCode.CONFIGURATION)
    except (click.Abort, KeyboardInterrupt):
        interrupt.end(interrupted)
    except RunError as error:
        session.error(f"Error: {error}")
        session.failure(str(error), error.exit_code)
        sys.exit(error.exit_code)
    except sqlite3.Error as error:
        text = f"the checkpoint cannot be read or written: {error}"
        session.error(f"Error: {text}; free some space or check the disk, and run again")
        session.failure(text, ExitCode.TEMPORARY)
        sys.exit(ExitCode.TEMPORARY)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(ExitCode.UNEXPECTED)
    except OSError as error:
        text = f"{error.filename or 'output'}: {error.strerror or error}"
        if says_full(error):
            text += "; free some space there, or set TMPDIR to a folder on a larger disk"
        session.error(f"Error: {text}")
        session.failure(text, ExitCode.CONFIGURATION)
        sys.exit(ExitCode.CONFIGURATION)
    except BaseException as error:
        # polars' panics derive from BaseException, so that Exception would let them through.
        if isinstance(error, SystemExit):
            raise
        logging.getLogger("importer").debug("unexpected", exc_info=error)
        text = f"{type(error).__name__}: {error}".strip()
        session.error(
            f"Unexpected error: {text}\nThis is a bug in this program, not in your export. What was sent "
            "up to now is in the checkpoint. -vv shows where it happened."
        )
        session.failure(text, ExitCode.UNEXPECTED)
        sys.exit(ExitCode.UNEXPECTED)
