"""How long does the second run of a finished migration take until it knows that there is nothing to do?

    python tests/bench/resume.py                      # 20,000 tickets, 100,000 messages
    python tests/bench/resume.py --tickets 200000

Makes an export and a checkpoint in which all of it is imported. Then runs `dixa-import run` against a sandbox
in a separate process, and `dixa-import validate` on the same files for comparison.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from importer.checkpoint.journal import Binding, Checkpoint
from importer.dixa import integrations
from importer.migration import file as config
from importer.model import State
from importer.pipeline.prepare import prepare
from importer.pipeline.values import Prepared
from importer.plan.changes import HASH_MAKER
from importer.read.scan import scan
from importer.sandbox import Settings, running

MIGRATION = """
version = 1
name = "resume"
[source]
timezone = "UTC"
tickets.files = "tickets.csv"
messages.files = "messages.csv"
[target]
api = "integrations"
base_url = "{url}"
rate = 2000.0
burst = 100
[conversation]
queue = "Imported"
endpoint = "+4512345678"
"""


def export(folder: Path, tickets: int, each: int) -> None:
    with (folder / "tickets.csv").open("w") as heads, (folder / "messages.csv").open("w") as messages:
        heads.write("ticket_id,requester_email,created_at,subject\n")
        messages.write("message_id,ticket_id,created_at,direction,text\n")
        for n in range(tickets):
            heads.write(f"{n},p{n % 5000}@home.example,2024-01-01T00:00:{n % 60:02}Z,Subject {n}\n")
            for k in range(each):
                messages.write(
                    f"{n}-{k},{n},2024-02-01T00:00:{k:02}Z,inbound,{'a text of some length ' * 8}{k}\n"
                )


async def remember(journal: Checkpoint, ready: Prepared) -> None:
    target = integrations.target(ready.migration.conversation_settings(), None)
    waiting = []
    for number, job in enumerate(ready.parts.jobs()):
        journal.begin(job.ticket_id)
        for step in target.steps(job):
            waiting.append(asyncio.ensure_future(journal.intend(step)))
            await asyncio.sleep(0)
            journal.record(step, State.IMPORTED, dixa_id=f"{number}-{step.key}")
        journal.end(job.ticket_id, State.IMPORTED, dixa_id=str(number), source_hash=job.source_hash)
    journal.note("source_hashes", HASH_MAKER)
    await asyncio.gather(*waiting)
    await journal.flush()


def timed(url: str, *arguments: str) -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "importer", "-q", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "DIXA_API_TOKEN": "sandbox"},
    )
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickets", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=5, help="messages per ticket")
    options = parser.parse_args()
    with running(Settings(api="integrations", rate=0)) as sandbox, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(folder, options.tickets, options.each)
        path = folder / "resume.toml"
        path.write_text(MIGRATION.format(url=sandbox.url))
        migration = config.load_migration(path)
        work = folder / "work"
        work.mkdir()
        scanned = scan(migration.source, folder, work)
        ready = prepare(migration, scanned, work, with_holes=False, say=lambda _: None)
        binding = Binding(migration.name, migration.target.api, migration.target.base_url)
        with Checkpoint(migration.checkpoint, binding) as journal:
            asyncio.run(remember(journal, ready))
        size = migration.checkpoint.stat().st_size / 2**20
        seconds = {
            what: min(timed(sandbox.url, what, str(path)) for _ in range(3)) for what in ("run", "validate")
        }
        messages = options.tickets * options.each
        print(
            f"{messages:,} messages in the checkpoint ({size:.0f} MiB): the second run ends after "
            f"{seconds['run']:.2f} s, `validate` after {seconds['validate']:.2f} s "
            f"(ratio {seconds['run'] / seconds['validate']:.2f}); responses by status: {dict(sandbox.statuses)}"
        )


if __name__ == "__main__":
    main()
