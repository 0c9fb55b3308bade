"""`sandbox`: a local Dixa look-alike to rehearse against."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Literal

import click

from importer.cli import interrupt
from importer.cli.group import Command
from importer.cli.session import Session
from importer.errors import ConfigError
from importer.sandbox.faults import Fault, Trouble, read_plan
from importer.sandbox.server import Settings, serving
from importer.sandbox.view import Reword

DEFAULT_PORT = 8484
_FAULTS = ", ".join([*Fault, *Trouble])
_REWORDS = ", ".join(Reword)


@click.command(
    cls=Command, epilog="\b\nExample:\n  dixa-import sandbox --port 8484 --agent agent@example.com"
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="On 127.0.0.1; 0 for any free one.",
)
@click.option(
    "--api",
    type=click.Choice(["dixa", "integrations"]),
    default="dixa",
    show_default=True,
    help="Which of the two APIs it speaks, as target.api says.",
)
@click.option("--token", default="sandbox", show_default=True, help="The token that it accepts.")
@click.option("--rate", default=10.0, show_default=True, help="Requests a second; 0 for no limit.")
@click.option("--burst", default=4, show_default=True, help="Requests at once.")
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A SQLite file that keeps its state. Left out: in memory.",
)
@click.option("--agent", "agents", multiple=True, help="E-mail of an agent. May be given several times.")
@click.option("--queue", "queues", multiple=True, default=["Imported"], show_default=True)
@click.option("--tag", "tags", multiple=True, default=["imported"], show_default=True)
@click.option(
    "--email-endpoint", "emails", multiple=True, default=["imported@email.dixa.io"], show_default=True
)
@click.option("--phone-endpoint", "phones", multiple=True, default=["+4512345678"], show_default=True)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    default=["Old ticket id"],
    show_default=True,
    help="A custom attribute of conversations (dixa).",
)
@click.option(
    "--fetch", is_flag=True, help="Fetch attachments from the internet too; else only from loopback."
)
@click.option(
    "--fetch-port",
    "fetch_ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    help="A port on loopback to fetch attachments from. May be given several times. Left out: any.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=SHARE]",
    help=f"Strike that share of the requests: {_FAULTS} (attachment-400: that share of the attachments; "
    f"forbidden: of the texts). reword=KIND shows texts otherwise than they were given: {_REWORDS}. "
    "lag=SECONDS lets lists lag behind. May be given several times.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed for the faults.")
@click.option(
    "--hang",
    "hang_seconds",
    default=60.0,
    show_default=True,
    help="How long a hung response lasts, in seconds.",
)
@click.option("--late", "late_seconds", default=1.0, show_default=True, help="Seconds until a late commit.")
@click.option("--expires-after", type=int, help="Requests after which the token is refused.")
@click.option("--quota", type=int, help="Requests a day.")
@click.option("--quota-reset", default=86_400.0, show_default=True, help="Seconds until the quota returns.")
@click.pass_obj
def sandbox(
    session: Session,
    port: int,
    api: Literal["dixa", "integrations"],
    token: str,
    rate: float,
    burst: int,
    database: Path | None,
    agents: tuple[str, ...],
    queues: tuple[str, ...],
    tags: tuple[str, ...],
    emails: tuple[str, ...],
    phones: tuple[str, ...],
    attributes: tuple[str, ...],
    fetch: bool,
    fetch_ports: tuple[int, ...],
    faults: tuple[str, ...],
    seed: int,
    hang_seconds: float,
    late_seconds: float,
    expires_after: int | None,
    quota: int | None,
    quota_reset: float,
) -> int:
    """Serve a local Dixa look-alike to rehearse against, until Ctrl-C."""
    try:
        plan = read_plan(faults, seed=seed, hang_seconds=hang_seconds, late_seconds=late_seconds)
    except ValueError as error:
        known = f"{_FAULTS}, reword=KIND ({_REWORDS}), lag=SECONDS"
        raise click.BadParameter(f"{error}; faults: {known}", param_hint="--fault") from None
    settings = Settings(
        api=api,
        token=token,
        rate=rate,
        burst=burst,
        port=port,
        database=database or ":memory:",
        agents=agents,
        queues=queues,
        tags=tags,
        emails=emails,
        phones=phones,
        attributes=attributes,
        fetch=fetch,
        fetch_ports=frozenset(fetch_ports) or None,
        faults=plan,
        expires_after=expires_after,
        quota=quota,
        quota_reset_seconds=quota_reset,
    )
    try:
        asyncio.run(_serve(session, settings))
    except OSError as error:
        raise ConfigError(
            f"the sandbox cannot listen on port {port}: {error.strerror}; choose another --port "
            "(and the same one in target.base_url or --base-url)"
        ) from None
    except sqlite3.Error as error:
        raise ConfigError(f"{database}: cannot be the sandbox's database: {error}") from None
    return 0


async def _serve(session: Session, settings: Settings) -> None:
    stop = asyncio.Event()
    for number in interrupt.heeded():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(settings) as state:
        limit = f"{settings.rate:g} a second, burst {settings.burst}" if settings.rate else "no limit"
        session.say(
            f"Sandbox at {state.url} (api {settings.api!r}, token {settings.token!r}, {limit}). "
            "Ctrl-C ends it."
        )
        await stop.wait()
        session.say(
            f"Sandbox ends with {state.contents()}; answers by status: "
            + (", ".join(f"{status}: {count}" for status, count in sorted(state.statuses.items())) or "none")
        )
