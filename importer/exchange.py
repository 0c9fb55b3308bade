"""One request, sent until its ending proves something.

Reads are repeated freely. A creation's intent is on the disk before it leaves and its outcome is recorded
when it ends; it is repeated only where the ending proves that nothing was created.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from importer.errors import Unauthorized, Unreachable
from importer.model import Answer, Ending, Judgement, NoAnswer, Request, State, Step, Verdict
from importer.pace import Pace

Send = Callable[[Request], Awaitable[Ending]]
Judge = Callable[..., Judgement]
OUTCOMES = {
    Verdict.CREATED: State.IMPORTED,
    Verdict.REFUSED: State.REJECTED,
    Verdict.IN_DOUBT: State.IN_DOUBT,
}


class Journal(Protocol):
    """Where intents and outcomes are put down (checkpoint.Checkpoint)."""

    async def intend(self, step: Step) -> None: ...

    def record(self, step: Step, state: State, *, dixa_id: str | None = None, reason: str = "") -> None: ...

    def withdraw(self, step: Step) -> None: ...


@dataclass(slots=True)
class Traffic:
    """Requests of this run: `statuses` by status (0: no answer), `retried` sendings after the first."""

    sent: int = 0
    retried: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class Exchange:
    """Sends for everybody: paced, judged, bounded by attempts."""

    def __init__(
        self,
        send: Send,
        *,
        pace: Pace,
        judge: Judge,
        journal: Journal,
        attempts: int,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._send = send
        self._pace = pace
        self._judge = judge
        self._journal = journal
        self._attempts = attempts
        self._say = say
        self.traffic = Traffic()

    @property
    def pace(self) -> Pace:
        return self._pace

    async def read(self, request: Request) -> Answer | None:
        """The answer; None where there is no such thing (another 4xx). Raises Unauthorized, Unreachable."""
        for attempt in range(self._attempts):
            await self._pace.turn()
            ending, judgement = await self._once(request, attempt, creates=False)
            if judgement.verdict is Verdict.CREATED and isinstance(ending, Answer):
                return ending
            if judgement.verdict is Verdict.REFUSED:
                return None
            self._hold(judgement, attempt)
        raise Unreachable(
            f"{request.method} {request.path}: no usable answer after {self._attempts} attempts "
            f"({judgement.reason})"
        )

    async def create(self, step: Step, request: Request) -> Judgement:
        """What became of a creation: created, refused, in doubt, or `again`: not now, however often asked.

        Raises Unauthorized; Unreachable where no connection can be made; CheckpointError where the intent
        cannot be put down (then nothing was sent).
        """
        ending: Ending = NoAnswer(sent=False, reason="never sent")
        for attempt in range(self._attempts):
            await self._pace.turn()
            await self._journal.intend(step)
            ending, judgement = await self._once(request, attempt, creates=True, step=step)
            if outcome := OUTCOMES.get(judgement.verdict):
                self._journal.record(step, outcome, dixa_id=judgement.dixa_id, reason=judgement.reason)
                return judgement
            self._journal.withdraw(step)
            self._hold(judgement, attempt)
        if isinstance(ending, NoAnswer):
            raise Unreachable(f"{request.path}: not sent after {self._attempts} attempts ({ending.reason})")
        return judgement

    async def _once(
        self, request: Request, attempt: int, *, creates: bool, step: Step | None = None
    ) -> tuple[Ending, Judgement]:
        ending = await self._send(request)
        self.traffic.sent += 1
        self.traffic.retried += attempt > 0
        self.traffic.statuses[ending.status if isinstance(ending, Answer) else 0] += 1
        judgement = self._judge(ending, creates=creates)
        if judgement.verdict is Verdict.UNAUTHORIZED:
            if step:
                self._journal.withdraw(step)
            raise Unauthorized(f"Dixa refuses the token ({judgement.reason}); check it and run again")
        return ending, judgement

    def _hold(self, judgement: Judgement, attempt: int) -> None:
        seconds = self._pace.hold(judgement.retry_after_seconds, attempt=attempt)
        if seconds >= 1:
            self._say(f"Dixa says not now ({judgement.reason}); all workers wait {seconds:.0f} s")
