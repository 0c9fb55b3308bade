"""Whatever happens to a request, each message arrives once and in order, or is reported."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from importer.checkpoint.journal import Checkpoint
from importer.errors import QuotaSpent, Unauthorized, Unreachable, Unwritable
from importer.model import State
from importer.pipeline.values import Limits, RunResult
from importer.push.context import PushOptions
from importer.sandbox import Settings, running
from importer.sandbox.contract import Call, Refusal
from importer.sandbox.faults import Fault
from importer.sandbox.integrations import IntegrationsSandbox
from importer.sandbox.server import Running

AGENT = "migration@nordlys.example"
TICKETS = "ticket_id,requester_email,created_at\nA,ann@b.example,2024-01-01\nB,ann@b.example,2024-01-02\n"
HEADER = "message_id,ticket_id,direction,text,created_at\n"
MESSAGES = HEADER + "a1,A,inbound,one,2024-02-01\na2,A,outbound,two,2024-02-02\nb1,B,inbound,one,2024-02-01\n"
OPTIONS = PushOptions(grace_seconds=0.15, latest_seconds=0.6, patience_seconds=8.0)


def places(ran: RunResult, kind: str) -> dict[State, int]:
    return {state: count for state, count in ran.books[kind].places.items() if count}


def held(sandbox: Running) -> dict[str, list[str]]:
    """The texts of each conversation, by the ticket that its first text names, after all late commits."""
    sandbox.wait_for_late_commits()
    found: dict[str, list[str]] = {}
    for row in sandbox.store.all("SELECT id FROM conversations ORDER BY id"):
        texts = [
            r["text"]
            for r in sandbox.store.all("SELECT text FROM messages WHERE csid = ? ORDER BY n", row["id"])
        ]
        ticket = texts[0].split(":")[0].removeprefix("[Ticket ") if texts else "nothing"
        assert ticket not in found, f"{ticket} is there twice"
        found[ticket] = [text.rsplit("\n\n", 1)[-1] for text in texts]
    return found


WHOLE = {"A": ["one", "two"], "B": ["one"]}


def test_at_most_one_creation_for_a_requester_is_in_doubt(run, migration, serving) -> None:
    """Ten tickets of one requester at the same time. No creation of a conversation gets a response."""
    tickets = "ticket_id,requester_email,created_at\n" + "".join(
        f"T{n},ann@b.example,2024-01-01\n" for n in range(10)
    )
    messages = HEADER + "".join(f"m{n},T{n},inbound,only,2024-02-01\n" for n in range(10))
    # The person is the first creation; then conversation and message alternate, in any order of the tickets.
    script = dict.fromkeys(range(2, 40, 3), Fault.CUT_AFTER)
    with serving(script=script) as sandbox:
        ran = run(
            migration(tickets=tickets, messages=messages), sandbox, target__workers=10, target__grace=0.01
        )
        assert held(sandbox) == {f"T{n}": ["only"] for n in range(10)}
    assert ran.books.clean


def test_conversations_of_other_people_are_not_taken_for_ours(run, migration, serving) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving(script={2: Fault.CUT_BEFORE}) as sandbox:
        user = sandbox.store.insert("users", email="ann@b.example", roles=[])
        others = [
            sandbox.store.insert(
                "conversations", requester_id=user["id"], channel=channel, direction="inbound", tags=[],
                created_at="2020-01-01T00:00:00:000Z",
            )
            for channel in ("callback", "email")
        ]  # fmt: skip
        # The person is known, so the first creation is a conversation and the second is its first message.
        ran = run(path, sandbox, target__workers=1)
        rows = sandbox.store.all("SELECT csid, count(*) AS n FROM messages GROUP BY csid")
        assert {row["csid"] for row in rows}.isdisjoint(other["id"] for other in others)
        assert sorted(row["n"] for row in rows) == [1, 2]
    assert ran.books.clean


def test_a_step_with_several_candidates_stays_in_doubt_with_the_evidence(run, migration, serving) -> None:
    path = migration(tickets=TICKETS.replace("B,", "#B,"), messages=HEADER + "a1,A,inbound,one,2024-02-01\n")
    with serving(script={1: Fault.CUT_AFTER}) as sandbox:
        user = sandbox.store.insert("users", email="ann@b.example", roles=[])
        queue = sandbox.store.one("SELECT id FROM queues")
        assert queue
        twin = sandbox.store.insert(
            "conversations", requester_id=user["id"], channel="callback", direction="inbound", tags=[],
            queue_id=queue["id"], created_at="2099-01-01T00:00:00:000Z",
        )  # fmt: skip
        sandbox.store._db.execute(
            "UPDATE conversations SET created_at = strftime('%Y-%m-%dT%H:%M:%S:000Z', 'now')"
        )
        results: list[Any] = []
        # A new checkpoint would ask whether the twin is this ticket's.
        fresh = replace(OPTIONS, from_scratch=True)
        ran = run(path, sandbox, ended=results.append, options=fresh, conversation__empty="filter")
        assert ran.books["tickets"].places[State.IN_DOUBT] == 1
        assert f"2 conversations of the requester could be it: {twin['id']}, " in results[0].reason
        assert sandbox.store.count("messages") == 0
        assert ran.books.balanced
        # The next run reads them again, and keeps the ticket in doubt until that has changed.
        assert run(path, sandbox).books["tickets"].places[State.IN_DOUBT] == 1
        sandbox.store._db.execute("DELETE FROM conversations WHERE id = ?", (twin["id"],))
        assert run(path, sandbox).books.clean
        assert held(sandbox) == {"A": ["one"]}


@pytest.mark.parametrize("number", [2, 3], ids=["conversation", "message"])
def test_a_commit_after_the_grace_period_is_reported_as_a_duplicate(
    run, migration, serving, number: int
) -> None:
    path = migration(
        tickets=TICKETS.replace("B,", "#B,"),
        messages=HEADER + "".join(f"a{n},A,inbound,text {n},2024-02-01\n" for n in range(100)),
    )
    with serving(script={number: Fault.LATE}, late_seconds=1.15) as sandbox:
        ran = run(path, sandbox, target__rate=50.0, target__burst=2)
        copies = sandbox.store.count("conversations") + sandbox.store.count("messages")
        assert copies == 1 + 100 + 1
    assert len(ran.doubles) == 1
    assert "is a duplicate" in ran.doubles[0][1]


def test_an_expired_token_stops_all_workers_and_the_next_run_finishes(run, migration, serving) -> None:
    tickets = "ticket_id,requester_email\n" + "".join(f"T{n},p{n}@b.example\n" for n in range(30))
    messages = HEADER + "".join(f"m{n},T{n},inbound,only,2024-02-01\n" for n in range(30))
    path = migration(tickets=tickets, messages=messages)
    with serving(expires_after=75) as sandbox:
        ran = run(path, sandbox)
        assert isinstance(ran.failure, Unauthorized)
        assert ran.books.balanced
        assert ran.books["tickets"].places[State.FAILED] == 0
        database, url = sandbox.store, sandbox.url
        assert url
        before = database.count("conversations")
        assert 0 < before < 30
        # The same account with a valid token.
        settings = Settings(api="integrations", rate=0, agents=(AGENT,), port=int(url.rsplit(":", 1)[1]))
        copy = [list(row.values()) for row in database.all("SELECT * FROM users")]
        assert copy
        dump = list(database._db.iterdump())
    with running(settings) as again:
        for table in ("users", "queues", "tags", "endpoints", "attributes"):
            again.store._db.execute(f"DELETE FROM {table}")
        for statement in dump:
            if statement.startswith("INSERT"):
                again.store._db.execute(statement)
        ran = run(path, again)
        assert ran.failure is None
        assert held(again) == {f"T{n}": ["only"] for n in range(30)}


def test_a_run_stops_or_waits_when_the_quota_is_used_up(run, migration, serving) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving(quota=5, quota_reset_seconds=86_400.0) as sandbox:
        ran = run(path, sandbox, target__on_quota="stop")
        assert isinstance(ran.failure, QuotaSpent)
        assert ran.failure.exit_code == 5
    path.with_name("minimal.checkpoint").unlink()
    with serving(quota=5, quota_reset_seconds=1.0) as sandbox:
        assert run(path, sandbox).failure is None
        assert held(sandbox) == WHOLE


def test_a_run_waits_for_an_absent_host_no_longer_than_max_outage(run, migration, serving) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving() as sandbox:
        pass
    ran = run(path, sandbox, target__max_outage=0.3)
    assert isinstance(ran.failure, Unreachable)
    assert ran.books.balanced
    assert ran.books["tickets"].places[State.LEFT] == 2


def test_a_full_disk_stops_before_the_next_creation(run, migration, serving, monkeypatch) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving() as sandbox:
        commit, commits = Checkpoint._commit, 0

        def full(self: Checkpoint, batch: Any) -> None:
            nonlocal commits
            commits += 1
            if commits == 4:
                raise sqlite3.OperationalError("database or disk is full")
            commit(self, batch)

        monkeypatch.setattr(Checkpoint, "_commit", full)
        ran = run(path, sandbox, target__workers=1)
        assert isinstance(ran.failure, Unwritable)
        assert sandbox.store.count("messages") < 3
        assert run(path, sandbox).failure is None
        assert held(sandbox) == WHOLE


def test_limits_stop_the_run_and_the_next_run_continues(run, migration, serving) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving() as sandbox:
        ran = run(path, sandbox, limits=Limits(tickets=1))
        assert ran.limit == "--limit 1"
        assert held(sandbox) == {"A": ["one", "two"]}
        assert places(ran, "tickets") == {State.LEFT: 1, State.IMPORTED: 1}
        assert run(path, sandbox, limits=Limits(seconds=0.0)).limit == "--max-duration 0 s"
        assert run(path, sandbox).limit == ""
        assert held(sandbox) == WHOLE


def test_max_errors_stops_the_run(run, migration, serving) -> None:
    tickets = "ticket_id,requester_email\n" + "".join(f"T{n},p{n}@b.example\n" for n in range(300))
    messages = HEADER + "".join(f"m{n},T{n},inbound,only,2024-02-01\n" for n in range(300))
    with serving() as sandbox:
        queue = 'UPDATE queues SET id = "gone"'
        assert queue

        def lose_the_queue(_: Any) -> None:
            sandbox.store._db.execute("DELETE FROM queues")

        path = migration(tickets=tickets, messages=messages)
        ran = run(
            path,
            sandbox,
            ended=lose_the_queue,
            limits=Limits(errors=3),
            target__workers=1,
            target__attempts=1,
        )
        assert ran.limit == "--max-errors 3"
        assert ran.books["tickets"].places[State.FAILED] == 3
        assert ran.books.balanced


def test_a_later_export_brings_only_what_is_new(run, migration, serving) -> None:
    with serving() as sandbox:
        assert run(migration(tickets=TICKETS, messages=MESSAGES), sandbox).books.clean
        grown = MESSAGES + "a3,A,inbound,three,2024-02-03\nc1,C,inbound,new,2024-02-03\n"
        path = migration(tickets=TICKETS + "C,carl@b.example,2024-01-03\n", messages=grown)
        sent = sum(sandbox.statuses.values())
        ran = run(path, sandbox)
        assert held(sandbox) == {"A": ["one", "two", "three"], "B": ["one"], "C": ["new"]}
        # Account and agent: three reads (the checkpoint knows the agent); carl: two; C: two; a3: one.
        assert sum(sandbox.statuses.values()) - sent == 3 + 2 + 2 + 1
    assert places(ran, "messages") == {State.ALREADY_THERE: 3, State.IMPORTED: 2}
    assert ran.books.balanced


def test_changed_records_are_listed_and_not_updated(run, migration, serving) -> None:
    with serving() as sandbox:
        run(migration(tickets=TICKETS, messages=MESSAGES), sandbox)
        path = migration(tickets=TICKETS.replace("B,ann", "B,bob"), messages=MESSAGES.replace("two", "TWO"))
        ran = run(path, sandbox)
        assert sorted(ran.changed) == [("A", "a2"), ("B", "b1"), ("B", "ticket")]
        assert held(sandbox) == WHOLE


def test_a_message_that_belongs_before_an_imported_one_is_rejected(run, migration, serving) -> None:
    with serving() as sandbox:
        run(migration(tickets=TICKETS, messages=MESSAGES), sandbox)
        path = migration(tickets=TICKETS, messages=MESSAGES + "a0,A,inbound,zero,2024-01-31\n")
        ran = run(path, sandbox)
        assert places(ran, "messages") == {State.ALREADY_THERE: 3, State.REJECTED: 1}
        assert held(sandbox) == WHOLE
        run(path, sandbox, options=replace(OPTIONS, with_holes=True))
        assert held(sandbox)["A"] == ["one", "two", "zero"]


def test_retry_tries_only_rejected_tickets(run, migration, serving, monkeypatch) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    carry_out = IntegrationsSandbox.create_conversation
    calls: list[Call] = []

    def refuse_the_second(self: IntegrationsSandbox, call: Call) -> Any:
        calls.append(call)
        return Refusal(400, "not this one") if len(calls) == 2 else carry_out(self, call)

    monkeypatch.setattr(IntegrationsSandbox, "create_conversation", refuse_the_second)
    with serving() as sandbox:
        ran = run(path, sandbox, target__workers=1)
        assert places(ran, "tickets") == {State.IMPORTED: 1, State.REJECTED: 1}
        assert run(path, sandbox).books["tickets"].places[State.REJECTED] == 1
        again = replace(OPTIONS, again=True)
        path = migration(
            tickets=TICKETS + "C,c@b.example,2024-01-03\n", messages=MESSAGES + "c1,C,inbound,x,2024-02-03\n"
        )
        ran = run(path, sandbox, options=again)
        assert held(sandbox) == WHOLE
        assert ran.books["tickets"].places[State.LEFT] == 1
        assert ran.books.balanced


def test_a_change_of_kind_between_runs_duplicates_nothing(run, migration, serving) -> None:
    """The checkpoint also records the message that a contact form carried."""
    form = {
        "conversation__kind": "contact_form",
        "conversation__endpoint": "imported@email.dixa.io",
        "conversation__queue": None,
    }
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving() as sandbox:
        assert run(path, sandbox, **form).books.clean
        assert places(run(path, sandbox), "messages") == {State.ALREADY_THERE: 3}
        assert held(sandbox) == WHOLE


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.UNAVAILABLE_RETRY_AFTER])
def test_a_busy_host_pauses_all_workers_and_nothing_is_lost(run, migration, serving, fault: Fault) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving(rates={fault: 0.3}, seed=3, retry_after_seconds=0) as sandbox:
        ran = run(path, sandbox)
        assert held(sandbox) == WHOLE
    assert ran.traffic.retried > 0
    assert ran.books.clean


def test_a_message_equal_to_the_one_a_contact_form_carried_is_not_mistaken_for_it(
    run, migration, serving
) -> None:
    messages = HEADER + "a1,A,inbound,same,2024-02-01\na2,A,inbound,same,2024-02-01\n"
    path = migration(tickets=TICKETS.replace("B,", "#B,"), messages=messages)
    form = {
        "conversation__kind": "contact_form",
        "conversation__endpoint": "imported@email.dixa.io",
        "conversation__opening_head": "",
    }
    # Person, conversation with the first message, second message.
    with serving(script={3: Fault.CUT_BEFORE}) as sandbox:
        assert run(path, sandbox, **form).books.clean
        assert [
            row["text"].rsplit("\n\n", 1)[-1] for row in sandbox.store.all("SELECT text FROM messages")
        ] == ["same", "same"]
