"""Complete lists, read page by page."""

from typing import Any

from importer.dixa.api import Api
from importer.dixa.paging import list_items
from importer.model import Request
from importer.transport.exchange import Exchange, NotListed, NotRead


async def list_all(api: Api, exchange: Exchange, request: Request, base_url: str) -> list[dict[str, Any]]:
    """Every item of a list, in the order of its pages. Raises NotListed if there is no such list, and NotRead
    if it cannot be read completely: the caller concludes that what is not on the list does not exist."""
    found: list[dict[str, Any]] = []
    seen: set[Any] = set()
    page: Request | None = request
    while page is not None:
        place = (page.path, tuple(sorted(page.query.items())))
        answer = None if place in seen else await exchange.read(page)
        if answer is None and place in seen:
            raise NotRead(f"{page.path}: the links to its next pages form a loop")
        if answer is None:
            raise NotListed(f"{page.path}: there is no such list")
        seen.add(place)
        found += list_items(answer)
        page = api.next_page(answer, base_url)
    return found
