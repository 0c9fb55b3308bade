"""Why a row does not go, beside the rules of its schema: what each reason says."""

from collections.abc import Mapping

# Rules that relations add to the schemas' own, with what each says.
RULES: Mapping[str, str] = {
    "ticket_id.foreignKey": "no row of tickets has this ticket_id",
    "message_id.foreignKey": "no row of messages has this message_id",
    "created_at.required": "neither the message nor its ticket has a time, and this API needs one; "
    "defaults.created_at of the tickets would stand in",
    "requester.required": "neither the ticket nor an inbound message names a requester with an e-mail or "
    "phone; people.default_requester would stand in",
    "author_unknown": "an agent without an e-mail, or whom Dixa does not know; people.default_agent would "
    "stand in, or an agent whom NAME.agents.csv names",
    "message_rejected": "one of its messages is rejected, so the ticket is held back whole (--with-holes "
    "imports it all the same)",
    "attachment_rejected": "one of its attachments is rejected, so the ticket is held back whole",
    "ticket_rejected": "its ticket is rejected",
    "ticket_filtered": "its ticket is filtered",
    "empty_message": "has no text and no attachment",
    "empty_ticket": "has no message (conversation.empty = 'import' imports it from its subject)",
    "message_filtered": "its message is filtered",
    "blank_row": "every cell is empty",
    "repeated_header": "is the header once more",
    "report_footer": "is a line of the report that wrote the file, behind its last record",
    "older_version": "a newer version of the same record is there",
    "opening_repeated": "the ticket's opening text, which stands among its messages too (source.opening)",
    "mended": "a mended row stands for it",
    "removed": "was emptied among the rejects, so it is left out",
    "not_needed": "nothing that is imported names this person",
}


# Rows that are whole in themselves and wait for another one: they need no mending.
WAITING = frozenset({"message_rejected", "attachment_rejected", "ticket_rejected"})
