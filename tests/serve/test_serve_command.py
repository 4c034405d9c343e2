"""The command `fcpivot serve`: what it says, how it ends, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ors_server import Client, rows, write_rows

from pytest_fcpivot import load_pivots
from pytest_fcpivot.cli import main
from pytest_fcpivot.data.store import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = {"type": "message", "content": "Hello"}


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("number", "host"), [(signal.SIGINT, "127.0.0.1"), (signal.SIGTERM, "0.0.0.0")])  # noqa: S104
def test_it_serves_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals, host: str) -> None:
    """It says what it serves and where, who can reach it, and a signal ends it at once, also with a session open."""
    first = write_rows(tmp_path / "first.jsonl", rows(MESSAGE))
    second = write_rows(tmp_path / "second.jsonl", rows(MESSAGE, MESSAGE))
    command = [sys.executable, "-m", "pytest_fcpivot.cli", "serve", str(first), f"more={second}", "--port=0"]
    command.append(f"--host={host}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3 if host == "127.0.0.1" else 4)]
        if host != "127.0.0.1":
            said = sorted(said, key=lambda line: line.startswith("warning: "))
            warned = said.pop()
            assert warned.startswith(f"warning: other machines can reach {host}, and everybody there may use")
            assert "--token-env" in warned
        assert said[0] == "fcpivot: 1 train; graded by nemo-gym:first-call; per-task tools\n"
        assert said[1] == "more: 2 train; graded by nemo-gym:first-call; per-task tools\n"
        found = re.fullmatch(rf"serving at http://{host}:(\d+) \(Ctrl-C ends it\)\n", said[2])
        assert found is not None
        with Client(int(found[1])) as client:
            assert client.ask("GET", "/list_environments").json == ["fcpivot", "more"]
            client.open(split="train", index=1, env_name="more")
            process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout.read() == "ended\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: [NAME=]DATA"),
        (["missing.jsonl"], "missing.jsonl"),
        (["a.jsonl", "b.jsonl"], "b.jsonl: there is an environment fcpivot already; give each file a name"),
        (["x=a.jsonl", "X=b.jsonl"], "there is an environment x already"),
        (["tasks=a.jsonl"], 'an environment cannot be named "tasks"'),
        (["a/b=a.jsonl"], 'an environment cannot be named "a/b"'),
        (["a.jsonl", "--split=dev"], "no task is left: --split=dev left none of the 1 pivots"),
        (["a.jsonl", "--grader=unknown"], "unknown grader 'unknown'"),
        (["a.jsonl", "--judge=m"], "--judge=m: there is no key for it: set OPENAI_API_KEY"),
        (["a.jsonl", "--judge=m", "--judge-fallback=keyword"], "nemo-gym:first-call does not score messages"),
        (["a.jsonl", "--token-env=NO_SUCH_TOKEN"], "--token-env=NO_SUCH_TOKEN: this environment variable is not set"),
        (["a.jsonl", "--token-env=ODD_TOKEN"], "--token-env=ODD_TOKEN: a header cannot carry this token"),
        (["a.jsonl", "--judge-base-url=http://127.0.0.1:9/v1"], "nemo-gym:first-call does not score messages"),
        (["a.jsonl", "--grader=agentic", "--judge-base-url=nonsense"], "no model judge messages: --judge=off"),
        (["junk.jsonl"], "correct the file, or pass --bad-rows=skip to fcpivot prepare"),
        (["a.jsonl", "--host="], "--host: name an address"),
        (["a.jsonl", "--host=no.such.host.invalid"], "cannot listen at no.such.host.invalid port"),
        (["a.jsonl", "--port=70000"], "argument --port: 70000: a number from 0 to 65535 is needed"),
        (["a.jsonl", "--port=any"], "argument --port: any: a number from 0 to 65535 is needed"),
        (["a.jsonl", "--idle=0"], "argument --idle: 0: a number of seconds is needed, at least 1"),
        (["a.jsonl", "--limit=some"], "argument --limit: some: a whole number is needed, at least 1"),
        (["a.jsonl", "--tools=all"], "invalid choice: 'all'"),
    ],
)
def test_what_cannot_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """It is refused in one message that says what to do."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "a.jsonl", rows(MESSAGE))
    write_rows(tmp_path / "b.jsonl", rows(MESSAGE))
    (tmp_path / "junk.jsonl").write_text("junk\n", encoding="ascii")
    monkeypatch.setenv("ODD_TOKEN", "t\u00f6 ken")
    port = [] if any(each.startswith("--port") for each in arguments) else ["--port=0"]
    assert _run("serve", *arguments, *port) == 2
    assert said in capsys.readouterr().err


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The port is taken before data are opened, and one that is in use is refused."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert _run("serve", str(tmp_path / "missing"), f"--port={port}") == 2
    said = capsys.readouterr().err
    assert f"cannot listen at 127.0.0.1 port {port}: " in said
    assert "choose another with --port" in said


def test_a_file_of_a_newer_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A prepared file of a format that this version does not know is refused by name."""
    import pyarrow.parquet as pq  # noqa: PLC0415 (only here)

    path = tmp_path / "data.parquet"
    main(["prepare", str(write_rows(tmp_path / "rows.jsonl", rows(MESSAGE))), "-o", str(path)])
    with pq.ParquetFile(path) as file:
        table, details = file.read(), json.loads(file.metadata.metadata[METADATA_KEY]) | {"format_version": 99}
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(details).encode()}), path)
    assert _run("serve", str(path), "--port=0") == 2
    assert "store format 99" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["uvicorn", "httptools"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the server's packages, one line says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert _run("serve", "sample", "--port=0") == 2
    assert capsys.readouterr().err == (
        f"fcpivot: fcpivot serve needs the package {missing}; install it: pip install 'pytest-fcpivot[ors]'\n"
    )


def test_the_sample_is_served_by_name() -> None:
    """`sample` is the bundled data, as for a session."""
    assert len(load_pivots("sample")) == 314


def _run(*arguments: Any) -> int:
    try:
        return main([str(each) for each in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
