from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from importer.dixa import integrations
from importer.dixa.integrations.protocol import Integrations, IntegrationsSettings
from importer.errors import ProtocolError
from importer.model import (
    Answer,
    Attachment,
    Contact,
    Conversation,
    Direction,
    Message,
    NoAnswer,
    Step,
    StepKind,
    Verdict,
)
from importer.resources import SCHEMAS
from importer.sandbox import contract

ANN, LENE = Contact("ann@b.example", name="Ann"), Contact("lene@x.example")
IDS = {"email:ann@b.example": "u-ann", "agent email:lene@x.example": "u-lene", "conversation": "77"}
A_STEP = Step(StepKind.CONVERSATION, "T1", "")
AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
OPERATIONS = {op.name: op for op in contract.load(SCHEMAS / "api" / "integrations.yaml")}


def message(number: int, direction: Direction, author: Contact, **more: object) -> Message:
    return Message(f"m{number}", AT, direction, author, author is LENE, author.name, f"text {number}", **more)


JOB = Conversation(
    "T1",
    ANN,
    Direction.INBOUND,
    "A subject",
    "email",
    AT,
    ("imported", "unheard of"),
    (
        message(1, Direction.INBOUND, ANN, channel="email", from_email="ann@b.example"),
        message(2, Direction.INTERNAL, LENE),
        message(3, Direction.OUTBOUND, LENE, attachments=(Attachment("https://f.example/1", "one"),)),
    ),
)


def target(kind: str, **changes: object) -> Integrations:
    settings = IntegrationsSettings(
        kind=kind,
        queue_id="q-1",
        endpoint_id="+4512345678" if kind == "callback" else "imported@email.dixa.io",
        tags=("history",) if kind == "callback" else (),
        head="[{created_at}, {author}]",
        opening_head="[Ticket {ticket_id}: {subject}]",
        zone=ZoneInfo("UTC"),
    )
    return Integrations(replace(settings, **changes), known_tags=frozenset({"imported", "history"}))


def requests(api: Integrations, job: Conversation = JOB) -> list[tuple[str, object]]:
    sent = [api.request(step, job, IDS) for step in api.steps(job)]
    return [(request.path, request.json) for request in sent]


def test_a_callback_is_created_without_messages_and_they_follow_in_order() -> None:
    path = "/v1/conversations/77/messages/historical"
    assert requests(target("callback")) == [
        (
            "/v1/conversations",
            {
                "channel": "callback",
                "direction": "inbound",
                "queue_id": "q-1",
                "requester_id": "u-ann",
                "endpoint_id": "+4512345678",
                "tags": ["history", "imported"],
            },
        ),
        (
            path,
            {
                "channel": "email",
                "direction": "inbound",
                "text": "[Ticket T1: A subject]\n[2024-01-02 03:04:05 UTC, Ann]\n\ntext 1",
                "author_id": "u-ann",
                "from_email": "ann@b.example",
            },
        ),
        (
            path,
            {
                "channel": "callback",
                "direction": "internal",
                "text": "[2024-01-02 03:04:05 UTC, author unknown]\n\ntext 2",
                "author_id": "u-lene",
            },
        ),
        (
            path,
            {
                "channel": "callback",
                "direction": "outbound",
                "text": "[2024-01-02 03:04:05 UTC, author unknown]\n\ntext 3",
                "author_id": "u-lene",
                "attachments": [{"url": "https://f.example/1"}],
            },
        ),
    ]


def test_a_contact_form_carries_the_requesters_first_message() -> None:
    first, *rest = requests(target("contact_form", head="", opening_head=""))
    assert first[1] == {
        "channel": "contact_form",
        "requester_id": "u-ann",
        "email_integration_id": "imported@email.dixa.io",
        "subject": "A subject",
        "message": {"text": "text 1"},
    }
    assert [body["text"] for _, body in rest] == ["text 2", "text 3"]
    assert [[c.key for c in step.carries] for step in target("contact_form").steps(JOB)] == [
        ["m1"],
        ["m2"],
        ["m3"],
    ]


@pytest.mark.parametrize(
    "first",
    [
        message(1, Direction.OUTBOUND, LENE),
        message(1, Direction.INBOUND, LENE),
        message(1, Direction.INBOUND, ANN, attachments=(Attachment("https://f.example/1"),)),
    ],
    ids=["outbound", "by another", "with an attachment"],
)
def test_a_contact_form_that_cannot_carry_the_first_message_names_the_ticket(first: Message) -> None:
    job = replace(JOB, messages=(first, *JOB.messages[1:]))
    created, *rest = requests(target("contact_form"), job)
    assert created[1]["message"] == {"text": "Ticket T1: A subject"}
    assert len(rest) == 3


@pytest.mark.parametrize("kind", ["callback", "contact_form"])
def test_every_body_fits_the_api_description(kind: str) -> None:
    for path, body in requests(target(kind)):
        name = "create_conversation" if path == "/v1/conversations" else "add_historical_message"
        assert OPERATIONS[name].body.is_valid(body)
    for contact in (ANN, Contact(phone="+4520304050"), Contact("a@b.example", "+4520304050", "A")):
        assert OPERATIONS["create_user"].body.is_valid(integrations.create_person(contact).json)


OK = {"data": {"id": 5}}


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (Answer(201, OK), Verdict.CREATED),
        (Answer(200, OK), Verdict.CREATED),
        (Answer(200, None, "<html>"), Verdict.IN_DOUBT),
        (Answer(201, {"data": {}}), Verdict.IN_DOUBT),
        (Answer(201, {"data": [1]}), Verdict.IN_DOUBT),
        (Answer(302, None), Verdict.MOVED),
        (Answer(400, {"message": "no"}), Verdict.REFUSED),
        (Answer(401, None), Verdict.UNAUTHORIZED),
        (Answer(403, None), Verdict.FORBIDDEN),
        (Answer(404, None), Verdict.IN_DOUBT),
        (Answer(408, None), Verdict.IN_DOUBT),
        (Answer(429, None), Verdict.AGAIN),
        (Answer(500, None), Verdict.IN_DOUBT),
        (Answer(502, None, "<html>"), Verdict.IN_DOUBT),
        (Answer(503, None), Verdict.IN_DOUBT),
        (Answer(503, None, "", 3.0), Verdict.AGAIN),
        (NoAnswer(sent=False, reason="refused"), Verdict.AGAIN),
        (NoAnswer(sent=True, reason="reset"), Verdict.IN_DOUBT),
    ],
    ids=str,
)
def test_what_the_response_to_a_creation_proves(response: Answer | NoAnswer, verdict: Verdict) -> None:
    assert integrations.judge(response, A_STEP).verdict is verdict


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (Answer(200, {"data": []}), Verdict.CREATED),
        (Answer(200, None, "<html>"), Verdict.AGAIN),
        (Answer(404, None), Verdict.REFUSED),
        (Answer(401, None), Verdict.UNAUTHORIZED),
        (Answer(500, None), Verdict.AGAIN),
        (NoAnswer(sent=True, reason="reset"), Verdict.AGAIN),
    ],
    ids=str,
)
def test_reading_is_repeated_after_temporary_failures(response: Answer | NoAnswer, verdict: Verdict) -> None:
    assert integrations.judge(response, None).verdict is verdict


def test_the_error_message_of_dixa_is_kept() -> None:
    assert integrations.judge(Answer(400, {"message": "Bad queue."}), A_STEP).reason == "400: Bad queue."


HOME = "https://integrations.dixa.io"


@pytest.mark.parametrize(
    ("link", "query"),
    [
        ("/v1/queues?cursor=9&limit=2", {"cursor": "9", "limit": "2"}),
        (f"{HOME}/v1/queues?after=%2B1", {"after": "+1"}),
    ],
)
def test_the_next_page_is_followed_as_given(link: str, query: dict[str, str]) -> None:
    page = integrations.next_page(
        Answer(200, {"data": [], "paging": {"next_page": link}}), HOME, "/v1/queues"
    )
    assert page is not None
    assert (page.path, page.query) == ("/v1/queues", query)


def test_the_next_page_on_another_host_is_not_followed() -> None:
    answer = Answer(200, {"data": [], "paging": {"next_page": "https://evil.example/v1/queues"}})
    with pytest.raises(ProtocolError, match="another host"):
        integrations.next_page(answer, HOME, "/v1/queues")


@pytest.mark.parametrize("paging", [None, {}, {"next_page": None}, {"next_page": ""}])
def test_there_is_no_page_after_the_last(paging: object) -> None:
    assert integrations.next_page(Answer(200, {"data": [], "paging": paging}), HOME, "/v1/queues") is None


def test_a_user_is_found_only_by_the_exact_address() -> None:
    users = [{"id": "1", "email": "xann@b.example"}, {"id": "2", "email": "ANN@b.example"}]
    assert integrations.person_in(users, ANN) == "2"
    assert integrations.person_in(users, Contact(phone="+45")) is None
