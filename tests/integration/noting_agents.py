"""What the tests of calls ahead share: agents that note in a file what happens to them, and the notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pivot_project import Project

LONG_S = 60  # waited for only if calls are not made as they should be

# The beginning of every agent module of these tests.
NOTING = f'''
import asyncio, logging, os, sys, threading, time
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONG = {LONG_S}


def note(what, thing):
    line = f"{{what}} {{getattr(thing, 'id', thing)}} {{os.getpid()}}\\n"
    with (HERE / "notes.txt").open("a") as notes:
        notes.write(line)


def noted(what):
    try:
        lines = (HERE / "notes.txt").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return sum(line.startswith(what + " ") for line in lines)


class Crowd:
    """Lets calls wait until so many are under way in this process, once."""

    def __init__(self, size):
        self.size, self.under_way, self.most = size, 0, 0
        self.lock, self.complete = threading.Lock(), threading.Event()

    @contextmanager
    def joined(self, pivot):
        with self.lock:
            self.under_way += 1
            if self.under_way > self.most:
                self.most = self.under_way
                note("most", self.most)
            if self.under_way >= self.size:
                self.complete.set()
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1

    def meet(self, pivot):
        with self.joined(pivot):
            assert self.complete.wait(LONG), "the others do not come"

    async def meet_async(self, pivot):
        with self.joined(pivot):
            give_up = time.monotonic() + LONG
            while not self.complete.is_set():
                assert time.monotonic() < give_up, "the others do not come"
                await asyncio.sleep(0.001)


def right(pivot):
    _, name, arguments = pivot.input[-1]["content"].split(" ", 2)
    return {{"name": name, "arguments": arguments}}
'''


def _lines(project: Project) -> Iterator[list[str]]:
    path = project.path / "notes.txt"
    if path.exists():
        yield from (line.split(" ") for line in path.read_text(encoding="utf-8").splitlines())


def notes(project: Project, what: str) -> list[str]:
    """Return what the agents noted under a word, in order."""
    return [thing for word, thing, _ in _lines(project) if word == what]


def processes(project: Project) -> set[int]:
    """Return the processes that noted anything."""
    return {int(process) for _, _, process in _lines(project)}


def agent(project: Project, code: str) -> str:
    """Write the module `noting` with this code after the common part; return the option that names its `answer`."""
    project.write("noting.py", f"{NOTING}\n{code}")
    return "--fc-agent=noting:answer"


def pivots(project: Project, count: int, name: str = "pivots.jsonl", prefix: str = "p") -> str:
    """Write pivots p0, p1, … that expect a call each of its own; return the option that names their file."""
    project.data([project.row(f'call add {{"a": {n}}}', id=f"{prefix}{n}") for n in range(count)], name)
    return f"--fc-data={name}"


def names(count: int, prefix: str = "p") -> list[str]:
    """Return the names of the pivots that `pivots` writes."""
    return [f"{prefix}{number}" for number in range(count)]
