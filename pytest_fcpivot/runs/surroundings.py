"""What a run depends on beside its options."""

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
    """Describe what a run depends on beside its options: versions, platform, and the commit of the user's code."""
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
    """Return the commit of a checkout and whether it was changed since; None outside of one, or without git."""
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return None
    # A project that was copied may bring settings of git's that run a program.
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
