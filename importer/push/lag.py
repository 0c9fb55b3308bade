"""How far Dixa's lists are behind what it has created.

That a list does not show something proves nothing as long as the list may be behind. So the newest thing that
this run created is looked for in its own list: as soon as it is shown, what was sent before it would be shown
too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from importer.model import Doubt, Request, StepKind

# Between two looks at a list that is behind: a share of the time that it is behind already.
PAUSE_SHARE = 0.2
LEAST_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class _Creation:
    """Something that this run created, and the list that has to show it. Unix times."""

    listed: Request
    dixa_id: str
    at: float
    shown_at: float = 0.0


class Lag:
    """What this run has seen of the lists. There are two kinds: those of conversations, and those of what is
    in a conversation."""

    def __init__(
        self,
        read_all: Callable[[Request], Awaitable[Sequence[Mapping[str, Any]]]],
        *,
        latest_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """`latest_seconds`: how long after it was sent Dixa may still carry out a request."""
        self._read_all = read_all
        self._latest = latest_seconds
        self._clock = clock
        self._newest: dict[bool, _Creation] = {}
        self._shown: dict[bool, _Creation] = {}
        # The one that is looked for, until it is shown.
        self._awaited: dict[bool, _Creation] = {}
        self._locks = {True: asyncio.Lock(), False: asyncio.Lock()}
        self.seen_seconds = 0.0

    def created(self, kind: StepKind, listed: Request, dixa_id: str, sent_at: float) -> None:
        """A response said that something was created, which `listed` has to show. It was sent at `sent_at`
        (Unix time), and may have been created right then."""
        self._newest[kind is StepKind.CONVERSATION] = _Creation(listed, dixa_id, sent_at)

    async def seconds_until_absence(self, doubt: Doubt) -> float:
        """How long to wait before a list that does not show what was sent proves that it was not created; 0
        if it would prove it now. Raises what reading a list raises."""
        wait = doubt.last_at + self._latest + self.seen_seconds - self._clock()
        if wait > 0:
            return wait
        kind = doubt.kind is StepKind.CONVERSATION
        async with self._locks[kind]:
            shown = self._shown.get(kind)
            if shown is not None and shown.at >= doubt.last_at:
                return 0.0
            if wait := await self._look(kind):
                return wait
        shown = self._shown.get(kind)
        behind = doubt.last_at - shown.at if shown else 0.0
        if shown is None or not 0 < behind < self._latest:
            return 0.0
        # It was created that much earlier, so what was sent is shown that much later.
        return max(0.0, shown.shown_at + behind - self._clock())

    async def _look(self, kind: bool) -> float:
        """Look whether the newest creation is shown. Returns how long to wait before the next look; 0 if it
        is shown, or if there is none."""
        creation = self._awaited.get(kind) or self._newest.get(kind)
        if creation is None or creation == self._shown.get(kind):
            return 0.0
        listed = await self._read_all(creation.listed)
        now = self._clock()
        if any(item.get("id") == creation.dixa_id for item in listed):
            self._awaited.pop(kind, None)
            self._shown[kind] = _Creation(creation.listed, creation.dixa_id, creation.at, now)
            if self._newest.get(kind) == creation:
                self._newest[kind] = self._shown[kind]
            return 0.0
        self._awaited[kind] = creation
        self.seen_seconds = max(self.seen_seconds, now - creation.at)
        return max(LEAST_PAUSE_SECONDS, PAUSE_SHARE * (now - creation.at))
