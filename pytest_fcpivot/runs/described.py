"""The only reader of `run.json`, the description of a run.

The file may have been edited, damaged or made by somebody else. Every member that our code uses is checked here, so
that other code need not check it. Unknown members are kept unchanged.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.usage import MOST
from pytest_fcpivot.options.table import KINDS
from pytest_fcpivot.runs import inside
from pytest_fcpivot.runs.reader import MOST_REPEATS, whole_file
from pytest_fcpivot.runs.trust import MARK, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.runs.trust import Key, Origin

RUN_FORMAT = 1
REPLAYS_UNFINISHED = "replays_unfinished"  # the member of a replay of a run that is not complete
DECIDED = "decided"  # the member of a run that was stopped because its verdict was certain
RUN_FILE = "run.json"
LARGEST = 16 << 20  # bytes; the run.json of a run merged from a thousand shards has 2 MB
_DEEPEST = 64
_RUNS_NAMED = 3
_WIDTH = 80


def read_description(path: Path) -> dict[str, Any]:
    """Read the `run.json` of a run; raises RunError if it is missing, damaged or of another version."""
    return _unmarked(_read(path)[0])


def _runs_in(path: Path) -> str:
    """Name the last runs in a directory that was taken for a run."""
    names = sorted(file.parent.name for file in path.glob(f"*/{RUN_FILE}"))[-_RUNS_NAMED:]
    return f"; runs in it: {', '.join(map(one_line, names))}" if names else ""


def read_with_origin(path: Path, key: Key) -> tuple[dict[str, Any], Origin]:
    """Read the `run.json` of a run, and its origin according to its mark; raises as `read_description`."""
    description, data = _read(path)
    return _unmarked(description), origin(data, description, key)


def _unmarked(description: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name != MARK}


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return a run's description and the bytes of its file; raises RunError, also for a link in the directory."""
    inside.check(path)
    file = path / RUN_FILE
    try:
        data = whole_file(file, LARGEST)
    except FileNotFoundError as error:
        why = f"it has no {RUN_FILE}{_runs_in(path)}" if path.exists() else "there is no such directory"
        raise RunError(f"{path}: not a run's directory: {why}") from error
    except NotADirectoryError as error:
        raise RunError(f"{path}: not a run's directory, but a file") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise RunError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if data is None:
        raise RunError(f"{file}: larger than {LARGEST >> 20} MB, which no run.json of pytest-fcpivot is; not read")
    description = _decoded(file, data)
    found = description.get("format")
    if type(found) is not int or found != RUN_FORMAT:
        raise RunError(f"{file}: {_of_another_version(found)}")
    try:
        _check_members(description)
    except _OddError as odd:
        raise RunError(f"{file}: not as pytest-fcpivot writes it: {odd}") from None
    return description, data


def _decoded(file: Path, data: bytes) -> dict[str, Any]:
    try:
        description = json.loads(data.decode(), parse_constant=_refuse_constant)
        _check_all(description)
    except RecursionError:
        raise RunError(f"{file}: not a run.json: nested too deep") from None
    except (ValueError, _OddError) as error:
        raise RunError(f"{file}: damaged, not JSON: {error}") from None
    if not isinstance(description, dict):
        raise RunError(
            f"{file}: not as pytest-fcpivot writes it: an object is needed, not {shown(description, _WIDTH)}"
        )
    return description


def _of_another_version(found: Any) -> str:
    if type(found) is int and found > RUN_FORMAT:
        return (
            f"this run was written by a newer version of pytest-fcpivot (format {shown(found)}, this one reads "
            f"{RUN_FORMAT}); update this one to read it"
        )
    return (
        f"this run was written by another version of pytest-fcpivot (format {shown(found, _WIDTH)}, this one reads "
        f"{RUN_FORMAT}); read it with that version, or start a new run"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check_all(value: Any) -> None:
    """Raise _OddError for what could not be written again: too deep nesting, and numbers that are not finite."""
    waiting = [(value, 0)]
    for each, depth in waiting:  # the list grows during the loop
        if depth > _DEEPEST:
            raise _OddError(f"nested too deep: more than {_DEEPEST} values inside each other")
        if isinstance(each, float) and not math.isfinite(each):
            raise _OddError("a number that is too large")
        parts = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        waiting += [(part, depth + 1) for part in parts]


# -------------------------------------------------------------------- what each member has to be


class _OddError(Exception):
    """A member has a wrong value; the message names the member, what is needed and what was found."""


def _refuse(value: Any, at: str, wanted: str) -> NoReturn:
    raise _OddError(f"{at}: {wanted} is needed, not {shown(value, _WIDTH)}")


def _text(value: Any, at: str) -> None:
    if not isinstance(value, str):
        _refuse(value, at, "a string")


def _count(value: Any, at: str) -> None:
    if type(value) is not int or not 0 <= value <= MOST:
        _refuse(value, at, "a whole number from 0")


def _repeats(value: Any, at: str) -> None:
    if type(value) is not int or not 1 <= value <= MOST_REPEATS:
        _refuse(value, at, f"a whole number from 1 to {MOST_REPEATS}")


def _whole(value: Any, at: str) -> None:
    if type(value) is not int or abs(value) > MOST:
        _refuse(value, at, "a whole number")


def _truth(value: Any, at: str) -> None:
    if not isinstance(value, bool):
        _refuse(value, at, "true or false")


def _pass_mark(value: Any, at: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        _refuse(value, at, "a number over 0 and up to 1")


def _setting(value: Any, at: str) -> None:
    if not isinstance(value, str | bool | int | float | None):
        _refuse(value, at, "a string, a number, true or false")


def _option(value: Any, at: str) -> None:
    """Check an option's raw value, which comes from a command line, the environment, an ini file or a conftest."""
    kind = KINDS.get(at.rpartition(".")[2])
    if value is None or isinstance(value, str):
        return
    if kind in ("list", "maybe list", None) and isinstance(value, list):
        _list_of(_text)(value, at)
    elif kind in ("list", "maybe list"):
        _refuse(value, at, "a list of strings")
    elif kind == "flag":
        _truth(value, at)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(value, at, "a string")


def _maybe(check: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    def check_if_there(value: Any, at: str) -> None:
        if value is not None:
            check(value, at)

    return check_if_there


def _list_of(check: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    def check_list(value: Any, at: str) -> None:
        if not isinstance(value, list):
            _refuse(value, at, "a list")
        for number, each in enumerate(value):
            check(each, f"{at}[{number}]")

    return check_list


def _table_of(check: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    def check_table(value: Any, at: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, at, "an object")
        for name, each in value.items():
            check(each, f"{at}.{name}")

    return check_table


def _object(
    needed: Mapping[str, Callable[[Any, str], None]], others: Mapping[str, Callable[[Any, str], None]]
) -> Callable[[Any, str], None]:
    def members(value: dict[str, Any], at: str) -> Iterator[tuple[str, Callable[[Any, str], None]]]:
        for name, check in needed.items():
            if name not in value:
                raise _OddError(f"{at}.{name} is missing")
            yield name, check
        yield from ((name, check) for name, check in others.items() if name in value)

    def check_object(value: Any, at: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, at, "an object")
        for name, check in members(value, at):
            check(value[name], f"{at}.{name}")

    return check_object


def _data(value: Any, at: str, members: Mapping[str, Callable[[Any, str], None]] | None = None) -> None:
    _list_of(_object(_OF_DATA if members is None else members, {}))(value, at)
    seen: set[str] = set()
    for name in (data["name"] for data in value):
        if name in seen:
            raise _OddError(f"{at}: two of them have the name {shown(name, _WIDTH)}")
        seen.add(name)


def _data_of_baseline(value: Any, at: str) -> None:
    _data(value, at, {name: check for name, check in _OF_DATA.items() if name != "path"})


_OF_DATA = {"name": _text, "path": _text, "sha256": _text, "pivots": _count, "selected": _count}
_SESSIONS = _list_of(_object({}, {"started": _maybe(_text), "ended": _maybe(_text), "exit_status": _maybe(_whole)}))
_GRADER = _object(
    {"name": _text, "settings": _table_of(_setting)},
    {"spec": _text, "source_sha256": _maybe(_text), "cause": _text, "binary": _truth, "package": _text},
)
_VERDICT_OF_RULE = _object({"rule": _text, "word": _text, "sentence": _text}, {"fails": _truth})
_NEEDED = frozenset(("agent", "grader", "data", "repeats", "options"))
_MEMBERS: Mapping[str, Callable[[Any, str], None]] = {
    "agent": _text,
    "model": _maybe(_text),
    "grader": _GRADER,
    "pass_mark": _pass_mark,
    "judge": _maybe(_object({"model": _maybe(_text)}, {"why": _maybe(_text), "prompt_version": _maybe(_setting)})),
    "data": _data,
    "repeats": _repeats,
    "arguments": _maybe(_list_of(_text)),
    "replays": _maybe(_text),
    REPLAYS_UNFINISHED: _maybe(_text),
    "options": _table_of(_option),
    "selected_by_shard": _table_of(_option),
    "started": _maybe(_text),
    "ended": _maybe(_text),
    "sessions": _SESSIONS,
    "counts": _maybe(_table_of(_count)),
    "judged": _maybe(_table_of(_count)),
    "verdict": _maybe(
        _object({"word": _text, "sentence": _text}, {"fails": _truth, "rules": _list_of(_VERDICT_OF_RULE)})
    ),
    DECIDED: _maybe(_object(dict.fromkeys(("trajectories", "of_trajectories", "answers", "of_answers"), _count), {})),
    "merged": _list_of(_object({"run": _text, "shards": _list_of(_text)}, {"results": _count, "sessions": _SESSIONS})),
}
_OF_BASELINE: Mapping[str, Callable[[Any, str], None]] = {
    **_MEMBERS,
    "data": _data_of_baseline,
    "saved": _text,
    "pivots": _count,
    "errors": _count,
    "sha256": _text,
}


def _check_members(description: dict[str, Any]) -> None:
    _check(description, _MEMBERS, _NEEDED)


def trouble_in_baseline(about: dict[str, Any]) -> str | None:
    """Return what is wrong with a member of a baseline's first line, which has most of those of run.json."""
    try:
        _check_all(about)
        _check(about, _OF_BASELINE, _NEEDED | {"saved", "pivots", "errors", "sha256"})
    except _OddError as odd:
        return str(odd)
    return None


def _check(
    description: dict[str, Any], members: Mapping[str, Callable[[Any, str], None]], needed: Collection[str]
) -> None:
    for name, check in members.items():
        if name in description:
            check(description[name], name)
        elif name in needed:
            raise _OddError(f"{name} is missing")
