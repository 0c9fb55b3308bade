"""report.html: the report for somebody who opens a page instead of a terminal. One file, offline, no script.

Strangers wrote most of what it shows to a helpdesk once. So the templates escape everything, no text of the
data becomes an attribute or a link, what cannot be seen is named (`visible`), and a Content-Security-Policy
lets nothing load or run, should all that fail.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from importer.report.view import view

# A longer text tells a reader nothing more. The files have it in full.
LONGEST = 400

_NAMED = {"\n": "new line", "\r": "carriage return", "\t": "tab", "\0": "null", "\ufeff": "byte order mark"}


def page(report: Mapping[str, Any]) -> str:
    """The whole page. `report` is what report.json holds.

    Two keys beyond that are used where they are there: `error`, why a run stopped, and `migration_file`, the
    migration file as the user named it, for the commands to type next.
    """
    return rendered("page.html", view(report))


def rendered(template: str, value: Mapping[str, Any]) -> str:
    """A page from a template of this folder."""
    return _templates().get_template(template).render(value)


def visible(value: object) -> Markup:
    """A text of the data as it may stand in the page: escaped, of bounded length, and what has no shape of
    its own (controls, overrides of the reading direction, blanks that are no blanks) called by its name."""
    return Markup("").join(
        Markup('<mark class="odd">{}</mark>').format(part) if odd else part for part, odd in _parts(value)
    )


def plain(value: object) -> str:
    """The same where no elements can stand, as in the page's title."""
    return "".join(f"‹{part}›" if odd else part for part, odd in _parts(value))


def _parts(value: object) -> Iterator[tuple[str, bool]]:
    whole = str(value)
    for odd, characters in groupby(whole[:LONGEST], key=lambda c: "" if c.isprintable() else c):
        run = "".join(characters)
        times = f" ×{len(run)}" if len(run) > 1 else ""
        yield (f"{_name(odd)}{times}", True) if odd else (run, False)
    if len(whole) > LONGEST:
        yield f"{len(whole) - LONGEST:,} more characters", True


def _name(character: str) -> str:
    name = _NAMED.get(character) or unicodedata.name(character, "").lower()
    return name or f"U+{ord(character):04X}"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("importer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible, plain=plain, count=lambda number: f"{number:,}", percent=_percent
    )
    return environment


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole if whole > 0 else 0.0
    if 0 < share < 1:
        return "under 1 %"
    return "over 99 %" if 99 < share < 100 else f"{share:.0f} %"
