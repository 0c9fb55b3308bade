"""Does every ticket and message of an export arrive in Dixa exactly once, whatever happens on the way?

    python tests/chaos/chaos.py                          # seeds 0 to 499, twelve at a time, Dixa API v1
    python tests/chaos/chaos.py --api integrations
    python tests/chaos/chaos.py --seeds 37               # repeat one seed
    python tests/chaos/chaos.py --seeds 0:500 --late
    python tests/chaos/chaos.py --shown                  # texts are shown otherwise, and lists are behind
    python tests/chaos/chaos.py --lose                   # the checkpoint is lost at a random moment, then adopt

Each seed makes an export (many tickets of few people, equal texts among them), a sandbox with faults on more
than every tenth request, and a schedule of SIGKILL, SIGINT and SIGTERM at random moments. Meanwhile other
people create conversations with the same customers. The importer runs in a separate process until it reports
that it is done. Then the store of the sandbox is compared with the export: each conversation and message is
there once, in order, by the right author, with the right text; no person is there twice; all records are
accounted for. With Dixa API v1, the times, notes, tags, attributes, states and queues are compared too, and a
ticket must be partial exactly if the sandbox refused a part of it.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from importer.sandbox import Settings, running
from importer.sandbox.faults import HEADER, Fault, Plan
from importer.sandbox.server import Running
from importer.sandbox.view import Reword

AGENTS = ("agent-1@firm.example", "agent-2@firm.example")
TOKEN = "sandbox"
LAUNCHER = Path(__file__).with_name("launcher.py")
TIMEOUT, GRACE, LATEST = 0.5, 0.6, 1.6
# How long one seed may take before it counts as hung.
PATIENCE_SECONDS = 300.0

MIGRATION = """
version = 1
name = "chaos"
[source]
timezone = "UTC"
tickets.files = "tickets.csv"
messages.files = "messages.csv"
[target]
api = "{api}"
base_url = "{url}"
rate = 2000.0
burst = 200
workers = {workers}
timeout = {timeout}
grace = {grace}
latest = {latest}
attempts = 12
max_outage = 30.0
[conversation]
kind = "{kind}"
{conversation}
[people]
default_agent = "agent-1@firm.example"
"""
KINDS = {
    "integrations": {
        "callback": 'queue = "Imported"\nendpoint = "+4512345678"\nopening_head = ""',
        "contact_form": 'endpoint = "imported@email.dixa.io"\nopening_head = ""',
    },
    "dixa": {
        kind: f'{endpoint}\nqueue = "Imported"\ntags = ["imported"]\nattributes = {{ "Old ticket id" = "ticket_id" }}'
        for kind, endpoint in (
            ("email", 'endpoint = "imported@email.dixa.io"'),
            ("genericapimessaging", ""),
        )
    },
}


@dataclass
class Said:
    """A message of the export."""

    author: str
    direction: str
    text: str
    attachments: int = 0
    at: str = ""


@dataclass
class Export:
    """What must be in Dixa: requester, status, assignee and messages (in order) by ticket."""

    requesters: dict[str, str] = field(default_factory=dict)
    messages: dict[str, list[Said]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    assignee: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    seed: int
    problems: list[str]
    runs: int = 0
    kills: int = 0
    posts: int = 0
    struck: int = 0
    # Tickets that ended in doubt, and duplicates that the report names.
    doubts: int = 0
    reasons: list[str] = field(default_factory=list)
    named: int = 0
    seconds: float = 0.0


def make_export(folder: Path, chance: random.Random) -> Export:
    export = Export()
    people = [f"customer-{n}@home.example" for n in range(chance.randint(1, 4))]
    tickets = ["ticket_id,requester_email,created_at,subject,status,assignee_email"]
    messages = ["message_id,ticket_id,created_at,author_email,direction,text,attachments"]
    for n in range(chance.randint(5, 14)):
        ticket, requester = f"T{n}", chance.choice(people)
        status, assignee = chance.choice(["open", "closed"]), chance.choice(["", *AGENTS])
        # Two tickets share each time, so that times alone do not distinguish them.
        tickets.append(
            f"{ticket},{requester},2024-01-{1 + n // 2:02}T00:00:00Z,Subject {n},{status},{assignee}"
        )
        export.status[ticket], export.assignee[ticket] = status, assignee
        export.requesters[ticket] = requester
        said = export.messages[ticket] = []
        for k in range(chance.randint(1, 6)):
            inbound = chance.random() < 0.5
            author = requester if inbound else chance.choice(AGENTS)
            direction = "inbound" if inbound else chance.choice(["outbound", "internal"])
            # Every fourth message has the same text as others, so that equal messages must be distinguished.
            text = "Thanks!" if chance.random() < 0.25 else f"ticket {n} message {k}"
            url = "https://files.example/x.pdf" if chance.random() < 0.1 else ""
            said.append(Said(author, direction, text, int(bool(url)), f"2024-02-01T00:{k:02}:00.000Z[GMT]"))
            messages.append(
                f"{ticket}-{k},{ticket},2024-02-01T00:{k:02}:00Z,{author},{direction},{text},{url}"
            )
    (folder / "tickets.csv").write_text("\n".join(tickets))
    (folder / "messages.csv").write_text("\n".join(messages))
    return export


def make_faults(chance: random.Random, seed: int, api: str, late: bool, shown: bool) -> Plan:
    """`shown`: Dixa shows texts otherwise than it got them, or its lists are behind, or both."""
    faults: list[Fault] = [Fault.LATE] if late else []
    faults += chance.sample(
        [f for f in Fault if f not in (Fault.LATE, Fault.PARTIAL)], k=chance.randint(2, 5)
    )
    if api == "dixa" and chance.random() < 0.5:
        faults.append(Fault.PARTIAL)
    share = chance.uniform(0.1, 0.25)
    more: dict[str, Any] = {}
    if shown and chance.random() < 0.7:
        more["reword"] = frozenset(chance.sample(list(Reword), k=chance.randint(1, 3)))
    if shown and (chance.random() < 0.5 or not more):
        # Behind the grace period, and sometimes behind the time that the importer is told to wait.
        more["lag_seconds"] = chance.choice([0.3, 1.0, 1.5, 3.0])
    return Plan(
        {fault: share / len(faults) for fault in faults},
        seed,
        retry_after_seconds=0 if chance.random() < 0.5 else 1,
        hang_seconds=TIMEOUT + 0.2,
        late_seconds=chance.uniform(0.05, GRACE - 0.2),
        **more,
    )


@contextmanager
def launching() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdin
        assert launcher.stdout
        assert launcher.stdout.readline() == "ready\n"
        try:
            yield launcher
        finally:
            launcher.stdin.close()


class People(threading.Thread):
    """Creates conversations with the same customers while the import is in progress."""

    def __init__(self, sandbox: Running, export: Export, seed: int, api: str) -> None:
        super().__init__(daemon=True)
        self.made: set[int] = set()
        self._users = "/v1/endusers" if api == "dixa" else "/v1/users"
        self._converse = self._import if api == "dixa" else self._write
        self._sandbox, self._chance = sandbox, random.Random(seed)
        self._requesters = sorted(set(export.requesters.values()))
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(self._chance.uniform(0.1, 0.8)) and len(self.made) < 30:
            email = self._chance.choice(self._requesters)
            found = self._ask("GET", f"{self._users}?email={email}")["data"]
            if found:
                self._converse(found[0]["id"])

    def _import(self, user_id: str) -> None:
        """The import of somebody else, with times that may be equal to those of a ticket."""
        at = f"2024-01-0{self._chance.randint(1, 7)}T00:00:00Z"
        said = {"_type": "InboundImport", "content": {"_type": "Text", "value": "Thanks!"}, "createdAt": at}
        body = {
            "genericChannelName": "email",
            "requesterId": user_id,
            "direction": "Inbound",
            "createdAt": at,
            "attributes": {"emailIntegrationId": "imported@email.dixa.io", "subject": "A new matter"},
            "messages": [said] if self._chance.random() < 0.8 else [],
        }
        self.made.add(self._ask("POST", "/v1/conversations/import", body)["data"]["id"])

    def _write(self, user_id: str) -> None:
        body = {
            "channel": "contact_form",
            "requester_id": user_id,
            "email_integration_id": "imported@email.dixa.io",
            "subject": "A new matter",
            "message": {"text": f"Thanks! (live {len(self.made)})"},
        }
        self.made.add(self._ask("POST", "/v1/conversations", body)["data"]["id"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self._sandbox.url + path,
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": TOKEN, "Content-Type": "application/json", HEADER: "none"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self._done.set()
        self.join()


def lose_checkpoint(folder: Path, copies: list[bytes], chance: random.Random) -> str:
    """Delete or empty the checkpoint, or put an older copy in its place. Returns which."""
    path = folder / "chaos.checkpoint"
    how = chance.choice(["deleted", "emptied", "older copy" if copies else "deleted"])
    for name in ("-wal", "-shm", ""):
        path.with_name(f"{path.name}{name}").unlink(missing_ok=True)
    if how != "deleted":
        path.write_bytes(chance.choice(copies) if how == "older copy" else b"")
    return how


def copy_of(folder: Path) -> list[bytes]:
    """The checkpoint as a backup would have it between two runs."""
    path = folder / "chaos.checkpoint"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return [path.read_bytes()]


def run_until_done(
    launcher: subprocess.Popen[str],
    folder: Path,
    sandbox: Running,
    chance: random.Random,
    outcome: Outcome,
    command: str = "run",
    *,
    lose: bool = False,
) -> int:
    """Run the importer, first with a few signals and then without. Returns its last exit code. `lose`: the
    checkpoint is lost once, after one of the signals or while a run goes on, and `adopt` is called."""
    assert launcher.stdin
    assert launcher.stdout
    deadline = time.monotonic() + PATIENCE_SECONDS
    disturbances = chance.randint(1, 4)
    lost_at = chance.randint(0, disturbances - 1) if lose else None
    during = chance.random() < 0.3
    copies: list[bytes] = []
    wanted_command, code = command, None
    while time.monotonic() < deadline:
        if lose:
            copies += copy_of(folder)
        order = {
            "arguments": [command, str(folder / "chaos.toml")],
            "environment": {"DIXA_API_TOKEN": TOKEN},
            "output": str(folder / "output"),
        }
        launcher.stdin.write(json.dumps(order) + "\n")
        launcher.stdin.flush()
        child = int(launcher.stdout.readline())
        outcome.runs += 1
        if disturbances:
            disturbances -= 1
            if disturbances == lost_at and during:
                time.sleep(chance.uniform(0.3, 1.5))
                lose_checkpoint(folder, copies, chance)
            wanted = sum(sandbox.statuses.values()) + chance.randint(1, 60)
            kind = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            watch = threading.Thread(
                target=disturb,
                args=(child, kind, sandbox, wanted, chance.uniform(0, 0.01), outcome),
                daemon=True,
            )
            watch.start()
            code = int(launcher.stdout.readline())
            watch.join()
            if disturbances == lost_at:
                if not during:
                    lose_checkpoint(folder, copies, chance)
                command, lost_at = "adopt", None
        else:
            guard = threading.Timer(max(1.0, deadline - time.monotonic()), _kill, (child,))
            guard.start()
            code = int(launcher.stdout.readline())
            guard.cancel()
            if code in (0, 3) and command == wanted_command:
                return code
            if code in (0, 3):
                command = wanted_command
    outcome.problems.append(f"not done after {PATIENCE_SECONDS:.0f} s; the last exit code is {code}")
    return -1 if code is None else code


def disturb(
    child: int, kind: signal.Signals, sandbox: Running, wanted: int, delay: float, outcome: Outcome
) -> None:
    """Send a signal to the child when the sandbox has responded to this many requests, or after six
    seconds."""
    patience = time.monotonic() + 6
    while sum(sandbox.statuses.values()) < wanted and time.monotonic() < patience and _alive(child):
        time.sleep(0.002)
    time.sleep(delay)
    if _alive(child):
        outcome.kills += 1
        _kill(child, kind)


def _alive(child: int) -> bool:
    try:
        os.kill(child, 0)
    except ProcessLookupError:
        return False
    return True


def _kill(child: int, kind: signal.Signals = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, kind)


def compare(
    sandbox: Running, export: Export, foreign: set[int], api: str, kind: str, folder: Path
) -> Iterator[str]:
    """Every difference between Dixa and the export."""
    report = json.loads((folder / "chaos.report" / "report.json").read_text())
    if not report["balanced"]:
        yield "not all records are accounted for"
    if report["exit_code"] == 0 and report["tickets"]["left"]:
        yield "the run reports that it is done, but tickets are left"
    users = {row["id"]: row["email"] for row in sandbox.store.all("SELECT * FROM users")}
    doubled = [email for email, n in Counter(users.values()).items() if n > 1]
    if doubled:
        yield f"duplicate people: {doubled}"
    with (folder / "chaos.report" / "success.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    success = {row["ticket_id"]: row["dixa_id"] for row in rows}
    partial = {row["ticket_id"] for row in rows if row["state"] == "partial"}
    named = " ".join(double["what"] for double in report["doubles"])
    doubtful = set()
    with (folder / "chaos.report" / "failed.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["state"] == "in_doubt" or "in doubt" in row["reason"]:
                doubtful.add(row["ticket_id"])
    incomplete = partial or doubtful or named or report["unread"] or report["tickets"]["failed"]
    if report["exit_code"] != (3 if incomplete else 0):
        yield f"exit code {report['exit_code']} with {len(partial)} partial tickets"
    ours = {
        row["id"]: row
        for row in sandbox.store.all("SELECT * FROM conversations ORDER BY id")
        if row["id"] not in foreign
    }
    if missing := sorted(set(export.requesters) - set(success) - doubtful):
        yield f"lost conversations: {missing}"
    mapped = Counter(int(csid) for csid in success.values())
    if shared := [csid for csid, n in mapped.items() if n > 1]:
        yield f"one conversation for several tickets: {shared}"
    # A conversation that is in doubt may be there; one that is named as a duplicate is no surprise.
    extra = sorted(csid for csid in set(ours) - set(mapped) if str(csid) not in named)
    if len(extra) > len(doubtful):
        yield f"duplicate conversations: {extra}"
    if strange := sorted(set(mapped) - set(ours)):
        yield f"conversations of other people taken for ours: {strange}"
    for ticket, csid in success.items():
        if int(csid) not in ours or ticket in doubtful:
            continue
        conversation = ours[int(csid)]
        if users[conversation["requester_id"]] != export.requesters[ticket]:
            yield f"{ticket}: wrong requester"
        if api == "integrations":
            yield from _compare_ticket(sandbox, export, ticket, int(csid), kind, users, named)
            continue
        lacks = list(_lacking(sandbox, export, ticket, conversation))
        if bool(lacks) != (ticket in partial):
            yield f"{ticket}: is {'partial' if ticket in partial else 'imported'}, but lacks {lacks}"
        yield from _compare_import(sandbox, export, ticket, conversation, users, named)


def _lacking(sandbox: Running, export: Export, ticket: str, conversation: dict[str, Any]) -> Iterator[str]:
    """The parts of a ticket that the sandbox may refuse and does not have."""
    said = export.messages[ticket]
    csid = conversation["id"]
    public = [s for s in said if s.direction != "internal"]
    files = sum(
        len(row["attachments"]) for row in sandbox.store.all("SELECT * FROM messages WHERE csid = ?", csid)
    )
    if files < sum(s.attachments for s in public):
        yield "attachments"
    notes = sandbox.store.all("SELECT * FROM notes WHERE csid = ?", csid)
    if len(notes) < len(said) - len(public):
        yield "notes"
    if export.assignee[ticket] and not conversation["assignment"]:
        yield "the assignee"


def _compare_import(
    sandbox: Running,
    export: Export,
    ticket: str,
    conversation: dict[str, Any],
    users: dict[str, str],
    named: str,
) -> Iterator[str]:
    csid, said = conversation["id"], export.messages[ticket]
    status, assignee = export.status[ticket], export.assignee[ticket]
    if conversation["state"].lower() != status:
        yield f"{ticket}: is {conversation['state']}, not {status}"
    if bool(conversation["queue_id"]) != (status == "open" and not assignee):
        yield f"{ticket}: its queue is {conversation['queue_id']}"
    if conversation["assignment"] and users[conversation["assignment"]["agentId"]] != assignee:
        yield f"{ticket}: wrong assignee"
    if conversation["tags"] != ["imported"] or list(conversation["attributes"].values()) != [ticket]:
        yield f"{ticket}: tags {conversation['tags']}, attributes {conversation['attributes']}"
    rows = sandbox.store.all("SELECT * FROM messages WHERE csid = ? ORDER BY n", csid)
    held = [
        (
            users[row["author_id"]],
            row["direction"].lower(),
            row["text"].rsplit("\n\n", 1)[-1],
            row["created_at"],
        )
        for row in rows
    ]
    wanted = [(s.author, s.direction, s.text, s.at) for s in said if s.direction != "internal"]
    if held != wanted:
        yield f"{ticket}: messages {held}, not {wanted}"
    notes = [n for n in sandbox.store.all("SELECT * FROM notes WHERE csid = ?", csid) if n["id"] not in named]
    own = Counter((users[n["author_id"]], n["message"].split("\n\n")[0], n["created_at"]) for n in notes)
    right = Counter((s.author, s.text, s.at) for s in said if s.direction == "internal")
    if extra := own - right:
        yield f"{ticket}: duplicate or wrong notes {dict(extra)}"


def _compare_ticket(
    sandbox: Running,
    export: Export,
    ticket: str,
    csid: int,
    kind: str,
    users: dict[str, str],
    named: str,
) -> Iterator[str]:
    wanted = [(s.author, s.direction, s.text, s.attachments) for s in export.messages[ticket]]
    rows = sandbox.store.all("SELECT * FROM messages WHERE csid = ? ORDER BY n", csid)
    held = [
        (
            users[row["author_id"]],
            row["direction"],
            row["text"].rsplit("\n\n", 1)[-1],
            len(row["attachments"]),
        )
        for row in rows
        if row["id"] not in named
    ]
    first = export.messages[ticket][0]
    carried = first.direction == "inbound" and not first.attachments
    if kind == "contact_form" and not carried:
        held = held[1:]
    if held == wanted:
        return
    lost, doubled = Counter(wanted) - Counter(held), Counter(held) - Counter(wanted)
    if lost:
        yield f"{ticket}: lost messages: {list(lost)}"
    if doubled:
        yield f"{ticket}: duplicate messages: {list(doubled)}"
    if not lost and not doubled:
        yield f"{ticket}: out of order"


def judged(launcher: subprocess.Popen[str], folder: Path, code: int) -> Iterator[str]:
    """What `verify` says of a run in which nothing is wrong. It must find nothing, unless the run named
    something."""
    assert launcher.stdin
    assert launcher.stdout
    report = json.loads((folder / "chaos.report" / "report.json").read_text())
    named = report["doubles"] or report["partial"] or report["tickets"]["in_doubt"]
    order = {
        "arguments": ["verify", str(folder / "chaos.toml")],
        "environment": {"DIXA_API_TOKEN": TOKEN},
        "output": str(folder / "verify-output"),
    }
    launcher.stdin.write(json.dumps(order) + "\n")
    launcher.stdin.flush()
    launcher.stdout.readline()
    said = int(launcher.stdout.readline())
    if said not in ((0, 3, 10) if named else (code,)):
        rows = (folder / "chaos.report" / "verify.csv").read_text()
        yield f"verify ends with {said} after a run that ended with {code}: {rows[:800]}"


def trial(seed: int, *, api: str, late: bool, keep: bool, shown: bool = False, lose: bool = False) -> Outcome:
    """One seed, from export to comparison."""
    began = time.monotonic()
    chance, outcome = random.Random(seed), Outcome(seed, [])
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
        if not keep:
            stack.callback(shutil.rmtree, folder)
        export = make_export(folder, chance)
        kind = chance.choice(list(KINDS[api]))
        faults = make_faults(chance, seed, api, late, shown)
        settings = Settings(api=api, rate=0, agents=AGENTS, faults=faults)
        with launching() as launcher, running(settings) as sandbox:
            head = chance.choice(["", 'head = "[{created_at}, {author}]"']) if api == "integrations" else ""
            text = MIGRATION.format(
                api=api,
                url=sandbox.url,
                kind=kind,
                conversation="\n".join([KINDS[api][kind], head]),
                timeout=TIMEOUT,
                grace=GRACE,
                latest=LATEST,
                workers=chance.choice([1, 4, 16]),
            )
            (folder / "chaos.toml").write_text(text)
            live = People(sandbox, export, seed, api)
            live.start()
            code = run_until_done(launcher, folder, sandbox, chance, outcome, lose=lose)
            if code == 3 and api == "dixa" and chance.random() < 0.5:
                code = run_until_done(launcher, folder, sandbox, chance, outcome, "retry")
            live.stop()
            sandbox.wait_for_late_commits()
            if (folder / "chaos.report" / "report.json").exists():
                report = json.loads((folder / "chaos.report" / "report.json").read_text())
                outcome.doubts = report["tickets"]["in_doubt"]
                outcome.named = len(report.get("doubles", ()))
                with (folder / "chaos.report" / "failed.csv").open(newline="") as file:
                    outcome.reasons = [row["reason"] for row in csv.DictReader(file)]
            if code not in (0, 3):
                outcome.problems.append(f"the last exit code is {code}")
            else:
                outcome.problems += compare(sandbox, export, live.made, api, kind, folder)
                if not outcome.problems:
                    outcome.problems += judged(launcher, folder, code)
            outcome.posts = sandbox.store.count("conversations") + sandbox.store.count("messages")
            outcome.struck = sum(n for status, n in sandbox.statuses.items() if status >= 429)
        if outcome.problems and keep:
            outcome.problems.append(f"see {folder}")
        elif outcome.problems:
            outcome.problems.append((folder / "output").read_text()[-1500:])
    outcome.seconds = time.monotonic() - began
    return outcome


def _trial(arguments: tuple[int, str, bool, bool, bool, bool]) -> Outcome:
    seed, api, late, keep, shown, lose = arguments
    try:
        return trial(seed, api=api, late=late, keep=keep, shown=shown, lose=lose)
    except Exception as error:
        return Outcome(seed, [f"the trial itself failed: {type(error).__name__}: {error}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0:500", help="one seed, or FIRST:END")
    parser.add_argument("--jobs", type=int, default=12, help="seeds at a time; most of the time they wait")
    parser.add_argument("--api", choices=list(KINDS), default="dixa")
    parser.add_argument("--late", action="store_true", help="add commits after the client has given up")
    parser.add_argument(
        "--shown", action="store_true", help="texts are shown otherwise, and lists are behind"
    )
    parser.add_argument("--lose", action="store_true", help="lose the checkpoint once, and call adopt")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a seed that fails")
    options = parser.parse_args()
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    began = time.monotonic()
    done: list[Outcome] = []
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        more = (options.api, options.late, options.keep, options.shown, options.lose)
        orders = [(seed, *more) for seed in seeds]
        for outcome in pool.imap_unordered(_trial, orders):
            done.append(outcome)
            for reason in outcome.reasons:
                print(f"seed {outcome.seed}: not imported: {reason[:150]}", flush=True)
            for problem in outcome.problems:
                print(f"seed {outcome.seed}: {problem}", flush=True)
            if len(done) % 25 == 0:
                print(f"{len(done)} of {len(orders)} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    bad = [outcome for outcome in done if outcome.problems]
    print(
        f"{len(done)} schedules: {sum(o.runs for o in done)} runs, {sum(o.kills for o in done)} signals, "
        f"{sum(o.posts for o in done)} things created, {sum(o.struck for o in done)} requests struck; "
        f"{sum(o.doubts for o in done)} tickets in doubt, {sum(o.named for o in done)} duplicates named; "
        f"{len(bad)} with a problem"
    )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
