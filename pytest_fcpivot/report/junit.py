"""The aggregate as properties of the JUnit suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.answer_flags import CUT_OFF, MALFORMED, NO_ARGUMENTS, ONE_OF_SEVERAL_CHOICES, REFUSED_CALL
from pytest_fcpivot.jsontext import printable
from pytest_fcpivot.report.grader import shown_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_fcpivot.results import Tally


def forget(config: pytest.Config, report: pytest.TestReport) -> None:
    """Keep a report that is no result out of pytest's JUnit reporter, which would write a case without a name for it.

    A test's case that has its name was written for a result, and stays.
    """
    for plugin in config.pluginmanager.get_plugins():
        by_test, in_order = getattr(plugin, "node_reporters", None), getattr(plugin, "node_reporters_ordered", None)
        if not isinstance(by_test, dict) or not isinstance(in_order, list):
            continue
        case = plugin.node_reporter(report)
        if "name" in getattr(case, "attrs", ()):
            continue
        in_order.remove(case)
        for key in [key for key, reporter in by_test.items() if reporter is case]:
            del by_test[key]


def write_suite_properties(
    config: pytest.Config,
    tally: Tally,
    mark: float | None,
    judge: Mapping[str, Any] | None,
    grader: Mapping[str, Any],
) -> None:
    """Give the aggregate to pytest's JUnit reporter, if there is one; before it writes its file.

    `mark` is the pass mark of a grader with other rewards than 0 and 1, `judge` says who scored messages, and `grader`
    what graded, as run.json does.
    The fixture that pytest has for this, `record_testsuite_property`, does not cross from workers to the controller.
    """
    interval = tally.mean_reward()
    properties: dict[str, object] = {"fc.grader": grader["name"]}
    if grader["settings"]:
        properties["fc.grader_settings"] = shown_settings(grader["settings"])
    if "cause" in grader:
        properties["fc.grader_settings_cause"] = printable(grader["cause"])
    properties |= {"fc.graded": tally.graded, "fc.errors": tally.errors}
    for name in (MALFORMED, REFUSED_CALL, CUT_OFF, NO_ARGUMENTS, ONE_OF_SEVERAL_CHOICES):
        if tally.flags[name]:
            properties[f"fc.{name}"] = tally.flags[name]
    if interval is not None:
        properties["fc.mean_reward"] = interval.mean
        properties["fc.mean_reward_low"] = round(interval.low, 6)
        properties["fc.mean_reward_high"] = round(interval.high, 6)
        properties["fc.pass_rate"] = tally.pass_rate
    if mark is not None:
        properties["fc.pass_mark"] = mark
    if judge is not None:
        properties["fc.judge"] = judge.get("model") or "keyword overlap"
    for plugin in config.pluginmanager.get_plugins():
        add = getattr(plugin, "add_global_property", None)
        if callable(add):
            for name, value in properties.items():
                add(name, value)
