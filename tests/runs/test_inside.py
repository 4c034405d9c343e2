"""Nothing inside a run's directory leads out of it."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs import inside

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run's directory with its usual entries, which is well."""
    path = tmp_path / "run"
    (path / "calls").mkdir(parents=True)
    for name in ("run.json", "results.jsonl", "calls/main-1.jsonl", "notes.txt"):
        (path / name).touch()
    (path / "plots").mkdir()
    inside.check(path)
    (tmp_path / "by-link").symlink_to(path)
    inside.check(tmp_path / "by-link")
    inside.check(tmp_path / "absent")
    inside.check(path / "run.json")
    return path


def _instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> object:
        if path.is_dir():
            (path / "main-1.jsonl").unlink()
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        return make(path)

    return replace


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


_LINK = _instead(lambda path: path.symlink_to("/etc/hostname"))


@pytest.mark.parametrize(
    ("name", "spoil", "what"),
    [
        *((name, _LINK, "a link") for name in ("run.json", "results.jsonl", "calls", "calls/main-1.jsonl", "any")),
        ("dangling", _instead(lambda path: path.symlink_to("nowhere")), "a link"),
        ("results.jsonl", _instead(os.mkfifo), "not a plain file (a pipe"),
        ("calls/x.jsonl", _instead(os.mkfifo), "not a plain file (a pipe"),
        ("odd", _instead(_socket), "not a plain file (a pipe"),
        ("results.jsonl", _instead(Path.mkdir), "not a plain file (a dir"),
        ("calls", _instead(Path.touch), "not a directory"),
    ],
)
def test_a_link_or_a_special_file_is_refused(
    run: Path, name: str, spoil: Callable[[Path], object], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link, a pipe, a socket, or a file in the place of a directory is refused by its name, wherever it is."""
    monkeypatch.chdir(run)
    spoil(run / name)
    with pytest.raises(RunError, match=re.escape(f"{run / name}: is {what}")):
        inside.check(run)


def test_what_is_opened_is_a_plain_file(run: Path) -> None:
    """A link or a pipe that comes after the check is not opened, and nobody waits for it."""
    (run / "link").symlink_to(run / "notes.txt")
    os.mkfifo(run / "pipe")
    for name in ("link", "pipe", "plots"):
        with pytest.raises(RunError, match=name):
            inside.open_plain(run / name)
        with pytest.raises((RunError, IsADirectoryError)):
            inside.open_to_append(run / name)
    os.link(run / "notes.txt", run / "second")
    with pytest.raises(RunError, match="has another name too"):
        inside.open_to_append(run / "second")


def test_writing_goes_nowhere_else(run: Path, tmp_path: Path) -> None:
    """A file that is replaced takes the place of a link, and one that is made leaves what is there."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (run / "run.json").unlink()
    (run / "run.json").symlink_to(precious)
    inside.replace(run / "run.json", b"{}")
    assert (run / "run.json").read_bytes() == b"{}"
    (run / "ignore").symlink_to(tmp_path / "new")
    inside.create(run / "ignore", b"*")
    inside.create(run / "notes.txt", b"*")
    inside.create(run / "new.txt", b"*")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "new").exists()
    assert [(run / name).read_bytes() for name in ("notes.txt", "new.txt")] == [b"", b"*"]
    assert not list(run.glob(".*.tmp"))


def test_files_are_removed_by_their_names_and_not_through_a_link(run: Path) -> None:
    """Only files of the wanted names are removed, and none of a directory that a link leads to."""
    (run / "calls" / "thesis.txt").touch()
    (run / "link").symlink_to("calls")
    with pytest.raises(OSError, match="link"):
        inside.remove_files(run / "link", (".jsonl",))
    assert sorted(path.name for path in (run / "calls").iterdir()) == ["main-1.jsonl", "thesis.txt"]
    inside.remove_files(run / "calls", (".jsonl",))
    assert [path.name for path in (run / "calls").iterdir()] == ["thesis.txt"]
