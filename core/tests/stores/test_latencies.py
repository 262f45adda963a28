"""How long calls took, as the ledger tells it."""

from __future__ import annotations

from callsheet.jobs import Attempt, JobResult, Receipt
from callsheet.models import ModelRef
from callsheet.storage import CallState

REF = ModelRef.parse("acme:text")


async def ended(ledger, key, seconds, *, batch="", mode="live", outcome=CallState.SUCCEEDED):
    """A call on record that took so long."""
    about = {"ref": str(REF), "operation": "text.generate", "job": "a", "run": "", "request_digest": "d"}
    claim = await ledger.claim(key, **about, request={"mode": mode} if mode != "live" else {})
    epoch = claim.record.epoch
    await ledger.advance(key, epoch, CallState.SENDING)
    receipt = Receipt(REF, "text.generate", "job-1", batch or key, "d", (), 1.0)
    await ledger.advance(key, epoch, CallState.SUBMITTED, receipt=receipt)
    attempt = Attempt(REF, epoch, 1000.0, 1000.0 + seconds, outcome.value)
    await ledger.advance(key, epoch, outcome, result=JobResult(()), attempt=attempt)


async def test_the_median_of_calls_that_went_well(ledger):
    """A batch, a mocked call and a failure say nothing of how long a call takes."""
    for number, seconds in enumerate((2.0, 4.0, 60.0)):
        await ended(ledger, f"k{number}", seconds)
    await ended(ledger, "batched", 9000.0, batch="the-batch")
    await ended(ledger, "mocked", 0.0, mode="mock")
    await ended(ledger, "failed", 0.5, outcome=CallState.FAILED)
    assert await ledger.latencies.seen(["acme:text", "acme:other"]) == {"acme:text": 4.0}
    assert await ledger.latencies.seen([]) == {}


async def test_a_clock_that_was_set_back_gives_no_negative_time(ledger):
    """Else that model would be the fastest for good."""
    await ended(ledger, "k", -5.0)
    assert await ledger.latencies.seen(["acme:text"]) == {"acme:text": 0.0}
