"""Maps the columns of an unknown export: by the headers that many exports use (schemas/aliases.toml), then by
the values of the columns. Pure."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import polars as pl

from importer.discover.vocabulary import hints, meaning_of
from importer.parse.time_formats import decide
from importer.read.mapping.header import Header
from importer.resources import SCHEMAS
from importer.tables.schema import TABLES, fold, load

CellsOf = Callable[[str], pl.Series]
# The fields of a struct in a list that may be the item: a tag, an attachment, an address.
_ITEMS = ("name", "url", "content_url", "address", "email")
# Pairs of columns whose values may be swapped: a header that usually means a name may hold addresses, and the
# other way round.
_PEOPLE = {
    "tickets": (("requester_name", "requester_email"), ("assignee_name", "assignee_email")),
    "messages": (("author_name", "author_email"),),
}
# Columns with few different values, which show what the column is, in the order in which they are looked for.
_TELLING = {
    "messages": ("public", "author_role", "direction"),
    "tickets": ("status",),
    "people": ("role",),
}
# More different values than these are not a status, role, direction or visibility.
_MAX_DISTINCT_VALUES = 12
# A few cells of a column may be damaged or odd.
_MIN_SHARE_OF_CELLS = 0.8
# Cells of a column that are read; enough to know it, and quick with many columns.
_LOOKED_AT = 2_000
# Characters. A longer cell is not a time and not a value such as a status.
_SHORT = 40
# One address, with or without a name. A time with something between its numbers. An id never looks like
# either.
_ADDRESS = r"^(?:[^@<>]{0,80}<)?\s*(?:mailto:)?[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+>?$"
_TIME = r"\d[^\d]+\d"
_DIGITS = 6  # a time has at least six: 1.1.2024


@dataclass(frozen=True, slots=True)
class Aliased:
    """The columns of a table that were recognised."""

    # Canonical column → header, path or template.
    columns: Mapping[str, str] = field(default_factory=dict)
    # Canonical columns for which the values mean the opposite.
    inverted: frozenset[str] = frozenset()
    # Canonical columns that were recognised only by their values.
    guessed: frozenset[str] = frozenset()


def aliased(table: str, header: Header, nested: Sequence[str] = (), cells: CellsOf | None = None) -> Aliased:
    """Recognise the columns of a table. Each header is used once; canonical names come before aliases.

    `nested` are paths into the structs of the file (SourceFile.nested). `cells` gives the cells of a column
    of a sample, without empty cells. Without it only headers are used.
    """
    found, inverted = _by_name(table, header, nested)
    by_name = dict(found)
    if cells is not None:
        _by_cells(table, header, found, inverted, lambda name: cells(name).head(_LOOKED_AT))
    guessed = {column for column, own in found.items() if own not in by_name.values()}
    return Aliased(found, frozenset(inverted), frozenset(guessed))


def known_as(table: str, column: str, name: str) -> bool:
    """Whether a header is a name or an alias of a canonical column."""
    return column in _by_name(table, Header([name], {}), ())[0]


# -- by header


def _by_name(table: str, header: Header, nested: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    found = {
        canonical: inside
        for canonical in load(table).columns
        if (own := header.name(canonical)) and (inside := _within(table, canonical, own, nested))
    }
    inverted: set[str] = set()
    for canonical, names in _aliases()[table].items():
        for alias in names if canonical not in found else ():
            own = header.name(alias.removeprefix("not:")) or _dotless(header.names, alias)
            inside = _within(table, canonical, own, nested) if own else _dotless(nested, alias)
            if inside and inside not in found.values():
                found[canonical] = inside
                if alias.startswith("not:"):
                    inverted.add(canonical)
                break
    for who in ("requester", "assignee", "author"):
        _fill_person(table, who, header, nested, found)
    if "name" in load(table).columns and "name" not in found and (name := _full_name(header)):
        found["name"] = name
    return found, inverted


def _within(table: str, canonical: str, name: str, nested: Sequence[str]) -> str | None:
    """The column itself, or the path into its structs that can be the value. None where there is none."""
    inner = {path for path in nested if path.startswith((f"{name}.", f"{name}[]."))}
    if not inner:
        return name
    is_list = any(f.name == canonical and f.type == "array" for f in load(table).fields)
    last = canonical.rpartition("_")[2]
    wanted = _ITEMS if is_list else (last, *_aliases()["people"].get(last, ()))
    between = "[]." if is_list else "."
    return next((path for word in wanted if (path := f"{name}{between}{word}") in inner), None)


def _fill_person(table: str, who: str, header: Header, nested: Sequence[str], found: dict[str, str]) -> None:
    """Take the other columns of a person from the struct that has the person's name."""
    own = next(
        (name for alias in _aliases()[table].get(f"{who}_name", ()) if (name := header.name(alias))), ""
    )
    if not any(path.startswith(f"{own}.") for path in nested):
        return
    for column in load(table).columns:
        if column.startswith(f"{who}_") and column not in found:
            inside = _within(table, column, own, nested)
            if inside and inside not in found.values():
                found[column] = inside


def _full_name(header: Header) -> str | None:
    """A template of first and last name, where the file has both."""
    both = [next((name for word in words if (name := header.name(word))), None) for words in _names()]
    return " ".join(f"{{{name}}}" for name in both) if all(both) else None


def _dotless(names: Sequence[str], alias: str) -> str | None:
    wanted = fold(alias.removeprefix("not:")).replace(".", "")
    return next((name for name in names if fold(name).replace(".", "") == wanted), None)


@cache
def _read() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((SCHEMAS / "aliases.toml").read_text("utf-8"))


def _aliases() -> dict[str, dict[str, list[str]]]:
    return {table: _read()[table] for table in TABLES}


def _names() -> tuple[list[str], list[str]]:
    return _read()["names"]["first"], _read()["names"]["last"]


# -- by values


def _by_cells(table: str, header: Header, found: dict[str, str], inverted: set[str], cells: CellsOf) -> None:
    """Correct columns that the header got wrong, and find columns that no header names."""
    for name, email in _PEOPLE.get(table, ()):
        _sort_people(table, name, email, found, cells)
    if table == "tickets" and (closed := found.get("closed_at")) and _all_mean("truth", cells(closed)):
        # The column says whether the ticket is closed, not when.
        del found["closed_at"]
        found.setdefault("status", closed)
    for column in _TELLING.get(table, ()):
        if column in found or (column == "status" and "closed_at" in found):
            continue
        rest = [name for name in header.names if name and name not in found.values()]
        telling = next((name for name in rest if _tells(column, name, cells(name))), None)
        if telling:
            found[column] = telling
            if column == "public" and _all_mean("truth", cells(telling)) and hints("private", telling):
                inverted.add(column)
    for column, pattern in (("created_at", _TIME), ("requester_email", _ADDRESS), ("author_email", _ADDRESS)):
        if column in load(table).columns and column not in found:
            rest = [name for name in header.names if name and name not in found.values()]
            holding = [name for name in rest if _mostly(cells(name), pattern)]
            if column == "created_at":
                holding = [name for name in holding if _are_times(cells(name))]
            else:
                # The same address in all rows is the helpdesk's own.
                holding = [name for name in holding if cells(name).n_unique() > 1 or len(cells(name)) == 1]
            if len(holding) == 1:
                found[column] = holding[0]


def _sort_people(table: str, name: str, email: str, found: dict[str, str], cells: CellsOf) -> None:
    if name in found and email not in found and _mostly(cells(found[name]), _ADDRESS):
        found[email] = found.pop(name)
    if email in found and _mostly(cells(found[email]), r"^[^@]*$"):
        header = found.pop(email)
        if table == "messages" and "author_role" not in found and _all_mean("author_role", cells(header)):
            found["author_role"] = header
        else:
            found.setdefault(name, header)


def _mostly(cells: pl.Series, pattern: str) -> bool:
    """Whether most of the cells match a pattern. False where there are no cells."""
    return not cells.is_empty() and int(cells.str.contains(pattern).sum()) >= len(cells) * _MIN_SHARE_OF_CELLS


def _are_times(cells: pl.Series) -> bool:
    if int((cells.str.count_matches(r"\d") >= _DIGITS).sum()) < len(cells) * _MIN_SHARE_OF_CELLS:
        return False
    decision = decide([cell for cell in sorted(cells.unique()) if len(cell) <= _SHORT])
    return decision.matching >= cells.n_unique() * _MIN_SHARE_OF_CELLS


def _all_mean(column: str, cells: pl.Series) -> bool:
    """Whether the column has few different values, and each of them has a known meaning."""
    values = cells.unique()
    return 0 < len(values) <= _MAX_DISTINCT_VALUES and all(
        len(value) <= _SHORT and meaning_of(column, value) for value in values
    )


# The meanings that a column must have at least, so that its values show what it is.
_BOTH = {
    "public": {"true", "false"},
    "author_role": {"agent", "end_user"},
    "role": {"agent", "end_user"},
    "direction": {"inbound", "outbound"},
}


def _tells(column: str, name: str, cells: pl.Series) -> bool:
    """Whether a header is this canonical column, by its values. Values that only mean yes or no need a hint
    in the header too."""
    if not _all_mean(column, cells):
        return False
    if _all_mean("truth", cells):
        return column == "public" and (hints("private", name) or hints("public", name))
    meant = {meaning_of(column, value) for value in cells.unique()}
    return meant >= _BOTH.get(column, set()) and len(meant) > 1
