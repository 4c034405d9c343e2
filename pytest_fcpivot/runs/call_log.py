"""The log of one process's calls: what was under way when it died, and answers whose tests had not come."""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.calls.call import CallLog
from pytest_fcpivot.core.errors import ActionError, RunError
from pytest_fcpivot.core.shapes import read_output
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.runs import inside
from pytest_fcpivot.runs.appending import append
from pytest_fcpivot.runs.output import output_json
from pytest_fcpivot.runs.reader import LONGEST, Damage, calls_in, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.core.redact import Redactor

# An answer that took less than this is sooner asked for again than kept, unless it was paid for: it tells its tokens.
WORTH_KEEPING_S = 0.05
_CRASHES = "crashes.json"


class CallFile(CallLog):
    """Writes `calls/NAME.jsonl`; with `begins`, every call's beginning and end too, so that a crash can be explained.

    A disk that takes nothing more is not this file's to report: the run's own results say so.
    """

    def __init__(self, directory: Path, name: str, redact: Redactor, *, begins: bool) -> None:
        self.path = directory / f"{name}.jsonl"
        self._redact = redact
        self._begins = begins
        self._stream: int | None = None
        self._lock = threading.Lock()

    def began(self, call: Call) -> None:
        """Note the beginning."""
        if self._begins and call.attempts == 1:
            self._write(json.dumps({"began": call.key}))

    def ended(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Note the end, with an answer that was worth something."""
        usage = None if error is not None else usage_of(output)
        if error is None and (call.latency_s >= WORTH_KEEPING_S or usage is not None):
            try:
                read_output(output)
            except ActionError:  # there is no answer in it
                self._note_end(call)
                return
            head = json.dumps(
                {
                    "ended": call.key,
                    "latency_s": round(call.latency_s, 6),
                    "attempts": call.attempts,
                    "retried": [self._redact(reason) for reason in call.retried],
                    "usage": None if usage is None else usage.to_builtins(),
                }
            )
            text = None
            with suppress(Exception):  # an output that cannot be written is asked for again
                text = output_json(output)
            # Without a secret that is in it, the answer could not be graded, and it has no grade yet that could be
            # kept: a session that goes on with the run asks again.
            if text is not None and self._redact.answer(text) == text:
                self._write(f'{head[:-1]}, "output": {text}}}')
                return
        self._note_end(call)

    def _note_end(self, call: Call) -> None:
        if self._begins:
            self._write(json.dumps({"ended": call.key}))

    def _write(self, line: str) -> None:
        with suppress(OSError, RunError), self._lock:
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = inside.open_to_append(self.path)
            append(self._stream, line.encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._stream is not None:
                os.close(self._stream)
            self._stream = None


def under_way(path: Path) -> set[str]:
    """Return the keys of the calls that began in a process and did not end."""
    keys: set[str] = set()
    with suppress(RunError):  # the process did not come to its first call
        for _, line in calls_in(path):
            if isinstance(line, Damage):
                continue
            if line.began is not None:
                keys.add(line.began)
            elif line.ended is not None:
                keys.discard(line.ended)
    return keys


class _Told(msgspec.Struct):
    suspects: list[str]
    guilty: list[str]
    logs: list[str]


_LOG = re.compile(r"[\w.-]+\.jsonl")  # the name of a call file, which leads nowhere else
_read_told = msgspec.json.Decoder(_Told).decode


class Crashes:
    """What the processes of a run tell each other of those that died, through one small file.

    `suspects` are the tests whose calls were under way when a process died: each is asked alone from then on, so that
    it is known which call it is that ends its process. Such a test is `guilty`, and not asked any more. `logs` are the
    call files of the dead.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _CRASHES
        self._seen: tuple[int, int] | None = None
        self.suspects: set[str] = set()
        self.guilty: set[str] = set()
        self.logs: list[str] = []

    def forget(self) -> None:
        """Begin a session: what died in earlier ones is past."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.logs = sorted(path.name for path in self._path.parent.glob("*.jsonl"))

    def add(self, suspects: set[str], logs: Iterable[Path], guilty: Iterable[str] = ()) -> None:
        """Tell the others, from the controller; a disk that takes nothing more ends the run by itself."""
        self.suspects |= suspects
        self.guilty |= set(guilty)
        self.logs += [log.name for log in logs]
        told = {"suspects": sorted(self.suspects), "guilty": sorted(self.guilty), "logs": self.logs}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            inside.replace(self._path, json.dumps(told).encode())

    def look(self) -> list[Path]:
        """Read what is new, in a worker; returns the call files of processes that have died since."""
        try:
            status = self._path.lstat()
        except OSError:
            return []
        stamp = status.st_mtime_ns, status.st_size
        if stamp == self._seen:
            return []
        self._seen = stamp
        try:
            told = _read_told(whole_file(self._path, LONGEST) or b"")
        except (OSError, ValueError, RecursionError, RunError):
            return []  # of another's making: the controller writes it in one step
        known = set(self.logs)
        self.suspects, self.guilty, self.logs = set(told.suspects), set(told.guilty), told.logs
        return [self._path.parent / name for name in self.logs if name not in known and _LOG.fullmatch(name)]
