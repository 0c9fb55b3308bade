"""The house stays as it is drawn: imports point downward, pure modules stay pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import importer

ROOT = Path(importer.__file__).parent
# From the ground up; a package may import only what stands on lines above its own, and its own files.
LAYERS = (
    ("errors", "model", "resources", "cells"),
    ("care",),
    ("instants",),
    ("text", "schema", "pace", "times", "hosts"),
    ("presets", "marks"),
    ("config",),
    ("read",),
    ("sift", "meanings", "agents"),
    ("aliases",),
    ("recognise",),
    ("draft",),
    ("validate",),
    ("openings", "authors"),
    ("joined",),
    ("relate",),
    ("plan", "damage"),
    ("dixa",),
    ("exchange", "checkpoint"),
    ("people", "settle"),
    ("outstanding",),
    ("push", "account"),
    ("report",),
    ("dry_run",),
    ("pipeline", "sandbox"),
    ("cli",),
    ("__main__",),
)
PURE = (
    "model",
    "cells",
    "care",
    "instants",
    "schema",
    "validate",
    "times",
    "marks",
    "recognise",
    "meanings",
    "aliases",
    "damage",
    "openings",
    "authors",
    "joined",
    "relate",
    "plan",
    "outstanding",
    "push",
    "settle",
    "dixa/api",
    "dixa/endings",
    "dixa/integrations",
    *(f"dixa/v1/{part}" for part in ("account", "answers", "marks", "people", "protocol", "reading")),
    "report/books",
)
IMPURE = {"click", "aiohttp", "tqdm", "os", "time", "random", "socket", "sqlite3", "subprocess"}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "importer":
            yield from (f"importer.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def _modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    others = {name.split(".")[1] for name in _imports(path) if name.startswith("importer.")}
    wrong = {name for name in others - {own, "__version__"} if _layer(name) >= _layer(own)}
    assert not wrong, f"{own} must not import {wrong}"


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_know_no_world(name: str) -> None:
    used = {module.split(".")[0] for module in _imports(ROOT / f"{name}.py")}
    assert not used & IMPURE


def test_the_sandbox_knows_nothing_of_the_importer() -> None:
    known = {name for path in (ROOT / "sandbox").glob("*.py") for name in _imports(path)}
    ours = {
        name for name in known if name.startswith("importer.") and not name.startswith("importer.sandbox")
    }
    assert ours == {"importer.resources"}
