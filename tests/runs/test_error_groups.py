"""What errors are counted by: the fault's cause, or type and place, not a text that differs in each."""

from __future__ import annotations

import pytest

from pytest_fcpivot.report.failure import explain_error
from pytest_fcpivot.runs.error_groups import group_of
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally


def _raised(text: str) -> str:
    """Return what is shown of an exception of this module."""
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError(f"no answer to {text}") from KeyError(text)
    return explain_error("agent", raised.value)


def test_an_exception() -> None:
    """An exception is named by its type and the place that it comes from, whatever its text and its reason are."""
    groups = {group_of(None, _raised(text))[0] for text in ("one", "two: three", "  x.py:1 in f")}
    (group,) = groups
    assert group.startswith("RuntimeError at test_error_groups.py:")
    assert group.endswith(" in _raised")
    assert group_of(None, _raised("one"))[1] == "no answer to one"


@pytest.mark.parametrize(
    ("cause", "error", "group"),
    [
        ("timeout", "no answer within 300 s", ("timeout", "")),
        ("http 500", "http 500 in 6 attempts: the agent raised E: x\n  a.py:3 in f", None),
        (None, "the agent called sys.exit(3)\n  /a/b c.py:3 in f: sys.exit(3)", "SystemExit at b c.py:3 in f"),
        (None, "AssertionError: assert 3\n  C:\\a\\test_x.py:3 in test_y", "AssertionError at test_x.py:3 in test_y"),
        (None, "two words\n  /a/test_x.py:3 in test_y", "error at test_x.py:3 in test_y"),
        (None, "request 7f3a9c12e4 failed after 3.5 s", "request N failed after N s"),
        (None, None, ""),
    ],
)
def test_other_errors(cause: str | None, error: str | None, group: str | tuple[str, str] | None) -> None:
    """A fault of the service goes by its cause, a text without a place by itself, without its numbers."""
    found = group_of(cause, error)
    wanted = cause if group is None else group
    assert (found if isinstance(wanted, tuple) else found[0]) == wanted


def test_the_text_that_stands_for_a_group() -> None:
    """The text that is shown of a group is the same in whatever order the errors come."""
    lines = [f"the agent raised E: text {n}\n  /a/m.py:3 in f" for n in (3, 1, 2)]
    for order in (lines, lines[::-1]):
        tally = Tally()
        for number, line in enumerate(order):
            tally.count(CaseRecord(f"p{number}", "t", "message", None, error=line), f"d::p{number}", passed=False)
        assert tally.error_causes == {"E at m.py:3 in f": 3}
        assert tally.error_texts == {"E at m.py:3 in f": ("text 1", True)}
