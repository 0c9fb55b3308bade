"""Lists in responses: their items, and the request for the next page."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from importer.errors import ProtocolError
from importer.model import Answer, Request


def list_items(answer: Answer) -> list[dict[str, Any]]:
    """The items of a list. Raises ProtocolError if `data` of the response is not a list."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    if not isinstance(data, list):
        raise ProtocolError(f"a list was expected, but Dixa returned {answer.status}: {answer.text[:200]!r}")
    return [item for item in data if isinstance(item, dict)]


def page_request(link: Any, base_url: str) -> Request | None:
    """The request for a link to the next page; None if there is no link. Raises ProtocolError if the link
    leads to another origin, because the token must not reach another host."""
    if not link:
        return None
    parts, home = urlsplit(str(link)), urlsplit(base_url)
    if parts.netloc and (parts.scheme, parts.netloc) != (home.scheme, home.netloc):
        raise ProtocolError(
            f"the link to the next page leads to another host ({parts.netloc}) and is not followed"
        )
    return Request("GET", parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)))
