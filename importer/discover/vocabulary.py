"""What the values of an export's columns mean, by the words that many exports use (schemas/words.toml).
Pure."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Literal

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
_OF_ROLE = {"end_user": "inbound", "agent": "outbound", "system": "internal"}
_OF_TRUTH = {
    "public": {"true": "true", "false": "false"},
    "direction": {"true": "inbound", "false": "outbound"},
    "author_role": {"true": "agent", "false": "end_user"},
    "role": {"true": "agent", "false": "end_user"},
    "status": {"true": "closed", "false": "open"},
}


# Columns in whose values a known word among others tells what the whole means.
_BY_WORD = frozenset({"status", "channel", "author_role", "role"})


def meaning_of(column: str, value: str, *, inverted: bool = False) -> str | None:
    """The canonical value that one of an export stands for, in a column that means the `inverted`; None where
    the word is not known. `truth` is a column of yes and no alone."""
    word = " ".join(value.lower().split())
    found = _words(column).get(word) or (_by_word(column, word) if column in _BY_WORD else None)
    if found is None and column == "direction":
        # Who wrote it says which way it went.
        role = meaning_of("author_role", word) if word not in _words("truth") else None
        found = _OF_ROLE.get(role or "")
    if found is None and (truth := _words("truth").get(word)):
        found = _OF_TRUTH.get(column, {}).get(truth)
    return _OPPOSITE.get(found, found) if inverted and found else found


def hints(kind: Literal["public", "private"], header: str) -> bool:
    """Whether a column's name says that its yes means public, or private."""
    folded = header.casefold()
    return any(part in folded for part in _read()["hints"][kind])


def _by_word(column: str, value: str) -> str | None:
    """What is known of the words of a value, where that is one thing. Who waits for somebody is pending, and
    what is not closed is open."""
    parts = re.findall(r"\w+", value)
    known = [_words(column).get(part) for part in parts]
    if column != "status" and not all(known):
        # A `Customer Service` is no customer.
        return None
    found = {meant for meant in known if meant}
    if column == "status":
        if parts and parts[0] in _read()["negations"]["words"]:
            return "open" if found == {"closed"} else None
        if "pending" in found:
            return "pending"
    return found.pop() if len(found) == 1 else None


def vocabulary(column: str, values: Iterable[str], *, inverted: bool = False) -> dict[str, str | None]:
    """The same for several values, those of one spelling once."""
    spelled = {value.lower(): value for value in reversed(list(values))}
    return {value: meaning_of(column, value, inverted=inverted) for value in reversed(spelled.values())}


@cache
def _read() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((SCHEMAS / "words.toml").read_text("utf-8"))


@cache
def _words(column: str) -> dict[str, str]:
    return {word: value for value, words in _read().get(column, {}).items() for word in words}
