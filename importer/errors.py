"""Failures of the run, each named after what to do next, and the exit codes of the program. Failures of
records
are values, not these.

A message says what, where, how many and what next. It never holds a token or a message body.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended. README has the same table."""

    OK = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    INCOMPLETE = 3
    UNAUTHORIZED = 4
    TEMPORARY = 5
    INVALID = 6
    FATAL = 7
    LIMIT = 8
    DIFFERENT = 10
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """In a few words, for help and README."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "all clean",
    ExitCode.UNEXPECTED: "unexpected",
    ExitCode.CONFIGURATION: "usage or configuration",
    ExitCode.INCOMPLETE: "finished, but some records rejected, failed or in doubt",
    ExitCode.UNAUTHORIZED: "authentication",
    ExitCode.TEMPORARY: "stopped by something temporary, run again",
    ExitCode.INVALID: "validation found errors",
    ExitCode.FATAL: "fatal, running again will not help",
    ExitCode.LIMIT: "stopped at a limit the user set",
    ExitCode.DIFFERENT: "verification found differences",
    ExitCode.INTERRUPTED: "interrupted, state saved",
}


class RunError(Exception):
    """The run cannot go on; the text is for the user."""

    exit_code = ExitCode.UNEXPECTED


class ConfigError(RunError):
    """The migration file, a flag or an account setting must be changed first."""

    exit_code = ExitCode.CONFIGURATION


class SourceError(RunError):
    """An export file cannot be read as the table it is named as."""

    exit_code = ExitCode.CONFIGURATION


class Unauthorized(RunError):
    """Dixa refuses the token."""

    exit_code = ExitCode.UNAUTHORIZED


class Unreachable(RunError):
    """The host gives no usable answer; running again later may help."""

    exit_code = ExitCode.TEMPORARY


class QuotaSpent(RunError):
    """The account's daily quota is used up, and the run was told not to wait."""

    exit_code = ExitCode.TEMPORARY


class Unwritable(RunError):
    """The checkpoint cannot be written now, for lack of space for instance; nothing more is sent."""

    exit_code = ExitCode.TEMPORARY


class Locked(RunError):
    """Another run holds the checkpoint."""

    exit_code = ExitCode.TEMPORARY


class Invalid(RunError):
    """Records are rejected and the user asked to stop in that case (--strict)."""

    exit_code = ExitCode.INVALID


class CheckpointError(RunError):
    """The checkpoint cannot be used as it is: another target's, damaged, or not writable."""

    exit_code = ExitCode.FATAL


class ProtocolError(RunError):
    """Dixa answers something that this program cannot read; running again will not help."""

    exit_code = ExitCode.FATAL
