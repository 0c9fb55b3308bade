"""What HTML is too much to be laid out, and its bare text. Both take time in proportion to its length.

HTML parsers and inscriptis do not: a cell of 1 MB can keep them busy for hours.
"""

import re
from collections.abc import Iterator
from html import unescape
from itertools import takewhile

from importer.text.limits import (
    DEEPEST,
    FEW_TAGS,
    MOST_AMPERSANDS,
    MOST_ATTRIBUTES,
    MOST_DEPTH_IN_ALL,
    MOST_LINKS,
    MOST_TAGS,
)

# The blanks of HTML; `\s` has others too.
_B = r"[\t\n\f\r ]"
_NO_B = r"\t\n\f\r "
_VALUE = rf"""(?:"[^"]*+"|'[^']*+'|[^{_NO_B}>"'][^{_NO_B}>]*+)"""
_ATTRIBUTE = rf"""[^{_NO_B}/>][^{_NO_B}/>=]*+(?:{_B}*+={_B}*+{_VALUE}?+)?+"""
_REST = rf"(?:[{_NO_B}/]++|{_ATTRIBUTE})*+>?+"
# The content of these elements is no markup.
_RAW = "script|style|title|textarea|xmp|iframe|noembed|noframes"
# A comment, or a tag. What is not closed reaches to the end: a pattern that gave up there would be tried
# again at each `<`.
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    rf"|<(?P<raw>{_RAW})(?=[{_NO_B}/>])(?P<of_raw>{_REST})(?P<content>.*?)"
    rf"(?:</(?P=raw)(?=[{_NO_B}/>])(?P<of_raw_end>{_REST})|\Z)"
    rf"|<(?P<end>/?)(?P<name>[a-z][^{_NO_B}/>]*+)(?P<attributes>{_REST})"
    r"|<[!?/][^>]*+>?+",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_HREF = re.compile(rf"""(?:^|[{_NO_B}/"'])href{_B}*+={_B}*+({_VALUE})""", re.IGNORECASE | re.ASCII)

_VOID = frozenset(("area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img"))
_VOID |= {"input", "keygen", "link", "meta", "param", "source", "track", "wbr"}
# Unclosed ones are opened again in the next paragraph.
_FORMATTING = frozenset(
    ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
)
_CELLS = frozenset(("td", "th"))
_OF_TABLES = _CELLS | {"caption", "colgroup", "table", "tbody", "tfoot", "thead", "tr"}
# No end tag of what is outside of these reaches into them.
_BARRIERS = _CELLS | {"applet", "button", "caption", "marquee", "object", "ol", "select", "table", "ul"}
_BLOCKS = frozenset(("address", "article", "aside", "blockquote", "body", "center", "dd", "details"))
_BLOCKS |= {"dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form"}
_BLOCKS |= {"h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "li", "listing", "main"}
_BLOCKS |= {"menu", "nav", "p", "pre", "search", "section", "summary"}
# Each nests by rules of its own.
_FOREIGN = re.compile(r"<(?:svg|math|template|plaintext|frameset)\b", re.IGNORECASE)
# What the start tag closes before it, where that is the innermost open tag.
_CLOSED_BY = {
    "li": frozenset(("p", "li")),
    "dd": frozenset(("p", "dd", "dt")),
    "dt": frozenset(("p", "dd", "dt")),
    "option": frozenset(("option",)),
    **dict.fromkeys(_BLOCKS - {"li", "dd", "dt"}, frozenset(("p",))),
}


def is_too_much(html: str) -> bool:
    """Whether laying out the HTML may take long, or may lose some of its text."""
    if html.count("&") > MOST_AMPERSANDS:
        return True
    if html.count("<") <= FEW_TAGS:
        return len(html) > MOST_ATTRIBUTES * 2 and any(map(_has_many_attributes, _TOKEN.finditer(html)))
    if _FOREIGN.search(html):
        return True
    open_tags: list[str] = []
    depth_in_all = links = 0
    for number, tag in enumerate(_TOKEN.finditer(html)):
        name = _name(tag)
        links += name == "a" and not tag["end"]
        if tag["end"]:
            _close(open_tags, name)
        elif name and name not in _VOID:
            _open(open_tags, name)
        depth_in_all += len(open_tags)
        if (
            number >= MOST_TAGS
            or links > MOST_LINKS
            or len(open_tags) > DEEPEST
            or depth_in_all > MOST_DEPTH_IN_ALL
            or _has_many_attributes(tag)
        ):
            return True
    return False


def _name(tag: re.Match[str]) -> str:
    """The name in small letters; "" for comments and RAW elements."""
    name = tag["name"] or ""
    return name.lower() if name.isascii() else name


def _has_many_attributes(tag: re.Match[str]) -> bool:
    several = (tag["attributes"], tag["of_raw"], tag["of_raw_end"])
    long = (one for one in several if one and len(one) > MOST_ATTRIBUTES * 2)
    return any(len(_ATTRIBUTES.findall(one)) > MOST_ATTRIBUTES for one in long)


def _open(open_tags: list[str], name: str) -> None:
    """Add a tag. What HTML closes before it is removed, or is left where that is hard to say."""
    if name in _OF_TABLES and name != "table":
        _keep_rows(open_tags, name)
    closed = _CLOSED_BY.get(name, ())
    while open_tags and open_tags[-1] in closed:
        open_tags.pop()
    open_tags.append(name)


def _keep_rows(open_tags: list[str], name: str) -> None:
    """A part of a table closes everything in the innermost table, or in its row if it is a cell."""
    for place in range(len(open_tags) - 1, -1, -1):
        if open_tags[place] == "table" or (open_tags[place] == "tr" and name in _CELLS):
            del open_tags[place + 1 :]
            return


def _close(open_tags: list[str], name: str) -> None:
    """Remove the innermost tag of this name with what is inside, unless something keeps the end tag out."""
    for place in range(len(open_tags) - 1, -1, -1):
        if open_tags[place] == name:
            open_tags[place:] = _left_open(open_tags[place + 1 :], name)
            return
        if _keeps_out(open_tags[place], name):
            return


def _keeps_out(own: str, name: str) -> bool:
    """Whether the end tag `name` does not reach beyond the open tag `own`."""
    if name in _OF_TABLES:
        return own == "table"
    return own in _BARRIERS or (own in _BLOCKS and name not in _BLOCKS and name not in _FORMATTING)


def _left_open(inside: list[str], name: str) -> list[str]:
    """What stays open, or is opened again, of the tags inside a tag that is closed."""
    if name in _FORMATTING:
        return inside
    if name in _CELLS:
        return []
    if name in _OF_TABLES:
        inside = list(takewhile(lambda own: own not in _CELLS, inside))
    return [own for own in inside if own in _FORMATTING]


def bare_text(html: str) -> str:
    """All text of the HTML, without layout: a line for each block, `[text](target)` for a link."""
    return "\n".join(_tidied("".join(_pieces(html))))


_LINES = _BLOCKS | _OF_TABLES - _CELLS | {"br", "ol", "ul"}
_UNSEEN = frozenset(("script", "style", "title"))
# Python refuses to read so many digits, and there is no such character.
_LONG_NUMBER = re.compile(r"&(?=#[xX]?[0-9a-fA-F]{9})")


def _pieces(html: str) -> Iterator[str]:
    """The texts between the tags, and what stands for a tag. Line ends of the HTML are blanks."""
    is_kept = "<pre" in html.lower()
    read, target = 0, ""
    for tag in _TOKEN.finditer(html):
        yield _shown(html[read : tag.start()], is_kept)
        read = tag.end()
        name = _name(tag)
        if tag["raw"] and tag["raw"].lower() not in _UNSEEN:
            yield "\n" + _shown(tag["content"], is_kept) + "\n"
        if name == "a" and target:
            yield f"]({target})"
            target = ""
        if name == "a" and not tag["end"] and (href := _HREF.search(tag["attributes"])):
            target = _shown(href[1].strip("\"'"), keeps_lines=False).strip()
            yield "[" if target else ""
        if name in _LINES:
            yield "\n"
        elif name in _CELLS:
            yield " "
    yield _shown(html[read:], is_kept) + (f"]({target})" if target else "")


def _shown(text: str, keeps_lines: bool) -> str:
    text = unescape(_LONG_NUMBER.sub("&amp;", text)) if "&" in text else text
    return text if keeps_lines else text.replace("\r", " ").replace("\n", " ")


def _tidied(text: str) -> Iterator[str]:
    """The lines that are not empty, with single blanks."""
    for line in text.split("\n"):
        if words := re.sub(r"[ \t\r\f\v]{2,}|[\t\r\f\v]", " ", line).strip(" "):
            yield words
