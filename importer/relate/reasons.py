"""Why a row is not imported: the rules that the table schemas do not have, with their messages."""

from collections.abc import Mapping

# Rule → message.
RULES: Mapping[str, str] = {
    "ticket_id.foreignKey": "no row of tickets has this ticket_id",
    "message_id.foreignKey": "no row of messages has this message_id",
    "created_at.required": "neither the message nor its ticket has a time, and this API needs one; set "
    "defaults.created_at of the tickets",
    "requester.required": "neither the ticket nor an inbound message names a requester with an e-mail "
    "address or a phone number; set people.default_requester",
    "author_unknown": "its agent has no e-mail address, or Dixa does not know the agent; map the agent in "
    "NAME.agents.csv, or set people.default_agent",
    "message_rejected": "one of its messages is rejected, so the ticket is held back (--with-holes imports "
    "it without that message)",
    "attachment_rejected": "one of its attachments is rejected, so the ticket is held back (--with-holes "
    "imports it without that attachment)",
    "ticket_rejected": "its ticket is rejected",
    "ticket_filtered": "its ticket is filtered",
    "empty_message": "has no text and no attachment",
    "empty_ticket": "has no message (conversation.empty = 'import' imports it with its subject as text)",
    "message_filtered": "its message is filtered",
    "blank_row": "every cell is empty",
    "repeated_header": "repeats the header",
    "report_footer": "is a footer line that the export wrote after its last record",
    "older_version": "the export has a newer version of the same record",
    "opening_repeated": "is the ticket's opening text, which is among its messages too (source.opening)",
    "corrected": "a corrected row replaces it",
    "removed": "its cells were cleared in the rejects file, so it is skipped",
    "not_needed": "no imported record names this person",
}


# Nothing is wrong with rows that break these rules. They are imported once another row is corrected.
WAITING = frozenset({"message_rejected", "attachment_rejected", "ticket_rejected"})
