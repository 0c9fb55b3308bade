"""What the page of `verify` shows: differences side by side, and a few tickets whole."""

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from importer.dixa.content import Content
from importer.pipeline.values import Findings
from importer.report.next_steps import facts_of, next_steps
from importer.verify.compare import Difference, Mark, Verified

# More are in verify.csv.
TICKETS_SHOWN = 200
# Of a text.
LONGEST = 400
# Texts that are less alike are marked as a whole.
ALIKE = 0.6


def view(report: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """Everything that the template shows."""
    counts = report["verified"]
    differing = sorted(
        (ticket for ticket in findings.verified if ticket.comparison.differences),
        key=lambda ticket: (all(d.is_mild for d in ticket.comparison.differences), ticket.ticket_id),
    )
    return {
        "migration": report["migration"],
        "counts": counts,
        "error": report["error"],
        "kinds": report["differences"],
        "tickets": [_ticket(ticket) for ticket in differing[:TICKETS_SHOWN]],
        "more": max(0, len(differing) - TICKETS_SHOWN),
        "whole": [_whole(ticket) for ticket in findings.verified if ticket.sides],
        "steps": [{"words": s.words, "command": s.quoted} for s in next_steps(facts_of(report))],
    }


def _ticket(ticket: Verified) -> dict[str, Any]:
    return {
        "ticket_id": ticket.ticket_id,
        "dixa_id": ticket.dixa_id,
        "differences": [_difference(difference) for difference in ticket.comparison.differences],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    words = {
        Mark.MISSING: "is missing",
        Mark.EXTRA: "is in Dixa in addition",
        Mark.ERROR: "is not shown",
    }.get(difference.mark, "differs")
    column = difference.column
    return {
        "mark": difference.mark.value,
        "what": f"{difference.what} {difference.where}".strip(),
        "column": f"{column} {words}" if column else words,
        "is_mild": difference.is_mild,
        "mild": "" if difference.mark is Mark.ERROR else "in its mark-up only",
        "sent": _marked(difference.sent, difference.shown),
        "shown": _marked(difference.shown, difference.sent),
    }


def _marked(text: str, other: str) -> list[tuple[str, bool]]:
    """The pieces of a text, each with whether the other text does not have it in this place."""
    text, other = text[:LONGEST], other[:LONGEST]
    matcher = SequenceMatcher(None, text, other, autojunk=False)
    if matcher.ratio() < ALIKE:
        return [(text, True)] if text else []
    pieces = []
    end = 0
    for block in matcher.get_matching_blocks():
        if block.a > end:
            pieces.append((text[end : block.a], True))
        if block.size:
            pieces.append((text[block.a : block.a + block.size], False))
        end = block.a + block.size
    return pieces


def _whole(ticket: Verified) -> dict[str, Any]:
    sent, shown = ticket.sides or (Content(), Content())
    return {
        "ticket_id": ticket.ticket_id,
        "dixa_id": ticket.dixa_id,
        "sent": _side(sent),
        "shown": _side(shown),
    }


def _side(content: Content) -> dict[str, Any]:
    return {
        "subject": content.columns.get("subject") or "",
        "parts": [
            {
                "kind": part.kind,
                "direction": part.direction or "",
                "text": part.text or "",
                "files": part.files,
            }
            for part in content.parts
        ],
    }
