"""Saved baselines: what is saved, how it is found and read, and how each kind of damage is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sides import ABOUT, Table, rewards_of, side, single
from test_comparing import tables
from test_rewards import line, run

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.baseline import lines, newest, read_baseline, read_side, save
from pytest_fcpivot.runs.comparing import refuse_different, same_run
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.rewards import Rewards

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = ABOUT | {"started": "2026-01-01T00:00:00", "ended": "2026-01-01T00:01:00"}


def several() -> Rewards:
    """Return results of all kinds: calls and messages, partial credit, errors, repeats, a test of the user's own."""
    rewards = rewards_of({"t1-d0": [1.0, 0.0], "t1-d1": [None, 0.25]})
    batch = CaseRecord("t2-d0", "t2", "function_call_batch", "book", reward=1 / 3, category="ODD \ud800 é")
    rewards.add(batch, "data.jsonl::t2-d0")
    for repeat, reward in enumerate((1.0, 1.0, 1.0, 0.0, 0.0, 1.0), 1):
        often = CaseRecord("t10-d0", "10", "message", None, repeat=repeat, reward=reward, category="A" * int(reward))
        rewards.add(often, f"data.jsonl::t10-d0[r{repeat}]".removesuffix("[r1]"))
    rewards.add(CaseRecord("t2-d1", "t2", "function_call", "a:b", repeat=2, reward=1.0), "data.jsonl::t2-d1[r2]")
    rewards.add(CaseRecord("t1-d0", "t1", "message", None, reward=1.0), "tests/test_own.py::test_it[t1-d0]")
    rewards.add(CaseRecord("t1-d0", "t1", "message", None, reward=0.0), "tests/test_own.py::test_it[2-t1-d0]")
    return rewards


# Saving and reading


def test_a_baseline_is_what_was_saved(tmp_path: Path) -> None:
    """All results come back, with trajectories, tools, categories and node ids, and so does what the run was about."""
    path = save("main", tmp_path, RUN, several(), allow_errors=True)
    assert path == tmp_path / ".fcpivot" / "baselines" / "main.jsonl"
    found = read_side("main", tmp_path)
    by_key = {(pivot.place, pivot.pivot_id): pivot for pivot in found.rewards}
    assert by_key == {(pivot.place, pivot.pivot_id): pivot for pivot in several()}
    assert found.is_baseline
    assert {name: found.description[name] for name in ("agent", "grader", "repeats", "counts")} == {
        name: RUN[name] for name in ("agent", "grader", "repeats", "counts")
    }
    run_itself = side(single(1.0), started=RUN["started"])
    refuse_different(found, run_itself)
    assert found.run_id == run_itself.run_id


def test_what_a_baseline_is_called(tmp_path: Path) -> None:
    """A side has the name that was given, and the path of its file, which may be a link."""
    path = save(
        "main", tmp_path, RUN | {"options": {"fc_strict_schema": True, "fc_agent": "a"}}, several(), allow_errors=True
    )
    (tmp_path / "link.jsonl").symlink_to(path)
    for given_name in ("main", str(tmp_path / "link.jsonl")):
        found = read_side(given_name, tmp_path)
        assert found.name == given_name
        assert found.path is not None
        assert found.path.samefile(path)
        assert found.description["options"] == {"fc_strict_schema": True}
    assert read_baseline(path).name == str(path)


def test_a_baseline_without_a_grade(tmp_path: Path) -> None:
    """A file in which every answer is missing is of no use, and refused."""
    path = tmp_path / "none.jsonl"
    path.write_bytes(b"".join(lines(RUN, rewards_of(single(None)))))
    with pytest.raises(RunError, match=r"none\.jsonl: this baseline has no graded answer"):
        read_baseline(path)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    """A name that the file system refuses is an error of its own."""
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(RunError, match=r"cannot be read: |there is no such run"):
            read_side(name, tmp_path)


def test_the_file(tmp_path: Path) -> None:
    """There is one line for each pivot, in the order of ids, which is short, and the same however results came in."""
    path = save("main", tmp_path, RUN, several(), allow_errors=True)
    about, *body = path.read_text("ascii").splitlines()
    assert body == [
        r'{"expected":["m","b:book","c:a:b"],"categories":["","A","ODD \ud800 \u00e9"]}',
        '"data.jsonl"',
        '["t1-d0","t1",0,[1,0],[0,0]]',
        '["t1-d1","t1",0,null,[0.25,0]]',
        '["t10-d0",0,[1,1,3],[0,0,2],[1,1]]',
        '["t2-d0","t2",1,[0.3333333333333333,2]]',
        '["t2-d1","t2",2,[],[1,0],"data.jsonl::t2-d1[r2]"]',
        '"tests/test_own.py::test_it"',
        '["t1-d0","t1",0,[1,0]]',
        '"tests/test_own.py::test_it[2]"',
        '["t1-d0","t1",0,[0,0],"tests/test_own.py::test_it[2-t1-d0]"]',
    ]
    assert json.loads(about)["pivots"] == 7
    assert "path" not in json.loads(about)["data"][0]
    backwards = Rewards()
    for pivot in reversed(list(several())):
        backwards.put(pivot)
    assert list(lines(RUN, backwards))[1:] == list(lines(RUN, several()))[1:]


@pytest.mark.parametrize(
    ("pivot_id", "named", "others"),
    [
        ("t12-d0", "12", ["t12", "1", "t12-d0"]),
        ("t0a1b-d07", "0a1b", ["t0a1b"]),
        ("run-7-d3", "run-7", ["run", "7"]),
        ("trip-d10", "trip", ["rip"]),
        ("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed-d2", "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", [""]),
        ("p-5a831083951c", "p-5a831083951c", ["5a831083951c"]),
        ("t12", "t12", ["12"]),
        ("-d1", "-d1", [""]),
        ("t12-d\u0661", "t12-d\u0661", ["12"]),
        ("t12-t1s0", "t12-t1s0", ["12"]),
    ],
)
def test_a_trajectory_is_written_if_the_id_does_not_name_it(
    pivot_id: str, named: str, others: list[str], tmp_path: Path
) -> None:
    """The trajectory that an id names is left out, any other is written, and each comes back."""
    for trajectory in (named, *others):
        rewards = Rewards()
        rewards.add(CaseRecord(pivot_id, trajectory, "message", None, reward=1.0), f"data.jsonl::{pivot_id}")
        all_lines = list(lines(RUN, rewards))
        assert json.loads(all_lines[3])[1:-2] == ([] if trajectory == named else [trajectory])
        (tmp_path / "base.jsonl").write_bytes(b"".join(all_lines))
        assert [pivot.trajectory_id for pivot in read_baseline(tmp_path / "base.jsonl").rewards] == [trajectory]


def test_many_equal_results(tmp_path: Path) -> None:
    """Equal results are one up to a hundred of them; errors and other results between them are kept in their order."""
    answers = [*[1.0] * 201, None, None, *[1.0] * 2, 0.5, 1.0]
    all_lines = list(lines(RUN, rewards_of({"t1-d0": answers})))
    assert all_lines[3] == b'["t1-d0","t1",0,[1,0,100],[1,0,100],[1,0],null,null,[1,0,2],[0.5,0],[1,0]]\n'
    (tmp_path / "base.jsonl").write_bytes(b"".join(all_lines))
    assert list(read_baseline(tmp_path / "base.jsonl").rewards) == list(rewards_of({"t1-d0": answers}))


@given(tables())
def test_any_results_come_back(table: Table) -> None:
    """Whatever the results are, they come back unchanged."""
    rewards = rewards_of(table)
    if not any(pivot.rewards for pivot in rewards):
        return
    path = Path(f"{FOLDER}/any.jsonl")
    path.write_bytes(b"".join(lines(RUN, rewards)))
    found = read_baseline(path)
    assert found.rewards.fingerprint() == rewards.fingerprint()


def test_a_run_and_its_baseline_are_the_same(tmp_path: Path) -> None:
    """A run is known as the one that a baseline was saved from, wherever it lies, until its results change."""
    rewards = rewards_of(single(1.0, 0.0))
    save("main", tmp_path, RUN, rewards)
    saved = read_side("main", tmp_path)
    assert same_run(saved, side(single(1.0, 0.0), started=RUN["started"]))
    assert not same_run(saved, side(single(1.0, 1.0), started=RUN["started"]))


def test_paths_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text with a separator or the ending .jsonl is a path from here, any other a name; saving again replaces."""
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    for name in ("kept/gate.jsonl", "gate.jsonl", "./also.jsonl"):
        assert save(name, tmp_path / "root", RUN, rewards_of(single(1.0))) == Path(name)
        save(name, tmp_path / "root", RUN, rewards_of(single(0.0)))
        assert [pivot.mean for pivot in read_side(name, tmp_path).rewards] == [0.0]
    assert save("gate", tmp_path / "root", RUN, rewards_of(single(1.0))).is_relative_to(tmp_path / "root")
    assert (tmp_path / "root" / ".fcpivot" / ".gitignore").exists()
    with pytest.raises(RunError, match=r"gone: there is no such run, and no baseline .*; saved there: gate"):
        read_side("gone", tmp_path / "root")
    Path("gate").mkdir()
    with pytest.raises(RunError, match=r"gate: this may be gate or the saved baseline .*; write \./gate for the first"):
        read_side("gate", tmp_path / "root")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("two words", "has letters, digits and"),
        ("", "the file of a baseline has to end in .jsonl"),
        ("kept/gate.json", "kept/gate.json: the file of a baseline has to end in .jsonl"),
        ("data.jsonl/gate.jsonl", "gate.jsonl: the baseline cannot be saved there: (File exists|Not a directory)"),
        ("data.jsonl", "data.jsonl: this file is there already, and is no baseline, so it is kept"),
    ],
)
def test_names_that_are_refused(name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with other characters, a path with another ending, and a file that is something else are refused."""
    monkeypatch.chdir(tmp_path)
    Path("data.jsonl").write_text('{"id": "p"}\n')
    with pytest.raises(RunError, match=told):
        save(name, tmp_path, RUN, rewards_of(single(1.0)))
    assert Path("data.jsonl").read_text() == '{"id": "p"}\n'
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data.jsonl"]


def test_a_part_does_not_replace_the_whole(tmp_path: Path) -> None:
    """A run of some of a baseline's pivots, as with --lf, does not replace it; one of others, or of all, does."""
    path = save("main", tmp_path, RUN, rewards_of(single(1.0, 1.0, 0.0)))
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"main is not saved: this run has 2 of its 3 pivots, and would replace it; run"):
        save("main", tmp_path, RUN, rewards_of(single(1.0, 1.0)))
    assert path.read_bytes() == before
    save("main", tmp_path, RUN, rewards_of(single(0.0, 1.0, 0.0)))
    assert path.read_bytes() != before
    path.write_bytes(path.read_bytes()[:-9])
    save("main", tmp_path, RUN, rewards_of(single(1.0, 1.0)))
    assert len(read_baseline(path).rewards) == 2


def test_a_path_in_a_new_folder(tmp_path: Path) -> None:
    """The folder of a baseline's file is made, as that of a run is."""
    path = save(str(tmp_path / "kept" / "here" / "gate.jsonl"), tmp_path, RUN, rewards_of(single(1.0)))
    assert path.is_file()


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"sessions": [{"started": "x", "ended": None, "exit_status": None}]}, "its last session did not end"),
        ({"sessions": [{"started": "x", "ended": "y", "exit_status": 2}]}, "ended early, with exit status 2"),
        ({"counts": RUN["counts"] | {"not_run": 3}}, "3 of its tests were not run; complete the run with --fc-resume"),
        ({"decided": {}}, None),
        ({"decided": {"word": "PASS"}}, "stopped when its verdict was certain, so that its mean is biased"),
    ],
)
def test_runs_that_are_not_whole(about: dict[str, Any], told: str | None, tmp_path: Path) -> None:
    """A run that was killed, stopped or decided early is refused with the reason, and nothing is saved."""
    if told is None:
        save("main", tmp_path, RUN | about, rewards_of(single(1.0)))
        return
    with pytest.raises(RunError, match=told):
        save("main", tmp_path, RUN | about, rewards_of(single(1.0)))
    assert not (tmp_path / ".fcpivot").exists()


def test_errors_need_permission(tmp_path: Path) -> None:
    """A run with errors is refused, with one of them, unless allowed; one without a grade is refused always."""
    with pytest.raises(RunError, match=r"2 answers of the run ended in errors, as that of data\.jsonl::t1-d0.*--allow"):
        save("main", tmp_path, RUN, rewards_of(single(1.0, None, None)))
    save("main", tmp_path, RUN, rewards_of(single(1.0, None, None)), allow_errors=True)
    assert read_side("main", tmp_path).description["errors"] == 2
    with pytest.raises(RunError, match="no graded answer"):
        save("main", tmp_path, RUN, rewards_of(single(None)), allow_errors=True)


def test_the_newest(tmp_path: Path) -> None:
    """The newest baseline is the one that was saved last; there has to be one, and none may be damaged."""
    with pytest.raises(RunError, match=r"no baseline is saved in .*; save one with --fc-save-baseline=NAME"):
        newest(tmp_path)
    for name in ("b", "a", "c", "a"):
        save(name, tmp_path, RUN, rewards_of(single(1.0)))
    assert newest(tmp_path).stem == "a"
    (tmp_path / ".fcpivot" / "baselines" / "b.jsonl").write_text("{}\n")
    with pytest.raises(RunError, match=r"b\.jsonl:1: not the first line of a saved baseline"):
        newest(tmp_path)


# Runs as sides


def test_a_run_as_a_side(tmp_path: Path) -> None:
    """A run's directory, or the results in it, is a side; what is missing in it is told."""
    path = run(tmp_path / "run", line("p1", 1.0), line("p2", 0.0).replace('"reward": 0.0', '"reward": 2'))
    with pytest.raises(RunError, match=r"results\.jsonl:2: reward: .*\n.*--allow-damaged"):
        read_side(path, tmp_path)
    for given_path in (path, path / "results.jsonl"):
        found = read_side(given_path, tmp_path, allow_damaged=True)
        assert [pivot.pivot_id for pivot in found.rewards] == ["p1"]
        assert found.notes[0] == "its last session did not end: killed, or still running"
        assert found.notes[1] == "left out: 1 damaged line"
        assert (found.name, found.path, found.description["agent"]) == (str(given_path), path, "a:b")
    with (path / "results.jsonl").open("a") as stream:
        stream.write('{"test": "data.jsonl::p3"')
    assert (
        read_side(path, tmp_path, allow_damaged=True).notes[-1] == "its last line is incomplete and left out: 25 bytes"
    )
    with pytest.raises(RunError, match="this run has no results"):
        read_side(run(tmp_path / "empty"), tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(RunError, match="not a run's directory"):
        read_side(tmp_path / "none", tmp_path)


# Damage

PIVOT = b'["t0-d0","t0",0,[1,0]]\n'


NO_SUCH = "the number of {} is one of the 1 in the second line, from 0, and not "
NO_RESULT = "a result is [reward, category], [reward, category, how many], null or [], and not "


def damaged(change: Callable[[list[bytes]], list[bytes]], path: Path) -> str:
    """Write a baseline of two pivots with a change to its lines; return what reading it says."""
    path.write_bytes(b"".join(change(list(lines(RUN, rewards_of(single(1.0, 0.5)))))))
    with pytest.raises(RunError) as caught:
        read_baseline(path)
    return str(caught.value)


def about_with(**members: Any) -> Callable[[list[bytes]], list[bytes]]:
    """Change members of the first line."""

    def change(all_lines: list[bytes]) -> list[bytes]:
        about = {name: value for name, value in (json.loads(all_lines[0]) | members).items() if value is not ...}
        return [json.dumps(about).encode() + b"\n", *all_lines[1:]]

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _: [], "base.jsonl: an empty file; name a run's directory"),
        (lambda _: [b'{"id": "p"}\n'], "base.jsonl:1: not the first line of a saved baseline; name a run's directory"),
        (lambda _: [b"PAR1\xff\n"], "base.jsonl:1: not ASCII (byte 5); name a run's directory"),
        (about_with(fcpivot_baseline=2), "another version of pytest-fcpivot (format 2, this one reads 1)"),
        (about_with(fcpivot_baseline=True), "another version of pytest-fcpivot (format true, this one reads 1)"),
        (about_with(grader="nemo-gym"), 'base.jsonl:1: grader: an object is needed, not "nemo-gym"'),
        (about_with(data=[{"name": "d"}]), "base.jsonl:1: data[0].sha256 is missing"),
        (about_with(pass_mark=2), "base.jsonl:1: pass_mark: a number over 0 and up to 1 is needed, not 2"),
        (about_with(pivots=...), "base.jsonl:1: pivots is missing"),
        (about_with(saved=1), "base.jsonl:1: saved: a string is needed, not 1"),
        (about_with(counts={"not_run": -1}), "base.jsonl:1: counts.not_run: a whole number from 0 is needed"),
        (about_with(sha256="0"), "its lines were changed"),
        (lambda all_lines: all_lines[:-1], "base.jsonl: it has 1 pivot, and its first line says 2; the baseline is"),
        (lambda all_lines: [*all_lines[:-1], all_lines[-1][:-9]], "base.jsonl:5: cut short; the baseline is damaged"),
        (lambda all_lines: [*all_lines, b"\n"], "base.jsonl:6: an empty line; the baseline is damaged"),
        (lambda all_lines: [*all_lines, PIVOT], "base.jsonl:6: data.jsonl: t0-d0 is there twice"),
        (lambda all_lines: [*all_lines[:2], *all_lines[3:]], "base.jsonl:3: a pivot before the place that it belongs"),
        (lambda all_lines: [*all_lines[:3], PIVOT, all_lines[4].replace(b"0.5", b"0.6")], "its lines were changed"),
        (lambda all_lines: [all_lines[0], *all_lines[2:]], "base.jsonl:2: an object of the lists expected and categor"),
        (lambda all_lines: [*all_lines[:3], *all_lines[1:]], "base.jsonl:4: a list of id, what was expected and resul"),
        (lambda all_lines: all_lines[:1], "base.jsonl: it has 0 pivots, and its first line says 2"),
        *(
            (lambda all_lines, text=text: [all_lines[0], text + b"\n", *all_lines[2:]], told)
            for text, told in [
                (
                    b'{"expected":["m"]}',
                    'base.jsonl:2: an object of the lists expected and categories is needed, not {"',
                ),
                (b'{"expected":["m"],"categories":[""],"more":[]}', "an object of the lists expected and categories"),
                (b'{"expected":"m","categories":[""]}', 'expected: a list of strings is needed, not "m"'),
                (b'{"expected":["m"],"categories":[null]}', "categories: a list of strings is needed, not [null]"),
                (b'{"expected":["m","m"],"categories":[""]}', 'expected: a text is there twice: ["m", "m"]'),
                (b'{"expected":["x:a"],"categories":[""]}', 'begins with m, c, b or n, and not as "x:a"; the baseline'),
                (b'{"expected":["c:a"],"categories":[""]}', "base.jsonl: its lines were changed, since"),
                (
                    b'{"expected":["m"],"categories":["A"]}',
                    "changed, since they do not have the hash in its first line",
                ),
                (b'{"expected":["m"],"categories":[]}', "base.jsonl:4: the number of a category is one of the 0"),
            ]
        ),
        *(
            (lambda all_lines, text=text: [*all_lines[:3], text + b"\n", all_lines[4]], f"base.jsonl:4: {told}")
            for text, told in [
                (b"{}", "a list of id, what was expected and results is needed, not {}"),
                (b'["t0-d0",0]', "a list of id, what was expected and results is needed"),
                (b'[0,"t0",0,[1,0]]', "the id of a pivot has to be a string, not 0"),
                (b'["t0-d0","t0","m",[1,0]]', NO_SUCH.format("what was expected") + '"m";'),
                (b'["t0-d0",null,0,[1,0]]', NO_SUCH.format("what was expected") + "null;"),
                (b'["t0-d0",1,[1,0]]', NO_SUCH.format("what was expected") + "1;"),
                (b'["t0-d0",-1,[1,0]]', NO_SUCH.format("what was expected") + "-1;"),
                (b'["t0-d0",false,[1,0]]', NO_SUCH.format("what was expected") + "false;"),
                (b'["t0-d0","t0",0]', "no result"),
                (b'["t0-d0","t0",0,"data.jsonl::x"]', "no result;"),
                (b'["t0-d0",0,1]', NO_RESULT + "1;"),
                (b'["t0-d0",0,0]', NO_RESULT + "0;"),
                (b'["t0-d0",0,[1]]', NO_RESULT + "[1];"),
                (b'["t0-d0",0,[1,0,2,2]]', NO_RESULT + "[1, 0, 2, 2];"),
                (b'["t0-d0",0,[1.5,0]]', "a reward from 0 to 1 is needed, not 1.5"),
                (b'["t0-d0",0,[true,0]]', "a reward from 0 to 1 is needed, not true"),
                (b'["t0-d0",0,[NaN,0]]', "not JSON: NaN"),
                (b'["t0-d0",0,[1,""]]', NO_SUCH.format("a category") + '"";'),
                (b'["t0-d0",0,[1,1]]', NO_SUCH.format("a category") + "1;"),
                (b'["t0-d0",0,[1,-1]]', NO_SUCH.format("a category") + "-1;"),
                (b'["t0-d0",0,[1,0.0]]', NO_SUCH.format("a category") + "0.0;"),
                (b'["t0-d0",0,[1,0,1]]', "the number of equal results is from 2 to 100, and not 1"),
                (b'["t0-d0",0,[1,0,101]]', "the number of equal results is from 2 to 100, and not 101"),
                (b'["t0-d0",0,[1,0,true]]', "the number of equal results is from 2 to 100, and not true"),
                (b'["t0-d0",0,' + b"[1,0,100]," * 10_000 + b"[1,0]]", "more than 1000000 results"),
                (b"[" * 100_000, "nested too deep"),
                (b"[" + b"9" * 5_000 + b"]", "not JSON: "),
            ]
        ),
    ],
)
def test_damage(change: Callable[[list[bytes]], list[bytes]], told: str, tmp_path: Path) -> None:
    """Each kind of damage is an error with the file, the line, the reason and what to do."""
    assert told in damaged(change, tmp_path / "base.jsonl")


def test_lines_that_end_as_on_windows(tmp_path: Path) -> None:
    """A checkout that changed the ends of lines is the same baseline."""
    path = tmp_path / "base.jsonl"
    path.write_bytes(b"".join(lines(RUN, several())).replace(b"\n", b"\r\n"))
    assert read_baseline(path).rewards.fingerprint() == several().fingerprint()


@given(st.data())
def test_any_damage_is_an_error(data: st.DataObject) -> None:
    """Whatever bytes are changed, cut out or put in, the same results are read, or an error says where."""
    content = b"".join(lines(RUN, several()))
    at, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 30))
    path = Path(f"{FOLDER}/fuzzed.jsonl")
    path.write_bytes(content[:at] + data.draw(st.binary(max_size=30)) + content[at + length :])
    try:
        found = read_baseline(path)
    except RunError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 (most of the damage is an error, and not all)
        return
    assert found.rewards.fingerprint() == several().fingerprint()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)
    )
)
def test_any_json_is_an_error(value: Any) -> None:
    """Whatever JSON stands in the place of a pivot or of a member of the first line, reading it is an error."""
    text = json.dumps(value).encode()
    path = Path(f"{FOLDER}/odd.jsonl")
    about, names, place, *pivots = lines(RUN, several())
    for all_lines in (
        [about, names, place, text + b"\n", *pivots[1:]],
        [about, text + b"\n", place, *pivots],
        [text + b"\n", names, place, *pivots],
    ):
        path.write_bytes(b"".join(all_lines))
        with pytest.raises(RunError):
            read_baseline(path)


FOLDER = ""


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make one folder for the files of all examples of a property."""
    global FOLDER  # noqa: PLW0603 (hypothesis does not take fixtures of a function)
    FOLDER = str(tmp_path_factory.mktemp("baselines"))
