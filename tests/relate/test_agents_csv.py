"""The file in which the user maps unknown agents: safe in a spreadsheet, and read back as it was."""

import csv
from pathlib import Path

import pytest

from importer.relate import agents_csv
from importer.relate.agents_csv import UnknownAgent

PEOPLE = ["=cmd|' /C calc'!A0", "+45 12 34 56 78", "-agent", "@lene", "'=quoted", "lene@old.example"]


def fill_in(path: Path) -> None:
    """As a user does in a spreadsheet, which keeps the other cells."""
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(
            [header, *([*row[:-1], f"new{n}@dixa.example"] for n, row in enumerate(rows))]
        )


def test_no_cell_is_executed_and_every_entry_is_matched(tmp_path: Path) -> None:
    path = tmp_path / "acme.agents.csv"
    unknown = [UnknownAgent(person, person, 9 - n, None, None) for n, person in enumerate(PEOPLE)]
    agents_csv.write(path, unknown, {PEOPLE[0]: "=suggested@dixa.example"})
    for _ in range(2):
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        cells = [cell for row in rows for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        fill_in(path)
        entries = {person: f"new{n}@dixa.example" for n, person in enumerate(PEOPLE)}
        assert agents_csv.read(path) == {person.lower(): agent for person, agent in entries.items()}
        # The file that is written again has the entries.
        agents_csv.write(path, unknown, {})
        assert agents_csv.read(path) == {person.lower(): agent for person, agent in entries.items()}


def test_an_entry_without_a_guard_is_matched_too(tmp_path: Path) -> None:
    path = tmp_path / "acme.agents.csv"
    path.write_text("person;agent\n+45 12 34 56 78;new@dixa.example\n", "utf-8")
    assert agents_csv.read(path) == {"+45 12 34 56 78": "new@dixa.example"}


@pytest.mark.parametrize("address", ["=a@b.example", "+a@b.example", "-a@b.example"])
def test_an_address_in_dixa_may_begin_with_a_sign(tmp_path: Path, address: str) -> None:
    path = tmp_path / "acme.agents.csv"
    path.write_text(f"person,agent\nlene,{address}\n", "utf-8")
    agents_csv.write(path, [UnknownAgent("lene", "Lene", 1, None, None)], {})
    assert f",'{address}\n" in path.read_text("utf-8")
    assert agents_csv.read(path) == {"lene": address}
