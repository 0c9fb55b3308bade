"""Shared by all tests: samples to work on, a sandbox on a real socket, the program as a process of its own.

A connection to anything but loopback fails, in this process.
"""

import asyncio
import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from importer.checkpoint.journal import Binding, Checkpoint
from importer.cli.demo import AGENTS
from importer.migration import file as config
from importer.pipeline import run as pipeline
from importer.pipeline.adopt import adopt
from importer.pipeline.prepare import prepare as prepare_export
from importer.pipeline.values import Limits, Prepared, RunHooks, RunResult
from importer.push.context import PushOptions
from importer.read.scan import scan
from importer.resources import SAMPLES
from importer.sandbox import Settings, running
from importer.sandbox.faults import Plan
from importer.sandbox.server import Running


def _loopback_only(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = str(args[1][0])
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test wants to connect to {host}")


sys.addaudithook(_loopback_only)


@pytest.fixture
def api() -> str:
    """The API under test: Dixa API v1, unless a test is parametrized with both."""
    return "dixa"


@pytest.fixture
def samples(tmp_path: Path, api: str) -> Path:
    """A copy of the samples to run in; `helpdesk.toml` goes to the API under test."""
    folder = Path(shutil.copytree(SAMPLES, tmp_path / "samples"))
    if api == "integrations":
        text = (folder / "helpdesk-integrations.toml").read_text("utf-8")
        (folder / "helpdesk.toml").write_text(text.replace('"nordlys-integrations"', '"nordlys"'), "utf-8")
    return folder


@pytest.fixture
def sandbox(api: str) -> Iterator[Running]:
    """A sandbox without limit, with the samples' agents."""
    with running(Settings(api=api, rate=0, agents=AGENTS)) as state:
        yield state


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Program:
    """`dixa-import` as its users start it."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, token: str | None = "sandbox", **more: Any) -> Done:
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env=self.env(token), check=False, **more
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object, token: str | None = "sandbox") -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env(token),
        )

    def command(self, *arguments: object) -> Sequence[str]:
        return [sys.executable, "-m", "importer", *map(str, arguments)]

    def env(self, token: str | None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DIXA_", "COLUMNS"))}
        return {**kept, **self.environment, **({"DIXA_API_TOKEN": token} if token else {})}


@pytest.fixture
def dixa_import() -> Program:
    return Program()


Prepare = Callable[..., Prepared]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Bring a migration file as far as the plan."""
    runs = 0

    def prepare(path: Path, *, with_holes: bool = False, jobs: bool = True, **overrides: Any) -> Prepared:
        nonlocal runs
        runs += 1
        workdir = tmp_path / f"work-{runs}"
        workdir.mkdir()
        migration = config.load_migration(
            path, {key.replace("__", "."): value for key, value in overrides.items()}
        )
        scanned = scan(migration.source, migration.folder, workdir)
        return prepare_export(
            migration, scanned, workdir, with_holes=with_holes, say=lambda _: None, jobs=jobs
        )

    return prepare


MINIMAL = """
version = 1
name = "minimal"
[source]
{source}
{into}
[people]
default_agent = "migration@nordlys.example"
"""
# What differs between targets in a migration file.
INTO = {
    "callback": '[target]\napi = "integrations"\n[conversation]\nqueue = "Imported"\nendpoint = "+4512345678"',
    "contact_form": '[target]\napi = "integrations"\n[conversation]\nkind = "contact_form"\n'
    'endpoint = "imported@email.dixa.io"',
    "email": '[target]\napi = "dixa"\n[conversation]\nendpoint = "imported@email.dixa.io"\nqueue = "Imported"\n'
    'tags = ["imported"]\nattributes = { "Old ticket id" = "ticket_id" }',
    "genericapimessaging": '[target]\napi = "dixa"\n[conversation]\nkind = "genericapimessaging"',
}


@pytest.fixture(params=list(INTO))
def into(request: pytest.FixtureRequest) -> str:
    """Every kind of conversation of every API."""
    return str(request.param)


@pytest.fixture
def migration(tmp_path: Path) -> Callable[..., Path]:
    """Write files and a minimal migration over them: `migration(tickets="a,b\\n…")`; `source` is TOML, `into`
    a key of INTO or TOML."""

    def write(
        source: str = "", timezone: str | None = "UTC", into: str = "callback", **tables: str | bytes
    ) -> Path:
        lines = [f'timezone = "{timezone}"'] if timezone else []
        for name, content in tables.items():
            path = tmp_path / f"{name}.csv"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            lines.append(f'{name}.files = ["{path.name}"]')
        path = tmp_path / "minimal.toml"
        text = MINIMAL.format(source="\n".join([*lines, source]), into=INTO.get(into, into))
        path.write_text(text, "utf-8")
        return path

    return write


GRACE = 0.15
# How long after it was sent Dixa may still carry out a request, in tests. Processes take it from here too.
LATEST = 0.6
os.environ["DIXA_IMPORT_LATEST"] = str(LATEST)
NO_LIMITS = Limits()
OPTIONS = PushOptions(grace_seconds=GRACE, latest_seconds=LATEST, patience_seconds=8.0)


@dataclass
class Runner:
    """A run in this process, as often as wanted, over the same checkpoint."""

    prepare: Callable[..., Prepared]

    def __call__(
        self,
        path: Path,
        sandbox: Running,
        *,
        limits: Limits = NO_LIMITS,
        options: PushOptions = OPTIONS,
        token: str | None = None,
        ended: Callable[[Any], None] = lambda _: None,
        adopting: bool = False,
        **overrides: Any,
    ) -> RunResult:
        settings = {
            "target__rate": 2000.0, "target__burst": 200, "target__timeout": 0.4, "target__grace": GRACE,
            "target__max_outage": 5.0, "target__base_url": sandbox.url, **overrides,
        }  # fmt: skip
        ready = self.prepare(path, **settings)
        target = ready.migration.target
        binding = Binding(ready.migration.name, target.api, target.base_url)
        common: Any = {
            "authorization": token or sandbox.token,
            "options": options,
            "hooks": RunHooks(lambda _: None, ended, lambda _: None),
        }
        with Checkpoint(ready.migration.checkpoint, binding) as journal:
            if adopting:
                return asyncio.run(adopt(ready, journal, **common))
            return asyncio.run(pipeline.run(ready, journal, limits=limits, **common))


@pytest.fixture
def run(prepare) -> Runner:
    return Runner(prepare)


@pytest.fixture
def serving() -> Callable[..., AbstractContextManager[Running]]:
    """A sandbox of the Integrations API, unless `api` says otherwise, with faults:
    `with serving(script={2: Fault.CUT_AFTER}) as sandbox`."""

    @contextmanager
    def serve(**plan: Any) -> Iterator[Running]:
        more = {
            key: plan.pop(key)
            for key in (
                "api",
                "token",
                "expires_after",
                "quota",
                "quota_reset_seconds",
                "agents",
                "attributes",
            )
            if key in plan
        }
        more = {"api": "integrations", "agents": ("migration@nordlys.example",), **more}
        with running(Settings(rate=0, faults=Plan(**plan), **more)) as sandbox:
            yield sandbox

    return serve
