from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from importer.model import Contact, Conversation, Direction, Message
from importer.text.heads import heads, plain


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello<br>there</p><p>Bye</p>", "Hello\nthere\n\nBye"),
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ('<a href="https://x.example/1">look</a>', "[look](https://x.example/1)"),
        ("<script>alert(1)</script><style>p{}</style>text", "text"),
        ("<ul><li>one</li><li>two</li></ul>", "  * one\n  * two"),
        ("", ""),
        ("<br>", ""),
    ],
)
def test_html_becomes_what_a_reader_sees(html: str, text: str) -> None:
    assert plain(html) == text


def test_the_head_tells_what_is_known_in_the_wanted_zone() -> None:
    templates = ("", "{ticket_id} {subject} {created_at} {author}")
    at = datetime(2024, 7, 1, 12, tzinfo=UTC)
    zone = ZoneInfo("Europe/Copenhagen")
    message = Message("m", at, Direction.INBOUND, None, False, "Ann", "text")
    job = Conversation("7", Contact(), Direction.INBOUND, None, None, at, (), (message,))
    assert heads(templates, job, message, zone) == ["7 no subject 2024-07-01 14:00:00 CEST Ann"]
    [unknown] = heads(templates, job, replace(message, created_at=None, author_name=None), zone)
    assert unknown.endswith("time unknown author unknown")
