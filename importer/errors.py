"""Failures of the run, each named after what to do next. Failures of records are values, not these.

`exit_code` is the process's exit code (README has the table). A message says what, where, how many
and what next; it never holds a token or a message body.
"""


class RunError(Exception):
    """The run cannot go on; the text is for the user."""

    exit_code = 1


class ConfigError(RunError):
    """The migration file, a flag or an account setting must be changed first."""

    exit_code = 2


class SourceError(RunError):
    """An export file cannot be read as the table it is named as."""

    exit_code = 2


class Unauthorized(RunError):
    """Dixa refuses the token."""

    exit_code = 4


class Unreachable(RunError):
    """The host gives no answer that says anything; running again later may help."""

    exit_code = 5


class QuotaSpent(RunError):
    """The account's daily quota is used up, and the run was told not to wait."""

    exit_code = 5


class Unwritable(RunError):
    """The checkpoint cannot be written now, for want of space for instance; nothing more is sent."""

    exit_code = 5


class Locked(RunError):
    """Another run holds the checkpoint."""

    exit_code = 5


class Invalid(RunError):
    """Records are rejected and the user asked to stop on that (--strict)."""

    exit_code = 6


class CheckpointError(RunError):
    """The checkpoint cannot be used as it is: another target's, damaged, or not writable."""

    exit_code = 7


class ProtocolError(RunError):
    """Dixa answers something that this program cannot read; running again will not help."""

    exit_code = 7
