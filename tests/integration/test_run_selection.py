"""Which pivots run: -k, -m, --lf, --deselect, --collect-only, --fc-limit, --fc-sample, --fc-shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

ROWS: dict[str, tuple[str, str | None]] = {
    "first": ('call add {"a": 1}', None),
    "second": ('call book {"city": "Rome"}', None),
    "third": ("say which city?", None),
    "fourth": ('call add {"a": 2}', None),
}


def _collected(project: Project, *args: str) -> list[str]:
    result = project.run_here("--collect-only", "-q", *args)
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        ([], ["first", "second", "third", "fourth"]),
        (["-k", "add"], ["first", "fourth"]),
        (["-k", "book or message"], ["second", "third"]),
        (["-k", "function_call and not add"], ["second"]),
        (["-k", "third"], ["third"]),
        (["-m", "message"], ["third"]),
        (["-m", "function_call"], ["first", "second", "fourth"]),
        (["-m", "not message", "-k", "not book"], ["first", "fourth"]),
        (["--deselect=pivots.jsonl::second", "--deselect=pivots.jsonl::third"], ["first", "fourth"]),
        (["--fc-limit=2"], ["first", "second"]),
        (["--fc-limit=99"], ["first", "second", "third", "fourth"]),
        (["--fc-where=tool=add"], ["first", "fourth"]),
        (["--fc-where=expected_type=message"], ["third"]),
        (["--fc-where=tool=add", "--fc-where=id!=first"], ["fourth"]),
        (["--fc-where=n_tools>=3", "--fc-limit=1"], ["first"]),
        (["--fc-split=train"], []),
        (["--fc-ids=some.txt"], ["second", "fourth"]),
        (["--fc-sample=2", "--fc-stratify", "--fc-where=tool!=book"], ["first", "third"]),
    ],
    ids=" ".join,
)
def test_what_is_selected(project: Project, args: list[str], ids: list[str]) -> None:
    """Pytest's own ways to select know ids, tool names and action types; so do strict markers."""
    project.write("pytest.ini", "[pytest]\nstrict = true\n")
    project.write("some.txt", "# by name\nfourth\n\nsecond\n")
    options = project.puppet(project.rows(ROWS))
    assert _collected(project, *options, *args) == ids


def test_ids_that_are_not_there(project: Project) -> None:
    """Ids that no data file has are refused by name: a list for other data selects the wrong thing in silence."""
    project.write("some.txt", "first\nfifth\n")
    result = project.run_here(*project.puppet(project.rows(ROWS)), "--fc-ids=some.txt")
    assert "--fc-ids: 1 of 2 ids are not in the data, such as fifth" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_selection_is_what_runs(project: Project, plugin_args: list[str]) -> None:
    """A selected run reports the selected pivots, and counts no other."""
    options = project.puppet(project.rows(ROWS))
    result, outcomes = project.run_cases(*options, "-k", "add", *plugin_args)
    assert outcomes == {"first": "passed", "fourth": "passed"}
    result.stdout.fnmatch_lines(["mean reward 1.0000 * 2 answers in 2 trajectories)"])


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["-k", "adds and not message"],
            "-k 'adds and not message' left none of 4 pivots; *(add, book)*; did you mean add?",
        ),
        (
            ["-m", "mesage"],
            "-m mesage left none of 4 pivots; pivots have the marks message and function_call; *message?",
        ),
        (["--fc-where=tool=bok"], "pivots.jsonl: --fc-where=tool=bok left none of the 4 pivots; * did you mean book?"),
        (["--fc-where=depth>=4", "-q"], "pivots.jsonl: --fc-where=depth>=4 left none of the 4 pivots; none * a depth"),
        (["--fc-limit=0"], "pivots.jsonl: --fc-limit=0 leaves no pivot"),
        (
            ["--fc-split=train", "-n1"],
            "pivots.jsonl: --fc-split=train left none of the 4 pivots; none of them has a split",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_nothing_selected(project: Project, args: list[str], told: str) -> None:
    """A run without pivots says which filter left none and what there is, and has pytest's exit code for no tests."""
    result = project.run_here(*project.puppet(project.rows(ROWS)), *args)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines([f"fcpivot: no pivot was run: {told}"])


def test_collect_only_asks_nobody(project: Project) -> None:
    """--collect-only shows the pivots without a call of the agent and without a summary."""
    project.data(project.trajectories(2))
    project.write("loud.py", 'def answer(pivot):\n    open("asked", "w")\n')
    result = project.run_here("--fc-data=pivots.jsonl", "--fc-agent=loud:answer", "--collect-only")
    result.stdout.fnmatch_lines(["*<PivotFile pivots.jsonl>*", "*<PivotItem talk0-d0>*", "*<PivotItem talk0-d1>*"])
    result.stdout.no_fnmatch_line("mean reward*")
    assert not (project.path / "asked").exists()


def test_last_failed(project: Project, plugin_args: list[str]) -> None:
    """--lf runs the failures and the errors of the last run, and nothing else."""
    rows = project.rows(ROWS) + project.rows(
        {"wrong": ("say hello", "nothing"), "broken": ("say hello", "raises no connection")}
    )
    options = project.puppet(rows)
    project.run_here(*options, *plugin_args).assert_outcomes(passed=4, failed=1, errors=1)
    _, outcomes = project.run_cases(*options, "--lf", *plugin_args)
    assert outcomes == {"wrong": "failure", "broken": "error"}


def test_sample(project: Project) -> None:
    """--fc-sample takes so many pivots by --fc-seed, in file order; a larger sample holds the smaller one."""
    options = project.puppet(project.trajectories(*[3] * 20))
    everything = _collected(project, *options)
    small = _collected(project, *options, "--fc-sample=8")
    assert len(small) == 8
    assert [name for name in everything if name in small] == small
    assert _collected(project, *options, "--fc-sample=8", "--fc-seed=0") == small
    assert set(small) < set(_collected(project, *options, "--fc-sample=20"))
    assert set(small) != set(_collected(project, *options, "--fc-sample=8", "--fc-seed=1"))
    assert set(_collected(project, *options, "--fc-sample=99")) == set(everything)
    assert _collected(project, *options, "--fc-sample=8", "--fc-limit=3") == small[:3]


def test_sample_under_xdist(project: Project) -> None:
    """A sample is the same in every process."""
    pytest.importorskip("xdist.plugin")
    options = [*project.puppet(project.trajectories(*[3] * 20)), "--fc-sample=8", "--fc-seed=5"]
    _, outcomes = project.run_cases(*options, "-n1")
    assert sorted(outcomes) == sorted(_collected(project, *options))


def test_shards(project: Project) -> None:
    """Shards are disjoint, complete, and keep trajectories whole."""
    options = project.puppet(project.trajectories(*[3] * 12))
    everything = _collected(project, *options)
    shards = [_collected(project, *options, f"--fc-shard={number}/3") for number in (1, 2, 3)]
    assert sorted(name for shard in shards for name in shard) == sorted(everything)
    trajectories = [{name.partition("-")[0] for name in shard} for shard in shards]
    assert sum(map(len, trajectories)) == 12
    assert all(shards)
    assert _collected(project, *options, "--fc-shard=1/1") == everything
