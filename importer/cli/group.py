"""What all commands share: the group with its global options, where to say things, where the token is."""

import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from tqdm import tqdm

from importer import __version__
from importer.errors import ConfigError, Unauthorized
from importer.migration.file import Migration

EXIT_CODES: Mapping[int, str] = {
    0: "all clean",
    1: "unexpected",
    2: "usage or configuration",
    3: "finished, but some records rejected, failed or in doubt",
    4: "authentication",
    5: "stopped by something temporary, run again",
    6: "validation found errors",
    7: "fatal, running again will not help",
    8: "stopped at a limit the user set",
    10: "verification found differences",
    130: "interrupted, state saved",
}
TOKEN_VARIABLE = "DIXA_API_TOKEN"  # noqa: S105 - a name, not a token

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """How this invocation talks. Results go to stdout, everything else to stderr. `told` once the result
    holds the failure, so that it is not printed a second time."""

    json: bool = False
    quiet: bool = False
    told: bool = False

    def say(self, message: str) -> None:
        """Tell what is going on."""
        if not self.quiet:
            click.echo(message, err=True)

    def bar(self, tickets: int, **looks: Any) -> "tqdm[Any]":
        """Shows how many of the tickets are done, to somebody who is looking."""
        hidden = self.quiet or self.json or not sys.stderr.isatty()
        return tqdm(total=tickets, unit=" tickets", disable=hidden, dynamic_ncols=True, **looks)

    def result(self, text: str, value: Mapping[str, Any]) -> None:
        """The result, in words or as JSON."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2) if self.json else text)


_COMMANDS: Mapping[str, str] = {
    "demo": "demo:demo",
    "init": "init:init",
    "plan": "validate:plan",
    "presets": "init:list_presets",
    "retry": "run:retry",
    "run": "run:run",
    "sandbox": "sandbox:sandbox",
    "status": "status:status",
    "validate": "validate:validate",
}


class _Commands(MutableMapping[str, click.Command]):
    """Loads a command when it is asked for: what all of them need takes longer than most take to answer."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = _COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"importer.cli.{module}"), attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError(name)

    def __delitem__(self, name: str) -> None:
        raise TypeError(name)


_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


@click.group(commands=_Commands(), epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Say more (-vv: everything).")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the log there.")
@click.option("--log-json", is_flag=True, help="The log as one JSON object a line.")
@click.version_option(__version__, prog_name="dixa-import")
@click.pass_obj
def dixa_import(
    session: Session, verbose: int, quiet: bool, as_json: bool, log_file: Path | None, log_json: bool
) -> None:
    """Import historical helpdesk conversations into Dixa: validated, rate-limited, resumable.

    Start with `dixa-import demo`.
    """
    session.json, session.quiet = as_json, quiet
    _set_up_log(verbose, log_file, as_json_lines=log_json)


def _set_up_log(verbose: int, path: Path | None, *, as_json_lines: bool) -> None:
    level = logging.DEBUG if verbose > 1 or path else logging.INFO if verbose else logging.WARNING
    try:
        if path:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        handler = logging.FileHandler(path, encoding="utf-8") if path else logging.StreamHandler()
    except OSError as error:
        raise ConfigError(f"{path}: the log cannot be written: {error.strerror}") from None
    handler.setFormatter(
        _JsonLines() if as_json_lines else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    log = logging.getLogger("importer")
    log.handlers[:] = [handler]
    log.setLevel(level)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        line = {"at": at, "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def migration_argument(command: F) -> F:
    return click.argument("migration", type=click.Path(path_type=Path))(command)


def _override(flag: str, key: str, kind: Any, text: str) -> Callable[[F], F]:
    """A flag that stands over a key of the migration file, and its environment variable."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> Any:
        if value is not None:
            context.meta.setdefault("importer.overrides", {})[key] = value
        return value

    variable = "DIXA_IMPORT_" + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(
        flag, type=kind, callback=keep, expose_value=False, envvar=variable, help=f"{text} [env: {variable}]"
    )


def target_options(command: F) -> F:
    """The flags that stand over [target]."""
    for option in (
        _override(
            "--on-quota",
            "target.on_quota",
            click.Choice(["wait", "stop"]),
            "When the daily quota is used up: wait for its reset, or stop (exit 5).",
        ),
        _override("--max-outage", "target.max_outage", float, "Seconds to wait for a host that is away."),
        _override("--grace", "target.grace", float, "Seconds before Dixa is asked about a doubt."),
        _override("--timeout", "target.timeout", float, "Seconds for one request."),
        _override("--workers", "target.workers", int, "Conversations under way at once."),
        _override("--burst", "target.burst", int, "Requests that may come at once."),
        _override("--rate", "target.rate", float, "Requests per second that the account allows."),
        _override("--base-url", "target.base_url", str, "The API's address."),
    ):
        command = option(command)
    return command


def token_options(command: F) -> F:
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


def overrides() -> Mapping[str, Any]:
    """What flags and environment say over the migration file."""
    value: Mapping[str, Any] = click.get_current_context().meta.get("importer.overrides", {})
    return value


def authorization(migration: Migration, token_file: Path | None, token_command: str | None) -> str:
    """The Authorization header's value. Raises Unauthorized where there is no token to be had."""
    token = _token(token_file, token_command).strip()
    if not token:
        raise Unauthorized(
            f"there is no API token: set {TOKEN_VARIABLE}, or give --token-file or --token-command"
        )
    if not token.isascii() or not token.isprintable() or " " in token.removeprefix("Bearer "):
        raise Unauthorized("the token holds characters that no token has; is it the right file or command?")
    bare = token.removeprefix("Bearer ")
    return f"Bearer {bare}" if migration.target.auth == "bearer" else bare


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


def command_line(name: str, migration: Path) -> str:
    """A command as the user would type it."""
    return shlex.join(["dixa-import", name, str(migration)])
