"""What to do next: one table from situation to words and command. Terminal, `status`, `--json` and
report.html all read it.

It asks only what report.json holds, so that a report found later says the same as the terminal did.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from importer.books import KINDS
from importer.errors import ExitCode
from importer.model import State

# These send nothing. What is `left` after them is what a run would import.
DRY = frozenset({"validate", "plan", "run --dry-run"})
MIGRATION_FILE = "MIGRATION.toml"


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something to do next, and the command for it where there is one."""

    words: str
    command: tuple[str, ...] = ()

    @property
    def quoted(self) -> tuple[str, ...]:
        """The command's words as a shell takes them."""
        return tuple(map(shlex.quote, self.command))

    @property
    def line(self) -> str:
        """The command as a shell takes it."""
        return " ".join(self.quoted)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the table looks at."""

    command: str
    # The migration file as the user named it, and flags that the next command needs too.
    file: str
    flags: tuple[str, ...]
    exit_code: int | None
    # Tickets by state, and how many records of any kind are rejected.
    tickets: Mapping[str, int]
    rejected: int
    # File of rejects → the table to whose files it goes back.
    rejects: Mapping[str, str]
    # Keys of the migration file that still have what `init` wrote there.
    placeholders: tuple[str, ...]
    # How many times have no zone, where none is set.
    zoneless: int
    # The file in which agents whom Dixa does not know are to be mapped, where there are any.
    agents_file: str
    is_running: bool
    # How many tickets are to be read back for duplicates.
    unread: int = 0
    # What `verify` counted, and the kinds of differences that it found.
    verified: Mapping[str, int] = field(default_factory=dict)
    differences: frozenset[str] = frozenset()

    def has(self, *words: str) -> bool:
        """Whether a kind of difference begins with one of these words."""
        real = (kind for kind in self.differences if not kind.endswith(("(mark-up only)", "not shown")))
        return any(kind.startswith(words) for kind in real)

    @property
    def is_dry(self) -> bool:
        return self.command in DRY

    @property
    def ready(self) -> int:
        """How many tickets are good and not yet imported."""
        return self.tickets.get(State.LEFT, 0)

    @property
    def in_dixa(self) -> int:
        """How many tickets are in Dixa, of this run and of earlier ones."""
        return self.tickets.get(State.IMPORTED, 0) + self.tickets.get(State.ALREADY_THERE, 0)

    @property
    def is_done(self) -> bool:
        """Whether a run ended of itself, and neither a further run nor a retry would send anything."""
        return (
            not (self.is_running or self.rejected or self.unfinished or self.unread)
            and not self.tickets.get(State.PARTIAL, 0)
            and self.exit_code not in _STOPPED
        )

    @property
    def unfinished(self) -> int:
        """How many tickets a further run would send."""
        return sum(self.tickets.get(state, 0) for state in (State.FAILED, State.IN_DOUBT, State.LEFT))


def facts_of(report: Mapping[str, Any]) -> Facts:
    """The facts of a report (report.json). What is missing or of another type counts as nothing."""
    ledgers = {kind: _mapping(report.get(kind)) for kind in KINDS}
    code = report.get("exit_code")
    return Facts(
        command=str(report.get("command") or ""),
        file=str(report.get("migration_file") or MIGRATION_FILE),
        flags=tuple(map(str, _list(report.get("flags")))),
        exit_code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        tickets={state: _count(ledgers["tickets"].get(state)) for state in ("read", *State)},
        rejected=sum(_count(ledger.get(State.REJECTED)) for ledger in ledgers.values()),
        rejects={str(path): str(table) for path, table in _mapping(report.get("rejects")).items()},
        placeholders=tuple(map(str, _list(report.get("placeholders")))),
        zoneless=_count(report.get("zoneless")),
        agents_file=str(report.get("agents_file") or ""),
        is_running=bool(report.get("running")),
        unread=_count(report.get("unread")),
        verified={str(k): _count(v) for k, v in _mapping(report.get("verified")).items()},
        differences=frozenset(map(str, _mapping(report.get("differences")))),
    )


def next_steps(facts: Facts) -> list[NextStep]:
    """What to do next, the first thing first."""
    table = _AFTER_CHECKING if facts.is_dry else _AFTER_SENDING
    if facts.command == "verify":
        table = _AFTER_VERIFYING
    return [situation.step(facts) for situation in table if situation.applies(facts)]


@dataclass(frozen=True, slots=True)
class _Situation:
    """One line of the table."""

    applies: Callable[[Facts], bool]
    words: Callable[[Facts], str]
    # The command's name and options; the migration file comes after the name.
    command: tuple[str, ...] = ()

    def step(self, facts: Facts) -> NextStep:
        if not self.command:
            return NextStep(self.words(facts))
        name, *options = self.command
        flags = facts.flags if name in ("plan", "run", "retry", "adopt", "verify") else ()
        return NextStep(self.words(facts), ("dixa-import", name, facts.file, *flags, *options))


def _said(words: str) -> Callable[[Facts], str]:
    return lambda _: words


def _correct(facts: Facts) -> str:
    """Where rejected rows are corrected, and how they come back."""
    if not facts.rejects:
        return "Correct the rejected records in the export."
    files = ", ".join(facts.rejects)
    tables = " and ".join(f"source.{table}.files" for table in dict.fromkeys(facts.rejects.values()))
    it = "them" if len(facts.rejects) > 1 else "it"
    return f"Correct the rejected rows in {files}, and add {it} to {tables} in {facts.file}."


# After these a run has more to do, whatever the counts say.
_STOPPED = frozenset(ExitCode) - {ExitCode.OK, ExitCode.INCOMPLETE}

_AFTER_CHECKING: tuple[_Situation, ...] = (
    _Situation(
        lambda f: f.zoneless > 0,
        lambda f: (
            f"Set source.timezone in {f.file}, for example to Europe/Copenhagen. Times without a time zone: "
            f"{f.zoneless:,}. The rows need no correction."
        ),
    ),
    _Situation(lambda f: f.rejected > 0 and not f.zoneless, _correct),
    _Situation(
        lambda f: f.rejected > 0 or f.zoneless > 0,
        _said("Check again:"),
        ("validate",),
    ),
    _Situation(
        lambda f: not f.ready and not f.rejected and f.tickets.get(State.ALREADY_THERE, 0) > 0,
        _said("Nothing is left to send. A later export sends only what is new."),
    ),
    _Situation(
        lambda f: not f.ready and not f.rejected and not f.tickets.get(State.ALREADY_THERE, 0),
        _said("No ticket is ready. Check whether the migration file names the right export:"),
        ("validate",),
    ),
    _Situation(
        lambda f: f.ready > 0 and f.rejected > 0,
        _said(
            "Or go on with what is ready. Tickets that are corrected later go with a later run, and "
            "nothing is sent twice."
        ),
    ),
    _Situation(
        lambda f: f.ready > 0 and bool(f.placeholders),
        lambda f: f"Replace these placeholders in {f.file} before you run: {', '.join(f.placeholders)}.",
    ),
    _Situation(
        lambda f: f.ready > 0 and f.command == "validate",
        _said("See what a run would send, how long it takes and what will be lost:"),
        ("plan",),
    ),
    _Situation(
        lambda f: f.ready > 0,
        lambda f: (
            "Import one ticket of your own first and look at it in Dixa, since Dixa does not document "
            "whether an import notifies customers. Choose it with "
            f'only.ticket_id = ["ID"] under [source.tickets] in {f.file}:'
        ),
        ("run", "--limit", "1"),
    ),
    _Situation(lambda f: f.ready > 0, _said("Import everything:"), ("run",)),
)

_AFTER_VERIFYING: tuple[_Situation, ...] = (
    _Situation(
        lambda f: f.exit_code in _STOPPED and f.exit_code != ExitCode.DIFFERENT,
        _said("Verify again. It goes on with the tickets that were not read or that differ:"),
        ("verify",),
    ),
    _Situation(
        lambda f: f.verified.get("unread", 0) > 0 and f.exit_code not in _STOPPED,
        _said("Some tickets could not be read. Verify again:"),
        ("verify",),
    ),
    _Situation(
        lambda f: f.verified.get("to_be_added", 0) > 0,
        lambda f: (
            f"{f.verified['to_be_added']:,} messages, notes and tags that are missing are no longer in the "
            "checkpoint. A run adds them where the API can:"
        ),
        ("run",),
    ),
    _Situation(
        lambda f: (
            not f.verified.get("to_be_added")
            and not f.verified.get("unproved")
            and f.has("message missing", "note missing", "conversation tag")
        ),
        _said("Messages, notes and tags are missing. Let the next run add what the API can add:"),
        ("verify", "--fix"),
    ),
    _Situation(
        lambda f: f.verified.get("unproved", 0) > 0,
        lambda f: (
            f"{f.verified['unproved']:,} of the missing were sent last, and Dixa shows nothing that was sent "
            "later. Its lists may be behind, so these stay in the checkpoint. Verify again later:"
        ),
        ("verify", "--fix"),
    ),
    _Situation(
        lambda f: f.has("conversation missing"),
        _said(
            "Conversations are gone from Dixa. If nobody removed them on purpose, ask Dixa. The program does "
            "not import them again by itself."
        ),
    ),
    _Situation(
        lambda f: f.has("conversation twice", "message twice", "note twice"),
        _said("Some things are in Dixa twice. Neither API can delete: anonymise the second one in Dixa."),
    ),
    _Situation(
        lambda f: f.has("person"),
        _said("People were merged, removed or are there twice. Correct that in Dixa, or leave it so."),
    ),
    _Situation(
        lambda f: f.has(
            "message text", "message author", "message created_at", "message order", "message att"
        ),
        _said("Messages differ, and Dixa cannot change a message. verify.csv names them: decide for each."),
    ),
    _Situation(
        lambda f: f.has(
            "conversation state", "conversation queue", "conversation assignee", "conversation s"
        ),
        _said(
            "Conversations have another state, queue, assignee or subject than was sent. If people work in "
            "Dixa already, that is what they did since."
        ),
    ),
    _Situation(
        lambda f: f.verified.get("not_in_dixa", 0) > 0,
        _said("Tickets of the export are not in Dixa. Send them, or see failed.csv for why not:"),
        ("run",),
    ),
    _Situation(
        lambda f: f.exit_code == ExitCode.OK,
        _said(
            "Dixa holds what was sent. Keep the checkpoint for a later export, and a proof if you need one:"
        ),
        ("verify", "--proof", "proof.json"),
    ),
)

_AFTER_SENDING: tuple[_Situation, ...] = (
    _Situation(
        lambda f: f.exit_code == ExitCode.UNEXPECTED,
        _said(
            "Read the error above. What was sent up to then is in the checkpoint, so running again is safe."
        ),
    ),
    _Situation(
        lambda f: f.exit_code == ExitCode.CONFIGURATION,
        _said("Change what the error above names first."),
    ),
    _Situation(
        lambda f: f.exit_code == ExitCode.UNAUTHORIZED,
        _said("Check the token first (DIXA_API_TOKEN, --token-file or --token-command)."),
    ),
    _Situation(
        lambda f: f.exit_code == ExitCode.FATAL,
        _said("Read the error above first: running again without a change will not help."),
    ),
    _Situation(
        lambda f: f.rejected > 0 and bool(f.rejects),
        lambda f: f"{_correct(f)} failed.csv names all tickets that were not imported, and why.",
    ),
    _Situation(
        lambda f: f.rejected > 0 and not f.rejects,
        _said(
            "failed.csv names the rejected tickets, and why. Correct them in the export. A run sends them "
            "again once their content has changed."
        ),
    ),
    _Situation(
        lambda f: bool(f.agents_file),
        lambda f: (
            f"Map the agents in {f.agents_file} (column `agent`) before you go on: imported tickets cannot "
            "be re-assigned."
        ),
    ),
    _Situation(
        lambda f: f.tickets.get(State.IN_DOUBT, 0) > 0,
        _said(
            "failed.csv says what is known of the tickets in doubt. The next run asks Dixa about them. What "
            "`adopt` left in doubt, only `adopt` asks about again."
        ),
    ),
    _Situation(
        lambda f: f.command == "adopt" and f.exit_code in _STOPPED,
        _said("Go on with `adopt`, to its end. Until then, a run stops before it sends anything:"),
        ("adopt",),
    ),
    _Situation(
        lambda f: (
            not f.is_running
            and f.exit_code != ExitCode.FATAL
            and not (f.command == "adopt" and f.exit_code in _STOPPED)
            and (f.rejected + f.unfinished + f.unread > 0 or f.exit_code in _STOPPED)
        ),
        _said("Run again. It continues where it stopped, and nothing is sent twice:"),
        ("run",),
    ),
    _Situation(
        lambda f: not f.is_running and f.tickets.get(State.PARTIAL, 0) > 0,
        _said("success.csv says what tickets in Dixa lack. Send again what can be sent again:"),
        ("retry",),
    ),
    _Situation(
        lambda f: f.is_done and f.in_dixa > 0,
        _said(
            "Nothing is left to send; a later export sends only what is new. Read Dixa back and compare it "
            "with the export:"
        ),
        ("verify",),
    ),
    _Situation(
        lambda f: f.is_done and not f.in_dixa,
        _said("No ticket is in Dixa. Check whether the migration file names the right export:"),
        ("validate",),
    ),
    _Situation(
        lambda f: f.command != "status",
        _said("See at any time what has been imported:"),
        ("status",),
    ),
)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
