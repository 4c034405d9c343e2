"""Runs that this user may not change, or not read: what needs to read alone works, and the rest says what is wrong."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.described import RUN_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = {
    "id": "p",
    "responses_create_params": {"input": [{"role": "user", "content": "hi"}], "tools": []},
    "expected_action": {"type": "message", "content": "hello"},
}
AGENT = "def answer(pivot):\n    return 'hello'\n"
NOBODY = 65534
# Runs commands one after the other, for a process takes longer to begin than they take.
COMMANDS = """
import contextlib, io, json, sys
import pytest
from pytest_fcpivot import cli

told = []
for program, *arguments in json.load(sys.stdin):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = (cli.main if program == "fcpivot" else pytest.main)(arguments)
    told.append((int(code), shown.getvalue()))
json.dump(told, sys.stdout)
"""
OPTIONS = ("--fc-data=data.jsonl", "-p", "no:cacheprovider", "-p", "no:xdist")
WANTED = {
    # Nothing but reading is needed of a run, whoever owns it.
    ("fcpivot", "merge", "mine", "-o", "elsewhere/merged"): (0, "merged: 1 run, 1 result"),
    ("fcpivot", "audit", "mine"): (0, "1 graded answers"),
    ("pytest", "--fc-replay=mine", "--fc-run=elsewhere/replay", *OPTIONS): (0, "run recorded in elsewhere/replay"),
    # What cannot be read, or not be written where that is needed, is told by name.
    ("fcpivot", "merge", "shut", "-o", "elsewhere/m"): (2, "shut: cannot be read: Permission denied"),
    ("fcpivot", "audit", "shut"): (2, "shut: cannot be read: Permission denied"),
    ("fcpivot", "audit", "half"): (2, "half/results.jsonl: cannot be read: Permission denied"),
    ("pytest", "--fc-replay=shut", *OPTIONS): (4, "shut: cannot be read: Permission denied"),
    ("pytest", "--fc-replay=shut/results.jsonl", *OPTIONS): (
        4,
        "shut/results.jsonl: cannot be read: Permission denied",
    ),
    ("pytest", "--fc-resume=mine", "--fc-agent=agent:answer", *OPTIONS): (
        4,
        "mine: the run cannot be resumed: Permission denied",
    ),
}


def _write_run(path: Path, data: Path) -> None:
    path.mkdir()
    described = {"name": data.name, "path": str(data), "sha256": hashlib.sha256(data.read_bytes()).hexdigest()}
    description = {
        "format": RUN_FORMAT,
        "agent": "agent:answer",
        "grader": {"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.1}},
        "data": [described | {"pivots": 1, "selected": 1}],
        "repeats": 1,
        "options": {"fc_agent": "agent:answer"},
        "sessions": [{"started": "2026", "ended": "2026", "exit_status": 0}],
        "counts": {"selected": 1, "passed": 1, "failed": 0, "errors": 0, "not_run": 0, "skipped": 0},
    }
    line = {"test": "data.jsonl::p", "pivot_id": "p", "trajectory_id": "p", "repeat": 1, "expected": "message"}
    line |= {"outcome": "passed", "reward": 1.0, "output": "hello", "action": {"type": "message", "content": "hello"}}
    (path / "run.json").write_text(json.dumps(description))
    (path / "results.jsonl").write_text(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def told() -> Iterator[list[tuple[int, str]]]:
    """Return exit code and text of each command, over runs that can be read and no more, or not even that.

    They are another user's, if this one is root, who lays down the powers by which modes mean nothing to it.
    """
    if sys.platform != "linux":
        pytest.skip("lays down powers as Linux has them")
    base = Path(tempfile.mkdtemp())
    try:
        (base / "data.jsonl").write_text(json.dumps(ROW) + "\n")
        (base / "agent.py").write_text(AGENT)
        for name in ("mine", "shut", "half"):
            _write_run(base / name, base / "data.jsonl")
        (base / "elsewhere").mkdir()
        for path in (base, *base.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        (base / "elsewhere").chmod(0o777)
        (base / "half" / "results.jsonl").chmod(0)
        (base / "shut").chmod(0)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("FC_", "PYTEST_"))}
        here = {"FC_CACHE_DIR": str(base / "elsewhere/cache"), "XDG_STATE_HOME": str(base / "elsewhere")}
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS],
            input=json.dumps(list(WANTED)),
            cwd=base,
            env=plain | here | {"PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=_obey_modes if os.geteuid() == 0 else None,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        yield json.loads(done.stdout)
    finally:
        for name in ("", "mine", "shut", "half", "elsewhere"):
            (base / name).chmod(0o700)
        shutil.rmtree(base)


def _obey_modes() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for power in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        if libc.prctl(24, power, 0, 0, 0):  # PR_CAPBSET_DROP: what the program that is run next cannot have
            raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.parametrize(
    "number", range(len(WANTED)), ids=[" ".join(command[:3]).replace("/", "-") for command in WANTED]
)
def test_closed_runs(told: list[tuple[int, str]], number: int) -> None:
    """A run that can only be read is joined, audited and replayed; what is closed is told, with its own exit code."""
    code, text = list(WANTED.values())[number]
    assert told[number][0] == code, told[number][1]
    assert text in told[number][1]
    assert "Traceback" not in told[number][1]
