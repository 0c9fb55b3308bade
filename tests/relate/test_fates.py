from collections.abc import Callable
from pathlib import Path

import pytest

from importer.model import State

Migration = Callable[..., Path]
TICKETS = "ticket_id,requester_email,subject\n1,a@b.example,one\n2,c@d.example,two\n"
MESSAGES = "message_id,ticket_id,direction,text,author_email,created_at\n"


def places(prepare, path: Path, kind: str, **options: object) -> dict[State, int]:
    books = prepare(path, **options).books
    assert books.balanced
    return {state: count for state, count in books[kind].places.items() if count}


def test_a_ticket_with_a_rejected_message_is_held_back(prepare, migration: Migration) -> None:
    messages = MESSAGES + "m1,1,inbound,hi,,\nm2,1,nowhere,ho,,\nm3,2,inbound,hey,,\n"
    path = migration(tickets=TICKETS, messages=messages)
    assert places(prepare, path, "tickets") == {State.REJECTED: 1, State.LEFT: 1}
    assert places(prepare, path, "messages") == {State.REJECTED: 2, State.LEFT: 1}


def test_with_holes_it_is_imported(prepare, migration: Migration) -> None:
    path = migration(
        tickets=TICKETS, messages=MESSAGES + "m1,1,inbound,hi,,\nm2,1,nowhere,ho,,\nm3,2,inbound,x,,\n"
    )
    assert places(prepare, path, "tickets", with_holes=True) == {State.LEFT: 2}
    assert places(prepare, path, "messages", with_holes=True) == {State.REJECTED: 1, State.LEFT: 2}


def test_messages_of_a_rejected_ticket_are_rejected_and_of_a_filtered_one_filtered(
    prepare, migration
) -> None:
    path = migration(
        'tickets.skip.subject = ["two"]',
        tickets=TICKETS.replace("a@b.example", "nonsense"),
        messages=MESSAGES + "m1,1,inbound,hi,,\nm2,2,inbound,ho,,\n",
    )
    assert places(prepare, path, "tickets") == {State.REJECTED: 1, State.FILTERED: 1}
    assert places(prepare, path, "messages") == {State.REJECTED: 1, State.FILTERED: 1}


def test_a_ticket_without_messages_is_filtered_by_default(prepare, migration: Migration) -> None:
    path = migration(tickets=TICKETS, messages=MESSAGES + "m1,1,inbound,hi,,\n")
    assert places(prepare, path, "tickets") == {State.FILTERED: 1, State.LEFT: 1}
    assert places(prepare, path, "tickets", conversation__empty="import") == {State.LEFT: 2}


def test_the_first_inbound_author_replaces_a_missing_requester(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id\n1\n",
        messages=MESSAGES
        + "m1,1,inbound,later,late@b.example,2024-01-02\nm2,1,inbound,first,early@b.example,2024-01-01\n",
    )
    (job,) = prepare(path).parts.jobs()
    assert job.requester.email == "early@b.example"


def test_the_default_requester_comes_last(prepare, migration: Migration) -> None:
    path = migration(tickets="ticket_id,opening_text\n1,hello\n")
    assert places(prepare, path, "tickets") == {State.REJECTED: 1}
    ready = prepare(path, people__default_requester="nobody@b.example")
    (job,) = ready.parts.jobs()
    assert (job.requester.email, job.messages[0].author) == ("nobody@b.example", job.requester)
    assert ready.related.default_requesters == 1


def test_authors_come_from_people(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,requester_id\n1,p1\n",
        messages="ticket_id,author_id,public,text\n1,p1,true,q\n1,p2,true,a\n1,p2,false,note\n",
        people="person_id,email,name,role\np1,a@b.example,Ann,end_user\np2,x@y.example,Xi,agent\n",
    )
    (job,) = prepare(path).parts.jobs()
    said = [(m.direction, m.author and m.author.email, m.by_agent, m.author_name) for m in job.messages]
    assert said == [
        ("inbound", "a@b.example", False, "Ann"),
        ("outbound", "x@y.example", True, "Xi"),
        ("internal", "x@y.example", True, "Xi"),
    ]


@pytest.mark.parametrize(
    ("ticket", "author", "inbound"),
    [
        ("requester_email\n1,Ann@B.example", "author_email\n1,true,hi,ann@b.example", True),
        ("requester_email\n1,ann@b.example", "from_email\n1,true,hi,ann@b.example", True),
        ("requester_email\n1,ann@b.example", "author_email\n1,true,hi,bo@b.example", False),
        ("requester_id,requester_email\n1,c9,ann@b.example", "author_id,author_email\n1,true,hi,u7,ann@b.example", True),
        ("requester_name\n1,Ann", "author_name\n1,true,hi,ANN", True),
        ("requester_name,requester_email\n1,Ann,ann@b.example", "author_name,author_email\n1,true,hi,Ann,bo@b.example", False),
    ],
)  # fmt: skip
def test_public_messages_of_the_requester_are_inbound(
    prepare, migration: Migration, ticket: str, author: str, inbound: bool
) -> None:
    path = migration(tickets=f"ticket_id,{ticket}\n", messages="ticket_id,public,text," + author + "\n")
    ready = prepare(path, people__default_requester="x@b.example", people__default_agent="m@b.example")
    (job,) = ready.parts.jobs()
    assert [m.direction for m in job.messages] == ["inbound" if inbound else "outbound"]


def test_a_private_message_of_the_requester_is_not_an_agent_s(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,requester_email\n1,ann@b.example\n2,c@d.example\n",
        messages="ticket_id,author_email,text\n1,Ann@b.example,x\n1,l@b.example,y\n2,ann@b.example,z\n",
    )
    said = {m.text: (m.direction, m.by_agent) for job in prepare(path).parts.jobs() for m in job.messages}
    assert said == {"x": ("internal", False), "y": ("internal", True), "z": ("internal", True)}


def test_an_agent_with_only_an_id_is_named_by_it(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,requester_email\n1,ann@b.example\n",
        messages="ticket_id,author_id,direction,text\n1,5b10,outbound,x\n1,5b11,outbound,y\n1,5b11,inbound,z\n",
    )
    path.with_suffix(".agents.csv").write_text("person,name,agent\n5b10,,lene@b.example\n", "utf-8")
    (job,) = prepare(path, people__default_agent="m@b.example").parts.jobs()
    assert [(m.text, m.author_name, m.author.email) for m in job.messages] == [
        ("x", "5b10", "lene@b.example"),
        ("y", "5b11", "m@b.example"),
        ("z", "ann@b.example", "ann@b.example"),
    ]


def test_the_sender_s_address_is_preferred_to_an_external_id(prepare, migration: Migration) -> None:
    path = migration(
        into="email",
        tickets="ticket_id,requester_email,created_at\nA,ann@b.example,2024-01-01\n",
        people="person_id,name\n7,Bo\n",
        messages="ticket_id,author_id,direction,from_email,text\nA,7,inbound,bo@b.example,hi\nA,7,inbound,,ho\n",
    )
    keys = {m.text: m.author.key for job in prepare(path).parts.jobs() for m in job.messages}
    assert keys == {"hi": "email:bo@b.example", "ho": "id:minimal:7"}


def test_a_message_that_does_not_say_whether_it_is_public_is_internal(prepare, migration: Migration) -> None:
    ready = prepare(migration(tickets=TICKETS, messages="ticket_id,text\n1,secret?\n2,also\n"))
    assert {m.direction for job in ready.parts.jobs() for m in job.messages} == {"internal"}
    assert ready.related.unsaid == 2


def test_a_message_that_is_not_public_is_internal_whatever_its_direction(
    prepare, migration: Migration
) -> None:
    path = migration(
        tickets=TICKETS, messages="ticket_id,direction,public,text\n1,outbound,false,x\n2,inbound,true,y\n"
    )
    jobs = {job.ticket_id: job for job in prepare(path).parts.jobs()}
    assert [m.direction for m in jobs["1"].messages] == ["internal"]


def test_an_agent_without_address_needs_the_default_agent(prepare, migration: Migration) -> None:
    path = migration(
        tickets=TICKETS, messages="ticket_id,direction,author_name,text\n1,outbound,Lene,x\n2,inbound,,y\n"
    )
    assert prepare(path).related.default_agents == 1
    assert places(prepare, path, "messages", people__default_agent=None) == {State.REJECTED: 1, State.LEFT: 1}


def test_an_agent_with_only_a_phone_number_is_not_replaced(prepare, migration: Migration) -> None:
    path = migration(
        tickets=TICKETS,
        messages="ticket_id,direction,author_id,text\n1,outbound,7,x\n2,outbound,8,y\n",
        people="person_id,name,phone,role\n7,Lene,+4520304050,agent\n8,Bo,,agent\n",
    )
    assert prepare(path).related.default_agents == 1
    assert places(prepare, path, "messages", people__default_agent=None) == {State.REJECTED: 1, State.LEFT: 1}
    (job,) = prepare(path, people__default_agent=None).parts.jobs()
    assert [m.author and m.author.key for m in job.messages] == ["phone:+4520304050"]


def test_attachments_depend_on_their_messages(prepare, migration: Migration) -> None:
    path = migration(
        tickets=TICKETS,
        messages="message_id,ticket_id,direction,text,attachments\nm1,1,inbound,x,https://f.example/1\nm2,2,inbound,y,\n",
        attachments="message_id,url\nm1,https://f.example/2\nm2,ftp://no\nm9,https://f.example/3\n",
    )
    assert places(prepare, path, "attachments") == {State.REJECTED: 2, State.LEFT: 2}
    assert places(prepare, path, "tickets") == {State.REJECTED: 1, State.LEFT: 1}
    (job,) = prepare(path).parts.jobs()
    assert [file.url for file in job.messages[0].attachments] == [
        "https://f.example/1",
        "https://f.example/2",
    ]


@pytest.mark.parametrize("requester", ["", "Alice"])
def test_the_replacement_of_a_requester_keeps_its_own_name(
    prepare, migration: Migration, requester: str
) -> None:
    path = migration(
        tickets=f"ticket_id,requester_name\n1,{requester}\n",
        messages="ticket_id,direction,text,author_email,author_name\n1,inbound,hi,bob@b.example,Bob\n",
    )
    (job,) = prepare(path).parts.jobs()
    assert (job.requester.email, job.requester.name) == ("bob@b.example", "Bob")


def test_the_default_requester_has_no_name(prepare, migration: Migration) -> None:
    path = migration(tickets="ticket_id,requester_name,opening_text\n1,Zoe,x\n2,Aaron,y\n")
    jobs = prepare(path, people__default_requester="unknown@b.example").parts.jobs()
    assert [(job.requester.email, job.requester.name) for job in jobs] == [("unknown@b.example", None)] * 2


def test_another_sender_does_not_get_the_requester_s_name(prepare, migration: Migration) -> None:
    path = migration(
        tickets="ticket_id,requester_email,requester_name\n1,alice@b.example,Alice\n",
        messages=MESSAGES + "a,1,inbound,hi,Alice@b.example,\nb,1,inbound,ho,bob@b.example,\n",
    )
    (job,) = prepare(path).parts.jobs()
    assert {m.author.email.lower(): m.author.name for m in job.messages} == {
        "alice@b.example": "Alice",
        "bob@b.example": None,
    }


@pytest.mark.parametrize("opening", ["unless_messages", "unless_repeated"])
@pytest.mark.parametrize("attached", [False, True])
def test_an_empty_message_does_not_replace_the_opening_text(
    prepare, migration: Migration, opening: str, attached: bool
) -> None:
    files = {"attachments": "message_id,url\nm,https://files.example/1\n"} if attached else {}
    path = migration(
        f'opening = "{opening}"',
        tickets="ticket_id,requester_email,created_at,opening_text\n1,a@b.example,2024-01-01T00:00:00Z,help\n",
        messages=MESSAGES + "m,1,inbound,,a@b.example,2024-01-01T00:01:00Z\n",
        **files,
    )
    ready = prepare(path)
    (job,) = ready.parts.jobs()
    assert [message.message_id for message in job.messages] == (["m"] if attached else ["1:opening"])
    assert ready.related.openings.repeated == attached


GATHERED = "message_id,ticket_id,author_email,direction,text,created_at,requester_email,Desc\n"


def test_tickets_gathered_from_several_files_keep_their_own_opening_texts(
    prepare, migration: Migration, tmp_path: Path
) -> None:
    row = "{},{},a@b.example,inbound,t,2024-01-02T00:00:00Z,a@b.example,open {}\n"
    for number, rows in enumerate((["aB", "bB", "cA"], ["dA", "eB"])):
        text = GATHERED + "".join(row.format(name[0], name[1], name[1]) for name in rows)
        (tmp_path / f"m{number}.csv").write_text(text)
    path = migration(
        'messages.files = ["m*.csv"]\n'
        'tickets.columns.opening_text = "Desc"\ntickets.defaults.created_at = "2024-01-01T00:00:00Z"'
    )
    ready = prepare(path)
    assert ready.books.balanced
    said = {j.ticket_id: [(m.message_id, m.text) for m in j.messages] for j in ready.parts.jobs()}
    assert said == {
        "A": [("A:opening", "open A"), ("c", "t"), ("d", "t")],
        "B": [("B:opening", "open B"), ("a", "t"), ("b", "t"), ("e", "t")],
    }


@pytest.mark.parametrize("name", ["Thomas Groß", "ÅSE MÜLLER"])
def test_names_of_agents_may_have_any_letters(prepare, migration: Migration, name: str) -> None:
    path = migration(
        tickets="ticket_id,requester_email\n1,a@b.example\n",
        messages=f"ticket_id,direction,text,author_name\n1,outbound,hello,{name}\n",
    )
    path.with_name("minimal.agents.csv").write_text(f"person,agent\n{name},agent@b.example\n", "utf-8")
    (job,) = prepare(path).parts.jobs()
    assert [message.author.email for message in job.messages] == ["agent@b.example"]
