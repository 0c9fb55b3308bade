"""Texts and addresses are recognised however Dixa shows them."""

import html
import unicodedata
from collections.abc import Callable

import pytest

from importer.dixa.matching import has_address, is_text, signature
from importer.model import Contact

TEXT = 'Hello "Zoë" & co,\n\nmy printer <XJ-7> doesn’t print. Is 3 < 4?\n\nKind regards\nÅsa'
SHOWN: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "entities": html.escape,
    "entities twice": lambda text: html.escape(html.escape(text)),
    "tags": lambda text: "<p>" + html.escape(text).replace("\n", "<br>") + "</p>",
    "blanks": lambda text: " ".join(text.split()) + " ",
    "cut": lambda text: text[:40] + "…",
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "all of them": lambda text: "<div>" + html.escape(unicodedata.normalize("NFD", text[:40])) + "...</div>",
}


@pytest.mark.parametrize("how", SHOWN)
def test_a_text_is_recognised_however_it_is_shown(how: str) -> None:
    assert is_text(SHOWN[how](TEXT), signature(TEXT))


@pytest.mark.parametrize(
    "other", ["", "Hello", "Another text altogether, which is long enough.", TEXT + " and more", None, 7]
)
def test_another_text_is_not(other: object) -> None:
    assert not is_text(other, signature(TEXT))


def test_a_signature_does_not_show_the_text() -> None:
    assert "printer" not in repr(signature(TEXT))


@pytest.mark.parametrize("shown", ["+45 20 30 40 50", "+4520304050", "+45-20304050", "(+45) 2030 4050"])
def test_a_phone_number_is_recognised_in_any_spelling(shown: str) -> None:
    contact = Contact(phone="+4520304050")
    assert has_address({"phone": shown}, contact, emails=(), phones=("phone",))
    assert not has_address({"phone": shown + "1"}, contact, emails=(), phones=("phone",))
