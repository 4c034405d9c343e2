"""Detection of files saved as UTF-16 or UTF-32 instead of UTF-8; many Windows programs call UTF-16 "Unicode"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 4  # the number of bytes at the start of a file from which its encoding can be recognised
# UTF-32 first: its little-endian byte order mark begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def wide_encoding(head: bytes) -> str | None:
    """Return "UTF-16" or "UTF-32" if a file that begins with these bytes is in that encoding; None for any other.

    The encoding is recognised by its byte order mark, or by the zero bytes beside ASCII characters: the files that are
    read here begin with ASCII.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    zeros = [byte == 0 for byte in head[:HEAD]]
    if zeros in ([False, True, False, True], [True, False, True, False]):
        return "UTF-16"
    return "UTF-32" if zeros in ([False, True, True, True], [True, True, True, False]) else None


def encoding_of_file(path: Path) -> str | None:
    """Return "UTF-16" or "UTF-32" if the file is in that encoding; None for any other, or if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return wide_encoding(stream.read(HEAD))
    except OSError:
        return None


def save_as_utf8(encoding: str) -> str:
    """Return the advice for a file in this encoding, for use in an error message."""
    return f"this file is {encoding}; save it as UTF-8"
