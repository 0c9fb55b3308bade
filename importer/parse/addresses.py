"""E-mail addresses and URLs in cells: what one is, and how to find it in a name, a list or a link. Pure."""

import re

import polars as pl

from importer.parse.distinct import Cells, map_distinct
from importer.parse.fastpath import CellTransform
from importer.parse.lists import cell_items

# The addr-spec of RFC 5321 without its quoted and literal forms; in ASCII, since Dixa says nothing of others.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"


EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"


URL = r"^https?://[^\s/?#]+[^\s]*$"


# One address with the name that it may have in front: quoted, or without signs that could part two of them.
_NAMED = r"""^\s*(?:"[^"]*"\s*|[^<>@]*|[^<>,;]*)<\s*(?:mailto:)?([^<>\s,;]+@[^<>\s,;]+)\s*>[\s,;]*$"""


def _address(cells: pl.Series) -> pl.Series:
    """The address out of `Name <a@b.c>` or `mailto:a@b.c`; a cell of several stays as it is."""
    # Most columns hold bare addresses, and the pattern is dear.
    if _is_bare(cells).all():
        return cells
    inner = cells.str.extract(_NAMED, 1)
    return inner.zip_with(inner.is_not_null(), cells.str.strip_prefix("mailto:"))


def _is_bare(cells: Cells) -> Cells:
    return ~(cells.str.contains("<", literal=True) | cells.str.starts_with("mailto:"))


ADDRESS = CellTransform(lambda cells: map_distinct(cells, _address), _is_bare)


def _addresses(cells: pl.Series) -> pl.Series:
    known = [None if cell is None or not _SIGNS.search(cell) else _listed(cell) for cell in cells]
    return pl.Series(cells.name, known, dtype=pl.String).zip_with(
        pl.Series([one is not None for one in known], dtype=pl.Boolean), cells
    )


_SIGNS = re.compile("""[<",;|]|mailto:""")


# What stands between two separators, which within quotes and angle brackets are none.
_PIECE = re.compile(r"""(?:"[^"]*"|<[^<>]*>|[^,;|\n])+""")


def _listed(cell: str) -> str:
    """The addresses of a cell, a line each. What has no `@` is a part of the name behind it, or else an item
    that is no address."""
    bracketed = cell.strip().startswith("[") and cell.strip().endswith("]")
    items = cell_items(cell) if bracketed else _PIECE.findall(cell)
    if items is None:
        return cell
    pieces = [item.strip() for item in items]
    kept: list[str] = []
    is_named = False
    for piece in reversed(pieces):
        if "@" in piece:
            is_named = "<" in piece
        if piece and ("@" in piece or not is_named):
            kept.append(piece)
    kept.reverse()
    return "\n".join(_address(pl.Series(kept, dtype=pl.String)))


# Addresses of a cell, however they are parted and named.
ADDRESSES = CellTransform(
    lambda cells: map_distinct(cells, _addresses), lambda cell: ~cell.str.contains("""[<",;|]|mailto:""")
)


def _first(lists: pl.Series) -> pl.Series:
    """The first line with an `@`, and of several addresses on it the first; else the first line."""
    line = lists.str.extract(r"(?m)^([^\r\n]*@[^\r\n]*)$", 1)
    several = line.str.contains(r"@.*\s.*@|^\[").fill_null(value=False)
    address = line.str.extract(r"""([^\s,;\[\]"'<>]+@[^\s,;\[\]"'<>]+)""", 1).zip_with(several, line)
    return address.zip_with(address.is_not_null(), lists.str.extract(r"^([^\n]+)", 1))


FIRST_ADDRESS = CellTransform(
    lambda cells: map_distinct(map_distinct(cells, _addresses), _first),
    lambda cell: ~cell.str.contains("""[<",;|\\s\\[]|mailto:"""),
)
