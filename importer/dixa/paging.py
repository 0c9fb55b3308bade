"""Lists in responses: their items, and the request for the next page."""

from typing import Any
from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit

from importer.dixa.response_rules import valid_id
from importer.errors import ProtocolError
from importer.model import Answer, Request

LINK_LIMIT = 8_000
_PORTS = {"http": 80, "https": 443}


class Unreadable(Exception):
    """A response has not the shape that it must have, so that nothing can be concluded from it."""


def list_items(answer: Answer) -> list[dict[str, Any]]:
    """The items of a list. Raises Unreadable if `data` of the response is not a list of objects."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise Unreadable(f"Dixa answered {answer.status} with something else than a list")
    return data


def identified(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items with their ids as text. Raises Unreadable if one has none: something that cannot be told from
    others proves nothing."""
    for item in items:
        item["id"] = valid_id(item.get("id"))
        if item["id"] is None:
            raise Unreadable("Dixa answered with a list that has an item without an id")
    return items


def distinct(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each identified item once: a page may repeat what moved while the page before it was read."""
    first: dict[str, dict[str, Any]] = {}
    for item in items:
        first.setdefault(item["id"], item)
    return list(first.values())


def page_request(link: Any, base_url: str, path: str) -> Request | None:
    """The request for a link to the next page, on the list at `path`; None if there is no link.

    Raises ProtocolError if the link leads to another origin, because the token must not reach another host;
    Unreadable if it is no link.
    """
    if link is None or link == "":
        return None
    if not isinstance(link, str) or len(link) > LINK_LIMIT:
        raise Unreadable("Dixa answered with a list whose link to the next page is none")
    home = urlsplit(base_url)
    try:
        # Resolved, not glued: `7/steal` behind a port and `.evil.test` behind a host would lead elsewhere.
        parts = urlsplit(urljoin(base_url + path, link))
        is_home = _origin(parts) == _origin(home) and not parts.username
    except ValueError:
        raise Unreadable("Dixa answered with a list whose link to the next page is none") from None
    if not is_home:
        raise ProtocolError(
            "The link to the next page of a list leads to another host, so it is not followed: the token "
            "must not reach another host"
        )
    below = parts.path.removeprefix(home.path) if home.path else parts.path
    return Request("GET", below or "/", query=dict(parse_qsl(parts.query, keep_blank_values=True)))


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
