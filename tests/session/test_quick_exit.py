"""The end of a process: what has something to do at its end does it, and nothing else is taken apart."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.session.quick_exit import does_something_at_its_end

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# Registered first, so it is called last.
SCRIPT = """
import atexit, gc
atexit.register(lambda: print("all is left" if gc.get_freeze_count() else "nothing is left", flush=True))
from pytest_fcpivot.session.quick_exit import end_quickly

class Knot:  # a reference cycle, which only the search for cycles frees
    def __init__(self):
        self.itself = self

end_quickly()
end_quickly()
knot = Knot()
"""
TELLING = """
class Telling(Knot):
    def __del__(self, write=__import__("os").write):
        write(1, b"told\\n")
knot = Telling()
"""
WRITING = """
knot.file = open("kept.txt", "w")
knot.file.write("to the last word")
"""
WAITING = """
def waits(write=__import__("os").write):
    try:
        yield
    finally:
        write(1, b"told\\n")
knot.waiting = waits()
next(knot.waiting)
"""


def _run(code: str, where: Path, *options: str) -> list[str]:
    command = [sys.executable, *options, "-c", SCRIPT + code]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def test_nothing_is_taken_apart(tmp_path: Path) -> None:
    """A process in which nothing has anything to do at its end leaves its objects as they are."""
    assert _run("", tmp_path) == ["all is left"]
    assert _run("", tmp_path, "-X", "dev") == ["nothing is left"]


@pytest.mark.parametrize("code", [TELLING, WAITING], ids=["__del__", "generator"])
def test_what_is_to_be_done_is_done(tmp_path: Path, code: str) -> None:
    """What an object in a cycle does when it is freed is done when the process ends."""
    assert _run(code, tmp_path) == ["nothing is left", "told"]


def test_files_are_whole(tmp_path: Path) -> None:
    """What was written to a file that nobody closed is in it."""
    assert _run(WRITING, tmp_path) == ["nothing is left"]
    assert (tmp_path / "kept.txt").read_text() == "to the last word"


def _generator() -> Generator[None]:
    yield


def _begun(generator: Generator[None]) -> Generator[None]:
    next(generator)
    return generator


def _ended(generator: Generator[None]) -> Generator[None]:
    list(generator)
    return generator


def test_what_does_something(tmp_path: Path) -> None:
    """Open files that can be written, generators in their middle, and all with a `__del__` that is unknown count."""
    path = tmp_path / "file"
    path.write_text("text")

    class Own(socket.socket):
        pass

    with (
        path.open("a") as text,
        path.open("ab") as binary,
        path.open("r+b") as both,
        path.open("r") as read,
        socket.socket() as plain,
        Own() as own,
    ):
        begun = _begun(_generator())
        some: list[Any] = [text, binary, both, own, begun]
        detached = io.TextIOWrapper(io.BytesIO())
        detached.detach()
        none: list[Any] = [
            detached,
            read,
            read.buffer,
            plain,
            io.StringIO(),
            _generator(),
            _ended(_generator()),
            1,
            "a",
            {},
        ]
        assert [does_something_at_its_end([thing]) for thing in some] == [True] * len(some)
        assert [does_something_at_its_end([thing]) for thing in none] == [False] * len(none)
        assert does_something_at_its_end([*none, text])
    assert not does_something_at_its_end([text, binary, sys.__stdout__])
