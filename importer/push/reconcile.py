"""What to read back, and what it proves, if it is not known whether a request was carried out.

Nothing is guessed. If exactly one thing in Dixa can be the one in doubt, it was created. If there is none
after the grace period, it was not created. If several things can be it, the step stays in doubt, with the
evidence. This module knows no HTTP; `read_all` and `read` send the requests.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from importer.dixa.api import Api
from importer.model import SETTINGS, Answer, Doubt, Judgement, Request, State, Step, StepKind, Verdict
from importer.transport.exchange import Journal

Item = Mapping[str, Any]
ReadAll = Callable[[Request], Awaitable[Sequence[Item]]]
Read = Callable[[Request], Awaitable[Answer | None]]


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

    async def settle(self, doubt: Doubt, carried: Sequence[str] = ()) -> Settlement:
        """Look for what a step may have created. `carried` are the ids of the messages that the step carries.
        Call it only after the grace period, and while no other creation for the same requester is in
        doubt."""
        if doubt.kind is StepKind.CONVERSATION:
            return await self._conversation(doubt)
        if doubt.kind in SETTINGS:
            return await self._setting(doubt)
        return await self._listed(doubt, carried)

    async def _setting(self, doubt: Doubt) -> Settlement:
        if self.api.setting is None:
            return Settlement(Found.AMBIGUOUS, evidence=f"this API does not show {doubt.kind}")
        check = self.api.setting(doubt)
        answer = await self.read(check.request)
        done = answer is not None and check.is_set(answer)
        return Settlement(Found.CREATED if done else Found.NOTHING)

    async def _conversation(self, doubt: Doubt) -> Settlement:
        api = self.api
        matches: list[tuple[str, Judgement]] = []
        unclear: list[str] = []
        for item in await self.read_all(api.conversations_of(doubt.expected["requester_id"])):
            dixa_id = str(item["id"])
            if self.is_ours(dixa_id) or not api.could_be_conversation(item, doubt):
                continue
            messages = await self.read_all(api.messages_of(dixa_id))
            is_it = api.is_conversation(item, messages, doubt)
            if is_it:
                matches.append((dixa_id, api.lacking(item, messages, doubt)))
            elif is_it is None:
                unclear.append(dixa_id)
        if len(matches) == 1:
            [(dixa_id, judgement)] = matches
            return Settlement(Found.CREATED, replace(judgement, dixa_id=dixa_id))
        candidates = [dixa_id for dixa_id, _ in matches] or unclear
        if not candidates:
            return Settlement(Found.NOTHING)
        return _ambiguous(candidates, "conversations of the requester")

    async def _listed(self, doubt: Doubt, carried: Sequence[str]) -> Settlement:
        dixa_id = doubt.expected["csid"]
        outcomes, unclear = self.api.match(await self.read_all(self.api.additions_of(dixa_id)), doubt)
        if unclear:
            return _ambiguous(unclear, f"{doubt.kind} of conversation {dixa_id}")
        if not outcomes:
            return Settlement(Found.NOTHING)
        only = next(iter(outcomes.values())).dixa_id if len(carried) == 1 else None
        judgement = Judgement(Verdict.CREATED, only, outcomes=outcomes)
        return Settlement(Found.CREATED if set(carried) <= set(outcomes) else Found.SOME, judgement)

    async def doubles(self, dixa_id: str, sent: Sequence[Any], creation: Doubt | None) -> tuple[str, ...]:
        """The duplicates of a finished conversation, one description each: messages and notes that are equal
        to one of those `sent` (identities, as Api.identity), beyond their number. If the `creation` of the
        conversation was in doubt, also other conversations that it may have created."""
        wanted = Counter(sent)
        extra: list[str] = []
        for item in await self.read_all(self.api.additions_of(dixa_id)) if wanted else ():
            identity = self.api.identity(item)
            if identity not in wanted:
                continue
            wanted[identity] -= 1
            if wanted[identity] < 0:
                extra.append(f"{item['id']} in conversation {dixa_id} is a duplicate")
        if creation:
            again = await self._conversation(creation)
            if again.found is not Found.NOTHING:
                other = again.judgement.dixa_id or again.evidence
                extra.append(f"conversation {other} is a duplicate of {dixa_id}")
        return tuple(extra)


def record_settlement(
    journal: Journal, step: Step, doubt: Doubt, settlement: Settlement, reason: str
) -> tuple[Step | None, Step | None]:
    """Record what a doubt was settled to. Returns the part of the step that was carried out and the part that
    is to be sent again; both are None if the step stays in doubt."""
    judgement = settlement.judgement
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
