"""Keys, tokens and authorization headers reach neither the terminal, nor JUnit, nor any file of the run."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest

from pytest_fcpivot.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from model_service import Model
    from pivot_project import Project

pytest_plugins = ["pivot_project", "model_service"]

KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp"
ODD_KEY = "Zq7+wvut/8rqpo=9nmlk"  # looks like nothing: it is known by the name of its variable
GATEWAY = "gw~5544332211ffeeddcc"
PASSWORD = "hunter2-hunter2-hunter2"  # noqa: S105 (nobody's)
SECRETS = (KEY, ODD_KEY, GATEWAY, PASSWORD)
# All that pytest can be told to show.
TELL_ALL = ["--tb=long", "-l", "-rA", "--log-level=DEBUG", "--showlocals", "-vv"]


def _leaks(project: Project, text: str) -> list[str]:
    """List where a secret stands: in what the session wrote, or in a file that it left."""
    written = {"the terminal": text}
    for path in project.path.rglob("*"):
        if path.is_file() and path.name not in {"stdout", "stderr"} and path.suffix not in {".py", ".pyc"}:
            written[str(path.relative_to(project.path))] = path.read_text(encoding="utf-8", errors="replace")
    assert "cases.xml" in written
    assert "the-run/run.json" in written
    return [f"{secret} in {place}" for place, held in written.items() for secret in SECRETS if secret in held]


def test_what_the_openai_agents_are_told(project: Project, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, a header's value and a URL's password are used, and shown nowhere, whether calls succeed or fail."""
    monkeypatch.setenv("OPENAI_API_KEY", ODD_KEY)
    monkeypatch.setenv("GATEWAY", GATEWAY)  # known by the name of its header alone
    url = model.url.replace("//", f"//me:{PASSWORD}@")
    model.configure(
        faults=[{"kind": "400", "match": "long", "times": -1, "message": f"bad: {GATEWAY}, {ODD_KEY}, {PASSWORD}"}]
    )
    rows = {"fine": ("say hello", None), "long": ("say long", None), "told": ("say hello", f"say {GATEWAY} {ODD_KEY}")}
    project.data(project.rows(rows))
    result, outcomes = project.run_cases(
        "--fc-data=pivots.jsonl",
        *model.options("openai-chat"),
        f"--fc-base-url={url}",
        "--fc-header=Api-Key: $GATEWAY",
        f"--fc-extra-body={json.dumps({'user': KEY})}",
        *TELL_ALL,
    )
    assert outcomes == {"fine": "passed", "long": "error", "told": "passed"}
    assert {sent["api-key"] for sent in model.stats()["headers"]} == {GATEWAY}
    assert {body["user"] for body in model.stats()["bodies"]} == {KEY}
    assert "Error code: 400 - bad: ***" in model.results(project)["long"]["error"]
    leaks = _leaks(project, model.output(result))
    # the rows are the user's own file, and one of them says it
    assert [leak for leak in leaks if not leak.endswith("in pivots.jsonl")] == []


@pytest.mark.parametrize("args", [[], ["-n1"]], ids=["plain", "-n1"])
def test_a_server_that_quotes_the_key(
    project: Project, model: Model, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """A 401 that quotes the key ends the run with one message for each process, without the key."""
    monkeypatch.setenv("OPENAI_API_KEY", ODD_KEY)
    model.configure(key="another")
    result, outcomes = project.run_cases(*model.options(), "--fc-concurrency=4", *TELL_ALL, *args)
    text = model.output(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert 1 <= len(outcomes) <= 1 + len(args)
    assert set(outcomes.values()) == {"error"}
    assert "no call can succeed: Error code: 401 - Incorrect API key provided: ***." in text
    assert "check the key that is used (OPENAI_API_KEY for the openai agents)" in text
    assert "INTERNALERROR" not in text
    assert _leaks(project, text) == []


LOOSE_TONGUE = f'''
"""An agent that tells what it should not."""

import logging
import os
import sys
import warnings

KEYS = {{"ODD_TOKEN": os.environ["ODD_TOKEN"], "looks": "{KEY}"}}


class Client:
    def __repr__(self):
        return "Client(headers={{'Authorization': 'Bearer {GATEWAY}'}}, url='https://me:{PASSWORD}@host/v1')"


def answer(pivot):
    client = Client()
    known = list(KEYS.values())
    text = f"{{known}} {{client!r}} " + os.environ["ODD_TOKEN"]
    print(text)
    print(text, file=sys.stderr)
    logging.getLogger("client").warning("sent %s", text)
    verb = pivot.input[-1]["content"].removeprefix("say ")
    if verb == "raise":
        try:
            raise KeyError(text)
        except KeyError as error:
            raise RuntimeError(f"the request failed: Authorization: Bearer {GATEWAY}, {{text}}") from error
    secret = os.environ["ODD_TOKEN"]
    if verb == "call":
        return {{"name": secret, "arguments": '{{"a": "' + secret + '"}}'}}
    if verb == "rubbish":
        return client
    return f"it is {{secret}}"
'''

OWN_TEST = """
import os


def test_by_hand(pivot, fc_action):
    secret = os.environ["ODD_TOKEN"]
    assert fc_action.message == secret
"""


def test_an_agent_with_a_loose_tongue(project: Project, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent raises, logs, prints and answers is shown and recorded without the secrets in it."""
    monkeypatch.setenv("ODD_TOKEN", ODD_KEY)
    project.write("test_own.py", OWN_TEST)
    project.write("tongue.py", LOOSE_TONGUE)
    verbs = {"says": "say", "raises": "raise", "calls": "call", "rubbish": "rubbish"}
    project.data(project.rows({name: (f"say {verb}", None) for name, verb in verbs.items()}))
    result, outcomes = project.run_cases(
        "pivots.jsonl",
        "test_own.py",
        "--fc-agent=tongue:answer",
        "--fc-run=the-run",
        "-ojunit_logging=all",
        *TELL_ALL,
    )
    expected = {"says": "passed", "raises": "error", "calls": "failure", "rubbish": "error"}
    by_hand = {"says": "failure", "raises": "error", "calls": "failure", "rubbish": "error"}
    assert outcomes == expected | {f"test_by_hand[{name}]": outcome for name, outcome in by_hand.items()}
    text = model.output(result)
    assert "the request failed: Authorization: Bearer ***" in text
    assert "Captured log" in text
    assert _leaks(project, text) == []
    found = model.results(project)
    assert found.keys() >= verbs.keys()
    assert "***" in json.dumps(found["says"]["output"])


TELL_TALE = """
import logging
import os
import warnings


def answer(pivot):
    logging.getLogger("client").warning("sent %s", os.environ["ODD_TOKEN"])
    warnings.warn("careful with " + os.environ["ODD_TOKEN"])
    return "hello"
"""


def test_what_an_agent_tells_in_passing(project: Project, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's warnings, and its log as it is shown live or written to a file, hold no secrets."""
    monkeypatch.setenv("ODD_TOKEN", ODD_KEY)
    project.write("tale.py", TELL_TALE)
    project.data(project.rows({"says": ("say hello", None)}))
    tell = ["-Walways", "-olog_cli=true", "--log-file=the.log", "--log-level=DEBUG"]
    result, outcomes = project.run_cases("--fc-data=pivots.jsonl", "--fc-agent=tale:answer", "--fc-run=the-run", *tell)
    text = model.output(result)
    assert outcomes == {"says": "passed"}
    assert "careful with " in text
    assert "sent " in text
    assert "sent " in (project.path / "the.log").read_text(encoding="utf-8")
    assert _leaks(project, text) == []


SPILL = '''
"""Says all secrets, in every form."""

import html
import json
import os
from base64 import b64encode
from urllib.parse import quote, quote_plus

NAMES = ("WORD_PASSWORD", "DIGITS_PW", "BLANKS_PASSPHRASE", "ODD_SECRET", "MIXED_PAT", "SHORT_PWD", "LATE_API_KEY")
WAYS = [
    str, repr, json.dumps, html.escape, quote, quote_plus, lambda text: repr(json.dumps(text)),
    lambda text: b64encode(("me:" + text).encode()).decode(),
]


def spill(mark):
    os.environ["LATE_API_KEY"] = "late-Key-9081726354"  # as an agent that reads a file of settings does
    return f"<{mark}: " + " ".join(way(os.environ[name]) for name in NAMES for way in WAYS) + ">"
'''

SPILLING = """
import logging
import os
import sys
import warnings

import pytest
from spill import spill

from pytest_fcpivot import FatalAgentError, TransientAgentError


def answer(pivot):
    verb = pivot.input[-1]["content"].removeprefix("say ")
    print(spill("agent-print"))
    print(spill("agent-stderr"), file=sys.stderr)
    logging.getLogger("agent").warning(spill("agent-log"))
    warnings.warn_explicit(spill("agent-warning"), UserWarning, filename=spill("warning-file"), lineno=1)
    if verb == "raise":
        try:
            raise KeyError(spill("agent-cause"))
        except KeyError as error:
            further = RuntimeError(spill("agent-error"))
            further.add_note(spill("agent-note"))
            raise further from error
    if verb == "transient":
        raise TransientAgentError(spill("agent-transient"), cause=spill("agent-cause-name"))
    if verb == "skip":
        pytest.skip(spill("agent-skip"))
    if verb == "exit":
        pytest.exit(spill("agent-exit"))
    if verb == "fatal":
        raise FatalAgentError(spill("agent-fatal"))
    if verb == "rubbish":
        return Rubbish()
    if verb == "call":
        return {"name": "book", "arguments": "{}"}
    return "hello " + os.environ["MIXED_PAT"]


class Rubbish:
    def __repr__(self):
        return spill("agent-rubbish")


class Grader:
    name = "mine " + os.environ["WORD_PASSWORD"]

    def grade(self, expected, actual):
        from pytest_fcpivot import Grade

        if actual.calls:
            raise ValueError(spill("grader-error"))
        print(spill("grader-print"))
        # a category is one line, of which both ends are shown
        return Grade(0.5, "MINE-" + os.environ["WORD_PASSWORD"], spill("grader-explanation"), path=spill("grader-path"))


class RefusingGrader(Grader):
    def accepts(self, calls):
        raise ValueError(spill("grader-accepts"))
"""

OWN_TESTS = """
import logging
import pytest
from spill import spill

print(spill("collect-print"))


@pytest.fixture
def broken():
    raise OSError(spill("fixture-error"))


@pytest.fixture
def torn():
    yield
    raise OSError(spill("teardown-error"))


def test_broken(broken, pivot): ...


def test_torn(torn):
    logging.getLogger("own").warning(spill("own-log"))


def test_locals():
    local = spill("own-local")
    assert not local


@pytest.mark.skip(reason=spill("mark-skip"))
def test_skipped(): ...


@pytest.mark.xfail(reason=spill("mark-xfail"))
def test_expected():
    raise OSError(spill("xfail-error"))


def test_imperative():
    pytest.xfail(spill("own-xfail"))
"""

SECRET_VALUES = {
    "WORD_PASSWORD": "correcthorsebattery",
    "DIGITS_PW": "86753098675",
    "BLANKS_PASSPHRASE": "open the pod bay doors",
    "ODD_SECRET": "pa\"ss\\w'o<r>d&x/y",
    "MIXED_PAT": "ghx-0a1B2c3D4e5F6g7H",
    "SHORT_PWD": "hunter",
    "LATE_API_KEY": "late-Key-9081726354",
}
SAID_BY_RUN = (
    *("agent-print", "agent-stderr", "agent-log", "agent-warning", "agent-cause", "agent-note", "agent-error"),
    *("agent-transient", "agent-skip", "grader-error", "grader-print", "grader-explanation"),
    *("fixture-error", "teardown-error", "own-log", "own-local", "mark-skip", "mark-xfail", "own-xfail"),
    "warning-file",
)


@pytest.fixture
def spilling(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project whose code says secrets wherever it can, with the variables that hold them."""
    for name, value in SECRET_VALUES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LATE_API_KEY")
    monkeypatch.syspath_prepend(project.path)  # as pytest has it for a conftest.py
    project.write("spill.py", SPILL)
    project.write("spilling.py", SPILLING)
    return project


def _spilled(project: Project, result: pytest.RunResult, marks: Iterable[str]) -> list[str]:
    """List secrets in what a session showed and wrote, and what it was to say and did not."""
    screen = f"{result.stdout.str()}\n{result.stderr.str()}"
    written = {"the screen": screen}
    for path in project.path.rglob("*"):
        if path.is_file() and path.name not in {"stdout", "stderr"} and path.suffix not in {".py", ".pyc"}:
            written[str(path.relative_to(project.path))] = path.read_text(encoding="utf-8", errors="replace")
    found = []
    for name, value in SECRET_VALUES.items():
        for way, write in WRITTEN.items():
            form = write(value)
            found += [f"{name} ({way}) in {place}" for place, text in written.items() if form in text]
    return found + [f"no {mark}" for mark in marks if f"<{mark}: " not in screen]


WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": str,
    "repr": lambda text: repr(text)[1:-1],
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "address": quote,
    "query": quote_plus,
    "base64": lambda text: b64encode(f"me:{text}".encode()).decode(),
}


@pytest.mark.parametrize("args", [[], ["-n1"]], ids=["plain", "-n1"])
def test_whatever_users_code_says(spilling: Project, model: Model, args: list[str]) -> None:
    """Known secrets stand in no file and on no screen, in no form, whatever code of the user's says them, and where."""
    spilling.write("test_own.py", OWN_TESTS)
    verbs = ("say", "raise", "transient", "skip", "rubbish", "call")
    spilling.data(spilling.rows({verb: (f"say {verb}", None) for verb in verbs}))
    told = [
        "pivots.jsonl",
        "test_own.py",
        "--fc-agent=spilling:answer",
        "--fc-grader=spilling:Grader",
        "--fc-retries=0",
    ]
    told += [
        "--fc-retries=0",
        "--fc-pass-mark=0.8",
        "-ojunit_logging=all",
        "-olog_cli=true",
        "--log-file=the.log",
        "-Walways",
        *TELL_ALL,
    ]
    result, outcomes = spilling.run_cases(*told, "--fc-run=the-run", *args)
    assert outcomes["say"] == "failure"
    assert {outcomes[verb] for verb in ("raise", "transient", "rubbish", "call")} == {"error"}
    assert _spilled(spilling, result, SAID_BY_RUN) == []
    lines = model.results(spilling)
    assert lines["say"]["reward"] == 0.5
    assert lines["say"]["redacted"] is True
    assert lines["say"]["output"] == "hello ***"
    assert lines["say"]["category"] == "MINE-***"
    assert not any("redacted" in line for name, line in lines.items() if name != "say")
    if args:
        return
    result = spilling.run_here(*told, "-s", "--fc-resume=the-run")  # nothing is captured
    # an answer that a secret was taken out of is not graded again
    assert _spilled(spilling, result, [mark for mark in SAID_BY_RUN if mark != "grader-print"]) == []
    told = ["--fc-replay=the-run", "--fc-run=again", "--fc-pass-mark=0.4"]
    result, outcomes = spilling.run_cases(*told, "-ojunit_logging=all", *TELL_ALL)
    assert _spilled(spilling, result, ("agent-error", "mark-skip")) == []
    assert outcomes["say"] == "passed"  # by the first grade, and this session's mark
    assert model.results(spilling, "again")["say"]["reward"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "mark"),
    [
        (["--fc-agent=broken_module:answer"], "import-error"),
        (["--fc-agent=spilling:answer", "--fc-grader=spilling:RefusingGrader"], "grader-accepts"),
        (["--fc-agent=spilling:answer", "--fc-ids=exit.txt"], "agent-exit"),
        (["--fc-agent=spilling:answer", "--fc-ids=fatal.txt"], "agent-fatal"),
        (["--fc-agent=spilling:answer", "-p", "breaks"], "hook-error"),
        (["--fc-agent=spilling:answer", "-p", "ends"], "start-exit"),
        (["--fc-agent=spilling:answer", "--confcutdir=sub", "sub"], "conftest-error"),
    ],
)
def test_whatever_ends_a_session(spilling: Project, arguments: list[str], mark: str) -> None:
    """A session that cannot begin, or ends before its time, says why without secrets."""
    spilling.write("broken_module.py", 'from spill import spill\nraise ImportError(spill("import-error"))\n')
    spilling.write("sub/conftest.py", 'from spill import spill\nraise OSError(spill("conftest-error"))\n')
    hook = "from spill import spill\nimport pytest\ndef pytest_{}:\n    {}\n"
    spilling.write("breaks.py", hook.format("runtest_logstart()", 'raise OSError(spill("hook-error"))'))
    spilling.write("ends.py", hook.format("sessionstart()", 'pytest.exit(spill("start-exit"))'))
    for verb in ("exit", "fatal"):
        spilling.write(f"{verb}.txt", f"{verb}\n")
    spilling.data(spilling.rows({verb: (f"say {verb}", None) for verb in ("exit", "fatal")}))
    result = spilling.run_here(
        "--fc-data=pivots.jsonl", "--junitxml=cases.xml", "--fc-run=the-run", "-Walways", *arguments
    )
    assert result.ret not in (0, 1) or mark == "grader-accepts"
    assert _spilled(spilling, result, [mark]) == []


ANSWERS_IN_TIME = """
import os
import threading
import time
from pathlib import Path

answered = threading.Semaphore(0)


def answer(pivot):
    said = pivot.input[-1]["content"]
    if said == "say nothing":
        for _ in range(3):
            assert answered.acquire(timeout=60)
        give_up = time.monotonic() + 60
        while sum(path.read_text().count('"output"') for path in Path("the-run/calls").glob("*")) < 1:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        raise RuntimeError("no luck")
    with open("asked.txt", "a") as asked:
        asked.write(said + "\\n")
    time.sleep(0.1)  # an answer that took so long is kept
    answered.release()
    return os.environ["ODD_TOKEN"] if said == "say secret" else "hello"
"""


def test_answers_that_would_be_kept_for_later(project: Project, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose test did not come is kept on disk, but not one with a secret in it: that is asked for again."""
    monkeypatch.setenv("ODD_TOKEN", ODD_KEY)
    project.write("slow.py", ANSWERS_IN_TIME)
    rows = {"fails": ("say nothing", None), "one": ("say secret", None), "two": ("say secret", None)}
    project.data(project.rows(rows | {"last": ("say hello", None)}))
    options = ["--fc-data=pivots.jsonl", "--fc-agent=slow:answer", "--fc-concurrency=8"]
    result, outcomes = project.run_cases(*options, "--fc-run=the-run", "-x")
    assert outcomes == {"fails": "error"}
    kept = "".join(path.read_text() for path in (project.path / "the-run" / "calls").iterdir())
    assert kept.count('"output"') == 1
    assert _leaks(project, model.output(result)) == []
    project.run_here("--fc-resume=the-run", "--deselect=pivots.jsonl::fails")
    assert sorted((project.path / "asked.txt").read_text().split("\n")[:-1]) == ["say hello", *["say secret"] * 4]


CITY = "London-Victoria"
IN_ANSWERS = "city-0a1B2c3D4e5F6g7"


def test_scores_are_kept(
    project: Project, model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is hidden in answers, a run, its replays, a resumption, an audit and a merge give the same rewards."""
    monkeypatch.setenv("SITE_PASSWORD", CITY)  # as ordinary as other words of the answers
    monkeypatch.setenv("SITE_TOKEN", IN_ANSWERS)
    book = "call book " + json.dumps({"city": CITY})
    hidden = "call book " + json.dumps({"city": IN_ANSWERS})
    rows = {
        "ordinary": (book, None),
        "right": (hidden, None),
        "wrong": ('call book {"city": "Rome"}', hidden),
        "message": (f"say it is {IN_ANSWERS}", None),
        "plain": ('call book {"city": "Rome"}', None),
    }
    rewards = {"ordinary": 1.0, "right": 1.0, "wrong": 0.0, "message": 1.0, "plain": 1.0}
    options = project.puppet(project.rows(rows))

    def run(*args: str, count: int = 3) -> tuple[dict[str, dict[str, Any]], str]:
        result = project.run_here(*args)
        text = model.output(result)
        assert text.count(f"recorded with *** in its place: {count}; their first grade is kept") == bool(count)
        assert IN_ANSWERS not in text
        found = model.results(project, args[-1].rpartition("=")[2])
        assert {name for name, line in found.items() if line.get("redacted")} == {"right", "wrong", "message"}
        return found, text

    first, _ = run(*options, "--fc-run=first")
    assert {name: line["reward"] for name, line in first.items()} == rewards
    assert json.loads(first["ordinary"]["action"]["arguments"]) == {"city": CITY}
    assert json.loads(first["right"]["action"]["arguments"]) == {"city": "***"}
    again, text = run("--fc-replay=first", "--fc-run=again")
    assert "3 stored answers have *** in place of a secret, and the first grade is kept" in text
    twice, _ = run("--fc-replay=again", "-n1", "--fc-run=twice")
    graded = ("reward", "outcome", "category", "path", "schema", "explanation", "action", "output", "tool", "expected")
    for replayed in (again, twice):
        assert {n: [line[k] for k in graded] for n, line in replayed.items()} == {
            n: [line[k] for k in graded] for n, line in first.items()
        }
    resumed, text = run("--fc-resume=first")
    assert resumed == first
    assert "passed 4, failed 1, errors 0" in text

    # by another grader, no number is made up
    other, text = run("--fc-replay=first", "--fc-grader=agentic", "--fc-run=other")
    assert "cannot be graded with another grader and judge: their tests end in errors" in text
    assert {name: line["reward"] for name, line in other.items() if line["outcome"] != "error"}.keys() == {
        "ordinary",
        "plain",
    }
    assert {line["cause"] for line in other.values() if line["outcome"] == "error"} == {"secret taken out"}

    assert main(["audit", "first", "--json", "audit.json"]) == 0
    shown = capsys.readouterr().out
    assert "removed when they were recorded: 3;" in shown
    assert IN_ANSWERS not in shown
    audited = json.loads((project.path / "audit.json").read_text())
    assert audited["recorded"]["mean_reward"] == 0.8
    assert (audited["redacted"], audited["checked"], audited["drifted"]) == (3, 2, 0)
    assert {result["result"]: result["recorded"] for result in audited["results"]} == rewards
    assert main(["merge", "first", "-o", "merged"]) == 0
    shown = capsys.readouterr().out
    assert "mean reward 0.8000" in shown
    assert "recorded with *** in its place: 3;" in shown
    run("--fc-replay=merged", "--fc-run=of-merged")


def test_an_option_whose_secret_is_not_recorded(
    project: Project, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay asks for it again, too: the answers are never graded by a setting that has *** in it."""
    monkeypatch.setenv("SITE_TOKEN", IN_ANSWERS)
    project.write(
        "own.py", "def graded(expected, action, seal=None):\n    return 1.0 if seal and '*' not in seal else 0.0"
    )
    setting = f"--fc-grader-option=seal={IN_ANSWERS}"
    options = project.puppet(project.rows({"one": ("say hello", None)}))
    project.run_here(*options, "--fc-grader=own:graded", setting, "--fc-run=run").assert_outcomes(passed=1)
    for how in ("--fc-replay=run", "--fc-resume=run"):
        result = project.run_here(how)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "--fc-grader-option: the run's value has a secret in it" in model.output(result)
    project.run_here("--fc-replay=run", setting).assert_outcomes(passed=1)


def test_words_that_are_no_secrets(project: Project, model: Model) -> None:
    """Headers that name no secret hide nothing of the run that only looks the same as their values."""
    rows = {"first": ("say hello", None), "1234567890": ("say hello", None)}
    project.data(project.rows(rows))
    headers = ["--fc-header=x-title: pivots.jsonl", "--fc-header=x-number: 1234567890", "--fc-header=x-org: pivot_id"]
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-run=the-run", *headers)
    assert [line["test"] for line in model.results(project).values()] == [f"pivots.jsonl::{name}" for name in rows]
    assert [line["pivot_id"] for line in model.results(project).values()] == list(rows)
