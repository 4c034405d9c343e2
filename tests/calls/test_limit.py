"""The number of attempts that may be under way at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.calls.limit import CallLimit

LONG = 30.0  # never waited for; only a broken limit would


def _room(limit: CallLimit) -> int:
    """Count how many places can be had now, and give them back without a word."""
    begun: list[float] = []

    async def fill() -> None:
        while True:
            begun.append(await asyncio.wait_for(limit.enter_loop(), 0.01))

    with pytest.raises(TimeoutError):
        asyncio.run(fill())
    for began in begun:
        limit.leave(began, good=False)
    return len(begun)


def _storm(limit: CallLimit, calls: int) -> None:
    """Let so many calls, begun together, be told that they are too many."""
    for began in [limit.enter() for _ in range(calls)]:
        limit.leave(began, good=False, too_much=True)


class TestCallLimit:
    """How many attempts may be under way at once."""

    def test_halved_once_for_calls_begun_together(self) -> None:
        """However many of the calls under way are too much, the number is halved once for them all."""
        limit = CallLimit(16)
        _storm(limit, 16)
        assert _room(limit) == 8
        _storm(limit, 8)
        assert _room(limit) == 4

    def test_never_below_one(self) -> None:
        """One call may always be made."""
        limit = CallLimit(5)
        for _ in range(10):
            _storm(limit, 1)
        assert _room(limit) == 1

    def test_grows_back_to_the_most(self) -> None:
        """Good answers bring the number back, by one for as many as it stands at, and no further than the most."""
        limit = CallLimit(8)
        _storm(limit, 1)
        assert _room(limit) == 4
        grown: list[int] = []
        for _ in range(60):
            limit.leave(limit.enter(), good=True)
            grown.append(_room(limit) if len(grown) < 8 else 0)
        assert grown[2] == 4
        assert grown[7] == 5
        assert _room(limit) == 8

    def test_a_bad_answer_teaches_nothing(self) -> None:
        """An error that has nothing to do with load leaves the number where it is."""
        limit = CallLimit(8)
        _storm(limit, 1)
        for _ in range(50):
            limit.leave(limit.enter(), good=False)
        assert _room(limit) == 4

    @settings(deadline=None)
    @given(st.integers(1, 40), st.lists(st.sampled_from(["good", "bad", "too much"]), max_size=60))
    def test_bounds(self, most: int, ends: list[str]) -> None:
        """Whatever the calls come to, the number stays between one and the most, and no place is lost."""
        limit = CallLimit(most)
        for end in ends:
            limit.leave(limit.enter(), good=end == "good", too_much=end == "too much")
            assert 1 <= limit._level <= most
        assert limit._under_way == 0

    @settings(deadline=None)
    @given(st.integers(2, 64), st.integers(1, 64))
    def test_halving(self, most: int, together: int) -> None:
        """Calls begun before the number was lowered do not lower it again."""
        limit = CallLimit(most)
        begun = [limit.enter() for _ in range(min(together, most))]
        for began in begun:
            limit.leave(began, good=False, too_much=True)
        assert limit._level == max(1.0, most / 2)

    @pytest.mark.parametrize("most", [1, 3, 8])
    def test_threads(self, most: int) -> None:
        """Threads that enter at once are never more than the number, and all of them get their turn."""
        limit = CallLimit(most)
        full = threading.Barrier(most)
        lock = threading.Lock()
        inside: list[int] = []
        present = done = 0

        def call() -> None:
            nonlocal present, done
            began = limit.enter()
            with lock:
                present += 1
                inside.append(present)
            full.wait(LONG)  # nobody leaves before all places are taken
            with lock:
                present -= 1
                done += 1
            limit.leave(began, good=True)

        threads = [threading.Thread(target=call, daemon=True) for _ in range(most * 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert done == most * 5
        assert max(inside) == most

    def test_threads_wait_while_it_is_lowered(self) -> None:
        """Places that were taken away are not given to those who wait for one."""
        limit = CallLimit(4)
        begun = [limit.enter() for _ in range(4)]
        entered = threading.Semaphore(0)

        def call() -> None:
            limit.enter()
            entered.release()

        for _ in range(4):
            threading.Thread(target=call, daemon=True).start()
        for began in begun[:2]:
            limit.leave(began, good=False, too_much=True)
        assert not entered.acquire(timeout=0.1)  # two are under way, and two may be
        limit.leave(begun[2], good=False)
        assert entered.acquire(timeout=LONG)
        limit.leave(begun[3], good=False)
        assert entered.acquire(timeout=LONG)
        assert not entered.acquire(timeout=0.1)

    @pytest.mark.parametrize("ends", ["good", "too much", "mixed"])
    def test_event_loop(self, ends: str) -> None:
        """Tasks of an event loop are never more than the number, and all of them get their turn."""
        limit = CallLimit(6)
        inside: list[int] = []
        present = 0

        async def call(number: int) -> None:
            nonlocal present
            began = await limit.enter_loop()
            present += 1
            inside.append(present)
            await asyncio.sleep(0)
            present -= 1
            too_much = ends == "too much" or (ends == "mixed" and number % 5 == 0)
            limit.leave(began, good=not too_much, too_much=too_much)

        async def all_calls() -> None:
            await asyncio.wait_for(asyncio.gather(*map(call, range(200))), LONG)

        asyncio.run(all_calls())
        assert len(inside) == 200
        assert max(inside) == 6
        if ends == "too much":
            assert inside[-1] == 1

    def test_all_places_that_are_free_are_given(self) -> None:
        """When the number grows as a place is given back, two of those who wait have their turn."""
        limit = CallLimit(2)
        _storm(limit, 1)

        async def calls() -> None:
            began = await limit.enter_loop()
            waiting = [asyncio.create_task(limit.enter_loop()) for _ in range(2)]
            await asyncio.sleep(0)
            limit.leave(began, good=True)
            await asyncio.wait_for(asyncio.gather(*waiting), LONG)

        asyncio.run(calls())

    @pytest.mark.parametrize("when", ["while it waits", "when its turn has come"])
    def test_a_cancelled_task_takes_no_place(self, when: str) -> None:
        """A task that is cancelled before it has its place leaves it to the next."""
        limit = CallLimit(1)

        async def calls() -> None:
            began = await limit.enter_loop()
            first, second = (asyncio.create_task(limit.enter_loop()) for _ in range(2))
            await asyncio.sleep(0)
            if when == "while it waits":
                first.cancel()
                await asyncio.sleep(0)
            limit.leave(began, good=True)
            first.cancel()
            await asyncio.wait_for(second, LONG)

        asyncio.run(calls())
