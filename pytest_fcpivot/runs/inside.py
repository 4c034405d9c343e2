"""Open the files inside a run directory safely: it may contain only plain files and the folder `calls`.

A run may come from anybody. A link in its directory could make us read, append to or delete a file elsewhere, and a
pipe or a device could block us, so everything that opens a run refuses such entries. Only the directory itself may be a
link.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from pathlib import Path

CALLS = "calls"
_FILE, _FOLDER, _LINK = "a file", "a directory", "a link"
_SPECIAL = "not a plain file (a pipe, a socket or a device)"
_KINDS = {"run.json": _FILE, "results.jsonl": _FILE, "summary.json": _FILE, CALLS: _FOLDER}
_NO_WAY_OUT = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def check(run: Path) -> None:
    """Refuse a run directory with a link or a special file in it or in `calls`; an absent directory is accepted.

    Raises RunError, which names the entry.
    """
    for directory in (run, run / CALLS):
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    what = _what(entry)
                    wanted = _KINDS.get(entry.name, what)
                    if what in (_LINK, _SPECIAL):
                        raise _refused(directory / entry.name, what)
                    if what != wanted:
                        no = f"not a plain file ({what})" if wanted == _FILE else "not a directory"
                        raise _refused(directory / entry.name, no)
        except (FileNotFoundError, NotADirectoryError):
            return  # the caller reports it, if it needs the directory
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise RunError(f"{directory}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _what(entry: os.DirEntry[str]) -> str:
    # A junction is Windows's link to a directory; Python recognises it since 3.12.
    if entry.is_symlink() or getattr(entry, "is_junction", bool)():
        return _LINK
    if entry.is_file(follow_symlinks=False):
        return _FILE
    return _FOLDER if entry.is_dir(follow_symlinks=False) else _SPECIAL


def _refused(path: Path, what: str) -> RunError:
    where = path.with_name(one_line(path.name, 80) or "?")
    return RunError(
        f"{where}: is {what}, but a run consists of plain files, and what leads out of its directory is neither read "
        "nor changed; if you trust the run, replace this by the file itself, or remove it"
    )


def open_plain(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a plain file without following a link; raises RunError for any other kind of file, and OSError."""
    try:
        stream = os.open(path, flags | _NO_WAY_OUT, 0o644)
    except OSError:
        if path.is_symlink():  # the message of ELOOP would not be understood
            raise _refused(path, _LINK) from None
        raise
    if not stat.S_ISREG(os.fstat(stream).st_mode):
        os.close(stream)
        raise _refused(path, "not a plain file")
    return stream


def open_to_append(path: Path) -> int:
    """Open a plain file of a run for appending, and create it if it is absent.

    Raises RunError as `open_plain` does, and for a file with hard links, which would change too; OSError.
    """
    stream = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    if os.fstat(stream).st_nlink > 1:
        os.close(stream)
        raise RunError(
            f"{path}: this file has another name too (a hard link), and appending here would change that one too; copy "
            "the run's directory, and resume the copy"
        )
    return stream


def replace(path: Path, content: bytes) -> None:
    """Write a file atomically: other processes see either the old content or the new; raises OSError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    stream = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_WAY_OUT, 0o644)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(stream, view) :]
        finally:
            os.close(stream)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def remove_files(directory: Path, endings: tuple[str, ...]) -> None:
    """Remove the files in a directory whose names have one of the endings; raises OSError, also if it is a link."""
    if os.unlink not in os.supports_dir_fd or os.listdir not in os.supports_fd:
        for path in directory.iterdir():
            if path.name.endswith(endings):
                path.unlink()
        return
    # By its descriptor, so that nobody can exchange the directory for a link between the check and the removal.
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for name in os.listdir(opened):  # noqa: PTH208 (a descriptor, not a path)
            if name.endswith(endings):
                os.unlink(name, dir_fd=opened)
    finally:
        os.close(opened)


def create(path: Path, content: bytes) -> None:
    """Write a new file; does nothing if there is one already; raises OSError."""
    with suppress(FileExistsError):
        stream = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_WAY_OUT, 0o644)
        with os.fdopen(stream, "wb") as file:
            file.write(content)
