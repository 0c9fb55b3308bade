"""Search for files that the importer reads differently from their bytes without reporting it.

    python tests/fuzz/reader.py --inputs 20000 --seed 1           # --jobs 2 for two processes
    python tests/fuzz/reader.py --only 1000017 --keep DIR         # one input again, with its files kept
    python tests/fuzz/reader.py --self-check                      # wrong readings must be caught

Builds small exports (exports.py), damages most of them by the classes of limits.md (damages.py), reads each
as a dry run does, in a separate process that may die or hang (reading.py), and compares the result with an
independent reading of the same bytes (oracle.py). Exits with code 1 where anything is wrong.
"""

import argparse
import json
import multiprocessing
import os
import queue
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cases import SEEDS_OF_A_RUN, case, label
from exports import Case
from selfcheck import self_check
from tabulate import tabulate
from tqdm import tqdm

PATIENCE_SECONDS = 60.0
# The importer may use this many bytes; a damaged length must not use up the memory of the machine.
_MEMORY = 12 << 30
_SHOWN = 400
_OUTCOMES = ("refused", "rejected in part", "skipped in part", "clean")


@dataclass(frozen=True, slots=True)
class Verdict:
    seed: int
    classes: list[str]
    outcome: str
    wrong: list[str] = field(default_factory=list)
    harsh: list[str] = field(default_factory=list)
    word: str = ""


# -- in the process that reads


def serve(connection: Connection, keep: str | None) -> None:
    """Read the inputs that the parent sends, one after another."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    if keep is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # panics write there; their messages are caught
    connection.send("ready")
    while (seed := connection.recv()) is not None:
        connection.send(_verdict(seed, connection, keep))


def _verdict(seed: int, connection: Connection, keep: str | None) -> Verdict:
    from oracle import harsh, judge, summary
    from reading import read_case

    made = case(seed)
    folder = Path(keep or tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        reading = read_case(made, folder)
        connection.send("read")
        if keep:
            (folder / "reading.json").write_text(json.dumps(asdict(reading), default=str, indent=1), "utf-8")
        outcome = "escaped" if reading.escaped else summary(reading)
        return Verdict(
            seed, label(made), outcome, judge(made, reading), harsh(made, reading), reading.refused or ""
        )
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


# -- in the parent


@dataclass(slots=True)
class Reader:
    """A process that reads; replaced when it dies or hangs."""

    keep: str | None = None
    _process: Any = None
    _connection: Any = None

    def verdict(self, seed: int) -> Verdict:
        if self._process is None:
            self._start()
        self._connection.send(seed)
        stage = "the importer"
        try:
            while self._connection.poll(PATIENCE_SECONDS):
                said = self._connection.recv()
                if isinstance(said, Verdict):
                    return said
                stage = "the oracle"
        except EOFError:
            self._process.join()
            return self._lost(seed, f"process died in {stage}, exit code {self._process.exitcode}")
        return self._lost(seed, f"hangs in {stage}, for {PATIENCE_SECONDS:.0f} s")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self.keep), daemon=True)
        self._process.start()
        theirs.close()
        if self._connection.recv() != "ready":
            raise AssertionError("the process that reads is not ready")

    def _lost(self, seed: int, why: str) -> Verdict:
        self.stop()
        return Verdict(seed, label(case(seed)), "lost", [why])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def verdicts(seeds: list[int], jobs: int, keep: str | None) -> Iterator[Verdict]:
    """The verdicts, in the order in which they are ready."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[Verdict | Exception] = queue.SimpleQueue()
    for seed in seeds:
        todo.put(seed)
    for _ in range(jobs):
        threading.Thread(target=_work, args=(todo, done, keep), daemon=True).start()
    for _ in seeds:
        if isinstance(verdict := done.get(), Exception):
            raise verdict
        yield verdict


def _work(
    todo: "queue.SimpleQueue[int]", done: "queue.SimpleQueue[Verdict | Exception]", keep: str | None
) -> None:
    reader = Reader(keep)
    try:
        while True:
            done.put(reader.verdict(todo.get_nowait()))
    except queue.Empty:
        reader.stop()
    except Exception as error:  # an error of the fuzz itself: the parent must not wait forever
        done.put(error)


def _table(all_: list[Verdict]) -> str:
    counts: dict[str, Counter[str]] = {}
    for verdict in all_:
        for name in verdict.classes:
            counts.setdefault(name, Counter())[verdict.outcome] += 1
            counts[name]["wrong"] += bool(verdict.wrong)
    rows = [
        [
            name,
            sum(n for key, n in count.items() if key != "wrong"),
            *(count[o] for o in _OUTCOMES),
            count["wrong"],
        ]
        for name, count in sorted(counts.items())
    ]
    return tabulate(rows, ["class (an input counts for each of its classes)", "inputs", *_OUTCOMES, "wrong"])


def _shown(made: Case) -> str:
    """The input, in one line."""
    if made.kind == "parquet":
        return f"parquet, {', '.join(label(made))}"
    written = ", ".join(f"{name}={value!r}" for name, value in asdict(made.written).items() if value)
    limits = ", ".join(f"{name}={getattr(made, name)}" for name in ("chunk", "sample") if getattr(made, name))
    return f"{made.table}, {', '.join(label(made))}; {written}; declared: {made.declared}; {limits}"


def _kind(wrong: str) -> str:
    """The kind of error, without its values."""
    return re.sub(r"/\S+|'.*|\[.*|\d+", "…", wrong)[:100]


def _tell(verdict: Verdict) -> None:
    print(f"\nseed {verdict.seed}: {_shown(case(verdict.seed))}")
    for wrong in verdict.wrong[:4]:
        print(f"  {wrong if len(wrong) <= _SHOWN else wrong[:_SHOWN] + ' …'}")
    print(f"  python tests/fuzz/reader.py --only {verdict.seed} --keep /tmp/fuzz-{verdict.seed}")


def _run(seeds: list[int], jobs: int, keep: str | None) -> int:
    started, all_ = time.monotonic(), []
    for verdict in tqdm(verdicts(seeds, jobs, keep), total=len(seeds), disable=None):
        all_.append(verdict)
        if verdict.wrong:
            _tell(verdict)
            sys.stdout.flush()
    print(f"\n{_table(all_)}\n")
    if harsh := Counter(rule for verdict in all_ for rule in verdict.harsh):
        print("complete rows that are rejected:", dict(harsh.most_common()))
    if keep:
        print("\n".join(filter(None, (verdict.word for verdict in all_))))
    for kind, count in Counter(_kind(verdict.wrong[0]) for verdict in all_ if verdict.wrong).most_common():
        print(f"{count:6,}  {kind}")
    wrong = sum(bool(verdict.wrong) for verdict in all_)
    print(f"{len(all_):,} inputs in {time.monotonic() - started:.0f} s, {wrong:,} of them wrong")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument(
        "--seed", type=int, default=1, help="the seed of the run; each input has its own seed"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int, help="the seed of one input")
    parser.add_argument("--keep", help="a folder for the files of that input")
    parser.add_argument("--self-check", action="store_true")
    given = parser.parse_args()
    if given.self_check:
        return self_check()
    if given.only is not None:
        print(_shown(case(given.only)))
        return _run([given.only], 1, given.keep)
    first = given.seed * SEEDS_OF_A_RUN
    return _run(list(range(first, first + given.inputs)), given.jobs, None)


if __name__ == "__main__":
    sys.exit(main())
