"""A run on disk: `run.json` says what was asked of whom, `results.jsonl` holds one line a test, as it ends.

One process writes. Each line is handed to the system at once, so a process that is killed loses nothing it reported;
calls that ended but whose tests had not come yet are kept beside them, in `calls/`.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs import inside
from pytest_fcpivot.runs.appending import append
from pytest_fcpivot.runs.described import RUN_FILE, read_description
from pytest_fcpivot.runs.ending import UNTRUSTED
from pytest_fcpivot.runs.reader import LONGEST, Damage, DamagedLineError, result_line, results_in
from pytest_fcpivot.runs.trust import written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fcpivot.runs.trust import Key

RUNS = ".fcpivot"
_RESULTS = "results.jsonl"
_OF_CALLS = (".jsonl", "crashes.json", ".tmp")  # the ends of the names in `calls`
_TAIL = 1 << 16
_ENDED_WELL = (0, 1)  # pytest's exit statuses of a session that came to its end


class RunDirectory:
    """The directory of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / _RESULTS
        self.calls = path / inside.CALLS
        self.repaired = 0  # bytes of a torn last line that were cut off
        self._stream: int | None = None

    # ---------------------------------------------------------------- finding and opening

    @classmethod
    def new_path(cls, base: Path) -> Path:
        """Return a path for a new run under `base`: names sort by time."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        return base / RUNS / f"{stamp}-{secrets.token_hex(3)}"

    @classmethod
    def latest(cls, base: Path) -> Path:
        """Return the run under `base` that began last and is no replay; raises RunError if there is none."""
        found: list[tuple[str, str, Path]] = []
        unread: list[tuple[float, RunError]] = []
        for file in (base / RUNS).glob(f"*/{RUN_FILE}"):
            try:
                description = read_description(file.parent)
            except RunError as error:
                unread.append((_written(file), error))
                continue
            if not description.get("replays"):
                found.append((str(description.get("started")), file.parent.name, file.parent))
        path = max(found)[2] if found else None
        last = max(unread, key=lambda each: each[0], default=None)
        if last is not None and (path is None or last[0] > _written(path / RUN_FILE)):
            raise RunError(f"no run to resume: the last one cannot be read; name one, as in --fc-resume=DIR\n{last[1]}")
        if path is None:
            raise RunError(f"no run to resume: there is none under {base / RUNS}; name one, as in --fc-resume=DIR")
        return path

    @classmethod
    def begin(cls, path: Path, description: Mapping[str, Any], key: Key | None = None) -> RunDirectory:
        """Make the directory of a new run, marked by `key`.

        Raises RunError if it holds a run already, or a link, or cannot be written.
        """
        run = cls(path)
        inside.check(path)
        if (path / RUN_FILE).exists() or run.results.exists():
            raise RunError(
                f"--fc-run={path}: this directory already holds a run; pass --fc-resume={path} to go on with it, "
                "or name another"
            )
        if run._has_calls():
            raise RunError(
                f"--fc-run={path}: there is something in {run.calls.name} of this directory, where a run keeps answers "
                "for a time, and removes them; name another directory"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            if path.parent.name == RUNS:
                _ignore_in_git(path.parent)
            run.write_description(description, key)
            run._open()
        except OSError as error:
            raise RunError(f"{path}: the run cannot be recorded there: {error.strerror or error}") from error
        return run

    @classmethod
    def resume(cls, path: Path) -> RunDirectory:
        """Open a run to go on with it, mending a last line that was cut short; raises RunError if it cannot be."""
        run = cls(path)
        run.description()  # it must be one of ours
        try:
            run._open()
        except OSError as error:
            raise RunError(f"{path}: the run cannot be resumed: {error.strerror or error}") from error
        run._repair()
        return run

    def _open(self) -> None:
        self._stream = inside.open_to_append(self.results)
        try:
            import fcntl  # noqa: PLC0415 (not on every system)
        except ImportError:
            return
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise RunError(f"{self.path}: another session is writing this run; wait for it, or end it") from None
        except OSError:
            pass  # a file system without locks

    def _repair(self) -> None:
        assert self._stream is not None  # noqa: S101 (just opened)
        size = os.fstat(self._stream).st_size
        end = size
        while end:
            start = max(0, end - _TAIL)
            os.lseek(self._stream, start, os.SEEK_SET)
            tail = os.read(self._stream, end - start)
            newline = tail.rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end == size:
            return
        if self._is_whole(end, size):
            os.write(self._stream, b"\n")
            return
        os.ftruncate(self._stream, end)
        self.repaired = size - end

    def _is_whole(self, start: int, end: int) -> bool:
        """Return whether nothing is missing of the last line but its end."""
        assert self._stream is not None  # noqa: S101 (just opened)
        if end - start > LONGEST:
            return False
        os.lseek(self._stream, start, os.SEEK_SET)
        try:
            result_line(os.read(self._stream, end - start))
        except DamagedLineError:
            return False
        return True

    # ---------------------------------------------------------------- writing

    def append(self, line: str) -> None:
        """Append one line and hand it to the system; raises OSError, with nothing of the line left, if that fails."""
        if self._stream is None:
            return
        append(self._stream, line.encode("ascii", "backslashreplace") + b"\n")

    def write_description(self, description: Mapping[str, Any], key: Key | None = None) -> None:
        """Write `run.json`, in one step, marked by `key` as made here; raises OSError."""
        inside.replace(self.path / RUN_FILE, written(description, key))

    def judged(self) -> Counter[str]:
        """Count the messages in the run's results by who scored them."""
        by_test: dict[str, str | None] = {}
        for _, line in results_in(self.results):
            if not isinstance(line, Damage):
                by_test[line.test] = None if line.judge is None else line.judge.by
        return Counter(by for by in by_test.values() if by is not None)

    def description(self) -> dict[str, Any]:
        """Read `run.json`; raises RunError if it is missing, broken or of another version."""
        return read_description(self.path)

    def _has_calls(self) -> bool:
        try:
            return any(self.calls.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise RunError(f"{self.calls}: cannot be read: {error.strerror or error}") from error

    def forget_calls(self) -> None:
        """Remove the answers that waited for their tests: all have come. What is not of a run is left."""
        with suppress(OSError, RunError):
            inside.check(self.path)  # links may have come in meanwhile
            inside.remove_files(self.calls, _OF_CALLS)
            self.calls.rmdir()

    def discard_if_empty(self) -> bool:
        """Remove a run without results."""
        if self.results.stat().st_size:
            return False
        self.close()
        self.forget_calls()
        for name in (_RESULTS, RUN_FILE):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()
        return True

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            os.close(self._stream)
        self._stream = None


def judge_of_run(description: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return who scored a run's messages, to be compared: why there was no judge makes no difference."""
    judge: dict[str, Any] | None = description.get("judge")
    return judge if judge is None or judge.get("model") else {"model": None}


def ended_early(description: Mapping[str, Any]) -> str | None:
    """Say how a run's last session ended, if it did not come to its end: by what it counted, and its exit status."""
    sessions = description.get("sessions")
    last = sessions[-1] if sessions else {}
    if last.get("ended") is None:
        return "its last session did not end: killed, or still running"
    status = last.get("exit_status")
    if status == UNTRUSTED:
        return f"its last session lost tests, or outcomes in it were changed (exit status {UNTRUSTED})"
    if status not in _ENDED_WELL:
        return f"its last session ended early, with exit status {status}"
    counts = description.get("counts")
    left = counts.get("not_run") if isinstance(counts, dict) else None
    if not isinstance(left, int):
        return "its last session did not note how many of its tests were left"
    return f"its last session ended early: {left} of its tests were not run" if left else None


def now() -> str:
    """Return the time, in UTC, as run.json has it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _written(file: Path) -> float:
    """Return when a file was written last."""
    try:
        return file.lstat().st_mtime
    except OSError:
        return 0.0


def _ignore_in_git(directory: Path) -> None:
    if not directory.is_symlink():  # which may lead to a directory of another purpose
        inside.create(directory / ".gitignore", b"# Made by pytest-fcpivot.\n*\n")
