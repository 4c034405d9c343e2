"""`fcpivot prepare` and `fcpivot synth` as commands: what they print, their exit codes, and what they leave on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_fcpivot import load_pivots
from pytest_fcpivot.cli import main
from pytest_fcpivot.data import synth

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 90.0
PREPARE = [sys.executable, "-m", "pytest_fcpivot.cli", "prepare"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def talk(own: str, *answers: str) -> str:
    """Return the line of a conversation with these answers."""
    messages: list[dict[str, Any]] = []
    for answer in answers:
        messages += [{"role": "user", "content": "So?"}, {"role": "assistant", "content": answer}]
    return json.dumps({"uuid": own, "messages": messages}) + "\n"


def row(number: int) -> str:
    """Return the line of a row of the FC-Pivot shape."""
    params = {"input": "Hi"}
    expected = {"type": "message", "content": "Hello"}
    info = {"turn": 0, "step": 0, "depth": 0}
    return (
        json.dumps(
            {
                "trajectory_id": number,
                "info": info,
                "responses_create_params": params,
                "expected_action": expected,
            }
        )
        + "\n"
    )


def names(directory: Path) -> list[str]:
    """Return the names in a directory, hidden ones too."""
    return sorted(path.name for path in directory.iterdir())


def test_what_is_printed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The counts, by type and of what was left out, and where it is listed; turns that are skipped are no failure."""
    (here / "a.jsonl").write_text(talk("a", "Hi.", "") + row(1))
    assert main(["prepare", "a.jsonl", "-o", "new/out.parquet"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    listing = os.path.join("new", "out.audit.jsonl")  # noqa: PTH118 (as it is printed)
    assert lines[0].startswith(f"{os.path.join('new', 'out.parquet')}: 2 pivots, ")  # noqa: PTH118
    assert lines[1].split() == ["2", "message"]
    assert lines[2:] == [
        "rows 2: 1 pivots, 1 conversations with 2 assistant turns (1 skipped), 0 broken",
        "read as: 1 chat, 1 fc-pivot",
        "          1  turns left out: neither text nor calls (first: a.jsonl:1)",
        f"what was left out is listed in {listing}",
    ]
    assert err == ""
    assert len((here / listing).read_text().splitlines()) == 1
    assert [one.id for one in load_pivots("new/out.parquet")] == ["a-d0", "t1-d0"]


def test_broken_rows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Broken rows are left out, listed, and a finding; with refuse nothing is written, and the option is named."""
    (here / "a.jsonl").write_text(row(1) + "{\n" + row(2))
    assert main(["prepare", "a.jsonl", "-o", "out.parquet"]) == 1
    assert "1 broken" in capsys.readouterr().out
    (entry,) = map(json.loads, (here / "out.audit.jsonl").read_text().splitlines())
    assert (entry["file"], entry["line"]) == ("a.jsonl", 2)
    assert main(["prepare", "a.jsonl", "-o", "other.parquet", "--bad-rows=refuse"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fcpivot: a.jsonl:2: not JSON")
    assert " --bad-rows=skip " in err
    assert names(here) == ["a.jsonl", "out.audit.jsonl", "out.parquet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.jsonl", "-o", "x.parquet"], "nope.jsonl: data file not found"),
        (["a.jsonl", "-o", "x.jsonl"], "-o x.jsonl: the name has to end in .parquet"),
        (["a.jsonl", "-o", "folder.parquet"], "folder.parquet: "),
        (["a.jsonl", "-o", "a.jsonl/x.parquet"], "a.jsonl: "),
        (["empty", "-o", "x.parquet"], "empty: no data files in this directory"),
        (["*.csv", "-o", "x.parquet"], "*.csv: nothing matches"),
        (["cut.jsonl.gz", "-o", "x.parquet"], "cut.jsonl.gz: damaged"),
        (["agentic-v1:nope", "-o", "x.parquet"], "agentic-v1:nope: no split 'nope'"),
        (["hf://nothing", "-o", "x.parquet"], "hf://nothing: write hf://owner/name"),
        (["", "-o", "x.parquet"], "the name of a source is empty"),
        (["a.jsonl", "--bad-rows=refuse", "--shape=conversation", "-o", "x.parquet"], "a.jsonl:1: no messages"),
        (["store.parquet", "-o", "store.parquet"], "store.parquet: its pivots were prepared already"),
    ],
)
def test_bad_input(here: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be used is one message that begins with it, exit code 2, and nothing new on disk."""
    (here / "a.jsonl").write_text(row(1))
    (here / "empty").mkdir()
    (here / "folder.parquet").mkdir()
    (here / "cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08")
    assert main(["prepare", "a.jsonl", "-o", "store.parquet"]) == 0
    capsys.readouterr()
    before = names(here)
    assert main(["prepare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fcpivot: {message}")
    assert names(here) == before


@pytest.mark.parametrize(
    "arguments",
    [["prepare"], ["prepare", "a.jsonl"], ["prepare", "a", "-o", "b.parquet", "--shape=round"], ["synth", "x"], []],
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is told with its usage, and exit code 2."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage: fcpivot" in capsys.readouterr().err


def test_no_pivots_at_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A source without a single pivot is a finding."""
    (here / "a.jsonl").write_text("\n")
    assert main(["prepare", "a.jsonl", "-o", "out.parquet"]) == 2
    assert "a.jsonl: no pivots in it (rows: 0," in capsys.readouterr().err
    (here / "a.jsonl").write_text("{}\n")
    assert main(["prepare", "a.jsonl", "-o", "out.parquet"]) == 2
    assert "(rows: 1, broken: 1," in capsys.readouterr().err
    assert not (here / "out.parquet").exists()
    assert "no responses_create_params" in (here / "out.audit.jsonl").read_text()


def test_its_own_source(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the output nor its listing is written over a source, and a listing is no data of its directory."""
    (here / "s.audit.jsonl").write_bytes(b"".join(synth.fc_pivot_lines(1, 1)))
    assert main(["prepare", "s.audit.jsonl", "-o", "s.parquet"]) == 2
    assert "overwrite a source, s.audit.jsonl" in capsys.readouterr().err
    assert main(["prepare", ".", "-o", "s.parquet"]) == 2
    assert "no data files in this directory" in capsys.readouterr().err
    assert main(["prepare", "s.audit.jsonl", "-o", "t.parquet"]) == 0


def test_two_sources_of_any_compression(here: Path) -> None:
    """Several sources go into one file, in their order, compressed ones by what they are."""
    packed = pa.compress(row(2).encode(), "zstd", asbytes=True)
    (here / "b.jsonl.zst").write_bytes(packed)
    (here / "a.jsonl").write_text(talk("a", "Hi."))
    assert main(["prepare", "b.jsonl.zst", "a.jsonl", "-o", "out.parquet"]) == 0
    assert [one.id for one in load_pivots("out.parquet")] == ["t2-d0", "a-d0"]


def test_standard_input(here: Path) -> None:
    """With -, rows come from a pipe; a log gets no control characters."""
    text = b"".join(synth.agentic_lines(600, 4))
    done = subprocess.run(
        [*PREPARE, "-", "-o", "out.parquet"], input=text, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0
    assert b"out.parquet: 600 pivots" in done.stdout
    assert b"\r" not in done.stderr
    assert b"\x1b" not in done.stderr
    assert pq.read_metadata(here / "out.parquet").num_rows == 600


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_ended_from_outside(here: Path, sent: str) -> None:
    """A command that is killed or interrupted leaves no half file of that name, and can be run again."""
    process = subprocess.Popen(
        [*PREPARE, "-", "-o", "out.parquet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    ends = time.monotonic() + PATIENCE_S
    while not list(here.glob(".*.part")):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)
    process.send_signal(getattr(signal, sent))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert not (here / "out.parquet").exists()
    if sent != "SIGKILL":
        assert names(here) == []
        assert b"Traceback" not in err
    (here / "a.jsonl").write_text(row(1))
    assert main(["prepare", "a.jsonl", "-o", "out.parquet"]) == 0
    assert len(load_pivots("out.parquet")) == 1


@pytest.mark.parametrize("kind", synth.KINDS)
def test_synth(here: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A generated file has the pivots that were asked for, the same for the same seed, and can be prepared."""
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["synth", kind, "--pivots", "60", "--seed", seed, "-o", f"{name}.jsonl"]) == 0
    assert "a.jsonl: 60 pivots in " in capsys.readouterr().out
    a, b, c = ((here / f"{name}.jsonl").read_bytes() for name in "abc")
    assert a == b != c
    assert main(["prepare", "a.jsonl", "-o", "a.parquet"]) == 0
    assert len(load_pivots("a.parquet")) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["agentic", "--pivots=-3", "-o", "x.jsonl"], "cannot generate -3 pivots"),
        (["agentic", "--pivots=3", "-o", "nowhere/x.jsonl"], "nowhere/x.jsonl: "),
    ],
)
def test_synth_bad_input(here: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be generated is one message that names what the user gave, and leaves nothing."""
    assert main(["synth", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"fcpivot: {message}")
    assert names(here) == []
