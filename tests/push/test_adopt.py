"""A lost checkpoint, or an older copy, is completed from what Dixa holds; a run after it sends only what is not
there."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from importer.errors import CheckpointError
from importer.model import State
from importer.pipeline.migrate import exit_code
from importer.pipeline.values import Limits
from importer.push.context import PushOptions
from importer.sandbox.faults import Fault
from importer.sandbox.server import Running
from importer.sandbox.view import Reword

CONTACT_FORM = """[target]
api = "integrations"
[conversation]
kind = "contact_form"
endpoint = "imported@email.dixa.io"
head = ""
opening_head = ""
"""
EMAIL = """[target]
api = "dixa"
[conversation]
endpoint = "imported@email.dixa.io"
grown = "note"
"""
OPTIONS_FROM_SCRATCH = PushOptions(
    grace_seconds=0.15, latest_seconds=0.6, patience_seconds=8.0, from_scratch=True
)
# Two tickets of each person; two of them say the same.
TICKETS = "ticket_id,requester_email,created_at,status\n" + "".join(
    f"T{n},customer-{n % 3}@b.example,2024-01-0{n},{'closed' if n % 2 else 'open'}\n" for n in range(1, 7)
)
MESSAGES = "message_id,ticket_id,direction,text,created_at\n" + "".join(
    f'T{n}-{k},T{n},{way},"{"Thanks!" if n in (3, 6) else f"ticket {n} says {k}"}",2024-02-0{k + 1}\n'
    for n in range(1, 7)
    for k, way in enumerate(("inbound", "internal", "inbound"))
)


def api_of(into: str) -> str:
    return "integrations" if into in ("callback", "contact_form") else "dixa"


def counts(sandbox: Running) -> tuple[int, int]:
    """Conversations, and messages with notes."""
    store = sandbox.store
    return store.count("conversations"), store.count("messages") + store.count("notes")


def texts(sandbox: Running) -> Counter[Any]:
    rows = [*sandbox.store.all("SELECT csid, text FROM messages"), *sandbox.store.all("SELECT * FROM notes")]
    return Counter((row["csid"], row.get("text") or row.get("message")) for row in rows)


def lose(path: Path) -> None:
    for name in ("checkpoint", "checkpoint-wal", "checkpoint-shm"):
        path.with_suffix(f".{name}").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("done", "how"), [(0, ()), (4, ()), (6, (Reword.ENTITIES, Reword.TAGS)), (4, (Reword.CUT,))]
)
def test_a_run_after_adopt_sends_only_what_is_not_there(
    run, migration, serving, into: str, done: int, how: tuple[Reword, ...]
) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    with serving(api=api_of(into), reword=frozenset(how)) as sandbox:
        assert exit_code(run(path, sandbox, limits=Limits(tickets=done))) in (0, 8)
        before = texts(sandbox)
        lose(path)
        adopted = run(path, sandbox, adopting=True)
        assert exit_code(adopted) == 0
        assert adopted.books.balanced
        assert texts(sandbox) == before
        ran = run(path, sandbox)
        assert exit_code(ran) == 0
        placeholders = sandbox.store.count("conversations") if into == "contact_form" else 0
        assert counts(sandbox)[0] == 6
        assert sum(texts(sandbox).values()) in (18, 18 + placeholders)
        again = run(path, sandbox)
        assert again.books["tickets"].places[State.ALREADY_THERE] == 6


@pytest.mark.parametrize("kill", [2, 8])
def test_a_run_that_was_cut_off_is_completed(run, migration, serving, into: str, kill: int) -> None:
    """The token expires after so many creations, whatever was sent by then."""
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    whole = {}
    for name in ("whole", "adopted"):
        with serving(api=api_of(into)) as sandbox:
            if name == "adopted":
                run(path, sandbox, ended=_after(kill), target__workers=2)
                lose(path)
                assert exit_code(run(path, sandbox, adopting=True)) == 0
            assert exit_code(run(path, sandbox)) == 0
            whole[name] = sorted(text for (_, text), n in texts(sandbox).items() for _ in range(n))
            assert counts(sandbox)[0] == 6
            lose(path)
    assert whole["adopted"] == whole["whole"]


def _after(kill: int) -> Any:
    left = [kill]

    def ended(_: object) -> None:
        left[0] -= 3
        if left[0] <= 0:
            raise CheckpointError("cut off")

    return ended


def test_an_older_copy_is_completed(run, migration, serving, into: str) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    checkpoint = path.with_suffix(".checkpoint")
    with serving(api=api_of(into), script={4: Fault.CUT_AFTER}) as sandbox:
        run(path, sandbox, limits=Limits(tickets=2))
        shutil.copy(checkpoint, path.with_name("older"))
        assert exit_code(run(path, sandbox)) == 0
        lose(path)
        shutil.copy(path.with_name("older"), checkpoint)
        assert exit_code(run(path, sandbox, adopting=True)) == 0
        before = texts(sandbox)
        assert exit_code(run(path, sandbox)) == 0
        assert texts(sandbox) == before


def test_a_new_checkpoint_asks_whether_dixa_holds_the_tickets(run, migration, serving, into: str) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    with serving(api=api_of(into)) as sandbox:
        run(path, sandbox, limits=Limits(tickets=1))
        before = counts(sandbox)
        lose(path)
        ran = run(path, sandbox)
        assert exit_code(ran) == 7
        assert "dixa-import adopt" in str(ran.failure)
        assert counts(sandbox) == before


def test_what_may_be_somebody_elses_is_in_doubt(run, migration, serving) -> None:
    """Three callbacks without messages, of a requester with two tickets."""
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving() as sandbox:
        run(path, sandbox, limits=Limits(tickets=0))
        user = sandbox.store.insert("users", email="customer-1@b.example", roles=[])
        queue = sandbox.store.one("SELECT id FROM queues")
        assert queue
        for _ in range(3):
            sandbox.store.insert(
                "conversations", requester_id=user["id"], channel="callback", direction="inbound", tags=[],
                queue_id=queue["id"], created_at="2026-01-01T00:00:00:000Z",
            )  # fmt: skip
        lose(path)
        results: list[Any] = []
        adopted = run(path, sandbox, adopting=True, ended=results.append)
        assert exit_code(adopted) == 3
        doubtful = {result.ticket_id for result in results if result.state is State.IN_DOUBT}
        assert doubtful == {"T1", "T4"}
        assert all("3 conversation(s)" in result.reason for result in results if result.reason)
        ran = run(path, sandbox)
        assert (exit_code(ran), ran.books["tickets"].places[State.IN_DOUBT]) == (3, 2)
        assert counts(sandbox) == (7, 12)


def test_what_is_there_twice_is_named(run, migration, serving, into: str) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    with serving(api=api_of(into)) as sandbox:
        run(path, sandbox)
        lose(path)
        fresh = OPTIONS_FROM_SCRATCH
        run(path, sandbox, options=fresh)
        assert counts(sandbox)[0] == 12
        lose(path)
        adopted = run(path, sandbox, adopting=True)
        assert exit_code(adopted) == 3
        assert len(adopted.doubles) == 6
        ran = run(path, sandbox)
        assert counts(sandbox)[0] == 12
        assert (exit_code(ran), len(ran.doubles)) == (3, 6)


def test_an_unfinished_adopt_keeps_a_run_from_sending(run, migration, serving, into: str) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES, into=into)
    with serving(api=api_of(into)) as sandbox:
        assert exit_code(run(path, sandbox)) == 0
        before = counts(sandbox)
        lose(path)
        run(path, sandbox, adopting=True, ended=_after(4), target__workers=1)
        ran = run(path, sandbox)
        assert exit_code(ran) == 7
        assert "`adopt` was interrupted" in str(ran.failure)
        assert exit_code(run(path, sandbox, adopting=True)) == 0
        assert exit_code(run(path, sandbox)) == 0
        assert counts(sandbox) == before


def test_a_run_does_not_settle_what_adopt_could_not_decide(run, migration, serving) -> None:
    """A live callback of the customer, which shows no queue, is not taken for the ticket."""
    path = migration(tickets=TICKETS[: TICKETS.index("T2,")], messages=MESSAGES[: MESSAGES.index("T2-0")])
    with serving() as sandbox:
        user = sandbox.store.insert("users", email="customer-1@b.example", roles=[])
        sandbox.store.insert(
            "conversations", requester_id=user["id"], channel="callback", direction="inbound", tags=[],
            created_at="2025-01-01T00:00:00:000Z",
        )  # fmt: skip
        for adopting in (True, False, False):
            ran = run(path, sandbox, adopting=adopting)
            assert (exit_code(ran), ran.unread) == (3, 0)
            assert ran.books["tickets"].places[State.IN_DOUBT] == 1
        assert counts(sandbox) == (1, 0)
        sandbox.store._db.execute("DELETE FROM conversations")
        assert exit_code(run(path, sandbox, adopting=True)) == 0
        assert exit_code(run(path, sandbox)) == 0
        assert counts(sandbox) == (1, 3)


@pytest.mark.parametrize("live", ["ticket 1 s", "Thanks!", "something else"])
def test_a_live_contact_form_is_not_taken_for_a_ticket(run, migration, serving, live: str) -> None:
    messages = MESSAGES.replace("ticket 1 says 0", "Thanks!") if live == "Thanks!" else MESSAGES
    path = migration(
        tickets=TICKETS[: TICKETS.index("T2,")],
        messages=messages[: messages.index("T2-0")],
        into=CONTACT_FORM,
    )
    with serving() as sandbox:
        user = sandbox.store.insert("users", email="customer-1@b.example", roles=[])
        common = {"channel": "contact_form", "direction": "inbound", "created_at": "2025-01-01T00:00:00:000Z"}
        form = sandbox.store.insert("conversations", requester_id=user["id"], tags=[], **common)
        sandbox.store.insert(
            "messages", csid=form["id"], author_id=user["id"], text=live, attachments=[], **common
        )
        adopted = run(path, sandbox, adopting=True)
        assert adopted.found == 0
        assert exit_code(adopted) == (3 if live == "Thanks!" else 0)
        run(path, sandbox)
        rows = sandbox.store.all("SELECT * FROM messages WHERE csid = ?", form["id"])
        assert [row["text"] for row in rows] == [live]


def test_a_ticket_with_holes_is_found(run, prepare, migration, serving, into: str) -> None:
    messages = MESSAGES.replace("T1-1,T1,internal", "T1-1,T1,sideways")
    path = migration(tickets=TICKETS, messages=messages, into=into)
    with serving(api=api_of(into)) as sandbox:
        run.prepare = lambda *a, **k: prepare(*a, with_holes=True, **k)
        run(path, sandbox)
        assert counts(sandbox)[0] == 6
        lose(path)
        assert run(path, sandbox, adopting=True).found == 6
        run(path, sandbox)
        assert counts(sandbox)[0] == 6


def test_a_note_is_found_whoever_its_author_is_now(run, migration, serving) -> None:
    rows = MESSAGES.replace("message_id,", "author_email,message_id,").replace("\nT", "\nx@b.example,T")
    rows = rows.replace("x@b.example,T1-1", "agent-1@b.example,T1-1")
    agents = ("agent-1@b.example", "agent-2@b.example", "migration@nordlys.example")
    with serving(api="dixa", agents=agents) as sandbox:
        path = migration(tickets=TICKETS, messages=rows, into="email")
        run(path, sandbox)
        before = counts(sandbox)
        path = migration(tickets=TICKETS, messages=rows.replace("agent-1@b", "agent-2@b"), into="email")
        lose(path)
        run(path, sandbox, adopting=True)
        run(path, sandbox)
        assert counts(sandbox) == before


def test_notes_that_are_alike_in_time_and_author_are_not_guessed(run, migration, serving) -> None:
    notes = "".join(f"n{k},T1,internal,note number {k} of it all,2024-02-05\n" for k in range(4))
    path = migration(tickets=TICKETS, messages=MESSAGES + notes, into="email")
    with serving(api="dixa") as sandbox:
        assert exit_code(run(path, sandbox)) == 0
        before = texts(sandbox)
        sandbox.store._db.execute("DELETE FROM notes WHERE message LIKE '%number 1%'")
        lose(path)
        assert exit_code(run(path, sandbox, adopting=True)) == 0
        assert exit_code(run(path, sandbox)) == 0
        assert texts(sandbox) == before


def test_a_late_message_that_was_sent_as_a_note_is_found(run, migration, serving) -> None:
    late = "T1-9,T1,inbound,late,2024-03-01\n"
    with serving(api="dixa") as sandbox:
        run(migration(tickets=TICKETS, messages=MESSAGES, into=EMAIL), sandbox)
        path = migration(tickets=TICKETS, messages=MESSAGES + late, into=EMAIL)
        assert exit_code(run(path, sandbox)) == 0
        before = texts(sandbox)
        lose(path)
        assert exit_code(run(path, sandbox, adopting=True)) == 0
        # And one that was never sent goes with the next run.
        path = migration(tickets=TICKETS, messages=MESSAGES + late + late.replace("T1", "T2"), into=EMAIL)
        assert exit_code(run(path, sandbox)) == 0
        assert sum(texts(sandbox).values()) == sum(before.values()) + 1


def test_the_question_before_a_first_run_is_bounded(run, migration, serving) -> None:
    """One stand-in for all requesters."""
    tickets = "ticket_id,requester_email,created_at\n" + "".join(
        f"T{n},stand-in@b.example,2024-01-01\n" for n in range(40)
    )
    messages = "message_id,ticket_id,direction,text,created_at\n" + "".join(
        f"m{n},T{n},inbound,text number {n} of many,2024-02-01\n" for n in range(40)
    )
    path = migration(tickets=tickets, messages=messages, into="contact_form")
    with serving() as sandbox:
        run(path, sandbox)
        lose(path)
        ran = run(path, sandbox)
        assert exit_code(ran) == 7
        assert ran.traffic.sent < 15


def test_tickets_are_found_where_the_times_are_read_otherwise_now(run, migration, serving) -> None:
    """Another time zone, and with it another time of every ticket."""
    with serving(api="dixa") as sandbox:
        run(migration(tickets=TICKETS, messages=MESSAGES, into="email"), sandbox)
        before = counts(sandbox)
        path = migration(tickets=TICKETS, messages=MESSAGES, into="email", timezone="Europe/Copenhagen")
        lose(path)
        assert exit_code(run(path, sandbox)) == 7
        assert run(path, sandbox, adopting=True).found == 6
        run(path, sandbox)
        assert counts(sandbox)[0] == before[0]


def test_an_adopt_that_was_stopped_while_it_waited_keeps_a_run_from_sending(
    run, migration, serving, prepare
) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES)
    with serving() as sandbox:
        run(path, sandbox, limits=Limits(tickets=2))
        refused = run(path, sandbox, adopting=True, token="another")
        assert exit_code(refused) == 4
        assert exit_code(run(path, sandbox)) == 7


@pytest.mark.parametrize("api", ["dixa", "integrations"])
def test_a_token_that_expires_ends_adopt_at_once(run, migration, serving, api: str) -> None:
    tickets = "ticket_id,requester_email,created_at\n" + "".join(
        f"T{n},p{n}@b.example,2024-01-01\n" for n in range(60)
    )
    path = migration(tickets=tickets, messages=MESSAGES, into={"dixa": "email"}.get(api, "callback"))
    with serving(api=api, expires_after=12) as sandbox:
        adopted = run(path, sandbox, adopting=True, target__workers=4, conversation__empty="import")
        assert exit_code(adopted) == 4
        assert sandbox.statuses[401] <= 8
