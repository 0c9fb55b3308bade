"""What the values of an export's columns mean, by the words that many exports use (schemas/words.toml).
Pure."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache

from importer.resources import SCHEMAS

# What a value stands for that nobody knows: history is closed, no note is shown by mistake, and a channel of
# which Dixa has none is left to conversation.kind.
UNKNOWN: Mapping[str, str] = {
    "status": "closed",
    "channel": "",
    "author_role": "end_user",
    "role": "end_user",
    "direction": "internal",
    "public": "false",
}
_OPPOSITE = {"true": "false", "false": "true", "inbound": "outbound", "outbound": "inbound"}
_OF_BOOLEANS = {"true": "inbound", "false": "outbound"}


def meaning(column: str, value: str, *, inverted: bool = False) -> str | None:
    """The canonical value that one of an export stands for, in a column that means the `inverted`; None where
    the word is not known."""
    word = " ".join(value.lower().split())
    found = _words(column).get(word)
    if column == "direction" and found is None and (truth := _words("public").get(word)):
        found = _OF_BOOLEANS[truth]
    return _OPPOSITE.get(found, found) if inverted and found else found


def meanings(column: str, values: Iterable[str], *, inverted: bool = False) -> dict[str, str | None]:
    """The same for several values, those of one spelling once."""
    spelled = {value.lower(): value for value in reversed(list(values))}
    return {value: meaning(column, value, inverted=inverted) for value in reversed(spelled.values())}


@cache
def _words(column: str) -> dict[str, str]:
    by_column = tomllib.loads((SCHEMAS / "words.toml").read_text("utf-8"))
    return {word: value for value, words in by_column.get(column, {}).items() for word in words}
