"""What a failing case shows: a few lines on the model's mistake, or the agent's own frames; no traceback of ours."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project"]

_DEEP = 'call find {"filters": [{"date": "2025-01-01"}, {"size": 2}, {"date": "2025-03-01"}]}'
WRONG = {
    "value": (_DEEP, _DEEP.replace("03-01", "03-02")),
    "type": ('call add {"a": 1}', 'call add {"a": "1"}'),
    "keys": ('call add {"a": 1}', 'call add {"a": 1, "b": 2}'),
    "length": (_DEEP, 'call find {"filters": []}'),
    "unknown-tool": ('call add {"a": 1}', 'call subtract {"a": 1}'),
    "broken-json": ('call add {"a": 1}', 'call add {"a": 1'),
    "several": ('call add {"a": 1}', 'call add {"a": 2} & call add {"a": 3}'),
    "message": ('call add {"a": 1}', "say which number shall I add?"),
    "call": ("say which number?", 'call add {"a": 1}'),
    "nothing": ("say which number?", "nothing"),
}


def _section(project: Project, result: pytest.RunResult, title: str) -> str:
    """Return what a session shows between the heading of this title and the next one."""
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if line.startswith("=") and title in line)
    end = next(number for number in range(start + 1, len(lines)) if lines[number].startswith("===="))
    return project.redact("\n".join(lines[start + 1 : end]))


def test_a_wrong_action(project: Project, plugin_args: list[str], same_snapshot: SnapshotAssertion) -> None:
    """A failing case shows category, first difference, the user's words, both actions and the schema verdict."""
    result = project.run_here(*project.puppet(project.rows(WRONG)), *plugin_args, "--tb=short")
    section = re.sub(r"(?m)^\[gw\d\].*\n", "", _section(project, result, "FAILURES"))
    _, *parts = re.split(r"(?m)^_+ (\S+) _+$\n", section)
    assert {name: shown.rstrip() for name, shown in zip(parts[::2], parts[1::2], strict=True)} == same_snapshot
    assert "Traceback" not in result.stdout.str()
    assert "pytest_fcpivot/" not in result.stdout.str()


def test_an_error_of_the_agent(project: Project) -> None:
    """An agent that raises shows what it raised, from what, and the frames of its own code, none of ours."""
    project.puppet(project.rows({"pivot": ("say hello", None)}))
    project.write(
        "broken.py",
        """
def answer(pivot):
    return ask(pivot, retries=3)

def ask(pivot, retries):
    try:
        raise ConnectionError("the server closed the connection")
    except ConnectionError as error:
        raise RuntimeError("no answer") from error
""",
    )
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=broken:answer")
    shown = _section(project, result, "ERRORS")
    assert (
        "the agent raised RuntimeError: no answer\n"
        "  <project>/broken.py:3 in answer: return ask(pivot, retries=3)\n"
        '  <project>/broken.py:9 in ask: raise RuntimeError("no answer") from error'
    ) in shown
    assert "the server closed the connection" in shown
    assert "During handling of the above exception" not in shown
    assert "pytest_fcpivot/" not in result.stdout.str()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("raises no connection", "the agent raised RuntimeError: no connection"),
        ("exits 3", "the agent called sys.exit('3')"),
        ("exits", "the agent called sys.exit(0)"),
        ("interrupts", "the agent raised KeyboardInterrupt"),
        ("rubbish", "cannot read an action from a float; an agent may return a string, None, Message, FunctionCall,*"),
    ],
)
def test_what_an_error_says(project: Project, told: str, said: str) -> None:
    """The first line of an error names what the agent did instead of answering, and it is said once."""
    result = project.run_here(*project.puppet(project.rows({"pivot": ("say hello", told)})))
    shown = _section(project, result, "ERRORS").split("\n")
    assert fnmatchcase(shown[1].rstrip(": "), said)
    assert len([line for line in shown if fnmatchcase(line, said)]) == 1
    assert "During handling of the above exception, another exception occurred:" not in shown


def test_long_texts_are_shortened(project: Project) -> None:
    """However much an agent writes, its failing case stays a few short lines."""
    long = "word " * 100_000
    deep = '{"a": ' * 50_000
    rows = {
        "long": ('call add {"a": 1}', f"say {long}"),
        "deep": ('call add {"a": 1}', f"call add {deep}"),
        "digits": ('call add {"a": 1}', 'call add {"a": ' + "9" * 5000 + "}"),
        "many": ('call add {"a": 1}', " & ".join(f'call add {{"a": {n}}}' for n in range(2, 500))),
        "name": ('call add {"a": 1}', f"call {'n' * 10_000} {{}}"),
        "raised": ("say hello", f"raises {long}"),
    }
    result, outcomes = project.run_cases(*project.puppet(project.rows(rows)))
    assert outcomes == {name: "error" if name == "raised" else "failure" for name in rows}
    assert len(result.outlines) < 100
    assert max(map(len, result.outlines)) < 1000
