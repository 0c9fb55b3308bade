"""The last step of the path: what a dry run prepares is pushed."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from importer.checkpoint import queries
from importer.checkpoint.journal import Checkpoint
from importer.errors import Invalid
from importer.migration.target import AttachmentsSection, TargetSection
from importer.model import Doubt, State, Step, StepKind, TicketResult
from importer.pipeline.adopt import ensure_complete, ensure_not_held
from importer.pipeline.connection import Connection, connected
from importer.pipeline.values import Limits, Prepared, RunHooks, RunResult
from importer.plan.changes import HASH_MAKER
from importer.push.context import Allowance, PushContext, PushOptions, Slots
from importer.push.lag import Lag
from importer.push.reconcile import Found, Settlement, Settler, record_settlement
from importer.push.workers import push
from importer.transport.exchange import NotRead

# A request that comes later than timeout and grace allow is not expected; some margin costs only look-ups.
LATE_MARGIN_SECONDS = 30.0
# After so many files that Dixa could not fetch, the user is told.
FILES_LOST_TO_TELL = 3
DEFAULT_ATTACHMENTS = AttachmentsSection()


def options(
    target: TargetSection,
    attachments: AttachmentsSection = DEFAULT_ATTACHMENTS,
    *,
    with_holes: bool = False,
    again: bool = False,
    strict: bool = False,
    from_scratch: bool = False,
) -> PushOptions:
    """The options of a push to this target."""
    latest = target.latest
    if latest is None:
        latest = target.timeout + target.grace + LATE_MARGIN_SECONDS
    return PushOptions(
        with_holes,
        again,
        strict,
        grace_seconds=target.grace,
        latest_seconds=latest,
        patience_seconds=target.max_outage + latest,
        unfetchable=attachments.unfetchable,
        from_scratch=from_scratch,
    )


async def run(
    prepared: Prepared,
    journal: Checkpoint,
    *,
    authorization: str,
    options: PushOptions,
    limits: Limits,
    hooks: RunHooks,
) -> RunResult:
    """Push the plan. Failures of the run end it early and stand in the result, so that the books of what was
    done up to there can be written."""

    async def go(connection: Connection) -> None:
        await RunPhase(connection, limits).go()

    return await connected(
        prepared, journal, authorization=authorization, options=options, hooks=hooks, go=go
    )


@dataclass(slots=True)
class RunPhase:
    """The last step of the path, with everything it works with."""

    dixa: Connection
    limits: Limits
    bad: int = 0
    # Files that Dixa could not fetch.
    lost: int = 0
    doubted: set[str] = field(default_factory=set)

    async def go(self) -> None:
        dixa, options = self.dixa, self.dixa.options
        migration = dixa.prepared.migration
        timer = None
        if self.limits.seconds is not None:
            timer = asyncio.get_running_loop().call_later(
                self.limits.seconds, self._stop, f"--max-duration {self.limits.seconds:g} s"
            )
        try:
            settler = Settler(
                dixa.api,
                dixa.read_all,
                dixa.read,
                dixa.journal.conversation_known,
                Lag(dixa.read_all, latest_seconds=options.latest_seconds, clock=time.time),
                clock=time.time,
                patience_seconds=options.patience_seconds,
            )
            ensure_complete(dixa.journal, migration.checkpoint)
            dixa.journal.note("source_hashes", HASH_MAKER)
            await dixa.check_organization()
            settled = await self._settle_what_was_left(settler, dixa.journal.doubts())
            if not dixa.prepared.parts.tickets:
                return
            account = await dixa.look_up()
            if options.strict and account.unknown:
                raise Invalid(
                    f"Dixa does not know {len(account.unknown)} agent(s), so nothing is sent (--strict)"
                )
            allowance = Allowance(self.limits.tickets)
            if self.limits.tickets != 0 and not options.from_scratch:
                await ensure_not_held(dixa, account)
            context = PushContext(
                dixa.target(account),
                dixa.exchange,
                dixa.people,
                dixa.journal,
                settler,
                Slots(migration.target.workers),
                remembered=lambda ids: queries.memories(migration.checkpoint, ids),
                agents=account.agents,
                options=options,
                allowance=allowance,
                clock=time.time,
                settled=settled,
                doubted=self.doubted,
            )
            pushed = push(context, dixa.prepared.parts.jobs())
            async with aclosing(pushed):
                async for result in pushed:
                    self._took(result)
            if allowance.spent:
                dixa.ran.limit = dixa.ran.limit or f"--limit {self.limits.tickets}"
        finally:
            if timer:
                timer.cancel()

    def _took(self, result: TicketResult) -> None:
        """Count a ticket that ended, and stop the run at a limit."""
        self.dixa.took(result)
        self.dixa.ran.changed += [(result.ticket_id, what) for what in result.changed]
        self.bad += result.state in (State.REJECTED, State.FAILED, State.IN_DOUBT)
        if result.state is State.PARTIAL and (lost := result.attachments.get(State.REJECTED, 0)):
            self.bad += lost
            told, self.lost = self.lost >= FILES_LOST_TO_TELL, self.lost + lost
            if self.lost >= FILES_LOST_TO_TELL and not told:
                self.dixa.hooks.say(
                    f"Dixa could not fetch {self.lost} files so far. Check that their addresses are public "
                    "and that the old helpdesk still has them. Their tickets are imported without them, and "
                    "a file cannot be added later. Stop with Ctrl-C to look at this first"
                )
        if self.limits.errors is not None and self.bad >= self.limits.errors:
            self._stop(f"--max-errors {self.limits.errors}")

    def _stop(self, limit: str) -> None:
        self.dixa.ran.limit = self.dixa.ran.limit or limit
        self.dixa.exchange.pace.stop()

    async def _settle_what_was_left(
        self, settler: Settler, doubts: Sequence[tuple[Step, Doubt]]
    ) -> dict[str, Doubt]:
        """What earlier runs sent without learning the outcome, before anything else is sent. Returns the
        creations of conversations among it, by ticket."""
        if not doubts:
            return {}
        journal, pause, options = self.dixa.journal, self.dixa.exchange.pace.pause, self.dixa.options
        newest = max(doubt.last_at for _, doubt in doubts)
        until = max(0.0, newest + options.latest_seconds - time.time())
        self.dixa.hooks.say(
            f"{len(doubts)} request(s) of an earlier run have no known outcome. Asking Dixa; this takes up "
            f"to {max(options.grace_seconds, until):.0f} s"
        )
        await pause(min(options.grace_seconds, until))
        requesters = Counter(doubt.expected.get("requester_id") for _, doubt in doubts)
        for step, doubt in doubts:
            await journal.flush()  # what the one before was settled to must count as known
            requester = doubt.expected.get("requester_id")
            try:
                settlement = await settler.settle(
                    doubt, [c.key for c in step.carries], wait=pause, alone=requesters[requester] <= 1
                )
            except NotRead as error:
                settlement = Settlement(Found.AMBIGUOUS, evidence=str(error))
            record_settlement(journal, step, doubt, settlement, settlement.evidence)
            if settlement.found is not Found.AMBIGUOUS:
                self.dixa.ran.settled += 1
            elif requester and doubt.expected.get("alone", True):
                self.doubted.add(requester)
        await journal.flush()
        return {doubt.ticket_id: doubt for _, doubt in doubts if doubt.kind is StepKind.CONVERSATION}
