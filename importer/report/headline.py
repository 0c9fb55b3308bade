"""How a command ended, in a sentence: for the top of report.html.

Exit codes are put in words for somebody who does not type commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from importer.errors import ExitCode
from importer.model import State

_STANDINGS: Mapping[ExitCode, tuple[str, str]] = {
    ExitCode.OK: ("good", "Done"),
    ExitCode.UNEXPECTED: ("bad", "Something unexpected happened, so this report may be incomplete"),
    ExitCode.CONFIGURATION: ("bad", "A setting has to be changed first"),
    ExitCode.INCOMPLETE: ("warn", "Finished, but not everything was imported"),
    ExitCode.UNAUTHORIZED: ("bad", "Dixa does not accept the token"),
    ExitCode.TEMPORARY: ("warn", "Stopped by something temporary"),
    ExitCode.INVALID: ("warn", "Some records need correction"),
    ExitCode.FATAL: ("bad", "Stopped, and running it again will not help"),
    ExitCode.LIMIT: ("warn", "Stopped at a limit that was set"),
    ExitCode.DIFFERENT: ("warn", "Dixa and the export differ"),
    ExitCode.INTERRUPTED: ("warn", "Interrupted; what was done is kept"),
}

# One ticket, several tickets.
_FATES: Mapping[State, tuple[str, str]] = {
    State.REJECTED: ("is rejected", "are rejected"),
    State.FAILED: ("could not be sent", "could not be sent"),
    State.IN_DOUBT: ("is in doubt", "are in doubt"),
    State.LEFT: ("is not yet sent", "are not yet sent"),
    State.FILTERED: ("is skipped", "are skipped"),
}
_READY = ("is ready", "are ready")
_THERE = ("is in Dixa", "are in Dixa")
_THERE_ALREADY = ("is in Dixa already", "are in Dixa already")

MEANINGS: Mapping[State, str] = {
    State.IMPORTED: "in Dixa, imported by this run",
    State.PARTIAL: "part of imported: in Dixa, without something that Dixa refused",
    State.ALREADY_THERE: "in Dixa before this run",
    State.FILTERED: "skipped on purpose",
    State.REJECTED: "cannot be imported as it is; failed.csv says why",
    State.FAILED: "could not be sent; the next run tries again",
    State.IN_DOUBT: "sent, without an answer that says whether Dixa created it; the next run asks",
    State.LEFT: "not tried yet",
}
DRY_MEANINGS: Mapping[State, str] = {
    **MEANINGS,
    State.REJECTED: "cannot be imported as it is; the reasons are below",
    State.LEFT: "ready to be imported",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """In few words how it ended. `tone` is good, warn or bad."""

    tone: str
    words: str


def standing(code: int | None, tickets: Mapping[str, int], *, dry: bool, balanced: bool) -> Standing | None:
    """None where the report does not say how it ended."""
    if not balanced:
        return Standing("bad", "Not all records are accounted for")
    if code == 0 and not tickets["read"]:
        return Standing("warn", "Nothing to import")
    if code == 0 and dry:
        return Standing("good", "Ready")
    return Standing(*_STANDINGS[ExitCode(code)]) if code in set(ExitCode) else None


def headline(tickets: Mapping[str, int], *, dry: bool) -> str:
    """`7 of 10 tickets are ready; 2 are rejected, 1 is skipped.`"""
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
    if partial and tickets["read"] == 1:
        return " (incomplete)"
    return f" ({partial:,} of them incomplete)" if partial else ""


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
