"""The command that shows a test: it can be copied, whatever the names are."""

from __future__ import annotations

import json
import subprocess

import pytest

from pytest_fcpivot.core.model import Action, Pivot
from pytest_fcpivot.report.failure import last_turns
from pytest_fcpivot.report.show_command import show_command

NAMES = ["t1-d0", "-x", "--full", "$(touch here)", "a b; c", "it's", "f.jsonl::t1-d0[r2]"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_names(name: str) -> None:
    """A shell hands each name to the command as one word, which is not taken for an option."""
    written = subprocess.run(
        ["/bin/sh", "-c", show_command("run", name).replace("fcpivot", "printf '%s\\n'", 1)],
        capture_output=True,
        text=True,
        check=True,
    )
    words = written.stdout.splitlines()
    assert words[-2:] == ["run", name]
    assert ("--" in words[:-2]) is name.startswith("-")


def test_a_failure_names_the_command() -> None:
    """The command below the last turns of a failure is quoted; an id that cannot be seen is not in it."""
    said = [{"role": "user", "content": f"turn {n}"} for n in range(30)]
    for pivot_id, written in (("t1", "fcpivot show t1"), ("$(x)", "fcpivot show '$(x)'"), ("a\x1bb", "fcpivot show")):
        pivot = Pivot(pivot_id, "t", Action(message="yes"), json.dumps(said))
        assert f"; {written} shows them" in last_turns(pivot)
