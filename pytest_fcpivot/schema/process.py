"""A child process for schema checks that may never end or need too much memory; it is killed at a deadline.

A thread cannot be killed, and an alarm signal would collide with the timers of other plugins. Killing a process also
frees the memory of the check.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from pytest_fcpivot.core.model import SchemaVerdict
from pytest_fcpivot.schema.validator import SchemaValidator

DEADLINE_S = 2.0
_START_DEADLINE_S = 60.0
_MOST_STRIKES = 5  # timeouts and crashes after which a schema is not tried again
_MEMORY_LIMIT_BYTES = 1 << 30
_READY = "ready\n"
_HOME = str(Path(__file__).resolve().parents[2])  # the package may be on the parent's sys.path only


class SchemaProcess:
    """Checks arguments in a child process, which it starts when first needed and again after it was killed.

    A check may take `deadline_s` seconds. A schema whose checks exceeded that, or ended the child, `most_strikes` times
    is not tried again.
    """

    def __init__(self, deadline_s: float = DEADLINE_S, most_strikes: int = _MOST_STRIKES) -> None:
        self._deadline_s = deadline_s
        self._most_strikes = most_strikes
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._strikes: defaultdict[str, list[SchemaVerdict]] = defaultdict(list)
        self._lock = threading.Lock()

    def check(self, schema_json: str, arguments: str) -> SchemaVerdict:
        """Check arguments in the child; the verdict is `unusable-schema`, with the reason, if that cannot be done."""
        with self._lock:
            strikes = self._strikes[schema_json]
            if len(strikes) >= self._most_strikes:
                return strikes[-1]
            try:
                if self._child is None or self._child.poll() is not None:
                    self._start()
                answer = self._ask(schema_json, arguments)
                if answer:
                    return SchemaVerdict(*json.loads(answer))
                reason = "the check ran out of memory or stack"  # the child died
            except queue.Empty:
                reason = f"the check took longer than {self._deadline_s:g} s and was ended"
            except OSError as error:
                reason = f"the process that checks schemas failed: {error}"
            self.stop()
            strikes.append(SchemaVerdict("unusable-schema", explanation=reason))
            return strikes[-1]

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
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))},
        )
        threading.Thread(target=_pump, args=(self._child.stdout, self._lines), daemon=True).start()
        with suppress(queue.Empty):
            if self._lines.get(timeout=_START_DEADLINE_S) == _READY:
                return
        raise OSError("it did not start")

    def _ask(self, schema_json: str, arguments: str) -> str:
        assert self._child is not None  # noqa: S101 (for the type checker)
        assert self._child.stdin is not None  # noqa: S101
        self._child.stdin.write(json.dumps([schema_json, arguments]) + "\n")
        self._child.stdin.flush()
        return self._lines.get(timeout=self._deadline_s)


def _pump(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    """Move the child's answers to a queue, since only a queue can be read with a timeout on every platform."""
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
    """Run the child: read one check per line as JSON from standard input and answer it, until the input closes."""
    import jsonschema.validators  # noqa: F401, PLC0415 (now, so that it does not count towards the first deadline)

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
