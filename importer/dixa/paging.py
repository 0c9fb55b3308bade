"""Lists in answers: their items, and the request for the next page."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from importer.errors import ProtocolError
from importer.model import Answer, Request


def list_items(answer: Answer) -> list[dict[str, Any]]:
    """The objects of a list answer. Raises ProtocolError where `data` is no list."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    if not isinstance(data, list):
        raise ProtocolError(f"a list was expected, but Dixa answered {answer.status}: {answer.text[:200]!r}")
    return [item for item in data if isinstance(item, dict)]


def page_request(link: Any, base_url: str) -> Request | None:
    """The request behind a link to the next page; None where there is no link. It is followed as given, on
    the same origin only: the token must not travel elsewhere."""
    if not link:
        return None
    parts, home = urlsplit(str(link)), urlsplit(base_url)
    if parts.netloc and (parts.scheme, parts.netloc) != (home.scheme, home.netloc):
        raise ProtocolError(f"the next page lies on another host ({parts.netloc}); it is not followed")
    return Request("GET", parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)))
