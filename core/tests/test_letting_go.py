"""Calls that are left open: whoever asks next goes on from there, and nobody loses what somebody else waits for."""

from __future__ import annotations

import asyncio
import re

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.errors import CallsheetError, ConnectionFailedError, JobCancelledError, Sent
from callsheet.jobs import AbortOutcome
from callsheet.pay_once import OnUnknown, StillRunningError, UnknownOutcomeError
from callsheet.plugin import JobResult, RemoteState, RemoteStatus
from callsheet.storage import CallState

DOWN = [ConnectionFailedError("down", sent=Sent.NOT_SENT)] * 12
PICTURE = b"\x89PNG\r\n\x1a\n" + b"0" * 40


@pytest.fixture(autouse=True)
def _no_last_word(monkeypatch):
    """What never answers is not waited for after a cancellation."""
    monkeypatch.setattr("callsheet.delivery.LAST_WORD_SECONDS", 0.0)


async def records(client):
    """The rows of all calls that are not final."""
    return await client.ledger.open_calls()


async def test_the_same_process_goes_on_with_a_job_that_it_had_given_up(studio):
    """A second call in the same client polls the receipt; it does not wait for itself."""
    studio.acme.polls["remote-call"] = list(DOWN)
    async with await studio.open() as client:
        with pytest.raises(StillRunningError):
            await client.call("acme:job", prompt="lava", reuse=True)
        async with asyncio.timeout(30):
            result = await client.call("acme:job", prompt="lava", reuse=True)
    assert result.artifacts[0].text == "re: lava #0"
    assert studio.acme.sent == ["call"]


async def test_another_process_goes_on_while_the_first_one_lives(studio):
    """What was given up is free at once, not when its process ends."""
    studio.acme.polls["remote-call"] = list(DOWN)
    async with await studio.open() as one, await studio.open() as two:
        with pytest.raises(StillRunningError):
            await one.call("acme:job", prompt="lava", reuse=True)
        async with asyncio.timeout(30):
            await two.call("acme:job", prompt="lava", reuse=True)
        assert await records(two) == []
    assert studio.acme.sent == ["call"]


async def test_a_receipt_that_could_not_be_polled_is_free_again(studio):
    """Collecting by receipt gives the call up as well."""
    studio.acme.polls["remote-call"] = [*DOWN, *DOWN]
    async with await studio.open() as client:
        with pytest.raises(StillRunningError):
            await client.call("acme:job", prompt="lava", reuse=True)
        receipt = (await records(client))[0].receipt
        with pytest.raises(ConnectionFailedError):
            await client.collect(receipt)
        async with asyncio.timeout(30):
            await client.call("acme:job", prompt="lava", reuse=True)
    assert studio.acme.sent == ["call"]


async def test_a_cancelled_task_leaves_the_job_to_its_twin(studio):
    """Another task of this process waits for the job: it is not aborted, and not submitted again."""
    waiting, gate = asyncio.Event(), asyncio.Event()

    async def wait():
        waiting.set()
        await gate.wait()
        return RemoteStatus(RemoteState.SUCCEEDED)

    studio.acme.polls["remote-call"] = [wait, wait]
    async with await studio.open() as client:
        first = asyncio.create_task(client.call("acme:job", prompt="lava", reuse=True))
        await waiting.wait()
        second = asyncio.create_task(client.call("acme:job", prompt="lava", reuse=True))
        await asyncio.sleep(0)
        await client.ledger.runs()  # the second task has come as far as the first one's flight
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        async with asyncio.timeout(30):
            await second
    assert studio.acme.aborted == []
    assert studio.acme.sent == ["call"]


async def test_a_result_that_the_disk_refuses_for_a_moment_is_kept(studio, monkeypatch):
    """The bytes are in memory, and are written as soon as there is room."""

    async def draw(request, context):
        return JobResult((await context.keep(PICTURE, "image/png"),))

    studio.acme.script["call"] = [draw]
    async with await studio.open() as client:
        blobs, full = client.runtime.services.blobs, [CallsheetError("the disk is full")] * 2
        put = blobs.put

        async def refuse(*given):
            if full:
                raise full.pop()
            return await put(*given)

        monkeypatch.setattr(blobs, "put", refuse)
        await client.call("acme:picture", prompt="lava")
    assert studio.acme.slept == [0.5, 2.0]
    assert studio.acme.sent == ["call"]


async def test_a_result_that_cannot_be_stored_is_not_paid_for_again_by_itself(studio, monkeypatch):
    """The answer came and is lost: that is for the user to decide, not a failure that a next run pays for anew."""

    async def draw(request, context):
        return JobResult((await context.keep(PICTURE, "image/png"),))

    async def refuse(*_):
        raise CallsheetError("the disk is full")

    studio.acme.script["call"] = [draw, draw]
    async with await studio.open() as client:
        call = lambda **more: client.call("acme:picture", prompt="lava", reuse=True, **more)  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(client.runtime.services.blobs, "put", refuse)
            with pytest.raises(UnknownOutcomeError, match=r"the disk is full.*call again"):
                await call()
        with pytest.raises(UnknownOutcomeError):
            await call()
        assert studio.acme.sent == ["call"]
        await call(on_unknown=OnUnknown.RETRY)
    assert studio.acme.sent == ["call", "call"]


async def test_find_is_not_asked_for_jobs_of_attempts_that_ended(studio, monkeypatch):
    """A job that failed there long ago is not adopted in place of the one that was lost now."""
    asked = []
    studio.acme.polls["remote-call"] = [RemoteStatus(RemoteState.FAILED, error="out of memory")]
    async with await studio.open() as client:
        with pytest.raises(CallsheetError):
            await client.call("acme:found", prompt="lava", reuse=True)
    started = asyncio.Event()

    async def hang(request, context):
        started.set()
        await asyncio.Event().wait()

    studio.acme.script["call"] = [hang]
    dead = await studio.open()
    task = asyncio.create_task(dead.call("acme:found", prompt="lava", reuse=True))
    await started.wait()
    dead.ledger.owner.close()
    async with await studio.open() as client:
        bound = client.runtime.registry.resolve(client.catalog.find("acme:found"), "text.generate", "live")

        async def find(request, since, context):
            asked.append(since)

        monkeypatch.setattr(type(bound.handler), "find", staticmethod(find))
        record = (await records(client))[0]
        assert record.state is CallState.SENDING
        await client.call("acme:found", prompt="lava", reuse=True)
        ended = (await client.ledger.attempts(record.key))[0].ended
    assert asked == [ended]
    assert ended > record.created
    task.cancel()
    with pytest.raises((asyncio.CancelledError, CallsheetError)):
        await task
    await dead.aclose()


def test_event_plugins_are_heard(site, tmp_path):
    """A plugin that provides `events` is loaded when a project is opened, also when none of its models is used."""
    import subprocess
    import sys

    code = "from callsheet.plugin import hookimpl\nprint('loaded')\n@hookimpl\ndef callsheet_job_event(event): ...\n"
    site.install("callsheet-listener", toml='api = 1\nprovides = ["events"]\n', code=code, entry_name="listener")
    command = "import asyncio, callsheet\nasync def main():\n    async with callsheet.open(): pass\nasyncio.run(main())"
    ended = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site.folder), "PATH": "/usr/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert "loaded" in ended.stderr


async def sent_off(studio, client, model, **asked):
    """A call whose submit is under way, and answers when the event is set."""
    started, answered = asyncio.Event(), asyncio.Event()

    async def slow(request, context):
        started.set()
        await answered.wait()
        return JobResult((TextArtifact("x"),))

    studio.acme.script["call"] = [slow]
    task = asyncio.create_task(client.call(model, prompt="lava", **asked))
    await started.wait()
    return task, answered


@pytest.mark.parametrize("model", ["acme:job", "acme:found"])
async def test_a_job_that_is_accepted_during_the_cancellation_is_stopped(studio, monkeypatch, model):
    """The answer to the submit is awaited: without the provider's id nobody could stop the job."""
    monkeypatch.setattr("callsheet.delivery.LAST_WORD_SECONDS", 30.0)
    async with await studio.open() as client:
        task, answered = await sent_off(studio, client, model)
        task.cancel()
        answered.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert studio.acme.aborted == ["remote-call"]
        assert await records(client) == []


@pytest.mark.parametrize(("model", "left"), [("acme:job", []), ("acme:found", [CallState.SENDING])])
async def test_a_submit_that_never_answers_is_given_up(studio, model, left):
    """Who can be asked later stays `sending`, and it is told; else nobody knows."""
    told = []
    async with await studio.open() as client:
        task, _ = await sent_off(studio, client, model)
        client.ledger.subscribe(lambda event: told.append((event.type, event.body.get("sent"))))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [call.state for call in await records(client)] == left
    assert ("attempt.lost", "unknown") in told
    assert studio.acme.aborted == []


@pytest.mark.parametrize(
    ("outcome", "error", "told"),
    [
        (AbortOutcome.STOPPED, JobCancelledError, "the provider stopped it"),
        (AbortOutcome.ALREADY_FINISHED, UnknownOutcomeError, "answered already_finished. Look at"),
        (ConnectionFailedError("down"), UnknownOutcomeError, "answered unknown. Look at"),
    ],
)
async def test_a_job_that_cannot_be_put_on_record_is_stopped(studio, full_disk, outcome, error, told):
    """Nobody could come back to it: it must not go on, and its id is named."""
    studio.acme.abort_outcome = outcome
    async with await studio.open() as client:
        full_disk(client, CallState.SUBMITTED)
        with pytest.raises(error) as caught:
            await client.call("acme:job", prompt="lava")
        left = [] if error is JobCancelledError else [CallState.SENDING]
        assert [call.state for call in await records(client)] == left
    wanted = f"acme:job accepted the job remote-call, which could not be put on record (the disk is full): .*{told}"
    assert re.search(wanted.replace("(", r"\(").replace(")", r"\)"), str(caught.value))
    assert studio.acme.slept == [0.5, 2.0, 8.0]
    assert (studio.acme.sent, studio.acme.aborted, studio.acme.polled) == (["call"], ["remote-call"], [])


async def test_a_job_that_is_off_the_record_is_stopped_although_two_want_it(studio, full_disk):
    """Neither of them could poll it."""
    async with await studio.open() as client:
        full_disk(client, CallState.SUBMITTED)
        tasks = [asyncio.create_task(client.call("acme:job", prompt="lava", reuse=True)) for _ in range(2)]
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [JobCancelledError, JobCancelledError]
    assert (studio.acme.sent, studio.acme.aborted, studio.acme.polled) == (["call"], ["remote-call"], [])


async def test_what_cannot_be_put_on_record_is_stopped_at_once_when_it_is_cancelled(studio, monkeypatch, full_disk):
    """No second try comes before the provider hears of it."""
    monkeypatch.setattr("callsheet.delivery.LAST_WORD_SECONDS", 30.0)
    async with await studio.open() as client:
        full_disk(client, CallState.SUBMITTED)
        task, answered = await sent_off(studio, client, "acme:job")
        task.cancel()
        answered.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (studio.acme.slept, studio.acme.aborted) == ([], ["remote-call"])


@pytest.mark.parametrize("polling", [True, False])
async def test_a_cancellation_comes_through_when_its_end_cannot_be_written(studio, full_disk, polling):
    """The provider has heard of it; a next claim asks for the job, where it is on record."""
    waiting = asyncio.Event()

    async def look(*_):
        waiting.set()
        await asyncio.Event().wait()

    studio.acme.polls["remote-call"], studio.acme.sleep = [look], look  # it sleeps before it tries to write again
    async with await studio.open() as client:
        full_disk(client, CallState.FAILED, *(() if polling else (CallState.SUBMITTED,)))
        task = asyncio.create_task(client.call("acme:job", prompt="lava"))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = CallState.SUBMITTED if polling else CallState.SENDING
        assert [call.state for call in await records(client)] == [left]
    assert studio.acme.aborted == ["remote-call"]


async def test_a_cancelled_job_off_the_record_is_stopped_although_another_one_wants_it(studio, monkeypatch, full_disk):
    """Who waits for an equal call could not poll it."""
    monkeypatch.setattr("callsheet.delivery.LAST_WORD_SECONDS", 30.0)
    async with await studio.open() as client:
        refused = full_disk(client, CallState.SUBMITTED)
        task, answered = await sent_off(studio, client, "acme:job", reuse=True)
        twin = asyncio.create_task(client.call("acme:job", prompt="lava", reuse=True))
        await asyncio.sleep(0)
        await client.ledger.runs()  # it has come as far as the first one's flight
        task.cancel()
        answered.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert studio.acme.aborted == ["remote-call"]
        refused.clear()
        assert (await twin).artifacts[0].text == "re: lava #0"
    assert (studio.acme.sent, studio.acme.aborted) == (["call", "call"], ["remote-call"])


async def test_a_job_off_the_record_is_stopped_although_that_is_cancelled(studio, full_disk, first_abort_hangs):
    """The provider is told again, as nobody knows whether it has heard."""
    async with await studio.open() as client:
        full_disk(client, CallState.SUBMITTED)
        task = asyncio.create_task(client.call("acme:job", prompt="lava"))
        await first_abort_hangs.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await records(client) == []
    assert first_abort_hangs.told == ["remote-call", "remote-call"]
