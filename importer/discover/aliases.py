"""Which columns of an unknown export are which: by the names that many exports use (schemas/aliases.toml),
then by what stands in them. Pure."""

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
# What of the structs in a list is the item: of tags, of addresses, of attachments.
_ITEMS = ("name", "url", "content_url", "address", "email")
# Columns of people, of which a name may stand where an address is meant, and the other way round.
_PEOPLE = {
    "tickets": (("requester_name", "requester_email"), ("assignee_name", "assignee_email")),
    "messages": (("author_name", "author_email"),),
}
# Columns of few values that tell by these what they are, in the order in which they are looked for.
_TELLING = {"messages": ("public", "author_role", "direction"), "tickets": ("status",), "people": ("role",)}
_MAX_DISTINCT_VALUES, _MIN_SHARE_OF_CELLS, _LOOKED_AT = 12, 0.8, 2_000
_SHORT = 40  # characters; what is longer is no time and no value of a few
# One address, with a name or without; a time with something between its numbers: neither is ever an id.
_ADDRESS = r"^(?:[^@<>]{0,80}<)?\s*(?:mailto:)?[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+>?$"
_TIME = r"\d[^\d]+\d"
_DIGITS = 6  # at least, of a time


@dataclass(frozen=True, slots=True)
class Aliased:
    """Canonical column → header, path or template; the columns whose values mean the opposite, and those that
    are known only by what stands in them."""

    columns: Mapping[str, str] = field(default_factory=dict)
    inverted: frozenset[str] = frozenset()
    guessed: frozenset[str] = frozenset()


def aliased(table: str, header: Header, nested: Sequence[str] = (), cells: CellsOf | None = None) -> Aliased:
    """The columns of a table, each header once, canonical names first. `nested` are paths into its structs
    (SourceFile.nested); `cells` gives what stands in a column of a sample, empty cells left out."""
    found, inverted = _by_name(table, header, nested)
    by_name = dict(found)
    if cells is not None:
        _by_cells(table, header, found, inverted, lambda name: cells(name).head(_LOOKED_AT))
    guessed = {column for column, own in found.items() if own not in by_name.values()}
    return Aliased(found, frozenset(inverted), frozenset(guessed))


def known_as(table: str, column: str, name: str) -> bool:
    """Whether a header is one of the names of a canonical column."""
    return column in _by_name(table, Header([name], {}), ())[0]


# -- by name


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
    """The column itself, or what of its structs can be the value."""
    inner = {path for path in nested if path.startswith((f"{name}.", f"{name}[]."))}
    if not inner:
        return name
    is_list = any(f.name == canonical and f.type == "array" for f in load(table).fields)
    last = canonical.rpartition("_")[2]
    wanted = _ITEMS if is_list else (last, *_aliases()["people"].get(last, ()))
    between = "[]." if is_list else "."
    return next((path for word in wanted if (path := f"{name}{between}{word}") in inner), None)


def _fill_person(table: str, who: str, header: Header, nested: Sequence[str], found: dict[str, str]) -> None:
    """What else a struct says of a person whose name it has."""
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
    """A first and a last name as one."""
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


# -- by what stands there


def _by_cells(table: str, header: Header, found: dict[str, str], inverted: set[str], cells: CellsOf) -> None:
    """Put right and fill in what names alone got wrong or did not find."""
    for name, email in _PEOPLE.get(table, ()):
        _sort_people(table, name, email, found, cells)
    if table == "tickets" and (closed := found.get("closed_at")) and _all_mean("truth", cells(closed)):
        # Whether it is closed, not when.
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
                # One address in all rows is the helpdesk's own.
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
    """Whether most of the cells have a pattern, and there are any."""
    return not cells.is_empty() and int(cells.str.contains(pattern).sum()) >= len(cells) * _MIN_SHARE_OF_CELLS


def _are_times(cells: pl.Series) -> bool:
    if int((cells.str.count_matches(r"\d") >= _DIGITS).sum()) < len(cells) * _MIN_SHARE_OF_CELLS:
        return False
    decision = decide([cell for cell in sorted(cells.unique()) if len(cell) <= _SHORT])
    return decision.matching >= cells.n_unique() * _MIN_SHARE_OF_CELLS


def _all_mean(column: str, cells: pl.Series) -> bool:
    """Whether there are few different values, and all of them mean something in that column."""
    values = cells.unique()
    return 0 < len(values) <= _MAX_DISTINCT_VALUES and all(
        len(value) <= _SHORT and meaning_of(column, value) for value in values
    )


# What a column must mean at least, so that its values tell what it is.
_BOTH = {
    "public": {"true", "false"},
    "author_role": {"agent", "end_user"},
    "role": {"agent", "end_user"},
    "direction": {"inbound", "outbound"},
}


def _tells(column: str, name: str, cells: pl.Series) -> bool:
    """Whether a column is that one: by its values, and where these are but yes and no, by its name too."""
    if not _all_mean(column, cells):
        return False
    if _all_mean("truth", cells):
        return column == "public" and (hints("private", name) or hints("public", name))
    meant = {meaning_of(column, value) for value in cells.unique()}
    return meant >= _BOTH.get(column, set()) and len(meant) > 1
