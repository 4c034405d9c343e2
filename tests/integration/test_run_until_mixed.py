"""--fc-until-mixed: a pivot is asked no further once it has passed and failed, and nothing is said that this biases."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.until_mixed import WHY_NO_RATE

if TYPE_CHECKING:
    from counting_agent import Counted

pytest_plugins = ["pivot_project", "counting_agent"]

K = 5
# By pivot: what becomes of each repeat, + for passed, - for failed, e for an error; and how many of them are asked.
ANSWERS = {
    "right": ("+++++", 5),
    "wrong": ("-----", 5),
    "turns": ("+-+++", 2),
    "late": ("----+", 5),
    "breaks": ("+ee-+", 4),
    "fails_first": ("e+-ee", 3),
}
ASKED = {name if n == 1 else f"{name}[r{n}]": 1 for name, (_, asked) in ANSWERS.items() for n in range(1, asked + 1)}
AGENT = """
import os
import counting

ANSWERS = {answers!r}

def answer(pivot):
    counting.note(pivot)
    outcome = ANSWERS[pivot.id][pivot.repeat - 1]
    if outcome == "e" and not os.environ.get("MENDED"):
        raise RuntimeError("no connection")
    return None if outcome == "-" else "hello"

def dies(pivot):
    if pivot.id == "wrong" and pivot.repeat == 3 and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(17)
    return answer(pivot)
"""
COUNTS = {"selected": 30, "passed": 9, "failed": 12, "errors": 3, "not_run": 6, "skipped": 0, "not_run_mixed": 6}
LINE = "passed 9, failed 12, errors 3, not run: mixed 6 of 30"


def _options(counted: Counted, agent: str = "answer") -> list[str]:
    options = counted.table(dict.fromkeys(ANSWERS, ("say hello", None)))
    counted.project.write("moody.py", AGENT.format(answers={name: text for name, (text, _) in ANSWERS.items()}))
    return [options[0], f"--fc-agent=moody:{agent}", f"--fc-repeats={K}", "--fc-until-mixed"]


def test_a_pivot_is_asked_until_it_has_passed_and_failed(counted: Counted) -> None:
    """Errors are neither; what is not asked has no case, no line, and is counted in every place with its reason."""
    page = counted.project.path / "page.md"
    counted.monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    result, outcomes = counted.run_cases(*_options(counted), "--fc-run=run", "-ra")
    assert counted.asked() == ASKED
    assert outcomes.keys() == ASKED.keys()
    result.stdout.fnmatch_lines(
        [
            f"fcpivot: asks at a pivot up to {K} times, until it has passed and failed",
            f"mean reward of the first repeats 0.6000  (95 % interval *, 5 answers in *); * {WHY_NO_RATE}",
            "4 pivots passed and failed (mixed), 1 only passed, 1 only failed",
            LINE,
            "counts agree: pytest's pass rate is the grader's mean reward (21 tests)",
        ]
    )
    result.stdout.no_fnmatch_line("*pass rate 0.*")
    result.stdout.no_fnmatch_line("*pass@*")
    result.stdout.no_fnmatch_line("*SKIPPED*")
    run = counted.project.path / "run"
    described = counted.described(run)
    assert described["counts"] == COUNTS
    assert described["options"]["fc_until_mixed"] is True
    assert len(counted.lines(run)) == len(ASKED)
    summary = json.loads((run / "summary.json").read_bytes())
    assert (summary["mean_reward"], summary["pass_rate"], summary["mean_with_errors_as_0"], summary["pass_at"]) == (
        *(None, None, None),
        [],
    )
    found = summary["until_mixed"]
    assert {name: found[name] for name in ("mixed", "only_passed", "only_failed", "not_run_mixed")} == {
        "mixed": 4,
        "only_passed": 1,
        "only_failed": 1,
        "not_run_mixed": 6,
    }
    assert found["mean_reward_of_first_repeats"]["mean"] == 0.6
    properties = {each.attrib["name"]: each.attrib["value"] for each in counted.project.junit().iter("property")}
    assert {name: properties.get(name) for name in ("fc.mean_reward", "fc.pass_rate", "fc.not_run")} == {
        "fc.mean_reward": None,
        "fc.pass_rate": None,
        "fc.not_run": "6",
    }
    assert (properties["fc.not_run_mixed"], properties["fc.mixed_pivots"]) == ("6", "4")
    assert properties["fc.mean_reward_of_first_repeats"] == "0.6"
    text = page.read_text("utf-8")
    assert "| not run: mixed | 6 |" in text
    assert "| pass rate" not in text
    assert counted.project.command("report", "run", "-o", "run.html").ret == 0
    html = (counted.project.path / "run.html").read_text("utf-8")
    assert WHY_NO_RATE in html
    assert "over the first repeats, 95 % interval" in html


@pytest.mark.parametrize("workers", ["-n2", "-n2 --dist=loadfile"])
def test_workers_ask_no_more(counted: Counted, workers: str) -> None:
    """All repeats of a pivot are at one worker, so that nothing is asked that is not needed."""
    result = counted.run_here(*_options(counted), "--fc-concurrency=2", *workers.split())
    assert counted.asked() == ASKED
    result.stdout.fnmatch_lines([LINE])
    assert counted.described(counted.only_run)["counts"] == COUNTS


def test_pivots_of_a_worker_that_dies(counted: Counted) -> None:
    """Another worker goes on where it died, and knows what the pivots' earlier repeats were."""
    result = counted.run(*_options(counted, "dies"), "-n1", "--fc-concurrency=1")
    result.stdout.fnmatch_lines([LINE])
    assert counted.asked().keys() == ASKED.keys()  # those under way at the death were asked again


def test_a_resumed_run_asks_what_is_missing_and_needed(counted: Counted) -> None:
    """Errors are asked again where that can change something: at first repeats, and at pivots that are not mixed."""
    counted.run_here(*_options(counted), "--fc-run=run", "--maxfail=4")
    run = counted.project.path / "run"
    graded = {test.partition("::")[2] for test, line in counted.results(run).items() if line["outcome"] != "error"}
    assert 0 < len(graded) < len(ASKED)
    result = counted.run_here("--fc-resume=run")
    assert counted.asked() == dict.fromkeys(ASKED.keys() - graded, 1)
    assert counted.described(run)["counts"] == COUNTS
    result.stdout.fnmatch_lines([LINE])
    counted.monkeypatch.setenv("MENDED", "1")
    result = counted.run_here("--fc-resume=run")
    assert counted.asked() == {"fails_first": 1}
    result.stdout.fnmatch_lines(["passed 10, failed 12, errors 2, not run: mixed 6 of 30"])
    result.stdout.no_fnmatch_line("*missing or ended in an error*")
    counted.run_here("--fc-resume=run")
    assert not counted.asked()


def test_a_killed_run_is_resumed(counted: Counted) -> None:
    """A run that was killed has results of some repeats: the others are asked as far as they are needed."""
    options = _options(counted)
    counted.run_here(*options, "--fc-run=run")
    results = counted.project.path / "run" / "results.jsonl"
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join(lines[:9]) + lines[9][:40])
    counted.run_here("--fc-resume=run")
    kept = {json.loads(line)["test"].partition("::")[2] for line in lines[:9]}
    errors = {"fails_first", "breaks[r2]"} & kept
    assert counted.asked() == dict.fromkeys((ASKED.keys() - kept) | errors, 1)
    assert counted.described(counted.project.path / "run")["counts"] == COUNTS
    result = counted.run_here("--fc-resume=run", "-k", "turns and r3")  # what the other repeats were is known
    result.stdout.fnmatch_lines(["passed 0, failed 0, errors 0, not run: mixed 1 of 1"])
    assert (counted.asked(), result.ret) == ({}, 0)


def test_a_replay_grades_what_there_is(counted: Counted) -> None:
    """All stored answers are graded, by another pass mark too, and the replay knows that they are no sample."""
    counted.run_here(*_options(counted), "--fc-run=run")
    result = counted.run_here("--fc-replay=run", "--fc-run=again")
    assert not counted.asked()
    result.stdout.fnmatch_lines(["4 pivots passed and failed (mixed)*", "passed 9, failed 12, errors 3"])
    result.stdout.no_fnmatch_line("*pass rate 0.*")
    counted.project.change("run", lambda about: about.update(agent="another"))  # as if somebody else had made it
    result = counted.run_here("--fc-replay=run", "--fc-data=pivots.jsonl", "--fc-run=strangers")
    result.stdout.fnmatch_lines(["4 pivots passed and failed (mixed)*", "passed 9, failed 12, errors 3"])


def test_what_makes_no_sense_is_refused(counted: Counted) -> None:
    """It is refused before the first call, with the reason."""
    options = _options(counted)
    counted.run_here(*options[:3], "--fc-run=run")
    for more, says in {
        "--fc-repeats=1": "*a pivot can only pass and fail if it is asked several times; add --fc-repeats=8*",
        "--fc-fail-under=0.5": f"*--fc-until-mixed and --fc-fail-under: {WHY_NO_RATE}*choose one",
        "--fc-baseline=run": "*--fc-until-mixed and --fc-baseline: *choose one",
        "--fc-save-baseline=mine": "*--fc-until-mixed and --fc-save-baseline: *choose one",
        "--fc-fail-under=0.5 --fc-stop-when-decided": "*--fc-until-mixed and --fc-fail-under: *choose one",
        "--fc-replay=run": "*--fc-until-mixed: a replay grades all the answers that a run has*",
        "--fc-resume=run": "*--fc-until-mixed: not set → true*",
    }.items():
        result = counted.run_here(*options, *more.split())
        result.stderr.fnmatch_lines([says])
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert not counted.asked()


def test_what_needs_a_mean_refuses_the_run(counted: Counted) -> None:
    """Commands that would take the mean over all answers name the option that biased it; so does a session's gate."""
    options = _options(counted)
    counted.run_here(*options, "--fc-run=run")
    counted.run_here(*options[:3], "--fc-run=whole")
    says = f"*run: * needs all repeats, and this run was made with --fc-until-mixed: {WHY_NO_RATE}*"
    for command in (
        *("gate run --fail-under=0.5", "compare run whole", "compare whole run"),
        *("audit run", "report whole run -o x.html"),
    ):
        result = counted.project.command(*command.split())
        assert result.ret == 2
        result.stderr.fnmatch_lines([says])
    result = counted.run_here(*options[:3], "--fc-baseline=run", "--fc-max-drop=0.1")
    result.stderr.fnmatch_lines(["*--fc-baseline=run: a comparison needs all repeats*"])
    assert not counted.asked()


def test_shards_are_merged(counted: Counted) -> None:
    """The merged run is complete, knows what was not needed, and has no pass rate either."""
    options = _options(counted)
    for shard in (1, 2):
        counted.run_here(*options, f"--fc-shard={shard}/2", f"--fc-run=s{shard}")
    result = counted.project.command("merge", "s1", "s2", "-o", "merged")
    result.stdout.fnmatch_lines(["4 pivots passed and failed (mixed), 1 only passed, 1 only failed", LINE])
    result.stdout.no_fnmatch_line("missing:*")
    assert counted.described(counted.project.path / "merged")["counts"] == COUNTS
    counted.run_here(*options[:3], "--fc-shard=2/2", "--fc-run=other")
    result = counted.project.command("merge", "s1", "other", "-o", "mixture")
    assert result.ret == 2
    result.stderr.fnmatch_lines(["*--fc-until-mixed:*"])


def test_errors_that_another_plugin_runs_again(counted: Counted) -> None:
    """A repeat counts by what comes of it in the end, and the next one waits for that."""
    pytest.importorskip("pytest_rerunfailures")
    counted.monkeypatch.setenv("PYTEST_ADDOPTS", os.environ["PYTEST_ADDOPTS"].replace(" -p no:rerunfailures", ""))
    options = _options(counted)
    counted.project.write(
        "moody.py",
        "import counting\n\ndef answer(pivot):\n    counting.note(pivot)\n"
        "    if f'{pivot.id}{pivot.repeat}' not in SEEN:\n"
        "        SEEN.add(f'{pivot.id}{pivot.repeat}')\n        raise RuntimeError('not yet')\n"
        "    return 'hello' if pivot.repeat == 1 else None\n\nSEEN = set()\n",
    )
    result = counted.run_here(*options, "--reruns=1")
    assert counted.asked() == {name: 2 for name in ASKED if not name.endswith(("[r3]", "[r4]", "[r5]"))}
    result.stdout.fnmatch_lines(["passed 6, failed 6, errors 0, not run: mixed 18 of 30"])


def test_partial_credit_is_mixed_by_the_pass_mark(counted: Counted) -> None:
    """Rewards that differ make no pivot mixed, as long as they are on one side of the pass mark."""
    options = _options(counted)
    counted.project.write(
        "partly.py",
        "class Partly:\n    def grade(self, expected, actual):\n        return float(actual.message)\n\n"
        "def answer(pivot):\n    return str(REWARDS[pivot.id][pivot.repeat - 1])\n\n"
        f"REWARDS = dict.fromkeys({list(ANSWERS)}, [0.1, 0.3, 0.2, 0.4, 0.0])\n"
        "REWARDS['turns'] = [0.9, 0.4, 1.0, 1.0, 1.0]\n",
    )
    more = ["--fc-agent=partly:answer", "--fc-grader=partly:Partly", "--fc-pass-mark=0.5"]
    result = counted.run_here(*options, *more, "--fc-run=run")
    result.stdout.fnmatch_lines(
        [
            "mean reward of the first repeats 0.2333  (*",
            "1 pivot passed and failed (mixed), 0 only passed, 5 only failed",
            "passed 1, failed 26, errors 0, not run: mixed 3 of 30",
        ]
    )
    result = counted.run_here("--fc-replay=run", "--fc-pass-mark=0.25", "--fc-run=again")
    result.stdout.fnmatch_lines(["5 pivots passed and failed (mixed), 1 only passed, 0 only failed"])


def test_data_whose_rows_are_repeats(counted: Counted) -> None:
    """Data that repeat each pivot need no other option."""
    options = _options(counted)
    row = counted.project.row("say hello", id="turns")
    counted.project.data([{**row, "_ng_task_index": 0, "_ng_rollout_index": number} for number in range(K)])
    result = counted.run_here(*options[:2], "--fc-until-mixed", "--fc-run=none")
    result.stdout.fnmatch_lines(["passed 1, failed 1, errors 0, not run: mixed 3 of 5"])


def test_own_tests_and_several_files(counted: Counted) -> None:
    """A user's own test is passed over as well, by its own outcome; fixtures of a file end before the next file's."""
    options = _options(counted)
    counted.project.write(
        "conftest.py",
        "import pytest\n\n@pytest.fixture(scope='module', autouse=True)\ndef of_module(request):\n    yield\n",
    )
    for name in ("test_one.py", "test_two.py"):
        counted.project.write(
            name,
            "def test_hello(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n    assert pivot.id != 'right'\n",
        )
    result = counted.run_here("test_one.py", "test_two.py", *options, "--fc-run=run", "-p", "no:randomly")
    asked = counted.asked()
    assert asked == dict.fromkeys(ASKED, 2)
    result.stdout.fnmatch_lines(["passed 8, failed 34, errors 6, not run: mixed 12 of 60"])


def test_only_some_repeats_are_selected(counted: Counted) -> None:
    """If tests are named, the rule is that of the selected repeats."""
    tests = [f"pivots.jsonl::turns[r{n}]" for n in (2, 3, 4)]
    result = counted.run_here(*tests, "pivots.jsonl::late[r4]", *_options(counted))
    assert counted.asked() == {"turns[r2]": 1, "turns[r3]": 1, "late[r4]": 1}
    result.stdout.fnmatch_lines(["passed 1, failed 2, errors 0, not run: mixed 1 of 4"])


def test_a_stop_at_the_first_failure(counted: Counted) -> None:
    """A wrong answer stops a session with -x as ever; what is left is not run for another reason than mixed."""
    options = [*_options(counted), "--fc-run=run", "--fc-concurrency=1"]
    result = counted.run_here(*options, "-x")
    result.stdout.fnmatch_lines(["passed 1, failed 1, errors 0, not run 28 of 30"])
    result.stdout.fnmatch_lines(["run the tests that are missing*"])
    counted.run_here("--fc-resume=run")
    assert counted.described(counted.project.path / "run")["counts"] == COUNTS


def test_a_fixture_that_fails_to_end(counted: Counted) -> None:
    """If a file's fixture fails to end after tests that are passed over, that is an error, and the next file is run."""
    options = _options(counted)
    counted.project.write(
        "conftest.py",
        "import pytest\n\n@pytest.fixture(scope='module', autouse=True)\ndef of_module(request):\n    yield\n"
        "    raise OSError(f'cannot end {request.module.__name__}')\n",
    )
    for name in ("test_one.py", "test_two.py"):
        counted.project.write(name, "def test_hello(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    tests = ("test_one.py", "test_two.py", "-k", "turns")
    result = counted.run_here(*tests, *options, "--fc-run=none", "-p", "no:randomly")
    assert counted.asked() == {"turns": 2, "turns[r2]": 2}
    result.stdout.fnmatch_lines(
        ["*OSError: cannot end test_one", "passed 2, failed 2, errors 0, not run: mixed 6 of 10"]
    )
    result.assert_outcomes(passed=2, failed=2, errors=2)
