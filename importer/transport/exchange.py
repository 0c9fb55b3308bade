"""One request, sent until its response proves something.

Reads are repeated freely. The intent of a creation is on disk before the request is sent, and its outcome is
recorded after the response. A creation is repeated only if the response proves that nothing was created.
Retries are limited by the number of attempts. While the host accepts no requests from anybody, they are
limited by the duration of the outage instead.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from importer.errors import ConfigError, ProtocolError, QuotaSpent, Unauthorized, Unreachable
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
    StepKind,
    Verdict,
)
from importer.transport.pace import Pace

Send = Callable[[Request], Awaitable[Response]]
JudgeResponse = Callable[[Response, Step | None], Judgement]
# Dixa documents one limit per second and one per day; a wait longer than this can only be for the daily one.
QUOTA_WAIT_SECONDS = 600.0
# A token that may read but not import is refused at every creation.
FORBIDDEN_IN_A_ROW = 5
# The user is told about an outage at most once in this time.
SAY_AGAIN_SECONDS = 30.0


class NotRead(Exception):
    """Something could not be read back in the allowed attempts. A failure of a record, not of the run."""


class NotListed(NotRead):
    """The host says that there is no such list. It may be the host of another API."""


class Journal(Protocol):
    """Records intents and outcomes; implemented by checkpoint.journal.Checkpoint."""

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
    """How long to retry."""

    attempts: int = 8
    max_outage_seconds: float = 900.0
    on_quota: Literal["wait", "stop"] = "wait"


@dataclass(slots=True)
class Traffic:
    """The requests of this run."""

    sent: int = 0
    # How many of them repeated an earlier one.
    retried: int = 0
    # Responses by HTTP status; 0 for no response.
    statuses: Counter[int] = field(default_factory=Counter)


class Exchange:
    """Sends the requests of all workers: at the pace of the account's limit, with bounded retries."""

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
        # A read that Dixa answered, to find out whether a 403 concerns the token.
        self._good: Request | None = None
        self._answered = False
        # Whether anything was created, and how many creations were forbidden.
        self._created = False
        self._forbidden = 0
        self._said_at = float("-inf")

    @property
    def patience(self) -> Patience:
        return self._patience

    def clock_offset(self) -> float | None:
        """The host's clock minus this machine's clock, in seconds. None until a response has had a Date
        header."""
        return self._offset

    async def read(self, request: Request) -> Answer | None:
        """The answer; None if there is no such thing (400, 404, 410 and 422).

        Raises NotRead if no attempt got a usable answer, Unauthorized if Dixa refuses the token, Unreachable
        if an outage lasts too long, QuotaSpent if the daily quota is used up and the run is not to wait,
        ProtocolError if the address is that of something else, ConfigError for a name or a certificate that
        waiting cannot mend, and Stopped if the run is to end.
        """
        attempt = sendings = 0
        while True:
            await self.pace.turn()
            response, judgement = await self._once(request, sendings, None)
            sendings += 1
            if judgement.verdict is Verdict.CREATED and isinstance(response, Answer):
                self._good = self._good or request
                return response
            if judgement.verdict is Verdict.REFUSED:
                return None
            if judgement.verdict is Verdict.FORBIDDEN:
                await self._ensure_token(judgement)
                raise NotRead(f"{request.path}: Dixa refuses to show it ({judgement.reason})")
            attempt += not self._away(response, judgement)
            if attempt >= self._patience.attempts:
                raise NotRead(
                    f"{request.path}: no usable response after {attempt} attempts ({judgement.reason})"
                )
            await self._wait(response, judgement, attempt)

    async def create(
        self, step: Step, request: Request, lost: Mapping[str, Outcome] | None = None
    ) -> Judgement:
        """What became of a step: created, refused or in doubt. While the host accepts no requests, the step
        is sent again, because such a response proves that nothing was created. `lost` is what the request
        leaves out, by message id.

        Raises Unwritable if the intent cannot be recorded, otherwise what `read` raises except NotRead. In
        each of these cases nothing was created, except that a step is in doubt after a redirect.
        """
        sendings = 0
        while True:
            await self.pace.turn()
            await self._journal.intend(step)
            sent_at = self._clock()
            response, judgement = await self._once(request, sendings, step)
            sendings += 1
            if judgement.verdict is Verdict.FORBIDDEN:
                judgement = await self._forbidden_one(step, judgement)
            judgement = with_lost(step, judgement, lost or {})
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

    async def _forbidden_one(self, step: Step, judgement: Judgement) -> Judgement:
        """What a 403 to a creation means: Dixa, or a firewall before it, refuses this content."""
        self._forbidden += 1
        try:
            await self._ensure_token(judgement)
            if self._forbidden >= FORBIDDEN_IN_A_ROW and not self._created:
                raise Unauthorized(
                    f"Dixa lets this token read, but not create anything ({judgement.reason}). Take a token "
                    "that may import conversations, and run again"
                )
        except BaseException:
            self._journal.withdraw(step)
            raise
        return replace(judgement, verdict=Verdict.REFUSED)

    async def _ensure_token(self, judgement: Judgement) -> None:
        """Raises Unauthorized if Dixa does not even answer what it answered before."""
        if self._good is not None:
            for attempt in range(self._patience.attempts):
                await self.pace.turn()
                response = await self._send(self._good)
                self._count(response, repeats=True)
                probe = self._judge(response, None)
                if probe.verdict in (Verdict.CREATED, Verdict.REFUSED):
                    return
                if probe.verdict in (Verdict.UNAUTHORIZED, Verdict.FORBIDDEN):
                    break
                await self._wait(response, probe, attempt + 1)
        raise Unauthorized(f"Dixa refuses the token ({judgement.reason}). Check the token and run again")

    async def _once(self, request: Request, sendings: int, step: Step | None) -> tuple[Response, Judgement]:
        response = await self._send(request)
        self._count(response, repeats=sendings > 0)
        judgement = self._judge(response, step)
        if isinstance(response, NoAnswer) and response.hopeless and not self._answered:
            # Once Dixa has answered, it is the network that fails, and that may pass.
            self._withdraw(step)
            raise ConfigError(response.hopeless)
        self._answered = self._answered or isinstance(response, Answer)
        if judgement.verdict is Verdict.UNAUTHORIZED:
            self._withdraw(step)
            raise Unauthorized(f"Dixa refuses the token ({judgement.reason}). Check the token and run again")
        if judgement.verdict is Verdict.MOVED:
            if step and judgement.state:
                self._journal.record(step, judgement.state, reason=judgement.reason)
            raise ProtocolError(
                f"Dixa redirects {request.path} to another address ({judgement.reason}), and redirects are "
                "not followed. Set target.base_url to the address of the API itself"
            )
        if step and judgement.verdict is Verdict.CREATED:
            self._created = True
        if not _is_away(response):
            self._away_since = None
            self.pace.open()
        return response, judgement

    def _withdraw(self, step: Step | None) -> None:
        if step:
            self._journal.withdraw(step)

    def _count(self, response: Response, *, repeats: bool) -> None:
        self.traffic.sent += 1
        self.traffic.retried += repeats
        self.traffic.statuses[response.status if isinstance(response, Answer) else 0] += 1
        if isinstance(response, Answer) and response.date is not None:
            self._offset = response.date - self._clock()

    def _away(self, response: Response, judgement: Judgement) -> bool:
        """Whether the host accepts no requests from anybody. Such a request does not count as an attempt; the
        duration of the outage is limited instead. Raises Unreachable and QuotaSpent."""
        if not _is_away(response):
            return False
        if isinstance(response, Answer) and response.status == 429:
            self.pace.refused()
        wait = judgement.retry_after_seconds or 0.0
        if wait > QUOTA_WAIT_SECONDS:
            if self._patience.on_quota == "stop":
                raise QuotaSpent(
                    f"Dixa's daily quota is used up ({judgement.reason}); it returns in {wait / 60:.0f} min"
                )
            self._away_since = None  # the host says when to come back, so this is not an outage
            return True
        now = self._clock()
        self._away_since = self._away_since or now
        if now - self._away_since > self._patience.max_outage_seconds:
            raise Unreachable(
                f"Dixa has accepted no requests for {_span(now - self._away_since)} ({judgement.reason}). "
                "Everything sent so far is in the checkpoint"
            )
        return True

    async def _wait(self, response: Response, judgement: Judgement, attempt: int) -> None:
        """If the host is away, all workers wait; otherwise only this one."""
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
                else f", and up to {_span(self._patience.max_outage_seconds)} if the outage continues"
            )
            self._say(
                f"Dixa accepts no requests now ({judgement.reason}); all workers wait {seconds:.0f} s{more}"
            )


def with_lost(step: Step, judgement: Judgement, lost: Mapping[str, Outcome]) -> Judgement:
    """What became of a step whose request left something out."""
    if judgement.verdict is not Verdict.CREATED or not lost:
        return judgement
    outcomes = dict(judgement.outcomes)
    own = judgement.dixa_id if step.kind is StepKind.MESSAGE else None
    for key, outcome in lost.items():
        there = outcomes.get(key, Outcome(State.PARTIAL, own))
        reason = "; ".join(filter(None, [there.reason, outcome.reason]))
        outcomes[key] = replace(
            there, state=State.PARTIAL, reason=reason, refused=there.refused + outcome.refused
        )
    reasons = [judgement.reason, *(outcome.reason for outcome in lost.values())]
    return replace(judgement, partial=True, reason="; ".join(filter(None, reasons)), outcomes=outcomes)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _is_away(response: Response) -> bool:
    """Whether the host accepts no requests at all: no connection, a proxy that wants a login, 429, or 503
    with Retry-After."""
    if isinstance(response, NoAnswer):
        return not response.sent
    return response.status in (407, 429, 511) or (
        response.status == 503 and response.retry_after_seconds is not None
    )
