"""Pay once: every way a call can go, and what the ledger knows of it afterwards."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.discovery import Discovery
from callsheet.errors import (
    CallsheetError,
    ConnectionFailedError,
    InvalidRequestError,
    JobFailedError,
    JobLostError,
    MalformedOutputError,
    OverloadedError,
    PluginError,
    ProviderError,
    Sent,
)
from callsheet.handler import HandlerSpec
from callsheet.jobs import AbortOutcome, JobResult, ProviderRequest, RemoteState, RemoteStatus
from callsheet.models import Mode
from callsheet.pay_once import OnUnknown, StillRunningError, UnknownOutcomeError
from callsheet.plugin_host import PluginHost
from callsheet.runs import RunRequest
from callsheet.sheet import CallSheet
from callsheet.storage import CallState


@pytest.fixture(autouse=True)
def _no_last_word(monkeypatch):
    """What never answers is not waited for after a cancellation."""
    monkeypatch.setattr("callsheet.delivery.LAST_WORD_SECONDS", 0.0)


async def only_call(client):
    """The ledger's one call."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    assert len(rows) == 1
    return await client.ledger.get(rows[0][0])


async def test_a_result_is_recorded_and_reused(studio):
    """The second equal call with reuse sends nothing."""
    async with await studio.open() as client:
        first = await client.call("acme:text", prompt="lava", reuse=True)
        again = await client.call("acme:text", prompt="lava", reuse=True)
        record = await only_call(client)
    assert first == again
    assert studio.acme.sent == ["call"]
    assert record.state is CallState.SUCCEEDED
    assert record.request["body"] == {"prompt": "lava"}


async def test_without_reuse_each_call_is_a_fresh_sample(studio):
    """A plain call never gives yesterday's answer."""
    async with await studio.open() as client:
        texts = [(await client.call("acme:text", prompt="lava")).artifacts[0].text for _ in range(3)]
    assert texts == ["re: lava #0", "re: lava #1", "re: lava #2"]


async def test_the_intent_is_durable_before_the_request_leaves(studio):
    """While the handler runs, the ledger says `sending`."""
    seen = []
    async with await studio.open() as client:

        async def look(request, context):
            seen.append((await client.ledger.get(context.key)).state)
            return JobResult((TextArtifact("x"),))

        studio.acme.script["call"] = [look]
        await client.call("acme:text", prompt="lava")
    assert seen == [CallState.SENDING]


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("busy"),
        InvalidRequestError("no"),
        JobFailedError("broke"),
        ConnectionFailedError("refused", sent=Sent.NOT_SENT),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_sure_failure_is_recorded_and_may_be_tried_again(studio, error):
    """not_sent, rejected and finished leave `failed`; the same call later is a new attempt."""
    studio.acme.script["call"] = [error]
    async with await studio.open() as client:
        with pytest.raises(type(error)):
            await client.call("acme:text", prompt="lava", reuse=True)
        record = await only_call(client)
        assert (record.state, record.failure.kind) == (CallState.FAILED, error.kind)
        await client.call("acme:text", prompt="lava", reuse=True)
        attempts = await client.ledger.attempts(record.key)
    assert [a.outcome for a in attempts] == ["failed", "succeeded"]


async def test_an_unknown_outcome_of_text_is_tried_once_more(studio):
    """Text is cheap: one lost answer is asked for again, and the ledger says so."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    async with await studio.open() as client:
        result = await client.call("acme:text", prompt="lava")
        attempts = await client.ledger.attempts((await only_call(client)).key)
    assert result.artifacts[0].text == "re: lava #0"
    assert [a.outcome for a in attempts] == ["unknown", "succeeded"]
    assert [event.type for event in studio.acme.events].count("job.retried_unknown") == 1


async def test_a_second_unknown_outcome_is_for_the_user(studio):
    """Twice lost is not tried a third time."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)] * 2
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError, match="call again"):
            await client.call("acme:text", prompt="lava")
        assert (await only_call(client)).state is CallState.UNKNOWN
    assert studio.acme.sent == ["call", "call"]


async def test_an_unknown_outcome_of_a_picture_is_for_the_user_at_once(studio):
    """What costs more is never sent twice by itself, only when the user says so."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:picture", prompt="lava", reuse=True)
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:picture", prompt="lava", reuse=True)
        assert studio.acme.sent == ["call"]
        await client.call("acme:picture", prompt="lava", reuse=True, on_unknown=OnUnknown.RETRY)
        assert (await only_call(client)).state is CallState.SUCCEEDED
    assert studio.acme.sent == ["call", "call"]


async def test_on_unknown_fail_holds_for_text_too(studio):
    """The user's word goes before the default."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:text", prompt="lava", on_unknown=OnUnknown.FAIL)
    assert studio.acme.sent == ["call"]


async def test_a_plugin_that_breaks_in_the_middle_leaves_an_unknown_outcome(studio):
    """A KeyError after the request left says nothing about the provider."""
    studio.acme.script["call"] = [KeyError("oops")]
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:picture", prompt="lava")
        assert (await only_call(client)).state is CallState.UNKNOWN


class BreakingSimulator:
    """Stands in for everybody, and breaks."""

    def prepare(self, job):
        """As it stands."""
        return ProviderRequest(job.ref, job.operation, {"prompt": job.inputs.prompt}, ())

    async def invoke(self, request, context):
        """Nothing comes of it."""
        raise KeyError("oops")


@pytest.mark.parametrize("sheet", [False, True], ids=["call", "sheet"])
async def test_a_simulation_that_breaks_sends_nobody_to_the_provider(studio, fakes, sheet):
    """Nothing was sent, so there is no list of jobs to look at, and nothing that may be paid for; how to go on is said."""
    spec = HandlerSpec("*", BreakingSimulator, simulates=True)
    pretend = ("pretend", fakes.PluginOf(spec), fakes.manifest("pretend", top={"simulates": True}))
    host = PluginHost(Discovery(), extra=[*studio.extra(), pretend])
    async with await studio.open(host=host) as client:
        if sheet:
            text = '[producers.a]\noperation = "image.generate"\nmodels = ["acme:picture"]\nprompt = "x"\n'
            run = await client.run(CallSheet.load(studio.sheet(text)), RunRequest(mode=Mode.MOCK))
            run = await client.resume(run.id)
            told, again = str(run.outcomes["a"].error), f"`callsheet resume {run.id} --on-unknown retry`"
        else:
            wish = {"mode": "mock", "prompt": "x", "reuse": True}
            with pytest.raises(UnknownOutcomeError, match="oops"):
                await client.call("acme:picture", **wish)
            with pytest.raises(UnknownOutcomeError) as caught:
                await client.call("acme:picture", **wish)
            told, again = str(caught.value), "call again without reuse"
    assert "acme:picture is simulated, and nobody knows how that ended" in told
    assert told.endswith(f". No provider was asked and nothing is paid for; once more: {again}")
    assert studio.acme.sent == []


async def test_a_result_that_is_not_as_promised_is_refused(studio):
    """An empty text was paid for, but it is no result."""
    studio.acme.script["call"] = [JobResult((TextArtifact("  "),))]
    async with await studio.open() as client:
        with pytest.raises(MalformedOutputError, match="empty"):
            await client.call("acme:text", prompt="lava")
        record = await only_call(client)
    assert (record.state, record.failure.sent) == (CallState.FAILED, "finished")


@pytest.mark.parametrize("broken", [InvalidRequestError, KeyError], ids=["vendor", "plugin"])
async def test_a_secret_reaches_no_sink(studio, caplog, broken):
    """Not the ledger, the events, the log, the raised error, or the traceback with all that it came from."""
    import traceback

    from callsheet.secrets import Secret

    async def leak(request, context):
        context.log.error("call.leaked", header="Bearer sk-very-secret-0123456789")
        try:
            raise OSError("https://api.example/?key=sk-very-secret-0123456789")
        except OSError as cause:
            raise broken("refused sk-very-secret-0123456789") from cause

    studio.acme.script["call"] = [leak]
    async with await studio.open() as client:
        client.runtime.services.redactor.add(Secret("sk-very-secret-0123456789"))
        with pytest.raises(ProviderError) as caught:
            await client.call("acme:picture", prompt="lava")
        record = await only_call(client)
    trace = "".join(traceback.format_exception(caught.value))
    told = [str(record), str(studio.acme.events), repr(caught.value), trace, *(str(vars(r)) for r in caplog.records)]
    assert "call.leaked" in caplog.text
    # the traceback quotes this test's own source lines, which have the word as a literal
    assert not [text for text in told[:3] + told[4:] if "very-secret" in text]
    assert "very-secret" not in "".join(line for line in trace.splitlines() if not line.startswith("    "))


async def test_twins_in_flight_share_one_request(studio):
    """Two equal calls at once are one request and two answers."""
    gate = asyncio.Event()

    async def wait(request, context):
        await gate.wait()
        return JobResult((TextArtifact("shared"),))

    studio.acme.script["call"] = [wait]
    async with await studio.open() as client:
        twins = [asyncio.create_task(client.call("acme:text", prompt="lava", reuse=True)) for _ in range(5)]
        while not studio.acme.sent:
            await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*twins)
    assert {r.artifacts[0].text for r in results} == {"shared"}
    assert studio.acme.sent == ["call"]


async def test_a_twin_takes_over_when_the_first_is_cancelled(studio):
    """Cancelling one of two callers does not cancel the other."""
    started = asyncio.Event()

    async def hang(request, context):
        started.set()
        await asyncio.Event().wait()

    studio.acme.script["call"] = [hang]
    async with await studio.open() as client:
        call = lambda: client.call("acme:text", prompt="lava", reuse=True, on_unknown=OnUnknown.RETRY)  # noqa: E731
        first = asyncio.create_task(call())
        await started.wait()
        second = asyncio.create_task(call())
        await asyncio.sleep(0)
        first.cancel()
        result = await second
        with pytest.raises(asyncio.CancelledError):
            await first
    assert result.artifacts[0].text == "re: lava #0"
    assert studio.acme.sent == ["call", "call"]


async def test_cancelling_a_request_on_its_way_leaves_it_unknown(studio):
    """Nobody can say whether the provider got it."""
    started = asyncio.Event()

    async def hang(request, context):
        started.set()
        await asyncio.Event().wait()

    studio.acme.script["call"] = [hang]
    async with await studio.open() as client:
        task = asyncio.create_task(client.call("acme:picture", prompt="lava"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await only_call(client)).state is CallState.UNKNOWN


class TestRemoteJobs:
    """Submitted once, polled as often as it takes."""

    async def test_the_receipt_is_durable_before_the_first_poll(self, studio):
        """While the job runs, the ledger holds its receipt."""
        seen = []
        async with await studio.open() as client:

            async def look():
                seen.append(await only_call(client))
                return RemoteStatus(RemoteState.SUCCEEDED)

            studio.acme.polls["remote-call"] = [look]
            await client.call("acme:job", prompt="lava")
        assert seen[0].state is CallState.SUBMITTED
        assert seen[0].receipt.job_id == "remote-call"

    async def test_a_dead_process_s_job_is_polled_and_not_submitted_again(self, studio):
        """The next process finds the receipt and only asks."""
        studio.acme.polls["remote-call"] = [ConnectionFailedError("down", sent=Sent.NOT_SENT)] * 12
        async with await studio.open() as client:
            with pytest.raises(StillRunningError, match="resume"):
                await client.call("acme:job", prompt="lava", reuse=True)
            assert (await only_call(client)).state is CallState.SUBMITTED
        async with await studio.open() as client:
            result = await client.call("acme:job", prompt="lava", reuse=True)
        assert result.artifacts[0].text == "re: lava #0"
        assert studio.acme.sent == ["call"]

    async def test_a_job_that_failed_there_is_failed_here(self, studio):
        """A terminal failure is sure: another try is another paid attempt."""
        studio.acme.polls["remote-call"] = [RemoteStatus(RemoteState.FAILED, error="out of memory")]
        async with await studio.open() as client:
            with pytest.raises(JobFailedError, match="out of memory"):
                await client.call("acme:job", prompt="lava")
            assert (await only_call(client)).state is CallState.FAILED

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [
            (AbortOutcome.STOPPED, CallState.FAILED),
            (AbortOutcome.ALREADY_FINISHED, CallState.SUBMITTED),
            (AbortOutcome.CLIENT_SIDE_ONLY, CallState.SUBMITTED),
            (AbortOutcome.UNKNOWN, CallState.SUBMITTED),
        ],
    )
    async def test_cancelling_tells_the_provider(self, studio, outcome, state):
        """Only a job that surely stopped is over; the receipt of any other stays good."""
        waiting = asyncio.Event()

        async def never():
            waiting.set()
            await asyncio.Event().wait()

        studio.acme.polls["remote-call"] = [never]
        studio.acme.abort_outcome = outcome
        async with await studio.open() as client:
            task = asyncio.create_task(client.call("acme:job", prompt="lava"))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await only_call(client)).state is state
        assert studio.acme.aborted == ["remote-call"]

    async def test_a_receipt_without_an_id_is_the_plugin_s_fault_and_is_kept(self, studio):
        """What a plugin gave is recorded before it is complained about."""
        from dataclasses import replace

        async def nameless(request, context):
            from callsheet.jobs import Receipt

            full = Receipt(request.ref, request.operation, "x", context.key, "d", (), 0.0)
            return replace(full, job_id="")

        studio.acme.script["call"] = [nameless]
        async with await studio.open() as client:
            with pytest.raises(PluginError, match="job id"):
                await client.call("acme:job", prompt="lava")


class TestLostProcess:
    """A process that died between sending and hearing."""

    async def _die_while_sending(self, studio, model):
        """Leave a call in `sending`, as a killed process does."""
        started = asyncio.Event()

        async def hang(request, context):
            started.set()
            await asyncio.Event().wait()

        studio.acme.script["call"] = [hang]
        client = await studio.open()
        task = asyncio.create_task(client.call(model, prompt="lava", reuse=True))
        await started.wait()
        client.ledger.owner.close()  # its lock is gone, as the kernel does at a kill
        record = await only_call(client)
        assert record.state is CallState.SENDING
        return client, task

    async def _bury(self, client, task):
        task.cancel()
        with pytest.raises((asyncio.CancelledError, CallsheetError)):
            await task
        await client.aclose()

    async def test_without_find_the_outcome_is_unknown(self, studio):
        """The user decides."""
        dead, task = await self._die_while_sending(studio, "acme:job")
        async with await studio.open() as client:
            with pytest.raises(UnknownOutcomeError):
                await client.call("acme:job", prompt="lava", reuse=True, on_unknown=OnUnknown.FAIL)
            assert (await only_call(client)).state is CallState.UNKNOWN
        await self._bury(dead, task)
        assert studio.acme.sent == ["call"]

    async def test_with_find_the_job_is_adopted(self, studio):
        """The provider knows the job: it is polled, not sent again."""
        dead, task = await self._die_while_sending(studio, "acme:found")
        studio.acme.found = True
        async with await studio.open() as client:
            result = await client.call("acme:found", prompt="lava", reuse=True)
        await self._bury(dead, task)
        assert result.artifacts[0].text == "found"
        assert studio.acme.sent == ["call"]

    async def test_with_find_a_job_that_never_arrived_is_sent(self, studio):
        """The provider knows no such job: sending it is safe."""
        dead, task = await self._die_while_sending(studio, "acme:found")
        async with await studio.open() as client:
            result = await client.call("acme:found", prompt="lava", reuse=True, on_unknown=OnUnknown.FAIL)
        await self._bury(dead, task)
        assert result.artifacts[0].text == "re: lava #0"
        assert studio.acme.sent == ["call", "call"]

    async def test_when_find_cannot_ask_the_user_decides(self, studio):
        """A broken connection is no answer to the question whether it was paid."""
        dead, task = await self._die_while_sending(studio, "acme:found")
        studio.acme.found = ConnectionFailedError("down", sent=Sent.NOT_SENT)
        async with await studio.open() as client:
            with pytest.raises(UnknownOutcomeError, match="down"):
                await client.call("acme:found", prompt="lava", reuse=True)
        await self._bury(dead, task)
        assert studio.acme.sent == ["call"]

    async def test_the_user_may_decide_to_send_it_again_although_nobody_can_say(self, studio):
        """`retry` is the way on where the provider will never know: two equal jobs, inputs that it has deleted."""
        dead, task = await self._die_while_sending(studio, "acme:found")
        studio.acme.found = MalformedOutputError("has two of them", sent=Sent.UNKNOWN)
        async with await studio.open() as client:
            with pytest.raises(UnknownOutcomeError, match="has two of them"):
                await client.call("acme:found", prompt="lava", reuse=True, on_unknown=OnUnknown.FAIL)
            await client.call("acme:found", prompt="lava", reuse=True, on_unknown=OnUnknown.RETRY)
        await self._bury(dead, task)
        assert studio.acme.sent == ["call", "call"]


async def test_two_open_clients_do_a_call_once(studio):
    """Another living process holds the key: this one waits without sending, and takes the result."""
    gate = asyncio.Event()

    async def slow(request, context):
        await gate.wait()
        return JobResult((TextArtifact("once"),))

    studio.acme.script["call"] = [slow]
    async with await studio.open() as one, await studio.open() as two:
        first = asyncio.create_task(one.call("acme:text", prompt="lava", reuse=True))
        while not studio.acme.sent:
            await asyncio.sleep(0)
        second = asyncio.create_task(two.call("acme:text", prompt="lava", reuse=True))
        while not studio.acme.slept:
            await asyncio.sleep(0)
        gate.set()
        results = [await first, await second]
    assert [r.artifacts[0].text for r in results] == ["once", "once"]
    assert studio.acme.sent == ["call"]


async def test_a_result_whose_file_is_gone_is_made_again(studio):
    """A missing blob is a miss, and only that."""

    async def draw(request, context):
        return JobResult((await context.keep(b"\x89PNG\r\n\x1a\n" + b"0" * 40, "image/png"),))

    studio.acme.script["call"] = [draw, draw]
    async with await studio.open() as client:
        result = await client.call("acme:picture", prompt="lava", reuse=True)
        path = result.artifacts[0].location
        await client.call("acme:picture", prompt="lava", reuse=True)
        assert studio.acme.sent == ["call"]
        path.unlink()
        again = await client.call("acme:picture", prompt="lava", reuse=True)
    assert again.artifacts[0].location.exists()
    assert studio.acme.sent == ["call", "call"]


async def test_a_full_disk_does_not_lose_what_was_paid_for(studio, monkeypatch):
    """The result is kept in memory and written again when the ledger can be written."""
    async with await studio.open() as client:
        real, failures = client.ledger.advance, [CallsheetError("the disk is full")] * 2

        async def advance(key, epoch, state, **more):
            if state is CallState.SUCCEEDED and failures:
                raise failures.pop()
            return await real(key, epoch, state, **more)

        monkeypatch.setattr(client.ledger, "advance", advance)
        await client.call("acme:text", prompt="lava")
        assert (await only_call(client)).state is CallState.SUCCEEDED
    assert studio.acme.slept == [0.5, 2.0]
    assert studio.acme.sent == ["call"]


async def test_the_price_of_a_call_is_recorded(studio):
    """The attempt tells what it cost."""
    from decimal import Decimal

    async with await studio.open() as client:
        await client.call("acme:priced", prompt="lava")
        attempts = await client.ledger.attempts((await only_call(client)).key)
    assert attempts[0].cost.low == Decimal("0.25")


async def test_every_error_of_a_call_is_one_of_ours(studio):
    """Nothing a handler raises comes out raw."""
    for error in (ValueError("x"), RuntimeError("y"), OSError("z")):
        studio.acme.script["call"] = [error]
        async with await studio.open() as client:
            with pytest.raises(ProviderError):
                await client.call("acme:picture", prompt=str(error))


async def test_what_an_earlier_task_gave_up_is_gone_on_with_in_the_same_process(studio):
    """The wait ended, the job did not: the same client asks again instead of waiting for itself."""
    studio.acme.polls["remote-call"] = [ConnectionFailedError("down", sent=Sent.NOT_SENT)] * 12
    async with await studio.open() as client:
        with pytest.raises(StillRunningError):
            await client.call("acme:job", prompt="lava", reuse=True)
        result = await client.call("acme:job", prompt="lava", reuse=True)
    assert result.artifacts[0].text == "re: lava #0"
    assert studio.acme.sent == ["call"]


async def test_a_plugin_that_breaks_while_it_polls_loses_nothing(studio):
    """A bug in `poll` is no answer about the job: the receipt stays good."""
    studio.acme.polls["remote-call"] = [KeyError("oops")]
    async with await studio.open() as client:
        with pytest.raises(StillRunningError, match="KeyError"):
            await client.call("acme:job", prompt="lava", reuse=True)
        assert (await only_call(client)).state is CallState.SUBMITTED
        result = await client.call("acme:job", prompt="lava", reuse=True)
    assert result.artifacts[0].text == "re: lava #0"
    assert studio.acme.sent == ["call"]


async def test_a_refused_prompt_is_told(studio):
    """Who has to change it must see it, even when the plugin forgot to say."""
    from callsheet.errors import ContentRejectedError

    studio.acme.script["call"] = [ContentRejectedError("not allowed")]
    async with await studio.open() as client:
        with pytest.raises(ContentRejectedError) as caught:
            await client.call("acme:text", prompt="something rude")
        record = await only_call(client)
    assert caught.value.prompt == record.failure.prompt == "something rude"


async def test_cancelling_a_submit_that_can_be_looked_up_is_no_question_for_the_user(studio):
    """The next process asks the provider: the job is adopted, and not sent again."""
    started = asyncio.Event()

    async def hang(request, context):
        started.set()
        await asyncio.Event().wait()

    studio.acme.script["call"] = [hang]
    async with await studio.open() as client:
        task = asyncio.create_task(client.call("acme:found", prompt="lava", reuse=True))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await only_call(client)).state is CallState.SENDING
    studio.acme.found = True
    async with await studio.open() as client:
        result = await client.call("acme:found", prompt="lava", reuse=True, on_unknown=OnUnknown.FAIL)
    assert result.artifacts[0].text == "found"
    assert studio.acme.sent == ["call"]


async def test_cancelling_while_the_receipt_is_written_stops_the_job(studio, monkeypatch):
    """Between the provider's yes and our note of it no job is left running."""
    writing = asyncio.Event()
    async with await studio.open() as client:
        real = client.ledger.advance

        async def advance(key, epoch, state, **more):
            record = await real(key, epoch, state, **more)
            if state is CallState.SUBMITTED:
                writing.set()
                await asyncio.Event().wait()
            return record

        monkeypatch.setattr(client.ledger, "advance", advance)
        task = asyncio.create_task(client.call("acme:job", prompt="lava"))
        await writing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await only_call(client)).state is CallState.FAILED
    assert studio.acme.aborted == ["remote-call"]


@pytest.mark.parametrize(("found", "sent"), [(True, 1), (None, 2), (ConnectionFailedError("down"), 2)])
async def test_a_submit_whose_answer_broke_off_is_asked_for_before_anything_else(studio, found, sent):
    """What the provider has is polled; only what it does not know is an unknown outcome, for the policy."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    studio.acme.found = found
    async with await studio.open() as client:
        await client.call("acme:found", prompt="lava")
        assert (await only_call(client)).state is CallState.SUCCEEDED
    assert len(studio.acme.sent) == sent


async def test_what_cannot_be_found_yet_is_asked_for_again(studio):
    """A lost answer whose job is not listed yet is unknown, with what the provider said; the next call finds it."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    studio.acme.found = MalformedOutputError("not listed yet", sent=Sent.UNKNOWN)
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError, match=r"\(cut; asking for it: not listed yet\)"):
            await client.call("acme:found", prompt="lava", on_unknown=OnUnknown.FAIL)
        assert (await only_call(client)).state is CallState.SENDING
        studio.acme.found = True
        await client.call("acme:found", prompt="lava", on_unknown=OnUnknown.FAIL, reuse=True)
        assert (await only_call(client)).state is CallState.SUCCEEDED
    assert studio.acme.sent == ["call"]


async def test_what_was_surely_not_accepted_has_failed(studio):
    """The connection was cut and the provider has no such job: nothing was paid for, and the next call sends it."""
    studio.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
    studio.acme.found = None
    async with await studio.open() as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.call("acme:found", prompt="lava", on_unknown=OnUnknown.FAIL)
        assert caught.value.sent is Sent.NOT_SENT
        await client.call("acme:found", prompt="lava", on_unknown=OnUnknown.FAIL, reuse=True)
    assert studio.acme.sent == ["call", "call"]


async def test_a_job_that_is_gone_is_for_the_user(studio):
    """It had been accepted: a provider that knows it no more has not refused it."""
    studio.acme.polls["remote-call"] = [JobLostError("gone", sent=Sent.REJECTED)]
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:job", prompt="lava", on_unknown=OnUnknown.FAIL)
        assert (await only_call(client)).state is CallState.UNKNOWN
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:job", prompt="lava", on_unknown=OnUnknown.FAIL, reuse=True)
    assert studio.acme.sent == ["call"]


async def test_a_result_says_what_it_cost(studio):
    """By the row's price, unless the provider says it."""
    async with await studio.open() as client:
        assert (await client.call("acme:priced", prompt="a")).cost.as_json() == {"usd": "0.25"}
