"""Check that the oracle detects errors: readings with deliberate errors, and a reader without structure
checks."""

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from cases import SEEDS_OF_A_RUN, case, label
from exports import Case
from oracle import judge
from reading import Reading, read_case
from tabulate import tabulate

from importer.read.csv import structure_checks
from importer.read.csv.structure import Structure
from importer.validate import judge as judging

INPUTS = 300
Change = Callable[[Reading, random.Random], None]


def row_dropped(reading: Reading, chance: random.Random) -> None:
    """The next rows move up."""
    gone = chance.choice(sorted(reading.good))
    reading.good = {n - (n > gone): row for n, row in reading.good.items() if n != gone}
    reading.fates = {n - (n > gone): fates for n, fates in reading.fates.items()}
    reading.lines = {n - (n > gone): line for n, line in reading.lines.items()}
    reading.cells = {n - (n > gone): cells for n, cells in reading.cells.items()}
    reading.total -= 1
    reading.records = None


def row_lost(reading: Reading, chance: random.Random) -> None:
    """The number of the row is missing."""
    del reading.good[chance.choice(sorted(reading.good))]


def row_doubled(reading: Reading, chance: random.Random) -> None:
    reading.good[reading.total] = reading.good[chance.choice(sorted(reading.good))]
    reading.total += 1
    reading.records = None


def rows_swapped(reading: Reading, chance: random.Random) -> None:
    one, other = chance.choice(sorted(reading.good)), chance.choice(sorted(reading.good))
    reading.good[one], reading.good[other] = reading.good[other], reading.good[one]


def cells_swapped(reading: Reading, chance: random.Random) -> None:
    row = reading.good[chance.choice(sorted(reading.good))]
    one, other = chance.sample(sorted(row), 2)
    row[one], row[other] = row[other], row[one]


def cell_emptied(reading: Reading, chance: random.Random) -> None:
    row = reading.good[chance.choice(sorted(reading.good))]
    row[chance.choice(sorted(row))] = None


def character_changed(reading: Reading, chance: random.Random) -> None:
    row = reading.good[chance.choice(sorted(reading.good))]
    name = chance.choice(sorted(name for name, value in row.items() if isinstance(value, str)))
    text = row[name]
    place = chance.randrange(len(text))
    row[name] = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]


def skipped_as_blank(reading: Reading, chance: random.Random) -> None:
    number = chance.choice(sorted(reading.good))
    del reading.good[number]
    reading.fates[number] = [("filtered", "blank_row")]


def rejected_without_record(reading: Reading, chance: random.Random) -> None:
    number = chance.choice(sorted(reading.good))
    del reading.good[number]
    reading.fates[number] = [("rejected", "row.width")]


def line_moved(reading: Reading, chance: random.Random) -> None:
    reading.lines[chance.choice(sorted(reading.lines))] += 1


def fate_turned_good(reading: Reading, chance: random.Random) -> None:
    number = chance.choice([n for n, fates in reading.fates.items() if fates[0][1].startswith("row.")])
    del reading.fates[number]
    reading.lines.pop(number, None)
    reading.cells.pop(number, None)
    reading.good[number] = dict.fromkeys(reading.columns)


def title_changed(reading: Reading, chance: random.Random) -> None:
    reading.titles = (*reading.titles[:-1], reading.titles[-1] + "x")


def notes_unsaid(reading: Reading, chance: random.Random) -> None:
    """Another dialect than that of the file, without a note."""
    reading.notes = ()
    reading.dialect = type(reading.dialect)(delimiter="~")


CHANGES: tuple[Change, ...] = (
    row_dropped, row_lost, row_doubled, rows_swapped, cells_swapped, cell_emptied, character_changed, skipped_as_blank,
    rejected_without_record, line_moved, fate_turned_good, title_changed, notes_unsaid,
)  # fmt: skip


def self_check() -> int:
    """Run the check. Returns 0 if every wrong reading is caught, and the reader without structure checks in
    many classes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # panics write there
    readings = _readings(INPUTS)
    sound = [(made, reading) for made, reading in readings if not judge(made, reading)]
    caught, missed = _of_changes([(made, reading) for made, reading in sound if reading.refused is None])
    names = [change.__name__ for change in CHANGES]
    print(tabulate([[n, caught[n], missed[n]] for n in names], ["wrong reading", "caught", "missed"]), "\n")
    unchecked = _without_check({made.seed for made, _ in sound})
    print(tabulate(sorted(unchecked.items()), ["class with inputs that polars alone misreads", "inputs"]))
    enough = all(caught[name] >= 5 for name in names) and len(unchecked) >= 10
    return 0 if enough and not missed else 1


def _readings(count: int, first: int = SEEDS_OF_A_RUN) -> list[tuple[Case, Reading]]:
    found = []
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            made = case(seed)
            found.append((made, read_case(made, Path(folder))))
    return found


def _of_changes(readings: list[tuple[Case, Reading]]) -> tuple[Counter[str], Counter[str]]:
    caught: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    chance = random.Random(1)
    for made, reading in readings:
        for change in CHANGES:
            wrong = deepcopy(reading)
            try:
                change(wrong, chance)
            except (IndexError, ValueError, TypeError):
                continue  # it has nothing to change
            if wrong == reading or (made.kind == "parquet" and change is notes_unsaid):
                continue
            (caught if judge(made, wrong) else missed)[change.__name__] += 1
            if not judge(made, wrong):
                print(f"missed: {change.__name__} in the reading of seed {made.seed}")
    return caught, missed


def _without_check(sound: set[int]) -> Counter[str]:
    """The classes of files that are misread when every structure check passes. `sound` are the seeds of files
    that are read correctly otherwise."""
    check, differs = structure_checks.check_structure, judging._differs
    structure_checks.check_structure, judging._differs = lambda *_: Structure(), lambda *_: False
    try:
        found = [(made, judge(made, replace(reading, records=None))) for made, reading in _readings(INPUTS)]
    finally:
        structure_checks.check_structure, judging._differs = check, differs
    new = [made for made, wrong in found if wrong and made.seed in sound and made.kind == "csv"]
    return Counter(name for made in new for name in label(made))
