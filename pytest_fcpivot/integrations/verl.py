"""The reward function for verl: `reward.custom_reward_function.path=pkg://pytest_fcpivot.integrations.verl`.

docs/training.md says how to use it. verl itself is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError, DataError, OptionError
from pytest_fcpivot.integrations.rewards import Row, own_grader, plain, text_of

if TYPE_CHECKING:
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.integrations.rewards import Outcome

__all__ = ["compute_score"]

GROUND_TRUTH = "reward_model.ground_truth"

_ADVICE = "train on the rows that `fcpivot export --to verl` writes"
# Passed by verl to every reward function once a reward model is served; a grade needs neither.
_OF_VERL = frozenset(("reward_router_address", "reward_model_tokenizer"))
# What verl counts for one question and one answer.
_ONE_ANSWER = 2


def compute_score(
    data_source: Any,
    solution_str: Any,
    ground_truth: Any,
    extra_info: Any = None,
    *,
    grader: Any = None,
    settings: Mapping[str, Any] | None = None,
    pass_mark: float = 1.0,
    **kwargs: Any,
) -> dict[str, float | str]:
    """Grade the text that a policy generated at a pivot, as the evaluation does.

    `ground_truth` and `extra_info` are those of the exported row. `grader`, `settings` and `pass_mark` come from
    `custom_reward_function.reward_kwargs`: a grader in place of the row's (a name, or `module:attribute`), its
    settings, and the lowest reward that counts as passed. The result has the same members for each row, as verl needs
    them: `score`, the reward; `acc`, 1.0 if it reaches the pass mark, else 0.0; `category`; `calls`, their number;
    `message` and `malformed`, 1.0 for an answer that is a message, or a call that cannot be read.

    Raises DataError for a row that is not understood, OptionError for an unknown setting, GraderError for an unknown
    grader, ActionError for an answer that is no text or has several turns. It never turns such a fault into a reward.
    """
    chosen = own_grader(grader, settings, pass_mark)
    refuse_unknown(kwargs, "grader, settings, pass_mark")
    row, text = row_of(data_source, solution_str, ground_truth, extra_info, chosen)
    return members_of(row.outcome(text, pass_mark))


def refuse_unknown(given: Mapping[str, Any], known: str) -> None:
    """Raise OptionError for arguments that neither verl passes by itself nor the function knows."""
    unknown = sorted(given.keys() - _OF_VERL)
    if unknown:
        raise OptionError(f"unknown reward_kwargs: {', '.join(unknown)}; known: {known}")


def row_of(
    data_source: Any, solution_str: Any, ground_truth: Any, extra_info: Any, grader: Grader | None
) -> tuple[Row, str]:
    """Return what a row says about the grading, and the text to grade; raises as `compute_score` does."""
    about = plain(extra_info)
    if not isinstance(about, Mapping):
        raise DataError(f"extra_info is of type {type(about).__name__}, but must be the row's object; {_ADVICE}")
    place = f"pivot {about.get('pivot_id') or '?'} of {plain(data_source)}"
    turns = plain(about.get("num_turns"))
    if isinstance(turns, int) and turns > _ONE_ANSWER:
        raise ActionError(
            f"{place}: the answer has several turns (num_turns is {turns}), but a pivot is one action; train without "
            "multi-turn rollouts"
        )
    text = text_of(solution_str, "solution_str", place, "verl passes the decoded answer")
    texts = {**about, GROUND_TRUTH: ground_truth}
    return Row.of(texts, expected=GROUND_TRUTH, grader=grader, place=place, advice=_ADVICE), text


def members_of(outcome: Outcome) -> dict[str, float | str]:
    """Return what verl is told about an answer."""
    return {
        "score": outcome.reward,
        "acc": float(outcome.passed),
        "category": str(outcome.grade.category),
        **outcome.form,
    }
