"""What the account must have before anything is created: queue, endpoint, attributes and agents, by name or
id.

Everything is looked up before the first creation, and everything that is missing is reported together.
"""

import asyncio
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from importer.dixa.api import Account, AgentList, Api, Need
from importer.dixa.matching import Item
from importer.errors import ConfigError, Unreachable
from importer.model import Contact, ConversationSettings
from importer.push.people import PeopleDirectory
from importer.transport.exchange import Exchange, NotListed, NotRead
from importer.transport.listing import list_all


@dataclass(frozen=True, slots=True)
class Agents:
    """The account's agents."""

    # The user id by contact key.
    ids: Mapping[str, str] = field(default_factory=dict)
    # The e-mail address by name (casefolded).
    by_name: Mapping[str, str] = field(default_factory=dict)

    def suggestion(self, name: str) -> str:
        """The e-mail address of the agent whose name or address is most similar to this one, or an empty
        string."""
        known = {**self.by_name, **{key.partition("@")[0]: key for key in self.by_name.values()}}
        wanted = name.partition("@")[0].casefold()
        close = difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.7)
        return known[close[0]] if close else ""


@contextmanager
def _as_failures_of_the_run(base_url: str, api_name: str) -> Iterator[None]:
    try:
        yield
    except NotListed as error:
        raise ConfigError(
            f"{base_url}: {error}. Check that this is the address of the API in target.api ({api_name}), and "
            "that the token is for this API."
        ) from None
    except (TypeError, AttributeError) as error:
        raise Unreachable(
            f"The account could not be read, so nothing was sent: {base_url} answered with a list of another "
            f"shape ({type(error).__name__})"
        ) from error
    except NotRead as error:
        raise Unreachable(f"The account could not be read, so nothing was sent: {error}") from None


async def look_up(
    settings: ConversationSettings,
    *,
    base_url: str,
    api_name: str,
    api: Api,
    agents: Sequence[Contact],
    assignees: Iterable[Contact],
    exchange: Exchange,
    people: PeopleDirectory,
) -> tuple[Account, Agents]:
    """Resolve every name in the migration file and every agent in the export to the ids of the account.
    `agents` are authors of messages. The default agent replaces those that Dixa does not know; an unknown
    assignee is not replaced.

    Raises ConfigError that lists everything the account lacks, or if the host has no such lists; Unreachable
    if the account cannot be read.
    """
    with _as_failures_of_the_run(base_url, api_name):
        missing: list[str] = []
        ids: dict[str, Mapping[str, str]] = {}
        names: dict[str, frozenset[str] | None] = {}
        for need in api.needs(settings):
            items = await list_all(api, exchange, need.request, base_url, ids=False)
            ids[need.what], names[need.what] = _resolved(need, items, missing)
        default = settings.default_agent
        stand_in = Contact(email=default) if default else None
        everybody = {contact.key: contact for contact in [*agents, *([stand_in] if stand_in else [])]}
        if api.AGENTS is None:
            found, known = await _asked_one_by_one(everybody, people), Agents()
        else:
            known = _known(api.AGENTS, await list_all(api, exchange, api.AGENTS.request, base_url))
            everybody |= {contact.key: contact for contact in assignees}
            found = {key: known.ids.get(key) for key in everybody if key}
        default_id = found.get(stand_in.key) if stand_in and stand_in.key else None
        if stand_in and default_id is None:
            missing.append(f"  people.default_agent: Dixa knows no agent with the address {default}")
        if missing:
            raise ConfigError(
                f"{base_url}: the account lacks {len(missing)} item(s) that the migration file names:\n"
                + "\n".join(missing)
            )
        authors = {contact.key for contact in agents}
        absent = tuple(sorted(key for key, dixa_id in found.items() if dixa_id is None and key in authors))
        resolved = {key: dixa_id for key, dixa_id in found.items() if dixa_id}
        if default_id:
            resolved |= dict.fromkeys(absent, default_id)
        account = Account(
            ids,
            names,
            resolved,
            default_id,
            replaced=absent if default_id else (),
            unknown=() if default_id else absent,
        )
        return account, known


def _resolved(
    need: Need, items: Sequence[Item], missing: list[str]
) -> tuple[dict[str, str], frozenset[str] | None]:
    """The id of each name that is wanted, and all ids that the account has. A message for each name that was
    not found is added to `missing`."""
    by_id = {dixa_id: names for item in items for dixa_id, names in [need.entry(item)] if dixa_id}
    if need.lenient and items and not by_id:
        return {name: name for name in need.wanted}, None
    found: dict[str, str] = {}
    for wanted in need.wanted:
        if match := _match(wanted, by_id):
            found[wanted] = match
        else:
            missing.append(_absent(need.what, wanted, [", ".join(dict.fromkeys(n)) for n in by_id.values()]))
    return found, frozenset(by_id)


async def _asked_one_by_one(
    everybody: Mapping[str | None, Contact], people: PeopleDirectory
) -> dict[str, str | None]:
    """The user id by contact key; None for agents whom Dixa does not know."""
    persons = await asyncio.gather(*(people.lookup(contact) for contact in everybody.values()))
    return {
        key: person.dixa_id if person else None for key, person in zip(everybody, persons, strict=True) if key
    }


def _known(agents: AgentList, items: Iterable[Item]) -> Agents:
    ids: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for item in items:
        keys, name = agents.entry(item)
        ids |= dict.fromkeys(keys, str(item["id"]))
        email = next((key.partition(":")[2] for key in keys if key.startswith("email:")), None)
        if name and email:
            by_name[name.casefold()] = email
    return Agents(ids, by_name)


def _match(wanted: str, names_by_id: Mapping[str, Sequence[str]]) -> str | None:
    """The id of what the user means: an exact id, or a name in any case. An ambiguous name matches
    nothing."""
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
    return f"  {what}: {wanted!r} does not exist or is ambiguous; the account has: {listed or 'none'}"
