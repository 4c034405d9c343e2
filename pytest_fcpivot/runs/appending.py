"""Append lines to a file, each completely or not at all."""

from __future__ import annotations

import os
from contextlib import suppress


def append(stream: int, line: bytes) -> None:
    """Append a line, with its newline, to a file that no other process writes; after OSError, nothing of it is left.

    A disk that fills up may take only a part of the line, and the next line would be appended to that part.
    """
    written = 0
    try:
        while written < len(line):
            written += os.write(stream, line[written:])
    except BaseException:
        with suppress(OSError):
            os.ftruncate(stream, os.fstat(stream).st_size - written)
        raise
