"""Write the summary of a session as Markdown for `$GITHUB_STEP_SUMMARY`, which the page of a CI job shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.words import count_of, trajectories
from pytest_fcpivot.report.markdown import code, plain, table
from pytest_fcpivot.report.verdict import stopped_lines
from pytest_fcpivot.runs.signatures import grouped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_fcpivot.report.summary import Figures, Summary, UntilMixed
    from pytest_fcpivot.runs.signatures import Cause, Changed, Signature

# GitHub shows nothing of a step whose steps wrote more than 1 MiB into the file. Others may write to it after us.
MOST_BYTES = 1_000_000
_SIGNATURES = 10
_GONE = 5
_TOOLS = 10
_CATEGORIES = 20
_SENTENCE = 1000  # characters


def step_summary(summary: Summary) -> list[str]:
    """Return the Markdown lines of a session's summary; [] if no pivot was run."""
    figures, subject = summary.figures, summary.subject
    if not figures.selected and not figures.skipped:
        return []
    lines = [
        f"### Function-calling pivots: {plain(', '.join(subject.data))}",
        "",
        *_verdict(summary),
        f"Agent {code(subject.agent)}, grader {code(subject.grader['name'])}",
        "",
        *_figures(figures, summary),
    ]
    if summary.lost:
        lines += ["", f"**{summary.lost} of {figures.selected} tests were not run:** {plain(summary.why_lost, 400)}"]
    lines += _signatures(figures.causes, summary.changed)
    lines += _tools(figures)
    lines += _categories(figures)
    if summary.comparison_page:
        lines += ["", *summary.comparison_page]
    if summary.rerun is not None:
        lines += ["", "Rerun the failures:", "", *_block(summary.rerun.partition(":")[2].strip())]
    return [*lines, ""]


def _verdict(summary: Summary) -> list[str]:
    """Return the verdict of the gate, if there is one."""
    verdict = summary.verdict
    if verdict is None:
        return []
    lines = [f"**{verdict.word}**: {plain(verdict.sentence, _SENTENCE)}", ""]
    if len(verdict.rules) > 1:
        rows = [(each.word, code(each.rule), plain(each.sentence, _SENTENCE)) for each in verdict.rules]
        lines += [*table(("verdict", "rule", "reason"), rows), ""]
    if verdict.stopped is not None:
        about = "; ".join(stopped_lines(verdict.stopped, summary.calls_under_way))
        lines += [plain(f"{about}.", _SENTENCE), ""]
    if summary.exit_note is not None:
        lines += [plain(summary.exit_note), ""]
    return lines


def _figures(figures: Figures, summary: Summary) -> list[str]:
    rows: list[Sequence[str]] = []
    interval = figures.interval
    if interval is not None:
        rows += [
            ("mean reward", f"**{interval.mean:.4f}**"),
            ("95 % interval", f"{interval.low:.4f} to {interval.high:.4f}"),
            ("answers", f"{interval.n} in {trajectories(interval.clusters)}"),
        ]
    rows += _until_mixed(figures.until_mixed)
    if figures.pass_rate is not None:
        mark = summary.subject.mark
        rows.append(("pass rate" if mark is None else f"pass rate at reward ≥ {mark:.12g}", f"{figures.pass_rate:.4f}"))
    rows += [(name, f"{n}") for name, n in (("passed", figures.passed), ("failed", figures.failed))]
    unneeded = 0 if figures.until_mixed is None else figures.until_mixed.not_run
    others = (
        ("errors", figures.errors),
        ("not run: mixed", unneeded),
        ("not run", figures.not_run - unneeded),
        ("skipped", figures.skipped),
    )
    rows += [(name, f"{n}") for name, n in others if n]
    if figures.flaky is not None and figures.flaky.pivots:
        rows.append(("passed only sometimes", count_of(len(figures.flaky.pivots), "pivot")))
    tokens, price = figures.tokens, summary.subject.price
    if figures.answers_with_tokens:
        rows.append(("tokens", f"{tokens.read:,} in, {tokens.written:,} out"))
        if price is not None:
            rows.append(("cost", f"{price.of(tokens.read, tokens.cached, tokens.written):.4f} {price.currency}"))
    return table(("figure", "value"), rows, right=(1,))


def _until_mixed(found: UntilMixed | None) -> list[Sequence[str]]:
    """Return rows on a run that asked until its pivots were mixed, whose mean over all answers would be biased."""
    if found is None:
        return []
    rows: list[Sequence[str]] = [
        ("pivots that are mixed", f"**{found.mixed}**"),
        ("pivots that only passed", f"{found.passed}"),
        ("pivots that only failed", f"{found.failed}"),
    ]
    first = found.first
    if first is not None:
        rows += [
            ("mean reward of the first repeats", f"{first.mean:.4f}"),
            ("95 % interval", f"{first.low:.4f} to {first.high:.4f}"),
        ]
    return rows


def _signatures(causes: Sequence[Cause], changed: Changed | None) -> list[str]:
    """Return how answers went wrong, what cost the most first, and what has changed since the baseline."""
    gone = () if changed is None else changed.gone
    lines: list[str] = []
    if causes:
        since = [] if changed is None else ["since the baseline"]
        head = ("what went wrong", "answers", "reward lost", *since, "example")
        rows = [_signature(cause, changed) for cause in causes[:_SIGNATURES]]
        if len(causes) > _SIGNATURES:  # where each function has causes of its own, the first ten say little
            sums = [
                (plain(group.heading), f"{group.count}", f"{group.lost:.4g}", f"{len(group.causes)}")
                for group in grouped(causes)
            ]
            lines += [
                "",
                *table(("what went wrong, in all", "answers", "reward lost", "causes"), sums, right=(1, 2, 3)),
            ]
            head = ("the costliest causes", *head[1:])
        lines += ["", *table(head, rows, right=(1, 2))]
        if len(causes) > _SIGNATURES:
            rest = causes[_SIGNATURES:]
            answers, lost = count_of(sum(cause.count for cause in rest), "answer"), sum(cause.lost for cause in rest)
            lines += ["", f"… and {count_of(len(rest), 'more cause')}, of {answers} and {lost:.4g} of the reward"]
    if gone:
        more = f"; and {len(gone) - _GONE} more" if len(gone) > _GONE else ""
        lines += ["", f"Gone since the baseline: {'; '.join(_what(cause.signature) for cause in gone[:_GONE])}{more}"]
    return lines


def _signature(cause: Cause, changed: Changed | None) -> list[str]:
    since = [] if changed is None else ["**new**" if cause.signature in changed.new else ""]
    return [_what(cause.signature), f"{cause.count}", f"{cause.lost:.4g}", *since, code(cause.example)]


def _what(signature: Signature) -> str:
    """Write a signature so that the name of a function is not taken for the words for what is no function."""
    texts = (signature.expected, signature.answered)
    one, other = (
        code(text) if is_call else plain(text) for text, is_call in zip(texts, signature.is_call, strict=True)
    )
    path = "" if signature.path is None else f" {code(signature.path)}"
    return f"{one if one == other else f'{one} → {other}'}{path}: {plain(signature.problem)}"


def _tools(figures: Figures) -> list[str]:
    worst = sorted((-failed, tool, graded) for tool, (graded, failed) in figures.tools.items() if failed)
    if not worst:
        return []
    rows = [(code(tool), f"{-failed}", f"{graded}") for failed, tool, graded in worst[:_TOOLS]]
    more = [f"… and {len(worst) - _TOOLS} more"] if len(worst) > _TOOLS else []
    return ["", *table(("worst tools", "failed", "graded"), rows, right=(1, 2)), *([""] if more else []), *more]


def _categories(figures: Figures) -> list[str]:
    ranked = sorted(figures.categories.items(), key=lambda pair: (-pair[1], pair[0]))
    if not ranked:
        return []
    rows = [(code(name), f"{count}") for name, count in ranked[:_CATEGORIES]]
    more = [f"… and {len(ranked) - _CATEGORIES} more"] if len(ranked) > _CATEGORIES else []
    shown = ["<details><summary>categories</summary>", "", *table(("category", "answers"), rows, right=(1,)), *more]
    return ["", *shown, "", "</details>"]


def _block(command: str) -> list[str]:
    return ["```sh", command.replace("```", "` ` `"), "```"]


def append(path: Path, lines: Sequence[str], room: int = MOST_BYTES) -> None:
    """Append lines to the file of a step, as far as it has room; the rest is counted. Raises OSError."""
    left = room - (path.stat().st_size if path.exists() else 0)
    kept: list[bytes] = []
    for number, line in enumerate(lines):
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        left -= len(data)
        if left < 0:
            kept.append(f"\n… and {count_of(len(lines) - number, 'line')} more\n".encode())
            break
        kept.append(data)
    with path.open("ab") as stream:
        stream.write(b"".join(kept))
