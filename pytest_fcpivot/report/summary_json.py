"""Write the summary of a session as JSON, for programs: `summary.json` in the run's directory."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fcpivot.core.redact import Redactor
    from pytest_fcpivot.report.summary import Figures, Flaky, Summary, Tokens, UntilMixed
    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.runs.signatures import Cause, Changed
    from pytest_fcpivot.stats.interval import Interval

FORMAT = 1
MOST_LISTED = 1000  # signatures and pivots; the others are counted, so that the file stays small
_LEVEL = 0.95
_COUNTS = ("selected", "passed", "failed", "errors", "not_run", "skipped")


def written(summary: Summary, redact: Redactor) -> bytes:
    """Return the content of `summary.json`, in ASCII and without secrets."""
    return json.dumps(redact.within(as_builtins(summary)), indent=2).encode("ascii") + b"\n"


def as_builtins(summary: Summary) -> dict[str, Any]:
    """Return a summary as builtins, as the schema `summary.schema.json` describes them."""
    subject, figures = summary.subject, summary.figures
    return {
        "format": FORMAT,
        "data": [{"name": name, "note": note} for name, note in subject.data.items()],
        "agent": subject.agent,
        "grader": dict(subject.grader),
        "judge": None if subject.judge is None else dict(subject.judge),
        "pass_mark": subject.mark,
        "verdict": None if summary.verdict is None else _verdict(summary.verdict),
        "counts": {name: getattr(figures, name) for name in _COUNTS},
        "mean_reward": None if figures.interval is None else _mean(figures.interval),
        "pass_rate": figures.pass_rate,
        "mean_with_errors_as_0": figures.mean_with_errors,
        "pass_rate_differs": figures.identity.broken,
        "pass_at": [asdict(each) for each in figures.pass_at],
        **({} if figures.until_mixed is None else {"until_mixed": _until_mixed(figures.until_mixed)}),
        "sometimes": None if figures.flaky is None else _sometimes(figures.flaky),
        **_signatures(figures.causes, summary.changed),
        "categories": _ranked(figures.categories),
        "decisions": [
            {"expected": expected, "answered": answered, "count": count}
            for (expected, answered), count in sorted(figures.confusion.items())
        ],
        "tools": [
            {"tool": tool, "graded": graded, "failed": failed}
            for tool, (graded, failed) in sorted(figures.tools.items(), key=lambda each: (-each[1][1], each[0]))
        ],
        "schemas": _ranked(figures.schemas),
        "flags": _ranked(figures.flags),
        "behaviour": None if figures.behaviour is None else dict(figures.behaviour),
        "errors": [
            {"cause": each.cause, "count": each.count, "example": each.text, "others_differ": each.varies}
            for each in sorted(figures.error_groups, key=lambda each: (-each.count, each.cause))
        ],
        **_calls(figures),
        "cost": _cost(summary),
        "judged": _ranked(figures.judged),
        "judge_tokens": _tokens(figures.judge_tokens) if figures.judged else None,
        "judge_faults": _ranked(figures.judge_faults),
        "run_again": figures.again,
        "repeated": figures.repeated,
        "redacted": figures.redacted,
        "comparison": None if summary.comparison_figures is None else dict(summary.comparison_figures),
        "can_be_completed": summary.to_complete,
        "lost": summary.lost,
        "why_lost": summary.why_lost if summary.lost else None,
        "uncollected": list(summary.uncollected),
        "left_out": summary.left_out,
        "notes": list(summary.notes),
    }


def _mean(interval: Interval) -> dict[str, Any]:
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "level": _LEVEL,
        "answers": interval.n,
        "trajectories": interval.clusters,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    stopped = None if verdict.stopped is None else asdict(verdict.stopped)
    return verdict.to_builtins() | {"decided": stopped}


def _until_mixed(found: UntilMixed) -> dict[str, Any]:
    return {
        "mixed": found.mixed,
        "only_passed": found.passed,
        "only_failed": found.failed,
        "not_run_mixed": found.not_run,
        "mean_reward_of_first_repeats": None if found.first is None else _mean(found.first),
    }


def _sometimes(flaky: Flaky) -> dict[str, Any]:
    noise = flaky.noise
    return {
        "count": len(flaky.pivots),
        "pivots": [
            {"pivot_id": name, "passed": passed, "graded": graded}
            for name, passed, graded in flaky.pivots[:MOST_LISTED]
        ],
        "noise_share": None if noise is None else noise.share,
        "repeats_to_halve": None if noise is None else noise.repeats,
    }


def _signatures(causes: tuple[Cause, ...], changed: Changed | None) -> dict[str, Any]:
    gone = () if changed is None else changed.gone
    return {
        "signatures": [
            _signature(cause) | {"new": None if changed is None else cause.signature in changed.new}
            for cause in causes[:MOST_LISTED]
        ],
        "further_signatures": max(0, len(causes) - MOST_LISTED),
        "gone_signatures": None if changed is None else [_signature(cause) for cause in gone[:MOST_LISTED]],
        "further_gone_signatures": max(0, len(gone) - MOST_LISTED),
    }


def _signature(cause: Cause) -> dict[str, Any]:
    signature = cause.signature
    return {
        "label": signature.label,
        "category": signature.category,
        "expected": signature.expected,
        "answered": signature.answered,
        "path": signature.path,
        "count": cause.count,
        "lost_reward": cause.lost,
        "failed": cause.failed,
        "example": cause.example,
    }


def _calls(figures: Figures) -> dict[str, Any]:
    latency = figures.latency
    return {
        "calls": figures.calls,
        "retried_calls": figures.retried_calls,
        "retries": _ranked(figures.retries),
        "latency_s": None if latency is None else asdict(latency),
        "answers_with_tokens": figures.answers_with_tokens,
        "tokens": _tokens(figures.tokens) if figures.answers_with_tokens else None,
    }


def _tokens(tokens: Tokens) -> dict[str, int]:
    return {
        "input_tokens": tokens.read,
        "cached_tokens": tokens.cached,
        "output_tokens": tokens.written,
        "reasoning_tokens": tokens.reasoning,
    }


def _cost(summary: Summary) -> dict[str, Any] | None:
    price, figures = summary.subject.price, summary.figures
    if price is None or not figures.answers_with_tokens:
        return None
    tokens = figures.tokens
    return {"amount": price.of(tokens.read, tokens.cached, tokens.written), "currency": price.currency}


def _ranked(counts: Mapping[str, int]) -> dict[str, int]:
    ranked: Iterable[tuple[str, int]] = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return dict(ranked)
