"""The group of all commands, its global options and its help."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from importer import __version__
from importer.cli.session import Session
from importer.errors import ExitCode


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a command is, and its summary, so that the list of all commands imports none of them."""

    module: str
    attribute: str
    summary: str


COMMANDS: Mapping[str, _Entry] = {
    "demo": _Entry("demo", "demo", "Import the bundled samples into a sandbox and show the result."),
    "init": _Entry("init", "init", "Recognise an export and write a migration file to edit."),
    "presets": _Entry(
        "init", "list_presets", "List the exports that are known; with NAME, show its mapping."
    ),
    "validate": _Entry(
        "validate", "validate", "Check an export offline; write the rejected rows and a report."
    ),
    "plan": _Entry("validate", "plan", "Validate, then show what a run would send and what will be lost."),
    "run": _Entry("run", "run", "Import the good tickets; continue where an earlier run stopped."),
    "retry": _Entry("run", "retry", "Retry failed, rejected and incomplete tickets."),
    "adopt": _Entry(
        "run", "adopt", "Rebuild a lost checkpoint, or complete an older copy, from what Dixa holds."
    ),
    "verify": _Entry("verify", "verify", "Read Dixa back and compare it with the export."),
    "proof": _Entry("verify", "proof", "Show what proves one ticket of a proof, without the others."),
    "status": _Entry("status", "status", "Show what has been imported, what is in doubt, and what is left."),
    "sandbox": _Entry("sandbox", "sandbox", "Serve a local Dixa look-alike to rehearse against."),
}


class _Commands(MutableMapping[str, click.Command]):
    """Imports a command when it is asked for: their imports take longer than most commands take to answer."""

    def __getitem__(self, name: str) -> click.Command:
        entry = COMMANDS[name]
        command: click.Command = getattr(import_module(f"importer.cli.{entry.module}"), entry.attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError(name)

    def __delitem__(self, name: str) -> None:
        raise TypeError(name)


def _keep(name: str, combine: Callable[[Any, Any], Any]) -> Callable[..., None]:
    """Put an option's value into the session, wherever the option was given."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        session = context.ensure_object(Session)
        setattr(session, name, combine(getattr(session, name), value))

    return keep


def global_options() -> list[click.Parameter]:
    """The options that may stand before or behind a command."""
    either: Callable[[Any, Any], Any] = lambda before, now: before or now  # noqa: E731 - a small function
    shared: dict[str, Any] = {"expose_value": False}
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            callback=_keep("verbose", lambda before, now: before + now),
            help="Show more of what is going on (-vv: everything).",
            **shared,
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            callback=_keep("quiet", either),
            help="Print results and errors only.",
            **shared,
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            callback=_keep("json", either),
            help="Print the result as JSON.",
            **shared,
        ),
        click.Option(
            ["--log-file"],
            type=click.Path(dir_okay=False, path_type=Path),
            callback=_keep("log_file", either),
            help="Write the log to this file.",
            **shared,
        ),
        click.Option(
            ["--log-json"],
            is_flag=True,
            callback=_keep("log_json", either),
            help="Write the log as one JSON object a line.",
            **shared,
        ),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.params += global_options()

    def invoke(self, context: click.Context) -> Any:
        session = context.ensure_object(Session)
        session.command = context.info_name or ""
        session.set_up_log()
        return super().invoke(context)


class _Group(click.Group):
    """Lists the commands without importing them."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        del context
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:>3}  {code.meaning}" for code in ExitCode)


@click.group(
    cls=_Group,
    commands=_Commands(),
    params=global_options(),
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="dixa-import")
def dixa_import() -> None:
    """Import historical helpdesk conversations into Dixa: validated, rate-limited, resumable.

    Start with `dixa-import demo`.
    """
