"""Reads a ticket back from Dixa, and compares it with what was sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from importer.dixa.api import Api, Target, lists_additions
from importer.dixa.content import Shown
from importer.dixa.matching import Item
from importer.model import AGENT, Conversation, Request, State, StepKind, TicketMemory
from importer.push.adopt import Adoption, is_condensed
from importer.push.people import PeopleDirectory
from importer.push.reconcile import Read, ReadAll, shaped
from importer.transport.exchange import NotListed, NotRead
from importer.verify.compare import Comparison, Difference, Known, Mark, Verified, compare
from importer.verify.proof import digest_of


@dataclass(slots=True)
class Verifier:
    """Reads back the tickets of one migration."""

    api: Api
    target: Target
    people: PeopleDirectory
    read_all: ReadAll
    read: Read
    agents: Mapping[str, str]
    # Lists and compares the conversations of requesters.
    adoption: Adoption
    # The tickets that are kept whole.
    whole: frozenset[str] = frozenset()

    async def verify(self, job: Conversation, memory: TicketMemory, dixa_id: str) -> Verified:
        """Raises what ends a run."""
        try:
            with shaped():
                return await self._verify(job, memory, dixa_id)
        except NotRead as error:
            return Verified(job.ticket_id, dixa_id, Comparison(()), None, unread=str(error))

    async def _verify(self, job: Conversation, memory: TicketMemory, dixa_id: str) -> Verified:
        ids, persons = await self._ids(job)
        ids["conversation"] = dixa_id
        requester = ids[job.requester.key or ""]
        item = await self._listed(requester, dixa_id)
        item = item or await self._alone(dixa_id)
        if item is None:
            gone = Difference(Mark.MISSING, "conversation", dixa_id, "", job.subject or "", "")
            return Verified(job.ticket_id, dixa_id, Comparison((*persons, gone)), None)
        shown = Shown(
            item,
            await self.read_all(self.api.messages_of(dixa_id)),
            await self._list(None if lists_additions(self.api) else self.api.additions_of, dixa_id),
            await self._list(self.api.tags_of, dixa_id),
        )
        held = self.api.held(self.target, shown)
        known = _known(job, memory, self.target.fingerprint(job))
        sent = self.api.sent_content(self.target, job, ids, set(known.ids))
        found = compare(sent, held, known)
        twins = [
            Difference(Mark.EXTRA, "conversation", twin, "twice", dixa_id, twin)
            for twin in await self.adoption.twins(job)
        ]
        comparison = Comparison((*persons, *twins, *found.differences), found.since)
        sides = (sent, held) if job.ticket_id in self.whole else None
        return Verified(job.ticket_id, dixa_id, comparison, digest_of(dixa_id, held), sides=sides)

    async def _listed(self, requester: str, dixa_id: str) -> Item | None:
        """The conversation as the list of its requester shows it."""
        try:
            listed = await self.adoption.conversations_of(requester) if requester else {}
        except NotListed:
            return None  # the requester is gone
        item = listed.get(dixa_id)
        return await self._alone(dixa_id) if item and is_condensed(item) else item

    async def _alone(self, dixa_id: str) -> Item | None:
        """The conversation by its id, where the list of its requester does not show it."""
        answer = await self.read(self.api.conversation_of(dixa_id))
        if answer is None:
            return None
        data = answer.json.get("data", answer.json) if isinstance(answer.json, dict) else None
        return {**data, "id": dixa_id} if isinstance(data, dict) else None

    async def _list(self, listed: Callable[[str], Request] | None, dixa_id: str) -> Sequence[Item]:
        return await self.read_all(listed(dixa_id)) if listed else ()

    async def _ids(self, job: Conversation) -> tuple[dict[str, str], list[Difference]]:
        """The user ids that the ticket was imported with, and what became of these people."""
        ids: dict[str, str] = {}
        found: list[Difference] = []
        for contact in (job.requester, *(m.author for m in job.messages if not m.by_agent)):
            key = contact.key if contact else None
            if contact is None or key is None or key in ids:
                continue
            person = await self.people.read_back(contact)
            ids[key] = person.dixa_id or ""
            if person.problem:
                now = ", ".join(person.now)
                found.append(
                    Difference(Mark.DIFFERENT, "person", key, person.problem, person.before or "", now)
                )
        for message in job.messages:
            if message.by_agent and message.author and message.author.key:
                key = message.author.key
                ids[AGENT + key] = self.agents.get(key, "")
        return ids, found


def _known(job: Conversation, memory: TicketMemory, fingerprint: bytes) -> Known:
    """What the checkpoint says of the messages. `fingerprint` is that of the conversation in the export."""
    records = {r.key: r for r in memory.steps if r.kind is StepKind.MESSAGE}
    there = (State.IMPORTED, State.PARTIAL)
    absent = {
        message.message_id
        for message in job.messages
        if (record := records.get(message.message_id)) is None or record.state not in there
    }
    ids = {key: record.dixa_id for key, record in records.items() if record.dixa_id and key not in absent}
    refused = {key: record.refused for key, record in records.items() if record.refused}
    own = {message.message_id: message.fingerprint for message in job.messages}
    changed = {key for key, record in records.items() if record.fingerprint != own.get(key)}
    created = [r for r in memory.steps if r.kind is StepKind.CONVERSATION]
    is_changed = any(record.fingerprint != fingerprint for record in created)
    return Known(ids, absent, refused, changed, is_changed)
