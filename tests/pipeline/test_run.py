"""What stands in Dixa after an import into Dixa API v1: times, parts that were refused, agents, grown tickets."""

import csv
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from importer.errors import CheckpointError, Unauthorized
from importer.migration.file import load_migration
from importer.model import State
from importer.pipeline import run as pipeline
from importer.pipeline.forecast import forecast
from importer.pipeline.values import Limits
from importer.push.context import PushOptions
from importer.relate import agents_csv as agents
from importer.sandbox.contract import Call, Refusal
from importer.sandbox.dixa import DixaSandbox
from importer.sandbox.faults import Fault
from importer.sandbox.server import Running

HEADER = "message_id,ticket_id,author_email,direction,text,created_at\n"
TICKETS = "ticket_id,requester_email,created_at,status\nA,ann@b.example,2024-01-01,closed\n"
AGENT = "migration@nordlys.example"


def again(path: Path) -> PushOptions:
    return pipeline.options(load_migration(path).target, again=True)


def instants(sandbox: Running) -> dict[str, datetime]:
    """When each message and note stands in Dixa, by its text."""
    said = sandbox.store.all("SELECT text, created_at FROM messages")
    said += sandbox.store.all("SELECT message AS text, created_at FROM notes")
    return {row["text"]: datetime.fromisoformat(row["created_at"].removesuffix("[GMT]")) for row in said}


def test_each_message_stands_at_the_instant_of_the_export(run, migration, serving) -> None:
    """Over both DST changes of a zone, in zones given in the file and in the migration."""
    wanted = {
        "2024-03-31 01:59:59": datetime(2024, 3, 31, 0, 59, 59, tzinfo=UTC),
        "2024-03-31 03:00:00": datetime(2024, 3, 31, 1, 0, tzinfo=UTC),
        "2024-10-27 01:59:59": datetime(2024, 10, 26, 23, 59, 59, tzinfo=UTC),
        "2024-10-27 02:30:00": datetime(2024, 10, 27, 0, 30, tzinfo=UTC),  # twice; the earlier one
        "2024-10-27 03:00:00": datetime(2024, 10, 27, 2, 0, tzinfo=UTC),
        "2024-10-27T02:30:00+01:00": datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
        "2024-07-01T12:00:00.123456Z": datetime(2024, 7, 1, 12, 0, 0, 123456, tzinfo=UTC),
        "2024-07-01 12:00:00 -0330": datetime(2024, 7, 1, 15, 30, tzinfo=UTC),
        "2024-01-01T00:00:00+14:00": datetime(2023, 12, 31, 10, 0, tzinfo=UTC),
        "1999-12-31": datetime(1999, 12, 30, 23, 0, tzinfo=UTC),
    }
    rows = [
        f"m{n},A,{AGENT},{'internal' if n % 3 == 2 else 'outbound'},{at},{at}" for n, at in enumerate(wanted)
    ]
    path = migration(
        tickets=TICKETS, messages=HEADER + "\n".join(rows), timezone="Europe/Copenhagen", into="email"
    )
    with serving(api="dixa") as sandbox:
        assert run(path, sandbox).books.clean
        assert instants(sandbox) == wanted
        row = sandbox.store.one("SELECT created_at FROM conversations")
        assert row
        assert row["created_at"] == "1999-12-30T23:00:00.000Z[GMT]"


def test_parquets_own_types_of_time_are_the_same_instants(run, migration, serving, tmp_path: Path) -> None:
    summer, winter = (datetime.fromisoformat(text) for text in ("2024-07-01T12:00:00.25", "2024-12-01T12:00"))
    columns: dict[str, pl.Series] = {
        "ms": pl.Series([summer, winter], dtype=pl.Datetime("ms")),
        "us": pl.Series([summer, winter], dtype=pl.Datetime("us")),
        "ns": pl.Series([summer, winter], dtype=pl.Datetime("ns")),
        "utc": pl.Series([summer, winter], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
        "zone": pl.Series([summer, winter], dtype=pl.Datetime("us")).dt.replace_time_zone("America/New_York"),
        "text": pl.Series([f"{summer.isoformat()}Z", f"{winter.isoformat()}+02:00"]),
    }
    wanted: dict[str, datetime] = {}
    files = []
    for name, times in columns.items():
        ids = [f"{name}-{n}" for n in range(2)]
        frame = pl.DataFrame(
            {"message_id": ids, "ticket_id": "A", "direction": "inbound", "text": ids, "created_at": times}
        )
        frame.write_parquet(tmp_path / f"{name}.parquet")
        files.append(f"{name}.parquet")
        zone: Any = {"utc": UTC, "zone": ZoneInfo("America/New_York")}.get(
            name, ZoneInfo("Europe/Copenhagen")
        )
        zones = (UTC, timezone(timedelta(hours=2))) if name == "text" else (zone, zone)
        wanted |= {i: at.replace(tzinfo=z) for i, at, z in zip(ids, (summer, winter), zones, strict=True)}
    for name in columns:
        source = f'messages.files = ["{name}.parquet"]'
        path = migration(
            tickets=TICKETS, source=source, timezone="Europe/Copenhagen", into="genericapimessaging"
        )
        path.write_text(path.read_text("utf-8").replace('"minimal"', f'"{name}"'), "utf-8")
        with serving(api="dixa") as sandbox:
            assert run(path, sandbox).books.clean
            held = {text.rsplit("\n\n", 1)[-1]: at for text, at in instants(sandbox).items()}
            assert held == {i: at for i, at in wanted.items() if i.startswith(f"{name}-")}


def test_a_ticket_without_any_time_is_rejected_and_says_so(prepare, migration) -> None:
    path = migration(
        tickets="ticket_id,requester_email\nA,ann@b.example\nB,bo@b.example\n",
        messages="message_id,ticket_id,direction,text,created_at\na1,A,inbound,one,\nb1,B,inbound,one,2024-01-01\n",
        into="email",
    )
    ready = prepare(path)
    fates = ready.related.fates["messages"].collect()
    assert fates.select("_record", "rule").rows() == [(0, "created_at.required")]
    assert [job.ticket_id for job in ready.parts.jobs()] == ["B"]
    assert ready.books.balanced


MESSAGES = HEADER + (
    "a1,A,ann@b.example,inbound,one,2024-02-01\n"
    f"a2,A,{AGENT},internal,note one,2024-02-02\n"
    f"a3,A,{AGENT},internal,note two,2024-02-03\n"
)


def listed(path: Path, name: str) -> list[dict[str, str]]:
    with (path.parent / "minimal.report" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_refused_note_makes_the_ticket_partial_and_retry_brings_it(
    dixa_import, run, migration, serving
) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into="email")
    with serving(api="dixa", script={3: Fault.PARTIAL}) as sandbox:
        done = dixa_import("run", path, "--base-url", sandbox.url, "--rate", 500)
        assert done.code == 3, done.err
        assert "success.csv says what tickets in Dixa lack." in done.out
        [row] = listed(path, "success.csv")
        assert (row["state"], row["messages"]) == ("partial", "2")
        assert row["reason"] == "message a3: The note could not be stored."
        value = json.loads((path.parent / "minimal.report" / "report.json").read_text())
        assert (value["balanced"], value["tickets"]["partial"], value["messages"]["rejected"]) == (True, 1, 1)
        # A plain run leaves it where it is, and says so again.
        done = dixa_import("run", path, "--base-url", sandbox.url, "--rate", 500)
        assert (done.code, sandbox.store.count("notes")) == (3, 1)
        done = dixa_import("retry", path, "--base-url", sandbox.url, "--rate", 500)
        assert (done.code, sandbox.store.count("notes")) == (0, 2), done.err
        assert dixa_import("status", path).code == 0
        assert sandbox.store.count("conversations") == 1


def test_an_attachment_that_dixa_cannot_fetch_is_named_and_everything_else_is_there(
    dixa_import, migration, serving
) -> None:
    messages = (
        "message_id,ticket_id,direction,text,created_at,attachments\n"
        "a1,A,inbound,one,2024-02-01,http://127.0.0.1:9/gone.pdf https://files.example/there.pdf\n"
    )
    path = migration(tickets=TICKETS, messages=messages, into="email")
    with serving(api="dixa") as sandbox:
        for _ in range(2):
            done = dixa_import("--json", "run", path, "--base-url", sandbox.url, "--rate", 500)
            assert done.code == 3, done.err
            value = json.loads(done.out)
            assert value["balanced"]
            assert (value["partial"], value["attachments"]["rejected"]) == (1, 1)
            assert value["messages"]["rejected"] == 0
            [row] = listed(path, "success.csv")
            assert "http://127.0.0.1:9/gone.pdf" in row["reason"]
        assert json.loads(dixa_import("--json", "status", path).out)["attachments"]["rejected"] == 1
        assert sandbox.store.count("conversations") == 1


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.ERROR_AFTER])
def test_what_a_lost_answer_would_have_refused_is_read_back(run, migration, serving, fault: Fault) -> None:
    messages = (
        "message_id,ticket_id,direction,text,created_at,attachments\n"
        "a1,A,inbound,one,2024-02-01,http://127.0.0.1:9/gone.pdf\na2,A,inbound,two,2024-02-02,\n"
    )
    with serving(api="dixa", script={2: fault}) as sandbox:
        ran = run(migration(tickets=TICKETS, messages=messages, into="email"), sandbox)
        assert sandbox.store.count("conversations") == 1
    assert ran.partial == 1
    assert ran.books["attachments"].places[State.REJECTED] == 1
    assert ran.books.balanced


def test_notes_of_which_only_some_arrived_are_completed(run, migration, serving, monkeypatch) -> None:
    """The answer is lost, and one of the two notes is there."""
    path = migration(tickets=TICKETS, messages=MESSAGES, into="email")
    with serving(api="dixa", script={3: Fault.CUT_BEFORE}) as sandbox:
        notes = sandbox.store
        agent = notes.one("SELECT id FROM users WHERE email = ?", AGENT)
        assert agent
        insert = type(notes).insert

        def insert_one_note_with_the_conversation(self: Any, table: str, **values: Any) -> Any:
            row = insert(self, table, **values)
            if table == "conversations":
                insert(
                    self,
                    "notes",
                    csid=row["id"],
                    author_id=agent["id"],
                    message="note two",
                    created_at="2024-02-03T00:00:00.000Z",
                )
            return row

        monkeypatch.setattr(type(notes), "insert", insert_one_note_with_the_conversation)
        ran = run(path, sandbox)
        texts = sorted(row["message"] for row in notes.all("SELECT message FROM notes"))
        assert texts == ["note one", "note two"]
    assert ran.books.clean
    assert not ran.doubles


def test_a_late_import_is_reported_as_the_double_it_is(run, migration, serving) -> None:
    rows = "".join(f"n{n},A,{AGENT},internal,note {n},2024-02-02\n" for n in range(300))
    path = migration(tickets=TICKETS, messages=MESSAGES + rows, into="email")
    with serving(api="dixa", script={2: Fault.LATE}, late_seconds=0.8) as sandbox:
        ran = run(path, sandbox, target__rate=8.0, target__burst=2)
        assert sandbox.store.count("conversations") == 2
        assert sandbox.store.count("notes") == 302
    assert [what for _, what in ran.doubles] == ["conversation 4712 is a duplicate of 4711"]


@pytest.mark.parametrize("policy", ["list", "note"])
def test_a_grown_ticket_gets_its_new_notes_and_lists_its_new_messages(
    run, migration, prepare, serving, policy: str
) -> None:
    into = f'[target]\napi = "dixa"\n[conversation]\nkind = "genericapimessaging"\ngrown = "{policy}"'
    with serving(api="dixa") as sandbox:
        assert run(migration(tickets=TICKETS, messages=MESSAGES, into=into), sandbox).books.clean
        grown = (
            MESSAGES
            + f"a4,A,ann@b.example,inbound,more,2024-02-04\na5,A,{AGENT},internal,new note,2024-02-05\n"
        )
        path = migration(tickets=TICKETS, messages=grown, into=into)
        results: list[Any] = []
        planned = forecast(prepare(path))
        assert (planned.messages, planned.held_back) == ((2, 0) if policy == "note" else (1, 1))
        ran = run(path, sandbox, ended=results.append)
        notes = {row["message"]: row["created_at"] for row in sandbox.store.all("SELECT * FROM notes")}
        assert notes.pop("new note").startswith("2024-02-05T00:00:00")
        assert sandbox.store.count("messages") == 1
        if policy == "note":
            assert notes["[ann@b.example, inbound]\n\nmore"].startswith("2024-02-04T00:00:00")
            assert (ran.books.clean, ran.partial) == (True, 0)
        else:
            assert ran.books["messages"].places[State.REJECTED] == 1
            assert (results[0].state, ran.partial) == (State.PARTIAL, 1)
            assert "message a4: it came to the ticket after its import" in results[0].reason
        assert ran.books.balanced
        sent = sandbox.store.count("notes")
        assert run(path, sandbox).books.balanced
        assert sandbox.store.count("notes") == sent


def test_unknown_agents_are_filled_in_by_hand_and_read_back(dixa_import, migration, serving) -> None:
    messages = (
        "message_id,ticket_id,author_email,author_name,author_role,direction,text,created_at\n"
        "a1,A,ann@b.example,,,inbound,one,2024-02-01\n"
        "a2,A,lene.hansen@old.example,Lene Hansen,agent,outbound,two,2024-02-02\n"
        "a3,A,lene.hansen@old.example,Lene Hansen,agent,outbound,three,2024-02-04\n"
        "a4,A,,Night Bot,agent,internal,four,2024-02-03\n"
    )
    path = migration(tickets=TICKETS, messages=messages, into="email")
    path.write_text(path.read_text("utf-8").split("[people]")[0], "utf-8")
    with serving(api="dixa", agents=("lene@new.example", "hansen@new.example")) as sandbox:
        sandbox.store._db.execute("UPDATE users SET name = 'Lene Hansen' WHERE email = 'lene@new.example'")
        options = ("--base-url", sandbox.url, "--rate", 500)
        # The bot has no address, so the ticket stays before anything is asked.
        assert dixa_import("run", path, *options).code == 3
        file = path.parent / "minimal.agents.csv"
        assert dixa_import("validate", path).code == 6
        with file.open(newline="") as stream:
            assert [row["person"] for row in csv.DictReader(stream)] == ["Night Bot"]
        file.write_text("person,agent\nNight Bot,hansen@new.example\n")
        assert dixa_import("run", path, *options).code == 3
        with file.open(newline="") as stream:
            [lene, bot] = csv.DictReader(stream)
        assert lene == {
            "person": "lene.hansen@old.example", "name": "Lene Hansen", "messages": "2", "first": "2024-02-02",
            "last": "2024-02-04", "suggestion": "lene@new.example", "agent": "",
        }  # fmt: skip
        assert (bot["person"], bot["agent"]) == ("night bot", "hansen@new.example")
        assert sandbox.store.count("conversations") == 0
        file.write_text(
            file.read_text().replace("lene@new.example,\n", "lene@new.example,lene@new.example\n")
        )
        done = dixa_import("run", path, *options)
        assert done.code == 0, done.out + done.err
        said = sandbox.store.all("SELECT u.email, m.text FROM messages m JOIN users u ON u.id = m.author_id")
        said += sandbox.store.all(
            "SELECT u.email, n.message AS text FROM notes n JOIN users u ON u.id = n.author_id"
        )
        assert {(row["email"], row["text"]) for row in said} == {
            ("ann@b.example", "one"), ("lene@new.example", "two"), ("lene@new.example", "three"),
            ("hansen@new.example", "four"),
        }  # fmt: skip


def test_people_are_made_together_with_what_the_export_knows_of_them(run, migration, serving) -> None:
    people = "person_id,email,name,phone\n1,ann@b.example,Ann,+4520304050\n2,,Bo,+4520304051\n3,,Cy,\n4,,,\n"
    tickets = "ticket_id,requester_id,created_at\n" + "".join(f"T{n},{n},2024-01-01\n" for n in range(1, 5))
    messages = HEADER + "".join(f"m{n},T{n},,inbound,text {n},2024-01-01\n" for n in range(1, 5))
    with serving(api="dixa") as sandbox:
        ran = run(migration(people=people, tickets=tickets, messages=messages, into="email"), sandbox)
        users = sandbox.store.all("SELECT * FROM users WHERE roles = '[]' ORDER BY external_id")
        assert [(u["email"], u["phone_number"], u["name"], u["external_id"]) for u in users] == [
            ("ann@b.example", "+4520304050", "Ann", "minimal:1"),
            (None, "+4520304051", "Bo", "minimal:2"),
            (None, None, "Cy", "minimal:3"),
        ]
    # Nobody knows anything of the fourth.
    assert ran.books["tickets"].places[State.REJECTED] == 1
    assert ran.books.balanced
    assert ran.books["people"].places[State.IMPORTED] == 3


def test_one_note_that_dixa_does_not_want_keeps_no_other_out(run, migration, serving, monkeypatch) -> None:
    create = DixaSandbox.create_notes

    def refuse(self: DixaSandbox, call: Call) -> Any:
        bad = any("note 3" in note["message"] for note in call.body["data"])
        return Refusal(400, "invalid") if bad else create(self, call)

    monkeypatch.setattr(DixaSandbox, "create_notes", refuse)
    rows = "".join(f"n{n},A,{AGENT},internal,note {n},2024-02-02\n" for n in range(6))
    path = migration(tickets=TICKETS, messages=HEADER + rows, into="email")
    with serving(api="dixa") as sandbox:
        ran = run(path, sandbox)
        assert sandbox.store.count("notes") == 5
        assert ran.books["messages"].places[State.REJECTED] == 1
        assert run(path, sandbox).books["messages"].places[State.REJECTED] == 1
    assert ran.partial == 1


def test_what_had_no_room_is_sent_although_there_is_room_now(run, migration, serving) -> None:
    into = '[target]\napi = "dixa"\n[conversation]\nkind = "genericapimessaging"\nmax_bytes = {}'
    rows = "".join(f"m{n},A,ann@b.example,inbound,{'x' * 4000}{n},2024-02-0{n + 1}\n" for n in range(5))
    with serving(api="dixa", script={3: Fault.ERROR_BEFORE}) as sandbox:
        path = migration(tickets=TICKETS, messages=HEADER + rows, into=into.format(10_000))
        run(path, sandbox, target__attempts=1, target__grace=0.02)
        assert 0 < sandbox.store.count("messages") < 5
        path = migration(tickets=TICKETS, messages=HEADER + rows, into=into.format(1_000_000))
        ran = run(path, sandbox)
        assert sandbox.store.count("messages") + sandbox.store.count("notes") == 5
    assert (ran.books.clean, ran.partial) == (True, 0)


def test_a_change_of_the_ticket_is_listed_and_nothing_is_set(run, migration, serving) -> None:
    opened = TICKETS.replace("closed", "open").replace("status", "status,assignee_email")
    with serving(api="dixa") as sandbox:
        path = migration(tickets=opened.replace("open\n", f"open,{AGENT}\n"), messages=MESSAGES, into="email")
        assert run(path, sandbox).books.clean
        conversation = sandbox.store.one("SELECT state, assignment, queue_id FROM conversations")
        for changed in (opened.replace("open\n", "open,\n"), opened.replace("open\n", "closed,\n")):
            ran = run(migration(tickets=changed, messages=MESSAGES, into="email"), sandbox)
            assert ran.changed == [("A", "ticket")]
            assert sandbox.store.one("SELECT state, assignment, queue_id FROM conversations") == conversation


def test_another_organization_is_refused(run, migration, serving, monkeypatch) -> None:
    mine = {"id": "mine", "name": "Rehearsal"}
    monkeypatch.setattr(DixaSandbox, "get_organization", lambda self, call: (200, {"data": mine}))
    path = migration(tickets=TICKETS, messages=MESSAGES, into="email")
    with serving(api="dixa") as sandbox:
        assert run(path, sandbox).books.clean
        mine["id"] = "other"
        more = TICKETS + "B,bo@b.example,2024-01-01,closed\n"
        said = MESSAGES + "b1,B,bo@b.example,inbound,one,2024-02-01\n"
        ran = run(migration(tickets=more, messages=said, into="email"), sandbox)
        assert isinstance(ran.failure, CheckpointError)
        assert sandbox.store.count("conversations") == 1


def test_a_limit_makes_nobody_whose_ticket_does_not_go(run, migration, serving) -> None:
    tickets = "ticket_id,requester_email,created_at\n" + "".join(
        f"T{n},p{n}@b.example,2024-01-01\n" for n in range(9)
    )
    messages = HEADER + "".join(f"m{n},T{n},,inbound,text {n},2024-01-01\n" for n in range(9))
    with serving(api="dixa") as sandbox:
        path = migration(tickets=tickets, messages=messages, into="email")
        run(path, sandbox, limits=Limits(tickets=0))
        assert sandbox.store.count("users") == 1
        run(path, sandbox, limits=Limits(tickets=2), target__workers=1)
        assert (sandbox.store.count("users"), sandbox.store.count("conversations")) == (3, 2)


def test_notes_not_tried_yet_are_not_remembered_as_refused(run, migration, serving, monkeypatch) -> None:
    """The token expires right after a bulk of notes was refused, before its halves are sent."""
    create, expired = DixaSandbox.create_notes, []

    def refuse(self: DixaSandbox, call: Call) -> Any:
        if len(call.body["data"]) == 6:
            return Refusal(400, "invalid")
        if not expired:
            expired.append(True)
            return Refusal(401, "The token is missing or wrong.")
        return create(self, call)

    monkeypatch.setattr(DixaSandbox, "create_notes", refuse)
    rows = "".join(f"n{n},A,{AGENT},internal,note {n},2024-02-02\n" for n in range(6))
    path = migration(tickets=TICKETS, messages=HEADER + rows, into="email")
    with serving(api="dixa") as sandbox:
        assert isinstance(run(path, sandbox).failure, Unauthorized)
        monkeypatch.setattr(DixaSandbox, "create_notes", create)
        ran = run(path, sandbox)
        assert (ran.books.clean, sandbox.store.count("notes")) == (True, 6)


def test_an_agent_filled_in_by_name_is_no_address(dixa_import, migration) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into="email")
    path.with_name("minimal.agents.csv").write_text("person,agent\n,\nGone,Lene Hansen\n")
    done = dixa_import("plan", path)
    assert done.code == 2
    assert "minimal.agents.csv:3: agent: 'Lene Hansen' is not an e-mail address" in done.err


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_agents_are_read_in_the_encoding_of_a_spreadsheet(migration, encoding: str) -> None:
    people = migration(tickets=TICKETS).with_name("minimal.agents.csv")
    people.write_text("person;name;agent\nSøren Østergård;Søren Østergård;soren@b.example\n", encoding)
    assert agents.read(people) == {"søren østergård": "soren@b.example"}


def test_an_attribute_of_a_column_that_no_file_has_is_refused(dixa_import, samples) -> None:
    path = samples / "helpdesk.toml"
    path.write_text(path.read_text("utf-8").replace('"ticket_id" }', '"custom.Priorty" }'), "utf-8")
    done = dixa_import("plan", path)
    assert done.code == 2
    assert "1 column(s) are in no file of tickets: custom.Priorty; known: custom.Priority" in done.err
