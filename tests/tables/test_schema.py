from datetime import UTC, datetime

import polars as pl
import pytest

from importer.parse.fastpath import FullEvaluator
from importer.parse.lists import cell_items
from importer.tables import schema
from importer.tables.rules import row_rules
from importer.tables.typed import typed


def parsed(
    column: str, cells: list[str | None], table: str = "messages", timezone: str | None = None
) -> list:
    fields = [field.name for field in schema.load(table).fields if field.type != "string"]
    frame = pl.LazyFrame(dict.fromkeys(fields, cells), schema_overrides=dict.fromkeys(fields, pl.String))
    return typed(schema.load(table), frame, [column], timezone, FullEvaluator()).collect()[column].to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-31T09:15:00Z", datetime(2024, 3, 31, 9, 15, tzinfo=UTC)),
        ("2024-03-31 09:15:00.256", datetime(2024, 3, 31, 7, 15, 0, 256000, tzinfo=UTC)),
        ("2024-03-31T09:15:00+05:30", datetime(2024, 3, 31, 3, 45, tzinfo=UTC)),
        ("2024-03-31T09:15:00-0800", datetime(2024, 3, 31, 17, 15, tzinfo=UTC)),
        ("2024-03-31T09:15+02", datetime(2024, 3, 31, 7, 15, tzinfo=UTC)),
        ("2024-01-31", datetime(2024, 1, 30, 23, 0, tzinfo=UTC)),
        (
            "2024-10-27 02:30:00",
            datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        ),  # exists twice in Copenhagen: the earlier one
        ("2024-03-31 02:30:00", None),  # does not exist in Copenhagen
        ("2023-02-30 10:00:00", None),
        ("31/03/2024", None),
        ("", None),
    ],
)
def test_times_become_instants(text: str, expected: datetime | None) -> None:
    assert parsed("created_at", [text], timezone="Europe/Copenhagen") == [expected]


def test_a_time_without_a_zone_has_no_instant_unless_a_zone_is_set() -> None:
    assert parsed("created_at", ["2024-03-31 09:15:00"], timezone=None) == [None]


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ("a;b", ["a", "b"]),
        ("a|b", ["a", "b"]),
        ('["a", "b,c"]', ["a", "b,c"]),
        ("['a', 'b']", ["a", "b"]),
        ("[]", []),
        ("one tag", ["one tag"]),
        ("https://x.example/a,b;c?d=1", ["https://x.example/a,b;c?d=1"]),
        ("https://x.example/a,https://x.example/b", ["https://x.example/a", "https://x.example/b"]),
        ("https://x.example/a https://x.example/b", ["https://x.example/a", "https://x.example/b"]),
        ("[no list", ["[no list"]),
        ("[no list]", None),
        ('[{"a": 1}]', None),
    ],
)
def test_lists_in_cells(cell: str, items: list[str] | None) -> None:
    assert cell_items(cell) == items


def test_rule_names_use_the_terms_of_the_schema() -> None:
    names = {
        rule.name
        for rule in row_rules(schema.load("tickets"), schema.load("tickets").columns, None, FullEvaluator())
    }
    assert {"ticket_id.required", "status.enum", "requester_email.format", "created_at.type"} <= names
    assert {"created_at.timezone", "subject.maxLength", "requester_phone.pattern", "tags.type"} <= names


@pytest.mark.parametrize(
    ("email", "fine"),
    [
        ("a@b.example", True),
        ("o'neil+x@sub.b-c.example", True),
        ("a@b", False),
        ("a b@c.example", False),
        ("a@b.example\n", False),
        ("ünïcode@b.example", False),
        (".a@b.example", False),
        ("A <a@b.example>", False),
    ],
)
def test_email_addresses(email: str, fine: bool) -> None:
    rules = {
        rule.name: rule
        for rule in row_rules(schema.load("people"), schema.load("people").columns, None, FullEvaluator())
    }
    frame = pl.DataFrame({"email": [email]})
    assert frame.select(~rules["email.format"].fails).item() is fine


@pytest.mark.parametrize("table", schema.TABLES)
def test_every_field_has_a_type_that_is_parsed(table: str) -> None:
    loaded = schema.load(table)
    assert loaded.columns
    assert len(row_rules(loaded, loaded.columns, "UTC", FullEvaluator())) <= 64
    assert {field.type for field in loaded.fields} <= {"string", "datetime", "boolean", "integer", "array"}
