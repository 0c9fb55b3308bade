"""How the program looks on a terminal, and what it prints for programs."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from importer.cli.group import COMMANDS, dixa_import
from importer.cli.session import Session, wrapped
from importer.errors import ExitCode


def on_a_terminal(program, *arguments: object, columns: int = 80, **environment: str) -> str:
    """What the program prints where both streams are a terminal."""
    ours, theirs = pty.openpty()
    env = {**program.env("sandbox"), "TERM": "xterm", "COLUMNS": str(columns), "LINES": "24", **environment}
    process = subprocess.Popen(program.command(*arguments), stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    process.wait()
    return shown.decode()


def plain(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def test_a_terminal_gets_colour_and_lines_that_fit(dixa_import, samples: Path) -> None:
    shown = on_a_terminal(dixa_import, "-q", "validate", samples / "helpdesk.toml", columns=100)
    assert "\x1b[32mAll records are accounted for." in shown
    assert "\x1b[36mNext:" in shown
    lines = plain(shown).replace("\r", "").split("\n")
    # A word that is longer than the terminal, such as a path, is never broken.
    assert all(len(line) <= 100 or len(line.split()) <= 5 for line in lines)


def test_no_colour_where_it_is_not_wanted_or_not_shown(dixa_import, samples: Path) -> None:
    path = samples / "helpdesk.toml"
    assert "\x1b[" not in on_a_terminal(dixa_import, "-q", "validate", path, NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal(dixa_import, "-q", "validate", path, TERM="dumb")
    assert "\x1b[" not in dixa_import("validate", path).out


@pytest.mark.parametrize("width", [0, 40, 60, 200])
def test_lines_are_broken_between_words_and_lose_none(width: int) -> None:
    line = "       3 tickets: many words that say what is wrong with these tickets, and what to do about it"
    pieces = wrapped(line, width)
    assert " ".join(" ".join(pieces).split()) == " ".join(line.split())
    assert all(len(piece) <= width for piece in pieces) or not width
    # The count stays in front of what is counted.
    assert all(piece.startswith(" " * 9) for piece in pieces[1:])


def test_a_command_to_copy_is_never_broken() -> None:
    line = "  dixa-import run a-very-long-name-of-a-migration.toml --base-url http://127.0.0.1:8484"
    assert wrapped(line, 40) == [line]


@pytest.mark.parametrize("behind", [False, True])
def test_json_may_be_asked_for_before_and_behind_the_command(
    dixa_import, samples: Path, behind: bool
) -> None:
    path = samples / "helpdesk.toml"
    done = dixa_import("plan", path, "--json", "-q") if behind else dixa_import("--json", "-q", "plan", path)
    value = json.loads(done.out)
    assert (done.code, done.err) == (value["exit_code"], "")
    assert value["plan"]["conversations"] == 12


ENVELOPE = {"version", "command", "migration", "exit_code", "error", "next"}


def test_every_command_prints_the_same_envelope(dixa_import, sandbox, samples: Path, tmp_path: Path) -> None:
    path = samples / "helpdesk.toml"
    target = ("--base-url", sandbox.url, "--rate", "2000", "--burst", "200")
    calls: dict[str, tuple[object, ...]] = {
        "demo": ("--into", tmp_path / "demo"),
        "init": (samples / "presets" / "gorgias", "--into", tmp_path / "g.toml"),
        "presets": (),
        "validate": (path,),
        "plan": (path,),
        "run": (path, *target),
        "retry": (path, *target),
        "status": (path,),
    }
    for command, arguments in calls.items():
        done = dixa_import("--json", command, *arguments)
        value = json.loads(done.out)
        assert value.keys() >= ENVELOPE, command
        assert (value["version"], value["command"], value["exit_code"]) == (1, command, done.code)
        assert value["error"] is None
        assert all(step.keys() == {"words", "command"} for step in value["next"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "nowhere.toml"), 2),
        (("status", "nowhere.toml"), 2),
        (("init", "nowhere.csv"), 2),
        (("plan",), 2),
    ],
)
def test_a_failure_has_the_envelope_too(
    dixa_import, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = dixa_import(*arguments, "--json", cwd=tmp_path)
    value = json.loads(done.out)
    assert value.keys() >= ENVELOPE
    assert (done.code, value["exit_code"], value["command"]) == (code, code, arguments[0])
    assert value["error"]
    assert "Traceback" not in done.err


def test_the_list_of_commands_says_what_their_own_help_says() -> None:
    """The list is written by hand, so that showing it imports no command."""
    for name, entry in COMMANDS.items():
        command = dixa_import.commands[name]
        assert (command.help or "").split("\n")[0].split(",")[0].rstrip(".") == entry.summary.split(",")[
            0
        ].rstrip(".")


def test_help_lists_every_command_uncut_and_every_exit_code() -> None:
    shown = CliRunner().invoke(dixa_import, ["--help"], obj=Session(), terminal_width=100).output
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.summary.split()[0])}", shown, re.M)
        assert entry.summary.split()[-1] in " ".join(shown.split())
    assert "..." not in shown.partition("Commands:")[2]
    for code in ExitCode:
        assert f"{code.value}  {code.meaning}" in shown
