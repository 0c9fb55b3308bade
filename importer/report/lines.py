"""What a command prints at its end, a list of lines: counts, problems, warnings, losses, files, next
steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from importer.model import State
from importer.pipeline.values import Examined, Forecast, Prepared, RunResult
from importer.report import evidence, text
from importer.report.next_steps import facts_of, next_steps
from importer.report.rejects import Problem

PROBLEMS_SHOWN = 20


def check_lines(found: Examined, report: Mapping[str, Any]) -> list[str]:
    """What `validate` and `plan` found in the export. `report` is what report.json will hold."""
    ready = found.ready
    lines = [text.books(ready.books, planned=True)]
    if found.problems:
        lines += ["", *problem_lines(found.problems)]
    if warnings := report["findings"]:
        lines += ["", *evidence.finding_lines(warnings)]
    for name, table in ready.tables.items():
        if table.scanned.unused:
            lines.append(f"Columns of {name} that are not used: {text.some(table.scanned.unused)}")
    if assumed := assumption_lines(ready):
        lines += ["", *assumed]
    return [*lines, "", text.balance(ready.books), *file_lines(ready.migration.report, found.rejects)]


def file_lines(report: Path, rejects: Mapping[Path, str]) -> list[str]:
    """Where the files are."""
    return [
        *(f"Rejected rows: {path}" for path in rejects),
        f"Report: {report / 'report.html'} (report.json for programs)",
    ]


def assumption_lines(ready: Prepared) -> list[str]:
    """What was decided where the export does not say."""
    related = ready.related
    differing = ready.tables["tickets"].differing
    counts = [
        (related.openings.count, "messages come from ticket rows (opening_text)"),
        (related.unsaid, "messages do not say whether they are public, so they become private notes"),
        (related.timeless, "messages have no time; they get the time of their ticket, if it has one"),
        (related.default_requesters, "tickets name no requester; people.default_requester replaces it"),
        (
            related.default_agents,
            "messages have an agent without an address; people.default_agent replaces it",
        ),
        *(
            (count, f"tickets whose rows disagree on {name}; the smallest value is taken")
            for name, count in differing.items()
        ),
    ]
    lines = [f"  {count:>8,} {what}" for count, what in counts if count]
    return ["Assumed where the export does not say:", *lines] if lines else []


def plan_lines(ready: Prepared, found: Forecast, losses: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a run would send, and what will be lost."""
    migration, target = ready.migration, ready.migration.target
    lines = [
        f"A run would send to {target.base_url} ({target.api}, {migration.conversation.kind}):",
        text.pairs(
            [
                ("  conversations", f"{found.conversations:,}"),
                ("  messages", f"{found.messages:,}"),
                ("  people to look up", f"{found.people_to_look_up:,}"),
                ("  people to create", f"at most {found.people_to_create_at_most:,}"),
                (
                    "  requests",
                    f"at most {found.requests:,}, and {found.account_look_ups:,} to look up the account",
                ),
                ("  time", f"{text.duration(found.seconds)} at {target.rate:g} requests a second"),
            ]
        ),
        f"To verify everything afterwards needs about {found.verify_requests:,} requests, "
        f"{text.duration(found.verify_requests / target.rate)}.",
    ]
    if found.already_there:
        lines.append(f"  {found.already_there:,} tickets are in Dixa already and need no request.")
    if found.held_back:
        lines.append(
            f"  {found.held_back:,} messages of tickets in Dixa will not be sent; a run says why, for each."
        )
    if losses:
        lines += ["What will not arrive as it is in the export:"]
        lines += [f"  {loss['count']:>8,} {loss['what']}: {loss['why']}" for loss in losses]
    return lines


def run_lines(found: Examined, ran: RunResult) -> list[str]:
    """What a run did."""
    ready, migration = found.ready, found.ready.migration
    lines = [text.books(ran.books)]
    if found.problems:
        lines += ["", *problem_lines(found.problems)]
    if assumed := assumption_lines(ready):
        lines += ["", *assumed]
    lines += _agents("Agents whom Dixa does not know; their tickets are rejected", ran.unknown_agents)
    lines += _agents(
        "Agents whom Dixa does not know; people.default_agent replaces them", ran.replaced_agents
    )
    if ran.changed:
        lines.append(
            f"{len(ran.changed):,} records changed since they were imported; Dixa was not updated. "
            f"See {migration.report / 'changed.csv'}."
        )
    lines += [
        f"Twice in Dixa, which cannot delete it: ticket {ticket}: {what}" for ticket, what in ran.doubles
    ]
    if ran.settled:
        lines.append(
            f"{ran.settled:,} request(s) of an earlier run had no known outcome; Dixa was asked, and it is "
            "known now."
        )
    lines += ["", _traffic_line(ran), text.balance(ran.books), *file_lines(migration.report, found.rejects)]
    lines.append(f"Checkpoint: {migration.checkpoint}")
    tickets = ran.books["tickets"].places
    if tickets[State.IN_DOUBT]:
        lines.append(
            f"{tickets[State.IN_DOUBT]:,} ticket(s) are in doubt: Dixa does not show whether it holds them. "
            "failed.csv has the evidence."
        )
    if ran.unread:
        lines.append(
            f"{ran.unread:,} ticket(s) had a request without an outcome, and Dixa could not be read since "
            "then to look for duplicates. The next run does it."
        )
    if ran.not_in_export:
        lines.append(
            f"{len(ran.not_in_export):,} ticket(s) that an earlier run began are not in this export, so "
            f"they stay incomplete in Dixa: {text.some(ran.not_in_export, 5)}"
        )
    if ran.partial:
        lines.append(f"{ran.partial:,} ticket(s) are incomplete in Dixa; success.csv has the reasons.")
    if ran.limit:
        lines.append(f"Stopped at {ran.limit}; {tickets[State.LEFT]:,} tickets are not yet sent.")
    return lines


def adoption_lines(ran: RunResult) -> list[str]:
    """What `adopt` found."""
    absent = ran.books["tickets"].places[State.LEFT] - ran.incomplete
    return [
        f"{ran.found:,} tickets of this export are in Dixa and stand in the checkpoint now. "
        f"{ran.incomplete:,} of them lack something, such as tags, which a run sends.",
        f"{absent:,} tickets were not found, so a run creates them. If these are more than you expect: are "
        "the name, the requesters and their addresses still those of the import?",
    ]


def next_lines(report: Mapping[str, Any]) -> list[str]:
    """What to do next. Commands stand on lines of their own, so that they can be copied."""
    lines: list[str] = []
    for step in next_steps(facts_of(report)):
        lines.append(f"- {step.words}")
        if step.command:
            lines.append(f"  {step.line}")
    return ["", "Next:", *lines] if lines else []


def problem_lines(found: Sequence[Problem]) -> list[str]:
    """Count first, then what is wrong, then up to three places where."""
    lines: list[str] = []
    for problem in found[:PROBLEMS_SHOWN]:
        lines.append(
            f"{problem.count:>8,} {problem.state} · {problem.table}: {problem.rule}"
            + (f" ({problem.message})" if problem.message else "")
        )
        lines += [f"{'':>9}{example}" for example in problem.examples]
        if problem.examples and problem.count > len(problem.examples):
            lines.append(f"{'':>9}and {problem.count - len(problem.examples):,} more")
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"and {len(found) - PROBLEMS_SHOWN} more kinds of problem; report.json has all of them")
    return lines


def _traffic_line(ran: RunResult) -> str:
    traffic = ran.traffic
    rate = f", {traffic.sent / ran.seconds:.1f} a second" if ran.seconds else ""
    made = ran.books["tickets"].places[State.IMPORTED]
    each = f", {traffic.sent / made:.1f} a conversation" if made else ""
    return (
        f"{traffic.sent:,} requests in {text.duration(ran.seconds)}{rate}{each}; "
        f"{traffic.retried:,} repeated, {traffic.statuses[429]:,} answered 429."
    )


def _agents(title: str, keys: tuple[str, ...]) -> list[str]:
    return [f"{title}: {text.some([key.partition(':')[2] for key in keys])}"] if keys else []
