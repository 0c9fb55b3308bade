from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from importer.model import Contact, Conversation, Direction, Message
from importer.text.heads import heads


def test_the_head_shows_what_is_known_in_the_given_time_zone() -> None:
    templates = ("", "{ticket_id} {subject} {created_at} {author}")
    at = datetime(2024, 7, 1, 12, tzinfo=UTC)
    zone = ZoneInfo("Europe/Copenhagen")
    message = Message("m", at, Direction.INBOUND, None, False, "Ann", "text")
    job = Conversation("7", Contact(), Direction.INBOUND, None, None, at, (), (message,))
    assert heads(templates, job, message, zone) == ["7 no subject 2024-07-01 14:00:00 CEST Ann"]
    [unknown] = heads(templates, job, replace(message, created_at=None, author_name=None), zone)
    assert unknown.endswith("time unknown author unknown")
