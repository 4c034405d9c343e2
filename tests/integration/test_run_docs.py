"""The commands and the code of the documentation, run as they are written.

Each page gets a project of its own, in which its blocks are run in their order: Python with a file's name in its first
line is written to that file, other Python is executed, and commands are run. What a page takes for granted (data, an
agent, a model's server) is made here. A block with a title is one that cannot be run here: the title says so to the
reader, and the last test counts them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

# pyarrow loads pandas, part of which cannot be imported twice: during a session, pytester forgets what came in.
import pandas.core.arrays.arrow.extension_types  # noqa: F401
import pytest
from doc_pages import PAGES, ROOT, Block, blocks

from pytest_fcpivot import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pivot_project import Project

pytest.importorskip("openai")  # loaded before a session begins: pytester forgets what came in during one
pytest_plugins = ["pivot_project"]

AGENT = "def answer(pivot):\n    return 'What can I do for you?'\n"
URL = re.compile(r"http://localhost:\d+/v1")
SERVER = re.compile(r"python fixtures/model_server\.py --port \d+ &")
INSTALL = re.compile(r"pip install (?:-e )?'?(?:\.|pytest-fcpivot)(?:\[([\w,]+)\])?'?")
# A bundled agent at the bundled sample depends on nothing of a page, and is asked once by each such command.
ALIKE_ON_ALL_PAGES = re.compile(r"pytest --fc-agent=(?:baseline|openai[\w-]*)\b(?!.*--fc-data)")
# These pages show the output of one command, and of no other.
SHOW_IT = ("README.md", "docs/output.md")
BASELINE = "pytest --fc-agent=baseline"
# The project's own tests are these ones.
OWN_TESTS = "pip install -e '.[test]' && pytest"
CHECKS = ROOT / ".ci" / "run"
WITH_COMMANDS = [page for page in PAGES if any(block.language in ("sh", "python") for block in blocks(page))]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return the address of the model's server that the pages start, on a free port."""
    command = [sys.executable, "fixtures/model_server.py", "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            assert process.stdout is not None
            (url,) = URL.findall(process.stdout.readline())
            yield url
        finally:
            process.terminate()


@pytest.fixture
def reader(project: Project, server: str, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return somebody who does as a page says, in a project with what the pages take for granted."""
    monkeypatch.setenv("COLUMNS", "80")  # as wide as the output that pages show
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", server)
    rows = [
        project.row('call book {"city": "Lyon"}', id="t1-d0", trajectory_id="t1", info={"depth": 0}),
        project.row("say hello there", id="t1-d1", trajectory_id="t1", info={"depth": 1}),
        project.row('call add {"a": 1}', id="t2-d0", trajectory_id="t2", info={"depth": 0}),
    ]
    project.data(rows, "train.jsonl")
    project.data(rows, "gate.jsonl")
    project.data(rows, "more/rows.jsonl")
    project.data(rows, "big.jsonl.gz")
    answer = {"output": [{"type": "function_call", "name": "book", "arguments": '{"city": "Lyon"}'}]}
    rollout = {**rows[0], "response": answer, "reward": 1.0}
    project.data([rollout], "rollouts.jsonl")
    project.write("my_agent.py", AGENT)
    (project.path / "fixtures").mkdir()
    shutil.copy(ROOT / "fixtures" / "conformance.jsonl", project.path / "fixtures")
    return Reader(project, server)


class Reader:
    """Somebody who does as a page says."""

    said: ClassVar[dict[str, list[str]]] = {}  # the lines of sessions that are alike on all pages

    def __init__(self, project: Project, server: str) -> None:
        self.project = project
        self.server = server

    def follow(self, block: Block) -> None:
        """Do what one block of a page says."""
        if block.title:
            return
        if block.language == "python":
            self.use(block.text)
        elif block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.strip() != OWN_TESTS:
                    self.enter(line)

    def use(self, code: str) -> None:
        """Save Python that begins with a file's name; execute any other."""
        named = re.match(r"# (\w+\.py)\n", code)
        if named is not None:
            self.project.write(named[1], code)
        else:
            exec(code, {"model": lambda _: None})  # noqa: S102 (the code is ours)

    def enter(self, line: str) -> None:
        """Run a line of a shell; those that start the model's server, or install, are only checked."""
        if SERVER.fullmatch(line):
            return
        if "|" in line:
            self.pipe(line)
            return
        for command in line.split(" && "):
            program, *arguments = shlex.split(URL.sub(self.server, command), comments=True)
            if program == "pip":
                assert INSTALL.fullmatch(command), command
            elif program == "pytest":
                self.test(command, arguments)
            else:
                assert program == "fcpivot", f"{line}: neither run here, nor said to be run elsewhere"
                assert cli.main(arguments) == 0, line

    def test(self, command: str, arguments: list[str]) -> None:
        """Run a session, in which there have to be answers and no errors; one that is alike on all pages only once."""
        if command in self.said:
            return
        result = self.project.run_here(*arguments)
        assert result.ret in (0, 1), result.stdout.str() + result.stderr.str()
        assert ", errors 0" in result.stdout.str()
        if ALIKE_ON_ALL_PAGES.match(command):
            self.said[command] = self.comparable(result.stdout.str())

    def comparable(self, text: str) -> list[str]:
        """Return the lines of a session's output without times, and what their length decides.

        The latencies of an agent that answers at once are told only on a machine that has much else to do.
        """
        lines = [line for line in self.project.redact(text).splitlines() if not line.startswith("latency: ")]
        return [line.strip("=") if " <time>" in line else line for line in lines]

    def pipe(self, line: str) -> None:
        """Run a line in a real shell, in which `fcpivot` is the one of this interpreter."""
        script = f'fcpivot() {{ "{sys.executable}" -m pytest_fcpivot.cli "$@"; }}\nset -e\n{line}'
        subprocess.run(["sh", "-c", script], cwd=self.project.path, env=os.environ, check=True, capture_output=True)


@pytest.mark.parametrize("page", SHOW_IT)
def test_output_that_pages_show(page: str, reader: Reader) -> None:
    """What the pages show as the output of the first command is its output, line by line, but for times and places."""
    reader.enter(BASELINE)
    said = "\n".join(reader.said[BASELINE])
    shown = [block.text for block in blocks(page) if block.language == "text"]
    assert shown
    for text in shown:
        for part in text.split("\n…\n"):
            assert "\n".join(reader.comparable(part)) in said


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_a_page_does_what_it_says(page: str, reader: Reader) -> None:
    """Every command of a page that does not say otherwise runs, and so does its Python."""
    for block in blocks(page):
        reader.follow(block)


def test_extras_that_pages_install() -> None:
    """An extra that any page names, in a block or in a sentence, is one that the package has."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named: set[str] = set()
    for path in (*PAGES.values(), ROOT / "SECURITY.md"):
        for extras in INSTALL.findall(path.read_text(encoding="utf-8")):
            named.update(filter(None, extras.split(",")))
    assert named
    assert named <= project["optional-dependencies"].keys()


def test_commands_that_are_not_run() -> None:
    """Of the commands for users, only these are not run here; each of them says so to the reader."""
    told = [
        (page, block.title)
        for page in PAGES
        for block in blocks(page)
        if block.language == "sh" and block.title and page != "CONTRIBUTING.md"
    ]
    several = {"docs/machines.md": 3, "docs/serve.md": 3, "docs/data.md": 1, "docs/training.md": 1}
    assert Counter(page for page, _ in told) == several
    assert all("project's tests" in title for _, title in told)
    run = [block for page in PAGES for block in blocks(page) if block.language == "sh" and not block.title]
    assert len(run) >= 20


@pytest.mark.skipif(not CHECKS.exists(), reason="a source distribution has no .ci/run")
def test_commands_for_contributors() -> None:
    """The checks that CONTRIBUTING says are run by `.ci/run`, and the README's second command, are in it."""
    script = re.sub(r"\"|\$work/user/bin/|--quiet ", "", CHECKS.read_text(encoding="utf-8"))
    (checks,) = [block for block in blocks("CONTRIBUTING.md") if block.title == "Run by .ci/run"]
    commands = [command for line in checks.text.splitlines() for command in line.partition("  #")[0].split(" && ")]
    for command in (*commands, OWN_TESTS):
        assert command.strip() in script, command
