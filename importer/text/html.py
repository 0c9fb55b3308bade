"""Safe HTML, and what a reader sees of it."""

import re
from html import unescape

import nh3


def safe_html(html: str) -> str:
    """The HTML without scripts, event handlers, styles, forms and comments."""
    return nh3.clean(html, clean_content_tags={"script", "style", "title"})


def shows_something(html: str) -> bool:
    """Whether a reader sees anything in safe HTML: a text, or an image with a source."""
    return bool(re.search(r"<img[^>]+src=", html) or unescape(re.sub(r"<[^>]*>", "", html)).strip())


def has_inner_images(html: str) -> bool:
    """Whether images are embedded in the HTML or in its mail, so that they have no URL."""
    return re.search(r"""<img[^>]+src=["']?(data|cid):""", html, re.IGNORECASE) is not None
