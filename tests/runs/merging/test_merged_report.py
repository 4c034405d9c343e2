"""What `fcpivot merge` prints about the merged run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runs_to_merge import Row, at_home, described, line, write

from pytest_fcpivot.report.merged import merged_lines
from pytest_fcpivot.runs.merging.merge import merge
from pytest_fcpivot.stats.interval import mean_interval

if TYPE_CHECKING:
    from pytest_fcpivot.runs.merging.merge import Merged

pytestmark = pytest.mark.usefixtures(at_home.__name__)


def _merged(tmp_path: Path, *lines: Row, **more: Any) -> Merged:
    run = write(tmp_path / "run", described(selected=len(lines), **more), *lines)
    return merge([run], Path("merged"))


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the title, the figures with cost and latency, the identity, and what was merged."""
    monkeypatch.setenv("COLUMNS", "70")
    used = {"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 500_000, "reasoning_tokens": 0}
    call: Row = {
        "expected": "function_call",
        "tool": "add",
        "action": {
            "type": "function_call_batch",
            "calls": [{"type": "function_call", "name": "add", "arguments": "{}"}],
        },
        "schema": "valid",
    }
    lines = [line("a", usage=used, retried=["timeout"]), line("b", "failed", **call), line("c", "error", error="no\nx")]
    lines[2] |= {"action": None}
    interval = mean_interval({"a": [1.0], "b": [0.0]})
    assert interval is not None
    merged = _merged(tmp_path, *lines, options={"fc_price": "2/8"})
    assert list(merged_lines(merged)) == [
        "======== pivots: data.jsonl | my:agent | nemo-gym:first-call =========",
        "1 answer lost the reward, the costliest causes first, each with an example",
        "        1  SOME",
        "               1  add  (data.jsonl::b)",
        "                        call   message   nothing   (answered)",
        "expected call              1         0         0",
        "expected message           0         1         0",
        "categories (what decided each reward)",
        "        2  SOME",
        "worst tools (failed/graded): add 1/1",
        "errors (no answer to grade)",
        "        1  no",
        "------------------------------- result -------------------------------",
        f"mean reward 0.5000  (95 % interval {interval.low:.4f} to {interval.high:.4f}, 2 answers in 2 trajectories)",
        "passed 1, failed 1, errors 1; pass rate 0.5000 of those graded; mean reward 0.3333 with errors as 0",
        "latency: median 0.50 s, 95 % within 0.50 s, longest 0.50 s",
        "retries: 1 in 1 calls (timeout 1)",
        "tokens: 1,000,000 in (0 cached), 500,000 out; cost 6.0000 USD; 2 calls came without token counts",
        "counts agree: pytest's pass rate is the grader's mean reward (2 tests)",
        "run recorded in merged",
        "look at a failure:  fcpivot show merged data.jsonl::b",
        "run the tests that are missing or ended in an error:  pytest --fc-resume=merged",
        "merged: 1 run, 3 results",
    ]


def test_a_broken_identity_is_told(tmp_path: Path) -> None:
    """A pivot's outcome that is not its reward is told as a session tells it; one of an own test is no such thing."""
    merged = _merged(tmp_path, line("a", "failed", reward=1.0), line("b", "failed", test="t.py::t[b]", reward=1.0))
    (told,) = [text for text in merged_lines(merged) if "pass rate is" in text]
    assert told.startswith(
        "ERROR: the pass rate is not the mean reward: 0 of 1 pivots passed, but their rewards sum to 1"
    )


def test_graded_in_parts(tmp_path: Path) -> None:
    """Under a grader whose rewards are not 0 or 1 no identity is told."""
    settings = {"parallel_tool_call_rewarding": True, "parallel_tool_call_reward_mode": "f1"}
    merged = _merged(
        tmp_path, line("a", "failed", reward=0.5), grader={"name": "nemo-gym:any-order", "settings": settings}
    )
    assert not [text for text in merged_lines(merged) if "pass rate = mean" in text]
    assert any(text.startswith("mean reward 0.5000") for text in merged_lines(merged))


def test_an_unresumable_run_is_told(tmp_path: Path) -> None:
    """Where shards chose for themselves, the report does not offer to resume the merged run."""
    merged = _merged(tmp_path, line("a"), options={"fc_limit": "1", "fc_shard": "1/2"})
    text = "\n".join(merged_lines(merged))
    assert "--fc-resume" not in text
    assert "resume the shards' runs, and merge them again" in text
