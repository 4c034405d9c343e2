"""The command that runs one pivot again: quoted for a shell, with what the run had, and nothing that is not trusted."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_fcpivot.audit.one_pivot import OnePivot
from pytest_fcpivot.report.rerun_text import rerun_lines


def commands(**members: Any) -> list[str]:
    """Return the commands for a pivot."""
    return [text for text, is_command in rerun_lines(OnePivot(**members)) if is_command]


def notes(**members: Any) -> str:
    """Return what is said beside the commands."""
    return "\n".join(text for text, is_command in rerun_lines(OnePivot(**members)) if not is_command)


def of_run(options: dict[str, Any], pivot_id: str = "p1", **members: Any) -> dict[str, Any]:
    """Return the members of a pivot of a run that was made here."""
    described = {"options": options, **members.pop("described", {})}
    own = {"test": f"d.jsonl::{pivot_id}", "data_name": "d.jsonl", "data_path": Path("d.jsonl"), "repeat": 1}
    return {"pivot_id": pivot_id, "description": described, "made_here": True, **own, **members}


def test_the_options_of_the_run() -> None:
    """The command has the run's options, except those that choose pivots, decide about a run, or name places."""
    options = {
        "fc_agent": "my agent:ask",
        "fc_where": ["depth>=2"],
        "fc_sample": "10",
        "fc_fail_under": ["0.8"],
        "fc_run": "there",
        "fc_header": ["X-A: b"],
        "fc_strict_schema": True,
        "fc_seed": None,
        "fc_of_another_version": "1",
    }
    assert commands(**of_run(options)) == [
        "pytest d.jsonl::p1 '--fc-agent=my agent:ask' '--fc-header=X-A: b' --fc-strict-schema"
    ]


@pytest.mark.parametrize("pivot_id", ['it\'s $(ls) "x"', "-x", "a;b & c", "a\\b`", "東京 ö"])
def test_ids_are_quoted(pivot_id: str) -> None:
    """Whatever the id is, a shell hands it to pytest as it is."""
    (command,) = commands(**of_run({}, pivot_id))
    given = subprocess.run(
        ["/bin/sh", "-c", command.replace("pytest", "printf '%s\\n'", 1)], capture_output=True, text=True, check=True
    )
    assert given.stdout == f"d.jsonl::{pivot_id}\n"


def test_repeats() -> None:
    """A repeat is named as pytest names it."""
    (command,) = commands(**of_run({"fc_repeats": "3"}, test="d.jsonl::p1[r2]", repeat=2))
    assert shlex.split(command) == ["pytest", "d.jsonl::p1[r2]", "--fc-repeats=3"]


@pytest.mark.parametrize("pivot_id", ["a\x1b[31mb", "a\u202e%s'\\b", "a\tb\u200bc"])
def test_an_id_that_cannot_be_seen(pivot_id: str, tmp_path: Path) -> None:
    """An id with control characters goes through a file for --fc-ids, which the first command writes."""
    first, second = commands(**of_run({"fc_agent": "a:b"}, pivot_id))
    subprocess.run(["/bin/sh", "-c", first], cwd=tmp_path, check=True)
    assert (tmp_path / "fcpivot-id.txt").read_text("utf-8") == f"{pivot_id}\n"
    assert second == "pytest d.jsonl --fc-ids=fcpivot-id.txt --fc-agent=a:b"
    assert first.isprintable()


def test_an_id_that_no_file_can_hold() -> None:
    """An id with a line break has no command, but the advice to prepare the data again."""
    assert commands(**of_run({}, "a\nb")) == []
    assert "Prepare the data again" in notes(**of_run({}, "a\nb"))


def test_a_run_from_elsewhere() -> None:
    """What only a foreign run names, such as its agent, is not put into a command; what counts and limits is."""
    found = of_run({"fc_agent": "evil:code", "fc_repeats": "2"}, made_here=False)
    assert commands(**found) == ["pytest d.jsonl::p1 --fc-repeats=2"]  # the user gave the file
    assert "--fc-agent" in notes(**found)
    assert "evil" not in notes(**found)


@pytest.mark.parametrize(
    "members",
    [
        {"test": "-pevil::p1", "data_name": "-pevil", "data_path": Path("evil.jsonl")},
        {"test": "evil/test_it.py::test_it[p1]", "data_path": Path("evil.jsonl")},
        {"test": "--junitxml=evil[p1]", "data_name": None, "data_path": None},
        {"test": "evil.jsonl::p1", "data_name": None, "data_path": None},
        {"test": "//evil/d.jsonl::p1", "data_name": "//evil/d.jsonl", "data_path": Path("//evil/d.jsonl")},
    ],
)
def test_files_and_tests_of_a_run_from_elsewhere(members: dict[str, Any]) -> None:
    """No test, data file or replay that only a foreign run names is in a command: pytest would load code beside it."""
    paths = ["evil.jsonl", "//evil/d.jsonl"]
    described = {"data": [{"name": path, "path": str(Path(path))} for path in paths], "replays": "evil"}
    found = of_run({}, made_here=False, described=described, **members)
    assert commands(**found) == ["pytest DATA::p1"]
    assert "DATA stands for the data file" in notes(**found)
    assert "--fc-replay" in notes(**found)


@pytest.mark.parametrize("made_here", [True, False])
def test_values_that_a_terminal_would_not_take(made_here: bool) -> None:
    """A control character in an option's value ends what is pasted, so that the value is told, and not copied."""
    found = of_run({"fc_model": "m\x03\ntouch x\n", "fc_repeats": "2"}, made_here=made_here)
    (command,) = commands(**found)
    assert command.endswith("::p1 --fc-repeats=2")
    assert "cannot be seen are not put into the command: --fc-model" in notes(**found)


def test_a_data_file_that_looks_like_an_option() -> None:
    """A file whose name begins with a hyphen is written as a path."""
    found = of_run({}, test="-x.jsonl::p1", data_name="-x.jsonl", data_path=Path("-x.jsonl"))
    assert commands(**found) == ["pytest ./-x.jsonl::p1"]


def test_tests_of_ones_own() -> None:
    """A user's own test is run by its node id, with the data that it runs over."""
    options = {"fc_agent": "a:b", "fc_data": ["d.jsonl"]}
    (command,) = commands(**of_run(options, test="test_x.py::test_it[p1]"))
    assert shlex.split(command) == ["pytest", "test_x.py::test_it[p1]", "--fc-agent=a:b", "--fc-data=d.jsonl"]


def test_what_has_to_be_known() -> None:
    """A replay, a merged run, a hidden secret, and a missing agent are told beside the command."""
    assert "asks no agent" in notes(**of_run({}, described={"replays": "old"}))
    assert commands(**of_run({}, described={"replays": "old"})) == ["pytest d.jsonl::p1 --fc-replay=old"]
    assert "merged" in notes(**of_run({}, described={"merged": [{"run": "a", "shards": []}]}))
    assert "put it in again" in notes(**of_run({"fc_header": ["K: ***"]}))
    assert "AGENT stands for" in notes(pivot_id="p1", repeat=1, data_name="sample")
    assert commands(pivot_id="p1", repeat=1, data_name="sample") == ["pytest sample::p1 --fc-agent=AGENT"]
