"""Lines that are added to a file, each whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress


def append(stream: int, line: bytes) -> None:
    """Add a line, with its end, to a file that this process alone writes; raises OSError, with nothing of it left.

    A disk that runs full may take a part of it, after which the next line would stand in the midst of this one.
    """
    written = 0
    try:
        while written < len(line):
            written += os.write(stream, line[written:])
    except BaseException:
        with suppress(OSError):
            os.ftruncate(stream, os.fstat(stream).st_size - written)
        raise
