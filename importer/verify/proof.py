"""The proof: one file that shows later what Dixa held, without any text or address in it. Pure.

Each ticket has the SHA-256 of what Dixa showed of it. A Merkle tree over all tickets (as RFC 6962 builds one)
gives one root, so that a ticket can be proved alone. docs/proof.md has the rules, and a checker.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from importer.dixa.content import Content

VERSION = 1


def canonical(value: Any) -> bytes:
    """JSON as RFC 8785 writes it. The values have no floating-point numbers, and their keys are ASCII."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def digest_of(dixa_id: str, held: Content) -> str:
    """The SHA-256 of what Dixa shows of a conversation, in hexadecimal. Times are milliseconds."""
    columns = {
        name: sorted(value) if isinstance(value, frozenset) else _number(value)
        for name, value in held.columns.items()
        if value is not None
    }
    parts = [
        {
            "kind": part.kind,
            "id": part.dixa_id,
            "author": part.author,
            "direction": part.direction,
            "at": _number(part.at),
            "text": part.text,
            "files": list(part.files),
        }
        for part in held.parts
    ]
    value = {"id": dixa_id, "anonymised": held.is_anonymous, "columns": columns, "parts": parts}
    return hashlib.sha256(canonical(value)).hexdigest()


def _number(value: Any) -> Any:
    return round(value * 1000) if isinstance(value, float) else value


def leaf(ticket: Mapping[str, str]) -> bytes:
    """The hash of a ticket in the tree."""
    return hashlib.sha256(b"\0" + canonical(ticket)).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root of the tree."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    # Pairing from the left gives the tree of RFC 6962: an odd one out moves up unchanged.
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        level = [_node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)] + odd
    return level[0]


def path(leaves: Sequence[bytes], place: int) -> list[list[str]]:
    """The hashes with which a leaf gives the root: each `left` or `right`, and the hash in hexadecimal."""
    level, found = list(leaves), []
    while len(level) > 1:
        other = place ^ 1
        if other < len(level):
            found.append(["left" if other < place else "right", level[other].hex()])
        odd = [level[-1]] if len(level) % 2 else []
        level = [_node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)] + odd
        place //= 2
    return found


def sealed(facts: Mapping[str, Any], tickets: Sequence[Mapping[str, str]]) -> bytes:
    """The file: the facts, the tickets, the root over them, and the seal, a hash of all the rest. Its bytes
    are canonical, so that no byte can be changed."""
    value = {
        **facts,
        "version": VERSION,
        "tickets": list(tickets),
        "root": root([leaf(ticket) for ticket in tickets]).hex(),
    }
    return canonical({**value, "seal": hashlib.sha256(canonical(value)).hexdigest()}) + b"\n"


def shown(proof: Mapping[str, Any], ticket_id: str) -> dict[str, Any] | None:
    """The proof of one ticket without the others; None if it is not in the proof."""
    tickets = proof["tickets"]
    place = next((n for n, ticket in enumerate(tickets) if ticket["ticket_id"] == ticket_id), None)
    if place is None:
        return None
    leaves = [leaf(ticket) for ticket in tickets]
    return {
        "version": VERSION,
        "ticket": tickets[place],
        "path": path(leaves, place),
        "root": proof["root"],
        "seal": proof["seal"],
    }
