"""An agent that notes every call on disk, and sessions that can be killed: who was asked what, across processes.

A plugin that the test modules name beside `pivot_project`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pivot_project import Project, Row

# What a line says that two runs with the same answers may differ in.
OF_ONE_RUN = ("latency_s", "attempts")
PATIENCE_S = 90.0  # for what comes at once where nothing else is to be done

# The puppet, which notes one line a call: `ID[rN] PID`. More words: `flaky` fails until the file `mended` is there,
# `gated` waits for the file `go`, `dies_at N` ends the process at repeat N, `long N` says N letters.
COUNTING = '''
"""The puppet, every call of which is counted."""

import asyncio
import os
import time
from pathlib import Path

import puppet

HERE = Path(__file__).parent
PAUSE_S = float(os.environ.get("PAUSE_S", "0"))


def note(pivot):
    name = pivot.id if pivot.repeat == 1 else f"{pivot.id}[r{pivot.repeat}]"
    log = os.open(HERE / os.environ["ASKED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{name} {os.getpid()}\\n".encode())
    os.close(log)


def flaky(pivot, text):
    if not (HERE / "mended").exists():
        raise RuntimeError("not mended yet")
    return text


def gated(pivot, text):
    ends = time.monotonic() + 90
    while not (HERE / "go").exists() and time.monotonic() < ends:
        time.sleep(0.005)
    return text


def dies_at(pivot, text):
    if pivot.repeat == int(text):
        os._exit(17)
    return text


puppet.ODD.update(flaky=flaky, gated=gated, dies_at=dies_at, long=lambda pivot, text: "x" * int(text))


def answer(pivot):
    note(pivot)
    if PAUSE_S:
        time.sleep(PAUSE_S)
    return puppet.answer(pivot)


def other(pivot):
    return answer(pivot)


async def answer_async(pivot):
    note(pivot)
    await asyncio.sleep(PAUSE_S)
    return puppet.answer(pivot)
'''


@dataclass
class Session:
    """A pytest session in the background."""

    process: subprocess.Popen[bytes]
    output: Path

    def wait(self) -> tuple[int, str]:
        """Wait for the end; returns the exit status and what was printed."""
        status = self.process.wait(PATIENCE_S)
        return status, self.output.read_text(encoding="utf-8")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, while the session runs."""
        ends = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.output.read_text(encoding="utf-8")
            assert time.monotonic() < ends, self.output.read_text(encoding="utf-8")
            time.sleep(0.002)

    def kill(self) -> None:
        """Kill the process, which gets no chance to say or to write anything more."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)


@dataclass
class Counted:
    """A project whose agent counts its calls, by session."""

    project: Project
    monkeypatch: pytest.MonkeyPatch
    _number: int = 0
    _sessions: list[Session] = field(default_factory=list)

    def options(self, rows: Iterable[Row], *, agent: str = "answer", name: str = "pivots.jsonl") -> list[str]:
        """Write rows and the agent; return the options that run it on them."""
        self.project.puppet(rows, name)
        self.project.write("counting.py", COUNTING)
        return [f"--fc-data={name}", f"--fc-agent=counting:{agent}"]

    def table(self, table: Mapping[str, tuple[str, str | None]], **more: Any) -> list[str]:
        """Do the same for a table, id to expected action and what the agent is told."""
        return self.options(self.project.rows(table), **more)

    def pauses(self, seconds: float) -> None:
        """Let every call of the sessions from now on take so long."""
        self.monkeypatch.setenv("PAUSE_S", str(seconds))

    def _next(self) -> None:
        self._number += 1
        self.monkeypatch.setenv("ASKED", f"asked-{self._number}.log")

    def run(self, *args: str) -> pytest.RunResult:
        """Run a session in a process of its own; its calls are counted from none."""
        self._next()
        return self.project.run(*args)

    def run_here(self, *args: str) -> pytest.RunResult:
        """Do the same in this process; see `Project.run_here`."""
        self._next()
        return self.project.run_here(*args)

    def run_cases(self, *args: str) -> tuple[pytest.RunResult, dict[str, str]]:
        """Run a session in this process, and return each case's outcome by name too."""
        self._next()
        return self.project.run_cases(*args)

    def start(self, *args: str) -> Session:
        """Start a session in the background."""
        self._next()
        path = self.project.path / f"output-{self._number}.txt"
        command = self.project.process(*args)
        with path.open("wb") as output:
            process = subprocess.Popen(command, cwd=self.project.path, stdout=output, stderr=subprocess.STDOUT)
        self._sessions.append(Session(process, path))
        return self._sessions[-1]

    def calls(self) -> list[tuple[str, int]]:
        """Return the calls of the last session, each as the pivot's name and the process that asked."""
        path = self.project.path / f"asked-{self._number}.log"
        if not path.exists():
            return []
        return [(name, int(pid)) for name, _, pid in (line.rpartition(" ") for line in path.read_text().splitlines())]

    def asked(self) -> Counter[str]:
        """Count the calls of the last session by pivot."""
        return Counter(name for name, _ in self.calls())

    @property
    def runs(self) -> list[Path]:
        """The runs in the default place, by name."""
        return sorted(path for path in (self.project.path / ".fcpivot").glob("*") if path.is_dir())

    @property
    def only_run(self) -> Path:
        """The one run in the default place."""
        (run,) = self.runs
        return run

    @staticmethod
    def results(run: Path) -> dict[str, Row]:
        """Read results.jsonl, by test; the last line of each counts, and every line must be whole."""
        return {line["test"]: line for line in Counted.lines(run)}

    @staticmethod
    def lines(run: Path) -> list[Row]:
        """Read the lines of results.jsonl, all of which must be whole."""
        text = (run / "results.jsonl").read_bytes()
        assert text.isascii()
        assert not text or text.endswith(b"\n")
        return [json.loads(line) for line in text.splitlines()]

    @staticmethod
    def whole_lines(run: Path) -> dict[str, Row]:
        """Read what stands in results.jsonl while it is written, or after its writer was killed."""
        text = (run / "results.jsonl").read_bytes()
        found = [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
        return {line["test"]: line for line in found}

    @staticmethod
    def verdicts(rows: Mapping[str, Row]) -> dict[str, Row]:
        """Leave out what two runs with the same answers may differ in."""
        return {test: {key: row[key] for key in row if key not in OF_ONE_RUN} for test, row in rows.items()}

    @staticmethod
    def described(run: Path) -> Row:
        """Read run.json."""
        found: Row = json.loads((run / "run.json").read_text(encoding="ascii"))
        return found

    @staticmethod
    def kill(pid: int) -> None:
        """Kill a worker, by its id."""
        os.kill(pid, signal.SIGKILL)

    def touch(self, name: str) -> None:
        """Make an empty file, which the agent looks for."""
        (self.project.path / name).touch()

    def end(self) -> None:
        """Kill what still runs."""
        for session in self._sessions:
            if session.process.poll() is None:
                session.kill()


@pytest.fixture
def counted(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Return a project whose agent counts its calls."""
    made = Counted(project, monkeypatch)
    yield made
    made.end()
