"""`fcpivot audit`: runs of real sessions, graded again under the ladder."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from counting_agent import Counted
    from pivot_project import Project, Row
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project", "counting_agent"]

PARAMETERS = {
    "type": "object",
    "properties": {
        "n": {"type": "number"},
        "text": {"type": "string"},
        "unit": {"type": "string", "default": "C"},
        "tags": {"type": "array"},
    },
}
TOOL = {"type": "function", "name": "act", "description": "Acts.", "parameters": PARAMETERS}
# Expected and answered, by the pair of neighbours in which the pivot flips first.
FLIPS: dict[str, tuple[str, str | None]] = {
    "numbers": ('call act {"n": 1}', 'call act {"n": 1.0}'),
    "case": ('call act {"text": "Oslo"}', 'call act {"text": "oslo"}'),
    "defaults": ('call act {"n": 1, "unit": "C"}', 'call act {"n": 1}'),
    "decoded": ('call act {"tags": [1]}', 'call act {"tags": "[1]"}'),
    "first-call": ('call act {"text": "book a room"}', 'call act {"text": "please book room nine"}'),
    "any-order": ('call act {"text": "book a room"}', 'call act {"n": 5} & call act {"text": "book it as a room"}'),
    "jaccard": ('call act {"text": "a b c d e"}', 'call act {"text": "a v w x y z"}'),
    "lenient": ('call act {"n": 1, "text": "book a room"}', 'call act {"n": 1.0, "text": "a room to book"}'),
    "agentic": ('call act {"text": "Rome"}', 'call act {"text": "Rome, Italy"}'),
}
OTHERS: dict[str, tuple[str, str | None]] = {
    "right": ('call act {"n": 1}', None),
    "wrong": ('call act {"n": 1}', 'call act {"n": 2}'),
    "talk": ("say your refund is on its way", "say a refund, yes"),
    "silent": ('call act {"n": 1}', "nothing"),
    "broken": ("say hello", "raises no connection"),
}


class Audits:
    """Runs of a project, and audits of them."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def rows(self, table: dict[str, tuple[str, str | None]]) -> list[Row]:
        """Make rows with the tool that has a default."""
        return [self.project.row(wanted, told, tools=[TOOL], id=name) for name, (wanted, told) in table.items()]

    def record(self, table: dict[str, tuple[str, str | None]], *options: str, run: str = "run") -> pytest.RunResult:
        """Run the puppet on a table."""
        return self.project.run_here(*self.project.puppet(self.rows(table)), f"--fc-run={run}", *options)

    def audit(self, *arguments: str) -> pytest.RunResult:
        """Run the command."""
        return self.project.command("audit", *arguments)

    def facts(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run the command, and return what it wrote as JSON; rungs and results by name."""
        result = self.audit(*arguments, "--json=facts.json")
        assert result.ret == code, result.stdout.str() + result.stderr.str()
        facts: dict[str, Any] = json.loads((self.project.path / "facts.json").read_text("ascii"))
        facts["rungs"] = {rung["name"]: rung for rung in facts["rungs"]}
        facts["results"] = {entry["result"]: entry for entry in facts["results"]}
        return facts

    def refused(self, *arguments: str) -> str:
        """Run the command, which refuses what it is given; returns the message."""
        result = self.audit(*arguments)
        text = result.stderr.str()
        assert result.ret == 2, text
        assert "Traceback" not in text
        assert text.startswith("fcpivot: ")
        return text


@pytest.fixture
def audits(project: Project) -> Audits:
    """Return an empty project to run and audit in."""
    return Audits(project)


def _means(facts: dict[str, Any]) -> dict[str, float]:
    return {name: rung["mean_reward"] for name, rung in facts["rungs"].items()}


def _flipped(facts: dict[str, Any], direction: str) -> dict[str, set[str]]:
    """Return who flips in a direction, by the rung that is come to."""
    found: dict[str, set[str]] = {}
    for name, entry in facts["results"].items():
        for flip in entry["flips"]:
            if flip["direction"] == direction:
                found.setdefault(flip["to"], set()).add(name)
    return found


def test_the_sample(project: Project, snapshot: SnapshotAssertion) -> None:
    """A run of the baseline on the bundled sample is audited from anywhere, without any option, as a user types it."""
    project.run_here("--fc-agent=baseline", "--fc-run=run")
    result = project.pytester.run(sys.executable, "-I", "-m", "pytest_fcpivot.cli", "audit", "run")
    assert result.ret == 0
    assert result.stdout.str() == snapshot


def test_the_report(audits: Audits, snapshot: SnapshotAssertion) -> None:
    """The table, the pivots that flip with the difference that decides, and the verdict."""
    audits.record(FLIPS | OTHERS)
    result = audits.audit("run", "--flips=3")
    assert result.ret == 0
    assert result.stdout.str() == snapshot


def test_each_rule_flips_its_own(audits: Audits) -> None:
    """Each rung accepts the pivot that was made for its rule, and none of the later ones."""
    audits.record(FLIPS | OTHERS)
    facts = audits.facts("run")
    up, down = _flipped(facts, "up"), _flipped(facts, "down")
    for rung in ("numbers", "case", "defaults", "decoded"):
        assert up[rung] == {rung}
        assert facts["rungs"][rung]["alone"] == 1
    assert up["nemo-gym:first-call"] == {"first-call"}
    assert down["nemo-gym:first-call"] == {"numbers", "case", "defaults", "decoded"}
    assert up["nemo-gym:any-order"] == {"any-order"}
    assert up["jaccard"] == {"jaccard"}
    assert up["lenient"] == {"numbers", "case", "defaults", "decoded", "lenient"}
    assert up["agentic"] == {"agentic"}
    assert "talk" in down["agentic"]
    assert facts["results"]["numbers"]["flips"][0] == {
        "from": "exact",
        "to": "numbers",
        "direction": "up",
        "category": "ARGUMENT_VALUE_TYPE_DIFFERENT",
        "path": "$.n",
        "expected": "1",
        "actual": "1.0",
    }
    assert facts["verdict"] == {
        "failed": 10,
        "matcher": dict.fromkeys(
            ("numbers", "case", "defaults", "decoded", "nemo-gym:any-order", "jaccard", "lenient"), 1
        ),
        "model": {"ARGUMENT_VALUE_DIFFERENT": 2, "NO_ACTION_FOUND": 1},
        "messages": 0,
        "passed": 3,
        "forgiven": 1,
    }
    assert facts["errors"] == 1
    assert facts["graded"] == len(FLIPS) + len(OTHERS) - 1


@pytest.mark.parametrize(
    "options",
    [
        ["--fc-grader=nemo-gym:first-call"],
        ["--fc-grader=nemo-gym:any-order"],
        ["--fc-grader=agentic"],
        ["--fc-grader=agentic", "--fc-pass-mark=0.5"],
        ["--fc-grader=nemo-gym", "--fc-grader-option=word_count_similarity_threshold=0.4"],
        ["--fc-strict-schema"],
    ],
    ids=" ".join,
)
def test_the_recorded_rewards(audits: Audits, options: list[str]) -> None:
    """The run's own grader gives every answer its recorded reward, and its rung has the summary's figures."""
    result = audits.record(FLIPS | OTHERS, *options)
    facts = audits.facts("run")
    assert (facts["checked"], facts["drifted"]) == (len(FLIPS) + len(OTHERS) - 1, 0)
    recorded = facts["recorded"]
    interval = "{:.4f} to {:.4f}".format(*recorded["interval"])
    result.stdout.fnmatch_lines(
        [
            f"mean reward {recorded['mean_reward']:.4f}  (95 % interval {interval}, *",
            f"passed {recorded['passed']}, failed {recorded['judged'] - recorded['passed']}, errors 1; *",
        ]
    )
    rung = facts["rungs"].get(facts["grader"])
    if rung is not None and options[-1].startswith("--fc-grader="):
        assert {name: rung[name] for name in recorded} == recorded


def test_messages_that_the_run_scored(audits: Audits) -> None:
    """In a run that scored messages, agentic keeps the scores, and failing ones are nobody's fault of arguments."""
    audits.record(OTHERS, "--fc-grader=agentic")
    assert audits.facts("run")["results"]["talk"]["rewards"]["agentic"] == 0.5
    audits.project.change_lines("run", lambda line: line.update(reward=0.75) if line["pivot_id"] == "talk" else None)
    facts = audits.facts("run", code=1)
    assert facts["results"]["talk"]["rewards"] == dict.fromkeys(facts["rungs"], 1.0) | {"agentic": 0.75}
    assert facts["verdict"]["messages"] == 1
    audits.project.change("run", lambda description: description.update(judge={"model": "some-judge"}))
    result = audits.audit("run")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "agentic *; messages as the run scored them",
            "agentic gives all 3 answers the reward that was recorded",
            "  messages that it scored under the mark, which only agentic scores here: 1",
        ]
    )


def test_a_pass_mark(audits: Audits) -> None:
    """A run's own pass mark decides who passes, and the report names it."""
    audits.record(OTHERS, "--fc-grader=agentic", "--fc-pass-mark=0.5")
    facts = audits.facts("run")
    assert facts["pass_mark"] == 0.5
    assert facts["rungs"]["agentic"]["passed"] == facts["recorded"]["passed"] == 3
    audits.audit("run").stdout.fnmatch_lines(["audit of run: puppet:answer | agentic, passed from 0.5"])


def test_errors_alone(audits: Audits) -> None:
    """A run without an answer has nothing to audit, and says so."""
    audits.record({"broken": OTHERS["broken"]})
    result = audits.audit("run", "--json=facts.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no answer was graded in it; errors, left out: 1"])
    assert json.loads((audits.project.path / "facts.json").read_text())["results"] == []


def test_repeats(audits: Audits) -> None:
    """Every repeat is audited, by its own name, and intervals go by trajectory."""
    audits.record(FLIPS, "--fc-repeats=2")
    facts = audits.facts("run")
    assert facts["graded"] == 2 * len(FLIPS)
    assert set(facts["results"]) == {name + repeat for name in FLIPS for repeat in ("", "[r2]")}
    once = len(FLIPS)
    audits.audit("run").stdout.fnmatch_lines([f"{2 * once} graded answers in {once} trajectories"])
    assert _flipped(facts, "up")["case"] == {"case", "case[r2]"}


def test_batches_in_a_run(audits: Audits) -> None:
    """What the older verifier cannot judge is left out of its figures, and of the steps to it and from it."""
    both = 'call act {"n": 1} & call act {"n": 2}'
    audits.record({"both": (both, None), "one": OTHERS["wrong"]}, "--fc-grader=nemo-gym:any-order")
    facts = audits.facts("run")
    rung = facts["rungs"]["nemo-gym:first-call"]
    assert (rung["judged"], rung["unjudged"], rung["mean_reward"], rung["change"]) == (1, 1, 0.0, 0.0)
    assert facts["rungs"]["nemo-gym:any-order"]["mean_reward"] == 0.5
    assert facts["rungs"]["nemo-gym:any-order"]["change"] == 0.0
    audits.audit("run").stdout.fnmatch_lines(["nemo-gym:first-call *; left out, as it cannot judge them: 1"])


# The data


def test_moved_data(audits: Audits) -> None:
    """Data that are not where they were are asked for, and found again by their content."""
    audits.record(FLIPS)
    before = audits.facts("run")
    (audits.project.path / "pivots.jsonl").rename(audits.project.path / "moved.jsonl")
    text = audits.refused("run")
    assert "pivots.jsonl are not at" in text
    assert "--data FILE" in text
    facts = audits.facts("run", "--data=moved.jsonl")
    assert facts == before
    assert "data file not found" in audits.refused("run", "--data=nowhere.jsonl")


def test_changed_data(audits: Audits) -> None:
    """Data of another content are refused with both hashes and sizes, where they were and under --data."""
    audits.record(FLIPS)
    shutil.copy(audits.project.path / "pivots.jsonl", audits.project.path / "kept.jsonl")
    audits.project.data(audits.rows({"numbers": FLIPS["case"]}))
    for arguments in (["run"], ["run", "--data=pivots.jsonl"]):
        text = audits.refused(*arguments)
        assert re.search(
            r"the run's pivots\.jsonl: sha256 \w{16}…, 9 pivots\n  \S*pivots\.jsonl: sha256 \w{16}…, 1 piv", text
        )
    assert audits.facts("run", "--data=kept.jsonl")["graded"] == len(FLIPS)


def test_several_data_sets(audits: Audits) -> None:
    """A run over several files is audited by each one's own pivots, though their ids are the same."""
    project = audits.project
    project.puppet(audits.rows({"a": OTHERS["right"]}))
    project.data(audits.rows({"a": FLIPS["case"]}), "other.jsonl")
    project.run_here("--fc-data=pivots.jsonl", "--fc-data=other.jsonl", "--fc-agent=puppet:answer", "--fc-run=run")
    assert _means(audits.facts("run"))["exact"] == 0.5
    project.data(audits.rows({"c": OTHERS["talk"]}), "third.jsonl")
    named = [f"--data={name}.jsonl" for name in ("pivots", "other", "third")]
    assert "third.jsonl: the run does not need it" in audits.refused("run", *named)
    assert _means(audits.facts("run", "--data=other.jsonl", "--data=pivots.jsonl"))["case"] == 1.0
    (project.path / "other.jsonl").rename(project.path / "moved.jsonl")
    assert _means(audits.facts("run", "--data=moved.jsonl"))["case"] == 1.0


# The run


def test_what_is_no_run(audits: Audits) -> None:
    """What cannot be audited is refused with its path and what to name."""
    audits.record({"right": OTHERS["right"]})
    audits.project.write("other/run.json", '{"format": 7}')
    described = json.loads((audits.project.path / "run" / "run.json").read_text("utf-8"))
    audits.project.write("odd/run.json", json.dumps(described | {"grader": "nemo-gym"}))
    audits.project.write("mark/run.json", json.dumps(described | {"pass_mark": "high"}))
    audits.project.write("data/run.json", json.dumps(described | {"data": [{"name": "x", "path": 3, "sha256": "x"}]}))
    for name, message in [
        ("nowhere", "nowhere: there is no such run"),
        ("other", "a newer version of pytest-fcpivot (format 7, this one reads 1)"),
        ("odd", "run.json: not as pytest-fcpivot writes it: grader: an object is needed, not"),
        ("mark", "run.json: not as pytest-fcpivot writes it: pass_mark: a number over 0 and up to 1 is needed, not"),
        ("data", "run.json: not as pytest-fcpivot writes it: data[0].path: a string is needed, not 3"),
        ("puppet.py", "name a run's directory, or rollouts as .jsonl"),
        ("pivots.jsonl", "no rollouts in it"),
        (".", "not a run's directory"),
    ]:
        assert message in audits.refused(name)
    (audits.project.path / "run" / "results.jsonl").unlink()
    assert "cannot be read" in audits.refused("run")


def test_a_damaged_run(audits: Audits) -> None:
    """Lines that cannot be read are refused, or left out and counted with leave; the others are audited."""
    audits.record(OTHERS)
    path = audits.project.path / "run" / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    bad = json.dumps(json.loads(lines[1]) | {"action": {"type": "song"}}).encode() + b"\n"
    path.write_bytes(lines[0] + b"rubbish\n[1]\n" + bad + lines[2] + lines[3][:-20])
    text = audits.refused("run")
    assert "3 damaged lines (2 of them without a test's name: if such a test has an earlier result, that one" in text
    assert "results.jsonl:4: action.type: Invalid value 'song'" in text
    assert "--allow-damaged" in text
    result = audits.audit("run", "--allow-damaged")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "2 graded answers in 2 trajectories",
            "note: the last line is incomplete and was left out: * bytes",
            "note: left out: 3 damaged lines (2 of them *",
            "note:   run/results.jsonl:2: not JSON: invalid character (byte 0)",
            "note:   run/results.jsonl:4: action.type: Invalid value 'song'",
        ]
    )


def test_a_run_under_way(audits: Audits) -> None:
    """A run that has not ended, or ended early, is audited as far as it came, and that is said."""
    audits.record(OTHERS, "--exitfirst")
    result = audits.audit("run/results.jsonl")
    result.stdout.fnmatch_lines(["2 graded answers *", "note: 2 of 5 tests of pivots.jsonl have a result"])
    audits.project.change("run", lambda description: description["sessions"][-1].update(exit_status=2))
    audits.audit("run").stdout.fnmatch_lines(
        ["note: its last session ended early, with exit status 2; the audit covers *"]
    )
    audits.project.change("run", lambda description: description["sessions"][-1].update(ended=None))
    result = audits.audit("run")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["note: its last session did not end: killed, or still running; the audit covers the results that exist"]
    )


def test_a_resumed_run(counted: Counted) -> None:
    """Of a test that was asked again the last answer counts, once."""
    table: dict[str, tuple[str, str | None]] = {
        "late": ("say hello", "flaky hello"),
        "call": ('call add {"a": 1}', None),
    }
    counted.run_here(*counted.table(table), "--fc-run=run")
    audits = Audits(counted.project)
    before = audits.facts("run")
    assert (before["graded"], before["errors"]) == (1, 1)
    counted.touch("mended")
    counted.run_here("--fc-resume=run")
    facts = audits.facts("run")
    assert (facts["graded"], facts["errors"], _means(facts)["exact"]) == (2, 0, 1.0)


def test_a_merged_run(audits: Audits) -> None:
    """The runs of two shards, merged, have the audit of one run of the whole."""
    audits.record(FLIPS | OTHERS, run="whole")
    options = audits.project.puppet(audits.rows(FLIPS | OTHERS))
    for number in (1, 2):
        audits.project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=run-{number}")
    assert audits.project.command("merge", "run-1", "run-2", "-o", "merged").ret == 0
    assert audits.facts("merged") | {"run": "whole"} == audits.facts("whole")


def test_another_order_of_results(audits: Audits) -> None:
    """Results in another order, as several workers write them, have the same audit."""
    audits.record(FLIPS | OTHERS)
    before = audits.facts("run")
    path = audits.project.path / "run" / "results.jsonl"
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    assert audits.facts("run") == before


# The run's own grader


def test_drift(audits: Audits) -> None:
    """A reward that the run's grader does not give is a finding: the pivot is named, and the exit code is 1."""
    audits.record(OTHERS)
    audits.project.change_lines("run", lambda line: line.update(reward=1.0) if line["pivot_id"] == "wrong" else None)
    result = audits.audit("run")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "ERROR: nemo-gym:first-call does not give 1 of 4 answers the reward that was recorded: *",
            "  wrong: recorded 1 (ARGUMENT_VALUE_DIFFERENT), now 0 (ARGUMENT_VALUE_DIFFERENT)",
        ]
    )
    facts = audits.facts("run", code=1)
    assert facts["results"]["wrong"]["drift"] == {"recorded": 1.0, "now": 0.0, "category": "ARGUMENT_VALUE_DIFFERENT"}
    assert facts["results"]["right"]["drift"] is None


def test_a_grader_of_the_users(audits: Audits) -> None:
    """A user's own grader is asked again if the user names it, unless its source changed; the ladder is there anyway.

    What only the run names is not loaded; settings of a run that was not made here are the user's to give.
    """
    source = "from pathlib import Path\n\nPath('loaded').touch()\n\n\n"
    source += "def close(expected, actual, strict=False):\n    return not strict and expected.kind == actual.kind\n"
    audits.project.write("mine.py", source)
    audits.record(OTHERS, "--fc-grader=mine:close", "--fc-grader-option=strict=false")
    loaded = audits.project.path / "loaded"
    loaded.unlink()
    facts = audits.facts("run")
    assert (facts["checked"], facts["recorded"]["passed"], facts["verdict"]["passed"]) == (0, 3, 3)
    (note,) = facts["notes"]
    assert "what only a run names is not loaded" in note
    assert note.endswith("fcpivot audit run --grader=mine:close")
    assert not loaded.exists()
    facts = audits.facts("run", "--grader=mine:close")
    assert (facts["checked"], facts["drifted"], facts["notes"]) == (4, 0, [])
    facts = audits.facts("run", "--grader=mine:close", "--grader-option=strict=true", code=1)
    assert (facts["checked"], facts["drifted"]) == (4, 3)
    facts = audits.facts("run", "--grader=nemo-gym", code=1)
    assert facts["notes"][0] == "checked with nemo-gym, as requested; the run was graded by mine:close"
    audits.project.change("run", lambda described: described.update(agent="another"))  # which breaks the mark
    loaded.unlink()
    assert "--grader-option=strict=false; or none: --grader-option=" in audits.refused("run", "--grader=mine:close")
    assert not loaded.exists()
    assert audits.facts("run")["notes"][0].endswith("--grader=mine:close --grader-option=strict=false")
    assert audits.facts("run", "--grader=mine:close", "--grader-option=")["drifted"] == 0
    audits.project.write("mine.py", source + "# another version\n")
    facts = audits.facts("run", "--grader=mine:close", "--grader-option=strict=true")
    assert facts["checked"] == 0
    assert "the source of mine:close has changed since the run" in facts["notes"][0]
    (audits.project.path / "mine.py").unlink()
    assert "--grader=mine:close: cannot import mine" in audits.refused("run", "--grader=mine:close", "--grader-option=")
    assert "name the grader of this setting" in audits.refused("run", "--grader-option=a=1")


def test_tests_of_the_users(audits: Audits) -> None:
    """A test of the user's is audited by the action that it graded, over the sample too."""
    audits.project.puppet(audits.rows(OTHERS))
    audits.project.write(
        "test_mine.py",
        "def test_mine(pivot, fc_grade):\n    fc_grade({'name': 'act', 'arguments': {'n': 1}})\n",
    )
    audits.project.run_here("test_mine.py", "--fc-data=pivots.jsonl", "--fc-agent=puppet:answer", "--fc-run=run")
    facts = audits.facts("run")
    assert facts["rungs"]["exact"]["passed"] == 3
    assert facts["notes"] == []
    audits.project.run_here("test_mine.py", "--fc-agent=puppet:answer", "--fc-limit=40", "--fc-run=sample")
    assert audits.facts("sample")["graded"] == 40


def test_a_fixture_that_changes_answers(audits: Audits) -> None:
    """What a fixture made of an answer is what was graded, and so what is audited; that is said."""
    audits.project.write(
        "conftest.py",
        "import pytest\n\n\n@pytest.fixture\ndef fc_action(fc_action):\n"
        "    return [{'name': 'act', 'arguments': {'n': 1}}] if fc_action.calls else fc_action\n",
    )
    audits.record(OTHERS)
    facts = audits.facts("run")
    assert facts["rungs"]["exact"]["passed"] == 3
    assert "answers whose graded action is not the one that their output is read as now: 1 " in facts["notes"][0]


# Rollouts, and what is written


def _rollouts(project: Project, rows: Iterable[tuple[Row, Any, float]]) -> None:
    lines = [row | {"response": response, "reward": reward} for row, response, reward in rows]
    project.data(lines, "rollouts.jsonl")


def test_rollouts(audits: Audits) -> None:
    """NeMo Gym's rollouts are audited by their own pivots; without a response they are errors, repeats are numbered."""
    one, two = audits.rows({"one": FLIPS["numbers"], "two": OTHERS["talk"]})
    answered = {"output": [{"type": "function_call", "name": "act", "arguments": '{"n": 1.0}'}]}
    right = {"output": [{"type": "function_call", "name": "act", "arguments": '{"n": 1}'}]}
    _rollouts(audits.project, [(one, answered, 0.0), (one, right, 1.0), (two, None, 0.0)])
    facts = audits.facts("rollouts.jsonl")
    assert (facts["graded"], facts["errors"], facts["checked"]) == (2, 1, 0)
    assert {name: entry["recorded"] for name, entry in facts["results"].items()} == {"one": 0.0, "one[r2]": 1.0}
    assert facts["verdict"]["matcher"] == {"numbers": 1}
    assert "leave out --data" in audits.refused("rollouts.jsonl", "--data=rollouts.jsonl")


def test_few_or_no_flips(audits: Audits) -> None:
    """--flips bounds what is shown of each pair, both directions among it, and 0 shows none."""
    audits.record({f"{name}-{n}": row for name, row in FLIPS.items() for n in range(3)})
    lines = audits.audit("run", "--flips=2").outlines
    start = next(
        n for n, line in enumerate(lines) if line.startswith("decoded → nemo-gym:first-call: 3 pass that failed, 12")
    )
    assert [line[:4] for line in lines[start + 1 : start + 4]] == ["  + ", "  - ", "  … "]
    assert "and 13 more" in lines[start + 3]
    assert not [line for line in audits.audit("run", "--flips=0").outlines if "→" in line]


def test_a_file_that_cannot_be_written(audits: Audits) -> None:
    """A place for the JSON that cannot be written is refused, and a refused run leaves no file behind."""
    audits.record(OTHERS)
    assert "nowhere/facts.json" in audits.refused("run", "--json=nowhere/facts.json")
    audits.refused("nothing", "--json=facts.json")
    assert not list(audits.project.path.glob("*facts.json*"))
    (audits.project.path / "pivots.jsonl").unlink()
    audits.refused("run", "--json=facts.json")
    assert not list(audits.project.path.glob("*facts.json*"))


def test_many_results_hold_no_text(audits: Audits, tmp_path: Path) -> None:
    """Long answers pass by one at a time: what an audit holds does not grow with their text."""
    table: dict[str, tuple[str, str | None]] = {f"p{n}": (f"say hello {n}", None) for n in range(40)}
    audits.record(table)
    audits.project.change_lines(
        "run", lambda line: line.update(action={"type": "message", "content": f"{'x' * 100_000} " * 10})
    )
    code = (
        "import sys, tracemalloc\n"
        "from pathlib import Path\n"
        "from pytest_fcpivot.audit.running import audit\n"
        "from pytest_fcpivot.audit.stored import open_stored\n"
        "stored = open_stored(Path('run'))\n"
        "tracemalloc.start()\n"
        "found = audit(stored, 5)\n"
        "assert found.results == 40\n"
        "print(tracemalloc.get_traced_memory()[1] // 2**20)\n"
    )
    result = audits.project.pytester.run(sys.executable, "-I", "-c", code)
    assert result.ret == 0, result.stderr.str()
    assert int(result.outlines[-1]) < 30  # the answers are 40 MB
