"""`fcpivot plan`, as a user meets it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.cli import main
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.runs.directory import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path


def baseline(here: Path, *, sha256: str | None = None, tokens: bool = True) -> Path:
    """Write a complete run of the sample, in which every third answer is wrong."""
    store = open_store(SAMPLE_PATH)
    entries = store.index()
    name = {"name": "sample", "path": "sample", "pivots": 314, "selected": 314}
    about = {
        "format": 1,
        "agent": "a",
        "grader": {"name": "nemo-gym:first-call", "settings": {}},
        "data": [name | {"sha256": sha256 or store.content_hash(SAMPLE_PATH)}],
        "repeats": 1,
        "options": {},
        "counts": {"selected": 314, "not_run": 0},
        "sessions": [{"started": "2026-01-01", "ended": "2026-01-01", "exit_status": 1}],
    }
    store.close()
    run = RunDirectory(here / "run")
    run.path.mkdir()
    (run.path / "run.json").write_text(json.dumps(about))
    usage = {"usage": {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 50, "reasoning_tokens": 0}}
    lines = [
        {
            "test": f"sample::{entry.id}",
            "pivot_id": entry.id,
            "trajectory_id": entry.trajectory_id,
            "expected": entry.expected_type,
            "outcome": "passed" if number % 3 else "failed",
            "repeat": 1,
            "reward": float(number % 3 > 0),
            **(usage if tokens else {}),
        }
        for number, entry in enumerate(entries)
    ]
    run.results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run.path


def test_a_data_file_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing else, a drop of 0.01 is planned for, and what is assumed is told."""
    assert main(["plan", "sample"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sample: 314 pivots in 49 trajectories of up to 10"
    assert lines[1] == "based on: mean 0.8 (assumed), correlation 0.3 (assumed), flips 0.12 (assumed)"
    assert lines[3] == "--fc-max-drop=0.01"
    assert "this gate cannot decide" in lines[-3]
    assert lines[-1] == "a whole run makes 314 calls"


def test_with_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run brings its mean, its correlation and its tokens, so that the cost is known."""
    run = baseline(tmp_path)
    gate = ["--fail-under=0.6", f"--baseline={run}", "--max-drop=0.05", "--flips=5%", "--price=1/0.5/10"]
    assert main(["plan", "sample", *gate]) == 0
    text = capsys.readouterr().out
    taken = r"^based on: mean 0.6656 \(the baseline's\), correlation \S+ \(the baseline's\), flips 0.05 \(--flips\)$"
    assert re.search(taken, text, re.MULTILINE)
    assert text.index("--fc-fail-under=0.6\n") < text.index("--fc-max-drop=0.05\n")
    # 314 calls of 600 new tokens, 400 cached ones, and 50 written
    assert "a whole run makes 314 calls, at 1,000 tokens read and 50 written each: 0.41 USD\n" in text


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as JSON; another seed gives other figures, and the same seed the same."""
    found = []
    for seed in ("0", "0", "1"):
        assert main(["plan", "sample", "--fail-under=0.8", f"--seed={seed}", "--format=json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] != found[2]
    assert (found[0]["pivots"], found[0]["trajectories"]) == (314, 49)
    (rule,) = found[0]["rules"]
    assert (rule["rule"], rule["calls"], rule["cost"]) == ("--fc-fail-under=0.8", 314, None)
    assert set(rule["rows"][0]) == {"truth", "words", "asked"}


def test_tokens_that_are_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A price without tokens is no cost; that is told, with what to give."""
    run = baseline(tmp_path, tokens=False)
    assert main(["plan", "sample", "--fail-under=0.8", f"--baseline={run}", "--price=1/10"]) == 0
    assert "are unknown, so is their cost: give them as --tokens=IN/OUT" in capsys.readouterr().out
    assert main(["plan", "sample", "--fail-under=0.8", "--price=1/10", "--tokens=1000/100"]) == 0
    assert capsys.readouterr().out.endswith("at 1,000 tokens read and 100 written each: 0.63 USD\n")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--fail-under=80"], "--fail-under=80: must be from 0 to 1; write 0.80 or 80%"),
        (["--fail-under=1"], "--fail-under=1: write a mean reward between 0 and 1"),
        (["--max-drop=abc"], "--max-drop=abc: write a number from 0 to 1"),
        (["--correlation=0.95"], "--correlation=0.95: must be from 0 to 0.9"),
        (["--alpha=0.7"], "--alpha=0.7: write a probability between 0 and 0.5"),
        (["--price=x"], "--price=x: write the prices of a million tokens"),
        (["--tokens=12"], "--tokens=12: write the tokens that a call reads and writes, as in 1200/60"),
        (["--baseline=gone"], "--baseline=gone: there is no such run"),
    ],
)
def test_bad_input(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused by name, with what to write."""
    assert main(["plan", "sample", *given]) == 2
    assert capsys.readouterr().err.startswith(f"fcpivot: {message}")


def test_a_baseline_of_other_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of other data says nothing about this file."""
    run = baseline(tmp_path, sha256="b" * 64)
    assert main(["plan", "sample", f"--baseline={run}"]) == 2
    assert f"--baseline={run}: this run is of other data (sha256 {'b' * 16})" in capsys.readouterr().err
