"""The reward functions with a model that judges messages, as `--fc-judge` has it in an evaluation; both are async.

A message where a message is expected is shown to the judge, if the grader scores messages; all else is graded as by
`verl.compute_score` and `trl.reward`. A judge that gives no verdict ends the training: that is never a reward of 0.
"""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.integrations import trl, verl
from pytest_fcpivot.integrations.rewards import CONVERSATION, own_grader, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fcpivot.calls.caller import Caller
    from pytest_fcpivot.core.model import Action, Grade
    from pytest_fcpivot.graders.judge import Question
    from pytest_fcpivot.integrations.rewards import Outcome, Row

__all__ = ["compute_score", "reward"]

_JUDGES_KEPT = 8
_AT_ONCE = 16
_ADVICE = "export the rows again, with a grader that scores messages"


async def compute_score(
    data_source: Any,
    solution_str: Any,
    ground_truth: Any,
    extra_info: Any = None,
    *,
    grader: Any = None,
    settings: Mapping[str, Any] | None = None,
    pass_mark: float = 1.0,
    judge: str | None = None,
    judge_base_url: str | None = None,
    judge_key: str | None = None,
    judge_concurrency: int = _AT_ONCE,
    **kwargs: Any,
) -> dict[str, float | str]:
    """Grade the text that a policy generated, as `verl.compute_score` does, but have a model judge messages.

    `judge` is the model, `judge_base_url` the server, `judge_key` the environment variable with its key, as the options
    `--fc-judge…` say; `judge_concurrency` is the number of questions in flight, in each process. Raises what
    `verl.compute_score` and the judge raise, and OptionError for a grader that does not score messages.
    """
    chosen = own_grader(grader, settings, pass_mark)
    verl.refuse_unknown(kwargs, "grader, settings, pass_mark, judge, judge_base_url, judge_key, judge_concurrency")
    row, text = verl.row_of(data_source, solution_str, ground_truth, extra_info, chosen)
    caller = _caller(os.getpid(), judge, judge_base_url, judge_key, judge_concurrency)
    (outcome,) = await _judged(caller, [(row, row.read(text))], pass_mark)
    return verl.members_of(outcome)


async def reward(
    completions: Sequence[Any],
    *,
    grader: Any = None,
    settings: Mapping[str, Any] | None = None,
    pass_mark: float = 1.0,
    judge: str | None = None,
    judge_base_url: str | None = None,
    judge_key: str | None = None,
    judge_concurrency: int = _AT_ONCE,
    log_extra: Callable[[str, list[Any]], None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """Grade the completions of a batch, as `trl.reward` does, but have a model judge messages.

    `functools.partial` can fix the judge, by the arguments of `compute_score` here. Raises what `trl.reward` and the
    judge raise, and OptionError for a grader that does not score messages.
    """
    chosen = own_grader(grader, settings, pass_mark)
    rows = trl.rows_of(columns, len(completions), chosen)
    places = [place for place, row in enumerate(rows) if row is not None and completions[place] is not None]
    asked = [(row, row.read(completions[place])) for place in places if (row := rows[place]) is not None]
    caller = _caller(os.getpid(), judge, judge_base_url, judge_key, judge_concurrency)
    outcomes: list[Outcome | None] = [None] * len(completions)
    for place, outcome in zip(places, await _judged(caller, asked, pass_mark), strict=True):
        outcomes[place] = outcome
    return trl.told(outcomes, chosen, log_extra, log_metric)


async def _judged(caller: Caller, asked: Sequence[tuple[Row, Action]], pass_mark: float) -> list[Outcome]:
    """Return the outcomes of actions, in whose order the judge is asked about messages, many at once."""
    questions = [_question(row, action) for row, action in asked]
    calls = [None if question is None else caller.start(question) for question in questions]
    outcomes = []
    for (row, action), call in zip(asked, calls, strict=True):
        grade: Callable[[], Grade] = partial(row.grader.grade, row.expected, action)
        if call is not None:
            try:
                verdict = await asyncio.to_thread(caller.finish, call)
            except Exception as error:
                error.add_note(f"The judge gave no verdict on the answer at {row.place}.")
                raise
            score: Any = row.grader
            texts = row.expected.message or "", action.message or ""
            grade = partial(score.grade_message, *texts, verdict.score, verdict.reason)
        outcomes.append(row.graded(action, grade, pass_mark))
    return outcomes


def _question(row: Row, action: Action) -> Question | None:
    """Return the question about an action; None unless it is a non-blank message where a message is expected."""
    if not hasattr(row.grader, "grade_message"):
        raise OptionError(
            f"{row.place}: {row.grader.name} does not score messages, so there is nothing to judge; use the reward "
            "function without a judge, or a grader that does (agentic)"
        )
    if row.expected.calls or action.calls or not (action.message or "").strip():
        return None
    from pytest_fcpivot.graders.judge import Question  # noqa: PLC0415 (the judge is loaded when it is needed)

    talk = text_of(row.conversation, CONVERSATION, row.place, _ADVICE)
    return Question(talk, row.expected.message or "", action.message or "")


@lru_cache(maxsize=_JUDGES_KEPT)
def _caller(process: int, model: str | None, base_url: str | None, key: str | None, at_once: int) -> Caller:  # noqa: ARG001
    """Return what asks a judge; a forked process gets one of its own, since threads do not survive a fork."""
    from pytest_fcpivot.calls.caller import Caller  # noqa: PLC0415 (as the judge)
    from pytest_fcpivot.calls.retry import RetryPolicy  # noqa: PLC0415
    from pytest_fcpivot.graders.judge import DEFAULT_MODEL, Judge  # noqa: PLC0415

    asked = Judge(model or DEFAULT_MODEL, base_url=base_url, key_variable=key)
    return Caller(asked, concurrency=at_once, policy=RetryPolicy.chosen(asked, None, None), who="judge")
