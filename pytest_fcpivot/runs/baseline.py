"""Saved baselines: the rewards of a run in one small text file, which can be kept under version control.

The first line is a JSON object that says what the run was about, and the second one has the texts that the lines below
refer to by number, from 0: what is expected of pivots, and the categories. What is expected is m (a message), c (a
call), b (several calls) or n (nothing), followed by a colon and the tool of the first call, if there is one.

Then there is a line for each place (a JSON string), and below it one for each of its pivots, in the order of their ids:
a JSON array of the pivot's id, the number of what is expected, and the result of each repeat. A result is null without
a grade, and otherwise [reward, number of the category], or [] for a repeat that is not there; equal results one after
another are one, whose third number says how many they are. The trajectory follows the id if it is not the one that the
id names, and a node id stands last if it is not PLACE::ID (or FUNCTION[ID]). docs/formats.md has the details.

The file may have been edited, torn or made by somebody else. Every part is checked here, and nothing is left out: a
damaged baseline is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import compact, one_line, shown
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.runs import inside
from pytest_fcpivot.runs.comparing import Side
from pytest_fcpivot.runs.damage import listed
from pytest_fcpivot.runs.described import DECIDED, RUN_FILE, trouble_in_baseline
from pytest_fcpivot.runs.directory import RUNS, ended_early, ignore_in_git, now
from pytest_fcpivot.runs.reader import MOST_REPEATS, Damage, DamagedLineError, lines_of
from pytest_fcpivot.runs.rewards import PivotRewards, Rewards, rewards_of_run
from pytest_fcpivot.runs.until_mixed import refuse_until_mixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import NoReturn

FORMAT = 1
BASELINES = "baselines"
ENDING = ".jsonl"
_MEMBER = "fcpivot_baseline"
_ABOUT = ("agent", "model", "grader", "pass_mark", "judge", "repeats", "replays", "started", "ended", "counts")
_OF_DATA = ("name", "sha256", "pivots", "selected")
_OPTIONS = ("fc_strict_schema", "fc_empty_arguments", "fc_judge_fallback")
_LETTERS = {"message": "m", "function_call": "c", "function_call_batch": "b", "none": "n"}
_EXPECTED = {letter: expected for expected, letter in _LETTERS.items()}
_NAME = re.compile(r"\w[\w.+@-]*")
_WIDTH = 120
_LINE_OF_NAMES = 2
_PAIR_OR_MORE = (2, 3)  # members of a result
_FEWEST = 3  # members of a pivot with one result
_MOST_AT_ONCE = 100  # equal results that are written as one, so that a small file needs little memory
_OF_ITS_PLACE = re.compile(r"(?:t(?=[0-9]))?(.+)-d[0-9]+", re.DOTALL)  # as those are that are made here
_RUN_DIRECTORY_FILE = "results.jsonl"


# -------------------------------------------------------------------- one side of a comparison


def read_side(given: str | Path, base: Path, *, allow_damaged: bool = False) -> Side:
    """Read a run's directory, a file with a saved baseline, or the saved baseline of that name under `base`.

    A path is relative to the present directory. Raises RunError for what is none of them, for a name that could be
    either, and for a damaged run or baseline; with `allow_damaged`, damaged lines of a run are left out.
    """
    text = str(given)
    path = Path(given).expanduser()
    saved = _named(text, base)
    is_there = _exists(path)
    if saved is not None and _exists(saved):
        if is_there:
            raise RunError(
                f"{text}: this may be {path} or the saved baseline {saved}; write ./{text} for the first, or the path "
                "of the file for the second"
            )
        return read_baseline(saved, text)
    if not is_there:
        known = ", ".join(sorted(each.stem for each in _saved(base)))
        raise RunError(
            f"{text}: there is no such run, and no baseline is saved under that name in {base / RUNS / BASELINES}"
            + (f"; saved there: {one_line(known, 4 * _WIDTH)}" if known else "")
        )
    if path.name == _RUN_DIRECTORY_FILE and _exists(path.with_name(RUN_FILE)):
        path = path.parent
    if path.is_dir():
        return _side_of_run(path, text, allow_damaged=allow_damaged)
    return read_baseline(path, text)


def _side_of_run(path: Path, name: str, *, allow_damaged: bool) -> Side:
    found = rewards_of_run(path, allow_damaged=allow_damaged)
    refuse_until_mixed(found.description, name, "a comparison")
    if not len(found.rewards):
        raise RunError(f"{name}: this run has no results")
    notes = []
    end = ended_early(found.description)
    if end is not None:
        notes.append(end)
    if found.damages:
        notes += [f"left out: {found.damages.losses()}", *(f"  {line}" for line in listed([found.damages]))]
    if found.damages.torn is not None:
        notes.append(f"its last line is incomplete and left out: {found.damages.torn.size} bytes")
    return Side(name, path, found.description, found.rewards, notes=tuple(notes))


def newest(base: Path) -> Path:
    """Return the baseline under `base` that was saved last; raises RunError if there is none, or one is damaged."""
    found = []
    for path in _saved(base):
        about = _first_line(path)
        found.append((about["saved"], path.name, path))
    if not found:
        raise RunError(
            f"no baseline is saved in {base / RUNS / BASELINES}; save one with --fc-save-baseline=NAME, or name a run"
        )
    return max(found)[2]


def _named(text: str, base: Path) -> Path | None:
    """Return the file of a saved baseline's name; None for a text that is a path."""
    if is_path(text):
        return None
    return base / RUNS / BASELINES / f"{text}{ENDING}"


def is_path(text: str) -> bool:
    """Return whether the name of a baseline is the path of its file."""
    return "/" in text or "\\" in text or text.endswith(ENDING) or text in ("", ".", "..")


def _saved(base: Path) -> Iterator[Path]:
    yield from sorted((base / RUNS / BASELINES).glob(f"*{ENDING}"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise RunError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


# -------------------------------------------------------------------- saving


def save(
    name: str, base: Path, description: Mapping[str, Any], rewards: Rewards, *, allow_errors: bool = False
) -> Path:
    """Save a run as a baseline, and return the file; an earlier baseline of that name or path is replaced.

    `name` is saved under `base`; one with a path separator, or that ends in .jsonl, is a path from the present
    directory. `description` is that of run.json at the end of the run. Raises RunError for a run that was stopped early
    or has no graded answer, for one with errors unless `allow_errors`, and if the file cannot be written.
    """
    path = where_to_save(name, base)
    _refuse_incomplete(name, description, rewards, allow_errors=allow_errors)
    _refuse_a_part(name, path, rewards)
    content = b"".join(lines(description, rewards))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not is_path(name):
            ignore_in_git(path.parent.parent)
        inside.replace(path, content)
    except OSError as error:
        raise RunError(f"{path}: the baseline cannot be saved there: {error.strerror or error}") from error
    return path


def where_to_save(name: str, base: Path) -> Path:
    """Return the file of a baseline that is to be saved; raises RunError for a name that cannot be used."""
    path = _named(name, base)
    if path is None:
        path = Path(name).expanduser()
        if path.suffix != ENDING:
            raise RunError(f"{name}: the file of a baseline has to end in {ENDING}")
        if _exists(path):
            try:
                _first_line(path)
            except RunError as error:
                raise RunError(
                    f"{path}: this file is there already, and is no baseline, so it is kept: {error}"
                ) from None
    elif not _NAME.fullmatch(name):
        raise RunError(
            f"{shown(name, _WIDTH)}: the name of a baseline has letters, digits and . _ + @ - only; or give the path "
            f"of a file that ends in {ENDING}"
        )
    return path


def _refuse_a_part(name: str, path: Path, rewards: Rewards) -> None:
    """Raise RunError if the run has only some of the pivots of the baseline that it would replace, as with --lf."""
    if not _exists(path):
        return
    try:
        before = read_baseline(path, name).rewards
    except RunError:
        return  # a damaged one is of no use, and is replaced
    pivots = {(pivot.place, pivot.pivot_id) for pivot in rewards}
    old = {(pivot.place, pivot.pivot_id) for pivot in before}
    if pivots < old:
        raise RunError(
            f"the baseline {name} is not saved: this run has {len(pivots):,} of its {len(old):,} pivots, and would "
            "replace it; run all of them, save it under another name, or remove the old one"
        )


def _refuse_incomplete(name: str, description: Mapping[str, Any], rewards: Rewards, *, allow_errors: bool) -> None:
    where = f"the baseline {name} is not saved"
    if description.get(DECIDED):
        raise RunError(
            f"{where}: the run was stopped when its verdict was certain, so that its mean is biased; complete it with "
            "--fc-resume, without --fc-stop-when-decided"
        )
    end = ended_early(description)
    if end is not None:
        raise RunError(f"{where}: {end}; complete the run with --fc-resume")
    if not any(pivot.rewards for pivot in rewards):
        raise RunError(f"{where}: the run has no graded answer")
    missing = sum(len(pivot.missing) for pivot in rewards)
    if missing and not allow_errors:
        some = next(pivot for pivot in rewards if pivot.missing)
        raise RunError(
            f"{where}: {count_of(missing, 'answer')} of the run ended in errors, as that of "
            f"{one_line(some.test, _WIDTH)}, and such pivots would be left out of every comparison; ask them again "
            "with --fc-resume, or save it as it is with --allow-errors"
        )


def lines(description: Mapping[str, Any], rewards: Rewards) -> Iterator[bytes]:
    """Yield the lines of a baseline's file."""
    body = list(_body(rewards))
    about: dict[str, Any] = {_MEMBER: FORMAT, "saved": now()}
    about |= {name: description[name] for name in _ABOUT if description.get(name) is not None}
    about["data"] = [{name: data[name] for name in _OF_DATA} for data in description["data"]]
    options = description["options"]
    about["options"] = {name: options[name] for name in _OPTIONS if options.get(name) is not None}
    about["pivots"] = len(rewards)
    about["errors"] = sum(len(pivot.missing) for pivot in rewards)
    about["sha256"] = hashlib.sha256(b"".join(body)).hexdigest()
    yield json.dumps(about).encode("ascii") + b"\n"
    yield from body


def _body(rewards: Rewards) -> Iterator[bytes]:
    names = _names_of(rewards)
    yield compact({"expected": names.expected, "categories": names.categories}).encode("ascii") + b"\n"
    expected = {text: number for number, text in enumerate(names.expected)}
    categories = {text: number for number, text in enumerate(names.categories)}
    place = None
    for pivot in sorted(rewards, key=lambda pivot: (pivot.place, pivot.pivot_id)):
        if pivot.place != place:
            place = pivot.place
            yield compact(place).encode("ascii") + b"\n"
        yield compact(_as_builtins(pivot, expected[_expected(pivot)], categories)).encode("ascii") + b"\n"


@dataclass(frozen=True, slots=True)
class _Names:
    """The texts that the lines of pivots refer to by number."""

    expected: list[str]
    categories: list[str]


def _names_of(rewards: Rewards) -> _Names:
    """Return the texts of a baseline in a fixed order; what has no tool is first, since most pivots refer to it."""
    expected = {_expected(pivot) for pivot in rewards}
    categories = {pivot.categories.get(repeat, "") for pivot in rewards for repeat in pivot.rewards}
    return _Names(sorted(expected, key=lambda text: (":" in text, text)), sorted(categories))


def _expected(pivot: PivotRewards) -> str:
    letter = _LETTERS[pivot.expected]
    return letter if pivot.tool is None else f"{letter}:{pivot.tool}"


def _as_builtins(pivot: PivotRewards, expected: int, categories: Mapping[str, int]) -> list[Any]:
    values: list[Any] = [pivot.pivot_id]
    if pivot.trajectory_id != _trajectory_of(pivot.pivot_id):
        values.append(pivot.trajectory_id)
    values.append(expected)
    repeats = range(1, max((*pivot.rewards, *pivot.missing), default=0) + 1)
    for result, equal in groupby(_result_of(pivot, repeat, categories) for repeat in repeats):
        left = sum(1 for _ in equal)
        if not result:
            values += [result] * left
            continue
        while left:
            times = min(left, _MOST_AT_ONCE)
            values.append([*result, times] if times > 1 else result)
            left -= times
    if pivot.test != _test_of(pivot.place, pivot.pivot_id):
        values.append(pivot.test)
    return values


def _result_of(pivot: PivotRewards, repeat: int, categories: Mapping[str, int]) -> list[float] | None:
    if repeat in pivot.missing:
        return None
    if repeat not in pivot.rewards:
        return []
    return [_number(pivot.rewards[repeat]), categories[pivot.categories.get(repeat, "")]]


def _trajectory_of(pivot_id: str) -> str:
    """Return the trajectory that an id names: 12 for t12-d0, run for run-d3, and the id itself for any other."""
    found = _OF_ITS_PLACE.fullmatch(pivot_id)
    return pivot_id if found is None else found[1]


def _number(reward: float) -> float:
    return int(reward) if reward in (0, 1) else reward


def _test_of(place: str, pivot_id: str) -> str:
    return f"{place}[{pivot_id}]" if "::" in place else f"{place}::{pivot_id}"


# -------------------------------------------------------------------- reading


def read_baseline(path: Path, name: str | None = None) -> Side:
    """Read a saved baseline; raises RunError, with the line and the reason, for whatever is not as it was written."""
    rewards = Rewards()
    about: dict[str, Any] = {}
    names = _Names([], [])
    digest = hashlib.sha256()
    place: str | None = None
    number = 0
    for number, (_, line) in enumerate(lines_of(path, _line, None, is_given=True), 1):
        if isinstance(line, Damage):
            raise RunError(f"{line}{_NOT_ONE if number == 1 else _DAMAGED}")
        value, data = line
        try:
            if number == 1:
                about = _about(value)
                continue
            digest.update(data)
            if number == _LINE_OF_NAMES:
                names = _names_in(value)
            elif isinstance(value, str):
                place = value
            elif place is None:
                raise DamagedLineError("a pivot before the place that it belongs to")
            else:
                rewards.put(_pivot(value, place, names))
        except ValueError as error:  # DamagedLineError is one
            raise RunError(f"{path}:{number}: {error}{_NOT_ONE if number == 1 else _DAMAGED}") from None
    if not number:
        raise RunError(f"{path}: an empty file{_NOT_ONE}")
    if len(rewards) != about["pivots"]:
        raise RunError(
            f"{path}: it has {count_of(len(rewards), 'pivot')}, and its first line says {about['pivots']}{_DAMAGED}"
        )
    if digest.hexdigest() != about["sha256"]:
        raise RunError(f"{path}: its lines were changed, since they do not have the hash in its first line{_DAMAGED}")
    if not any(pivot.rewards for pivot in rewards):
        raise RunError(f"{path}: this baseline has no graded answer")
    return Side(name or str(path), path, about, rewards, is_baseline=True)


_NOT_ONE = "; name a run's directory, or a file that --fc-save-baseline wrote"
_DAMAGED = "; the baseline is damaged, or was edited: restore it, or save it again"


def is_baseline(path: Path) -> bool:
    """Return whether a file begins as a saved baseline does; False if it cannot be read."""
    if path.suffix != ENDING:
        return False
    try:
        with path.open("rb") as stream:
            return f'"{_MEMBER}"'.encode() in stream.read(64)
    except OSError:
        return False


def _first_line(path: Path) -> dict[str, Any]:
    """Read and check the first line of a baseline; raises RunError as `read_baseline`."""
    _, line = next(lines_of(path, _line, None, is_given=True), (0, None))
    if line is None:
        raise RunError(f"{path}: an empty file{_NOT_ONE}")
    if isinstance(line, Damage):
        raise RunError(f"{line}{_NOT_ONE}")
    try:
        return _about(line[0])
    except ValueError as error:
        raise RunError(f"{path}:1: {error}{_NOT_ONE}") from None


def _line(data: bytes) -> tuple[Any, bytes]:
    """Read a line as JSON, and return it with the bytes that are hashed."""
    bare = data.rstrip(b"\r\n")  # a checkout on Windows may change the ends of lines
    if not bare.strip():
        raise DamagedLineError("an empty line")
    try:
        return json.loads(bare.decode("ascii"), parse_constant=_refuse_constant), bare + b"\n"
    except RecursionError:
        raise DamagedLineError("nested too deep") from None
    except UnicodeDecodeError as error:
        raise DamagedLineError(f"not ASCII (byte {error.start + 1})") from None
    except DamagedLineError:
        raise
    except ValueError as error:
        raise DamagedLineError(one_line(f"not JSON: {error}", _WIDTH)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise DamagedLineError(f"not JSON: {name}")


def _about(value: Any) -> dict[str, Any]:
    """Check the first line's object; raises DamagedLineError."""
    if not isinstance(value, dict) or _MEMBER not in value:
        raise DamagedLineError("not the first line of a saved baseline")
    found = value[_MEMBER]
    if type(found) is not int or found != FORMAT:
        raise DamagedLineError(
            f"a baseline of another version of pytest-fcpivot (format {shown(found, _WIDTH)}, this one reads "
            f"{FORMAT}); save it again with this version"
        )
    trouble = trouble_in_baseline(value)
    if trouble is not None:
        raise DamagedLineError(trouble)
    return value


def _names_in(value: Any) -> _Names:
    """Check the object of the second line; raises DamagedLineError."""
    if not isinstance(value, dict) or value.keys() != {"expected", "categories"}:
        raise DamagedLineError(f"an object of the lists expected and categories is needed, not {_said(value)}")
    for name, texts in value.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DamagedLineError(f"{name}: a list of strings is needed, not {_said(texts)}")
        if len(set(texts)) != len(texts):
            raise DamagedLineError(f"{name}: a text is there twice: {_said(texts)}")
    for text in value["expected"]:
        if text.partition(":")[0] not in _EXPECTED:
            raise DamagedLineError(f"what was expected begins with m, c, b or n, and not as {_said(text)}")
    return _Names(**value)


def _pivot(value: Any, place: str, names: _Names) -> PivotRewards:
    """Read one pivot; raises DamagedLineError."""
    if not isinstance(value, list) or len(value) < _FEWEST:
        raise DamagedLineError(f"a list of id, what was expected and results is needed, not {_said(value)}")
    pivot_id, *rest = value
    if not isinstance(pivot_id, str):
        raise DamagedLineError(f"the id of a pivot has to be a string, not {_said(pivot_id)}")
    trajectory = rest.pop(0) if isinstance(rest[0], str) else _trajectory_of(pivot_id)
    letter, colon, tool = _text_at(rest.pop(0), names.expected, "what was expected").partition(":")
    test = rest.pop() if rest and isinstance(rest[-1], str) else _test_of(place, pivot_id)
    pivot = PivotRewards(
        place, pivot_id, sys.intern(trajectory), _EXPECTED[letter], sys.intern(tool) if colon else None, test
    )
    if not rest:
        raise DamagedLineError("no result")
    repeat = 0
    for result in rest:
        if result is None:
            repeat += 1
            pivot.missing.add(repeat)
        elif result == []:
            repeat += 1
        else:
            reward, category, times = _result(result, names.categories)
            for _ in range(times):
                repeat += 1
                pivot.rewards[repeat], pivot.categories[repeat] = reward, category
        if repeat > MOST_REPEATS:
            raise DamagedLineError(f"more than {MOST_REPEATS} results")
    return pivot


def _text_at(number: Any, texts: list[str], name: str) -> str:
    if type(number) is not int or not 0 <= number < len(texts):
        raise DamagedLineError(
            f"the number of {name} is one of the {len(texts)} in the second line, from 0, and not {_said(number)}"
        )
    return texts[number]


def _result(result: Any, categories: list[str]) -> tuple[float, str, int]:
    """Return the reward, the category, and how many repeats have them."""
    if not isinstance(result, list) or len(result) not in _PAIR_OR_MORE:
        raise DamagedLineError(
            f"a result is [reward, category], [reward, category, how many], null or [], and not {_said(result)}"
        )
    reward, number, *times = result
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not 0 <= reward <= 1:
        raise DamagedLineError(f"a reward from 0 to 1 is needed, not {_said(reward)}")
    category = _text_at(number, categories, "a category")
    if times and (type(times[0]) is not int or not 1 < times[0] <= _MOST_AT_ONCE):
        raise DamagedLineError(f"the number of equal results is from 2 to {_MOST_AT_ONCE}, and not {_said(times[0])}")
    return float(reward), category, times[0] if times else 1


def _said(value: Any) -> str:
    return shown(value, _WIDTH)
