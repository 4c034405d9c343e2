"""The summary as JSON: what stands in it, what is only counted, and what is hidden."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from summaries import record, summary_of

from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.report.comparison import Report, as_figures
from pytest_fcpivot.report.summary_json import MOST_LISTED, as_builtins, written
from pytest_fcpivot.runs.comparing import Side, compare
from pytest_fcpivot.runs.groups import groups
from pytest_fcpivot.runs.rewards import Rewards
from pytest_fcpivot.runs.signatures import Changed, Signatures

if TYPE_CHECKING:
    import pytest

    from pytest_fcpivot.report.summary import Summary

SCHEMA = json.loads((files("pytest_fcpivot") / "formats" / "summary.schema.json").read_text(encoding="utf-8"))


def held(summary: Summary) -> dict[str, Any]:
    """Return a summary as it is read from its file, which has to follow the schema."""
    found: dict[str, Any] = json.loads(written(summary, Redactor()))
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(found)]
    assert not problems
    return found


def test_figures() -> None:
    """Counts, the mean, signatures, tools, errors, tokens and the cost are those of the answers."""
    answers = [record(0, reward=1.0), record(1, path="$.date"), record(2, path="$.date"), record(3, reward=None)]
    found = held(summary_of(answers))
    assert found["counts"] == {"selected": 4, "passed": 1, "failed": 2, "errors": 1, "not_run": 0, "skipped": 0}
    assert found["mean_reward"]["mean"] == found["pass_rate"] == 1 / 3
    assert found["mean_with_errors_as_0"] == 1 / 4
    (signature,) = found["signatures"]
    assert signature["label"] == "find $.date: the value differs"
    assert (signature["count"], signature["lost_reward"], signature["example"]) == (2, 2.0, "data.jsonl::t0-d1")
    assert signature["new"] is None
    assert found["tools"] == [{"tool": "find", "graded": 3, "failed": 2}]
    assert found["decisions"] == [{"expected": "call", "answered": "call", "count": 3}]
    (error,) = found["errors"]
    assert (error["count"], error["example"]) == (1, "no connection")
    assert found["tokens"]["input_tokens"] == 4000
    # 600 new tokens at 2, 400 cached ones at 1 and 50 written ones at 10 a million, in each of four answers
    assert found["cost"] == {"amount": (4 * (600 * 2 + 400 * 1 + 50 * 10)) / 1e6, "currency": "USD"}
    assert found["latency_s"] == {"median": 0.5, "p95": 0.5, "longest": 0.5}


def test_nothing() -> None:
    """A session without any answer has null where there is nothing to tell, and no number is made up."""
    found = held(summary_of([]))
    for name in ("mean_reward", "pass_rate", "latency_s", "tokens", "cost", "sometimes", "comparison", "verdict"):
        assert found[name] is None, name
    assert found["signatures"] == found["errors"] == []
    assert found["gone_signatures"] is None


def test_beside_a_baseline() -> None:
    """New signatures are marked, gone ones are listed, and the comparison has numbers in place of lists of pivots."""
    before, now = Rewards(), Rewards()
    for number in range(120):
        test = f"data.jsonl::t{number // 10}-d{number % 10}"
        before.add(record(number, reward=1.0), test)
        now.add(record(number, reward=None if number == 7 else float(number % 4 > 0)), test)
    about = {"data": [], "grader": {"name": "nemo-gym:first-call"}, "agent": "earlier", "repeats": 1}
    found = compare(Side("before", None, about, before), Side("now", None, about, now), 0.05)
    figures = as_figures(Report(found=found, groups=groups(found.pairs, None), max_drop=0.01))
    earlier = Signatures()
    earlier.add(record(0, path="$.city"), "data.jsonl::t0-d0", passed=False)
    answers = [record(number, path="$.date") for number in range(3)]
    causes = summary_of(answers).figures.causes
    summary = summary_of(answers, changed=Changed.between(earlier.ranked(), causes), comparison_figures=figures)
    told = held(summary)
    assert [(each["label"], each["new"]) for each in told["signatures"]] == [("find $.date: the value differs", True)]
    assert [each["label"] for each in told["gone_signatures"]] == ["find $.city: the value differs"]
    comparison = told["comparison"]
    assert (comparison["base"], comparison["base_agent"]) == ("before", "earlier")
    assert (comparison["pairs"], comparison["lost"], comparison["won"], comparison["errors_new"]) == (119, 30, 0, 1)
    assert comparison["difference"]["max_drop"] == 0.01
    assert comparison["if_missing_wrong"]["change"] < comparison["if_missing_right"]["change"] < 0
    assert {each["by"] for each in comparison["groups"]} >= {"type"}


def test_pivots_that_pass_sometimes() -> None:
    """With repeats, the pivots that pass only sometimes are named, up to a number, and all are counted."""
    answers = [record(n, repeat, reward=float(repeat == 1)) for n in range(MOST_LISTED + 5) for repeat in (1, 2)]
    sometimes = held(summary_of(answers, repeats=2))["sometimes"]
    assert sometimes["count"] == MOST_LISTED + 5
    assert len(sometimes["pivots"]) == MOST_LISTED
    assert sometimes["pivots"][0] == {"pivot_id": "t0-d0", "passed": 1, "graded": 2}
    assert [each["k"] for each in held(summary_of(answers, repeats=2))["pass_at"]] == [1, 2]


def test_many_signatures() -> None:
    """Of very many signatures those that cost the most are listed, and the others are counted."""
    answers = [record(number, path=f"$.key{number}") for number in range(MOST_LISTED + 2)]
    answers += [record(2000 + number, path="$.often") for number in range(2)]
    found = held(summary_of(answers))
    assert len(found["signatures"]) == MOST_LISTED
    assert found["signatures"][0]["path"] == "$.often"
    assert found["further_signatures"] == 3


def test_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the environment is in no text of the file, wherever a model or a server has put it."""
    secret = "tr0ub4dor-and-3-more"  # noqa: S105 (made up here)
    monkeypatch.setenv("MY_API_KEY", secret)
    answer = record(0, path=f"$.{secret}")
    answer.tool = f"tool_{secret}"
    summary = summary_of([answer], notes=(f"the judge said {secret}",), why_lost=secret, lost=1)
    assert secret in json.dumps(as_builtins(summary))
    assert secret.encode() not in written(summary, Redactor())
