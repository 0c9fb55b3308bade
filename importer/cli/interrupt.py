"""Signals that end the program: Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.

Python raises KeyboardInterrupt for a signal when its main thread takes its next step. Inside polars or
pyarrow this can be minutes later, and an exception that is raised in a function that polars calls may be
lost. So a thread is told of each signal at once, and ends the process where it still runs a while later. As
long as something else handles the signals, as a push does, it leaves that alone.

This module imports nothing of weight: it is at work before everything else is imported.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

WORDS = "Interrupted. Nothing is half-written. Run the same command again to continue."
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130
# How long the main thread may take to end the process itself.
_GRACE_SECONDS = 1.5
# How long the words may take, for whoever reads them may have stopped.
_SAYING_SECONDS = 0.3


# Not a dataclass: that would import more than everything else here.
class _State:
    """`came`: a signal that is to end the process has come. `is_off`: nothing is ended by force any more."""

    def __init__(self) -> None:
        self.came = self.is_off = self.was_said = False
        self.lock = threading.Lock()


_state = _State()


def end_at_once() -> None:
    """From now on a signal ends the process with the usual words: nothing has begun yet."""
    _handle(_end)


@contextmanager
def watched(say: Callable[[], object]) -> Iterator[None]:
    """Inside, a signal raises KeyboardInterrupt. Where the process runs on for 1.5 seconds, `say`
    is called by another thread, and the process ends with 130; its work folder is removed. This goes on after
    the end of the context, since threads may keep the process from ending.

    Raises KeyboardInterrupt at the end where a signal has come and its exception was lost.
    """
    _handle(_raise)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, say), name="signals", daemon=True).start()
    try:
        yield
    except Exception:
        _raise_lost()
        raise
    _raise_lost()


@contextmanager
def handed_over() -> Iterator[None]:
    """Inside, the caller handles signals itself; from here on, nothing is ended by force. Afterwards a signal
    raises KeyboardInterrupt.

    Raises KeyboardInterrupt at once where a signal has come and its exception was lost.
    """
    signal.set_wakeup_fd(-1)
    _raise_lost()
    _state.is_off = True
    try:
        yield
    finally:
        _handle(_raise)


def heeded() -> list[signal.Signals]:
    """The signals that are to end the program: all but those that it was started to ignore (nohup)."""
    return [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def end(say: Callable[[], object]) -> NoReturn:
    """End the process with 130, after `say` unless that was said already. Threads are not waited for.

    `sys.exit` does not do: where the exception went through code that C has run, Python exits as if nobody
    had handled it.
    """
    if _is_first_to_say():
        say()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    _remove_work_folders()
    os._exit(_INTERRUPTED)


def _is_first_to_say() -> bool:
    with _state.lock:
        first, _state.was_said = not _state.was_said, True
    return first


def _handle(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in heeded():
        signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    os.write(2, f"{WORDS}\n".encode())
    os._exit(_INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    # Noted here, not only by the thread, which may not have run yet where the exception is lost at once.
    del number, frame
    _state.came = True
    raise KeyboardInterrupt


def _raise_lost() -> None:
    if _state.came and not _state.is_off:
        raise KeyboardInterrupt


def _watch(reader: int, say: Callable[[], object]) -> None:
    while data := os.read(reader, 64):
        if set(data) & set(_SIGNALS):
            _state.came = True
            time.sleep(_GRACE_SECONDS)
            if not _is_handled_elsewhere():
                _end_by_force(say)


def _is_handled_elsewhere() -> bool:
    """Whether the main thread went on to something that handles signals itself, such as asyncio."""
    ours = (_raise, signal.SIG_IGN)
    return _state.is_off or any(signal.getsignal(number) not in ours for number in _SIGNALS)


def _end_by_force(say: Callable[[], object]) -> None:
    if _is_first_to_say():
        saying = threading.Thread(target=say, daemon=True)
        saying.start()
        saying.join(_SAYING_SECONDS)
    _remove_work_folders()
    os._exit(_INTERRUPTED)


def _remove_work_folders() -> None:
    # Where the module was never imported, there is no folder.
    if workdir := sys.modules.get("importer.read.workdir"):
        workdir.remove_all()
