"""--junitxml: outcomes, properties of cases and of the suite, and text that XML cannot hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import junitparser

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    import pytest
    from pivot_project import Project
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project"]

ROWS: dict[str, tuple[str, str | None]] = {
    "right": ('call add {"a": 1}', None),
    "invalid": ('call add {"a": "one"}', None),
    "wrong": ('call add {"a": 1}', 'call add {"b": 1}'),
    "message": ("say hello", None),
    "silent": ("say hello", "nothing"),
    "raises": ("say hello", "raises no connection"),
    "skips": ("say hello", "skips not today"),
}


def _properties(element: ET.Element) -> dict[str, str]:
    return {p.attrib["name"]: p.attrib["value"] for p in element.findall("properties/property")}


def test_the_whole_file(project: Project, plugin_args: list[str], same_snapshot: SnapshotAssertion) -> None:
    """The file has the same cases, outcomes, properties and texts with and without xdist."""
    project.run_cases(*project.puppet(project.rows(ROWS)), *plugin_args)
    suite = next(project.junit().iter("testsuite"))
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    cases = {}
    for case in suite.iter("testcase"):
        texts = [
            project.redact(f"{child.tag}: {child.get('message')}\n{child.text or ''}")
            for child in case
            if child.tag != "properties"
        ]
        text = re.sub(r"^\[gw\d\].*\n", "", "\n".join(texts), flags=re.MULTILINE)
        cases[case.attrib["name"]] = {
            "classname": case.attrib["classname"],
            **_properties(case),
            "text": text,
        }
    assert {"suite": {**counts, **_properties(suite)}, **dict(sorted(cases.items()))} == same_snapshot


def test_readers_of_ci_systems(project: Project) -> None:
    """A reader of GitHub's actions finds each case once, under a name of its own, with short messages."""
    rows = {f"p{n}": ("say hello", ("nothing", None, "raises no connection")[n % 3]) for n in range(6)}
    project.write("test_mine.py", "def test_it(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    options = project.puppet(project.rows(rows))
    project.run_here("pivots.jsonl", "test_mine.py", *options[1:], "--fc-repeats=2", "--junitxml=cases.xml")
    (suite,) = junitparser.JUnitXml.fromfile(str(project.path / "cases.xml"))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (24, 8, 8, 0)
    names = [(case.classname, case.name) for case in suite]
    assert len(set(names)) == len(names) == 24
    wrong = [case for case in suite if case.classname == "pivots.jsonl" and case.is_failure]
    messages = [each.message for case in wrong for each in case.result]
    assert len(messages) == 4
    for message in messages:
        assert "\n" not in message
        assert len(message) < 300


def test_the_conversation_stays_out(project: Project) -> None:
    """However long a conversation is, a case in the file is short."""
    row = project.row('call add {"a": 1}', None, id="long")
    row["responses_create_params"]["input"].insert(1, {"role": "user", "content": "lorem ipsum " * 100_000})
    project.run_cases(*project.puppet([row]))
    assert (project.path / "cases.xml").stat().st_size < 5_000


def test_text_that_xml_cannot_hold(project: Project, plugin_args: list[str]) -> None:
    """Control characters, lone surrogates and non-characters in anything that is reported leave a file that parses."""
    odd = "\x00\x1b[31m\ud800\ufffe\x0b\x85é"
    tools = [{"type": "function", "name": f"tool{odd}", "parameters": {"type": "object"}}]
    rows = [
        project.row("call add {}", f"call tool{odd} {{}}", id="other-tool"),
        project.row("call add {}", f"call tool{odd} {{}}", tools=tools, id="offered-tool"),
        project.row(f"call tool{odd} {{}}", f"say {odd}", tools=tools, id="expected-tool"),
        project.row('call add {"a": 1}', f'call add {{"a": "{odd}"}}', id="argument"),
        project.row('call add {"a": 1}', 'call add {"a": "\\ud800\\u0000"}', id="escaped-argument"),
        project.row(r'call add {"\ud800\u0000": 1}', r'call add {"\ud800\u0000": 2}', id="key"),
        project.row("call add {}", f"say {odd}", id="message"),
        project.row(f"say {odd}", "nothing", id=f"id{odd}"),
        project.row("say hello", f"raises {odd}", id="exception"),
        project.row("say hello", f"prints {odd.encode('ascii', 'replace').decode()}", id="printed"),
        project.row(f"say {odd}", None, trajectory_id=f"talk{odd}"),
    ]
    result, outcomes = project.run_cases(*project.puppet(rows), *plugin_args, "-ojunit_logging=all")
    assert len(outcomes) == len(rows)
    assert sorted(outcomes.values()) == ["error"] + ["failure"] * 8 + ["passed"] * 2
    _check_terminal(result, failed=8, errors=1)


def _check_terminal(result: pytest.RunResult, *, failed: int, errors: int) -> None:
    """Check that a session was whole to its end."""
    result.assert_outcomes(passed=2, failed=failed, errors=errors)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert "\ud800" not in result.stdout.str()
    assert "\x1b" not in result.stdout.str()


def test_suite_properties_without_answers(project: Project) -> None:
    """A suite without a graded case has no mean reward, and says how many errors it had."""
    project.run_cases(*project.puppet(project.rows({"raises": ("say hello", "raises no connection")})))
    suite = next(project.junit().iter("testsuite"))
    found = {name: value for name, value in _properties(suite).items() if not name.startswith("fc.grader")}
    assert found == {"fc.graded": "0", "fc.errors": "1", "fc.not_run": "0"}
