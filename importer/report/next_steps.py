"""What a report comes to, in sentences for people: the headline, how things stand, and how to go on.

It says in its own words what an exit code means to somebody who does not type commands.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from importer.model import State

# These send nothing: what is left after them is what a run would import.
DRY = frozenset({"validate", "plan", "run --dry-run"})
MIGRATION_FILE = "MIGRATION.toml"

_ENDINGS: Mapping[int, tuple[str, str]] = {
    0: ("good", "Done"),
    1: ("bad", "Something unexpected happened, so this report may lack something"),
    2: ("bad", "A setting has to be changed first"),
    3: ("warn", "Finished, but not everything got through"),
    4: ("bad", "Dixa does not accept the token"),
    5: ("warn", "Stopped by something temporary"),
    6: ("warn", "Some records need mending"),
    7: ("bad", "Stopped, and running it again will not help"),
    8: ("warn", "Stopped at a limit that was set"),
    10: ("warn", "Dixa and the export differ"),
    130: ("warn", "Interrupted; what was done is kept"),
}
# After these there is more to send, and the same command sends it.
_UNFINISHED = frozenset({5, 8, 130})
_BLOCKED = frozenset({1, 2, 4, 7})

# One ticket, several tickets.
_FATES: Mapping[State, tuple[str, str]] = {
    State.REJECTED: ("needs mending", "need mending"),
    State.FAILED: ("did not get through", "did not get through"),
    State.IN_DOUBT: ("is in doubt", "are in doubt"),
    State.LEFT: ("is still to go", "are still to go"),
    State.FILTERED: ("is left out", "are left out"),
}
_READY = ("is ready", "are ready")
_THERE = ("is in Dixa", "are in Dixa")
_THERE_ALREADY = ("is in Dixa already", "are in Dixa already")

MEANINGS: Mapping[State, str] = {
    State.IMPORTED: "in Dixa, brought there by this run",
    State.PARTIAL: "counted under imported too: in Dixa, with something missing that Dixa refused",
    State.ALREADY_THERE: "in Dixa before this run",
    State.FILTERED: "left out on purpose",
    State.REJECTED: "cannot go as it is; failed.csv says why",
    State.FAILED: "did not get through; the next run tries again",
    State.IN_DOUBT: "sent, but no answer tells whether Dixa took it; the next run asks",
    State.LEFT: "not tried yet",
}
DRY_MEANINGS: Mapping[State, str] = {
    **MEANINGS,
    State.REJECTED: "cannot go as it is; what is wrong stands below",
    State.LEFT: "ready to be imported",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """In few words how it ended. `tone` is good, warn or bad."""

    tone: str
    words: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do next, and the words of the command for it where there is one, as a shell takes them."""

    words: str
    command: tuple[str, ...] = ()


def standing(code: int | None, tickets: Mapping[str, int], *, dry: bool, balanced: bool) -> Standing | None:
    """None where the report does not say how it ended."""
    if not balanced:
        return Standing("bad", "The books do not balance")
    if code == 0 and not tickets["read"]:
        return Standing("warn", "Nothing to import")
    if code == 0 and dry:
        return Standing("good", "Ready")
    return Standing(*_ENDINGS[code]) if code is not None and code in _ENDINGS else None


def headline(tickets: Mapping[str, int], *, dry: bool) -> str:
    """`7 of 10 tickets are ready; 2 need mending, 1 is left out.`"""
    read = tickets["read"]
    if not read:
        return "No tickets were read."
    if dry and read == tickets[State.ALREADY_THERE]:
        return f"{_share(read, read, _THERE_ALREADY)}."
    done, words = (tickets[State.LEFT], _READY) if dry else (_in_dixa(tickets), _THERE)
    others = [(tickets[state], fate) for state, fate in _FATES.items() if not (dry and state is State.LEFT)]
    if dry:
        others.append((tickets[State.ALREADY_THERE], _THERE_ALREADY))
    others = [(count, fate) for count, fate in others if count]
    if read == 1 and not done and len(others) == 1:
        return f"The one ticket {others[0][1][0]}."
    rest = ", ".join(f"{count:,} {_one_or_many(count, fate)}" for count, fate in others)
    return f"{_share(done, read, words)}{_lacking(tickets)}{'; ' if rest else ''}{rest}."


def _in_dixa(tickets: Mapping[str, int]) -> int:
    return tickets[State.IMPORTED] + tickets[State.ALREADY_THERE]


def _lacking(tickets: Mapping[str, int]) -> str:
    partial = tickets[State.PARTIAL]
    return f" ({partial:,} of them with something missing)" if partial else ""


def _share(done: int, read: int, words: tuple[str, str]) -> str:
    if read == 1:
        return f"The one ticket {words[0] if done else words[0].replace('is', 'is not', 1)}"
    if not done:
        return f"None of the {read:,} tickets {words[0]}"
    return f"All {read:,} tickets {words[1]}" if done == read else _some(done, read, words)


def _some(done: int, read: int, words: tuple[str, str]) -> str:
    return f"{done:,} of {read:,} tickets {_one_or_many(done, words)}"


def _one_or_many(count: int, words: tuple[str, str]) -> str:
    return words[0] if count == 1 else words[1]


def steps(
    command: str, code: int | None, tickets: Mapping[str, int], *, rejected: bool, file: str = ""
) -> list[Step]:
    """How to go on, the first thing first. `rejected` says that any record of any kind has to be mended."""
    file = file or MIGRATION_FILE
    if command in DRY:
        return list(_after_checking(command, tickets, rejected=rejected, file=file))
    return list(_after_sending(code, tickets, rejected=rejected, file=file))


def _after_checking(command: str, tickets: Mapping[str, int], *, rejected: bool, file: str) -> Iterable[Step]:
    ready = tickets[State.LEFT]
    if rejected:
        yield Step("Mend the rejected rows where they come from, in the export or in the old helpdesk.")
        yield Step("Check again:", _line("validate", file))
    if not ready:
        if not rejected and tickets[State.ALREADY_THERE]:
            yield Step("Nothing is left to send.")
        elif not rejected:
            yield Step(
                "Look whether the migration file names the right export, then check again:",
                _line("validate", file),
            )
        return
    if rejected:
        yield Step(
            "Or go on with what is ready. Tickets mended later go with a later run, and nothing goes twice."
        )
    if command == "validate":
        yield Step("See what a run would send, how long it takes and what is lost:", _line("plan", file))
    yield Step(
        "Import a single ticket first and look at it in Dixa. Take one of your own, since Dixa does not say "
        "whether an import notifies customers.",
        _line("run", file, "--limit", "1"),
    )
    yield Step("Import the rest:", _line("run", file))


def _after_sending(
    code: int | None, tickets: Mapping[str, int], *, rejected: bool, file: str
) -> Iterable[Step]:
    blocked = code in _BLOCKED
    again = code in _UNFINISHED or any(tickets[s] for s in (State.FAILED, State.IN_DOUBT, State.LEFT))
    if blocked:
        yield Step("See first to the reason that the command gave.")
    if rejected:
        yield Step("Mend the rejected rows where they come from. failed.csv names the tickets.")
    if tickets[State.IN_DOUBT]:
        yield Step(
            "failed.csv says what is known of the tickets in doubt. The next run asks Dixa about them."
        )
    if blocked or rejected or again:
        yield Step("Run it again. It goes on where it stopped, and nothing goes twice:", _line("run", file))
    if tickets[State.PARTIAL]:
        yield Step(
            "success.csv says what tickets in Dixa lack. Send again what can be sent again:",
            _line("retry", file),
        )
    if not (blocked or rejected or again or tickets[State.PARTIAL]):
        yield Step("Nothing is left to do. From a later export, a run sends only what is new.")
    yield Step("See at any time how things stand:", _line("status", file))


def _line(command: str, file: str, *more: str) -> tuple[str, ...]:
    return tuple(shlex.quote(word) for word in ("dixa-import", command, file, *more))
