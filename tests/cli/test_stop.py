"""A run that is interrupted, killed, or meets another one."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from importer.sandbox.server import Running

SLOW = ("--rate", 40, "--burst", 2, "--grace", 0.2)
BOTH = pytest.mark.parametrize("api", ["dixa", "integrations"])
FAST = ("--rate", 500, "--burst", 50, "--grace", 0.2)


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def assert_everything_stands_once(sandbox: Running, samples: Path) -> None:
    assert sandbox.store.count("conversations") == 12
    texts = [row["text"] for row in sandbox.store.all("SELECT text FROM messages")]
    texts += [row["message"] for row in sandbox.store.all("SELECT message FROM notes")]
    assert len(texts) == len(set(texts)) == 24
    report = json.loads((samples / "nordlys.report" / "report.json").read_text("utf-8"))
    assert report["balanced"]


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_what_is_under_way_end_and_the_next_run_goes_on(
    dixa_import, sandbox, samples, number
) -> None:
    process = dixa_import.start("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *SLOW)
    until(lambda: sandbox.store.count("messages") >= 5, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Finishing requests in flight" in err
    assert "All records are accounted for." in out
    assert "  dixa-import run " in out
    assert sandbox.store.count("messages") < 24
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    assert_everything_stands_once(sandbox, samples)


def test_a_second_signal_stops_at_once_and_is_safe(dixa_import, sandbox, samples) -> None:
    process = dixa_import.start("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *SLOW)
    until(lambda: sandbox.store.count("messages") >= 5, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    assert_everything_stands_once(sandbox, samples)


@BOTH
@pytest.mark.parametrize("messages", [0, 3, 12])
def test_kill_9_at_any_point_is_safe(dixa_import, sandbox, samples, messages: int) -> None:
    process = dixa_import.start("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *SLOW)
    until(lambda: sandbox.store.count("messages") >= messages and bool(sandbox.statuses), process)
    process.kill()
    process.communicate(timeout=30)
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST)
    assert done.code == 0, done.err
    assert_everything_stands_once(sandbox, samples)


def test_a_second_run_beside_the_first_is_told_who_holds_the_checkpoint(
    dixa_import, sandbox, samples
) -> None:
    process = dixa_import.start(
        "run", samples / "helpdesk.toml", "--base-url", sandbox.url, "--rate", 2, "--burst", 1
    )
    until(lambda: sandbox.store.count("messages") >= 0 and bool(sandbox.statuses), process)
    second = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url)
    assert second.code == 5
    assert f"process {process.pid}" in second.err
    going_on = json.loads(dixa_import("--json", "status", samples / "helpdesk.toml").out)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert f"process {process.pid}" in going_on["running"]
    assert going_on["balanced"]
    assert going_on["tickets"]["read"] == 13
    assert json.loads(dixa_import("--json", "status", samples / "helpdesk.toml").out)["running"] is None


def test_a_changed_mapping_is_said_and_what_is_there_is_kept(dixa_import, sandbox, samples) -> None:
    path = samples / "helpdesk.toml"
    assert dixa_import("run", path, "--base-url", sandbox.url, *FAST).code == 0
    path.write_text(
        path.read_text("utf-8").replace('created_at = "Created"', 'created_at = "Updated at"'), "utf-8"
    )
    done = dixa_import("run", path, "--base-url", sandbox.url, *FAST)
    assert done.code == 0, done.err
    assert "The migration file has changed since the last run in [source.tickets]" in done.err
    assert_everything_stands_once(sandbox, samples)


def test_limits_end_with_8_and_say_what_is_left(dixa_import, sandbox, samples) -> None:
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST, "--limit", 5)
    assert done.code == 8
    assert "Stopped at --limit 5; 7 tickets are not yet sent." in done.out
    assert sandbox.store.count("conversations") == 5


@pytest.mark.parametrize("value", ["soon", "-1", "5d"])
def test_a_duration_that_is_none(dixa_import, samples, value: str) -> None:
    done = dixa_import("run", samples / "helpdesk.toml", f"--max-duration={value}")
    assert done.code == 2
    assert "examples: 90s, 15m, 2h" in done.err


def test_after_kill_9_status_says_that_nothing_goes_on(dixa_import, sandbox, samples) -> None:
    process = dixa_import.start("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *SLOW)
    until(lambda: sandbox.store.count("messages") >= 3, process)
    process.kill()
    process.communicate(timeout=30)
    done = dixa_import("status", samples / "helpdesk.toml")
    assert done.code == 0, done.err
    assert f"The last one (process {process.pid}" in done.out
    assert "was killed; run again to continue." in done.out


@pytest.mark.parametrize("api", ["integrations"])  # a ticket is done before the last one begins
def test_after_kill_9_status_does_not_show_the_books_of_the_run_before(dixa_import, sandbox, samples) -> None:
    path = samples / "helpdesk.toml"
    assert dixa_import("run", path, "--base-url", sandbox.url, *FAST, "--limit", 3).code == 8
    before = sandbox.store.count("messages")
    process = dixa_import.start("run", path, "--base-url", sandbox.url, *SLOW, "--workers", 1)
    until(lambda: sandbox.store.count("messages") >= before + 8, process)
    process.kill()
    process.communicate(timeout=30)
    tickets = json.loads(dixa_import("--json", "status", path).out)["tickets"]
    assert tickets["imported"] > 3, tickets
    assert (tickets["read"], tickets["filtered"]) == (13, 1)
    assert tickets["imported"] + tickets["left"] + tickets["in_doubt"] == 12


@BOTH
def test_retry_takes_what_was_rejected_here_and_is_mended(dixa_import, sandbox, samples) -> None:
    tickets = samples / "export" / "tickets.csv"
    good = tickets.read_text("utf-8")
    tickets.write_text(good.replace(",widget_chat,", ",telegram,"), "utf-8")
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 3
    assert sandbox.store.count("conversations") == 11
    tickets.write_text(good, "utf-8")
    done = dixa_import("retry", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST)
    assert done.code == 0, done.err
    assert_everything_stands_once(sandbox, samples)
