"""HTML that is built, or damaged, such that its layout takes forever: it ends soon, with all of its text."""

import re
import subprocess
import sys

import pytest

from importer.text.html import has_inner_images, safe_html, shows_something
from importer.text.limits import DEEPEST, FEW_TAGS, MOST_AMPERSANDS, MOST_ATTRIBUTES, MOST_LINKS, MOST_TAGS
from importer.text.markup import bare_text, is_too_much
from importer.text.plain import plain

# Each about 1 MB. Laying them out takes from 20 seconds to hours.
BOMBS = {
    "nested div": "'<div>x' * 200_000",
    "closed div": "'<div>' * 100_000 + 'x' + '</div>' * 100_000",
    "nested lists": "'<ul><li>x' * 100_000",
    "nested tables": "'<table><tr><td>x' * 60_000",
    "nested quotations": "'<blockquote>x' * 80_000",
    "unclosed b": "''.join(f'<b id={n}>x' for n in range(80_000))",
    "unclosed b and paragraphs": "''.join(f'<b id={n}>' for n in range(5_000)) + '<p>x</p>' * 90_000",
    "links": "'<a href=http://x.example>x</a>' * 40_000",
    "attributes": "'<p ' + ' '.join(f'a{n}=1' for n in range(120_000)) + '>x</p>'",
    "attributes of a few tags": "('<p ' + ' '.join(f'a{n}=1' for n in range(12_000)) + '>x</p>') * 10",
    "attributes of an end tag": "'</p ' + ' '.join(f'a{n}=1' for n in range(120_000)) + '>x'",
    "attributes of a title": "'<title ' + ' '.join(f'a{n}=1' for n in range(120_000)) + '>x</title>'",
    "attributes behind a title": "'<title>x</title ' + ' '.join(f'a{n}=1' for n in range(120_000)) + '>'",
    "images that do not end": "'<img ' * 200_000",
    "ampersands": "'&' * 2_000_000",
    "comments that do not end": "'<!--' * 250_000",
    "tags that do not end": "'<' * 1_000_000",
    "quotes that do not end": '"<a b=\'" * 150_000',
    "end tags inside of values": "'<div title=\"></div>\">x' * 60_000",
    "values that only look quoted": "'<div =\">x' * 100_000",
    "end tags without effect": "('<div>' * 100 + '<object>' + '</div>' * 100) * 1_500",
    "paragraphs": "'<p>x' * 250_000",
    "cells": "'<td>x</td>' * 100_000",
    "lines": "'x\\n' * 1_000_000",
    "digits": "'&#' + '1' * 1_000_000 + ';<p>' + '&#' + '1' * 5_000 + ';' + '<p>' * 300",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_soon(bomb: str) -> None:
    program = (
        "from importer.text.html import *\nfrom importer.text.plain import plain\n"
        f"html = {BOMBS[bomb]}\nplain(html)\nshows_something(safe_html(html))\nhas_inner_images(html)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


def test_an_image_that_does_not_end_is_none() -> None:
    assert has_inner_images('<p><IMG alt="" src="cid:1">')
    assert has_inner_images("<img src=data:image/png;base64,AAAA>")
    assert not has_inner_images("<img src=https://x.example/1> src=cid:1")
    assert not has_inner_images("<img src=cid:1")


@pytest.mark.parametrize("tag", ["div", "b", "blockquote", "font", "ul", "table"])
@pytest.mark.parametrize("depth", [DEEPEST - 10, DEEPEST + 100, FEW_TAGS * 2])
def test_no_text_is_lost_however_deep_it_is(tag: str, depth: int) -> None:
    html = "".join(f"<{tag}>w{n} " for n in range(depth)) + "the end"
    words = [f"w{n}" for n in range(depth)]
    for text in (plain(html), re.sub("<[^>]*>", " ", safe_html(html))):
        assert sorted(re.findall(r"w\d+", text)) == sorted(words)
        assert "the end" in text


def test_a_text_that_libxml2_refuses_is_kept() -> None:
    """It drops a text of more than 10 MB."""
    html = "<p>before</p><p>" + "word " * 2_100_000 + "</p><p>after</p>"
    assert plain(html).startswith("before\nword word")
    assert plain(html).endswith("word\nafter")
    assert plain(html).count("word") == 2_100_000


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello<br>there</p>\n<p>Bye &amp;\nfarewell</p>", "Hello\nthere\nBye & farewell"),
        ('<A class=x HREF="https://x.example/?a=1&amp;b=2">look</A>', "[look](https://x.example/?a=1&b=2)"),
        ("<a href=https://x.example>look", "[look](https://x.example)"),
        ("<a name=x>look</a> here", "look here"),
        ("a<script>alert('<p>')</script><style>p{}</style><!-- <p>no</p> -->b", "ab"),
        ("<textarea><b>as it is</b></textarea>end", "<b>as it is</b>\nend"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "1 2\n3"),
        ('<p title="a > b">x</p>1 < 2 &lt; 3 <3', "x\n1 < 2 < 3 <3"),
        ("<pre>a\n  b</pre>", "a\nb"),
        (f"&#{'1' * 5_000};&#x41;&#65;", f"&#{'1' * 5_000};AA"),
        ("<!-- not closed", ""),
        ("", ""),
    ],
)
def test_bare_text_is_what_a_reader_sees_without_layout(html: str, text: str) -> None:
    assert bare_text(html) == text


def test_bare_text_as_html_is_safe() -> None:
    shown = safe_html("<p>a &lt;script&gt; b</p><script>x</script>" + "<div>" * (FEW_TAGS + 1))
    assert shown == "a &lt;script&gt; b"
    assert shows_something(shown)


@pytest.mark.parametrize(
    "html",
    [
        "<p>x</p>" * (MOST_TAGS // 3),
        "<ul>" + "<li><p>x" * 10_000 + "</ul>",
        "<table>" + "<tr><td><font>x<td><p>y" * 5_000 + "</table>",
        '<div><a href="https://x.example">x</a><br></div>' * (MOST_LINKS - 1),
        "<blockquote><div>x</div>" * 100 + "</blockquote>" * 100 + "<p>x</p>" * 1_000,
        "<p><b><i>x</b></i>" * 3_000,
        "<img src='data:image/png;base64," + "A/b=" * 500_000 + "'>",
        "<p>" + "x" * 9_000_000,
    ],
)
def test_a_long_message_is_laid_out(html: str) -> None:
    assert not is_too_much(html)


@pytest.mark.parametrize(
    ("most", "one_more"),
    [
        ("<div>" * DEEPEST + "<br>" * FEW_TAGS, "<div>" * (DEEPEST + 1) + "<br>" * FEW_TAGS),
        ("<div>" * 200 + "<br>" * 4_800, "<div>" * 200 + "<br>" * 5_000),
        ("<a>x</a>" * MOST_LINKS, "<a>x</a>" * (MOST_LINKS + 1)),
        ("<br>" * MOST_TAGS, "<br>" * (MOST_TAGS + 1)),
        ("&" * MOST_AMPERSANDS, "&" * (MOST_AMPERSANDS + 1)),
        ("<svg></svg>" + "<br>" * (FEW_TAGS - 2), "<svg></svg>" + "<br>" * FEW_TAGS),
    ],
)
def test_each_limit_holds_alone(most: str, one_more: str) -> None:
    assert not is_too_much(most)
    assert is_too_much(one_more)


def test_many_attributes_are_too_many_in_any_document() -> None:
    tag = "<p " + " ".join(f"a{n}=1" for n in range(MOST_ATTRIBUTES + 1)) + ">"
    assert is_too_much(tag)
    assert is_too_much("<p>x</p>" * FEW_TAGS + tag)
