"""The summary in the terminal, and an end of run that stays linear in the number of failures."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.answer_flags import (
    CALL_LIKE,
    CUT_OFF,
    MALFORMED,
    NO_ARGUMENTS,
    ONE_OF_SEVERAL_CHOICES,
    READ_DIFFERENTLY,
    REFUSED_CALL,
    SYSTEM_MOVED,
)
from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.jsontext import on_screen, one_line
from pytest_fcpivot.core.redact import HIDDEN
from pytest_fcpivot.report.grader import settings_line
from pytest_fcpivot.report.nothing_ran import why_nothing_ran
from pytest_fcpivot.report.rerun import rerun_line
from pytest_fcpivot.runs.ending import UNTRUSTED
from pytest_fcpivot.runs.error_groups import without_numbers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    import pytest

    from pytest_fcpivot.options.values import Price
    from pytest_fcpivot.runs import Tally
    from pytest_fcpivot.session.hooks import PivotSession

_TOOLS_SHOWN = 5
_CAUSES_SHOWN = 5
_FILES_SHOWN = 5
_ALWAYS_SHOWN = 10
_WORTH_TELLING_S = 0.05
# Characters that the tables have room for: of names, which models, servers and data choose, and of errors.
_NAME, _ERROR = 80, 400


def _write(reporter: pytest.TerminalReporter, text: str, **markup: bool) -> None:
    """Write lines that may hold what data, models and servers said."""
    reporter.write_line(on_screen(text), **markup)


@contextmanager
def few_failures(reporter: pytest.TerminalReporter, tally: Tally) -> Generator[None, None, None]:
    """Let pytest's own sections show a few examples per category, unless the user set --tb; counts stay whole.

    A benchmark fails thousands of tests by nature, and pytest looks through all passed reports for each of them.
    """
    stats: dict[str, list[Any]] = reporter.stats
    kept: dict[str, list[Any]] = {name: stats[name] for name in ("failed", "error", "") if name in stats}
    if "" in stats:
        stats[""] = [report for report in stats[""] if getattr(report, "sections", None)]
    if reporter.config.getoption("tbstyle", "auto") == "auto":
        for name in ("failed", "error"):
            if len(stats.get(name, ())) > _ALWAYS_SHOWN:
                stats[name] = [r for r in stats[name] if not hasattr(r, "fcpivot") or r.nodeid in tally.example_ids]
    hidden = sum(len(kept[name]) - len(stats[name]) for name in ("failed", "error") if name in kept)
    try:
        yield
    finally:
        stats.update(kept)
        if hidden:
            _write(reporter, f"… and {hidden} more like these; --tb=short shows every one")


def write_summary(reporter: pytest.TerminalReporter, session: PivotSession) -> None:
    """Write what the run found."""
    tally = session.tally
    if reporter.config.option.collectonly:
        return
    if not tally.selected and not tally.skipped:
        nothing = why_nothing_ran(session)
        if nothing:
            _write(reporter, nothing)
        _write_uncollected(reporter, session)
        return
    grader = session.shown_grader
    title = summary_title((dataset.label for dataset in session.datasets), session.agent_name, grader["name"])
    reporter.write_sep("=", title, bold=True)
    settings = settings_line(grader)
    if settings is not None:
        _write(reporter, settings)
    for line in summary_lines(tally, session.options.price, session.mark, session.redact.within(session.judge)):
        _write(reporter, line)
    for dataset in session.datasets:
        if dataset.note is not None:
            _write(reporter, f"data {dataset.label}: {dataset.note}")
    for note in sorted(session.judge_notes):
        _write(reporter, session.redact(note))
    for line in session.own_rewards.lines():
        _write(reporter, line)
    if session.replays and session.book is not None and session.book.damages:
        _write(reporter, f"left out of these figures: {session.book.damages.losses()}", red=True)
    _write_identity(reporter, session)
    _write_reruns(reporter, session)
    _write_lost(reporter, session)
    _write_uncollected(reporter, session)
    _write_run(reporter, session)
    rerun = rerun_line(session) if tally.failed or tally.errors else None
    if rerun is not None:
        _write(reporter, rerun)


def summary_title(data: Iterable[str], agent: str, grader: str) -> str:
    """Say what a summary is of."""
    return f"pivots: {one_line(', '.join(data), _ERROR)} | {one_line(agent, _ERROR)} | {one_line(grader, _ERROR)}"


def summary_lines(tally: Tally, price: Price | None, mark: float | None, judge: Mapping[str, Any] | None) -> list[str]:
    """Write the figures of a run, of which at least one test was reported.

    `mark` is the pass mark of a grader with other rewards than 0 and 1, under which the pass rate is another figure;
    `judge` says who scored messages, as run.json does.
    """
    lines = []
    interval = tally.mean_reward()
    if interval is not None:
        trajectories = "trajectory" if interval.clusters == 1 else "trajectories"
        lines.append(
            f"mean reward {interval.mean:.4f}  (95 % interval {interval.low:.4f} to {interval.high:.4f}, "
            f"{interval.n} pivots in {interval.clusters} {trajectories})"
        )
    counts = f"passed {tally.passed}, failed {tally.failed}, errors {tally.errors}"
    if tally.not_run:
        counts += f", not run {tally.not_run} of {tally.selected}"
    if tally.pass_rate is not None:
        at_mark = "" if mark is None else f" at reward ≥ {mark:.12g}:"
        counts += f"; pass rate{at_mark} {tally.pass_rate:.4f}" + (" of those graded" if tally.errors else "")
    if tally.errors and tally.graded:
        counts += f"; mean reward {tally.mean_with_errors():.4f} with errors as 0"
    if tally.skipped:
        counts += f"; besides, skipped or expected to fail {tally.skipped}"
    lines.append(counts)
    lines += _repeat_lines(tally)
    if tally.graded:
        lines += _confusion_lines(tally)
        lines += _judge_lines(tally, judge)
        lines.append("categories")
        lines += [f"  {count:>7}  {one_line(name, _NAME)}" for name, count in _ranked(tally.categories)]
        broken = {name: n for name, n in tally.schemas.items() if name not in ("valid", "no-call", "")}
        if broken:
            calls = sum(n for name, n in tally.schemas.items() if name not in ("no-call", ""))
            details = ", ".join(f"{one_line(name, _NAME)} {n}" for name, n in sorted(broken.items()))
            lines.append(f"schemas: {tally.schemas['valid']} of {calls} calls valid; {details}")
        lines += _tool_lines(tally)
        lines += _flag_lines(tally)
    if tally.redacted:
        lines.append(
            f"answers with a secret in them, recorded with {HIDDEN} in its place: {tally.redacted}; "
            "their first grade is kept, as what is left cannot be graded again"
        )
    lines += _call_lines(tally, price)
    if tally.errors:
        lines += _error_lines(tally)
    return lines


def _error_lines(tally: Tally) -> list[str]:
    """Count the errors by what they have in common, with the text of one of each."""
    lines = ["errors"]
    ranked = _ranked(tally.error_causes)
    for cause, n in ranked[:_CAUSES_SHOWN]:
        text, varies = tally.error_texts.get(cause, ("", False))
        if without_numbers(text) == cause:  # the text is the group, so that one of them says it all
            shown = f"{text} (and alike, with other numbers)" if varies else text
        else:
            shown = cause if not text else f"{cause}, such as: {text}" if varies else f"{cause}: {text}"
        lines.append(f"  {n:>7}  {one_line(shown, _ERROR)}")
    if len(ranked) > _CAUSES_SHOWN:
        rest = ranked[_CAUSES_SHOWN:]
        lines.append(f"  {sum(n for _, n in rest):>7}  of {len(rest)} other kinds")
    return lines


def _repeat_lines(tally: Tally) -> list[str]:
    """Tell how pivots fare that are asked several times: pass@k and pass^k for powers of two, and for all repeats."""
    if tally.repeats == 1:
        return []
    powers = [2**power for power in range(tally.repeats.bit_length()) if 2**power < tally.repeats]
    lines = []
    for k in (*powers, tally.repeats):
        rates = tally.pass_at(k)
        if rates is not None:
            lines.append(f"pass@{k} {rates[0]:.4f}  pass^{k} {rates[1]:.4f}  (over {rates[2]} pivots)")
    return lines


def _judge_lines(tally: Tally, judge: Mapping[str, Any] | None) -> list[str]:
    """Tell who scored the messages, and what that took."""
    if judge is None or not (tally.judged or tally.confusion["message", "message"]):
        return []
    if judge.get("model") is None:
        return [f"messages scored by keyword overlap, not by a judge: {one_line(str(judge.get('why')), _ERROR)}"]
    counts = [f"{tally.judged['asked']} asked, {tally.judged['cached']} from the cache"]
    if tally.judged["keyword"]:
        causes = ", ".join(f"{one_line(cause, _NAME)} {n}" for cause, n in _ranked(tally.judge_faults))
        counts.append(f"{tally.judged['keyword']} by keyword overlap in its place ({causes})")
    model, prompt = one_line(str(judge["model"]), _NAME), one_line(str(judge.get("prompt_version")), _NAME)
    lines = [f"messages judged by {model} (prompt {prompt}): {', '.join(counts)}"]
    read, cached, written, reasoning = tally.judge_usage
    if read or written:
        lines.append(
            f"the judge's tokens: {read:,} in ({cached:,} cached), {written:,} out"
            + (f" ({reasoning:,} reasoning)" if reasoning else "")
        )
    return lines


# What the summary says of odd answers, in this order.
_FLAG_TEXTS = (
    (MALFORMED, "malformed: the calls that the model wrote could not be parsed; graded 0"),
    (REFUSED_CALL, "calls that the server refused, and showed; graded as the calls they are"),
    (CUT_OFF, "cut off at the limit of output tokens; graded as they are"),
    (
        CALL_LIKE,
        "messages that look like calls, graded as messages: use the server's tool parser, or --fc-agent=openai-prompt",
    ),
    (
        NO_ARGUMENTS,
        "without arguments from the server: graded as empty text, or as {} with --fc-empty-arguments=object",
    ),
    (ONE_OF_SEVERAL_CHOICES, "with several choices, of which the only one with calls was graded"),
    (READ_DIFFERENTLY, "answers read differently than when they were recorded; graded as they are read now"),
    (SYSTEM_MOVED, "asked with later system messages given as the user's, since the server refused them"),
)


def _flag_lines(tally: Tally) -> list[str]:
    """Count the odd answers, and say what each kind is."""
    lines = [f"  {tally.flags[flag]:>7}  {text}" for flag, text in _FLAG_TEXTS if tally.flags[flag]]
    return ["odd answers", *lines] if lines else []


def _call_lines(tally: Tally, price: Price | None) -> list[str]:
    """Tell what the calls took: time, further attempts, tokens and money."""
    lines = []
    quantiles = tally.latency_quantiles(0.5, 0.95, 1.0)
    if quantiles and quantiles[1] >= _WORTH_TELLING_S:
        lines.append("latency: median {:.2f} s, 95 % within {:.2f} s, longest {:.2f} s".format(*quantiles))
    if tally.retried:
        causes = ", ".join(f"{one_line(name, _NAME)} {n}" for name, n in _ranked(tally.retries))
        lines.append(f"retries: {tally.retries.total()} in {tally.retried} calls ({causes})")
    if tally.with_usage:
        read, cached, written, reasoning = tally.usage
        details = f"tokens: {read:,} in ({cached:,} cached), {written:,} out"
        details += f" ({reasoning:,} reasoning)" if reasoning else ""
        if price is not None:
            details += f"; cost {price.of(read, cached, written):.4f}"
        missing = len(tally.latencies) - tally.with_usage
        details += f"; {missing} answers did not tell" if missing > 0 else ""
        lines.append(details)
    return lines


def _write_reruns(reporter: pytest.TerminalReporter, session: PivotSession) -> None:
    """Tell what became of what other plugins were asked to run again."""
    tally = session.tally
    if session.reruns.asked is not None or tally.again:
        asked = "" if session.reruns.asked is None else f"asked for by {session.reruns.asked}; "
        errors = "1 error was" if tally.again == 1 else f"{tally.again} errors were"
        _write(reporter, f"reruns: {asked}a wrong answer is never asked again; {errors} asked again")
    if tally.repeated:
        _write(
            reporter,
            f"{tally.repeated} results of tests that had one already are not counted: "
            "a plugin runs tests several times",
        )


def _write_lost(reporter: pytest.TerminalReporter, session: PivotSession) -> None:
    """Say loudly that tests were lost, and why."""
    lost, selected = session.ending.lost, session.tally.selected
    if not lost:
        return
    _write(
        reporter,
        f"ERROR: {lost} of the {selected} selected tests were not run: {session.ending.why}. "
        f"These figures are not those of the whole; the exit code is {UNTRUSTED}.",
        red=True,
        bold=True,
    )
    if session.recorder.path is None:
        _write(reporter, "the run was not recorded, so that nothing can go on with it: run it again")


def _write_uncollected(reporter: pytest.TerminalReporter, session: PivotSession) -> None:
    """Say loudly that whole files are missing."""
    files = session.ending.uncollected
    if files:
        count = "1 file" if len(files) == 1 else f"{len(files)} files"
        shown = ", ".join(files[:_FILES_SHOWN]) + (" and more" if len(files) > _FILES_SHOWN else "")
        _write(
            reporter,
            f"ERROR: {count} could not be collected ({shown}), and nothing of what is in there is among "
            f"these figures; the exit code is {UNTRUSTED}.",
            red=True,
            bold=True,
        )


def _write_run(reporter: pytest.TerminalReporter, session: PivotSession) -> None:
    """Tell where the run is recorded, and how to go on with it if it is not complete."""
    recorder = session.recorder
    if recorder.trouble is not None:
        _write(reporter, recorder.trouble, red=True)
    if recorder.path is None:
        return
    shown = session.shown_path(recorder.path)
    _write(reporter, f"run recorded in {shown}")
    if not session.replays and (not session.complete or session.tally.errors):
        _write(reporter, how_to_go_on(shown, marked=recorder.unmarked is None))


def how_to_go_on(run: str, *, marked: bool) -> str:
    """Write the command that completes a run; one that is not marked as made here wants its options again."""
    again = "" if marked else "  (with its options again)"
    return f"ask again what is missing or ended in an error:  pytest --fc-resume={shlex.quote(run)}{again}"


def _confusion_lines(tally: Tally) -> list[str]:
    columns = ("call", "message", "none")
    lines = [f"{'':18}" + "".join(f"{name:>10}" for name in ("call", "message", "nothing")) + "   (answered)"]
    for expected in ("call", "message"):
        counts = [tally.confusion[expected, actual] for actual in columns]
        if any(counts):
            lines.append(f"{'expected ' + expected:18}" + "".join(f"{count:>10}" for count in counts))
    return lines


def _tool_lines(tally: Tally) -> list[str]:
    """List the expected tools with the most failures."""
    worst = sorted(
        ((failed, tool) for tool, failed in tally.tools_failed.items() if failed), key=lambda pair: (-pair[0], pair[1])
    )
    if not worst:
        return []
    shown = [f"{shown_name(tool, _NAME)} {failed}/{tally.tools_graded[tool]}" for failed, tool in worst[:_TOOLS_SHOWN]]
    return [f"worst tools (failed/graded): {', '.join(shown)}"]


def _ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _write_identity(reporter: pytest.TerminalReporter, session: PivotSession) -> None:
    """State that the pass rate is the mean reward, or loudly that it is not."""
    line = identity_line(session.tally) if session.grader.binary else None
    if line is not None:
        broken = session.tally.identity_broken()
        _write(reporter, line, red=broken, bold=broken)


def identity_line(tally: Tally) -> str | None:
    """Say whether the pass rate is the mean reward, as a 0/1 grader promises; None if there is nothing to check."""
    passed, reward, n = tally.identity_figures()
    if not n:
        return None
    if tally.identity_broken():
        return (
            f"ERROR: the pass rate is not the mean reward: {passed} of {n} pivots passed, but their rewards sum to "
            f"{reward:g}. A hook, a plugin or a mark changed outcomes; do not trust this run's pass rate."
        )
    return f"pass rate = mean reward: checked over {n} pivots"
