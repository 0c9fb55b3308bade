"""Plain text from HTML."""

import re

from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig

_CONFIG = ParserConfig(css=CSS_PROFILES["strict"], display_links=True, display_anchors=False)


def plain(html: str) -> str:
    """The text that a reader of the HTML sees. Links keep their targets; lists and tables keep their
    layout."""
    if not html.strip():
        return ""
    lines = (line.rstrip() for line in get_text(html, _CONFIG).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
