"""A child process that checks schemas which might run away, so that it can be ended when one does.

A thread cannot be ended, and a signal would collide with other plugins' timers; a process can, and takes the memory
of a runaway check with it.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from pytest_fcpivot.core.model import SchemaVerdict
from pytest_fcpivot.schema.validator import SchemaValidator

DEADLINE_S = 2.0
_START_DEADLINE_S = 60.0
_MOST_STRIKES = 5
_MEMORY_LIMIT_BYTES = 1 << 30
_READY = "ready\n"
_HOME = str(Path(__file__).resolve().parents[2])  # the package may be importable only by the parent's sys.path


class SchemaProcess:
    """Starts the child when it is first needed, and again after it had to be killed.

    A check may take `deadline_s`; a schema whose checks outlived that `most_strikes` times is not tried again.
    """

    def __init__(self, deadline_s: float = DEADLINE_S, most_strikes: int = _MOST_STRIKES) -> None:
        self._deadline_s = deadline_s
        self._most_strikes = most_strikes
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._strikes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def check(self, schema_json: str, arguments: str) -> SchemaVerdict:
        """Judge arguments in the child; a check that outlives the deadline makes the schema unusable."""
        with self._lock:
            if self._strikes[schema_json] >= self._most_strikes:
                return self._too_long()
            try:
                if self._child is None or self._child.poll() is not None:
                    self._start()
                answer = self._ask(schema_json, arguments)
            except (OSError, queue.Empty):
                self.stop()
                self._strikes[schema_json] += 1
                return self._too_long()
            if not answer:  # the child died: out of memory, or too deep for its stack
                self.stop()
                self._strikes[schema_json] += 1
                return SchemaVerdict("unusable-schema", explanation="the check ran out of memory or stack")
            return SchemaVerdict(*json.loads(answer))

    def _too_long(self) -> SchemaVerdict:
        explanation = f"the check took longer than {self._deadline_s:g} s and was ended"
        return SchemaVerdict("unusable-schema", explanation=explanation)

    def stop(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        child.wait()

    def _start(self) -> None:
        self.stop()
        self._lines = queue.SimpleQueue()
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", "from pytest_fcpivot.schema.process import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))},
        )
        threading.Thread(target=_pump, args=(self._child.stdout, self._lines), daemon=True).start()
        if self._lines.get(timeout=_START_DEADLINE_S) != _READY:
            raise OSError("the schema checker did not start")

    def _ask(self, schema_json: str, arguments: str) -> str:
        assert self._child is not None  # noqa: S101 (for the type checker)
        assert self._child.stdin is not None  # noqa: S101
        self._child.stdin.write(json.dumps([schema_json, arguments]) + "\n")
        self._child.stdin.flush()
        return self._lines.get(timeout=self._deadline_s)


def _pump(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    """Move the child's answers to a queue, which can be waited for with a timeout on every system."""
    with suppress(OSError, ValueError):
        for line in stream:
            lines.put(line)
    lines.put("")


_process = SchemaProcess()
atexit.register(_process.stop)
check_in_child = _process.check


@lru_cache(maxsize=1024)
def _cached_validator(schema_json: str) -> SchemaValidator:
    return SchemaValidator(schema_json)


def serve() -> None:
    """Answer checks on standard input, one JSON line each, until it closes: the child's whole life."""
    import jsonschema.validators  # noqa: F401, PLC0415 (now, and not within the first check's deadline)

    _limit_memory()
    sys.stdout.write(_READY)
    sys.stdout.flush()
    for line in sys.stdin:
        schema_json, arguments = json.loads(line)
        verdict = _cached_validator(schema_json).check(arguments)
        answer: list[Any] = [verdict.status, verdict.path, verdict.keyword, verdict.explanation]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415 (not on every system)
    except ImportError:
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
