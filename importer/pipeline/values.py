"""What the steps of the path hand to each other and to the reports. No behaviour."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from importer.books import Books
from importer.errors import RunError
from importer.migration.file import Migration
from importer.model import TicketResult
from importer.plan.parts import Parts
from importer.push.context import PushOptions
from importer.relate.related import Related
from importer.report.rejects import Problem
from importer.transport.exchange import Traffic
from importer.transport.pace import Pace
from importer.validate.checked import Checked
from importer.verify.compare import Verified

# Tells the user what is going on.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The export up to the push."""

    migration: Migration
    # The tables that the migration names, as they were judged.
    tables: Mapping[str, Checked]
    related: Related
    parts: Parts
    # Every row that goes is still `left` in these.
    books: Books


@dataclass(frozen=True, slots=True)
class Examined:
    """A prepared export with its rejects on disk."""

    ready: Prepared
    problems: tuple[Problem, ...]
    # File of rejects → the table to whose files it goes back.
    rejects: Mapping[Path, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would send from here."""

    conversations: int
    messages: int
    people_to_look_up: int
    people_to_create_at_most: int
    # For conversations and people, at most.
    requests: int
    # For the lists of the account, such as queues and agents, at each run.
    account_look_ups: int
    # At the account's limit, so at best.
    seconds: float
    already_there: int
    # Messages of tickets in Dixa that will not be sent.
    held_back: int
    # For a `verify` of everything afterwards, about.
    verify_requests: int
    # Aspect (Trait.aspect, or LOGINS) → in how many places it is lost.
    losses: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the user wants a run to stop: after so many tickets, failures, or seconds."""

    tickets: int | None = None
    errors: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class RunResult:
    """How a run went."""

    books: Books
    traffic: Traffic = field(default_factory=Traffic)
    seconds: float = 0.0
    # The keys of agents whom Dixa does not know: those whom the default agent replaces, and the others.
    replaced_agents: tuple[str, ...] = ()
    unknown_agents: tuple[str, ...] = ()
    # The file in which they can be mapped, where there are any.
    agents_file: Path | None = None
    # How many tickets `adopt` found in Dixa, and how many of them lack something.
    found: int = 0
    incomplete: int = 0
    # How many requests of an earlier run got their outcome now.
    settled: int = 0
    # Ticket and message id (or `ticket`) of what has other content than what was imported.
    changed: list[tuple[str, str]] = field(default_factory=list)
    # Ticket, and what of it is in Dixa twice.
    doubles: list[tuple[str, str]] = field(default_factory=list)
    # How many tickets had a step in doubt and could not be read back yet to look for duplicates.
    unread: int = 0
    # How many tickets in Dixa lack something, of this run and of earlier ones.
    partial: int = 0
    # Tickets that an earlier run began and that this export does not have.
    not_in_export: tuple[str, ...] = ()
    # What ended it early; else whether the user did, or the name of the limit that did.
    failure: RunError | None = None
    interrupted: bool = False
    limit: str = ""


@dataclass(frozen=True, slots=True)
class RunHooks:
    """What a run is given of its surroundings."""

    say: Say
    # Called with the result of each ticket.
    ended: Callable[[TicketResult], None]
    # Handed the gate through which a signal stops the run.
    on_pace: Callable[[Pace], None]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command has to say: in words, as JSON, and as an exit code."""

    lines: list[str]
    value: Mapping[str, object]
    exit_code: int
    # The failure of the run that the result already tells of.
    failure: RunError | None = None


# Runs the push to its end, for so many tickets, with hooks of its own.
Drive = Callable[[int, Callable[[RunHooks], Awaitable[RunResult]]], RunResult]


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a command that asks Dixa was called, and what it is given of the world."""

    command: str
    migration: Migration
    # The migration file as the user named it, and the flags that the next command needs too.
    path: Path
    flags: tuple[str, ...]
    authorization: str
    options: PushOptions
    now: Callable[[], datetime]
    say: Say
    drive: Drive


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tickets to verify. All of them, unless one of these is set."""

    # So many, drawn with this seed.
    sample: int | None = None
    seed: int = 0
    only: tuple[str, ...] = ()
    # Those of which the last run sent something.
    since_run: bool = False

    def as_json(self) -> list[Any]:
        return [self.sample, self.seed, list(self.only), self.since_run]


@dataclass(slots=True)
class Findings:
    """What `verify` found."""

    # How many tickets of the export are in Dixa, and how many of them were to be verified.
    in_dixa: int = 0
    chosen: int = 0
    # In the order in which they were read.
    verified: list[Verified] = field(default_factory=list)
    # How much this API cannot carry, by aspect (Trait).
    losses: Counter[str] = field(default_factory=Counter)
    # How many tickets of the export are not in Dixa; 0 if only some were asked for.
    absent: int = 0
    # How many parts people added in Dixa since the import.
    since: int = 0
    # With `--fix`: how many messages, notes and tickets' tags a run adds now, and how many of the missing
    # were sent last, so that Dixa's lists may only be behind.
    fixed: int = 0
    unproved: int = 0
    # The tickets that the checkpoint has and this export does not.
    not_in_export: tuple[str, ...] = ()

    @property
    def unread(self) -> int:
        return sum(bool(ticket.unread) for ticket in self.verified)

    def took(self, ticket: Verified) -> None:
        """Count a ticket that was read back, now or before this verification was interrupted."""
        self.verified.append(ticket)
        self.since += ticket.comparison.since
