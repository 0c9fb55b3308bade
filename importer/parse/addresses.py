"""E-mail addresses and URLs in cells: their syntax, and how to extract them from names, lists and links.
Pure."""

import re

import polars as pl

from importer.parse.distinct import Cells, map_distinct
from importer.parse.fastpath import CellTransform
from importer.parse.lists import cell_items

# The addr-spec of RFC 5321 without its quoted and literal forms; ASCII only, since Dixa documents no others.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"


EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"


URL = r"^https?://[^\s/?#]+[^\s]*$"


# One address with an optional name in front: quoted, or without characters that could separate two addresses.
_NAMED = r"""^\s*(?:"[^"]*"\s*|[^<>@]*|[^<>,;]*)<\s*(?:mailto:)?([^<>\s,;]+@[^<>\s,;]+)\s*>[\s,;]*$"""


def _address(cells: pl.Series) -> pl.Series:
    """The address in `Name <a@b.c>` or `mailto:a@b.c`. Cells with several addresses stay unchanged."""
    # Most columns contain only bare addresses, and the pattern is expensive.
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


# The text between two separators. Inside quotes and angle brackets, these characters do not separate.
_PIECE = re.compile(r"""(?:"[^"]*"|<[^<>]*>|[^,;|\n])+""")


def _listed(cell: str) -> str:
    """The addresses of a cell, one per line. Text without an `@` is part of the name that follows it, or else
    an item that is not an address."""
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


# All addresses of a cell, one per line, without names.
ADDRESSES = CellTransform(
    lambda cells: map_distinct(cells, _addresses), lambda cell: ~cell.str.contains("""[<",;|]|mailto:""")
)


def _first(lists: pl.Series) -> pl.Series:
    """The first line with an `@`, or the first address if that line has several; else the first line."""
    line = lists.str.extract(r"(?m)^([^\r\n]*@[^\r\n]*)$", 1)
    several = line.str.contains(r"@.*\s.*@|^\[").fill_null(value=False)
    address = line.str.extract(r"""([^\s,;\[\]"'<>]+@[^\s,;\[\]"'<>]+)""", 1).zip_with(several, line)
    return address.zip_with(address.is_not_null(), lists.str.extract(r"^([^\n]+)", 1))


# The first address of a cell, without its name.
FIRST_ADDRESS = CellTransform(
    lambda cells: map_distinct(map_distinct(cells, _addresses), _first),
    lambda cell: ~cell.str.contains("""[<",;|\\s\\[]|mailto:"""),
)
