"""The log of one process's calls: which were in flight when it died, and the answers whose tests had not run."""

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

# Answers that came faster than this are not kept, because asking again is cheaper. Answers that report tokens cost
# money, and are always kept.
WORTH_KEEPING_S = 0.05
_CRASHES = "crashes.json"


class CallFile(CallLog):
    """Writes answers to `calls/NAME.jsonl`; with `begins`, also the begin and end of each call, to explain a crash.

    Errors of writing are ignored here: a full disk is reported when results.jsonl is written.
    """

    def __init__(self, directory: Path, name: str, redact: Redactor, *, begins: bool) -> None:
        self.path = directory / f"{name}.jsonl"
        self._redact = redact
        self._begins = begins
        self._stream: int | None = None
        self._lock = threading.Lock()

    def began(self, call: Call) -> None:
        """Write that a call begins, once for all of its attempts, if begins are logged."""
        if self._begins and call.attempts == 1:
            self._write(json.dumps({"began": call.key}))

    def ended(self, call: Call, output: Any, error: BaseException | None) -> None:
        """Write that a call has ended, together with its answer if that is worth keeping."""
        usage = None if error is not None else usage_of(output)
        if error is None and (call.latency_s >= WORTH_KEEPING_S or usage is not None):
            try:
                read_output(output)
            except ActionError:  # an unusable output is not worth keeping
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
            with suppress(Exception):  # an output that cannot be written is not kept
                text = output_json(output)
            # With *** in place of a secret, the answer could not be graded later, and it has no grade yet. So it is not
            # kept, and a session that resumes the run asks again.
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
    """Return the keys of the calls that a process's call file shows as begun and not ended."""
    keys: set[str] = set()
    with suppress(RunError):  # the process made no call
        for _, line in calls_in(path):
            if isinstance(line, Damage):
                continue
            if line.began is not None:
                keys.add(line.began)
            elif line.ended is not None:
                keys.discard(line.ended)
    return keys


class _Known(msgspec.Struct):
    suspects: list[str]
    guilty: list[str]
    logs: list[str]


_LOG = re.compile(r"[\w.-]+\.jsonl")  # the name of a call file, which leads nowhere else
_read_known = msgspec.json.Decoder(_Known).decode


class Crashes:
    """What the controller tells its workers about crashed processes, through one small file, `crashes.json`.

    `suspects` are the tests whose calls were in flight when a process died. From then on each of them is asked alone,
    so that another crash identifies its call; such a test is `guilty`, and is not asked any more. `logs` are the call
    files of the processes that died.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _CRASHES
        self._seen: tuple[int, int] | None = None
        self.suspects: set[str] = set()
        self.guilty: set[str] = set()
        self.logs: list[str] = []

    def forget(self) -> None:
        """Begin a session: forget the crashes of earlier sessions."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.logs = sorted(path.name for path in self._path.parent.glob("*.jsonl"))

    def add(self, suspects: set[str], logs: Iterable[Path], guilty: Iterable[str] = ()) -> None:
        """Add what is known of a crash, in the controller, and write the file; errors of writing are ignored."""
        self.suspects |= suspects
        self.guilty |= set(guilty)
        self.logs += [log.name for log in logs]
        known = {"suspects": sorted(self.suspects), "guilty": sorted(self.guilty), "logs": self.logs}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            inside.replace(self._path, json.dumps(known).encode())

    def look(self) -> list[Path]:
        """Read the file in a worker, if it has changed; returns the call files of processes that have died since."""
        try:
            status = self._path.lstat()
        except OSError:
            return []
        stamp = status.st_mtime_ns, status.st_size
        if stamp == self._seen:
            return []
        self._seen = stamp
        try:
            known = _read_known(whole_file(self._path, LONGEST) or b"")
        except (OSError, ValueError, RecursionError, RunError):
            return []  # not written by our controller, which replaces the file atomically
        before = set(self.logs)
        self.suspects, self.guilty, self.logs = set(known.suspects), set(known.guilty), known.logs
        return [self._path.parent / name for name in self.logs if name not in before and _LOG.fullmatch(name)]
