"""Parts of the trainers' own code, taken from their installed packages without importing these.

Importing verl or TRL needs torch, ray and more. The functions that call a reward function need nearly nothing of it, so
they are compiled alone, with stand-ins for what they do with tensors.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def package(name: str) -> Path:
    """Return the folder of an installed trainer; skips the test without it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is not installed: pip install --no-deps {name}")
    return Path(spec.origin).parent


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def members(path: Path, name: str) -> list[ast.stmt]:
    """Return the statements of a class in a file."""
    found = next(node for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef) and node.name == name)
    return found.body


def taken(path: Path, *names: str, inside: str | None = None, **known: Any) -> dict[str, Any]:
    """Return functions or classes of a file by name, compiled alone; `known` are the names that they refer to.

    `inside` is the class that the functions are methods of. Decorators are left out: none concerns a reward.
    """
    body = _tree(path).body if inside is None else members(path, inside)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    chosen = [node for node in body if isinstance(node, kinds) and node.name in names]
    assert {node.name for node in chosen} == set(names)
    future = ast.parse("from __future__ import annotations").body
    for node in chosen:
        node.decorator_list = []
    space = dict(known)
    exec(compile(ast.Module([*future, *chosen], []), str(path), "exec"), space)  # noqa: S102 (the trainer's own code)
    return space


def parameters(path: Path, inside: str) -> set[str]:
    """Return the names of the parameters of a class's constructor."""
    init = next(node for node in members(path, inside) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return {argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)}


def settings(path: Path, inside: str) -> set[str]:
    """Return the names of the fields of a dataclass."""
    return {
        node.target.id
        for node in members(path, inside)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def options(path: Path) -> set[str]:
    """Return the dotted names of all options in a configuration that is written as nested YAML mappings."""
    return set(_options(path.read_text(encoding="utf-8")))


def _options(text: str) -> Iterator[str]:
    above: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( *)'?([A-Za-z_]\w*)'?:", text, flags=re.MULTILINE):
        above = [(width, key) for width, key in above if width < len(indent)]
        above.append((len(indent), name))
        yield ".".join(key for _, key in above)
