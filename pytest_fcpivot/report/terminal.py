"""Write the summary in the terminal, the figures last, and limit the failures that pytest shows."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

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
from pytest_fcpivot.core.jsontext import on_screen, one_line, shows_as_it_is
from pytest_fcpivot.core.redact import HIDDEN
from pytest_fcpivot.core.words import count_of, trajectories
from pytest_fcpivot.graders.settings_text import settings_line
from pytest_fcpivot.runs.ending import UNTRUSTED
from pytest_fcpivot.runs.error_groups import without_numbers
from pytest_fcpivot.runs.signatures import grouped
from pytest_fcpivot.runs.until_mixed import WHY_NO_RATE

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    import pytest

    from pytest_fcpivot.report.summary import Figures, Subject, Summary, Tokens, UntilMixed
    from pytest_fcpivot.runs.signatures import Cause, CauseGroup, Changed
    from pytest_fcpivot.stats.noise import Noise

RESULT = "result"  # the title of the figures, which come last
_TOOLS_SHOWN = 5
_FLAKY_SHOWN = 5
_CAUSES_SHOWN = 5
_FILES_SHOWN = 5
_ALWAYS_SHOWN = 10
_GROUPS_SHOWN, _CAUSES_OF_GROUP, _GONE_SHOWN = 8, 3, 3
_LATENCY_SHOWN_FROM_S = 0.05
_TYPED = 200  # characters of an id that a command to copy may have
# The most characters that are shown of a name (which models, servers or data choose), of a cause, and of an error.
_NAME, _CAUSE, _ERROR = 80, 160, 400


def _write(reporter: pytest.TerminalReporter, text: str, **markup: bool) -> None:
    """Write lines, with control characters escaped that data, models and servers may have put into them.

    On a terminal, a long line is wrapped between words; in a log it stays one line, which programs can find.
    """
    width = reporter.config.get_terminal_writer().fullwidth if reporter.isatty() else 0
    for line in on_screen(text).split("\n"):
        for part in wrapped(line, width):
            reporter.write_line(part, **markup)


def _write_command(reporter: pytest.TerminalReporter, text: str) -> None:
    """Write a line with a command or a path, which is not wrapped, so that it can be copied."""
    reporter.write_line(on_screen(text))


def wrapped(line: str, width: int) -> list[str]:
    """Return a line in parts of at most `width` columns, the later ones indented; whole if the width is 0."""
    if not width or len(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip()) + 2
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * min(indent, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )


class FewFailures:
    """Makes pytest show only a few examples of failures, and no line for each of thousands; its counts stay complete.

    A benchmark has thousands of failures, and pytest searches all reports for each of them, which is quadratic. With
    --tb, everything is shown. A line for each failure is shown if -r or --tb asks for it; the summary counts failures
    by their causes in place of these lines. `examples` are the tests whose failures are shown, and `unexplained` those
    whose failures the summary does not count by a cause.
    """

    def __init__(
        self, reporter: pytest.TerminalReporter, examples: Container[str], unexplained: Container[str], *, asked: str
    ) -> None:
        self._reporter = reporter
        self._stats: dict[str, list[Any]] = reporter.stats
        self._examples = examples
        self._unexplained = unexplained
        self._asked = asked
        self._kept: dict[str, list[Any]] = {
            name: self._stats[name] for name in ("failed", "error", "") if name in self._stats
        }
        style = reporter.config.getoption("tbstyle", "auto")
        self._limits = style == "auto"
        self._lists = style not in ("auto", "no")

    def __enter__(self) -> Self:
        stats = self._stats
        if "" in stats:
            stats[""] = [report for report in stats[""] if getattr(report, "sections", None)]
        if self._limits:
            for name in ("failed", "error"):
                if len(stats.get(name, ())) > _ALWAYS_SHOWN:
                    stats[name] = [r for r in stats[name] if not hasattr(r, "fcpivot") or r.nodeid in self._examples]
        return self

    def short(self) -> None:
        """Go on to the lines of one failure each, once the examples are shown."""
        kept, stats = self._kept, self._stats
        hidden = sum(len(kept[name]) - len(stats[name]) for name in ("failed", "error") if name in kept)
        if hidden and not self._reporter.no_summary:
            _write(self._reporter, f"… and {hidden} more like these; --tb=short shows every one")
        for name, letter in (("failed", "f"), ("error", "E")):
            if name in kept:
                all_of_them = self._lists or letter in self._asked
                stats[name] = kept[name] if all_of_them else [r for r in kept[name] if not self._is_counted(r)]

    def _is_counted(self, report: Any) -> bool:
        return hasattr(report, "fcpivot") and report.nodeid not in self._unexplained

    def __exit__(self, *_: object) -> None:
        self._stats.update(self._kept)


def write_summary(reporter: pytest.TerminalReporter, summary: Summary) -> None:
    """Write the summary of a session, or the reason why no pivot was run."""
    figures, subject = summary.figures, summary.subject
    if not figures.selected and not figures.skipped:
        _write_verdict(reporter, summary)
        if summary.nothing:
            _write(reporter, summary.nothing)
        _write_uncollected(reporter, summary.uncollected)
        return
    reporter.write_sep("=", summary_title(subject), bold=True)
    for line in detail_lines(subject, figures, summary.changed):
        _write(reporter, line)
    for label, note in subject.data.items():
        if note is not None:
            _write(reporter, f"data {label}: {note}")
    for note in summary.notes:
        _write(reporter, note)
    if summary.comparison:
        reporter.write_sep("-", "comparison")
        for line in summary.comparison:
            _write(reporter, line)
    reporter.write_sep("-", RESULT)
    _write_verdict(reporter, summary)
    decided = summary.verdict is not None and summary.verdict.stopped is not None
    for line in figure_lines(subject, figures, decided=decided):
        _write(reporter, line)
    identity = identity_line(subject, figures)
    if identity is not None:
        _write(reporter, identity, red=figures.identity.broken, bold=figures.identity.broken)
    if summary.left_out is not None:
        _write(reporter, f"left out of these figures: {summary.left_out}", red=True)
    _write_reruns(reporter, summary)
    _write_lost(reporter, summary)
    _write_uncollected(reporter, summary.uncollected)
    _write_run(reporter, summary)
    if summary.saved is not None:
        _write(reporter, summary.saved)
    if summary.not_saved is not None:
        _write(reporter, f"ERROR: {summary.not_saved}", red=True, bold=True)
    if summary.rerun is not None:
        _write_command(reporter, summary.rerun)


def _write_verdict(reporter: pytest.TerminalReporter, summary: Summary) -> None:
    """Write the verdict of the gate, if there is one, before everything else."""
    verdict = summary.verdict
    if verdict is None:
        return
    from pytest_fcpivot.report.verdict import (  # noqa: PLC0415 (only for one)
        github_warning,
        rule_lines,
        stopped_lines,
        verdict_line,
    )
    from pytest_fcpivot.runs.gate import PASS  # noqa: PLC0415

    colour = "red" if verdict.fails else "green" if verdict.word == PASS else "yellow"
    _write(reporter, verdict_line(verdict), bold=True, **{colour: True})
    lines = rule_lines(verdict)
    if verdict.stopped is not None:
        lines += stopped_lines(verdict.stopped, summary.calls_under_way)
    for line in lines:
        _write(reporter, line)
    if summary.exit_note is not None:
        _write(reporter, summary.exit_note, red=True)
    warning = github_warning(verdict) if os.environ.get("GITHUB_ACTIONS") == "true" else None
    if warning is not None:
        _write_command(reporter, warning)


def summary_title(subject: Subject) -> str:
    """Return the title: data, agent and grader."""
    data, agent = one_line(", ".join(subject.data), _ERROR), one_line(subject.agent, _ERROR)
    return f"pivots: {data} | {agent} | {one_line(subject.grader['name'], _ERROR)}"


def detail_lines(subject: Subject, figures: Figures, changed: Changed | None = None) -> list[str]:
    """Return the lines on what happened: the causes of lost reward first, then what was expected and answered.

    `changed` tells which causes are new, and which are gone, since a baseline.
    """
    settings = settings_line(subject.grader)
    lines = [] if settings is None else [settings]
    lines += cause_lines(subject, figures, changed)
    if figures.graded:
        lines += _confusion_lines(figures)
        lines += _judge_lines(subject, figures)
        lines.append("categories (what decided each reward)")
        lines += [f"  {count:>7}  {one_line(name, _NAME)}" for name, count in _ranked(figures.categories)]
        lines += _schema_lines(figures)
        lines += _tool_lines(figures)
        lines += _flag_lines(figures)
    if figures.redacted:
        lines.append(
            f"answers with a secret in them, recorded with {HIDDEN} in its place: {figures.redacted}; "
            "their first grade is kept, as what is left cannot be graded again"
        )
    if figures.errors:
        lines += _error_lines(figures)
    return lines


def figure_lines(subject: Subject, figures: Figures, *, decided: bool = False) -> list[str]:
    """Return the lines with a run's figures; at least one test must have been reported.

    `decided`: tests were not run because the verdict was certain.
    """
    lines = []
    interval = figures.interval
    if interval is not None:
        lines.append(
            f"mean reward {interval.mean:.4f}  (95 % interval {interval.low:.4f} to {interval.high:.4f}, "
            f"{count_of(interval.n, 'answer')} in {trajectories(interval.clusters)})"
        )
    lines += _until_mixed_lines(figures.until_mixed)
    lines.append(_counts_line(subject, figures, decided=decided))
    lines += [
        f"pass@{each.k} {each.any_passes:.4f}  pass^{each.k} {each.all_pass:.4f}  (over {each.pivots} pivots)"
        for each in figures.pass_at
    ]
    lines += _flaky_lines(figures)
    lines += _call_lines(subject, figures)
    return lines


def cause_lines(subject: Subject, figures: Figures, changed: Changed | None = None) -> list[str]:
    """Return lines that count what was not fully rewarded by its cause, each with a test as an example."""
    groups, lines = grouped(figures.causes), []
    if groups:
        answers = count_of(sum(group.count for group in groups), "answer")
        partly = "" if subject.mark is None else " a part or all of"
        lines.append(f"{answers} lost{partly} the reward, the costliest causes first, each with an example")
        for group in groups[:_GROUPS_SHOWN]:
            lines.append(f"  {group.count:>7}  {one_line(group.heading, _CAUSE)}{_lost(subject, group.lost)}")
            lines += [_cause_line(subject, group, cause, changed) for cause in group.causes[:_CAUSES_OF_GROUP]]
            lines += _other_causes(group.causes[_CAUSES_OF_GROUP:])
        if len(groups) > _GROUPS_SHOWN:
            rest = groups[_GROUPS_SHOWN:]
            lines.append(f"  {sum(group.count for group in rest):>7}  of {count_of(len(rest), 'other kind')}")
    if changed is not None and changed.gone:
        shown = ", ".join(f"{one_line(c.signature.label, _CAUSE)} ({c.count})" for c in changed.gone[:_GONE_SHOWN])
        more = len(changed.gone) - _GONE_SHOWN
        rest_of = f", and {more} more" if more > 0 else ""
        lines.append(f"causes that are gone since the baseline: {shown}{rest_of}")
    return lines


def _cause_line(subject: Subject, group: CauseGroup, cause: Cause, changed: Changed | None) -> str:
    """Return the line on a cause below that of its group, which says what went wrong if it is the same for all."""
    label = cause.signature.label
    if len({each.signature.problem for each in group.causes}) == 1:
        label = label.removesuffix(f": {cause.signature.problem}")
    label = one_line(label, _CAUSE)
    new = " (new since the baseline)" if changed is not None and cause.signature in changed.new else ""
    lost = _lost(subject, cause.lost) if len(group.causes) > 1 else ""
    return f"  {'':7}  {cause.count:>5}  {label}{lost}{new}  ({on_screen(cause.example)})"


def _other_causes(causes: Sequence[Cause]) -> list[str]:
    if not causes:
        return []
    return [f"  {'':7}  {sum(cause.count for cause in causes):>5}  by {count_of(len(causes), 'other cause')}"]


def _lost(subject: Subject, lost: float) -> str:
    """Return how much reward was lost, which is the number of answers unless there is partial credit."""
    return "" if subject.mark is None else f" (reward lost: {lost:.2f})"


def _counts_line(subject: Subject, figures: Figures, *, decided: bool) -> str:
    counts = f"passed {figures.passed}, failed {figures.failed}, errors {figures.errors}"
    if figures.not_run:
        counts += f", not run{_why_not_run(figures, decided=decided)} of {figures.selected}"
    if figures.pass_rate is not None:
        at_mark = "" if subject.mark is None else f" at reward ≥ {subject.mark:.12g}:"
        counts += f"; pass rate{at_mark} {figures.pass_rate:.4f}" + (" of those graded" if figures.errors else "")
    if figures.errors and figures.graded and figures.mean_with_errors is not None:
        counts += f"; mean reward {figures.mean_with_errors:.4f} with errors as 0"
    if figures.skipped:
        counts += f"; not counted: skipped or expected to fail {figures.skipped}"
    return counts


def _why_not_run(figures: Figures, *, decided: bool) -> str:
    unneeded = 0 if figures.until_mixed is None else figures.until_mixed.not_run
    if not unneeded:
        return f"{' (decided)' if decided else ''} {figures.not_run}"
    others = figures.not_run - unneeded
    return f": mixed {unneeded}" + (f" and others {others}" if others else "")


def _until_mixed_lines(found: UntilMixed | None) -> list[str]:
    """Return lines on a run that asked until its pivots were mixed, whose mean over all answers would be biased."""
    if found is None:
        return []
    lines = []
    first = found.first
    if first is not None:
        lines.append(
            f"mean reward of the first repeats {first.mean:.4f}  (95 % interval {first.low:.4f} to {first.high:.4f}, "
            f"{count_of(first.n, 'answer')} in {trajectories(first.clusters)}); there is no pass rate: {WHY_NO_RATE}"
        )
    lines.append(
        f"{count_of(found.mixed, 'pivot')} passed and failed (mixed), {found.passed} only passed, "
        f"{found.failed} only failed"
    )
    return lines


def _flaky_lines(figures: Figures) -> list[str]:
    """Return lines on the pivots that pass sometimes, and on how much of the uncertainty is the model's own noise."""
    flaky = figures.flaky
    if flaky is None or not figures.graded:
        return []
    lines = []
    if flaky.pivots:
        shown = ", ".join(f"{one_line(name, _NAME)} {passed}/{of}" for name, passed, of in flaky.pivots[:_FLAKY_SHOWN])
        more = len(flaky.pivots) - _FLAKY_SHOWN
        rest = f", and {more} more" if more > 0 else ""
        lines.append(f"{count_of(len(flaky.pivots), 'pivot')} passed only sometimes (passed/graded): {shown}{rest}")
    if flaky.noise is not None:
        lines.append(noise_line(flaky.noise))
    return lines


def noise_line(noise: Noise) -> str:
    """Return the line on the model's own part of a mean's uncertainty."""
    if noise.repeats is None:
        advice = "no number of repeats would halve the interval, only more pivots"
    else:
        advice = f"{noise.repeats} repeats of each pivot would halve the interval"
    return f"the model's own noise is {100 * noise.share:.0f} % of the variance of the mean reward; {advice}"


def _schema_lines(figures: Figures) -> list[str]:
    broken = {name: n for name, n in figures.schemas.items() if name not in ("valid", "no-call", "")}
    if not broken:
        return []
    calls = sum(n for name, n in figures.schemas.items() if name not in ("no-call", ""))
    details = ", ".join(f"{one_line(name, _NAME)} {n}" for name, n in sorted(broken.items()))
    valid = f"{figures.schemas.get('valid', 0)} of {calls} calls valid under their tool's JSON Schema"
    return [f"schemas: {valid}; {details}"]


def _error_lines(figures: Figures) -> list[str]:
    """Return lines that count errors by group, with the text of one error of each."""
    lines = ["errors (no answer to grade)"]
    ranked = sorted(figures.error_groups, key=lambda group: (-group.count, group.cause))
    for group in ranked[:_CAUSES_SHOWN]:
        text = group.text
        if without_numbers(text) == group.cause:  # the group's name is the text itself
            shown = f"{text} (and others that differ only in numbers)" if group.varies else text
        else:
            shown = group.cause if not text else f"{group.cause}{', such as' if group.varies else ''}: {text}"
        lines.append(f"  {group.count:>7}  {one_line(shown, _ERROR)}")
    if len(ranked) > _CAUSES_SHOWN:
        rest = ranked[_CAUSES_SHOWN:]
        lines.append(f"  {sum(group.count for group in rest):>7}  of {len(rest)} other kinds")
    return lines


def _judge_lines(subject: Subject, figures: Figures) -> list[str]:
    """Return lines on who scored the messages, and the judge's tokens."""
    judge, judged = subject.judge, Counter(figures.judged)
    if judge is None or not (figures.judged or figures.confusion.get(("message", "message"))):
        return []
    if judge.get("model") is None:
        return [f"messages scored by keyword overlap, not by a judge: {one_line(str(judge.get('why')), _ERROR)}"]
    counts = [f"{judged['asked']} asked, {judged['cached']} from the cache"]
    if judged["keyword"]:
        causes = ", ".join(f"{one_line(cause, _NAME)} {n}" for cause, n in _ranked(figures.judge_faults))
        counts.append(f"{judged['keyword']} by keyword overlap in its place ({causes})")
    model, prompt = one_line(str(judge["model"]), _NAME), one_line(str(judge.get("prompt_version")), _NAME)
    lines = [f"messages judged by {model} (prompt {prompt}): {', '.join(counts)}"]
    tokens = figures.judge_tokens
    if tokens.read or tokens.written:
        lines.append(f"the judge's tokens: {_shown_tokens(tokens)}")
    return lines


def _shown_tokens(tokens: Tokens) -> str:
    shown = f"{tokens.read:,} in ({tokens.cached:,} cached), {tokens.written:,} out"
    return shown + (f" ({tokens.reasoning:,} reasoning)" if tokens.reasoning else "")


# The explanations of odd answers, in the order in which they are shown.
_FLAG_TEXTS = (
    (MALFORMED, "malformed: the calls that the model wrote could not be parsed; graded 0"),
    (REFUSED_CALL, "calls that the server refused, but showed in its error; graded as calls"),
    (CUT_OFF, "cut off at the limit of output tokens; graded as they are"),
    (
        CALL_LIKE,
        "messages that look like calls, graded as messages: use the server's tool parser, or --fc-agent=openai-prompt",
    ),
    (
        NO_ARGUMENTS,
        "calls without arguments from the server; graded as empty text, or as {} with --fc-empty-arguments=object",
    ),
    (ONE_OF_SEVERAL_CHOICES, "answers with several choices, of which only one has calls; that one was graded"),
    (READ_DIFFERENTLY, "answers read differently than when they were recorded; graded as they are read now"),
    (SYSTEM_MOVED, "asked with later system messages sent as user messages, because the server refused them"),
)


def _flag_lines(figures: Figures) -> list[str]:
    """Return lines that count odd answers by kind."""
    lines = [f"  {figures.flags[flag]:>7}  {text}" for flag, text in _FLAG_TEXTS if figures.flags.get(flag)]
    return ["odd answers", *lines] if lines else []


def _call_lines(subject: Subject, figures: Figures) -> list[str]:
    """Return lines on the calls' latency, retries, tokens and cost."""
    lines = []
    latency = figures.latency
    if latency is not None and latency.p95 >= _LATENCY_SHOWN_FROM_S:
        lines.append(
            f"latency: median {latency.median:.2f} s, 95 % within {latency.p95:.2f} s, longest {latency.longest:.2f} s"
        )
    if figures.retried_calls:
        causes = ", ".join(f"{one_line(name, _NAME)} {n}" for name, n in _ranked(figures.retries))
        lines.append(f"retries: {sum(figures.retries.values())} in {figures.retried_calls} calls ({causes})")
    if figures.answers_with_tokens:
        tokens, price = figures.tokens, subject.price
        details = f"tokens: {_shown_tokens(tokens)}"
        if price is not None:
            details += f"; cost {price.of(tokens.read, tokens.cached, tokens.written):.4f} {price.currency}"
        missing = figures.calls - figures.answers_with_tokens
        details += f"; {missing} calls came without token counts" if missing > 0 else ""
        lines.append(details)
    return lines


def _write_reruns(reporter: pytest.TerminalReporter, summary: Summary) -> None:
    """Write what other plugins were asked to run again, and what was."""
    again, repeated = summary.figures.again, summary.figures.repeated
    if summary.reruns is not None or again:
        asked = "" if summary.reruns is None else f"requested by {summary.reruns}; "
        errors = "1 error was" if again == 1 else f"{again} errors were"
        _write(reporter, f"reruns: {asked}a wrong answer is never run again; {errors} run again")
    if repeated:
        _write(
            reporter,
            f"{repeated} further results of tests are not counted, because a plugin runs tests several times",
        )


def _write_lost(reporter: pytest.TerminalReporter, summary: Summary) -> None:
    """Write an error line if tests were lost, with the reason."""
    if not summary.lost:
        return
    _write(
        reporter,
        f"ERROR: {summary.lost} of the {summary.figures.selected} selected tests were not run: {summary.why_lost}. "
        f"These figures are incomplete; {_what_then(summary)}.",
        red=True,
        bold=True,
    )
    if summary.recorded.path is None:
        _write(reporter, "the run was not recorded, so it cannot be resumed: run it again")


def _what_then(summary: Summary) -> str:
    if summary.verdict is not None and summary.exit_note is None:
        return "the verdict counts these tests as missing answers"
    return f"the exit code is {UNTRUSTED}"


def _write_uncollected(reporter: pytest.TerminalReporter, files: Sequence[str]) -> None:
    """Write an error line if files could not be collected."""
    if files:
        count = "1 file" if len(files) == 1 else f"{len(files)} files"
        shown = ", ".join(files[:_FILES_SHOWN]) + (" and more" if len(files) > _FILES_SHOWN else "")
        _write(
            reporter,
            f"ERROR: {count} could not be collected ({shown}): the tests in there are missing from these figures; "
            f"the exit code is {UNTRUSTED}.",
            red=True,
            bold=True,
        )


def _write_run(reporter: pytest.TerminalReporter, summary: Summary) -> None:
    """Write where the run is recorded, and the command that completes it if tests are missing."""
    recorded = summary.recorded
    if recorded.trouble is not None:
        _write(reporter, recorded.trouble, red=True)
    if recorded.path is None:
        return
    _write_command(reporter, f"run recorded in {recorded.path}")
    look = how_to_look(recorded.path, summary.figures)
    if look is not None:
        _write_command(reporter, look)
    if summary.to_complete:
        _write_command(reporter, how_to_go_on(recorded.path, marked=recorded.marked))


def how_to_look(run: str, figures: Figures) -> str | None:
    """Return the line with the command that shows the first example of the causes; None if no id can be typed."""
    examples = (cause.example for group in grouped(figures.causes) for cause in group.causes)
    example = next((test for test in examples if shows_as_it_is(test) and len(test) <= _TYPED), None)
    return None if example is None else f"look at a failure:  {shlex.join(['fcpivot', 'show', run, example])}"


def how_to_go_on(run: str, *, marked: bool) -> str:
    """Return the line with the command that completes a run; unless it is `marked`, options have to be repeated."""
    again = "" if marked else "  (with its options again)"
    return f"run the tests that are missing or ended in an error:  pytest --fc-resume={shlex.quote(run)}{again}"


def _confusion_lines(figures: Figures) -> list[str]:
    columns = ("call", "message", "none")
    lines = [f"{'':18}" + "".join(f"{name:>10}" for name in ("call", "message", "nothing")) + "   (answered)"]
    for expected in ("call", "message"):
        counts = [figures.confusion.get((expected, actual), 0) for actual in columns]
        if any(counts):
            lines.append(f"{'expected ' + expected:18}" + "".join(f"{count:>10}" for count in counts))
    return lines


def _tool_lines(figures: Figures) -> list[str]:
    """Return the line with the expected tools that failed most."""
    worst = sorted((-failed, tool, graded) for tool, (graded, failed) in figures.tools.items() if failed)
    if not worst:
        return []
    shown = [f"{shown_name(tool, _NAME)} {-failed}/{graded}" for failed, tool, graded in worst[:_TOOLS_SHOWN]]
    return [f"worst tools (failed/graded): {', '.join(shown)}"]


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def identity_line(subject: Subject, figures: Figures) -> str | None:
    """Return the line that compares pass rate and mean reward; None with partial credit, or no such tests."""
    identity = figures.identity
    if subject.mark is not None or not identity.tests:
        return None
    if identity.broken:
        return (
            f"ERROR: the pass rate is not the mean reward: {identity.passed} of {identity.tests} pivots passed, but "
            f"their rewards sum to {identity.rewards:g}. A hook, a plugin or a mark changed outcomes; do not trust "
            "this run's pass rate."
        )
    return f"counts agree: pytest's pass rate is the grader's mean reward ({count_of(identity.tests, 'test')})"
