"""What to ask, and what the answers mean, when a creation is in doubt.

Nothing is guessed: what is there and can be nothing else was created; what is not there after the grace
period was not; what cannot be told apart stays in doubt, with the evidence. Knows no HTTP; `read` asks.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from importer.dixa import integrations
from importer.model import Doubt, Request, StepKind

Item = Mapping[str, Any]
ReadAll = Callable[[Request], Awaitable[Sequence[Item]]]

# How far Dixa's stamps and the Date of its answers may lie apart (several machines write them). Taking too
# much for possible costs a look; taking too little would double.
CLOCK_TOLERANCE_SECONDS = 60.0


class Found(StrEnum):
    CREATED = "created"
    NOTHING = "nothing"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Settlement:
    """`dixa_id` of what was created; `evidence` says what was seen where that does not decide it."""

    found: Found
    dixa_id: str | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Settler:
    """Reads back. `read_all` gives a list whole or raises; `is_ours` says whether a conversation is one that
    the checkpoint already knows."""

    read_all: ReadAll
    is_ours: Callable[[str], bool]

    async def settle(self, doubt: Doubt) -> Settlement:
        """Look for what a step may have created. To be asked after the grace period only, and while no other
        creation for the same requester is in doubt."""
        if doubt.kind is StepKind.CONVERSATION:
            return await self._conversation(doubt)
        return await self._message(doubt)

    async def _conversation(self, doubt: Doubt) -> Settlement:
        request = integrations.requested_conversations(doubt.expected["requester_id"])
        matches: list[str] = []
        unclear: list[str] = []
        for item in await self.read_all(request):
            csid = str(item["id"])
            if (
                self.is_ours(csid)
                or not integrations.could_be_conversation(item, doubt)
                or not in_time(item, doubt)
            ):
                continue
            messages = await self.read_all(integrations.messages_of(csid))
            is_it = integrations.is_conversation(item, messages, doubt)
            (matches if is_it else unclear if is_it is None else []).append(csid)
        return _settlement(matches, unclear, "conversations of the requester")

    async def _message(self, doubt: Doubt) -> Settlement:
        items = await self.read_all(integrations.messages_of(doubt.expected["csid"]))
        matches = [
            str(item["id"])
            for item in integrations.by_time(items)
            if str(item["id"]) not in doubt.known
            and integrations.could_be_message(item, doubt.expected)
            and in_time(item, doubt)
        ]
        # Equal messages that came in with the conversation itself have no id that is known.
        own = matches[doubt.expected.get("twins", 0) :]
        return _settlement(own, [], f"messages of conversation {doubt.expected['csid']}")

    async def doubles(
        self, csid: str, sent: Sequence[Mapping[str, Any]], creation: Doubt | None
    ) -> tuple[str, ...]:
        """What stands twice in a conversation that is finished: messages beyond those `sent` (as
        Step.expected) that are equal to one of them, and where its creation was in doubt, other
        conversations that could have come of it."""
        items = await self.read_all(integrations.messages_of(csid))
        wanted: dict[tuple[str, str], int] = {}
        for mark in sent:
            key = (str(mark["author_id"]), mark["text"])
            wanted[key] = wanted.get(key, 0) + 1
        extra: list[str] = []
        for item in integrations.by_time(items):
            key_of_item = integrations.message_key(item)
            if key_of_item not in wanted:
                continue
            wanted[key_of_item] -= 1
            if wanted[key_of_item] < 0:
                extra.append(f"message {item['id']} of conversation {csid} is a double")
        if creation:
            again = await self._conversation(creation)
            if again.found is not Found.NOTHING:
                extra.append(f"conversation {again.dixa_id or again.evidence} is a double of {csid}")
        return tuple(extra)


def in_time(item: Item, doubt: Doubt) -> bool:
    """What stood there before the request was sent, or came long after it, cannot have come of it. Compared
    in Dixa's clock, by the offset that was known when it was sent; without one everything is possible."""
    offset, created = doubt.expected.get("offset"), integrations.created_at(item)
    if offset is None or created is None:
        return True
    earliest = doubt.first_at + offset - CLOCK_TOLERANCE_SECONDS
    latest = doubt.last_at + offset + doubt.expected["latest"] + CLOCK_TOLERANCE_SECONDS
    return bool(earliest <= created <= latest)


def _settlement(matches: Sequence[str], unclear: Sequence[str], where: str) -> Settlement:
    if len(matches) == 1:
        return Settlement(Found.CREATED, matches[0])
    candidates = matches or unclear
    if not candidates:
        return Settlement(Found.NOTHING)
    shown = ", ".join(candidates[:5]) + (f" and {len(candidates) - 5} more" if len(candidates) > 5 else "")
    return Settlement(Found.AMBIGUOUS, evidence=f"{len(candidates)} {where} could be it: {shown}")
