"""Safe HTML, and what a reader sees of it."""

import re
from html import escape, unescape

import nh3

from importer.text.markup import bare_text, is_too_much

_IMAGE = re.compile(r"<img([^>]*+)>", re.IGNORECASE)
_INNER = re.compile(r"""src=["']?(data|cid):""", re.IGNORECASE)


def safe_html(html: str) -> str:
    """The HTML without scripts, event handlers, styles, forms and comments. Where it is too much to be laid
    out, its text alone."""
    if is_too_much(html):
        return "<br>".join(map(escape, bare_text(html).split("\n")))
    return nh3.clean(html, clean_content_tags={"script", "style", "title"})


def shows_something(html: str) -> bool:
    """Whether a reader sees anything in safe HTML: a text, or an image with a source."""
    return bool(re.search(r"<img[^>]+src=", html) or unescape(re.sub(r"<[^>]*>", "", html)).strip())


def has_inner_images(html: str) -> bool:
    """Whether images are embedded in the HTML or in its mail, so that they have no URL."""
    # Without a last `>` in reach, every `<img` would be followed to the end of the text.
    closed = html[: html.rfind(">") + 1]
    return any(_INNER.search(tag[1]) for tag in _IMAGE.finditer(closed))
