"""Values of unknown exports are understood in the languages that helpdesks are translated into."""

import tomllib

import pytest

from importer.discover.vocabulary import UNKNOWN, meaning_of, vocabulary
from importer.resources import SCHEMAS
from importer.tables.schema import load


@pytest.mark.parametrize(
    ("column", "value", "meant"),
    [
        ("status", "Åben", "open"),
        ("status", "Offen", "open"),
        ("status", "in  Bearbeitung", "open"),
        ("status", "Afventer kunde", "pending"),
        ("status", "En attente", "pending"),
        ("status", "CERRADO", "closed"),
        ("status", "Eskaliert an Lager", None),
        ("channel", "E-Mail", "email"),
        ("channel", "Twitter", None),
        ("author_role", "Kunde", "end_user"),
        ("author_role", "Staff", "agent"),
        ("role", "end-user", "end_user"),
        ("direction", "Eingehend", "inbound"),
        ("direction", "true", "inbound"),
        ("direction", "Nej", "outbound"),
        ("public", "Ja", "true"),
        ("public", "Interne Notiz", "false"),
        ("public", "Blau", None),
        ("status", "Ej löst", "open"),
        ("status", "Nicht offen", None),
        ("status", "Wartet auf Kunde", "pending"),
        ("status", "En attente du client", "pending"),
        ("status", "Closed - Resolved", "closed"),
        ("status", "Closed, but open", None),
        ("author_role", "true", "agent"),
        ("author_role", "Customer Service", None),
        ("author_role", "Support Agent", "agent"),
        ("status", "Ja", "closed"),
        ("truth", "Faux", "false"),
        ("truth", "vielleicht", None),
        ("public", "não", "false"),
    ],
)
def test_the_meaning_of_a_value(column: str, value: str, meant: str | None) -> None:
    assert meaning_of(column, value) == meant


def test_an_inverted_column_inverts_its_values() -> None:
    assert vocabulary("public", ["Ja", "nein", "JA", "?"], inverted=True) == {
        "Ja": "false",
        "nein": "true",
        "?": None,
    }
    assert meaning_of("direction", "1", inverted=True) == "outbound"


def test_every_meaning_is_a_canonical_value_of_its_column() -> None:
    words = tomllib.loads((SCHEMAS / "words.toml").read_text("utf-8"))
    assert set(words) == {*UNKNOWN, "truth", "hints", "negations"}
    for table in ("tickets", "messages", "people"):
        for field in load(table).fields:
            if field.name in UNKNOWN and "enum" in field.constraints:
                meant = {*words[field.name], UNKNOWN[field.name]} - {""}
                assert meant <= set(field.constraints["enum"]), field.name
