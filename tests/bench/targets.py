"""One export into both APIs: how many requests per conversation does it take, and what is in Dixa afterwards?

    python tests/bench/targets.py --tickets 2000

Makes an export (1 to 12 messages per ticket, private notes, attachments, HTML, four states, assignees, agents
whom Dixa does not know). Imports it into a sandbox of each API, with migration files that differ only in
[target] and [conversation]. Compares the contents of the sandboxes with the export.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from importer.sandbox import Settings, running
from importer.sandbox.server import Running

AGENTS = tuple(f"agent-{n}@firm.example" for n in range(8))
SOURCE = """
version = 1
name = "{api}"
[source]
timezone = "Europe/Copenhagen"
tickets.files = "tickets.csv"
messages.files = "messages.csv"
[people]
default_agent = "agent-0@firm.example"
"""
INTO = {
    "dixa": '[conversation]\nkind = "email"\nendpoint = "imported@email.dixa.io"\nqueue = "Imported"\n'
    'tags = ["imported"]\nattributes = { "Old ticket id" = "ticket_id" }\n',
    "integrations": '[conversation]\nkind = "callback"\nendpoint = "+4512345678"\nqueue = "Imported"\n'
    'tags = ["imported"]\n',
}


def export(folder: Path, tickets: int, seed: int) -> tuple[int, int]:
    """Write the export. Returns the numbers of messages and attachments."""
    chance = random.Random(seed)
    messages = files = 0
    with (
        (folder / "tickets.csv").open("w", newline="") as first,
        (folder / "messages.csv").open("w", newline="") as second,
    ):
        heads, said = csv.writer(first), csv.writer(second)
        heads.writerow(
            [
                "ticket_id",
                "requester_email",
                "requester_name",
                "created_at",
                "status",
                "assignee_email",
                "subject",
                "tags",
            ]
        )
        said.writerow(
            [
                "message_id",
                "ticket_id",
                "created_at",
                "author_email",
                "author_role",
                "direction",
                "text",
                "html",
                "attachments",
            ]
        )
        for n in range(tickets):
            customer = f"customer-{chance.randrange(max(1, tickets * 2 // 3))}@home.example"
            at = f"20{chance.randrange(15, 25)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
            status = chance.choice(["closed"] * 7 + ["open", "pending", ""])
            assignee = chance.choice([*AGENTS, "gone@firm.example", ""])
            heads.writerow(
                [
                    n,
                    customer,
                    f"Customer {n}",
                    f"{at} 08:00",
                    status,
                    assignee,
                    f"Subject {n}",
                    "vip" * (n % 9 == 0),
                ]
            )
            for k in range(min(12, 1 + int(chance.expovariate(0.3)))):
                kind = "inbound" if k == 0 else chance.choice(["inbound", "outbound", "outbound", "internal"])
                author = customer if kind == "inbound" else chance.choice([*AGENTS, "gone@firm.example"])
                role = "end_user" if kind == "inbound" else "agent"
                url = f"https://files.example/{n}/{k}.pdf" if chance.random() < 0.1 else ""
                text, html = f"Text {n}.{k} " + "and so on. " * chance.randrange(60), ""
                if chance.random() < 0.3:
                    text, html = "", f"<p>{text}</p>"
                said.writerow([f"{n}-{k}", n, f"{at} 09:{k:02}", author, role, kind, text, html, url])
                messages, files = messages + 1, files + bool(url)
    return messages, files


def imported(folder: Path, api: str, sandbox: Running) -> dict[str, Any]:
    """The JSON report of a run."""
    path = folder / f"{api}.toml"
    target = f'[target]\napi = "{api}"\nbase_url = "{sandbox.url}"\nrate = 2000.0\nburst = 200\n'
    path.write_text(SOURCE.format(api=api) + target + INTO[api], "utf-8")
    environment = {**os.environ, "DIXA_API_TOKEN": "sandbox"}
    done = subprocess.run(
        [sys.executable, "-m", "importer", "--json", "-q", "run", path],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{api}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickets", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        messages, files = export(folder, options.tickets, options.seed)
        print(
            f"{options.tickets} tickets, {messages} messages ({messages / options.tickets:.1f} each), {files} attachments"
        )
        sent = {}
        for api in INTO:
            with running(Settings(api=api, rate=0, agents=AGENTS)) as sandbox:
                value = imported(folder, api, sandbox)
                store = sandbox.store
                held = store.count("messages") + store.count("notes")
                counts = (
                    store.count("conversations"),
                    held,
                    value["balanced"],
                    value["attachments"]["imported"],
                )
            wanted = (options.tickets, messages, True, files)
            if counts != wanted:
                sys.exit(f"{api}: the sandbox has {counts}, not {wanted}")
            sent[api] = value["requests"]["sent"]
            print(
                f"{api:13} {sent[api]:6} requests, {sent[api] / options.tickets:.2f} per conversation, everything once"
            )
        print(f"dixa / integrations: {sent['dixa'] / sent['integrations']:.2f}")


if __name__ == "__main__":
    main()
