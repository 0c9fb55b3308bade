"""What is a difference between what was sent and what Dixa shows, and what is none."""

from typing import Any

import pytest

from importer.dixa.content import MESSAGE, NOTE, Content, ContentPart
from importer.model import State, StepKind, StepRecord
from importer.verify.absence import Absence
from importer.verify.compare import Comparison, Known, Mark, compare, is_markup

COLUMNS = {"requester": "u1", "subject": "A & B", "created_at": 100.0, "tags": frozenset({"a", "b"})}


def part(key: str | None, text: str | None, **more: Any) -> ContentPart:
    fields = {"author": "u1", "direction": "inbound", "at": 10.0, **more}
    return ContentPart(
        more.pop("kind", MESSAGE), key, text, **{k: v for k, v in fields.items() if k != "kind"}
    )


def found(
    sent: list[ContentPart], held: list[ContentPart], known: Known | None = None, **columns: Any
) -> Comparison:
    known = known or Known()
    return compare(Content(COLUMNS, sent), Content({**COLUMNS, **columns}, held), known)


def brief(comparison: Comparison) -> list[tuple[str, str, str, str, bool]]:
    return [(d.mark.value, d.what, d.where, d.column, d.is_mild) for d in comparison.differences]


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        ({}, []),
        ({"created_at": 100.9}, []),
        ({"created_at": 102.0}, [("*", "conversation", "", "created_at", False)]),
        ({"tags": frozenset("abc")}, []),
        ({"tags": frozenset("a")}, [("-", "conversation", "", "tag", False)]),
        ({"subject": "<b>A &amp; B</b>"}, [("*", "conversation", "", "subject", True)]),
        ({"subject": ""}, [("*", "conversation", "", "subject", False)]),
        ({"subject": None}, [("!", "conversation", "", "subject", True)]),
        ({"requester": "u2"}, [("*", "conversation", "", "requester", False)]),
    ],
)
def test_columns(columns: dict[str, Any], difference: list[Any]) -> None:
    assert brief(found([], [], **columns)) == difference
    # The ticket has changed in the export since, so nothing can be said of its columns.
    assert brief(found([], [], Known(is_changed=True), **columns)) == []


def test_what_is_not_shown_is_told() -> None:
    hidden = part("m1", None, author=None, direction=None, at=None)
    assert brief(found([part("m1", "text")], [hidden])) == [
        ("!", "message", "m1", column, True) for column in ("author", "direction", "created_at", "text")
    ]


@pytest.mark.parametrize(
    ("sent", "shown", "mild"),
    [
        ("a <b> text", "a text", True),
        ("five & six", "<p>five &amp;  six</p>", True),
        ("a text that goes on", "a text that…", True),
        ("a & text that goes on", "<p>a &am…</p>", True),
        ("a text that goes on", "a text that", False),
        ("a text", "a tezt", False),
        ("a text", "…", False),
        ("a text", "", False),
    ],
)
def test_mark_up(sent: str, shown: str, mild: bool) -> None:
    assert is_markup(sent, shown) is mild


def test_order_where_the_api_keeps_no_times() -> None:
    sent = [part(f"m{n}", f"text {n}", at=None) for n in range(5)]
    held = [part(None, f"text {n}", at=None, dixa_id=f"d{n}") for n in (0, 2, 3, 1, 4)]
    ids = {f"m{n}": f"d{n}" for n in range(5)}
    assert brief(found(sent, held, Known(ids))) == [("*", "message", "m1", "order", False)]


def test_parts_that_are_missing_extra_and_of_people() -> None:
    sent = [part("m1", "one"), part("m2", "two", at=20.0), part("n1", "note", kind=NOTE, at=30.0)]
    held = [
        part("m1", "one"),
        part("m1", "one", dixa_id="again"),
        part("m9", "of another", dixa_id="other"),
        part(None, "a reply", at=99.0, dixa_id="live"),
        part(None, "note", kind=NOTE, at=30.0, dixa_id="x"),
        part(None, "note", kind=NOTE, at=30.0, dixa_id="y"),
    ]
    comparison = found(sent, held)
    assert brief(comparison) == [
        ("-", "message", "m2", "", False),
        ("+", "message", "again", "twice", False),
        ("+", "message", "other", "of another ticket", False),
        ("+", "note", "y", "twice", False),
    ]
    assert comparison.since == 1


def test_what_the_checkpoint_says_was_refused_is_no_difference() -> None:
    sent = [part("m1", "one", files=("a.pdf", "b.pdf")), part("m2", "two", at=20.0)]
    held = [part("m1", "one\n\nb.pdf: https://old.example/b.pdf", files=("a.pdf",))]
    known = Known(absent={"m2"}, refused={"m1": 1})
    assert brief(found(sent, held, known)) == []
    assert [d.mark for d in found(sent, held, Known(absent={"m2"})).differences] == [
        Mark.DIFFERENT,
        Mark.MISSING,
    ]


def test_an_anonymised_conversation_is_one_difference() -> None:
    gone = compare(Content(COLUMNS, [part("m1", "one")]), Content({}, [], is_anonymous=True), Known())
    assert brief(gone) == [("*", "conversation", "", "anonymised", False)]


def test_only_what_was_sent_before_something_that_is_shown_is_proved_absent() -> None:
    def record(kind: StepKind, key: str, at: float, state: State = State.IMPORTED) -> StepRecord:
        return StepRecord(kind, key, state, "id", at=at)

    absence = Absence()
    gone = found([part("m1", "one"), part("m2", "two", at=20.0)], [part("m1", "one")], tags=frozenset("a"))
    records = [
        record(StepKind.MESSAGE, "m1", 1.0),
        record(StepKind.MESSAGE, "m2", 2.0),
        record(StepKind.TAGS, "", 4.0),
    ]
    absence.took("T1", gone.differences, records)
    assert absence.proved() == []
    absence.took(
        "T2", [], [record(StepKind.MESSAGE, "m3", 3.0), record(StepKind.MESSAGE, "m4", 9.0, State.REJECTED)]
    )
    assert [(one.ticket_id, one.key, one.kind) for one in absence.proved()] == [
        ("T1", "m2", StepKind.MESSAGE)
    ]
    absence.took("T3", [], [record(StepKind.TAGS, "", 5.0)])
    assert [one.kind for one in absence.proved()] == [StepKind.MESSAGE, StepKind.TAGS]
