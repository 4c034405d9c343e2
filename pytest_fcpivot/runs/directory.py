"""A run on disk: `run.json` describes the run, `results.jsonl` gets one line for each test as it ends.

`summary.json` has the figures of a session that ended; of these, a report reads the mean reward of earlier runs.

Only one process writes these. Each line is passed to the operating system at once, so that a killed process loses no
reported result. Answers whose tests have not run yet are kept beside them, in `calls/`.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.runs import inside
from pytest_fcpivot.runs.appending import append
from pytest_fcpivot.runs.described import DECIDED, REPLAYS_UNFINISHED, RUN_FILE, read_description
from pytest_fcpivot.runs.ending import UNTRUSTED
from pytest_fcpivot.runs.reader import LONGEST, Damage, DamagedLineError, result_line, results_in
from pytest_fcpivot.runs.trust import written
from pytest_fcpivot.runs.until_mixed import unneeded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fcpivot.runs.trust import Key

RUNS = ".fcpivot"
SUMMARY = "summary.json"
_RESULTS = "results.jsonl"
_OF_CALLS = (".jsonl", "crashes.json", ".tmp")  # endings of the file names in `calls/`
_TAIL = 1 << 16
_REASON = 300  # characters of a reason that are shown
_ENDED_WELL = (0, 1)  # pytest's exit codes of a session that ran to its end


class RunDirectory:
    """The directory of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / _RESULTS
        self.calls = path / inside.CALLS
        self.repaired = 0  # size in bytes of an incomplete last line that was removed
        self._stream: int | None = None

    # ---------------------------------------------------------------- finding and opening

    @classmethod
    def new_path(cls, base: Path) -> Path:
        """Return an unused path for a new run under `base`; the names sort by time."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        return base / RUNS / f"{stamp}-{secrets.token_hex(3)}"

    @classmethod
    def latest(cls, base: Path) -> Path:
        """Return the run under `base` that was started last and is not a replay; raises RunError if there is none."""
        return cls._latest(base, "no run to resume", "--fc-resume=DIR", replays=False)

    @classmethod
    def latest_of_all(cls, base: Path, purpose: str, option: str) -> Path:
        """Return the run under `base` that was started last, be it a replay or not; raises RunError if there is none.

        The message begins with the `purpose`, and says how a run is named: as in `option`.
        """
        return cls._latest(base, purpose, option, replays=True)

    @classmethod
    def _latest(cls, base: Path, purpose: str, option: str, *, replays: bool) -> Path:
        found: list[tuple[str, str, Path]] = []
        unread: list[tuple[float, RunError]] = []
        for file in (base / RUNS).glob(f"*/{RUN_FILE}"):
            try:
                description = read_description(file.parent)
            except RunError as error:
                unread.append((_written(file), error))
                continue
            if replays or not description.get("replays"):
                found.append((str(description.get("started")), file.parent.name, file.parent))
        path = max(found)[2] if found else None
        last = max(unread, key=lambda each: each[0], default=None)
        if last is not None and (path is None or last[0] > _written(path / RUN_FILE)):
            raise RunError(f"{purpose}: the last one cannot be read; name one, as in {option}\n{last[1]}")
        if path is None:
            raise RunError(f"{purpose}: there is none under {base / RUNS}; name one, as in {option}")
        return path

    @classmethod
    def begin(cls, path: Path, description: Mapping[str, Any], key: Key | None = None) -> RunDirectory:
        """Make the directory of a new run, and mark the run as made here if there is a `key`.

        Raises RunError if the directory holds a run already, or a link, or cannot be written.
        """
        run = cls(path)
        inside.check(path)
        if (path / RUN_FILE).exists() or run.results.exists():
            raise RunError(
                f"--fc-run={path}: this directory already holds a run; pass --fc-resume={path} to resume it, "
                "or name another directory"
            )
        if run._has_calls():
            raise RunError(
                f"--fc-run={path}: the folder {run.calls.name} in this directory is not empty; a run keeps answers "
                "there, and removes them later; name another directory"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            if path.parent.name == RUNS:
                ignore_in_git(path.parent)
            run.write_description(description, key)
            run._open()
        except OSError as error:
            raise RunError(f"{path}: the run cannot be recorded there: {error.strerror or error}") from error
        return run

    @classmethod
    def resume(cls, path: Path) -> RunDirectory:
        """Open a run to resume it, and remove an incomplete last line; raises RunError if the run cannot be resumed."""
        run = cls(path)
        run.description()  # raises RunError if this is not a run of ours
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
        """Return whether the last line only lacks its newline."""
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
        """Append one line and pass it to the operating system; after OSError, nothing of the line is left."""
        if self._stream is None:
            return
        append(self._stream, line.encode("ascii", "backslashreplace") + b"\n")

    def write_description(self, description: Mapping[str, Any], key: Key | None = None) -> None:
        """Write `run.json` atomically, marked as made here if there is a `key`; raises OSError."""
        inside.replace(self.path / RUN_FILE, written(description, key))

    def write_summary(self, content: bytes) -> None:
        """Write `summary.json` atomically; raises OSError."""
        inside.replace(self.path / SUMMARY, content)

    def forget_summary(self) -> None:
        """Remove `summary.json`, which is about fewer results than there will be; raises OSError."""
        (self.path / SUMMARY).unlink(missing_ok=True)

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
        """Remove the answers in `calls/`, because all of their tests have run; files that are not ours are left."""
        with suppress(OSError, RunError):
            inside.check(self.path)  # a link may have been put there meanwhile
            inside.remove_files(self.calls, _OF_CALLS)
            self.calls.rmdir()

    def discard_if_empty(self) -> bool:
        """Remove the run if it has no results; returns whether it was removed."""
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


# Options that two runs may write differently and mean the same. Other members of run.json have their meaning, and are
# compared instead.
COMPARED_BY_MEANING = frozenset(
    (
        *("fc_data", "fc_agent", "fc_grader", "fc_grader_option", "fc_pass_mark"),
        *("fc_judge", "fc_judge_base_url", "fc_judge_api"),
    )
)


def judge_of_run(description: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a run's judge in a form that can be compared, without the reason if there was no judge."""
    judge: dict[str, Any] | None = description.get("judge")
    return judge if judge is None or judge.get("model") else {"model": None}


def ended_early(description: Mapping[str, Any]) -> str | None:
    """Explain how a run's last session ended if that was early, by its counts and exit status; None if it was not.

    The replay of a run that is not complete is not complete either, although all of its own tests have run.
    """
    if description.get(REPLAYS_UNFINISHED):
        return f"it replays a run that is not complete: {one_line(str(description[REPLAYS_UNFINISHED]), _REASON)}"
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
    left = counts["not_run"] - unneeded(description) if isinstance(counts, dict) and "not_run" in counts else None
    if description.get(DECIDED) and left:
        return f"it was stopped when its verdict was certain, so that its mean is biased: {left} tests were not run"
    if not isinstance(left, int):
        return "its last session did not record how many of its tests were left"
    return f"its last session ended early: {left} of its tests were not run" if left else None


def now() -> str:
    """Return the present time in UTC, in the format of run.json."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _written(file: Path) -> float:
    """Return a file's time of modification, in seconds; 0 if it cannot be read."""
    try:
        return file.lstat().st_mtime
    except OSError:
        return 0.0


def ignore_in_git(directory: Path) -> None:
    """Make git ignore a directory of runs, unless it is a link, which may lead to one with another purpose."""
    if not directory.is_symlink():
        inside.create(directory / ".gitignore", b"# Made by pytest-fcpivot.\n*\n")
