"""Reads the stored answers that an audit grades again, with their pivots, from a run or from NeMo Gym's rollouts.

Only the offset of each test's last line is kept in memory. Results are read in the order of the data, because reading
neighbouring pivots is cheap.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.audit.grader import choose
from pytest_fcpivot.core.actions import SUBMIT_MESSAGE, to_action
from pytest_fcpivot.core.errors import ActionError, FcPivotError, RowProblem, RunError
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH, has_hash, open_store, resolve_data
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.data.rows import pivot_from_row
from pytest_fcpivot.graders import NemoGymGrader
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.sets import FIRST
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.report.grader import shown_settings
from pytest_fcpivot.runs.damage import Damages, listed, would_be_missing
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory, ended_early
from pytest_fcpivot.runs.reader import (
    Damage,
    DamagedLineError,
    ResultLine,
    line_at,
    open_regular,
    output_of,
    result_line,
    results_in,
)
from pytest_fcpivot.runs.rollouts import RolloutRepeats, is_without_answer, no_rollouts, reward_of, rollouts_in
from pytest_fcpivot.runs.trust import Origin, find_key
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_fcpivot.audit.grader import Named
    from pytest_fcpivot.core.actions import EmptyArguments
    from pytest_fcpivot.core.model import Action, Pivot
    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader

_ROLLOUTS = ".jsonl"
_HASH_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Result:
    """One graded answer: what was recorded about it, and the pivot and the action to grade again."""

    test: str
    name: str  # the pivot's id, with the repeat
    trajectory_id: str
    pivot: Pivot
    action: Action
    reward: float | None
    category: str | None
    schema: str | None
    redacted: bool = False  # the action was graded with a secret in it that was removed when it was stored

    @property
    def tool(self) -> str | None:
        """The tool of the first expected call; None if a message is expected."""
        calls = self.pivot.expected_action.calls
        return calls[0].name if calls else None

    @property
    def is_message(self) -> bool:
        """Whether a message was expected and the answer is a message."""
        return not self.pivot.expected_action.calls and not self.action.calls and self.action.message is not None


class Stored(Protocol):
    """A source of graded answers that can be audited.

    `grader` is the run's own grader, None if it cannot be made; `grader_name` is its recorded name. `scores_messages`
    is true if the recorded rewards of messages are scores, and `judged` if a model gave these. `errors` and `notes` are
    complete only after all results have been read.
    """

    path: Path
    agent: str
    grader_name: str
    grader: Grader | None
    pass_mark: float
    strict_schema: bool
    scores_messages: bool
    judged: bool
    errors: int
    notes: list[str]

    def results(self) -> Iterator[Result]: ...  # noqa: D102


def open_stored(
    path: Path, data: Sequence[str] = (), grader: Named | None = None, *, allow_damaged: bool = False
) -> Stored:
    """Open a run for an audit: a run directory, its `results.jsonl`, or a file of rollouts.

    `data` are files to use in place of the run's own; `grader` is the one that the user names. Raises RunError if there
    is no such run, or if its data have changed, DataError as `open_store` does, and GraderError and OptionError as
    `grader.choose` does. Reading the results also raises RunError for damaged lines, unless `allow_damaged` is true.
    """
    if path.name == "results.jsonl" and path.with_name("run.json").is_file():
        path = path.parent
    if path.is_file():
        if path.suffix != _ROLLOUTS:
            raise RunError(f"{path}: name a run's directory, or rollouts as .jsonl (not compressed)")
        if data:
            raise RunError(f"{path}: rollouts bring their own pivots; leave out --data")
        if grader is not None:
            raise RunError(
                f"{path}: rollouts do not record which grader gave their rewards; leave out --grader, or grade them "
                f"with it: pytest --fc-replay={path} --fc-grader={grader.spec}"
            )
        return StoredRollouts(path, allow_damaged=allow_damaged)
    if not path.exists():
        raise RunError(f"{path}: there is no such run; runs are recorded under .fcpivot, or where --fc-run says")
    return StoredResults(path, data, grader, allow_damaged=allow_damaged)


class StoredResults:
    """The results of a run directory, with its data."""

    def __init__(self, path: Path, data: Sequence[str], named: Named | None, *, allow_damaged: bool) -> None:
        description, origin = read_with_origin(path, find_key())
        self._allow_damaged = allow_damaged
        self.path = path
        self._results = RunDirectory(path).results
        self._description = description
        self._options: dict[str, Any] = description.get("options", {})
        grader: Any = description.get("grader")
        mark = description.get("pass_mark", DEFAULT_PASS_MARK)
        self.agent = str(description.get("agent"))
        self.grader_name = str(grader["name"])
        self.notes: list[str] = []
        self.errors = 0
        self._made_here = origin is Origin.HERE
        choice = choose(path, grader, named, made_here=self._made_here)
        self.grader: Grader | None = choice.grader
        self.notes += map(Redactor(), choice.notes)  # they may quote the run, or an error of a user's grader
        if isinstance(self.grader, NemoGymGrader) and self.grader.settings != FIRST:
            self.notes.append(
                f"the run was graded with {shown_settings(self.grader.settings)}; the rungs named nemo-gym have "
                f"{shown_settings(FIRST)}"
            )
        self.pass_mark = float(mark)
        self.strict_schema = _is_on(self._options.get("fc_strict_schema"))
        self._empty_arguments: EmptyArguments = (
            "object" if self._options.get("fc_empty_arguments") == "object" else "text"
        )
        self.scores_messages = self.grader_name == AgenticGrader().name
        judge = description.get("judge")
        self.judged = isinstance(judge, dict) and bool(judge.get("model"))
        end = ended_early(description)
        if end is not None:
            self.notes.append(f"{end}; the audit covers the results that exist")
        self._stores = self._open_data(data)

    # ---------------------------------------------------------------- the data

    def _open_data(self, given: Sequence[str]) -> list[tuple[str, PivotStore]]:
        """Open the run's data by name, from the files that the user gives or from where the run had them.

        Raises RunError, which shows the hashes, if a file is not the one that the run used.
        """
        recorded = self._description.get("data") or []
        if not recorded:  # users' own tests without data of their own run over the sample
            recorded = [{"name": SAMPLE, "path": str(SAMPLE_PATH), "sha256": None}]
        offered = {path.absolute(): self._open(path) for path in map(resolve_data, given)}
        stores: list[tuple[str, PivotStore]] = []
        try:
            stores.extend((data["name"], self._find(data, offered)) for data in recorded)
            _refuse_unused(offered, stores)
        except BaseException:
            for store in (*[store for _, store in stores], *[store for store, _ in offered.values()]):
                store.close()
            raise
        return stores

    def _open(self, path: Path) -> tuple[PivotStore, str]:
        skips = self._options.get("fc_bad_rows") == "skip"
        # a replay of rollouts may use the rollouts themselves as data, which may hold a pivot several times
        repeats = str(self._description.get("replays") or "").endswith(_ROLLOUTS)
        store = open_store(path, bad_rows="skip" if skips else "refuse", same_pivot="repeat" if repeats else "problem")
        return store, store.content_hash(path)

    def _find(self, data: dict[str, Any], offered: dict[Path, tuple[PivotStore, str]]) -> PivotStore:
        """Return the store of one of the run's data files: from the user's files, or from its recorded path."""
        wanted, name, path = data["sha256"], data["name"], Path(data["path"])
        for store, found in offered.values():
            if found == wanted:
                return store
        if name == SAMPLE:
            path = SAMPLE_PATH  # wherever the run had it
        seen = dict(offered)
        gone = f"are not at {path} any more"
        if path not in seen and self._may_be_read(path):
            if self._made_here or name == SAMPLE or has_hash(path, wanted):
                store, found = seen[path] = self._open(path)
                if wanted in (None, found):
                    return store
                store.close()
            else:  # another file of this user: nothing of it may be shown or cached because a foreign run names it
                gone = f"are not what is at {path}, which is not read, since the run was not made here"
        if not seen:
            raise RunError(f"{self.path}: its data {name} {gone}; give the file: --data FILE")
        lines = [f"  the run's {name}: sha256 {_cut(wanted)}, {data.get('pivots', '?')} pivots"]
        lines += [f"  {where}: sha256 {_cut(found)}, {len(store)} pivots" for where, (store, found) in seen.items()]
        listed = "\n".join(lines)
        raise RunError(
            f"{self.path}: these are not the data of the run, so its answers would be graded against other pivots:\n"
            f"{listed}\ngive the file as it was then: --data FILE"
        )

    def _may_be_read(self, path: Path) -> bool:
        """Return whether a path that the run names is a regular file with the name of a data file.

        For a run that was not made here, network paths are not even examined: Windows would log in to the server.
        """
        if not self._made_here and str(path).startswith(("\\\\", "//")):
            return False
        return _is_file(path) and is_data_file(path)

    # ---------------------------------------------------------------- the results

    def results(self) -> Iterator[Result]:
        """Yield the graded results in the order of the data, each from the last line of its test."""
        try:
            with closing(_Lines(self._results)) as lines:
                found = lines.places()
                places = {test: place for test, place in found.items() if place is not None}
                self.errors = len(found) - len(places)
                _refuse_damaged(
                    lines.damages,
                    "resume the run, which runs their tests again (pytest --fc-resume=DIR)",
                    allowed=self._allow_damaged,
                )
                self.notes += [*_told_of(lines.damages), *self._missing(found)]
                yield from self._read(lines, places)
        except OSError as error:
            raise RunError(f"{self._results}: cannot be read: {error.strerror or error}") from error
        finally:
            for _, store in self._stores:
                store.close()

    def _missing(self, found: Iterable[str]) -> Iterator[str]:
        """Yield a note for each data file whose own tests lack results; the number of users' own tests is not known."""
        known = {data["name"]: data.get("selected") for data in self._description.get("data") or ()}
        own = Counter(name for test in found for name in known if test.startswith(f"{name}::"))
        repeats = self._description.get("repeats", 1)
        for name, count in own.items():
            selected = known[name]
            if isinstance(selected, int) and isinstance(repeats, int) and count < selected * repeats:
                yield f"{count} of {selected * repeats} tests of {name} have a result"

    def _read(self, lines: _Lines, places: dict[str, tuple[str, int]]) -> Iterator[Result]:
        found, unknown = self._in_order(places)
        if unknown:
            self.notes.append(f"results left out because the data do not contain their pivots: {unknown}")
        changed = odd = 0
        for number, row, offset, own in found:
            data, line = lines.read(offset)
            pivot = self._stores[number][1].read(row)
            # the pivot's tools are needed only for calls of submit_message; reading them takes longer than the rest
            names = tool_set(pivot.tools_json).names if SUBMIT_MESSAGE.encode() in data else frozenset()
            try:
                action, as_answered = _action(line, names, self._empty_arguments)
            except FcPivotError:
                odd += 1
                continue
            changed += own and not as_answered and not line.redacted
            yield Result(
                test=line.test,
                name=pivot.id if line.repeat == 1 else f"{pivot.id}[r{line.repeat}]",
                trajectory_id=line.trajectory_id,
                pivot=pivot,
                action=action,
                reward=line.reward,
                category=line.category,
                schema=line.schema,
                redacted=line.redacted,
            )
        if odd:
            self.notes.append(f"results left out because their action cannot be read: {odd}")
        if changed:
            self.notes.append(
                f"answers whose graded action is not the one that their output is read as now: {changed} (a fixture "
                "changed them, or the reading has changed); the audit uses the graded action"
            )

    def _in_order(self, places: dict[str, tuple[str, int]]) -> tuple[list[tuple[int, int, int, bool]], int]:
        """Return (data file, row, offset, whether it is the pivot's own test), sorted, and the number not found."""
        wanted = {pivot_id for pivot_id, _ in places.values()}
        rows = [
            {pivot_id: row for row, pivot_id in enumerate(store.each("id")) if pivot_id in wanted}
            for _, store in self._stores
        ]
        numbers = {f"{name}::": number for number, (name, _) in enumerate(self._stores)}
        found: list[tuple[int, int, int, bool]] = []
        for test, (pivot_id, offset) in places.items():
            number = next((number for prefix, number in numbers.items() if test.startswith(prefix)), None)
            among = range(len(rows)) if number is None else (number,)
            place = next((other for other in among if pivot_id in rows[other]), None)
            if place is not None:
                found.append((place, rows[place][pivot_id], offset, number is not None))
        return sorted(found), len(places) - len(found)


class _Lines:
    """The lines of `results.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = open_regular(path)
        self.damages = Damages()

    def places(self) -> dict[str, tuple[str, int] | None]:
        """Return the pivot and the last line's offset for each test; None for a test that ended in an error."""
        found: dict[str, tuple[str, int] | None] = {}
        for offset, line in self.damages.watch(results_in(self._path)):
            if not isinstance(line, Damage):
                found[line.test] = None if line.is_error else (line.pivot_id, offset)
            elif line.test is not None:
                found.pop(line.test, None)
        return found

    def read(self, offset: int) -> tuple[bytes, ResultLine]:
        data = line_at(self._stream, offset)
        try:
            return data, result_line(data)
        except DamagedLineError as error:
            raise RunError(f"{self._path}: changed while it was read: {error}") from error

    def close(self) -> None:
        self._stream.close()


def _action(line: ResultLine, names: frozenset[str], empty_arguments: EmptyArguments) -> tuple[Action, bool]:
    """Return the action that was graded, and whether the output, which a replay would grade, is read as the same one.

    It is, unless a user's own test or fixture changed the action. `names` are the names of the pivot's tools;
    `empty_arguments` is the run's setting. Raises ActionError if neither the action nor the output can be read.
    """
    try:
        answered = to_action(output_of(line), names, empty_arguments=empty_arguments)
    except ActionError:
        answered = None
    if not line.has_action:
        if answered is None:
            raise ActionError(f"{line.test}: neither action nor output can be read")
        return answered, True
    graded = line.graded()
    return graded, graded == answered


def _refuse_damaged(damages: Damages, instead: str, *, allowed: bool) -> None:
    if damages and not allowed:
        raise RunError(f"{would_be_missing(damages)}\n{instead}, or --allow-damaged")


def _told_of(damages: Damages) -> Iterator[str]:
    if damages.torn is not None:
        yield f"the last line is incomplete and was left out: {damages.torn.size} bytes"
    if damages:
        yield f"left out: {damages.losses()}"
        yield from (f"  {line}" for line in listed([damages]))
    if damages.made_up:
        yield f"damaged lines that do not matter, because their tests have later results: {damages.made_up}"


def _refuse_unused(offered: dict[Path, tuple[PivotStore, str]], stores: list[tuple[str, PivotStore]]) -> None:
    used = {id(store) for _, store in stores}
    for path, (store, _) in offered.items():
        if id(store) not in used:
            names = ", ".join(name for name, _ in stores)
            raise RunError(f"--data {path}: the run does not need it: its data are {names}, and were found")


def _is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False if this user may not look at it."""
    try:
        return path.is_file()
    except OSError:
        return False


def _is_on(value: Any) -> bool:
    return str(value).lower() in ("1", "true", "yes", "on")


def _cut(digest: str | None) -> str:
    return f"{digest[:_HASH_SHOWN]}…" if digest else "unknown"


class StoredRollouts:
    """NeMo Gym's rollouts: rows that hold a pivot, the model's response, and the reward that the verifier gave it."""

    def __init__(self, path: Path, *, allow_damaged: bool) -> None:
        self.path = path
        self._allow_damaged = allow_damaged
        self._damages = Damages()
        self.agent = path.name
        self.grader_name = "NeMo Gym"
        self.grader: Grader | None = None  # the rows do not record the verifier's version and settings
        self.pass_mark = DEFAULT_PASS_MARK
        self.strict_schema = False
        self.scores_messages = self.judged = False
        self.errors = 0
        self.notes: list[str] = []
        self._without_answer = 0

    def results(self) -> Iterator[Result]:
        """Yield the rollouts that have a response, in order; several rollouts of one pivot are its repeats."""
        repeats = RolloutRepeats(self.path)
        for number, _, row in rollouts_in(self.path):
            if isinstance(row, Damage):
                self._damages.add(row)
                continue
            result = self._result(row, number, repeats)
            if result is not None:
                yield result
        _refuse_damaged(self._damages, "replay them without these lines", allowed=self._allow_damaged)
        if not repeats.most:
            raise RunError(f"{self.path}: {no_rollouts(self._without_answer)}")
        self.notes += _told_of(self._damages)
        if self._without_answer:
            self.notes.append(f"rollouts without an expected action, left out: {self._without_answer}")

    def _result(self, row: dict[str, Any], number: int, repeats: RolloutRepeats) -> Result | None:
        if "response" not in row:
            return None
        if is_without_answer(row):
            self._without_answer += 1
            return None
        try:
            pivot = pivot_from_row(row, number)
        except RowProblem as problem:
            self._damages.add(Damage(self.path, number, problem.reason, 0))
            return None
        repeat = repeats.next(pivot.id, row)
        try:
            action = to_action(row["response"], tool_set(pivot.tools_json).names)
        except ActionError:
            action = None
        if action is None or row["response"] is None:
            self.errors += 1
            return None
        category = row.get("category")
        name = pivot.id if repeat == 1 else f"{pivot.id}[r{repeat}]"
        return Result(
            test=name,
            name=name,
            trajectory_id=pivot.trajectory_id,
            pivot=pivot,
            action=action,
            reward=reward_of(row),
            category=category if isinstance(category, str) else None,
            schema=None,
        )
