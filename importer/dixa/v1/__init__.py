"""Dixa API v1, without I/O.

protocol: what to send; answers: what a response means; reading: what was created, if no response said so;
people: how people are looked up and created; account: what the account must have.
"""

from importer.dixa.v1.account import HAS_EXTERNAL_IDS, NEEDS_TIMES, ORGANIZATION, needs, target
from importer.dixa.v1.answers import judge, next_page
from importer.dixa.v1.content import conversation_of, held, sent_content, tags_of
from importer.dixa.v1.people import AGENTS, create_people, create_person, find_person, person_in
from importer.dixa.v1.protocol import TRAITS
from importer.dixa.v1.reading import (
    additions_of,
    conversations_of,
    could_be_conversation,
    could_be_ticket,
    duplicates,
    is_changed_since,
    lacking,
    likeness,
    match,
    messages_of,
    recognise,
    setting,
)

__all__ = [
    "AGENTS",
    "HAS_EXTERNAL_IDS",
    "NEEDS_TIMES",
    "ORGANIZATION",
    "TRAITS",
    "additions_of",
    "conversation_of",
    "conversations_of",
    "could_be_conversation",
    "could_be_ticket",
    "create_people",
    "create_person",
    "duplicates",
    "find_person",
    "held",
    "is_changed_since",
    "judge",
    "lacking",
    "likeness",
    "match",
    "messages_of",
    "needs",
    "next_page",
    "person_in",
    "recognise",
    "sent_content",
    "setting",
    "tags_of",
    "target",
]
