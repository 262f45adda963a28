"""Calls on their way into a batch, and what the ledger knows at every point where a process could die."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.errors import (
    CallsheetError,
    ConnectionFailedError,
    JobCancelledError,
    JobFailedError,
    MalformedOutputError,
    OverloadedError,
    Sent,
)
from callsheet.jobs import AbortOutcome, JobResult, RemoteState, RemoteStatus
from callsheet.models import Mode, Operation
from callsheet.pay_once import OnUnknown, UnknownOutcomeError
from callsheet.settings import Settings
from callsheet.storage import CallState

THREE = [{"prompt": "one"}, {"prompt": "two"}, {"prompt": "three"}]


async def records(client):
    """All calls of the ledger, by prompt."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    found = await client.ledger.get_many([key for (key,) in rows])
    return {record.request["body"]["prompt"]: record for record in found.values()}


def texts(results):
    """The texts of results, and the types of errors."""
    return [r.artifacts[0].text if not isinstance(r, CallsheetError) else type(r).__name__ for r in results]


async def test_all_calls_leave_in_one_batch(studio):
    """One submit, one poll, one collect; the answers are in order."""
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE)
        known = await records(client)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert studio.acme.batches == [["one", "two", "three"]]
    assert studio.acme.polled == ["batch-1"]
    assert studio.acme.collected == [["one", "two", "three"]]
    assert {record.state for record in known.values()} == {CallState.SUCCEEDED}


@pytest.mark.parametrize("kind", [MalformedOutputError, JobCancelledError])
async def test_results_that_cannot_be_had_now_are_asked_for_again(studio, kind):
    """Whatever class the error has: nothing that is paid for counts as failed, or is sent again."""
    studio.acme.collects = [kind("odd", sent=Sent.FINISHED)]
    async with await studio.open() as client:
        first = await client.batch("acme:batch", THREE)
        known = await records(client)
        again = [await client.collect(record.receipt) for record in list(known.values())[:1]]
    assert texts(first) == ["StillRunningError"] * 3
    assert {record.state for record in known.values()} == {CallState.SUBMITTED}
    assert len(again[0].artifacts) == 3
    assert len(studio.acme.batches) == 1


async def test_all_calls_are_sending_before_the_batch_leaves(studio):
    """Durable, with the batch's key; and submitted with its receipt before anybody polls."""
    seen = []
    async with await studio.open() as client:

        async def look():
            seen.append({(r.state, r.receipt.key, r.receipt.job_id) for r in (await records(client)).values()})

        async def look_again():
            await look()
            return RemoteStatus(RemoteState.SUCCEEDED)

        studio.acme.submits = [look]
        studio.acme.polls["batch-1"] = [look_again]
        await client.batch("acme:batch", THREE)
    [(before, key, no_id)], [(after, same, job_id)] = seen
    assert (before, no_id, after, job_id) == (CallState.SENDING, "", CallState.SUBMITTED, "batch-1")
    assert key == same


async def test_the_claims_are_one_transaction(studio):
    """Two processes never share out a batch between them."""
    async with await studio.open() as client:
        many = [{"prompt": str(number)} for number in range(50)]
        before = client.ledger._writer.commits
        seen = []

        async def look():
            seen.append(client.ledger._writer.commits - before)

        studio.acme.submits = [look]
        await client.batch("acme:batch", many, reuse=True)
    assert seen == [2]  # claimed, sending


async def test_limits_cut_and_groups_part(studio):
    """No batch has more calls than the manifest says, none mixes groups."""
    studio.acme.limits = {"max_requests": 2, "max_bytes": 1_000_000}
    async with await studio.open() as client:
        await client.batch("acme:batch", [{"prompt": str(number)} for number in range(5)])
        assert sorted(studio.acme.batches) == [["0", "1"], ["2", "3"], ["4"]]  # they leave independently of each other


async def test_a_call_too_large_for_any_batch_goes_by_itself(studio):
    """With a warning, and its neighbours by batch."""
    studio.acme.limits = {"max_requests": 10, "max_bytes": 1500}
    async with await studio.open() as client:
        results = await client.batch("acme:batch", [{"prompt": "small"}, {"prompt": "x" * 2000}])
    assert studio.acme.batches == [["small"]]
    assert studio.acme.sent == ["call[1]"]
    assert [[w.kind.value for w in result.warnings] for result in results] == [[], ["emulated"]]


async def test_a_provider_without_batches_is_called_one_by_one(studio):
    """Bounded, and each result says so."""
    running: list[int] = [0]
    pair = asyncio.Barrier(2)

    async def slow(request, context):
        running.append(running[-1] + 1)
        await pair.wait()
        running.append(running[-1] - 1)
        return JobResult((TextArtifact(request.body["prompt"]),))

    studio.acme.script = {f"call[{number}]": [slow] for number in range(6)}
    async with await studio.open(settings=Settings(concurrency=2)) as client:
        results = await client.batch("acme:text", [{"prompt": str(number)} for number in range(6)])
    assert texts(results) == [str(number) for number in range(6)]
    assert {w.kind.value for result in results for w in result.warnings} == {"emulated"}
    assert max(running) == 2
    assert studio.acme.batches == []


async def test_equal_calls_are_samples_of_their_own(studio):
    """Three takes are three calls; with reuse the same three are taken again."""
    async with await studio.open() as client:
        await client.batch("acme:batch", [{"prompt": "lava"}] * 3)
        assert studio.acme.batches == [["lava"] * 3]
        await client.batch("acme:batch", [{"prompt": "lava"}] * 3, reuse=True)
        assert len(studio.acme.batches) == 1
        await client.batch("acme:batch", [{"prompt": "lava"}] * 2)
        assert studio.acme.batches[1:] == [["lava"] * 2]


async def test_calls_of_a_batch_end_each_in_its_own_way(studio):
    """A failed one with its error, a missing one as not done; both may be tried again, what is paid for is not."""
    studio.acme.ends = {"one": [OverloadedError("busy", sent=Sent.REJECTED)], "two": ["missing"], "three": []}
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, reuse=True)
        again = await client.batch("acme:batch", THREE, reuse=True)
    assert texts(results) == ["OverloadedError", "NotDoneError", "batched: three"]
    assert [r.sent for r in results[:2]] == [Sent.REJECTED, Sent.REJECTED]
    assert texts(again) == ["batched: one", "batched: two", "batched: three"]
    assert studio.acme.batches == [["one", "two", "three"], ["one", "two"]]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ConnectionFailedError("refused", sent=Sent.NOT_SENT), CallState.FAILED),
        (OverloadedError("busy", sent=Sent.REJECTED), CallState.FAILED),
        (ConnectionFailedError("cut", sent=Sent.UNKNOWN), CallState.UNKNOWN),
        (RuntimeError("bug"), CallState.UNKNOWN),
    ],
    ids=["not_sent", "rejected", "unknown", "broken"],
)
async def test_a_batch_that_cannot_be_sent_fails_for_each_call(studio, error, state):
    """Each call has its own error and state; nothing is sent twice."""
    studio.acme.submits = [error]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, on_unknown=OnUnknown.FAIL)
        known = await records(client)
    assert all(isinstance(result, CallsheetError) for result in results)
    assert len({id(result) for result in results}) == 3
    assert [record.state for record in known.values()] == [state] * 3
    assert len(studio.acme.batches) == 1


async def test_an_unknown_batch_is_sent_once_more_as_one(studio):
    """What the policy sends again gathers again."""
    studio.acme.submits = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, on_unknown=OnUnknown.RETRY)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert [sorted(batch) for batch in studio.acme.batches] == [["one", "three", "two"]] * 2


async def test_a_receipt_that_names_no_batch_is_an_unknown_outcome(studio):
    """It cannot be polled, and it may be paid for."""
    async with await studio.open() as client:
        ref = client.catalog.find("acme:batch")
        handler = client.runtime.registry.resolve(ref, Operation.TEXT_GENERATE, Mode.LIVE).handler
        real = handler.receipt
        handler.receipt = lambda context, number: replace(real(context, number), job_id="")
        results = await client.batch("acme:batch", THREE, on_unknown=OnUnknown.FAIL)
    assert {type(result) for result in results} == {UnknownOutcomeError}
    assert isinstance(results[0].__cause__, MalformedOutputError)


async def left_by_a_dead_process(studio, model, *, at):
    """A batch whose process died `at` a point: `claimed`, `sending` or `submitted`."""
    async with await studio.open() as dead:
        real = dead.ledger.advance_many
        steps = {"claimed": 0, "sending": 1, "submitted": 2}[at]
        reached, hang = asyncio.Event(), asyncio.Event()

        async def never(*_):
            reached.set()
            await hang.wait()

        async def advance_many(changes):
            nonlocal steps
            if not steps:
                await never()
            steps -= 1
            await real(changes)

        dead.ledger.advance_many = advance_many
        if at == "submitted":
            studio.acme.polls["batch-1"] = [never]
        task = asyncio.create_task(dead.batch(model, THREE, reuse=True))
        await reached.wait()
        assert {record.state.value for record in (await records(dead)).values()} == {at}
        # as a crash leaves it: no clean-up writes anything
        rows = await dead.ledger._read(lambda turn: turn.db.execute("SELECT * FROM calls").fetchall())
        task.cancel()
        hang.set()
        await asyncio.gather(task, return_exceptions=True)

        def restore(turn):
            turn.db.execute("DELETE FROM calls")
            marks = ", ".join("?" * len(rows[0]))
            turn.db.executemany(f"INSERT INTO calls VALUES ({marks})", rows)

        await dead.ledger._write(restore)
    studio.acme.aborted.clear()


@pytest.mark.parametrize("model", ["acme:batch", "acme:batch-found"])
async def test_what_was_only_claimed_is_sent_as_one_batch(studio, model):
    """A process that died before anything left costs nothing."""
    await left_by_a_dead_process(studio, model, at="claimed")
    studio.acme.batches.clear()
    async with await studio.open() as client:
        results = await client.batch(model, THREE, reuse=True)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert studio.acme.batches == [["one", "two", "three"]]


async def test_a_batch_lost_between_acceptance_and_record_is_found(studio):
    """Asked for once, by the key that was written before it left; never sent again."""
    await left_by_a_dead_process(studio, "acme:batch-found", at="sending")
    studio.acme.batches.clear()
    studio.acme.found = True
    async with await studio.open() as client:
        results = await client.batch("acme:batch-found", THREE, reuse=True)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert studio.acme.batches == []
    assert len(studio.acme.looked) == 1


async def test_a_batch_that_the_provider_does_not_know_is_sent_again(studio):
    """All of its calls together."""
    await left_by_a_dead_process(studio, "acme:batch-found", at="sending")
    studio.acme.batches.clear()
    async with await studio.open() as client:
        results = await client.batch("acme:batch-found", THREE, reuse=True)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert [sorted(batch) for batch in studio.acme.batches] == [["one", "three", "two"]]
    assert len(studio.acme.looked) == 1


async def test_a_lost_batch_that_nobody_can_ask_for_is_unknown(studio):
    """Each call is put to the user."""
    await left_by_a_dead_process(studio, "acme:batch", at="sending")
    studio.acme.batches.clear()
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, reuse=True, on_unknown=OnUnknown.FAIL)
    assert {type(result) for result in results} == {UnknownOutcomeError}
    assert studio.acme.batches == []


async def test_a_submitted_batch_is_polled_by_the_next_process(studio):
    """Once, for all of its calls."""
    await left_by_a_dead_process(studio, "acme:batch", at="submitted")
    studio.acme.batches.clear()
    studio.acme.polled.clear()
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, reuse=True)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert (studio.acme.batches, studio.acme.polled) == ([], ["batch-1"])


async def test_a_crash_in_the_middle_of_recording_loses_nothing(studio):
    """What was recorded is used, the rest is collected again."""
    await left_by_a_dead_process(studio, "acme:batch", at="submitted")
    async with await studio.open() as client:
        await client.batch("acme:batch", THREE[:1], reuse=True)
        results = await client.batch("acme:batch", THREE, reuse=True)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert studio.acme.collected == [["one"], ["two", "three"]]


@pytest.mark.parametrize("expired", [True, False])
async def test_what_an_earlier_batch_left_undone_is_sent_together(studio, expired):
    """One batch of the rest, without another run; what it had done is paid for."""
    await left_by_a_dead_process(studio, "acme:batch", at="submitted")
    if expired:
        studio.acme.ends = {"one": ["missing"], "three": ["missing"]}
    else:
        studio.acme.polls["batch-1"] = [RemoteStatus(RemoteState.CANCELLED)]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, reuse=True)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert [sorted(batch) for batch in studio.acme.batches[1:]] == [["one", "three"] + ["two"] * (not expired)]


async def cancelled(studio, *, when):
    """Cancel a batch `when` it is being submitted or polled; the ledger's calls afterwards."""
    reached, hang = asyncio.Event(), asyncio.Event()

    async def stall():
        reached.set()
        await hang.wait()

    if when == "submitted":
        studio.acme.polls["batch-1"] = [stall]
    else:
        studio.acme.submits = [stall]
    async with await studio.open() as client:
        task = asyncio.create_task(client.batch("acme:batch", THREE))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await records(client)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(AbortOutcome.STOPPED, CallState.FAILED), (AbortOutcome.CLIENT_SIDE_ONLY, CallState.SUBMITTED)],
)
async def test_a_cancelled_batch_is_aborted_once(studio, outcome, state):
    """The receipts stay where the abort did not stop it."""
    studio.acme.abort_outcome = outcome
    known = await cancelled(studio, when="submitted")
    assert studio.acme.aborted == ["batch-1"]
    assert [record.state for record in known.values()] == [state] * 3
    assert {record.receipt.job_id for record in known.values()} == {"batch-1"}


async def test_a_batch_cancelled_on_its_way_is_unknown(studio):
    """Nobody knows whether it was accepted."""
    known = await cancelled(studio, when="sending")
    assert [record.state for record in known.values()] == [CallState.UNKNOWN] * 3


async def test_a_batch_that_another_process_waits_for_is_left(studio):
    """Two processes, one batch: who leaves does not take it from the other."""
    reached, hang = asyncio.Event(), asyncio.Event()

    async def stall():
        reached.set()
        await hang.wait()

    studio.acme.polls["batch-1"] = [stall]
    async with await studio.open() as one, await studio.open() as two:
        first = asyncio.create_task(one.batch("acme:batch", THREE, reuse=True))
        await reached.wait()
        second = asyncio.create_task(two.batch("acme:batch", THREE, reuse=True))
        keys = list((await records(one)).values())
        while not all([await one.ledger.is_awaited(record.key) for record in keys]):
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        results = await second
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert studio.acme.aborted == []
    assert len(studio.acme.batches) == 1


async def test_a_batch_that_failed_as_a_whole_fails_each_call(studio):
    """With the provider's reason."""
    studio.acme.polls["batch-1"] = [RemoteStatus(RemoteState.FAILED, error="bad file")]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE)
    assert {type(result) for result in results} == {JobFailedError}
    assert "bad file" in str(results[2])


async def test_what_failed_with_its_batch_is_sent_again_in_one(studio):
    """Each call waits for as long as chance says, and none of them leaves by itself."""
    studio.acme.polls["batch-1"] = [RemoteStatus(RemoteState.FAILED, error="bad file")]
    async with await studio.open(settings=Settings()) as client:
        results = await client.batch("acme:batch", THREE)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert [sorted(batch) for batch in studio.acme.batches] == [["one", "three", "two"]] * 2


async def test_what_a_batch_refused_for_now_is_sent_again_in_one(studio):
    """Two that were turned away in it; the third one has its result."""
    studio.acme.ends = {word: [OverloadedError("busy", sent=Sent.REJECTED)] for word in ("one", "two")}
    async with await studio.open(settings=Settings()) as client:
        results = await client.batch("acme:batch", THREE)
    assert texts(results) == ["batched: one", "batched: two", "batched: three"]
    assert [sorted(batch) for batch in studio.acme.batches] == [["one", "three", "two"], ["one", "two"]]


@pytest.mark.parametrize(("found", "batches"), [(True, 1), (None, 2), (ConnectionFailedError("down"), 2)])
async def test_a_batch_whose_answer_broke_off_is_asked_for_before_anything_else(studio, found, batches):
    """What the provider has is not sent again; only what it does not know is an unknown outcome, for the policy."""
    studio.acme.submits, studio.acme.found = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)], found
    async with await studio.open() as client:
        assert texts(await client.batch("acme:batch-found", THREE)) == [
            "batched: one",
            "batched: two",
            "batched: three",
        ]
    assert len(studio.acme.batches) == batches
    assert len(studio.acme.looked) == 1


async def test_a_refused_batch_is_not_asked_for(studio):
    """A refusal says that nothing was accepted."""
    studio.acme.submits, studio.acme.found = [OverloadedError("busy")], True
    async with await studio.open() as client:
        assert texts(await client.batch("acme:batch-found", [{"prompt": "one"}])) == ["OverloadedError"]
    assert studio.acme.looked == []
