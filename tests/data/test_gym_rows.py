"""Pivots as rows of NeMo Gym, and what is read from them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot import Pivot
from pytest_fcpivot.core.errors import DataError, RowProblem
from pytest_fcpivot.core.model import Action, FunctionCall
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.data.gym_rows import gym_members, gym_row
from pytest_fcpivot.data.jsonparts import joined
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.rowreader import RowReader
from pytest_fcpivot.data.rows import OWN, StoredPivot
from pytest_fcpivot.data.sources import file_source

SHARED = Path(__file__).parents[3] / "shared" / "data"
PARTS = (
    *("id", "trajectory_id", "split", "turn", "step", "depth", "n_tools"),
    *("input_json", "tools_json", "params_json", "metadata_json", "expected_action"),
)


def parts(pivot: Pivot) -> dict[str, Any]:
    """Return what makes a pivot; its line in the source is not part of it."""
    return {name: getattr(pivot, name) for name in PARTS}


def read_again(pivot: Pivot) -> Pivot:
    """Write a pivot as a line, and read it as `prepare` does."""
    line = joined(gym_members(pivot))
    assert b"\n" not in line
    read = RowReader().read(line, 1)
    assert isinstance(read, StoredPivot)
    return read.pivot()


def pivots_in(path: Path) -> list[Pivot]:
    """Return the pivots of a file."""
    store = open_store(path)
    try:
        return [store.read(row) for row in range(len(store))]
    finally:
        store.close()


def prepared(lines: list[Any], here: Path, name: str = "data") -> list[Pivot]:
    """Prepare rows, and return their pivots."""
    source, target = here / f"{name}.jsonl", here / f"{name}.parquet"
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    prepare([file_source(source)], target)
    return pivots_in(target)


ASKED = {"input": [{"role": "user", "content": "go"}], "tools": []}
ROW = {"responses_create_params": ASKED, "expected_action": {"type": "message", "content": "yes"}}
TALK = [
    {"role": "user", "content": "Where is it?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"n": 1}}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": {"at": [1.0, None]}},
    {"role": "assistant", "content": "There."},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "You are welcome."},
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ROWS: dict[str, dict[str, Any]] = {
    "nothing but a pivot": ROW,
    "a trajectory and a place": {**ROW, "trajectory_id": 17, "info": {"turn": 1, "step": 0, "depth": 3}},
    "a trajectory that is text": {**ROW, "trajectory_id": "a b", "meta_info": {"turn": 1, "assistant_depth": 2}},
    "a trajectory of many digits": {**ROW, "trajectory_id": 10**30},
    "a trajectory with zeros": {**ROW, "trajectory_id": "007"},
    "an id": {**ROW, "id": "one two", "split": "train"},
    "a number": {**ROW, "uuid": 12, "pass_rate": 1e-7, "nothing": None, "split": None},
    "a split that is a number": {**ROW, "id": "x", "split": 3},
    "settings": {**ROW, "responses_create_params": {**ASKED, "parallel_tool_calls": False, "text": {"a": [1.0]}}},
    "a conversation": {"messages": TALK, "tools": [TOOL], "uuid": "c7", "licence": "x"},
    "a conversation without an id": {"messages": TALK, "tools": [TOOL], "split": "test"},
    "a log": {
        "id": "log",
        "input": ASKED["input"],
        "output": [{"type": "message", "role": "assistant", "content": "a"}],
    },
}


@pytest.mark.parametrize("case", ROWS)
def test_the_same_pivots(tmp_path: Path, case: str) -> None:
    """A pivot of each shape is read from its row as it was: ids, place, split, texts to the letter, and metadata."""
    pivots = prepared([ROWS[case]], tmp_path)
    again = prepared([gym_row(pivot) for pivot in pivots], tmp_path, "again")
    for pivot, other in zip(pivots, again, strict=True):
        assert parts(read_again(pivot)) == parts(pivot)
        wanted, found = parts(pivot), parts(other)
        texts = [name for name in PARTS if name.endswith("_json")]
        for text in texts:
            assert json.loads(found.pop(text)) == json.loads(wanted.pop(text))
        assert found == wanted


def test_a_row_is_written_as_it_was() -> None:
    """A row of the published form is the same value after it was read and written."""
    row = {**ROW, "trajectory_id": 17, "info": {"turn": 1, "step": 0, "depth": 3}, "agent_ref": {"name": "a"}}
    assert gym_row(Pivot.from_row(row)) == row


@pytest.mark.parametrize("name", ["nemo_gym_example", "nemo_gym_parallel_example", "nemo_gym_example_rollouts"])
def test_the_shared_rows(name: str) -> None:
    """NVIDIA's own rows are the same values after they were read and written, without settings that are null."""
    path = SHARED / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip("the third-party example rows are not part of this project")
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        params = row["responses_create_params"]
        row["responses_create_params"] = {key: value for key, value in params.items() if value is not None}
        assert gym_row(Pivot.from_row(json.loads(line))) == row


def test_the_sample() -> None:
    """Each pivot of the sample is read again as it is, and none needs a member of ours."""
    for pivot in pivots_in(SAMPLE_PATH):
        assert parts(read_again(pivot)) == parts(pivot)
        assert OWN not in gym_members(pivot)


_NAMES = st.text("ab_é", min_size=1, max_size=3)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=4,
)
_SPLITS = st.none() | st.text(min_size=1, max_size=5)
_PLACES = st.none() | st.integers(-(2**31) + 1, 2**31 - 1)


@given(
    metadata=st.dictionaries(_NAMES, _VALUES, max_size=3),
    params=st.dictionaries(st.sampled_from(["temperature", "top_p", "text"]), st.floats(0, 1), max_size=2),
    ids=st.tuples(st.from_regex("[A-Za-z0-9_.-]{1,60}", fullmatch=True), st.text(min_size=1, max_size=20), _SPLITS),
    places=st.tuples(_PLACES, _PLACES, _PLACES),
    calls=st.lists(st.tuples(st.text(max_size=4), st.dictionaries(st.text(max_size=2), _VALUES)), max_size=3),
)
def test_any_pivot(
    metadata: dict[str, Any],
    params: dict[str, Any],
    ids: tuple[str, str, str | None],
    places: tuple[int | None, ...],
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    """Whatever a pivot holds, it is read again as the same pivot."""
    actions = tuple(FunctionCall(name, arguments) for name, arguments in calls)
    own, trajectory, split = ids
    pivot = Pivot(
        id=own,
        trajectory_id=trajectory,
        expected_action=Action(actions, None if actions else "said"),
        input_json='[{"role":"user","content":"go"}]',
        params_json=json.dumps(params, separators=(",", ":")),
        metadata_json=joined({key: json.dumps(value).encode() for key, value in metadata.items()}).decode(),
        turn=places[0],
        step=places[1],
        depth=places[2],
        split=split,
        n_tools=0,
    )
    assert parts(read_again(pivot)) == parts(pivot)


def test_json_on_several_lines() -> None:
    """Line ends between the parts of a pivot's JSON do not get into the row, and those inside of texts stay."""
    pivot = Pivot("a", "a", Action(message="x"), '[\n {"role": "user",\r\n "content": "a\\nb"}\n]', metadata_json="{}")
    assert gym_row(pivot)["responses_create_params"]["input"] == [{"role": "user", "content": "a\nb"}]
    assert b"\n" not in joined(gym_members(pivot))


@pytest.mark.parametrize(
    "metadata",
    [{"expected_action": 1}, {"responses_create_params": {}}, {"trajectory_id": "other"}, {OWN: {"id": "b"}}],
)
def test_a_pivot_that_would_be_another(metadata: dict[str, Any]) -> None:
    """A pivot whose metadata would be read as something else is refused with its id."""
    pivot = Pivot("a", "t", Action(message="x"), '[{"role":"user"}]', metadata_json=json.dumps(metadata))
    with pytest.raises(DataError, match=r"^a: this pivot cannot be a row of NeMo Gym that is read back as the same"):
        gym_row(pivot)


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("text", "an object is expected, as fcpivot export writes it, not a string"),
        ({"id": "a::b"}, r"fcpivot export writes no 'id' of \"a::b\"; remove _fcpivot"),
        ({"id": "a[1]"}, "writes no 'id'"),
        ({"id": ""}, "writes no 'id'"),
        ({"depth": 1 << 40}, "writes no 'depth' of"),
        ({"turn": True}, "writes no 'turn' of true"),
        ({"split": ""}, "writes no 'split'"),
        ({"no_strict": 1}, "writes no 'no_strict' of 1"),
        ({"expected_action": {"type": "message", "content": "no"}}, "writes no 'expected_action'"),
    ],
)
def test_a_member_of_ours_from_elsewhere(own: Any, reason: str) -> None:
    """What the member for exported rows may not hold, such as another answer, makes the row a broken one."""
    with pytest.raises(RowProblem, match=reason):
        Pivot.from_row({**ROW, OWN: own})


def test_an_id_twice(tmp_path: Path) -> None:
    """Two rows that claim the same id for themselves are refused, as any two rows with one id."""
    rows = [{**ROW, "trajectory_id": number, OWN: {"id": "same"}} for number in (1, 2)]
    with pytest.raises(DataError, match=r"data\.jsonl:2: duplicate id 'same', first on line 1"):
        prepared(rows, tmp_path)


# -------------------------------------------------------------------- the split of a row


def test_the_split_of_a_row(tmp_path: Path) -> None:
    """A split that a row names is the pivot's own, and not metadata; it counts for more than the name of the file."""
    rows: list[Any] = [{**ROW, "id": f"p{number}", "split": split} for number, split in enumerate(["a", 7, None, ""])]
    rows.append({"messages": TALK, "id": "c", "split": "b"})
    pivots = prepared(rows, tmp_path)
    assert [pivot.split for pivot in pivots] == ["a", None, None, None, "b", "b", "b"]
    assert ["split" in pivot.metadata for pivot in pivots] == [False, True, True, True, False, False, False]
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    from pytest_fcpivot.data.sources import resolve  # noqa: PLC0415 (only here)

    prepare(list(resolve([str(folder)], tmp_path, say=print)), tmp_path / "set.parquet")
    named = ["a", "train", "train", "train", "b", "b", "b"]
    assert [pivot.split for pivot in pivots_in(tmp_path / "set.parquet")] == named
