"""[source] of the migration file: the files of the export, and how they are read."""

from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator

from importer.migration.presets import (
    LookupFile,
    OneOrMore,
    Opening,
    Part,
    Preset,
    Section,
    TableMapping,
    over,
)
from importer.migration.zones import known_zone

_ENCODING = "The encoding of CSV files, such as cp1252. Detected by default."
_DELIMITER = "The delimiter of CSV files: one character, but not a quote. Detected by default."


class Table(TableMapping):
    """Files, and how they become one of the canonical tables."""

    files: OneOrMore = Field(
        default=(),
        description="Paths, glob patterns or folders, relative to the folder of the migration file: CSV, "
        "CSV.gz, CSV.zst, Parquet. All files together are one table. Without files of tickets, the tickets "
        "are taken from the rows of the messages.",
    )
    encoding: str | None = Field(None, description=_ENCODING)
    delimiter: str | None = Field(None, pattern=r'^[^"\r\n]$', description=_DELIMITER)


class LookupTable(LookupFile):
    """Files in which values of other files are looked up."""

    files: OneOrMore = Field(default=(), description="Paths, glob patterns or folders.")
    encoding: str | None = Field(None, description=_ENCODING)
    delimiter: str | None = Field(None, description=_DELIMITER)


class Source(Section):
    """Where the export is and how it is read."""

    preset: str | None = Field(
        None,
        description="The name of a known export (dixa-import presets lists them), or the path of your own "
        "preset.",
    )
    timezone: str | None = Field(
        None,
        description="The IANA time zone of times that name none, such as Europe/Copenhagen. Without it such "
        "times are rejected.",
    )
    region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="The country of phone numbers without a country code, such as DK.",
    )
    opening: Opening = Field(
        "always",
        description="When an opening text in a ticket's row becomes a message. always; unless_messages: only "
        "if the ticket has no messages; unless_repeated: only if the ticket's first public message is not "
        "the same.",
    )
    tickets: Table = Field(default=Table(), description="The files of tickets, and how they are read.")
    messages: Table | None = Field(None, description="The files of messages and private notes.")
    people: Table | None = Field(
        None, description="The files of customers and agents, if other tables name people by id."
    )
    attachments: Table | None = Field(
        None, description="The files of attachments, if they are not in a column of the messages."
    )
    lookups: Mapping[str, LookupTable] = Field(
        default_factory=dict, description="Files in which values of other files are looked up, by name."
    )

    _preset: Preset | None = None

    def table(self, name: str) -> Table | None:
        """The keys of a canonical table; None where the migration file has none."""
        value: Table | None = getattr(self, name)
        return value

    def parts(self, name: str) -> tuple[Part, ...]:
        """The kinds of files that may become this table: the preset's, changed by the migration file. The
        last one has no headers, so that it takes files that the preset does not know and whose columns the
        migration file names."""
        own = self.table(name) or Table()
        parts = self._preset.parts(name) if self._preset else ()
        if parts:
            return (*(over(part, own) for part in parts), over(Part(), own))
        if name == "tickets" and not self.tickets.files:
            part = Part(read="messages", gather=True)
        elif own.each is not None:
            part = Part(read="messages" if name == "attachments" else "tickets")
        else:
            part = Part()
        return (over(part, own),)

    def lookup(self, name: str) -> LookupTable | None:
        """A lookup of the migration file, completed by the preset's; None where the migration file does not
        name it."""
        own = self.lookups.get(name)
        known = self._preset.lookups.get(name) if self._preset else None
        if own is None or known is None:
            return own
        return own.model_copy(
            update={key: getattr(known, key) for key in ("only", "skip") if key not in own.model_fields_set}
        )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return None if name is None else known_zone(name)

    @model_validator(mode="after")
    def _has_files(self) -> "Source":
        if not self.tickets.files and (self.messages is None or not self.messages.files):
            raise ValueError("name at least one file: source.tickets.files or source.messages.files")
        return self
