"""Reports of real runs, pages with rows that a test chooses, and a server that they come from."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli import main
from pytest_fcpivot.report.html import payload
from pytest_fcpivot.report.html.escape import element, join
from pytest_fcpivot.report.html.page import page
from pytest_fcpivot.report.html.parts import encoded, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@contextmanager
def served(folder: Path, headers: Mapping[str, str] = {}) -> Iterator[str]:
    """Serve a folder on loopback, with headers of a server's own; yields the address."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def report_of_run(folder: Path, agent: str, *options: str) -> Path:
    """Run a session in a folder, and write the report of its run."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "--tb=no",
        f"--fc-agent={agent}",
        *options,
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    (run,) = (folder / ".fcpivot").glob("2*")
    report = folder / "report.html"
    assert main(["report", str(run), "-o", str(report)]) == 0
    return report


def call(name: str, arguments: str) -> dict[str, Any]:
    """Return an action with one call."""
    return {"type": "function_call", "name": name, "arguments": arguments}


def compared(expected: str, actual: str) -> list[dict[str, Any]]:
    """Return the rows of two calls that differ in the member `date`, and are equal in four others."""

    def row(key: str, texts: tuple[str, str], *, depth: int = 1, inner: int = 0, named: bool = False) -> dict[str, Any]:
        return {
            "depth": depth,
            "key": key,
            "path": f"$.calls[0].{'arguments.' if depth else ''}{key}",
            "expected": texts[0],
            "actual": texts[1],
            "state": "equal" if texts[0] == texts[1] and not inner else "differs",
            "named": named,
            "remark": "",
            "inner": inner,
            "folded": False,
        }

    same = [("from", '"BRE"'), ("to", '"OSL"'), ("seats", "2"), ("class", '"economy"')]
    return [
        row("arguments", ("5 keys", "5 keys"), depth=0, inner=5),
        row("date", (expected, actual), named=True),
        *[row(key, (text, text)) for key, text in same],
        row("name", ("search_flights", "search_flights"), depth=0),
    ]


def detailed_pivot(number: int) -> dict[str, Any]:
    """Return the details of a pivot with everything that a report can hold of one."""
    expected, actual = '"2026-03-04"', f'"2026-03-{number % 20 + 5:02}"'
    result = {
        "test": f"flights.jsonl::p{number}",
        "repeat": 1,
        "outcome": "failed",
        "reward": 0.0,
        "category": "ARGUMENT_VALUE_DIFFERENT",
        "explanation": f"at $.date: expected {expected}, got {actual}",
        "path": "$.date",
        "paths": ["$.date"],
        "further_paths": 0,
        "halves": [0.5, 0.25],
        "pairs": [{"expected": 0, "actual": 0, "reward": 0.75}],
        "schema": "valid",
        "judge": {"by": "asked", "score": 0.25, "reason": "It names another day.", "cause": None, "usage": None},
        "flags": ["cut_off"],
        "usage": {"input_tokens": 1200, "cached_tokens": 0, "output_tokens": 30, "reasoning_tokens": 0},
        "cost": 0.002,
        "latency_s": 0.75,
        "attempts": 2,
        "retried": ["HTTP 503"],
        "error": None,
        "cause": None,
        "action": call("search_flights", "{}"),
        "output": '{"id": "resp_1"}',
        "rows": compared(expected, actual),
        "rows_left_out": 0,
        "comparators": {"exact": 0.0, "case": 0.0, "agentic": 0.75, "lenient": 1.0},
        "rerun": f"pytest 'flights.jsonl::p{number}' --fc-agent=mine:answer",
        "baseline": {"action": None, "reward": 1.0, "category": "EXPECTED", "rows": compared(expected, expected)},
    }
    turns = [{"role": "user", "content": f"question {turn}"} for turn in range(8)]
    return {
        "id": f"p{number}",
        "trajectory": f"t{number}",
        "conversation": [
            *turns,
            {"type": "function_call", "call_id": "c1", "name": "list_airports", "arguments": '{"near":1.0}'},
            {"type": "function_call_output", "call_id": "c1", "output": '["BRE"]'},
            {"role": "user", "content": [{"type": "input_text", "text": "a flight on the fourth, please"}]},
        ],
        "system": [0, 0],
        "tools": [[0, 1], [0, 2]],
        "params": {"parallel_tool_calls": False},
        "expected": call("search_flights", '{"date": "2026-03-04"}'),
        "note": None,
        "results": [result],
    }


SHARED = [
    {"role": "system", "content": "You book flights."},
    {
        "type": "function",
        "name": "search_flights",
        "description": "Find flights.",
        "parameters": {
            "type": "object",
            "properties": {
                "from": {"type": "string"},
                "date": {"type": "string", "format": "date", "description": "The day"},
            },
            "required": ["from"],
        },
    },
    {"type": "function", "name": "list_airports", "parameters": {"type": "object", "properties": {}}},
]
SIGNATURES = [
    {"label": "search_flights $.date: the value differs", "n": 0, "state": "new"},
    {"label": "search_flights → a message: no call", "n": 0, "state": "same"},
]


def made_index(rows: int, detailed: int) -> dict[str, Any]:
    """Return the index of a run: of four answers, two are right, one has another date, one is a message."""
    strings: list[str] = []
    numbers: dict[str, int] = {}

    def number(text: str | None) -> int:
        if text is None:
            return -1
        if text not in numbers:
            numbers[text] = len(strings)
            strings.append(text)
        return numbers[text]

    kinds = [row % 4 for row in range(rows)]  # 0, 1: right; 2: another date; 3: a message
    tools = [f"tool_{row // 4 % 7}" for row in range(rows)]
    columns: dict[str, list[Any]] = {
        "id": [number(f"p{row}") for row in range(rows)],
        "repeat": [1] * rows,
        "test": [number(f"flights.jsonl::p{row}") for row in range(rows)],
        "outcome": [(0, 0, 1, 1)[kind] for kind in kinds],
        "reward": [(1.0, 1.0, 0.25, 0.0)[kind] for kind in kinds],
        "before": [(1.0, 0.0, 1.0, None)[kind] for kind in kinds],
        "flip": [(0, 1, -1, 0)[kind] for kind in kinds],
        "signature": [(-1, -1, 0, 1)[kind] for kind in kinds],
        "cell": [
            number(("call/right tool", "call/right tool", "call/right tool", "call/message")[kind]) for kind in kinds
        ],
        "expected_tool": [number(tool) for tool in tools],
        "called": [number(None if kind == 3 else tool) for kind, tool in zip(kinds, tools, strict=True)],
        "category": [
            number(("EXPECTED", "EXPECTED", "ARGUMENT_VALUE_DIFFERENT", "NO_EXPECTED_TOOL_CALL")[kind])
            for kind in kinds
        ],
        "schema": [number("no-call" if kind == 3 else "valid") for kind in kinds],
        "type": [number("function_call")] * rows,
        "expected": [number(f'{tool}({{"date": "day {row}"}})') for row, tool in enumerate(tools)],
        "actual": [
            number('message "Which day?"' if kind == 3 else f'{tool}({{"date": "day {row + (kind == 2)}"}})')
            for row, (kind, tool) in enumerate(zip(kinds, tools, strict=True))
        ],
        "depth": [row % 9 for row in range(rows)],
        "tools": [2] * rows,
        "context": [row * 10 for row in range(rows)],
        "steady": [[1, 2] if row % 10 == 0 else [2, 2] for row in range(rows)],
        "flags": [None] * rows,
        "cause": [-1] * rows,
        "part": [1 if row < detailed else -1 for row in range(rows)],
        "at": [row if row < detailed else -1 for row in range(rows)],
    }
    counts = [columns["signature"].count(each) for each in range(2)]
    return {
        "strings": strings,
        "columns": columns,
        "signatures": [{**each, "n": n} for each, n in zip(SIGNATURES, counts, strict=True)],
        "bins": payload.bins(),
        "run": {
            "name": "20260304T101500-abcdef",
            "path": "run",
            "key": "0123456789abcdef",
            "show": "fcpivot show run",
            "base": "before",
            "pass_mark": 0.5,
            "currency": "EUR",
        },
        "runs": ["20260304T101500-abcdef"],
    }


def made_page(
    target: Path,
    rows: int,
    *,
    detailed: int = 0,
    change: Callable[[dict[str, Any], list[dict[str, Any]]], None] | None = None,
) -> Path:
    """Write a page of made rows, of which the first ones have details; `change` may change the index and the pivots."""
    index = made_index(rows, detailed)
    pivots = [detailed_pivot(number) for number in range(detailed)]
    if change is not None:
        change(index, pivots)
    parts = [packed(encoded({"shared": True, "blocks": SHARED})), packed(encoded({"shared": False, "pivots": pivots}))]
    meta = payload.meta(rows=rows, parts=len(parts), left_out=rows - detailed)
    texts = page("made", _first_screen(index), meta, packed(encoded(index)), list(enumerate(parts)))
    target.write_text("".join(texts), encoding="utf-8")
    return target


def _first_screen(index: Mapping[str, Any]) -> Any:
    """Return a first screen with each kind of figure that stands for rows."""
    items = [
        element(
            "li",
            element(
                "details",
                element("summary", element("span", each["label"], class_="label")),
                element("p", "an example"),
                class_="signature",
                data_signature=number,
            ),
            data_filter=f"signature={number}",
        )
        for number, each in enumerate(index["signatures"])
    ]
    cells = [
        element("td", index["signatures"][1]["n"], data_filter="cell=call%2Fmessage"),
        element("td", "tool_1", data_filter="tool=tool_1&called=tool_1"),
        element("td", "valid but different", data_filter="schema=valid&match=no"),
        element("td", "depth 2 to 3", data_filter="depth=2-3"),
        element("td", "0", data_filter="cell=call%2Fnothing"),
    ]
    signatures = element("ol", *items, class_="signatures")
    return join(
        element("header", element("h1", "A run")),
        element(
            "main",
            element("section", element("h2", "Where the reward went"), signatures, id="signatures"),
            element("section", element("h2", "Cells"), element("table", element("tr", *cells)), id="matrix"),
            id="first-screen",
        ),
        element("section", element("p", "The table needs the script.", class_="needs-script"), id="results"),
        element("section", id="pivot", hidden=True),
    )
