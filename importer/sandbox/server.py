"""The sandbox on a socket: authentication, the strict token bucket, and every request checked against the
API's description before its operation is carried out."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from importer.resources import SCHEMAS
from importer.sandbox import contract
from importer.sandbox.integrations import Integrations
from importer.sandbox.store import Store

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Settings:
    """`rate` 0 means no limit; `port` 0 any free one; `database` may be `:memory:`."""

    token: str = "sandbox"  # noqa: S105 - it guards nothing but a rehearsal
    rate: float = 10.0
    burst: int = 4
    port: int = 0
    database: Path | str = ":memory:"
    agents: tuple[str, ...] = ()
    queues: tuple[str, ...] = ("Imported",)
    tags: tuple[str, ...] = ("imported",)
    emails: tuple[str, ...] = ("imported@email.dixa.io",)
    phones: tuple[str, ...] = ("+4512345678",)


class Bucket:
    """A strict token bucket: `burst` tokens, `rate` more a second, and not one request beyond."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class Running:
    """A sandbox that answers at `url`. `store` and `statuses` (answers by status) are for looking in."""

    url: str
    token: str
    store: Store
    statuses: Counter[int] = field(default_factory=Counter)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Running]:
    """Serve in the running loop."""
    store = Store(settings.database)
    store.seed(
        agents=settings.agents,
        queues=settings.queues,
        tags=settings.tags,
        emails=settings.emails,
        phones=settings.phones,
    )
    state = Running("", settings.token, store)
    runner = web.AppRunner(_app(settings, store, state.statuses), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, settings.port)
        await site.start()
        state.url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield state
    finally:
        await runner.cleanup()
        store.close()


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Serve in a thread of its own, with its own loop."""
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
            pass  # handed to the caller through `ready`
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


def _app(settings: Settings, store: Store, statuses: Counter[int]) -> web.Application:
    bucket = Bucket(settings.rate, settings.burst) if settings.rate else None
    operations = Integrations(store)

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
        token = request.headers.get("Authorization", "")
        if token.removeprefix("Bearer ") != settings.token:
            return _error(401, "The token is missing or wrong.")
        if bucket and not bucket.take():
            return _error(429, "Too many requests.")
        return await handler(request)

    def endpoint(operation: contract.Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        carry_out = getattr(operations, operation.name)

        async def handle(request: web.Request) -> web.StreamResponse:
            query = {name: request.query.getall(name) for name in request.query}
            call = operation.read(request.match_info, query, request.content_type, await request.read())
            reply = call if isinstance(call, contract.Problem) else carry_out(call)
            if isinstance(reply, contract.Problem):
                return _error(reply.status, reply.message)
            status, body = reply
            return web.json_response(body, status=status)

        return handle

    app = web.Application(middlewares=[guard], client_max_size=2 * contract.BODY_LIMIT)
    # Fixed paths before templates, so that /activitylog is not taken for an id.
    for operation in sorted(
        contract.load(SCHEMAS / "api" / "integrations.yaml"), key=lambda operation: "{" in operation.path
    ):
        app.router.add_route(operation.method, operation.path, endpoint(operation))
    return app


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
