"""The HTTP server of the sandbox: authentication, the strict token bucket, and a check of every request
against the description of the API before its operation is carried out."""

import asyncio
import math
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from importer.resources import SCHEMAS
from importer.sandbox import contract
from importer.sandbox.dixa import DixaSandbox
from importer.sandbox.faults import Faults, Plan, Work, blocked, undownloadable
from importer.sandbox.fetch import Rule, attachments, unreachable
from importer.sandbox.integrations import IntegrationsSandbox
from importer.sandbox.store import Store
from importer.sandbox.view import View

HOST = "127.0.0.1"
# aiohttp's default is 8190. Its parser itself responds to longer lines, in plain text and without the
# middleware.
LINE_LIMIT = 1024 * 1024
# A page in a browser can let its own name resolve to loopback, and then read what is here as its own.
_OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
# Paths of either API that are not described here, because no import needs them, or not by this API.
_ELSEWHERE = tuple(f"/v1/conversations/{name}" for name in ("import", "activitylog", "flows", "search"))


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sandbox behaves and what its account contains."""

    api: Literal["dixa", "integrations"] = "dixa"
    token: str = "sandbox"  # noqa: S105 - it protects only a rehearsal
    # Requests per second; 0 for no limit.
    rate: float = 10.0
    burst: int = 4
    # 0 for any free port.
    port: int = 0
    # A file, or `:memory:`.
    database: Path | str = ":memory:"
    # The account: e-mail addresses of agents, names of queues and tags, addresses of endpoints, labels of
    # custom attributes.
    agents: tuple[str, ...] = ()
    queues: tuple[str, ...] = ("Imported",)
    tags: tuple[str, ...] = ("imported",)
    emails: tuple[str, ...] = ("imported@email.dixa.io",)
    phones: tuple[str, ...] = ("+4512345678",)
    attributes: tuple[str, ...] = ("Old ticket id",)
    # Whether attachments on other hosts than loopback are fetched too; otherwise they are assumed to exist.
    fetch: bool = False
    # The ports on loopback that attachments are fetched from; None for any.
    fetch_ports: frozenset[int] | None = None
    faults: Plan = field(default_factory=Plan)
    # The number of requests after which the token expires.
    expires_after: int | None = None
    # The number of requests that are allowed in `quota_reset_seconds`, as Dixa's daily quota.
    quota: int | None = None
    quota_reset_seconds: float = 86_400.0


_APIS: Mapping[str, tuple[str, Callable[[Store, View], Any]]] = {
    "dixa": ("dixa.yaml", DixaSandbox),
    "integrations": ("integrations.yaml", IntegrationsSandbox),
}


# What writes into conversations: only these does a firewall read.
_CREATIONS = frozenset(
    {"import_conversation", "create_note", "create_notes", "create_conversation", "add_historical_message"}
)


class Bucket:
    """A strict token bucket: `burst` tokens, `rate` new ones per second, and one token for each request."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Whether a request is allowed now; if so, it takes a token."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class Running:
    """A running sandbox."""

    url: str
    token: str
    store: Store
    # These two belong to the thread of the server.
    faults: Faults
    loop: asyncio.AbstractEventLoop
    # Responses by status.
    statuses: Counter[int] = field(default_factory=Counter)

    def contents(self) -> str:
        """What the account contains, in words."""
        kinds = ("conversations", "messages", "notes")
        conversations, messages, notes = (self.store.count(kind) for kind in kinds)
        return f"{conversations} conversations, {messages} messages and {notes} notes"

    def wait_for_late_commits(self) -> None:
        """Wait until all late requests are carried out. Call it from another thread than the server's."""
        asyncio.run_coroutine_threadsafe(self.faults.close(), self.loop).result()


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Running]:
    """Serve in the running event loop. Raises OSError if the port is not available."""
    store = Store(settings.database)
    store.seed(
        agents=settings.agents,
        queues=settings.queues,
        tags=settings.tags,
        emails=settings.emails,
        phones=settings.phones,
        attributes=settings.attributes,
    )
    faults = Faults(settings.faults)
    state = Running("", settings.token, store, faults, asyncio.get_running_loop())
    runner = web.AppRunner(
        _app(settings, store, faults, state.statuses), access_log=None, max_line_size=LINE_LIMIT
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, settings.port)
        await site.start()
        state.url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield state
    finally:
        await runner.cleanup()
        await faults.close()
        store.close()


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Serve in a separate thread with its own event loop. Raises what the server raises when it starts, such
    as OSError if the port is not available."""
    ready: list[Running | BaseException] = []
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        try:
            async with serving(settings) as state:
                ready.append(state)
                started.set()
                await stop.wait()
        except BaseException as error:
            ready.append(error)
            started.set()
            raise

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except OSError:
            pass  # the caller gets it through `ready`
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    started.wait()
    if isinstance(ready[0], BaseException):
        thread.join()
        raise ready[0]
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


class _Door:
    """Checks the token, the daily quota and the rate limit of a request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = Bucket(settings.rate, settings.burst) if settings.rate else None
        self._began = time.monotonic()
        self._seen = self._spent = 0

    def refusal(self, request: web.Request) -> web.Response | None:
        settings = self._settings
        self._seen += 1
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        expired = settings.expires_after is not None and self._seen > settings.expires_after
        if token != settings.token or expired:
            return _error(401, "The token is missing or wrong.")
        if settings.quota is not None:
            left = settings.quota_reset_seconds - (time.monotonic() - self._began)
            if left <= 0:
                self._began, self._spent, left = time.monotonic(), 0, settings.quota_reset_seconds
            if self._spent >= settings.quota:
                return _error(429, "The daily quota is used up.", {"Retry-After": str(math.ceil(left))})
            self._spent += 1
        if self._bucket and not self._bucket.take():
            return _error(429, "Too many requests.")
        return None


def _app(settings: Settings, store: Store, faults: Faults, statuses: Counter[int]) -> web.Application:
    door = _Door(settings)
    rule = Rule(settings.fetch, settings.fetch_ports)
    description, api = _APIS[settings.api]
    operations = api(store, View(settings.faults.reword, settings.faults.lag_seconds))

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await _guarded(request, handler)
        except web.HTTPException as error:
            response = _error(error.status, error.reason)
            response.headers.update({k: v for k, v in error.headers.items() if k == "Allow"})
        statuses[response.status] += 1
        return response

    async def _guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not all(_OWN_HOST.fullmatch(host) for host in request.headers.getall("Host", [])):
            return _error(421, "This is not the host that the request is for.")
        return door.refusal(request) or await handler(request)

    def endpoint(operation: contract.Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        perform = getattr(operations, operation.name)

        async def handle(request: web.Request) -> web.StreamResponse:
            query = {name: request.query.getall(name) for name in request.query}
            call = operation.read(request.match_info, query, request.content_type, await request.read())
            if isinstance(call, contract.Refusal):
                return _error(call.status, call.message)

            urls = attachments(call.body) if _fetches(operation.name, faults) else frozenset()
            lost = await unreachable(urls, rule) | faults.dead(urls)

            def carry_out(refuse_one: bool = False) -> web.Response:
                if lost and faults.refuses_attachments:
                    return undownloadable(min(lost))
                reply = perform(replace(call, unreachable=lost, refuse_one=refuse_one))
                if isinstance(reply, contract.Refusal):
                    return _error(reply.status, reply.message)
                status, body = reply
                return web.Response(status=status) if body is None else web.json_response(body, status=status)

            def rehearse() -> web.Response:
                with store.rehearsal():
                    return carry_out()

            fault = faults.choose(request)
            if operation.name in _CREATIONS and faults.forbids(call.body):
                return blocked()
            if fault is None:
                return carry_out()
            return await faults.strike(fault, request, Work(carry_out, rehearse))

        return handle

    app = web.Application(middlewares=[guard], client_max_size=2 * contract.BODY_LIMIT)
    # Fixed paths come before templates and handle every method, so that `import` is never taken for an id.
    by_path: dict[str, list[contract.Operation]] = {}
    for operation in contract.load(SCHEMAS / "api" / description):
        by_path.setdefault(operation.path, []).append(operation)
    for path in _ELSEWHERE:
        if path not in by_path:
            app.router.add_route("*", path, _nowhere)
    for path in sorted(by_path, key=lambda path: path.count("{")):
        for operation in by_path[path]:
            app.router.add_route(operation.method, path, endpoint(operation))
        app.router.add_route("*", path, _refusing([operation.method for operation in by_path[path]]))
    return app


def _fetches(operation: str, faults: Faults) -> bool:
    """Whether attachments are fetched. Not found: what a historical message does about those that cannot be,
    so that it is asked only where it is to refuse them."""
    if operation == "add_historical_message":
        return faults.refuses_attachments
    return operation == "import_conversation"


async def _nowhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


def _refusing(allowed: list[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    return refuse


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"message": message}, status=status, headers=headers)
