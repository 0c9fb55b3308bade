"""A conversation without the files that Dixa cannot fetch. Pure.

Dixa refuses a whole ticket for one dead link (docs.dixa.io lists "attachment could not be downloaded" under
the causes of 400, also for imports), so the file is left out and the ticket is sent again.
"""

import html
from dataclasses import replace

from importer.model import Attachment, Conversation, Message, Step

LINK, LEAVE, REJECT = "link", "leave", "reject"
_WORD = "attachment"


def unfetchable(
    job: Conversation, step: Step, reason: str, *, every: bool = False
) -> dict[str, list[Attachment]]:
    """The files for which Dixa refused a step, by message id: those that its error names, else all that the
    step carries, and with `every` all in any case. Empty if the error is about something else."""
    keys = {carried.key for carried in step.carries}
    files = {
        m.message_id: list(m.attachments) for m in job.messages if m.message_id in keys and m.attachments
    }
    named = {key: [file for file in own if file.url in reason] for key, own in files.items()}
    named = {key: own for key, own in named.items() if own}
    if not named and _WORD not in reason.lower():
        return {}
    return files if every or not named else named


def without(job: Conversation, files: dict[str, list[Attachment]], how: str) -> Conversation:
    """The conversation without these files (by message id). With `link`, the message names each file and its
    address."""
    messages = (
        _without(message, files[message.message_id], how) if message.message_id in files else message
        for message in job.messages
    )
    return replace(job, messages=tuple(messages))


def _without(message: Message, files: list[Attachment], how: str) -> Message:
    kept = tuple(file for file in message.attachments if file not in files)
    if how != LINK:
        return replace(message, attachments=kept)
    lines = [f"{file.name}: {file.url}" if file.name else file.url for file in files]
    shown = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return replace(
        message,
        attachments=kept,
        text="\n\n".join(part for part in (message.text, "\n".join(lines)) if part),
        html=message.html + shown if message.html is not None else None,
    )
