"""README and docs/ say what is true: their commands run, their tables are those of the program, their links lead
to something."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from importer.cli.group import dixa_import as group
from importer.cli.session import Session
from importer.dixa import APIS
from importer.errors import ExitCode
from importer.migration import file as config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPT = Path(sys.executable).with_name("dixa-import")
FIRST_SCREEN = 30  # lines
MOST_LINES = 150
MINIMAL = """
version = 1
name = "minimal"
[source.tickets]
files = ["tickets.csv"]
[conversation]
queue = "Imported"
endpoint = "support@acme.email.dixa.io"
"""

installed = pytest.mark.skipif(not SCRIPT.exists(), reason="the distribution is not installed")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def cells(line: str) -> list[str]:
    """The cells of a table's row; `\\|` is a character of its cell."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def loaded(folder: Path, text: str, **overrides: Any) -> Any:
    path = folder / "migration.toml"
    path.write_text(text, "utf-8")
    return config.load_migration(path, overrides)


# -- the README


def test_the_first_screen_holds_the_two_commands_that_do_all_set_up() -> None:
    commands = blocks("sh", "\n".join(README.splitlines()[:FIRST_SCREEN]))
    assert [command.count("\n") for command in commands] == [1, 1]
    assert all(
        command.startswith("python3 -m venv .venv && . .venv/bin/activate && ") for command in commands
    )
    demo, tests = commands
    assert "pip install . && dixa-import demo" in demo
    assert "pip install '.[test]' && pytest" in tests


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


@installed
def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    """The block of commands on the samples, in a shell; whatever happens, the sandbox is ended."""
    (commands,) = (block for block in blocks("sh", README) if "dixa-import sandbox" in block)
    script = f'trap "kill %1 2>/dev/null" EXIT; set -e; PATH="{SCRIPT.parent}:$PATH"\n{commands}'
    done = subprocess.run(["bash", "-mc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("All records are accounted for.") == 4  # validate, plan, run, status


@installed
def test_the_demo_accounts_for_all_records_and_shows_where_the_report_is(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "demo"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "All records are accounted for." in done.stdout
    report = re.search(r"^Report: (.+report\.html)", done.stdout, re.M)
    assert report is not None
    assert Path(report[1]).exists()
    assert Path(report[1]).with_name("report.json").exists()


@installed
def test_the_shell_completes_commands() -> None:
    assert "_DIXA_IMPORT_COMPLETE=bash_source dixa-import" in README
    asked = {"_DIXA_IMPORT_COMPLETE": "bash_complete", "COMP_WORDS": "dixa-import pl", "COMP_CWORD": "1"}
    done = subprocess.run([SCRIPT], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["plain,plan"]


def test_the_exit_codes_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.M)
    assert {int(code): meaning for code, meaning in rows} == {code.value: code.meaning for code in ExitCode}


def test_every_command_stands_in_the_table_and_has_an_example() -> None:
    for name in group.commands:
        assert f"| `{name}` |" in README
        help_text = CliRunner().invoke(group, [name, "--help"], obj=Session()).output
        assert "Example" in help_text
        assert "dixa-import" in help_text


# -- the migration file


def test_the_migration_file_shown_is_a_valid_one(tmp_path: Path) -> None:
    examples = blocks("toml", page("migration-file.md"))
    assert all(tomllib.loads(text) for text in examples)
    (whole,) = (text for text in examples if "version = 1" in text)
    assert loaded(tmp_path, whole).name == "acme-zendesk"


def keys_of_the_schema() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of a migration file as docs/migration-file.md names it, with what the schema says of it."""
    schema = json.loads((ROOT / "schemas" / "migration.schema.json").read_text("utf-8"))

    def inside(of: dict[str, Any]) -> dict[str, Any]:
        reference = of.get("$ref") or next(one["$ref"] for one in of["anyOf"] if "$ref" in one)
        properties: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]["properties"]
        return properties

    names = ("source", "target", "conversation", "people", "attachments")
    sections = {name: inside(schema["properties"][name]) for name in names}
    yield from ((name, of) for name, of in schema["properties"].items() if name not in sections)
    yield from ((f"{name}.{key}", of) for name, keys in sections.items() for key, of in keys.items())
    table = inside(sections["source"]["tickets"])
    yield from table.items()
    yield from ((f"each.{key}", of) for key, of in inside(table["each"]).items())


def keys_that_are_described() -> dict[str, list[str]]:
    """Key → type, default and example."""
    rows = [cells(line) for line in page("migration-file.md").splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:4] for row in rows if len(row) == 5}


def test_every_key_of_the_migration_file_is_described_with_its_default() -> None:
    described, there = keys_that_are_described(), dict(keys_of_the_schema())
    assert set(described) == set(there)
    for key, of in there.items():
        default = of.get("default")
        if isinstance(default, bool | int | float) or (isinstance(default, str) and default):
            assert described[key][1] == f"`{json.dumps(default)}`", key


@pytest.mark.parametrize("key", keys_that_are_described())
def test_the_example_of_a_key_is_valid(key: str, tmp_path: Path) -> None:
    section, _, name = key.rpartition(".")
    if section in ("", "each") and key not in ("version", "name"):
        section, name = "source.tickets", section or name
    ((shown, value),) = tomllib.loads(keys_that_are_described()[key][2].strip("`")).items()
    assert shown == name
    assert loaded(tmp_path, MINIMAL, **{f"{section}.{name}".strip("."): value})


def test_the_flags_and_variables_that_go_over_the_file_are_those_of_the_program() -> None:
    text = page("migration-file.md")
    options = {option.envvar: option.opts[0] for option in group.commands["run"].params if option.envvar}
    assert set(re.findall(r"`(DIXA_IMPORT_\w+)`", text)) == set(options)
    for flag, variable, _ in re.findall(r"^\| `(--[a-z-]+)` \| `(\w+)` \| `([a-z_.]+)` \|$", text, re.M):
        assert options[variable] == flag


def test_the_preset_shown_is_a_valid_one(tmp_path: Path) -> None:
    (text,) = blocks("toml", page("add-a-preset.md"))
    (tmp_path / "own.toml").write_text(text, "utf-8")
    assert loaded(tmp_path, MINIMAL, **{"source.preset": "own.toml"})


# -- the other tables


def test_the_table_of_known_exports_is_complete() -> None:
    presets = {
        path.stem: tomllib.loads(path.read_text("utf-8"))["title"]
        for path in (ROOT / "schemas" / "presets").glob("*.toml")
    }
    known = page("formats.md").partition("## Known exports")[2]
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", known, re.M)) == presets


def test_the_table_of_the_two_apis_is_that_of_the_program() -> None:
    table = page("apis.md").partition("| | `dixa` | `integrations` |")[2].split("\n\n")[0].splitlines()[2:]
    both = [{trait.aspect: trait.how for trait in APIS[name].TRAITS} for name in ("dixa", "integrations")]
    aspects = list(dict.fromkeys(aspect for traits in both for aspect in traits))
    assert [cells(line) for line in table] == [
        [aspect, *(traits.get(aspect, "") for traits in both)] for aspect in aspects
    ]


def test_the_design_page_names_everything_in_the_package() -> None:
    drawn = page("design.md")
    for path in (ROOT / "importer").iterdir():
        if path.name not in ("__init__.py", "__main__.py", "__pycache__", "_data"):
            assert path.name in drawn, path.name


def test_the_tasks_that_are_named_exist() -> None:
    tasks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["poe"]["tasks"]
    for path in PAGES:
        assert set(re.findall(r"`poe (\w+)", path.read_text("utf-8"))) <= set(tasks), path.name


# -- where links and paths lead


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_something(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8"))
    for link in (link for link in links if not link.startswith("https://")):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_path_that_is_named_exists(path: Path) -> None:
    named = re.findall(r"[` ]((?:importer|tests|schemas|samples|docs)/[\w./-]*)", path.read_text("utf-8"))
    for name in named:
        assert (ROOT / name.rstrip(".")).exists() or "NAME" in name, name
