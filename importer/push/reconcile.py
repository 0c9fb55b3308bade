"""What to read back, and what it proves, if it is not known whether a request was carried out.

Nothing is guessed. If exactly one thing in Dixa can be the one in doubt, it was created. That there is none
proves something only if the list has caught up, and if Dixa can no longer carry out the request: not seen is
not absent. If several things can be it, the step stays in doubt, with the evidence. This module knows no
HTTP; `read_all` and `read` send the requests."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from importer.dixa.api import Api
from importer.dixa.matching import Likeness, Sent, ids_of
from importer.dixa.paging import Unreadable
from importer.model import (
    SETTINGS,
    Answer,
    Doubt,
    Judgement,
    Outcome,
    Request,
    State,
    Step,
    StepKind,
    Verdict,
)
from importer.push.lag import Lag
from importer.transport.exchange import Journal, NotRead, with_lost

Item = Mapping[str, Any]
ReadAll = Callable[[Request], Awaitable[Sequence[Item]]]
Read = Callable[[Request], Awaitable[Answer | None]]
Wait = Callable[[float], Awaitable[None]]
# Between two looks at a list that does not show what is known to be there.
RETRY_SECONDS = 1.0


class Found(StrEnum):
    """What was read back: everything that the step creates, a part of it, nothing, or several candidates."""

    CREATED = "created"
    SOME = "some"
    NOTHING = "nothing"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a doubt was settled to."""

    found: Found
    # What the response would have proved. If some messages of a step were created, `outcomes` has only those.
    judgement: Judgement = field(default_factory=lambda: Judgement(Verdict.CREATED))
    # What was found, if that does not decide it.
    evidence: str = ""
    # Whether several candidates are as the step creates them, not only possible.
    has_matches: bool = False
    # Whether the list showed everything that is known to be there. Otherwise it is behind.
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Settler:
    """Reads back what requests in doubt may have created."""

    api: Api
    # Returns a complete list, or raises.
    read_all: ReadAll
    # Returns None for what does not exist.
    read: Read
    # Whether the checkpoint records the conversation with this id.
    is_ours: Callable[[str], bool]
    lag: Lag
    # Unix time, in seconds.
    clock: Callable[[], float]
    # How long to wait for lists that are behind.
    patience_seconds: float

    async def settle(
        self, doubt: Doubt, carried: Sequence[str] = (), *, wait: Wait, alone: bool = True
    ) -> Settlement:
        """Look for what a step may have created, until it is found or proved to be absent. `carried` are the
        ids of the messages that the step carries; `alone` says whether no other creation for the same
        requester is in flight. Call it after the grace period. Raises NotRead, and what `wait` raises."""
        settlement = await self.look(doubt, carried, alone=alone)
        if settlement.found is Found.CREATED or doubt.kind in SETTINGS:
            return settlement
        end = self.clock() + self.patience_seconds
        while True:
            seconds = await self.lag.seconds_until_absence(doubt)
            if not seconds:
                settlement = await self.look(doubt, carried, alone=alone)
                if settlement.found is Found.CREATED or settlement.is_whole:
                    return settlement
                seconds = RETRY_SECONDS
            if self.clock() + seconds > end:
                return replace(
                    settlement,
                    found=Found.AMBIGUOUS,
                    evidence=settlement.evidence or "Dixa's lists do not show what is known to be there",
                )
            await wait(seconds)

    async def look(self, doubt: Doubt, carried: Sequence[str] = (), *, alone: bool = True) -> Settlement:
        """What the lists show now, as `settle`."""
        with shaped():
            if doubt.kind is StepKind.CONVERSATION:
                return await self._conversation(doubt, alone=alone)
            if doubt.kind in SETTINGS:
                return await self._setting(doubt)
            return await self._listed(doubt, carried)

    async def _setting(self, doubt: Doubt) -> Settlement:
        if self.api.setting is None:
            return Settlement(Found.AMBIGUOUS, evidence=f"this API does not show {doubt.kind}")
        check = self.api.setting(doubt)
        answer = await self.read(check.request)
        try:
            done = answer is not None and check.is_set(answer)
        except Unreadable as error:
            raise NotRead(f"{check.request.path}: {error}") from None
        return Settlement(Found.CREATED if done else Found.NOTHING)

    async def _conversation(self, doubt: Doubt, *, alone: bool, beside: str | None = None) -> Settlement:
        """`beside` is the id of a conversation that the list must show to be whole."""
        api = self.api
        certain: list[tuple[str, Judgement]] = []
        probable: list[tuple[str, Judgement]] = []
        unclear: list[str] = []
        items = await self.read_all(api.conversations_of(doubt.expected["requester_id"]))
        for item in items:
            dixa_id = str(item["id"])
            if self.is_ours(dixa_id) or not api.could_be_conversation(item, doubt):
                continue
            messages = await self.read_all(api.messages_of(dixa_id))
            match api.likeness(item, messages, doubt):
                case Likeness.CERTAIN:
                    certain.append((dixa_id, api.lacking(item, messages, doubt)))
                case Likeness.PROBABLE if alone:
                    probable.append((dixa_id, api.lacking(item, messages, doubt)))
                case Likeness.PROBABLE | Likeness.UNCLEAR:
                    unclear.append(dixa_id)
        matches = certain or probable
        if len(matches) == 1:
            [(dixa_id, judgement)] = matches
            return Settlement(Found.CREATED, replace(judgement, dixa_id=dixa_id))
        whole = beside is None or beside in ids_of(items)
        candidates = [dixa_id for dixa_id, _ in matches] or unclear
        if not candidates:
            return Settlement(Found.NOTHING, is_whole=whole)
        ambiguous = _ambiguous(candidates, "conversations of the requester")
        return replace(ambiguous, is_whole=whole, has_matches=bool(matches))

    async def _listed(self, doubt: Doubt, carried: Sequence[str]) -> Settlement:
        dixa_id = doubt.expected["csid"]
        items = await self.read_all(self.api.additions_of(dixa_id))
        found = self.api.match(items, doubt)
        whole = _is_whole(items, doubt.known, doubt.expected.get("openings", 0))
        if found.unclear:
            return replace(
                _ambiguous(found.unclear, f"{doubt.kind} of conversation {dixa_id}"), is_whole=whole
            )
        outcomes = found.outcomes
        if not outcomes:
            return Settlement(Found.NOTHING, is_whole=whole)
        only = next(iter(outcomes.values())).dixa_id if len(carried) == 1 else None
        judgement = Judgement(Verdict.CREATED, only, outcomes=outcomes)
        everything = set(carried) <= set(outcomes)
        return Settlement(Found.CREATED if everything else Found.SOME, judgement, is_whole=whole)

    async def duplicates(
        self,
        dixa_id: str,
        *,
        sent: Sequence[Sent],
        known: Collection[str],
        openings: int,
        creation: Doubt | None,
    ) -> tuple[str, ...] | None:
        """The duplicates of a finished conversation, one description each: messages and notes whose ids are
        not `known` and that are like one of those `sent`. If the `creation` of the conversation was in doubt,
        also other conversations that it may have created. None if a list is behind. Raises NotRead."""
        found: list[str] = []
        with shaped():
            if sent:
                items = await self.read_all(self.api.additions_of(dixa_id))
                if not _is_whole(items, known, openings):
                    return None
                for item_id, certain in self.api.duplicates(items, known, sent, openings).items():
                    is_it = "is" if certain else "may be"
                    found.append(f"{item_id} in conversation {dixa_id} {is_it} a duplicate")
            again = await self._conversation(creation, alone=True, beside=dixa_id) if creation else None
            if again and not again.is_whole:
                return None
            if again and again.found is Found.CREATED:
                found.append(f"conversation {again.judgement.dixa_id} is a duplicate of {dixa_id}")
            elif creation and again and again.found is Found.AMBIGUOUS:
                unlike = again.has_matches or await self._is_unlike(creation, dixa_id)
                found += [f"of {dixa_id} there may be duplicates: {again.evidence}"] if unlike else []
        return tuple(found)

    async def _is_unlike(self, creation: Doubt, dixa_id: str) -> bool:
        """Whether Dixa shows even the conversation itself so that it is not recognised. Then others that are
        not recognised may be duplicates; otherwise they are somebody else's."""
        items = await self.read_all(self.api.conversations_of(creation.expected["requester_id"]))
        messages = await self.read_all(self.api.messages_of(dixa_id))
        own = next((item for item in items if item["id"] == dixa_id), None)
        return own is None or self.api.likeness(own, messages, creation) <= Likeness.UNCLEAR


@contextmanager
def shaped() -> Iterator[None]:
    """An item whose fields have other types than Dixa documents can be read by no rule, so it proves
    nothing."""
    try:
        yield
    except (TypeError, AttributeError, KeyError) as error:
        raise NotRead(f"Dixa answered with a list of another shape ({type(error).__name__})") from error


def _is_whole(items: Sequence[Item], known: Collection[str], openings: int) -> bool:
    """Whether a list shows everything that is known to be there."""
    return set(known) <= ids_of(items) and len(items) >= len(known) + openings


def lost_of(doubt: Doubt) -> dict[str, Outcome]:
    """The files that the request in doubt left out, by message id."""
    lost = doubt.expected.get("lost", {})
    return {
        key: Outcome(State.PARTIAL, reason=reason, refused=refused) for key, (refused, reason) in lost.items()
    }


def record_settlement(
    journal: Journal, step: Step, doubt: Doubt, settlement: Settlement, reason: str
) -> tuple[Step | None, Step | None]:
    """Record what a doubt was settled to. Returns the part of the step that was carried out and the part that
    is to be sent again; both are None if the step stays in doubt."""
    judgement = with_lost(step, settlement.judgement, lost_of(doubt))
    there: Step | None = step
    rest: Step | None = None
    match settlement.found:
        case Found.CREATED:
            pass
        case Found.SOME:
            done = judgement.outcomes
            there = replace(step, carries=tuple(c for c in step.carries if c.key in done))
            rest = replace(step, carries=tuple(c for c in step.carries if c.key not in done))
        case Found.NOTHING:
            there, rest = None, step
        case _:
            journal.record(step, State.IN_DOUBT, reason=reason)
            return None, None
    if there and judgement.state:
        journal.record(
            there,
            judgement.state,
            dixa_id=judgement.dixa_id,
            reason=judgement.reason,
            outcomes=judgement.outcomes,
        )
    if rest:
        journal.withdraw(rest)
        if step.kind is StepKind.CONVERSATION:
            journal.suspect(doubt)
    return there, rest


def _ambiguous(candidates: Sequence[str], where: str) -> Settlement:
    shown = ", ".join(candidates[:5]) + (f" and {len(candidates) - 5} more" if len(candidates) > 5 else "")
    return Settlement(Found.AMBIGUOUS, evidence=f"{len(candidates)} {where} could be it: {shown}")
