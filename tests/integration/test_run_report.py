"""The HTML report of real runs: `fcpivot report` and `--fc-html`, read as a browser's parser reads them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.report.html.building import Asked, build
from pytest_fcpivot.report.html.writing import write

if TYPE_CHECKING:
    from pathlib import Path

    from pivot_project import Project

pytest_plugins = ["pivot_project"]

HOSTILE = "</script><script>alert('x')</script>"


class Page(HTMLParser):
    """A report as a parser reads it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.size = path.stat().st_size
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, str] = {}  # of the elements with an id, the texts inside of them
        self.inlined: dict[str, list[str]] = {"script": [], "style": []}
        self.filters: list[str] = []
        self.policy = ""
        self._inside: list[tuple[str, str | None]] = []
        self._type: str | None = None
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        found = dict(attrs)
        self.attributes += attrs
        if "data-filter" in found:
            self.filters.append(found["data-filter"] or "")
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag not in ("meta", "br", "hr"):
            self._inside.append((tag, found.get("id")))
            self._type = found.get("type")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content, as only pictures have them here."""
        assert tag in {"rect", "line", "circle", "path"}
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Leave an element; each is closed in the order in which it was opened."""
        opened, _ = self._inside.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        """Note text, under the id of each element around it."""
        tag = self._inside[-1][0] if self._inside else ""
        if tag in self.inlined and self._type is None:
            self.inlined[tag].append(data)
        for _, name in self._inside:
            if name is not None:
                self.texts[name] = self.texts.get(name, "") + data

    def unpacked(self, name: str) -> Any:
        """Return what is in the payload's element of that id."""
        return json.loads(zlib.decompress(base64.b64decode(self.texts[name]), wbits=-15))

    @property
    def meta(self) -> dict[str, Any]:
        """The payload's facts."""
        found: dict[str, Any] = json.loads(self.texts["fc-meta"])
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table, their texts in place of the numbers of these."""
        index = self.unpacked("fc-index")
        strings, columns = index["strings"], index["columns"]
        texts = {"id", "test", "cell", "expected_tool", "called", "category", "schema", "type", "expected", "actual"}
        return [
            {
                name: (strings[values[at]] if values[at] >= 0 else None) if name in texts else values[at]
                for name, values in columns.items()
            }
            for at in range(self.meta["rows"])
        ]

    def pivot(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the details of a row."""
        found: dict[str, Any] = self.unpacked(f"fc-part-{row['part']}")["pivots"][row["at"]]
        return found


def recorded(project: Project, rows: list[Any], run: str = "run", *options: str) -> None:
    """Record a run."""
    project.run_here(*project.puppet(rows), f"--fc-run={run}", "-q", *options)


def report(project: Project, *args: str) -> Page:
    """Write a report by the command, and read it."""
    result = project.command("report", *args, "-o", "report.html")
    assert result.ret == 0, result.errlines
    return Page(project.path / "report.html")


def test_the_page_allows_nothing_but_its_own_script_and_style(project: Project) -> None:
    """The policy's hashes are those of the inlined bytes; there are no style or event attributes and no addresses."""
    recorded(project, project.mixed_rows(12))
    page = report(project, "run")
    for kind in ("script", "style"):
        (source,) = page.inlined[kind]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "base-uri 'none'" in page.policy
    assert "form-action 'none'" in page.policy
    names = {name for name, _ in page.attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert not names & {"src", "href", "action", "xlink:href"}


def test_the_first_screen_and_the_rows_say_what_the_run_did(project: Project) -> None:
    """Figures, signatures, matrix and rows are those of the run, and a row leads to its conversation and its answer."""
    recorded(project, project.mixed_rows(12))
    page = report(project, "run")
    rows = page.rows()
    outcomes = [row["outcome"] for row in rows]
    assert (outcomes.count(0), outcomes.count(1), outcomes.count(2)) == (6, 4, 2)
    assert "6 of 10 graded answers passed" in page.texts["verdict"]
    assert "NO GATE" in page.texts["verdict"]
    assert "a message → nothing: neither a call nor a message" in page.texts["signatures"]
    assert {"cell=message%2Fnothing", "cell=message%2Fmessage"} <= set(page.filters)
    wrong = next(row for row in rows if row["cell"] == "call/right tool" and row["outcome"] == 1)
    pivot = page.pivot(wrong)
    (result,) = pivot["results"]
    assert [item["role"] for item in pivot["conversation"]] == ["user"]
    system = page.unpacked(f"fc-part-{pivot['system'][0]}")["blocks"][pivot["system"][1]]
    assert system["content"] == "Do as you are told."
    assert result["action"]["arguments"] == '{"a": -1}'
    differing = [row for row in result["rows"] if row["state"] == "differs" and not row["inner"]]
    assert [(row["key"], row["actual"]) for row in differing] == [("a", "-1")]
    assert result["comparators"]["exact"] == 0.0
    assert result["rerun"].startswith(f"pytest {wrong['test']} ")


def test_the_page_says_whether_the_model_or_the_matcher_is_at_fault(project: Project) -> None:
    """A sentence says whose the failures are, in the words and with the figures of the audit of that run."""
    rows = [
        project.row('call add {"a": "Blue"}', 'call add {"a": "BLUE"}'),
        project.row('call add {"a": "Blue"}', 'call add {"a": "green"}'),
        project.row('call add {"a": "Blue"}', "say no"),
        project.row('call add {"a": "Blue"}'),
    ]
    recorded(project, rows, "run", "--fc-grader=nemo-gym:first-call")
    audited = "\n".join(project.command("audit", "run").outlines)
    shown = report(project, "run").texts["schema"]
    assert "verdict: mostly the model, and partly the matcher's strictness\n  of 3 that fail" in audited
    assert "1 (33.3%) pass under lenient" in audited
    assert "At fault: mostly the model, and partly the matcher's strictness. Of 3 failed answers, 1 would pass" in shown
    assert "and 2 would fail there too" in shown


def test_the_page_names_the_cost_and_the_options_as_they_are_written(project: Project) -> None:
    """The cost has its currency, and the options of the run stand as on a command line."""
    project.write(
        "priced.py",
        "def answer(pivot):\n    usage = {'prompt_tokens': 1000000, 'completion_tokens': 500000}\n"
        "    message = {'role': 'assistant', 'content': 'hello'}\n"
        "    return {'object': 'chat.completion', 'choices': [{'message': message}], 'usage': usage}\n",
    )
    project.data(project.rows({"p0": ("say hello", None)}), "my pivots.jsonl")
    project.run_here("--fc-agent=priced:answer", "--fc-data=my pivots.jsonl", "--fc-price=2/8 EUR", "--fc-run=run")
    page = report(project, "run")
    assert "6.0000 EUR" in page.texts["figures"]
    assert page.unpacked("fc-index")["run"]["currency"] == "EUR"
    told = "\n".join(project.command("show", "run", "p0").outlines)
    assert "1,000,000 tokens read, 500,000 written, cost 6 EUR" in told
    assert "--fc-agent=priced:answer '--fc-data=my pivots.jsonl' '--fc-price=2/8 EUR'" in page.texts["provenance"]


def test_a_session_writes_its_report(project: Project, plugin_args: list[str]) -> None:
    """--fc-html writes the page at the session's end, with workers too, and says where it is."""
    options = project.puppet(project.mixed_rows(12))
    result = project.run_here(*options, *plugin_args, "--fc-html=new/report.html", "--fc-fail-under=0.9", "-q")
    result.stdout.fnmatch_lines([f"report written to new{os.sep}report.html: 12 tests, * MB"])
    page = Page(project.path / "new" / "report.html")
    assert page.meta["rows"] == 12
    assert re.search("FAIL|UNTRUSTED|INCONCLUSIVE", page.texts["verdict"])
    assert "gate 0.9" in page.texts["figures"]


def test_a_stopped_session_has_the_tests_that_did_not_run(project: Project) -> None:
    """After -x the report says that the run is not complete, and its rows have those that were not run."""
    options = project.puppet(project.mixed_rows(12))
    result = project.run_here(*options, "--fc-run=run", "-q", "-x", "--fc-html=report.html")
    page = Page(project.path / "report.html")
    outcomes = [row["outcome"] for row in page.rows()]
    result.stdout.fnmatch_lines([f"report written to report.html: 12 tests, {outcomes.count(3)} of them not run, * MB"])
    assert outcomes.count(1) == 1
    assert outcomes.count(3) == 12 - len([each for each in outcomes if each != 3])
    assert "The run is not complete" in page.texts["verdict"]


def test_changes_since_a_baseline(project: Project) -> None:
    """With an earlier run, the page has the flips, the new signatures, and the baseline's answer beside each other."""
    right = project.rows({f"p{n}": (f'call add {{"a": {n}}}', None) for n in range(8)})
    recorded(project, right, "before")
    project.write(
        "other.py",
        "import puppet\n\n\ndef answer(pivot):\n"
        "    return 'no' if pivot.id in ('p0', 'p1', 'p2') else puppet.answer(pivot)\n",
    )
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=other:answer", "--fc-run=after", "-q")
    page = report(project, "before", "after")
    assert "↓3 lost, ↑0 won" in page.texts["figures"]
    assert "new" in page.texts["signatures"]
    assert "a message in place of a call30" in page.texts["signatures"]  # three now, and none before
    project.run_here("--fc-data=pivots.jsonl", "--fc-agent=silent", "--fc-run=silent", "-q")
    silent = report(project, "after", "silent").texts["signatures"]
    assert "neither a call nor a message80" in silent
    assert "a message in place of a call03" in silent  # it has gone
    mended = report(project, "after", "before").texts["signatures"]
    assert "1 signature of the baseline is goneadd → a message" in mended
    assert "after (this run)" in page.texts["history"]
    assert page.texts["history"].count("puppet:answer") == 2  # in the picture and in the table
    flipped = next(row for row in page.rows() if row["id"] == "p1")
    assert (flipped["before"], flipped["reward"], flipped["flip"]) == (1.0, 0.0, -1)
    (result,) = page.pivot(flipped)["results"]
    assert result["baseline"]["action"]["arguments"] == '{"a": 1}'


def test_what_only_one_run_was_asked_is_neither_new_nor_gone(project: Project) -> None:
    """Signatures on pivots that one of the runs has no grade for are not told as new or gone, also by the session."""
    told = {
        "both": ("say a", "nothing"),
        "error": ("say b", "raises no"),
        "mended": ('call add {"a": 1}', 'call add {"a": 2}'),
        "before": ('call add {"a": 1}', "say c"),
        "after": ('call find {"filters": []}', "say d"),
    }
    project.puppet(project.rows(told))
    project.write(
        "other.py",
        "import puppet\n\nOTHERS = {'error': 'call add {}', 'mended': 'call add {\"a\": 1}'}\n\n\n"
        "def answer(pivot):\n"
        "    if pivot.id in OTHERS:\n        pivot.input[-1]['content'] = OTHERS[pivot.id]\n"
        "    return puppet.answer(pivot)\n",
    )
    for run, agent, ids in (("old", "puppet", "both error mended before"), ("new", "other", "both error mended after")):
        project.write("ids", ids.replace(" ", "\n"))
        options = [f"--fc-agent={agent}:answer", f"--fc-run={run}", *(["--fc-baseline=old"] if run == "new" else [])]
        project.run_here("--fc-data=pivots.jsonl", "--fc-ids=ids", "-q", *options)
    summary = json.loads((project.path / "new" / "summary.json").read_text("utf-8"))
    assert len(summary["signatures"]) == 3
    assert [each["label"] for each in summary["signatures"] if each["new"]] == []
    assert [each["label"] for each in summary["gone_signatures"]] == ["add $.a: the value differs"]
    page = report(project, "old", "new")
    for told_of in ("1 pivot only in old", "1 pivot only in this run", "1 pivot without a graded answer in old, and"):
        assert told_of in page.texts["figures"]
    found = page.unpacked("fc-index")["signatures"]
    assert sorted(each["state"] for each in found) == ["gone", "same", "same", "same"]


def test_cost_has_its_currency(project: Project) -> None:
    """With prices, the page has the cost in the currency that they were given in."""
    project.data(project.rows({"p0": ("say hello", None)}))
    project.write(
        "counting.py",
        "def answer(pivot):\n"
        "    text = {'type': 'output_text', 'text': 'hello'}\n"
        "    message = {'type': 'message', 'role': 'assistant', 'content': [text]}\n"
        "    usage = {'input_tokens': 2_000_000, 'output_tokens': 1_000_000, 'total_tokens': 3_000_000}\n"
        "    return {'object': 'response', 'status': 'completed', 'output': [message], 'usage': usage}\n",
    )
    options = ["--fc-data=pivots.jsonl", "--fc-agent=counting:answer", "--fc-price=1/10 EUR", "--fc-html=report.html"]
    project.run_here(*options, "-q")
    assert "cost12.0000 EUR" in Page(project.path / "report.html").texts["figures"]


def test_size(project: Project) -> None:
    """With too little room, conversations of failures are kept before those of passes, and what is left out is told."""
    noise = [Random(n).randbytes(30_000).hex() for n in range(20)]  # noqa: S311 (texts that cannot be compressed)
    rows = []
    for n, text in enumerate(noise):
        row = project.row(
            f'call add {{"a": {n}}}',
            "say no" if n % 5 == 0 else None,
            trajectory_id=f"t{n}",
            info={"turn": 0, "step": 0, "depth": 0},
        )
        row["responses_create_params"]["input"][0]["content"] = "Do as you are told."
        row["responses_create_params"]["input"].insert(1, {"role": "user", "content": text})
        rows.append(row)
    recorded(project, rows)
    result = project.command("report", "run", "-o", "report.html", "--max-size=0.5")
    assert any("without the conversations of" in line for line in result.outlines)
    page = Page(project.path / "report.html")
    assert page.size <= 500_000
    kept = {row["id"] for row in page.rows() if row["part"] >= 0}
    assert {"t0-d0", "t5-d0", "t10-d0", "t15-d0"} <= kept
    assert page.meta["left_out"] == 20 - len(kept) > 0
    result = project.command("report", "run", "-o", "report.html", "--max-size=0.001")
    assert result.ret == 2
    assert "allow more with --max-size" in result.errlines[0]


def test_more_results_than_a_table_holds(project: Project) -> None:
    """Of too many results, the figures are of all; the table has those that matter, and the page tells the rest."""
    recorded(project, project.mixed_rows(12))
    asked = Asked(run=project.path / "run", name="run", path="run", most_rows=7)
    write(project.path / "report.html", build(asked).texts)
    page = Page(project.path / "report.html")
    rows = page.rows()
    assert len(rows) == 7
    assert sum(row["outcome"] != 0 for row in rows) == 6
    assert "6 of 10 graded answers passed" in page.texts["verdict"]
    assert "no room for 5 of them" in page.texts["verdict"]
    assert re.search(r"asked about \d of 10 answers", page.texts["schema"])


def test_hostile_texts_are_text(project: Project) -> None:
    """Names, messages and answers that look like markup or turn the direction of text are shown, and do nothing."""
    rows = [
        project.row(f"say {HOSTILE} \u202e", f"say {HOSTILE}\u202e", id="p0"),
        project.row('call add {"a": 1}', f"call {HOSTILE.replace(' ', '')} {{}}", id="p1"),
    ]
    recorded(project, rows)
    page = report(project, "run")
    assert len(page.inlined["script"]) == 1
    assert "alert" in page.texts["signatures"]
    assert "\u202e" not in (project.path / "report.html").read_text("utf-8")


def test_texts_of_an_example_are_bounded(project: Project) -> None:
    """However long an explanation and a node id are, the first screen can be read; the pivot has all of it."""
    recorded(project, project.rows({"p0": ("say hello", "nothing")}))
    project.change_lines("run", lambda line: line.update(explanation="why " * 100_000, test="x" * 50_000 + "::p0"))
    page = report(project, "run")
    assert 2_000 < len(page.texts["signatures"]) < 10_000
    (row,) = page.rows()
    assert len(page.pivot(row)["results"][0]["explanation"]) == 400_000


# -------------------------------------------------------------------- bad input


def test_without_the_data(project: Project) -> None:
    """Where the run's data are gone, the report says what is missing, and shows the rest."""
    recorded(project, project.mixed_rows(12))
    (project.path / "pivots.jsonl").unlink()
    page = report(project, "run")
    assert "data of the run are not at hand" in page.texts["verdict"]
    told = project.command("report", "run", "-o", "report.html").outlines
    assert "without conversations and expected actions, since the data are not at hand" in told[1]
    assert "pivots.jsonl" in page.texts["verdict"]
    assert "6 of 10 graded answers passed" in page.texts["verdict"]
    row = page.rows()[1]
    assert row["depth"] is None
    assert page.pivot(row)["note"] is not None


def test_a_run_without_results(project: Project) -> None:
    """A run that was killed at its start has a report, which says that there is nothing."""
    recorded(project, project.mixed_rows(4))
    (project.path / "run" / "results.jsonl").write_text("")
    project.change("run", lambda about: about.update(counts=None, ended=None, sessions=[]))
    page = report(project, "run")
    assert "The run is not complete" in page.texts["verdict"]
    assert "No answer was graded" in page.texts["figures"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "-o", "report.parquet"], "ends in .html"),
        (["run", "-o", "folder.html"], "this is a directory"),
        (["nowhere", "-o", "report.html"], "no such directory"),
        (["old", "-o", "report.html"], "another version"),
        (["torn", "-o", "report.html"], "--allow-damaged"),
        (["other", "run", "-o", "report.html"], "cannot be compared"),
        (["run", "-o", "run/run.json/report.html"], "run.json"),
    ],
)
def test_what_cannot_be_reported(project: Project, args: list[str], words: str) -> None:
    """Files and runs that cannot be used are refused with the reason, and no file is left."""
    recorded(project, project.mixed_rows(4))
    (project.path / "folder.html").mkdir()
    for name in ("old", "torn", "other"):
        shutil.copytree(project.path / "run", project.path / name)
    project.change("old", lambda about: about.update(format=0))
    project.change("other", lambda about: about["data"][0].update(sha256="0" * 64))
    with (project.path / "torn" / "results.jsonl").open("a") as stream:
        stream.write("not JSON\n")
    result = project.command("report", *args)
    assert result.ret == 2
    assert words in "\n".join(result.errlines)
    assert not (project.path / "report.html").exists()
    assert not list(project.path.glob("*.part"))


def test_a_full_disk(project: Project) -> None:
    """Where the disk is full the command names the file, an earlier report stays, and nothing half written is left."""
    resource = pytest.importorskip("resource", reason="files can be limited on Unix alone")
    recorded(project, project.mixed_rows(4))
    earlier = project.write("report.html", "the report of yesterday")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest_fcpivot.cli", "report", "run", "-o", "report.html"],
        cwd=project.path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # compiled modules would be cut off as well
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY)),
    )
    assert ended.returncode == 2
    assert ended.stderr == "fcpivot: report.html: cannot be written: File too large\n"
    assert earlier.read_text("utf-8") == "the report of yesterday"
    assert not list(project.path.glob(".*.part"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fc-html=report.txt"], "--fc-html=report.txt: the report is a page, so the name of its file ends in .html"),
        (["--fc-html=report.html", "--fc-run=none"], "recorded run"),
        (["--fc-html=."], "--fc-html=.: this is a directory"),
        (["--fc-html=puppet.py/report.html"], "nothing can be written into"),
    ],
)
def test_a_session_refuses_a_report_that_cannot_be(project: Project, options: list[str], words: str) -> None:
    """Before any test runs, a session refuses a report without a run, or with a name that is not a page's."""
    result = project.run_here(*project.puppet(project.mixed_rows(4)), *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in "\n".join(result.errlines)


def test_a_report_that_cannot_be_written_fails_the_session(project: Project) -> None:
    """Where the file cannot be written at the end, the session says so, and its exit code is not that of success."""
    project.write("taking.py", "def answer(pivot):\n    open('taken', 'w').close()\n    return 'hello'\n")
    options = project.puppet(project.rows({"p0": ("say hello", None)}))
    result = project.run_here(
        options[0], "--fc-agent=taking:answer", "--fc-html=taken/report.html", "--fc-run=run", "-q"
    )
    result.stdout.fnmatch_lines(
        ["ERROR: the report taken*report.html cannot be written: *; write it from the run:  fcpivot report run -o *"]
    )
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
