"""Dixa API v1: what is sent, what responses mean, and what is read back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from importer.dixa import v1
from importer.dixa.matching import Likeness, Sent, instant
from importer.dixa.v1.protocol import DixaV1, V1Settings
from importer.model import (
    AGENT,
    Answer,
    Attachment,
    Carried,
    Contact,
    Conversation,
    Direction,
    Doubt,
    Message,
    NoAnswer,
    State,
    Step,
    StepKind,
    Verdict,
)
from importer.resources import SCHEMAS
from importer.sandbox import contract

ANN, BO, LENE = Contact("ann@b.example", name="Ann"), Contact("bo@b.example"), Contact("lene@x.example")
U = "00000000-0000-4000-8000-00000000000"
IDS = {ANN.key: U + "1", BO.key: U + "2", f"{AGENT}{LENE.key}": U + "3", "conversation": "77"}
AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
OPERATIONS = {op.name: op for op in contract.load(SCHEMAS / "api" / "dixa.yaml")}


def message(number: int, direction: Direction, author: Contact, **more: Any) -> Message:
    at = AT + timedelta(minutes=number)
    return Message(f"m{number}", at, direction, author, author is LENE, author.name, f"text {number}", **more)


JOB = Conversation(
    "T1",
    ANN,
    Direction.INBOUND,
    "A subject",
    "email",
    AT,
    ("vip",),
    (
        message(1, Direction.INBOUND, ANN, html="<p onclick='x()'>one<script>no</script></p>"),
        message(
            2,
            Direction.OUTBOUND,
            LENE,
            cc=("cc@b.example",),
            attachments=(Attachment("https://f.example/1", "one"),),
        ),
        message(3, Direction.INTERNAL, LENE, attachments=(Attachment("https://f.example/2"),)),
        message(4, Direction.INBOUND, BO),
    ),
    status="closed",
    closed_at=AT + timedelta(days=1),
    assigned=True,
    assignee=LENE,
    custom={"Priority": "high"},
)


def target(kind: str = "email", **changes: Any) -> DixaV1:
    settings = V1Settings(
        migration="acme",
        kind=kind,
        endpoint="imported@email.dixa.io" if kind == "email" else None,
        queue_id="q-1",
        tags=("history",),
        attributes={U + "8": "ticket_id", U + "9": "custom.Priority"},
        grown="list",
        markdown=False,
        max_bytes=100_000,
        head="",
        opening_head="" if kind == "email" else "[Ticket {ticket_id}: {subject}]",
        author_head="[{author}]",
        zone=ZoneInfo("UTC"),
        agents={LENE.key or "": U + "3"},
        default_agent=U + "7",
    )
    return DixaV1(replace(settings, **changes))


def imported(api: DixaV1, job: Conversation = JOB) -> dict[str, Any]:
    body = api.request(api.steps(job)[0], job, IDS).json
    assert list(OPERATIONS["import_conversation"].body.iter_errors(body)) == []  # type: ignore[union-attr]
    return dict(body)


def test_one_request_imports_the_conversation_with_its_original_times() -> None:
    endpoint = {"emailIntegrationId": "imported@email.dixa.io"}
    assert imported(target()) == {
        "_type": "GenericConversationImport",
        "genericChannelName": "email",
        "requesterId": U + "1",
        "direction": "Inbound",
        "createdAt": "2024-01-02T03:04:05.000Z",
        "externalId": "acme:T1",
        "attributes": {**endpoint, "subject": "A subject"},
        "assignment": {"agentId": U + "3", "assignedAt": "2024-01-02T03:06:05.000Z"},
        "closing": {"closedAt": "2024-01-03T03:04:05.000Z", "closedBy": U + "3"},
        "messages": [
            {
                "_type": "InboundImport",
                "content": {"_type": "Html", "value": "<p>one</p>"},
                "createdAt": "2024-01-02T03:05:05.000Z",
                "externalId": "acme:m1",
                "attributes": endpoint,
            },
            {
                "_type": "OutboundImport",
                "content": {"_type": "Text", "value": "text 2"},
                "createdAt": "2024-01-02T03:06:05.000Z",
                "externalId": "acme:m2",
                "agentId": U + "3",
                "attachments": [{"url": "https://f.example/1", "prettyName": "one"}],
                "attributes": {**endpoint, "cc": ["cc@b.example"]},
            },
            {
                "_type": "InboundImport",
                "content": {"_type": "Text", "value": "text 4"},
                "createdAt": "2024-01-02T03:08:05.000Z",
                "externalId": "acme:m4",
                "attributes": {**endpoint, "requesterId": U + "2"},
            },
        ],
    }


def test_what_the_import_cannot_contain_follows_in_other_requests() -> None:
    api = target()
    after = [(s.kind, api.request(s, JOB, IDS)) for s in api.steps(JOB)[1:]]
    assert [(kind, r.method, r.path, r.json) for kind, r in after] == [
        (
            StepKind.NOTES,
            "POST",
            "/v1/conversations/77/notes/bulk",
            {
                "data": [
                    {
                        "message": "text 3\n\nhttps://f.example/2",
                        "createdAt": "2024-01-02T03:07:05.000Z",
                        "agentId": U + "3",
                    }
                ]
            },
        ),
        (
            StepKind.TAGS,
            "POST",
            "/v1/conversations/77/tags/bulk",
            {"data": [{"name": "history"}, {"name": "vip"}]},
        ),
        (
            StepKind.ATTRIBUTES,
            "PATCH",
            "/v1/conversations/77/custom-attributes",
            {U + "8": "T1", U + "9": "high"},
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "assigned", "closed", "follows"),
    [
        ({"status": "open"}, True, False, []),
        ({"status": "open", "assignee": None}, False, False, [StepKind.TRANSFER]),
        ({"status": "open", "assignee": BO}, False, False, [StepKind.TRANSFER]),
        ({"status": "pending", "assignee": None}, False, False, [StepKind.TRANSFER]),
        ({"status": None, "closed_at": None, "assignee": None}, False, False, [StepKind.TRANSFER]),
        ({"status": None}, True, True, []),
        ({"assignee": None}, False, True, []),
    ],
    ids=str,
)
def test_an_open_ticket_has_an_assignee_or_a_queue(
    changes: dict[str, Any], assigned: bool, closed: bool, follows: list[StepKind]
) -> None:
    job = replace(JOB, **changes)
    body = imported(target(), job)
    assert ("assignment" in body, "closing" in body) == (assigned, closed)
    kinds = [step.kind for step in target().steps(job)]
    assert [kind for kind in kinds if kind in (StepKind.TRANSFER, StepKind.CLOSE)] == follows


def test_a_ticket_without_a_known_agent_is_closed_by_a_request_of_its_own() -> None:
    job = replace(JOB, assignee=None, messages=JOB.messages[:1])
    api = target(default_agent=None)
    assert "closing" not in imported(api, job)
    step = next(step for step in api.steps(job) if step.kind is StepKind.CLOSE)
    assert api.request(step, job, IDS).path == "/v1/conversations/77/close"


def test_an_author_whom_dixa_cannot_show_is_named_in_the_text() -> None:
    job = replace(
        JOB,
        messages=(
            replace(JOB.messages[3], author_name="Bo B."),
            replace(JOB.messages[1], author_name="Lene", cc=()),
        ),
    )
    api = target("genericapimessaging", replaced=frozenset({LENE.key}))
    texts = [m["content"]["value"] for m in imported(api, job)["messages"]]
    assert texts == ["[Ticket T1: A subject]\n[Bo B.]\n\ntext 4", "[Lene]\n\ntext 2"]
    assert api.losses(job)["authors"] == 2
    own = [m["content"]["value"] for m in imported(target(), job)["messages"]]
    assert own == ["text 4", "text 2"]


def test_messages_that_do_not_fit_into_the_import_follow_as_notes_with_their_times() -> None:
    public = tuple(
        replace(message(n, Direction.INBOUND, ANN), text="x" * 30_000, author_name="Ann") for n in range(6)
    )
    job = replace(JOB, messages=public)
    api = target()
    first, *rest = api.steps(job)
    notes = [step for step in rest if step.kind is StepKind.NOTES]
    ids = [c.key for step in (first, *notes) for c in step.carries]
    assert ids == [m.message_id for m in public]
    assert len(first.carries) == 3
    for step in notes:
        body = api.request(step, job, IDS).json["data"]
        assert all(note["message"].startswith("[Ann, inbound]\n\nxxx") for note in body)
        assert [note["createdAt"] for note in body] == [
            f"2024-01-02T03:{4 + int(c.key[1:]):02}:05.000Z" for c in step.carries
        ]
    assert api.losses(job)["very large conversations"] == 3


def test_a_huge_html_text_is_sent_as_plain_text() -> None:
    big = replace(JOB.messages[0], html="<p>" + "y" * 80_000 + "</p>")
    [content] = [m["content"] for m in imported(target(), replace(JOB, messages=(big,)))["messages"]]
    assert content == {"_type": "Text", "value": "text 1"}


def test_texts_are_markdown_if_the_migration_says_so() -> None:
    body = imported(target(markdown=True))
    assert [m["content"]["_type"] for m in body["messages"]] == ["Html", "Markdown", "Markdown"]


def test_grown_tickets_get_notes_and_public_messages_only_with_grown_note() -> None:
    new = {"m3", "m4"}
    listed = [s for s in target().steps(JOB, created=True, wanted=new, late=new) if s.kind is StepKind.NOTES]
    assert [[c.key for c in s.carries] for s in listed] == [["m3"]]
    api = target(grown="note")
    [step] = [s for s in api.steps(JOB, created=True, wanted=new, late=new) if s.kind is StepKind.NOTES]
    assert [c.key for c in step.carries] == ["m3", "m4"]
    texts = [note["message"] for note in api.request(step, JOB, IDS).json["data"]]
    assert texts[1] == "[author unknown, inbound]\n\ntext 4"


@pytest.mark.parametrize(
    ("at", "sent"),
    [
        (datetime(2024, 3, 31, 0, 59, 59, 999000, tzinfo=UTC), "2024-03-31T00:59:59.999Z"),
        (
            datetime(2024, 3, 31, 3, 0, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            "2024-03-30T21:15:00.000Z",
        ),
        (
            datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Copenhagen")),
            "2024-10-27T01:30:00.000Z",
        ),
        (datetime(1999, 12, 31, 23, 59, 59, 1, tzinfo=UTC), "1999-12-31T23:59:59.000001Z"),
    ],
)
def test_an_instant_is_sent_unchanged(at: datetime, sent: str) -> None:
    job = replace(JOB, created_at=None, messages=(replace(JOB.messages[0], created_at=at),))
    assert imported(target(), job)["messages"][0]["createdAt"] == sent
    assert instant(sent) == at.timestamp()
    assert instant(sent.replace("Z", "Z[GMT]")) == at.timestamp()


IMPORT = Step(
    StepKind.CONVERSATION,
    "T1",
    "",
    (Carried("m1", attachments=1), Carried("m11", attachments=2), Carried("443", attachments=1)),
    expected={"prefix": "acme:"},
)
NOTES = Step(StepKind.NOTES, "T1", "m1", (Carried("m1"), Carried("m2")))
TAGS = Step(StepKind.TAGS, "T1", "")


@pytest.mark.parametrize(
    ("step", "response", "verdict"),
    [
        (IMPORT, Answer(201, {"data": {"id": 5}}), Verdict.CREATED),
        (IMPORT, Answer(201, {"data": {}}), Verdict.IN_DOUBT),
        (IMPORT, Answer(400, {"message": "no"}), Verdict.REFUSED),
        (IMPORT, Answer(413, None), Verdict.REFUSED),
        (IMPORT, Answer(500, {"message": "no"}), Verdict.IN_DOUBT),
        (IMPORT, NoAnswer(sent=True, reason="reset"), Verdict.IN_DOUBT),
        (NOTES, Answer(200, {"data": [{"data": {"id": "a"}}, {"error": {"message": "b"}}]}), Verdict.CREATED),
        (NOTES, Answer(200, {"data": [{"data": {"id": "a"}}]}), Verdict.IN_DOUBT),
        (NOTES, Answer(200, None, "<html>"), Verdict.IN_DOUBT),
        (TAGS, Answer(202, None), Verdict.CREATED),
        (TAGS, Answer(204, None), Verdict.CREATED),
        (TAGS, Answer(404, None), Verdict.IN_DOUBT),
        (TAGS, Answer(429, None), Verdict.AGAIN),
        (TAGS, Answer(401, None), Verdict.UNAUTHORIZED),
    ],
    ids=str,
)
def test_what_a_response_proves(step: Step, response: Answer | NoAnswer, verdict: Verdict) -> None:
    assert v1.judge(response, step).verdict is verdict


def test_partial_errors_belong_to_the_message_whose_external_id_they_name() -> None:
    errors = [
        "Conversation could not be assigned",
        "The attachment https://f.example/x of message 'acme:m11' could not be downloaded",
        "The attachment https://f.example:443/y of message acme:m11. could not be downloaded",
    ]
    body = {"data": {"id": 5, "partialErrors": [{"message": text} for text in errors]}}
    judgement = v1.judge(Answer(201, body), IMPORT)
    assert (judgement.dixa_id, judgement.state) == ("5", State.PARTIAL)
    assert judgement.reason == "; ".join(errors)
    [(message_id, outcome)] = judgement.outcomes.items()
    assert (message_id, outcome.state, outcome.refused) == ("m11", State.PARTIAL, 2)


def test_single_notes_fail_alone() -> None:
    body = {"data": [{"error": {"message": "no such agent"}}, {"data": {"id": "n-2"}}]}
    outcomes = v1.judge(Answer(200, body), NOTES).outcomes
    assert outcomes["m1"].state is State.REJECTED
    assert outcomes["m1"].reason == "no such agent"
    assert (outcomes["m2"].state, outcomes["m2"].dixa_id) == (State.IMPORTED, "n-2")


def doubt() -> Doubt:
    api = target()
    step = api.steps(JOB)[0]
    expected = api.expected(step, api.request(step, JOB, IDS), IDS)
    return Doubt(StepKind.CONVERSATION, "T1", "", {**expected, "offset": 0.0, "latest": 60.0}, 1e9, 1e9)


def content(number: int, **more: Any) -> dict[str, Any]:
    at = AT + timedelta(minutes=number)
    return {
        "id": f"x{number}",
        "externalId": f"acme:m{number}",
        "createdAt": f"{at:%Y-%m-%dT%H:%M:%S}.000Z[GMT]",
        **more,
    }


ITEM = {"id": 5, "createdAt": "2024-01-02T03:04:05Z[GMT]", "assignment": {"agentId": U + "3"}}


@pytest.mark.parametrize(
    ("item", "contents", "likeness"),
    [
        (ITEM, [content(1), content(2), content(4)], Likeness.CERTAIN),
        (ITEM, [content(4)], Likeness.CERTAIN),
        (ITEM, [content(1, externalId="other:m1")], Likeness.OTHER),
        (ITEM, [content(n, externalId=None) for n in (1, 2, 4)], Likeness.PROBABLE),
        (ITEM, [content(n, externalId=None) for n in (1, 2, 3)], Likeness.OTHER),
        # The list of its messages may be behind.
        (ITEM, [], Likeness.UNCLEAR),
        (
            {**ITEM, "createdAt": "2024-01-02T09:00:00Z"},
            [content(n, externalId=None) for n in (1, 2, 4)],
            Likeness.OTHER,
        ),
    ],
)
def test_an_import_is_recognised(item: Any, contents: list[Any], likeness: Likeness) -> None:
    assert v1.likeness(item, contents, doubt()) is likeness


def test_only_a_conversation_with_the_sent_time_or_a_possible_one_can_be_the_one_in_doubt() -> None:
    assert v1.could_be_conversation(ITEM, doubt())
    assert v1.could_be_conversation({"createdAt": "2001-09-09T01:46:50.000Z"}, doubt())
    assert not v1.could_be_conversation({"createdAt": "2019-01-01T00:00:00.000Z"}, doubt())
    assert v1.could_be_conversation({}, doubt())


def test_an_import_without_public_messages_that_somebody_wrote_into_is_undecidable() -> None:
    api, job = target(), replace(JOB, messages=(JOB.messages[2],))
    step = api.steps(job)[0]
    expected = api.expected(step, api.request(step, job, IDS), IDS)
    wanted = Doubt(StepKind.CONVERSATION, "T1", "", expected, 0, 0)
    item = {**ITEM, "subject": "A subject"}
    assert v1.likeness(item, [], wanted) is Likeness.PROBABLE
    assert v1.likeness(item, [content(9, externalId=None)], wanted) is Likeness.UNCLEAR
    # A subject that is shown otherwise does not prove that it is another conversation.
    assert v1.likeness({**item, "subject": "<p>A subj&#101;ct"}, [], wanted) is Likeness.PROBABLE
    assert v1.likeness({**item, "subject": "Another"}, [], wanted) is Likeness.UNCLEAR


def test_people_in_another_order_are_told_apart_by_their_addresses() -> None:
    people = Step(StepKind.PERSON, "", "", (Carried("phone:+4520304050"), Carried("id:acme:7")))
    right = [
        {"data": {"id": "1", "phoneNumber": "+45 20 30-40 50"}},
        {"data": {"id": "2", "externalId": "acme:7"}},
    ]
    for results in (right, right[::-1]):
        judgement = v1.judge(Answer(201, {"data": results}), people)
        assert judgement.verdict is Verdict.CREATED
        assert {key: found.dixa_id for key, found in judgement.outcomes.items()} == {
            "phone:+4520304050": "1",
            "id:acme:7": "2",
        }
    # One who shows no address where the order is another one is looked up instead.
    unknown = [right[1], {"data": {"id": "3"}}]
    assert set(v1.judge(Answer(201, {"data": unknown}), people).outcomes) == {"id:acme:7"}
    bare = [{"data": {"id": "1"}}, {"error": {"message": "no"}}]
    assert v1.judge(Answer(201, {"data": bare}), people).verdict is Verdict.CREATED
    nameless = [{"data": {"id": "1"}}, {"data": {"id": None}}]
    assert v1.judge(Answer(201, {"data": nameless}), people).verdict is Verdict.IN_DOUBT


@pytest.mark.parametrize("errors", ["could not", True, {"message": "could not"}, [None]])
def test_partial_errors_of_another_form_count_too(errors: Any) -> None:
    judgement = v1.judge(Answer(201, {"data": {"id": 5, "partialErrors": errors}}), IMPORT)
    assert (judgement.dixa_id, judgement.state, judgement.outcomes) == ("5", State.PARTIAL, {})
    assert len(judgement.reason.split(";")) == 1


@pytest.mark.parametrize(
    ("html", "text", "shown"),
    [
        ("<style>p{}</style>", "the text", "the text"),
        ("<!-- nothing -->&nbsp;", "", "[no text]"),
        ("<img src='data:image/png;base64,x'>", "", "[no text]"),
        ("<img src='https://f.example/a.png'>", "", '<img src="https://f.example/a.png">'),
    ],
)
def test_html_that_shows_nothing_is_replaced(html: str, text: str, shown: str) -> None:
    job = replace(JOB, messages=(replace(JOB.messages[0], html=html, text=text),))
    [sent] = imported(target(), job)["messages"]
    assert sent["content"]["value"] == shown


def test_what_a_lost_response_would_have_reported_is_read_back() -> None:
    files = {"attributes": {"attachments": [{"url": "https://f.example/1"}]}}
    whole = v1.lacking(ITEM, [content(1), content(2, **files), content(4)], doubt())
    assert (whole.partial, whole.outcomes) == (False, {})
    lacking = v1.lacking({**ITEM, "assignment": None}, [content(1), content(2)], doubt())
    assert lacking.partial
    assert lacking.outcomes["m2"].refused == 1
    assert "1 message(s) are missing" in lacking.reason
    assert "not assigned" in lacking.reason


def test_equal_notes_are_counted() -> None:
    api = target()
    twins = tuple(replace(message(3, Direction.INTERNAL, LENE), message_id=f"n{k}") for k in range(3))
    job = replace(JOB, messages=twins)
    [step] = [s for s in api.steps(job) if s.kind is StepKind.NOTES]
    expected = api.expected(step, api.request(step, job, IDS), IDS)
    wanted = Doubt(StepKind.NOTES, "T1", step.key, expected, 0, 0, frozenset({"known"}))
    note = {"authorId": U + "3", "createdAt": "2024-01-02T03:07:05Z", "message": "text  3"}
    items = [
        {**note, "id": "known"},
        {**note, "id": "a"},
        {**note, "id": "b"},
        {**note, "id": "c", "message": "else"},
    ]
    found = v1.match(items, wanted)
    # The last one has author and time of a note that was sent, so it is that note, whatever it shows.
    ids = {key: outcome.dixa_id for key, outcome in found.outcomes.items()}
    assert (ids, found.unclear) == ({"n0": "a", "n1": "b", "n2": "c"}, ())
    two = v1.match([items[1], {**items[3], "id": "d", "message": "else"}], wanted)
    assert two.unclear == ("d",)
    assert v1.duplicates(items, {"known", "a"}, [Sent(*note) for note in expected["notes"]], 0) == {
        "b": True,
        "c": True,
    }


@pytest.mark.parametrize(
    ("kind", "answer", "is_set"),
    [
        (StepKind.TAGS, [{"name": "history"}, {"name": "vip"}, {"name": "x"}], True),
        (StepKind.TAGS, [{"name": "vip"}], False),
        (
            StepKind.ATTRIBUTES,
            {"customAttributes": [{"id": U + "8", "value": "T1"}, {"id": U + "9", "value": "high"}]},
            True,
        ),
        (StepKind.ATTRIBUTES, {"customAttributes": [{"id": U + "8", "value": "T1"}]}, False),
        (StepKind.ATTRIBUTES, {}, False),
    ],
)
def test_a_setting_is_read_back(kind: StepKind, answer: Any, is_set: bool) -> None:
    api = target()
    step = next(step for step in api.steps(JOB) if step.kind is kind)
    expected = api.expected(step, api.request(step, JOB, IDS), IDS)
    assert v1.setting(Doubt(kind, "T1", "", expected, 0, 0)).is_set(Answer(200, {"data": answer})) is is_set


def test_agents_are_recognised_by_every_address() -> None:
    agent = {
        "id": "1",
        "email": "A@x.example",
        "additionalEmails": ["b@x.example"],
        "phoneNumber": "+45",
        "displayName": "A",
    }
    assert v1.AGENTS.entry(agent) == (["email:a@x.example", "email:b@x.example", "phone:+45"], "A")


@pytest.mark.parametrize(
    ("contact", "query"),
    [
        (Contact("a@b.example", "+4520304050", external_id="acme:1"), {"email": "a@b.example"}),
        (Contact(None, "+4520304050", external_id="acme:1"), {"phone": "+4520304050"}),
        (Contact(None, None, "A", "acme:1"), {"externalId": "acme:1"}),
    ],
)
def test_people_are_found_by_one_address(contact: Contact, query: dict[str, str]) -> None:
    assert v1.find_person(contact).query == query
    found = {"id": "7", "email": "A@b.example", "phoneNumber": "+4520304050", "externalId": "acme:1"}
    others = [{"id": "8", "email": "other@b.example", "externalId": "acme:10"}, {"id": "9"}]
    assert v1.person_in([*others, found], contact) == "7"
    assert v1.person_in(others, contact) is None
