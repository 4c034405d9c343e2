"""Damage the files that commands read, in every way that comes to mind, and check that each command bears it.

    python tests/fuzz/mutate_files.py --files 100000 [--seed 1] [--first 0] [--stop-at 20] [--only COMMAND]

A real session records a run, which is the pattern; each round damages one file of a copy of it (`run.json`,
`results.jsonl`, a call file, `crashes.json`), or a file of data, of rollouts or of verdicts, and lets the commands read
it that such a file is for: merge, audit, compare, gate, show, export, replay and resume, or conformance, info, lint,
prepare and show.
Damage is flipped bits, bytes that are gone, put in or doubled, lines that are gone, doubled or in another order, values
of other types, names that are gone, nesting without end, huge numbers, invalid UTF-8 and zero bytes.

A command may refuse a file with its own error and exit code 2, or read it, with exit code 0 or 1. What else it does is
a fault of ours: another exception, another exit code, a traceback on the screen, or a merged run that cannot be read
again or has other counts than its lines. For replay and resume, the session is made as pytest makes it, up to where the
first test would run, and each stored answer is read; pytest itself runs no test.

Prints a table of what became of the files, then each fault with the number of its round, which alone decides what is
damaged (`--first N --files 1` does it again), and exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _pytest.config import _prepareconfig

from pytest_fcpivot import cli
from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import ActionError, FcPivotError
from pytest_fcpivot.runs.call_log import Crashes, under_way
from pytest_fcpivot.runs.described import read_description
from pytest_fcpivot.runs.reader import Damage, results_in
from pytest_fcpivot.runs.trust import find_key, written
from pytest_fcpivot.session import hooks
from pytest_fcpivot.session.begin import make_session
from pytest_fcpivot.session.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.session.hooks import PivotSession

AGENT = '''
"""An agent that is right, wrong, silent or broken by turns."""


def answer(pivot):
    number = int(pivot.input[-1]["content"].split()[1])
    if number % 5 == 4:
        raise RuntimeError("no connection")
    if number % 2:
        return {"type": "function_call", "name": "add", "arguments": '{"a": %d}' % (number % 3)}
    return {"id": "resp", "output": [{"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "hello"}]}],
            "usage": {"input_tokens": 9, "output_tokens": 2}}
'''
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "1", "a\0b", "\ud800", "é" * 40, "x" * 5000, "../..", "/dev/null", "/proc/self/mem", "[" * 2000),
    *([], {}, [1], ["x"], [[]], {"a": 1}, {"name": "x"}, [None], {"type": "message"}, {"": None}),
    *(
        "passed",
        "error",
        "function_call",
        "nemo-gym",
        "agentic",
        "0/1",
        "3/2",
        "sample",
        "-",
        "hf://a/b",
        "nan",
        "1e999",
    ),
]
RUN_FILES = ("run.json", "results.jsonl", "results.jsonl", "calls/main-1.jsonl", "calls/crashes.json")
DATA_FILES = (
    "saved.jsonl",
    "rollouts.jsonl",
    "data.jsonl",
    "data.jsonl",
    "talks.jsonl",
    "data.jsonl.gz",
    "data.parquet",
    "rows.parquet",
    "verdicts.jsonl",
)


# -------------------------------------------------------------------- the files


def pivot(number: int) -> dict[str, Any]:
    """Return a row of data."""
    call = {"type": "function_call", "name": "add", "arguments": json.dumps({"a": number % 3 or 1})}
    return {
        "id": str(number),
        "trajectory_id": f"t{number // 2}",
        "responses_create_params": {"input": [{"role": "user", "content": f"say {number}"}], "tools": [TOOL]},
        "expected_action": call if number % 2 else {"type": "message", "content": "hello"},
        "agent_ref": {"type": "responses_api_agents", "name": "expert"},
        "info": {"turn": 1, "step": 0, "depth": number},
    }


def rollout(number: int) -> dict[str, Any]:
    """Return a row of rollouts."""
    response = {"id": "resp", "output": [], "usage": {"input_tokens": 7, "output_tokens": 2}}
    return pivot(number) | {"response": response, "reward": 0.0, "_ng_task_index": number, "_ng_rollout_index": 0}


def talk(number: int) -> dict[str, Any]:
    """Return a conversation."""
    calls = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    return {
        "uuid": f"talk{number}",
        "tools": [{"type": "function", "function": {"name": "add", "parameters": TOOL["parameters"]}}],
        "messages": [
            {"role": "user", "content": "add one"},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "assistant", "content": "It is 1."},
        ],
    }


def verdict(number: int) -> dict[str, Any]:
    """Return a verdict of the verifier."""
    action = {"type": "function_call", "name": "add", "arguments": json.dumps({"a": number})}
    right = {"reward": 1.0, "category": "EXPECTED_TOOL_CALL"}
    config = {"word_count_similarity_threshold": 0.1}
    return {
        "id": f"v{number}",
        "expected_action": action,
        "output": [action],
        "config": config,
        **right,
        "first_call": right,
    }


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    """Write rows as lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_pattern(base: Path) -> None:
    """Write data, record a run over them in a session of its own, and the other files."""
    rows = [pivot(number) for number in range(8)]
    (base / "agent.py").write_text(AGENT)
    (base / "data.jsonl").write_bytes(as_lines(rows))
    (base / "talks.jsonl").write_bytes(as_lines([talk(number) for number in range(2)]))
    (base / "rollouts.jsonl").write_bytes(as_lines([rollout(number) for number in range(4)]))
    (base / "verdicts.jsonl").write_bytes(as_lines([verdict(number) for number in range(3)]))
    (base / "data.jsonl.gz").write_bytes(gzip.compress(as_lines(rows)))
    options = ["--fc-data=data.jsonl", "--fc-agent=agent:answer", "--fc-run=run", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *options]
    done = subprocess.run(command, cwd=base, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    shutil.copytree(base / "run", base / "other")
    call = {"latency_s": 1.0, "attempts": 1, "retried": ["timeout"], "usage": None, "output": "hello"}
    calls = base / "run" / "calls"
    calls.mkdir(exist_ok=True)
    ends: list[dict[str, Any]] = [
        {"began": "data.jsonl::t2-d4"},
        {"ended": "data.jsonl::t2-d4", **call},
        {"began": "data.jsonl::9"},
    ]
    (calls / "main-1.jsonl").write_bytes(as_lines(ends))
    (calls / "crashes.json").write_text(json.dumps({"suspects": ["a"], "guilty": [], "logs": ["main-1.jsonl"]}))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(["prepare", str(base / "data.jsonl"), "-o", str(base / "data.parquet")]) == 0
        saved = ["compare", str(base / "run"), f"--save-baseline={base / 'saved.jsonl'}", "--allow-errors"]
        assert cli.main(saved) == 0
    pq.write_table(pa.Table.from_pylist(rows), base / "rows.parquet")


# -------------------------------------------------------------------- the damage


def damaged(data: bytes, drawn: random.Random, *, is_text: bool = True) -> bytes:
    """Return the bytes of a file with damage of one or two kinds."""
    kinds = [_flip, _cut, _without, _twice, _put_in]
    if is_text:
        kinds += [_lines, _lines, _retyped, _retyped, _retyped, _retyped, _line_of_its_own, _number]
    for _ in range(drawn.choice((1, 1, 1, 2))):
        data = drawn.choice(kinds)(data, drawn)
    return data


def _flip(data: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(drawn.randint(1, 8) if data else 0):
        changed[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
    return bytes(changed)


def _cut(data: bytes, drawn: random.Random) -> bytes:
    return data[: drawn.randint(0, len(data))]


def _without(data: bytes, drawn: random.Random) -> bytes:
    at = drawn.randint(0, len(data))
    return data[:at] + data[at + drawn.choice((1, 2, 8, 100, 1000)) :]


def _twice(data: bytes, drawn: random.Random) -> bytes:
    at, size = drawn.randint(0, len(data)), drawn.choice((1, 8, 100, 1000))
    return data[:at] + data[at : at + size] * 2 + data[at + size :]


def _put_in(data: bytes, drawn: random.Random) -> bytes:
    at = drawn.randint(0, len(data))
    return data[:at] + _stuff(drawn) + data[at:]


def _stuff(drawn: random.Random) -> bytes:
    return drawn.choice(
        (
            b"\0" * drawn.choice((1, 512)),
            *(b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"NaN", b"\x1b[31m", b"\xe2\x80\xae"),
            *(b"[" * 2_000, b"[" * 100_000, b'{"a":' * 3_000, b"9" * 5_000, b'"' + b"\\" * 999, b"\\ud800", b"1e999"),
            drawn.randbytes(drawn.choice((1, 3, 40))),
        )
    )


def _lines(data: bytes, drawn: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = drawn.randrange(len(lines))
    how = drawn.randrange(5)
    if how == 0:
        lines.insert(drawn.randint(0, len(lines)), lines[at])
    elif how == 1:
        del lines[at]
    elif how == 2:
        drawn.shuffle(lines)
    elif how == 3:
        lines[at] = _flip(lines[at].rstrip(b"\n"), drawn) + b"\n"
    else:
        lines[at] = lines[at].rstrip(b"\n")
    return b"".join(lines)


def _line_of_its_own(data: bytes, drawn: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(drawn.randint(0, len(lines)), _stuff(drawn) + b"\n")
    return b"".join(lines)


def _number(data: bytes, drawn: random.Random) -> bytes:
    found = [at for at in range(len(data)) if data[at : at + 1].isdigit()]
    if not found:
        return data
    at = drawn.choice(found)
    return data[:at] + drawn.choice((b"-1", b"1e400", b"9" * 400, b"9" * 5000, b"0.5", b'"1"')) + data[at + 1 :]


def _retyped(data: bytes, drawn: random.Random) -> bytes:
    """Change, take out or rename one value of the JSON of a line, or of the whole file."""
    whole = data[:2] == b"{\n"
    lines = [data] if whole else data.splitlines(keepends=True)
    if not lines:
        return data
    at = drawn.randrange(len(lines))
    try:
        value = json.loads(lines[at])
    except (ValueError, RecursionError):
        return data
    places = list(_places(value))
    if not places:
        return data
    holder, key = drawn.choice(places)
    how = drawn.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[drawn.choice((key + "x", "", "test", "name", "type", "\ud800"))] = holder.pop(key)
    elif how == 2:
        _, other = drawn.choice(places)
        holder[key] = copy.deepcopy(_at(places, other, drawn))
    else:
        holder[key] = copy.deepcopy(drawn.choice(ODD))
    lines[at] = json.dumps(value).encode() + b"\n"
    return b"".join(lines)


def _at(places: list[tuple[Any, Any]], key: Any, drawn: random.Random) -> Any:
    return drawn.choice([holder[name] for holder, name in places if name == key])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield value, key
            yield from _places(each)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield value, number
            yield from _places(each)


# -------------------------------------------------------------------- the commands


class Fault(Exception):  # noqa: N818 (of ours, found)
    """A command did what it may not do."""


@dataclass
class Reader:
    """Lets every command read a directory with the pattern's files."""

    here: Path
    config: pytest.Config = field(init=False)

    def __post_init__(self) -> None:
        before = Path.cwd()
        os.chdir(self.here)
        self.config = _prepareconfig(["-p", "no:cacheprovider", "-p", "no:terminal"])
        os.chdir(before)
        self._args = [*self.config.args], self.config.args_source

    # each command returns "refused", "told" or "read"

    def merge(self, _: str) -> str:
        """Join the run alone, with its damaged lines left out if it must be."""
        found = self._command("merge", "run", "-o", "merged")
        if found == "refused":
            self._nothing_at("merged")
            found = "told" if self._command("merge", "run", "-o", "merged", "--allow-damaged") != "refused" else found
        if found == "refused":
            self._nothing_at("merged")
            return found
        try:
            self._check_merged(self.here / "merged")
        finally:
            shutil.rmtree(self.here / "merged", ignore_errors=True)
        return found

    def _nothing_at(self, name: str) -> None:
        if (self.here / name).exists():
            shutil.rmtree(self.here / name)
            raise Fault(f"refused, and there is {name}")

    @staticmethod
    def _check_merged(path: Path) -> None:
        """Raise Fault for a merged run that is damaged itself, or whose counts are not those of its lines."""
        description, outcomes = read_description(path), Counter[str]()
        for _, line in results_in(path / "results.jsonl"):
            if isinstance(line, Damage):
                raise Fault(f"the merged run is damaged: {line}")
            outcomes[line.outcome] += 1
        counts = description["counts"]
        told = {"passed": counts["passed"], "failed": counts["failed"], "error": counts["errors"]}
        if any(outcomes[name] != number for name, number in told.items()):
            raise Fault(f"the counts are {told}, and the lines have {dict(outcomes)}")

    def audit(self, name: str) -> str:
        """Audit the run, or rollouts."""
        target = name if name == "rollouts.jsonl" else "run"
        found = self._command("audit", target, "--json", "audit.json")
        if found == "refused":
            found = "told" if self._command("audit", target, "--allow-damaged") != "refused" else found
        return found

    def compare(self, name: str) -> str:
        """Compare the run with a copy, as it is and graded again, or a saved baseline with it."""
        if name == "saved.jsonl":
            return self._command("compare", name, "run", "--show-flips")
        found = self._command("compare", "run", "other", "--show-flips", "--verbose")
        if found == "refused":
            found = "told" if self._command("compare", "other", "run", "--allow-damaged") != "refused" else found
        self._command("compare", "other", "run", "--regrade", "--allow-damaged", "--format=json")
        return found

    def gate(self, _: str) -> str:
        """Decide about the run, by rules of all kinds."""
        rules = ["--fail-under=0.5", "--fail-under=type=call:0.5", "--baseline=other", "--max-drop=0.1"]
        found = self._command("gate", "run", *rules)
        if found == "refused":
            found = "told" if self._command("gate", "run", *rules, "--allow-damaged") != "refused" else found
        return found

    def show(self, name: str) -> str:
        """Show the first pivots of the run, or of a file of data."""
        whole = (line for _, line in results_in(self.here / "other" / "results.jsonl") if not isinstance(line, Damage))
        ids = list(dict.fromkeys(line.pivot_id for line in whole))[:_SHOWN]
        target = name if name.startswith(("data.", "rows.")) else "run"
        found = {self._command("show", target, each, "--full") for each in ids}
        return "read" if "read" in found else "refused"

    def export(self, _: str) -> str:
        """Write the run as a table, with a row for each test, and with its damaged lines left out if it must be."""
        found = self._command("export", "run", "--to=parquet", "-o", "out.parquet")
        if found == "refused":
            again = self._command("export", "run", "--to=parquet", "-o", "out.parquet", "--allow-damaged")
            found = "told" if again != "refused" else found
        table = self.here / "out.parquet"
        if found == "refused":
            if table.exists():
                raise Fault("refused, and there is a table")
            return found
        rows = pq.read_table(table, columns=["test", "outcome"]).to_pylist()
        table.unlink()
        if len({row["test"] for row in rows}) != len(rows):
            raise Fault(f"a test has several rows: {rows}")
        return found

    def profile(self, _: str) -> str:
        """Count in two runs how often each pivot was solved, and write all that were not, and the figures of all."""
        arguments = ["run", "other", "--keep=all-fail", "--min-rollouts=1", "-o", "kept.jsonl", "--table=all.parquet"]
        found = self._command("profile", *arguments)
        if found == "refused":
            found = "told" if self._command("profile", *arguments, "--allow-damaged") != "refused" else found
        kept, table = self.here / "kept.jsonl", self.here / "all.parquet"
        if kept.exists() != table.exists() or kept.exists() != (found != "refused"):
            raise Fault(f"{found}, and of the files of the profile there are {kept.exists()}, {table.exists()}")
        for path in (kept, table):
            path.unlink(missing_ok=True)
        return found

    def replay(self, name: str) -> str:
        """Begin to replay the run, or rollouts, and read every answer."""
        target = name if name == "rollouts.jsonl" else "run"
        found = self._session(fc_replay=target)
        if found == "refused":
            found = "told" if self._session(fc_replay=target, fc_allow_damaged=True) != "refused" else found
        return found

    def resume(self, _: str) -> str:
        """Begin to go on with the run, read every answer, and end at once; then what a worker reads of the calls."""
        found = self._session(fc_resume="run", fc_agent="agent:answer")
        under_way(self.here / "run" / "calls" / "main-1.jsonl")
        Crashes(self.here / "run" / "calls").look()
        return found

    def prepare(self, name: str) -> str:
        """Read data into a parquet file."""
        try:
            return self._command("prepare", name, "-o", "out.parquet", "--bad-rows=refuse")
        finally:
            for path in self.here.glob("out.*"):
                path.unlink()

    def info(self, name: str) -> str:
        """Tell what a data file holds."""
        return self._command("info", name, "--json")

    def lint(self, name: str) -> str:
        """Look for a data file's faults."""
        return self._command("lint", name)

    def conformance(self, name: str) -> str:
        """Compare verdicts."""
        return self._command("conformance", name)

    def _command(self, command: str, *arguments: str) -> str:
        out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(self.here)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = cli.main([command, *arguments])
        except SystemExit as error:
            raise Fault(f"{command} called sys.exit({error.code})") from error
        finally:
            os.chdir(before)
        text = out.getvalue() + err.getvalue()
        if code not in (0, 1, 2):
            raise Fault(f"{command}: exit code {code}")
        if "Traceback (most recent" in text:
            raise Fault(f"{command}: {text}")
        if code == 2:
            if not err.getvalue().startswith("fcpivot: ") or len(err.getvalue()) < 20:
                raise Fault(f"{command}: refused without a reason: {text}")
            return "refused"
        return "told" if code or "note: " in text or "damaged" in text else "read"

    def _session(self, **chosen: Any) -> str:
        """Make a session as pytest does, and read all answers that it would grade."""
        config = self.config
        config.args, config.args_source = [*self._args[0]], self._args[1]
        before = copy.copy(config.option.__dict__)
        config.option.__dict__.update(chosen, fc_run="none" if "fc_replay" in chosen else None)
        directory = Path.cwd()
        os.chdir(self.here)
        made = None
        try:
            try:
                made = make_session(config, Redaction.begin(config).redact)
            except OSError:  # as the session's `begin` has it, whose message names the file
                return "refused"
            made._begin_run()
            told = made.pytest_report_header()
            self._read_all(made)
            made.ledger.recorder.finish(2, complete=False)
            made.ledger.recorder.close()
        except (FcPivotError, pytest.UsageError):
            return "refused"
        finally:
            os.chdir(directory)
            config.option.__dict__.clear()
            config.option.__dict__.update(before)
            if made is not None:
                made.asker.close()
                if made.ledger.recorder._run is not None:
                    made.ledger.recorder._run.close()
                for dataset in made.plan.datasets:
                    dataset.store.close()
            config._cleanup_stack.close()
        return "told" if len(told) > 3 else "read"

    @staticmethod
    def _read_all(made: PivotSession) -> None:
        assert made.plan.book is not None
        if made.plan.repeats > 1000:
            raise Fault(f"{made.plan.repeats} repeats of each pivot")
        for dataset in made.plan.datasets:
            made.check_gradable(dataset)
            for entry in dataset.entries:
                for repeat in range(1, made.plan.repeats + 1):
                    name = f"{dataset.label}::{entry.id}" + (f"[r{repeat}]" if repeat > 1 else "")
                    stored = made.plan.book.take(name, entry.id, repeat)
                    if stored is not None and stored.error is None:
                        with contextlib.suppress(ActionError):
                            to_action(stored.output)


def _marked(data: bytes) -> bytes:
    """Mark a run.json as made here, if it can be: what others made is refused before it is used."""
    try:
        description = json.loads(data)
        return written(description, find_key()) if isinstance(description, dict) else data
    except (ValueError, RecursionError):
        return data


COMMANDS = {
    "run.json": ("merge", "audit", "compare", "gate", "show", "export", "profile", "replay", "resume"),
    "results.jsonl": ("merge", "audit", "compare", "gate", "show", "export", "profile", "replay", "resume"),
    "saved.jsonl": ("compare",),
    "calls/main-1.jsonl": ("merge", "replay", "resume"),
    "calls/crashes.json": ("resume",),
    "rollouts.jsonl": ("audit", "replay", "prepare", "info"),
    "data.jsonl": ("prepare", "info", "lint", "show"),
    "talks.jsonl": ("prepare", "info", "lint"),
    "data.jsonl.gz": ("prepare", "info", "lint"),
    "data.parquet": ("prepare", "info", "lint", "show"),
    "rows.parquet": ("prepare", "info", "lint"),
    "verdicts.jsonl": ("conformance",),
}


_SHOWN = 3  # pivots

# `info` starts a process of its own for each file, which takes twenty times as long as all the rest.
INFO_OF_EACH = 20


@dataclass
class Rounds:
    """Damages files and counts what commands make of them."""

    base: Path
    seed: int
    table: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pattern, self._here = self.base / "pattern", self.base / "here"
        self._pattern.mkdir()
        os.environ |= {"FC_CACHE_DIR": str(self.base / "cache"), "XDG_STATE_HOME": str(self.base / "state")}
        (self.base / "state").mkdir(0o700)
        write_pattern(self._pattern)
        shutil.copytree(self._pattern, self._here)
        # the run's data are named by where they are
        described = self._pattern / "run" / "run.json"
        described.write_bytes(
            _marked(described.read_bytes().replace(str(self._pattern).encode(), str(self._here).encode()))
        )
        self._reader = Reader(self._here)

    def one(self, number: int, only: str | None = None) -> None:
        """Damage one file, and let the commands read it that it is for."""
        drawn = random.Random(f"{self.seed} {number}")
        of_run = drawn.random() < 0.6
        name = drawn.choice(RUN_FILES if of_run else DATA_FILES)
        path = Path("run", name) if of_run else Path(name)
        data = damaged((self._pattern / path).read_bytes(), drawn, is_text=not name.endswith((".gz", ".parquet")))
        if name == "run.json" and drawn.random() < 0.8:
            data = _marked(data)
        self.files[name] += 1
        (self._here / path).write_bytes(data)
        for command in COMMANDS[name]:  # resume, which writes, comes last
            if only not in (None, command) or (command == "info" and only is None and number % INFO_OF_EACH):
                continue
            self.table[command, "files"] += 1
            try:
                self.table[command, getattr(self._reader, command)(name)] += 1
            except Fault as fault:
                self._note(number, name, command, str(fault), "wrong")
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                self._note(number, name, command, "".join(traceback.format_exception(error)[-6:]), "foreign")
        if "resume" in COMMANDS[name]:
            shutil.rmtree(self._here / "run")
            shutil.copytree(self._pattern / "run", self._here / "run")
        else:
            shutil.copyfile(self._pattern / path, self._here / path)

    def _note(self, number: int, name: str, command: str, what: str, kind: str) -> None:
        self.table[command, kind] += 1
        self.faults.append(f"round {number}: {command} over {name}: {what[-1500:]}")
        print(self.faults[-1], file=sys.stderr, flush=True)

    def forget(self) -> None:
        """Remove what was prepared of damaged files, and what is left in memory: `prepare` turns collecting off."""
        shutil.rmtree(self.base / "cache", ignore_errors=True)
        gc.enable()
        gc.collect()

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        columns = ("files", "refused", "told", "read", "foreign", "wrong")
        yield f"{'command':12}" + "".join(f"{column:>10}" for column in columns)
        for command in dict.fromkeys(command for commands in COMMANDS.values() for command in commands):
            yield f"{command:12}" + "".join(f"{self.table[command, column]:>10}" for column in columns)
        yield "files damaged: " + ", ".join(f"{name} {count}" for name, count in sorted(self.files.items()))


def main() -> int:
    """Do so many rounds, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--stop-at", type=int, default=20, help="stop after so many faults")
    parser.add_argument("--only", help="one command")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # Versions of packages, which take the most time, and no file that is damaged.
    vars(hooks)["surroundings"] = lambda _: {}
    with tempfile.TemporaryDirectory(prefix="mutate-") as base:
        rounds = Rounds(Path(base), options.seed)
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):  # what was done until then is told
            for number in range(options.first, options.first + options.files):
                rounds.one(number, options.only)
                if number % 500 == 499:
                    rounds.forget()
                if number % 2500 == 2499:
                    faults = len(rounds.faults)
                    took = time.monotonic() - began
                    print(f"{number + 1} files, {took:.0f} s, {faults} faults", file=sys.stderr, flush=True)
                if len(rounds.faults) >= options.stop_at:
                    break
    print("\n".join(rounds.lines()))
    print(f"{sum(rounds.files.values())} files in {time.monotonic() - began:.0f} s, {len(rounds.faults)} faults")
    for fault in rounds.faults:
        print(fault)
    return 1 if rounds.faults else 0


if __name__ == "__main__":
    sys.exit(main())
