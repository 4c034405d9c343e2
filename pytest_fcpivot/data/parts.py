"""Files that are written as hidden parts first, and appear in one step."""

from __future__ import annotations

import glob
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ABANDONED_S = 3600


def remove_abandoned(path: Path) -> None:
    """Remove what a process that was killed left of a file; one that is alive has written to it lately."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()
