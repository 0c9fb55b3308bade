"""How long does `validate` take, compared with the floor: a plain polars scan of the same files in the same run?

    python tests/bench/judge.py --messages 5000000 --rounds 3

Makes an export with five messages per ticket (about 2.3 GB of CSV for 5 million messages), the same as
Parquet, and a CSV with some rows of each kind of defect. Runs the scan and `dixa-import validate` on each in
turn, in separate processes. Prints seconds, ratios and the peak of anonymous memory (without mapped files).
The files stay in --folder for the next time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

WORDS = (
    "order", "delivery", "Thank you,", "invoice", "please", '"as agreed"', "refund", "Grüße", "customer", "tomorrow",
    "the", "parcel\n\n", "Hi,", "support", "size", "blue", "é", "tracking", "number", "账户", "regards", "and", "we",
)  # fmt: skip
FLOOR = """
import sys, polars as pl
for path in sys.argv[1:]:
    frame = pl.scan_parquet(path) if path.endswith("parquet") else pl.scan_csv(path, infer_schema=False)
    frame.select(pl.all().null_count()).collect(engine="streaming")
"""
# This parses every cell and keeps nothing. With null counts alone the reader could skip the cells.
FLOOR = FLOOR.replace("pl.all().null_count()", "pl.all().str.len_bytes().sum()")
MIGRATION = """version = 1
name = "bench"
[source]
timezone = "UTC"
[source.tickets]
files = ["{tickets}"]
[source.messages]
files = ["{messages}"]
[conversation]
endpoint = "bench@example.com"
[people]
default_agent = "agent@example.com"
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "dixa-importer-bench")
    asked = parser.parse_args()
    folder = asked.folder / str(asked.messages)
    if not (folder / "done").exists():
        generate(folder, asked.messages)
    kinds = {
        "csv": ("tickets.csv", "messages.csv"),
        "csv with defects": ("tickets.csv", "defects.csv"),
        "parquet": ("tickets.parquet", "messages.parquet"),
    }
    for kind, (tickets, messages) in kinds.items():
        path = folder / f"{kind.replace(' ', '-')}.toml"
        path.write_text(MIGRATION.format(tickets=tickets, messages=messages), "utf-8")
        floors, ours = [], []
        for _ in range(asked.rounds):
            floors.append(run([sys.executable, "-c", FLOOR, str(folder / tickets), str(folder / messages)]))
            ours.append(run([sys.executable, "-m", "importer", "-q", "validate", str(path)]))
        report(kind, floors, ours)


def report(kind: str, floors: list[tuple[float, float]], ours: list[tuple[float, float]]) -> None:
    ratios = [mine[0] / floor[0] for floor, mine in zip(floors, ours, strict=True)]
    print(
        f"{kind:<18} floor {min(f[0] for f in floors):6.2f} s {max(f[1] for f in floors):5.2f} GiB · "
        f"validate {min(o[0] for o in ours):6.2f} s {max(o[1] for o in ours):5.2f} GiB · "
        f"ratio {min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f} (min / median / max)",
        flush=True,
    )


def run(command: list[str]) -> tuple[float, float]:
    """The seconds of a process, and its peak of anonymous memory in GiB."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    most = 0.0
    while child.poll() is None:
        most = max(most, anonymous(child.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    if child.returncode not in (0, 6):
        assert child.stdout is not None
        sys.exit(f"{' '.join(command[-3:])} ended with {child.returncode}:\n{child.stdout.read()}")
    return seconds, most


def anonymous(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("RssAnon")), 0.0)


def generate(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tickets = count // 5
    number = pl.int_range(tickets).alias("n")
    frame = (
        pl.select(number)
        .lazy()
        .select(
            ticket_id=pl.format("T{}", "n"),
            subject=pl.format("Where is order {}?", "n"),
            requester_email=pl.format("customer{}@example.com", pl.col("n") % 50_000),
            status=pl.lit("closed"),
            created_at=stamp("n"),
        )
    )
    write(frame, folder, "tickets")
    number = pl.int_range(count).alias("n")
    # Texts of about 50 to 500 characters.
    words = [pl.lit(pl.Series(WORDS)).gather(pl.col("n").hash(k) % len(WORDS)) for k in range(80)]
    texts = [pl.concat_str(words[: 8 + 9 * k], separator=" ") for k in range(9)]
    text = texts[0]
    for k in range(1, 9):
        text = pl.when(pl.col("n") % 9 == k).then(texts[k]).otherwise(text)
    agent = pl.col("n") % 2 == 1
    frame = (
        pl.select(number)
        .lazy()
        .select(
            message_id=pl.format("M{}", "n"),
            ticket_id=pl.format("T{}", pl.col("n") // 5),
            created_at=stamp("n"),
            author_email=pl.when(agent)
            .then(pl.format("agent{}@example.org", pl.col("n") % 40))
            .otherwise(pl.format("customer{}@example.com", (pl.col("n") // 5) % 50_000)),
            author_name=pl.lit("Somebody"),
            direction=pl.when(agent).then(pl.lit("outbound")).otherwise(pl.lit("inbound")),
            public=pl.lit("true"),
            to_email=pl.lit("support@example.org"),
            text=text,
            attachments=pl.when(pl.col("n") % 50 == 0).then(
                pl.format("https://files.example.com/{}.pdf", "n")
            ),
        )
    )
    write(frame, folder, "messages")
    spoil(folder)
    (folder / "done").touch()


def stamp(name: str) -> pl.Expr:
    at = pl.datetime(2015, 1, 1) + pl.duration(seconds=pl.col(name) * 37)
    return at.dt.to_string("%Y-%m-%dT%H:%M:%SZ")


def write(frame: pl.LazyFrame, folder: Path, name: str) -> None:
    frame.sink_parquet(folder / f"{name}.parquet")
    pl.scan_parquet(folder / f"{name}.parquet").sink_csv(folder / f"{name}.csv")


def spoil(folder: Path) -> None:
    """One row in 1,000 with a defect: an invalid time, an unknown ticket, an invalid address, a duplicate
    id."""
    row = pl.int_range(pl.len())
    frame = pl.scan_parquet(folder / "messages.parquet").with_columns(k=row % 4_000)
    frame.with_columns(
        created_at=pl.when(pl.col("k") == 7).then(pl.lit("yesterday")).otherwise("created_at"),
        ticket_id=pl.when(pl.col("k") == 1_007).then(pl.lit("nowhere")).otherwise("ticket_id"),
        author_email=pl.when(pl.col("k") == 2_007).then(pl.lit("no address")).otherwise("author_email"),
        message_id=pl.when(pl.col("k") == 3_007).then(pl.lit("M1")).otherwise("message_id"),
    ).drop("k").sink_csv(folder / "defects.csv")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
    main()
