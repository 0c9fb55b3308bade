"""How the account is shown: what a service does to the texts that it was given, and how far its lists lag
behind. Both are off unless a rehearsal asks for them."""

import html
import re
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

CUT_AFTER = 40
_BLANKS = re.compile(r"\s+")
# The country code is taken to have two digits, as Denmark's: the spelling is to differ, not to be right.
_PHONE = re.compile(r"(\+\d\d)(\d+)")


class Reword(StrEnum):
    """Why a text is shown otherwise than it was given. The names are those of `--fault reword=`. Those that
    are combined are applied in this order, so that the cut counts what is shown."""

    UNICODE = "unicode"
    ENTITIES = "entities"
    TAGS = "tags"
    BLANKS = "blanks"
    CUT = "cut"
    PHONES = "phones"


_TEXTS: Mapping[Reword, Callable[[str], str]] = {
    Reword.UNICODE: lambda text: unicodedata.normalize("NFD", text),
    Reword.ENTITIES: html.escape,
    Reword.TAGS: lambda text: f"<p>{'<br>'.join(text.splitlines())}</p>",
    Reword.BLANKS: lambda text: _BLANKS.sub(" ", text) + " ",
    Reword.CUT: lambda text: text if len(text) <= CUT_AFTER else f"{text[:CUT_AFTER]}…",
}


@dataclass(frozen=True, slots=True)
class View:
    """What responses show of the rows in the store."""

    reword: frozenset[Reword] = frozenset()
    # Lists do not show what is younger than this.
    lag_seconds: float = 0.0

    def text(self, text: str) -> str:
        """A text as it is shown. One that was anonymized away stays empty."""
        for kind, change in _TEXTS.items():
            if text and kind in self.reword:
                text = change(text)
        return text

    def phone(self, number: str) -> str:
        """A phone number as it is shown: in pairs of digits, if numbers are to be spelt in another way."""
        found = _PHONE.fullmatch(number) if Reword.PHONES in self.reword else None
        if found is None:
            return number
        pairs = re.findall(r"\d{1,2}", found[2])
        return " ".join([found[1], *pairs])

    def lists(self, born: float) -> bool:
        """Whether a list shows yet what was committed at this time."""
        return not self.lag_seconds or born <= time.time() - self.lag_seconds

    def condition(self) -> str:
        """The same as an SQL condition on `born`."""
        return f"born <= {time.time() - self.lag_seconds!r}" if self.lag_seconds else "1"
