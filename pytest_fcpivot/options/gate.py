"""The options of a gate: marks, groups, drops, and what to do about verdicts that are not clear."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.data.selection import Condition, parse_condition
from pytest_fcpivot.options.table import FALSE, FROM_RUN, LATEST, TRUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_MIN_PIVOTS = 30
DEFAULT_ALPHA = 0.05
_MOST_ALPHA = 0.5
_NUMBER = re.compile(r"(\d{0,30}(?:\.\d{0,30})?)\s*(%?)")
_CALLS, _MESSAGE = "call", "message"
TYPES = (_MESSAGE, _CALLS, "function_call", "function_call_batch")
PASS, WHERE = "pass", "where"
_KEYS = ("tool", "type", "data")

Kind = Literal["all", "pass", "tool", "type", "data", "where", "named"]


@dataclass(frozen=True, slots=True)
class Share:
    """A number from 0 to 1 with the text that it was written as, which is exact."""

    text: str
    value: Fraction


@dataclass(frozen=True, slots=True)
class Group:
    """The pivots that a mark is for.

    `kind` all: every pivot; pass: every pivot, by the pass rate in place of the mean reward; tool, type and data: those
    with this first expected tool, expected type or data file; where: those that meet `condition`; named: a tool, type
    or data file of this name, which has to be found in the data.
    """

    kind: Kind
    value: str = ""
    condition: Condition | None = None

    @property
    def text(self) -> str:
        """The group as it is written in the option; "" for all pivots."""
        if self.kind in ("all", "pass"):
            return "" if self.kind == "all" else PASS
        if self.kind == "where":
            return f"{WHERE}:{self.value}"
        return self.value if self.kind == "named" else f"{self.kind}={self.value}"


@dataclass(frozen=True, slots=True)
class Mark:
    """The lowest mean reward (or pass rate) that a group needs."""

    group: Group
    least: Share

    @property
    def text(self) -> str:
        """The mark as it is written in the option."""
        return f"{self.group.text}:{self.least.text}" if self.group.text else self.least.text


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """The options of a gate and of comparisons.

    `baselines` are the runs to compare with, as they were named. `inconclusive`: what an INCONCLUSIVE verdict does; a
    Share: it fails if a larger drop is still possible. `xfails`: wrong answers are reported as xfailed tests.
    `save` names the baseline to save. `stop_alpha`: the session stops when the verdict is certain but for this
    probability. `..._from` is an option's source, for messages.
    """

    marks: tuple[Mark, ...] = ()
    marks_from: str = ""
    min_pivots: int = DEFAULT_MIN_PIVOTS
    baselines: tuple[str, ...] = ()
    baselines_from: str = ""
    max_drop: Share | None = None
    alpha: float = DEFAULT_ALPHA
    inconclusive: Literal["pass", "fail"] | Share = "pass"
    xfails: bool = False
    save: str | None = None
    save_from: str = ""
    allow_errors: bool = False
    stop_alpha: float | None = None

    @property
    def decides(self) -> bool:
        """Whether there is a gate: something that may fail."""
        return bool(self.marks) or self.max_drop is not None


def read_gate(values: Mapping[str, tuple[Any, str]], lists: Mapping[str, Sequence[str]]) -> GateOptions | None:
    """Check the options of a gate; None if there is nothing to decide, compare or save.

    `values` has each option's raw value (None if it was not given) and its source, `lists` those of options that may be
    given several times. Raises OptionError, which says what was wrong and what to write. An option that needs another
    one may be alone in an ini file, where it waits for a session that has both.
    """
    marks_from = values["fc_fail_under"][1]
    marks = _marks(lists["fc_fail_under"], marks_from)
    baselines = tuple(dict.fromkeys(lists["fc_baseline"]))
    baselines_from = values["fc_baseline"][1]
    if "" in baselines:
        raise OptionError(f"{baselines_from}=: name a run's directory or a saved baseline, or leave out the =")
    max_drop = _max_drop(*values["fc_max_drop"])
    if max_drop is not None and not baselines:
        _needs(values, "fc_max_drop", "--fc-baseline=RUN, the run that the mean reward may not fall from")
        max_drop = None
    gated = bool(marks) or max_drop is not None
    if not gated:
        for dest in ("fc_inconclusive", "fc_gated_cases", "fc_stop_when_decided", "fc_min_pivots"):
            _needs(values, dest, "a gate: --fc-fail-under=MARK, or --fc-baseline=RUN with --fc-max-drop=DROP")
    if not baselines:
        _needs(values, "fc_alpha", "--fc-baseline=RUN to compare with")
    save, save_from = values["fc_save_baseline"]
    if save is None:
        _needs(values, "fc_allow_errors", "--fc-save-baseline=NAME to save")
    elif save in ("", LATEST):
        raise OptionError(f"{save_from}={save}: give the baseline a name of its own, as in main")
    stop_alpha = _alpha(*values["fc_stop_when_decided"]) if gated else None
    if save is not None and stop_alpha is not None:
        raise OptionError(
            f"{save_from} and {values['fc_stop_when_decided'][1]}: a run that stops early is no baseline; choose one"
        )
    found = GateOptions(
        marks=marks,
        marks_from=marks_from,
        min_pivots=_min_pivots(*values["fc_min_pivots"]),
        baselines=baselines,
        baselines_from=baselines_from,
        max_drop=max_drop,
        alpha=_alpha(*values["fc_alpha"]) or DEFAULT_ALPHA,
        inconclusive=_inconclusive(*values["fc_inconclusive"], max_drop),
        xfails=gated and _choice(*values["fc_gated_cases"], "failed", "xfailed") == "xfailed",
        save=save,
        save_from=save_from,
        allow_errors=_truth(*values["fc_allow_errors"]),
        stop_alpha=stop_alpha,
    )
    return found if gated or baselines or save is not None else None


def parse_share(text: str, where: str, form: str) -> Share:
    """Read a number from 0 to 1, or a percentage; raises OptionError, which asks for `form`, for anything else."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[1] in ("", "."):
        raise OptionError(f"{where}: {form}")
    number, percent = Fraction(f"{'0' if found[1].startswith('.') else ''}{found[1].rstrip('.')}"), found[2] == "%"
    value = number / 100 if percent else number
    if percent and value > 1:
        raise OptionError(f"{where}: more than 100%; {form}")
    if number > 1 and not percent:
        whole = found[1].rstrip(".")
        if number <= 100:  # noqa: PLR2004 (per cent)
            raise OptionError(
                f"{where}: must be from 0 to 1; write {_as_share(number / 100)} or {whole}% if you mean that"
            )
        raise OptionError(f"{where}: more than 1; {form}")
    return Share(text.strip(), value)


def _as_share(value: Fraction) -> str:
    text = f"{float(value):.12f}".rstrip("0")
    return f"{text}0" if len(text) < len("0.00") else text


def _marks(texts: Sequence[str], where: str) -> tuple[Mark, ...]:
    """Read the marks; raises OptionError also for two different marks of one group."""
    marks: dict[str, Mark] = {}
    for text in texts:
        mark = _mark(text, where)
        earlier = marks.setdefault(mark.group.text, mark)
        if earlier.least.value != mark.least.value:
            whose = f"of {mark.group.text}" if mark.group.text else "of all pivots"
            raise OptionError(
                f"{where}={text}: the mark {whose} is {earlier.least.text} already; give one mark for each group"
            )
    return tuple(marks.values())


def _mark(text: str, where: str) -> Mark:
    source = f"{where}={text}"
    name, colon, number = text.rpartition(":")
    form = (
        "write the lowest mean reward, as in 0.80 or 80%, or GROUP:MARK, as in tool=get_booking:0.9, type=message:0.7, "
        "'where:depth>=4:0.6' or pass:0.75"
    )
    least = parse_share(number, source, form)
    if least.value == 0:
        raise OptionError(f"{source}: the mark must be more than 0, since every run would pass")
    if colon and not name.strip():
        raise OptionError(f"{source}: {form}")
    return Mark(_group(name.strip(), source), least)


def _group(name: str, source: str) -> Group:
    if not name:
        return Group("all")
    if name == PASS:
        return Group("pass")
    head, colon, rest = name.partition(":")
    if head == WHERE and colon:
        try:
            condition = parse_condition(rest, source)
        except OptionError as error:
            raise OptionError(str(error).replace(f"{source}={rest}", source, 1)) from None
        return Group("where", rest.strip(), condition)
    key, equals, value = name.partition("=")
    if equals and key in _KEYS:
        if key == "type" and value not in TYPES:
            raise OptionError(f"{source}: the types are {', '.join(TYPES)}")
        if not value:
            raise OptionError(f"{source}: write {key}=NAME:MARK")
        return Group("tool" if key == "tool" else "type" if key == "type" else "data", value)
    if re.match(r"[\w.-]+\s*(!=|[<>]=?|=)", name):
        raise OptionError(
            f"{source}: groups are tool=NAME, type=TYPE, data=FILE and pass; write any other condition as "
            f"'{WHERE}:{name}:MARK'"
        )
    return Group("named", name)


def _max_drop(text: str | None, where: str) -> Share | None:
    if text is None:
        return None
    form = "write how far the mean reward may fall, as in 0.01 or 1%; 0 allows no drop"
    if text.strip().startswith("-"):
        raise OptionError(f"{where}={text}: a drop is not negative; {form}")
    drop = parse_share(text, f"{where}={text}", form)
    if drop.value == 1:
        raise OptionError(f"{where}={text}: rewards are from 0 to 1, so no drop would be larger; {form}")
    return drop


def _inconclusive(text: str | None, where: str, max_drop: Share | None) -> Literal["pass", "fail"] | Share:
    if text is None or text == "pass":
        return "pass"
    if text == "fail":
        if max_drop is not None and max_drop.value == 0:
            raise OptionError(
                f"{where}=fail with --fc-max-drop={max_drop.text}: without any change, that would fail nine times in "
                "ten, since no run can rule out every drop; allow a small drop, as in --fc-max-drop=0.01, or write the "
                f"drop that must be ruled out, as in {where}=0.05"
            )
        return "fail"
    form = "write pass, fail, or a drop that must be ruled out, as in 0.05"
    drop = parse_share(text, f"{where}={text}", form)
    if max_drop is None:
        if _waits(where):
            return "pass"
        raise _lacks(
            where, text, "a drop needs --fc-baseline=RUN and --fc-max-drop=DROP; otherwise choose pass or fail"
        )
    if drop.value <= max_drop.value:
        raise OptionError(
            f"{where}={text}: must be more than --fc-max-drop={max_drop.text}: as long as that drop is possible, the "
            "verdict is INCONCLUSIVE anyway; write fail to fail then"
        )
    return drop


def _alpha(text: str | None, where: str) -> float | None:
    if text is None:
        return None
    form = f"write a probability between 0 and {_MOST_ALPHA}, as in 0.05"
    value = float(parse_share(text, f"{where}={text}", form).value)
    if not 0 < value < _MOST_ALPHA:
        raise OptionError(f"{where}={text}: {form}")
    return value


def _min_pivots(text: str | None, where: str) -> int:
    if text is None:
        return DEFAULT_MIN_PIVOTS
    try:
        number = int(text)
    except ValueError:
        raise OptionError(f"{where}={text}: a whole number is needed") from None
    if number < 1:
        raise OptionError(f"{where}={text}: must be 1 or more")
    return number


def _choice(value: str | None, where: str, *choices: str) -> str | None:
    if value is not None and value not in choices:
        raise OptionError(f"{where}={value}: choose {' or '.join(choices)}")
    return value


def _truth(value: Any, where: str) -> bool:
    text = str(value or "").lower()
    if text not in TRUE | FALSE:
        raise OptionError(f"{where}={value}: choose true or false")
    return text in TRUE


def _needs(values: Mapping[str, tuple[Any, str]], dest: str, what: str) -> None:
    """Raise OptionError for an option that does nothing without others, unless it waits for them."""
    value, where = values[dest]
    if value is not None and not _waits(where):
        raise _lacks(where, value, f"this needs {what}")


def _lacks(where: str, value: Any, what: str) -> OptionError:
    return OptionError(f"{where}={value}: {what}" if isinstance(value, str) else f"{where}: {what}")


def _waits(where: str) -> bool:
    return where.startswith("ini ") or where == FROM_RUN
