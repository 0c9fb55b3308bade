"""The architecture as docs/design.md draws it: imports point downward between folders, there is no circle, and
what must not reach the network, the terminal or polars does not reach it, however long the chain of imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import importer

ROOT = Path(importer.__file__).parent
# From the ground up. A folder may import what stands on lines above its own, and its own files. A file of the
# top folder counts as a folder, and so do the values that the reports and the pipeline share.
LAYERS = (
    ("errors", "model", "resources"),
    ("books", "private_files", "text", "parse", "attachments"),
    ("tables",),
    ("migration",),
    ("read",),
    ("discover", "validate"),
    ("relate",),
    ("plan", "dixa"),
    ("transport", "checkpoint"),
    ("push",),
    ("verify",),
    ("report.rejects",),
    ("pipeline.values",),
    ("report",),
    ("pipeline", "sandbox"),
    ("cli",),
    ("__main__",),
)
# What a folder or file must not reach, neither itself nor through what it imports.
OUTSIDE = {"click", "aiohttp", "tqdm"}
POLARS = {"polars", "pyarrow", "numpy"}
UNREACHED = {
    "dixa": OUTSIDE | POLARS | {"socket", "sqlite3", "subprocess", "asyncio"},
    "plan": OUTSIDE,
    "parse": OUTSIDE | {"sqlite3", "subprocess", "asyncio", "random"},
    "tables": OUTSIDE | {"sqlite3", "subprocess", "asyncio", "random"},
    "text": OUTSIDE | POLARS,
    "relate": OUTSIDE,
    "validate": OUTSIDE,
    "push": OUTSIDE | {"socket"},
    "verify": OUTSIDE | {"socket"},
    "report": OUTSIDE,
    "books": OUTSIDE | POLARS | {"os", "time", "random", "socket", "sqlite3", "subprocess"},
    "model": OUTSIDE | POLARS | {"os", "time", "random", "socket", "sqlite3", "subprocess"},
}
# What a file itself must not import: these decide and derive, and are handed time, randomness and answers.
PURE = (
    "verify",
    "parse",
    "tables",
    "validate",
    "relate",
    "dixa",
    "text",
    "plan",
    "books",
    "model",
    "discover",
)
WORLD = {"click", "aiohttp", "tqdm", "time", "random", "socket", "sqlite3", "subprocess"}
LONGEST_CHAIN = 14


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def _nodes(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that is made when the program runs: those for types alone are none."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            waiting += ast.iter_child_nodes(node)


@cache
def _imports(name: str) -> frozenset[str]:
    """Our own files by full name, others by their first name."""
    found: set[str] = set()
    for node in _nodes(ast.parse(FILES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        for target in targets:
            own = target
            while own and own not in FILES:
                own = own.rpartition(".")[0]
            found.add(own or target.partition(".")[0])
    return frozenset(found - {name, "importer"})


@cache
def _reached(name: str) -> frozenset[str]:
    """Everything that is imported on the way, ours and others."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        new = _imports(waiting.pop()) - seen
        seen |= new
        waiting += [other for other in new if other in FILES]
    return frozenset(seen)


def _folder(name: str) -> str:
    """The folder of a file, or the file itself where it has a line of its own among the layers."""
    own = name.removeprefix("importer.")
    return own if any(own in names for names in LAYERS) else own.split(".")[0]


def _layer(folder: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if folder in names)


def _files_of(folder: str) -> list[str]:
    return [name for name in FILES if f"{name}.".startswith(f"importer.{folder}.")]


@pytest.mark.parametrize("name", [name for name in FILES if "." in name])
def test_imports_point_downward(name: str) -> None:
    own = _folder(name)
    others = {_folder(other) for other in _imports(name) if other.startswith("importer.")} - {own}
    wrong = {other for other in others if _layer(other) >= _layer(own)}
    assert not wrong, f"{name} must not import {wrong}"


def test_no_import_closes_a_circle() -> None:
    assert not [name for name in FILES if name in _reached(name)]


def test_the_longest_chain_of_imports_can_be_followed() -> None:
    @cache
    def chain(name: str) -> tuple[str, ...]:
        longest = max((chain(other) for other in _imports(name) if other in FILES), key=len, default=())
        return (name, *longest)

    longest = max(map(chain, FILES), key=len)
    assert len(longest) <= LONGEST_CHAIN, " → ".join(longest)


def test_the_top_folder_holds_few_files() -> None:
    assert len([path for path in ROOT.glob("*.py") if not path.name.startswith("__")]) <= 8


@pytest.mark.parametrize("folder", UNREACHED)
def test_what_is_out_of_reach_is_not_reached(folder: str) -> None:
    for name in _files_of(folder):
        reached = {other.split(".")[0] for other in _reached(name)}
        assert not reached & UNREACHED[folder], name


@pytest.mark.parametrize("folder", PURE)
def test_pure_folders_are_handed_the_world(folder: str) -> None:
    for name in _files_of(folder):
        assert not {other.split(".")[0] for other in _imports(name)} & WORLD, name


def test_the_sandbox_knows_nothing_of_the_importer() -> None:
    known = set().union(*(_imports(name) for name in _files_of("sandbox")))
    ours = {name for name in known if name.startswith("importer.") and _folder(name) != "sandbox"}
    assert ours == {"importer.resources"}


@pytest.mark.parametrize("module", ["importer.dixa.v1", "importer.dixa.integrations"])
def test_a_protocol_loads_neither_polars_nor_pyarrow(module: str) -> None:
    """Asked of a process of its own, since this one has loaded everything."""
    program = f"import sys, {module}; sys.exit(bool({{'polars', 'pyarrow', 'pydantic'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_program_says_what_it_is_without_polars(argument: str) -> None:
    program = (
        f"import sys, atexit\nsys.argv[1:] = [{argument!r}]\n"
        "from importer.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    sys.exit(9 if 'polars' in sys.modules else end.code)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0


def test_every_folder_on_the_path_has_tests_of_its_own_name() -> None:
    tests = Path(__file__).parent
    rooms = ("read", "validate", "relate", "plan", "push", "report", "pipeline", "dixa", "transport",
             "checkpoint", "migration", "discover", "tables", "parse", "text", "cli", "sandbox")  # fmt: skip
    assert not [room for room in rooms if not list((tests / room).rglob("test_*.py"))]
