"""Many calls to one model, and what becomes of those that it fails: other models are asked for them alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.discovery import Discovery
from callsheet.errors import (
    BudgetExceededError,
    CallsheetError,
    ConfigError,
    ConnectionFailedError,
    ContentRejectedError,
    JobFailedError,
    OverloadedError,
    Sent,
)
from callsheet.jobs import JobResult, RemoteState, RemoteStatus
from callsheet.pay_once import OnUnknown, UnknownOutcomeError
from callsheet.plugin import hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.policies import MoneyPolicy
from callsheet.settings import Settings

THREE = [{"prompt": "one"}, {"prompt": "two"}, {"prompt": "three"}]
BUSY = "acme:batch failed (overloaded), so acme:other was asked: busy"


def busy(*_args):
    """A refusal, that another model may be asked after."""
    return OverloadedError("busy", sent=Sent.REJECTED)


def texts(results):
    """The texts of results, and the types of errors."""
    return [r.artifacts[0].text if not isinstance(r, CallsheetError) else type(r).__name__ for r in results]


def told(results):
    """The messages of each result's warnings."""
    return [[w.message for w in result.warnings] for result in results]


async def test_a_call_that_failed_in_its_batch_is_asked_of_the_next_model(studio):
    """Once, by itself and with a warning; nothing changes for the others."""
    studio.acme.ends["two"] = [busy()]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, fallbacks=["acme:other"])
    assert texts(results) == ["batched: one", "re: two #0", "batched: three"]
    assert told(results) == [[], [BUSY], []]
    assert (studio.acme.batches, studio.acme.sent) == ([["one", "two", "three"]], ["call[1]"])


@pytest.mark.parametrize("failed", ["refused", "broke"])
async def test_a_batch_that_came_to_nothing_is_asked_of_the_next_model_call_by_call(studio, failed):
    """Whether it was not taken, or failed as a whole later; no call is asked for twice, nor in a batch of the fallback's."""
    if failed == "refused":
        studio.acme.submits = [busy()]
    else:
        studio.acme.polls["batch-1"] = [RemoteStatus(RemoteState.FAILED, error="bad file")]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, fallbacks=["acme:batch-found"])
    assert texts(results) == ["re: one #0", "re: two #0", "re: three #0"]
    assert studio.acme.batches == [["one", "two", "three"]]
    assert sorted(studio.acme.sent) == ["call[0]", "call[1]", "call[2]"]


async def test_fallbacks_are_asked_some_at_a_time(studio):
    """However many calls the batch had; a second fallback takes no more room than the first one."""
    running, most = 0, 0

    async def slow(request, context):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        if request.ref.model == "other":
            raise busy()
        return JobResult((TextArtifact("at last"),))

    studio.acme.submits = [busy()]
    studio.acme.script = {f"call[{number}]": [slow, slow] for number in range(6)}
    async with await studio.open(settings=Settings(policies=studio.policies, concurrency=2)) as client:
        calls = [{"prompt": str(number)} for number in range(6)]
        results = await client.batch("acme:batch", calls, fallbacks=["acme:other", "acme:text"])
    assert texts(results) == ["at last"] * 6
    assert len(studio.acme.sent) == 12
    assert most == 2


async def test_a_provider_without_batches_has_fallbacks_too(studio):
    """One by one as its calls are."""
    studio.acme.script["call[1]"] = [busy()]
    async with await studio.open(settings=Settings(policies=studio.policies, concurrency=1)) as client:
        results = await client.batch("acme:text", THREE, fallbacks=["acme:other"])
    assert texts(results) == ["re: one #0", "re: two #0", "re: three #0"]
    assert studio.acme.sent == ["call[0]", "call[1]", "call[1]", "call[2]"]


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (ConnectionFailedError("cut", sent=Sent.UNKNOWN), UnknownOutcomeError),
        (ContentRejectedError("no"), ContentRejectedError),
    ],
)
async def test_a_call_in_doubt_or_refused_for_its_input_is_asked_of_nobody_else(studio, end, error):
    """It may be paid for, or would be refused again."""
    studio.acme.submits = [end]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, fallbacks=["acme:other"], on_unknown=OnUnknown.FAIL)
    assert {type(result) for result in results} == {error}
    assert studio.acme.sent == []


async def test_the_last_model_s_error_stands_in_its_call_s_place(studio):
    """When all of them failed."""
    studio.acme.ends["two"] = [busy()]
    studio.acme.script["call[1]"] = [busy(), JobFailedError("broke")]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE, fallbacks=["acme:other", "acme:text"])
    assert texts(results) == ["batched: one", "JobFailedError", "batched: three"]


async def test_a_fallback_that_cannot_take_the_calls_is_told(studio):
    """In each result, whoever gave it; the next one is asked."""
    studio.acme.ends["two"] = [busy()]
    async with await studio.open() as client:
        results = await client.batch("acme:batch", THREE[:2], fallbacks=["acme:picture", "acme:other"])
    assert texts(results) == ["batched: one", "re: two #0"]
    ((first,), (second, third)) = told(results)
    assert first == second
    assert first.startswith("the fallback acme:picture cannot take the call: acme:picture does image.generate")
    assert third == BUSY


async def test_options_are_the_first_model_s_own(studio):
    """Another vendor would not know them."""
    bodies = []

    async def look(request, context):
        bodies.append(request.body)
        return JobResult((TextArtifact("instead"),))

    studio.acme.ends["one"], studio.acme.script["call[0]"] = [busy()], [look]
    async with await studio.open() as client:
        await client.batch("acme:batch", THREE[:1], options={"knob": 3}, fallbacks=["acme:other"])
    assert bodies == [{"prompt": "one"}]


async def test_fallbacks_share_the_bound_of_all_calls(studio):
    """Two of three are refused in the batch; one of them fits once the third has its price."""
    studio.acme.ends = {"one": [busy()], "two": [busy()]}
    policies = replace(studio.policies, money=MoneyPolicy(max_run=Decimal("0.40")))
    async with await studio.open(settings=Settings(policies=policies)) as client:
        results = await client.batch("acme:batch-priced", THREE, fallbacks=["acme:priced"])
    assert isinstance(results[2], JobResult)
    assert [isinstance(each, BudgetExceededError) for each in results].count(True) == 1
    assert len(studio.acme.sent) == 1


async def test_a_batch_has_a_bound_of_its_own(studio):
    """It is for all calls together, in place of the configured one; what nobody knows the price of is refused."""
    policies = replace(studio.policies, money=MoneyPolicy(max_run=Decimal("0.10")))
    async with await studio.open(settings=Settings(policies=policies)) as client:
        results = await client.batch("acme:batch-priced", THREE, max_cost=Decimal("0.30"))
        (unknown,) = await client.batch("acme:batch", THREE[:1], max_cost=Decimal(5))
    assert [type(each) for each in results] == [JobResult, JobResult, BudgetExceededError]
    assert "of the $0.30 for these calls $0.00 is spent and $0.25 reserved" in str(results[2])
    assert isinstance(unknown, BudgetExceededError)
    assert [len(keys) for keys in studio.acme.batches] == [2]


async def test_a_strict_batch_sends_nothing_that_is_not_as_wished(studio):
    """No batch of the provider's, or a fallback that cannot take a call: before anything is sent."""
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match=r"^strict: .*batch"):
            await client.batch("acme:text", THREE, strict=True)
        with pytest.raises(CallsheetError, match="picture"):
            await client.batch("acme:batch", THREE, strict=True, fallbacks=["acme:picture"])
        assert studio.acme.sent == []
        assert len(await client.batch("acme:batch", THREE, strict=True, fallbacks=["acme:other"])) == 3


class TestReuse:
    """The same list once more."""

    @pytest.mark.parametrize("calls", [THREE, [{"prompt": "one"}] * 3], ids=["different", "equal"])
    async def test_what_a_fallback_has_paid_for_is_found(self, studio, calls):
        """By another process, and without a word to any provider."""
        studio.acme.ends["one"] = [busy()]
        async with await studio.open() as client:
            first = await client.batch("acme:batch", calls, reuse=True, fallbacks=["acme:other"])
        paid = (list(studio.acme.batches), list(studio.acme.sent))
        async with await studio.open() as client:
            again = await client.batch("acme:batch", calls, reuse=True, fallbacks=["acme:other"])
        assert texts(first)[0] == "re: one #0"
        assert texts(again) == texts(first)
        assert (studio.acme.batches, studio.acme.sent) == paid == ([[call["prompt"] for call in calls]], ["call[0]"])

    async def test_equal_calls_are_takes_of_their_own_for_a_fallback_too(self, studio):
        """None of them is given the other's result."""
        studio.acme.submits = [busy()]
        async with await studio.open() as client:
            results = await client.batch("acme:batch", THREE[:1] * 2, reuse=True, fallbacks=["acme:other"])
        assert texts(results) == ["re: one #0", "re: one #1"]

    async def test_what_is_new_leaves_without_what_is_paid_for(self, studio):
        """Nobody waits for the calls that have their results."""
        studio.acme.ends["two"] = [busy()]
        async with await studio.open() as client:
            await client.batch("acme:batch", THREE[:2], reuse=True, fallbacks=["acme:other"])
            results = await client.batch("acme:batch", THREE, reuse=True, fallbacks=["acme:other"])
        assert texts(results) == ["batched: one", "re: two #0", "batched: three"]
        assert studio.acme.batches == [["one", "two"], ["three"]]

    async def test_without_it_all_are_paid_for_anew(self, studio):
        """By a fallback, too."""
        studio.acme.submits = [busy(), busy()]
        async with await studio.open() as client:
            first = await client.batch("acme:batch", THREE[:1] * 2, fallbacks=["acme:other"])
            again = await client.batch("acme:batch", THREE[:1] * 2, fallbacks=["acme:other"])
        assert sorted(texts([*first, *again])) == [f"re: one #{number}" for number in range(4)]


@pytest.mark.parametrize("fallbacks", [[], ["acme:other"]])
async def test_a_call_that_middleware_stops_holds_no_batch_up(studio, fakes, fallbacks):
    """The others leave without it, and do not wait for the end of its fallback's call either."""
    left = asyncio.Event()

    async def leave():
        left.set()

    async def wait(_request, _context):
        await left.wait()
        return JobResult((TextArtifact("instead"),))

    studio.acme.submits, studio.acme.script["call[1]"] = [leave], [wait]

    class Fence:
        @hookimpl
        def callsheet_register_middleware(self):
            async def stop(job, request, proceed):
                if job.id == "call[1]" and job.ref.model == "batch":
                    raise busy()
                return await proceed()

            return (stop,)

    fence = ("fence", Fence(), fakes.manifest("fence", top={"provides": ["middleware"]}))
    async with await studio.open(host=PluginHost(Discovery(), extra=[*studio.extra(), fence])) as client:
        async with asyncio.timeout(20):
            results = await client.batch("acme:batch", THREE, fallbacks=fallbacks)
    second = "instead" if fallbacks else "OverloadedError"
    assert texts(results) == ["batched: one", second, "batched: three"]
