"""Signals before anything is sent: heeded from the first import on, and where the main thread is deaf to them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from importer.cli.interrupt import WORDS

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
# A command in place of all others; `deaf()` never returns, and no signal interrupts it.
PROGRAM = """
import ctypes, sys
from importer.cli import group, interrupt, main
def deaf():
    print("deaf", flush=True)
    lock = ctypes.create_string_buffer(64)
    while True:
        ctypes.CDLL(None).pthread_mutex_lock(lock)
def command(**_):
    {command}
group.dixa_import.main = command
main()
"""


def caught(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def ends(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The output of a process that ends as an interrupted one, and soon."""
    began = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 4
    assert "Traceback" not in err
    assert err.count(WORDS) == 1
    return out, err


def start(command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(command=command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@SIGNALS
def test_a_signal_during_the_first_imports_ends_it_with_the_usual_words(dixa_import, samples, number) -> None:
    process = dixa_import.start("validate", samples / "helpdesk.toml")
    # Python has a handler of its own for SIGINT, so another signal shows when ours are there.
    while not caught(process, signal.SIGHUP):
        assert process.poll() is None
    process.send_signal(number)
    ends(process)


IMPORTING = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name == {name!r}:
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
sys.argv = ["dixa-import", "validate", "none.toml"]
from importer.cli import main
main()
"""


@SIGNALS
@pytest.mark.parametrize("name", ["click", "polars"])
def test_a_signal_during_an_import_shows_no_traceback(number, name: str) -> None:
    command = [sys.executable, "-c", IMPORTING.format(name=name)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    ends(process)


@SIGNALS
@pytest.mark.parametrize("delay", [0.1, 0.3, 0.6])
def test_a_signal_at_any_time_ends_it_with_the_usual_words(
    dixa_import, samples, number, delay: float
) -> None:
    export = samples / "export" / "tickets.csv"
    header, *rows = export.read_text("utf-8").splitlines()
    # Reading takes a few seconds.
    more = (row.replace(",", f"{n},", 1) for n in range(40_000) for row in rows)
    export.write_text("\n".join((header, *more)), "utf-8")
    process = dixa_import.start("validate", samples / "helpdesk.toml")
    time.sleep(delay)
    process.send_signal(number)
    ends(process)
    assert dixa_import("--version").code == 0


def test_a_signal_that_is_ignored_at_the_start_stays_ignored(dixa_import, samples) -> None:
    """As `nohup` and a shell's `&` start programs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = dixa_import.start("validate", samples / "helpdesk.toml")
    finally:
        signal.signal(signal.SIGHUP, before)
    while not caught(process, signal.SIGTERM):
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "All records are accounted for." in out


@SIGNALS
def test_a_deaf_main_thread_does_not_keep_the_process(number, tmp_path: Path) -> None:
    command = "from importer.read.workdir import work_folder\n    with work_folder() as path:\n        "
    command += "(path / 'copy').write_text('x'); print(path, flush=True); deaf()"
    process = start(command)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert process.stdout.readline() == "deaf\n"
    assert os.listdir(folder) == ["copy"]
    assert folder.stat().st_mode & 0o777 == 0o700
    process.send_signal(number)
    ends(process)
    assert not folder.exists()


def test_a_deaf_process_that_is_to_print_json_does() -> None:
    process = start("_['obj'].json = True; deaf()")
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    out, _ = ends(process)
    assert json.loads(out)["exit_code"] == 130


@pytest.mark.parametrize("then", ["return 0", "raise ValueError('polars has made this of it')"])
def test_an_interrupt_that_got_lost_counts(then: str) -> None:
    lost = "import time\n    print('here', flush=True)\n    try:\n        time.sleep(60)\n"
    lost += f"    except KeyboardInterrupt:\n        time.sleep(0.2)\n    {then}"
    process = start(lost)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    ends(process)


HANDED_OVER = """
    import asyncio, signal, time
    async def push():
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print("pushing", flush=True)
        await stop.wait()
        await asyncio.sleep(2.5)
    {before}
    with interrupt.handed_over():
        asyncio.run(push())
    print("reported", flush=True)
    {after}
    return 130
"""


@SIGNALS
def test_a_push_is_given_the_time_that_it_needs(number) -> None:
    process = start(HANDED_OVER.format(before="", after=""))
    assert process.stdout is not None
    assert process.stdout.readline() == "pushing\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "reported\n", "")


@SIGNALS
def test_a_signal_behind_a_push_interrupts(number) -> None:
    process = start(HANDED_OVER.format(before="", after="time.sleep(60)"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert process.stdout.readline() == "reported\n"
    process.send_signal(number)
    ends(process)


def test_a_push_does_not_begin_where_an_interrupt_got_lost() -> None:
    before = "print('here', flush=True)\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n"
    process = start(HANDED_OVER.format(before=f"{before}        time.sleep(0.2)", after=""))
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    out, _ = ends(process)
    assert out == ""


def test_a_push_that_says_nothing_of_it_is_left_alone_too() -> None:
    """What handles signals itself is noticed."""
    command = HANDED_OVER.format(before="", after="").replace("with interrupt.handed_over():", "if True:")
    process = start(command)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "reported\n", "")
