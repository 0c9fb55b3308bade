"""Dixa API v1, without I/O: what to send (protocol), what an answer means (answers), what is there already
(reading), who is who (people), and what the account must have (account)."""

from importer.dixa.v1.account import needs, organization, target
from importer.dixa.v1.answers import judge, next_page
from importer.dixa.v1.identity import instant
from importer.dixa.v1.people import agents, contacts_of, create_people, create_person, find_person, person_in
from importer.dixa.v1.protocol import HAS_EXTERNAL_IDS, NEEDS_TIMES, TRAITS, DixaV1, Settings
from importer.dixa.v1.reading import (
    contents_of,
    conversations_of,
    could_be_conversation,
    found,
    is_conversation,
    is_set,
    listed,
    mark,
    missing,
    setting_of,
)

__all__ = [
    "HAS_EXTERNAL_IDS",
    "NEEDS_TIMES",
    "TRAITS",
    "DixaV1",
    "Settings",
    "agents",
    "contacts_of",
    "contents_of",
    "conversations_of",
    "could_be_conversation",
    "create_people",
    "create_person",
    "find_person",
    "found",
    "instant",
    "is_conversation",
    "is_set",
    "judge",
    "listed",
    "mark",
    "missing",
    "needs",
    "next_page",
    "organization",
    "person_in",
    "setting_of",
    "target",
]
