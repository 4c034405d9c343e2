"""Asks a model to judge messages for sessions, with the server's own key or with that of the session's client."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.graders.judge import Judge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_fcpivot.graders.judge import Judgement, Question

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


@dataclass(slots=True)
class _Shared:
    """The judge with one key, and the number of messages that it is judging."""

    judge: Judge
    users: int = 0


class Judging:
    """Gets verdicts for a server; questions of all sessions share one limit on the calls in flight.

    A fault of one call decides nothing about others: another session may have another key.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self.settings = settings
        self._by_key: OrderedDict[str | None, _Shared] = OrderedDict()
        self._limit = asyncio.Semaphore(_CONCURRENCY)
        self._policy = RetryPolicy(Judge.default_retries, _TIMEOUT_S * 3)
        if settings.has_key:
            self._by_key[None] = _Shared(
                _judge(settings, None)
            )  # what is wrong with it is told before the first session

    def judges(self, key: str | None) -> bool:
        """Return whether a session with this key of its own has its messages judged."""
        return key is not None or self.settings.has_key

    async def verdict(self, key: str | None, question: Question) -> Judgement:
        """Return the judge's verdict on a message; raises what the judge raises once it is not asked again."""
        from tenacity import AsyncRetrying  # noqa: PLC0415 (only where a judge is asked)

        how = self._policy.settings(lambda _: None, started=lambda: True)
        async with self._limit, self._with_key(key) as judge:
            async for attempt in AsyncRetrying(**how):
                with attempt:
                    return await asyncio.wait_for(judge(question), _TIMEOUT_S)
        raise AssertionError  # the last attempt returns or raises

    async def aclose(self) -> None:
        """Close the connections."""
        shared = list(self._by_key.values())
        self._by_key.clear()
        for each in shared:
            await each.judge.aclose()

    @asynccontextmanager
    async def _with_key(self, key: str | None) -> AsyncIterator[Judge]:
        """Give the judge with a key; of those that nobody uses, the recent ones stay open."""
        shared = self._by_key.get(key)
        if shared is None:
            shared = self._by_key[key] = _Shared(_judge(self.settings, key))
        self._by_key.move_to_end(key)
        shared.users += 1
        try:
            yield shared.judge
        finally:
            shared.users -= 1
            idle = [each for each, other in self._by_key.items() if each is not None and not other.users]
            closed = [self._by_key.pop(each) for each in idle[: max(0, len(self._by_key) - _MOST_KEYS)]]
            for other in closed:
                await other.judge.aclose()


def _judge(settings: JudgeSettings, key: str | None) -> Judge:
    return Judge(
        settings.model,
        base_url=settings.base_url,
        key_variable=settings.key_variable,
        key=key,
        api=settings.api,
        timeout=_TIMEOUT_S,
    )
