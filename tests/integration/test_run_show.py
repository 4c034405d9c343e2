"""`fcpivot show`: pivots of real runs, read in a pipe and on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import sys
import termios
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import pytest
from doc_pages import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pivot_project import Project, Row

pytest_plugins = ["pivot_project"]

RIGHT, WRONG = 'call book {"city": "Oslo"}', 'call book {"city": "Rome"}'
ROWS: dict[str, tuple[str, str | None]] = {
    "right": (RIGHT, None),
    "wrong": (RIGHT, WRONG),
    "talk": ("say which city?", 'call add {"a": 1}'),
    "broken": ("say hello", "raises no connection"),
}


def shown(project: Project, *args: str) -> str:
    """Return what the command writes about a pivot; it must not fail."""
    result = project.command("show", *args)
    assert result.ret == 0, result.stderr.str()
    return result.stdout.str()


def refused(project: Project, *args: str) -> str:
    """Return the error message of the command."""
    result = project.command("show", *args)
    assert (result.ret, result.outlines) == (2, [])
    return result.stderr.str()


def in_order(text: str, *parts: str) -> None:
    """Assert that a text has all parts, one after another."""
    place = 0
    for part in parts:
        found = text.find(part, place)
        assert found >= 0, f"{part!r} is not there, or not in its place, in:\n{text}"
        place = found + len(part)


def conversation() -> Row:
    """Return a row with a conversation of all kinds of items."""
    return {
        "id": "long",
        "responses_create_params": {
            "input": [
                {"role": "system", "content": "Book nothing without asking."},
                {"role": "user", "content": "I want to go north."},
                {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"filters": ["north"]}'},
                {"type": "function_call_output", "call_id": "c1", "output": '{"cities": ["Oslo", "Bergen"]}'},
                {"role": "assistant", "content": "Oslo or Bergen?"},
                {"role": "user", "content": WRONG},
            ],
            "tools": [
                {
                    "type": "function",
                    "name": "book",
                    "description": "Books a trip.",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "city": {"type": "string", "enum": ["Oslo", "Bergen"], "description": "Where to."},
                            "seats": {"type": "integer", "minimum": 1},
                        },
                        "required": ["city"],
                    },
                },
                {"type": "function", "name": "find", "parameters": {"properties": {"filters": {"type": "array"}}}},
            ],
        },
        "expected_action": {"type": "function_call", "name": "book", "arguments": '{"city": "Oslo"}'},
    }


def test_a_failing_pivot(project: Project) -> None:
    """Everything about a failing pivot is there: conversation, tools, both actions, grade, schema, and the command."""
    project.run_here(*project.puppet([conversation()]), "--fc-run=first")
    text = shown(project, "first", "long")
    in_order(
        text,
        "pivots.jsonl::long  FAILED",
        'ARGUMENT_VALUE_DIFFERENT: at $.city: expected "Oslo", got "Rome"',
        "puppet:answer",
        "nemo-gym:first-call",
        "long, trajectory ",
        "Book nothing without asking.",
        "I want to go north.",
        'assistant calls find\n  filters: ["north"]',
        'result of find\n  {\n    "cities": [',
        "Oslo or Bergen?",
        "Tools on offer: 2",
        "book(city, seats?)  ← expected and called",
        "Books a trip.",
        'city: string, one of "Oslo", "Bergen", required (Where to.)  ← the schema',
        "seats: integer, minimum 1, optional",
        "find(filters?)",
        "Expected and actual action",
        "Result",
        "category  ARGUMENT_VALUE_DIFFERENT",
        "schema    invalid at $.city (enum)",
        "1 attempt",
        "Run it again",
        "  pytest pivots.jsonl::long --fc-agent=puppet:answer",
    )
    assert re.search(r'≠\*\s+city\s+"Oslo"\s+"Rome"', text)
    assert "\x1b" not in text
    command = re.search(r"(?m)^  pytest (.*)$", text)
    assert command is not None
    assert "1 failed" in project.run_here(*command[1].split()).stdout.str()


def test_which_pivot(project: Project) -> None:
    """A pivot is named by its id, or by the node id that pytest prints; `[r2]` picks a repeat; the rest is told."""
    project.run_here(*project.puppet(project.rows(ROWS)), "--fc-repeats=2", "--fc-run=first")
    first = shown(project, "first", "wrong")
    assert first == shown(project, "first", "pivots.jsonl::wrong")
    in_order(first, "pivots.jsonl::wrong  FAILED", "repeat 2  failed, reward 0")
    for name in ("wrong[r2]", "pivots.jsonl::wrong[r2]"):
        in_order(
            shown(project, "first", name),
            "pivots.jsonl::wrong[r2]  FAILED",
            "repeat 1  failed",
            "'pivots.jsonl::wrong[r2]'",
        )
    assert "repeats with a result: 1, 2" in refused(project, "first", "wrong[r3]")
    assert "close to it: wrong" in refused(project, "first", "wrang")
    assert "close to it: broken" in refused(project, "first", "bro")
    in_order(refused(project, "first", "./pivots.jsonl::wrong"), "no test ./pivots", "pivots.jsonl::wrong[r2]")
    assert "they look like right" in refused(project, "first", "zzz")


def test_which_run(project: Project) -> None:
    """Without a run it is the latest, a replay too; a run may be named by its files; what is none is refused."""
    assert "there is none under" in refused(project, "right")
    options = project.puppet(project.rows(ROWS))
    project.run_here(*options)
    (run,) = (project.path / ".fcpivot").glob("*/results.jsonl")
    in_order(shown(project, "right"), "pivots.jsonl::right  PASSED", run.parent.name)
    project.run_here(f"--fc-replay={run.parent.relative_to(project.path)}")
    in_order(shown(project, "right"), "pivots.jsonl::right  PASSED", "Run it again", "--fc-replay=", "asks no agent")
    assert shown(project, str(run), "right").count("PASSED") == 1
    assert project.command("compare", str(run.parent), "--save-baseline=saved.jsonl", "--allow-errors").ret == 0
    project.run_here(*options, "-k", "right")
    in_order(shown(project, "wrong"), "wrong  NO RESULT", "this is the latest run:", "name an earlier one")
    assert "this is a saved baseline" in refused(project, "saved.jsonl", "right")
    assert "PIVOT is empty" in refused(project, "")
    assert "no such run or data file" in refused(project, "nowhere", "right")
    assert "this file is neither" in refused(project, "puppet.py", "right")
    assert "not a run's directory" in refused(project, ".", "right")
    in_order(refused(project, ".fcpivot", "right"), "runs in it: ", run.parent.name)
    for name in (".fcpivot/" + run.parent.name, "pivots.jsonl", "sample"):
        assert f"name a pivot too, as in fcpivot show {name} PIVOT" in refused(project, name)
        assert f"comes first: fcpivot show {name} right" in refused(project, "right", name)


def test_from_a_folder_below(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of the project, the latest run is the project's, where pytest records it."""
    (project.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    project.run_here("--fc-agent=baseline", "--fc-limit=1")
    in_order(shown(project, "sample::t12-d0"), "sample::t12-d0  PASSED", "run       ../.fcpivot/")


def test_passing_and_errors(project: Project) -> None:
    """A pass shows the same action on both sides, and an error what the agent raised and no comparison."""
    project.run_here(*project.puppet(project.rows(ROWS)), "--fc-run=first")
    text = shown(project, "first", "right")
    assert re.search(r'city\s+"Oslo"\s+"Oslo"', text)
    assert "≠" not in text
    text = shown(project, "first", "broken")
    in_order(
        text, "broken  ERROR", "RuntimeError: no connection", "Expected action", "message: hello", "There is no action"
    )
    in_order(shown(project, "first", "talk"), "NO_EXPECTED_CHAT_MESSAGE", "message", "which city?", "name", "add")


def test_one_id_in_several_tests(project: Project) -> None:
    """An id in two data sets, or in tests of one's own, is listed, and the node id decides."""
    project.puppet(project.rows(ROWS), "one.jsonl")
    project.data(project.rows({"right": (RIGHT, WRONG)}), "two.jsonl")
    project.write("test_mine.py", "def test_it(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    options = ["--fc-agent=puppet:answer", "--fc-data=one.jsonl", "--fc-data=two.jsonl"]
    project.run_here(*options, "--fc-run=data")
    message = refused(project, "data", "right")
    in_order(message, "several tests", "one.jsonl::right", "two.jsonl::right")
    in_order(shown(project, "data", "two.jsonl::right"), "FAILED", "two.jsonl")
    project.run_here("test_mine.py", *options, "--fc-run=own")
    in_order(refused(project, "own", "right"), "test_mine.py::test_it[right]", "test_mine.py::test_it[right@2]")
    text = shown(project, "own", "test_mine.py::test_it[right@2]")
    in_order(text, "FAILED", "two.jsonl", "pytest 'test_mine.py::test_it[right@2]'", "--fc-data=two.jsonl")


def test_data_that_are_gone(project: Project) -> None:
    """Without its data, a run still shows what the results have, and says what is missing; --data gives it back."""
    project.run_here(*project.puppet([conversation()]), "--fc-run=first")
    shutil.move(project.path / "pivots.jsonl", project.path / "moved.jsonl")
    text = shown(project, "first", "long")
    in_order(
        text, "FAILED", "without the pivot's conversation and tools", "--data FILE", "a function call of book", '"Rome"'
    )
    assert "Conversation" not in text
    assert "Oslo or Bergen?" in shown(project, "first", "long", "--data", "moved.jsonl")
    project.data(project.rows(ROWS), "other.jsonl")
    assert "these are not the data of the run" in refused(project, "first", "long", "--data", "other.jsonl")


def test_no_result(project: Project) -> None:
    """A pivot that the run has not asked is shown as one without a result; so is a pivot of a data file."""
    project.run_here(*project.puppet(project.rows(ROWS)), "--fc-limit=1", "--fc-run=first")
    text = shown(project, "first", "wrong")
    in_order(text, "wrong  NO RESULT", "it was not selected, or not run", "Expected action", '"Oslo"')
    assert "Result ─" not in text
    in_order(shown(project, "pivots.jsonl", "wrong"), "wrong  NO RESULT", '"Oslo"', "pytest pivots.jsonl::wrong")
    in_order(shown(project, "sample", "t12-d1"), "list_devices(", "pytest sample::t12-d1 --fc-agent=AGENT")
    assert "close to it" in refused(project, "sample", "t12-d99")
    assert "leave out --data" in refused(project, "sample", "t12-d1", "--data", "pivots.jsonl")


def test_damaged_and_unfinished_runs(project: Project) -> None:
    """A result that cannot be read is named with its line; a run that did not end, or of another version, says so."""
    project.run_here(*project.puppet(project.rows(ROWS)), "--fc-run=first")
    path = project.path / "first" / "results.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if '::wrong"' in line)
    lines[number] = lines[number].replace('"reward": 0.0', '"reward": 7')
    path.write_text("".join(lines), encoding="utf-8")
    in_order(shown(project, "first", "wrong"), "NO RESULT", f"results.jsonl:{number + 1}", "--fc-resume=first")
    assert "results.jsonl" not in shown(project, "first", "right")

    def never_ended(description: dict[str, Any]) -> None:
        description["sessions"][-1]["ended"] = None

    project.change("first", never_ended)
    assert "its last session did not end" in shown(project, "first", "right")
    project.change("first", lambda description: description.update(format=0))
    assert "another version" in refused(project, "first", "right")


def test_what_else_a_result_says(project: Project) -> None:
    """Causes of retries, tokens, cost, flags and the judge's reason are shown."""
    project.run_here(
        *project.puppet(project.rows({"p": ("say the refund is on its way", "say a refund")})), "--fc-run=first"
    )

    def more(line: dict[str, Any]) -> None:
        line |= {"attempts": 3, "retried": ["status 429", "timeout"], "cost": 0.0123, "flags": ["cut_off"]}
        line["usage"] = {"input_tokens": 120, "output_tokens": 7}
        line["judge"] = {"by": "judge", "score": 0.25, "reason": "It lacks the date."}

    project.change_lines("first", more)
    in_order(
        shown(project, "first", "p"),
        "score 0.25, by judge: It lacks the date.",
        "3 attempts, 120 tokens read, 7 written, cost 0.0123",
        "because of status 429, timeout",
        "cut_off",
    )
    project.change_lines("first", lambda line: line.update(redacted=True))
    assert "a secret was removed from the answer" in shown(project, "first", "p")
    project.change_lines("first", lambda line: line.update(redacted=False, judge=None, reward=0.5))
    assert "graded again, the answer earns 1 (EXPECTED_CHAT_MESSAGE_FOUND), and not the recorded 0.5" in shown(
        project, "first", "p"
    )


def test_another_grader(project: Project) -> None:
    """The two actions can be compared by a grader that the user names; the recorded reward stays."""
    project.run_here(*project.puppet(project.rows({"p": (RIGHT, RIGHT.replace("Oslo", "oslo"))})), "--fc-run=first")
    assert re.search('≠. *city +"Oslo" +"oslo"', shown(project, "first", "p"))
    text = shown(project, "first", "p", "--grader=agentic")
    in_order(text, "FAILED", "by agentic, the answer earns 1", "reward    0")
    assert re.search('~ *city +"Oslo" +"oslo"', text)
    assert "unknown grader 'agntic'" in refused(project, "first", "p", "--grader=agntic")


def test_a_merged_run(project: Project) -> None:
    """A pivot of a merged run is shown as one of its shards' runs, with a note on the command."""
    options = project.puppet(project.trajectories(2, 2, 2, 2))
    for number in (1, 2):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run=part{number}")
    assert project.command("merge", "part1", "part2", "-o", "whole").ret == 0
    line = json.loads((project.path / "whole" / "results.jsonl").read_text("utf-8").splitlines()[-1])
    text = shown(project, "whole", line["pivot_id"])
    in_order(text, "PASSED", "Expected and actual action", "pytest pivots.jsonl::", "was merged from shards")
    assert "--fc-shard" not in text


def test_partial_credit_and_own_graders(project: Project) -> None:
    """Partial credit shows its halves and all places; a grader of one's own shows the places that it named."""
    rows = {
        "several": ('call add {"a": 1} & call book {"city": "Oslo"}', 'call book {"city": "oslo"} & call add {"a": 2}')
    }
    options = project.puppet(project.rows(rows))
    project.run_here(*options, "--fc-grader=agentic", "--fc-run=agentic")
    text = shown(project, "agentic", "several")
    in_order(
        text,
        "FAILED",
        "call",
        "call 1 of 2",
        "call 2 of 2",
        "a ",
        "call 2 of 2",
        "call 1 of 2",
        "~",
        "reward    0.75 (name 0.5",
    )
    project.write(
        "mine.py",
        "from pytest_fcpivot import Grade\n\ndef grade(expected, actual):\n"
        "    return Grade(0.0, 'MINE', 'no good', '$.calls[0].arguments.a', paths=('$.odd',))\n",
    )
    project.run_here(*options, "--fc-grader=mine:grade", "--fc-run=mine")
    text = shown(project, "mine", "several")
    in_order(text, "MINE: no good", "not one of pytest-fcpivot's own", "named by the grader", "also names $.odd")


def test_the_output_on_the_page(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page on this command shows what the command writes, but for the time of the run."""
    monkeypatch.setenv("COLUMNS", "80")
    page = [block.text for block in blocks("docs/show.md")]
    test, show = page[0].splitlines()
    project.run_here(*test.split()[1:])
    text = re.sub(r"started .* UTC", "started 2026-07-01 09:30 UTC", shown(project, *show.split()[2:]))
    in_order(text, *page[1].removesuffix("\n").split("…\n"))


def test_hostile_texts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters, marks that turn text around, and secrets of the environment never reach the screen."""
    monkeypatch.setenv("OPENAI_API_KEY", "abcdef0123456789secret")
    hostile = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066 abcdef0123456789secret " + "w" * 100_000
    row = conversation()
    row["responses_create_params"]["input"][1]["content"] = hostile
    row["responses_create_params"]["tools"][0]["description"] = hostile
    row["responses_create_params"]["tools"][1]["name"] = hostile
    row["expected_action"]["arguments"] = json.dumps({"city": hostile, hostile: 1})
    project.run_here(*project.puppet([row]), "--fc-run=first")
    for args in ((), ("--full",), ("--color=always",)):
        text = shown(project, "first", "long", *args)
        visible = re.sub(r"\x1b\[\d+m", "", text)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", visible)
        assert "abcdef0123456789secret" not in visible.replace("\n", "")
        assert max(map(len, visible.splitlines())) <= 100
    assert "more lines" in shown(project, "first", "long")
    assert text.count("w") < shown(project, "first", "long", "--full").count("w")


def test_a_run_from_elsewhere(project: Project) -> None:
    """A run that was not made here names no code in the command that is shown."""
    project.run_here(*project.puppet(project.rows(ROWS)), "--fc-run=first")
    project.change("first", lambda description: description["options"].update(fc_agent="evil:code"))
    text = shown(project, "first", "wrong", "--data", "pivots.jsonl")
    in_order(text, "FAILED", "Oslo", "pytest pivots.jsonl::wrong\n", "not made here", "--fc-agent")
    assert "evil:code" not in text.partition("Run it again")[2]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_widths(project: Project, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """No line but the command is wider than the screen; the two actions stand side by side where there is room."""
    monkeypatch.setenv("COLUMNS", str(columns))
    project.run_here(*project.puppet([conversation()]), "--fc-run=first")
    text = shown(project, "first", "long")
    assert all(len(line) <= columns or line.startswith("  pytest ") for line in text.splitlines())
    assert bool(re.search('"Oslo" +"Rome"', text)) == (columns == 200)
    assert bool(re.search('expected +"Oslo"\n +actual +"Rome"', text)) == (columns != 200)


@pytest.mark.parametrize(
    ("surroundings", "args", "coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color=always"], True),
        ({"FORCE_COLOR": "1"}, ["--color=never"], False),
    ],
)
def test_colour_in_a_pipe(
    project: Project, monkeypatch: pytest.MonkeyPatch, surroundings: Mapping[str, str], args: list[str], coloured: bool
) -> None:
    """In a pipe there is no colour, unless an option or FORCE_COLOR asks for it; NO_COLOR comes before that."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in shown(project, "sample", "t12-d1", *args)) == coloured


def on_a_terminal(project: Project, rows: int, *args: str, **surroundings: str) -> str:
    """Run the command on a pseudo-terminal of 80 columns; return what it writes there."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    dropped = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PAGER", "LESS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    command = [sys.executable, "-X", "utf8", "-m", "pytest_fcpivot.cli", "show", *args]
    written = bytearray()
    with Popen(
        command, cwd=project.path, stdin=its, stdout=its, stderr=its, env={**kept, "TERM": "xterm", **surroundings}
    ) as process:
        os.close(its)
        try:
            while select.select([mine], [], [], 60)[0]:
                try:
                    part = os.read(mine, 65536)
                except OSError:  # the other end was closed
                    break
                if not part:
                    break
                written += part
        finally:
            os.close(mine)
        assert process.wait(60) == 0
    return written.decode().replace("\r\n", "\n")


def test_on_a_terminal(project: Project) -> None:
    """On a terminal there is colour, and what is longer than the screen goes through the pager, with its colours."""
    project.write("pager.py", "import sys; open('paged.txt', 'w', encoding='utf-8').write(sys.stdin.read())")
    pager = f"{sys.executable} -X utf8 pager.py"
    assert on_a_terminal(project, 24, "sample", "t12-d1", PAGER=pager) == ""
    paged = (project.path / "paged.txt").read_text("utf-8")
    in_order(paged, "\x1b[1mt12-d1\x1b[0m", "Conversation", "pytest sample::t12-d1")
    assert "\x1b" not in on_a_terminal(project, 900, "sample", "t12-d1", NO_COLOR="1")
    straight = on_a_terminal(project, 24, "sample", "t12-d1", "--no-pager", PAGER=pager)
    assert straight == paged
    assert on_a_terminal(project, 24, "sample", "t12-d1", PAGER="cat") == paged
    assert on_a_terminal(project, 24, "sample", "t12-d1", PAGER="no-such-pager") == paged


def test_pytest_with_two_v(project: Project) -> None:
    """`pytest -vv` shows the last turns and results of a failing pivot, in the terminal alone: JUnit stays small."""
    options = project.puppet([conversation()])
    plain = project.run_here(*options, "--fc-run=none").stdout.str()
    assert "Oslo or Bergen?" not in plain
    in_order(
        project.run_here(*options, "-vv", "--fc-run=none", "--junitxml=j.xml").stdout.str(),
        "expected: book(",
        'user:     "I want to go north."',
        'call:     find({"filters": ["north"]})',
        'result:   find: {"cities": ["Oslo", "Bergen"]}',
        'agent:    "Oslo or Bergen?"',
        'user:     "call book',
    )
    assert "Oslo or Bergen?" not in project.path.joinpath("j.xml").read_text(encoding="utf-8")
