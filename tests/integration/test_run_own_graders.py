"""Graders of the user's own: from a module, an installed package, a hook; and what becomes of those that fail."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.graders.contract import CONTRACT
from pytest_fcpivot.report.merged import merged_lines
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from counting_agent import Counted
    from pivot_project import Project

pytest_plugins = ["pivot_project", "counting_agent"]

GUIDE = Path(__file__).parents[2] / "docs" / "graders.md"
# Rewards: the number of tools in common, by halves.
GRADERS = """
from pytest_fcpivot import Grade


def close(expected, actual):
    if not expected.calls:
        return bool(actual.message)
    return sum(one.name == other.name for one, other in zip(expected.calls, actual.calls)) / 2


def weighed(expected, actual, *, weight):
    return weight * close(expected, actual)


class Close:
    name = "closeness"
    binary = False

    def __init__(self, weight=1.0):
        self.weight = weight

    def grade(self, expected, actual):
        reward = self.weight * close(expected, actual)
        return Grade(reward, "MINE", "as I like it \\ud800", "$.a", paths=("$.a", "$.b"))

    def other(self, expected, actual):
        return self.weight * close(expected, actual)


class Calls:
    binary = True

    def accepts(self, calls):
        return calls > 0

    def __call__(self, expected, actual):
        return bool(actual.calls)


ready = Close(0.5)
called = Calls()
"""
TABLE: dict[str, tuple[str, str | None]] = {
    "right": ('call add {"a": 1} & call add {"a": 2}', None),
    "half": ('call add {"a": 1}', 'call add {"b": 1}'),
    "wrong": ('call add {"a": 1}', 'call find {"a": 1}'),
    "told": ("say hello", None),
}
HALVES = {"right": 1.0, "half": 0.5, "wrong": 0.0, "told": 1.0}


def _options(project: Project, *names: str) -> list[str]:
    project.write("my_graders.py", GRADERS)
    return project.puppet(project.rows({name: TABLE[name] for name in names or TABLE}))


def _rewards(run: Path) -> dict[str, Any]:
    lines = map(json.loads, (run / "results.jsonl").read_text("ascii").splitlines())
    return {line["pivot_id"]: line["reward"] for line in lines}


def _described(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text("ascii"))["grader"]
    return found


def _refused(project: Project, *args: str) -> str:
    result = project.run_here(*args)
    message = result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, message + result.stdout.str()
    assert "Traceback" not in message + result.stdout.str()
    assert "INTERNALERROR" not in message + result.stdout.str()
    return message


@pytest.mark.parametrize(
    ("spec", "settings", "name", "factor"),
    [
        ("my_graders:close", [], "my_graders:close", 1.0),
        ("my_graders:weighed", ["weight=0.5"], "my_graders:weighed", 0.5),
        ("my_graders:Close", [], "closeness", 1.0),
        ("my_graders:Close", ["weight=0.5"], "closeness", 0.5),
        ("my_graders:Close.other", ["weight=0.5"], "my_graders:Close.other", 0.5),
        ("my_graders:ready", [], "closeness", 0.5),
        ("my_graders:ready.other", [], "my_graders:ready.other", 0.5),
    ],
)
def test_from_a_module(project: Project, *, spec: str, settings: list[str], name: str, factor: float) -> None:
    """A function, a class with its settings, a method or an object grades, and run.json tells which and its file."""
    options = [*_options(project), f"--fc-grader={spec}", *(f"--fc-grader-option={one}" for one in settings)]
    result = project.run_here(*options, "--fc-run=run", "--fc-pass-mark=0.5")
    rewards = {pivot: factor * reward for pivot, reward in HALVES.items()}
    assert _rewards(project.path / "run") == rewards
    passed = sum(reward >= 0.5 for reward in rewards.values())
    result.assert_outcomes(passed=passed, failed=len(rewards) - passed)
    result.stdout.fnmatch_lines(
        [f"fcpivot: *; grader {name}, pass mark 0.5", f"*| {name} =*", "*; pass rate at reward ≥ 0.5: *"]
    )
    assert _described(project.path / "run") == {
        "name": name,
        "settings": {"weight": 0.5} if settings else {},
        "binary": False,
        "spec": spec,
        "source_sha256": hashlib.sha256((project.path / "my_graders.py").read_bytes()).hexdigest(),
    }


def test_plain_numbers_have_categories(project: Project, workers: list[str]) -> None:
    """A reward without a category is one of three, by whether it is 1, 0 or between."""
    result = project.run_here(*_options(project), "--fc-grader=my_graders:close", *workers)
    result.stdout.fnmatch_lines(["*2  EXPECTED_ACTION", "*1  ACTION_DIFFERENT", "*1  ACTION_PARTLY_EXPECTED"])
    assert "ACTION_PARTLY_EXPECTED\n  reward:   0.5, under the pass mark 1\n" in result.stdout.str()


def test_what_a_grade_tells(project: Project, workers: list[str]) -> None:
    """A Grade's explanation and paths are shown and recorded, from any process, whatever text they hold."""
    result = project.run_here(*_options(project, "half"), "--fc-grader=my_graders:Close", "--fc-run=run", *workers)
    assert "MINE: as I like it \\ud800\n" in result.stdout.str()
    assert "  differ:   $.a, $.b\n" in result.stdout.str()
    (line,) = map(json.loads, (project.path / "run" / "results.jsonl").read_text("ascii").splitlines())
    assert (line["category"], line["path"], line["paths"]) == ("MINE", "$.a", ["$.a", "$.b"])


def test_a_binary_grader(project: Project) -> None:
    """A grader that says it is binary has the identity of pass rate and mean reward checked; a mark changes nothing."""
    options = [*_options(project, "right", "half", "wrong"), "--fc-grader=my_graders:called", "--fc-pass-mark=0.5"]
    result = project.run_here(*options)
    result.stdout.fnmatch_lines(
        ["*; pass rate 1.0000", "counts agree: pytest's pass rate is the grader's mean reward (3 tests)"]
    )


def test_data_that_it_does_not_accept(project: Project) -> None:
    """Data that a grader does not accept are refused before a call, with what it is that it cannot judge."""
    result = project.run_here(*_options(project), "--fc-grader=my_graders:called")
    assert (
        "pivots.jsonl: 1 pivots expect a message (the first: told), which my_graders:called cannot judge; "
        "choose another grader" in result.stdout.str()
    )
    result.assert_outcomes(errors=1)


def test_from_a_directory_below(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graders are found where agents are: from the rootdir, and from the working directory."""
    options = _options(project, "right")
    project.write("pytest.ini", "[pytest]\n")
    below = project.path / "below"
    below.mkdir()
    project.write("below/near.py", "def near(expected, actual):\n    return 1\n")
    monkeypatch.chdir(below)
    for spec in ("my_graders:close", "near:near"):
        project.run_here("--fc-data=../pivots.jsonl", options[1], f"--fc-grader={spec}").assert_outcomes(passed=1)


# -------------------------------------------------------------------- installed packages


def _install(project: Project, where: Path, name: str, entry: str) -> None:
    """Install a package that brings a grader, as pip leaves it."""
    where.mkdir(exist_ok=True)
    (where / f"{name.replace('-', '_')}_module.py").write_text(GRADERS, encoding="utf-8")
    info = where / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[pytest_fcpivot.graders]\n{entry}\n", encoding="utf-8")


@pytest.fixture
def site(project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory of installed packages, on the sessions' path."""
    where = tmp_path_factory.mktemp("site")
    # pytest's own option, which is there before plugins look for anything, in workers too
    project.write("pytest.ini", f"[pytest]\npythonpath = {where}\n")
    return where


def test_from_an_installed_package(project: Project, site: Path) -> None:
    """A grader of an installed package is named alone, and run.json tells the package."""
    _install(project, site, "half-graders", "halves = half_graders_module:Close")
    options = [*_options(project), "--fc-grader=halves", "--fc-grader-option=weight=0.5"]
    result = project.run_here(*options, "--fc-run=run")
    assert _rewards(project.path / "run") == {name: reward / 2 for name, reward in HALVES.items()}
    result.stdout.fnmatch_lines(["fcpivot: *; grader closeness"])
    described = _described(project.path / "run")
    assert (described["spec"], described["package"]) == ("half_graders_module:Close", "half-graders 1.2")


def test_names_of_installed_packages(project: Project, site: Path) -> None:
    """Unknown names list the installed ones; a name of two packages and what cannot be loaded are refused."""
    options = _options(project)
    _install(project, site, "one", "shared = one_module:close\nodd = one_module:clse\nnone = one_module")
    _install(project, site, "two", "shared = two_module:close")
    message = _refused(project, *options, "--fc-grader=halves")
    assert "unknown grader 'halves'; known: nemo-gym, " in message
    assert "agentic, none, odd, shared; for one of your own, write module:function" in message
    message = _refused(project, *options, "--fc-grader=shared")
    assert "--fc-grader=shared: several installed packages provide it: " in message
    assert "one_module:close of one 1.2" in message
    message = _refused(project, *options, "--fc-grader=odd")
    assert "--fc-grader=odd: one 1.2: module one_module has no 'clse'; did you mean 'close'?" in message
    assert "the entry point of one 1.2 is 'one_module', not module:attribute" in _refused(
        project, *options, "--fc-grader=none"
    )


# -------------------------------------------------------------------- the hook

HOOK = """
from my_graders import Close, close


def pytest_fcpivot_grader(config, name, settings):
    assert config.rootpath
    if name is None:
        return close
    return Close(**settings) if name == "mine" else None
"""


@pytest.mark.parametrize(
    ("args", "grader", "factor"),
    [
        ([], "my_graders:close", 1.0),
        (["--fc-grader=mine"], "closeness", 1.0),
        (["--fc-grader=mine", "--fc-grader-option=weight=0.5", "-n1"], "closeness", 0.5),
        (["--fc-grader=my_graders:ready"], "closeness", 0.5),
        (["--fc-grader=nemo-gym:any-order"], "nemo-gym:any-order", None),
    ],
)
def test_from_the_hook(project: Project, args: list[str], grader: str, factor: float | None) -> None:
    """A conftest gives the grader of a name, or of no name; bundled names and modules stay what they are."""
    options = _options(project)
    project.write("conftest.py", HOOK)
    result = project.run_here(*options, *args, "--fc-run=run")
    result.stdout.fnmatch_lines([f"fcpivot: *; grader {grader}"])
    expected = {"right": 1.0, "half": 0.0, "wrong": 0.0, "told": 1.0}
    if factor is not None:
        expected = {name: factor * reward for name, reward in HALVES.items()}
    assert _rewards(project.path / "run") == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 42", "the hook pytest_fcpivot_grader: a grader is a function of (expected, actual), or an object"),
        ("return lambda answer: 1", "(answer) does not take these"),
        ("raise KeyError('key')", "the hook pytest_fcpivot_grader failed: KeyError: 'key'"),
        ("return None", "unknown grader 'mine'"),
    ],
)
def test_a_hook_that_gives_none(project: Project, body: str, message: str) -> None:
    """What a hook gives that is no grader, or raises, is one message, with its place."""
    options = _options(project)
    project.write("conftest.py", f"def pytest_fcpivot_grader(name):\n    {body}\n")
    found = _refused(project, *options, "--fc-grader=mine")
    assert message in found
    assert ("conftest.py:2" in found) == body.startswith("raise")


# -------------------------------------------------------------------- what cannot be a grader

BAD = """
NUMBER = 42

def one(expected):
    return 1.0

async def later(expected, actual):
    return 1.0

class NeedsKey:
    def __init__(self, key):
        self.key = key

    def grade(self, expected, actual):
        return 1.0

class Refuses(NeedsKey):
    def __init__(self):
        raise ValueError("no licence")

class Empty:
    pass

ready = NeedsKey(1)
"""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere:close", "--fc-grader=nowhere:close: cannot import nowhere: ModuleNotFoundError"),
        ("bad:clse", "--fc-grader=bad:clse: module bad has no 'clse'"),
        ("bad.py:one", "--fc-grader=bad.py:one: write the module without .py: bad:one"),
        ("broken:close", "cannot import broken: ZeroDivisionError: division by zero ("),
        (
            "bad:NUMBER",
            "a grader is a function of (expected, actual), or an object with such a method `grade`, not int",
        ),
        ("bad:one", "(expected) does not take these: too many positional arguments"),
        ("bad:later", "a grader cannot be a coroutine function"),
        ("bad:NeedsKey", "NeedsKey() failed: TypeError: "),
        ("bad:Refuses", "Refuses() failed: ValueError: no licence ("),
        ("bad:Empty", "not Empty ("),
        ("close", "unknown grader 'close'; known: nemo-gym, nemo-gym:first-call, nemo-gym:any-order, agentic; for"),
        ("agentic:strict", "unknown grader 'agentic:strict'"),
        ("bad:", "unknown grader 'bad:'"),
    ],
)
def test_no_grader(project: Project, spec: str, message: str) -> None:
    """What cannot be a grader is refused before the run, with its name and the reason of its own module."""
    project.write("bad.py", BAD)
    project.write("broken.py", "1 / 0\n")
    assert message in _refused(project, "--fc-agent=asks", f"--fc-grader={spec}")


@pytest.mark.parametrize(
    ("spec", "setting", "message"),
    [
        ("my_graders:close", "weight=1", "(expected, actual) does not take these with the settings weight"),
        ("my_graders:Close", "wieght=1", "Close(wieght=1.0) failed: TypeError: "),
        ("my_graders:ready", "weight=1", "it is an object already, so it takes no settings (weight)"),
    ],
)
def test_settings_that_it_does_not_have(project: Project, spec: str, setting: str, message: str) -> None:
    """Settings that a grader cannot take are refused, by name."""
    project.write("my_graders.py", GRADERS)
    found = _refused(project, "--fc-agent=asks", f"--fc-grader={spec}", f"--fc-grader-option={setting}")
    assert f"--fc-grader={spec}: " in found
    assert message in found


# -------------------------------------------------------------------- graders that fail

FAILING = """
import sys
from dataclasses import replace

import pytest
from pytest_fcpivot import Grade
from pytest_fcpivot.graders import AgenticGrader

ODD = {
    "none": lambda: None,
    "text": lambda: "1.0",
    "high": lambda: 1.5,
    "low": lambda: -0.1,
    "nan": lambda: float("nan"),
    "rounded": lambda: 0.1 + 0.2 + 0.7 + 1e-12,
    "in-grade": lambda: Grade(2.0, "MINE"),
    "category": lambda: Grade(1.0, None),
    "raises": lambda: inner([]),
    "exits": lambda: sys.exit("no licence"),
    "asserts": lambda: impossible(1),
    "skips": lambda: pytest.skip("not for me"),
    "right": lambda: 1.0,
    "wrong": lambda: 0.0,
}


def inner(values):
    return values[0]


def impossible(number):
    assert number == 2, "odd number"


def grade(expected, actual):
    return ODD[actual.message]()
"""
MESSAGES = {
    "none": "grader failing:grade returned None: return a Grade, or a reward from 0 to 1 as a number or a bool",
    "text": "grader failing:grade returned '1.0': return a Grade, or",
    "high": "grader failing:grade gave a reward of 1.5: return",
    "low": "grader failing:grade gave a reward of -0.1: return",
    "nan": "grader failing:grade gave a reward of nan: return",
    "in-grade": "grader failing:grade gave a reward of 2.0: return",
    "category": "grader failing:grade returned an invalid Grade: category must be text, not NoneType: Grade(",
    "raises": "the grader raised IndexError: list index out of range",
    "exits": "the grader called sys.exit('no licence')",
    "asserts": "the grader raised AssertionError: odd number",
}
OUTCOMES = dict.fromkeys(MESSAGES, "error") | {
    "rounded": "passed", "skips": "skipped", "right": "passed", "wrong": "failure",
}  # fmt: skip


def _failing(project: Project) -> list[str]:
    project.write("failing.py", FAILING)
    rows = project.rows({name: (f"say {name}", None) for name in OUTCOMES})
    return [*project.puppet(rows), "--fc-grader=failing:grade"]


def test_a_grader_that_fails(project: Project, plugin_args: list[str]) -> None:
    """What a grader raises, or returns that is no reward, is an error of the case, with the end of its traceback."""
    result, outcomes = project.run_cases(*_failing(project), "--fc-run=run", *plugin_args, "--tb=short")
    assert outcomes == OUTCOMES
    text = result.stdout.str()
    assert [message for message in MESSAGES.values() if message not in text] == []
    line = next(n for n, line in enumerate(FAILING.splitlines(), 1) if "return values[0]" in line)
    assert f"failing.py:{line} in inner: return values[0]" in text
    assert "own.py" not in text
    assert "session.py" not in text
    result.stdout.fnmatch_lines(
        [
            "errors (no answer to grade)",
            "*2  grader failing:grade gave a reward of 1.5: *(and others that differ only in numbers)",
            "passed 2, failed 1, errors 10; *",
        ]
    )
    rewards = _rewards(project.path / "run")
    assert {name for name, reward in rewards.items() if reward is None} == MESSAGES.keys()


def test_own_tests_with_a_grader_that_fails(project: Project) -> None:
    """In a test of the user's, fc_grade of a failing grader makes the test an error too."""
    options = _failing(project)
    project.write("test_mine.py", "def test_mine(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    _, outcomes = project.run_cases("test_mine.py", *options)
    assert outcomes == {f"test_mine[{name}]": outcome for name, outcome in OUTCOMES.items()}


FICKLE = """
from pathlib import Path

def grade(expected, actual):
    if not Path(__file__).with_name("mended").exists():
        raise RuntimeError("no service")
    return 1.0
"""


def test_what_a_grader_erred_on_is_graded_again(counted: Counted) -> None:
    """After a failure of the grader, a replay and a resumed run grade the stored answers, and ask nobody."""
    options = [*counted.table({"one": ("say hello", None), "off": ("say hello", "flaky hello")}), "--fc-run=run"]
    counted.project.write("fickle.py", FICKLE)
    counted.run_here(*options, "--fc-grader=fickle:grade").assert_outcomes(errors=2)
    counted.run_here("--fc-replay=run", "--fc-grader=nemo-gym").assert_outcomes(passed=1, errors=1)
    assert not counted.asked()
    counted.touch("mended")
    counted.run_here("--fc-replay=run").assert_outcomes(passed=1, errors=1)
    assert not counted.asked()
    counted.run_here("--fc-resume=run").assert_outcomes(passed=2)
    assert dict(counted.asked()) == {"off": 1}
    run = counted.project.path / "run"
    assert {test: line["outcome"] for test, line in counted.results(run).items()} == {
        "pivots.jsonl::one": "passed",
        "pivots.jsonl::off": "passed",
    }
    counted.run_here("--fc-resume=run").assert_outcomes(passed=2)
    assert not counted.asked()
    assert len(counted.lines(run)) == 4


# -------------------------------------------------------------------- honest comparisons


def test_a_grader_that_changed(project: Project) -> None:
    """A run is not gone on with, nor merged, under a grader whose file changed; a replay takes the new one."""
    options = [*_options(project), "--fc-grader=my_graders:close"]
    project.run_here(*options, "--fc-run=one", "--fc-shard=1/2")
    project.write("my_graders.py", GRADERS.replace("/ 2", "/ 4"))
    message = _refused(project, "--fc-resume=one")
    assert re.search(r'grader: \{.*"source_sha256": "\w+"\} → \{', message)
    project.run_here(*options, "--fc-run=two", "--fc-shard=2/2")
    with pytest.raises(FcPivotError, match="these runs are about different things"):
        merge([project.path / "one", project.path / "two"], project.path / "both")
    project.run_here("--fc-replay=one").stdout.fnmatch_lines(["mean reward *"])


def test_shards_are_merged_without_the_grader(project: Project) -> None:
    """Shards under an own grader are merged where the grader's module is not, with the summary of the whole."""
    options = [*_options(project), "--fc-grader=my_graders:close", "--fc-pass-mark=0.5"]
    whole = project.run_here(*options, "--fc-run=whole")
    for number in (1, 2):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=shard-{number}")
    (project.path / "my_graders.py").unlink()
    merged = merge([project.path / "shard-1", project.path / "shard-2"], project.path / "merged")
    report = [
        line
        for line in merged_lines(merged)
        if not line.startswith(("run recorded", "merged: ", "look at a failure: "))
    ]
    assert report == [line for line in project.summary(whole).splitlines() if not line.startswith("run recorded")]


def test_a_worker_with_another_grader(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A machine whose grader's file is another one is refused."""
    pytest.importorskip("xdist.plugin")
    options = [*_options(project), "--fc-grader=my_graders:close"]
    there: Path = tmp_path_factory.mktemp("there")
    for name in ("pivots.jsonl", "puppet.py"):
        (there / name).write_bytes((project.path / name).read_bytes())
    (there / "my_graders.py").write_text(GRADERS.replace("/ 2", "/ 4"), encoding="utf-8")
    (there / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    result = project.run_here(*options, "-d", "--tx", f"popen//chdir={there}", "--rootdir=.")
    assert "the worker's grader is {'name': 'my_graders:close'" in result.stderr.str() + result.stdout.str()
    assert result.ret != pytest.ExitCode.OK


# -------------------------------------------------------------------- the guide


def _blocks(language: str) -> list[str]:
    found = re.findall(rf"(?m)^( *)```{language}\n(.*?)^ *```", GUIDE.read_text("utf-8"), flags=re.DOTALL)
    return [re.sub(f"(?m)^{indent}", "", text) for indent, text in found]


def _written(project: Project) -> None:
    """Write every file of the guide, by the name that its first line has, and the agent and the data it speaks of."""
    for text in _blocks("python"):
        project.write(text.splitlines()[0].removeprefix("# "), text)
    right = '{"place": "Luigi", "guests": 4, "budget": 100.0, "note": "window"}'
    rows: dict[str, tuple[str, str | None]] = {
        "same": (f"call book_table {right}", None),
        "note": (f"call book_table {right}", f"call book_table {right}".replace("window", "by the door")),
        "near": (f"call book_table {right}", f"call book_table {right}".replace("100.0", "103")),
        "far": (f"call book_table {right}", f"call book_table {right}".replace("100.0", "120")),
        "place": (f"call book_table {right}", f"call book_table {right}".replace("Luigi", "Mario")),
        "other-note": ('call find {"note": "a"}', 'call find {"note": "b"}'),
        "broken": (f"call book_table {right}", 'call book_table {"place": '),
        "list": (f"call book_table {right}", 'call book_table ["Luigi"]'),
        "two": (f"call find {{}} & call book_table {right}", f"call book_table {right} & call find {{}}"),
        "talk": ("say done", None),
        "silent": (f"call book_table {right}", "say no"),
    }
    options = project.puppet(project.rows(rows), "train.jsonl")
    project.write("my_agent.py", "from puppet import answer\n")
    assert options


NEAR = {"same", "note", "near", "two", "talk"}


@pytest.mark.parametrize(
    ("grader", "passing"),
    [
        ("lenient:Lenient", NEAR),
        ("my_graders:same_tools", {"same", "note", "near", "far", "place", "other-note", "broken", "list", "talk"}),
    ],
)
def test_the_commands_of_the_guide(project: Project, grader: str, passing: set[str]) -> None:
    """The guide's graders do what it says of them, by the commands that it shows."""
    _written(project)
    (project.path / "conftest.py").unlink()
    (command,) = [line for text in _blocks("sh") for line in text.splitlines() if f"={grader}" in line]
    assert command.startswith("pytest ")
    _, outcomes = project.run_cases(*shlex.split(command)[1:])
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == passing
    assert "error" not in outcomes.values()


def test_the_tolerance_of_the_guide(project: Project) -> None:
    """The tolerance is a setting: by default, numbers that are 3 % off do not match."""
    _written(project)
    options = ["--fc-agent=my_agent:answer", "--fc-data=train.jsonl", "--fc-grader=lenient:Lenient"]
    result, outcomes = project.run_cases(*options)
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == NEAR - {"near"}
    result.stdout.fnmatch_lines(["counts agree: pytest's pass rate is the grader's mean reward (11 tests)"])


def test_the_hook_of_the_guide(project: Project) -> None:
    """The guide's conftest gives its grader, with and without its name."""
    _written(project)
    options = ["--fc-agent=my_agent:answer", "--fc-data=train.jsonl"]
    for args in ([], ["--fc-grader=lenient"]):
        project.run_here(*options, *args).assert_outcomes(passed=4, failed=7)


def test_the_entry_point_of_the_guide(project: Project, site: Path) -> None:
    """The guide's entry point gives its grader by name."""
    _written(project)
    (project.path / "conftest.py").unlink()
    (text,) = _blocks("toml")
    group, entry = text.splitlines()
    assert group == '[project.entry-points."pytest_fcpivot.graders"]'
    (project.path / "lenient.py").rename(site / "lenient.py")
    _install(project, site, "lenient", entry.replace('"', ""))
    options = ["--fc-agent=my_agent:answer", "--fc-data=train.jsonl", "--fc-grader=lenient"]
    project.run_here(*options).assert_outcomes(passed=4, failed=7)


def test_the_contract_of_the_guide(project: Project) -> None:
    """The guide's test file tries its grader by every rule."""
    _written(project)
    project.run_here("test_lenient.py").assert_outcomes(passed=len(CONTRACT))
