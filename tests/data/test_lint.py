"""Lint: each rule finds the fault made for it and nothing in its mended twin; counts, ids, severities and formats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, DataError, FunctionCall, Pivot
from pytest_fcpivot.data import SAMPLE, synth
from pytest_fcpivot.data.lint import FAIL_ON, RULES, SEVERITIES, FailOn, Finding, Findings, lint
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.rows import StoredPivot
from pytest_fcpivot.data.sources import file_source
from pytest_fcpivot.data.store import ROWS_PER_GROUP, write_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANSWER = "Your parcel left the depot this morning and arrives tomorrow."
PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    """Return a flat tool."""
    return {"type": "function", "name": name, "description": "", "parameters": PARAMETERS} | fields


def user(text: Any) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    """Return an assistant message."""
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(call_id: str, arguments: str = '{"n": 2}', name: str = "f") -> dict[str, Any]:
    """Return a call in the context."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str) -> dict[str, Any]:
    """Return a result in the context."""
    return {"type": "function_call_output", "call_id": call_id, "output": "done"}


def pivot(identifier: str = "p", **fields: Any) -> Pivot:
    """Return a pivot without a fault, but for the fields that are given; `input` and `tools` as objects."""
    expected = fields.pop("expected", Action((FunctionCall("f", '{"n": 1}'),)))
    items = fields.pop("input", [user(f"Do {identifier}.")])
    tools = fields.pop("tools", [tool()])
    trajectory = fields.pop("trajectory_id", identifier)
    return Pivot(identifier, trajectory, expected, json.dumps(items), json.dumps(tools), **fields)


def linted(tmp_path: Path, *pivots: Pivot, **options: Any) -> tuple[Findings, list[Finding]]:
    """Lint a store of pivots."""
    path = tmp_path / "store.parquet"
    write_store(path, map(StoredPivot.of, pivots), {})
    said_so: list[Finding] = []
    return lint(path, say=said_so.append, **options), said_so


def calls(*named: tuple[str, str]) -> Action:
    """Return an action of calls."""
    return Action(tuple(FunctionCall(name, arguments) for name, arguments in named))


f1 = ("f", '{"n": 1}')
# rule, fields of a pivot with the fault, fields of its mended twin, words of the detail
TABLE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("unknown-tool", {"expected": calls(("g", "{}"))}, {"expected": calls(f1)}, "'g' is not offered (f)"),
    ("unknown-tool", {"tools": []}, {"tools": [tool()]}, "'f' is not offered (none)"),
    ("unknown-tool", {"expected": calls(f1, ("g", "{}"))}, {"expected": calls(f1, ("f", '{"n":2}'))}, "'g'"),
    ("arguments-not-object", {"expected": calls(("f", "[]"))}, {"expected": calls(f1)}, "f: [] is not an object"),
    ("arguments-not-object", {"expected": calls(("f", "{n"))}, {"expected": calls(f1)}, "f: not JSON: "),
    (
        "arguments-not-object",
        {
            "expected": calls(f1, ("g", '"x"')),
            "tools": [tool(), tool("g", parameters={"type": "object", "not": False})],
        },
        {"expected": calls(f1, ("g", "{}")), "tools": [tool(), tool("g", parameters={"type": "object"})]},
        'call 2, g: "x" is not an object',
    ),
    ("arguments-break-schema", {"expected": calls(("f", '{"n":"1"}'))}, {"expected": calls(f1)}, "f: $.n (type): '1'"),
    ("arguments-break-schema", {"expected": calls(("f", "{}"))}, {"expected": calls(f1)}, "f: $ (required): 'n'"),
    (
        "arguments-break-schema",
        {"expected": calls(f1, ("f", '{"n":[]}'))},
        {"expected": calls(f1, f1)},
        "call 2, f: $.n (type)",
    ),
    ("empty-message", {"expected": Action(message="")}, {"expected": Action(message="Yes.")}, ""),
    ("empty-message", {"expected": Action(message=" \n")}, {"expected": Action(message="0")}, ""),
    (
        "unusable-schema",
        {"tools": [tool(), tool("g", parameters={"type": "object", "properties": {"x": {"type": "strin"}}})]},
        {"tools": [tool(), tool("g", parameters={"type": "object", "properties": {"x": {"type": "string"}}})]},
        'tools[1] "g": SchemaError: ',
    ),
    ("tool-form", {"tools": [tool(), tool("g", parameters=None)]}, {"tools": [tool(), tool("g")]}, "no parameters"),
    ("tool-form", {"tools": [tool(), tool("g", parameters={})]}, {"tools": [tool(), tool("g")]}, "parameters are {}"),
    (
        "tool-form",
        {"tools": [tool(), tool("g", parameters={"type": "string"})]},
        {"tools": [tool(), tool("g", parameters={"type": "object"})]},
        'tools[1] "g": the type of its parameters is "string", not object',
    ),
    ("tool-form", {"tools": [tool(), {"type": "function", "function": tool("g")}]}, {}, "tools[1]: no name"),
    ("tool-form", {"tools": [tool(), tool("g", type="web_search")]}, {}, 'its type is "web_search", not function'),
    ("duplicate-tool-names", {"tools": [tool(), tool()]}, {"tools": [tool(), tool("g")]}, "the same definition"),
    ("duplicate-tool-names", {"tools": [tool(), tool(description="x")]}, {}, "another definition"),
    (
        "result-without-call",
        {"input": [user("?"), call("a"), result("a"), result("b")]},
        {"input": [user("?"), call("a"), call("b"), result("a"), result("b")]},
        'input[3]: "b"',
    ),
    ("result-without-call", {"input": [user("?"), call("a"), result("a"), result("a")]}, {}, 'input[3]: "a"'),
    (
        "call-without-result",
        {"input": [user("?"), call("a"), call("b"), result("b"), said("Hm."), user("Go on.")]},
        {"input": [user("?"), call("a"), call("b"), result("b"), result("a"), said("Hm."), user("Go on.")]},
        'input[1]: "a"',
    ),
    ("call-without-result", {"input": [user("?"), call("a")]}, {"input": [user("?"), call("a"), result("a")]}, '"a"'),
    (
        "repeated-call-id",
        {"input": [user("?"), call("a"), result("a"), call("a"), result("a")]},
        {"input": [user("?"), call("a"), result("a"), call("b"), result("b")]},
        'input[3]: "a"',
    ),
    (
        "answer-in-context",
        {"expected": Action(message=ANSWER), "input": [user("?"), said(f"As I said: {ANSWER}"), user("Again?")]},
        {"expected": Action(message=ANSWER), "input": [user("?"), said(ANSWER[:-2]), user("Again?")]},
        "in input[1]",
    ),
    (
        "answer-in-context",
        {"expected": Action(message=f"\n{ANSWER}“é"), "input": [said("!"), user([{"text": f"{ANSWER}“é"}]), said("?")]},
        {"expected": Action(message=ANSWER), "input": [user(ANSWER), said("!"), user("Again?")]},  # not the last turn
        "in input[1]",
    ),
    (
        "answer-in-context",
        {
            "expected": Action(message=ANSWER),
            "input": [user("?"), {"type": "reasoning", "summary": [{"text": ANSWER}]}],
        },
        {"expected": Action(message=ANSWER), "input": [{"role": "system", "content": ANSWER}, user("?")]},
        "in input[1]",
    ),
    (
        "answer-in-context",
        {"expected": Action(message=ANSWER[:40].strip() + "."), "input": [user(ANSWER[:40].strip() + ".")]},
        {"expected": Action(message=ANSWER[:30]), "input": [user(ANSWER)]},  # too short to mean anything
        "in input[0]",
    ),
    (
        "call-made-before",
        {"input": [user("?"), call("a", f1[1]), result("a")]},
        {"input": [user("?"), call("a", f1[1]), result("a"), said("Done."), user("Once more.")]},
        "f: input[1]",
    ),
    ("refused-name", {"tools": [tool(), tool("a.b")]}, {"tools": [tool(), tool("a_b")]}, 'tools[1] "a.b": '),
    ("refused-name", {"tools": [tool(), tool("x" * 65)]}, {"tools": [tool(), tool("x" * 64)]}, "64 characters"),
]


@pytest.mark.parametrize(
    ("rule", "broken", "mended", "detail"), TABLE, ids=[f"{i}-{r[0]}" for i, r in enumerate(TABLE)]
)
def test_a_rule_finds_its_fault_alone(
    tmp_path: Path, rule: str, broken: dict[str, Any], mended: dict[str, Any], detail: str
) -> None:
    """The pivot with the fault is found by its rule and by no other, with where it is; its mended twin is clean."""
    found, findings = linted(tmp_path, pivot("twin", **mended), pivot("p", split="s", source_line=7, **broken))
    assert [(f.rule, f.id) for f in findings] == [(rule, "p")]
    finding = findings[0]
    assert (finding.severity, finding.trajectory_id, finding.split, finding.line) == (RULES[rule].severity, "p", "s", 7)
    assert detail in finding.detail
    assert (found.pivots, dict(found.counts), found.ids) == (2, {rule: 1}, {rule: ["p"]})


OF_WHOLE_FILES = {"broken-row", "duplicate-id", "duplicate-pivot", "unreadable-turn", "left-out-turn"}


def test_every_rule_is_tested() -> None:
    """The table and the tests of rows, of turns and of duplicates leave no rule out."""
    assert {row[0] for row in TABLE} | OF_WHOLE_FILES == set(RULES)


def test_rules_stand_in_the_order_of_their_severity() -> None:
    """The worst come first, which is the order of the table."""
    ranks = [SEVERITIES.index(rule.severity) for rule in RULES.values()]
    assert ranks == sorted(ranks)


def test_duplicates_are_found_wherever_they_are(tmp_path: Path) -> None:
    """A pivot is a duplicate under any id, row groups apart; the first is none, nor is one with another answer."""
    same = {"input": [user("The same.")]}
    far = [pivot(f"p{number}") for number in range(2 * ROWS_PER_GROUP)]
    rows = [
        pivot("first", **same, trajectory_id="x"),
        *far,
        pivot("second", **same),
        pivot("other-answer", **same, expected=calls(("f", '{"n": 9}'))),
        pivot("other-tools", **same, tools=[tool(), tool("g")]),
        pivot("third", **same),
    ]
    found, findings = linted(tmp_path, *rows)
    assert [(f.rule, f.id, f.detail) for f in findings] == [
        ("duplicate-pivot", "second", "same as first"),
        ("duplicate-pivot", "third", "same as first"),
    ]
    assert found.counts == {"duplicate-pivot": 2}


def test_a_conversation_that_grows_is_read_as_if_each_pivot_stood_alone(tmp_path: Path) -> None:
    """What pivots share is decoded once, and the places of faults are the same forwards, backwards and one by one."""
    items = [user("?"), call("a"), result("b"), said("Hm."), user("1,2"), call("a"), result("a"), user("?"), call("c")]
    pivots = [pivot(f"p{length}", input=items[:length]) for length in range(1, len(items) + 1)]
    compacted = [
        Pivot(p.id, p.id, p.expected_action, json.dumps(p.input, separators=(",", ":")), p.tools_json) for p in pivots
    ]
    each = [str(f) for p in pivots for f in linted(tmp_path, p)[1]]
    assert len(each) > 8
    assert [str(f) for f in linted(tmp_path, *compacted)[1]] == each
    assert sorted(map(str, linted(tmp_path, *reversed(compacted))[1])) == sorted(each)


def row(number: int, **fields: Any) -> str:
    """Return a row of the FC-Pivot shape."""
    params = {"input": [user(f"Do {number}.")], "tools": [tool()]}
    expected = {"type": "function_call", "name": "f", "arguments": '{"n": 1}'}
    return json.dumps(
        {"trajectory_id": number, "responses_create_params": params, "expected_action": expected} | fields
    )


def test_rows_that_cannot_be_read_are_findings_of_a_source_file(tmp_path: Path) -> None:
    """Broken rows and rows with an earlier id are named by line, with no share; a prepared store has them behind it."""
    info = {"depth": 0}
    lines = [row(1, info=info), "{", row(2, expected_action={"type": "x"}), row(1, info=info), row(3)]
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(lines))
    findings: list[Finding] = []
    found = lint(source, say=findings.append)
    assert [(f.rule, f.id, f.line) for f in findings] == [
        ("broken-row", "line 2", 2),
        ("broken-row", "line 3", 3),
        ("duplicate-id", "line 4", 4),
    ]
    assert "unknown type 'x'" in findings[1].detail
    assert "first on line 1" in findings[2].detail
    assert (found.pivots, found.exit_code()) == (2, 1)
    assert found.summary()["rules"]["broken-row"]["share"] is None
    prepare([file_source(source)], tmp_path / "rows.parquet", bad_rows="skip")
    assert lint(tmp_path / "rows.parquet").counts == {}


def test_broken_rows_past_those_that_are_named_are_counted(tmp_path: Path) -> None:
    """A store names its first thousand broken rows, and the rest are in the counts, each by its rule."""
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join([row(1, id="a"), *["{"] * 1_005, *[row(1, id="a")] * 700]))
    found = lint(source)
    assert found.counts == {"broken-row": 1_005, "duplicate-id": 700}
    assert found.ids == {"broken-row": ["line 2", "line 3", "line 4"], "duplicate-id": []}
    assert "line 2, line 3, line 4 … and 1002 more" in found.table()[2]


def with_severity(severity: str | None) -> Findings:
    """Return findings whose worst is of a severity, with all lesser ones."""
    found = Findings("x", 1)
    if severity is not None:
        at_most = SEVERITIES[[*SEVERITIES].index(severity) :]  # type: ignore[arg-type]
        found.counts.update(rule.id for rule in RULES.values() if rule.severity in at_most)
    return found


@pytest.mark.parametrize(
    ("worst", "codes"),
    [("error", (1, 1, 1, 0)), ("warning", (0, 1, 1, 0)), ("note", (0, 0, 1, 0)), (None, (0, 0, 0, 0))],
)
def test_the_exit_code_follows_the_worst_finding(worst: str | None, codes: tuple[int, ...]) -> None:
    """A finding at or above the severity that is asked for gives 1."""
    found = with_severity(worst)
    assert found.worst == worst
    assert tuple(found.exit_code(fail_on) for fail_on in FAIL_ON) == codes


def test_a_clean_file_says_so(tmp_path: Path) -> None:
    """One line, and 0 however strict."""
    found, _ = linted(tmp_path, pivot())
    assert found.table() == [f"{tmp_path / 'store.parquet'}: 1 pivots, nothing found"]
    strictest: FailOn = "note"
    assert found.exit_code(strictest) == 0


def test_the_table_counts_and_names_the_first(tmp_path: Path) -> None:
    """A rule's line has its severity, count, share and meaning, the next one its first ids."""
    empty = {"expected": Action(message="")}
    pivots = [pivot(f"p{number}", **(empty if number % 2 else {"tools": [tool("a.b"), tool()]})) for number in range(8)]
    found, _ = linted(tmp_path, *pivots)
    header, *lines = found.table()
    assert header.endswith("store.parquet: 8 pivots")
    assert [line.split() for line in lines] == [
        ["error", "empty-message", "4", "50.00%", *RULES["empty-message"].meaning.split()],
        ["p1,", "p3,", "p5", "…", "and", "1", "more"],
        ["note", "refused-name", "4", "50.00%", *RULES["refused-name"].meaning.split()],
        ["p0,", "p2,", "p4", "…", "and", "1", "more"],
        ["errors:", "4,", "warnings:", "0,", "notes:", "4"],
    ]
    assert linted(tmp_path, *pivots, ids_shown=4)[0].ids["empty-message"] == ["p1", "p3", "p5", "p7"]


def test_what_is_found_is_json(tmp_path: Path) -> None:
    """A finding is one line of JSON, and so is the summary, whatever the data hold."""
    odd = pivot("p", expected=calls(("\x1b[31m\ud800", "{}")), source_line=3)
    found, findings = linted(tmp_path, odd)
    text = findings[0].json()
    assert "\n" not in text
    assert json.loads(text) == {
        "rule": "unknown-tool",
        "severity": "error",
        "id": "p",
        "detail": findings[0].detail,
        "trajectory_id": "p",
        "split": None,
        "line": 3,
    }
    assert "\x1b" not in str(findings[0])
    summary = json.loads(json.dumps(found.summary()))
    assert summary["rules"]["unknown-tool"] | {"meaning": ""} == {
        "severity": "error",
        "count": 1,
        "share": 1.0,
        "ids": ["p"],
        "meaning": "",
    }


@pytest.mark.parametrize(("lines", "pivots"), [(synth.fc_pivot_lines, 600), (synth.agentic_lines, 1_500)])
def test_generated_faults_are_found(tmp_path: Path, lines: Callable[[int], Any], pivots: int) -> None:
    """Calls of unknown tools, off schema, and unbalanced results are counted as by hand; nothing is a duplicate."""
    source, store = tmp_path / "rows.jsonl", tmp_path / "store.parquet"
    source.write_bytes(b"".join(lines(pivots)))
    audit = prepare([file_source(source)], store)
    findings: list[Finding] = []
    found = lint(store, say=findings.append)
    assert found.pivots == audit.pivots
    assert found.counts["arguments-break-schema"] > 0
    assert found.counts["result-without-call"] > 0
    assert found.counts["call-without-result"] > 0
    assert found.counts["duplicate-pivot"] == 0
    assert found.counts["unknown-tool"] == unknown_tools(source)
    if audit.conversations:
        # a stray result is flagged at the pivots after it, and the last turn of a conversation may have none after it
        strays = {f.trajectory_id for f in findings if f.rule == "result-without-call"}
        assert 0 < len(strays) <= audit.flags["results-without-calls"]
        doubles = {f.trajectory_id for f in findings if f.rule == "duplicate-tool-names"}
        assert len(doubles) == audit.flags["duplicate-tool-names"]


def unknown_tools(source: Path) -> int:
    """Count the turns of a source file that call a tool which is not on offer."""
    count = 0
    for line in source.read_bytes().splitlines():
        data = json.loads(line)
        if "messages" in data:
            offered = {given["function"]["name"] for given in data["tools"]}
            turns = [message.get("tool_calls") or [] for message in data["messages"]]
            called = [[made["function"]["name"] for made in turn] for turn in turns]
        else:
            offered = {given["name"] for given in data["responses_create_params"]["tools"]}
            expected = data["expected_action"]
            called = [[expected["name"]] if expected["type"] == "function_call" else []]
        count += sum(not offered.issuperset(names) for names in called)
    return count


def test_the_sample_has_the_faults_it_was_made_with() -> None:
    """The bundled data are no better than real data, and no worse: off-schema calls, unmatched results, odd names."""
    assert set(lint(SAMPLE).counts) == {
        "arguments-break-schema",
        "result-without-call",
        "call-without-result",
        "refused-name",
    }


def test_data_that_are_not_there_are_refused() -> None:
    """A name that means no file is an error, not a clean file."""
    with pytest.raises(DataError, match="not found"):
        lint("no-such.jsonl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a cache of its own."""
    monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path / "cache"))
