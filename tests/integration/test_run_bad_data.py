"""Data that cannot be used: refused with file, line and reason, or skipped and counted where the user says so."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.data import progress

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]


def _refused(project: Project, name: str, *args: str) -> str:
    result = project.run_here("--fc-agent=asks", f"--fc-data={name}", *args)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    return result.stderr.str()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", "empty.jsonl: no pivots in it"),
        ("blank.jsonl", b"\n  \n\n", "blank.jsonl: no pivots in it"),
        ("empty.parquet", b"", "empty.parquet: cannot be read as parquet"),
        ("garbage.parquet", b"PAR1" + b"garbage" * 20, "garbage.parquet: cannot be read as parquet"),
        ("text.parquet", b'{"a": 1}\n', "text.parquet: cannot be read as parquet"),
        ("not.jsonl.gz", b'{"a": 1}\n', "not.jsonl.gz: damaged after line 0 (4 of 9 bytes read): not gzip data"),
        ("empty.jsonl.gz", b"", "empty.jsonl.gz: damaged after line 0 (0 of 0 bytes read): the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read(project: Project, name: str, content: bytes, message: str) -> None:
    """A file that is empty or damaged is refused by its name."""
    (project.path / name).write_bytes(content)
    assert message in _refused(project, name)


def test_a_truncated_download(project: Project) -> None:
    """A gzip file that ends too soon is named, with the line that was last whole and what to do."""
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in project.trajectories(*[5] * 200)).encode())
    (project.path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    message = _refused(project, "cut.jsonl.gz")
    assert "cut.jsonl.gz: damaged after line " in message
    assert "fetch the file again" in message


def test_a_parquet_file_of_something_else(project: Project) -> None:
    """A parquet file with other columns is refused by its first rows."""
    project.data([{"question": "why?", "answer": "because"}], "other.parquet")
    message = _refused(project, "other.parquet")
    assert "other.parquet:1: no responses_create_params object with expected_action, " in message
    assert message.count("; the row has the keys question, answer\n")


BROKEN: list[tuple[Any, str]] = [
    ('{"responses_create_params": ', "not JSON: "),
    (b"\xff\xfe", "not UTF-8: "),
    ([1, 2], "a row must be an object, not an array"),
    ({"expected_action": {"type": "message", "content": "x"}}, "no responses_create_params object"),
    ({"responses_create_params": {"input": "hello"}}, "no expected_action object"),
    (
        {"responses_create_params": {"input": []}, "expected_action": {"type": "message", "content": "x"}},
        "no responses",
    ),
    (("input", [3]), "responses_create_params.input: every item must be an object"),
    (("tools", "many"), "responses_create_params.tools must be a list of objects"),
    ({"type": "message", "content": None}, "expected_action: the content of a message must be a string, not null"),
    ({"type": "shrug"}, "expected_action: unknown type 'shrug'; known: message, function_call, function_call_batch"),
    ({"type": "function_call", "arguments": "{}"}, "expected_action: a call needs a name, a string"),
    ({"type": "function_call", "name": "add", "arguments": {}}, "arguments must be a JSON string, not an object"),
    ({"type": "function_call", "name": "add", "arguments": "{"}, "the arguments of 'add' are not JSON: "),
    ({"type": "function_call_batch", "calls": []}, "expected_action: a function_call_batch needs a list of calls"),
]


def _write_broken(project: Project) -> dict[int, str]:
    """Write good rows around every broken one; return the reasons by line."""
    good = project.row("say hello", id="good")
    lines: list[bytes] = [json.dumps(good).encode()]
    reasons = {}
    for broken, reason in BROKEN:
        if isinstance(broken, bytes):
            line = broken
        elif isinstance(broken, str):
            line = broken.encode()
        else:
            row = broken
            if isinstance(broken, tuple):
                params = good["responses_create_params"] | {broken[0]: broken[1]}
                row = good | {"id": "broken", "responses_create_params": params}
            elif isinstance(broken, dict) and "type" in broken:
                row = good | {"id": "broken", "expected_action": broken}
            line = json.dumps(row).encode()
        lines.append(line)
        reasons[len(lines)] = reason
    lines.append(json.dumps(good).encode())
    reasons[len(lines)] = "duplicate id 'good', first on line 1"
    lines.append(json.dumps(project.row('call add {"a": 1}', id="last")).encode())
    (project.path / "pivots.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return reasons


def test_broken_rows_are_refused(project: Project) -> None:
    """Broken rows are listed by file, line and reason, the first ten of them, with the way out."""
    reasons = _write_broken(project)
    message = _refused(project, "pivots.jsonl")
    shown = [line for line in message.split("\n") if "pivots.jsonl:" in line]
    assert len(shown) == 10
    for line, (number, reason) in zip(shown, reasons.items(), strict=False):
        assert f"pivots.jsonl:{number}: {reason}" in line
    assert f"and {len(reasons) - 10} more" in message
    assert f"{len(reasons)} broken rows; correct the file, or pass --fc-bad-rows=skip" in message


def test_broken_rows_are_skipped(project: Project, workers: list[str]) -> None:
    """--fc-bad-rows=skip runs the good rows and counts the broken ones in the header, each time."""
    reasons = _write_broken(project)
    args = ["--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-bad-rows=skip", *workers]
    for _ in range(2 if not workers else 1):
        result, outcomes = project.run_cases(*args)
        assert outcomes == {"good": "passed", "last": "failure"}
        result.stdout.fnmatch_lines(
            [f"fcpivot: pivots.jsonl (2 of 2 pivots, {len(reasons)} broken rows skipped); agent asks; *"]
        )


def test_skipping_does_not_outlive_its_run(project: Project) -> None:
    """A file whose broken rows were skipped once is refused without the option, and read once it is corrected."""
    _write_broken(project)
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-bad-rows=skip").assert_outcomes(
        passed=1, failed=1
    )
    assert "broken rows; correct the file" in _refused(project, "pivots.jsonl")
    project.data(project.trajectories(1))
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks").assert_outcomes(passed=1)


def test_only_broken_rows(project: Project) -> None:
    """A file without a good row has no pivots, also where broken rows are skipped."""
    project.write("pivots.jsonl", '{"a": 1}\n')
    assert "pivots.jsonl: no pivots in it" in _refused(project, "pivots.jsonl", "--fc-bad-rows=skip")


def test_a_broken_file_as_a_path(project: Project) -> None:
    """A broken file that is named as a path is refused as with --fc-data."""
    project.write("pivots.jsonl", '{"a": 1}\n')
    result = project.run_here("pivots.jsonl", "--fc-agent=asks")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "pivots.jsonl:1: no responses_create_params object" in result.stderr.str()
    assert "1 broken row; correct the file" in result.stderr.str()


def test_data_that_take_long_to_prepare(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that prepares its data says how far it is, although pytest captures; data may be a link."""
    monkeypatch.setattr(progress, "_EVERY_S", {True: 0.0, False: 0.0})
    arguments = project.puppet(project.trajectories(2), "blobs/0a1b.jsonl")
    (project.path / "pivots.jsonl").symlink_to("blobs/0a1b.jsonl")
    result = project.run_here("--fc-data=pivots.jsonl", arguments[1], "-v")
    result.assert_outcomes(passed=2)
    assert "preparing pivots.jsonl: 2 rows" in result.stderr.str()
    result.stdout.fnmatch_lines(["pivots.jsonl::talk0-d0 PASSED*"])
