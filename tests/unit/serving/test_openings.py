"""Questions are begun in threads of their own, as many as there is room for; nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater, ShouldSlowDown
from everloop.serving.speaking.openings import Openings


@pytest.fixture
def opens() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def test_what_is_begun_is_given_back_and_what_fails_is_told() -> None:
    def fails() -> int:
        raise ShouldFixArgument("no", "why")

    async def asked() -> None:
        openings = Openings(threads=1, most=1)
        for number in range(3):
            assert await openings.run(partial(int, number), 5.0) == number
            with pytest.raises(ShouldFixArgument):
                await openings.run(fails, 5.0)
        openings.close()

    asyncio.run(asked())


def test_a_place_is_taken_until_its_thread_is_free(opens: threading.Event) -> None:
    async def asked() -> None:
        openings = Openings(threads=1, most=1)
        with pytest.raises(ShouldRetryLater, match="since long"):
            await openings.run(lambda: opens.wait(30), 0.01)
        with pytest.raises(ShouldSlowDown) as refused:
            await openings.run(lambda: True, 5.0)
        assert refused.value.retry_after == 5.0
        opens.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await openings.run(lambda: True, 5.0)
                except ShouldSlowDown:
                    await asyncio.sleep(0.01)
                else:
                    break
        openings.close()

    asyncio.run(asked())


def test_who_leaves_is_cancelled_and_who_waits_at_the_end_is_told(opens: threading.Event) -> None:
    async def asked() -> None:
        openings = Openings(threads=1, most=3)
        first, second, third = [
            asyncio.create_task(openings.run(lambda: opens.wait(30), 30.0)) for _ in range(3)
        ]
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        openings.close()
        with pytest.raises(ShouldRetryLater, match="ends"):
            await third
        with pytest.raises(ShouldRetryLater, match="ends"):
            await openings.run(lambda: True, 5.0)
        opens.set()
        assert await first

    asyncio.run(asked())
