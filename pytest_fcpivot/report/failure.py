"""Write the few lines that a failing test shows."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.core.apart import nearly_the_same, shown_name, texts_apart
from pytest_fcpivot.core.chat import content_text
from pytest_fcpivot.core.error_bodies import with_reason
from pytest_fcpivot.core.jsontext import on_screen, one_line, shows_as_it_is
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.report.show_command import show_command
from pytest_fcpivot.report.turns import turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fcpivot.core.model import Action, Grade, Pair, Pivot, SchemaVerdict

_WIDTH = 200
_LONGEST = 10_000  # characters of a text that are searched for a difference
_CALLS_SHOWN = 3
_PATHS_SHOWN = 8
_PAIRS_SHOWN = 12
_FRAMES_SHOWN = 6
_TURNS_SHOWN = 6
_MOST_TURNS = 12  # where the user's last turn is further back than the others
_NAME_WIDTH = 80
_LIBRARIES = ("site-packages", "dist-packages", str(Path(traceback.__file__).parent))
_PACKAGE = str(Path(__file__).parent.parent)


def explain_wrong_action(pivot: Pivot, action: Action, grade: Grade, verdict: SchemaVerdict, mark: float | None) -> str:
    """Explain why an action failed: category, first difference, the user's last turn, both actions, schema verdict.

    With partial credit, this also has the reward and its two halves, the pass mark (`mark`; None for a 0/1 grader), and
    the paths of all differences. With several calls, it shows which calls were compared.
    """
    expected, actual = _described_apart(pivot.expected_action, action)
    lines = [
        f"{grade.category}: {grade.explanation}" if grade.explanation else grade.category,
        *_partial_credit(grade, mark),
        f"  user:     {last_user_turn(pivot)}",
        f"  expected: {expected}",
        f"  actual:   {actual}",
        *_pairing(grade.pairs),
        f"  schema:   {verdict}" + (f": {verdict.explanation}" if _tells_more(verdict) else ""),
    ]
    return on_screen("\n".join(lines))


def _partial_credit(grade: Grade, mark: float | None) -> list[str]:
    lines = []
    if mark is not None:
        reward = f"{grade.reward:.3g}"
        if float(reward) >= mark:  # it was rounded up to the mark, which it did not reach
            reward = repr(grade.reward)
        halves = "" if grade.halves is None else " (name {:.3g}, arguments {:.3g})".format(*grade.halves)
        lines.append(f"  reward:   {reward}{halves}, under the pass mark {mark:.12g}")
    if len(grade.paths) > 1:  # a single path is in the explanation already
        more = len(grade.paths) - _PATHS_SHOWN + grade.further_paths
        listed = ", ".join([one_line(path) for path in grade.paths[:_PATHS_SHOWN]])
        lines.append(f"  differ:   {listed}" + (f" and {more} more" if more > 0 else ""))
    return lines


def _pairing(pairs: Sequence[Pair]) -> list[str]:
    """List which expected call was paired with which actual one, counted from 1; unmatched calls come first."""
    if not pairs:
        return []

    def rank(pair: Pair) -> tuple[bool, bool, bool]:
        return pair.reward == 1.0, pair.expected is None, pair.actual is not None

    listed = [_pair(pair) for pair in sorted(pairs, key=rank)[:_PAIRS_SHOWN]]
    more = len(pairs) - len(listed)
    return [f"  pairing:  {', '.join(listed)}" + (f" and {more} more" if more else "")]


def _pair(pair: Pair) -> str:
    if pair.actual is None:
        return f"expected {(pair.expected or 0) + 1} unmatched"
    if pair.expected is None:
        return f"actual {pair.actual + 1} unmatched"
    return f"expected {pair.expected + 1} ↔ actual {pair.actual + 1}" + (
        f" ({pair.reward:.3g})" if pair.reward < 1.0 else ""
    )


def _tells_more(verdict: SchemaVerdict) -> bool:
    return bool(verdict.explanation) and verdict.keyword != "json"  # the grade's explanation has it already


def _described_apart(expected: Action, actual: Action) -> tuple[str, str]:
    """Write two actions on one short line each, so that a difference is visible, even in whitespace or Unicode form."""
    lines = describe_action(expected), describe_action(actual)
    if expected == actual or (lines[0] != lines[1] and not nearly_the_same(*lines)):
        return lines
    return texts_apart(_in_full(expected), _in_full(actual), 2 * _WIDTH)


def _in_full(action: Action) -> str:
    """Write an action with all of its whitespace."""
    if action.calls:
        calls = [f"{shown_name(call.name)}({call.arguments[:_LONGEST]})" for call in action.calls]
        return " + ".join(calls)
    return f'message "{action.message[:_LONGEST]}"' if action.message is not None else describe_action(action)


def describe_action(action: Action) -> str:
    """Write an action on one short line."""
    if action.calls:
        shown = [f"{shown_name(call.name)}({one_line(call.arguments, _WIDTH)})" for call in action.calls[:_CALLS_SHOWN]]
        more = len(action.calls) - _CALLS_SHOWN
        return " + ".join(shown) + (f" + {more} more" if more > 0 else "")
    if action.malformed is not None:
        text = (
            f': "{one_line(action.malformed, _WIDTH)}"' if action.malformed else ", and that the server does not show"
        )
        return f"output that could not be parsed{text}"
    if action.message is None:
        return "nothing"
    return f'message "{one_line(action.message, _WIDTH)}"'


def last_user_turn(pivot: Pivot) -> str:
    """Return the user's last turn, shortened to one line."""
    for item in reversed(pivot.input):
        if item.get("role") == "user":
            return f'"{one_line(content_text(item.get("content")), _WIDTH)}"'
    return "(the user has not said anything)"


def last_turns(pivot: Pivot) -> str:
    """Write the last turns, a line each, with calls and results and the user's last words, and how many precede."""
    said = [turn for turn in turns(pivot.input) if turn.kind != "reasoning"]
    last_user = max((number for number, turn in enumerate(said) if turn.kind == "user"), default=len(said))
    first = max(0, min(len(said) - _TURNS_SHOWN, last_user))
    shown = said[first:]
    left_out = 0
    if len(shown) > _MOST_TURNS:  # the user's turn, and the end of what followed it
        left_out = len(shown) - _MOST_TURNS
        shown = [shown[0], *shown[-_MOST_TURNS + 1 :]]
    command = show_command(pivot.id) if shows_as_it_is(pivot.id) else "fcpivot show"
    lines = [f"before:   {count_of(first, 'turn')}; {command} shows them"] if first else []
    for number, turn in enumerate(shown):
        if number == 1 and left_out:
            lines.append(f"…         {count_of(left_out, 'more turn')}")
        name = one_line(turn.title, _NAME_WIDTH)
        text = one_line(turn.text, 2 * _WIDTH)
        if turn.kind == "call":
            lines.append(f"call:     {name}({text})")
        elif turn.kind == "result":
            lines.append(f"result:   {name}: {text}")
        else:
            label = {"assistant": "agent"}.get(turn.kind, turn.kind)
            lines.append(f"{f'{label}:':<10}" + f'"{text}"')
    return on_screen("\n".join(lines or ["(the conversation is empty)"]))


def explain_error(
    who: str,
    error: BaseException,
    cause: str | None = None,
    attempts: int = 1,
    note: str | None = None,
    *,
    redact: Callable[[str], str] = str,
) -> str:
    """Explain what the agent, the judge or the grader (`who`) raised, and where in the user's own code.

    `cause` names the service's fault behind the error, and is shown instead of frames inside a client library. `note`
    is an explanation to be added. `redact` removes secrets before texts are shortened, because half of a secret would
    not be recognised.
    """
    if isinstance(error, SystemExit):
        first = f"the {who} called sys.exit({'' if error.code is None else error.code!r})"
    else:
        first = f"the {who} raised {_shown(error, redact)}" + (f"; {note}" if note else "")
    if cause is not None:
        first = f"{cause}{f' in {attempts} attempts' if attempts > 1 else ''}: {first}"
    stack = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_PACKAGE)]
    users = [frame for frame in stack if not any(part in frame.filename for part in _LIBRARIES)]
    by_a_client = cause is not None or type(error).__module__.partition(".")[0] == "openai"
    stack = users if users or by_a_client else stack
    # notes say what to do, or what was tried before
    lines = [f"  {one_line(redact(note), 400)}" for note in getattr(error, "__notes__", ())]
    for frame in stack[-_FRAMES_SHOWN:]:
        code = f": {one_line(redact(frame.line))}" if frame.line else ""
        lines.append(f"  {frame.filename}:{frame.lineno} in {frame.name}{code}")
    reason = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if reason is not None:
        lines.append(f"  because of {_shown(reason, redact)}")
    return on_screen("\n".join([first, *lines]))


def _shown(error: BaseException, redact: Callable[[str], str]) -> str:
    try:
        text = one_line(redact(with_reason(str(error), error)), 400)
    except Exception as broken:  # noqa: BLE001 (__str__ of the user's exception may fail)
        text = f"<its text cannot be shown: {type(broken).__name__}>"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
