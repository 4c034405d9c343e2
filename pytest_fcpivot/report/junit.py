"""Work with pytest's JUnit reporter: suite properties with the figures, cases to be dropped, and write errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.answer_flags import FLAGS
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.graders.settings_text import shown_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_fcpivot.report.summary import Figures, Subject
    from pytest_fcpivot.runs.gate import Verdict


class WrittenCase:
    """A test case in pytest's JUnit reporter, which can be dropped."""

    def __init__(self, reporter: Any, report: pytest.TestReport) -> None:
        self._reporter = reporter
        self._case = reporter.node_reporter(report)

    @property
    def has_name(self) -> bool:
        """Whether the case has a name, which pytest sets only for a result."""
        return "name" in getattr(self._case, "attrs", ())

    def drop(self) -> None:
        """Take the case out of the file."""
        self._reporter.node_reporters_ordered.remove(self._case)
        by_test = self._reporter.node_reporters
        for key in [key for key, case in by_test.items() if case is self._case]:
            del by_test[key]


def written_cases(config: pytest.Config, report: pytest.TestReport) -> Iterator[WrittenCase]:
    """Yield the case of a report, if a JUnit file is written."""
    for plugin in config.pluginmanager.get_plugins():
        by_test, in_order = getattr(plugin, "node_reporters", None), getattr(plugin, "node_reporters_ordered", None)
        if isinstance(by_test, dict) and isinstance(in_order, list):
            yield WrittenCase(plugin, report)


def forget(config: pytest.Config, report: pytest.TestReport) -> None:
    """Remove a report that is not a result from pytest's JUnit reporter, which would write a nameless case for it.

    A case with a name belongs to a result, and stays.
    """
    for case in written_cases(config, report):
        if not case.has_name:
            case.drop()


def guard_writing(config: pytest.Config, on_error: Callable[[OSError], None]) -> None:
    """Call `on_error` if pytest's JUnit reporter cannot write its file, instead of ending in a bare traceback.

    With the traceback, pytest would skip the rest of its end, such as tearing down session fixtures and the summary,
    and would exit with 1, as if there were results. There is no hook around the writing, so the reporter's function is
    wrapped.
    """
    for implementation in config.hook.pytest_sessionfinish.get_hookimpls():
        if hasattr(implementation.plugin, "node_reporters_ordered"):
            write = implementation.function

            def guarded(*args: Any, write: Any = write, reporter: Any = implementation.plugin) -> None:
                try:
                    write(*args)
                except OSError as error:
                    for hook in config.hook.pytest_terminal_summary.get_hookimpls():
                        if hook.plugin is reporter:
                            hook.function = _say_nothing  # type: ignore[misc] # it would report that the file was written
                    on_error(error)

            implementation.function = guarded  # type: ignore[misc] # pluggy calls what this attribute holds


def _say_nothing(*_: object) -> None:
    pass


def suite_writers(config: pytest.Config) -> list[Callable[[str, object], None]]:
    """Return what adds a property to the suite of each of pytest's JUnit reporters; empty if no file is written.

    pytest's fixture for this, `record_testsuite_property`, does not work across workers.
    """
    found = (getattr(plugin, "add_global_property", None) for plugin in config.pluginmanager.get_plugins())
    return [add for add in found if callable(add)]


def suite_properties(subject: Subject, figures: Figures) -> dict[str, object]:
    """Return the suite properties (`fc.…`) by name."""
    grader, judge, interval = subject.grader, subject.judge, figures.interval
    properties: dict[str, object] = {"fc.grader": grader["name"]}
    if grader["settings"]:
        properties["fc.grader_settings"] = shown_settings(grader["settings"])
    if "cause" in grader:
        properties["fc.grader_settings_cause"] = one_line(grader["cause"], 400)
    properties |= {"fc.graded": figures.graded, "fc.errors": figures.errors, "fc.not_run": figures.not_run}
    for name in FLAGS:
        if figures.flags.get(name):
            properties[f"fc.{name}"] = figures.flags[name]
    if interval is not None:
        properties["fc.mean_reward"] = interval.mean
        properties["fc.mean_reward_low"] = round(interval.low, 6)
        properties["fc.mean_reward_high"] = round(interval.high, 6)
        properties["fc.pass_rate"] = figures.pass_rate
    if figures.until_mixed is not None:
        found = figures.until_mixed
        properties |= {"fc.not_run_mixed": found.not_run, "fc.mixed_pivots": found.mixed}
        if found.first is not None:
            properties["fc.mean_reward_of_first_repeats"] = found.first.mean
    if subject.mark is not None:
        properties["fc.pass_mark"] = subject.mark
    if judge is not None:
        properties["fc.judge"] = judge.get("model") or "keyword overlap"
    return properties


def verdict_properties(verdict: Verdict) -> dict[str, object]:
    """Return the suite properties of a gate's verdict: its word, its sentence, and a line for each rule."""
    properties: dict[str, object] = {"fc.verdict": verdict.word, "fc.verdict_sentence": verdict.sentence}
    for number, each in enumerate(verdict.rules, 1):
        properties[f"fc.verdict_{number}"] = f"{each.word} {each.rule}: {each.sentence}"
    return properties
