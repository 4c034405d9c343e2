"""`fcpivot compare`: runs of real sessions and saved baselines, compared as a user does."""

from __future__ import annotations

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest
from doc_pages import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pivot_project import Project, Row
    from syrupy.assertion import SnapshotAssertion

pytest_plugins = ["pivot_project"]

# Agents that do as their own table tells them: by the pivot's id, in the puppet's language.
AGENTS = """
import json
from pathlib import Path
from types import SimpleNamespace

import puppet

TABLES = json.loads(Path("tables.json").read_text())


def make(name):
    def answer(pivot):
        told = TABLES[name].get(pivot.id)
        told = told[pivot.repeat - 1] if isinstance(told, list) else told
        if told is None:
            return puppet.answer(pivot)
        return puppet.answer(SimpleNamespace(input=[{"content": told}]))

    return answer


base = make("base")
new = make("new")
other = make("other")
"""
RIGHT = 'call add {"a": 1}'
WRONG = 'call add {"a": 2}'
Table = dict[str, Any]


class Runs:
    """Runs of a project, and comparisons of them."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def data(self, rows: list[Row] | None = None) -> None:
        """Write data: by default eight trajectories of two calls and a message each."""
        self.project.puppet(self.rows() if rows is None else rows)
        self.project.write("agents.py", AGENTS)

    def rows(self, expected: str = RIGHT) -> list[Row]:
        """Make the rows of the default data."""
        return [
            self.project.row(
                expected if depth < 2 else "say hello there",
                id=f"t{number}-d{depth}",
                trajectory_id=f"t{number}",
                info={"turn": depth, "step": 0, "depth": depth},
            )
            for number in range(8)
            for depth in range(3)
        ]

    def record(self, tables: Mapping[str, Table], *options: str) -> list[pytest.RunResult]:
        """Run the agents of the tables; each run has its agent's name."""
        self.project.write("tables.json", json.dumps(tables))
        named = ["--fc-data=pivots.jsonl"]
        return [
            self.project.run_here(*named, f"--fc-agent=agents:{name}", f"--fc-run={name}", *options) for name in tables
        ]

    def compare(self, *arguments: str) -> list[str]:
        """Run the command, which succeeds, and return its lines."""
        result = self.project.command("compare", *arguments)
        assert result.ret == 0, result.stderr.str()
        return list(result.outlines)

    def facts(self, *arguments: str) -> dict[str, Any]:
        """Run the command, and return what it writes as JSON."""
        found: dict[str, Any] = json.loads("\n".join(self.compare(*arguments, "--format=json")))
        return found

    def refused(self, *arguments: str) -> str:
        """Run the command, which refuses what it is given; returns the message."""
        result = self.project.command("compare", *arguments)
        text = result.stderr.str()
        assert result.ret == 2, text
        assert "Traceback" not in text
        return text


@pytest.fixture
def runs(project: Project) -> Runs:
    """Return a project with data and agents, without runs."""
    found = Runs(project)
    found.data()
    return found


@pytest.fixture
def two(runs: Runs) -> Runs:
    """Return a project with two runs: NEW loses t0-d0 to t4-d0, and wins t5-d1; each has an error of its own."""
    base: Table = {"t5-d1": WRONG, "t6-d0": "raises no connection"}
    new: Table = {f"t{number}-d0": WRONG for number in range(5)} | {"t7-d0": "raises no connection"}
    runs.record({"base": base, "new": new})
    return runs


def _by(found: list[dict[str, Any]], name: str) -> list[Any]:
    return [each[name] for each in found]


# What is told


def test_the_sample(project: Project) -> None:
    """The two bundled agents on the bundled sample are compared as the page shows it, in a process of its own."""
    commands, output, *_ = [block for block in blocks("docs/compare.md") if block.language in ("sh", "text")]
    *sessions, comparison = commands.text.splitlines()
    for line in sessions:
        project.run_here(*shlex.split(line)[1:])
    result = project.pytester.run(sys.executable, "-I", "-m", "pytest_fcpivot.cli", *shlex.split(comparison)[1:])
    assert result.ret == 0
    assert result.stdout.str() == output.text.rstrip("\n")


def test_the_report(two: Runs, snapshot: SnapshotAssertion) -> None:
    """The figures, what is left out, the flips both ways and the groups, as text and as Markdown."""
    assert two.compare("base", "new", "--show-flips", "--max-drop=5%", "--verbose") == snapshot(name="text")
    assert two.compare("base", "new", "--show-flips", "--format=markdown") == snapshot(name="markdown")


def test_as_json(two: Runs) -> None:
    """The JSON has the figures of the text, with all flips, and all groups with or without a test."""
    found = two.facts("base", "new", "--max-drop=0.05")
    assert (found["format"], found["base"]["name"], found["base"]["agent"]) == (1, "base", "agents:base")
    (compared,) = found["comparisons"]
    assert (compared["pairs"], compared["unchanged"], compared["identical"]) == (22, 16, False)
    difference = compared["difference"]
    assert difference["change"] == pytest.approx(-4 / 22)
    assert difference["interval"][0] == -difference["allowed_drop"]
    assert (difference["pivots"], difference["trajectories"], difference["max_drop"]) == (22, 8, 0.05)
    assert compared["if_missing_wrong"]["change"] == pytest.approx(-5 / 23)
    assert compared["lost"][0] == {
        "test": "pivots.jsonl::t0-d0",
        "pivot": "t0-d0",
        "trajectory": "t0",
        "tool": "add",
        "by_mark": True,
        "reward": [1.0, 0.0],
        "passed": [1.0, 0.0],
        "category": ["EXPECTED_TOOL_CALL", "ARGUMENT_VALUE_DIFFERENT"],
    }
    assert compared["family"] == 0
    by_name = {(group["by"], group["name"]): group for group in compared["groups"]}
    assert by_name["depth", "0"]["change"] == pytest.approx(-5 / 6)
    assert by_name["category", "ARGUMENT_VALUE_DIFFERENT"]["base"] == pytest.approx(1 / 22)
    assert {group["p_holm"] for group in compared["groups"]} == {None}


def test_swapped(two: Runs) -> None:
    """Swapping BASE and NEW negates the change and its interval, and exchanges what was lost and won, and errors."""
    (there,), (back,) = (two.facts(*names)["comparisons"] for names in (("base", "new"), ("new", "base")))
    assert there["difference"]["change"] == pytest.approx(-back["difference"]["change"])
    assert there["difference"]["interval"] == pytest.approx([-end for end in reversed(back["difference"]["interval"])])
    assert _by(there["lost"], "test") == _by(back["won"], "test")
    assert there["errors_base"] == back["errors_new"] == ["pivots.jsonl::t6-d0"]
    changes = {(group["by"], group["name"]): group["change"] for group in there["groups"]}
    assert {(group["by"], group["name"]): -group["change"] for group in back["groups"]} == pytest.approx(changes)


def test_flips_can_be_pasted_back(two: Runs) -> None:
    """The lines of flips begin with node ids that pytest runs, quoted for a shell where they need it."""
    project = two.project
    project.write("test_own.py", "def test_own(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    for name in ("base", "new"):
        project.run_here(
            *("test_own.py", "--fc-data=pivots.jsonl", f"--fc-agent=agents:{name}", f"--fc-run=own-{name}")
        )
    for runs, place in ((("base", "new"), "pivots.jsonl::t0-d0"), (("own-base", "own-new"), "test_own.py::test_own[")):
        lines = two.compare(*runs, "--show-flips")
        start = next(number for number, line in enumerate(lines) if line.startswith("lost: 5 by the pass mark"))
        ids = [shlex.split(line)[0] for line in lines[start + 1 : start + 6]]
        assert ids[0].startswith(place)
        options = ["--fc-run=none", "--fc-data=pivots.jsonl"]
        project.run_here(*ids, "--fc-agent=agents:base", *options).assert_outcomes(passed=5)
        project.run_here(*ids, "--fc-agent=agents:new", *options).assert_outcomes(failed=5)


def test_how_many_flips_are_shown(two: Runs) -> None:
    """--show-flips bounds the flips each way; without it they are only counted, and its value cannot be a run."""
    lines = two.compare("base", "new", "--show-flips=2")
    assert sum("add  1 → 0" in line for line in lines) == 2
    assert "  … and 3 more (--show-flips=5)" in lines
    assert not [line for line in two.compare("base", "new") if "pivots.jsonl::t0-d0" in line]
    assert "write --show-flips after the runs, or with a number" in two.refused("--show-flips", "base", "new")


def test_groups_of_runs_without_a_change(two: Runs) -> None:
    """Where nothing changed, one line stands for the groups, and --verbose has them."""
    two.project.run_here("--fc-data=pivots.jsonl", "--fc-agent=agents:base", "--fc-run=again")
    assert two.compare("base", "again")[-1] == "changes by group: none (--verbose lists the groups)"
    assert "Changes by group" not in "".join(two.compare("base", "again", "--format=markdown"))
    assert "by type     pivots   mean BASE   mean NEW    change  p (Holm)" in two.compare("base", "again", "--verbose")


def test_what_would_settle_it(two: Runs) -> None:
    """A drop that is asked about is ruled out, shown, or open, with the number of trajectories it would take."""
    (line,) = [line for line in two.compare("base", "new", "--max-drop=0.5") if "0.5000" in line]
    assert re.fullmatch(
        r"whether the drop is more than 0\.5000 is open; if nothing has changed, about [\d,]+ trajectories like these "
        r"\(about [\d,]+ pivots\) would rule it out; there are 8",
        line,
    )
    assert "whether the drop is more than 0.0000 is open; no number of trajectories rules out a drop of 0.0000" in (
        two.compare("base", "new", "--max-drop=0")
    )
    assert "a drop of more than 1.0000 is ruled out" in two.compare("base", "new", "--max-drop=1")


def test_another_alpha(two: Runs) -> None:
    """--alpha sets the level of the interval, which is named."""
    wide, narrow = (two.facts("base", "new", f"--alpha={alpha}")["comparisons"][0] for alpha in (0.02, 0.5))
    assert wide["difference"]["interval"][0] < narrow["difference"]["interval"][0]
    assert any("(90 % interval -" in line for line in two.compare("base", "new", "--alpha=0.1"))


# Pairs


def test_other_pivots(runs: Runs) -> None:
    """Runs of different choices of pivots are compared on the common ones; the others are counted and named."""
    runs.record({"base": {}}, "--fc-where=depth<=1")
    runs.record({"new": {"t0-d1": WRONG}}, "--fc-where=depth>=1")
    (found,) = runs.facts("base", "new")["comparisons"]
    assert (found["pairs"], len(found["only_base"]), len(found["only_new"])) == (8, 8, 8)
    lines = runs.compare("base", "new")
    assert "8 pairs in 8 trajectories: 7 unchanged, 1 lost, 0 won" in lines
    assert any(re.fullmatch(r"only in BASE: 8 pivots \(pivots\.jsonl::t0-d0, .* and 3 more\)", line) for line in lines)
    runs.record({"other": {}}, "--fc-where=depth=2")
    assert "base and other have no pivot in common: 16 pivots of pivots.jsonl" in runs.refused("base", "other")


def test_repeats(runs: Runs) -> None:
    """Pivots with repeats count by their mean; those that pass sometimes are named, with the model's own noise."""
    runs.record({"base": {"t0-d0": [RIGHT, WRONG, RIGHT]}}, "--fc-repeats=3")
    runs.record({"new": {"t0-d0": WRONG, "t1-d0": WRONG}})
    (found,) = runs.facts("base", "new")["comparisons"]
    assert found["difference"]["change"] == pytest.approx((-2 / 3 - 1) / 24)
    assert _by(found["lost"], "pivot") == ["t1-d0", "t0-d0"]
    lines = runs.compare("base", "new")
    assert "BASE: 1 pivot passed only sometimes (passed/graded): t0-d0 2/3" in lines
    assert any(re.match(r"BASE: the model's own noise is \d+ % of the variance of the mean reward; ", e) for e in lines)


def test_a_replay(two: Runs) -> None:
    """A replay has results as any run, and is compared as one; one of BASE itself is the same run."""
    two.project.run_here("--fc-replay=new", "--fc-run=replay")
    two.project.run_here("--fc-replay=base", "--fc-run=again")
    assert any("a replay of" in line for line in two.compare("base", "replay"))
    one, other = (two.facts("base", name)["comparisons"][0]["difference"] for name in ("new", "replay"))
    assert one == other
    assert two.facts("base", "again")["comparisons"][0]["identical"]
    assert any("they are the same run, so nothing can have changed" in line for line in two.compare("base", "base"))


def test_partial_credit(runs: Runs) -> None:
    """Where every answer falls from 1.0 to a little, that is a drop and flips, though all pass the mark."""
    runs.data(runs.rows('call add {"a": 1} & call add {"a": 2}'))
    runs.record({"base": {}, "new": {f"t{n}-d{d}": RIGHT for n in range(8) for d in range(2)}}, "--fc-grader=agentic")
    by_mark = runs.facts("base", "new")["comparisons"][0]
    assert (by_mark["difference"]["change"], len(by_mark["lost"])) == (pytest.approx(-1 / 3), 16)
    for name in ("base", "new"):
        runs.project.change(name, lambda description: description.update(pass_mark=0.2))
    (found,) = runs.facts("base", "new")["comparisons"]
    assert [flip["by_mark"] for flip in found["lost"]] == [False] * 16
    assert runs.facts("base", "new", "--least-change=0.6")["comparisons"][0]["lost"] == []


# What is refused, and graded again


def test_runs_that_were_graded_differently(runs: Runs) -> None:
    """Another grader, settings or pass mark are refused by name; --regrade grades all by the newest run's grader."""
    both: Table = {"t0-d0": 'call add {"a": 1} & call add {"a": 5}', "t0-d1": WRONG}
    runs.record({"base": both})
    runs.record({"new": both | {"t1-d0": WRONG}}, "--fc-grader=agentic", "--fc-strict-schema", "--fc-pass-mark=0.5")
    runs.record({"other": both}, "--fc-grader=agentic", "--fc-strict-schema", "--fc-pass-mark=0.5")
    text = runs.refused("base", "new")
    for told in ("grader: ", "--fc-strict-schema: false → true", "pass mark: not set → 0.5", "--regrade grades"):
        assert told in text
    regraded, alike = (
        runs.facts(*names)["comparisons"][0] for names in (("base", "new", "--regrade"), ("other", "new"))
    )
    assert regraded["means"] == pytest.approx(alike["means"])
    assert regraded["lost"] == alike["lost"]
    assert regraded["means"] != pytest.approx([23 / 24, 22 / 24])
    again = runs.facts("base", "new", "--regrade", "--grader=nemo-gym")["comparisons"][0]
    assert again["means"] == pytest.approx([23 / 24, 22 / 24])
    # the newest run decides, wherever it stands
    assert runs.facts("new", "base", "--regrade")["comparisons"][0]["means"] == pytest.approx(regraded["means"][::-1])


def test_a_grader_that_only_a_run_names(runs: Runs) -> None:
    """A grader of a user's own is loaded to grade again only if the user names it, and it may have changed since."""
    source = "from pathlib import Path\n\nPath('loaded').touch()\n\n\n"
    source += "def close(expected, actual):\n    return expected.kind == actual.kind\n"
    runs.project.write("mine.py", source)
    runs.record({"base": {"t0-d0": WRONG, "t0-d1": "say no"}})
    runs.record({"new": {}}, "--fc-grader=mine:close")
    loaded = runs.project.path / "loaded"
    loaded.unlink()
    text = runs.refused("base", "new", "--regrade")
    assert "the grader of the newest run, mine:close, and what only a run names is not loaded" in text
    assert not loaded.exists()
    runs.project.write("mine.py", source + "# another version\n")
    (found,) = runs.facts("base", "new", "--regrade", "--grader=mine:close")["comparisons"]
    assert found["means"] == pytest.approx([23 / 24, 1])
    assert loaded.exists()


def test_a_grader_that_fails(runs: Runs) -> None:
    """Answers to which the named grader gives no grade leave the pairs, and are counted with one of the errors."""
    runs.project.write(
        "mine.py", "def odd(expected, actual):\n    if expected.calls:\n        raise ValueError('odd')\n    return 1\n"
    )
    runs.record({"base": {}, "new": {}})
    lines = runs.compare("base", "new", "--regrade", "--grader=mine:odd")
    assert sum("not graded again: 16 answers, since the grader raised an error" in line for line in lines) == 2
    assert any(re.search(r"t0-d0: .*ValueError: odd|t0-d0: .*odd", line) for line in lines)
    assert any(line.startswith("8 pairs in 8 trajectories") for line in lines)


def test_other_data(runs: Runs) -> None:
    """Other data are refused; --regrade takes the newest data's expected actions where the conversation is the same."""
    runs.record({"base": {"t0-d0": WRONG}})
    (runs.project.path / "pivots.jsonl").rename(runs.project.path / "old.jsonl")
    rows = runs.rows()
    rows[0]["expected_action"]["arguments"] = '{"a": 2}'
    rows[1]["responses_create_params"]["input"][-1]["content"] = WRONG
    runs.project.data(rows)
    runs.record({"new": {"t0-d0": WRONG}})
    text = runs.refused("base", "new")
    assert re.search(r"\n  data: pivots\.jsonl \(sha256 \w{16}…\) → pivots\.jsonl \(sha256 \w{16}…\)\n--regrade", text)
    assert "--data FILE" in runs.refused("base", "new", "--regrade")
    (found,) = runs.facts("base", "new", "--regrade", "--data=old.jsonl")["comparisons"]
    assert (found["means"], found["errors_base"]) == ([1.0, 1.0], ["pivots.jsonl::t0-d1"])
    assert runs.facts("new", "base", "--regrade", "--data=old.jsonl")["comparisons"][0]["no_facts"] is None
    runs.project.data(rows[:3], "else.jsonl")
    assert "--data else.jsonl: none of the runs used this file" in runs.refused(
        "base", "new", "--regrade", "--data=old.jsonl", "--data=else.jsonl"
    )
    lines = runs.compare("base", "new", "--regrade", "--data=old.jsonl")
    assert any("not graded again: 1 answer, since the newest run's data have another conversation" in e for e in lines)


def test_messages_that_a_judge_scored(two: Runs) -> None:
    """Messages keep the scores of a judge that both runs had; those of another one need a replay."""
    for name in ("base", "new"):
        two.project.change(
            name,
            lambda described: described.update(
                grader={"name": "agentic", "settings": {}}, judge={"model": "m"}, pass_mark=0.5
            ),
        )
        two.project.change_lines(name, lambda line: line.update(reward=0.75) if line["expected"] == "message" else None)
    (found,) = two.facts("base", "new", "--regrade")["comparisons"]
    shares = {(group["by"], group["name"]): (group["base"], group["new"]) for group in found["groups"]}
    assert shares["type", "message"] == (0.75, 0.75)
    two.project.change("base", lambda described: described.update(judge={"model": "another"}))
    assert '{"model": "another"} → {"model": "m"}' in two.refused("base", "new")
    assert "replay this run with the same judge, and compare the replay:  pytest --fc-replay=base" in two.refused(
        "base", "new", "--regrade"
    )


def test_what_cannot_be_graded_again(two: Runs) -> None:
    """Answers with a secret that was removed, and errors, leave the pairs; answers read differently need a replay."""
    two.project.change_lines("base", lambda line: line.update(redacted=line["pivot_id"] == "t1-d1"))
    (found,) = two.facts("base", "new", "--regrade")["comparisons"]
    assert sorted(found["errors_base"]) == ["pivots.jsonl::t1-d1", "pivots.jsonl::t6-d0"]
    assert any("they contained a secret" in line for line in two.compare("base", "new", "--regrade"))
    two.project.change("new", lambda described: described["options"].update(fc_empty_arguments="object"))
    assert "pytest --fc-replay=base --fc-empty-arguments=object" in two.refused("base", "new", "--regrade")


# The data


def test_data_that_are_not_at_hand(two: Runs) -> None:
    """Without the data the groups by depth and number of tools are left out, which is said; --data names the file."""
    whole = two.facts("base", "new")["comparisons"][0]
    (two.project.path / "pivots.jsonl").rename(two.project.path / "moved.jsonl")
    (found,) = two.facts("base", "new")["comparisons"]
    assert "give the file: --data FILE" in found["no_facts"]
    assert {group["by"] for group in found["groups"]} == {"type", "tool", "category"}
    assert two.compare("base", "new")[-1].startswith(
        "by depth and number of tools: left out, since the data are not at hand: new: its data pivots.jsonl are not at"
    )
    assert two.facts("base", "new", "--data=moved.jsonl")["comparisons"][0] == whole
    two.project.data(two.rows(WRONG), "else.jsonl")
    assert "these are not the data of the run" in two.refused("base", "new", "--data=else.jsonl")


# Baselines


def test_a_saved_baseline(two: Runs) -> None:
    """A run that is saved is compared by its name or its file as it is itself, and known as the same run."""
    text = two.refused("base", "--save-baseline=main")
    assert "1 answer of the run ended in errors, as that of pivots.jsonl::t6-d0" in text
    lines = two.compare("base", "--save-baseline=main", "--allow-errors")
    assert re.fullmatch(r"baseline saved in .*\.fcpivot/baselines/main\.jsonl: 24 pivots", lines[-1])
    two.compare("base", "--save-baseline=kept.jsonl", "--allow-errors")
    itself = two.facts("base", "new")
    for name in ("main", "kept.jsonl", "./.fcpivot/baselines/main.jsonl"):
        found = two.facts(name, "new")
        assert found["comparisons"] == itself["comparisons"]
        assert found["base"]["baseline"]
        assert two.facts(name, "base")["comparisons"][0]["identical"]
    backwards = two.facts("new", "main")["comparisons"][0]
    assert backwards["difference"]["change"] == pytest.approx(4 / 22)
    assert backwards["no_facts"] is None
    assert "main: a saved baseline has no answers to grade again" in two.refused("main", "new", "--regrade")
    assert "this is a saved baseline already" in two.refused("main", "--save-baseline=again")


def test_a_baseline_of_another_grader(two: Runs) -> None:
    """Where a baseline was graded differently, the advice is to name the run that it was saved from."""
    two.compare("base", "--save-baseline=main", "--allow-errors")
    two.project.change(
        "new", lambda described: described["grader"]["settings"].update(word_count_similarity_threshold=0.5)
    )
    assert "main is a saved baseline, without answers: name the run it was saved from" in two.refused("main", "new")


def test_a_run_that_is_not_whole(two: Runs) -> None:
    """A run that ended early is compared as far as it came, which is said, and is not saved as a baseline."""
    two.project.change("base", lambda described: described["sessions"][-1].update(exit_status=2))
    assert "        its last session ended early, with exit status 2" in two.compare("base", "new")
    text = two.refused("base", "--save-baseline=main", "--allow-errors")
    assert "the baseline main is not saved: its last session ended early, with exit status 2" in text


# Several runs, and one agent


def test_several_runs(two: Runs, snapshot: SnapshotAssertion) -> None:
    """Each run is compared with the first, in one table whose p-values are one family."""
    two.record({"other": {f"t{number}-d1": WRONG for number in range(8)}})
    lines = two.compare("base", "new", "other", "base", "--show-flips=1")
    assert lines == snapshot
    found = two.facts("base", "new", "other")
    assert [each["new"]["name"] for each in found["comparisons"]] == ["new", "other"]
    assert found["comparisons"][1]["difference"] == two.facts("base", "other")["comparisons"][0]["difference"]
    lines = two.compare("base", "new", "other", "--max-drop=100%")
    assert lines.count("  a drop of more than 1.0000 is ruled out") == 2
    assert "#### `other`" in two.compare("base", "new", "other", "--format=markdown")


def test_one_agent(runs: Runs) -> None:
    """Two runs of one agent give its flip rate, its noise, and how many of four reruns would turn a verdict."""
    base: Table = {f"t{number}-d{number % 2}": WRONG for number in range(4)}
    new: Table = {f"t{number}-d{number % 2}": WRONG for number in range(2, 6)}
    runs.record({"base": base, "new": new})
    lines = runs.compare("--same-agent", "base", "new", "--fail-under=80%", "--max-drop=0.05")
    assert any(
        re.match(r"taken as two runs of one unchanged agent: 16\.67 % of 24 pivots flipped \(95 % ", e) for e in lines
    )
    assert not any(line.startswith("warning") for line in lines)
    found = runs.facts("--same-agent", "base", "new", "--fail-under=0.8", "--max-drop=0.05")
    mark, drop = found["verdicts"]
    assert (mark["word"], mark["first"], mark["second"]) == ("PASS", "PASS", "PASS")
    # the mean of both runs is 0.8333, a rerun's has 1.5 times the variance of a run: about one of four is under 0.8
    assert 0.5 < mark["turned_of_four"] < 2
    assert (drop["first"], drop["second"]) == (None, "INCONCLUSIVE")
    certain = runs.facts("--same-agent", "base", "new", "--fail-under=0.1")["verdicts"][0]
    assert certain["turned_of_four"] < 0.01
    assert "base and base are the same run" in runs.refused("--same-agent", "base", "base")


def test_one_agent_at_one_trajectory(runs: Runs) -> None:
    """With one trajectory the noise is unknown, which is said, and is null in JSON."""
    runs.data([row for row in runs.rows() if row["trajectory_id"] == "t0"])
    runs.record({"base": {}, "new": {"t0-d0": WRONG}})
    assert any("cannot be known from one trajectory" in line for line in runs.compare("--same-agent", "base", "new"))
    assert runs.facts("--same-agent", "base", "new")["noise"] is None
    assert "- mean reward 1.0000 and 0.6667" in runs.compare("--same-agent", "base", "new", "--format=markdown")


def test_two_agents_that_are_not_the_same(two: Runs) -> None:
    """A change that is more than noise is a warning: it was not one agent."""
    two.record({"other": {f"t{number}-d0": WRONG for number in range(8)} | {"t0-d1": WRONG}})
    assert any(line.startswith("warning: the change of ") for line in two.compare("--same-agent", "base", "other"))


# Bad input


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["base"], "base: name another run, or several, to compare with it"),
        (["base", "nowhere"], "nowhere: there is no such run, and no baseline is saved under that name in"),
        (["base", "pivots.jsonl"], "pivots.jsonl:1: not the first line of a saved baseline; name a run's directory"),
        (["base", "puppet.py"], "puppet.py:1: an empty line; name a run's directory, or a file that"),
        (["base", "."], ".: not a run's directory: it has no run.json"),
        (["base", "new", "--alpha=0"], "'0': write a number between 0 and 1, as in 0.05"),
        (["base", "new", "--max-drop=2"], "'2': write a number from 0 to 1, as in 0.02, or a percentage, as in 2%"),
        (["base", "new", "--max-drop=abc"], "'abc': write a number from 0 to 1"),
        (["base", "new", "--max-drop=nan"], "'nan': write a number from 0 to 1"),
        (["base", "new", "--fail-under=0.8"], "--fail-under: it belongs to --same-agent; fcpivot gate decides"),
        (["base", "new", "new", "--same-agent"], "--same-agent: name two runs of one agent, and not 3"),
        (["base", "new", "--grader=nemo-gym"], "rewards are compared as they were recorded, unless with --regrade"),
        (["base", "new", "--grader-option=a=1"], "name the grader of this setting with --grader=SPEC"),
        (["base", "new", "--save-baseline=x"], "--save-baseline=x: name one run, which is saved, and not 2"),
        (["base", "new", "--allow-errors"], "--allow-errors: it belongs to --save-baseline=NAME"),
        (["base", "--save-baseline=a b"], "the name of a baseline has letters, digits and . _ + @ - only"),
        (["base", "new", "--format=yaml"], "invalid choice: 'yaml'"),
    ],
)
def test_bad_input(arguments: list[str], told: str, two_runs_once: Runs) -> None:
    """What cannot be compared is refused with the reason, with exit code 2."""
    assert told in two_runs_once.refused(*arguments)


@pytest.fixture
def two_runs_once(two: Runs) -> Runs:
    """Return a project with two runs."""
    return two


def test_runs_of_other_versions(two: Runs) -> None:
    """A run of another version, an empty one, and one with damaged lines are refused; damage may be left out."""
    two.project.change("base", lambda described: described.update(format=7))
    assert "a newer version of pytest-fcpivot (format 7, this one reads 1)" in two.refused("base", "new")
    two.project.change("base", lambda described: described.update(format=1))
    results = two.project.path / "base" / "results.jsonl"
    whole = results.read_bytes()
    results.write_bytes(whole + b"rubbish\n")
    assert "--allow-damaged" in two.refused("base", "new")
    assert "        left out: 1 damaged line (without a test's name: if the test has an earlier result, that one " in (
        "\n".join(two.compare("base", "new", "--allow-damaged"))
    )
    results.write_bytes(b"")
    assert "base: this run has no results" in two.refused("base", "new")


def test_texts_from_elsewhere(two: Runs) -> None:
    """What a run says of itself is shown on one line, with control characters escaped, also as Markdown."""
    two.project.change("base", lambda described: described.update(agent="x\x1b[2J|`<b>\n" + "y" * 5000))
    for form in ("text", "markdown", "json"):
        for more in ([], ["--same-agent"], ["new"]):
            text = "\n".join(two.compare("base", "new", *more, f"--format={form}"))
            assert "\x1b" not in text
            assert form == "json" or max(map(len, text.splitlines())) < 400
            assert form != "markdown" or not re.search(r"(?<!\\)<b>", text)
