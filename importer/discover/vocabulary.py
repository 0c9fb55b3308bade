"""The meaning of values in an unknown export, by the words that many exports use (schemas/words.toml).
Pure."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Literal

from importer.resources import SCHEMAS

# The canonical value for words that are not known. These are the safe choices: history stays closed, no note
# is shown to a customer by mistake, and conversation.kind decides the channel.
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


# Columns in which a value of several words is understood by the known words in it.
_BY_WORD = frozenset({"status", "channel", "author_role", "role"})


def meaning_of(column: str, value: str, *, inverted: bool = False) -> str | None:
    """The canonical value for a value of an export. None where the word is not known.

    `inverted` is for columns whose values mean the opposite. The column `truth` is for values that only mean
    yes or no.
    """
    word = " ".join(value.lower().split())
    found = _words(column).get(word) or (_by_word(column, word) if column in _BY_WORD else None)
    if found is None and column == "direction":
        # The author's role shows the direction.
        role = meaning_of("author_role", word) if word not in _words("truth") else None
        found = _OF_ROLE.get(role or "")
    if found is None and (truth := _words("truth").get(word)):
        found = _OF_TRUTH.get(column, {}).get(truth)
    return _OPPOSITE.get(found, found) if inverted and found else found


def hints(kind: Literal["public", "private"], header: str) -> bool:
    """Whether the header of a column says that its `yes` means public, or private."""
    folded = header.casefold()
    return any(part in folded for part in _read()["hints"][kind])


def _by_word(column: str, value: str) -> str | None:
    """The meaning of the known words of a value. None where they mean different things."""
    parts = re.findall(r"\w+", value)
    known = [_words(column).get(part) for part in parts]
    if column != "status" and not all(known):
        # `Customer Service` is not a customer.
        return None
    found = {meant for meant in known if meant}
    if column == "status":
        # `not solved` is open; `waiting for closing` is pending.
        if parts and parts[0] in _read()["negations"]["words"]:
            return "open" if found == {"closed"} else None
        if "pending" in found:
            return "pending"
    return found.pop() if len(found) == 1 else None


def vocabulary(column: str, values: Iterable[str], *, inverted: bool = False) -> dict[str, str | None]:
    """`meaning_of` for several values. Of values that differ only in case, the first one is kept."""
    spelled = {value.lower(): value for value in reversed(list(values))}
    return {value: meaning_of(column, value, inverted=inverted) for value in reversed(spelled.values())}


@cache
def _read() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((SCHEMAS / "words.toml").read_text("utf-8"))


@cache
def _words(column: str) -> dict[str, str]:
    return {word: value for value, words in _read().get(column, {}).items() for word in words}
