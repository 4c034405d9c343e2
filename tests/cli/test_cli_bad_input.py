"""Bad input to `fcpivot prepare`, as a user meets it: a line that says what, where and what to do, and no half file."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROW = {
    "id": "p",
    "responses_create_params": {"input": "Hello", "tools": []},
    "expected_action": {"type": "message", "content": "Hi."},
}
PATIENCE_S = 60
LONG_LINE = 200 * 2**20
MEMORY = 400  # MB


def prepare(
    here: Path, *arguments: str, limit: Callable[[], None] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `fcpivot prepare` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest_fcpivot.cli", "prepare", *arguments, "-o", "out.parquet"],
        cwd=here,
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(here / "hub"), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        preexec_fn=limit,
    )


def line(number: int) -> bytes:
    """Return one row as a line."""
    return json.dumps({**ROW, "id": f"p{number}"}).encode() + b"\n"


def truncated(here: Path) -> str:
    """Write a gzip file that was cut off."""
    (here / "cut.jsonl.gz").write_bytes(gzip.compress(b"".join(map(line, range(5_000))))[:-2_000])
    return "cut.jsonl.gz"


def not_utf8(here: Path) -> str:
    """Write a line in Latin-1."""
    (here / "latin.jsonl").write_bytes(line(1) + line(2).replace(b"Hi.", b"caf\xe9"))
    return "latin.jsonl"


def empty_directory(here: Path) -> str:
    """Make a directory with nothing in it."""
    (here / "nothing").mkdir()
    return "nothing"


def foreign_parquet(here: Path) -> str:
    """Write something else under the name of a parquet file."""
    (here / "other.parquet").write_bytes(b"PAR1 but no more")
    return "other.parquet"


def twice(here: Path) -> str:
    """Write two files with the same ids."""
    (here / "same").mkdir()
    for name in ("one.jsonl", "two.jsonl"):
        (here / "same" / name).write_bytes(line(1))
    return "same"


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (truncated, [], ["cut.jsonl.gz: damaged after line", "fetch the file again"]),
        (not_utf8, ["--bad-rows=refuse"], ["latin.jsonl:2: not UTF-8", "1 broken row", "--bad-rows=skip"]),
        (empty_directory, [], ["nothing: no data files in this directory", "known endings: .jsonl"]),
        (foreign_parquet, [], ["other.parquet: cannot be read as parquet"]),
        (twice, ["--bad-rows=refuse"], ["two.jsonl:1: duplicate id 'p1', first on", "one.jsonl, line 1"]),
    ],
)
def test_told_in_a_line(here: Path, make: Callable[[Path], str], options: list[str], told: list[str]) -> None:
    """Each fault is named with its place, without a traceback, and nothing is left behind."""
    done = prepare(here, make(here), *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in told:
        assert part in done.stderr
    assert not list(here.glob("*out*"))
    assert not list(here.glob(".*out*"))


def test_a_line_of_200_megabytes(here: Path) -> None:
    """An overlong line is passed over in bounded memory, and listed; the rows around it are read."""
    with (here / "long.jsonl").open("wb") as stream:
        stream.write(line(1) + b'{"id": "')
        for _ in range(LONG_LINE // 2**20):
            stream.write(b"x" * 2**20)
        stream.write(b'"}\n' + line(3))
    done = prepare(here, "long.jsonl", limit=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY * 2**20,) * 2))
    assert done.returncode == 1, done.stderr
    assert "out.parquet: 2 pivots" in done.stdout
    listed = [json.loads(entry) for entry in (here / "out.audit.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in listed] == [(2, "longer than 64 MB")]


def test_offline(here: Path) -> None:
    """With HF_HUB_OFFLINE nothing is asked for, and what to do is told."""
    done = prepare(here, "agentic-v1:tool_calling", HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert "HF_HUB_OFFLINE forbids the network" in done.stderr


def test_a_full_disk(here: Path) -> None:
    """When the disk is full the command says so, and leaves nothing half written."""
    rows = [{**ROW, "id": f"p{n}", "noise": os.urandom(2_000).hex()} for n in range(2_000)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = prepare(
        here, "rows.jsonl", limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (
        done.stderr
        == "fcpivot: out.parquet: cannot be written: File too large; make room on that disk, or write elsewhere\n"
    )
    assert not list(here.glob("*out*"))
    assert not list(here.glob(".*out*"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return an empty directory."""
    return tmp_path
