"""One request, sent until its response proves something.

Reads are repeated freely. A creation's intent is on the disk before it leaves and its outcome is recorded
when it ends; it is repeated only where the response proves that nothing was created. Retries are bounded by
attempts; where the host takes no requests at all, by the time that it has not.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from importer.errors import QuotaSpent, Unauthorized, Unreachable
from importer.model import (
    Answer,
    Doubt,
    Judgement,
    NoAnswer,
    Outcome,
    Request,
    Response,
    State,
    Step,
    Verdict,
)
from importer.transport.pace import Pace

Send = Callable[[Request], Awaitable[Response]]
JudgeResponse = Callable[[Response, Step | None], Judgement]
# Dixa documents a limit a second and one a day; a wait longer than this can only be for the latter.
QUOTA_WAIT_SECONDS = 600.0
SAY_AGAIN_SECONDS = 30.0


class NotRead(Exception):
    """Something could not be read back, however often asked: a failure of a record, not of the run."""


class NotListed(NotRead):
    """The host says that there is no such list: perhaps it is another API."""


class Journal(Protocol):
    """Where intents and outcomes are put down (checkpoint.Checkpoint)."""

    async def intend(self, step: Step) -> None: ...

    def record(
        self,
        step: Step,
        state: State,
        *,
        dixa_id: str | None = None,
        reason: str = "",
        outcomes: Mapping[str, Outcome] = ...,
    ) -> None: ...

    def withdraw(self, step: Step) -> None: ...

    def suspect(self, doubt: Doubt) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on asking."""

    attempts: int = 8
    max_outage_seconds: float = 900.0
    on_quota: Literal["wait", "stop"] = "wait"


@dataclass(slots=True)
class Traffic:
    """Requests of this run: `statuses` by status (0: no answer), `retried` sendings after the first."""

    sent: int = 0
    retried: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class Exchange:
    """Sends for everybody: paced, judged, bounded."""

    def __init__(
        self,
        send: Send,
        *,
        pace: Pace,
        judge: JudgeResponse,
        journal: Journal,
        patience: Patience,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.pace = pace
        self.traffic = Traffic()
        self._send = send
        self._judge = judge
        self._journal = journal
        self._patience = patience
        self._say = say
        self._clock = clock
        self._offset: float | None = None
        self._away_since: float | None = None
        self._said_at = float("-inf")

    @property
    def patience(self) -> Patience:
        return self._patience

    def clock_offset(self) -> float | None:
        """The host's clock less this machine's, in seconds; None until an answer has told its date."""
        return self._offset

    async def read(self, request: Request) -> Answer | None:
        """The answer; None where there is no such thing (another 4xx).

        Raises NotRead after as many attempts as are allowed; Unauthorized, Unreachable and QuotaSpent.
        """
        attempt = sendings = 0
        while True:
            await self.pace.turn()
            response, judgement = await self._once(request, sendings, None)
            sendings += 1
            if judgement.verdict is Verdict.CREATED and isinstance(response, Answer):
                return response
            if judgement.verdict is Verdict.REFUSED:
                return None
            attempt += not self._away(response, judgement)
            if attempt >= self._patience.attempts:
                raise NotRead(
                    f"{request.path}: no usable answer after {attempt} attempts ({judgement.reason})"
                )
            await self._wait(response, judgement, attempt)

    async def create(self, step: Step, request: Request) -> Judgement:
        """What became of a step: created, refused or in doubt. While the host takes no requests it is
        sent again, since that proves that nothing was created.

        Raises Unauthorized, Unreachable and QuotaSpent; Unwritable where the intent cannot be put down. Then
        nothing was created.
        """
        sendings = 0
        while True:
            await self.pace.turn()
            await self._journal.intend(step)
            sent_at = self._clock()
            response, judgement = await self._once(request, sendings, step)
            sendings += 1
            if judgement.state:
                self._journal.record(
                    step,
                    judgement.state,
                    dixa_id=judgement.dixa_id,
                    reason=judgement.reason,
                    outcomes=judgement.outcomes,
                )
                return replace(judgement, sent_at=sent_at)
            self._journal.withdraw(step)
            self._away(response, judgement)
            await self._wait(response, judgement, sendings)

    async def _once(self, request: Request, sendings: int, step: Step | None) -> tuple[Response, Judgement]:
        response = await self._send(request)
        self.traffic.sent += 1
        self.traffic.retried += sendings > 0
        self.traffic.statuses[response.status if isinstance(response, Answer) else 0] += 1
        if isinstance(response, Answer) and response.date is not None:
            self._offset = response.date - self._clock()
        judgement = self._judge(response, step)
        if judgement.verdict is Verdict.UNAUTHORIZED:
            if step:
                self._journal.withdraw(step)
            raise Unauthorized(f"Dixa refuses the token ({judgement.reason}); check it and run again")
        if not _is_away(response):
            self._away_since = None
            self.pace.open()
        return response, judgement

    def _away(self, response: Response, judgement: Judgement) -> bool:
        """Whether the host takes no requests from anybody. Such a sending is no attempt; what bounds it is
        the time for which it goes on (raises Unreachable, QuotaSpent)."""
        if not _is_away(response):
            return False
        if isinstance(response, Answer) and response.status == 429:
            self.pace.refused()
        wait = judgement.retry_after_seconds or 0.0
        if wait > QUOTA_WAIT_SECONDS:
            if self._patience.on_quota == "stop":
                raise QuotaSpent(
                    f"Dixa's quota is used up ({judgement.reason}); it returns in {wait / 60:.0f} min"
                )
            self._away_since = None  # it says when to come back, so this is no outage
            return True
        now = self._clock()
        self._away_since = self._away_since or now
        if now - self._away_since > self._patience.max_outage_seconds:
            raise Unreachable(
                f"Dixa took no request for {_span(now - self._away_since)} ({judgement.reason}); "
                "what was sent up to here is in the checkpoint"
            )
        return True

    async def _wait(self, response: Response, judgement: Judgement, attempt: int) -> None:
        """All workers wait where the host is away, else this one."""
        if not _is_away(response):
            await self.pace.pause(self.pace.backoff(attempt))
            return
        seconds = self.pace.hold(judgement.retry_after_seconds)
        now = self._clock()
        if seconds >= 1 and now - self._said_at > SAY_AGAIN_SECONDS:
            self._said_at = now
            more = (
                ""
                if seconds > QUOTA_WAIT_SECONDS
                else f", and up to {_span(self._patience.max_outage_seconds)} if that goes on"
            )
            self._say(
                f"Dixa takes no requests now ({judgement.reason}); all workers wait {seconds:.0f} s{more}"
            )


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _is_away(response: Response) -> bool:
    """No connection, or an answer that says «not now» to everybody."""
    if isinstance(response, NoAnswer):
        return not response.sent
    return response.status == 429 or (response.status == 503 and response.retry_after_seconds is not None)
