"""`verify` as its users start it: clean imports, changes in Dixa, samples, interruptions, --fix."""

import csv
import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from importer.cli.group import dixa_import as group
from importer.cli.session import Session
from importer.errors import RunError
from importer.report.verify_report import upper_bound
from importer.sandbox.server import Running
from importer.sandbox.view import Reword

TICKETS = "ticket_id,requester_email,created_at,status,subject\n" + "".join(
    f"T{n},customer-{n % 3}@b.example,2024-01-0{n},{'closed' if n % 2 else 'open'},Subject {n}\n"
    for n in range(1, 7)
)
MESSAGES = "message_id,ticket_id,direction,text,created_at\n" + "".join(
    f'T{n}-{k},T{n},{way},"ticket {n} says <{k}> & more",2024-02-0{k + 1}\n'
    for n in range(1, 7)
    for k, way in enumerate(("inbound", "internal", "inbound"))
)
FLAGS = ("--rate", 500, "--grace", 0.1, "--latest", 0.3)


def api_of(into: str) -> str:
    return "integrations" if into in ("callback", "contact_form") else "dixa"


class Verifying:
    """The commands in this process, over one migration."""

    def __init__(self, path: Path, sandbox: Running) -> None:
        self.path, self.sandbox = path, sandbox
        self.flags = ("--base-url", sandbox.url, *FLAGS)

    def invoke(self, command: str, *more: Any) -> tuple[int, str]:
        """The exit code, and what was printed."""
        arguments = [command, str(self.path), *map(str, (*self.flags, *more))]
        result = CliRunner(env={"DIXA_API_TOKEN": self.sandbox.token}).invoke(
            group, arguments, obj=Session(), standalone_mode=False
        )
        if isinstance(result.exception, RunError):
            return int(result.exception.exit_code), f"{result.output}{result.exception}"
        if result.exception:
            raise result.exception
        return int(result.return_value), result.stdout

    def run(self, command: str = "run", *more: Any) -> int:
        return self.invoke(command, *more)[0]

    def __call__(self, *more: Any) -> tuple[int, dict[str, Any]]:
        code, out = self.invoke("verify", "--json", *more)
        return code, json.loads(out) if out.startswith("{") else {}

    def rows(self) -> list[dict[str, str]]:
        with self.path.with_name("minimal.report").joinpath("verify.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def verifying(dixa_import, migration, serving):
    def verifying(sandbox: Running, **more: Any) -> Verifying:
        return Verifying(migration(**{"tickets": TICKETS, "messages": MESSAGES, **more}), sandbox)

    return verifying


def test_a_clean_import_is_as_it_was_sent(verifying, serving, into: str) -> None:
    with serving(api=api_of(into)) as sandbox:
        verify = verifying(sandbox, into=into)
        assert verify.run() == 0
        code, value = verify()
    assert code == 0
    assert value["verified"]["same"] == 6
    assert value["differences"] == {}


@pytest.mark.parametrize("how", [(Reword.ENTITIES, Reword.TAGS, Reword.CUT, Reword.UNICODE)])
def test_mark_up_alone_is_told_and_is_no_difference(verifying, serving, into: str, how) -> None:
    with serving(api=api_of(into), reword=frozenset(how)) as sandbox:
        verify = verifying(sandbox, into=into)
        assert verify.run() == 0
        code, value = verify()
        assert code == 0
        assert value["verified"]["only_markup"] == 6
        assert {row["only_markup"] for row in verify.rows()} == {"yes"}
        assert verify("--strict")[0] == 10


def test_deltas_retries_and_live_replies_are_no_differences(verifying, serving, into: str) -> None:
    with serving(api=api_of(into)) as sandbox:
        verify = verifying(sandbox, into=into)
        assert verify.run() == 0
        grown = MESSAGES + "T1-9,T1,internal,late,2024-03-01\n" + "T2-9,T2,inbound,late too,2024-03-01\n"
        changed = grown.replace("ticket 3 says <1>", "ticket 3 said <1>")
        verify = verifying(
            sandbox, into=into, messages=changed, tickets=TICKETS.replace("Subject 4", "Sub 4")
        )
        verify.run()
        verify.run("retry")
        store = sandbox.store
        [first] = store.all("SELECT * FROM messages ORDER BY n LIMIT 1")
        more = {"channel": first["channel"], "attachments": [], "direction": first["direction"]}
        store.insert(
            "messages", csid=first["csid"], author_id=first["author_id"], text="a new reply",
            created_at=first["created_at"].replace("2024", "2030"), **more,
        )  # fmt: skip
        code, value = verify()
    assert value["differences"] == {}, verify.rows()
    assert value["verified"]["added_since"] == 1
    assert code in (0, 3)


def test_what_was_changed_is_named(verifying, serving, into: str) -> None:
    with serving(api=api_of(into)) as sandbox:
        verify = verifying(sandbox, into=into)
        assert verify.run() == 0
        db = sandbox.store._db
        rows = sandbox.store.all("SELECT * FROM messages WHERE text LIKE '%ticket 2 says%0%' LIMIT 1")
        db.execute("UPDATE messages SET text = replace(text, 'says', 'sags') WHERE n = ?", (rows[0]["n"],))
        code, _ = verify()
        assert code == 10
        [row] = verify.rows()
        assert (row["ticket_id"], row["mark"], row["what"], row["column"]) == ("T2", "*", "message", "text")
        assert "says" in row["export"]
        assert "sags" in row["dixa"]
        page = verify.path.with_name("minimal.report").joinpath("verify.html").read_text("utf-8")
        assert "<mark>" in page
        # In the next verification, one ticket is asked for, and then only others.
        assert verify("--only", "T2")[0] == 10
        assert verify("--only", "T1", "--only", "T3")[0] == 0
        assert verify("--only", "nobody")[0] == 2


def test_fix_adds_what_is_missing(verifying, serving) -> None:
    with serving(api="dixa") as sandbox:
        verify = verifying(sandbox, into="email")
        # One after the other, so that what is removed is not what was sent last.
        assert verify.run("run", "--workers", 1) == 0
        sandbox.store._db.execute("DELETE FROM notes WHERE message LIKE '%ticket 2%'")
        sandbox.store._db.execute("UPDATE conversations SET tags = '[]' WHERE subject = 'Subject 5'")
        assert verify()[0] == 10
        code, value = verify("--fix")
        assert code == 10
        assert value["verified"]["to_be_added"] == 2
        assert verify.run() == 0
        assert verify()[0] == 0
        assert sandbox.store.count("notes") == 6
        assert sandbox.store.count("conversations") == 6


def test_a_sample_says_what_it_supports(verifying, serving) -> None:
    with serving(api="dixa") as sandbox:
        verify = verifying(sandbox, into="email")
        verify.run()
        plain, out = verify.invoke("verify", "--sample", 4, "--seed", 3)
        code, value = verify("--sample", 4, "--seed", 3)
    assert (plain, code, value["verified"]["read"]) == (0, 0, 4)
    assert "0 of 4 drawn at random (seed 3) differ: with 95 % confidence fewer than 52.71 % of all do" in out
    assert round(100 * upper_bound(0, 400), 2) == 0.75
    assert upper_bound(4, 4) == 1.0


def test_an_interrupted_verification_goes_on(verifying, serving, dixa_import, tmp_path: Path) -> None:
    with serving(api="dixa", reword=frozenset({Reword.TAGS})) as sandbox:
        verify = verifying(sandbox, into="email")
        verify.run()
        whole = verify()[1]
        proof = tmp_path / "proof.json"
        verify("--proof", proof)
        tickets = json.loads(proof.read_bytes())["tickets"]
        slow = ("--base-url", sandbox.url, "--rate", 8, "--burst", 2, "--workers", 1)
        asked = []
        for _ in range(2):
            process = dixa_import.start("verify", verify.path, *slow)
            before = sum(sandbox.statuses.values())
            while sum(sandbox.statuses.values()) < before + 14 and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            asked.append(sum(sandbox.statuses.values()) - before)
        before = sum(sandbox.statuses.values())
        code, value = verify("--proof", proof)
        asked.append(sum(sandbox.statuses.values()) - before)
        assert code == 0
        assert {**value["verified"]} == {**whole["verified"]}
        assert value["differences"] == whole["differences"]
        assert json.loads(proof.read_bytes())["tickets"] == tickets
        assert asked[-1] < whole["requests"]["sent"]


def test_there_must_be_a_checkpoint(verifying, serving) -> None:
    with serving(api="dixa") as sandbox:
        verify = verifying(sandbox, into="email")
        code, said = verify.invoke("verify")
    assert code == 2
    assert "there is no checkpoint yet" in said
    shutil.rmtree(verify.path.with_name("minimal.report"), ignore_errors=True)


def test_the_proof_of_one_ticket(verifying, serving, dixa_import, tmp_path: Path) -> None:
    with serving(api="integrations") as sandbox:
        verify = verifying(sandbox)
        verify.run()
        verify("--proof", tmp_path / "proof.json")
    shown = dixa_import("proof", tmp_path / "proof.json", "T3")
    assert json.loads(shown.out)["ticket"]["ticket_id"] == "T3"
    text = (tmp_path / "proof.json").read_text("utf-8")
    assert "customer-" not in text
    assert "says" not in text
    assert dixa_import("proof", tmp_path / "proof.json", "T99").code == 2
    assert dixa_import("proof", verify.path, "T3").code == 2


@pytest.mark.parametrize("into", ["email", "callback"])
def test_fix_sends_nothing_again_that_a_list_only_does_not_show_yet(verifying, serving, into: str) -> None:
    with serving(api=api_of(into), lag_seconds=3600.0) as sandbox:
        verify = verifying(sandbox, into=into)
        assert verify.run() == 0
        held = sandbox.store.count("messages"), sandbox.store.count("notes")
        code, value = verify("--fix")
        assert code == 10
        assert value["verified"]["to_be_added"] == 0
        assert value["verified"]["unproved"] > 0
        assert "may be behind" in str(value["next"])
        verify.run()
        assert (sandbox.store.count("messages"), sandbox.store.count("notes")) == held
