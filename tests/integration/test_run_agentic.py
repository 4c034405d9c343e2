"""--fc-grader=agentic: partial rewards in the run's file, and failure texts with paths, halves and the pairing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pivot_project import Project
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project"]

_TRIP = 'call book {"city": "Oslo", "nights": 2, "guests": ["Ava"], "note": "sea view"}'
_THREE = 'call add {"a": 1} & call find {"filters": [1]} & call book {"city": "Oslo"}'
_MANY = " & ".join(f'call add {{"a": {n}}}' for n in range(20))
TABLE: dict[str, tuple[str, str | None]] = {
    "right": (_TRIP, None),
    "loosely": (_TRIP, _TRIP.replace('"Oslo"', '" oslo, Norway"').replace("2", "2.0")),
    "value": (_TRIP, _TRIP.replace("2", "3")),
    "keys": (_TRIP, 'call book {"city": "Bergen", "nights": 2, "guests": ["Ava"], "é": 1, "late": true}'),
    "name": (_TRIP, _TRIP.replace("book", "find").replace("2", "3")),
    "broken-json": ('call add {"a": 1}', 'call add {"a": 1'),
    "nothing-right": ('call add {"a": 1}', 'call find {"b": 1}'),
    "swapped": (_THREE, " & ".join(reversed(_THREE.split(" & ")))),
    "partly": (_THREE, 'call book {"city": "Bergen"} & call subtract {"x": 1} & call add {"a": 1}'),
    "fewer": (_THREE, 'call find {"filters": [1]}'),
    "more": ('call add {"a": 1}', _THREE),
    "many": (_MANY, " & ".join([*reversed(_MANY.split(" & ")[5:]), *['call find {"filters": []}'] * 3])),
    "text": ("say your refund is on its way", "say a refund, yes"),
    "all-said": ("say your refund is on its way", "say The REFUND is on the way"),
    "call-for-text": ("say your refund is on its way", 'call add {"a": 1}'),
    "silent": ("say your refund is on its way", "nothing"),
}
REWARDS = {
    "right": 1.0,
    "loosely": 1.0,
    "value": 0.5 + 0.5 * 3 / 4,
    "keys": 0.5 + 0.5 * 2 / 6,
    "name": 0.5 * 3 / 4,
    "broken-json": 0.5,
    "nothing-right": 0.0,
    "swapped": 1.0,
    "partly": 1.5 / 3,
    "fewer": 1 / 3,
    "more": 1 / 3,
    "many": 15 / 20,
    "text": 0.5,
    "all-said": 1.0,
    "call-for-text": 0.0,
    "silent": 0.0,
}
FULL = {name for name, reward in REWARDS.items() if reward == 1.0}


def _options(project: Project, grader: str = "agentic") -> list[str]:
    return [*project.puppet(project.rows(TABLE)), f"--fc-grader={grader}", "--fc-run=run"]


def _lines(project: Project) -> dict[str, dict[str, Any]]:
    text = (project.path / "run" / "results.jsonl").read_text("utf-8")
    return {line["pivot_id"]: line for line in map(json.loads, text.splitlines())}


def _failure_texts(project: Project, result: pytest.RunResult) -> dict[str, str]:
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if line.startswith("=") and "FAILURES" in line)
    end = next(number for number in range(start + 1, len(lines)) if lines[number].startswith("===="))
    section = project.redact("\n".join(lines[start + 1 : end]))
    section = re.sub(r"(?m)^\[gw\d\].*\n", "", section)
    _, *parts = re.split(r"(?m)^_+ (\S+) _+$\n", section)
    return {name: shown.rstrip() for name, shown in zip(parts[::2], parts[1::2], strict=True)}


def test_partial_rewards(project: Project) -> None:
    """Each case has its partial reward on disk; below 1 it fails; the summary has their mean and claims no identity."""
    result, outcomes = project.run_cases(*_options(project))
    assert {name: line["reward"] for name, line in _lines(project).items()} == pytest.approx(REWARDS)
    assert outcomes == {name: "passed" if name in FULL else "failure" for name in TABLE}
    result.stdout.fnmatch_lines(
        ["fcpivot: *; grader agentic", f"mean reward {sum(REWARDS.values()) / len(REWARDS):.4f} *"]
    )
    assert "counts agree" not in result.stdout.str()
    assert json.loads((project.path / "run" / "run.json").read_text("utf-8"))["grader"]["name"] == "agentic"


def test_the_lines_of_a_run(project: Project, workers: list[str]) -> None:
    """Halves stand in the lines of calls that were compared, and paths where something differs, from any process."""
    project.run_here(*_options(project), *workers)
    lines = _lines(project)
    assert {name: line["paths"] for name, line in lines.items() if "paths" in line} == {
        "value": ["$.nights"],
        "keys": ["$.note", '$["é"]', "$.late", "$.city"],
        "name": ["$.nights"],
        "broken-json": ["$"],
        "nothing-right": ["$.a", "$.b"],
        "partly": ["$.calls[1]", "$.calls[2].arguments.city"],
        "fewer": ["$.calls[0]", "$.calls[2]"],
        "many": [f"$.calls[{n}]" for n in range(5)],
    }
    assert all(line["path"] == line.get("paths", [None])[0] for line in lines.values())
    halves = {name: line["halves"] for name, line in lines.items() if "halves" in line}
    assert halves.keys() == lines.keys() - {"text", "all-said", "call-for-text", "silent"}
    assert halves["right"] == [0.5, 0.5]
    assert halves["name"] == [0.0, 0.375]
    assert halves["more"] == pytest.approx([0.5 / 3, 0.5 / 3])
    assert not any("further_paths" in line for line in lines.values())


def test_further_paths(project: Project) -> None:
    """A line lists twenty paths and says how many it leaves out, and so does the failure text."""
    keys = json.dumps({f"k{n}": n for n in range(25)})
    rows = project.rows({"pivot": (f"call add {keys}", "call add {}")})
    result = project.run_here(*project.puppet(rows), "--fc-grader=agentic", "--fc-run=run")
    line = _lines(project)["pivot"]
    assert line["paths"] == [f"$.k{n}" for n in range(20)]
    assert line["further_paths"] == 5
    result.stdout.fnmatch_lines(["*differ:   $.k0, $.k1, * $.k7 and 17 more"])


def test_failure_texts(project: Project, same_snapshot: SnapshotAssertion) -> None:
    """A failing case tells both halves, all that differs, and which calls were compared, in a few lines."""
    result = project.run_here(*_options(project), "--tb=short")
    texts = _failure_texts(project, result)
    assert texts.keys() == TABLE.keys() - FULL
    assert texts == same_snapshot
    assert max(len(text.splitlines()) for text in texts.values()) <= 9
    assert "Traceback" not in result.stdout.str()


def test_failure_texts_of_nemo_gym(project: Project, same_snapshot: SnapshotAssertion) -> None:
    """nemo-gym:any-order shows the pairing of several calls too, and has neither halves nor lists of paths."""
    result = project.run_here(*_options(project, "nemo-gym:any-order"), "--tb=short", "-k", "partly or fewer or many")
    assert _failure_texts(project, result) == same_snapshot
    assert not any({"paths", "further_paths", "halves"} & line.keys() for line in _lines(project).values())


def test_hundreds_of_calls(project: Project) -> None:
    """Hundreds of calls at once are judged, and their failing case stays a few short lines."""
    calls = [f'call add {{"a": {n}}}' for n in range(150)]
    wrong = [f'call add {{"a": {n + 75}}}' for n in reversed(range(150))]
    rows = project.rows({"pivot": (" & ".join(calls), " & ".join(wrong))})
    result = project.run_here(*project.puppet(rows), "--fc-grader=agentic", "--fc-run=run")
    assert _lines(project)["pivot"]["reward"] == pytest.approx(0.75)
    (text,) = _failure_texts(project, result).values()
    assert "and 138 more" in text
    assert len(text.splitlines()) <= 9
    assert max(map(len, text.splitlines())) < 1_000


def test_arguments_that_are_a_list(project: Project) -> None:
    """Expected arguments that are a list, as some published rows have them, can be answered in full."""
    table: dict[str, tuple[str, str | None]] = {
        "same": ('call find ["", {}]', None),
        "other": ('call find ["", {}]', 'call find {"filters": []}'),
        "among-others": ('call find ["", {}] & call add {"a": 1}', 'call add {"a": 1} & call find ["",{}]'),
    }
    project.run_here(*project.puppet(project.rows(table)), "--fc-grader=agentic", "--fc-run=run")
    assert {name: line["reward"] for name, line in _lines(project).items()} == {
        "same": 1.0,
        "other": 0.5,
        "among-others": 1.0,
    }
