import asyncio
import sqlite3
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from importer.checkpoint.journal import Binding, Checkpoint
from importer.checkpoint.queries import memories, people, snapshot, tickets
from importer.errors import CheckpointError, ConfigError, Locked, Unwritable
from importer.model import Carried, State, Step, StepKind

BINDING = Binding("acme", "integrations", "https://integrations.dixa.io")
CONVERSATION = Step(StepKind.CONVERSATION, "T1", "", fingerprint=b"f")
MESSAGE = Step(StepKind.MESSAGE, "T1", "m1", carries=(Carried("m1", b"g", 2),), fingerprint=b"g")
PERSON = Step(StepKind.PERSON, "", "email:a@b.example")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.checkpoint"


def write(path: Path, work: Callable[[Checkpoint], Coroutine[Any, Any, None]]) -> None:
    with Checkpoint(path, BINDING) as journal:
        asyncio.run(work(journal))


def on_disk(path: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as db:
        return db.execute(query).fetchall()


def test_an_intent_is_on_disk_before_intend_returns(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        journal.begin("T1")
        await journal.intend(CONVERSATION)
        assert on_disk(path, "SELECT kind, state FROM steps") == [("conversation", None)]

    write(path, work)


def test_an_outcome_is_on_disk_before_the_next_intent_returns(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        journal.begin("T1")
        await journal.intend(CONVERSATION)
        journal.record(CONVERSATION, State.IMPORTED, dixa_id="7")
        await journal.intend(MESSAGE)
        assert on_disk(path, "SELECT dixa_id FROM steps WHERE kind = 'conversation'") == [("7",)]

    write(path, work)


def test_what_was_written_is_remembered(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        journal.begin("T1")
        await journal.intend(CONVERSATION)
        journal.record(CONVERSATION, State.IMPORTED, dixa_id="7")
        await journal.intend(MESSAGE)
        journal.record(MESSAGE, State.REJECTED, reason="400: no")
        await journal.intend(PERSON)
        journal.record(PERSON, State.IMPORTED, dixa_id="u1")
        journal.end("T1", State.REJECTED, dixa_id="7", reason="m1: 400")

    write(path, work)
    known = memories(path, ["T1", "T2"])
    assert set(known) == {"T1"}
    assert {(r.kind, r.key, r.state, r.dixa_id, r.fingerprint, r.reason) for r in known["T1"].steps} == {
        ("conversation", "", State.IMPORTED, "7", b"f", ""),
        ("message", "m1", State.REJECTED, None, b"g", "400: no"),
    }
    assert list(people(path)) == [("email:a@b.example", State.IMPORTED)]
    (ticket,) = tickets(path)
    assert (ticket.ticket_id, ticket.state, ticket.dixa_id, ticket.reason) == (
        "T1",
        State.REJECTED,
        "7",
        "m1: 400",
    )
    assert snapshot(path).messages == {"rejected": 1}


def test_an_intent_without_an_outcome_has_no_state(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        journal.begin("T1")
        await journal.intend(MESSAGE)

    write(path, work)
    (record,) = memories(path, ["T1"])["T1"].steps
    assert record.state is None


def test_a_withdrawn_intent_leaves_nothing(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        journal.begin("T1")
        for step in (MESSAGE, PERSON):
            await journal.intend(step)
            journal.withdraw(step)

    write(path, work)
    assert memories(path, ["T1"])["T1"].steps == ()
    assert list(people(path)) == []


def test_concurrent_intents_share_commits(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        commits = 0
        commit = journal._commit

        def counted(batch: Any) -> None:
            nonlocal commits
            commits += 1
            commit(batch)

        journal._commit = counted  # type: ignore[method-assign]
        journal.begin("T1")
        steps = [Step(StepKind.MESSAGE, "T1", f"m{n}", (Carried(f"m{n}"),)) for n in range(100)]
        await asyncio.gather(*(journal.intend(step) for step in steps))
        assert commits <= 3

    write(path, work)
    assert len(memories(path, ["T1"])["T1"].steps) == 100


def test_a_second_run_learns_who_holds_the_checkpoint(path: Path) -> None:
    with Checkpoint(path, BINDING), pytest.raises(Locked, match="process"):
        Checkpoint(path, BINDING)
    Checkpoint(path, BINDING).close()


@pytest.mark.parametrize(
    "other",
    [
        Binding("other", BINDING.api, BINDING.base_url),
        Binding(BINDING.migration, "dixa", BINDING.base_url),
        Binding(BINDING.migration, BINDING.api, "http://127.0.0.1:1"),
    ],
)
def test_a_checkpoint_belongs_to_one_target_and_migration(path: Path, other: Binding) -> None:
    Checkpoint(path, BINDING).close()
    with pytest.raises(CheckpointError, match="belongs to another"):
        Checkpoint(path, other)
    Checkpoint(path, BINDING).close()


def test_a_file_that_is_not_a_checkpoint_is_refused_and_kept(path: Path) -> None:
    path.write_text("something else, and longer than a header of SQLite would be" * 10)
    with pytest.raises(CheckpointError, match="not a usable checkpoint"):
        Checkpoint(path, BINDING)
    assert path.read_text().startswith("something else")


def test_a_missing_checkpoint_is_reported_as_missing(path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint yet"):
        snapshot(path)


def test_only_the_user_can_read_it(path: Path) -> None:
    Checkpoint(path, BINDING).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_commit_stops_the_sender(path: Path) -> None:
    async def work(journal: Checkpoint) -> None:
        journal.begin("T1")
        await journal.intend(CONVERSATION)
        journal._db.execute("PRAGMA max_page_count = 1")  # like a full disk
        steps = [Step(StepKind.MESSAGE, "T1", f"m{n}", (Carried(f"m{n}" * 50),)) for n in range(1000)]
        with pytest.raises(Unwritable, match="cannot be written"):
            await asyncio.gather(*(journal.intend(step) for step in steps))
        journal._db.execute("PRAGMA max_page_count = 100000")

    write(path, work)
    # The writes that could not be committed then are committed at the end.
    assert len(memories(path, ["T1"])["T1"].steps) > 1
