"""The books: every record that was read is in exactly one place, and the sums are checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from importer.model import State

KINDS = ("tickets", "messages", "attachments", "people")
# `partial` is part of `imported`, so it is not counted a second time.
PLACES = tuple(state for state in State if state is not State.PARTIAL)


@dataclass(slots=True)
class Ledger:
    """One kind of record: how many were read, and how many are in which state."""

    read: int = 0
    places: Counter[State] = field(default_factory=Counter)

    def add(self, counts: Mapping[State, int]) -> None:
        for state, count in counts.items():
            self.places[State.IMPORTED if state is State.PARTIAL else state] += count
            if state is State.PARTIAL:
                self.places[State.PARTIAL] += count

    @property
    def accounted(self) -> int:
        return sum(self.places[state] for state in PLACES)

    @property
    def balanced(self) -> bool:
        return self.read == self.accounted and all(count >= 0 for count in self.places.values())

    def as_dict(self) -> dict[str, int]:
        return {"read": self.read, **{state.value: self.places[state] for state in State}}


@dataclass(slots=True)
class Books:
    """One ledger for each kind of record."""

    ledgers: dict[str, Ledger] = field(default_factory=lambda: {kind: Ledger() for kind in KINDS})

    def __getitem__(self, kind: str) -> Ledger:
        return self.ledgers[kind]

    @property
    def balanced(self) -> bool:
        return all(ledger.balanced for ledger in self.ledgers.values())

    @property
    def clean(self) -> bool:
        """Whether nothing is rejected, failed or in doubt."""
        bad = (State.REJECTED, State.FAILED, State.IN_DOUBT)
        return not any(ledger.places[state] for ledger in self.ledgers.values() for state in bad)

    @property
    def imbalances(self) -> list[str]:
        return [
            f"{kind}: {ledger.read} read, {ledger.accounted} accounted for"
            for kind, ledger in self.ledgers.items()
            if not ledger.balanced
        ]
