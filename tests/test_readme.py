"""README says what is true: its commands run, its tables are those of the program."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from importer.cli import EXIT_CODES
from importer.cli.group import Session
from importer.cli.group import dixa_import as group
from importer.dixa import APIS
from importer.migration import file as config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SCRIPT = Path(sys.executable).with_name("dixa-import")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_first_screen_holds_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:30])
    assert "pip install . && dixa-import demo" in first_screen
    assert "pip install '.[test]' && pytest" in first_screen


@pytest.mark.skipif(not SCRIPT.exists(), reason="the distribution is not installed")
def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    """The block of commands, in a shell; the sandbox gets time to start and is ended at the end."""
    commands = blocks("sh")[2].replace("&           #", "& sleep 3; #")
    script = f'set -e; PATH="{SCRIPT.parent}:$PATH"\n{commands}\nkill %1\n'
    done = subprocess.run(["bash", "-mc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("The books balance") == 4  # validate, plan, run, status


@pytest.mark.skipif(not SCRIPT.exists(), reason="the distribution is not installed")
def test_the_demo_balances_and_shows_where_the_report_is(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "demo"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The books balance" in done.stdout
    report = re.search(r"^Report: (.+)$", done.stdout, re.M)
    assert report is not None
    assert (Path(report[1]) / "report.json").exists()


def test_the_exit_codes_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.M)
    assert {int(code): meaning for code, meaning in rows} == dict(EXIT_CODES)


def test_every_command_stands_in_the_table_and_has_an_example() -> None:
    for name in group.commands:
        assert f"| `{name}` |" in README
        help_text = CliRunner().invoke(group, [name, "--help"], obj=Session()).output
        assert "Example" in help_text
        assert "dixa-import" in help_text


def test_the_migration_file_shown_is_a_valid_one(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    assert tomllib.loads(text)
    (tmp_path / "acme.toml").write_text(text, "utf-8")
    assert config.load(tmp_path / "acme.toml").name == "acme-zendesk"


def test_the_table_of_the_two_apis_is_that_of_the_program() -> None:
    table = README[README.index("| | `dixa` | `integrations` |") :].split("\n\n")[0].splitlines()[2:]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    both = [{trait.aspect: trait.how for trait in APIS[name].TRAITS} for name in ("dixa", "integrations")]
    aspects = list(dict.fromkeys(aspect for traits in both for aspect in traits))
    assert shown == [[aspect, *(traits.get(aspect, "") for traits in both)] for aspect in aspects]


def test_the_house_is_drawn_as_it_stands() -> None:
    drawn = README[README.index("## The house") :]
    for path in (ROOT / "importer").iterdir():
        if path.name not in ("__init__.py", "__main__.py", "__pycache__", "_data"):
            assert path.name in drawn, path.name
