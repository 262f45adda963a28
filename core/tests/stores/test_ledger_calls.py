"""The ledger's calls: who may work on one, and which steps it may take."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from callsheet.artifacts import BlobArtifact, FileRef, TextArtifact
from callsheet.errors import CallsheetError, ConfigError
from callsheet.jobs import Attempt, Expected, JobResult, Receipt
from callsheet.models import ModelRef, Operation
from callsheet.money import Cost
from callsheet.storage import CallState, Failure
from callsheet.stores.ledger import Change, Ledger, LostOwnershipError, NewCall, Pick, Step
from callsheet.stores.owners import Owner

REF = ModelRef("mock", "image")
REQUEST = {"prompt": "a volcano", "image": FileRef("a" * 64, "image/png", 3).uri}
RESULT = JobResult((TextArtifact("lava"), BlobArtifact(FileRef("a" * 64, "image/png", 3))), cost=Cost.exactly("0.03"))
RECEIPT = Receipt(REF, Operation.IMAGE_GENERATE, "p1", "k", "d", (Expected("blob", "image/png"),), 1.0)
FAILURE = Failure("overloaded", "rejected", "busy", retryable=True)
PATHS = {
    CallState.CLAIMED: (),
    CallState.SENDING: (CallState.SENDING,),
    CallState.ACCEPTED: (CallState.SENDING, CallState.ACCEPTED),
    CallState.SUBMITTED: (CallState.SENDING, CallState.SUBMITTED),
    CallState.SUCCEEDED: (CallState.SENDING, CallState.SUCCEEDED),
    CallState.FAILED: (CallState.FAILED,),
    CallState.UNKNOWN: (CallState.SENDING, CallState.UNKNOWN),
}
LEGAL = {
    (CallState.CLAIMED, CallState.SENDING),
    (CallState.CLAIMED, CallState.FAILED),
    (CallState.SENDING, CallState.ACCEPTED),
    (CallState.SENDING, CallState.SUBMITTED),
    (CallState.SENDING, CallState.SUCCEEDED),
    (CallState.SENDING, CallState.FAILED),
    (CallState.SENDING, CallState.UNKNOWN),
    (CallState.ACCEPTED, CallState.SUBMITTED),
    (CallState.ACCEPTED, CallState.SUCCEEDED),
    (CallState.ACCEPTED, CallState.FAILED),
    (CallState.ACCEPTED, CallState.UNKNOWN),
    (CallState.SUBMITTED, CallState.SUCCEEDED),
    (CallState.SUBMITTED, CallState.FAILED),
    (CallState.SUBMITTED, CallState.UNKNOWN),
}


def attempt(number, outcome="failed"):
    return Attempt(REF, number, 1.0, 2.5, outcome, "overloaded", "rejected", "busy", Cost.exactly("0.030"))


def claim(ledger, key="k", run="r", how="claim", events=()):
    return getattr(ledger, how)(
        key,
        ref=str(REF),
        operation="image.generate",
        job="still[0]",
        run=run,
        request_digest="d",
        request=REQUEST,
        events=events,
    )


async def step(ledger, key, epoch, state, **more):
    given = {CallState.SUCCEEDED: {"result": RESULT}, CallState.SUBMITTED: {"receipt": RECEIPT}}.get(state, {})
    await ledger.advance(key, epoch, state, **given, **more)
    return await ledger.get(key)


async def brought_to(ledger, state, key="k"):
    record = (await claim(ledger, key)).record
    for one in PATHS[state]:
        record = await step(ledger, key, record.epoch, one)
    assert record.state is state
    return record


@pytest.fixture
async def rival(tmp_path):
    """A second owner with a connection of its own to the same file."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(tmp_path / "ledger.sqlite3", owner) as opened:
        yield opened
    owner.close()


async def test_a_call_from_claim_to_result(ledger, owner):
    """Each step is there when it is read back."""
    claimed = await claim(ledger)
    assert (claimed.verdict, claimed.previous) == ("claimed", None)
    assert (claimed.record.owner, claimed.record.epoch, claimed.record.request) == (owner.id, 1, REQUEST)
    assert await ledger.get("k") == claimed.record
    for state, more in [
        (CallState.SENDING, {}),
        (CallState.ACCEPTED, {"request_id": "req_1"}),
        (CallState.SUBMITTED, {}),
        (CallState.SUCCEEDED, {"attempt": attempt(1, "succeeded")}),
    ]:
        assert await step(ledger, "k", 1, state, **more) == await ledger.get("k")
    record = await ledger.get("k")
    assert (record.request_id, record.receipt, record.result) == ("req_1", RECEIPT, RESULT)
    assert await ledger.attempts("k") == [attempt(1, "succeeded")]


@pytest.mark.parametrize("source", CallState)
@pytest.mark.parametrize("target", CallState)
async def test_only_legal_steps_are_taken(ledger, source, target):
    """All pairs of states; a refused step changes nothing."""
    before = await brought_to(ledger, source)
    if (source, target) in LEGAL:
        assert (await step(ledger, "k", before.epoch, target)).state is target
    else:
        with pytest.raises(CallsheetError, match=f"is {source}: it cannot become {target}"):
            await step(ledger, "k", before.epoch, target, events=[("job.lied", "k", {})])
        assert await ledger.get("k") == before
        assert not await ledger.events("r")


async def test_results_and_receipts_are_asked_for(ledger):
    """A success without a result would be paid for again."""
    await brought_to(ledger, CallState.SENDING)
    with pytest.raises(CallsheetError, match="without a result"):
        await ledger.advance("k", 1, CallState.SUCCEEDED)
    with pytest.raises(CallsheetError, match="without a receipt"):
        await ledger.advance("k", 1, CallState.SUBMITTED)


@pytest.mark.parametrize(
    ("state", "verdict", "theirs"),
    [
        (CallState.CLAIMED, "mine", "held"),
        (CallState.SENDING, "mine", "held"),
        (CallState.ACCEPTED, "mine", "held"),
        (CallState.SUBMITTED, "mine", "held"),
        (CallState.SUCCEEDED, "done", "done"),
        (CallState.UNKNOWN, "unknown", "unknown"),
    ],
)
async def test_a_second_claim_changes_nothing(ledger, rival, state, verdict, theirs):
    """Neither by this owner nor by another one, nor are its events written."""
    before = await brought_to(ledger, state)
    for asker, expected in ((ledger, verdict), (rival, theirs)):
        again = await claim(asker, events=[("job.claimed", "x", {})])
        assert (again.verdict, again.record, again.previous) == (expected, before, None)
    assert not await ledger.events("r")
    assert (await ledger.get("k")) == before


async def test_a_failed_call_is_claimed_anew_and_its_attempts_stay(ledger, rival):
    """The next attempt has a new epoch; what failed before is still told."""
    await claim(ledger)
    await ledger.advance("k", 1, CallState.FAILED, failure=FAILURE, attempt=attempt(1))
    failed = await ledger.get("k")
    again = await claim(rival)
    assert (again.verdict, again.previous, again.record.epoch) == ("claimed", failed, 2)
    assert (again.record.failure, again.record.receipt, again.record.created) == (None, None, failed.created)
    await rival.advance("k", 2, CallState.FAILED, failure=FAILURE, attempt=attempt(2))
    assert await ledger.attempts("k") == [attempt(1), attempt(2)]
    assert (await ledger.attempts("k"))[0].cost.low == Decimal("0.030")


async def test_an_unknown_call_is_claimed_only_by_decision(ledger):
    """`reclaim` is that decision; for other states it is a claim."""
    before = await brought_to(ledger, CallState.UNKNOWN)
    again = await claim(ledger, how="reclaim")
    assert (again.verdict, again.previous, again.record.epoch) == ("claimed", before, 2)
    assert (await claim(ledger, how="reclaim")).verdict == "mine"
    await brought_to(ledger, CallState.SUCCEEDED, "other")
    assert (await claim(ledger, "other", how="reclaim")).verdict == "done"


@pytest.mark.parametrize("state", [CallState.CLAIMED, CallState.SENDING, CallState.ACCEPTED, CallState.SUBMITTED])
async def test_a_dead_owners_call_is_taken_over_as_it_was(ledger, rival, owner, state):
    """State and receipt say what is known; the dead owner, should it still write, is refused."""
    before = await brought_to(ledger, state)
    owner.close()
    taken = await claim(rival, run="r2", events=[("job.taken_over", "still[0]", {})])
    assert (taken.verdict, taken.previous) == ("taken_over", before)
    changed = {"owner": rival.owner.id, "epoch": 2, "run": "r2", "updated": taken.record.updated}
    assert taken.record == replace(before, **changed)
    assert [event.type for event in await rival.events("r2")] == ["job.taken_over"]
    with pytest.raises(LostOwnershipError):
        await step(ledger, "k", 1, CallState.FAILED)
    with pytest.raises(LostOwnershipError):
        await ledger.release("k", 1)
    assert (await step(rival, "k", 2, CallState.FAILED)).state is CallState.FAILED


async def test_release_forgets_what_was_not_sent(ledger):
    """And only that; a later claim does not share an epoch with earlier attempts."""
    await claim(ledger)
    await ledger.advance("k", 1, CallState.FAILED, attempt=attempt(1))
    await claim(ledger)
    await ledger.release("k", 2, events=[("job.released", "k", {})])
    assert await ledger.get("k") is None
    assert [event.type for event in await ledger.events("r")] == ["job.released"]
    assert (await claim(ledger)).record.epoch == 2
    await step(ledger, "k", 2, CallState.SENDING)
    with pytest.raises(CallsheetError, match="nothing was sent"):
        await ledger.release("k", 2)
    with pytest.raises(LostOwnershipError):
        await ledger.release("unheard of", 1)


@pytest.mark.parametrize("state", [None, CallState.FAILED, CallState.UNKNOWN])
async def test_a_claim_is_taken_back_when_its_task_is_cancelled(ledger, state):
    """Else the key would look as if somebody worked on it, until this process ends."""
    before = await brought_to(ledger, state) if state else None
    task = asyncio.create_task(claim(ledger, how="reclaim"))
    await asyncio.sleep(0)  # the claim is on its way
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = await ledger.get("k")
    assert after == (before and replace(before, epoch=2))


async def test_a_takeover_is_given_back_when_its_task_is_cancelled(ledger, rival, owner):
    """The dead owner's row is there for the next one."""
    before = await brought_to(ledger, CallState.SUBMITTED)
    owner.close()
    task = asyncio.create_task(claim(rival))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rival.get("k") == replace(before, epoch=2)
    assert (await claim(rival)).verdict == "taken_over"


async def test_a_cancelled_claim_that_changed_nothing_is_not_taken_back(ledger):
    """A key that this process works on stays its own."""
    before = await brought_to(ledger, CallState.SENDING)
    task = asyncio.create_task(claim(ledger))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ledger.get("k") == before


async def test_a_step_is_recorded_although_its_task_is_cancelled(ledger):
    """What was paid for is kept."""
    await brought_to(ledger, CallState.SENDING)
    task = asyncio.create_task(step(ledger, "k", 1, CallState.SUCCEEDED))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ledger.get("k")).result == RESULT


async def test_reading_many_and_open_calls(ledger):
    """Unknown keys are left out, and final calls are not open."""
    for state in CallState:
        await brought_to(ledger, state, f"key-{state}")
    await claim(ledger, "elsewhere", run="other")
    asked = ["key-unknown", "no such key", "key-claimed", "key-unknown"]
    assert list(await ledger.get_many(asked)) == ["key-unknown", "key-claimed"]
    assert await ledger.get_many([]) == {}
    assert len(await ledger.get_many(f"key-{state}" for state in CallState)) == len(CallState)
    opened = [f"key-{state}" for state in CallState if not state.final]
    assert [record.key for record in await ledger.open_calls("r")] == opened
    assert [record.key for record in await ledger.open_calls()] == [*opened, "elsewhere"]


async def test_a_pick_is_written_with_the_success(ledger):
    """One transaction: state, attempt, pick and events."""
    await brought_to(ledger, CallState.SENDING)
    pick = Pick("sheet", "still[0]", "k", str(REF), {"inputs": "d1", "model": "d2"})
    await step(ledger, "k", 1, CallState.SUCCEEDED, pick=pick, events=[("job.succeeded", "still[0]", {"cost": "0.03"})])
    assert await ledger.pick("sheet", "still[0]") == pick
    other = Pick("sheet", "clip", "k2", str(REF))
    await ledger.set_pick(other)
    await ledger.set_pick(replace(other, key="k3"))
    assert await ledger.picks("sheet") == {"still[0]": pick, "clip": replace(other, key="k3")}
    assert await ledger.pick("sheet", "absent") is None


async def test_a_ledger_outside_of_its_owners_folder_is_refused(tmp_path, owner):
    """Two processes would take each other for dead."""
    with pytest.raises(ConfigError, match="state folder"):
        await Ledger.open(tmp_path / "elsewhere" / "ledger.sqlite3", owner)


def new(key):
    """A call to be claimed with others."""
    return NewCall(key, "acme:batch", "text.generate", f"b[{key}]", "r", "d" * 64, {}), ()


async def test_many_calls_are_claimed_in_one_transaction(ledger, rival):
    """Each with a verdict of its own, in order."""
    await claim(rival, "b")
    before = ledger._writer.commits
    claims = await ledger.claim_many([new("a"), new("b"), new("c")])
    assert [each.verdict for each in claims] == ["claimed", "held", "claimed"]
    assert ledger._writer.commits == before + 1


async def test_many_steps_are_taken_together_or_not_at_all(ledger, rival):
    """One call that is not ours keeps all of them where they are."""
    await ledger.claim_many([new("a"), new("b")])
    await claim(rival, "c")
    steps = [Step(Change(key, 1, CallState.SENDING), ()) for key in "abc"]
    with pytest.raises(LostOwnershipError):
        await ledger.advance_many(steps)
    assert {record.state for record in (await ledger.get_many("ab")).values()} == {CallState.CLAIMED}
    await ledger.advance_many(steps[:2])
    assert {record.state for record in (await ledger.get_many("ab")).values()} == {CallState.SENDING}


async def test_calls_are_found_by_the_id_of_their_job(ledger):
    """By the whole id, or by the beginning of it or of the key; a receipt that SQLite cannot read is passed over."""
    odd = {"waits": float("nan")}
    for key, job_id, state in (
        ("k1", "p1", {}),
        ("k2", "p1", {}),
        ("k3", "p10", {}),
        ("p2", "q%_", {}),
        ("k5", "p7", odd),
    ):
        taken = await claim(ledger, key)
        await ledger.advance(key, taken.record.epoch, CallState.SENDING)
        receipt = replace(RECEIPT, key=key, job_id=job_id, state=state)
        await ledger.advance(key, taken.record.epoch, CallState.SUBMITTED, receipt=receipt)
    await claim(ledger, "k6")

    async def found(name, **how):
        return [call.key for call in await ledger.calls_of_job(name, **how)]

    assert await found("p1") == ["k1", "k2"]
    assert await found("p") == await found("") == await found("%") == []
    assert await found("p1", beginning=True) == ["k1", "k2", "k3"]
    assert await found("p", beginning=True) == ["k1", "k2", "k3", "p2"]
    assert await found("q%", beginning=True) == ["p2"]
    assert await found("k6", beginning=True) == ["k6"]
    assert await found("", beginning=True) == []
    assert (await ledger.get("k5")).receipt.job_id == "p7"


async def test_the_calls_of_a_batch_are_found_by_its_key(ledger):
    """Only those that left in it."""
    await ledger.claim_many([new("a"), new("b"), new("c")])
    receipt = Receipt(ModelRef("acme", "batch"), Operation.TEXT_GENERATE, "", "batch", "batch", (), 1.0)
    await ledger.advance_many([Step(Change(key, 1, CallState.SENDING, receipt=receipt), ()) for key in "ab"])
    assert [record.key for record in await ledger.batch_calls("batch")] == ["a", "b"]
    assert await ledger.batch_calls("other") == []
