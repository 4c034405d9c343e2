"""The directory for cached files, all of which can be made again: prepared data and the judge's verdicts."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pytest_fcpivot.core.errors import DataError


def cache_dir() -> Path:
    """Return a writable directory: FC_CACHE_DIR if set, else one in the user's cache directory, else a temporary one.

    Raises DataError if none of them can be written; with FC_CACHE_DIR set, no other directory is tried.
    """
    named = os.environ.get("FC_CACHE_DIR")
    if named:
        candidates = [Path(named)]
    else:
        default = Path(os.environ.get("LOCALAPPDATA", "~")) if sys.platform == "win32" else Path("~/.cache")
        home = Path(os.environ.get("XDG_CACHE_HOME") or default).expanduser()
        candidates = [home / "pytest-fcpivot", Path(tempfile.gettempdir()) / f"pytest-fcpivot-{os.getpid()}"]
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(candidate, os.W_OK):
            return candidate
    raise DataError(f"no writable cache directory (tried {', '.join(map(str, candidates))}); set FC_CACHE_DIR to one")
