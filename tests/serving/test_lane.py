"""The thread beside the event loop: order, time, and who is turned away."""

import asyncio
import threading
import time

import pytest

from serving.lane import Busy, Lane


def test_work_is_done_in_order_and_its_errors_are_its_own() -> None:
    lane, done = Lane("test"), []

    def fail() -> None:
        raise ValueError("its own")

    async def main() -> list[object]:
        return await asyncio.gather(
            lane.run(lambda: done.append(1), 1, 5),
            lane.run(fail, 1, 5),
            lane.run(lambda: done.append(2), 1, 5),
            return_exceptions=True,
        )

    first, second, third = asyncio.run(main())
    assert (first, third, done) == (None, None, [1, 2])
    assert isinstance(second, ValueError)
    lane.close()


def test_who_would_wait_too_long_is_told_at_once_and_who_would_not_is_served() -> None:
    lane, hold = Lane("test"), threading.Event()

    async def main() -> None:
        await lane.run(lambda: time.sleep(0.05), 1, 5)  # now it knows what a piece takes
        first = asyncio.create_task(lane.run(hold.wait, 1, 5))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await lane.run(lambda: None, 9, 0.2)
        second = asyncio.create_task(lane.run(lambda: "served", 1, 5))
        await asyncio.sleep(0)
        hold.set()
        assert await second == "served"
        await first
        assert await lane.run(lambda: "free again", 100, 5) == "free again"

    asyncio.run(main())
    lane.close()


def test_one_that_hangs_turns_others_away_until_it_is_done() -> None:
    lane, hold = Lane("test"), threading.Event()

    async def main() -> None:
        await lane.run(lambda: time.sleep(0.05), 1, 5)
        with pytest.raises(TimeoutError):
            await lane.run(hold.wait, 1, 0.01)
        with pytest.raises(Busy):  # the one that was given up is still there
            await lane.run(lambda: None, 1, 0.01)
        hold.set()
        lane.wait(lambda: None)
        assert await lane.run(lambda: 1, 1, 0.01) == 1

    asyncio.run(main())
    lane.close()


def test_nobody_before_it_is_never_turned_away() -> None:
    """One slow piece must not shut the lane for ever."""
    lane = Lane("test")

    async def main() -> None:
        await lane.run(lambda: time.sleep(0.2), 1, 5)
        assert await lane.run(lambda: 1, 1, 0.1) == 1

    asyncio.run(main())
    lane.close()
