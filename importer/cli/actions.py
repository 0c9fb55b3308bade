"""What several commands do behind their options: show a plan, and push under a progress bar and signals."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from importer.cli import interrupt
from importer.cli.options import given_flags, overrides
from importer.cli.session import Session
from importer.migration.file import Migration, load_migration
from importer.model import State, TicketResult
from importer.pipeline.check import plan_export
from importer.pipeline.values import CommandResult, Invocation, RunHooks, RunResult
from importer.push.context import PushOptions
from importer.transport.pace import Pace


def show_plan(session: Session, migration: Path, command: str, *, with_holes: bool) -> int:
    """What `plan` and `run --dry-run` do."""
    result = plan_export(
        load_migration(migration, overrides()),
        migration,
        command=command,
        flags=given_flags(),
        with_holes=with_holes,
        now=datetime.now(UTC),
        say=session.say,
        counting=session.counting,
    )
    session.result(result.lines, result.value)
    return result.exit_code


def invocation(
    session: Session,
    command: str,
    migration: Migration,
    path: Path,
    *,
    authorization: str,
    options: PushOptions,
) -> Invocation:
    """A command that asks Dixa, with this terminal, its signals and the clock."""
    return Invocation(
        command,
        migration,
        path,
        given_flags(),
        authorization,
        options,
        now=lambda: datetime.now(UTC),
        say=session.say,
        drive=lambda tickets, start: _with_signals(session, tickets, start),
    )


def told(session: Session, result: CommandResult) -> int:
    """Print what a command has to say; the exit code. Raises what ended it early."""
    session.result(result.lines, result.value)
    if result.failure:
        raise result.failure
    return result.exit_code


def _with_signals(
    session: Session, tickets: int, start: Callable[[RunHooks], Awaitable[RunResult]]
) -> RunResult:
    """Run to the end under a progress bar. A first SIGINT or SIGTERM lets requests in flight finish. A second
    one stops at once, which leaves those in doubt."""
    with session.bar(tickets, smoothing=0.1) as bar:

        def say(message: str) -> None:
            if not session.quiet:
                tqdm.write(message, file=sys.stderr)

        bad = 0

        def ended(result: TicketResult) -> None:
            nonlocal bad
            bad += result.state in (State.REJECTED, State.FAILED, State.IN_DOUBT)
            bar.update(result.state is not State.LEFT)
            if bad:
                bar.set_postfix_str(f"{bad} not imported", refresh=False)

        async def whole() -> RunResult:
            task = asyncio.current_task()
            loop = asyncio.get_running_loop()
            gate: list[Pace] = []
            asked = False

            def stop() -> None:
                nonlocal asked
                if gate and not asked:
                    asked = True
                    say("Finishing requests in flight. Press Ctrl-C again to stop now.")
                    gate[0].stop()
                elif task:
                    task.cancel()

            for number in interrupt.heeded():
                loop.add_signal_handler(number, stop)
            return await start(RunHooks(say, ended, gate.append))

        try:
            with interrupt.handed_over():
                return asyncio.run(whole())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
