"""Grade what an agent returned: read the action, check its schemas, and ask the grader or the judge of messages."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import AgentError, GraderError, WrongAction
from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.core.model import Action, Grade, SchemaVerdict
from pytest_fcpivot.core.shapes import read_output
from pytest_fcpivot.graders import is_bundled, passes
from pytest_fcpivot.graders.categories import SCHEMA_INVALID
from pytest_fcpivot.report.failure import explain_error, explain_wrong_action
from pytest_fcpivot.runs.output import refuse_too_long
from pytest_fcpivot.runs.record import shown_category
from pytest_fcpivot.schema.toolset import tool_set
from pytest_fcpivot.session.case import FIRST_GRADED, NOT_ASKED, case_of
from pytest_fcpivot.session.first_grades import first_grade, why_not_kept
from pytest_fcpivot.session.judging import JudgeRaisedError
from pytest_fcpivot.session.stopping import stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.core.shapes import Reading
    from pytest_fcpivot.runs.answers import FirstGrade
    from pytest_fcpivot.schema.toolset import ToolSet
    from pytest_fcpivot.session.case import Case
    from pytest_fcpivot.session.datasets import Dataset
    from pytest_fcpivot.session.judging import Judging
    from pytest_fcpivot.session.plan import Plan

_BAD_ARGUMENTS = frozenset(("invalid", "unknown-tool"))


class Grading:
    """Grades the answers of the tests in this process with the plan's grader, and messages with the judge, if any."""

    def __init__(self, plan: Plan, judging: Judging | None) -> None:
        self._plan = plan
        self._judging = judging

    def check_gradable(self, dataset: Dataset) -> None:
        """Raise CollectError for data that the grader cannot judge, before any call is paid for."""
        grader, redact = self._plan.grader, self._plan.redact
        sizes = {len(entry.expected_names) for entry in dataset.entries}
        try:
            refused = {size for size in sizes if not grader.accepts(size)}
        except GraderError as error:
            raise pytest.Collector.CollectError(on_screen(redact(str(error)))) from error
        beyond = [entry for entry in dataset.entries if len(entry.expected_names) in refused]
        if beyond:
            what = {"message": "a message", "function_call": "one call"}.get(beyond[0].expected_type)
            several = f"expect {what or 'several calls at once'} (the first: {beyond[0].id})"
            alike = [entry for entry in beyond if entry.expected_type == beyond[0].expected_type]
            advice = "pass --fc-grader=nemo-gym:any-order" if is_bundled(grader.name) else "choose another grader"
            raise pytest.Collector.CollectError(
                on_screen(f"{dataset.label}: {len(alike)} pivots {several}, which {grader.name} cannot judge; {advice}")
            )

    def action_of(self, case: Case) -> Action:
        """Read a case's output as an action; raises ActionError for an output that is not one.

        Raises AgentError for a stored output with a secret replaced by *** and no grade to keep.
        """
        first = first_grade(case, self.differing)
        if first:
            return first.action
        case.reading = read_output(case.output)
        return self._read(case.output, tool_set(case.pivot.tools_json), case.reading)

    @cached_property
    def differing(self) -> tuple[str, ...]:
        """The names of what differs between this session and the run that it replays, and may change grades."""
        plan = self._plan
        if plan.stored is None or not plan.stored.is_run or not plan.replays:
            return ()  # to resume a run with another grader or other data is refused
        return why_not_kept(plan.stored.description, plan.describe())

    def _read(self, output: Any, tools: ToolSet, reading: Reading | None = None) -> Action:
        empty = self._plan.options.empty_arguments
        action = to_action(output, tools.names, empty_arguments=empty, reading=reading)
        refuse_too_long(action)
        return action

    def grader_for(self, node: pytest.Item, pivot: Pivot) -> Callable[[Any], Grade]:
        """Return the function that grades a test's action."""

        def fc_grade(action: Any) -> Grade:
            __tracebackhide__ = True
            return self._grade(node, pivot, action)

        return fc_grade

    def _grade(self, node: pytest.Item, pivot: Pivot, output: Any) -> Grade:
        __tracebackhide__ = True
        tools = tool_set(pivot.tools_json)
        case = case_of(node, pivot)
        if FIRST_GRADED in node.stash:
            return self._grade_again(node, case)
        if case.stored is not None and case.stored.first is not None:
            return self._keep_first_grade(node, case, case.stored.first)
        action = output if isinstance(output, Action) and output is case.action else self._read(output, tools)
        case.action, case.grade = action, None
        if case.output is NOT_ASKED:
            case.output = output  # it comes from a fixture of the user's own
        _forget_properties(node)
        verdict = case.verdict = tools.check(action)
        grade = self._judge(node, case, action)
        if self._plan.options.strict_schema and verdict.status in _BAD_ARGUMENTS and grade.reward > 0:
            grade = Grade(0.0, SCHEMA_INVALID, f"schema: {verdict}; {verdict.explanation}", verdict.path)
        case.grade = grade
        return self._assert_passes(node, case)

    def _grade_again(self, node: pytest.Item, case: Case) -> Grade:
        """Return the first grade of a test that another plugin runs again: the first graded answer counts."""
        __tracebackhide__ = True
        case.take(node.stash[FIRST_GRADED])
        _forget_properties(node)
        return self._assert_passes(node, case)

    def _keep_first_grade(self, node: pytest.Item, case: Case, first: FirstGrade) -> Grade:
        """Return the first grade of a stored answer in which a secret was replaced by ***."""
        __tracebackhide__ = True
        _forget_properties(node)
        case.action, case.grade, case.verdict = first.action, first.grade, SchemaVerdict(first.schema)
        return self._assert_passes(node, case)

    def _assert_passes(self, node: pytest.Item, case: Case) -> Grade:
        __tracebackhide__ = True
        plan = self._plan
        action, grade, verdict = case.action, case.grade, case.verdict
        assert action is not None  # noqa: S101 (it was graded)
        assert grade is not None  # noqa: S101
        assert verdict is not None  # noqa: S101
        node.user_properties += _properties(grade.reward, shown_category(grade.category, plan.redact), str(verdict))
        if not passes(grade.reward, plan.options.pass_mark):
            raise WrongAction(explain_wrong_action(case.pivot, action, grade, verdict, plan.mark))
        return grade

    def _judge(self, node: pytest.Item, case: Case, action: Action) -> Grade:
        """Return the grade by the grader, or for a message by the judge; without one, the test ends in an error."""
        __tracebackhide__ = True
        expected, grader, redact = case.pivot.expected_action, self._plan.grader, self._plan.redact
        try:
            judgement = None if self._judging is None else self._judging.verdict(case, action)
            if judgement is None:
                return grader.grade(expected, action)
            score_message: Callable[[str, str, float, str], Grade] = grader.grade_message  # type: ignore[attr-defined]
            return score_message(expected.message or "", action.message or "", judgement.score, judgement.reason)
        except GraderError as error:
            trouble = str(error)
        except AgentError as error:  # the judge is unusable: none of its calls can succeed
            trouble = str(error)
            node.session.shouldstop = stopping(redact(trouble))
        except JudgeRaisedError as error:
            case.cause = error.cause or "judge"
            trouble = explain_error("judge", error.error, error.cause, error.attempts, error.note, redact=redact)
        except (KeyboardInterrupt, pytest.skip.Exception, pytest.exit.Exception):
            raise
        except BaseException as error:  # noqa: BLE001 (a user's grader may raise anything)
            trouble = explain_error("grader", error, redact=redact)
        case.ungraded = True
        pytest.fail(on_screen(redact(trouble)), pytrace=False)


@lru_cache(maxsize=1024)
def _properties(reward: float, category: str, schema: str) -> tuple[tuple[str, object], ...]:
    """Return the JUnit properties of a result; cached, because thousands of tests share a few combinations."""
    return ("fc.reward", reward), ("fc.category", category), ("fc.schema", schema)


def _forget_properties(node: pytest.Item) -> None:
    """Remove our JUnit properties from a test: it may grade more than once, and the last grade counts."""
    if node.user_properties:
        node.user_properties[:] = [pair for pair in node.user_properties if not pair[0].startswith("fc.")]
