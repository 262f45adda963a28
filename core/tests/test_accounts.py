"""Receipts say whose jobs they are, and a job of another account is not taken for a lost one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from callsheet.cancellation import stop_call
from callsheet.discovery import Discovery
from callsheet.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigError,
    ErrorKind,
    JobLostError,
    ProviderError,
    Sent,
)
from callsheet.inputs import blank_inputs
from callsheet.jobs import AbortOutcome, Expected, Job, Receipt
from callsheet.models import ModelRef, Operation
from callsheet.pay_once import OnUnknown, StillRunningError, UnknownOutcomeError
from callsheet.plugin_host import PluginHost
from callsheet.secrets import MappingSecrets
from callsheet.storage import CallState

KEYS = ({"ACME_KEY": "key-one-1234567"}, {"ACME_KEY": "key-two-7654321"})
RECEIPT = Receipt(
    ref=ModelRef("acme", "job"),
    operation=Operation.TEXT_GENERATE,
    job_id="remote-1",
    key="k" * 64,
    request_digest="d" * 64,
    expects=(Expected("text", "text/plain"),),
    created=1.0,
    state={"text": "from afar"},
)


@pytest.fixture
def opened(studio, fakes):
    """Open the project with one of two keys, with none, or with a resolver."""
    rows = [{"model": wire, "operation": "text.generate", "wire": wire} for wire in ("job", "batch", "found")]
    manifest = fakes.manifest("acme", *rows, secrets=["ACME_KEY"], batch=studio.acme.limits)

    async def open_client(key=0, **more):
        host = PluginHost(Discovery(), extra=[("acme", studio.acme, manifest)])
        secrets = key if hasattr(key, "get") else MappingSecrets({} if key is None else KEYS[key])
        return await studio.open(host=host, secrets=secrets, **more)

    return open_client


async def receipts_of(client):
    """Those on record."""
    return [call.receipt for call in await client.ledger.open_calls()]


async def cut_off(studio, client, **more):
    """A job whose wait was given up, and its receipt as it is on record."""
    studio.acme.polls["remote-call"] = [ProviderError("no")]
    with pytest.raises(StillRunningError):
        await client.call("acme:job", prompt="a", **more)
    (receipt,) = await receipts_of(client)
    return receipt


@pytest.mark.parametrize("durable", [True, False])
async def test_a_receipt_names_origin_and_account(studio, opened, durable):
    """Filled in by the core, whatever the plugin says; the key is nowhere in it."""
    async with await opened(durable=durable) as client:
        first = await cut_off(studio, client)
    assert (first.origin, len(first.account)) == ("acme", 16)
    assert KEYS[0]["ACME_KEY"] not in repr(first)
    async with await opened(1) as client:
        await client.collect(first)
        assert (await cut_off(studio, client)).account not in ("", first.account)
    async with await opened(None) as client:
        found = {receipt.account for receipt in await receipts_of(client)}
    assert "" not in found


async def test_without_a_key_there_is_no_account(studio):
    """A provider that declares no secret."""
    async with await studio.open() as client:
        assert (await cut_off(studio, client)).account == ""


async def test_a_resolver_that_breaks_costs_no_receipt(studio, opened):
    """The job is paid for."""

    class Broken:
        async def get(self, _name):
            raise OSError("the keychain is locked")

    async with await opened(Broken()) as client:
        receipt = await cut_off(studio, client)
    assert (receipt.job_id, receipt.account) == ("remote-call", "")


@pytest.mark.parametrize("error", [JobLostError("404"), AccessDeniedError("403")], ids=["lost", "denied"])
async def test_a_job_of_another_account_is_not_lost(studio, opened, error):
    """It says which key is needed; nothing is recorded of the job, which is collected with the right one."""
    async with await opened() as client:
        receipt = await cut_off(studio, client, reuse=True)
    studio.acme.polls["remote-call"] = [error]
    async with await opened(1) as client:
        with pytest.raises(ConfigError, match=r"acme:job job remote-call was made with another key than the one"):
            await client.collect(receipt)
        assert (await client.ledger.get(receipt.key)).state is CallState.SUBMITTED
        studio.acme.polls["remote-call"] = [error]
        with pytest.raises(StillRunningError, match="set the key of the account that made it"):
            await client.call("acme:job", prompt="a", reuse=True)
        assert (await client.ledger.get(receipt.key)).state is CallState.SUBMITTED
    async with await opened() as client:
        assert (await client.collect(receipt)).artifacts[0].text == "re: a #0"
    assert studio.acme.sent == ["call"]


async def test_a_job_of_another_account_is_not_stopped_and_says_why(studio, opened):
    """It stays as it is, and is stopped with the right key."""
    async with await opened() as client:
        receipt = await cut_off(studio, client)
        record = await client.ledger.get(receipt.key)
    studio.acme.abort_outcome = JobLostError("404")
    for key, outcome in ((1, "unknown"), (0, "stopped")):
        async with await opened(key) as client:
            stopped = await stop_call(client.runtime, record, {})
            events = studio.acme.events
        assert stopped.outcome == outcome
        assert any("made with another key" in str(event.body.get("message")) for event in events)
        studio.acme.abort_outcome = AbortOutcome.STOPPED


async def test_a_new_key_of_the_same_account_collects(studio, opened):
    """Only the provider knows whose a key is: it is asked."""
    async with await opened() as client:
        receipt = await cut_off(studio, client)
    async with await opened(1) as client:
        assert (await client.collect(receipt)).artifacts[0].text.startswith("re: a")


@pytest.mark.parametrize(
    ("receipt", "key", "error"),
    [
        (RECEIPT, 0, JobLostError("404")),
        (replace(RECEIPT, account="f" * 16), None, JobLostError("404")),
        (replace(RECEIPT, account="f" * 16), 0, AuthenticationError("401")),
        (replace(RECEIPT, account="own"), 0, JobLostError("404")),
    ],
    ids=["no account", "no key", "key refused", "same account"],
)
async def test_what_says_nothing_of_accounts_stays_as_it_is(studio, opened, receipt, key, error):
    """A receipt or a machine without an account, a key that is no good at all, and a job that is really lost."""
    async with await opened(key) as client:
        if receipt.account == "own":
            receipt = replace(receipt, account=(await cut_off(studio, client)).account)
        studio.acme.polls["remote-1"] = [error]
        with pytest.raises(type(error)) as caught:
            await client.collect(receipt)
    assert caught.value.kind in (ErrorKind.JOB_LOST, ErrorKind.AUTHENTICATION)
    assert caught.value.sent in (Sent.UNKNOWN, Sent.REJECTED)


async def test_a_batch_has_an_account(studio, opened):
    """Before it leaves, and when it has; nowhere is a URL."""
    seen = []

    async def look():
        seen.extend(await receipts_of(client))
        raise ProviderError("not answered")

    studio.acme.submits = [look]
    async with await opened() as client:
        await client.batch("acme:batch", [{"prompt": "a"}, {"prompt": "b"}])  # and once more: text is cheap
        studio.acme.polls["batch-3"] = [ProviderError("no")]
        await client.batch("acme:batch", [{"prompt": "c"}])
        seen.extend(await receipts_of(client))
    assert [receipt.job_id for receipt in seen] == ["", "", "batch-3"]
    assert {(receipt.origin, len(receipt.account)) for receipt in seen} == {("acme", 16)}


async def test_what_another_account_does_not_list_is_not_sent_again(studio, opened):
    """A killed process had sent it with another key: that nobody knows it here says nothing, and the right key asks anew."""
    started = asyncio.Event()

    async def hang(_request, _context):
        started.set()
        await asyncio.Event().wait()

    studio.acme.script["call"] = [hang]
    dead = await opened()
    task = asyncio.create_task(dead.call("acme:found", prompt="lava", reuse=True))
    await started.wait()
    dead.ledger.owner.close()
    async with await opened(1) as client:
        with pytest.raises(UnknownOutcomeError, match="set the key of the account that sent it"):
            await client.call("acme:found", prompt="lava", reuse=True, on_unknown=OnUnknown.FAIL)
    assert studio.acme.sent == ["call"]
    studio.acme.found = True
    async with await opened() as client:
        assert (await client.call("acme:found", prompt="lava", reuse=True)).artifacts[0].text == "found"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await dead.aclose()
    assert studio.acme.sent == ["call"]


async def test_a_job_that_another_call_has_is_taken(studio, opened):
    """By its receipt on record; one's own is not taken by another."""
    async with await opened() as client:
        receipt = await cut_off(studio, client)
        services = client.runtime.services
        bound = client.runtime.registry.resolve(receipt.ref, receipt.operation)
        job = Job("call", receipt.ref, bound.info, receipt.operation, blank_inputs(receipt.operation))

        async def accepted(_request_id):
            """Nobody records it."""

        def taken(key):
            more = {"request_digest": "", "sample": 0, "attempt": 1, "accepted": accepted}
            return services.context(bound, job, key=key, **more).taken

        assert await taken("k" * 64)("remote-call")
        assert not await taken("k" * 64)("remote-other")
        assert not await taken(receipt.key)("remote-call")
