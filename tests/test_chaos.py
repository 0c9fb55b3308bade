"""A few of the hundreds of schedules that tests/chaos/chaos.py runs."""

import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos" / "chaos.py"


@pytest.mark.parametrize(
    "arguments", [["--seeds", "0:4"], ["--seeds", "4:8", "--late"]], ids=["faults", "late"]
)
def test_nothing_is_lost_or_duplicated_with_kills_and_faults(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, CHAOS, "--jobs", "4", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 schedules" in done.stdout
