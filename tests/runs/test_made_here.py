"""What a run names that is not taken over from a stranger's, and how that is told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.options.table import FROM_ANY_RUN, MADE_HERE_ONLY
from pytest_fcpivot.runs.made_here import Given, arguments_taken_over, named_by, refusal, taken_over
from pytest_fcpivot.runs.trust import Origin

DATA = [{"name": "gate.jsonl", "path": "/there/gate.jsonl", "sha256": "0"}]
RESUMES, REPLAYS = Given(replays=False), Given(replays=True)


def _given(*options: str, data: str = "") -> Given:
    return Given(replays=False, options=frozenset(options), data=frozenset((data,)))


def _named(given: Given, *, arguments: list[str] | None = None, data: Any = (), **fc: Any) -> dict[str, list[str]]:
    found = named_by({"options": fc, "data": data, "arguments": arguments}, given)
    return {each.option: each.values for each in found}


def test_every_option_is_decided_on() -> None:
    """What only a run that was made here may bring along is refused of any other, and SECURITY.md lists all options."""
    given = Given(replays=False, bundled_grader=False)
    named = named_by({"options": dict.fromkeys(MADE_HERE_ONLY, "x"), "data": DATA}, given)
    assert {each.option for each in named} == {"--" + dest.replace("_", "-") for dest in MADE_HERE_ONLY}
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    rows = {flag.replace("-", "_"): row for row in text.splitlines() for flag in re.findall(r"`--(fc-[a-z-]+)", row)}
    assert rows.keys() >= FROM_ANY_RUN | MADE_HERE_ONLY


@pytest.mark.parametrize(
    ("fc", "given", "wanted"),
    [
        # agents, addresses and what is sent: on resume, and not on replay, where no agent is asked
        ({"fc_agent": "silent"}, RESUMES, {"--fc-agent": ["silent"]}),
        ({"fc_agent": "silent", "fc_base_url": "http://x", "fc_header": ["a:$B"], "fc_extra_body": "{}"}, REPLAYS, {}),
        (
            {"fc_base_url": "http://x", "fc_header": ["a:$B", "c:d"], "fc_extra_body": "{}"},
            RESUMES,
            {"--fc-base-url": ["http://x"], "--fc-header": ["a:$B", "c:d"], "--fc-extra-body": ["{}"]},
        ),
        ({"fc_header": "'a: b' c:d"}, RESUMES, {"--fc-header": ["a: b", "c:d"]}),
        ({"fc_header": "a: 'b"}, RESUMES, {"--fc-header": ["a: 'b"]}),
        # the judge is asked on replay too
        ({"fc_judge_base_url": "http://x"}, REPLAYS, {"--fc-judge-base-url": ["http://x"]}),
        ({"fc_judge_key": "PIN"}, REPLAYS, {"--fc-judge-key": ["PIN"]}),
        # graders: bundled ones by their exact names
        *(({"fc_grader": name}, REPLAYS, {}) for name in ("nemo-gym", "nemo-gym:any-order", "agentic")),
        *(
            ({"fc_grader": name}, REPLAYS, {"--fc-grader": [name]})
            for name in ("mine:grade", "installed", "nemo-gym:newer", "nemo-gym ", "Agentic", "agentic:1")
        ),
        ({"fc_grader_option": ["a=1"]}, REPLAYS, {}),
        ({"fc_grader_option": ["a=1"]}, Given(replays=True, bundled_grader=False), {"--fc-grader-option": ["a=1"]}),
        # files
        ({"fc_ids": "/etc/passwd"}, REPLAYS, {"--fc-ids": ["/etc/passwd"]}),
        # what was given, be it to nothing, is the user's own
        ({"fc_agent": "evil:answer", "fc_header": ["a:$B"]}, _given("fc_agent", "fc_header"), {}),
        # what selects, counts and limits
        ({"fc_limit": "3", "fc_model": "m", "fc_judge": "m", "fc_pass_mark": "0.5"}, RESUMES, {}),
    ],
)  # fmt: skip
def test_options(fc: dict[str, Any], given: Given, wanted: dict[str, list[str]]) -> None:
    """Code, addresses, keys and files are the user's to give; of the rest a run may decide."""
    assert _named(given, **fc) == wanted


@pytest.mark.parametrize(
    ("arguments", "data", "given", "wanted"),
    [
        (None, DATA, RESUMES, {"--fc-data": ["/there/gate.jsonl"]}),
        (None, DATA, REPLAYS, {"--fc-data": ["/there/gate.jsonl"]}),
        (None, DATA, _given("fc_data"), {}),
        (None, DATA, Given(replays=True, paths=True, types_data=True), {}),
        (None, DATA, Given(replays=True, paths=True), {"--fc-data": ["/there/gate.jsonl"]}),
        # the sample is always ours, wherever the run says that it is
        (None, [DATA[0] | {"name": "sample", "path": "/evil/sample.parquet"}], RESUMES, {}),
        (None, [DATA[0] | {"name": "sample"}, *DATA], RESUMES, {"--fc-data": ["sample", "/there/gate.jsonl"]}),
        (["sample::t12-d1"], [], RESUMES, {}),
        (["sample::t12-d1"], [], Given(replays=True, sample_is_ours=False), {"paths": ["sample::t12-d1"]}),
        # paths: a data file among them is not asked for twice
        (["/there/gate.jsonl::p1"], DATA, RESUMES, {"paths": ["/there/gate.jsonl::p1"]}),
        (["/there/test_x.py"], DATA, RESUMES, {"--fc-data": ["/there/gate.jsonl"], "paths": ["/there/test_x.py"]}),
        (["/there/test_x.py"], DATA, Given(replays=True, paths=True, types_data=True), {}),
        (["/there/gate.jsonl"], DATA, _given("fc_data", data="/there/gate.jsonl"), {}),
        (["/there/x.jsonl::p1"], DATA, _given("fc_data", data="/there/x.jsonl"), {"paths": ["/there/x.jsonl::p1"]}),
    ],
)  # fmt: skip
def test_files_and_paths(arguments: list[str] | None, data: Any, given: Given, wanted: dict[str, list[str]]) -> None:
    """Data and path arguments are the user's to give, once; the bundled sample is nobody's else."""
    assert _named(given, arguments=arguments, data=data) == wanted


def test_the_refusal_tells_everything_at_once() -> None:
    """One message has each thing by option and value, and a command that gives them; odd values are not in that."""
    fc = {
        "fc_agent": "evil agent; rm:x",
        "fc_header": ["a:***", "b:\x1b[2J\u202e", "c:" + "x" * 5000],
        "fc_judge_key": "BANK_PIN",
    }
    paths = ["/there/a b.py", "-pevil", "@evil"]
    found = named_by({"options": fc, "data": DATA, "arguments": paths}, RESUMES)
    text = refusal("dl/run", ["--fc-resume=dl/run", "-q"], Origin.OTHER.value, found)
    assert text.isprintable() is False
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text) < 2500
    lines = text.splitlines()
    assert "dl/run: this run was not made here: the mark in its run.json is not yours" in lines[0]
    for flag, value in (
        ("--fc-agent", "evil agent; rm:x"),
        ("--fc-judge-key", "BANK_PIN"),
        ("--fc-header", "b:\\u001b[2J\\u202e"),
        ("paths", "-pevil"),
    ):
        assert any(re.match(rf"  {flag} +{re.escape(value)}$", line) for line in lines), text
    (command,) = [line for line in lines if line.startswith("  pytest ")]
    assert shlex.split(command) == [
        *("pytest", "--fc-agent=evil agent; rm:x", "--fc-judge-key=BANK_PIN", "--fc-data=/there/gate.jsonl"),
        *("--fc-resume=dl/run", "-q", "/there/a b.py"),
    ]
    assert "add them yourself" in lines[-1]
    assert "that you typed" not in text
    assert "*** stands for a secret that you typed." in refusal("r", ["--fc-header=a:***"], "why", found)


def test_a_command_is_shown_whole_or_without_what_makes_it_too_long() -> None:
    """A line that is cut short would be another command: of a hundred data files, none is in it."""
    data = [{"name": f"{n}", "path": f"/there/{n:0100}.jsonl", "sha256": "0"} for n in range(100)]
    text = on_screen(refusal("r", ["--fc-replay=r"], "why", named_by({"options": {}, "data": data}, REPLAYS)))
    assert [line for line in text.splitlines() if line.startswith("  pytest ")] == ["  pytest --fc-replay=r"]
    assert "add them yourself" in text


def test_what_is_taken_over() -> None:
    """Of a stranger's run no more is taken over than what any run may bring, and the name of a bundled grader."""
    fc = dict.fromkeys((*FROM_ANY_RUN, *MADE_HERE_ONLY, "fc_new", "not_ours"), "x")
    assert {name for name, _ in taken_over({"options": fc})} == {*FROM_ANY_RUN, "fc_grader_option"}
    assert dict(taken_over({"options": {"fc_grader": "agentic"}})) == {"fc_grader": "agentic"}
    assert arguments_taken_over({"arguments": ["sample::t1", "sample"]}) == ["sample::t1", "sample"]
    assert arguments_taken_over({"arguments": ["sample", "evil/test_x.py"]}) == []
    assert arguments_taken_over({"arguments": None}) == []
