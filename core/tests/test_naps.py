"""Waits between two polls, and how they end early."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace

import pytest

from callsheet.models import ModelRef
from callsheet.naps import Naps


def receipt(job_id):
    """All that is read of a receipt."""
    return SimpleNamespace(ref=ModelRef("acme", "job"), job_id=job_id)


class Sleeper:
    """A sleep that ends when the test says so; `begun` are the waits that were asked for."""

    def __init__(self):
        self.begun = []
        self.ends = asyncio.Event()

    async def __call__(self, seconds):
        """Until `ends`."""
        self.begun.append(seconds)
        await self.ends.wait()


async def sleeping(sleeper, nap, seconds=9.0):
    """A task in its nap."""
    task = asyncio.create_task(nap(seconds))
    while not sleeper.begun:
        await asyncio.sleep(0)
    return task


async def test_a_nap_lasts_as_long_as_the_sleep():
    """Without a wake it is the sleep that it was given."""
    sleeper = Sleeper()
    nap = Naps(sleeper).of(receipt("key"))
    task = await sleeping(sleeper, nap)
    assert not task.done()
    sleeper.ends.set()
    await task
    assert sleeper.begun == [9.0]


async def test_a_wake_ends_the_nap_of_its_key_alone():
    """Another job sleeps on, and the next nap is a whole one."""
    sleeper = Sleeper()
    naps = Naps(sleeper)
    one, other = naps.of(receipt("one")), naps.of(receipt("other"))
    first, second = await sleeping(sleeper, one), await sleeping(sleeper, other)
    assert naps.wake("acme", "one")
    await first
    assert not second.done()
    again = asyncio.create_task(one(5.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not again.done()
    sleeper.ends.set()
    await asyncio.gather(second, again)
    assert sleeper.begun == [9.0, 9.0, 5.0]


async def test_a_wake_between_two_naps_is_not_lost():
    """Who is busy asking hears of it afterwards: the next nap ends at once."""
    sleeper = Sleeper()
    naps = Naps(sleeper)
    nap = naps.of(receipt("key"))
    assert naps.wake("acme", "key")
    await nap(9.0)
    assert sleeper.begun == []


async def test_cancelling_a_nap_cancels_its_sleep():
    """Ctrl-C is no wake."""
    sleeper = Sleeper()
    nap = Naps(sleeper).of(receipt("key"))
    task = await sleeping(sleeper, nap)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_the_sleep_raises_is_raised():
    """A nap hides no error."""

    async def broken(_seconds):
        raise OSError("no clock")

    with pytest.raises(OSError, match="no clock"):
        await Naps(broken).of(receipt("key"))(1.0)


async def test_nobody_is_woken_who_waits_no_longer():
    """A wait that has ended is forgotten with its waiter."""
    naps = Naps(asyncio.sleep)
    nap = naps.of(receipt("key"))
    assert naps.of(receipt("key")) is nap
    assert not naps.wake("other", "key")
    del nap
    gc.collect()
    assert not naps.wake("acme", "key")
