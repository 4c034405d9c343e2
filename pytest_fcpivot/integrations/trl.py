"""The reward function for TRL: `GRPOTrainer(reward_funcs=reward, …)`.

docs/training.md says how to use it. TRL itself is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.integrations.rewards import CONVERSATION, DIALECT, GRADER, TOOLS, Row, own_grader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.integrations.rewards import Outcome

__all__ = ["reward"]

EXPECTED = "expected_action"

_ADVICE = "train on the rows that `fcpivot export --to trl` writes, with all their columns"


def reward(
    completions: Sequence[Any],
    *,
    grader: Any = None,
    settings: Mapping[str, Any] | None = None,
    pass_mark: float = 1.0,
    log_extra: Callable[[str, list[Any]], None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """Grade the completions of a batch, as the evaluation does; returns one reward from 0 to 1 for each.

    A completion is a text, or a list of messages that begins with the assistant's. `columns` are those of the exported
    rows, one value for each completion. `functools.partial` can fix `grader` (a grader in place of the rows', by name
    or itself), its `settings`, and `pass_mark`, the lowest reward that counts as passed. Through `log_extra`, each
    completion's category and outcome are shown in TRL's table of completions; through `log_metric`, the shares of
    answers that pass, are messages, and are calls that cannot be read, and the number of calls are logged as means.

    The reward is None, which TRL leaves out of a group's mean, for a completion that is None, and for a row in which
    all columns of a pivot are empty, since it belongs to another task. Raises DataError for any other row that is not
    understood, GraderError for an unknown grader, and ActionError for a completion that is not understood. It never
    turns such a fault into a reward.
    """
    chosen = own_grader(grader, settings, pass_mark)
    outcomes = [
        None if row is None or completion is None else row.outcome(completion, pass_mark)
        for row, completion in zip(rows_of(columns, len(completions), chosen), completions, strict=True)
    ]
    return told(outcomes, chosen, log_extra, log_metric)


def told(
    outcomes: list[Outcome | None],
    chosen: Grader | None,
    log_extra: Callable[[str, list[Any]], None] | None,
    log_metric: Callable[[str, float], None] | None,
) -> list[float | None]:
    """Log what TRL is told about completions, and return their rewards."""
    # With a grader of its own, a function may stand beside the plain one, and TRL would mix what both log by one name.
    beside = "" if chosen is None else f"{chosen.name}/"
    if log_extra is not None:
        categories = [None if outcome is None else str(outcome.grade.category) for outcome in outcomes]
        log_extra(f"{beside}category", categories)
        log_extra(f"{beside}passed", [None if outcome is None else outcome.passed for outcome in outcomes])
    if log_metric is not None:
        for name, mean in _means([outcome for outcome in outcomes if outcome is not None]).items():
            log_metric(f"fcpivot/{beside}{name}", mean)
    return [None if outcome is None else outcome.reward for outcome in outcomes]


def rows_of(columns: Mapping[str, Any], count: int, grader: Grader | None) -> list[Row | None]:
    """Return what each row says about the grading, None for one of another task; raises as `reward` does."""
    needed = (EXPECTED, TOOLS, DIALECT) if grader is not None else (EXPECTED, TOOLS, DIALECT, GRADER)
    values = {name: _column(columns, name, count) for name in needed}
    ids = _column(columns, "pivot_id", count) if "pivot_id" in columns else [None] * count
    talks = _column(columns, CONVERSATION, count) if CONVERSATION in columns else [None] * count
    rows: list[Row | None] = []
    for number in range(count):
        texts = {name: column[number] for name, column in values.items()}
        if all(text is None for text in texts.values()):
            rows.append(None)
            continue
        place = f"completion {number + 1} of {count}, pivot {ids[number] or '?'}"
        texts[CONVERSATION] = talks[number]
        rows.append(Row.of(texts, expected=EXPECTED, grader=grader, place=place, advice=_ADVICE))
    return rows


def _column(columns: Mapping[str, Any], name: str, count: int) -> Sequence[Any]:
    if name not in columns:
        raise DataError(f"the data have no column {name}; {_ADVICE} (remove_unused_columns=False)")
    values = columns[name]
    if isinstance(values, str | bytes) or not hasattr(values, "__getitem__") or not hasattr(values, "__len__"):
        raise DataError(f"the column {name} is of type {type(values).__name__}, but must be a list; {_ADVICE}")
    if len(values) != count:
        raise DataError(f"the column {name} has {len(values)} values for {count} completions")
    found: Sequence[Any] = values
    return found


def _means(outcomes: list[Outcome]) -> dict[str, float]:
    """Return the share of answers that passed, and the means of what tells their form; none of no answer."""
    if not outcomes:
        return {}
    each = [{"passed": float(outcome.passed), **outcome.form} for outcome in outcomes]
    return {name: sum(values[name] for values in each) / len(each) for name in each[0]}
