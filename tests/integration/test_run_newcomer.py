"""What somebody meets who has just installed the plugin: each thing is told once, with what to do."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

LOOKS = "def test_look(pivot):\n    assert pivot.input\n"
ASKS = "def test_ask(pivot, fc_action):\n    assert fc_action.message\n"
UNIT = "def test_unit():\n    assert True\n"
AGENT = """
import pytest

@pytest.fixture(scope="session")
def fc_agent():
    return lambda pivot: "hello"
"""
WRAPS = """
import pytest

@pytest.fixture(scope="session")
def fc_agent(fc_agent):
    return lambda pivot: fc_agent(pivot)
"""


def _own_tests(project: Project) -> None:
    project.write("test_look.py", LOOKS)
    project.write("test_ask.py", ASKS)
    project.write("test_more.py", ASKS)
    project.write("test_unit.py", UNIT)


# ---------------------------------------------------------------- tests of one's own


@pytest.mark.parametrize("conftest", ["", WRAPS], ids=["nothing", "an agent that needs an option"])
def test_nothing_is_named(project: Project, workers: list[str], conftest: str) -> None:
    """Where neither data nor an agent is named, a plain `pytest` is green, and says why it skips."""
    _own_tests(project)
    project.write("conftest.py", conftest)
    project.write("test_agent.py", "def test_agent(fc_agent):\n    assert fc_agent\n")
    result = project.run_here("-rs", *workers)
    result.assert_outcomes(passed=1, skipped=4)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["SKIPPED * neither data nor an agent is named: pass --fc-agent=module:fn to run *"])
    result.stdout.no_fnmatch_line("*fcpivot:*")


@pytest.mark.parametrize("how", ["option", "environment", "ini", "path", "addopts"])
def test_data_without_an_agent(project: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Data without an agent are one error, not one a pivot or a module; a test that asks nobody would run."""
    _own_tests(project)
    project.data(project.trajectories(*[3] * 5))
    args = [] if how in ("environment", "ini", "addopts") else ["."]
    if how == "option":
        args += ["--fc-data=pivots.jsonl"]
    elif how == "path":
        args += ["pivots.jsonl"]
    elif how == "environment":
        monkeypatch.setenv("FC_DATA", "pivots.jsonl")
    elif how == "ini":
        project.write("pytest.ini", "[pytest]\nfc_data = pivots.jsonl\n")
    else:
        project.write("pytest.ini", "[pytest]\naddopts = --fc-data=pivots.jsonl\n")
    result = project.run_here(*args)
    errors = 2 if how == "path" else 1  # the data's own pivots want an agent as well
    assert result.parseoutcomes()["errors"] == errors
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.stdout.str().count("no agent to ask: pass --fc-agent=module:fn") == errors
    project.run_here("test_look.py", *args[1:]).assert_outcomes(passed=0 if how == "path" else 15, errors=how == "path")


@pytest.mark.parametrize("how", ["fixture", "ini", "environment"])
def test_an_agent_without_data(project: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """An agent alone means the bundled sample, however it is named, for tests that ask it and those that do not."""
    _own_tests(project)
    if how == "fixture":
        project.write("conftest.py", AGENT)
    elif how == "ini":
        project.write("pytest.ini", "[pytest]\nfc_agent = asks\n")
    else:
        monkeypatch.setenv("FC_AGENT", "asks")
    result = project.run_here("test_look.py", "test_ask.py", "-k", "t3530-d0")
    result.assert_outcomes(passed=2, deselected=result.parseoutcomes()["deselected"])


def test_an_agent_for_some_tests(project: Project) -> None:
    """A fixture gives its agent to the tests below its conftest, and the others are skipped as before."""
    project.write("with/conftest.py", AGENT)
    project.write("with/test_asks.py", ASKS)
    project.write("without/test_asks_too.py", ASKS)
    result = project.run_here("-k", "t3530-d0 or no-pivot", "-rs")
    assert {name: result.parseoutcomes().get(name) for name in ("passed", "skipped")} == {"passed": 1, "skipped": 1}
    result.stdout.fnmatch_lines(["SKIPPED * neither data nor an agent is named*"])


def test_an_answer_of_the_users_needs_no_agent(project: Project) -> None:
    """A fixture fc_action that asks nobody runs over the data alone."""
    project.data(project.trajectories(2))
    project.write(
        "conftest.py",
        "import pytest\nfrom pytest_fcpivot import Action\n\n"
        "@pytest.fixture\ndef fc_action(pivot):\n    return Action(message=pivot.id)\n",
    )
    project.write("test_ask.py", ASKS)
    project.run_here("test_ask.py", "--fc-data=pivots.jsonl").assert_outcomes(passed=2)


def test_nothing_left_of_the_data(project: Project) -> None:
    """A test of one's own that filters leave nothing to run on is an error that names the filter, and no skip."""
    project.puppet(project.trajectories(2))
    project.write("test_look.py", LOOKS)
    result = project.run_here("test_look.py", "--fc-data=pivots.jsonl", "--fc-where=expected_type=mesage")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["no pivot to run this on: pivots.jsonl: --fc-where=expected_type=mesage left none *; did you mean message?"]
    )


# ---------------------------------------------------------------- settings start no run


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ("fc_agent = puppet:answer", "ini fc_agent alone never * pytest --fc-agent=puppet:answer, or pytest sample"),
        ("fc_data = pivots.jsonl", "ini fc_data alone never * pytest --fc-data=pivots.jsonl, or pytest pivots.jsonl"),
        ("addopts = --fc-agent=puppet:answer --fc-data=pivots.jsonl", "--fc-agent in addopts, --fc-data in addopts *"),
        ("fc_agent = puppet:answer\ntestpaths = test_unit.py pivots.jsonl", "ini fc_agent alone never *"),
        ("fc_resume = run", "ini fc_resume alone never *"),
    ],
)
def test_settings_alone(project: Project, ini: str, told: str) -> None:
    """The ini file and addopts never start a run of data: the user's tests run, and the way to a run is told."""
    project.write("test_unit.py", UNIT)
    options = project.puppet(project.trajectories(1))
    if "resume" in ini:
        project.run_here(*options, "--fc-run=run")
    project.write("pytest.ini", f"[pytest]\n{ini}\n")
    result = project.run_here("-q")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"fcpivot: no pivot was run: {told}"])


@pytest.mark.parametrize("argument", ["sample", "pivots.jsonl", "pivots.jsonl::talk0-d0"])
def test_data_in_addopts(project: Project, argument: str) -> None:
    """A path to data in addopts would run them with every `pytest`: it is refused, with what to write instead."""
    project.puppet(project.trajectories(1))
    project.write("pytest.ini", f"[pytest]\naddopts = {argument} --fc-agent=puppet:answer\n")
    result = project.run_here()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: addopts names the data {argument}, but data in addopts are never run" in result.stderr.str()


def test_arguments_in_a_file(project: Project) -> None:
    """Options in an @file count as typed on the command line, and start a run."""
    options = project.puppet(project.trajectories(2))
    project.write("arguments", "\n".join(options))
    project.write("test_unit.py", UNIT)
    project.run_here("@arguments", "-p", "no:randomly").assert_outcomes(passed=2)


# ---------------------------------------------------------------- rerun the failures


def _rerun(project: Project, *args: str) -> list[str]:
    """Run pytest; return the arguments of the command that it prints."""
    result = project.run_here(*args)
    (line,) = [line for line in result.outlines if line.startswith("rerun the failures:")]
    program, *words = shlex.split(line.partition(":")[2])
    assert program == "pytest"
    return words


@pytest.mark.parametrize(
    ("args", "ini", "printed"),
    [
        (["--fc-run=a run"], "", []),
        (["--fc-run", "a run", "--cache-clear"], "", []),
        ([], "fc_run = 'a run'", ["--fc-run='a run'-2"]),
        (["-k", "wrong or right", "--fc-run=none"], "", ["-k", "wrong or right", "--fc-run=none"]),
        (["--fc-run=a run"], "addopts = --fc-run=other", ["--fc-run=a run-2"]),
        (["--fc-html=all.html"], "", []),
        ([], "fc_html = all.html", ["--fc-html="]),
    ],
    ids=["equals", "two words", "ini", "none", "addopts", "report", "report in ini"],
)
def test_the_printed_command(project: Project, args: list[str], ini: str, printed: list[str]) -> None:
    """The command that is printed reruns the failures as it stands, and keeps the run and the report of the whole."""
    project.write("pytest.ini", f"[pytest]\n{ini}\n")
    rows = {"right": ("say hello", None), "wrong": ("say no", "nothing"), "wrong-2": ("say no", "nothing")}
    options = project.puppet(project.rows(rows), "my data/it's.jsonl")
    words = _rerun(project, *options, *args)
    assert words == [*options, *printed, "--lf"]
    _, outcomes = project.run_cases(*words)
    assert outcomes == {"wrong": "failure", "wrong-2": "failure"}


def test_the_printed_command_of_a_resumed_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a resumed run the command asks the agent about the failures, which resuming it again would not."""
    project.write(
        "mine.py",
        "from pathlib import Path\n\ndef answer(pivot):\n"
        "    with open(Path(__file__).with_name('asked'), 'a') as asked:\n        print(pivot.id, file=asked)\n",
    )
    project.data(project.rows({"one": ("say hello", None), "two": ("say hello", None)}))
    options = ["--fc-data=pivots.jsonl", "--fc-agent=mine:answer", "--fc-limit=2", "--fc-strict-schema"]
    project.run_here(*options, "--fc-run=run")
    (project.path / "asked").unlink()
    project.write("pytest.ini", "[pytest]\n")
    project.write("below/here.txt", "")
    monkeypatch.chdir(project.path / "below")
    monkeypatch.setenv("FC_RUN", "../run")  # which resuming goes before
    words = _rerun(project, "--fc-resume=../run", "-p", "no:randomly")
    assert not (project.path / "asked").exists()
    assert "--fc-strict-schema" in words
    project.run_here(*words).assert_outcomes(failed=2)
    assert sorted((project.path / "asked").read_text().split()) == ["one", "two"]


def test_the_printed_command_of_a_replay(project: Project) -> None:
    """After a replay the command replays the failures, and asks nobody."""
    options = project.puppet(project.rows({"right": ("say hello", None), "wrong": ("say hello", "nothing")}))
    project.run_here(*options, "--fc-run=run")
    (project.path / "puppet.py").unlink()
    words = _rerun(project, "--fc-replay=run", "--fc-run=again")
    assert words == ["--fc-replay=run", "--lf"]
    _, outcomes = project.run_cases(*words)
    assert outcomes == {"wrong": "failure"}


# ---------------------------------------------------------------- files and names


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16(project: Project, encoding: str) -> None:
    """A data file in UTF-16 is refused in one line that says so, and not with an error for each row."""
    path = project.data(project.trajectories(3))
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    assert line == f"ERROR: {path}: this file is {encoding[:6].upper()}; save it as UTF-8"


def test_ids_in_utf_16(project: Project) -> None:
    """A file of ids in UTF-16 is reported too; a byte order mark before UTF-8 is no part of the first id."""
    options = [*project.puppet(project.trajectories(3)), "--fc-ids=ids"]
    (project.path / "ids").write_text("talk0-d1\n", encoding="utf-16")
    result = project.run_here(*options)
    assert f"--fc-ids={project.path / 'ids'}: this file is UTF-16; save it as UTF-8" in result.stderr.str()
    (project.path / "ids").write_text("talk0-d1\n", encoding="utf-8-sig")
    project.run_here(*options).assert_outcomes(passed=1)


@pytest.mark.parametrize("args", [["pivots[1].jsonl"], ["pivots[1].jsonl::talk0-d0"], ["--fc-data=pivots[1].jsonl"]])
def test_a_bracket_in_a_name(project: Project, args: list[str]) -> None:
    """A data file with a bracket in its name is refused with what to do, as a path and as an option."""
    project.data(project.trajectories(1), "pivots[1].jsonl")
    result = project.run_here(*args, "--fc-agent=asks")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "pivots[1].jsonl: pytest cannot name a file with [ or :: in its name; rename it" in result.stderr.str()


def test_a_bracket_above(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bracket in a directory's name is allowed above the working directory, and refused where pytest would fail."""
    project.puppet(project.trajectories(1), "home [1]/pivots.jsonl")
    result = project.run_here("--fc-data=home [1]/pivots.jsonl", "--fc-agent=puppet:answer")
    assert "home [1]/pivots.jsonl: pytest cannot name a file with [" in result.stderr.str()
    (project.path / "home [1]" / "pytest.ini").write_text("[pytest]\npythonpath = ..\n")
    monkeypatch.chdir(project.path / "home [1]")
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=puppet:answer").assert_outcomes(passed=1)
    project.run_here("pivots.jsonl", "--fc-agent=puppet:answer").assert_outcomes(passed=1)


def test_names_that_look_alike(project: Project) -> None:
    """A call whose name has a blank too much shows it in the explanation, the answer and the schema's verdict."""
    project.write("mine.py", "def answer(pivot):\n    return {'name': ' add', 'arguments': {'a': 1}}\n")
    project.data(project.rows({"pivot": ('call add {"a": 1}', None)}))
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=mine:answer")
    result.stdout.fnmatch_lines(
        [
            'UNEXPECTED_TOOL: expected "add", got " add" (they differ only in white space)',
            "  user: *",
            '  expected: add({"a": 1})',
            '  actual:   " add"({"a": 1})',
            '  schema:   unknown-tool: " add" is not offered, but "add" is (they differ only in white space)',
        ]
    )


def test_values_that_look_alike(project: Project) -> None:
    """Arguments that differ in a blank or in a Unicode form are written so that it is seen."""
    project.write(
        "mine.py",
        "CITIES = {'blank': 'New\\u00a0York', 'form': 'Sa\\u0303o'}\n\n"
        "def answer(pivot):\n    return {'name': 'book', 'arguments': '{\"city\": \"%s\"}' % CITIES[pivot.id]}\n",
    )
    cities = {"blank": ('call book {"city": "NewYork"}', None), "form": ('call book {"city": "São"}', None)}
    project.data(project.rows(cities))
    text = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=mine:answer").stdout.str()
    assert 'at $.city: expected "NewYork", got "New\\u00a0York" (they differ only in white space)' in text
    assert 'at $.city: expected "S\\u00e3o", got "Sa\\u0303o" (they differ only in Unicode form)' in text
    assert '  expected: book({"city": "S\\u00e3o"})\n  actual:   book({"city": "Sa\\u0303o"})' in text


# ---------------------------------------------------------------- errors, plugins


def test_errors_by_place(project: Project, workers: list[str]) -> None:
    """Errors of one type from one place are one line of the summary, however their texts differ."""
    project.write(
        "mine.py",
        "def answer(pivot):\n    return ask(pivot)\n\ndef ask(pivot):\n    raise ValueError(f'no idea: {pivot.id}')\n",
    )
    project.data(project.trajectories(*[4] * 5))
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=mine:answer", *workers)
    result.stdout.fnmatch_lines(
        ["errors (no answer to grade)", "       20  ValueError at mine.py:5 in ask, such as: no idea: talk0-d0"]
    )


def test_forked(project: Project) -> None:
    """--forked, which loses the calls that were started ahead, is refused with its reason; other tests may use it."""
    project.write(
        "conftest.py", "def pytest_addoption(parser):\n    parser.addoption('--forked', action='store_true')\n"
    )
    options = project.puppet(project.trajectories(1))
    project.write("test_unit.py", UNIT)
    project.write("test_look.py", LOOKS)
    result = project.run_here(*options, "--forked")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --forked and the mark forked (pytest-forked) run each test in a" in result.stderr.str()
    result = project.run_here("test_look.py", *options, "--forked")
    result.assert_outcomes(errors=1)
    assert "--forked and the mark forked (pytest-forked) run each test in a separate process" in result.stdout.str()
    project.run_here("test_unit.py", options[1], "--forked").assert_outcomes(passed=1)


def test_where_a_module_was_looked_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's module that is not found is told with the directories where it was looked for."""
    project.write("pytest.ini", "[pytest]\n")
    project.write("below/here.txt", "")
    monkeypatch.chdir(project.path / "below")
    result = project.run_here("--fc-agent=mine:answer")
    here = os.path.realpath(project.path)
    assert f"cannot import mine: ModuleNotFoundError: No module named 'mine'; looked in {here}, " in result.stderr.str()
    assert f"{here}{os.sep}below, and then in the " in result.stderr.str()
