"""Fresh samples of equal calls."""

from __future__ import annotations

import asyncio

import pytest

from callsheet import sampling
from callsheet.errors import InvalidRequestError


def samples_of(studio):
    """The samples that succeeded, from the events that plugins hear."""
    return sorted(event.body["sample"] for event in studio.acme.events if event.type == "job.succeeded")


async def test_equal_calls_at_once_are_takes_of_their_own(studio):
    """Each is sent, with a number of its own."""
    async with await studio.open() as client:
        await asyncio.gather(*(client.call("acme:text", prompt="lava") for _ in range(20)))
        assert samples_of(studio) == list(range(20))
    assert len(studio.acme.sent) == 20


async def test_another_process_goes_on_after_what_is_paid_for(studio):
    """However many there are; a failed one is free again."""
    async with await studio.open() as client:
        await asyncio.gather(*(client.call("acme:text", prompt="lava") for _ in range(11)))
    studio.acme.script["call"] = [InvalidRequestError("no")]
    async with await studio.open() as client:
        with pytest.raises(InvalidRequestError):
            await client.call("acme:text", prompt="lava")
        await client.call("acme:text", prompt="lava")
        await client.call("acme:text", prompt="lava")
        assert samples_of(studio) == list(range(13))


async def test_what_is_forgotten_is_looked_up(studio, monkeypatch):
    """The memory is bounded, and nothing is paid for twice for that."""
    monkeypatch.setattr(sampling, "_REMEMBERED", 2)
    async with await studio.open() as client:
        for prompt in ("a", "b", "c", "a", "b", "c"):
            await client.call("acme:text", prompt=prompt)
        assert len(client.runtime.pay_once.fresh._next) == 2
        assert samples_of(studio) == [0, 0, 0, 1, 1, 1]
