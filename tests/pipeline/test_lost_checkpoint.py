"""A checkpoint that is lost, or that is exchanged during a run, does not lead to a second import."""

import asyncio
import os
from pathlib import Path

import pytest

from importer.checkpoint.journal import Binding, Checkpoint
from importer.checkpoint.lock import ensure_free, is_held
from importer.checkpoint.queries import ticket_count
from importer.errors import CheckpointError, Locked
from importer.model import State, Step, StepKind

BINDING = Binding("acme", "integrations", "http://127.0.0.1:1")
TICKETS = "ticket_id,requester_email,created_at\nA,ann@b.example,2024-01-01\nB,bo@b.example,2024-01-02\n"
MESSAGES = (
    "message_id,ticket_id,direction,text,created_at\n"
    "a1,A,inbound,one,2024-02-01\nb1,B,inbound,two,2024-02-02\n"
)


def told(dixa_import, path: Path, sandbox, *flags: str, command: str = "run") -> tuple[int, str]:
    target = ("--base-url", sandbox.url, "--rate", 500, "--grace", 0.1)
    done = dixa_import(command, path, *target, *flags)
    return done.code, " ".join((done.out + done.err).split())


@pytest.mark.parametrize("how", ["deleted", "emptied", "older"])
def test_a_lost_checkpoint_stops_the_run(dixa_import, migration, serving, how: str) -> None:
    with serving() as sandbox:
        path = migration(tickets=TICKETS.rpartition("B,")[0], messages=MESSAGES.rpartition("b1,")[0])
        checkpoint = path.with_name("minimal.checkpoint")
        assert told(dixa_import, path, sandbox)[0] == 0
        older = checkpoint.read_bytes()
        path = migration(tickets=TICKETS, messages=MESSAGES)
        assert told(dixa_import, path, sandbox)[0] == 0
        checkpoint.unlink()
        if how != "deleted":
            checkpoint.write_bytes(older if how == "older" else b"")
        code, said = told(dixa_import, path, sandbox)
        assert code == 7
        assert "is lost or is an older copy" in said
        assert sandbox.store.count("conversations") == 2
        # Whoever wants everything once more says so.
        path.with_name("minimal.report").rename(path.with_name("old.report"))
        assert told(dixa_import, path, sandbox, "--from-scratch")[0] == 0


def begin(journal: Checkpoint, ticket_id: str) -> None:
    journal.begin(ticket_id)
    asyncio.run(journal.intend(Step(StepKind.CONVERSATION, ticket_id, "")))


@pytest.mark.parametrize("how", ["removed", "replaced", "cut", "without its WAL"])
def test_nothing_is_sent_after_the_file_was_exchanged(tmp_path: Path, how: str) -> None:
    path = tmp_path / "acme.checkpoint"
    with Checkpoint(path, BINDING) as journal:
        begin(journal, "first")
    journal = Checkpoint(path, BINDING)
    begin(journal, "second")
    if how == "cut":
        os.truncate(path, 0)
    elif how == "without its WAL":
        path.with_name("acme.checkpoint-wal").unlink()
    else:
        path.unlink()
    if how == "replaced":
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="removed, replaced or cut"):
        begin(journal, "third")
    with pytest.raises(CheckpointError, match=r"acme\.checkpoint\.rescued|Put a copy"):
        journal.close()
    if how != "cut":
        assert ticket_count(tmp_path / "acme.checkpoint.rescued") == 3
        assert (tmp_path / "acme.checkpoint.rescued").stat().st_mode & 0o777 == 0o600


def test_the_lock_is_on_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "acme.checkpoint"
    with Checkpoint(path, BINDING) as journal:
        assert is_held(path)
        with pytest.raises(Locked):
            ensure_free(path)
        with pytest.raises(Locked):
            Checkpoint(path, BINDING)
        assert sorted(p.name for p in tmp_path.iterdir() if "lock" in p.name) == []
        moved = path.rename(tmp_path / "moved.checkpoint")
        assert is_held(moved)
        moved.rename(path)
        begin(journal, "A")
        journal.record(Step(StepKind.CONVERSATION, "A", ""), State.IMPORTED, dixa_id="1")
    assert not is_held(path)
