"""Cleans up after files that are written under a hidden name first and then renamed, so that they appear at once."""

from __future__ import annotations

import glob
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ABANDONED_S = 3600


def remove_abandoned(path: Path) -> None:
    """Remove unfinished parts of a file that killed processes left: those not written to for an hour."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()
