"""`fcpivot export`, and what programs that know nothing of runs read from it."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pandas.core.arrays.arrow.extension_types
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from pytest_fcpivot.cli import main
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.runs.export.columns import COLUMNS
from pytest_fcpivot.runs.export.files import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

USAGE = {"input_tokens": 1 << 53, "cached_tokens": 0, "output_tokens": 3, "reasoning_tokens": 1}
# Texts that tables and their readers may get wrong.
ODD = {
    "empty": "",
    "spaces": "  a  ",
    "lines": 'one,\r\n"two"\nthree\rfour\ttab',
    "formula": '=HYPERLINK("http://localhost")',
    "minus": "-1",
    "scripts": "naïve 東京 🙂",
    "null": "null",
    "none": "NA",
    "number": "007",
}


def line(test: str, **members: Any) -> dict[str, Any]:
    """Return a line of results.jsonl."""
    name = test.rpartition("::")[2]
    about = {"test": test, "pivot_id": name.partition("[")[0], "trajectory_id": name.partition("-")[0], "repeat": 1}
    return about | {"expected": "message", "outcome": "passed", "reward": 1.0, "attempts": 1} | members


def run_of(lines: Iterable[Any], here: Path, name: str = "run", **about: Any) -> Path:
    """Write a run with these lines, of which texts are written as they are."""
    description = {
        "format": 1,
        "agent": "my_agent:answer",
        "grader": {"name": "nemo-gym:first-call", "settings": {}},
        "data": [{"name": "data.jsonl", "path": "data.jsonl", "sha256": "0" * 64, "pivots": 9, "selected": 9}],
        "repeats": 1,
        "options": {},
        "sessions": [{"started": "2026-01-01", "ended": "2026-01-01", "exit_status": 1}],
        "counts": {"selected": 9, "passed": 9, "failed": 0, "errors": 0, "not_run": 0, "skipped": 0},
    }
    path = here / name
    path.mkdir()
    (path / "run.json").write_text(json.dumps(description | about))
    texts = (each if isinstance(each, str) else json.dumps(each) + "\n" for each in lines)
    (path / "results.jsonl").write_text("".join(texts))
    return path


def of_sample(here: Path, answered: range, name: str = "run", *, repeats: int = 1, **about: Any) -> Path:
    """Write a run of the sample in which these of its pivots have a result, in the first repeat."""
    store = open_store(SAMPLE_PATH)
    entries = store.index()
    data = {"name": "sample", "path": str(SAMPLE_PATH), "sha256": store.content_hash(SAMPLE_PATH), "pivots": 314}
    store.close()
    lines = [
        line(f"sample::{entries[n].id}", trajectory_id=entries[n].trajectory_id, expected=entries[n].expected_type)
        for n in answered
    ]
    selected = about.pop("selected", 314)
    counts = {"selected": selected * repeats, "not_run": selected * repeats - len(lines)}
    more = {"data": [data | {"selected": selected}], "repeats": repeats, "counts": counts}
    return run_of(lines, here, name, **(more | about))


def exported(run: Path, to: str = "jsonl", *more: str) -> list[dict[str, Any]]:
    """Export a run, and return the rows of the table: as JSON has them, or by pandas."""
    target = run.parent / f"{run.name}-out.{to}"
    assert main(["export", str(run), "--to", to, "-o", str(target), *more]) == 0
    if to == "jsonl":
        return [json.loads(text) for text in target.read_text("ascii").splitlines()]
    table = pd.read_parquet(target) if to == "parquet" else pd.read_csv(target)
    rows: list[dict[str, Any]] = table.to_dict("records")
    return rows


@pytest.fixture
def odd_run(tmp_path: Path) -> Path:
    """Return a run with every kind of row, and with texts that are easily read wrongly."""
    calls = [{"type": "function_call", "name": name, "arguments": "{}"} for name in ("first", "second")]
    lines = [
        *(line(f"data.jsonl::{n}-d0", explanation=text, output=text, tool=text) for n, text in ODD.items()),
        line(
            "data.jsonl::call-d0",
            outcome="failed",
            reward=0.1 + 0.2,
            expected="function_call_batch",
            tool="first",
            category="ACTION_DIFFERENT",
            path="$.a[0]",
            paths=["$.a[0]", "$.b"],
            further_paths=2,
            halves=[0.5, 0.0],
            flags=["cut_off"],
            redacted=True,
            usage=USAGE,
            cost=1e-7,
            retried=["http 503"],
            action={"type": "function_call_batch", "calls": calls},
            output={"a": [1, None]},
        ),
        line("data.jsonl::judged-d0", judge={"by": "asked", "score": 1, "reason": "right", "usage": USAGE}),
        line("data.jsonl::error-d0", outcome="error", reward=None, error="no connection", cause="http 503"),
    ]
    return run_of(lines, tmp_path)


# -------------------------------------------------------------------- what is read


def test_the_same_table_in_all_formats(odd_run: Path, tmp_path: Path) -> None:
    """Pandas reads the same values from all three formats, line ends, quotes and numbers with all digits included."""
    rows = exported(odd_run)
    assert [row["explanation"] for row in rows[: len(ODD)]] == list(ODD.values())
    assert [json.loads(row["output"]) for row in rows[: len(ODD)]] == list(ODD.values())
    for to in ("parquet", "csv"):
        exported(odd_run, to)
    types = {"string": "str", "integer": "Int64", "number": "float64", "boolean": "boolean"}
    dtypes = {name: types[kind] for name, kind in COLUMNS.items()}
    by_csv = pd.read_csv(tmp_path / "run-out.csv", dtype=dtypes, keep_default_na=False, na_values=_NULL_NUMBERS)
    by_parquet = pd.read_parquet(tmp_path / "run-out.parquet", dtype_backend="numpy_nullable")
    assert list(by_csv.columns) == list(by_parquet.columns) == list(COLUMNS)
    for number, row in enumerate(rows):
        for name, value in row.items():
            found, other = by_parquet[name][number], by_csv[name][number]
            assert found == value if value is not None else pd.isna(found), (number, name)
            # pandas has no way to tell an empty text from a null in CSV
            assert (pd.isna(other) or other == "") if value in (None, "") else other == value, (number, name)


_NULL_NUMBERS = {name: [""] for name, kind in COLUMNS.items() if kind != "string"}


@pytest.mark.parametrize("to", ["parquet", "csv", "jsonl"])
def test_by_duckdb(odd_run: Path, tmp_path: Path, to: str) -> None:
    """DuckDB finds the columns by itself, and reads nulls as nulls and texts as they are."""
    rows = exported(odd_run, "jsonl")
    exported(odd_run, to)
    table = f"'{tmp_path / f'run-out.{to}'}'"
    counted = f"SELECT count(*), sum(reward), count(signature), count(cost) FROM {table}"  # noqa: S608 (our own path)
    (found,) = duckdb.execute(counted).fetchall()
    assert found[0] == len(rows)
    assert found[1] == pytest.approx(sum(row["reward"] or 0 for row in rows))
    assert found[2:] == (1, 1)
    texts = duckdb.execute(f"SELECT coalesce(explanation, '') FROM {table}").fetchall()  # noqa: S608
    assert [text for (text,) in texts] == [row["explanation"] or "" for row in rows]


def test_a_row(odd_run: Path) -> None:
    """A row has the members of its line, flattened, and what is known of the answer."""
    call, judged, error = exported(odd_run)[len(ODD) :]
    wanted = {
        "format": 1,
        "run": "run",
        "agent": "my_agent:answer",
        "model": None,
        "grader": "nemo-gym:first-call",
        "place": "data.jsonl",
        "answered": "function_call_batch",
        "called_tool": "first",
        "calls": 2,
        "signature": "first + … $.a[*]: the call differs",
        "paths": '["$.a[0]","$.b"]',
        "further_paths": 2,
        "halves_names": 0.5,
        "halves_arguments": 0.0,
        "flags": '["cut_off"]',
        "redacted": True,
        "usage_input_tokens": 1 << 53,
        "usage_reasoning_tokens": 1,
        "cost": 1e-7,
        "retried": '["http 503"]',
        "judge_by": None,
    }
    assert {name: call[name] for name in wanted} == wanted
    assert json.loads(call["action"])["calls"][1]["name"] == "second"
    assert json.loads(call["output"]) == {"a": [1, None]}
    assert (judged["judge_by"], judged["judge_score"], judged["judge_usage_output_tokens"]) == ("asked", 1.0, 3)
    assert (judged["answered"], judged["calls"], judged["action"], judged["output"]) == (None, None, None, None)
    assert (error["outcome"], error["reward"], error["cause"]) == ("error", None, "http 503")


def test_the_schema_of_rows(odd_run: Path) -> None:
    """Rows follow the schema that the package publishes, which has every column in its order."""
    text = (files("pytest_fcpivot") / "formats" / "export.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert list(schema["properties"]) == list(COLUMNS) == schema["required"]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for row in exported(odd_run):
        assert not [f"{error.json_path}: {error.message}" for error in validator.iter_errors(row)]


@pytest.mark.parametrize("lines", [[], [line("data.jsonl::p-d0")]])
def test_types_do_not_depend_on_rows(tmp_path: Path, lines: list[Any]) -> None:
    """The types of Parquet are the same in a run without results, and where a column has only nulls."""
    run = run_of(lines, tmp_path)
    rows = exported(run, "parquet")
    assert len(rows) == len(lines)
    schema = pq.read_schema(tmp_path / "run-out.parquet")
    types = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    assert {name: schema.field(name).type for name in schema.names} == {n: types[kind] for n, kind in COLUMNS.items()}
    assert json.loads(schema.metadata[METADATA_KEY])["format"] == 1
    exported(run, "csv")
    assert list(pd.read_csv(tmp_path / "run-out.csv").columns) == list(COLUMNS)


def test_what_utf8_cannot_hold(tmp_path: Path) -> None:
    """Half a surrogate pair is escaped in each format, and JSON texts are kept to the letter."""
    odd = line("data.jsonl::p-d0", explanation="a \ud83d b", output="c \ud83d")
    run = run_of([odd], tmp_path)
    for to in ("parquet", "csv", "jsonl"):
        (row,) = exported(run, to)
        assert row["explanation"] == "a \\ud83d b", to
        assert json.loads(row["output"]) == "c \ud83d", to


def test_for_spreadsheets(odd_run: Path, tmp_path: Path) -> None:
    """With --spreadsheet no text begins as a formula does, and a mark tells that the file is UTF-8."""
    plain = exported(odd_run, "csv")
    assert plain[3]["explanation"] == ODD["formula"]
    target = tmp_path / "run-out.csv"
    assert not target.read_bytes().startswith(b"\xef\xbb\xbf")
    found = exported(odd_run, "csv", "--spreadsheet")
    assert target.read_bytes().startswith(b"\xef\xbb\xbf")
    assert found[3]["explanation"] == "'" + ODD["formula"]
    assert found[4]["tool"] == "'-1"
    kept = found[5]["explanation"], found[5]["reward"], found[5]["pivot_id"]
    assert (
        kept == (plain[5]["explanation"], plain[5]["reward"], plain[5]["pivot_id"]) == (ODD["scripts"], 1, "scripts-d0")
    )


def test_many_rows(tmp_path: Path) -> None:
    """A run with more rows than are written at once is exported whole, in its order."""
    run = run_of([line(f"data.jsonl::{n}-d0", output=n) for n in range(9000)], tmp_path)
    for to in ("parquet", "csv", "jsonl"):
        assert [int(row["output"]) for row in exported(run, to)] == list(range(9000))
    assert pq.ParquetFile(tmp_path / "run-out.parquet").num_row_groups == 2


# -------------------------------------------------------------------- which results count


def test_the_last_line_of_a_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A later line of a test takes the place of an earlier one, and an incomplete last line is left out and told."""
    lines = [
        line("data.jsonl::a-d0", outcome="error", reward=None),
        line("data.jsonl::b-d0"),
        line("data.jsonl::a-d0", outcome="failed", reward=0.0),
        '{"test": "data.jsonl::b-d0", "pivot',
    ]
    rows = exported(run_of(lines, tmp_path))
    assert [(row["test"], row["outcome"]) for row in rows] == [("data.jsonl::a-d0", "failed")]
    assert "note: its last line is incomplete and left out: 35 bytes" in capsys.readouterr().out


def test_damaged_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged line is refused with its number and reason; with --allow-damaged it is left out, and told."""
    run = run_of([line("data.jsonl::a-d0"), line("data.jsonl::b-d0", attempts=-1)], tmp_path)
    target = tmp_path / "out.csv"
    assert main(["export", str(run), "--to", "csv", "-o", str(target)]) == 2
    told = capsys.readouterr().err
    assert "results.jsonl:2: attempts: Expected int >= 0" in told.replace("`", "")
    assert "--allow-damaged" in told
    assert not target.exists()
    assert [row["pivot_id"] for row in exported(run, "jsonl", "--allow-damaged")] == ["a-d0"]
    assert "note: left out: 1 damaged line" in capsys.readouterr().out


def test_tests_without_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is known which tests have no result, each of them is a row, with what the data say."""
    rows = exported(of_sample(tmp_path, range(1, 314), repeats=2))
    assert len(rows) == 2 * 314
    left = rows[313:]
    assert {row["outcome"] for row in left} == {"not_run"}
    assert [row["test"] for row in left[:3]] == ["sample::t12-d0", "sample::t12-d0[r2]", "sample::t12-d1[r2]"]
    assert (left[0]["n_tools"], left[2]["depth"], left[2]["tool"]) == (13, 1, "list_devices")
    assert left[0]["reward"] is left[0]["attempts"] is left[0]["latency_s"] is None
    said = capsys.readouterr().out
    assert ": 628 rows, 315 of them without a result\n" in said
    assert "note: the run is not complete: its last session ended early: 315 of its tests were not run\n" in said


SELECTED = {
    "all": ({}, 314, 314),
    "a limit": ({"fc_limit": 5}, 5, 5),
    "a condition": ({"fc_where": ["depth=0"]}, 49, 49),
    "conditions in one text": ({"fc_where": "depth=0 'n_tools >= 13'"}, 24, 24),
    "a sample without what was answered": ({"fc_sample": "7", "fc_seed": 3, "fc_stratify": True}, 7, 1),
    "a file of ids": ({"fc_ids": "ids.txt"}, 5, 1),
    "another number": ({"fc_limit": 5}, 6, 1),
    "what is no number": ({"fc_limit": "few"}, 5, 1),
}


@pytest.mark.parametrize("case", SELECTED)
def test_what_was_selected(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    """Tests without a result are listed if the recorded options lead to them; otherwise a note says that none are."""
    options, selected, number = SELECTED[case]
    run = of_sample(tmp_path, range(1), options=options, selected=selected)
    rows = exported(run)
    note = "cannot be listed, since it is not known which they are" in capsys.readouterr().out
    assert len(rows) == number
    assert note == (number != selected)


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "killed": (
        {"counts": None, "sessions": [{"started": "2026", "ended": None, "exit_status": None}]},
        "there may be tests without a result; which they are is not known",
    ),
    "left out by -k": (
        {"counts": {"selected": 300, "not_run": 290}},
        "290 tests without a result cannot be listed, since it is not known which they are",
    ),
    "a directory": (
        {"arguments": ["tests"]},
        "304 tests without a result cannot be listed, since it is not known which they are",
    ),
    "no data": (
        {"data": [{"name": "d", "path": "gone.jsonl", "sha256": "0" * 64, "pivots": 314, "selected": 314}]},
        "304 tests without a result cannot be listed, since it is not known which they are: the data are needed",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_which_is_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    """No test without a result is listed where it is not certain which they are."""
    about, note = UNKNOWN[case]
    rows = exported(of_sample(tmp_path, range(10), **about))
    assert [row["outcome"] for row in rows] == ["passed"] * 10
    assert f"note: {note}" in capsys.readouterr().out


def test_data_that_are_not_at_hand(odd_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the data, what they say is null, and it is told why; data that are not those of the run are refused."""
    (tmp_path / "other.jsonl").write_text("{}\n")
    assert all(row["depth"] is row["n_tools"] is None for row in exported(odd_run))
    said = capsys.readouterr().out
    assert "note: split, turn, step, depth, n_tools are null, since the data are not at hand: " in said
    assert "give the file: --data FILE" in said
    out = ["--to", "csv", "-o", str(tmp_path / "out.csv")]
    assert main(["export", str(odd_run), *out, "--data", "sample"]) == 2
    assert "these are not the data of the run" in capsys.readouterr().err


# -------------------------------------------------------------------- where it is written


def test_standard_output(odd_run: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """With -o - the table goes to standard output, and what is told to standard error."""
    assert main(["export", str(odd_run), "--to", "jsonl", "-o", "-"]) == 0
    said = capfdbinary.readouterr()
    assert [json.loads(text)["run"] for text in said.out.splitlines()] == ["run"] * 12
    assert said.err.startswith(b"-: 12 rows\nnote: ")


def test_parquet_in_a_terminal(
    odd_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parquet, which would confuse a terminal, is not written to one."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", terminal)
        assert main(["export", str(odd_run), "--to", "parquet", "-o", "-"]) == 2
    assert "a terminal cannot show Parquet" in capsys.readouterr().err


def test_a_file_that_is_there(odd_run: Path, tmp_path: Path) -> None:
    """A file that is there is replaced, also by way of a run's results, and nothing is left beside it."""
    target = tmp_path / "new" / "out.csv"
    target.parent.mkdir()
    target.write_text("earlier")
    assert main(["export", str(odd_run / "results.jsonl"), "--to", "csv", "-o", str(target)]) == 0
    assert target.read_text().startswith('"format","run"')
    assert [path.name for path in target.parent.iterdir()] == ["out.csv"]


REFUSED = {
    "another ending": (["--to", "csv", "-o", "out.parquet"], "the name ends in .parquet, but --to asks for csv"),
    "a directory": (["--to", "csv", "-o", "folder"], "-o folder: is there, and is not a file"),
    "a pipe": (["--to", "csv", "-o", "pipe"], "-o pipe: is there, and is not a file"),
    "the results": (["--to", "jsonl", "-o", "run/results.jsonl"], "this is a file of the run itself"),
    "the figures": (["--to", "jsonl", "-o", "run/summary.json"], "this is a file of the run itself"),
    "an answer": (["--to", "jsonl", "-o", "run/calls/1.jsonl"], "this is a file of the run itself"),
    "the data": (["--to", "jsonl", "-o", "data.jsonl"], "this would replace the data of the run"),
    "below a file": (["--to", "csv", "-o", "file/out.csv"], "file/out.csv: cannot be written: "),
    "no spreadsheet": (
        ["--to", "jsonl", "-o", "o", "--spreadsheet"],
        "--spreadsheet: it belongs to --to csv",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(
    odd_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """What cannot be written, or must not be replaced, is refused with the reason, and everything stays as it was."""
    monkeypatch.chdir(odd_run.parent)
    for name in ("data.jsonl", "file"):
        Path(name).write_text("")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    before = (odd_run / "results.jsonl").read_bytes()
    arguments, reason = REFUSED[case]
    assert main(["export", "run", *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert (odd_run / "results.jsonl").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["data.jsonl", "file", "folder", "pipe", "run"]


def test_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not a run is refused, and an unknown format is answered with those that there are."""
    (tmp_path / "saved.jsonl").write_text('{"fcpivot_baseline": 1}\n')
    (tmp_path / "notes.txt").write_text("{}\n")
    (tmp_path / "other.jsonl").write_text("{}\n")
    (tmp_path / "empty").mkdir()
    for name, reason in (
        ("none", "not a run's directory: there is no such directory, and no data file of this name"),
        ("empty", "empty: not a run's directory"),
        ("saved.jsonl", "a saved baseline, which has no answers to export"),
        ("notes.txt", "neither a run's directory nor a data file, by its name"),
        ("other.jsonl", "other.jsonl:1: no responses_create_params"),
    ):
        assert main(["export", str(tmp_path / name), "--to", "csv", "-o", str(tmp_path / "out.csv")]) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(tmp_path), "--to", "xlsx", "-o", "out.xlsx"])
    assert "invalid choice: 'xlsx' (choose from" in capsys.readouterr().err
