"""The process that checks schemas which might run away: its verdicts, its deadline, and its end."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import SchemaVerdict
from pytest_fcpivot.schema.process import SchemaProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNAWAY = json.dumps({"pattern": "^(a+)+$"})
ENDLESS = json.dumps("a" * 40 + "!")
TOO_LONG = SchemaVerdict("unusable-schema", explanation="the check took longer than 0.3 s and was ended")


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
    begin = time.monotonic()
    assert impatient.check(RUNAWAY, ENDLESS) == impatient.check(RUNAWAY, '"a"') == TOO_LONG
    assert time.monotonic() - begin < 0.3
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
    before = spent(child)
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(process.check, RUNAWAY, ENDLESS)
        while spent(child) < before + 5:  # it has begun
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        assert checking.result() == SchemaVerdict("unusable-schema", explanation="the check ran out of memory or stack")
    assert process.check(RUNAWAY, '"a"').status == "valid"
    assert child_of(process) != child
    os.kill(child_of(process), signal.SIGKILL)  # while it waits
    process._child.wait()  # type: ignore[union-attr]
    assert process.check(RUNAWAY, '"a"').status == "valid"


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


def test_a_package_that_only_the_parent_can_import(process: SchemaProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child finds the package where the parent has it, whatever its PYTHONPATH and working directory are."""
    for path in ("", os.pathsep.join(["/nowhere", "/not/here"])):
        monkeypatch.setenv("PYTHONPATH", path)
        process.stop()
        assert process.check("{}", "1").status == "valid"
    monkeypatch.delenv("PYTHONPATH")
    process.stop()
    assert process.check("{}", "1").status == "valid"
