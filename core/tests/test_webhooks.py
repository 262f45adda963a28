"""Webhooks: nothing of them is believed but the job's id, and what they bring about is on record."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from callsheet.errors import AccessDeniedError, ConfigError, OverloadedError, PluginError, Sent
from callsheet.handler import WebhookNotice
from callsheet.jobs import RemoteState, RemoteStatus
from callsheet.plugin import hookimpl
from callsheet.storage import CallState

RUNNING = RemoteStatus(RemoteState.RUNNING)


@pytest.fixture
def reader(studio, monkeypatch):
    """The scripted provider takes webhooks: the body is the job's id, and the header `x-signed` must be there."""

    async def read_webhook(self, headers, body, context):
        if "x-signed" not in headers:
            raise AccessDeniedError(f"{context.provider} has not signed this", sent=Sent.NOT_SENT)
        return WebhookNotice(body.decode(), "d1")

    jobs = next(spec for spec in studio.acme.callsheet_register_handlers() if spec.wire == "job")
    hooked = type("Hooked", (type(jobs.factory()),), {"read_webhook": read_webhook})

    @hookimpl
    def register():
        return [replace(jobs, factory=lambda: hooked(studio.acme))]

    monkeypatch.setattr(studio.acme, "callsheet_register_handlers", register)


async def post(client, job_id="remote-call", provider="acme"):
    """A signed webhook; names of headers as hosts have them."""
    return await client.webhook(provider, {"X-Signed": "yes"}, job_id.encode())


class Held:
    """A sleep that nobody ends but a wake; `asleep` is set when somebody sleeps."""

    def __init__(self):
        self.asleep = asyncio.Event()

    async def __call__(self, _seconds):
        """For ever."""
        self.asleep.set()
        await asyncio.Event().wait()


async def left_behind(studio):
    """A call whose process died while its job was with the provider."""
    polled = asyncio.Event()

    async def hang():
        polled.set()
        await asyncio.Event().wait()

    studio.acme.polls["remote-call"] = [hang]
    dead = await studio.open()
    task = asyncio.create_task(dead.call("acme:job", prompt="lava"))
    await polled.wait()
    dead.ledger.owner.close()
    return dead, task


async def end(dead, task):
    """The dead process is gone for good."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await dead.aclose()


async def test_who_waits_is_woken_and_asks_at_once(studio, reader):
    """Its sleep between two polls ends; the result is its own, and a repeat changes nothing."""
    held = studio.acme.sleep = Held()
    studio.acme.polls["remote-call"] = [RUNNING]
    async with await studio.open() as client:
        call = asyncio.create_task(client.call("acme:job", prompt="lava"))
        await held.asleep.wait()
        woken = await post(client)
        result = await call
        again = await post(client)
        record = await client.ledger.get(woken.key)
    assert (woken.status, woken.job_id, woken.result) == ("woken", "remote-call", None)
    assert result.artifacts[0].text == "re: lava #0"
    assert (again.status, again.result.artifacts) == ("known", result.artifacts)
    assert record.state is CallState.SUCCEEDED
    assert studio.acme.polled == ["remote-call"] * 2
    assert studio.acme.sent == ["call"]


async def test_without_a_ledger_who_waits_is_woken(studio, reader):
    """Nothing of the call is on record, and its waiter is found all the same."""
    held = studio.acme.sleep = Held()
    studio.acme.polls["remote-call"] = [RUNNING]
    async with await studio.open(durable=False) as client:
        call = asyncio.create_task(client.call("acme:job", prompt="lava"))
        await held.asleep.wait()
        woken = await post(client)
        assert (await call).artifacts[0].text == "re: lava #0"
    assert woken.status == "woken"
    assert studio.acme.polled == ["remote-call"] * 2


async def test_a_job_that_nobody_waits_for_is_collected(studio, reader):
    """Its process is dead: the result is on record now, and nothing was sent again."""
    dead, task = await left_behind(studio)
    async with await studio.open() as client:
        outcome = await post(client)
        record = await client.ledger.get(outcome.key)
        again = await post(client)
    await end(dead, task)
    assert (outcome.status, outcome.result.artifacts[0].text) == ("collected", "re: lava #0")
    assert record.state is CallState.SUCCEEDED
    assert again.status == "known"
    assert studio.acme.sent == ["call"]


async def test_a_job_that_failed_is_recorded_as_failed(studio, reader):
    """The outcome says why."""
    dead, task = await left_behind(studio)
    studio.acme.polls["remote-call"] = [RemoteStatus(RemoteState.FAILED, error="boom")]
    async with await studio.open() as client:
        outcome = await post(client)
        record = await client.ledger.get(outcome.key)
    await end(dead, task)
    assert (outcome.status, "boom" in str(outcome.error)) == ("failed", True)
    assert record.state is CallState.FAILED


async def test_a_job_of_another_living_process_is_left_to_it(studio, reader):
    """It polls by itself."""
    held = studio.acme.sleep = Held()
    studio.acme.polls["remote-call"] = [RUNNING]
    async with await studio.open() as one, await studio.open() as other:
        call = asyncio.create_task(one.call("acme:job", prompt="lava"))
        await held.asleep.wait()
        outcome = await post(other)
        assert not call.done()
        assert (await post(one)).status == "woken"
        await call
    assert (outcome.status, outcome.result) == ("held", None)
    assert studio.acme.polled == ["remote-call"] * 2


async def test_a_job_that_nobody_knows_is_an_outcome(studio, reader):
    """Another project's, or another host's: no error, and nobody is asked. Nor for another provider's equal id."""
    dead, task = await left_behind(studio)
    async with await studio.open() as client:
        outcome = await post(client, "remote-else")
        assert (outcome.status, outcome.key) == ("unknown", "")
        assert (await post(client, "remote")).status == "unknown"
    await end(dead, task)
    assert studio.acme.polled == ["remote-call"]


async def test_a_job_that_cannot_be_asked_for_is_an_error_and_stays(studio, reader):
    """The host answers with an error, so the provider sends it again; the next one collects."""
    dead, task = await left_behind(studio)
    studio.acme.polls["remote-call"] = [OverloadedError("busy")] * 12
    async with await studio.open() as client:
        with pytest.raises(OverloadedError, match="busy"):
            await post(client)
        assert (await post(client)).status == "collected"
    await end(dead, task)


async def test_what_is_not_signed_is_refused(studio, reader):
    """Before anything is looked up."""
    async with await studio.open() as client:
        with pytest.raises(AccessDeniedError, match="not signed"):
            await client.webhook("acme", {}, b"remote-call")
    assert studio.acme.polled == []


async def test_a_provider_without_webhooks_says_so(studio):
    """And so does one that nobody provides."""
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match="knows no webhooks"):
            await post(client)
        with pytest.raises(ConfigError, match="nobody"):
            await post(client, provider="nobody")


async def test_a_plugin_that_breaks_is_named(studio, reader):
    """Its bug is a PluginError; what came is not repeated in it."""
    async with await studio.open() as client:
        with pytest.raises(PluginError, match="UnicodeDecodeError") as caught:
            await client.webhook("acme", {"x-signed": "yes"}, b"\xff secret")
    assert "secret" not in str(caught.value)
