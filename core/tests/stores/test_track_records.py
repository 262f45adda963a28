"""How calls fared, by model."""

from __future__ import annotations

import pytest

from callsheet.jobs import Attempt
from callsheet.models import ModelRef
from callsheet.storage import CallState, Failure
from callsheet.stores.ledger import Ledger


@pytest.fixture
async def ledger(owner):
    """One in memory."""
    async with await Ledger.open(None, owner) as opened:
        yield opened


async def made(ledger, number, model, outcome, *, seconds=1.0, ended=100.0, kind="", mode=""):
    """One call with one attempt."""
    ref = f"acme:{model}"
    request = {"mode": mode} if mode else {}
    key = f"{number:064d}"
    claim = await ledger.claim(
        key, ref=ref, operation="text.generate", job="a", run="", request_digest="d", request=request
    )
    attempt = Attempt(ModelRef.parse(ref), 1, ended - seconds, ended, outcome, kind)
    await ledger.advance(key, claim.record.epoch, CallState.FAILED, failure=Failure(kind, "", ""), attempt=attempt)


async def test_attempts_are_added_up_by_model(ledger):
    """What went well says how long it takes; what did not, why; the rest is left out."""
    for number in range(20):
        await made(ledger, number, "one", "succeeded", seconds=float(number + 1))
    await made(ledger, 20, "one", "failed", kind="overloaded")
    await made(ledger, 21, "one", "failed", kind="overloaded")
    await made(ledger, 22, "one", "unknown", kind="timeout")
    await made(ledger, 23, "one", "cancelled", kind="cancelled")
    await made(ledger, 24, "one", "failed", kind="overloaded", mode="mock")
    await made(ledger, 25, "one", "failed", kind="overloaded", ended=10.0)
    await made(ledger, 26, "two", "failed", kind="authentication")
    one, two = await ledger.track_records.since(50.0)
    assert (one.ref, one.attempts, one.failed, one.failures) == ("acme:one", 23, 3, {"overloaded": 2, "timeout": 1})
    assert one.median == 10.5
    assert 18.0 < one.slow <= 20.0
    assert (two.ref, two.median, two.slow) == ("acme:two", None, None)
