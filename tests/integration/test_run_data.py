"""What is run: the data that options and paths name, by file and by node id, and nothing by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

OWN_TEST = "def test_of_the_users():\n    assert True\n"


def _ids(result: pytest.RunResult) -> list[str]:
    """Return the node ids that `--collect-only -q` lists."""
    return [line for line in result.outlines if "::" in line]


@pytest.mark.parametrize(
    "name", ["pivots.jsonl", "pivots.jsonl.gz", "pivots.jsonl.zst", "pivots.parquet", "my data/fc v1.jsonl"]
)
def test_formats(project: Project, name: str) -> None:
    """Data is jsonl, compressed or not, or parquet, in any folder, and one pivot of it has a node id."""
    options = project.puppet(project.trajectories(2, 1), name)
    result = project.run_here(*options, "-v")
    result.assert_outcomes(passed=3)
    for pivot in ("talk0-d0", "talk0-d1", "talk1-d0"):
        assert f"{name}::{pivot} PASSED" in result.stdout.str()
    result = project.run_here(f"{name}::talk0-d1", "--fc-agent=puppet:answer")
    result.assert_outcomes(passed=1)


def test_a_parquet_file_of_ours(project: Project) -> None:
    """The bundled store under a name of the user's is read as it is."""
    from pytest_fcpivot.data import SAMPLE_PATH  # noqa: PLC0415 (pyarrow is not needed for this)

    (project.path / "mine.parquet").write_bytes(SAMPLE_PATH.read_bytes())
    result = project.run_here("--fc-data=mine.parquet", "--fc-agent=asks", "--fc-limit=2", "--tb=no")
    result.stdout.fnmatch_lines(["fcpivot: mine.parquet (2 of * pivots); *", "*pivots: mine.parquet | asks | *"])


def test_several_files(project: Project) -> None:
    """--fc-data may be given again; pivots of one name in two files are two pivots."""
    options = project.puppet(project.trajectories(2), "one.jsonl")
    project.data(project.trajectories(1, 2), "more/two.jsonl")
    result = project.run_here(*options, "--fc-data=more/two.jsonl")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["fcpivot: one.jsonl (2 pivots), more/two.jsonl (3 pivots); *"])


def test_the_same_file_twice(project: Project) -> None:
    """A file that is named twice is run once."""
    options = project.puppet(project.trajectories(2))
    project.run_here(*options, "--fc-data=./pivots.jsonl").assert_outcomes(passed=2)


@pytest.mark.parametrize("args", [[], ["--fc-data=sample"], ["sample"]])
def test_the_sample(project: Project, args: list[str]) -> None:
    """The bundled sample is the default, and is called `sample` as data and as a path."""
    project.write("test_mine.py", OWN_TEST)
    result = project.run_here("--collect-only", "-q", "--fc-agent=asks", "--fc-limit=3", *args)
    assert len(_ids(result)) == 3
    assert all(node.startswith("sample::") for node in _ids(result))


def test_a_file_called_sample(project: Project) -> None:
    """If the user has a directory called `sample`, that name means the directory."""
    project.write("sample/test_mine.py", OWN_TEST)
    project.run_here("sample").assert_outcomes(passed=1)


def test_data_by_environment_and_ini(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """FC_DATA and ini fc_data name data too, in shell words; the ini file's paths start at the root directory."""
    options = project.puppet(project.trajectories(1), "of ini.jsonl")
    project.data(project.trajectories(2), "sub/env.jsonl")
    project.write("pytest.ini", "[pytest]\nfc_data = 'of ini.jsonl'\n")
    monkeypatch.chdir(project.path / "sub")
    project.run_here(options[1]).assert_outcomes(passed=1)
    monkeypatch.setenv("FC_DATA", "env.jsonl '../of ini.jsonl'")
    project.run_here(options[1]).assert_outcomes(passed=3)


def test_a_path_alone(project: Project, plugin_args: list[str]) -> None:
    """A data file named as a path is run, with no other option than the agent."""
    project.puppet(project.trajectories(2, 1), "data/pivots.jsonl")
    project.write("test_mine.py", OWN_TEST)
    result = project.run_here("data/pivots.jsonl", "--fc-agent=puppet:answer", *plugin_args)
    result.assert_outcomes(passed=3)


def test_data_outside_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data may lie outside the root directory, and its pivots can be run again by the ids that are shown."""
    project.puppet([*project.trajectories(2), project.row("say hello", "nothing", id="silent")], "elsewhere/p.jsonl")
    project.write("home/pytest.ini", "[pytest]\npythonpath = ..\n")
    monkeypatch.chdir(project.path / "home")
    result = project.run_here("--fc-data=../elsewhere/p.jsonl", "--fc-agent=puppet:answer", "-rf")
    result.assert_outcomes(passed=2, failed=1)
    failed = next(line.split()[1] for line in result.outlines if line.startswith("FAILED "))
    project.run_here(failed, "--fc-agent=puppet:answer").assert_outcomes(failed=1)


@pytest.mark.parametrize("file", ["pivots.jsonl", "sample"])
def test_one_node_id(project: Project, workers: list[str], file: str) -> None:
    """file::id runs exactly that pivot."""
    project.puppet(project.trajectories(3, 2))
    options = ["--fc-agent=puppet:answer" if file != "sample" else "--fc-agent=asks"]
    chosen = _ids(project.run_here("--collect-only", "-q", file, *options))[1]
    result, outcomes = project.run_cases(chosen, *options, *workers, "--tb=no")
    assert list(outcomes) == [chosen.partition("::")[2]]
    assert "no tests ran" not in result.stdout.str()


def test_several_node_ids(project: Project) -> None:
    """Several node ids of one file run those pivots."""
    project.puppet(project.trajectories(3, 2))
    chosen = ["pivots.jsonl::talk1-d1", "pivots.jsonl::talk0-d0"]
    _, outcomes = project.run_cases(*chosen, "--fc-agent=puppet:answer")
    assert sorted(outcomes) == ["talk0-d0", "talk1-d1"]


def test_a_node_id_that_is_not_there(project: Project) -> None:
    """A node id without a pivot is pytest's own usage error."""
    options = project.puppet(project.trajectories(1))
    result = project.run_here("pivots.jsonl::talk9-d9", options[1])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: not found: *pivots.jsonl::talk9-d9*"])


@pytest.mark.parametrize("args", [[], ["."], [".", "--fc-agent=puppet:answer"], ["data", "--fc-agent=puppet:answer"]])
def test_never_by_accident(project: Project, args: list[str]) -> None:
    """A data file in the tree is not collected unless it is named."""
    project.puppet(project.trajectories(2), "data/pivots.jsonl")
    project.write("data/test_mine.py", OWN_TEST)
    _, outcomes = project.run_cases(*args)
    assert outcomes == {"test_of_the_users": "passed"}


def test_options_without_a_path_run_the_data_alone(project: Project) -> None:
    """--fc-agent without a path leaves the user's own tests out, those of testpaths too."""
    options = project.puppet(project.trajectories(1))
    project.write("pytest.ini", "[pytest]\ntestpaths = tests\n")
    project.write("tests/test_mine.py", OWN_TEST)
    _, outcomes = project.run_cases(*options)
    assert outcomes == {"talk0-d0": "passed"}


def test_settings_without_options_leave_the_users_tests(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """FC_AGENT or ini fc_agent alone choose an agent, not what `pytest` runs."""
    project.puppet(project.trajectories(1))
    project.write("test_mine.py", OWN_TEST)
    monkeypatch.setenv("FC_AGENT", "puppet:answer")
    _, outcomes = project.run_cases()
    assert outcomes == {"test_of_the_users": "passed"}


def test_with_a_path_only_that_path(project: Project) -> None:
    """With a path argument, that is what runs: a test file alone, or beside the data that is named with it."""
    options = project.puppet(project.trajectories(1))
    project.write("test_mine.py", OWN_TEST)
    project.write("test_other.py", OWN_TEST.replace("users", "others"))
    _, outcomes = project.run_cases("test_mine.py", *options)
    assert outcomes == {"test_of_the_users": "passed"}
    _, outcomes = project.run_cases("test_mine.py", "pivots.jsonl", options[1])
    assert outcomes == {"test_of_the_users": "passed", "talk0-d0": "passed"}
