"""Keys, tokens and authorization headers reach neither the terminal, nor JUnit, nor any file of the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
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


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "-n2"])
def test_a_server_that_quotes_the_key(
    project: Project, model: Model, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """A 401 that quotes the key ends the run with one message for each process, without the key."""
    monkeypatch.setenv("OPENAI_API_KEY", ODD_KEY)
    model.configure(key="another")
    result, outcomes = project.run_cases(*model.options(), "--fc-concurrency=4", *TELL_ALL, *args)
    text = model.output(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert 1 <= len(outcomes) <= max(1, 2 * len(args))
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


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "-n2"])
def test_an_agent_with_a_loose_tongue(
    project: Project, model: Model, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
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
        *args,
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


ANSWERS_IN_TIME = """
import os
import threading
import time
from pathlib import Path

answered = threading.Semaphore(0)


def answer(pivot):
    if pivot.input[-1]["content"] == "say nothing":
        for _ in range(3):
            assert answered.acquire(timeout=60)
        give_up = time.monotonic() + 60
        while sum(path.read_text().count('"output"') for path in Path("the-run/calls").iterdir()) < 3:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        raise RuntimeError("no luck")
    time.sleep(0.1)  # an answer that took so long is kept
    answered.release()
    return os.environ["ODD_TOKEN"]
"""


def test_answers_that_are_kept_for_later(project: Project, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers on disk whose tests did not come, in a run that was stopped, hold no secrets."""
    monkeypatch.setenv("ODD_TOKEN", ODD_KEY)
    project.write("slow.py", ANSWERS_IN_TIME)
    project.data(project.rows({"fails": ("say nothing", None)} | {f"p{n}": ("say hello", None) for n in range(3)}))
    result, outcomes = project.run_cases("--fc-data=pivots.jsonl", "--fc-agent=slow:answer", "--fc-run=the-run", "-x")
    assert outcomes == {"fails": "error"}
    kept = "".join(path.read_text() for path in (project.path / "the-run" / "calls").iterdir())
    assert kept.count('"output"') == 3
    assert _leaks(project, model.output(result)) == []


def test_words_that_are_no_secrets(project: Project, model: Model) -> None:
    """Headers that name no secret hide nothing of the run that only looks the same as their values."""
    rows = {"first": ("say hello", None), "1234567890": ("say hello", None)}
    project.data(project.rows(rows))
    headers = ["--fc-header=x-title: pivots.jsonl", "--fc-header=x-number: 1234567890", "--fc-header=x-org: pivot_id"]
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=asks", "--fc-run=the-run", *headers)
    assert [line["test"] for line in model.results(project).values()] == [f"pivots.jsonl::{name}" for name in rows]
    assert [line["pivot_id"] for line in model.results(project).values()] == list(rows)
