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


@pytest.mark.parametrize("done", [0, 1, 4, 6])
@pytest.mark.parametrize("how", [(), (Reword.ENTITIES, Reword.TAGS), (Reword.CUT,)])
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


@pytest.mark.parametrize("kill", range(2, 20, 3))
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
