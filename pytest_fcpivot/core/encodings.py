"""Files that were saved in another encoding than UTF-8: what Windows programs call Unicode is UTF-16."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 4  # bytes that tell an encoding
# UTF-32 first: its mark begins as that of UTF-16 does.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def wide_encoding(head: bytes) -> str | None:
    """Name the encoding of a text that begins with these bytes, if it is one of two or four bytes a character.

    It is told by its mark, or by the zeros between ASCII characters, of which our files' first ones are.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    zeros = [byte == 0 for byte in head[:HEAD]]
    if zeros in ([False, True, False, True], [True, False, True, False]):
        return "UTF-16"
    return "UTF-32" if zeros in ([False, True, True, True], [True, True, True, False]) else None


def encoding_of_file(path: Path) -> str | None:
    """Name the encoding of a file, if it is one of two or four bytes a character and the file can be read."""
    try:
        with path.open("rb") as stream:
            return wide_encoding(stream.read(HEAD))
    except OSError:
        return None


def save_as_utf8(encoding: str) -> str:
    """Say what to do with a file of this encoding."""
    return f"this file is {encoding}; save it as UTF-8"
