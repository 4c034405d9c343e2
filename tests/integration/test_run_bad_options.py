"""Options that cannot be used: a usage error that says what was wrong, where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

AGENTS = """
NUMBER = 42

def answer(pivot):
    return "hello"

def nothing():
    return "hello"

def two(pivot, client):
    return "hello"

class Bot:
    def __init__(self, key):
        self.key = key

    def method(self, pivot):
        return "hello"
"""

_FAILS_WHEN_MADE = """
    def __init__(self):
        raise ValueError("no key")

    def __call__(self, pivot):
        return "hello"
"""


def _refused(project: Project, *args: str) -> str:
    """Run pytest with bad options; return its message, which is no crash and comes before any test."""
    result = project.run_here(*args)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    result.stdout.no_fnmatch_line("collected *")
    message = result.stderr.str()
    assert message.startswith("ERROR: ")
    return message


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (
            "nowhere:answer",
            ["cannot import nowhere", "ModuleNotFoundError", "No module named 'nowhere'", "looked in /"],
        ),
        ("broken:answer", ["cannot import broken", "No module named 'a_missing_client'", "inner.py:1"]),
        ("unparsable:answer", ["cannot import unparsable", "SyntaxError", "unparsable.py"]),
        ("exiting:answer", ["cannot import exiting", "SystemExit", "no key", "exiting.py:3"]),
        ("agents:anwser", ["module agents has no 'anwser'", "did you mean 'answer'?"]),
        ("agents:Bot.metod", ["Bot has no 'metod'", "did you mean 'method'?"]),
        ("agents:Bot", ["Bot has no __call__", "did you mean agents:Bot.method?"]),
        (
            "agents:Bot.method",
            ["an agent's class is instantiated without arguments", "missing a required argument: 'key'"],
        ),
        ("agents:NUMBER", ["an agent must be callable, not int (42)"]),
        ("agents:nothing", ["called with one argument, the pivot", "() does not take it"]),
        ("agents:two", ["called with one argument, the pivot", "missing a required argument: 'client'"]),
        ("agents", ["write module:function, as in my_agent:answer", "bundled: baseline, asks, first_tool, silent"]),
        ("agents.answer", ["write module:function, as in my_agent:answer"]),
        ("agents:", ["write module:function, as in my_agent:answer"]),
        (":answer", ["write module:function, as in my_agent:answer"]),
        ("agents.py:answer", ["agents.py"]),
        ("./agents:answer", ["write module:function, as in my_agent:answer"]),
        ("", ["write module:function, as in my_agent:answer"]),
    ],
)
def test_agent(project: Project, spec: str, parts: list[str]) -> None:
    """An agent that cannot be had is refused before the run, with the reason of its own module inside."""
    project.data(project.trajectories(1))
    project.write("agents.py", AGENTS)
    project.write("broken.py", "import inner\n")
    project.write("inner.py", "import a_missing_client\n")
    project.write("unparsable.py", "def answer(pivot:\n")
    project.write("exiting.py", "import sys\n\nsys.exit('no key')\n")
    message = _refused(project, f"--fc-agent={spec}", "--fc-data=pivots.jsonl")
    assert f"--fc-agent={spec}: " in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--fc-limit=-1", "--fc-limit=-1: must be 0 or more"),
        ("--fc-limit=many", "--fc-limit=many: a whole number is needed"),
        ("--fc-limit=1.5", "--fc-limit=1.5: a whole number is needed"),
        ("--fc-sample=0", "--fc-sample=0: must be 1 or more"),
        ("--fc-sample=-3", "--fc-sample=-3: must be 1 or more"),
        ("--fc-seed=x", "--fc-seed=x: a whole number is needed"),
        ("--fc-shard=0/4", "--fc-shard=0/4: shards are numbered from 1, as in 1/4"),
        ("--fc-shard=5/4", "--fc-shard=5/4: shards are numbered from 1, as in 1/4"),
        ("--fc-shard=x", "--fc-shard=x: shards are numbered from 1, as in 1/4"),
        ("--fc-shard=1/0", "--fc-shard=1/0: shards are numbered from 1, as in 1/4"),
        ("--fc-shard=-1/4", "--fc-shard=-1/4: shards are numbered from 1, as in 1/4"),
        ("--fc-timeout=-1", "--fc-timeout=-1: must be 0 or more"),
        ("--fc-timeout=abc", "--fc-timeout=abc: a number of seconds is needed"),
        ("--fc-timeout=nan", "--fc-timeout=nan: must be 0 or more"),
        ("--fc-where=colour=red", "--fc-where=colour=red: there is no column colour; columns: id, split, "),
        ("--fc-where=depth", "--fc-where=depth: write COLUMN=VALUE"),
        ("--fc-ids=nowhere.txt", "nowhere.txt: cannot be read: No such file or directory"),
        *(
            (f"--fc-progress={text}", f"--fc-progress={text}: choose auto, off, log, or a number of seconds, as in 60")
            for text in ("always", "0", "-1", "nan", "inf")
        ),
        ("--fc-bad-rows=keep", "--fc-bad-rows=keep: choose refuse or skip"),
        ("--fc-grader=judge", "unknown grader 'judge'; known: nemo-gym, nemo-gym:first-call, nemo-gym:any-order"),
        ("--fc-grader=nemo-gym:all", "unknown version 'all' of grader nemo-gym; known: first-call, any-order"),
        ("--fc-grader-option=threshold", "--fc-grader-option=threshold: write KEY=VALUE"),
        ("--fc-grader-option=threshold=0.1", "grader nemo-gym has no such setting: "),
        ("--fc-grader-option=allow_subset=true", "the switches on parallel calls need nemo-gym:any-order"),
        ("--fc-grader-option=parallel_tool_call_reward_mode=x", "known: binary_strict, fractional, f1"),
        ("--fc-grader-option=word_count_similarity_threshold=high", "word_count_similarity_threshold"),
        ("--fc-data=nowhere.jsonl", "data file not found: nowhere.jsonl (looked for "),
        (
            "--fc-data=pivots.csv",
            "pivots.csv: not the name of a data file; known endings: .jsonl, .jsonl.gz, .jsonl.zst, .parquet",
        ),
        ("--fc-data=data", "data: not a file; name a file that ends in .jsonl, .jsonl.gz, .jsonl.zst, .parquet"),
    ],
)
def test_value(project: Project, option: str, message: str) -> None:
    """A value that cannot be used is named with its option and what is accepted."""
    project.write("pivots.csv", "a,b\n")
    (project.path / "data").mkdir()
    assert message in _refused(project, "--fc-agent=asks", option)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("env", "FC_LIMIT=-1: must be 0 or more"),
        ("ini", "ini fc_limit=-1: must be 0 or more"),
    ],
)
def test_the_source_is_named(project: Project, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    """A bad value of the environment or of the ini file is named by where it came from."""
    if source == "env":
        monkeypatch.setenv("FC_LIMIT", "-1")
    else:
        project.write("pytest.ini", "[pytest]\nfc_limit = -1\n")
    assert message in _refused(project, "--fc-agent=asks")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FC_AGENT", "nowhere:answer", "FC_AGENT=nowhere:answer: cannot import nowhere"),
        ("FC_SHARD", "5/4", "FC_SHARD=5/4: shards are numbered from 1"),
        ("FC_STRICT_SCHEMA", "perhaps", "FC_STRICT_SCHEMA=perhaps: choose true or false"),
    ],
)
def test_a_bad_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """A bad value of any kind is named by the variable that holds it."""
    monkeypatch.setenv(name, value)
    assert message in _refused(project, "--fc-data=sample")


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("42", "fixture fc_agent: an agent must be callable, not int (42)"),
        ("lambda: 'hello'", "fixture fc_agent: an agent is called with one argument, the pivot"),
        ("'nowhere:answer'", "cannot import nowhere"),
    ],
)
def test_a_bad_fixture(project: Project, agent: str, message: str) -> None:
    """A fixture fc_agent that cannot be asked makes errors that say so in a line, without a traceback of ours."""
    project.data(project.trajectories(2))
    project.write(
        "conftest.py", f"import pytest\n\n@pytest.fixture(scope='session')\ndef fc_agent():\n    return {agent}\n"
    )
    result = project.run_here("--fc-data=pivots.jsonl")
    text = result.stdout.str() + result.stderr.str()
    assert message in text
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
    assert "session.py:" not in text


def test_an_agent_that_cannot_be_made(project: Project, workers: list[str]) -> None:
    """A class that fails when an agent is made of it stops the run with its reason, and no worker dies of it."""
    project.data(project.trajectories(*[2] * 40))
    project.write("mine.py", f"class Bot:\n{_FAILS_WHEN_MADE}")
    result = project.run_here("--fc-agent=mine:Bot", "--fc-data=pivots.jsonl", *workers)
    assert result.parseoutcomes()["errors"] < 10
    text = result.stdout.str() + result.stderr.str()
    assert "--fc-agent=mine:Bot: Bot() failed, and an agent's class is instantiated without arguments" in text
    assert "ValueError: no key (" in text
    assert "INTERNALERROR" not in text
    assert "crashed" not in text


def test_no_agent(project: Project) -> None:
    """A run of data without an agent says how to name one."""
    project.data(project.trajectories(2))
    result = project.run_here("--fc-data=pivots.jsonl")
    text = result.stdout.str() + result.stderr.str()
    assert "no agent to ask: pass --fc-agent=module:fn (or FC_AGENT, or ini fc_agent)" in text
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
    assert "session.py:" not in text
