"""Adoption: calls in every state in which a process can die, awaited, looked up, or stopped from another one."""

from __future__ import annotations

import asyncio
import json

import pytest

from callsheet.adoption import adopt, collect_call, stop
from callsheet.discovery import Discovery
from callsheet.errors import (
    AuthenticationError,
    CallsheetError,
    ConfigError,
    JobCancelledError,
    JobFailedError,
    JobLostError,
    MalformedOutputError,
    OverloadedError,
    Sent,
)
from callsheet.jobs import AbortOutcome, JobResult, RemoteState, RemoteStatus
from callsheet.plugin import TextArtifact
from callsheet.plugin_host import PluginHost
from callsheet.sheet import CallSheet
from callsheet.storage import CallState
from callsheet.verification import verify_run

SHEET = """
[producers.a]
operation = "text.generate"
models = ["acme:job"]
prompt = "x"
"""


class Dead:
    """A process that was killed at a point of a call; its client stays around, for it cannot say good-bye."""

    def __init__(self, client, task):
        self.client, self.task = client, task

    async def bury(self):
        """Let go of what a dead process would not hold."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.aclose()


@pytest.fixture
async def killed(studio):
    """Makes a call in a process that dies while it is `sending` or `submitted`."""
    dead = []

    async def kill(ref, state="submitted", prompt="lava", run=False):
        reached = asyncio.Event()

        async def hang(*_asked):
            reached.set()
            await asyncio.Event().wait()

        job = "a" if run else "call"
        if state == "sending":
            studio.acme.script[job] = [hang]
        else:
            studio.acme.polls[f"remote-{job}"] = [hang]
        client = await studio.open()
        work = client.run(CallSheet.load(studio.sheet(SHEET))) if run else client.call(ref, prompt=prompt)
        task = asyncio.create_task(work)
        await reached.wait()
        call = (await client.ledger.open_calls())[-1]
        client.ledger.owner.close()
        dead.append(Dead(client, task))
        return call

    yield kill
    for each in dead:
        await each.bury()


async def open_calls(client):
    """What has no end yet."""
    return await client.ledger.open_calls()


async def test_a_submitted_job_is_collected(studio, killed):
    """Once, with its cost, and under its own key; nothing is sent."""
    call = await killed("acme:job")
    async with await studio.open() as client:
        told = []
        [adopted] = await adopt(client.runtime, [call], told.append)
        record = await client.ledger.get(call.key)
        [attempt] = await client.ledger.attempts(call.key)
        assert await open_calls(client) == []
    assert (adopted.outcome, adopted.settled, adopted.error) == ("collected", True, None)
    assert adopted.result.artifacts[0].text == "re: lava #0"
    assert told == [adopted]
    assert (record.state, attempt.outcome, attempt.cost is None) == (CallState.SUCCEEDED, "succeeded", False)
    assert studio.acme.sent == ["call"]


async def test_a_job_that_failed_there(studio, killed):
    """Its error is the provider's, and it is recorded."""
    call = await killed("acme:job")
    studio.acme.polls["remote-call"] = [RemoteStatus(RemoteState.FAILED, error="boom")]
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
        with pytest.raises(JobFailedError, match="boom"):
            await collect_call(client.runtime, await client.ledger.get(call.key))
    assert (adopted.outcome, adopted.call.state) == ("failed", CallState.FAILED)
    assert isinstance(adopted.error, JobFailedError)
    assert studio.acme.polled == ["remote-call"] * 2


@pytest.mark.parametrize("error", [OverloadedError("busy"), AuthenticationError("no"), TypeError("a bug")])
async def test_a_job_that_nobody_could_ask_for_stays(studio, killed, error):
    """A provider that is away, a wrong key, a plugin's bug: the receipt is kept, and the next one collects."""
    call = await killed("acme:job")
    studio.acme.polls["remote-call"] = [error] * 12
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
        studio.acme.polls.clear()
        [again] = await adopt(client.runtime, await open_calls(client))
    assert (adopted.outcome, adopted.settled) == ("pending", False)
    assert str(error) in str(adopted.error)
    assert again.outcome == "collected"


async def test_one_broken_job_does_not_keep_the_others(studio, killed):
    """Each is on its own."""
    first = await killed("acme:job", prompt="lava")
    second = await killed("acme:found", "sending", prompt="ash")
    studio.acme.polls["remote-call"] = [TypeError("a bug")]
    studio.acme.found = JobResult((TextArtifact("here"),))
    async with await studio.open() as client:
        ended = await adopt(client.runtime, [first, second])
    assert [each.outcome for each in ended] == ["pending", "collected"]


async def test_a_job_of_a_living_process_is_held(studio):
    """Nothing of it is touched, whatever is asked."""
    polled = asyncio.Event()

    async def hang():
        polled.set()
        await asyncio.Event().wait()

    studio.acme.polls["remote-call"] = [hang]
    async with await studio.open() as owner, await studio.open() as other:
        task = asyncio.create_task(owner.call("acme:job", prompt="lava"))
        await polled.wait()
        calls = await open_calls(other)
        [adopted] = await adopt(other.runtime, calls)
        [stopped] = await stop(other.runtime, calls)
        assert studio.acme.aborted == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (adopted.outcome, stopped.outcome) == ("held", "held")
    assert "another process" in str(adopted.error)


async def test_a_request_whose_receipt_was_lost_is_found(studio, killed):
    """The provider knows it: it is collected, and not sent again."""
    call = await killed("acme:found", "sending")
    studio.acme.found = True
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
    assert (adopted.outcome, adopted.call.receipt.job_id) == ("collected", "remote-call")
    assert adopted.result.artifacts[0].text == "found"
    assert studio.acme.sent == ["call"]


async def test_a_request_whose_result_is_found(studio, killed, monkeypatch):
    """A provider may give the result itself."""
    call = await killed("acme:found", "sending")

    async def find(request, since, context):
        return JobResult((TextArtifact("here"),))

    async with await studio.open() as client:
        bound = client.runtime.registry.resolve(client.catalog.find("acme:found"), "text.generate", "live")
        monkeypatch.setattr(type(bound.handler), "find", staticmethod(find))
        [adopted] = await adopt(client.runtime, [call])
    assert (adopted.outcome, adopted.result.artifacts[0].text) == ("collected", "here")


async def test_a_request_that_was_surely_not_accepted(studio, killed):
    """It has ended, and the same call sends it."""
    call = await killed("acme:found", "sending")
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
        assert (adopted.outcome, adopted.settled) == ("not_sent", True)
        result = await client.call("acme:found", prompt="lava", reuse=True)
    assert result.artifacts[0].text == "re: lava #0"
    assert studio.acme.sent == ["call"] * 2


@pytest.mark.parametrize(("ref", "found"), [("acme:found", OverloadedError("busy")), ("acme:job", None)])
async def test_a_request_that_cannot_be_looked_up(studio, killed, ref, found):
    """It stays as it was, and what to do stands in the message."""
    call = await killed(ref, "sending")
    studio.acme.found = found
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
        [stopped] = await stop(client.runtime, [call])
        [left] = await open_calls(client)
    assert (adopted.outcome, stopped.outcome) == ("unknown", "unknown")
    assert "--reuse" in str(adopted.error)
    assert left.state is CallState.SENDING
    assert studio.acme.aborted == []


async def test_a_masked_request_is_not_looked_up(studio, killed):
    """The ledger does not have what was sent, so no equal job can be told from another."""
    call = await killed("acme:found", "sending", prompt="my password=hunter22x")
    studio.acme.found = None
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
    assert "hunter22x" not in json.dumps(dict(call.request))
    assert (adopted.outcome, "cannot be asked" in str(adopted.error)) == ("unknown", True)


async def test_a_claimed_call_was_not_sent(studio):
    """Its row is given back."""
    async with await studio.open() as dead, await studio.open() as client:
        about = {"ref": "acme:job", "operation": "text.generate", "job": "call", "run": ""}
        claim = await dead.ledger.claim("k" * 64, request_digest="d", request={}, **about)
        dead.ledger.owner.close()
        [adopted] = await adopt(client.runtime, [claim.record])
        assert (adopted.outcome, await client.ledger.get("k" * 64)) == ("not_sent", None)
        with pytest.raises(CallsheetError, match="never sent"):
            await collect_call(client.runtime, claim.record)


@pytest.fixture
async def killed_batch(studio):
    """A process that died while it waited for its batch of two calls."""
    polled = asyncio.Event()

    async def hang():
        polled.set()
        await asyncio.Event().wait()

    studio.acme.polls["batch-1"] = [hang]
    client = await studio.open()
    task = asyncio.create_task(client.batch("acme:batch", [{"prompt": "one"}, {"prompt": "two"}]))
    await polled.wait()
    client.ledger.owner.close()
    yield
    await Dead(client, task).bury()


@pytest.fixture
async def killed_sending(studio):
    """A process that died while its batch of two calls was on its way."""
    sending = asyncio.Event()

    async def hang():
        sending.set()
        await asyncio.Event().wait()

    studio.acme.submits = [hang]
    client = await studio.open()
    task = asyncio.create_task(client.batch("acme:batch-found", [{"prompt": "one"}, {"prompt": "two"}]))
    await sending.wait()
    client.ledger.owner.close()
    yield
    await Dead(client, task).bury()


@pytest.mark.parametrize(
    ("found", "outcome", "state"),
    [
        (True, "collected", CallState.SUCCEEDED),
        (None, "not_sent", CallState.FAILED),
        (OverloadedError("busy"), "unknown", CallState.SENDING),
    ],
)
@pytest.mark.usefixtures("killed_sending")
async def test_a_batch_without_its_receipt_is_looked_for(studio, found, outcome, state):
    """Once for all of its calls, by the key that was written before it left; nothing is sent."""
    studio.acme.found = found
    async with await studio.open() as client:
        ended = await adopt(client.runtime, await open_calls(client))
        left = await open_calls(client)
    assert [(each.outcome, each.call.state) for each in ended] == [(outcome, state)] * 2
    assert len(left) == 2 * (state is CallState.SENDING)
    assert (len(studio.acme.looked), len(studio.acme.batches)) == (1, 1)


@pytest.mark.usefixtures("killed_sending")
async def test_a_batch_without_its_receipt_is_stopped(studio):
    """It is found first, and the provider is told once."""
    studio.acme.found = True
    async with await studio.open() as client:
        stopped = await stop(client.runtime, await open_calls(client))
        assert await open_calls(client) == []
    assert [each.outcome for each in stopped] == ["stopped"] * 2
    assert studio.acme.aborted == ["batch-1"]
    assert len(studio.acme.looked) == 1


@pytest.mark.usefixtures("killed_batch")
async def test_the_calls_of_a_batch_are_collected_together(studio):
    """One receipt, asked for once; each call has its own end."""
    studio.acme.ends["two"] = [JobFailedError("boom")]
    async with await studio.open() as client:
        ended = await adopt(client.runtime, await open_calls(client))
        assert await open_calls(client) == []
    assert sorted(each.outcome for each in ended) == ["collected", "failed"]
    assert studio.acme.polled == ["batch-1"] * 2
    assert len(studio.acme.batches) == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "state", "sent"),
    [
        (RemoteStatus(RemoteState.FAILED, error="boom"), "failed", CallState.FAILED, "finished"),
        (RemoteStatus(RemoteState.CANCELLED), "failed", CallState.FAILED, "rejected"),
        (JobLostError("gone", sent=Sent.UNKNOWN), "unknown", CallState.UNKNOWN, "unknown"),
    ],
)
@pytest.mark.usefixtures("killed_batch")
async def test_a_batch_that_ended_as_a_whole_is_not_asked_for_again(studio, answer, outcome, state, sent):
    """Each of its calls has that end on record: nothing of it is still with the provider."""
    studio.acme.polls["batch-1"] = [answer]
    async with await studio.open() as client:
        ended = await adopt(client.runtime, await open_calls(client))
        assert [each for each in await open_calls(client) if each.state is CallState.SUBMITTED] == []
    assert [(each.outcome, each.call.state) for each in ended] == [(outcome, state)] * 2
    assert [each.call.failure.sent for each in ended] == [sent] * 2
    assert studio.acme.collected == []


@pytest.mark.parametrize(
    "error", [MalformedOutputError("odd"), AuthenticationError("no"), JobCancelledError("over"), TypeError("a bug")]
)
@pytest.mark.usefixtures("killed_batch")
async def test_a_batch_whose_results_cannot_be_had_now_stays(studio, error):
    """They are paid for: the next one collects them."""
    studio.acme.collects = [error]
    async with await studio.open() as client:
        first = await adopt(client.runtime, await open_calls(client))
        again = await adopt(client.runtime, await open_calls(client))
    assert [each.outcome for each in first] == ["pending"] * 2
    assert [each.outcome for each in again] == ["collected"] * 2


async def test_stopping_stops(studio, killed):
    """The provider is told, and nothing is left."""
    call = await killed("acme:job")
    async with await studio.open() as client:
        told = []
        [stopped] = await stop(client.runtime, [call], told.append)
        assert await open_calls(client) == []
    assert (stopped.outcome, stopped.settled, told) == ("stopped", True, [stopped])
    assert studio.acme.aborted == ["remote-call"]


@pytest.mark.usefixtures("killed_batch")
async def test_stopping_a_batch_that_was_over_keeps_how_each_call_ended(studio):
    """All of them come in with the first one."""
    studio.acme.abort_outcome = AbortOutcome.ALREADY_FINISHED
    studio.acme.ends["one"] = [JobFailedError("boom", sent=Sent.FINISHED)]
    async with await studio.open() as client:
        calls = sorted(await open_calls(client), key=lambda call: call.request["body"]["prompt"], reverse=True)
        stopped = await stop(client.runtime, calls)
        records = await client.ledger.get_many([each.call.key for each in stopped])
    assert [each.outcome for each in stopped] == ["collected", "failed"]
    assert [records[each.call.key].state for each in stopped] == [CallState.SUCCEEDED, CallState.FAILED]
    assert studio.acme.aborted == ["batch-1"]


async def test_stopping_what_was_lost_finds_it_first(studio, killed):
    """A job without a receipt here runs there all the same."""
    call = await killed("acme:found", "sending")
    studio.acme.found = True
    async with await studio.open() as client:
        [stopped] = await stop(client.runtime, [call])
    assert (stopped.outcome, studio.acme.aborted) == ("stopped", ["remote-call"])


async def test_what_had_finished_is_collected_instead(studio, killed):
    """It is paid for."""
    call = await killed("acme:job")
    studio.acme.abort_outcome = AbortOutcome.ALREADY_FINISHED
    async with await studio.open() as client:
        [stopped] = await stop(client.runtime, [call])
    assert (stopped.outcome, stopped.result.artifacts[0].text) == ("collected", "re: lava #0")


@pytest.mark.parametrize("outcome", [AbortOutcome.UNKNOWN, AbortOutcome.CLIENT_SIDE_ONLY])
async def test_what_could_not_be_stopped_stays(studio, killed, outcome):
    """It is said so, and the receipt is kept."""
    call = await killed("acme:job")
    studio.acme.abort_outcome = outcome
    async with await studio.open() as client:
        [stopped] = await stop(client.runtime, [call])
        [left] = await open_calls(client)
    assert (stopped.outcome, stopped.settled, left.state) == (outcome.value, False, CallState.SUBMITTED)


async def test_a_runs_job_stays_in_its_run(studio, killed):
    """Its cost is the run's, once; the resumed run finds it, sends nothing, and verifies."""
    call = await killed("", run=True)
    async with await studio.open() as client:
        [adopted] = await adopt(client.runtime, [call])
        assert (adopted.outcome, adopted.call.run) == ("collected", call.run)
        collected = [e for e in await client.ledger.events(call.run) if e.type == "job.collected"]
        run = await client.resume(call.run)
        verified = await verify_run(client.runtime.services, await client.ledger.run(call.run))
    assert [event.body["cost"] for event in collected] == [run.manifest["cost"]]
    assert (run.status, verified.problems) == ("succeeded", ())
    assert studio.acme.sent == ["a"]


@pytest.mark.parametrize("ref", ["acme:job", "acme:batch"])
@pytest.mark.parametrize("failing", [True, False])
async def test_an_ended_runs_manifest_is_mended_by_a_receipt(studio, ref, failing):
    """Whichever way its job ends, alone or in a batch."""
    job_id = "remote-a" if ref == "acme:job" else "batch-1"
    studio.acme.polls[job_id] = [OverloadedError("busy")] * 12
    sheet = SHEET.replace("acme:job", ref) + 'dispatch = "batch"\n' * (ref == "acme:batch")
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(studio.sheet(sheet)))
        assert run.status == "failed"
        if failing:
            studio.acme.polls[job_id] = [RemoteStatus(RemoteState.FAILED, error="boom")]
        [call] = await open_calls(client)
        [collected] = await asyncio.gather(client.collect(call.receipt), return_exceptions=True)
        record = await client.ledger.run(run.id)
        verified = await verify_run(client.runtime.services, record)
    assert isinstance(collected, JobFailedError if failing else JobResult)
    assert verified.problems == ()


async def test_an_ended_runs_manifest_is_mended(studio):
    """A run that gave up waiting has ended; what is adopted later stands in its manifest's cost and order."""
    studio.acme.polls["remote-a"] = [OverloadedError("busy")] * 12
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(studio.sheet(SHEET)))
        assert run.status == "failed"
        [adopted] = await adopt(client.runtime, await open_calls(client))
        record = await client.ledger.run(run.id)
        verified = await verify_run(client.runtime.services, record)
        again = await client.resume(run.id)
    assert (adopted.outcome, verified.problems) == ("collected", ())
    assert again.status == "succeeded"
    assert studio.acme.sent == ["a"]


async def test_a_call_that_ended_gives_its_result_again(studio):
    """From the ledger; nobody is asked."""
    async with await studio.open() as client:
        first = await client.call("acme:job", prompt="lava")
        [call] = await client.ledger.calls_of_job("remote-call")
        again = await collect_call(client.runtime, call)
    assert again.artifacts == first.artifacts
    assert studio.acme.polled == ["remote-call"]


async def test_a_call_whose_model_nobody_handles_any_more(studio, killed):
    """It names what is missing, and stays."""
    call = await killed("acme:job")
    async with await studio.open(host=PluginHost(Discovery())) as client:
        [adopted] = await adopt(client.runtime, [call])
        [stopped] = await stop(client.runtime, [call])
    assert (adopted.outcome, stopped.outcome) == ("pending", "unknown")
    assert isinstance(adopted.error, ConfigError)
    assert "acme" in str(adopted.error)
