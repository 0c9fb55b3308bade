"""A few of the hundreds of schedules and changes that tests/chaos/chaos.py and tamper.py run."""

import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos" / "chaos.py"
TAMPER = CHAOS.with_name("tamper.py")


@pytest.mark.parametrize(
    "arguments",
    [["--seeds", "0:3"], ["--seeds", "3:6", "--late"], ["--seeds", "6:9", "--lose"]],
    ids=["faults", "late", "lost"],
)
def test_nothing_is_lost_or_duplicated_with_kills_and_faults(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, CHAOS, "--jobs", "3", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 schedules" in done.stdout


def test_each_kind_of_change_in_dixa_is_named_at_its_place() -> None:
    done = subprocess.run(
        [sys.executable, TAMPER, "--api", "dixa", "--changes", "21"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "21 changes of 21 kinds, 0 with a problem" in done.stdout
