"""The mark of a run that was made here, and the key it is made with."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.runs.trust import MARK, Key, Origin, find_key, origin, written

if TYPE_CHECKING:
    from collections.abc import Callable

KEY, OTHER_KEY = Key(b"k" * 32), Key(b"o" * 32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),  # with lone surrogates
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
DESCRIPTION = {"format": 1, "options": {"fc_agent": "mine:answer"}, "repeats": 1}


def _read(content: bytes) -> Any:
    return json.loads(content)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8).filter(lambda name: name != MARK), JSON, max_size=5))
def test_what_is_written_verifies_by_its_own_key_alone(description: dict[str, Any]) -> None:
    """Any description that is written, odd numbers and halves of characters too, is known by the key, and no other."""
    content = written(description, KEY)
    assert origin(content, _read(content), KEY) is Origin.HERE
    assert origin(content, _read(content), OTHER_KEY) is Origin.OTHER
    assert origin(content, _read(content), Key(None, "no home")) is Origin.UNCHECKED
    plain = written(_read(content))
    assert origin(plain, _read(plain), KEY) is Origin.UNMARKED


MARKED = written(DESCRIPTION, KEY)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace(b"mine:answer", b"evil:answer"), id="another agent"),
        pytest.param(lambda text: text.replace(b'"repeats": 1', b'"repeats": 1.0'), id="an equal number"),
        pytest.param(lambda text: text.replace(b'"repeats": 1', b'"repeats": 1e999'), id="a number without end"),
        pytest.param(
            lambda text: text.replace(b'"format": 1,', b'"format": 1,\n  "options": {"fc_agent": "evil:answer"},'),
            id="a member twice, the right one last",
        ),
        pytest.param(lambda text: text.replace(b'"options"', b'"option\\u0073"'), id="another spelling"),
        pytest.param(lambda text: text + b"\n", id="white space"),
        pytest.param(lambda text: json.dumps(json.loads(text)).encode(), id="formatted anew"),
        pytest.param(
            lambda text: json.dumps(json.loads(text) | {MARK: "0" * 64}, indent=2).encode(), id="a made-up mark"
        ),
        pytest.param(lambda text: json.dumps(json.loads(text) | {MARK: ["0"]}, indent=2).encode(), id="a list as mark"),
        pytest.param(
            lambda text: json.dumps(json.loads(text) | {MARK: "ä"}, indent=2).encode(), id="a mark in no ASCII"
        ),
        pytest.param(
            lambda text: json.dumps(json.loads(text) | {"new": 1}, indent=2).encode() + b"\n", id="a new member"
        ),
    ],
)
def test_a_changed_description_is_not_made_here(change: Callable[[bytes], bytes]) -> None:
    """Any change of run.json, be it one that means the same, makes it one that was not made here."""
    changed = change(MARKED)
    assert changed != MARKED
    assert origin(changed, _read(changed), KEY) is Origin.OTHER


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty state directory, which is this user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("FC_CACHE_DIR", raising=False)
    return tmp_path / "state"


def test_the_key_is_made_once_and_is_private(state: Path) -> None:
    """A key is made only where one is asked for; it is random, and nobody else's to read."""
    assert find_key() == Key(None, f"there is no {state / 'pytest-fcpivot' / 'run-key'}")
    assert not state.exists()
    key = find_key(make=True)
    assert key.secret is not None
    assert find_key(make=True) == find_key() == key
    folder = state / "pytest-fcpivot"
    assert [path.name for path in folder.iterdir()] == ["run-key"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "run-key")] == [0o700, 0o600]
    assert key.secret.hex() not in repr(key)
    (folder / "run-key").unlink()
    assert find_key(make=True) != key


def test_processes_that_begin_at_once_get_one_key(state: Path) -> None:
    """Of many that make the key at the same moment one wins, and no other sees a part of it."""
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda _: find_key(make=True).secret, range(64)))
    assert len({*keys}) == 1
    assert None not in keys


def test_without_hard_links(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no hard links, the key is made all the same."""

    def link(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert find_key(make=True).secret is not None
    assert [path.name for path in (state / "pytest-fcpivot").iterdir()] == ["run-key"]


def _state(folder: Path) -> tuple[int, int, list[str]]:
    status = os.lstat(folder)
    return status.st_ino, status.st_mode, sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _as_file(folder: Path) -> None:
    (folder / "run-key").unlink()
    folder.rmdir()
    folder.touch()


def _as_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


_BAD_KEYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (lambda path: _replace(path, lambda p: p.symlink_to("/dev/urandom")), "a link or no plain file"),
    "a pipe": (lambda path: _replace(path, os.mkfifo), "a link or no plain file"),
    "a directory": (lambda path: _replace(path, Path.mkdir), "a link or no plain file"),
    "for others too": (lambda path: path.chmod(0o640), "can be read by others"),
    "short": (lambda path: path.write_bytes(b"k" * 31), "does not have 32 bytes"),
    "empty": (lambda path: path.write_bytes(b""), "does not have 32 bytes"),
    "long": (lambda path: path.write_bytes(b"k" * 33), "does not have 32 bytes"),
    "a folder for others": (lambda path: path.parent.chmod(0o777), "can be written by others"),
    "a folder that is a file": (lambda path: _as_file(path.parent), "is a link, or not a directory"),
    "a folder that is a link": (lambda path: _as_link(path.parent), "is a link, or not a directory"),
}


@pytest.mark.parametrize("case", _BAD_KEYS)
def test_a_key_that_is_not_private_is_not_used(state: Path, case: str) -> None:
    """What is not this user's own private key is left as it is and not used, with the reason in one line."""
    path = state / "pytest-fcpivot" / "run-key"
    assert find_key(make=True).secret is not None
    spoil, reason = _BAD_KEYS[case]
    spoil(path)
    before = _state(path.parent)
    for make in (False, True):
        key = find_key(make=make)
        assert key.secret is None
        assert reason in key.trouble
        assert "\n" not in key.trouble
    assert _state(path.parent) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["pytest-fcpivot", "pytest-fcpivot/run-key"])
def test_a_key_of_another_user(state: Path, name: str) -> None:
    """A key, or a directory of it, that belongs to somebody else is not used."""
    find_key(make=True)
    os.chown(state / name, 12345, 12345)
    assert "belongs to another user" in find_key(make=True).trouble
    if name == "pytest-fcpivot":
        (state / name).rename(state / "away")
        os.chown(state, 12345, 12345)
        assert "belongs to another user" in find_key(make=True).trouble
        assert not (state / name).exists()


def test_places_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No home, a home that is a file, a relative directory and the shared cache: no key, or that of the home."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert find_key(make=True).secret is not None
    assert (home / ".local" / "state" / "pytest-fcpivot" / "run-key").is_file()
    assert not (tmp_path / "relative").exists()
    (tmp_path / "to-home").symlink_to(home)
    for cache in (home, tmp_path / "to-home" / ".local"):
        monkeypatch.setenv("FC_CACHE_DIR", str(cache))
        assert "is inside FC_CACHE_DIR" in find_key(make=True).trouble
    monkeypatch.delenv("FC_CACHE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", ".")  # which a downloaded project would have brought
    assert "not an absolute path" in find_key(make=True).trouble
    assert not (tmp_path / ".local").exists()
    (tmp_path / "file").touch()
    for odd, reason in (("file", "Not a directory"), ("/proc/nobody", "No such file"), ("~nobody-here\0", "null byte")):
        monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path / odd), "XDG_STATE_HOME": ""})
        key = find_key(make=True)
        assert key.secret is None
        assert reason in key.trouble, key.trouble
