"""What `verify` found, in words, as verify.csv and as JSON."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from importer import __version__
from importer.pipeline.values import Findings, Invocation, RunResult, Selection
from importer.private_files import writing
from importer.read.guarded_csv import guarded_row_writer
from importer.report import files, text, verify_view
from importer.report.html import rendered
from importer.report.lines import next_lines
from importer.verify.compare import Difference, Mark, Verified
from importer.verify.proof import sealed

SHOWN = 20
CONFIDENCE = 0.95


def report(
    call: Invocation, findings: Findings, ran: RunResult, facts: Mapping[str, Any], exit_code: int
) -> dict[str, Any]:
    """verify.json: what `--json` prints."""
    differing = [ticket for ticket in findings.verified if ticket.comparison.differences]
    kinds = Counter(kind(d) for ticket in differing for d in ticket.comparison.differences)
    value = {
        **files.envelope(
            "verify",
            call.migration.name,
            exit_code=exit_code,
            error=str(ran.failure) if ran.failure else None,
        ),
        **facts,
        "flags": list(call.flags),
        "verified": {
            "in_dixa": findings.in_dixa,
            "chosen": findings.chosen,
            "read": len(findings.verified) - findings.unread,
            "same": len(findings.verified) - len(differing) - findings.unread,
            "different": sum(not _is_mild(ticket) for ticket in differing),
            "only_markup": sum(_is_mild(ticket) for ticket in differing),
            "unread": findings.unread,
            "not_in_export": len(findings.not_in_export),
            "not_in_dixa": findings.absent,
            "added_since": findings.since,
            "to_be_added": findings.fixed,
            "unproved": findings.unproved,
        },
        "differences": dict(sorted(kinds.items())),
        "requests": files.requests(ran.traffic, ran.seconds),
    }
    return files.with_next(value)


def kind(difference: Difference) -> str:
    """What kind of difference it is, such as `message text` or `note missing`."""
    if difference.mark is Mark.ERROR:
        return f"{difference.what} {difference.column} not shown"
    words = {Mark.MISSING: "missing", Mark.EXTRA: "extra"}.get(difference.mark, "")
    mild = " (mark-up only)" if difference.is_mild else ""
    return f"{difference.what} {difference.column or words}{mild}".strip()


def _is_mild(ticket: Verified) -> bool:
    return all(difference.is_mild for difference in ticket.comparison.differences)


def write(folder: Path, findings: Findings, value: Mapping[str, Any]) -> None:
    """verify.csv with every difference, verify.json, and verify.html."""
    with writing(folder / "verify.csv") as out:
        row = guarded_row_writer(out)
        row(["ticket_id", "dixa_id", "mark", "what", "where", "column", "export", "dixa", "only_markup"])
        for ticket, one in _differences(findings):
            what = (one.mark.value, one.what, one.where, one.column, one.sent, one.shown)
            row([ticket.ticket_id, ticket.dixa_id, *what, "yes" if one.is_mild else ""])
    with writing(folder / "verify.json") as out:
        json.dump(value, out, ensure_ascii=False, indent=2)
        out.write("\n")
    with writing(folder / "verify.html") as out:
        out.write(rendered("verify.html", verify_view.view(value, findings)))


def _differences(findings: Findings) -> Iterator[tuple[Verified, Difference]]:
    """By ticket. A conversation that could not be read is one too."""
    for ticket in sorted(findings.verified, key=lambda ticket: ticket.ticket_id):
        for difference in ticket.comparison.differences:
            yield ticket, difference
        if ticket.unread:
            yield ticket, Difference(Mark.ERROR, "conversation", "", "unread", "", ticket.unread)


def lines(
    findings: Findings,
    ran: RunResult,
    value: Mapping[str, Any],
    folder: Path,
    selection: Selection,
    proof: Path | None,
) -> list[str]:
    """What `verify` prints at its end. `folder` is that of the reports."""
    counts = value["verified"]
    shown = _count_lines(counts)
    if value["differences"]:
        shown += ["", "Differences:"]
        shown += [f"{count:>8,} {what}" for what, count in value["differences"].items()]
    shown += _difference_lines(findings, folder / "verify.csv")
    if selection.sample is not None and counts["read"] and counts["read"] < counts["in_dixa"]:
        bound = upper_bound(counts["different"], counts["read"])
        shown += [
            "",
            f"{counts['different']:,} of {counts['read']:,} drawn at random (seed {selection.seed}) differ: "
            f"with 95 % confidence fewer than {100 * bound:.2f} % of all do.",
        ]
    shown += [
        "",
        f"{ran.traffic.sent:,} requests in {text.duration(ran.seconds)}.",
        f"Differences: {folder / 'verify.csv'}",
        f"Report: {folder / 'verify.html'} (verify.json for programs)",
        *([f"Proof: {proof}"] if proof else []),
    ]
    return [*shown, *next_lines(value)]


_COUNTS = (
    ("same", "= are as they were sent"),
    ("only_markup", "= differ in the mark-up of texts only, or are not shown whole"),
    ("different", "* differ"),
    ("unread", "! could not be read"),
    ("not_in_export", "  are not in this export, so they were not compared"),
    ("not_in_dixa", "  tickets of the export are not in Dixa; failed.csv says why"),
    ("added_since", "  messages and notes were added by people since the import"),
)


def _count_lines(counts: Mapping[str, int]) -> list[str]:
    return [
        f"{counts['read']:,} of {counts['in_dixa']:,} tickets that are in Dixa were read back and compared "
        "with the export.",
        *(f"{counts[name]:>8,} {words}" for name, words in _COUNTS if counts[name] or name == "same"),
    ]


def _difference_lines(findings: Findings, file: Path) -> list[str]:
    """The first differences, without the milder ones."""
    real = [(ticket, difference) for ticket, difference in _differences(findings) if not difference.is_mild]
    shown = [
        f"  {difference.mark} ticket {ticket.ticket_id} (conversation {ticket.dixa_id}): {_words(difference)}"
        for ticket, difference in real[:SHOWN]
    ]
    more = [f"  and {len(real) - SHOWN:,} more in {file}"] if len(real) > SHOWN else []
    return ["", *shown, *more] if real else []


def _words(difference: Difference) -> str:
    where = f"{difference.what} {difference.where}".strip()
    match difference.mark:
        case Mark.MISSING if difference.column:
            return f"{where}: {difference.column} {difference.sent} is missing"
        case Mark.MISSING:
            return f"{where} is missing"
        case Mark.EXTRA:
            return f"{where} is there {difference.column}"
        case Mark.ERROR:
            return f"{where}: {difference.column}: {difference.shown}"
        case _:
            return f"{where}: {difference.column} is {difference.shown!r}, not {difference.sent!r}"


def upper_bound(found: int, of: int) -> float:
    """The share of all that differ, which is larger with a probability of 5 % at most if so many of a random
    sample do (Clopper and Pearson, one-sided)."""
    if found >= of:
        return 1.0
    low, high = found / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(found, of, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(found: int, of: int, share: float) -> float:
    """The probability of at most so many, if each differs with this probability."""
    logs = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        + k * math.log(share) + (of - k) * math.log1p(-share)
        for k in range(found + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs)) if 0 < share < 1 else float(share <= 0)


def write_proof(
    path: Path, findings: Findings, value: Mapping[str, Any], now: datetime, facts: Mapping[str, Any]
) -> None:
    """The proof (verify.proof): what was verified, without texts and addresses."""
    digests = {ticket.ticket_id: ticket.digest for ticket in findings.verified if ticket.digest}
    ids = {ticket.ticket_id: ticket.dixa_id for ticket in findings.verified}
    tickets = [
        {"ticket_id": ticket_id, "dixa_id": ids[ticket_id], "sha256": digest}
        for ticket_id, digest in sorted(digests.items())
    ]
    content = {
        **facts,
        "program": f"dixa-importer {__version__}",
        "verified_at": now.isoformat(timespec="seconds"),
        "counts": value["verified"],
        "differences": value["differences"],
    }
    with writing(path) as out:
        out.write(sealed(content, tickets).decode("utf-8"))
