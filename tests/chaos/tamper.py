"""Does `verify` name everything that is changed in Dixa, at its place, and nothing else?

    python tests/chaos/tamper.py                 # 300 changes over both APIs
    python tests/chaos/tamper.py --changes 20 --seed 7

An export is imported into a sandbox. Then one thing after the other is changed in the sandbox's store, all kinds
of changes in a seeded order; `dixa-import verify` reads it back, and verify.csv must name the ticket
and what was changed, and no other ticket. Before the next change the store is put back.
"""

import argparse
import csv
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from importer.sandbox import Settings, running
from importer.sandbox.server import Running

AGENTS = ("agent-1@firm.example", "agent-2@firm.example", "agent-3@firm.example")
MIGRATION = """
version = 1
name = "tamper"
[source]
timezone = "UTC"
tickets.files = "tickets.csv"
messages.files = "messages.csv"
[target]
api = "{api}"
base_url = "{url}"
rate = 2000.0
burst = 200
latest = 0.1
grace = 0.1
[conversation]
{conversation}
[people]
default_agent = "agent-3@firm.example"
"""
INTO = {
    "integrations": 'kind = "callback"\nqueue = "Imported"\nendpoint = "+4512345678"',
    "dixa": 'endpoint = "imported@email.dixa.io"\nqueue = "Imported"\ntags = ["imported", "old"]\n'
    'attributes = { "Old ticket id" = "ticket_id" }',
}
TICKETS = 12

Row = dict[str, Any]
# Changes the store; returns the ticket, and words of which verify.csv must have all in one row of it.
Change = Callable[["Bench"], tuple[str, ...] | None]


@dataclass
class Bench:
    """One import, and the draw."""

    sandbox: Running
    api: str
    chance: random.Random
    # Conversation id by ticket id.
    ids: dict[str, int]

    @property
    def db(self) -> sqlite3.Connection:
        return self.sandbox.store._db

    def rows(self, query: str, *values: Any) -> list[Row]:
        return self.sandbox.store.all(query, *values)

    def ticket(self) -> tuple[str, int]:
        return self.chance.choice(sorted(self.ids.items()))

    def message(self, where: str = "1") -> tuple[str, Row] | None:
        """A message of a ticket, with the ticket's id."""
        found = self.rows(f"SELECT * FROM messages WHERE {where}")
        by_id = {csid: ticket for ticket, csid in self.ids.items()}
        own = [row for row in found if row["csid"] in by_id]
        row = self.chance.choice(own) if own else None
        return (by_id[row["csid"]], row) if row else None

    def note(self) -> tuple[str, Row]:
        by_id = {csid: ticket for ticket, csid in self.ids.items()}
        row = self.chance.choice(self.rows("SELECT * FROM notes"))
        return by_id[row["csid"]], row

    def run(self, query: str, *values: Any) -> None:
        self.db.execute(query, values)

    def copy(self, table: str, n_column: str, n: Any, **changed: Any) -> None:
        """A second row like this one."""
        names = [row[1] for row in self.db.execute(f"PRAGMA table_info({table})") if row[1] != "n"]
        values = ", ".join(f"'{changed[n]}'" if n in changed else n for n in names)
        self.run(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {n_column} = ?", n
        )


def message_removed(at: Bench) -> tuple[str, ...] | None:
    ticket, row = at.message() or ("", {})
    at.run("DELETE FROM messages WHERE n = ?", row["n"])
    return ticket, "-", "message"


def message_doubled(at: Bench) -> tuple[str, ...] | None:
    ticket, row = at.message() or ("", {})
    at.copy("messages", "n", row["n"], id=f"copy-{row['n']}")
    return ticket, "+", "message", "twice"


def message_moved(at: Bench) -> tuple[str, ...] | None:
    if at.api == "dixa":
        return None
    ticket, csid = at.ticket()
    rows = at.rows("SELECT * FROM messages WHERE csid = ? ORDER BY n", csid)
    if len(rows) < 3:
        return None
    last = max(row["n"] for row in at.rows("SELECT n FROM messages")) + 1
    at.run(
        "UPDATE messages SET n = ?, created_at = '2099-01-01T00:00:00:000Z' WHERE n = ?", last, rows[0]["n"]
    )
    return ticket, "*", "message", "order"


def one_character(at: Bench) -> tuple[str, ...] | None:
    ticket, row = at.message() or ("", {})
    text = row["text"]
    places = [n for n, character in enumerate(text) if character.isalnum()]
    place = at.chance.choice(places)
    changed = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
    at.run("UPDATE messages SET text = ? WHERE n = ?", changed, row["n"])
    return ticket, "*", "message", "text"


def author(at: Bench) -> tuple[str, ...] | None:
    ticket, row = at.message() or ("", {})
    other = next(
        user for user in at.rows("SELECT * FROM users ORDER BY n DESC") if user["id"] != row["author_id"]
    )
    at.run("UPDATE messages SET author_id = ? WHERE n = ?", other["id"], row["n"])
    return ticket, "*", "message", "author"


def direction(at: Bench) -> tuple[str, ...] | None:
    ticket, row = at.message("direction LIKE 'in%' AND direction NOT LIKE 'int%'") or ("", {})
    at.run(
        "UPDATE messages SET direction = ? WHERE n = ?",
        row["direction"].replace("in", "out", 1).replace("In", "Out", 1),
        row["n"],
    )
    return ticket, "*", "message", "direction"


def instant(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, row = at.message() or ("", {})
    at.run("UPDATE messages SET created_at = '2024-02-01T05:05:05.000Z[GMT]' WHERE n = ?", row["n"])
    return ticket, "*", "message", "created_at"


def lost_file(at: Bench) -> tuple[str, ...] | None:
    ticket, row = at.message("attachments <> '[]'") or ("", {})
    at.run("UPDATE messages SET attachments = '[]' WHERE n = ?", row["n"])
    return ticket, "-", "message", "attachments"


def note_removed(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, row = at.note()
    at.run("DELETE FROM notes WHERE n = ?", row["n"])
    return ticket, "-", "note"


def note_changed(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, row = at.note()
    at.run("UPDATE notes SET message = ? WHERE n = ?", row["message"] + " and more", row["n"])
    return ticket, "*", "note", "text"


def note_doubled(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, row = at.note()
    at.copy("notes", "n", row["n"], id=f"copy-{row['n']}")
    return ticket, "+", "note", "twice"


def lost_tag(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, csid = at.ticket()
    at.run("UPDATE conversations SET tags = '[\"imported\"]' WHERE id = ?", csid)
    return ticket, "-", "conversation", "tag", "old"


def attribute(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, csid = at.ticket()
    at.run("UPDATE conversations SET attributes = '{}' WHERE id = ?", csid)
    return ticket, "*", "conversation", "attribute"


def subject(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, csid = at.ticket()
    at.run("UPDATE conversations SET subject = 'Another matter' WHERE id = ?", csid)
    return ticket, "*", "conversation", "subject"


def state(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, csid = at.ticket()
    at.run("UPDATE conversations SET state = iif(state = 'Open', 'Closed', 'Open') WHERE id = ?", csid)
    return ticket, "*", "conversation", "state"


def queue(at: Bench) -> tuple[str, ...] | None:
    where = "queue_id IS NOT NULL"
    rows = [r for r in at.rows(f"SELECT * FROM conversations WHERE {where}") if r["id"] in at.ids.values()]
    if not rows:
        return None
    row = at.chance.choice(rows)
    at.run("UPDATE conversations SET queue_id = 'another' WHERE id = ?", row["id"])
    return next(t for t, csid in at.ids.items() if csid == row["id"]), "*", "conversation", "queue"


def conversation_time(at: Bench) -> tuple[str, ...] | None:
    if at.api == "integrations":
        return None
    ticket, csid = at.ticket()
    at.run("UPDATE conversations SET created_at = '2024-03-03T03:03:03.000Z[GMT]' WHERE id = ?", csid)
    return ticket, "*", "conversation", "created_at"


def requester(at: Bench) -> tuple[str, ...] | None:
    ticket, csid = at.ticket()
    [now] = at.rows("SELECT requester_id FROM conversations WHERE id = ?", csid)
    other = next(
        user
        for user in at.rows("SELECT * FROM users WHERE email LIKE 'customer%'")
        if user["id"] != now["requester_id"]
    )
    at.run("UPDATE conversations SET requester_id = ? WHERE id = ?", other["id"], csid)
    return ticket, "*", "conversation", "requester"


def conversation_doubled(at: Bench) -> tuple[str, ...] | None:
    ticket, csid = at.ticket()
    at.copy("conversations", "id", csid, id=99_000 + csid)
    for row in at.rows("SELECT * FROM messages WHERE csid = ? ORDER BY n", csid):
        at.copy("messages", "n", row["n"], id=f"twin-{row['n']}", csid=99_000 + csid)
    return ticket, "+", "conversation", "twice"


def conversation_gone(at: Bench) -> tuple[str, ...] | None:
    ticket, csid = at.ticket()
    for table, column in (("messages", "csid"), ("notes", "csid"), ("conversations", "id")):
        at.run(f"DELETE FROM {table} WHERE {column} = ?", csid)
    return ticket, "-", "conversation"


def emptied(at: Bench) -> tuple[str, ...] | None:
    ticket, csid = at.ticket()
    at.run("DELETE FROM messages WHERE csid = ?", csid)
    return ticket, "-", "message"


def merged(at: Bench) -> tuple[str, ...] | None:
    """The requester's address belongs to another user now, and the conversation with it."""
    ticket, csid = at.ticket()
    [now] = at.rows("SELECT requester_id FROM conversations WHERE id = ?", csid)
    [user] = at.rows("SELECT * FROM users WHERE id = ?", now["requester_id"])
    at.run("UPDATE users SET email = 'old@home.example' WHERE id = ?", user["id"])
    at.copy("users", "id", user["id"], id="merged-user", email=user["email"], external_id="m")
    at.run("UPDATE conversations SET requester_id = 'merged-user' WHERE requester_id = ?", user["id"])
    return ticket, "*", "person", "merged"


KINDS: tuple[Change, ...] = (
    message_removed, message_doubled, message_moved, one_character, author, direction, instant, lost_file,
    note_removed, note_changed, note_doubled, lost_tag, attribute, subject, state, queue, conversation_time,
    requester, conversation_doubled, conversation_gone, emptied, merged,
)  # fmt: skip
# These concern the other tickets of the same person too.
SHARED = (merged,)


def export(folder: Path, chance: random.Random) -> None:
    tickets = ["ticket_id,requester_email,created_at,subject,status"]
    messages = ["message_id,ticket_id,created_at,author_email,direction,text,attachments"]
    for n in range(TICKETS):
        customer = f"customer-{n % 5}@home.example"
        tickets.append(
            f"T{n},{customer},2024-01-{1 + n:02}T00:00:00Z,Subject {n},{chance.choice(['open', 'closed'])}"
        )
        for k in range(chance.randint(3, 6)):
            inbound = k == 0 or chance.random() < 0.4
            author = customer if inbound else chance.choice(AGENTS[:2])
            way = "inbound" if inbound else chance.choice(["outbound", "internal"])
            url = f"https://files.example/{n}-{k}.pdf" if k == 0 and n % 3 == 0 else ""
            messages.append(
                f"T{n}-{k},T{n},2024-02-01T00:{k:02}:00Z,{author},{way},This is message {k} of {n}.,{url}"
            )
    # Each ticket has a note.
    messages += [
        f"T{n}-n,T{n},2024-02-01T01:00:00Z,{AGENTS[0]},internal,A note on {n}.," for n in range(TICKETS)
    ]
    (folder / "tickets.csv").write_text("\n".join(tickets))
    (folder / "messages.csv").write_text("\n".join(messages))


@contextmanager
def as_it_was(db: sqlite3.Connection) -> Iterator[None]:
    """Puts the store back afterwards."""
    before = sqlite3.connect(":memory:")
    db.backup(before)
    try:
        yield
    finally:
        before.backup(db)
        before.close()


def dixa_import(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "importer", *arguments],
        env={**os.environ, "DIXA_API_TOKEN": "sandbox"},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return done.returncode, done.stdout + done.stderr


def found(folder: Path) -> list[list[str]]:
    with (folder / "tamper.report" / "verify.csv").open(newline="") as file:
        return [[cell.removeprefix("'") for cell in row] for row in list(csv.reader(file))[1:]]


def problems(bench: Bench, folder: Path, change: Change) -> Iterator[str]:
    """What is wrong with how one change was reported. Nothing if it cannot be made here."""
    expected = change(bench)
    if expected is None:
        return
    name = f"{bench.api} {change.__name__}"  # type: ignore[attr-defined]
    code, said = dixa_import(folder, "verify", "tamper.toml")
    ticket, *words = expected
    if code != 10:
        yield f"{name}: exit {code} for ticket {ticket}: {said[-400:]}"
        return
    rows = found(folder)
    if not any(
        row[0] == ticket and all(word in row or any(word in cell for cell in row) for word in words)
        for row in rows
    ):
        yield f"{name}: not named at its place ({expected}): {rows}"
    others = {row[0] for row in rows} - {ticket}
    if others and change not in SHARED:
        yield f"{name}: other tickets are named: {others}: {rows}"


def trial(api: str, changes: int, seed: int) -> tuple[Counter[str], list[str]]:
    """So many changes of one import."""
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    wrong: list[str] = []
    settings = Settings(api=api, rate=0, agents=AGENTS)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as name, running(settings) as sandbox:
        folder = Path(name)
        export(folder, chance)
        text = MIGRATION.format(api=api, url=sandbox.url, conversation=INTO[api])
        (folder / "tamper.toml").write_text(text)
        code, said = dixa_import(folder, "run", "tamper.toml")
        assert code == 0, said
        with (folder / "tamper.report" / "success.csv").open(newline="") as file:
            ids = {row["ticket_id"]: int(row["dixa_id"]) for row in csv.DictReader(file)}
        bench = Bench(sandbox, api, chance, ids)
        code, said = dixa_import(folder, "verify", "tamper.toml")
        if code != 0:
            wrong.append(f"{api}: a clean import is reported as different: exit {code}: {said[-800:]}")
        waiting: list[Change] = []
        while sum(done.values()) < changes:
            # Each kind before any kind again.
            waiting = waiting or chance.sample(KINDS, len(KINDS))
            change = waiting.pop()
            with as_it_was(bench.db):
                before = len(wrong)
                applied = bench.db.total_changes
                wrong += problems(bench, folder, change)
                if bench.db.total_changes != applied or len(wrong) != before:
                    done[change.__name__] += 1  # type: ignore[attr-defined]
    return done, wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--changes", type=int, default=150, help="for each API")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--api", choices=list(INTO), action="append")
    options = parser.parse_args()
    began = time.monotonic()
    bad = 0
    for api in options.api or INTO:
        done, wrong = trial(api, options.changes, options.seed)
        for line in wrong:
            print(line, flush=True)
        bad += len(wrong)
        print(
            f"{api}: {sum(done.values())} changes of {len(done)} kinds, {len(wrong)} with a problem",
            flush=True,
        )
        print("  " + ", ".join(f"{name} {count}" for name, count in sorted(done.items())), flush=True)
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
