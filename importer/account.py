"""What the account must have before anything is created: queue, endpoint, tags and agents, by name or id.

Everything is asked for before the first creation, and all that is missing is named together.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from importer.config import Migration
from importer.dixa import integrations
from importer.errors import ConfigError, Unreachable
from importer.exchange import Exchange, NotListed, NotRead
from importer.model import Contact, Request
from importer.people import People


@dataclass(frozen=True, slots=True)
class Account:
    """`agents` has the user id for each agent's contact key, the default agent's where Dixa does not know
    one; `replaced` are the keys for which it stands in, `unknown` those for which nothing does."""

    target: integrations.Integrations
    agents: Mapping[str, str]
    replaced: tuple[str, ...]
    unknown: tuple[str, ...]


async def look_up(
    migration: Migration,
    *,
    agents: Iterable[Contact],
    exchange: Exchange,
    people: People,
) -> Account:
    """Resolve every name of the migration file and every agent of the export.

    Raises ConfigError that names all that the account does not have, Unreachable where it does not answer.
    """
    try:
        return await _look_up(migration, agents=agents, exchange=exchange, people=people)
    except NotListed as error:
        raise ConfigError(
            f"{migration.target.base_url}: {error}; is this the address of the Integrations API "
            "(target.base_url), and the token one for it?"
        ) from None
    except NotRead as error:
        raise Unreachable(f"the account could not be read, so nothing is sent: {error}") from None


async def _look_up(
    migration: Migration, *, agents: Iterable[Contact], exchange: Exchange, people: People
) -> Account:
    wanted, url = migration.conversation, migration.target.base_url
    missing: list[str] = []
    queue_id = None
    if wanted.kind == "callback" and wanted.queue:
        queues = await list_all(exchange, integrations.list_queues(), url)
        queue_id = _match(wanted.queue, {str(q.get("id")): [str(q.get("name"))] for q in queues})
        if queue_id is None:
            missing.append(_absent("queue", wanted.queue, [str(q.get("name")) for q in queues]))
    endpoint_id = await _endpoint(exchange, wanted.kind, wanted.endpoint or "", url, missing)
    known_tags = None
    if wanted.kind == "callback":
        known_tags = await _tags(exchange, url)
        missing += [
            _absent("tag", tag, sorted(known_tags))
            for tag in wanted.tags
            if known_tags is not None and tag not in known_tags
        ]
    found, default_id = await _agents(list(agents), migration.people.default_agent, people, missing)
    if missing:
        raise ConfigError(
            f"{url}: the account lacks {len(missing)} thing(s) that the migration names\n"
            + "\n".join(missing)
        )
    settings = integrations.Settings(
        kind=wanted.kind,
        queue_id=queue_id,
        endpoint_id=endpoint_id or "",
        tags=wanted.tags,
        head=wanted.head,
        opening_head=wanted.opening_head,
        zone=ZoneInfo(wanted.head_timezone),
    )
    absent = tuple(sorted(key for key, dixa_id in found.items() if dixa_id is None))
    return Account(
        integrations.Integrations(settings, known_tags),
        {key: known for key, dixa_id in found.items() if (known := dixa_id or default_id)},
        replaced=absent if default_id else (),
        unknown=() if default_id else absent,
    )


async def _agents(
    agents: list[Contact], default: str | None, people: People, missing: list[str]
) -> tuple[dict[str, str | None], str | None]:
    """Contact key → id or None, the default agent among them."""
    stand_in = Contact(email=default) if default else None
    everybody = {contact.key: contact for contact in [*agents, *([stand_in] if stand_in else [])]}
    persons = await asyncio.gather(*(people.find(contact) for contact in everybody.values()))
    found = {
        key: person.dixa_id if person else None for key, person in zip(everybody, persons, strict=True) if key
    }
    default_id = found.get(stand_in.key) if stand_in and stand_in.key else None
    if stand_in and default_id is None:
        missing.append(f"  people.default_agent: Dixa knows nobody with the address {default}")
    return found, default_id


async def _endpoint(exchange: Exchange, kind: str, wanted: str, url: str, missing: list[str]) -> str | None:
    items = await list_all(exchange, integrations.list_endpoints(kind), url)
    by_id = {
        dixa_id: integrations.endpoint_names(item)
        for item in items
        if (dixa_id := integrations.endpoint_id(item, kind))
    }
    match = _match(wanted, by_id)
    if match is None:
        names = [", ".join(names) for names in by_id.values()]
        missing.append(_absent(f"endpoint (for kind = '{kind}')", wanted, names))
    return match


async def _tags(exchange: Exchange, url: str) -> frozenset[str] | None:
    """The account's tag names; None where the answer does not tell (its fields are not documented)."""
    items = await list_all(exchange, integrations.list_tags(), url)
    names = [str(item["name"]) for item in items if item.get("name")]
    return frozenset(names) if names or not items else None


async def list_all(exchange: Exchange, request: Request, base_url: str) -> list[dict[str, Any]]:
    """Every item of a list, page by page. Raises NotRead where it cannot be had whole: what is not on it is
    taken for what is not there."""
    found: list[dict[str, Any]] = []
    seen: set[Any] = set()
    page: Request | None = request
    while page is not None:
        place = (page.path, tuple(sorted(page.query.items())))
        answer = None if place in seen else await exchange.read(page)
        if answer is None and place in seen:
            raise NotRead(f"{page.path}: its pages never end")
        if answer is None:
            raise NotListed(f"{page.path}: there is no such list")
        seen.add(place)
        found += integrations.rows(answer)
        page = integrations.next_page(answer, base_url)
    return found


def _match(wanted: str, names_by_id: Mapping[str, list[str]]) -> str | None:
    """An id as it is, a name in any case; a name that two things bear matches neither."""
    if wanted in names_by_id:
        return wanted
    matches = [
        dixa_id
        for dixa_id, names in names_by_id.items()
        if wanted.casefold() in (name.casefold() for name in names)
    ]
    return matches[0] if len(matches) == 1 else None


def _absent(what: str, wanted: str, there: list[str]) -> str:
    listed = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
    return f"  {what}: {wanted!r} is not there (or twice); there is: {listed or 'none'}"
