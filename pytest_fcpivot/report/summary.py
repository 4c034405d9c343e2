"""The results of a run as immutable values, from which any report can be written without a live session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.options.values import Price
    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.runs.signatures import Cause, Changed
    from pytest_fcpivot.runs.tally import Tally
    from pytest_fcpivot.stats.interval import Interval
    from pytest_fcpivot.stats.noise import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAt:
    """pass@k and pass^k over the `pivots` that were graded at least `k` times."""

    k: int
    any_passes: float
    all_pass: float
    pivots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky:
    """How steady the model is, from the repeats of pivots.

    `pivots` are those that passed in some of their repeats only: id, passed and graded answers. `noise` is the model's
    own part of the variance of the mean reward; None if it cannot be known.
    """

    pivots: tuple[tuple[str, int, int], ...]
    noise: Noise | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The check that the pass rate of the pivots' own tests is their mean reward, as with rewards of 0 and 1."""

    passed: int
    rewards: float
    tests: int
    broken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Numbers of tokens: `read` includes `cached`, and `written` includes `reasoning`."""

    read: int
    cached: int
    written: int
    reasoning: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Quantiles of the calls' latencies, in seconds."""

    median: float
    p95: float
    longest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Errors with the same cause; `text` is that of one of them, and `varies` whether others have another text."""

    cause: str
    count: int
    text: str
    varies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UntilMixed:
    """The figures of a run that asked at a pivot no further once it had passed and failed.

    `mixed` pivots have done both; `passed` and `failed` are those of which each answer so far passed, or failed.
    `not_run` counts the tests that were not needed. `first` is the mean reward over the first repeats.
    """

    mixed: int
    passed: int
    failed: int
    not_run: int
    first: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a run.

    `selected` is the sum of `passed`, `failed`, `errors` and `not_run`; `skipped` is separate. `interval` has the
    mean reward; `mean_with_errors` is the mean with each error as 0. `flaky` is None without repeats. With
    `until_mixed`, `interval`, `pass_rate`, `mean_with_errors` and `pass_at` are None or empty, as they would be biased.
    `confusion` counts results by (expected, answered) kind, `tools` has (graded, failed) by expected tool, and `flags`
    counts oddities of answers. `causes` are the signatures of what was not fully rewarded, the costliest first.
    `again` counts errors whose tests were run again, `repeated` further results of a test that are not counted,
    `redacted` answers that were recorded with *** in place of a secret.
    """

    selected: int
    passed: int
    failed: int
    errors: int
    not_run: int
    skipped: int
    again: int
    repeated: int
    redacted: int
    interval: Interval | None
    pass_rate: float | None
    mean_with_errors: float | None
    pass_at: tuple[PassAt, ...]
    until_mixed: UntilMixed | None
    flaky: Flaky | None
    identity: Identity
    categories: Mapping[str, int]
    schemas: Mapping[str, int]
    confusion: Mapping[tuple[str, str], int]
    tools: Mapping[str, tuple[int, int]]
    causes: tuple[Cause, ...]
    flags: Mapping[str, int]
    behaviour: Mapping[str, float | int | None] | None
    error_groups: tuple[ErrorGroup, ...]
    latency: Latency | None
    calls: int
    retried_calls: int
    retries: Mapping[str, int]
    answers_with_tokens: int
    tokens: Tokens
    judged: Mapping[str, int]
    judge_tokens: Tokens
    judge_faults: Mapping[str, int]

    @property
    def graded(self) -> int:
        """How many answers were graded."""
        return self.passed + self.failed

    @classmethod
    def of(cls, tally: Tally) -> Figures:
        """Take the present figures of a tally."""
        quantiles = tally.latency_quantiles(0.5, 0.95, 1.0)
        passed, rewards, tests = tally.identity_figures()
        return cls(
            selected=tally.selected,
            passed=tally.passed,
            failed=tally.failed,
            errors=tally.errors,
            not_run=tally.not_run,
            skipped=tally.skipped,
            again=tally.again,
            repeated=tally.repeated,
            redacted=tally.redacted,
            interval=tally.mean_reward(),
            pass_rate=tally.pass_rate,
            mean_with_errors=tally.mean_with_errors(),
            pass_at=tuple(_pass_at(tally)),
            until_mixed=_until_mixed(tally) if tally.until_mixed else None,
            flaky=None if tally.repeats == 1 else Flaky(pivots=tuple(tally.sometimes()), noise=tally.noise()),
            identity=Identity(passed=passed, rewards=rewards, tests=tests, broken=tally.identity_broken()),
            categories=dict(tally.categories),
            schemas=dict(tally.schemas),
            confusion=dict(tally.confusion),
            tools={tool: (graded, tally.tools_failed[tool]) for tool, graded in tally.tools_graded.items()},
            causes=tally.signatures.ranked(),
            flags=dict(tally.flags),
            behaviour=tally.behaviour.shares(),
            error_groups=tuple(
                ErrorGroup(cause=cause, count=count, text=text, varies=varies)
                for cause, count in tally.error_causes.items()
                for text, varies in [tally.error_texts.get(cause, ("", False))]
            ),
            latency=Latency(median=quantiles[0], p95=quantiles[1], longest=quantiles[2]) if quantiles else None,
            calls=len(tally.latencies),
            retried_calls=tally.retried,
            retries=dict(tally.retries),
            answers_with_tokens=tally.with_usage,
            tokens=_tokens(tally.usage),
            judged=dict(tally.judged),
            judge_tokens=_tokens(tally.judge_usage),
            judge_faults=dict(tally.judge_faults),
        )


def _until_mixed(tally: Tally) -> UntilMixed:
    passed, failed = tally.uniform()
    return UntilMixed(
        mixed=tally.mixed, passed=passed, failed=failed, not_run=tally.not_run_mixed, first=tally.mean_of_first()
    )


def _pass_at(tally: Tally) -> list[PassAt]:
    """Return pass@k and pass^k for powers of two and for the number of repeats; [] without repeats."""
    if tally.repeats == 1:
        return []
    powers = [2**power for power in range(tally.repeats.bit_length()) if 2**power < tally.repeats]
    found = ((k, tally.pass_at(k)) for k in (*powers, tally.repeats))
    return [
        PassAt(k=k, any_passes=rates[0], all_pass=rates[1], pivots=rates[2]) for k, rates in found if rates is not None
    ]


def _tokens(counts: list[int]) -> Tokens:
    read, cached, written, reasoning = counts
    return Tokens(read=read, cached=cached, written=written, reasoning=reasoning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a run is about: its data (each name with a remark, or None), agent, grader and judge.

    `grader` and `judge` are as in run.json, without secrets. `mark` is the pass mark of a grader with partial credit;
    None for a grader whose rewards are only 0 and 1.
    """

    data: Mapping[str, str | None]
    agent: str
    grader: Mapping[str, Any]
    judge: Mapping[str, Any] | None
    mark: float | None
    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Where a run is recorded: its path as the user would type it, an error, and whether it is marked as made here."""

    path: str | None
    trouble: str | None
    marked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that is reported at the end of a session over pivots.

    `nothing` is the reason why no pivot was run, "" if none was meant to. `notes` are remarks about the judge and the
    replay, a line each. `left_out` describes damaged results that are missing from the figures. `reruns` is the option
    by which another plugin runs tests again. `lost` counts tests without a result although nobody stopped the session,
    for the reason `why_lost`; `uncollected` has the files that could not be collected. `to_complete`: the run can be
    resumed. `rerun` is the line with the command that runs the failures again. `verdict` is the gate's, None without a
    gate; if the session stopped when it was certain, `calls_under_way` counts the calls for tests that were not run.
    `exit_note` says why the exit code is not that of the verdict. `saved` is a line about the baseline that was saved,
    and `not_saved` the reason why it was not. `changed` tells which signatures are new and which are gone since the
    baseline; None without a baseline, and for one that is a saved file, which has no answers. `comparison` has the
    lines on the comparison with a baseline, `comparison_page` those for a CI job's page, in Markdown, and
    `comparison_figures` its figures as builtins.
    """

    subject: Subject
    figures: Figures
    recorded: Recorded
    nothing: str = ""
    notes: tuple[str, ...] = ()
    left_out: str | None = None
    reruns: str | None = None
    lost: int = 0
    why_lost: str = ""
    uncollected: tuple[str, ...] = ()
    to_complete: bool = False
    rerun: str | None = None
    verdict: Verdict | None = None
    calls_under_way: int = 0
    exit_note: str | None = None
    saved: str | None = None
    not_saved: str | None = None
    changed: Changed | None = None
    comparison: tuple[str, ...] = ()
    comparison_page: tuple[str, ...] = ()
    comparison_figures: Mapping[str, Any] | None = None
