"""The process that checks schemas which might run away: its verdicts, its deadline, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pytest_fcpivot
from pytest_fcpivot import SchemaVerdict
from pytest_fcpivot.schema.process import SchemaProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNAWAY = json.dumps({"pattern": "^(a+)+$"})
ENDLESS = json.dumps("a" * 40 + "!")
TOO_LONG = SchemaVerdict("unusable-schema", explanation="the check took longer than 0.3 s and was ended")

DIED = SchemaVerdict("unusable-schema", explanation="the check ran out of memory or stack")


@pytest.fixture
def process() -> Iterator[SchemaProcess]:
    """Give a process that nothing here makes wait as long as it may, and end it."""
    process = SchemaProcess(deadline_s=60)
    yield process
    process.stop()


@pytest.fixture
def impatient() -> Iterator[SchemaProcess]:
    """Give a process with a short deadline that tries nothing more than twice, and end it."""
    process = SchemaProcess(deadline_s=0.3, most_strikes=2)
    yield process
    process.stop()


def child_of(process: SchemaProcess) -> int:
    """Return the id of the child, which runs."""
    assert process._child is not None
    return process._child.pid


@pytest.mark.parametrize(
    ("schema", "value", "verdict"),
    [
        ({"type": "integer"}, 1, SchemaVerdict("valid")),
        (
            {"items": {"type": "integer"}},
            ["x"],
            SchemaVerdict("invalid", "$[0]", "type", "'x' is not of type 'integer'"),
        ),
        (
            {"type": "integer"},
            "é\u2028\n",
            SchemaVerdict("invalid", "$", "type", r"'é\u2028\n' is not of type 'integer'"),
        ),
        ({"$ref": "#"}, 1, None),
    ],
)
def test_verdicts(process: SchemaProcess, schema: Any, value: Any, verdict: SchemaVerdict | None) -> None:
    """A verdict comes back as it was found, in any script; a schema too deep for the child's stack is unusable."""
    found = process.check(json.dumps(schema), json.dumps(value))
    assert found == verdict or (verdict is None and found.status == "unusable-schema")


def test_one_child_does_all(process: SchemaProcess) -> None:
    """The child is started once, and goes on after verdicts of any kind."""
    children = set()
    for text in ("1", '"x"', "{", "1"):
        process.check('{"type": "integer"}', text)
        children.add(child_of(process))
    assert len(children) == 1


def test_a_runaway_is_tried_a_few_times(impatient: SchemaProcess) -> None:
    """A schema whose checks had to be ended too often is not tried again; others are checked as ever."""
    for _ in range(2):
        assert impatient.check(RUNAWAY, ENDLESS) == TOO_LONG
    assert impatient.check(RUNAWAY, ENDLESS) == impatient.check(RUNAWAY, '"a"') == TOO_LONG
    assert impatient._child is None
    assert impatient.check('{"type": "integer"}', "1") == SchemaVerdict("valid")


def test_a_runaway_is_not_given_up_at_once(impatient: SchemaProcess) -> None:
    """After a check that had to be ended, the same schema is checked with other arguments."""
    assert impatient.check(RUNAWAY, ENDLESS) == TOO_LONG
    assert impatient.check(RUNAWAY, '"aaa"') == SchemaVerdict("valid")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at the child through /proc")
def test_a_child_that_dies(process: SchemaProcess) -> None:
    """If the system ends the child in the middle of a check, the schema is unusable, and the next check is made."""
    assert process.check(RUNAWAY, '"a"').status == "valid"
    child = child_of(process)
    assert killed_while_it_checks(process) == DIED
    assert process.check(RUNAWAY, '"a"').status == "valid"
    assert child_of(process) != child
    os.kill(child_of(process), signal.SIGKILL)  # while it waits
    process._child.wait()  # type: ignore[union-attr]
    assert process.check(RUNAWAY, '"a"').status == "valid"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at the child through /proc")
def test_a_schema_that_ends_the_child() -> None:
    """A schema whose checks ended the child too often is not tried again, and the verdict says why it was given up."""
    process = SchemaProcess(deadline_s=60, most_strikes=1)
    assert process.check(RUNAWAY, '"a"').status == "valid"
    assert killed_while_it_checks(process) == DIED
    assert process.check(RUNAWAY, '"a"') == DIED
    assert process._child is None
    assert process.check('{"type": "integer"}', "1").status == "valid"
    process.stop()


def killed_while_it_checks(process: SchemaProcess) -> SchemaVerdict:
    """Return the verdict of a check that never ends, in the middle of which the child is killed."""
    child = child_of(process)
    before = spent(child)
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(process.check, RUNAWAY, ENDLESS)
        while spent(child) < before + 5:  # it has begun
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        return checking.result()


def test_a_child_that_dies_before_it_has_read_the_check(process: SchemaProcess) -> None:
    """If the child is ended while it is told what to check, the verdict says so, and the next check is made."""
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    long = json.dumps("a" * 66_000)  # more than a pipe takes
    assert process.check("{}", "1").status == "valid"
    assert process._child is not None
    assert process._child.stdin is not None
    os.kill(child_of(process), signal.SIGSTOP)
    os.waitpid(child_of(process), os.WUNTRACED)  # until it has stopped
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(process.check, "{}", long)
        written = bytearray(4)
        while not any(written):  # it has begun
            time.sleep(0.01)
            fcntl.ioctl(process._child.stdin, termios.FIONREAD, written)
        os.kill(child_of(process), signal.SIGKILL)
        explanation = "the process that checks schemas failed: [Errno 32] Broken pipe"
        assert checking.result() == SchemaVerdict("unusable-schema", explanation=explanation)
    assert process.check("{}", long).status == "valid"


@pytest.mark.parametrize(
    ("python", "reason"),
    [("/nowhere/python", "[Errno 2] No such file or directory: '/nowhere/python'"), ("true", "it did not start")],
)
def test_a_child_that_cannot_start(
    process: SchemaProcess, python: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a child no schema can be used, and the verdict says why; when it can be started again, they can be."""
    with monkeypatch.context() as changed:
        changed.setattr(sys, "executable", shutil.which(python) or python)
        explanation = f"the process that checks schemas failed: {reason}"
        assert process.check("{}", "1") == SchemaVerdict("unusable-schema", explanation=explanation)
        assert process._child is None
    assert process.check("{}", "1").status == "valid"


def spent(pid: int) -> int:
    """Return the processor time that a process has had, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return int(fields[11])


def test_stopping(process: SchemaProcess) -> None:
    """It may be stopped before it began, and again; the child is gone then, and a check starts another."""
    process.stop()
    process.check("{}", "1")
    child = process._child
    assert child is not None
    process.stop()
    process.stop()
    assert child.returncode is not None
    assert child.stdin is not None
    assert child.stdin.closed
    assert child.stdout is not None
    assert child.stdout.closed
    assert process.check("{}", "1").status == "valid"


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="looks at the child through /proc")
def test_the_child_has_a_limit_of_memory(process: SchemaProcess) -> None:
    """A check cannot take all memory of the machine."""
    process.check("{}", "1")
    limits = Path(f"/proc/{child_of(process)}/limits").read_text("utf-8")
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert line.split()[3:5] == [str(1 << 30)] * 2


def test_where_the_child_finds_modules(
    process: SchemaProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The child looks first where the parent has the package, then in PYTHONPATH; what it complains of is not shown."""
    customize = """
import sys
from pathlib import Path
Path(__file__).with_name("found.txt").write_text("\\n".join(sys.path), encoding="utf-8")
print("a complaint", file=sys.stderr)
"""
    (tmp_path / "sitecustomize.py").write_text(customize, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), "/nowhere"]))
    assert process.check("{}", "1").status == "valid"
    home = Path(pytest_fcpivot.__file__).resolve().parents[1]
    found = (tmp_path / "found.txt").read_text("utf-8").splitlines()
    assert found[:3] == [str(home), str(tmp_path), "/nowhere"]
    assert capfd.readouterr() == ("", "")


def test_a_child_that_starts_too_slowly(
    process: SchemaProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that does not begin in time is ended, and the verdict says so."""
    monkeypatch.setattr(sys.modules[SchemaProcess.__module__], "_START_DEADLINE_S", 0.1)
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(30)", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    explanation = "the process that checks schemas failed: it did not start"
    assert process.check("{}", "1") == SchemaVerdict("unusable-schema", explanation=explanation)


@pytest.mark.parametrize("noise", ["hello\\n", "\\xff\\n"], ids=["text", "no-text"])
def test_a_child_that_says_something_else(
    process: SchemaProcess, noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the user's own start-up code writes to the child's standard output, no verdict is read from that."""
    customize = f"import sys; sys.stdout.buffer.write(b'{noise}')"
    (tmp_path / "sitecustomize.py").write_text(customize, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    explanation = "the process that checks schemas failed: it did not start"
    assert process.check("{}", "1") == SchemaVerdict("unusable-schema", explanation=explanation)


def test_without_a_path_of_modules(process: SchemaProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PYTHONPATH is not set, the child finds the package all the same."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert process.check("{}", "1").status == "valid"


def checked_in_a_process(path: str, working_directory: Path | None = None) -> tuple[str, int]:
    """Let a process check a schema and end by itself, without a word; return its verdict, and its child's id."""
    script = """
from pytest_fcpivot.schema.process import _process, check_in_child
print(check_in_child("{}", "1").status, _process._child.pid)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=working_directory,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    status, child = done.stdout.split()
    return status, int(child)


def test_the_working_directory_is_no_place_of_modules(tmp_path: Path) -> None:
    """The child imports nothing from the working directory, also if PYTHONPATH is empty."""
    (tmp_path / "json.py").write_text("raise ImportError('from the working directory')", encoding="utf-8")
    assert checked_in_a_process("", tmp_path)[0] == "valid"


def test_the_child_does_not_keep_the_parent() -> None:
    """A process that has checked a schema ends by itself, and its child with it."""
    home = Path(pytest_fcpivot.__file__).resolve().parents[1]
    status, child = checked_in_a_process(str(home))
    assert status == "valid"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
