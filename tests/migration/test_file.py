import json
from pathlib import Path

import pytest

from importer.errors import ConfigError, ExitCode
from importer.migration import file as config
from importer.resources import SCHEMAS

GOOD = """
version = 1
name = "acme"
[source.tickets]
files = ["tickets.csv"]
[conversation]
queue = "Imported"
endpoint = "+4512345678"
"""


CALLBACK = '[target]\napi = "integrations"\n'


def load(tmp_path: Path, text: str, **overrides: object) -> config.Migration:
    path = tmp_path / "acme.toml"
    path.write_text(text, "utf-8")
    return config.load_migration(path, {key.replace("__", "."): value for key, value in overrides.items()})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "quue = 1", "conversation.quue: unknown key; did you mean queue?"),
        (GOOD + "[target]\nrates = 3", "target.rates: unknown key; did you mean rate?"),
        (
            GOOD.replace('"tickets.csv"]', '"tickets.csv"]\nfile = 1'),
            "source.tickets.file: unknown key; did you mean files?",
        ),
        (GOOD.replace('name = "acme"', ""), "name: is missing"),
        (GOOD.replace("version = 1", "version = 2"), "version: "),
        (GOOD + '[target]\nbase_url = "http://integrations.dixa.io"', "must begin with https://"),
        (
            GOOD.replace('queue = "Imported"', "") + CALLBACK,
            "conversation.queue: kind = 'callback' needs a queue",
        ),
        (GOOD + 'head = "{created}"', "conversation.head: has unknown field(s) created"),
        (GOOD + '[source]\ntimezone = "CET+1"', "source"),
        ("version = ", "is not TOML"),
        (
            "version = 1\nname = 'x'\n[source]\n[conversation]\nqueue='q'\nendpoint='e'",
            "name at least one file",
        ),
    ],
)
def test_a_problem_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert expected in str(caught.value)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 problems"):
        load(tmp_path, GOOD + "foo = 1\nbar = 2\n[target]\nrate = -1")


@pytest.mark.parametrize("content", [None, "folder", b"\xff\xfe"])
def test_what_is_not_a_readable_file_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "acme.toml"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"acme\.toml"):
        config.load_migration(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".parquet", ".CSV.gz", ".zst", ".xlsx", ".json"])
@pytest.mark.parametrize("content", [b"id;subject\n1;Hi\n", b"PAR1\x15\x04\xff\xfe", b'[{"id": 1}]\n'])
def test_an_export_file_is_not_a_migration_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"tickets{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load_migration(path)
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    assert str(caught.value) == (
        f"{path}: is an export file, not a migration file; write a migration file first: dixa-import init "
        f"{path}"
    )


def test_a_folder_is_met_with_the_command_that_makes_a_migration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load_migration(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: is a folder, not a migration file; write a migration file first: dixa-import init {tmp_path}"
    )


def test_a_migration_file_may_have_the_suffix_of_an_export(tmp_path: Path) -> None:
    path = tmp_path / "acme.txt"
    path.write_text(GOOD, "utf-8")
    assert config.load_migration(path).name == "acme"


def test_overrides_have_precedence_over_the_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD + "[target]\nrate = 3.0", target__rate=7.5, target__workers=2)
    assert (loaded.target.rate, loaded.target.workers) == (7.5, 2)


def test_plain_http_is_allowed_on_loopback(tmp_path: Path) -> None:
    assert (
        load(tmp_path, GOOD, target__base_url="http://127.0.0.1:1/").target.base_url == "http://127.0.0.1:1"
    )


def test_the_stored_schema_is_the_schema_of_the_model() -> None:
    stored = json.loads((SCHEMAS / "migration.schema.json").read_text("utf-8"))
    assert stored == config.json_schema(), "write it again: python -m importer.migration.file"
