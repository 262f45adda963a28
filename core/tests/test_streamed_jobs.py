"""Streams of remote jobs: the receipt is durable before they are read on, and the job outlives whatever becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.errors import (
    ConnectionFailedError,
    JobCancelledError,
    JobFailedError,
    MalformedOutputError,
    OverloadedError,
    PluginError,
    ProviderError,
    ProviderTimeoutError,
    Sent,
)
from callsheet.jobs import AbortOutcome, JobResult, RemoteState, RemoteStatus, WarningKind
from callsheet.patience import PATIENCE
from callsheet.pay_once import OnUnknown, StillRunningError
from callsheet.policies import DeadlinePolicy, Policies, RetryPolicy
from callsheet.secrets import Secret
from callsheet.settings import Settings
from callsheet.storage import CallState
from callsheet.streams import ReasoningDelta, StreamFinished, TextDelta

REF, JOB, TEXT = "acme:found", "remote-call", "re: lava #0"
RECEIPT, NEVER = object(), object()
"""Where the script has the job's receipt, and where nothing comes any more."""
DELTAS = [TextDelta("re: "), ReasoningDelta("hm"), TextDelta("lava "), TextDelta("#0")]
CUT = ConnectionFailedError("cut", sent=Sent.UNKNOWN)
RUNNING = RemoteStatus(RemoteState.RUNNING)


@pytest.fixture
def streamed(studio):
    """Open a client whose model streams the given events; exceptions among them are raised, functions awaited."""

    async def open_client(*events, **options):
        client = await studio.open(**options)
        handler = client.runtime.registry.resolve(client.catalog.find(REF), "text.generate").handler

        async def stream(request, context):
            answer = await studio.acme.answer(request, context)
            try:
                for event in events:
                    if isinstance(event, BaseException):
                        raise event
                    if event is NEVER:
                        await studio.acme.never()
                    if event is RECEIPT:
                        yield handler.receipt(request, context, answer.artifacts[0].text)
                    else:
                        yield await event() if callable(event) else event
            finally:
                studio.acme.closed += 1

        handler.stream = stream
        return client

    return open_client


async def only_call(client):
    """The ledger's one call."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    assert len(rows) == 1
    return await client.ledger.get(rows[0][0])


def text_of(events):
    """The text that came."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def read(client, seen=None, **asked):
    """All events of a stream."""
    seen = [] if seen is None else seen
    async for event in client.stream(REF, prompt="lava", **asked):
        seen.append(event)
    return seen


def warnings(events):
    """The kinds of the result's warnings."""
    return [warning.kind for warning in events[-1].result.warnings]


async def test_the_receipt_is_durable_before_the_stream_is_read_on(studio, streamed):
    """The handler is asked for its next event when the ledger has the receipt; at the end the job is polled and collected."""
    found = []

    async def look():
        found.append(await only_call(client))
        return DELTAS[0]

    async with await streamed(RECEIPT, look, *DELTAS[1:]) as client:
        seen = await read(client)
        record = await only_call(client)
    assert [(each.state, each.receipt.job_id) for each in found] == [(CallState.SUBMITTED, JOB)]
    assert seen[:-1] == DELTAS
    assert seen[-1].result.artifacts == (TextArtifact(TEXT),)
    assert warnings(seen) == []
    assert (record.state, record.result.artifacts) == (CallState.SUCCEEDED, (TextArtifact(TEXT),))
    assert (studio.acme.sent, studio.acme.polled, studio.acme.closed) == (["call"], [JOB], 1)


@pytest.mark.parametrize("length", range(len(DELTAS) + 1))
@pytest.mark.parametrize("end", [None, CUT, MalformedOutputError("no"), KeyError("data"), "no event"], ids=repr)
async def test_a_stream_that_is_cut_costs_nothing(studio, streamed, length, end):
    """Wherever and however it ends, the job is waited for, and its reader gets the rest of the text."""
    studio.acme.polls[JOB] = [RUNNING, RUNNING]
    came = DELTAS[:length]
    async with await streamed(RECEIPT, *came, *([] if end is None else [end])) as client:
        seen = await read(client)
        record = await only_call(client)
    assert seen[:length] == came
    assert text_of(seen) == TEXT
    assert isinstance(seen[-1], StreamFinished)
    silent = end is None and text_of(came)
    assert warnings(seen) == ([] if silent else [WarningKind.EMULATED])
    assert (record.state, record.result.warnings) == (CallState.SUCCEEDED, ())
    assert (studio.acme.sent, len(studio.acme.polled), studio.acme.aborted, studio.acme.closed) == (["call"], 3, [], 1)


async def test_why_it_broke_is_told(streamed):
    """The warning has the error's text."""
    async with await streamed(RECEIPT, DELTAS[0], ConnectionFailedError("the line is dead")) as client:
        (warning,) = (await read(client))[-1].result.warnings
    assert warning.message == "the stream broke off, and the rest came whole (the line is dead)"


@pytest.mark.parametrize("end", [None, CUT], ids=repr)
async def test_a_stream_that_contradicts_its_job(streamed, end):
    """The reader hears that he has seen something else; the result is on record all the same."""
    events = [RECEIPT, TextDelta("re: ice"), *([] if end is None else [end])]
    async with await streamed(*events) as client:
        with pytest.raises(MalformedOutputError, match=rf"another text.*callsheet resume {JOB}") as caught:
            await read(client)
        record = await only_call(client)
        again = await client.call(REF, prompt="lava", reuse=True)
    assert (caught.value.partial, caught.value.sent) == ("re: ice", Sent.FINISHED)
    assert (record.state, again.artifacts) == (CallState.SUCCEEDED, (TextArtifact(TEXT),))


async def test_a_result_of_its_own(studio, streamed):
    """A stream that has its StreamFinished needs no poll, and is checked as any other."""
    done = StreamFinished(JobResult((TextArtifact(TEXT),)))
    async with await streamed(RECEIPT, *DELTAS, done) as client:
        seen = await read(client)
        assert (await only_call(client)).state is CallState.SUCCEEDED
    assert (text_of(seen), studio.acme.polled) == (TEXT, [])


async def test_a_job_that_fails(studio, streamed):
    """Its error is what it would have been without a stream, with the text until then."""
    studio.acme.polls[JOB] = [RemoteStatus(RemoteState.FAILED, error="no more lava")]
    async with await streamed(RECEIPT, *DELTAS[:3], CUT) as client:
        with pytest.raises(JobFailedError, match="no more lava") as caught:
            await read(client)
        record = await only_call(client)
    assert caught.value.partial == record.failure.partial == "re: lava "
    assert (record.state, record.failure.sent) == (CallState.FAILED, "finished")


async def test_a_wait_that_is_given_up(studio, streamed):
    """Nobody can ask for the job: it stays `submitted`, and its receipt collects it later."""
    studio.acme.polls[JOB] = [OverloadedError("busy")] * PATIENCE
    async with await streamed(RECEIPT, DELTAS[0], CUT) as client:
        with pytest.raises(StillRunningError, match=JOB):
            await read(client)
        record = await only_call(client)
        assert record.state is CallState.SUBMITTED
        result = await client.collect(record.receipt)
    assert result.artifacts == (TextArtifact(TEXT),)
    assert studio.acme.sent == ["call"]


@pytest.mark.parametrize("outcome", [AbortOutcome.STOPPED, AbortOutcome.UNKNOWN])
@pytest.mark.parametrize("way", ["aclose", "break", "cancel", "client"])
async def test_a_reader_who_leaves_stops_the_job(studio, streamed, way, outcome):
    """However he leaves, the provider is told once; a job that is not stopped stays `submitted`, and is never unknown."""
    halted = asyncio.Event()
    studio.acme.abort_outcome = outcome

    async def halt():
        halted.set()
        await asyncio.Event().wait()

    client = await streamed(RECEIPT, DELTAS[0], halt if way == "cancel" else DELTAS[2], DELTAS[3])
    if way == "cancel":
        reader = asyncio.ensure_future(read(client))
        await halted.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    elif way == "break":
        async for _event in client.stream(REF, prompt="lava"):
            break
    else:
        stream = client.stream(REF, prompt="lava")
        await anext(stream)
        if way == "aclose":
            await stream.aclose()
    await client.aclose()
    assert (studio.acme.aborted, studio.acme.closed, studio.acme.polled) == ([JOB], 1, [])
    async with await studio.open() as client:
        record = await only_call(client)
    if outcome is AbortOutcome.STOPPED:
        assert (record.state, record.failure.kind) == (CallState.FAILED, "cancelled")
    else:
        assert (record.state, record.receipt.job_id) == (CallState.SUBMITTED, JOB)


async def test_a_reader_who_leaves_while_the_job_is_waited_for(studio, streamed):
    """After a cut the wait is as any other: cancelled, it stops the job once."""
    asked = asyncio.Event()

    async def hang():
        asked.set()
        await asyncio.Event().wait()

    studio.acme.polls[JOB] = [hang]
    async with await streamed(RECEIPT, DELTAS[0], CUT) as client:
        reader = asyncio.ensure_future(read(client))
        await asked.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (await only_call(client)).state is CallState.FAILED
    assert (studio.acme.aborted, studio.acme.closed) == ([JOB], 1)


async def test_a_twin_goes_on_with_the_job(studio, streamed):
    """Who waits for the same call takes the job over when its reader leaves: it is not stopped."""
    begun = asyncio.Event()

    async def halt():
        begun.set()
        await asyncio.Event().wait()

    async with await streamed(RECEIPT, DELTAS[0], halt) as client:
        reader = asyncio.ensure_future(read(client, reuse=True))
        await begun.wait()
        twin = asyncio.ensure_future(client.call(REF, prompt="lava", reuse=True))
        for _ in range(50):
            await asyncio.sleep(0)
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
        assert (await twin).artifacts == (TextArtifact(TEXT),)
    assert (studio.acme.sent, studio.acme.aborted) == (["call"], [])


async def test_a_create_request_that_is_not_answered_is_looked_up(studio, streamed):
    """The provider has the job: it is waited for, and not created again."""
    studio.acme.script["call"] = [CUT]
    studio.acme.found = True
    async with await streamed() as client:
        seen = await read(client, on_unknown=OnUnknown.RETRY)
        assert (await only_call(client)).state is CallState.SUCCEEDED
    assert (text_of(seen), warnings(seen)) == ("found", [WarningKind.EMULATED])
    assert (studio.acme.sent, studio.acme.polled) == (["call"], [JOB])


@pytest.mark.parametrize("found", [None, OverloadedError("busy")], ids=repr)
async def test_a_create_request_of_which_nobody_knows(studio, streamed, found):
    """The provider has no such job, or cannot say: unknown, and not sent again by itself."""
    studio.acme.script["call"] = [CUT]
    studio.acme.found = found
    async with await streamed() as client:
        with pytest.raises(ConnectionFailedError):
            await read(client)
        assert (await only_call(client)).state is CallState.UNKNOWN
    assert studio.acme.sent == ["call"]


@pytest.mark.parametrize("way", ["cancel", "client"])
async def test_a_reader_who_leaves_before_the_receipt(studio, streamed, way):
    """It stays `sending`, and who asks next looks the job up."""
    asked = asyncio.Event()

    async def hang(request, context):
        asked.set()
        await asyncio.Event().wait()

    studio.acme.script["call"] = [hang]
    studio.acme.found = True
    async with await streamed(RECEIPT) as client:
        reader = asyncio.ensure_future(read(client, reuse=True))
        await asked.wait()
        if way == "client":
            await client.aclose()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    async with await streamed(RECEIPT) as client:
        assert (await only_call(client)).state is CallState.SENDING
        assert text_of(await read(client, reuse=True)) == "found"
    assert studio.acme.sent == ["call"]


@pytest.mark.parametrize("wrong", ["key", "job_id", "twice"])
async def test_a_receipt_that_is_none_names_the_plugin(studio, streamed, wrong):
    """A foreign key, no id, a second receipt: an error of the plugin, and the job is left on record."""
    async with await streamed(RECEIPT, *([RECEIPT] if wrong == "twice" else []), *DELTAS) as client:
        handler = client.runtime.registry.resolve(client.catalog.find(REF), "text.generate").handler
        made = handler.receipt
        if wrong != "twice":
            handler.receipt = lambda *given: replace(made(*given), **{wrong: ""})
        with pytest.raises(
            PluginError, match=r"acme: the receipt lacks|acme: the stream of acme:found gave two receipts"
        ):
            await read(client)
        assert (await only_call(client)).state is CallState.SUBMITTED
    assert (studio.acme.polled, studio.acme.aborted, studio.acme.closed) == ([], [], 1)


async def test_without_a_ledger(studio, streamed):
    """The receipt is kept in memory: a job that is left is stopped, and one that is cut is waited for."""
    async with await streamed(RECEIPT, *DELTAS[:1], CUT, durable=False) as client:
        assert text_of(await read(client)) == TEXT
    async with await streamed(RECEIPT, *DELTAS, durable=False) as client:
        stream = client.stream(REF, prompt="lava")
        await anext(stream)
        await stream.aclose()
    assert studio.acme.aborted == [JOB]


async def test_secrets_in_the_reason_are_masked(streamed):
    """Why a stream broke goes through the redactor."""

    async with await streamed(RECEIPT, ProviderError("the key is hunter2-hunter2", sent=Sent.UNKNOWN)) as client:
        client.runtime.services.redactor.add(Secret("hunter2-hunter2"))
        (warning,) = (await read(client))[-1].result.warnings
    assert "hunter2" not in warning.message


@pytest.mark.parametrize("events", [[RECEIPT, DELTAS[0], NEVER], [RECEIPT, DELTAS[0]]], ids=["read", "over"])
@pytest.mark.parametrize("outcome", [AbortOutcome.STOPPED, AbortOutcome.CLIENT_SIDE_ONLY])
async def test_a_late_job_is_aborted(studio, streamed, events, outcome):
    """While its stream is read, and while its end is waited for after that; who cannot stop it can ask for it later."""
    stopped = outcome is AbortOutcome.STOPPED
    error, state = (ProviderTimeoutError, CallState.FAILED) if stopped else (StillRunningError, CallState.SUBMITTED)
    studio.acme.polls[JOB] = [studio.acme.never]
    studio.acme.abort_outcome = outcome
    policies = Policies(deadlines=DeadlinePolicy(job=studio.acme.soon), retries={"": RetryPolicy(attempts=1)})
    seen = []
    async with await streamed(*events, settings=Settings(policies=policies)) as client:
        with pytest.raises(error, match="not done before its deadline") as caught:
            await read(client, seen)
        record = await only_call(client)
    assert (seen, caught.value.partial) == ([DELTAS[0]], "re: ")
    assert (record.state, record.receipt.job_id) == (state, JOB)
    assert (studio.acme.sent, studio.acme.aborted, studio.acme.closed) == (["call"], [JOB], 1)


@pytest.mark.parametrize(
    "events",
    [[RECEIPT, NEVER], [RECEIPT, DELTAS[0], NEVER], [RECEIPT, *DELTAS]],
    ids=["silent", "read", "over"],
)
async def test_a_late_job_that_had_finished_is_collected(studio, streamed, events):
    """It is paid for: its reader gets the rest of it, and no other model is asked."""
    studio.acme.polls[JOB] = [studio.acme.never] if events[-1] is DELTAS[-1] else []
    studio.acme.abort_outcome = AbortOutcome.ALREADY_FINISHED
    policies = Policies(deadlines=DeadlinePolicy(job=2 * studio.acme.soon), retries={"": RetryPolicy(attempts=1)})
    async with await streamed(*events, settings=Settings(policies=policies)) as client:
        seen = await read(client, fallbacks=["acme:text"])
        record = await only_call(client)
    assert text_of(seen) == TEXT
    assert (record.state, record.result.artifacts) == (CallState.SUCCEEDED, (TextArtifact(TEXT),))
    assert (studio.acme.sent, studio.acme.aborted, studio.acme.closed) == (["call"], [JOB], 1)


async def test_a_streamed_job_that_cannot_be_put_on_record_is_stopped(studio, streamed, full_disk):
    """It is neither read on nor polled, and the reader hears why."""
    async with await streamed(RECEIPT, *DELTAS) as client:
        full_disk(client, CallState.SUBMITTED)
        with pytest.raises(JobCancelledError, match="remote-call, which could not be put on record"):
            await read(client)
        assert (await only_call(client)).state is CallState.FAILED
    assert (studio.acme.aborted, studio.acme.polled, studio.acme.closed) == ([JOB], [], 1)
    assert studio.acme.sent == ["call"]


async def test_a_streamed_job_off_the_record_is_stopped_although_that_is_cancelled(
    studio, streamed, full_disk, first_abort_hangs
):
    """What was interrupted is begun again."""
    async with await streamed(RECEIPT, *DELTAS) as client:
        full_disk(client, CallState.SUBMITTED)
        task = asyncio.create_task(read(client))
        await first_abort_hangs.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await only_call(client)).state is CallState.FAILED
    assert (first_abort_hangs.told, studio.acme.closed) == ([JOB, JOB], 1)
