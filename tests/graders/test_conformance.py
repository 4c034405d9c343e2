"""`fcpivot conformance`, for real: the project's own verdicts, the verifier's if they are at hand, and broken files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from pytest_fcpivot.cli import main

PROJECT = Path(__file__).resolve().parents[2]
OWN = PROJECT / "fixtures" / "conformance.jsonl"
VECTORS = PROJECT.parent / "shared" / "vectors"

CASE: dict[str, Any] = {
    "id": "case-1",
    "expected_action": {"type": "function_call", "name": "find", "arguments": '{"n": 1}'},
    "output": [{"type": "function_call", "name": "find", "arguments": '{"n": 1}'}],
    "config": {"word_count_similarity_threshold": 0.1},
    "reward": 1.0,
    "category": "EXPECTED_TOOL_CALL",
    "first_call": {"reward": 1.0, "category": "EXPECTED_TOOL_CALL"},
}


def write(path: Path, *cases: Any) -> str:
    """Write cases, text as it is, and return the file's name."""
    lines = [case if isinstance(case, str) else json.dumps(case) for case in cases]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def test_own_cases_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """Every case of our own, whose verdicts come from brute force, is judged alike."""
    cases = [json.loads(line) for line in OWN.read_text("utf-8").splitlines()]
    assert main(["conformance", str(OWN)]) == 0
    assert f"{len(cases)} of {len(cases)} cases agree" in capsys.readouterr().out


def test_own_cases_cover_the_rules() -> None:
    """Our own cases have every category, every reward mode under every tolerance, and both versions."""
    cases = [json.loads(line) for line in OWN.read_text("utf-8").splitlines()]
    categories = Counter(case["category"] for case in cases)
    assert len(cases) >= 300
    assert len(categories) == 13
    assert min(categories.values()) >= 2
    switches = {
        (config["parallel_tool_call_reward_mode"], config["allow_subset"], config["allow_superset"])
        for case in cases
        if len(config := case["config"]) > 1
    }
    assert len(switches) == 12
    assert sum("first_call" in case for case in cases) >= 100


def test_own_cases_are_what_the_script_writes() -> None:
    """The file on disk is the one that its script gives for its seed."""
    script = PROJECT / "fixtures" / "make_conformance.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not VECTORS.exists(), reason="the verifier's own verdicts are not part of the project")
@pytest.mark.parametrize("name", ["nemo_gym", "nemo_gym_batches"])
def test_verifier_cases_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All 4,000 verdicts of NVIDIA's own verifier agree, reward and category; and those on batches that overlap."""
    assert main(["conformance", str(VECTORS / f"{name}.jsonl.gz")]) == 0
    assert "4000 of 4000 cases agree" in capsys.readouterr().out


def test_the_command_is_installed(tmp_path: Path) -> None:
    """`fcpivot` is a console script, and a child process of it reports agreement with exit code 0."""
    (script,) = entry_points(group="console_scripts", name="fcpivot")
    assert script.load() is main
    file = write(tmp_path / "cases.jsonl", CASE)
    command = [sys.executable, "-m", "pytest_fcpivot.cli", "conformance", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 1 cases agree" in done.stdout


def test_gzip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A compressed file is read as it is."""
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(CASE) + "\n\n" + json.dumps(CASE)).encode()))
    assert main(["conformance", str(path)]) == 0
    assert "2 of 2 cases agree" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"reward": 0.0}, ["case-1 (any-order)", "expected 0 EXPECTED_TOOL_CALL", "got 1 EXPECTED_TOOL_CALL"]),
        ({"category": "UNEXPECTED_TOOL"}, ["case-1 (any-order)", "UNEXPECTED_TOOL", "got 1 EXPECTED_TOOL_CALL"]),
        (
            {"first_call": {"reward": 0.0, "category": "UNEXPECTED_TOOL"}},
            ["case-1 (first-call)", "expected 0 UNEXPECTED_TOOL"],
        ),
        ({"reward": 1.0 + 1e-6}, ["case-1 (any-order)"]),
    ],
)
def test_a_wrong_verdict_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], parts: list[str]
) -> None:
    """A file with one verdict that we do not share names the case, both verdicts, and exits 1."""
    file = write(tmp_path / "cases.jsonl", {**CASE, "id": "case-0"}, {**CASE, **change})
    assert main(["conformance", file]) == 1
    out = capsys.readouterr().out
    assert "1 of 2 cases agree" in out
    assert "case-0" not in out
    for part in parts:
        assert part in out


def test_many_wrong_verdicts_stay_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of many disagreements the first are listed and the rest counted."""
    file = write(tmp_path / "cases.jsonl", *({**CASE, "id": f"case-{n}", "reward": 0.0} for n in range(50)))
    assert main(["conformance", file]) == 1
    out = capsys.readouterr().out
    assert "0 of 50 cases agree" in out
    assert "case-0 " in out
    assert "30 more" in out
    assert len(out.splitlines()) < 30


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        pytest.param("{oops", ["not JSON"], id="not JSON"),
        pytest.param("[]", ["not a conformance case", "expected_action"], id="no object"),
        pytest.param("{}", ["not a conformance case", "expected_action"], id="empty object"),
        *(
            pytest.param({k: v for k, v in CASE.items() if k != key}, ["not a conformance case", key], id=f"no {key}")
            for key in ("expected_action", "output", "reward", "category")
        ),
        pytest.param({**CASE, "output": 3}, ["not a conformance case", "int"], id="output is a number"),
        pytest.param({**CASE, "reward": "full"}, ["not a conformance case"], id="reward is text"),
        pytest.param({**CASE, "reward": None}, ["not a conformance case"], id="reward is null"),
        pytest.param({**CASE, "reward": 10**400}, ["not a conformance case"], id="reward is huge"),
        pytest.param({**CASE, "config": {"similarity": 1}}, ["not a conformance case", "similarity"], id="setting"),
        pytest.param({**CASE, "config": 7}, ["not a conformance case"], id="config is a number"),
        pytest.param({**CASE, "expected_action": {"type": "x"}}, ["not a conformance case", "'x'"], id="type"),
        pytest.param({**CASE, "first_call": None}, ["not a conformance case"], id="first_call is null"),
    ],
)
def test_broken_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: Any, parts: list[str]) -> None:
    """A line that is no case is named by file and number, with exit code 2 and nothing on standard output."""
    file = write(tmp_path / "cases.jsonl", CASE, line)
    assert main(["conformance", file]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith(f"fcpivot: {file}:2:")
    for part in parts:
        assert part in streams.err


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("missing.jsonl", None, ["missing.jsonl", "cannot be read"]),
        ("empty.jsonl", b"", ["empty.jsonl", "no cases"]),
        ("blank.jsonl", b"\n\n", ["blank.jsonl", "no cases"]),
        ("plain.jsonl.gz", b"{}\n", ["plain.jsonl.gz", "damaged"]),
        ("cut.jsonl.gz", gzip.compress(json.dumps(CASE).encode() * 50)[:-20], ["cut.jsonl.gz", "damaged"]),
        ("latin.jsonl", '{"id": "é"}'.encode("latin-1"), ["latin.jsonl:1", "UTF-8"]),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, parts: list[str]
) -> None:
    """A file that is missing, empty or damaged is reported in one line with exit code 2."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["conformance", str(path)]) == 2
    error = capsys.readouterr().err
    for part in parts:
        assert part in error
    assert "Traceback" not in error


@pytest.mark.parametrize("arguments", [[], ["conformance"], ["conformity", "x"], ["conformance", "a", "b"]])
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Wrong arguments show the usage and exit 2."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: fcpivot" in capsys.readouterr().err
