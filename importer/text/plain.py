"""Plain text from HTML."""

import re

from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml.etree import ParserError
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from importer.text.markup import bare_text, is_too_much

_CONFIG = ParserConfig(css=CSS_PROFILES["strict"], display_links=True, display_anchors=False)


def plain(html: str) -> str:
    """The text that a reader of the HTML sees. Links keep their targets; lists and tables keep their
    layout, unless there is too much of it."""
    if not html.strip():
        return ""
    tree = None if is_too_much(html) else _tree(html.strip())
    if tree is None:
        return bare_text(html)
    lines = (line.rstrip() for line in Inscriptis(tree, _CONFIG).get_text().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


# lxml refuses texts that name an encoding.
_DECLARATION = re.compile(r"<\?xml [^>]*+>")


def _tree(html: str) -> HtmlElement | None:
    """The parsed HTML; None where libxml2 has left something out: it drops the rest of what is nested too
    deeply, and a text of more than 10 MB."""
    parser = HTMLParser()
    if declaration := _DECLARATION.match(html):
        html = html[declaration.end() :]
    try:
        tree = document_fromstring(html, parser=parser)
    except (ParserError, ValueError):
        return None
    return None if parser.error_log.filter_from_fatals() else tree
