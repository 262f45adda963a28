"""The handlers without the engine: answers, remote jobs, scripted failures."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from callsheet.plugin import (
    AbortOutcome,
    ConnectionFailedError,
    ErrorKind,
    InvalidRequestError,
    ProviderError,
    RemoteState,
    Sent,
    error_for,
)
from callsheet.stores.records import decode_receipt, encode_receipt
from callsheet_mock.journal import VARIABLE

SMALL = {"prompt": "lava", "size": "64x48", "duration": 2}


def events(lines) -> list[str]:
    """What happened, in order."""
    return [line["event"] for line in lines]


def digests(result) -> list[str]:
    """The files of a result."""
    return [artifact.file.sha256 for artifact in result.artifacts]


# --- answers


async def test_answer_is_journalled_first(stage):
    """The journal's line is on disk before the answer is made."""
    request, context = stage.prepared(stage.job("mock:image", "image.generate", prompt="x", size="8x8"), sample=2)
    seen = []

    async def store(data, media_type, name):
        seen.append(events(stage.journal()))
        return await stage.blobs.put(data, media_type, name)

    await stage.answers.invoke(request, replace(context, store=store))
    assert seen == [["accepted"]]
    assert stage.journal()[0] == {"event": "accepted", "key": context.key, "ref": "mock:image", "sample": 2}


async def test_latency_of_an_answer(stage, monkeypatch):
    """An answer takes the scripted time, and is accepted before it."""
    slept = []

    async def sleep(seconds):
        slept.append((seconds, events(stage.journal())))

    monkeypatch.setattr("asyncio.sleep", sleep)
    await stage.answer(stage.job("mock:text", "text.generate", {"latency": 2.5}, prompt="x"))
    assert slept == [(2.5, ["accepted"])]


async def test_hanging_answer_can_be_cancelled(stage):
    """A call that hangs was accepted, never ends by itself, and ends when it is cancelled."""
    task = asyncio.ensure_future(stage.answer(stage.job("mock:text", "text.generate", {"hang": True}, prompt="x")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert events(stage.journal()) == ["accepted"]
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("wire", ["answer", "remote"])
@pytest.mark.parametrize("kind", ErrorKind)
async def test_failures_by_kind(stage, wire, kind):
    """The first attempts fail as scripted, are not accepted, and the next one is good."""
    fail = {"first": 2, "kind": kind.value, "message": "no luck"}
    job = stage.job("mock:image", "image.generate", {"fail": fail}, prompt="lava", size="8x8")
    for _ in range(2):
        with pytest.raises(error_for(kind), match="no luck") as caught:
            await getattr(stage, wire)(job)
        assert caught.value.ref == "mock:image"
        assert caught.value.prompt == ("lava" if kind is ErrorKind.CONTENT_REJECTED else "")
    await getattr(stage, wire)(job)
    assert events(stage.journal())[:3] == ["rejected", "rejected", "accepted"]
    assert stage.journal()[0]["kind"] == kind


@pytest.mark.parametrize("sent", Sent)
async def test_failures_by_sent(stage, sent):
    """What is known of a failed request is as scripted."""
    job = stage.job("mock:text", "text.generate", {"fail": {"sent": sent.value, "retry_after": 9}}, prompt="x")
    with pytest.raises(ProviderError) as caught:
        await stage.answer(job)
    assert (caught.value.sent, caught.value.retry_after) == (sent, 9.0)
    assert stage.journal()[0]["sent"] == sent


async def test_lost_answers(stage):
    """Accepted and paid, but the answer is cut off; so many times, then it comes through."""
    job = stage.job("mock:text", "text.generate", {"fail_after_acceptance": 2}, prompt="x")
    for _ in range(2):
        with pytest.raises(ConnectionFailedError) as caught:
            await stage.answer(job)
        assert caught.value.sent is Sent.UNKNOWN
    await stage.answer(job)
    assert events(stage.journal()) == ["accepted"] * 3


async def test_options_of_others_script_nothing(stage):
    """The options of another provider's model are never a script, for either handler."""
    options = {"hang": True, "latency": 1e9, "fail": {"first": 9}, "fail_after_acceptance": True}
    job = stage.job("acme:image", "image.generate", options, prompt="x", size="8x8")
    assert (await stage.answer(job)).artifacts == (await stage.remote(job)).artifacts


@pytest.mark.parametrize("wire", ["answers", "jobs"])
async def test_too_much_is_refused_before_acceptance(stage, wire):
    """A live plugin's promise of too many outputs never reaches the journal."""
    job = stage.job("acme:image", "image.generate", prompt="x")
    request, context = stage.prepared(job)
    request = replace(request, expects=(replace(request.expects[0], count=5000),))
    send = stage.answers.invoke if wire == "answers" else stage.jobs.submit
    with pytest.raises(InvalidRequestError, match="at most 1000 outputs"):
        await send(request, context)
    assert stage.journal() == []


# --- remote jobs


async def submitted(stage, **options):
    """A receipt, through JSON, and the context of a process that knows only it."""
    job = stage.job("mock:video", "video.generate", options, **SMALL)
    receipt = await stage.jobs.submit(*stage.prepared(job))
    again = decode_receipt(encode_receipt(receipt))
    assert again == receipt
    return again, stage.stranger(again)


async def test_life_of_a_job(stage):
    """Accepted, running until its time has come, then collected."""
    receipt, context = await submitted(stage, latency=90)
    status = await stage.jobs.poll(receipt, context)
    assert (status.state, status.poll_after) == (RemoteState.RUNNING, 90.0)
    stage.clock.now += 60
    assert (await stage.jobs.poll(receipt, context)).poll_after == 30.0
    stage.clock.now += 30
    assert (await stage.jobs.poll(receipt, context)).state is RemoteState.SUCCEEDED
    result = await stage.jobs.collect(receipt, context)
    assert (result.artifacts[0].width, result.artifacts[0].duration) == (64, 2.0)
    assert events(stage.journal()) == ["accepted", "collected"]
    assert stage.journal()[0]["job"] == receipt.job_id


async def test_receipt_holds_no_secret_and_no_url(stage):
    """A receipt is ids, promises and a small state."""
    receipt, _ = await submitted(stage, latency=1)
    assert (receipt.expires, receipt.version) == (None, 1)
    assert receipt.state.keys() == {"caption", "sample", "ready", "hangs", "fails"}
    assert "://" not in encode_receipt(receipt)


async def test_abort_while_running(stage):
    """A running job is stopped, once; a later poll says cancelled, a second abort says the same."""
    receipt, context = await submitted(stage, latency=90)
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED
    stage.clock.now += 100
    assert (await stage.jobs.poll(receipt, context)).state is RemoteState.CANCELLED
    assert events(stage.journal()) == ["accepted", "aborted"]


async def test_abort_after_the_end(stage):
    """A job that is done cannot be stopped any more, and stays collectable."""
    receipt, context = await submitted(stage, latency=90)
    stage.clock.now += 90
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.ALREADY_FINISHED
    assert (await stage.jobs.poll(receipt, context)).state is RemoteState.SUCCEEDED
    assert events(stage.journal()) == ["accepted"]


async def test_abort_stops_one_job_only(stage):
    """A new job of the same call is not stopped by the abort of an earlier one."""
    first, context = await submitted(stage, latency=90)
    await stage.jobs.abort(first, context)
    second, _ = await submitted(stage, latency=90)
    assert (await stage.jobs.poll(second, context)).state is RemoteState.RUNNING
    assert (await stage.jobs.poll(first, context)).state is RemoteState.CANCELLED


async def test_hanging_job(stage):
    """A job that hangs runs for ever, and can be stopped at any time."""
    receipt, context = await submitted(stage, hang=True)
    stage.clock.now += 1e8
    status = await stage.jobs.poll(receipt, context)
    assert (status.state, status.poll_after) == (RemoteState.RUNNING, None)
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED


async def test_job_that_fails_at_its_end(stage):
    """Accepted and paid, runs its time, and fails; the next attempt is good."""
    first, context = await submitted(stage, latency=5, fail_after_acceptance=1)
    assert (await stage.jobs.poll(first, context)).state is RemoteState.RUNNING
    stage.clock.now += 5
    status = await stage.jobs.poll(first, context)
    assert (status.state, status.error) == (RemoteState.FAILED, "scripted: the job failed")
    second, _ = await submitted(stage, latency=0, fail_after_acceptance=1)
    assert (await stage.jobs.poll(second, context)).state is RemoteState.SUCCEEDED


async def test_find(stage):
    """The newest job of the call since a time is found, with the receipt that was lost."""
    job = stage.job("mock:video", "video.generate", {"latency": 5}, **SMALL)
    request, context = stage.prepared(job)
    assert await stage.jobs.find(request, 0.0, context) is None
    await stage.jobs.submit(request, context)
    stage.clock.now += 1
    newest = await stage.jobs.submit(request, context)
    assert await stage.jobs.find(request, stage.clock.now, context) == newest
    assert await stage.jobs.find(request, 0.0, context) == newest
    assert await stage.jobs.find(request, stage.clock.now + 1, context) is None
    other, elsewhere = stage.prepared(job, key="o" * 64)
    assert await stage.jobs.find(other, 0.0, elsewhere) is None


async def test_find_passes_over_answers(stage):
    """What was answered at once has no job to find."""
    job = stage.job("mock:image", "image.generate", prompt="x", size="8x8")
    request, context = stage.prepared(job)
    await stage.answers.invoke(request, context)
    assert await stage.jobs.find(request, 0.0, context) is None


async def test_a_shared_journal_is_a_shared_vendor(stage, tmp_path, monkeypatch):
    """With the journal elsewhere, two projects see the same jobs."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "shared.jsonl"))
    receipt, context = await submitted(stage, latency=90)
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED
    other = replace(context, workspace=tmp_path / "another")
    assert (await stage.jobs.poll(receipt, other)).state is RemoteState.CANCELLED
    assert stage.journal() == []


# --- streams


async def streamed(stage, job):
    """All events of a job's stream."""
    request, context = stage.prepared(job)
    return [event async for event in stage.answers.stream(request, context)], await stage.answers.invoke(
        request, context
    )


async def test_a_streamed_text_is_that_of_the_answer(stage):
    """A few words at a time, the usage, and the very result that a call gives."""
    events, result = await streamed(stage, stage.job("mock:text", "text.generate", prompt="lava"))
    deltas = [event.text for event in events if event.type == "text.delta"]
    assert "".join(deltas) == result.artifacts[0].text
    assert max(len(delta.split()) for delta in deltas) == 3
    assert [event.type for event in events[-2:]] == ["usage", "finished"]
    assert (events[-2].usage, events[-1].result) == (result.usage, result)


async def test_streamed_json_is_valid_as_a_whole(stage):
    """The deltas are the JSON text."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    events, result = await streamed(stage, stage.job("mock:text", "text.generate", prompt="x", output_schema=schema))
    assert json.loads("".join(event.text for event in events[:-2])) == result.artifacts[0].value


async def test_a_stream_of_what_is_no_text(stage):
    """A picture comes with the last event alone."""
    events, _ = await streamed(stage, stage.job("mock:image", "image.generate", prompt="x", size="8x8"))
    assert [event.type for event in events] == ["usage", "finished"]
