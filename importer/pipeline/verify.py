"""`verify`: Dixa is read back and compared with the export and with the checkpoint."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from importer.checkpoint import queries
from importer.checkpoint.journal import Binding, Checkpoint
from importer.checkpoint.lock import ensure_free
from importer.dixa.api import Account
from importer.errors import ConfigError, ExitCode
from importer.migration.file import Migration
from importer.model import Conversation, State, TicketMemory, TicketResult
from importer.pipeline.check import migration_facts
from importer.pipeline.connection import Connection, connected, each
from importer.pipeline.prepare import examined
from importer.pipeline.values import (
    CommandResult,
    Examined,
    Findings,
    Invocation,
    RunHooks,
    RunResult,
    Selection,
)
from importer.push.adopt import Adoption
from importer.report import unfinished, verify_report
from importer.verify.absence import Absence
from importer.verify.compare import Comparison, Verified
from importer.verify.ticket import Verifier

# How many tickets are looked up in the checkpoint together.
BATCH = 500
# So many tickets, drawn at random, stand whole in the report.
SHOWN_WHOLE = 20


def verify_export(
    call: Invocation,
    selection: Selection,
    *,
    strict: bool = False,
    fix: bool = False,
    proof: Path | None = None,
) -> CommandResult:
    """Read back, compare, and write the reports. Raises RunError for what is wrong before Dixa is asked."""
    migration = call.migration
    if not migration.checkpoint.exists():
        raise ConfigError(f"{migration.checkpoint}: there is no checkpoint yet; `run` creates it")
    if proof and not proof.absolute().parent.is_dir():
        raise ConfigError(f"--proof: there is no folder {proof.absolute().parent}; create it first")
    binding = Binding(migration.name, migration.target.api, migration.target.base_url)
    ensure_free(migration.checkpoint)
    with (
        examined(migration, with_holes=call.options.with_holes, jobs=True, say=call.say, every=True) as found,
        Checkpoint(migration.checkpoint, binding) as journal,
        ExitStack() as stack,
    ):
        chosen, findings = _chosen(found, journal, selection)
        wanted = [*selection.as_json(), fix, journal.noted("started")]
        number = _round(journal, wanted)
        kept = stack.enter_context(unfinished.opened(migration.report, number=number))
        phase = VerifyPhase(found, journal, chosen, findings, number, fix, kept)

        def begin(hooks: RunHooks) -> Awaitable[RunResult]:
            return connected(
                found.ready,
                journal,
                authorization=call.authorization,
                options=call.options,
                hooks=hooks,
                go=phase.go,
            )

        ran = call.drive(len(chosen), begin)
        code = _exit_code(ran, found, findings, strict=strict)
        report = verify_report.report(call, findings, ran, migration_facts(found, call.path), code)
        verify_report.write(migration.report, findings, report)
        if proof and code in (ExitCode.OK, ExitCode.INCOMPLETE, ExitCode.DIFFERENT):
            verify_report.write_proof(
                proof, findings, report, call.now(), _facts(migration, journal, findings)
            )
        if not ran.failure and not ran.interrupted:
            journal.note("verification", {"round": number, "is_done": True, "wanted": wanted})
            unfinished.remove(migration.report)
        shown = verify_report.lines(findings, ran, report, migration.report, selection, proof)
        return CommandResult(shown, report, code, ran.failure)


def _facts(migration: Migration, journal: Checkpoint, findings: Findings) -> dict[str, Any]:
    """What a proof says of the migration and its last run."""
    return {
        "migration": migration.name,
        "api": migration.target.api,
        "base_url": migration.target.base_url,
        "organization": journal.noted("organization"),
        "books": journal.noted("closed"),
        "losses": {name: count for name, count in sorted(findings.losses.items()) if count},
    }


def _chosen(found: Examined, journal: Checkpoint, selection: Selection) -> tuple[dict[str, str], Findings]:
    """The id of the conversation of each ticket that is to be verified. Raises ConfigError for a ticket that
    is not in Dixa."""
    path = found.ready.migration.checkpoint
    since = float(journal.noted("started") or 0.0) if selection.since_run else 0.0
    there = queries.in_dixa(path, since=since)
    planned = found.ready.parts.tickets
    is_whole = not (selection.only or selection.since_run)
    findings = Findings(in_dixa=len(there), absent=max(0, planned - len(there)) if is_whole else 0)
    if selection.only:
        if missing := [ticket for ticket in selection.only if ticket not in there]:
            raise ConfigError(
                f"--only: the checkpoint has no conversation of ticket {', '.join(missing[:5])}"
            )
        there = {ticket: there[ticket] for ticket in selection.only}
    if selection.sample is not None and selection.sample < len(there):
        drawn = random.Random(selection.seed).sample(sorted(there), selection.sample)  # noqa: S311 - no secret
        there = {ticket: there[ticket] for ticket in drawn}
    findings.chosen = len(there)
    return there, findings


def _round(journal: Checkpoint, wanted: list[Any]) -> int:
    """The number of this verification: that of the last one, if that was interrupted, was to verify the same,
    and nothing was sent since."""
    last = journal.noted("verification") or {"round": 0, "is_done": True}
    if not last["is_done"] and last["wanted"] == wanted:
        return int(last["round"])
    number = int(last["round"]) + 1
    journal.note("verification", {"round": number, "is_done": False, "wanted": wanted})
    return number


def _exit_code(ran: RunResult, found: Examined, findings: Findings, *, strict: bool) -> ExitCode:
    if ran.failure:
        return ran.failure.exit_code
    if ran.interrupted:
        return ExitCode.INTERRUPTED
    every = [d for ticket in findings.verified for d in ticket.comparison.differences]
    if any(strict or not difference.is_mild for difference in every):
        return ExitCode.DIFFERENT
    incomplete = findings.unread or findings.not_in_export or findings.absent or not found.ready.books.clean
    return ExitCode.INCOMPLETE if incomplete else ExitCode.OK


@dataclass(slots=True)
class VerifyPhase:
    """Reads the chosen tickets back, with everything it works with."""

    found: Examined
    journal: Checkpoint
    # Ticket id → conversation id.
    chosen: dict[str, str]
    findings: Findings
    number: int
    # Whether what is missing is forgotten, so that a run sends it.
    fix: bool
    # Keeps the differences, in case it is interrupted.
    kept: TextIO
    absence: Absence = field(default_factory=Absence)

    async def go(self, dixa: Connection) -> None:
        """Raises what ends a run."""
        if self.fix:
            seconds = dixa.options.latest_seconds
            dixa.hooks.say(
                f"Waiting {seconds:.0f} s, until Dixa shows what the last run sent (target.latest)"
            )
            await dixa.exchange.pace.pause(seconds)
        await dixa.check_organization()
        verifier = _verifier(dixa, await dixa.look_up(), self._looked_at())
        path = dixa.prepared.migration.checkpoint
        earlier = self._earlier(dixa)
        missing = set(self.chosen)
        source = (job for job in dixa.prepared.parts.jobs() if job.ticket_id in self.chosen)
        while batch := await asyncio.to_thread(_next, source):
            missing -= {job.ticket_id for job in batch}
            known = await asyncio.to_thread(queries.memories, path, [job.ticket_id for job in batch])

            async def verify(job: Conversation) -> None:
                self.findings.losses.update(verifier.target.losses(job))
                memory = known.get(job.ticket_id, TicketMemory())  # noqa: B023 - used before the next batch
                ticket = earlier.get(job.ticket_id)
                if ticket is None:
                    ticket = await verifier.verify(job, memory, self.chosen[job.ticket_id])
                    self._keep(ticket)
                self.findings.took(ticket)
                if ticket.digest:
                    self.absence.took(job.ticket_id, ticket.comparison.differences, memory.steps)
                state = State.FAILED if ticket.unread else State.ALREADY_THERE
                self._took(dixa, job, state)

            await each(batch, verify, at_once=dixa.prepared.migration.target.workers)
        self.findings.not_in_export = tuple(sorted(missing))
        if self.fix:
            proved = self.absence.proved()
            for one in proved:
                self.journal.forget(one.ticket_id, one.kind, one.key)
            self.findings.fixed = len(proved)
            self.findings.unproved = len(self.absence.missing) - len(proved)

    def _looked_at(self) -> frozenset[str]:
        """The tickets that the report shows whole, for somebody to look at."""
        ids = sorted(self.chosen)
        chance = random.Random(self.number)  # noqa: S311 - no secret
        return frozenset(chance.sample(ids, min(SHOWN_WHOLE, len(ids))))

    def _earlier(self, dixa: Connection) -> dict[str, Verified]:
        """What this verification read back before it was interrupted."""
        migration = dixa.prepared.migration
        differences = unfinished.read(migration.report)
        return {
            ticket_id: Verified(
                ticket_id,
                self.chosen[ticket_id],
                Comparison(tuple(differences[ticket_id]), record.since),
                record.digest,
            )
            for ticket_id, record in queries.verified(migration.checkpoint, self.number).items()
            if ticket_id in self.chosen and len(differences[ticket_id]) == record.differences
        }

    def _keep(self, ticket: Verified) -> None:
        """Keep what was found, in case of an interruption."""
        differences = ticket.comparison.differences
        if ticket.unread:
            return
        unfinished.add(self.kept, ticket.ticket_id, differences)
        self.journal.verified(
            ticket.ticket_id,
            self.number,
            digest=ticket.digest,
            differences=len(differences),
            since=ticket.comparison.since,
        )

    def _took(self, dixa: Connection, job: Conversation, state: State) -> None:
        files = sum(len(message.attachments) for message in job.messages)
        counts = Counter({state: len(job.messages)})
        dixa.took(TicketResult(job.ticket_id, state, None, counts, Counter({state: files})))


def _next(source: Iterator[Conversation]) -> Sequence[Conversation]:
    return list(islice(source, BATCH))


def _verifier(dixa: Connection, account: Account, whole: frozenset[str]) -> Verifier:
    target = dixa.target(account)
    adoption = Adoption(dixa.api, target, dixa.people, dixa.journal, dixa.read_all, account.agents)
    return Verifier(dixa.api, target, dixa.people, dixa.read_all, dixa.read, account.agents, adoption, whole)
