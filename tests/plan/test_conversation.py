import random
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from importer.migration import file as config
from importer.pipeline.prepare import prepare
from importer.plan.parts import write_parts
from importer.read.scan import scan

Migration = Callable[..., Path]


def test_tickets_are_planned_oldest_first_and_messages_by_time(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,requester_email,created_at\nb,a@b.example,2024-01-02\na,a@b.example,2024-01-02\nc,a@b.example,2024-01-01\n",
        messages="message_id,ticket_id,direction,created_at,text\n3,a,inbound,2024-01-04,x\n1,a,inbound,2024-01-03,x\n2,a,inbound,2024-01-03,x\n9,b,inbound,2024-01-03,x\n8,c,inbound,2024-01-03,x\n",
    )
    jobs = list(prepare(path).parts.jobs())
    assert [job.ticket_id for job in jobs] == ["c", "a", "b"]
    assert [m.message_id for m in jobs[1].messages] == ["1", "2", "3"]


def test_an_opening_text_comes_before_other_messages_of_the_same_time(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,requester_email,created_at,opening_html\n1,a@b.example,2024-01-02,<p>Hi <b>there</b></p>\n",
        messages="message_id,ticket_id,direction,created_at,text\nm1,1,outbound,2024-01-02,answer\n",
    )
    (job,) = prepare(path).parts.jobs()
    assert [(m.message_id, m.text.strip(), m.direction) for m in job.messages] == [
        ("1:opening", "Hi there", "inbound"),
        ("m1", "answer", "outbound"),
    ]


def test_messages_without_an_id_get_stable_and_distinct_ids(prepare, migration: Migration) -> None:
    rows = ["1,inbound,2024-01-01,same", "1,inbound,2024-01-01,same", "1,inbound,2024-01-02,other"]
    ids = []
    for order in (rows, rows[::-1]):
        path = migration(
            tickets="ticket_id,requester_email\n1,a@b.example\n",
            messages="\n".join(["ticket_id,direction,created_at,text", *order]),
        )
        (job,) = prepare(path).parts.jobs()
        ids.append([m.message_id for m in job.messages])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_small_parts_give_the_same_plan(prepare, samples: Path, tmp_path: Path) -> None:
    ready = prepare(samples / "helpdesk.toml")
    (tmp_path / "small").mkdir()
    small = write_parts(
        ready.related, default_agent="migration@nordlys.example", workdir=tmp_path / "small", part_size=3
    )
    assert small.count > 3
    assert list(small.jobs()) == list(ready.parts.jobs())


def _export(tickets: int, seed: int) -> tuple[list[str], list[str]]:
    chance = random.Random(seed)
    heads = [f"{n},u{n % 3}@b.example,2024-01-{1 + n % 9:02}" for n in range(tickets)]
    texts = [
        f"{n}-{k},{n},{'inbound' if k % 2 else 'outbound'},2024-02-01T00:{k:02}:00Z,text {chance.random()}"
        for n in range(tickets)
        for k in range(chance.randrange(4))
    ]
    return heads, texts


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tickets=st.integers(1, 12), seed=st.integers(0, 99), shuffle=st.randoms(use_true_random=False))
def test_shuffled_input_gives_the_same_plan(
    tmp_path_factory, tickets: int, seed: int, shuffle: random.Random
) -> None:
    heads, texts = _export(tickets, seed)
    plans = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("shuffled")
        (folder / "t.csv").write_text("\n".join(["ticket_id,requester_email,created_at", *heads]))
        (folder / "m.csv").write_text("\n".join(["message_id,ticket_id,direction,created_at,text", *texts]))
        (folder / "m.toml").write_text(
            'version = 1\nname = "m"\n[source]\ntimezone = "UTC"\ntickets.files = "t.csv"\nmessages.files = "m.csv"\n'
            '[conversation]\nqueue = "q"\nendpoint = "e"\n[people]\ndefault_agent = "x@y.example"\n'
        )
        loaded = config.load_migration(folder / "m.toml")
        ready = prepare(
            loaded, scan(loaded.source, folder, folder), folder, with_holes=False, say=lambda _: None
        )
        assert ready.books.balanced
        plans.append(list(ready.parts.jobs()))
        shuffle.shuffle(heads)
        shuffle.shuffle(texts)
    assert plans[0] == plans[1]
