"""Asks a model to judge messages for sessions, with the server's own key or with that of the session's client."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.calls.caller import Caller
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.graders.judge import Judge, Question

if TYPE_CHECKING:
    from pytest_fcpivot.graders.judge import Judgement

_CONCURRENCY = 64
_TIMEOUT_S = 60.0
_MOST_KEYS = 64


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How the judge is asked; `has_key`: the server has a key of its own, for sessions that bring none."""

    model: str
    base_url: str | None
    key_variable: str | None
    api: str
    fallback: bool
    has_key: bool


class _Judges:
    """The judge for each key that sessions bring; a coroutine function of a key and a question."""

    default_retries = Judge.default_retries
    default_patience = Judge.default_patience

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._by_key: OrderedDict[str | None, Judge] = OrderedDict()

    async def __call__(self, asked: tuple[str | None, Question]) -> Judgement:
        key, question = asked
        judge = self._by_key.get(key)
        if judge is None:
            judge = self._by_key[key] = _judge(self._settings, key)
        self._by_key.move_to_end(key)
        if len(self._by_key) > _MOST_KEYS:
            _, oldest = self._by_key.popitem(last=False)
            await oldest.aclose()
        return await judge(question)

    async def aclose(self) -> None:
        for judge in self._by_key.values():
            await judge.aclose()
        self._by_key.clear()


def _judge(settings: JudgeSettings, key: str | None) -> Judge:
    return Judge(
        settings.model,
        base_url=settings.base_url,
        key_variable=settings.key_variable,
        key=key,
        api=settings.api,
        timeout=_TIMEOUT_S,
    )


class Judging:
    """Gets verdicts for a server; questions of all sessions share one limit on the calls in flight."""

    def __init__(self, settings: JudgeSettings) -> None:
        self.settings = settings
        if settings.has_key:
            _judge(settings, None)  # what is wrong with it is told before the first session
        judges = _Judges(settings)
        policy = RetryPolicy.chosen(judges, None, _TIMEOUT_S * 3)
        self._caller = Caller(judges, _TIMEOUT_S, concurrency=_CONCURRENCY, policy=policy, who="judge")
        self._threads = ThreadPoolExecutor(_CONCURRENCY, "fcpivot-judge")

    def judges(self, key: str | None) -> bool:
        """Return whether a session with this key of its own has its messages judged."""
        return key is not None or self.settings.has_key

    async def verdict(self, key: str | None, question: Question) -> Judgement:
        """Return the judge's verdict on a message; raises what the judge raises once it is not asked again."""
        call = self._caller.start((key, question))
        verdict: Judgement = await asyncio.get_running_loop().run_in_executor(self._threads, self._caller.finish, call)
        return verdict

    def close(self) -> None:
        """End all calls."""
        self._caller.close()
        self._threads.shutdown(cancel_futures=True)
