"""Runs that cannot be merged, and targets that cannot be written: each is refused with the reason."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from runs_to_merge import at_home, described, line, names_in, two_shards, write

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.usefixtures(at_home.__name__)


def _none(base: Path) -> list[Path]:
    return []


def _named_twice(base: Path) -> list[Path]:
    one, two = two_shards(base)
    return [one, two, two.parent / "one" / ".." / "two"]


def _linked(base: Path) -> list[Path]:
    one, _ = two_shards(base)
    (base / "link").symlink_to(one)
    return [one, base / "link"]


def _copied(base: Path) -> list[Path]:
    lines = [line(f"p{n}") for n in range(7)]
    return [write(base / name, described(), *lines) for name in ("one", "copy")]


def _with(**more: Any) -> Callable[[Path], list[Path]]:
    return lambda base: two_shards(base, second=described("2/2", **more))


def _given(**options: Any) -> Callable[[Path], list[Path]]:
    return _with(options=options)


def _three(base: Path) -> list[Path]:
    return [*two_shards(base), write(base / "three", described("3/3"), line("e")), write(base / "all", described())]


def _odd_json(text: str) -> Callable[[Path], list[Path]]:
    def make(base: Path) -> list[Path]:
        runs = two_shards(base)
        for run in runs:
            (run / "run.json").write_text(text)
        return runs

    return make


def _no_results(base: Path) -> list[Path]:
    runs = two_shards(base)
    (runs[1] / "results.jsonl").unlink()
    return runs


MIXED = "these runs are about different things, and would be mixed:\n  "
OTHER_DATA = [described()["data"][0] | {"sha256": "cd" * 32}]
MORE_DATA = [*described()["data"], described()["data"][0] | {"name": "more.jsonl"}]
UNMERGEABLE: dict[str, tuple[Callable[[Path], list[Path]], Sequence[str]]] = {
    "no runs": (_none, ["no runs to merge: name their directories"]),
    "twice": (_named_twice, ["one/../two: named twice, as ", "/two too"]),
    "linked": (_linked, ["link: named twice, as "]),
    "no run": (lambda base: [base / "nothing", base / "none"], ["nothing: not a run's directory", "none: not a run"]),
    "overlap": (
        _copied,
        [
            "these runs overlap:\n  7 tests in one and copy: data.jsonl::p0, data.jsonl::p1, data.jsonl::p2, ",
            "p4, …\nname each part of the data once",
        ],
    ),
    "data": (
        _with(data=OTHER_DATA),
        [f"{MIXED}data data.jsonl:\n    sha256 {'ab' * 8}… in one\n    sha256 {'cd' * 8}… in two\nmerge"],
    ),
    "more data": (_with(data=MORE_DATA), ["data more.jsonl:\n    not set in one\n    sha256 abab"]),
    "agent": (_with(agent="other:agent"), [f'{MIXED}agent:\n    "my:agent" in one\n    "other:agent" in two']),
    "grader": (_with(grader={"name": "nemo-gym:any-order", "settings": {}}), ["  grader:\n", '"nemo-gym:any-order"']),
    "settings": (
        _with(grader={"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.3}}),
        ['"settings": {"word_count_similarity_threshold": 0.3}} in two'],
    ),
    "repeats": (_with(repeats=2), [f"{MIXED}repeats:\n    1 in one\n    2 in two"]),
    "option": (_given(fc_temperature="0.5"), [f'{MIXED}--fc-temperature:\n    not set in one\n    "0.5" in two']),
    "limit": (_given(fc_limit="3"), ['--fc-limit:\n    not set in one\n    "3" in two']),
    "shards": (
        _three,
        [f"{MIXED}--fc-shard:\n    not set in all\n    one of 2 in one, two\n    one of 3 in three\nmerge runs that"],
    ),
    "replay": (
        _with(replays="/runs/one"),
        ["two: this is a replay, which asked no agent; name the run that it"],
    ),
    "format": (
        _with(format=99),
        ["two/run.json: this run was written by a newer version of pytest-fcpivot (format 99, "],
    ),
    "formats": (
        _odd_json('{"format": 0}'),
        ["one/run.json: this run was written by", "two/run.json: this run was written by"],
    ),
    "bare": (
        _odd_json('{"format": 1}'),
        ["one/run.json: not as pytest-fcpivot writes it: agent is missing", "two/run.json: "],
    ),
    "odd": (
        _odd_json(json.dumps(described(repeats="2"))),
        ["run.json: not as pytest-fcpivot writes it: repeats: a whole number from 1 to "],
    ),
    "odd data": (
        _odd_json(json.dumps(described(data=[{}]))),
        ["run.json: not as pytest-fcpivot writes it: data[0].name is missing"],
    ),
    "odd shard": (_odd_json(json.dumps(described("3/2"))), ["not as pytest-fcpivot writes it: --fc-shard=3/2: shards"]),
    "no results": (_no_results, ["two/results.jsonl: cannot be read: No such file or directory"]),
}


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_unmergeable(tmp_path: Path, name: str) -> None:
    """What cannot be joined is refused with what is wrong, run by run, and nothing is made."""
    make, messages = UNMERGEABLE[name]
    runs = make(tmp_path / "runs")
    with pytest.raises(RunError) as raised:
        merge(runs, tmp_path / "merged")
    for message in messages:
        assert message in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["runs"])


def test_a_target_that_is_taken(tmp_path: Path) -> None:
    """A target with anything in it is refused and left alone; an empty directory is used."""
    runs = two_shards(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for target in (tmp_path / "notes", tmp_path / "notes" / "mine.txt", runs[0]):
        with pytest.raises(RunError, match=re.escape(f"{target}: exists already; name a directory that")):
            merge(runs, target)
    with pytest.raises(RunError, match=r"mine\.txt.below: the runs cannot be merged there: "):
        merge(runs, tmp_path / "notes" / "mine.txt" / "below")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert names_in(merge(runs, tmp_path / "empty").path) == ["a", "b", "c", "d"]
