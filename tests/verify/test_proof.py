"""The proof, checked by the program in docs/proof.md, which needs nothing of ours."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from importer.dixa.content import MESSAGE, Content, ContentPart
from importer.verify.proof import canonical, digest_of, path, root, sealed, shown

DOCS = Path(__file__).parents[2] / "docs" / "proof.md"
FACTS = {"migration": "acme", "counts": {"read": 9}, "books": None}


def tickets(count: int) -> list[dict[str, str]]:
    return [{"ticket_id": f"T{n:07}", "dixa_id": str(n), "sha256": f"{n:064x}"} for n in range(count)]


@pytest.fixture(scope="module")
def checker(tmp_path_factory) -> Path:
    [code] = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 60
    file = tmp_path_factory.mktemp("checker") / "check_proof.py"
    file.write_text(code, "utf-8")
    return Path(file)


def intact(checker: Path, file: Path, *more: str) -> bool:
    done = subprocess.run([sys.executable, checker, file, *more], capture_output=True, check=False)
    assert done.returncode in (0, 1)
    assert not done.stderr
    return done.returncode == 0


def load(checker: Path):
    scope: dict[str, object] = {"__name__": "checker"}
    exec(compile(checker.read_text("utf-8"), "checker", "exec"), scope)
    return scope["check"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13])
def test_the_checker_accepts_a_proof(checker: Path, tmp_path: Path, count: int) -> None:
    file = tmp_path / "proof.json"
    file.write_bytes(sealed(FACTS, tickets(count)))
    assert intact(checker, file)
    assert not intact(checker, file, "0" * 64)


def test_every_changed_byte_is_found(checker: Path) -> None:
    check = load(checker)
    data = sealed(FACTS, tickets(7))
    assert check(data) is None
    chance = random.Random(1)
    for _ in range(200):
        place = chance.randrange(len(data))
        other = chance.choice([byte for byte in range(256) if byte != data[place]])
        changed = data[:place] + bytes([other]) + data[place + 1 :]
        try:
            problem = check(changed)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        assert problem, changed


def test_one_ticket_is_proved_alone(checker: Path, tmp_path: Path) -> None:
    proof = json.loads(sealed(FACTS, tickets(1000)))
    file = tmp_path / "one.json"
    for n in (0, 1, 511, 998, 999):
        alone = canonical(shown(proof, f"T{n:07}")) + b"\n"
        assert len(alone) < 2000
        file.write_bytes(alone)
        assert intact(checker, file, proof["root"])
    file.write_bytes(alone.replace(b'"dixa_id":"999"', b'"dixa_id":"998"'))
    assert not intact(checker, file)
    assert shown(proof, "nobody") is None


def test_the_path_stays_small_for_a_million_tickets() -> None:
    leaves = [n.to_bytes(32, "big") for n in range(1_000_000)]
    found = path(leaves, 999_999)
    assert len(json.dumps(found)) < 1800
    assert root(leaves[:1]) == leaves[0]


def test_the_digest_changes_with_all_that_dixa_shows() -> None:
    part = ContentPart(MESSAGE, "m1", "text", "author", "inbound", 1.0, ("a.pdf",), "id")
    content = Content({"state": "Open", "tags": frozenset("ab"), "created_at": 5.25}, [part])
    others = [
        Content({**content.columns, "state": "Closed"}, [part]),
        Content({**content.columns, "tags": frozenset("a")}, [part]),
        Content(content.columns, []),
        Content(
            content.columns, [ContentPart(MESSAGE, "m1", "Text", "author", "inbound", 1.0, ("a.pdf",), "id")]
        ),
        Content(
            content.columns,
            [ContentPart(MESSAGE, "m1", "text", "author", "inbound", 1.001, ("a.pdf",), "id")],
        ),
        Content(content.columns, [part], is_anonymous=True),
    ]
    assert len({digest_of("1", one) for one in [content, *others]} | {digest_of("2", content)}) == 8
