"""Mark runs as made here, by a keyed hash (HMAC) of `run.json` with a key that only this user has.

The key is in the user's state directory, never in FC_CACHE_DIR, which several machines may share. Without a key, or
with one that others can read, runs get no mark; nothing else changes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "mark"  # the member of run.json, its last
_KEY_BYTES = 32
_NAME = "run-key"
_FOLDER = "pytest-fcpivot"
# A prefix for what is hashed, so that another use of the key can never produce a valid mark.
_ABOUT = b"pytest-fcpivot run.json 1\n"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Origin(Enum):
    """Where a run comes from according to its mark; the value is the explanation for messages."""

    HERE = "it was made here"
    UNMARKED = (
        "its run.json has no mark: version 0.1.0 wrote it, or it was written without a usable key, or it continues a "
        "run that was not made here"
    )
    UNCHECKED = "the mark in its run.json cannot be checked, because there is no usable key"
    OTHER = "the mark in its run.json is not yours: another user or machine made it, or the file was changed since"


@dataclass(frozen=True, slots=True)
class Key:
    """This user's key; `trouble` is the reason if `secret` is None."""

    secret: bytes | None
    trouble: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'…' if self.secret else self.trouble!r})"


def written(description: Mapping[str, Any], key: Key | None = None) -> bytes:
    """Return the content of `run.json` for a description, with a mark if there is a key."""
    plain = {name: value for name, value in description.items() if name != MARK}
    if key is not None and key.secret is not None:
        plain[MARK] = _mark(plain, key.secret)
    return _text(plain)


def origin(content: bytes, description: Mapping[str, Any], key: Key) -> Origin:
    """Return where a run comes from, by the bytes of its `run.json` and the description read from them.

    The bytes have to be exactly what `written` makes of the description. Otherwise a file with, for instance, a
    duplicate key could have a valid mark for one reading, and be read in another way.
    """
    mark = description.get(MARK)
    if mark is None:
        return Origin.UNMARKED
    if key.secret is None:
        return Origin.UNCHECKED
    if not isinstance(mark, str) or not mark.isascii():
        return Origin.OTHER
    try:
        plain = {name: value for name, value in description.items() if name != MARK}
        if content != _text({**plain, MARK: mark}):
            return Origin.OTHER
        right = hmac.compare_digest(_mark(plain, key.secret), mark)
    except (ValueError, TypeError, RecursionError):  # a value that cannot be written as JSON
        return Origin.OTHER
    return Origin.HERE if right else Origin.OTHER


def _mark(description: Mapping[str, Any], secret: bytes) -> str:
    return hmac.new(secret, _ABOUT + _text(description), hashlib.sha256).hexdigest()


def _text(description: Mapping[str, Any]) -> bytes:
    return json.dumps(description, indent=2).encode("ascii") + b"\n"


# -------------------------------------------------------------------- the key


def find_key(*, make: bool = False) -> Key:
    """Return this user's key; with `make`, create one if there is none. An existing file is never changed."""
    try:
        folder = _folder()
        if make:
            _make_folder(folder)
        with _Opened(folder) as directory:
            secret = directory.read()
            if secret is None and make:
                directory.write(secrets.token_bytes(_KEY_BYTES))
                secret = directory.read()
    except _NoKeyError as error:
        return Key(None, str(error))
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else str(folder)
        return Key(None, f"{where}: {error.strerror or error}")
    except ValueError as error:  # a name that no file can have
        return Key(None, str(error))
    return Key(secret) if secret is not None else Key(None, f"there is no {folder / _NAME}")


class _NoKeyError(Exception):
    """There is no usable key; the message is the reason."""


def _folder() -> Path:
    """Return the directory of the key; raises _NoKeyError if it cannot be determined, or is shared."""
    try:
        if sys.platform == "win32":
            named = os.environ.get("LOCALAPPDATA", "")
            base = Path(named) if Path(named).is_absolute() else Path("~/AppData/Local").expanduser()
        else:
            named = os.environ.get("XDG_STATE_HOME", "")  # its specification says to ignore it if it is relative
            base = Path(named) if Path(named).is_absolute() else Path("~/.local/state").expanduser()
    except RuntimeError as error:
        raise _NoKeyError("this user has no home directory; set XDG_STATE_HOME to a directory of theirs") from error
    if not base.is_absolute():  # a relative path would depend on the present directory, which may be somebody else's
        raise _NoKeyError(f"this user's home directory is not an absolute path: {base}")
    folder = base / _FOLDER
    cache = os.environ.get("FC_CACHE_DIR")
    if cache and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(cache)):
        raise _NoKeyError(f"{folder} is inside FC_CACHE_DIR, which machines may share")
    return folder


def _make_folder(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    if not missing:
        return
    above = missing[-1].parent
    if _has_modes() and os.geteuid() == 0 and above.stat().st_uid != 0:
        # root (as by sudo) would leave directories in a user's home that the user cannot write
        raise _NoKeyError(f"{above} belongs to another user")
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


class _Opened:
    """The key's directory, held open, so that nothing can be exchanged between a check and its use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _NAME
        self._fd: int | None = None

    def __enter__(self) -> Self:
        try:
            status = os.lstat(self._folder)
        except FileNotFoundError:
            raise _NoKeyError(f"there is no {self._path}") from None
        if not stat.S_ISDIR(status.st_mode):
            raise _NoKeyError(f"{self._folder} is a link, or not a directory")
        if os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY"):
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            status = os.fstat(self._fd)
        _check_owner(status, self._folder)
        if _has_modes() and status.st_mode & _OTHERS_WRITE:
            raise _NoKeyError(f"{self._folder} can be written by others: chmod 700 {self._folder}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def _at(self, name: str) -> str:
        return name if self._fd is not None else str(self._folder / name)

    def read(self) -> bytes | None:
        """Return the key; None if there is no file. Raises _NoKeyError for one that must not be used, and OSError."""
        try:
            status = os.stat(self._at(_NAME), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise _NoKeyError(f"{self._path} is a link or no plain file")
        flags = os.O_RDONLY
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
            flags |= getattr(os, name, 0)
        stream = os.open(self._at(_NAME), flags, dir_fd=self._fd)
        try:
            status = os.fstat(stream)
            if not stat.S_ISREG(status.st_mode):
                raise _NoKeyError(f"{self._path} is a link or no plain file")
            _check_owner(status, self._path)
            if _has_modes() and status.st_mode & _OTHERS:
                raise _NoKeyError(f"{self._path} can be read by others: make a new one (delete it)")
            secret = os.read(stream, _KEY_BYTES + 1)
        finally:
            os.close(stream)
        if len(secret) != _KEY_BYTES:
            raise _NoKeyError(f"{self._path} does not have {_KEY_BYTES} bytes: delete it, and a new one is made")
        return secret

    def write(self, secret: bytes) -> None:
        """Write the key file atomically, unless another process was first; raises OSError."""
        partial = f".{_NAME}.{secrets.token_hex(8)}"
        try:
            self._create(partial, secret)
            try:
                os.link(self._at(partial), self._at(_NAME), src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except FileExistsError:
                return
            except OSError:  # a file system without hard links
                with suppress(FileExistsError):
                    self._create(_NAME, secret)
        finally:
            with suppress(OSError):
                os.unlink(self._at(partial), dir_fd=self._fd)

    def _create(self, name: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        stream = os.open(self._at(name), flags, 0o600, dir_fd=self._fd)
        try:
            os.write(stream, content)  # so few bytes are written completely or not at all
            os.fsync(stream)
        except BaseException:
            with suppress(OSError):
                os.unlink(self._at(name), dir_fd=self._fd)
            raise
        finally:
            os.close(stream)


def _has_modes() -> bool:
    return os.name == "posix"


def _check_owner(status: os.stat_result, path: Path) -> None:
    if _has_modes() and status.st_uid != os.geteuid():
        raise _NoKeyError(f"{path} belongs to another user")
