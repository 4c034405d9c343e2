"""Finds one pivot of a run, or of a data file, with all that is known of it: its row, its result, its grade in detail.

A run may be unfinished, damaged, or without its data. What is there is returned, with notes on what is not.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.grader import choose
from pytest_fcpivot.audit.run_data import RunData
from pytest_fcpivot.audit.stored_results import action_of
from pytest_fcpivot.core.errors import ActionError, DataError, FcPivotError, RunError
from pytest_fcpivot.core.jsontext import one_line, printable, quoted
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data import has_hash, open_store, resolve_data
from pytest_fcpivot.graders.base import ROUNDING
from pytest_fcpivot.graders.categories import SCHEMA_INVALID
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.data_of_test import DataOfTests, Told
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory, ended_early
from pytest_fcpivot.runs.reader import Damage, ResultLine, output_of, results_in
from pytest_fcpivot.runs.trust import Origin, find_key
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pytest_fcpivot.audit.grader import Named
    from pytest_fcpivot.core.model import Action, Grade, Pivot, SchemaVerdict
    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader

_CLOSE = 5  # ids that are suggested
_COMPARED = 20_000  # ids that are compared with an unknown one; more would take seconds
_LISTED = 12
_REPEAT = re.compile(r"(.+)\[r(\d{1,7})\]", re.DOTALL)
_IN_NAME = re.compile(r"\[r\d{1,7}(?:\]|$)")
_WIDTH = 400


@dataclass(frozen=True, slots=True)
class OtherRepeat:
    """Another repeat of a pivot in the same run: its node id and what came of it."""

    test: str
    repeat: int
    outcome: str
    reward: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePivot:
    """A pivot as it was found, with its result in a run, if there is one.

    `test` is the node id, None if it is not known. `run` and `description` are None for a pivot of a data file;
    `made_here`: the run was. `pivot` is None if the data are not at hand. `data_path` is the file that it was read
    from, and `data_name` the name by which the run knows it. `action` is the graded action; `grade` is the recorded
    grade; `compared` is the one by which the actions are compared: the same with the pairing of calls if the grader
    could be asked, or that of another grader that the user names. `grader` is that grader. `notes` say what is missing.
    """

    pivot_id: str
    repeat: int
    test: str | None = None
    run: Path | None = None
    description: Mapping[str, Any] | None = None
    made_here: bool = False
    pivot: Pivot | None = None
    data_name: str | None = None
    data_path: Path | None = None
    line: ResultLine | None = None
    action: Action | None = None
    grade: Grade | None = None
    compared: Grade | None = None
    grader: Grader | None = None
    verdict: SchemaVerdict | None = None
    others: tuple[OtherRepeat, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def output(self) -> Any:
        """What the agent returned, decoded; None if there is nothing."""
        return None if self.line is None else output_of(self.line)


def find_in_data(name: str, wanted: str) -> OnePivot:
    """Find a pivot in a data file; raises DataError if the file cannot be read, or has no such pivot."""
    path = resolve_data(name)
    wanted, repeat = _without_repeat(wanted.rpartition("::")[2])
    with closing(open_store(path)) as store:
        row = _row_of(store, wanted)
        if row is None:
            raise DataError(f"{name}: {_unknown(wanted, store.each('id'), 'pivot')}")
        pivot = store.read(row)
    return OnePivot(pivot_id=pivot.id, repeat=repeat, pivot=pivot, data_name=name, data_path=path)


def find_in_run(
    path: Path, wanted: str, data: Sequence[str] = (), named: Named | None = None, *, is_latest: bool = False
) -> OnePivot:
    """Find a pivot's result in a run, by the pivot's id or by a node id as pytest prints it.

    `data` are files to use in place of the run's own, and `named` is a grader that the user names. Raises RunError if
    there is no such run or no such pivot in it, or if several tests have its id; DataError for files of the user's that
    cannot be read.
    """
    return _Finding(path, wanted, data, named, is_latest=is_latest).found()


def _without_repeat(text: str) -> tuple[str, int]:
    match = _REPEAT.fullmatch(text)
    return (match[1], int(match[2])) if match else (text, 1)


class _Finding:
    def __init__(self, path: Path, wanted: str, data: Sequence[str], named: Named | None, *, is_latest: bool) -> None:
        self._path = path
        self._wanted = wanted
        self._given = data
        self._named = named
        self._is_latest = is_latest
        self._where = f"{path} (the latest run)" if is_latest else str(path)
        self._description, origin = read_with_origin(path, find_key())
        self._made_here = origin is Origin.HERE
        self._notes: list[str] = []
        self._lost = False  # a result of it was there, but cannot be read

    def found(self) -> OnePivot:
        lines = self._lines()
        if not lines:
            return self._without_result()
        test = self._choose(lines)
        line = lines[test]
        store_name, pivot, data_path = self._pivot_of(line)
        others = tuple(
            OtherRepeat(each.test, each.repeat, each.outcome, each.reward)
            for each in lines.values()
            if each.test != test and _base_of(each) == _base_of(line)
        )
        found = OnePivot(
            pivot_id=line.pivot_id,
            repeat=line.repeat,
            test=test,
            run=self._path,
            description=self._description,
            made_here=self._made_here,
            pivot=pivot,
            data_name=store_name,
            data_path=data_path,
            line=line,
            others=tuple(sorted(others, key=lambda other: other.repeat)),
        )
        return replace(self._graded(found), notes=tuple(self._notes))

    # ---------------------------------------------------------------- the result

    def _lines(self) -> dict[str, ResultLine]:
        """Return the last lines of all tests that the wanted text may mean, by their node ids."""
        wanted = {self._wanted, _without_repeat(self._wanted)[0], _base_name(self._wanted)}
        found: dict[str, ResultLine] = {}
        lost: dict[str, Damage] = {}
        damages = Damages()
        for _, line in damages.watch(results_in(RunDirectory(self._path).results)):
            if isinstance(line, Damage):
                test = line.test
                if test is not None and (test in wanted or test.rpartition("::")[2] in wanted):
                    lost[test] = line
                    if not line.torn:
                        found.pop(test, None)
            elif _means(line, wanted):
                found[line.test] = line
                lost.pop(line.test, None)
        self._lost = bool(lost)
        self._notes += [
            f"the result of {test} cannot be read: {damage}; resume the run, which runs the test again: "
            f"pytest --fc-resume={self._path}"
            for test, damage in lost.items()
        ]
        if damages.without_test:
            self._notes.append(f"the results have {damages.losses()}; a newer result of this test may be among them")
        end = ended_early(self._description)
        if end is not None:
            self._notes.append(end)
        return found

    def _choose(self, lines: Mapping[str, ResultLine]) -> str:
        """Return the node id of the wanted test among those that the text may mean; raises RunError if unclear."""
        if self._wanted in lines:
            return self._wanted
        pivot_id, repeat = _without_repeat(self._wanted)
        by_base: dict[str, dict[int, str]] = {}
        for test, line in lines.items():
            by_base.setdefault(_base_of(line), {})[line.repeat] = test
        if len(by_base) > 1:
            listed = "\n".join(f"  {test}" for test in list(lines)[:_LISTED])
            more = f"\n  and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
            raise RunError(
                f"{self._where}: {pivot_id} is the pivot of several tests; give one of them in place of the id:\n"
                f"{listed}{more}"
            )
        ((base, repeats),) = by_base.items()
        if repeat in repeats:
            return repeats[repeat]
        there = ", ".join(f"{each}" for each in sorted(repeats))
        raise RunError(
            f"{self._where}: there is no result of repeat {repeat} of {base}; repeats with a result: {there}"
        )

    def _without_result(self) -> OnePivot:
        """Return a pivot that the run's data have, although there is no result; raises RunError for an unknown one."""
        place, _, name = self._wanted.rpartition("::")
        if place and "[" in name and not _REPEAT.fullmatch(name):
            name = name.partition("[")[2].removesuffix("]")  # a test of the user's own
        pivot_id, repeat = _without_repeat(name)
        if place:
            self._refuse_other_place(pivot_id)
        found: list[tuple[str, Pivot, Path]] = []
        ids: list[str] = []
        stores = self._open(self._description.get("data") or [])
        try:
            for data_name, store in stores:
                if place and place != data_name and place in {each for each, _ in stores}:
                    continue
                row = _row_of(store, pivot_id)
                if row is None:
                    ids += store.each("id")
                else:
                    found.append((data_name, store.read(row), self._file_of(data_name, store)))
        finally:
            for _, store in stores:
                store.close()
        if not found:
            if not ids:
                ids = list(self._ids_of_results())
            raise RunError(f"{self._where}: {_unknown(pivot_id, ids, 'result or pivot')}")
        if len(found) > 1:
            listed = "\n".join(f"  {data_name}::{pivot_id}" for data_name, _, _ in found)
            raise RunError(f"{self._where}: {pivot_id} is in several data sets; give one of them:\n{listed}")
        ((data_name, pivot, path),) = found
        if not self._lost:
            another = "; this is the latest run: name an earlier one before the id" if self._is_latest else ""
            self._notes.insert(0, f"this run has no result of it: it was not selected, or not run{another}")
        return OnePivot(
            pivot_id=pivot_id,
            repeat=repeat,
            run=self._path,
            description=self._description,
            made_here=self._made_here,
            pivot=pivot,
            data_name=data_name,
            data_path=path,
            notes=tuple(self._notes),
        )

    def _refuse_other_place(self, pivot_id: str) -> None:
        """Raise RunError if the pivot has results, but of tests with other node ids than the wanted one."""
        results = results_in(RunDirectory(self._path).results)
        tests = {line.test for _, line in results if not isinstance(line, Damage) and line.pivot_id == pivot_id}
        known = {each["name"] for each in self._description.get("data") or []}
        if tests and self._wanted.rpartition("::")[0] not in known:
            listed = "\n".join(f"  {test}" for test in sorted(tests)[:_LISTED])
            raise RunError(f"{self._where}: no test {self._wanted}; the tests of this pivot are:\n{listed}")

    def _ids_of_results(self) -> Iterable[str]:
        """Return the ids of the pivots that have a result, each once."""
        results = results_in(RunDirectory(self._path).results)
        return dict.fromkeys(line.pivot_id for _, line in results if not isinstance(line, Damage))

    # ---------------------------------------------------------------- the pivot

    def _pivot_of(self, line: ResultLine) -> tuple[str | None, Pivot | None, Path | None]:
        """Return the data set's name, the pivot and the file; None for what is not at hand, which a note says."""
        pivot_id, test = line.pivot_id, line.test
        recorded = self._description.get("data") or []
        own = [each for each in recorded if test.startswith(f"{each['name']}::")]
        stores = self._open(own[:1] if own else recorded)
        try:
            told = partial(Told, line.trajectory_id, line.expected, line.tool)
            found = DataOfTests(stores, {pivot_id}).find(test, pivot_id, told)
            if found is None:
                if stores:
                    known = any(_row_of(store, pivot_id) is not None for _, store in stores)
                    self._notes.append(
                        f"the run's data have several pivots {pivot_id}, and none is as the result tells of it"
                        if known and not own
                        else f"the run's data do not have the pivot {pivot_id}"
                    )
                return (own[0]["name"] if own else None), None, None
            name, store = stores[found[0]]
            return name, store.read(found[1]), self._file_of(name, store)
        except DataError as error:
            self._notes.append(f"its row cannot be read: {error}")
            return None, None, None
        finally:
            for _, store in stores:
                store.close()

    def _file_of(self, name: str, store: PivotStore) -> Path:
        """Return the data file that stands for a data set: the user's, or the one that the run used."""
        each = next((each for each in self._description.get("data") or [] if each["name"] == name), None)
        if each is None:
            return store.path
        given = next((text for text in self._given if _is_of(text, each["sha256"])), None)
        return Path(each["path"]) if given is None else Path(given)

    def _open(self, recorded: Sequence[Mapping[str, Any]]) -> list[tuple[str, PivotStore]]:
        """Open data of the run; what is not at hand is noted, unless the user has given files."""
        description = {**self._description, "data": list(recorded)}
        hashes = [each["sha256"] for each in recorded]
        given = [text for text in self._given if any(_is_of(text, digest) for digest in hashes)]
        try:
            data = RunData(self._path, description, made_here=self._made_here)
            return data.open(given or self._given)
        except FcPivotError as error:
            if self._given:
                raise
            self._notes.append(f"without the pivot's conversation and tools: {error}")
            return []

    # ---------------------------------------------------------------- the grade

    def _graded(self, found: OnePivot) -> OnePivot:
        """Return the pivot with its action, the grade in detail and the schema's verdict, as far as they are known."""
        line, pivot = found.line, found.pivot
        assert line is not None  # noqa: S101 (there is a result)
        tools = frozenset[str]() if pivot is None else tool_set(pivot.tools_json).names
        action = None
        if not line.has_no_answer or line.has_output:
            options = self._description.get("options", {})
            empty: Any = "object" if options.get("fc_empty_arguments") == "object" else "text"
            try:
                action, _ = action_of(line, tools, empty)
            except ActionError as error:
                if not line.is_error:
                    self._notes.append(f"the action cannot be read: {error}")
        verdict = None
        if action is not None and pivot is not None and not line.redacted:
            verdict = tool_set(pivot.tools_json).check(action)
        choice = choose(self._path, self._description["grader"], self._named, made_here=self._made_here)
        grade = line.grade()
        if grade is None:
            return replace(found, action=action, verdict=verdict, grader=choice.grader)
        self._notes += choice.notes
        grader = choice.grader
        if line.redacted:
            self._notes.append("a secret was removed from the answer, so that it is not compared by the grader again")
            grader = None
        if grader is not None and action is not None and pivot is not None:
            compared = self._in_detail(grade, grader, pivot, action, line)
        else:
            compared = grade
        return replace(found, action=action, grade=grade, compared=compared, grader=grader, verdict=verdict)

    def _in_detail(self, grade: Grade, grader: Grader, pivot: Pivot, action: Action, line: ResultLine) -> Grade:
        """Return the recorded grade with what only the grader knows: which calls it paired, and its explanation."""
        try:
            again = grader.grade(pivot.expected_action, action)
        except Exception as error:  # noqa: BLE001 (a user's own grader may raise anything)
            self._notes.append(f"graded again, it is an error: {one_line(f'{type(error).__name__}: {error}', _WIDTH)}")
            return grade
        is_scored = line.judge is not None or grade.category == SCHEMA_INVALID
        differs = abs(again.reward - grade.reward) > ROUNDING
        earns = f"{again.reward:.3g} ({one_line(again.category)})"
        if self._named is not None and (differs or again.category != grade.category):
            self._notes.append(f"by {grader.name}, the answer earns {earns}; the actions are compared by it")
            return again
        if differs and not is_scored:
            self._notes.append(
                f"graded again, the answer earns {earns}, and not the recorded {grade.reward:.3g}: the grader, the "
                "data or the results have changed; fcpivot audit looks at all of the run"
            )
            return grade
        return replace(grade, pairs=again.pairs) if again.category == grade.category else grade


def _means(line: ResultLine, wanted: Collection[str]) -> bool:
    """Return whether a result is of a test that is meant: by its node id, by its pivot's, or as one of its repeats."""
    if line.pivot_id in wanted or line.test in wanted or (line.repeat > 1 and _base_name(line.test) in wanted):
        return True
    return not line.test.isprintable() and printable(line.test) in wanted


@lru_cache(maxsize=64)
def _is_of(text: str, digest: str) -> bool:
    return has_hash(resolve_data(text), digest)


def _base_name(test: str) -> str:
    """Return the node id of a test's first repeat: without `[r2]`, at the end or inside of the brackets of its own."""
    match = _IN_NAME.search(test)
    return test if match is None else test[: match.start()] + test[match.end() :]


def _base_of(line: ResultLine) -> str:
    return _base_name(line.test) if line.repeat > 1 else line.test


def _row_of(store: PivotStore, pivot_id: str) -> int | None:
    return next((row for row, each in enumerate(store.each("id")) if each == pivot_id), None)


def _unknown(wanted: str, ids: Iterable[str], what: str) -> str:
    """Write that an id is unknown, with the ids that come close to it."""
    known = list(dict.fromkeys(ids))
    close = [each for each in known if each.startswith(wanted)][:_CLOSE]
    if not close:
        some = known
        if len(known) > _COMPARED:
            some = [each for each in known if wanted in each or each[:4] == wanted[:4]][:_COMPARED]
        close = get_close_matches(wanted, some, _CLOSE)
    name = wanted if wanted.isprintable() else quoted(wanted)
    text = f"no {what} of the id {one_line(name, 200)}, among {count_of(len(known), 'id')}"
    if close:
        return f"{text}; close to it: {', '.join(one_line(each, 100) for each in close)}"
    some_ids = ", ".join(one_line(each, 100) for each in known[:3])
    return f"{text}" + (f"; they look like {some_ids}" if some_ids else "")
