"""The grader of an audit: what is said of one that only the run names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pytest_fcpivot.audit.grader import choose


@pytest.mark.parametrize("odd", ["", "x" * 5000, "\x1b[2J", "a\nb"])
def test_a_command_is_told_whole_or_not_at_all(odd: str) -> None:
    """The command that checks the rewards can be copied: one that would be cut short or escaped is not told."""
    settings = {"k": f"a b $HOME 'x'{odd}"}
    described = {"name": "close", "spec": "mine:close", "settings": settings}
    choice = choose(Path("my run"), described, None, made_here=False)
    assert choice.grader is None
    (note,) = choice.notes
    told = note.rpartition("to check them with it: ")[2]
    assert note.isprintable()
    assert len(note) < 2000
    if odd:
        assert told == "name it, and each of its settings: --grader=SPEC --grader-option=KEY=VALUE"
    else:
        wanted = ["fcpivot", "audit", "my run", "--grader=mine:close", f"--grader-option=k={settings['k']}"]
        assert shlex.split(told) == wanted
