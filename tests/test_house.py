"""The direction of imports: each folder knows those below it alone, and no two files know each other."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pytest_fcpivot

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(pytest_fcpivot.__file__).parent
# From the bottom up; what stands in one line does not know each other.
LAYERS = (
    ("core",),
    ("stats", "schema", "calls"),
    ("data",),
    ("agents",),
    ("graders",),
    ("options",),
    ("runs",),
    ("integrations",),
    ("audit",),
    ("report",),
    ("session",),
    ("distributed",),
    ("serve",),
    ("plugin", "cli"),
)
# The public names and the hooks for users stand beside the layers.
BESIDE = frozenset(("", "hookspecs"))
MAY_IMPORT_PYTEST = frozenset(("plugin", "hookspecs", "session", "distributed", "report.terminal", "report.junit"))
MAY_IMPORT_XDIST = frozenset(("distributed",))


def modules() -> dict[str, Path]:
    """Return the package's files by the names of their modules, without the package's own."""
    found = {}
    for path in HOUSE.rglob("*.py"):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imported_by(module: str) -> list[str]:
    """Return the full names of what a module imports, be it in a function or for type checkers alone."""
    names = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def ours(module: str) -> Iterator[str]:
    """Yield the modules of the package that a module imports."""
    for name in imported_by(module):
        package, _, rest = name.partition(".")
        if package == pytest_fcpivot.__name__:
            yield rest if rest in MODULES else rest.rpartition(".")[0]


def folder(module: str) -> str:
    """Return the folder that a module is in, or its own name at the top."""
    return module.partition(".")[0]


def layer(module: str) -> int:
    """Return how far up a module stands; fails for one that stands nowhere."""
    return next(height for height, names in enumerate(LAYERS) if folder(module) in names)


def test_no_circle() -> None:
    """No file leads back to itself through what it imports."""
    graph = {module: {name for name in ours(module) if name != module} for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_direction() -> None:
    """A file imports from its own folder and from those below it."""
    upwards = [
        f"{module} imports {name}"
        for module in MODULES.keys() - BESIDE
        for name in set(ours(module)) - BESIDE
        if folder(name) != folder(module) and layer(name) >= layer(module)
    ]
    assert upwards == []


@pytest.mark.parametrize(
    ("package", "allowed"),
    [("pytest", MAY_IMPORT_PYTEST), ("_pytest", frozenset()), ("xdist", MAY_IMPORT_XDIST), ("execnet", frozenset())],
)
def test_who_knows_pytest(package: str, allowed: frozenset[str]) -> None:
    """What speaks to pytest, or to pytest-xdist, does so in its own place."""
    importers = {module for module in MODULES if package in map(folder, imported_by(module))}
    assert {module for module in importers if module not in allowed and folder(module) not in allowed} == set()
