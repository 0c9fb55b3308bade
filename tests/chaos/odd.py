"""What becomes of a run if Dixa answers oddly?

    python tests/chaos/odd.py                   # each odd answer, once to a creation and once to a read
    python tests/chaos/odd.py --api integrations
    python tests/chaos/odd.py --only id-null

Each odd answer of the sandbox is given to one request of a small import. The import runs, then once more
without odd answers. No run ends with a traceback or an unexpected exit code, the token and the texts of
customers are in nothing that the runs leave, no line of the terminal is forged, and in the end every ticket is
in Dixa once, or the report names what is not.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from importer.sandbox import Settings, running
from importer.sandbox.faults import LIE, Plan
from importer.sandbox.odd import ODD

TOKEN = "s3cr3t-token-of-the-sandbox"
AGENT = "agent-1@firm.example"
SECRET = "my card is 4111 1111 1111 1111"
TICKETS = "ticket_id,requester_email,created_at,status\n" + "".join(
    f"T{n},customer-{n}@home.example,2024-01-0{n},open\n" for n in (1, 2, 3)
)
MESSAGES = "message_id,ticket_id,created_at,author_email,direction,text\n" + "".join(
    f"T{n}-{k},T{n},2024-02-01T00:0{k}:00Z,{AGENT if k else f'customer-{n}@home.example'},"
    f"{('inbound', 'internal')[k]},ticket {n}: {SECRET}\n"
    for n in (1, 2, 3)
    for k in (0, 1)
)
MIGRATION = """
version = 1
name = "odd"
source.timezone = "UTC"
source.tickets.files = "tickets.csv"
source.messages.files = "messages.csv"
people.default_agent = "agent-1@firm.example"
[target]
api = "{api}"
base_url = "{url}"
rate = 500.0
burst = 50
workers = 1
timeout = 1.0
grace = 0.1
latest = 1.2
attempts = 2
max_outage = 3.0
on_quota = "stop"
[conversation]
{conversation}
"""
CONVERSATION = {
    "dixa": 'endpoint = "imported@email.dixa.io"\ntags = ["imported"]',
    "integrations": 'queue = "Imported"\nendpoint = "+4512345678"',
}
# Everything but 1, which is unexpected, and the signals.
EXPECTED = frozenset({0, 2, 3, 4, 5, 7})
PATIENCE_SECONDS = 90.0
# The n-th request that changes something, and the n-th read, that is answered oddly.
PLACES = {"creation": 2, "addition": 3, "account": 2, "person": 5}


def trial(arguments: tuple[str, str, str]) -> tuple[str, list[str], str]:
    """One odd answer at one place. Returns its name, what is wrong, and the exit codes."""
    name, api, place = arguments
    number = PLACES[place]
    is_read = place in ("account", "person")
    plan = Plan(script_reads={number: f"odd:{name}"}) if is_read else Plan(script={number: f"odd:{name}"})
    with tempfile.TemporaryDirectory(prefix="odd-") as folder_name:
        folder = Path(folder_name)
        (folder / "tickets.csv").write_text(TICKETS)
        (folder / "messages.csv").write_text(MESSAGES)
        with running(Settings(api=api, token=TOKEN, rate=0, agents=(AGENT,), faults=plan)) as sandbox:
            text = MIGRATION.format(api=api, url=sandbox.url, conversation=CONVERSATION[api])
            (folder / "odd.toml").write_text(text)
            runs = [_run(folder) for _ in range(3)]
            problems = [*_wrong(folder, runs)]
            held = Counter(
                row["external_id"] or row["requester_id"]
                for row in sandbox.store.all("SELECT external_id, requester_id FROM conversations")
            )
            report = folder / "odd.report" / "report.json"
            whole = runs[-1][0] == 0
            if whole and (len(held), sum(held.values())) != (3, 3):
                problems.append(f"exit 0, but Dixa has {dict(held)}")
            if any(count > 1 for count in held.values()) and not (
                report.exists() and json.loads(report.read_text())["doubles"]
            ):
                problems.append(f"a conversation is there twice, and nothing says so: {dict(held)}")
    return f"{name} ({place}, {api})", problems, " ".join(str(code) for code, _ in runs)


def _run(folder: Path) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "importer", "run", str(folder / "odd.toml")],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, "DIXA_API_TOKEN": TOKEN},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"not done after {PATIENCE_SECONDS:g} s"
    return done.returncode, done.stdout + done.stderr


def _wrong(folder: Path, runs: list[tuple[int, str]]) -> Iterator[str]:
    for code, said in runs:
        if code not in EXPECTED:
            yield f"exit {code}: {said[-600:]}"
        if "Traceback" in said:
            yield f"a traceback: {said[-600:]}"
        if "\x1b" in said or "\x07" in said or LIE.split("\r")[-1] in said:
            yield "control characters of the host on the terminal"
        if TOKEN in said or "4111 1111" in said:
            yield "the token or a text on the terminal"
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("messages.csv", "tickets.csv"):
            data = path.read_bytes()
            if TOKEN.encode() in data or b"4111 1111" in data:
                yield f"the token or a text in {path.relative_to(folder)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--api", choices=list(CONVERSATION))
    parser.add_argument("--only", help="the name of one odd answer")
    parser.add_argument("--place", choices=list(PLACES))
    parser.add_argument("--jobs", type=int, default=8)
    options = parser.parse_args()
    orders = [
        (odd.name, api, place)
        for api in CONVERSATION
        for odd in ODD
        for place in PLACES
        if options.api in (None, api) and options.only in (None, odd.name) and options.place in (None, place)
    ]
    bad = 0
    codes: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for name, problems, ended in pool.imap_unordered(trial, orders):
            codes[ended] += 1
            bad += bool(problems)
            for problem in problems:
                print(f"{name}: {problem}", flush=True)
    print(f"{len(orders)} odd answers, {bad} with a problem; exit codes of the three runs: {dict(codes)}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
