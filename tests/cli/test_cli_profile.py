"""`fcpivot profile`: which pivots are kept, what is said of the others, and what is refused."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd
import pandas.core.arrays.arrow.extension_types
import pytest

from pytest_fcpivot import Pivot, load_pivots
from pytest_fcpivot.cli import main
from pytest_fcpivot.data import file_hash, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TOOLS = [{"type": "function", "name": "find", "parameters": {"type": "object", "properties": {}}}]
NOT_RUN: Any = "not run"
MIXED = [1, 0, 1, 0, 0, 0, 0, 0]
PASSES, FAILS = [1] * 8, [0] * 8
TABLE: dict[str, Sequence[Any]] = {
    "t1-d0": PASSES,
    "t1-d1": FAILS,
    "t2-d0": MIXED,
    "t2-d1": [1, 1, 1, 1, 1, 1, 1, 0],
    "t3-d0": [None, 1, 0, 1, 1, 1, 1, 1],
    "t3-d1": [None, *FAILS[1:]],
}


def row(pivot: str, *, message: bool = False) -> dict[str, Any]:
    """Return the row of a pivot, which is named after its trajectory and its depth."""
    trajectory, _, depth = pivot.partition("-d")
    call = {"type": "function_call", "name": "find", "arguments": f'{{"of": "{pivot}"}}'}
    return {
        "trajectory_id": trajectory,
        "info": {"turn": 0, "step": 0, "depth": int(depth)},
        "responses_create_params": {
            "input": [{"role": "user", "content": f"Find {pivot}."}],
            "tools": TOOLS,
            "parallel_tool_calls": False,
        },
        "expected_action": {"type": "message", "content": "Done."} if message else call,
    }


def data_of(here: Path, pivots: Sequence[str], messages: Sequence[str] = ()) -> Path:
    """Write a file with these pivots."""
    path = here / "data.jsonl"
    path.write_text("".join(json.dumps(row(each, message=each in messages)) + "\n" for each in pivots))
    return path


def line(pivot: str, repeat: int, reward: float | None, answer: Any, *, message: bool) -> dict[str, Any]:
    """Return a line of results."""
    found = {
        "test": f"data.jsonl::{pivot}" + (f"[r{repeat}]" if repeat > 1 else ""),
        "pivot_id": pivot,
        "trajectory_id": pivot.partition("-")[0],
        "expected": "message" if message else "function_call",
        "tool": None if message else "find",
        "repeat": repeat,
        "outcome": "error" if reward is None else "passed" if reward == 1 else "failed",
        "reward": reward,
    }
    return found if reward is None else found | {"action": answer, "output": answer}


def called(**arguments: Any) -> dict[str, str]:
    """Return a call of the one function."""
    return {"type": "function_call", "name": "find", "arguments": json.dumps(arguments)}


def run_of(
    here: Path,
    table: Mapping[str, Sequence[Any]],
    name: str = "run",
    *,
    messages: Sequence[str] = (),
    answers: Mapping[str, Sequence[Any]] | None = None,
    data: Path | None = None,
    **about: Any,
) -> Path:
    """Write a run with these rewards by pivot and repeat: None is an error, NOT_RUN has no result."""
    data = data_of(here, list(table), messages) if data is None else data
    lines = [
        line(
            pivot,
            repeat,
            reward,
            answers[pivot][repeat - 1] if answers else called(n=repeat),
            message=pivot in messages,
        )
        for pivot, rewards in table.items()
        for repeat, reward in enumerate(rewards, 1)
        if reward != NOT_RUN
    ]
    repeats = max(map(len, table.values()))
    description = {
        "format": 1,
        "agent": "my_agent:answer",
        "grader": {"name": "nemo-gym:first-call", "settings": {}},
        "data": [
            {
                "name": "data.jsonl",
                "path": str(data),
                "sha256": file_hash(data),
                "pivots": len(table),
                "selected": len(table),
            }
        ],
        "repeats": repeats,
        "options": {},
        "sessions": [{"started": f"2026 {name}", "ended": "2026", "exit_status": 1}],
        "started": f"2026 {name}",
        "counts": {"selected": len(table) * repeats, "not_run": len(table) * repeats - len(lines)},
    }
    path = here / name
    path.mkdir()
    (path / "run.json").write_text(json.dumps(description | about))
    (path / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def kept(run: Path, *more: str) -> list[dict[str, Any]]:
    """Profile a run, and return the rows that are kept."""
    target = run.parent / "kept.jsonl"
    assert main(["profile", str(run), "-o", str(target), *more]) == 0
    return [json.loads(text) for text in target.read_text("ascii").splitlines()]


def names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the pivots of kept rows, by trajectory and depth."""
    return [f"{row['trajectory_id']}-d{row['info']['depth']}" for row in rows]


def figures(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    """Return the figures of a profile."""
    assert main(["profile", *map(str, arguments), "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """Return why a profile is refused."""
    assert main(["profile", *map(str, arguments)]) == 2
    return capsys.readouterr().err


# -------------------------------------------------------------------- what is mixed


def test_only_pivots_that_passed_and_failed_are_kept(tmp_path: Path) -> None:
    """An error counts as neither: with it, a mixed pivot is kept, and its rate is of the seven others."""
    rows = kept(run_of(tmp_path, TABLE))
    assert names(rows) == ["t2-d0", "t2-d1", "t3-d0"]
    assert [(each["pass_rate"], each["pass_rate_total"], each["pass_rate_passed"]) for each in rows] == [
        (0.25, 8, 2),
        (0.875, 8, 7),
        (6 / 7, 7, 6),
    ]


def test_the_kinds_add_up_to_the_candidates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seven alike of eight are unfinished, and so is a pivot without any result; every pivot is of one kind."""
    table = TABLE | {"t4-d0": [NOT_RUN] * 8}
    found = figures(capsys, run_of(tmp_path, table))
    assert found["kinds"] == {"all-pass": 1, "all-fail": 1, "mixed": 3, "unfinished": 2}
    assert sum(found["kinds"].values()) == found["candidates"] == 7
    assert found["rollouts"] == {
        "planned": 56,
        "graded": 46,
        "errors": 2,
        "not_run_mixed": 0,
        "without_result": 8,
    }
    for rows in found["groups"].values():
        assert sum(each["pivots"] for each in rows.values()) == 7
    assert found["histogram"]["8"] == {"0": 1, "2": 1, "7": 1, "8": 1}


def test_fewer_rollouts_may_be_enough(tmp_path: Path) -> None:
    """With --min-rollouts=7, seven failures are all-fail."""
    run = run_of(tmp_path, TABLE)
    assert names(kept(run, "--keep=all-fail")) == ["t1-d1"]
    assert names(kept(run, "--keep=all-fail", "--min-rollouts=7")) == ["t1-d1", "t3-d1"]
    assert names(kept(run, "--keep=all-pass")) == ["t1-d0"]


def test_fewer_rollouts_than_are_needed_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no pivot has as many as a uniform one takes, the number that would do is said."""
    run = run_of(tmp_path, {pivot: rewards[:4] for pivot, rewards in TABLE.items()})
    assert names(kept(run)) == ["t2-d0", "t3-d0"]
    assert "--min-rollouts=4 takes as many as there are" in capsys.readouterr().out


def test_partial_credit_that_differs_does_not_make_a_pivot_mixed(tmp_path: Path) -> None:
    """Only the outcome decides: rewards that are all below the mark fail alike; another mark divides them."""
    run = run_of(tmp_path, {"t1-d0": [0, 0.5, 0.25, 0.5, 0, 0.75, 0.5, 0.5], "t2-d0": MIXED})
    assert names(kept(run)) == ["t2-d0"]
    assert names(kept(run, "--outcome-mark=0.5")) == ["t1-d0", "t2-d0"]


def test_another_pass_mark_of_the_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that passed from 0.5 was counted otherwise by its session: a line names the option that counts so."""
    run = run_of(tmp_path, {"t1-d0": [0.5, 0.0] * 4}, pass_mark=0.5)
    told = "it passed from 0.5 (--fc-pass-mark); --outcome-mark=0.5 counts so"
    assert main(["profile", str(run)]) == 0
    assert told in capsys.readouterr().out
    assert main(["profile", str(run), "--outcome-mark=0.5"]) == 0
    assert "--fc-pass-mark" not in capsys.readouterr().out


def test_a_lower_largest_mean_keeps_a_part_of_what_a_higher_one_keeps(tmp_path: Path) -> None:
    """--max-mean is monotone, and a pivot with just this mean is kept."""
    table = {f"t{number}-d0": [1] * number + [0] * (8 - number) for number in range(1, 8)}
    run = run_of(tmp_path, table)
    before: set[str] = set()
    for number in range(1, 8):
        found = set(names(kept(run, f"--max-mean={number / 8}")))
        assert before < found
        assert len(found) == number
        before = found


# -------------------------------------------------------------------- how many are kept


def test_messages_are_at_most_the_share(tmp_path: Path) -> None:
    """Of 6 calls and 6 messages, 2 messages are left with a share of 0.3, since 3 of 9 would be more."""
    pivots = [f"t{number}-d0" for number in range(12)]
    run = run_of(tmp_path, dict.fromkeys(pivots, MIXED), messages=pivots[6:])
    rows = kept(run, "--message-share=0.3")
    kinds = Counter(row["expected_action"]["type"] for row in rows)
    assert kinds == {"function_call": 6, "message": 2}
    other = kept(run, "--message-share=0.3", "--seed=1")
    assert len(other) == 8
    assert names(other) != names(rows)
    assert len(kept(run, "--message-share=1")) == 12
    limited = Counter(row["expected_action"]["type"] for row in kept(run, "--message-share=0.3", "--limit=4"))
    assert limited == {"function_call": 3, "message": 1}


def test_a_split_has_whole_trajectories(tmp_path: Path) -> None:
    """All pivots of a trajectory are in one split, which another choice of pivots does not change."""
    pivots = [f"t{number}-d{depth}" for number in range(40) for depth in range(2)]
    run = run_of(tmp_path, dict.fromkeys(pivots, MIXED))
    splits: dict[str, set[str]] = {}
    for each in kept(run, "--split=0.75"):
        splits.setdefault(each["trajectory_id"], set()).add(each["split"])
    assert all(len(each) == 1 for each in splits.values())
    train = sum(each == {"train"} for each in splits.values())
    assert 20 < train < 38
    for each in kept(run, "--split=0.75", "--limit=9"):
        assert {each["split"]} == splits[each["trajectory_id"]]


def test_the_order_of_the_runs_makes_no_difference(tmp_path: Path) -> None:
    """Two runs of an agent are counted together, and give the same bytes either way."""
    run = run_of(tmp_path, TABLE)
    other = run_of(tmp_path, dict(reversed(TABLE.items())), "other", data=tmp_path / "data.jsonl")
    found = []
    for order in ([run, other], [other, run]):
        target, table = tmp_path / "kept.jsonl", tmp_path / "table.parquet"
        arguments = [*map(str, order), "-o", str(target), "--table", str(table), "--split=0.5", "--limit=2"]
        assert main(["profile", *arguments]) == 0
        found.append((target.read_bytes(), pd.read_parquet(table).to_json()))
    assert found[0] == found[1]
    assert json.loads(found[0][0].splitlines()[0])["pass_rate_total"] > 8


# -------------------------------------------------------------------- figures


def test_the_table_has_the_figures_of_nemo_gym(tmp_path: Path) -> None:
    """Means, medians and deviations are those of the graded rollouts, the last of a sample (with n - 1)."""
    rewards = [0, 0.5, 1, 1, 0.25, 0, None, 1]
    run = run_of(tmp_path, {"t1-d0": rewards, "t2-d0": [None] * 7 + [1], "t3-d0": [None] * 8})
    assert main(["profile", str(run), "--table", str(tmp_path / "table.parquet")]) == 0
    found = pd.read_parquet(tmp_path / "table.parquet")
    first, second, third = found.to_dict("records")
    graded = [each for each in rewards if each is not None]
    assert first["mean/reward"] == pytest.approx(statistics.fmean(graded))
    assert first["std/reward"] == pytest.approx(pd.Series(graded).std()) == pytest.approx(statistics.stdev(graded))
    assert first["median/reward"] == statistics.median(graded)
    assert (first["max/reward"], first["min/reward"]) == (1.0, 0.0)
    assert [first[f"{name}num_rollouts"] for name in ("", "expected_", "missing_")] == [7, 8, 1]
    infos = first["rollout_infos"]
    assert [each["reward"] for each in infos] == graded
    assert [each["_ng_rollout_index"] for each in infos] == [0, 1, 2, 3, 4, 5, 7]
    assert [each["rollout_id"] for each in infos][:2] == ["0:0", "0:1"]
    assert second["std/reward"] == 0.0
    assert pd.isna(third["mean/reward"])
    assert list(found["kind"]) == ["mixed", "unfinished", "unfinished"]


def test_what_all_fail_may_hide_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The largest rate that is still possible is told, and with enough pivots what a fit expects of them."""
    table = {f"t{n}-d0": FAILS if n < 20 else PASSES if n < 30 else MIXED for n in range(50)}
    assert main(["profile", str(run_of(tmp_path, table))]) == 0
    out = capsys.readouterr().out
    assert "all-fail: a pass rate of up to 31 % after 8 rollouts is still possible" in out
    assert "of 20 would pass at least once if each was asked as often again, by a beta-binomial" in out


def test_no_figure_is_estimated_from_few_pivots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With six pivots, it is said that nothing is estimated."""
    assert main(["profile", str(run_of(tmp_path, TABLE))]) == 0
    assert "is not estimated: there are fewer than 30 pivots" in capsys.readouterr().out


def test_answers_that_never_differ_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a temperature of 0, all answers to each pivot are identical."""
    same = {pivot: [called(n=1)] * 8 for pivot in ("t1-d0", "t1-d1")}
    table = {"t1-d0": PASSES, "t1-d1": FAILS}
    assert main(["profile", str(run_of(tmp_path, table, answers=same))]) == 0
    assert "warning: all answers to each pivot are identical" in capsys.readouterr().out
    (tmp_path / "second").mkdir()
    assert main(["profile", str(run_of(tmp_path / "second", table))]) == 0
    assert "identical" not in capsys.readouterr().out


def test_sources_with_the_same_answers_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rollouts in another form of the same file, which would count twice, are told; those that differ are not."""
    one = rollouts(tmp_path / "one.jsonl", TABLE | {"t3-d0": PASSES, "t3-d1": FAILS})
    copy = rollouts(tmp_path / "copy.jsonl", TABLE | {"t3-d0": PASSES, "t3-d1": FAILS}, numbered=False)
    assert main(["profile", str(one), str(copy)]) == 0
    assert "have the same answers to all pivots that both have" in capsys.readouterr().out
    text = copy.read_text().replace('\\"n\\": 7', '\\"n\\": 9', 1)
    assert text != copy.read_text()
    copy.write_text(text)
    assert main(["profile", str(one), str(copy)]) == 0
    assert "same answers" not in capsys.readouterr().out


def test_ids_of_several_data_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kept pivots of two data files with one id make a file that is refused as data, which is said."""
    run = run_of(tmp_path, {"t1-d0": MIXED})
    data = tmp_path / "data.jsonl"
    (tmp_path / "more.jsonl").write_text(data.read_text() + json.dumps(row("t9-d0")) + "\n")
    about = json.loads((run / "run.json").read_text())
    second = about["data"][0] | {"name": "more.jsonl", "path": str(tmp_path / "more.jsonl")}
    about["data"].append(second | {"sha256": file_hash(tmp_path / "more.jsonl"), "pivots": 2})
    (run / "run.json").write_text(json.dumps(about))
    results = (run / "results.jsonl").read_text()
    assert main(["profile", str(run)]) == 0
    assert "several data" not in capsys.readouterr().out
    (run / "results.jsonl").write_text(results + results.replace("data.jsonl::", "more.jsonl::"))
    assert main(["profile", str(run)]) == 0
    assert "warning: 1 of the ids are in several data of the runs" in capsys.readouterr().out


# -------------------------------------------------------------------- suspects


def test_a_comparator_that_would_pass_an_answer_makes_the_matcher_suspect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that differs in case alone passes under `case`; one that is wrong is of no suspicion."""
    answers = {"t1-d0": [called(of="T1-D0")] * 3 + [called(of="x")] * 5, "t1-d1": [called(of="other")] * 8}
    run = run_of(tmp_path, {"t1-d0": FAILS, "t1-d1": FAILS}, answers=answers)
    (found,) = figures(capsys, run)["suspect_matcher"]
    assert (found["pivot_id"], found["comparator"], found["passing"], found["of"]) == ("t1-d0", "case", 3, 8)
    assert "T1-D0" in found["answer"]


def test_agents_that_fail_alike_make_the_expected_action_suspect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two agents that mostly give one other answer are told with it; where they differ, nothing is."""
    table = {"t1-d0": FAILS, "t1-d1": FAILS, "t2-d0": FAILS}
    message = {"type": "message", "content": "Which one?"}
    first = {
        "t1-d0": [called(a=1, b=2)] * 8,
        "t1-d1": [called(a=1)] * 8,
        "t2-d0": [message | {"content": str(n)} for n in range(8)],
    }
    second = {
        "t1-d0": [called(b=2, a=1)] * 5 + [called(a=0)] * 3,
        "t1-d1": [called(a=2)] * 8,
        "t2-d0": [message] * 8,
    }
    runs = [run_of(tmp_path, table, answers=first), run_of(tmp_path, table, "two", answers=second, agent="other")]
    found = {each["pivot_id"]: each for each in figures(capsys, *runs)["suspect_gold"]}
    assert set(found) == {"t1-d0", "t2-d0"}
    assert (found["t1-d0"]["answers"], found["t1-d0"]["of"]) == (13, 16)
    assert found["t2-d0"]["answer"] == "a message in place of a call"
    assert figures(capsys, runs[0])["suspect_gold"] == []


def test_pivots_that_are_mixed_because_agents_differ_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One agent always passes and another never: counted together the pivot is mixed, and for neither alone."""
    runs = [run_of(tmp_path, {"t1-d0": PASSES, "t2-d0": MIXED})]
    runs.append(run_of(tmp_path, {"t1-d0": FAILS, "t2-d0": MIXED}, "two", agent="other"))
    found = figures(capsys, *runs)
    assert (found["kinds"]["mixed"], found["mixed_by_agents_alone"]) == (2, 1)


def test_how_runs_answered_is_shown_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two runs of the same pivots, the shares of messages and calls are told; of one run, or of rollouts, not."""
    runs = [run_of(tmp_path, TABLE), run_of(tmp_path, TABLE, "two", agent="later")]
    assert main(["profile", *map(str, runs)]) == 0
    assert "how 2 runs answered" in capsys.readouterr().out
    assert main(["profile", str(runs[0])]) == 0
    assert "answered the" not in capsys.readouterr().out


# -------------------------------------------------------------------- a run that stops when a pivot is mixed


def test_a_run_that_stops_once_mixed_has_no_pass_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its mixed pivots are finished, with a rate of null; uniform ones were asked as often as any."""
    table = {"t1-d0": [0, 1] + [NOT_RUN] * 6, "t1-d1": PASSES, "t2-d0": [0, 0, 1, None] + [NOT_RUN] * 4}
    run = run_of(tmp_path, table, options={"fc_until_mixed": "true"})
    rows = kept(run)
    assert [(row["pass_rate"], row["pass_rate_total"], row["pass_rate_passed"]) for row in rows] == [
        (None, 2, 1),
        (None, 3, 1),
    ]
    assert [row["pass_rate"] for row in kept(run, "--keep=all-pass")] == [1.0]
    assert "10 not run: mixed" in capsys.readouterr().out
    assert "--fc-until-mixed" in refusal(capsys, run, "--max-mean=0.5")
    found = figures(capsys, run, "--table", tmp_path / "table.parquet")
    assert (found["rollouts"]["without_result"], found["kinds"]["unfinished"]) == (0, 0)
    table_ = pd.read_parquet(tmp_path / "table.parquet")
    assert list(table_["mean/reward"].isna()) == [True, False, True]
    assert list(table_["missing_num_rollouts"]) == [0, 0, 1]


# -------------------------------------------------------------------- graded again


def test_answers_are_graded_again_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grader of one's own decides which pivots are mixed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evens_of_profile.py").write_text(
        "import json\n\n\ndef grade(expected, actual):\n    return json.loads(actual.calls[0].arguments)['n'] % 2\n"
    )
    run = run_of(tmp_path, {"t1-d0": PASSES, "t1-d1": FAILS})
    assert names(kept(run)) == []
    rows = kept(run, "--grader=evens_of_profile:grade")
    assert [(name, row["pass_rate"]) for name, row in zip(names(rows), rows, strict=True)] == [
        ("t1-d0", 0.5),
        ("t1-d1", 0.5),
    ]


# -------------------------------------------------------------------- rollouts of NeMo Gym


def rollouts(path: Path, table: Mapping[str, Sequence[Any]], *, numbered: bool = True, **more: Any) -> Path:
    """Write rollouts with these rewards; each answers with a call of its own."""
    lines = []
    for task, (pivot, rewards) in enumerate(table.items()):
        for index, reward in enumerate(rewards):
            if reward == NOT_RUN:
                continue
            numbers = {"_ng_task_index": task, "_ng_rollout_index": index} if numbered else {}
            response = {"model": "m", "output": [called(n=index)]}
            lines.append(row(pivot) | numbers | {"response": response, "reward": reward, "category": "c"} | more)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_rollouts_bring_their_own_pivots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their rows are kept without the answers; an index that is missing is a rollout that is missing."""
    table = {"t1-d0": MIXED, "t1-d1": [0, NOT_RUN, *FAILS[2:]], "t2-d0": PASSES}
    path = rollouts(tmp_path / "rollouts.jsonl", table)
    (found,) = kept(path)
    assert (found["pass_rate"], found["pass_rate_total"], found["pass_rate_passed"]) == (0.25, 8, 2)
    assert found.keys().isdisjoint(("response", "reward", "category", "_ng_task_index", "_ng_rollout_index"))
    asked, other = Pivot.from_row(found), Pivot.from_row(row("t1-d0"))
    assert (asked.id, asked.input, asked.tools) == (other.id, other.input, other.tools)
    capsys.readouterr()
    about = figures(capsys, path)
    assert about["kinds"] == {"all-pass": 1, "all-fail": 0, "mixed": 1, "unfinished": 1}
    assert about["rollouts"]["without_result"] == 1
    assert names(kept(rollouts(tmp_path / "other.jsonl", table, numbered=False))) == ["t1-d0"]


def test_rollouts_in_several_files_are_counted_together(tmp_path: Path) -> None:
    """Four rollouts of a pivot in each of two files are eight."""
    one = rollouts(tmp_path / "a.jsonl", {"t1-d0": [0] * 4, "t1-d1": [0] * 4})
    two = rollouts(tmp_path / "b.jsonl", {"t1-d0": [1] * 4, "t1-d1": [0] * 4})
    target = tmp_path / "kept.jsonl"
    assert main(["profile", str(two), str(one), "-o", str(target)]) == 0
    (found,) = map(json.loads, target.read_text().splitlines())
    assert (found["pass_rate"], found["pass_rate_total"]) == (0.5, 8)


def test_rollouts_are_graded_again_by_a_bundled_grader(tmp_path: Path) -> None:
    """Their own rewards do not matter then: an answer with the expected call passes."""
    path = rollouts(tmp_path / "rollouts.jsonl", {"t1-d0": PASSES, "t1-d1": PASSES})
    right = {"model": "m", "output": [called(of="t1-d0")]}
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[3]["response"] = right
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert [each["pass_rate"] for each in kept(path, "--grader=nemo-gym")] == [0.125]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: lines[1].update(_ng_rollout_index=0), "two rollouts of the pivot 't1-d0' are number 0"),
        (lambda lines: lines[1].pop("_ng_rollout_index"), "some have _ng_rollout_index and others do not"),
        (
            lambda lines: lines[1]["responses_create_params"].update(input="another"),
            'another rollout of the pivot "t1-d0" has another conversation',
        ),
        (lambda lines: lines[1].update(reward=2), "fcpivot: 1 damaged line would be missing from the figures:"),
    ],
)
def test_rollouts_that_contradict_each_other_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, why: str
) -> None:
    """A number twice or for some only, one id for two conversations, and a reward over 1 name the line."""
    path = rollouts(tmp_path / "rollouts.jsonl", {"t1-d0": MIXED})
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert why in refusal(capsys, path)


# -------------------------------------------------------------------- what is refused, or told


def test_what_cannot_be_profiled_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each refusal names the runs and what to do."""
    run = run_of(tmp_path, TABLE)
    once = run_of(tmp_path, {pivot: rewards[:1] for pivot, rewards in TABLE.items()}, "once")
    assert "each pivot was asked once" in refusal(capsys, once)
    assert "are the same run" in refusal(capsys, run, run)
    graded = run_of(tmp_path, TABLE, "graded", grader={"name": "agentic", "settings": {}})
    assert "were not graded in the same way" in refusal(capsys, run, graded)
    replay = run_of(tmp_path, TABLE | {"t1-d0": FAILS}, "replay", replays=str(run))
    assert "one replays the other's" in refusal(capsys, run, replay)
    other = run_of(tmp_path, TABLE, "other", data=tmp_path / "data.jsonl")
    about = json.loads((other / "run.json").read_text())
    about["data"][0]["sha256"] = "0" * 64
    (other / "run.json").write_text(json.dumps(about))
    assert "are runs of different data" in refusal(capsys, run, other)
    assert "fcpivot" in refusal(capsys, tmp_path / "nothing")
    own = run_of(tmp_path, TABLE, "own")
    results = own / "results.jsonl"
    results.write_text(results.read_text().replace("data.jsonl::", "test_mine.py::test_it["))
    assert "results of your own tests only" in refusal(capsys, own)
    path = rollouts(tmp_path / "rollouts.jsonl", TABLE)
    assert "which do not record how they were graded" in refusal(capsys, run, path)
    assert "leave out --data" in refusal(capsys, path, "--data", tmp_path / "data.jsonl")


def test_a_merged_run_and_a_part_of_it_would_count_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was merged from another one has the same answers."""
    part = run_of(tmp_path, TABLE)
    sessions = json.loads((part / "run.json").read_text())["sessions"]
    merged = [{"run": "run", "shards": [], "sessions": sessions}]
    whole = run_of(tmp_path, TABLE, "whole", merged=merged)
    assert "run is a part of" in refusal(capsys, whole, part)


def test_data_that_were_moved_are_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its data a run is refused, and with --data it gives the same rows."""
    run = run_of(tmp_path, TABLE)
    before = kept(run)
    moved = (tmp_path / "data.jsonl").rename(tmp_path / "moved.jsonl")
    assert "give the file: --data FILE" in refusal(capsys, run)
    assert kept(run, f"--data={moved}") == before


def test_damaged_lines_are_refused_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that cannot be read is named; left out, its rollout has no result."""
    run = run_of(tmp_path, TABLE)
    lines = (run / "results.jsonl").read_text().splitlines()
    lines[0] = lines[0][:-9] + "}"
    (run / "results.jsonl").write_text("\n".join(lines) + "\n")
    assert "results.jsonl:1" in refusal(capsys, run)
    found = figures(capsys, run, "--allow-damaged")
    assert found["kinds"]["unfinished"] == 2
    assert found["rollouts"]["without_result"] == 1


def test_shards_that_are_not_given_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first of two shards alone leaves the pivots of the second out."""
    run = run_of(tmp_path, TABLE, options={"fc_shard": "1/2"})
    assert main(["profile", str(run)]) == 0
    assert "shards that are not given, whose pivots are not among the candidates: 2 of 2" in capsys.readouterr().out


def test_a_run_that_was_killed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an unfinished run has is counted, and it is said that it is unfinished."""
    run = run_of(tmp_path, TABLE, sessions=[{"started": "2026", "ended": None}], counts=None)
    assert main(["profile", str(run)]) == 0
    assert "its last session did not end" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-o", "run/results.jsonl"], "a file of run itself"),
        (["-o", "data.jsonl"], "would replace the data of the runs"),
        (["--table", "data.parquet", "-o", "data.parquet"], "names the same file"),
        (["-o", "kept.parquet"], "name it with .jsonl"),
        (["--table", "table.csv"], "name it with .parquet"),
        (["-o", "."], "is not a file"),
        (["--max-mean=0.5", "--keep=all-fail"], "it belongs to --keep mixed"),
        (["--grader-option=a=1"], "name the grader of this setting"),
    ],
)
def test_outputs_that_would_destroy_something_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    why: str,
) -> None:
    """Nothing that is read is replaced, and options that do not belong together say so."""
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path, TABLE)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    assert why in refusal(capsys, "run", *arguments)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before


def test_data_are_not_runs_and_their_source_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prepared data in place of a run are told how to be run; what they were prepared from is not replaced."""
    raw = data_of(tmp_path, list(TABLE))
    prepared = tmp_path / "prepared.parquet"
    assert main(["prepare", str(raw), "-o", str(prepared)]) == 0
    run = run_of(tmp_path, TABLE, data=prepared)
    store = open_store(prepared)
    recorded, own = file_hash(prepared), store.content_hash(prepared)
    store.close()
    (run / "run.json").write_text((run / "run.json").read_text().replace(recorded, own))
    before = raw.read_bytes()
    capsys.readouterr()
    assert f"record a run of them, and name its directory:  pytest --fc-data={prepared} --fc-repeats=8" in refusal(
        capsys, prepared
    )
    assert "the data of the runs were prepared from this file" in refusal(capsys, run, "-o", raw)
    assert raw.read_bytes() == before


@pytest.mark.parametrize(
    "argument",
    ["--max-mean=2", "--message-share=x", "--limit=-1", "--min-rollouts=0", "--outcome-mark=0", "--outcome-mark=nan"],
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, argument: str) -> None:
    """A value outside of its range is an error of usage."""
    with pytest.raises(SystemExit) as error:
        main(["profile", str(tmp_path), argument])
    assert error.value.code == 2


# -------------------------------------------------------------------- and back


def test_kept_rows_are_data(tmp_path: Path) -> None:
    """Prepared again, they are the same pivots with the same conversation, tools and expected action."""
    run = run_of(tmp_path, TABLE)
    kept(run, "--split=0.5")
    assert main(["prepare", str(tmp_path / "kept.jsonl"), "-o", str(tmp_path / "kept.parquet")]) == 0
    before = {pivot.id: pivot for pivot in load_pivots(tmp_path / "data.jsonl")}
    after = load_pivots(tmp_path / "kept.parquet")
    assert [pivot.id for pivot in after] == ["t2-d0", "t2-d1", "t3-d0"]
    for pivot in after:
        other = before[pivot.id]
        assert (pivot.input, pivot.tools, pivot.params) == (other.input, other.tools, other.params)
        assert (pivot.expected_action, pivot.trajectory_id, pivot.depth) == (
            other.expected_action,
            other.trajectory_id,
            other.depth,
        )


def test_what_a_row_had_is_kept(tmp_path: Path) -> None:
    """A row without a trajectory keeps its id; its own members stay, except the pass rates and the split."""
    plain = row("t1-d0") | {"id": "mine", "category": "c", "reward": 3, "split": "test", "pass_rate": 0.9}
    del plain["trajectory_id"]
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(plain) + "\n")
    run = run_of(tmp_path, {"mine": MIXED}, data=data)
    (found,) = kept(run, "--split=1")
    assert (found["category"], found["reward"], found["split"], found["pass_rate"]) == ("c", 3, "train", 0.25)
    (pivot,) = load_pivots(tmp_path / "kept.jsonl")
    assert (pivot.id, pivot.trajectory_id, pivot.split, pivot.depth) == ("mine", "mine", "train", 0)
    (same,) = kept(run)
    assert same["split"] == "test"
