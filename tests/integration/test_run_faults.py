"""Faults of the service are not wrong answers: retried, then errors, and the end of a run that cannot succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from model_service import Model
    from pivot_project import Project

pytest_plugins = ["pivot_project", "model_service"]

# A fault of the server, and the cause that it is counted under.
CAUSES = {
    "429": "rate limit",
    "500": "server error",
    "503": "server error",
    "529": "server error",
    "408": "timeout",
    "reset": "connection",
    "reset_mid_body": "connection",
    "truncate": "connection",
    "invalid_json": "invalid answer",
    "html": "invalid answer",
    "failed": "server error",
}
# id: expected action, what the model is told, outcome, category
GRADED: dict[str, tuple[str, str, str, str]] = {
    "first": ("say hello", "say hello", "passed", "EXPECTED_CHAT_MESSAGE_FOUND"),
    "refuses": ('call add {"a": 1}', "refuse that is none of my business", "failed", "NO_ACTION_FOUND"),
    "several": ('call add {"a": 1}', 'call add {"a": 1} & call find {"filters": []}', "passed", "EXPECTED_TOOL_CALL"),
    "malformed": ('call add {"a": 1}', 'call add {"a": ', "failed", "ARGUMENTS_DECODE_ERROR"),
    "silent": ("say hello", "nothing", "failed", "NO_ACTION_FOUND"),
}


def _counts(found: list[str]) -> dict[str, int]:
    return {name: found.count(name) for name in found}


@pytest.mark.parametrize("agent", ["openai", "openai-chat"])
def test_each_fault_once(project: Project, model: Model, agent: str) -> None:
    """Whatever befalls a call once, it is made again, and its verdict is the model's; what is graded is no fault."""
    causes = CAUSES | ({"empty_choices": "empty answer"} if agent == "openai-chat" else {})
    faults: list[dict[str, Any]] = [{"kind": kind, "match": f"<{kind}>"} for kind in causes]
    faults += [{"kind": "429", "match": "<later>", "retry_after": 0.3}]
    faults += [
        {
            "kind": "400",
            "match": "<long>",
            "times": -1,
            "code": "context_length_exceeded",
            "message": "This model's maximum context length is 8 tokens.",
        },
        {"kind": "404", "match": "<gone>", "times": -1},
    ]
    model.configure(faults=faults)
    causes["later"] = "rate limit"
    rows: dict[str, tuple[str, str | None]] = {name: (row[0], row[1]) for name, row in GRADED.items()}
    rows |= {name: (f"say <{name}>", None) for name in causes}
    rows |= {name: (f"say <{name}>", None) for name in ("long", "gone")}
    project.data(project.rows(rows))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options(agent))

    found = model.results(project)
    assert found.keys() == rows.keys()
    again = {name: (found[name]["outcome"], found[name]["attempts"], found[name]["retried"]) for name in causes}
    assert again == {name: ("passed", 2, [cause]) for name, cause in causes.items()}
    graded = {name: (found[name]["outcome"], found[name]["category"], found[name]["attempts"]) for name in GRADED}
    assert graded == {name: (*row[2:], 1) for name, row in GRADED.items()}
    for name in ("long", "gone"):  # once is enough, and one that is gone is no reason to stop after others came
        assert (found[name]["outcome"], found[name]["attempts"], found[name]["reward"]) == ("error", 1, None)
    assert "maximum context length is 8 tokens" in found["long"]["error"]
    assert model.retries(result) == _counts(list(causes.values()))
    assert sum(model.stats()["faults"].values()) == len(causes) + 2
    result.assert_outcomes(passed=len(causes) + 2, failed=3, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_faults_that_stay(project: Project, model: Model) -> None:
    """What is left after the retries, or past the deadline, is an ungraded error with its cause; a hang is retried."""
    kinds = {kind: CAUSES[kind] for kind in ("429", "500", "reset", "invalid_json")}
    always = [{"kind": kind, "match": f"<{kind}>", "times": -1, "retry_after": 0.1} for kind in kinds]
    past_deadline = {"kind": "503", "match": "<busy>", "times": -1, "retry_after": 600}
    model.configure(faults=[*always, past_deadline, {"kind": "hang", "match": "<hang>"}])
    rows: dict[str, tuple[str, str | None]] = {"fine": ("say hello", None)}
    rows |= {kind: (f"say <{kind}>", None) for kind in (*kinds, "busy", "hang")}
    project.data(project.rows(rows))
    result, outcomes = project.run_cases(
        "--fc-data=pivots.jsonl", *model.options(), "--fc-retries=1", "--fc-timeout=3", "--fc-deadline=60"
    )
    assert outcomes == dict.fromkeys(rows, "error") | {"fine": "passed", "hang": "passed"}
    found = model.results(project)
    for kind, cause in kinds.items():
        line = found[kind]
        assert (line["outcome"], line["cause"], line["attempts"]) == ("error", cause, 2)
        assert (line["reward"], line["category"], line["retried"]) == (None, None, [cause])
        assert line["error"].startswith(f"{cause} in 2 attempts: the agent raised ")
    assert (found["busy"]["attempts"], found["busy"]["cause"]) == (1, "server error")
    assert (found["hang"]["attempts"], found["hang"]["retried"]) == (2, ["timeout"])
    assert model.retries(result) == dict.fromkeys([*kinds.values(), "timeout"], 1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "errors (no answer to grade)",
            "        2  server error",
            "        1  connection",
            "        1  invalid answer",
            "        1  rate limit",
            "passed 2, failed 0, errors 5; pass rate 1.0000 of those graded*",
        ]
    )


REPLY: dict[str, Any] = {"kind": "reply", "times": -1}


@pytest.mark.parametrize(
    ("agent", "config", "code", "message"),
    [
        (
            "openai-chat",
            {"models": ["another"]},
            404,
            (
                "Error code: 404 - The model `puppet` does not exist or you do not have access to it.; "
                "check the model's name and the API's address (--fc-model, --fc-base-url)"
            ),
        ),
        (
            "openai",
            {"faults": [{"kind": "429", "times": -1, "code": "insufficient_quota", "message": "You have no credit."}]},
            429,
            "Error code: 429 - You have no credit.; the account's quota is used up",
        ),
        (
            "openai-chat",
            {"faults": [{**REPLY, "status": 402, "body": '{"error": {"message": "Insufficient credits"}}'}]},
            402,
            "Error code: 402 - Insufficient credits; the account's quota is used up",
        ),
        (
            "openai",
            {"faults": [{**REPLY, "body": '{"error": {"message": "no credentials", "code": 401}}'}]},
            200,
            "answered with an error in a successful reply: no credentials; check the key that is used",
        ),
    ],
    ids=["unknown model", "no quota", "no credit", "no key in a success"],
)
def test_no_call_can_succeed(
    project: Project, model: Model, *, agent: str, config: dict[str, Any], code: int, message: str
) -> None:
    """What no waiting mends ends the run at its first answer, with one message, and asks hardly anything."""
    model.configure(**config)
    result = project.run_here(*model.options(agent), "--fc-concurrency=4")
    text = model.output(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.parseoutcomes() == {"errors": 1}
    assert text.count(message) == 2  # at its pivot, and at the end
    assert f"fcpivot: no call can succeed: {'Error' if 'Error' in message else 'http'}" in text
    assert model.stats()["statuses"].keys() == {str(code)}
    assert "INTERNALERROR" not in text
    assert model.stats()["requests"] <= 4


def test_too_many_errors(project: Project, model: Model) -> None:
    """With --fc-retries=0 a fault is an error at once, and --fc-max-errors ends the run when there are more."""
    model.configure(faults=[{"kind": "503", "match": "<busy>", "times": -1}])
    busy = {f"busy-{number}": (f"say <busy> {number}", None) for number in range(300)}
    rows: dict[str, tuple[str, str | None]] = {"fine": ("say hello", None)}
    project.data(project.rows(rows | busy))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options(), "--fc-retries=0", "--fc-max-errors=3")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(passed=1, errors=4)
    result.stdout.fnmatch_lines(["*fcpivot: 4 errors: a run of 301 tests may have no more than --fc-max-errors=3*"])
    assert {(line["attempts"], line["outcome"]) for line in model.results(project).values()} == {
        (1, "passed"),
        (1, "error"),
    }
    assert model.stats()["requests"] < 301


@pytest.mark.parametrize(("bound", "stops"), [("10%", True), ("8", False)])
def test_share_of_errors(project: Project, bound: str, stops: bool) -> None:
    """--fc-max-errors takes a number or a share of all tests; as many as that are still borne."""
    rows = {f"p{n}": ("say hello", "raises no luck" if n % 5 == 4 else None) for n in range(40)}
    result = project.run_here(*project.puppet(project.rows(rows)), f"--fc-max-errors={bound}")
    errors = 5 if stops else 8
    assert result.parseoutcomes() == {"passed": 4 * errors, "errors": errors}
    assert (result.ret == pytest.ExitCode.INTERRUPTED) is stops
    assert (f"no more than --fc-max-errors={bound}" in result.stdout.str()) is stops


def test_share_of_errors_in_several_processes(project: Project) -> None:
    """Errors are counted over all processes, and the run is stopped with one message."""
    pytest.importorskip("xdist.plugin")
    rows = {f"p{n}": ("say hello", "raises no luck" if n % 2 else None) for n in range(60)}
    result = project.run_here(*project.puppet(project.rows(rows)), "--fc-max-errors=5%", "-n2")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.parseoutcomes()["errors"] >= 4
    assert "errors: a run of 60 tests may have no more than --fc-max-errors=5%" in result.stdout.str()


def test_a_storm_of_rate_limits(project: Project, model: Model) -> None:
    """If a server takes only 4 calls at once, the limit of 16 is lowered, so that few calls are refused."""
    model.configure(max_in_flight=4, latency={"seconds": 0.04}, retry_after=0.05)
    rows: dict[str, tuple[str, str | None]] = {f"p{n}": (f"say hello {n}", None) for n in range(80)}
    project.data(project.rows(rows))
    result = project.run_here("--fc-data=pivots.jsonl", *model.options(), "--fc-concurrency=16", "--fc-retries=40")
    result.assert_outcomes(passed=80)
    stats = model.stats()
    assert stats["statuses"]["200"] == 80
    refused = stats["statuses"]["429"]
    assert model.retries(result) == {"rate limit": refused}
    # about 25, where a client that does not adapt is refused 170 times
    assert 1 <= refused < 80


OWN_AGENT = '''
"""An agent of the user's own that meets each fault once."""

from collections import Counter
from types import SimpleNamespace

from pytest_fcpivot import FatalAgentError, TransientAgentError

asked = Counter()


class RateLimitError(Exception):
    status_code = 429
    response = SimpleNamespace(status_code=429, headers={"retry-after": "0.05"})


ERRORS = {
    "busy": TransientAgentError("come back later", "overload", 0.05),
    "limited": RateLimitError("slow down"),
    "late": TimeoutError("no answer"),
    "broken": ZeroDivisionError("a mistake of mine"),
}


def answer(pivot):
    word = pivot.input[-1]["content"].removeprefix("say ")
    asked[word] += 1
    if word == "expired":
        raise FatalAgentError("the licence has expired")
    if word in ERRORS and asked[word] == 1:
        raise ERRORS[word]
    return word


async def answer_async(pivot):
    return answer(pivot)
'''


@pytest.mark.parametrize("function", ["answer", "answer_async"])
def test_an_agent_of_ones_own(project: Project, model: Model, function: str) -> None:
    """A user's agent tells faults by their type, or as its client calls them, and --fc-retries has it asked again."""
    project.write("own.py", OWN_AGENT)
    project.data(project.rows({word: (f"say {word}", None) for word in ("fine", "busy", "limited", "late", "broken")}))
    result = project.run_here(
        "--fc-data=pivots.jsonl", f"--fc-agent=own:{function}", "--fc-retries=2", "--fc-run=again"
    )
    found = model.results(project, "again")
    assert {name: (line["outcome"], line["retried"]) for name, line in found.items()} == {
        "fine": ("passed", []),
        "busy": ("passed", ["overload"]),
        "limited": ("passed", ["rate limit"]),
        "late": ("passed", ["timeout"]),
        "broken": ("error", []),
    }
    assert model.retries(result) == {"overload": 1, "rate limit": 1, "timeout": 1}


def test_an_agent_of_ones_own_is_not_asked_again(project: Project, model: Model) -> None:
    """Unless retries are asked for, a user's agent is asked once: its own client may have tried again."""
    project.write("own.py", OWN_AGENT)
    project.data(project.rows({word: (f"say {word}", None) for word in ("fine", "busy", "limited", "late", "broken")}))
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=own:answer", "--fc-run=once")
    found = model.results(project, "once")
    assert {name: (line["outcome"], line["attempts"], line["cause"]) for name, line in found.items()} == {
        "fine": ("passed", 1, None),
        "busy": ("error", 1, "overload"),
        "limited": ("error", 1, "rate limit"),
        "late": ("error", 1, "timeout"),
        "broken": ("error", 1, None),
    }
    assert model.retries(result) == {}


@pytest.mark.parametrize(("function", "args"), [("answer", []), ("answer_async", ["-n1"])], ids=["plain", "-n1"])
def test_an_agent_that_gives_up(project: Project, model: Model, function: str, args: list[str]) -> None:
    """FatalAgentError ends the run, at any time, with its own words."""
    project.write("own.py", OWN_AGENT)
    words = ["fine"] * 20 + ["expired"] * 100
    project.data(project.rows({f"p{n}": (f"say {word}", None) for n, word in enumerate(words)}))
    result = project.run_here("--fc-data=pivots.jsonl", f"--fc-agent=own:{function}", "--fc-retries=5", *args)
    text = model.output(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "no call can succeed: the licence has expired" in text
    assert 1 <= result.parseoutcomes()["errors"] <= 1 + len(args)
    assert "INTERNALERROR" not in text
