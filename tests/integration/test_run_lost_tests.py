"""However a session ends, its counts add up, and a session that lost tests is neither green nor a result."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.ending import UNTRUSTED, exit_status

if TYPE_CHECKING:
    from pivot_project import Project, Row

pytest_plugins = ["pivot_project"]

CI = Path(__file__).parents[2] / "docs" / "ci.md"
RESUME = "run the tests that are missing or ended in an error:  pytest --fc-resume=run"


def _dying(project: Project, number: int, *deadly: int) -> list[str]:
    """Write pivots, at some of which the agent ends its process; return the options of a recorded session."""
    rows: dict[str, tuple[str, str | None]] = {
        f"p{n}": ("say hello", "dies" if n in deadly else None) for n in range(number)
    }
    return [*project.puppet(project.rows(rows)), "--fc-run=run", "--fc-concurrency=2", "--junitxml=cases.xml"]


def _counts(project: Project, result: pytest.RunResult, selected: int) -> dict[str, int]:
    """Check that the counts add up to what was selected, and are alike in the summary, run.json and JUnit."""
    text = result.stdout.str()
    found = re.findall(
        r"^passed (\d+), failed (\d+), errors (\d+)(?:, not run (\d+) of (\d+))?(?:;.*?(?:to fail (\d+))?)?$",
        text,
        flags=re.MULTILINE,
    )
    assert len(found) == 1, text
    passed, failed, errors, not_run, of, skipped = (int(number or 0) for number in found[0])
    counts = {"selected": selected, "passed": passed, "failed": failed, "errors": errors, "not_run": not_run}
    assert passed + failed + errors + not_run == selected
    assert of == (selected if not_run else 0)
    described = json.loads((project.path / "run" / "run.json").read_text())
    assert described["counts"] == counts | {"skipped": skipped}
    assert described["sessions"][-1]["exit_status"] == result.ret
    suite = next(project.junit().iter("testsuite"))
    properties = {p.attrib["name"]: p.attrib["value"] for p in suite.findall("properties/property")}
    assert properties["fc.not_run"] == str(not_run)
    assert int(properties["fc.graded"]) + int(properties["fc.errors"]) + not_run == selected
    assert suite.attrib["errors"] == str(errors)
    return counts | {"skipped": skipped}


def _lines(project: Project) -> dict[str, Row]:
    lines = (project.path / "run" / "results.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["test"] for line in lines})
    return {json.loads(line)["pivot_id"]: json.loads(line) for line in lines}


@pytest.mark.parametrize(
    ("dist", "restarts", "deadly"),
    [("load", 0, (5,)), ("worksteal", 1, (5, 15)), ("loadfile", 0, (5,))],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_workers_die(project: Project, dist: str, restarts: int, deadly: tuple[int, ...]) -> None:
    """Each test that no worker is left to run is an error, in JUnit too, that names who died and at which test."""
    options = [*_dying(project, 20, *deadly), "-n2", f"--dist={dist}", f"--max-worker-restart={restarts}"]
    result = project.run_here(*options)
    assert result.ret == UNTRUSTED
    counts = _counts(project, result, 20)
    assert counts["errors"] > 0
    assert counts["not_run"] == 0
    outcomes = project.outcomes()
    assert len(outcomes) == 20
    lines = _lines(project)
    errors = {name: row["error"] for name, row in lines.items() if row["outcome"] == "error"}
    # the last worker that dies may have been at the deadly test itself, and is then blamed on it
    blamed = {name for name, text in errors.items() if re.match(r"worker 'gw\d' crashed while running", text)}
    assert blamed <= {f"p{number}" for number in deadly}
    lost = [text for name, text in errors.items() if name not in blamed]
    assert lost
    assert {name for name, outcome in outcomes.items() if outcome == "error"} == {*errors}
    for text in lost:
        assert re.match(r"not run, because no worker is left; worker gw\d died while running pivots.jsonl::p\d+", text)
    for number in deadly:
        assert lines[f"p{number}"]["outcome"] == "error"
    result.stdout.fnmatch_lines(
        [f"ERROR: {len(lost)} of the 20 selected tests were not run: no worker is left; worker gw*", RESUME]
    )


def test_workers_are_replaced(project: Project) -> None:
    """While dead workers are replaced, just the deadly pivots are errors, and the session comes to its end."""
    options = _dying(project, 12, 2, 7)
    result = project.run_here(*options, "-n2", "--dist=loadgroup")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    counts = _counts(project, result, 12)
    assert (counts["passed"], counts["errors"], counts["not_run"]) == (10, 2, 0)
    assert {name for name, outcome in project.outcomes().items() if outcome == "error"} == {"p2", "p7"}


STOP = """
import pytest

{hook}
"""
TAKES = "def pytest_runtest_protocol(item):\n    return item.name in ('p3', 'p4') or None\n"
EXITS = "def pytest_runtest_setup(item):\n    if item.name == 'p3':\n        pytest.exit('enough', {code})\n"
BREAKS = """
@pytest.fixture(scope="module", autouse=True)
def server():
    raise OSError("no server here")
"""
SKIPS = """
def pytest_collection_modifyitems(items):
    for item, mark in zip(items, [pytest.mark.skip, pytest.mark.xfail, pytest.mark.xfail(run=False)]):
        item.add_marker(mark)
"""


@pytest.mark.parametrize(
    ("hook", "args", "status", "expected"),
    [
        ("", ["-x"], 1, (1, 1, 0, 4, 0)),
        ("", ["--maxfail=2"], 1, (1, 1, 1, 3, 0)),
        ("", ["--fc-max-errors=0"], 2, (1, 1, 1, 3, 0)),
        ("", ["-k", "not p5", "--fc-repeats=2"], 1, (6, 2, 2, 0, 0)),
        (TAKES, [], UNTRUSTED, (1, 1, 1, 2, 1)),
        (EXITS.format(code=0), [], UNTRUSTED, (1, 1, 1, 3, 0)),
        (EXITS.format(code=7), [], 7, (1, 1, 1, 3, 0)),
        (BREAKS, [], 1, (0, 0, 6, 0, 0)),
        (SKIPS, [], 0, (2, 0, 0, 0, 4)),
    ],
    ids=["x", "maxfail", "max-errors", "filtered", "taken", "exit-0", "exit-7", "fixture", "marks"],
)
def test_other_ends(project: Project, hook: str, args: list[str], status: int, expected: tuple[int, ...]) -> None:
    """Whatever stops a session or removes tests, the counts add up; an unexplained end has an exit code of its own."""
    told = [None, "nothing", "raises no connection", None, None, "skips not today"]
    rows = [project.row("say hello", text, id=f"p{n}") for n, text in enumerate(told)]
    options = [*project.puppet(rows), "--fc-run=run", "--junitxml=cases.xml"]
    project.write("conftest.py", STOP.format(hook=hook))
    result = project.run_here(*options, *args)
    assert result.ret == status
    counts = _counts(project, result, sum(expected[:4]))
    names = ("passed", "failed", "errors", "not_run", "skipped")
    assert tuple(counts[name] for name in names) == expected
    assert (RESUME in result.outlines) is (counts["errors"] > 0 or counts["not_run"] > 0)
    assert ("selected tests were not run" in result.stdout.str()) is (status == UNTRUSTED)


# The one worker waits to be killed; the other ends it, and itself.
KILLER = """
import os
import signal
import time
from pathlib import Path

def answer(pivot):
    there = Path("waiting")
    if os.environ["PYTEST_XDIST_WORKER"] == "gw1":
        there.with_suffix(".part").write_text(str(os.getpid()))
        there.with_suffix(".part").rename(there)
        time.sleep(60)
    while not there.exists():
        time.sleep(0.01)
    os.kill(int(there.read_text()), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_workers_that_die_together(project: Project, dist: str) -> None:
    """The tests of a dead worker are given to one that died at the same moment: the counts add up all the same."""
    options = _dying(project, 30)
    project.write("killer.py", KILLER)
    result = project.run_here(*options, "--fc-agent=killer:answer", "-n2", f"--dist={dist}", "--max-worker-restart=0")
    assert result.ret == UNTRUSTED
    assert _counts(project, result, 30)["errors"] == 30


def test_own_tests(project: Project) -> None:
    """Tests of the user's over pivots count as the pivots' own do, with other parameters beside; the rest do not."""
    options = _dying(project, 6, 3)
    project.write(
        "test_mine.py",
        """
import pytest

@pytest.mark.parametrize("way", ["a-b", "c"])
def test_graded(pivot, way, fc_action, fc_grade):
    fc_grade(fc_action)

@pytest.mark.parametrize("number", range(10))
def test_without(number):
    pass
""",
    )
    result = project.run_here(*options, "test_mine.py", "-n2", "--max-worker-restart=0")
    assert result.ret == UNTRUSTED
    counts = _counts(project, result, 12)
    assert counts["errors"] >= 2


MINE = "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n"
BUILDS_AGENT = """
import os
import pytest

@pytest.fixture(scope="session")
def fc_agent():
    return lambda pivot: os._exit(17) if pivot.id == "t3530-d0" else "hello"
"""


@pytest.mark.parametrize("how", ["a fixture", "the environment"])
def test_own_tests_of_which_the_command_line_says_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Tests over the sample that workers lose are counted also where only a fixture or a setting names an agent."""
    project.write("conftest.py", BUILDS_AGENT)
    if how == "the environment":
        monkeypatch.setenv("FC_AGENT", "conftest_agent:answer")
        (project.path / "conftest.py").rename(project.path / "built.py")
        project.write("conftest_agent.py", "import built\nanswer = built.fc_agent.__wrapped__()\n")
    project.write("test_mine.py", MINE)
    monkeypatch.setenv("FC_LIMIT", "12")
    monkeypatch.setenv("FC_IDS", str(project.write("ids.txt", "t3530-d0\nt12-d0\nt12-d1\nt12-d2\n")))
    monkeypatch.setenv("FC_RUN", "run")
    result = project.run_here("-n1", "--max-worker-restart=0", "--junitxml=cases.xml")
    assert result.ret == UNTRUSTED
    counts = _counts(project, result, 4)
    assert counts["errors"] >= 1
    described = json.loads((project.path / "run" / "run.json").read_text())
    assert [data["name"] for data in described["data"]] == ["sample"]


def test_own_tests_over_two_data_sets_with_the_same_ids(project: Project) -> None:
    """A pivot whose id is in two data sets is two tests, and neither is lost without a word."""
    options = _dying(project, 3, 1)
    project.data(project.rows({f"p{n}": ("say hello", None) for n in range(3)}), "more.jsonl")
    project.write("test_mine.py", MINE)
    result = project.run_here(*options, "--fc-data=more.jsonl", "test_mine.py", "-n1", "--max-worker-restart=0")
    assert result.ret == UNTRUSTED
    assert _counts(project, result, 6)["errors"] >= 4
    assert {f"test_mine[p{n}{mark}]" for n in range(3) for mark in ("", "@2")} == project.outcomes().keys()


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["batch.jsonl", "-n1"], UNTRUSTED),
        (["test_broken.py", "-n1"], UNTRUSTED),
        (["batch.jsonl", "--continue-on-collection-errors"], UNTRUSTED),
        (["test_broken.py", "--continue-on-collection-errors"], pytest.ExitCode.TESTS_FAILED),
        (["batch.jsonl"], pytest.ExitCode.INTERRUPTED),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_files_that_cannot_be_collected(project: Project, args: list[str], status: int) -> None:
    """Files that could not be collected are named if the session runs without them, and the exit code says so."""
    project.data(project.rows({"both": ('call add {"a": 1} & call add {"a": 2}', None)}), "batch.jsonl")
    project.write("test_broken.py", "import no_such_module\n")
    options = [*_dying(project, 2), "--fc-grader=nemo-gym:first-call"]
    result = project.run_here(*options, "pivots.jsonl", *args)
    assert result.ret == status
    line = f"ERROR: 1 file could not be collected ({args[0]}): the tests in there are missing from these figures; *"
    if status == UNTRUSTED:
        result.stdout.fnmatch_lines([line])
    else:
        result.stdout.no_fnmatch_line(line)


def test_other_tests_with_the_name_of_a_pivot(project: Project) -> None:
    """A test of the user's that takes no pivot does not count, though its parameter has a pivot's name."""
    options = _dying(project, 2)
    project.write(
        "test_mine.py",
        """
import pytest

def test_graded(pivot, fc_action, fc_grade):
    fc_grade(fc_action)

@pytest.mark.parametrize("name", ["p0", pytest.param("p1", marks=pytest.mark.skip)])
def test_without(name):
    pass
""",
    )
    result = project.run_here(*options, "test_mine.py", "-n1")
    assert result.ret == pytest.ExitCode.OK
    assert _counts(project, result, 2)["passed"] == 2


def test_workers_die_before_they_have_tests(project: Project) -> None:
    """If every worker dies before collecting, all tests of the data are errors."""
    options = _dying(project, 3)
    hook = '    if "PYTEST_XDIST_WORKER" in os.environ:\n        os._exit(3)\n'
    project.write("conftest.py", f"import os\n\ndef pytest_collection_modifyitems():\n{hook}")
    result = project.run_here(*options, "-n1", "--max-worker-restart=0")
    assert result.ret == UNTRUSTED
    assert _counts(project, result, 3)["errors"] == 3


def _ci_command() -> str:
    """Return the command of the page's job that takes exit code 1 for results."""
    command: str
    (command,) = re.findall(r"^ *- run: (pytest .*\|\| .*)$", CI.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return command.replace("${{ matrix.shard }}/4", "1/1")


@pytest.mark.parametrize(("kind", "passes"), [("wrong", True), ("lost", False), ("changed", False)])
def test_the_job_in_ci(project: Project, monkeypatch: pytest.MonkeyPatch, kind: str, passes: bool) -> None:
    """The job of docs/ci.md succeeds with wrong answers, and fails with lost tests or outcomes that a hook changed."""
    command = _ci_command()
    assert command.startswith("pytest -n 4 ")
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": ("say hello", None) for n in range(6)}
    rows |= {"wrong": ("say hello", "nothing")}
    if kind == "lost":  # the first test of each worker, so that tests remain when both are dead
        rows = {f"deadly{n}": ("say hello", "dies") for n in range(4)} | rows
    project.puppet(project.rows(rows), "gate.jsonl")
    project.write("my_agent.py", "from puppet import answer\n")
    workers = "-p no:xdist"
    if kind == "lost":
        pytest.importorskip("xdist.plugin")
        workers = "-n 2 --max-worker-restart=0"
    if kind == "changed":
        hook = "    if call.when == 'call':\n        report.outcome, report.longrepr = 'passed', None\n"
        project.write(
            "conftest.py",
            "import pytest\n\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
            f"    report = yield\n{hook}    return report\n",
        )
    command = command.replace("pytest -n 4", f"{shlex.join(project.process())} {workers}", 1)
    job = subprocess.run(["sh", "-c", command], cwd=project.path, capture_output=True, text=True, check=False)
    assert (job.returncode == 0) is passes, job.stdout + job.stderr
    # a worker that is told to end before its first test has no result, and neither has the other one, which died
    assert kind == "lost" or (project.path / "run" / "results.jsonl").stat().st_size > 0
    assert ("exit code is 9" in job.stdout) is (kind == "lost")


@pytest.mark.parametrize(
    ("status", "lost", "broken", "expected"),
    [
        (0, 0, False, 0),
        (1, 0, False, 1),
        (0, 1, False, UNTRUSTED),
        (1, 1, False, UNTRUSTED),
        (0, 0, True, UNTRUSTED),
        (1, 0, True, UNTRUSTED),
        (2, 5, True, 2),
        (3, 5, False, 3),
        (5, 0, False, 5),
        (7, 1, True, 7),
    ],
)
def test_exit_status(status: int, lost: int, broken: bool, expected: int) -> None:
    """Lost tests and changed outcomes take the place of exit codes 0 and 1, and of no other."""
    assert exit_status(status, lost=lost, identity_broken=broken) == expected
