"""What both APIs must do with the same files, and what the program reports about their differences."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from importer.checkpoint.queries import memories
from importer.dixa import APIS
from importer.errors import CheckpointError, Unauthorized
from importer.migration.file import load_migration
from importer.model import State, StepKind
from importer.pipeline import run as pipeline
from importer.pipeline.forecast import forecast
from importer.resources import SCHEMAS
from importer.sandbox import contract
from importer.sandbox.dixa import DixaSandbox
from importer.sandbox.faults import Fault
from importer.sandbox.integrations import IntegrationsSandbox
from importer.sandbox.server import Running

TICKETS = (
    "ticket_id,requester_email,created_at,status\n"
    "A,ann@b.example,2024-01-01,closed\nB,ann@b.example,2024-01-01,open\nC,cy@b.example,2024-01-03,closed\n"
)
MESSAGES = (
    "message_id,ticket_id,author_email,direction,text,created_at\n"
    "a1,A,ann@b.example,inbound,one,2024-02-01\n"
    "a2,A,migration@nordlys.example,outbound,two,2024-02-02\n"
    "a3,A,migration@nordlys.example,internal,a note,2024-02-03\n"
    "a4,A,migration@nordlys.example,internal,a note,2024-02-03\n"
    "b1,B,ann@b.example,inbound,one,2024-02-01\n"
    "c1,C,cy@b.example,inbound,three,2024-02-01\n"
)
WHOLE = {"A": ["one", "two", "a note", "a note"], "B": ["one"], "C": ["three"]}


def api_of(into: str) -> str:
    return "integrations" if into in ("callback", "contact_form") else "dixa"


def held(sandbox: Running) -> dict[str, list[str]]:
    """The texts of each conversation in reading order, including notes, by ticket."""
    sandbox.wait_for_late_commits()
    found: dict[str, list[str]] = {}
    for row in sandbox.store.all("SELECT id, external_id FROM conversations ORDER BY id"):
        said = sandbox.store.all("SELECT text, created_at FROM messages WHERE csid = ? ORDER BY n", row["id"])
        notes = sandbox.store.all(
            "SELECT message AS text, created_at FROM notes WHERE csid = ? ORDER BY n", row["id"]
        )
        texts = [r["text"] for r in sorted([*said, *notes], key=lambda r: str(r["created_at"]))]
        ticket = (row["external_id"] or "").removeprefix("minimal:") or texts[0].split(":")[0].removeprefix(
            "[Ticket "
        )
        assert ticket not in found, f"{ticket} is there twice"
        found[ticket] = [text.rsplit("\n\n", 1)[-1] for text in texts]
    return found


def test_everything_arrives_once_and_a_second_run_creates_nothing(run, migration, serving, into: str) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    with serving(api=api_of(into)) as sandbox:
        ran = run(path, sandbox)
        assert ran.failure is None
        assert held(sandbox) == WHOLE
        assert (ran.books.balanced, ran.books.clean, ran.partial) == (True, True, 0)
        assert ran.books["messages"].places[State.IMPORTED] == 6
        again = run(path, sandbox)
        # The only request asks for the organization of the account, if the API has that operation.
        assert again.traffic.sent == (api_of(into) == "dixa")
        assert again.books["tickets"].places[State.ALREADY_THERE] == 3


@pytest.mark.parametrize("into", ["callback", "email"])
@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_on_any_request_loses_and_duplicates_nothing(
    run, migration, serving, into: str, fault: Fault
) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    for number in (1, 2, 4):
        path.with_name("minimal.checkpoint").unlink(missing_ok=True)
        with serving(
            api=api_of(into),
            script={number: fault},
            hang_seconds=0.45,
            late_seconds=0.05,
            retry_after_seconds=0,
        ) as sandbox:
            ran = run(path, sandbox, target__workers=1, target__timeout=0.3)
            if fault is Fault.PARTIAL and ran.partial:
                ran = run(path, sandbox, options=pipeline.options(load_migration(path).target, again=True))
            assert held(sandbox) == WHOLE, number
            emails = [row["email"] for row in sandbox.store.all("SELECT email FROM users")]
            assert len(emails) == len(set(emails)), number
        assert ran.failure is None
        assert (ran.books.balanced, ran.books.clean, ran.partial, ran.doubles) == (True, True, 0, []), number


def test_ten_tickets_of_one_requester_in_doubt_at_once(run, migration, serving, into: str) -> None:
    tickets = "ticket_id,requester_email,created_at\n" + "".join(
        f"T{n},ann@b.example,2024-01-01\n" for n in range(10)
    )
    messages = "message_id,ticket_id,direction,text,created_at\n" + "".join(
        f"m{n},T{n},inbound,only,2024-02-01\n" for n in range(10)
    )
    script = dict.fromkeys(range(2, 40, 3), Fault.CUT_AFTER)
    with serving(api=api_of(into), script=script) as sandbox:
        path = migration(tickets=tickets, messages=messages, into=into)
        ran = run(path, sandbox, target__workers=10, target__grace=0.01)
        assert held(sandbox) == {f"T{n}": ["only"] for n in range(10)}
    assert ran.books.clean


def test_a_token_that_expires_stops_all_workers(run, migration, serving, into: str) -> None:
    tickets = "ticket_id,requester_email,created_at\n" + "".join(
        f"T{n},p{n}@b.example,2024-01-01\n" for n in range(30)
    )
    messages = "message_id,ticket_id,direction,text,created_at\n" + "".join(
        f"m{n},T{n},inbound,only,2024-02-01\n" for n in range(30)
    )
    path = migration(tickets=tickets, messages=messages, into=into)
    after = {"dixa": 55, "integrations": 75}[api_of(into)]
    with serving(api=api_of(into), expires_after=after) as sandbox:
        ran = run(path, sandbox)
        assert isinstance(ran.failure, Unauthorized)
        assert ran.books.balanced
        assert ran.books["tickets"].places[State.FAILED] == 0
        assert 0 < sandbox.store.count("conversations") < 30


def test_a_later_export_brings_new_tickets_and_changes_nothing_else(
    run, migration, serving, into: str
) -> None:
    with serving(api=api_of(into)) as sandbox:
        assert run(migration(tickets=TICKETS, messages=MESSAGES, into=into), sandbox).books.clean
        more = MESSAGES.replace("two", "two (said otherwise)") + "d1,D,,inbound,four,2024-02-05\n"
        path = migration(tickets=TICKETS + "D,dee@b.example,2024-02-05,open\n", messages=more, into=into)
        ran = run(path, sandbox)
        assert held(sandbox) == {**WHOLE, "D": ["four"]}
        assert ran.changed == [("A", "a2")]
        assert ran.books.balanced


def test_a_conversation_that_was_created_late_is_found_by_the_next_run(
    run, migration, serving, into: str
) -> None:
    """Dixa commits the creation after the run has looked for it, and the run gives up before it is sent
    again."""
    one = TICKETS.splitlines()[0] + "\nA,ann@b.example,2024-01-01,closed\n"
    said = "\n".join(MESSAGES.splitlines()[:3]) + "\n"
    path = migration(tickets=one, messages=said, into=into)
    script = {2: Fault.LATE, **dict.fromkeys(range(3, 5), Fault.ERROR_BEFORE)}
    with serving(api=api_of(into), script=script, late_seconds=2.5) as sandbox:
        first = run(path, sandbox, target__attempts=2, target__workers=1, target__grace=0.05)
        assert first.books["tickets"].places[State.IMPORTED] == 0
        assert first.books["tickets"].places[State.REJECTED] == 0
        sandbox.wait_for_late_commits()
        assert sandbox.store.count("conversations") == 1
        again = run(path, sandbox)
        assert held(sandbox) == {"A": ["one", "two"]}
    assert (again.books.clean, again.doubles) == (True, [])


def test_a_person_may_be_an_agent_in_one_ticket_and_a_customer_in_another(
    run, migration, serving, into: str
) -> None:
    tickets = (
        "ticket_id,requester_email,created_at,status\n"
        "A,gone@old.example,2024-01-01,closed\nB,migration@nordlys.example,2024-01-02,closed\n"
    )
    messages = (
        "message_id,ticket_id,author_email,author_role,direction,text,created_at\n"
        "a1,A,gone@old.example,end_user,inbound,my printer,2024-02-01\n"
        "a2,A,gone@old.example,agent,outbound,as an agent,2024-02-02\n"
        "b1,B,migration@nordlys.example,end_user,inbound,my own,2024-02-01\n"
    )
    path = migration(tickets=tickets, messages=messages, into=into)
    with serving(api=api_of(into)) as sandbox:
        ran = run(path, sandbox)
        assert (ran.books.clean, ran.books.balanced) == (True, True)
        assert ran.books["people"].places[State.LEFT] == 0
        rows = sandbox.store.all("SELECT m.text, u.email FROM messages m JOIN users u ON u.id = m.author_id")
        assert {row["text"].rsplit("\n\n", 1)[-1]: row["email"] for row in rows} == {
            "my printer": "gone@old.example",
            "as an agent": "migration@nordlys.example",
            "my own": "migration@nordlys.example",
        }


def test_a_begun_ticket_that_is_missing_in_the_next_export_is_reported(
    dixa_import, run, migration, serving, into: str
) -> None:
    api = api_of(into)
    with serving(api=api, script=dict.fromkeys(range(3, 6), Fault.ERROR_BEFORE)) as sandbox:
        path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
        run(path, sandbox, target__attempts=1, target__workers=1, target__grace=0.02)
        tickets = TICKETS.splitlines()[0] + "\nD,dee@b.example,2024-02-05,open\n"
        messages = MESSAGES.splitlines()[0] + "\nd1,D,,inbound,four,2024-02-05\n"
        done = dixa_import(
            "run",
            migration(tickets=tickets, messages=messages, into=into),
            "--base-url",
            sandbox.url,
            "--rate",
            500,
            "--grace",
            0.05,
        )
    assert done.code == 3, done.out
    assert "that an earlier run began are not in this export" in done.out


def test_mapping_an_agent_does_not_change_the_identity_of_messages(
    run, migration, serving, into: str
) -> None:
    """Mapping the agent later does not make new messages of those without ids."""
    messages = (
        "ticket_id,author_email,author_role,direction,text,created_at\n"
        "A,ann@b.example,end_user,inbound,one,2024-02-01\n"
        "A,lene@old.example,agent,outbound,two,2024-02-02\nA,lene@old.example,agent,internal,three,2024-02-03\n"
    )
    path = migration(tickets=TICKETS, messages=messages, into=into)
    with serving(api=api_of(into)) as sandbox:
        assert run(path, sandbox).books.clean
        before = held(sandbox)
        file = path.with_name("minimal.agents.csv")
        file.write_text("person,agent\nlene@old.example,migration@nordlys.example\n")
        ran = run(path, sandbox)
        assert (ran.books.clean, ran.changed, ran.partial) == (True, [], 0)
        assert held(sandbox) == before


def test_a_refused_conversation_is_tried_again_once_its_content_has_changed(
    run, migration, serving, into: str, monkeypatch
) -> None:
    api = {"integrations": IntegrationsSandbox, "dixa": DixaSandbox}[api_of(into)]
    name = "create_conversation" if api is IntegrationsSandbox else "import_conversation"
    carry_out = getattr(api, name)
    bad = {"yes": True}

    def refuse(self: Any, call: Any) -> Any:
        return contract.Refusal(400, "not like this") if bad else carry_out(self, call)

    monkeypatch.setattr(api, name, refuse)
    one = "ticket_id,requester_email,created_at,subject\nA,ann@b.example,2024-01-01,Old\n"
    said = "message_id,ticket_id,direction,text,created_at\na1,A,inbound,one,2024-02-01\n"
    with serving(api=api_of(into)) as sandbox:
        path = migration(tickets=one, messages=said, into=into)
        assert run(path, sandbox).books["tickets"].places[State.REJECTED] == 1
        bad.clear()
        sent = sum(sandbox.statuses.values())
        again = run(path, sandbox)
        assert again.books["tickets"].places[State.REJECTED] == 1
        assert sum(sandbox.statuses.values()) - sent <= 6
        assert run(
            migration(tickets=one.replace("Old", "New"), messages=said, into=into), sandbox
        ).books.clean
        assert sandbox.store.count("conversations") == 1


def test_every_request_fits_the_description(run, migration, serving, into: str, monkeypatch) -> None:
    """Every request of a run is valid by the description of its API."""
    api = api_of(into)
    operations = {op.name: op for op in contract.load(SCHEMAS / "api" / f"{api}.yaml")}
    read, seen = contract.Operation.read, []

    def remember(self: contract.Operation, *arguments: Any) -> Any:
        call = read(self, *arguments)
        seen.append((self.name, call))
        return call

    monkeypatch.setattr(contract.Operation, "read", remember)
    with serving(api=api) as sandbox:
        assert run(migration(tickets=TICKETS, messages=MESSAGES, into=into), sandbox).books.clean
    assert {name for name, _ in seen} <= set(operations)
    assert [call for _, call in seen if isinstance(call, contract.Refusal)] == []
    assert len(seen) > 6


def test_the_plan_counts_what_a_run_sends(prepare, run, migration, serving, into: str) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    ready, counted = prepare(path), itertools.count()
    planned = forecast(ready, counted=lambda: next(counted))
    assert next(counted) == ready.parts.tickets
    with serving(api=api_of(into)) as sandbox:
        ran = run(path, sandbox)
        target = load_migration(path)
        api = APIS[target.target.api]
        account = len(api.needs(target.conversation_settings())) + 1 + (api.ORGANIZATION is not None)
    assert planned.messages == 6
    assert 0 <= planned.requests + account - ran.traffic.sent <= 1


def test_every_loss_is_a_row_of_the_table_of_differences(prepare, migration, into: str) -> None:
    traits = {trait.aspect: trait for trait in APIS[api_of(into)].TRAITS}
    found = forecast(prepare(migration(tickets=TICKETS, messages=MESSAGES, into=into)))
    assert set(found.losses) <= set(traits)
    assert all(traits[aspect].lost for aspect in found.losses)
    aspects = [{trait.aspect for trait in api.TRAITS if trait.lost is None} for api in APIS.values()]
    assert aspects[0]
    assert aspects[1]


def test_the_checkpoint_of_one_target_is_refused_by_the_other(
    run, migration, serving, tmp_path: Path
) -> None:
    with serving(api="dixa") as sandbox:
        assert run(migration(tickets=TICKETS, messages=MESSAGES, into="email"), sandbox).books.clean
        steps = memories(tmp_path / "minimal.checkpoint", ["A"])["A"].steps
        assert {record.kind for record in steps} >= {StepKind.CONVERSATION, StepKind.NOTES, StepKind.TAGS}
        with pytest.raises(CheckpointError, match="belongs to another target"):
            run(migration(tickets=TICKETS, messages=MESSAGES), sandbox)


def test_the_samples_differ_only_in_target_and_conversation(samples: Path) -> None:
    both = [load_migration(samples / name) for name in ("helpdesk.toml", "helpdesk-integrations.toml")]
    first, second = (m.model_dump(exclude={"name", "target", "conversation"}) for m in both)
    assert json.dumps(first, default=str) == json.dumps(second, default=str)
