"""Set an expected and an actual action side by side, as one tree of rows: what differs comes first.

A row says what the grader made of it, and not only whether two values are written alike: bundled graders are asked
value by value. A user's own grader cannot be asked, since a run does not hold its code; its rows compare JSON, and the
places that it named are marked. The rows are plain values, so that reports of any kind can be written from them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.apart import names_apart, shown_name, values_apart
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.jsontext import decoded, json_path, printable, shorten, shown
from pytest_fcpivot.core.model import Action, FunctionCall, Grade
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.graders.arguments import same_json, why_not_decoded
from pytest_fcpivot.graders.base import ComparesValues
from pytest_fcpivot.graders.nemo_gym import NemoGymGrader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_fcpivot.graders.base import Grader

# `equal`: the same JSON. `accepted`: not the same, but the grader takes no account of that. `differs`: not the same,
# and a bundled grader says so too. `missing`: only expected. `surplus`: only in the answer.
State = Literal["equal", "accepted", "differs", "missing", "surplus"]

VALUE_WIDTH = 400  # characters of a value
TEXT_WIDTH = 8_000  # characters of a message, and of arguments that are not JSON
FOLDED_WIDTH = 160  # characters of an object or array whose rows are all equal
MOST_ROWS = 2_000
_DEEPEST = 40  # levels of nested values; what is nested deeper is one row

_ABSENT: Any = object()
_Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the tree.

    `key` is a member's name, an index as in `[2]`, or a part of the action; `path` leads to the row from the expected
    action, as in `$.calls[0].arguments.city`, where calls that nobody expected are numbered after the expected ones.
    `expected` and `actual` are the texts of the two sides, escaped and shortened; None where a side has nothing.
    `named`: the grader's result names this place. `remark` says what cannot be seen. `inner` is the number of rows
    under this one; `folded` is the hint to hide them at first, since nothing differs there.
    """

    depth: int
    key: str
    path: str
    expected: str | None
    actual: str | None
    state: State
    named: bool = False
    remark: str = ""
    inner: int = 0
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Aligned:
    """The rows of a comparison, parents before their children.

    `left_out` is the number of rows that were too many. `unplaced` are paths that the grader's result names, but that
    lead to no row.
    """

    rows: tuple[Row, ...]
    left_out: int = 0
    unplaced: tuple[str, ...] = ()

    def builtins(self) -> dict[str, Any]:
        """Return the comparison as objects that JSON can hold; the members are those of the classes."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "left_out": self.left_out,
            "unplaced": list(self.unplaced),
        }


@dataclass(slots=True)
class _Node:
    """A row that is being made: `place` leads to it from the expected action, `steps` from its call's arguments."""

    key: str
    place: _Steps
    expected: str | None
    actual: str | None
    state: State
    remark: str = ""
    named: bool = False
    in_order: bool = False  # its rows keep their order: the name stands above the arguments
    inner: list[_Node] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, bool]:
        """Where the row stands among its neighbours: what differs first, and among that what the grader named."""
        return {"equal": 2, "accepted": 1}.get(self.state, 0) - self.named, not self.named


def align(
    expected: Action,
    actual: Action,
    grade: Grade | None = None,
    grader: Grader | None = None,
    *,
    most_rows: int = MOST_ROWS,
    value_width: int = VALUE_WIDTH,
) -> Aligned:
    """Compare two actions; calls are paired as in the grade, else by their positions.

    Without the `grader`, or if it cannot be asked about values, JSON values are compared, and differences count as
    accepted only if the grade's reward is 1. `value_width` is the number of characters of a value that are shown.
    """
    comparison = _Comparison(expected, actual, grade, grader, value_width)
    nodes = comparison.actions()
    return _flattened(nodes, most_rows, comparison.mark(nodes))


def align_values(
    wanted: Any,
    given: Any,
    grader: Grader | None = None,
    *,
    most_rows: int = MOST_ROWS,
    value_width: int = VALUE_WIDTH,
) -> Aligned:
    """Compare two decoded arguments, or any two JSON values; the paths of the rows lead from these values."""
    comparison = _Comparison(Action(), Action(), None, grader, value_width)
    node = comparison.values("$", (), (), wanted, given)
    return _flattened([node], most_rows, ())


class _Comparison:
    def __init__(
        self, expected: Action, actual: Action, grade: Grade | None, grader: Grader | None, value_width: int
    ) -> None:
        self._expected = expected
        self._actual = actual
        self._grade = grade
        self._grader = grader
        self._compares: ComparesValues | None = grader if isinstance(grader, ComparesValues) else None
        self._width = value_width
        self._is_right = grade is not None and grade.reward >= 1.0

    # ---------------------------------------------------------------- actions

    def actions(self) -> list[_Node]:
        """Return the rows at the top: the calls, or the message, or what is there instead."""
        expected, actual = self._expected, self._actual
        nodes: list[_Node] = []
        if expected.message is not None or (actual.message is not None and not actual.calls):
            given = None if actual.calls else actual.message
            nodes.append(self._message(None if expected.calls else expected.message, given))
        if actual.malformed is not None and not actual.calls:
            text = _long(actual.malformed) if actual.malformed else "(the server does not show it)"
            nodes.append(_Node("output that could not be parsed", ("malformed",), None, text, "surplus"))
        nodes += self._calls()
        return nodes

    def _message(self, wanted: str | None, given: str | None) -> _Node:
        one, other = (None if text is None else _long(text) for text in (wanted, given))
        if wanted is None or given is None:
            return _Node("message", ("message",), one, other, "surplus" if wanted is None else "missing")
        if wanted == given:
            state: State = "equal"
        else:
            # Whether a message is right is a verdict on the whole; there is no part of it to ask for.
            state = "accepted" if self._is_right else "differs"
        return _Node("message", ("message",), one, other, state, values_apart(wanted, given)[2] if one != other else "")

    def _calls(self) -> list[_Node]:
        expected, actual = self._expected.calls, self._actual.calls
        pairs = self._pairs()
        alone = len(expected) <= 1 and len(actual) <= 1
        nodes, surplus = [], 0
        for i, j, remark in pairs:
            place: _Steps = ("calls", len(expected) + surplus if i is None else i)
            surplus += i is None
            parts = self._call(place, i, j)
            if alone:
                nodes += parts
                continue
            one, other = (
                None if at is None else f"call {at + 1} of {of}" for at, of in ((i, len(expected)), (j, len(actual)))
            )
            node = _Node("call", place, one, other, "equal", remark, in_order=True, inner=parts)
            node.state = _state_of(node)
            nodes.append(node)
        return nodes if alone else _sorted(nodes)

    def _pairs(self) -> list[tuple[int | None, int | None, str]]:
        """Return the positions of the calls that stand side by side, each with a remark.

        Calls for which the grader found no partner are put side by side if they are of one tool, so that the reader
        sees why they do not match; the others stay alone.
        """
        n_expected, n_actual = len(self._expected.calls), len(self._actual.calls)
        recorded = self._grade.pairs if self._grade is not None else ()
        if not recorded:
            both = min(n_expected, n_actual)
            by_position: list[tuple[int | None, int | None, str]] = [(i, i, "") for i in range(both)]
            by_position += [(i, None, "") for i in range(both, n_expected)]
            return by_position + [(None, j, "") for j in range(both, n_actual)]
        pairs: list[tuple[int | None, int | None, str]] = []
        taken_expected, taken_actual = set(), set()
        for pair in recorded:
            i, j = pair.expected, pair.actual
            if i is None or j is None or not (0 <= i < n_expected and 0 <= j < n_actual):
                continue
            if i not in taken_expected and j not in taken_actual:
                pairs.append((i, j, ""))
                taken_expected.add(i)
                taken_actual.add(j)
        free = [j for j in range(n_actual) if j not in taken_actual]
        for i, call in enumerate(self._expected.calls):
            if i in taken_expected:
                continue
            same_tool = next((j for j in free if self._actual.calls[j].name == call.name), None)
            if same_tool is None:
                pairs.append((i, None, "no call of the answer matches it"))
            else:
                free.remove(same_tool)
                pairs.append((i, same_tool, "they do not match, and are shown together since both are of one tool"))
        pairs.sort(key=lambda pair: (pair[0] is None, pair[0] or 0))
        return pairs + [(None, j, "it matches no expected call") for j in free]

    def _call(self, place: _Steps, i: int | None, j: int | None) -> list[_Node]:
        """Return the rows of the name and of the arguments of a pair of calls, or of a call without partner."""
        wanted = None if i is None else self._expected.calls[i]
        given = None if j is None else self._actual.calls[j]
        arguments_place = (*place, "arguments")
        if wanted is not None and given is not None:
            return [self._name(place, wanted.name, given.name), self._of_arguments(arguments_place, wanted, given)]
        call = wanted or given
        assert call is not None  # noqa: S101 (a pair has at least one call)
        alone: State = "missing" if given is None else "surplus"
        if self._allows(alone, call):
            alone = "accepted"
        is_expected = given is None
        name = _Node("name", (*place, "name"), *_one_side(shown_name(call.name, self._width), is_expected), alone)
        value = _value_or_text(call)
        if isinstance(value, _NotJson):
            sides = _one_side(_long(call.arguments), is_expected)
            return [name, _Node("arguments", arguments_place, *sides, alone, value.reason)]
        return [name, self._alone("arguments", arguments_place, value, alone, is_expected=is_expected)]

    def _name(self, place: _Steps, wanted: str, given: str) -> _Node:
        if wanted == given:
            one = shown_name(wanted, self._width)
            return _Node("name", (*place, "name"), one, one, "equal")
        one, other, remark = names_apart(wanted, given, self._width)
        return _Node("name", (*place, "name"), one, other, self._unlike(), remark.strip())

    def _of_arguments(self, place: _Steps, wanted: FunctionCall, given: FunctionCall) -> _Node:
        one, other = _value_or_text(wanted), _value_or_text(given)
        if not isinstance(one, _NotJson) and not isinstance(other, _NotJson):
            return self.values("arguments", place, (), one, other)
        remarks = [
            f"{side}: {value.reason}"
            for side, value in (("expected", one), ("actual", other))
            if isinstance(value, _NotJson)
        ]
        state: State = "equal" if wanted.arguments == given.arguments else self._unlike()
        texts = _long(wanted.arguments), _long(given.arguments)
        return _Node("arguments", place, *texts, state, "; ".join(remarks))

    def _unlike(self) -> State:
        """Return the state of two things that differ, and that the grader compares as a whole."""
        return "accepted" if self._is_right and self._compares is None else "differs"

    def _allows(self, alone: State, call: FunctionCall) -> bool:
        """Return whether the grader takes no account of a call without partner.

        The grader is asked: does the expected action still earn everything without the call, or with it added?
        """
        if self._grader is None or self._compares is None:
            return self._is_right
        calls = list(self._expected.calls)
        if alone == "missing":
            calls.remove(call)
        else:
            calls.append(call)
        if not self._expected.calls or not self._actual.calls:
            return False
        try:
            return self._grader.grade(self._expected, Action(tuple(calls))).reward >= 1.0
        except GraderError:
            return False

    # ---------------------------------------------------------------- values

    def values(self, key: str, place: _Steps, steps: _Steps, wanted: Any, given: Any) -> _Node:
        """Return the row of two decoded values, with those of their members."""
        kind = type(wanted)
        if kind is type(given) and kind in (dict, list) and (wanted or given) and len(steps) < _DEEPEST:
            members = self._members(place, steps, wanted, given)
            node = _Node(key, place, _size_of(wanted), _size_of(given), "equal", inner=_sorted(members))
            node.state = _state_of(node)
            if node.state == "equal":
                node.expected, node.actual = shown(wanted, FOLDED_WIDTH), shown(given, FOLDED_WIDTH)
            return node
        state = self._state(wanted, given, steps)
        if state == "equal":
            return _Node(key, place, shown(wanted, self._width), shown(given, self._width), state)
        one, other, remark = values_apart(wanted, given, self._width)
        if state == "differs" and same_json(wanted, given):
            remark = "the grader takes even the same value for a difference, by its settings"
        return _Node(key, place, one, other, state, remark.strip())

    def _members(self, place: _Steps, steps: _Steps, wanted: Any, given: Any) -> Iterator[_Node]:
        one, other = dict(_items(wanted)), dict(_items(given))
        for step in one | other:
            key, inner_place, inner_steps = _key(step), (*place, step), (*steps, step)
            left, right = one.get(step, _ABSENT), other.get(step, _ABSENT)
            if left is _ABSENT:
                yield self._alone(key, inner_place, right, self._without_partner("surplus"), is_expected=False)
            elif right is _ABSENT:
                yield self._alone(key, inner_place, left, self._without_partner("missing"), is_expected=True)
            else:
                yield self.values(key, inner_place, inner_steps, left, right)

    def _without_partner(self, alone: State) -> State:
        """Return the state of a member that only one side has: no bundled grader accepts that."""
        return "accepted" if self._is_right and self._compares is None else alone

    def _alone(self, key: str, place: _Steps, value: Any, state: State, *, is_expected: bool, depth: int = 0) -> _Node:
        """Return the row of a value that only one side has, with those of its members."""
        inner: list[_Node] = []
        text = shown(value, self._width)
        if isinstance(value, dict | list) and value and depth < _DEEPEST:
            text = _size_of(value)
            inner = [
                self._alone(_key(step), (*place, step), member, state, is_expected=is_expected, depth=depth + 1)
                for step, member in _items(value)
            ]
        return _Node(key, place, *_one_side(text, is_expected), state, inner=inner)

    def _state(self, wanted: Any, given: Any, steps: _Steps) -> State:
        same = same_json(wanted, given)
        if self._compares is None:
            return "equal" if same else self._unlike()
        try:
            matches = self._compares.matches(wanted, given, steps)
        except RecursionError:
            matches = False
        return ("equal" if same else "accepted") if matches else "differs"

    # ---------------------------------------------------------------- what the grader named

    def mark(self, nodes: Sequence[_Node]) -> tuple[str, ...]:
        """Mark the rows that the grade's paths lead to; returns the paths that lead to none."""
        grade = self._grade
        if grade is None:
            return ()
        paths = dict.fromkeys(path for path in (grade.path, *grade.paths) if path is not None)
        left = dict.fromkeys(paths)
        everything = list(_walk(nodes))
        for node in everything:
            for path in self._paths_of(node.place):
                if path in paths:
                    node.named = True
                    left.pop(path, None)
        for node in everything:
            if not node.in_order:
                node.inner = _sorted(node.inner)
        return tuple(printable(shorten(path, self._width)) for path in left)

    def _paths_of(self, place: _Steps) -> list[str]:
        """Return the ways in which a grade may name a place.

        Paths lead from the arguments if one call is expected, else from the action. The verifier names a place inside
        the arguments of the first expected call without partner, also if several calls are expected.
        """
        if len(self._expected.calls) > 1 and not isinstance(self._grader, NemoGymGrader):
            return [json_path(place)]
        judged = 0
        if len(self._expected.calls) > 1 and self._grade is not None:
            judged = next(
                (pair.expected for pair in self._grade.pairs if pair.expected is not None and pair.actual is None), -1
            )
        root: _Steps = ("calls", judged, "arguments")
        return [json_path(place[len(root) :])] if place[: len(root)] == root else []


@dataclass(frozen=True, slots=True)
class _NotJson:
    """Stands for arguments that cannot be decoded."""

    reason: str


def _value_or_text(call: FunctionCall) -> Any:
    try:
        return decoded(call.arguments)
    except (ValueError, RecursionError) as error:
        return _NotJson(printable(why_not_decoded(call.arguments, error)))


def _items(value: dict[str, Any] | list[Any]) -> Iterable[tuple[str | int, Any]]:
    """Return the members of an object by their keys, or the elements of an array by their indexes."""
    return value.items() if isinstance(value, dict) else enumerate(value)


def _key(step: str | int) -> str:
    return shown_name(step) if isinstance(step, str) else f"[{step}]"


def _one_side(text: str, is_expected: bool) -> tuple[str | None, str | None]:
    """Return the texts of both sides of a row that only one side has."""
    return (text, None) if is_expected else (None, text)


def _size_of(value: Any) -> str:
    """Return the text of an object or array whose members have rows of their own."""
    if not value:
        return "{}" if isinstance(value, dict) else "[]"
    return count_of(len(value), "key") if isinstance(value, dict) else count_of(len(value), "element")


def _long(text: str) -> str:
    """Prepare a text of several lines, of which the middle is left out if it is long."""
    if len(text) > 2 * TEXT_WIDTH:
        text = text[:TEXT_WIDTH] + text[-TEXT_WIDTH:]
    return shorten(printable(text), TEXT_WIDTH)


def _state_of(node: _Node) -> State:
    """Return the state of a row from those of its members."""
    states = {member.state for member in node.inner}
    if states <= {"equal"}:
        return "equal"
    if states <= {"equal", "accepted"}:
        return "accepted"
    if node.actual is None:
        return "missing"
    return "surplus" if node.expected is None else "differs"


def _sorted(nodes: Iterable[_Node]) -> list[_Node]:
    return sorted(nodes, key=lambda node: node.rank)


def _walk(nodes: Sequence[_Node]) -> Iterator[_Node]:
    for node in nodes:
        yield node
        yield from _walk(node.inner)


def _flattened(nodes: Sequence[_Node], most: int, unplaced: tuple[str, ...]) -> Aligned:
    """Return the tree's rows; if they are too many, the equal ones are left out first, then the last ones."""
    total = sum(1 for _ in _walk(nodes))
    rows = list(_rows(nodes, 0, without_equal=total > most))
    if len(rows) > most:
        rows = rows[:most]
    return Aligned(tuple(rows), total - len(rows), unplaced)


def _rows(nodes: Sequence[_Node], depth: int, *, without_equal: bool) -> Iterator[Row]:
    for node in nodes:
        if without_equal and depth and node.state == "equal" and not node.named:
            continue
        inner = list(_rows(node.inner, depth + 1, without_equal=without_equal))
        folded = bool(inner) and all(row.state in ("equal", "accepted") and not row.named for row in inner)
        row = Row(depth, node.key, json_path(node.place), node.expected, node.actual, node.state, node.named)
        yield replace(row, remark=node.remark, inner=len(inner), folded=folded)
        yield from inner
