"""Rarer sequences of events. Each of them once lost, duplicated or hid something."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from importer.checkpoint.queries import tickets
from importer.errors import Unauthorized
from importer.model import State
from importer.pipeline.migrate import exit_code
from importer.pipeline.values import Limits, RunResult
from importer.plan.parts import Parts
from importer.push import ticket
from importer.push.context import PushOptions
from importer.push.reconcile import Settler
from importer.sandbox.contract import Call, Refusal
from importer.sandbox.faults import Fault
from importer.sandbox.integrations import IntegrationsSandbox
from importer.sandbox.server import Running
from importer.transport.exchange import NotRead

OPTIONS = PushOptions(grace_seconds=0.15, latest_seconds=0.6, patience_seconds=8.0)
ONE_TICKET = "ticket_id,requester_email,created_at\nA,ann@b.example,2024-01-01\n"
TICKETS = ONE_TICKET + "B,ann@b.example,2024-01-02\n"
HEADER = "message_id,ticket_id,direction,text,created_at\n"
ONE_MESSAGE = HEADER + "a1,A,inbound,one,2024-02-01\n"
MESSAGES = ONE_MESSAGE + "a2,A,outbound,two,2024-02-02\nb1,B,inbound,one,2024-02-01\n"
FORM = {
    "conversation__kind": "contact_form",
    "conversation__endpoint": "imported@email.dixa.io",
    "conversation__queue": None,
}


def places(ran: RunResult, kind: str) -> dict[State, int]:
    return {state: count for state, count in ran.books[kind].places.items() if count}


def texts(sandbox: Running) -> list[str]:
    sandbox.wait_for_late_commits()
    return [
        row["text"].rsplit("\n\n", 1)[-1]
        for row in sandbox.store.all("SELECT text FROM messages ORDER BY csid, n")
    ]


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, word: str, message: str = "refused") -> None:
    carry_out: Callable[..., Any] = getattr(IntegrationsSandbox, name)

    def refuse(self: IntegrationsSandbox, call: Call) -> Any:
        return Refusal(400, message) if word in json.dumps(call.body) else carry_out(self, call)

    monkeypatch.setattr(IntegrationsSandbox, name, refuse)


def test_a_long_wait_before_a_request_is_not_taken_for_a_late_commit(run, migration, serving) -> None:
    """The first request is refused for longer than Dixa can take to carry out a request."""
    # The tolerance is a minute; the Date of a response is up to a second old.
    options = replace(OPTIONS, latest_seconds=-58.5)
    with serving(
        script={2: Fault.TOO_MANY_RETRY_AFTER, 3: Fault.CUT_AFTER}, retry_after_seconds=3
    ) as sandbox:
        ran = run(
            migration(tickets=ONE_TICKET, messages=ONE_MESSAGE), sandbox, options=options, target__workers=1
        )
        assert (sandbox.store.count("conversations"), texts(sandbox)) == (1, ["one"])
    assert ran.books.clean


def test_a_second_doubt_of_a_requester_waits_for_the_first(run, migration, serving, monkeypatch) -> None:
    settle = Settler.settle

    async def fail(self: Settler, doubt: Any, carried: Any, **more: Any) -> Any:
        raise NotRead("the list cannot be read")

    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving(script={2: Fault.CUT_AFTER, 3: Fault.CUT_BEFORE}) as sandbox:
        monkeypatch.setattr(Settler, "settle", fail)
        first = run(path, sandbox, target__workers=1)
        assert places(first, "tickets") == {State.IN_DOUBT: 1, State.FAILED: 1}
        monkeypatch.setattr(Settler, "settle", settle)
        assert run(path, sandbox).books.clean
        assert (sandbox.store.count("conversations"), texts(sandbox)) == (2, ["one", "two", "one"])


def test_an_auto_reply_does_not_hide_a_contact_form(run, migration, serving, monkeypatch) -> None:
    create = IntegrationsSandbox.create_conversation

    def create_and_reply(self: IntegrationsSandbox, call: Call) -> Any:
        status, body = create(self, call)
        author, csid = call.body["requester_id"], body["data"]["id"]
        self._add_message(
            csid, author_id=author, channel="contact_form", direction="outbound", text="We got it"
        )
        return status, body

    monkeypatch.setattr(IntegrationsSandbox, "create_conversation", create_and_reply)
    with serving(script={2: Fault.CUT_AFTER}) as sandbox:
        ran = run(migration(tickets=ONE_TICKET, messages=ONE_MESSAGE), sandbox, **FORM)
        assert sandbox.store.count("conversations") == 1
    assert ran.books.clean


@pytest.mark.parametrize("touched", ["written into", "moved"])
def test_a_conversation_that_somebody_changed_before_the_resume_is_not_created_again(
    run, migration, serving, monkeypatch, touched: str
) -> None:
    async def killed(self: Any, *_: Any) -> Any:
        raise RuntimeError("killed")

    path = migration(tickets=ONE_TICKET, messages=ONE_MESSAGE)
    with serving(script={2: Fault.CUT_AFTER}) as sandbox:
        with monkeypatch.context() as patch:
            patch.setattr(ticket.TicketRun, "_settle", killed)
            with pytest.raises(RuntimeError):
                run(path, sandbox)
        conversation = sandbox.store.one("SELECT * FROM conversations")
        assert conversation
        if touched == "moved":
            queue = sandbox.store.insert("queues", name="Other")
            sandbox.store._db.execute("UPDATE conversations SET queue_id = ?", (queue["id"],))
        else:
            author = conversation["requester_id"]
            IntegrationsSandbox(sandbox.store)._add_message(
                conversation["id"], author_id=author, channel="callback", direction="inbound", text="hello?"
            )
        ran = run(path, sandbox)
        assert sandbox.store.count("conversations") == 1
        assert places(ran, "tickets") == {State.IN_DOUBT: 1}
        assert ran.books.balanced


def test_the_clock_of_this_machine_may_be_corrected_between_two_runs(
    run, migration, serving, monkeypatch
) -> None:
    async def killed(self: Any, *_: Any) -> Any:
        raise RuntimeError("killed")

    path = migration(tickets=ONE_TICKET, messages=ONE_MESSAGE)
    with serving(script={2: Fault.CUT_AFTER}) as sandbox:
        with monkeypatch.context() as patch:
            patch.setattr(ticket.TicketRun, "_settle", killed)
            with pytest.raises(RuntimeError):
                run(path, sandbox)
        with sqlite3.connect(path.with_name("minimal.checkpoint")) as db:
            # As if the clock had been wrong by an hour: both values are wrong by the same amount.
            db.execute("UPDATE steps SET at = at - 3600, expected = json_set(expected, '$.offset', 3600.0)")
        db.close()
        assert run(path, sandbox).books.clean
        assert sandbox.store.count("conversations") == 1


@pytest.mark.parametrize("answer", ["refused", "endless"])
def test_a_list_that_cannot_be_read_completely_proves_nothing(
    run, migration, serving, monkeypatch, answer: str
) -> None:
    def list_it(self: IntegrationsSandbox, call: Call) -> Any:
        if answer == "refused":
            return Refusal(400, "limit is unknown")
        link = f"/v1/users/{call.path['userId']}/requested_conversations?limit=200&cursor=zz"
        return 200, {"data": [], "paging": {"next_page": link}}

    monkeypatch.setattr(IntegrationsSandbox, "list_requested_conversations", list_it)
    with serving(script={2: Fault.CUT_AFTER}) as sandbox:
        ran = run(migration(tickets=ONE_TICKET, messages=ONE_MESSAGE), sandbox)
        assert sandbox.store.count("conversations") == 1
    assert places(ran, "tickets") == {State.IN_DOUBT: 1}


def test_an_export_that_is_read_differently_adds_nothing(run, migration, serving) -> None:
    """Ids derived from the content change when a time zone is corrected."""
    messages = "ticket_id,direction,text,created_at\nA,inbound,one,2024-02-01 10:00\nA,outbound,two,2024-02-02 10:00\n"
    with serving() as sandbox:
        assert run(migration(tickets=ONE_TICKET, messages=messages), sandbox).books.clean
        path = migration(tickets=ONE_TICKET, messages=messages, timezone="Europe/Copenhagen")
        ran = run(path, sandbox)
        assert texts(sandbox) == ["one", "two"]
    assert places(ran, "messages") == {State.REJECTED: 2}
    assert ran.changed[0] == ("A", "ticket")
    assert len(ran.changed) == 3


def test_an_error_message_with_a_lone_surrogate_does_not_stop_the_run(
    run, migration, serving, monkeypatch
) -> None:
    refusing(monkeypatch, "add_historical_message", "two", "bad text near \ud83d")
    with serving() as sandbox:
        ran = run(migration(tickets=TICKETS, messages=MESSAGES), sandbox)
    assert places(ran, "tickets") == {State.REJECTED: 1, State.IMPORTED: 1}


def test_with_holes_does_not_mean_without_a_conversation(run, migration, serving, monkeypatch) -> None:
    with_holes = replace(OPTIONS, with_holes=True)
    path = migration(tickets=ONE_TICKET, messages=ONE_MESSAGE)
    refusing(monkeypatch, "create_conversation", "callback")
    with serving() as sandbox:
        for _ in range(2):
            ran = run(path, sandbox, options=with_holes)
            assert places(ran, "tickets") == {State.REJECTED: 1}


def test_a_panic_while_the_plan_is_read_is_not_a_success(run, migration, serving, monkeypatch) -> None:
    def jobs(self: Parts) -> Any:
        raise pl.exceptions.PanicException("corrupt")
        yield

    monkeypatch.setattr(Parts, "jobs", jobs)
    with serving() as sandbox, pytest.raises(pl.exceptions.PanicException):
        run(migration(tickets=TICKETS, messages=MESSAGES), sandbox)


def test_what_was_sent_before_the_run_failed_is_counted(run, migration, serving) -> None:
    messages = HEADER + "".join(f"a{n},A,inbound,t{n},2024-02-01\n" for n in range(30))
    with serving(expires_after=20) as sandbox:
        ran = run(migration(tickets=ONE_TICKET, messages=messages), sandbox)
        assert isinstance(ran.failure, Unauthorized)
        assert places(ran, "messages")[State.IMPORTED] == len(texts(sandbox)) > 5
    assert ran.books.balanced


def test_a_run_that_stops_while_a_step_is_in_doubt_reports_it(run, migration, serving) -> None:
    options = replace(OPTIONS, grace_seconds=30.0)
    with serving(script={3: Fault.CUT_AFTER}) as sandbox:
        path = migration(tickets=ONE_TICKET, messages=ONE_MESSAGE)
        ran = run(path, sandbox, options=options, limits=Limits(seconds=1.0))
    assert places(ran, "messages") == {State.IN_DOUBT: 1}
    assert places(ran, "tickets") == {State.IN_DOUBT: 1}


def test_a_corrected_first_message_of_a_contact_form_is_tried_again(
    run, migration, serving, monkeypatch
) -> None:
    refusing(monkeypatch, "create_conversation", "one")
    with serving() as sandbox:
        ran = run(migration(tickets=ONE_TICKET, messages=ONE_MESSAGE), sandbox, **FORM)
        assert places(ran, "tickets") == {State.REJECTED: 1}
        ran = run(migration(tickets=ONE_TICKET, messages=ONE_MESSAGE.replace("one", "uno")), sandbox, **FORM)
        assert texts(sandbox) == ["uno"]
    assert ran.books.clean


def test_a_partial_ticket_stays_partial(run, migration, serving, monkeypatch) -> None:
    refusing(monkeypatch, "add_historical_message", "two")
    path = migration(
        tickets=ONE_TICKET,
        messages=ONE_MESSAGE + "a2,A,outbound,two,2024-02-02\na3,A,inbound,three,2024-02-03\n",
    )
    with serving() as sandbox:
        ran = run(path, sandbox, options=replace(OPTIONS, with_holes=True))
        assert places(ran, "tickets") == {State.IMPORTED: 1, State.PARTIAL: 1}
        ran = run(path, sandbox)
        assert places(ran, "tickets") == {State.ALREADY_THERE: 1}
        assert places(ran, "messages") == {State.ALREADY_THERE: 2, State.REJECTED: 1}
        (ticket,) = tickets(path.with_name("minimal.checkpoint"))
        assert ticket.state is State.PARTIAL


def test_a_duplicate_is_reported_by_every_later_run(run, migration, serving) -> None:
    messages = HEADER + "".join(f"a{n},A,inbound,text {n},2024-02-01\n" for n in range(100))
    path = migration(tickets=ONE_TICKET, messages=messages)
    with serving(script={2: Fault.LATE}, late_seconds=1.15) as sandbox:
        for _ in range(2):
            ran = run(path, sandbox, target__rate=50.0, target__burst=2)
            assert len(ran.doubles) == 1
            assert exit_code(ran) == 3


def test_a_person_found_after_a_doubt_counts_as_imported_and_an_unknown_agent_as_filtered(
    run, migration, serving
) -> None:
    messages = (
        HEADER.strip()
        + ",author_email\na1,A,inbound,one,2024-02-01,\na2,A,outbound,two,2024-02-02,gone@x.example\n"
    )
    path = migration(tickets=ONE_TICKET, messages=messages)
    with serving(script={1: Fault.CUT_AFTER}) as sandbox:
        assert places(run(path, sandbox), "people") == {State.IMPORTED: 1, State.FILTERED: 1}
        assert places(run(path, sandbox), "people") == {State.ALREADY_THERE: 1, State.FILTERED: 1}
