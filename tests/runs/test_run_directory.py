"""The directory of a run: begun once, written by one, mended when it is opened again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.described import RUN_FORMAT, read_description
from pytest_fcpivot.runs.directory import RunDirectory, now

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION: dict[str, Any] = {
    "format": RUN_FORMAT,
    "agent": "ägent",
    "grader": {"name": "nemo-gym:first-call", "settings": {}},
    "data": [],
    "repeats": 1,
    "options": {},
    "started": "2026-01-01T00:00:00+00:00",
}


def run_in(path: Path, *lines: str) -> RunDirectory:
    """Make a run with some lines in it, and close it."""
    run = RunDirectory.begin(path, DESCRIPTION)
    for line in lines:
        run.append(line)
    run.close()
    return run


def test_a_run_and_its_lines(tmp_path: Path) -> None:
    """Each line is on disk as soon as it is appended, and the description is readable ASCII JSON."""
    run = RunDirectory.begin(tmp_path / "deep" / "run", DESCRIPTION)
    for n in range(3):
        run.append(json.dumps({"n": n}))
        assert len(run.results.read_bytes().splitlines()) == n + 1
    assert run.description() == DESCRIPTION
    assert (run.path / "run.json").read_bytes().isascii()
    assert sorted(path.name for path in run.path.iterdir()) == ["results.jsonl", "run.json"]
    run.close()


@pytest.mark.parametrize("left", ["run.json", "results.jsonl"])
def test_a_run_is_not_begun_over_another(tmp_path: Path, left: str) -> None:
    """A directory that holds a run, or a part of one, is refused with the way to go on, and is left as it was."""
    run = run_in(tmp_path / "run", "{}")
    for path in run.path.iterdir():
        if path.name != left:
            path.unlink()
    before = (run.path / left).read_bytes()
    with pytest.raises(RunError, match=re.escape(f"already holds a run; pass --fc-resume={run.path} to resume")):
        RunDirectory.begin(run.path, DESCRIPTION)
    assert (run.path / left).read_bytes() == before
    assert [path.name for path in run.path.iterdir()] == [left]


def test_calls_of_another_kind_are_left(tmp_path: Path) -> None:
    """A directory whose `calls` hold something takes no run, which would remove it; a run removes only its own."""
    path = tmp_path / "calls" / "thesis.txt"
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(RunError, match=re.escape(f"--fc-run={tmp_path}: the folder calls in this directory is not")):
        RunDirectory.begin(tmp_path, DESCRIPTION)
    assert [found.name for found in tmp_path.iterdir()] == ["calls"]
    path.unlink()
    run = RunDirectory.begin(tmp_path, DESCRIPTION)
    path.write_text("mine")
    (run.calls / "main-1.jsonl").write_text("{}")
    (run.calls / "crashes.json").write_text("{}")
    run.forget_calls()
    assert [found.name for found in run.calls.iterdir()] == ["thesis.txt"]
    path.unlink()
    run.forget_calls()
    assert not run.calls.exists()
    run.close()


def test_a_run_beside_other_files(tmp_path: Path) -> None:
    """A directory with files of another kind can take a run."""
    (tmp_path / "notes.txt").write_text("mine")
    run_in(tmp_path, "{}")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_place_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    """A path where no directory can be is an error that names it and says why."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(RunError, match=r"file.*: the run cannot be recorded there: (File exists|Not a directory)"):
        RunDirectory.begin(tmp_path / where, DESCRIPTION)


@settings(deadline=None, max_examples=40)
@given(
    whole=st.lists(st.integers(0, 3000), max_size=4),
    torn=st.one_of(st.integers(0, 50), st.sampled_from([(1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_001])),
)
def test_a_torn_last_line_is_cut_off(tmp_path_factory: pytest.TempPathFactory, whole: list[int], torn: int) -> None:
    """Whole lines stay, and what is after the last one's end goes, however long; the next line follows them."""
    lines = [json.dumps("w" * length) for length in whole]
    run = run_in(tmp_path_factory.mktemp("torn") / "run", *lines)
    with run.results.open("ab") as stream:
        stream.write(b"t" * torn)
    again = RunDirectory.resume(run.path)
    assert again.repaired == torn
    again.append('"new"')
    again.close()
    assert run.results.read_text().splitlines() == [*lines, '"new"']


def test_nothing_to_mend(tmp_path: Path) -> None:
    """A run that ended well, and one whose results are gone, are opened as they are."""
    run = run_in(tmp_path / "run", "{}", "{}")
    again = RunDirectory.resume(run.path)
    assert again.repaired == 0
    again.close()
    run.results.unlink()
    again = RunDirectory.resume(run.path)
    assert again.results.read_bytes() == b""
    again.close()


def test_one_session_at_a_time(tmp_path: Path) -> None:
    """A run that is being written is not opened by another session; when that one ends, it is."""
    first = RunDirectory.begin(tmp_path / "run", DESCRIPTION)
    with pytest.raises(RunError, match="another session is writing this run; wait for it, or end it"):
        RunDirectory.resume(tmp_path / "run")
    first.append("{}")
    first.close()
    RunDirectory.resume(tmp_path / "run").close()
    assert first.results.read_text() == "{}\n"


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    """A session that was killed does not lock its run for ever."""
    script = (
        "import os, sys; from pathlib import Path; from pytest_fcpivot.runs.directory import RunDirectory as R;"
        "run = R.begin(Path(sys.argv[1]), eval(sys.argv[2])); run.append('{}'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "run"), repr(DESCRIPTION)], check=False)
    assert done.returncode == -9
    run = RunDirectory.resume(tmp_path / "run")
    assert run.results.read_text() == "{}\n"
    run.close()


FULL = """
import resource, sys
from pathlib import Path
from pytest_fcpivot.runs.directory import RunDirectory

run = RunDirectory.begin(Path(sys.argv[1]), {"format": 1})
run.append('"' + "a" * 3000 + '"')
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
try:
    run.append('"' + "b" * 100_000 + '"')
except OSError as error:
    print("refused", error.strerror)
run.append('"fits"')
"""


def test_nothing_is_left_of_a_line_that_failed(tmp_path: Path) -> None:
    """A line that the disk takes only in part is taken back whole, and a shorter one still goes in."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "run")], check=True, capture_output=True, text=True
    )
    assert done.stdout == "refused File too large\n"
    lines = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ["a" * 3000, "fits"]


def test_lines_are_ascii_whatever_is_in_them(tmp_path: Path) -> None:
    """A line that is not ASCII itself is still written, in one line."""
    run = run_in(tmp_path / "run", '"ä\ud800"')
    assert run.results.read_bytes().isascii()
    assert len(run.results.read_bytes().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"not a run's directory: it has no run\.json"),
        ("", r"run\.json: damaged, not JSON: "),
        ('{"format": 1', r"run\.json: damaged, not JSON: "),
        (b"\xff\xfe", r"run\.json: damaged, not JSON: "),
        ("[]", r"run\.json: not as pytest-fcpivot writes it: an object is needed, not \[\]"),
        ("{}", "another version of pytest-fcpivot .format null, this one reads 1."),
        ('{"format": 0}', "another version of pytest-fcpivot .format 0, this one reads 1.*or start a new run"),
        ('{"format": 99}', "a newer version of pytest-fcpivot .format 99, this one reads 1.; update this one"),
        ('{"format": "1"}', 'another version of pytest-fcpivot .format "1", this one reads 1.'),
    ],
)
def test_what_is_no_run(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    """A directory without a run of this version is refused by name, with the reason, and nothing is made in it."""
    if text is not None:
        (tmp_path / "run.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    for use in (read_description, RunDirectory.resume):
        with pytest.raises(RunError, match=message) as raised:
            use(tmp_path)
        assert str(tmp_path) in str(raised.value)
    assert not (tmp_path / "results.jsonl").exists()


def test_the_latest_run(tmp_path: Path) -> None:
    """The run that began last is the latest, whatever its name; what is no run does not count."""
    base = tmp_path / ".fcpivot"
    for name, started in [("z", "2026-01-01T00:00:00"), ("a", "2026-01-02T00:00:00"), ("m", "2025-01-01T00:00:00")]:
        RunDirectory.begin(base / name, DESCRIPTION | {"started": started}).close()
    (base / "zz").mkdir()
    (base / "zzz").write_text("")
    assert RunDirectory.latest(tmp_path) == base / "a"


def test_the_latest_of_runs_that_began_together(tmp_path: Path) -> None:
    """Of runs that began within one second too, the last one is the latest."""
    for _ in range(12):
        path = RunDirectory.new_path(tmp_path)
        RunDirectory.begin(path, DESCRIPTION | {"started": now()}).close()
        time.sleep(0.01)
    assert RunDirectory.latest(tmp_path) == path


def test_no_latest_run(tmp_path: Path) -> None:
    """Where there is no run, the message says where it was looked for and how to name one."""
    with pytest.raises(RunError, match=r"no run to resume: there is none under .*\.fcpivot; name one, as in --fc-res"):
        RunDirectory.latest(tmp_path)


def test_new_paths_sort_by_time(tmp_path: Path) -> None:
    """Every new run has a path of its own, under .fcpivot."""
    paths = [RunDirectory.new_path(tmp_path) for _ in range(50)]
    assert len(set(paths)) == 50
    assert all(re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{6}", path.name) for path in paths)
    assert {path.parent for path in paths} == {tmp_path / ".fcpivot"}


def test_git_does_not_see_runs(tmp_path: Path) -> None:
    """The default place is ignored by git; the user's own file there is left alone."""
    RunDirectory.begin(RunDirectory.new_path(tmp_path), DESCRIPTION).close()
    marker = tmp_path / ".fcpivot" / ".gitignore"
    assert "*" in marker.read_text().splitlines()
    marker.write_text("mine")
    RunDirectory.begin(RunDirectory.new_path(tmp_path), DESCRIPTION).close()
    assert marker.read_text() == "mine"


def test_an_empty_run_is_discarded(tmp_path: Path) -> None:
    """A run without a line leaves nothing; one with a line stays."""
    empty, full = (
        RunDirectory.begin(tmp_path / "empty", DESCRIPTION),
        RunDirectory.begin(tmp_path / "full", DESCRIPTION),
    )
    full.append("{}")
    assert empty.discard_if_empty()
    assert not full.discard_if_empty()
    full.close()
    assert os.listdir(tmp_path) == ["full"]  # noqa: PTH208 (names)


def test_the_description_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Nobody sees half a description, and no partial file is left."""
    run = RunDirectory.begin(tmp_path / "run", DESCRIPTION)
    run.write_description(DESCRIPTION | {"ended": "now"})
    assert run.description()["ended"] == "now"
    with pytest.raises(TypeError):
        run.write_description({"odd": object()})
    assert run.description()["ended"] == "now"
    run.close()
    assert sorted(path.name for path in run.path.iterdir()) == ["results.jsonl", "run.json"]
