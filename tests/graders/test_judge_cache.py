"""Verdicts on disk: found again by the same question alone, by any process, whatever became of the writer."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from judging import ask, calls_of, question

from pytest_fcpivot.core.errors import TransientAgentError
from pytest_fcpivot.graders.judge import Judge, Judgement
from pytest_fcpivot.graders.judge_cache import JudgeCache
from pytest_fcpivot.graders.judge_prompt import PROMPT_PATH, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model_server import ModelServer

pytest_plugins = ["judge_service"]

KEY = b"k" * 20
# Writes verdicts under a letter of its own until it is ended, and tells of each once it is kept.
WRITER = """
import sys
from pathlib import Path
from pytest_fcpivot.graders.judge_cache import JudgeCache

path, letter, count = sys.argv[1:]
cache = JudgeCache(Path(path))
for number in range(int(count)):
    cache.put(f"{letter}{number}".encode(), 0.5, f"It is number {number} of {letter}.", structured=True)
    assert cache.problem is None, cache.problem
    print(number, flush=True)
cache.close()
"""
ASKER = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = [sys.argv[3]]
from judging import question
from pytest_fcpivot.graders.judge import Judge
from pytest_fcpivot.graders.judge_cache import JudgeCache

judge = Judge("m", base_url=sys.argv[1], cache=JudgeCache(Path(sys.argv[2])))
found = judge.cached(question("Your train"))
print("cached" if found else "asked", (found or asyncio.run(judge(question("Your train")))).score)
judge.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a cache of the test is."""
    return tmp_path / "judge" / "verdicts.sqlite3"


@pytest.fixture
def cache(path: Path) -> Iterator[JudgeCache]:
    """Return a cache of the test's own."""
    cache = JudgeCache(path)
    yield cache
    cache.close()


def python(code: str, *args: object) -> subprocess.Popen[str]:
    """Start a process that runs some code."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


class TestSharing:
    """Which questions have the same verdict."""

    @pytest.fixture
    def judge(self, server: ModelServer, cache: JudgeCache) -> Judge:
        """Return a judge that has judged one question."""
        judge = Judge("m", base_url=server.url, cache=cache)
        assert ask(judge).cached is False
        return judge

    def test_hit(self, server: ModelServer, judge: Judge) -> None:
        """The same question is not asked again: the verdict is the same, and cost nothing."""
        first = ask(judge, question("Your train"))
        server.configure()
        found = judge.cached(question("Your train"))
        assert found == Judgement(first.score, first.reason, None, structured=True, cached=True)
        assert server.stats()["requests"] == 0

    @pytest.mark.parametrize(
        "other",
        [
            question("It leaves from platform eight."),
            question(expected="Your train leaves from platform eight."),
            question(talk=[{"role": "user", "content": "Where is my bus?"}]),
            question(repeat=2),
            question("", expected=question().expected + question().candidate),
        ],
        ids=["candidate", "expected", "conversation", "repeat", "split elsewhere"],
    )
    def test_other_question(self, judge: Judge, other: Any) -> None:
        """Another text anywhere, or another repeat of the agent, is another question."""
        assert judge.cached(question()) is not None
        assert judge.cached(other) is None

    def test_other_judge(self, server: ModelServer, judge: Judge, cache: JudgeCache) -> None:
        """Another model, endpoint or prompt has its own verdicts; the API and the time limit do not matter."""
        changed = PROMPT_PATH.read_text(encoding="utf-8").replace("strict and fair", "fair")
        raised = PROMPT_PATH.read_text(encoding="utf-8").replace("version: 1", "version: 2")
        here: dict[str, Any] = {"base_url": server.url, "cache": cache}
        for other in (
            Judge("n", **here),
            Judge("m", base_url=server.url.replace("127.0.0.1", "localhost"), cache=cache),
            Judge("m", **here, prompt=Prompt.parse(changed)),
            Judge("m", **here, prompt=Prompt.parse(raised)),
        ):
            assert other.cached(question()) is None
        assert Judge("m", base_url=f"{server.url}/", api="chat", timeout=5, cache=cache).cached(question()) is not None
        assert judge.cached(question()) is not None

    def test_key_is_no_part(self, server: ModelServer, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another key for the same endpoint finds the same verdicts, and no key is in the file."""
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret-of-mine")
        said = '{"score": 1, "reason": "The key is s3cret-of-mine."}'
        server.configure(verdicts=[{"match": "secret", "text": said}])
        url = server.url.replace("127", "me:s3cret-of-mine@127")
        other = Judge("m", base_url=url, cache=judge.cache)
        assert other.cached(question()) is not None
        ask(other, question("secret"))
        assert judge.cache is not None
        judge.cache.close()
        assert judge.cache._path is not None
        files = list(judge.cache._path.parent.iterdir())
        assert files
        assert not any(b"s3cret" in file.read_bytes() for file in files)

    def test_no_verdict_is_not_kept(self, server: ModelServer, judge: Judge) -> None:
        """Errors are not kept."""
        server.configure(verdicts=[{"match": "bad", "text": '{"score": 2}'}, {"match": "no", "refusal": "No."}])
        for candidate in ("bad", "no"):
            with pytest.raises(TransientAgentError):
                ask(judge, question(candidate))
            assert judge.cached(question(candidate)) is None

    def test_unstructured(self, server: ModelServer, cache: JudgeCache) -> None:
        """A verdict that was read from a text stays known as one."""
        server.configure(ignore_form=True)
        judge = Judge("m", base_url=server.url, cache=cache)
        ask(judge)
        found = judge.cached(question())
        assert found is not None
        assert found.structured is False

    def test_without_cache(self, server: ModelServer) -> None:
        """A judge without a cache knows no verdict."""
        judge = Judge("m", base_url=server.url)
        ask(judge)
        assert judge.cached(question()) is None
        judge.close()


class TestProcesses:
    """Several processes at one file."""

    def test_hit_elsewhere(self, server: ModelServer, path: Path) -> None:
        """What one process asked, the next one finds."""
        here = Path(__file__).parent
        first, second = (python(ASKER, server.url, path, here).communicate()[0] for _ in range(2))
        assert (first, second) == ("asked 0.33\n", "cached 0.33\n")
        assert server.stats()["requests"] == 1

    def test_concurrent_writers(self, path: Path) -> None:
        """Several processes open and fill a new cache at the same time; all that they wrote is there."""
        writers = [python(WRITER, path, letter, 200) for letter in "abcd"]
        assert [writer.communicate()[0].count("\n") for writer in writers] == [200] * 4
        cache = JudgeCache(path)
        for letter in "abcd":
            for number in range(200):
                expected = (0.5, f"It is number {number} of {letter}.", True)
                assert cache.get(f"{letter}{number}".encode()) == expected
        cache.close()

    @pytest.mark.skipif(os.name == "nt", reason="needs signals")
    def test_killed_writers(self, path: Path) -> None:
        """Of writers that were killed, all that they told of is there, and others go on writing."""
        told: dict[str, int] = {}
        for letter in "abc":
            writer = python(WRITER, path, letter, 1_000_000)
            assert writer.stdout is not None
            for _ in range(50 + len(told)):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            lines = writer.stdout.read().splitlines()
            writer.wait()
            writer.stdout.close()
            told[letter] = int(lines[-1]) if lines and lines[-1].isdecimal() else 49 + len(told)
        cache = JudgeCache(path)
        for letter, last in told.items():
            for number in range(last + 1):
                assert cache.get(f"{letter}{number}".encode()) is not None
        cache.put(KEY, 1.0, "Good.", structured=True)
        assert cache.get(KEY) == (1.0, "Good.", True)
        cache.close()
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()

    def test_threads(self, cache: JudgeCache) -> None:
        """The threads of one process share a cache."""

        def work(thread: int) -> None:
            for number in range(50):
                cache.put(f"{thread}.{number}".encode(), 0.5, "", structured=True)
                assert cache.get(f"{thread}.{number}".encode()) is not None

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert cache.problem is None


class TestTrouble:
    """A cache that cannot be used fails nothing."""

    def test_damaged(self, server: ModelServer, path: Path) -> None:
        """A file that is no cache is told of, once, with what to do; the judge goes on without."""
        path.parent.mkdir()
        path.write_bytes(b"no database at all" * 1000)
        judge = Judge("m", base_url=server.url, cache=JudgeCache(path))
        assert judge.notes == []
        assert judge.cached(question()) is None
        assert [call.error for call in calls_of(judge, question(), question("x"))] == [None, None]
        assert judge.cached(question()) is None
        assert judge.notes == [f"the judge continues without its cache: {path}: file is not a database; delete it"]
        judge.close()

    def test_damaged_inside(self, path: Path) -> None:
        """A file that is damaged behind its beginning is told of when it shows, and no wrong verdict comes of it."""
        cache = JudgeCache(path)
        for number in range(500):
            cache.put(str(number).encode(), 0.25, "A reason of some length. " * 8, structured=True)
        cache.close()
        raw = bytearray(path.read_bytes())
        raw[4096:] = b"\xa5" * len(raw[4096:])
        path.write_bytes(raw)
        cache = JudgeCache(path)
        assert {cache.get(str(number).encode()) for number in range(500)} == {None}
        assert cache.problem is not None
        assert cache.problem.startswith(f"the judge continues without its cache: {path}: ")
        assert cache.problem.endswith("; delete it")
        cache.close()

    def test_rows_of_others(self, path: Path) -> None:
        """A row that holds no score is no verdict."""
        cache = JudgeCache(path)
        cache.put(KEY, 0.5, "", structured=True)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE verdicts SET score = 7")
        database.close()
        assert cache.get(KEY) is None
        cache.put(KEY, 0.5, "", structured=True)
        assert cache.get(KEY) == (0.5, "", True)
        cache.close()

    def test_no_directory(self, tmp_path: Path) -> None:
        """A directory that cannot be made is told of, with the variable that names another one."""
        (tmp_path / "file").write_text("")
        cache = JudgeCache(tmp_path / "file" / "judge" / "verdicts.sqlite3")
        cache.put(KEY, 0.5, "", structured=True)
        assert cache.get(KEY) is None
        assert cache.problem is not None
        assert re.search(r"continues without its cache: .*; set FC_CACHE_DIR to a directory", cache.problem)
        cache.close()

    def test_no_cache_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """So is a FC_CACHE_DIR that cannot be used."""
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path / "file" / "cache"))
        cache = JudgeCache()
        assert cache.get(KEY) is None
        assert cache.problem is not None
        assert "no writable cache directory" in cache.problem
        cache.close()

    def test_held_by_another(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A writer that hangs holds up nobody for long, and keeps nobody from reading."""
        monkeypatch.setattr("pytest_fcpivot.graders.judge_cache._BUSY_S", 0.1)
        cache = JudgeCache(path)
        cache.put(KEY, 0.5, "", structured=True)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert cache.get(KEY) == (0.5, "", True)
        began = time.monotonic()
        cache.put(KEY, 0.75, "", structured=True)
        assert time.monotonic() - began < 5
        assert cache.problem is not None
        assert "locked" in cache.problem
        other.execute("ROLLBACK")
        other.close()
        cache.close()


class TestPlace:
    """Where the cache is."""

    def test_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By default it is in FC_CACHE_DIR, and nothing is made there before it is used."""
        monkeypatch.setenv("FC_CACHE_DIR", str(tmp_path / "cache"))
        cache = JudgeCache()
        assert not (tmp_path / "cache").exists()
        cache.put(KEY, 0.5, "Half.", structured=True)
        assert [file.name for file in (tmp_path / "cache" / "judge").glob("*.sqlite3")] == ["verdicts-1.sqlite3"]
        cache.close()
        again = JudgeCache()
        assert again.get(KEY) == (0.5, "Half.", True)
        again.close()

    def test_reasons_without_secrets(self, path: Path) -> None:
        """A reason that quotes a secret of the message is kept without it: the cache outlives the run."""
        cache = JudgeCache(path, redact=lambda text: text.replace("hunter2", "***"))
        cache.put(KEY, 0.5, "It says hunter2.", structured=True)
        assert cache.get(KEY) == (0.5, "It says ***.", True)
        cache.close()

    def test_closed(self, cache: JudgeCache) -> None:
        """A closed cache finds and keeps nothing, and is no problem."""
        cache.put(KEY, 0.5, "", structured=True)
        cache.close()
        cache.put(b"other", 0.5, "", structured=True)
        assert cache.get(KEY) is None
        assert cache.problem is None
        cache.close()
