"""What report.html shows, made from what report.json holds, in the order and the words of the page.

The page is needed most after a run that went wrong. So whatever is missing from a report is skipped, and what
should be a number and is not counts as 0. No value of a report makes the page fail.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from importer.books import KINDS, PLACES
from importer.model import State
from importer.relate.reasons import WAITING
from importer.report import headline, text
from importer.report.months import chart
from importer.report.next_steps import DRY, facts_of, next_steps

DELIMITERS = {",": "comma", ";": "semicolon", "|": "pipe", " ": "blank"}
DIRECTIONS = {"inbound": "from customers", "outbound": "from agents", "internal": "private notes"}

_UNITS = ("bytes", "kB", "MB", "GB")
_NAMED_ONE_BY_ONE = 12
# No real count comes near this. A larger number is not shown.
_BEYOND = 1e18
# Where a headline may break, so that a number is never separated from its verb.
_CLAUSE = re.compile(r"(?<=[,;]) ")
_PLACE = re.compile(r"(?P<where>.+?:[0-9]+): (?P<what>.*)", re.DOTALL)


def view(report: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the templates show."""
    command = str(report.get("command", ""))
    dry = command in DRY
    ledgers = {kind: _ledger(report.get(kind)) for kind in KINDS}
    tickets = ledgers["tickets"]
    code = report.get("exit_code")
    code = code if isinstance(code, int) else None
    problems = [_problem(row) for row in _rows(report.get("problems"))]
    kept = [row for row in problems if row["state"] != State.FILTERED]
    return {
        "command": command,
        "migration": str(report.get("migration", "")),
        "dry": dry,
        "standing": headline.standing(code, tickets, dry=dry, balanced=report.get("balanced") is not False),
        "headline": _CLAUSE.split(headline.headline(tickets, dry=dry)),
        "error": str(report.get("error") or "").splitlines(),
        "forecast": _forecast(report),
        "requests": _requests(report),
        "books": _books(ledgers, dry=dry),
        "balanced": report.get("balanced"),
        "findings": [_entry(row, "name") for row in _rows(report.get("findings"))],
        "losses": [_loss(row) for row in _rows(report.get("losses"))],
        "to_correct": [row for row in kept if row["rule"] not in WAITING],
        "waiting": [row for row in kept if row["rule"] in WAITING],
        "filtered": [row for row in problems if row["state"] == State.FILTERED],
        "files": [_file(row) for row in _rows(report.get("files"))],
        **_statistics(_mapping(report.get("statistics"))),
        "steps": [{"words": s.words, "command": s.quoted} for s in next_steps(facts_of(report))],
    }


# What a report holds.


def _count(value: object) -> int:
    return int(_figure(value))


def _figure(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if abs(value) < _BEYOND else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [row for row in _items(value) if isinstance(row, Mapping)]


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _pairs(value: object) -> Sequence[tuple[str, int]]:
    pairs = [pair for pair in _items(value) if isinstance(pair, list | tuple) and len(pair) == 2]
    return [("" if name is None else str(name), _count(count)) for name, count in pairs]


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value)


def _ledger(value: object) -> Counter[str]:
    row = _mapping(value)
    return Counter({key: _count(row.get(key)) for key in ("read", *State)})


# What it becomes on the page.


def _forecast(report: Mapping[str, Any]) -> dict[str, Any] | None:
    row = _mapping(report.get("forecast"))
    requests = _count(row.get("requests"))
    return {"requests": requests, "time": _duration(_figure(row.get("seconds")))} if requests > 0 else None


def _requests(report: Mapping[str, Any]) -> dict[str, Any] | None:
    row = _mapping(report.get("requests"))
    if (sent := _count(row.get("sent"))) <= 0:
        return None
    refused, again = _count(row.get("status_429")), _count(row.get("retried"))
    return {
        "sent": sent,
        "time": _duration(_figure(row.get("seconds"))),
        "retried": again,
        "too_many": refused,
    }


def _duration(seconds: float) -> str:
    """`40 seconds`, `7 minutes`, `2.5 hours`: as the terminal says it, written out."""
    number, unit = text.duration(seconds).split(" ")
    word = {"s": "second", "min": "minute", "h": "hour"}[unit]
    return f"{number} {word}" if number == "1" else f"{number} {word}s"


def _books(ledgers: Mapping[str, Counter[str]], *, dry: bool) -> dict[str, Any]:
    """A row for each state, to be added up to what was read. Rows and columns of zeros are skipped. Before a
    run, what is `left` is good and comes first."""
    kinds = [kind for kind, ledger in ledgers.items() if any(ledger.values()) or kind == "tickets"]
    order = sorted(State, key=lambda state: state is not State.LEFT) if dry else State
    return {
        "kinds": kinds,
        "read": [ledgers[kind]["read"] for kind in kinds],
        "states": [
            {
                "name": "good" if dry and state is State.LEFT else state.replace("_", " "),
                "meaning": (headline.DRY_MEANINGS if dry else headline.MEANINGS)[state],
                "bad": state in (State.REJECTED, State.FAILED, State.IN_DOUBT),
                "counts": [ledgers[kind][state] for kind in kinds],
            }
            for state in order
            if any(ledgers[kind][state] for kind in kinds)
        ],
        "imbalances": list(_imbalances(ledgers)),
    }


def _imbalances(ledgers: Mapping[str, Counter[str]]) -> Iterator[str]:
    for kind, ledger in ledgers.items():
        accounted = sum(ledger[state] for state in PLACES)
        if accounted != ledger["read"]:
            yield f"of {ledger['read']:,} {kind} read, {accounted:,} are accounted for"


def _problem(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_entry(row, "rule"), "rule": _text(row, "rule"), "state": _text(row, "state")}


def _entry(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """How many, what it is, and where. Without a message its name (under `key`) is the title. Without
    examples the first line is shown."""
    examples = [_example(str(example)) for example in _items(row.get("examples"))]
    count, name, message = _count(row.get("count")), _text(row, key), _text(row, "message")
    return {
        "count": count,
        "total": _count(row.get("total")),
        "title": message or name,
        "table": _text(row, "table"),
        "name": name if message else "",
        "examples": examples,
        "more": max(count - len(examples), 0) if examples else 0,
        "first_line": 0 if examples else _count(row.get("first_line")),
    }


def _example(value: str) -> tuple[str, str]:
    """`export/m.csv:7: Created: 'x'` in two: where, and what is there."""
    match = _PLACE.fullmatch(value)
    return (match["where"], match["what"]) if match else ("", value)


def _loss(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"count": _count(row.get("count")), "title": _text(row, "what"), "why": _text(row, "why")}


def _file(row: Mapping[str, Any]) -> dict[str, Any]:
    delimiter = _text(row, "delimiter")
    return {
        **{key: _text(row, key) for key in ("table", "path", "kind", "encoding")},
        "delimiter": DELIMITERS.get(delimiter, delimiter),
        "rows": _count(row.get("rows")),
        "notes": [str(note) for note in _items(row.get("notes"))],
    }


def _statistics(row: Mapping[str, Any]) -> dict[str, Any]:
    shares = [
        ("Directions", "direction", _named(row.get("by_direction"), DIRECTIONS, "not said")),
        ("Channels", "channel", _named(row.get("by_channel"), {}, "not said")),
    ]
    return {
        "chart": chart(_pairs(row.get("messages_per_month"))),
        "sizes": list(_sizes(row)),
        "shares": [
            {"title": title, "head": head, "rows": rows, "total": sum(count for _, count, _ in rows)}
            for title, head, rows in shares
            if rows
        ],
    }


def _named(value: object, names: Mapping[str, str], nothing: str) -> list[tuple[str, int, bool]]:
    """What is counted, how often, and whether the name is ours and not the data's. The largest first; many
    small ones are one row."""
    pairs = sorted(_pairs(value), key=lambda pair: -pair[1])
    rows = [(names.get(key, key) or nothing, count, not key or key in names) for key, count in pairs]
    if len(rows) <= _NAMED_ONE_BY_ONE + 1:
        return rows
    others = rows[_NAMED_ONE_BY_ONE:]
    return [*rows[:_NAMED_ONE_BY_ONE], (f"{len(others):,} others", sum(row[1] for row in others), True)]


def _sizes(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    texts, tickets = _mapping(row.get("text_bytes")), _mapping(row.get("messages_per_ticket"))
    if texts:
        yield "All texts together", _size(_figure(texts.get("total")))
        yield "A text, on average", _size(_figure(texts.get("mean")))
        yield "The largest text", _size(_figure(texts.get("largest")))
    if tickets:
        yield "Messages in a ticket, on average", f"{_figure(tickets.get('mean')):,.1f}"
        yield "Messages in the largest ticket", f"{_count(tickets.get('largest')):,}"


def _size(count: float) -> str:
    """Bytes for people: `310 bytes`, `90 kB`, `1.2 MB`."""
    power = min(len(f"{count:.0f}") - 1, 11) // 3
    if not power:
        return f"{count:,.0f} bytes"
    shown = count / 1000**power
    return f"{shown:,.1f} {_UNITS[power]}" if shown < 10 else f"{shown:,.0f} {_UNITS[power]}"
