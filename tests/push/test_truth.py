"""What Dixa holds is the truth: shown otherwise is not another thing, not seen is not absent, and an answer to
one record says nothing about the others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from importer.errors import ProtocolError, Unauthorized
from importer.model import State
from importer.pipeline.migrate import exit_code
from importer.pipeline.values import RunResult
from importer.push.context import PushOptions
from importer.sandbox.faults import Fault, Trouble
from importer.sandbox.server import Running
from importer.sandbox.view import Reword

OPTIONS = PushOptions(grace_seconds=0.15, latest_seconds=0.6, patience_seconds=20.0)
TICKETS = "ticket_id,requester_email,created_at,status\n" + "".join(
    f"T{n},customer-{n}@b.example,2024-01-0{n},open\n" for n in range(1, 7)
)
MESSAGES = "message_id,ticket_id,direction,text,created_at\n" + "".join(
    f'T{n}-{k},T{n},{way},"ticket {n} says ""message {k}"" & more of it",2024-02-0{k + 1}\n'
    for n in range(1, 7)
    for k, way in enumerate(("inbound", "internal", "internal"))
)
APIS = ["dixa", "integrations"]
INTO = {"dixa": "email", "integrations": "callback"}


def counts(sandbox: Running) -> tuple[int, int]:
    """Conversations, and messages with notes."""
    store = sandbox.store
    return store.count("conversations"), store.count("messages") + store.count("notes")


def places(ran: RunResult) -> dict[State, int]:
    return {state: count for state, count in ran.books["tickets"].places.items() if count}


def started(migration: Any, api: str) -> Path:
    return migration(tickets=TICKETS, messages=MESSAGES, into=INTO[api])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("how", [(Reword.ENTITIES,), (Reword.TAGS, Reword.UNICODE), (Reword.CUT,)])
@pytest.mark.parametrize("fault", [None, Fault.CUT_AFTER])
def test_texts_shown_otherwise_double_nothing(
    run, migration, serving, api: str, how: tuple[Reword, ...], fault: Fault | None
) -> None:
    script = dict.fromkeys(range(3, 60, 4), fault) if fault else {}
    with serving(api=api, reword=frozenset(how), script=script) as sandbox:
        ran = run(started(migration, api), sandbox, options=OPTIONS)
        assert counts(sandbox) == (6, 18)
    assert (exit_code(ran), ran.doubles) == (0, [])


@pytest.mark.parametrize("api", APIS)
def test_lists_that_are_behind_double_nothing(run, migration, serving, api: str) -> None:
    """They are behind by more than the time after which a request may be sent again."""
    script = dict.fromkeys(range(4, 24, 5), Fault.CUT_AFTER)
    with serving(api=api, lag_seconds=1.5, script=script) as sandbox:
        ran = run(started(migration, api), sandbox, options=OPTIONS, target__workers=2)
        assert counts(sandbox) == (6, 18)
    assert (exit_code(ran), ran.doubles, ran.unread) == (0, [], 0)


@pytest.mark.parametrize("api", APIS)
def test_a_list_that_never_catches_up_ends_in_doubt(run, migration, serving, api: str) -> None:
    with serving(api=api, lag_seconds=3600.0, script={4: Fault.CUT_AFTER}) as sandbox:
        patient = replace(OPTIONS, patience_seconds=1.0)
        ran = run(started(migration, api), sandbox, options=patient, target__workers=2)
        assert counts(sandbox)[0] <= 6
    assert exit_code(ran) == 3
    assert places(ran)[State.IMPORTED] < 6  # the rest is in doubt, or its person is


@pytest.mark.parametrize("api", APIS)
def test_a_firewall_that_refuses_one_text_rejects_its_ticket(run, migration, serving, api: str) -> None:
    with serving(api=api, script={9: Trouble.FORBIDDEN}) as sandbox:
        ran = run(started(migration, api), sandbox, options=OPTIONS, target__workers=1)
        assert ran.failure is None
        assert counts(sandbox)[0] >= 5
    assert exit_code(ran) == 3
    assert places(ran)[State.IMPORTED] >= 5


@pytest.mark.parametrize("api", APIS)
def test_a_token_that_may_read_but_not_create_ends_the_run(run, migration, serving, api: str) -> None:
    path = started(migration, api)
    with serving(api=api, script=dict.fromkeys(range(7, 99), Trouble.FORBIDDEN)) as sandbox:
        # The people are there, so that nothing but conversations is to be created.
        for n in range(1, 7):
            sandbox.store.insert("users", email=f"customer-{n}@b.example", name="Ann", roles=[])
        sandbox.faults._creations = 6
        ran = run(path, sandbox, options=OPTIONS)
        assert counts(sandbox) == (0, 0)
    assert isinstance(ran.failure, Unauthorized)


@pytest.mark.parametrize("api", APIS)
def test_a_redirect_of_a_creation_ends_the_run_and_leaves_a_doubt(run, migration, serving, api: str) -> None:
    with serving(api=api, script={4: "odd:redirect-302-elsewhere:before"}) as sandbox:
        ran = run(started(migration, api), sandbox, options=OPTIONS, target__workers=1)
        assert isinstance(ran.failure, ProtocolError)
        assert run(started(migration, api), sandbox, options=OPTIONS).failure is None
        assert counts(sandbox) == (6, 18)


def test_netrc_is_not_read(run, migration, serving, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / ".netrc").write_text("default login someone password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(api="dixa") as sandbox:
        assert exit_code(run(started(migration, "dixa"), sandbox, options=OPTIONS)) == 0


FILES = (
    "message_id,ticket_id,direction,text,created_at,attachments\n"
    "T1-0,T1,inbound,see the files,2024-02-01,https://a.example/1.pdf;https://a.example/2.pdf\n"
    "T2-0,T2,inbound,no file,2024-02-01,\n"
)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("how", ["link", "leave", "reject"])
def test_a_file_that_dixa_cannot_fetch(run, migration, serving, api: str, how: str) -> None:
    tickets = "\n".join(TICKETS.splitlines()[:3]) + "\n"
    path = migration(tickets=tickets, messages=FILES, into=INTO[api])
    options = replace(OPTIONS, unfetchable=how)
    with serving(api=api, rates={Trouble.ATTACHMENT_400: 1.0}) as sandbox:
        ran = run(path, sandbox, options=options)
        texts = " ".join(row["text"] for row in sandbox.store.all("SELECT text FROM messages"))
        again = run(path, sandbox, options=options)
        assert sandbox.store.count("messages") == (1 if how == "reject" else 2)
    assert ("https://a.example/1.pdf" in texts) == (how == "link")
    assert ran.books["attachments"].places[State.REJECTED] == 2
    assert again.books["attachments"].places[State.REJECTED] == 2
    assert (exit_code(ran), exit_code(again)) == (3, 3)
    wanted = State.REJECTED if how == "reject" else State.PARTIAL
    assert places(ran)[wanted] == 1
    assert ran.books.balanced
    assert again.books.balanced


@pytest.mark.parametrize("api", APIS)
def test_a_person_whom_the_look_up_does_not_show_yet_rejects_nobody(
    run, migration, serving, api: str
) -> None:
    """The creation was carried out without an answer, the look-up is behind, and the next creation is refused
    because the address is taken."""
    with serving(api=api, lag_seconds=1.5, script={1: Fault.CUT_AFTER}) as sandbox:
        ran = run(started(migration, api), sandbox, options=OPTIONS)
        assert counts(sandbox) == (6, 18)
        assert sandbox.store.count("users") == 7
    assert (exit_code(ran), places(ran)) == (0, {State.IMPORTED: 6})
