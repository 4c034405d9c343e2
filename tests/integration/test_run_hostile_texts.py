"""Texts that others chose, on the screen: escaped and shortened, whoever wrote them and whatever shows them."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from pytest_fcpivot.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from pivot_project import Project

pytest_plugins = ["pivot_project"]

# One or more of each kind: bidi controls, zero-width and filling characters, controls and escapes of terminals,
# separators, tags, marks of annotations.
ODD = (
    "\u202e\u2066\u2069\u200e\u061c\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f\u3164\u034f"
    "\x1b[31m\x1b]0;title\x07\x9b31m\x08\r\u2028\u2029\U000e0041\ufff9\ufffb\x00\x7f"
)
LONG = 100_000
LONGEST_LINE = 4_200  # characters, of which a path may need as many
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000e0fff]")
PLANTING = """
import json
import warnings

import pytest

from pytest_fcpivot import Grade
from pytest_fcpivot.core.errors import ReplyError

with open("texts.json") as stream:
    TEXTS = json.load(stream)


def answer(pivot):
    told = pivot.input[-1]["content"].split()[0]
    text = TEXTS["agent"]
    if told == "raise":
        raise RuntimeError(text)
    if told == "refuse":
        raise ReplyError(TEXTS["server"], status_code=400, body={"error": {"message": TEXTS["server"]}})
    if told == "odd":
        return {"type": text, "role": text, text: text}
    if told == "skip":
        pytest.skip(text)
    if told == "warn":
        warnings.warn(text)
    if told == "call":
        return {"name": TEXTS["name"], "arguments": json.dumps({text: text})}
    return text


class Grader:
    name = TEXTS["grader"]
    binary = True

    def accepts(self, calls):
        return True

    def grade(self, expected, actual):
        if actual.message is not None and expected.calls:
            raise RuntimeError(TEXTS["grader"])
        return Grade(0.0, TEXTS["category"], TEXTS["explanation"], TEXTS["path"], TEXTS["wanted"], TEXTS["given"])
"""


def planted(name: str) -> str:
    """Return a text of 100,000 characters with everything in it that a screen must not get."""
    return f"{name}{ODD}{name} " + "y" * LONG


def unseen_in(text: str) -> list[str]:
    """Name the characters of a screen that should have been escaped there."""
    bad = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return sorted(
        {repr(c) for c in text if (unicodedata.category(c) in bad and c not in "\n\t") or _IGNORABLE.match(c)}
    )


def assert_fit_for_a_screen(text: str) -> None:
    """Assert that a text has no raw character of the planted kinds, nor a line that fills the screen."""
    assert unseen_in(text) == []
    longest = max(text.split("\n"), key=len)
    assert len(longest) <= LONGEST_LINE, longest[:300]
    assert len(text) < 100_000


def rows(project: Project) -> list[dict[str, Any]]:
    """Return rows with planted texts in all that can have one."""
    made = []
    for number, verb in enumerate(["raise", "refuse", "odd", "skip", "warn", "call", "say", "call", "say"]):
        name = planted("tool")
        arguments = json.dumps({planted("key"): planted("value")})
        row = project.row("say so" if number % 2 else 'call add {"a": 1}')
        row["responses_create_params"]["input"] = [{"role": "user", "content": f"{verb} {planted('user')}"}]
        row["responses_create_params"]["tools"] += [
            {"type": "function", "name": name, "parameters": {"type": planted("type"), "properties": {}}}
        ]
        if not number % 2:
            row["expected_action"] = {"type": "function_call", "name": name, "arguments": arguments}
        row["trajectory_id"] = f"{number}{planted('trajectory')}"
        row["agent_ref"] = {"type": "x", "name": planted("agent")}
        row[planted("member")] = planted("member")
        made.append(row)
    return made


def broken_rows(project: Project) -> list[Any]:
    """Return rows that are refused, each with a planted text where its fault is."""
    broken: list[Any] = []
    for expected in (
        {"type": planted("type")},
        {"type": "message", "content": [planted("content")]},
        {"type": "function_call", "name": planted("tool"), "arguments": "{" + planted("not JSON")},
    ):
        row = project.row("say so", id=planted("id"))
        row["expected_action"] = expected
        broken.append(row)
    messages = [{"role": planted("role"), "content": planted("content")}]
    return [*broken, {"messages": messages}, {planted("member"): 1}, [planted("list")], planted("text")]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command and returns its exit code, after a look at all that it wrote."""

    def run(*arguments: str) -> tuple[int, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert_fit_for_a_screen(out + err)
        return code, out + err

    return run


def test_every_command(project: Project, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command writes a raw invisible character, nor a line that fills the screen, whatever data and runs say."""
    monkeypatch.chdir(project.path)
    names = ("agent", "server", "name", "grader", "category", "explanation", "path", "wanted", "given")
    project.write("texts.json", json.dumps({name: planted(name) for name in names}))
    project.write("planting.py", PLANTING)
    project.data([*rows(project), *broken_rows(project)])
    options = ["--fc-data=pivots.jsonl", "--fc-agent=planting:answer", "--fc-grader=planting:Grader", "--fc-run=run"]
    refused = project.run_here(*options)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert_fit_for_a_screen(refused.stdout.str() + refused.stderr.str())
    result = project.run_here(*options, "--fc-bad-rows=skip", "-v", "-Wdefault", "--junitxml=cases.xml")
    result.assert_outcomes(failed=2, errors=6, skipped=1, warnings=1)
    assert_fit_for_a_screen(result.stdout.str() + result.stderr.str())
    for element in ET.parse(project.path / "cases.xml").iter():  # noqa: S314 (we wrote it)
        for text in (element.text or "", *element.attrib.values()):
            assert unseen_in(text) == []
            assert len(text) < 10 * LONGEST_LINE

    assert shown("prepare", "pivots.jsonl", "-o", "out.parquet")[0] == 1
    assert shown("prepare", "pivots.jsonl", "-o", "out2.parquet", "--bad-rows=refuse")[0] == 2
    assert max(map(len, (project.path / "out.audit.jsonl").read_text().split("\n"))) < LONGEST_LINE
    for file in ("pivots.jsonl", "out.parquet"):
        assert shown("info", file)[0] == 0
        assert shown("lint", file, "--ids")[0] in (0, 1)
    damage_run(project.path / "run")
    assert shown("merge", "run", "-o", "merged")[0] in (0, 1)
    for mode in ((), ("--flips=20",)):
        assert "audit of run" in shown("audit", "run", *mode)[1]
    case = {"id": planted("id"), "expected_action": {"type": "message", "content": "x"}, "output": []}
    (project.path / "cases.jsonl").write_text(json.dumps(case | {"reward": 1.0, "category": planted("category")}))
    assert shown("conformance", "cases.jsonl")[0] == 1
    (project.path / "cases.jsonl").write_text(json.dumps(case | {"reward": planted("reward")}))
    assert shown("conformance", "cases.jsonl")[0] == 2


def damage_run(run: Path) -> None:
    """Plant texts in a run, in all members that are texts and that a reader may show."""
    description = json.loads((run / "run.json").read_text())
    description["agent"] = planted("agent")
    description["model"] = planted("model")
    description["judge"] = {"model": None, "why": planted("why")}
    description["grader"] = {"name": "nemo-gym:any-order", "settings": {}, "cause": planted("cause")}
    description["host"] = planted("host")
    (run / "run.json").write_text(json.dumps(description))
    lines = []
    for number, text in enumerate((run / "results.jsonl").read_text().splitlines()):
        line = json.loads(text)
        if line["outcome"] == "error":
            line["error"] = planted("error")
            line["cause"] = planted("cause") if number % 2 else None
        else:
            line["category"] = planted("category")
            line["schema"] = planted("schema")
            line["explanation"] = planted("explanation")
        line["tool"] = planted("tool")
        line["retried"] = [planted("reason")]
        line["flags"] = [planted("flag")]
        lines.append(json.dumps(line) + "\n")
    (run / "results.jsonl").write_text("".join(lines))


@pytest.mark.parametrize(
    ("name", "told"), [("a\u202eb.jsonl", "cannot be seen; rename it"), ("c\x1bd.jsonl", "rename it")]
)
def test_odd_names_of_files(project: Project, name: str, told: str) -> None:
    """A file whose name a node id cannot show is refused, and the message shows what is odd about it."""
    arguments = project.puppet(project.trajectories(1), name)
    result = project.run_here(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert told in text
    assert "\\u" in text
    assert_fit_for_a_screen(text)
