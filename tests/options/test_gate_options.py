"""The options of a gate: which texts are read as what, and what is refused in which words."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.options.gate import GateOptions, Group, read_gate
from pytest_fcpivot.options.table import OF_GATES, option_of

BASE = {"fc_baseline": ["b"], "fc_max_drop": "0.01"}


def read(*, sources: dict[str, str] | None = None, **given: Any) -> GateOptions | None:
    """Read options as they were typed, or as they come from other sources."""
    values = {dest: (given.get(dest), (sources or {}).get(dest, option_of(dest).flag)) for dest in OF_GATES}
    return read_gate(values, {dest: given.get(dest) or [] for dest in ("fc_fail_under", "fc_baseline")})


@pytest.mark.parametrize(
    ("text", "group", "least"),
    [
        ("0.80", Group("all"), Fraction(4, 5)),
        ("80%", Group("all"), Fraction(4, 5)),
        (".8", Group("all"), Fraction(4, 5)),
        ("1", Group("all"), Fraction(1)),
        ("79.95%", Group("all"), Fraction(7995, 10000)),
        ("pass:0.75", Group("pass"), Fraction(3, 4)),
        ("tool=get_booking:0.9", Group("tool", "get_booking"), Fraction(9, 10)),
        ("tool=mcp:get:0.9", Group("tool", "mcp:get"), Fraction(9, 10)),
        ("type=message:70%", Group("type", "message"), Fraction(7, 10)),
        ("data=a.jsonl:1%", Group("data", "a.jsonl"), Fraction(1, 100)),
        ("get_booking:0.9", Group("named", "get_booking"), Fraction(9, 10)),
    ],
)
def test_a_mark(text: str, group: Group, least: Fraction) -> None:
    """A mark is read exactly, and its group is what comes before the last colon."""
    gate = read(fc_fail_under=[text])
    assert gate is not None
    assert [(mark.group, mark.least.value) for mark in gate.marks] == [(group, least)]


def test_a_mark_for_a_condition() -> None:
    """A condition of --fc-where may have colons of its own."""
    gate = read(fc_fail_under=["where:metadata.kind=a:b:0.6"])
    assert gate is not None
    condition = gate.marks[0].group.condition
    assert condition is not None
    assert (condition.path, condition.value, gate.marks[0].text) == (
        ("kind",),
        "a:b",
        "where:metadata.kind=a:b:0.6",
    )


def test_one_mark_may_be_given_twice() -> None:
    """The same mark of one group, written in two ways, is one."""
    gate = read(fc_fail_under=["0.8", "80%", "tool=a:0.8"])
    assert gate is not None
    assert [mark.text for mark in gate.marks] == ["0.8", "tool=a:0.8"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fc_fail_under": ["abc"]}, "--fc-fail-under=abc: write the lowest mean reward, as in 0.80 or 80%, or GROUP:"),
        ({"fc_fail_under": [""]}, "--fc-fail-under=: write the lowest mean reward"),
        ({"fc_fail_under": ["nan"]}, "--fc-fail-under=nan: write the lowest mean reward"),
        ({"fc_fail_under": ["-0.5"]}, "--fc-fail-under=-0.5: write the lowest mean reward"),
        ({"fc_fail_under": ["0,8"]}, "--fc-fail-under=0,8: write the lowest mean reward"),
        ({"fc_fail_under": ["80"]}, "--fc-fail-under=80: must be from 0 to 1; write 0.80 or 80% if you mean that"),
        ({"fc_fail_under": ["1.5"]}, "--fc-fail-under=1.5: must be from 0 to 1; write 0.015 or 1.5% if you mean"),
        ({"fc_fail_under": ["800"]}, "--fc-fail-under=800: more than 1; write the lowest mean reward"),
        ({"fc_fail_under": ["101%"]}, "--fc-fail-under=101%: more than 100%"),
        ({"fc_fail_under": ["0"]}, "--fc-fail-under=0: the mark must be more than 0, since every run would pass"),
        ({"fc_fail_under": [":0.8"]}, "--fc-fail-under=:0.8: write the lowest mean reward"),
        ({"fc_fail_under": ["tool=:0.8"]}, "--fc-fail-under=tool=:0.8: write tool=NAME:MARK"),
        ({"fc_fail_under": ["type=call_s:0.8"]}, "--fc-fail-under=type=call_s:0.8: the types are message, call, "),
        ({"fc_fail_under": ["depth>=4:0.8"]}, "write any other condition as 'where:depth>=4:MARK'"),
        (
            {"fc_fail_under": ["where:colour=red:0.8"]},
            "--fc-fail-under=where:colour=red:0.8: there is no column colour; columns: id, split",
        ),
        (
            {"fc_fail_under": ["tool=a:0.8", "tool=a:0.9"]},
            "--fc-fail-under=tool=a:0.9: the mark of tool=a is 0.8 already; give one mark for each group",
        ),
        ({"fc_max_drop": "0.01"}, "--fc-max-drop=0.01: this needs --fc-baseline=RUN"),
        ({**BASE, "fc_max_drop": "-0.01"}, "--fc-max-drop=-0.01: a drop is not negative"),
        ({**BASE, "fc_max_drop": "1"}, "--fc-max-drop=1: rewards are from 0 to 1, so no drop would be larger"),
        ({**BASE, "fc_max_drop": "nan"}, "--fc-max-drop=nan: write how far the mean reward may fall"),
        ({"fc_baseline": [""]}, "--fc-baseline=: name a run's directory or a saved baseline"),
        ({**BASE, "fc_alpha": "0.6"}, "--fc-alpha=0.6: write a probability between 0 and 0.5"),
        ({**BASE, "fc_alpha": "0"}, "--fc-alpha=0: write a probability between 0 and 0.5"),
        ({"fc_alpha": "0.1"}, "--fc-alpha=0.1: this needs --fc-baseline=RUN to compare with"),
        (
            {**BASE, "fc_max_drop": "0", "fc_inconclusive": "fail"},
            "--fc-inconclusive=fail with --fc-max-drop=0: without any change, that would fail nine times in ten",
        ),
        ({**BASE, "fc_inconclusive": "no"}, "--fc-inconclusive=no: write pass, fail, or a drop"),
        ({**BASE, "fc_inconclusive": "0.01"}, "--fc-inconclusive=0.01: must be more than --fc-max-drop=0.01"),
        (
            {"fc_fail_under": ["0.8"], "fc_inconclusive": "0.05"},
            "--fc-inconclusive=0.05: a drop needs --fc-baseline=RUN and --fc-max-drop=DROP",
        ),
        ({"fc_stop_when_decided": "0.05"}, "--fc-stop-when-decided=0.05: this needs a gate: --fc-fail-under=MARK, or "),
        ({"fc_baseline": ["b"], "fc_stop_when_decided": "0.05"}, "--fc-stop-when-decided=0.05: this needs a gate"),
        ({"fc_fail_under": ["0.8"], "fc_stop_when_decided": "x"}, "--fc-stop-when-decided=x: write a probability"),
        ({"fc_gated_cases": "xfailed"}, "--fc-gated-cases=xfailed: this needs a gate"),
        ({"fc_fail_under": ["0.8"], "fc_gated_cases": "no"}, "--fc-gated-cases=no: choose failed or xfailed"),
        ({"fc_fail_under": ["0.8"], "fc_min_pivots": "0"}, "--fc-min-pivots=0: must be 1 or more"),
        ({"fc_fail_under": ["0.8"], "fc_min_pivots": "x"}, "--fc-min-pivots=x: a whole number is needed"),
        ({"fc_allow_errors": True}, "--fc-allow-errors: this needs --fc-save-baseline=NAME to save"),
        ({"fc_save_baseline": "latest"}, "--fc-save-baseline=latest: give the baseline a name of its own"),
        (
            {"fc_fail_under": ["0.8"], "fc_save_baseline": "m", "fc_stop_when_decided": "0.05"},
            "--fc-save-baseline and --fc-stop-when-decided: a run that stops early is no baseline",
        ),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    """An option that cannot be used is named with its value, and the message says what to write."""
    with pytest.raises(OptionError) as error:
        read(**given)
    assert str(error.value).startswith(message) or (not message.startswith("--") and message in str(error.value))


def test_options_of_the_ini_file_wait() -> None:
    """What needs another option is no error in an ini file or a run, and does nothing until that option is given."""
    alone = {"fc_max_drop": "0.01", "fc_inconclusive": "0.05", "fc_alpha": "0.1", "fc_gated_cases": "xfailed"}
    for source in ("ini {}", "run.json"):
        sources = {dest: source.format(dest) for dest in alone}
        assert read(sources=sources, **alone) is None
        gate = read(sources=sources, **alone, fc_baseline=["b"])
        assert gate is not None
        assert (gate.decides, gate.xfails, gate.alpha) == (True, True, 0.1)


def test_comparing_is_no_gate() -> None:
    """A baseline without a drop is compared with, and decides nothing."""
    gate = read(fc_baseline=["a", "b", "a"])
    assert gate is not None
    assert (gate.baselines, gate.decides) == (("a", "b"), False)
