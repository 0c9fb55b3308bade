import pytest

from importer.text.plain import plain


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
