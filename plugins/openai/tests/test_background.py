"""Background responses: a receipt, polls, the result from another process, and an abort that says what it reached."""

from __future__ import annotations

from dataclasses import replace

import pytest
from openai_counterpart import stage
from openai_counterpart.text_stage import handler

from callsheet.plugin import (
    AbortOutcome,
    ContentRejectedError,
    ErrorKind,
    FindsJobs,
    JobFailedError,
    JobLostError,
    JobResult,
    Receipt,
    RemoteState,
    Sent,
    StreamFinished,
)
from callsheet_openai.testing import Answer, refusal

BACKGROUND = {"background": True}
WIRE = handler("responses")


async def submitted(client, **attributes):
    """A receipt, and a context of the kind that another process would have."""
    job = stage.job("gpt-5", "", BACKGROUND, **({"prompt": "Think"} | attributes))
    context = stage.context(client, job)
    receipt = await WIRE.submit(WIRE.prepare(job), context)
    assert isinstance(receipt, Receipt)
    return receipt, context


async def test_through_the_engine(server, opened):
    """One request starts it, polls are free, and the answer is collected."""
    server.account.polls = 2
    server.account.answers.append(Answer("Deep thoughts."))
    async with opened() as client:
        result = await client.call("openai:gpt-5", prompt="Think", options=BACKGROUND)
    assert result.artifacts[0].text == "Deep thoughts."
    assert [each.path for each in server.paid] == ["/responses"]
    assert server.paid[0].json["background"] is True


async def test_without_the_option(server, opened):
    """A response that is not in the background is answered at once."""
    async with opened() as client:
        job = stage.job("gpt-5", "", prompt="Think")
        assert isinstance(await WIRE.submit(WIRE.prepare(job), stage.context(client, job)), JobResult)
    assert len(server.journal) == 1


async def test_receipt_alone(server, opened):
    """The receipt is enough to poll and collect, the schema's check included."""
    schema = {"type": "array", "items": {"type": "integer"}}
    server.account.answers.append(Answer('{"value": [1]}'))
    async with opened() as client:
        receipt, context = await submitted(client, output_schema=schema)
        states = [(await WIRE.poll(receipt, context)).state for _ in range(2)]
        assert states == [RemoteState.RUNNING, RemoteState.SUCCEEDED]
        assert (await WIRE.collect(receipt, context)).artifacts[0].value == [1]
    assert receipt.key == context.key
    assert receipt.expects[0].schema == schema


async def test_abort_stops_it(server, opened):
    """Cancelled at the vendor: stopped, and a poll says so."""
    server.account.polls = 9
    async with opened() as client:
        receipt, context = await submitted(client)
        assert await WIRE.abort(receipt, context) is AbortOutcome.STOPPED
        assert (await WIRE.poll(receipt, context)).state is RemoteState.CANCELLED


async def test_abort_too_late(server, opened):
    """What is over cannot be stopped: its result is there to be collected."""
    server.account.polls = 0
    async with opened() as client:
        receipt, context = await submitted(client)
        await WIRE.poll(receipt, context)
        assert await WIRE.abort(receipt, context) is AbortOutcome.ALREADY_FINISHED
        server.fail(refusal(400, "Cannot cancel a completed response."))
        assert await WIRE.abort(receipt, context) is AbortOutcome.ALREADY_FINISHED


async def test_abort_refused_while_it_runs(server, opened):
    """A refused cancel of something that still runs is not called stopped."""
    server.account.polls = 9
    async with opened() as client:
        receipt, context = await submitted(client)
        server.fail(refusal(400, "Cannot cancel this."))
        assert await WIRE.abort(receipt, context) is AbortOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("failing", "error"),
    [(("server_error", "It broke."), JobFailedError), (("bio_policy", "Not this."), ContentRejectedError)],
)
async def test_failed(server, opened, failing, error):
    """A background response that failed is an error with its reason, paid for; nothing is polled for ever."""
    server.account.failure = failing
    async with opened() as client:
        with pytest.raises(error, match=failing[1]) as caught:
            await client.call("openai:gpt-5", prompt="Think", options=BACKGROUND)
    assert caught.value.sent is Sent.FINISHED
    assert len(server.journal) <= 4


async def test_gone(server, opened):
    """A response that the vendor knows no more is lost."""
    async with opened() as client:
        receipt, context = await submitted(client)
        server.account.stored.clear()
        with pytest.raises(JobLostError) as polled:
            await WIRE.poll(receipt, context)
        with pytest.raises(JobLostError) as caught:
            await WIRE.abort(receipt, context)
    assert caught.value.kind is ErrorKind.JOB_LOST
    assert polled.value.sent is caught.value.sent is Sent.UNKNOWN  # it had been accepted


async def test_stream_records_its_id(server, opened):
    """The id of a streamed background response is recorded before its text; one in the foreground costs no write."""
    for options, wanted in ((BACKGROUND, 1), ({}, 0)):
        recorded: list[str] = []

        async def accepted(identity, recorded=recorded):
            recorded.append(identity)

        async with opened() as client:
            job = stage.job("gpt-5", "", options, prompt="Think")
            context = replace(stage.context(client, job), accepted=accepted)
            events = [event async for event in WIRE.stream(WIRE.prepare(job), context)]
        assert isinstance(events[-1], StreamFinished)
        assert len(recorded) == wanted
        assert all(each.startswith("resp") for each in recorded)


def test_capabilities():
    """There is no list of responses at the vendor, so a lost one cannot be found; and it takes no part in batches."""
    assert not isinstance(WIRE, FindsJobs)
    job = stage.job("gpt-5", "", BACKGROUND, prompt="Think")
    assert WIRE.batch_group(WIRE.prepare(job)) == ""
    assert WIRE.batch_group(WIRE.prepare(stage.job("gpt-5", "", prompt="Think"))) != ""
