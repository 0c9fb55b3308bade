"""Texts as Dixa shall show them: plain text out of HTML, HTML that is safe, and the head that keeps what the
API does not: a message's time, its author, its ticket."""

import re
from collections.abc import Iterable
from html import unescape
from zoneinfo import ZoneInfo

import nh3
from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig

from importer.model import Conversation, Message

HEAD_FIELDS = frozenset({"ticket_id", "subject", "message_id", "created_at", "author", "direction"})

_CONFIG = ParserConfig(css=CSS_PROFILES["strict"], display_links=True, display_anchors=False)


def plain(html: str) -> str:
    """The text that a reader of the HTML sees: links with their targets, lists and tables laid out."""
    if not html.strip():
        return ""
    lines = (line.rstrip() for line in get_text(html, _CONFIG).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def safe_html(html: str) -> str:
    """The HTML without what could run or hide in it: scripts, event handlers, styles, forms, comments."""
    return nh3.clean(html, clean_content_tags={"script", "style", "title"})


def shows_something(html: str) -> bool:
    """Whether a reader sees anything in safe HTML: a text or an image that can be had."""
    return bool(re.search(r"<img[^>]+src=", html) or unescape(re.sub(r"<[^>]*>", "", html)).strip())


def has_inner_images(html: str) -> bool:
    """Whether images are part of the HTML itself or of its mail, so that no URL leads to them."""
    return re.search(r"""<img[^>]+src=["']?(data|cid):""", html, re.IGNORECASE) is not None


def heads(templates: Iterable[str], job: Conversation, message: Message, zone: ZoneInfo) -> list[str]:
    """The filled templates, without empty ones; what the export does not tell reads as unknown rather than as
    nothing."""
    at = message.created_at
    values = {
        "ticket_id": job.ticket_id,
        "subject": job.subject or "no subject",
        "message_id": message.message_id,
        "created_at": at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z") if at else "time unknown",
        "author": message.author_name or "author unknown",
        "direction": message.direction.value,
    }
    return [template.format(**values) for template in templates if template]
