"""Describe the environment of a run for run.json."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGES = ("pytest-fcpivot", "pytest", "pytest-xdist", "pyarrow", "jsonschema", "tenacity", "openai")
_GIT_PATIENCE_S = 5


def surroundings(directory: Path) -> dict[str, Any]:
    """Return the versions of packages, the platform, and the git commit of the user's code, as run.json has them."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "packages": packages,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git": _git_commit(directory),
    }


def _git_commit(directory: Path) -> dict[str, Any] | None:
    """Return a checkout's commit, and whether tracked files were changed since; None outside of one, or without git."""
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return None
    # A copied project may have git settings that run a program, such as this one.
    settings = ["-c", "core.fsmonitor=false"]
    command = ["git", *settings, "-C", str(directory), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(  # noqa: S603 (a fixed command)
            command,
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE_S,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    commit = next((line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")), None)
    return {"commit": commit, "changed": any(not line.startswith("#") for line in lines)}
