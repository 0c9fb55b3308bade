"""Options and arguments that several commands share: the migration file, the target, the token."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from importer.errors import Unauthorized

TOKEN_VARIABLE = "DIXA_API_TOKEN"  # noqa: S105 - a name, not a token
_OVERRIDES, _FLAGS = "importer.overrides", "importer.flags"

F = TypeVar("F", bound=Callable[..., Any])


def migration_argument(command: F) -> F:
    """The migration file."""
    return click.argument("migration", type=click.Path(path_type=Path))(command)


def _override(flag: str, key: str, kind: Any, text: str) -> Callable[[F], F]:
    """A flag that takes precedence over a key of the migration file, and its environment variable."""

    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None:
            context.meta.setdefault(_OVERRIDES, {})[key] = value
            source = context.get_parameter_source(parameter.name or "")
            if source is click.core.ParameterSource.COMMANDLINE:
                context.meta.setdefault(_FLAGS, []).extend(
                    [flag, f"{value:g}" if kind is float else str(value)]
                )
        return value

    variable = "DIXA_IMPORT_" + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(
        flag, type=kind, callback=keep, expose_value=False, envvar=variable, help=f"{text} [env: {variable}]"
    )


def target_options(command: F) -> F:
    """The flags that take precedence over [target]."""
    for option in (
        _override(
            "--on-quota",
            "target.on_quota",
            click.Choice(["wait", "stop"]),
            "When the daily quota is used up: wait for its reset, or stop (exit 5).",
        ),
        _override("--max-outage", "target.max_outage", float, "Seconds to wait for a host that is down."),
        _override("--grace", "target.grace", float, "Seconds to wait before checking an unanswered request."),
        _override(
            "--latest",
            "target.latest",
            float,
            "Seconds until an unanswered request may be sent again.",
        ),
        _override("--timeout", "target.timeout", float, "Seconds for one request."),
        _override("--workers", "target.workers", int, "Conversations in progress at the same time."),
        _override("--burst", "target.burst", int, "Requests that may be sent at once."),
        _override("--rate", "target.rate", float, "Requests per second that the account allows."),
        _override("--base-url", "target.base_url", str, "The API's address."),
    ):
        command = option(command)
    return command


def token_options(command: F) -> F:
    """Where the token comes from."""
    command = click.option(
        "--token-command",
        envvar="DIXA_IMPORT_TOKEN_COMMAND",
        help="A command that prints the token, such as a password manager's.",
    )(command)
    return click.option(
        "--token-file",
        envvar="DIXA_IMPORT_TOKEN_FILE",
        type=click.Path(path_type=Path),
        help=f"A file that holds the token. Default: the variable {TOKEN_VARIABLE}.",
    )(command)


class Duration(click.ParamType[float]):
    """Seconds, from `90`, `90s`, `15m` or `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration; examples: 90s, 15m, 2h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def limit_options(command: F) -> F:
    """Where a run is to stop."""
    for option in (
        click.option(
            "--max-duration", type=Duration(), help="Stop after this time, e.g. 45m or 8h (exit 8)."
        ),
        click.option(
            "--max-errors",
            type=click.IntRange(1),
            help="Stop when this many tickets could not be imported (exit 8).",
        ),
        click.option(
            "--limit",
            type=click.IntRange(0),
            help="Start at most this many tickets (exit 8). 0 only looks up the account.",
        ),
    ):
        command = option(command)
    return command


def with_holes_option(command: F) -> F:
    """Whether a ticket goes although messages of it are rejected."""
    return click.option(
        "--with-holes", is_flag=True, help="Import tickets although some of their messages are rejected."
    )(command)


def overrides() -> Mapping[str, Any]:
    """The keys of the migration file over which flags and environment take precedence."""
    value: Mapping[str, Any] = click.get_current_context().meta.get(_OVERRIDES, {})
    return value


def given_flags() -> tuple[str, ...]:
    """The flags among these, as the user typed them: the next command needs them too."""
    return tuple(click.get_current_context().meta.get(_FLAGS, ()))


def authorization(auth: str, token_file: Path | None, token_command: str | None) -> str:
    """The Authorization header's value; `auth` is target.auth. Raises Unauthorized where there is no
    token."""
    token = _token(token_file, token_command).strip()
    if not token:
        raise Unauthorized(
            f"there is no API token: set {TOKEN_VARIABLE}, or give --token-file or --token-command"
        )
    if not token.isascii() or not token.isprintable() or " " in token.removeprefix("Bearer "):
        raise Unauthorized("the token has characters that no token has; is it the right file or command?")
    bare = token.removeprefix("Bearer ")
    return f"Bearer {bare}" if auth == "bearer" else bare


def _token(path: Path | None, command: str | None) -> str:
    if path is not None:
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unauthorized(f"{path}: the token cannot be read: {error}") from None
    if command:
        try:
            done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)  # noqa: S603 - the user's own command
        except (OSError, ValueError, subprocess.CalledProcessError):
            raise Unauthorized(
                "--token-command failed, so there is no token; run it by hand to see why"
            ) from None
        return done.stdout
    return os.environ.get(TOKEN_VARIABLE, "")
