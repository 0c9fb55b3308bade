"""What of the missing is proved to be absent, so that it can be sent again. Pure.

A list may be behind. It cannot be behind in what was sent before something that it shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from importer.dixa.content import MESSAGE, NOTE
from importer.model import StepKind, StepRecord
from importer.verify.compare import Difference, Mark


@dataclass(frozen=True, slots=True)
class Missing:
    """A message, a note, or the tags of a ticket that Dixa does not show."""

    ticket_id: str
    # `message` also for notes, as the checkpoint has them; or `tags`.
    kind: StepKind
    # As in Step.
    key: str
    # When it was sent (Unix time).
    sent_at: float


@dataclass(slots=True)
class Absence:
    """All that is missing, and when the newest thing was sent that Dixa shows."""

    missing: list[Missing] = field(default_factory=list)
    shown_at: float = 0.0

    def took(self, ticket_id: str, differences: Sequence[Difference], records: Iterable[StepRecord]) -> None:
        """A ticket whose conversation was read back. `records` are what the checkpoint has of it."""
        gone = [d for d in differences if d.mark is Mark.MISSING]
        parts = {d.where for d in gone if d.what in (MESSAGE, NOTE) and not d.column}
        has_tags = not any(d.column == "tag" for d in gone)
        for record in records:
            if not record.done or record.kind not in (StepKind.MESSAGE, StepKind.TAGS):
                continue
            is_shown = has_tags if record.kind is StepKind.TAGS else record.key not in parts
            if is_shown:
                self.shown_at = max(self.shown_at, record.at)
            else:
                self.missing.append(Missing(ticket_id, record.kind, record.key, record.at))

    def proved(self) -> list[Missing]:
        """Those that were sent before something that Dixa shows."""
        return [one for one in self.missing if one.sent_at < self.shown_at]
