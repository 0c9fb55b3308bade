"""Complete lists, read page by page."""

from typing import Any

from importer.dixa.api import Api
from importer.dixa.paging import Unreadable, distinct, identified, list_items
from importer.model import Request
from importer.transport.exchange import Exchange, NotListed, NotRead

# With 50 items on a page, more than a requester has conversations or an account has agents.
PAGES_LIMIT = 10_000


async def list_all(
    api: Api, exchange: Exchange, request: Request, base_url: str, *, ids: bool = True
) -> list[dict[str, Any]]:
    """Every item of a list, in the order of its pages; with `ids`, each has its id as text.

    Raises NotListed if there is no such list, and NotRead if it cannot be read completely: the caller
    concludes that what is not on the list does not exist.
    """
    found: list[dict[str, Any]] = []
    seen: set[Any] = set()
    page: Request | None = request
    while page is not None:
        place = (page.path, tuple(sorted(page.query.items())))
        if place in seen or len(seen) >= PAGES_LIMIT:
            raise NotRead(f"{request.path}: the links to its next pages have no end")
        seen.add(place)
        answer = await exchange.read(page)
        if answer is None:
            raise NotListed(f"{page.path}: there is no such list")
        try:
            found += identified(list_items(answer)) if ids else list_items(answer)
            page = api.next_page(answer, base_url, page.path)
        except Unreadable as error:
            raise NotRead(f"{request.path}: {error}") from None
    return distinct(found) if ids else found
