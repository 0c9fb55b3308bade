"""Each preset recognises its look-alike export, and the plan is the expected one."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from importer.cli.init import migration_lines
from importer.discover.recognise import recognise
from importer.migration import presets
from importer.pipeline.values import Prepared
from importer.read.find import find
from importer.read.look import look
from importer.resources import SAMPLES
from importer.tables.schema import load

EXPECTED = Path(__file__).parent / "presets"


def initialised(folder: Path, into: Path, **said: Any) -> Path:
    """The migration file that `init` writes for the export in a folder."""
    found = recognise([look(path) for path in find([str(folder)], Path())], presets.everything())
    assert found.preset is not None, "not recognised"
    assert not found.strangers
    path = into / f"{found.preset}.toml"
    path.write_text(
        "\n".join(migration_lines(found, path, said.get("timezone"), said.get("region"))), "utf-8"
    )
    return path


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_reads_its_export(name: str, prepare, tmp_path: Path) -> None:
    expected = tomllib.loads((EXPECTED / f"{name}.toml").read_text("utf-8"))
    path = initialised(SAMPLES / "presets" / name, tmp_path, **expected)
    assert path.stem == name
    overrides = {
        f"people__{key}": expected.get(key, "") or None for key in ("default_requester", "default_agent")
    }
    ready = prepare(path, **overrides)
    assert ready.books.balanced, ready.books.imbalances
    books = {
        kind: {
            "read": ledger.read,
            "good": ledger.places["left"],
            "filtered": ledger.places["filtered"],
            "rejected": ledger.places["rejected"],
        }
        for kind, ledger in ready.books.ledgers.items()
    }
    for kind, numbers in expected["books"].items():
        shown = {key: books[kind][key] for key in numbers}
        assert shown == numbers, f"{kind}\n{fates(ready, kind)}"
    jobs = {job.ticket_id: job for job in ready.parts.jobs()}
    for wanted in expected["ticket"]:
        job = jobs[wanted["ticket_id"]]
        found = {
            "subject": job.subject,
            "requester": job.requester.email or job.requester.phone or job.requester.name,
            "status": job.status,
            "tags": list(job.tags),
            "created_at": job.created_at and job.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        keys = set(found) & set(wanted)
        assert {key: found[key] for key in keys} == {key: wanted[key] for key in keys}
        messages = [
            [
                m.direction,
                m.author.email or m.author_name,
                m.text,
                m.created_at and m.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            ]
            for m in job.messages
        ]
        assert len(messages) == len(wanted["messages"]), messages
        for has, should in zip(messages, wanted["messages"], strict=True):
            assert [has[0], has[2][: len(should[2])], has[3]] == [should[0], should[2], should[3]]
            assert should[1] in (has[1], job.messages[messages.index(has)].author_name)
    # A dry run keeps less of each message, but counts the same.
    assert said(prepare(path, jobs=False, **overrides)) == said(ready)


def said(ready: Prepared) -> dict[str, Any]:
    related = ready.related
    return {
        "books": {kind: ledger.as_dict() for kind, ledger in ready.books.ledgers.items()},
        "fates": {
            name: sorted(map(repr, frame.select("_file", "_record", "state", "rule").collect().rows()))
            for name, frame in related.fates.items()
        },
        "contacts": related.contacts.collect().rows(),
        "authors": sorted(map(repr, related.authors.drop("signature").collect().rows())),
        "numbers": (related.openings, related.unsaid, related.default_agents, related.default_requesters),
    }


def fates(ready, kind: str) -> Any:
    return ready.related.fates[kind].collect().rows() if kind in ready.related.fates else ""


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_maps_only_columns_that_exist(name: str) -> None:
    preset = presets.load(name)
    for table in ("tickets", "messages", "people", "attachments"):
        known = set(load(table).columns)
        for part in preset.parts(table):
            assert part.headers or part.read
            for section in ("columns", "values", "defaults", "lookups", "extract", "times"):
                names = {n for n in getattr(part, section) if not n.startswith("custom.")}
                assert names <= known, f"{table}.{section}"
            assert {lookup.source for lookup in part.lookups.values()} <= set(preset.lookups)
    json.dumps(preset.model_dump(mode="json"))
