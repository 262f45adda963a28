"""A remote job by its receipt alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callsheet.errors import ConfigError, JobFailedError
from callsheet.jobs import Expected, Receipt, RemoteState, RemoteStatus
from callsheet.models import ModelRef, Operation
from callsheet.storage import CallState

RECEIPT = Receipt(
    ref=ModelRef("acme", "job"),
    operation=Operation.TEXT_GENERATE,
    job_id="remote-1",
    key="k" * 64,
    request_digest="d" * 64,
    expects=(Expected("text", "text/plain"),),
    created=1.0,
    state={"text": "from afar"},
)


async def test_a_foreign_receipt_is_collected_and_recorded(studio):
    """The ledger had never heard of it; the second time it answers by itself."""
    async with await studio.open() as client:
        first = await client.collect(RECEIPT)
        second = await client.collect(RECEIPT)
        record = await client.ledger.get(RECEIPT.key)
    assert first.artifacts[0].text == second.artifacts[0].text == "from afar"
    assert record.state is CallState.SUCCEEDED
    assert studio.acme.polled == ["remote-1"]
    assert studio.acme.sent == []


async def test_a_job_that_failed_there_is_recorded_as_failed(studio):
    """Nothing is submitted again."""
    studio.acme.polls["remote-1"] = [RemoteStatus(RemoteState.FAILED, error="boom")]
    async with await studio.open() as client:
        with pytest.raises(JobFailedError, match="boom"):
            await client.collect(RECEIPT)
        assert (await client.ledger.get(RECEIPT.key)).state is CallState.FAILED
    assert studio.acme.sent == []


async def test_a_receipt_of_a_later_version_is_refused(studio):
    """Clearly, and before anything is asked."""
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match="version 2"):
            await client.collect(replace(RECEIPT, version=2))
    assert studio.acme.polled == []


async def test_a_receipt_of_an_unknown_provider_is_refused(studio):
    """It names what is missing."""
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match="nobody"):
            await client.collect(replace(RECEIPT, ref=ModelRef("nobody", "job")))


async def test_two_processes_do_not_wait_for_one_receipt(studio):
    """The second is told."""
    import asyncio

    waiting = asyncio.Event()

    async def never():
        waiting.set()
        await asyncio.Event().wait()

    studio.acme.polls["remote-1"] = [never]
    async with await studio.open() as one, await studio.open() as two:
        first = asyncio.create_task(one.collect(RECEIPT))
        await waiting.wait()
        with pytest.raises(ConfigError, match="another process"):
            await two.collect(RECEIPT)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
