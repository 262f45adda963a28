"""How a call is opened: with two writes from beginning to end where nothing is in the way, and step by step else."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.budget import Budget
from callsheet.errors import BudgetExceededError, ConnectionFailedError, InvalidRequestError, Sent
from callsheet.jobs import JobResult
from callsheet.money import Cost
from callsheet.pay_once import StillRunningError, UnknownOutcomeError
from callsheet.policies import LimitPolicy, MoneyPolicy, Policies, RetryPolicy
from callsheet.settings import Settings

WIDE = LimitPolicy(requests=1e9, tokens=1e12, concurrency=8)


def settings(limit=WIDE, **money) -> Settings:
    """A project with limits and a budget."""
    amounts = {name: Decimal(value) for name, value in money.items()}
    policies = Policies(limits={"": limit}, money=MoneyPolicy(**amounts), retries={"": RetryPolicy(attempts=1)})
    return Settings(policies=policies)


def samples(studio) -> list[int]:
    """The samples that succeeded, in this order."""
    return [event.body["sample"] for event in studio.acme.events if event.type == "job.succeeded"]


def under_way(client) -> int:
    """How many requests the gate counts."""
    return client.runtime.services.admissions.gate("acme").under_way


async def test_a_call_is_two_writes(studio):
    """With a limit, a budget for the day and one for a run: one before the request leaves, and one for its result."""
    async with await studio.open(settings=settings(max_run="1", max_day="5")) as client:
        await client.call("acme:priced", prompt="smoke")  # the first one looks at what others have written
        before = client.ledger._writer.commits
        for number in range(4):
            await client.call("acme:priced", prompt=f"lava {number}")
        assert client.ledger._writer.commits - before == 8
        assert under_way(client) == 0
    assert len(studio.acme.sent) == 5


@pytest.mark.parametrize("durable", [True, False])
async def test_a_tight_limit_is_waited_for(studio, durable):
    """The second call is claimed, stands in line, and leaves when its slot begins."""
    async with await studio.open(settings=settings(LimitPolicy(requests=0.001)), durable=durable) as client:
        await client.call("acme:text", prompt="one")
        await client.call("acme:text", prompt="two")
    assert studio.acme.sent == ["call", "call"]
    assert sum(studio.acme.slept) > 900


async def test_a_fresh_call_is_no_twin_of_one_in_flight(studio):
    """Who asks for sample 0 by name is about to pay for it: the other call is another take."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request, context):
        arrived.set()
        await go_on.wait()
        return JobResult((TextArtifact("the first"),))

    studio.acme.script["call"] = [answer]
    async with await studio.open() as client:
        named = asyncio.create_task(client.call("acme:text", prompt="lava", reuse=True))
        await arrived.wait()
        fresh = await client.call("acme:text", prompt="lava")
        go_on.set()
        assert (await named).artifacts[0].text == "the first"
        assert fresh.artifacts[0].text == "re: lava #1"
        assert samples(studio) == [1, 0]


async def test_what_another_process_works_on_is_no_fresh_take(studio):
    """Its sample is passed over, and nobody waits for it."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def held(request, context):
        arrived.set()
        await go_on.wait()
        raise ConnectionFailedError("no", sent=Sent.NOT_SENT)

    studio.acme.script["call"] = [held]
    async with await studio.open() as one, await studio.open() as other:
        theirs = asyncio.create_task(one.call("acme:text", prompt="lava", reuse=True))
        await arrived.wait()
        assert (await other.call("acme:text", prompt="lava")).artifacts[0].text == "re: lava #1"
        go_on.set()
        with pytest.raises(ConnectionFailedError):
            await theirs
    assert 0.2 not in studio.acme.slept


async def test_what_a_dead_process_left_with_the_provider_is_no_fresh_take(studio):
    """It stays as it was left, for whoever asks for that very call, in its run."""
    studio.acme.polls["remote-call"] = [InvalidRequestError("not now", sent=Sent.UNKNOWN)]
    async with await studio.open() as client:
        with pytest.raises(StillRunningError):
            await client.call("acme:job", prompt="lava", reuse=True)
        (left,) = await client.ledger.open_calls()
    async with await studio.open() as client, await studio.open() as other:
        assert (await client.call("acme:job", prompt="lava")).artifacts[0].text == "re: lava #1"
        assert await client.ledger.open_calls() == [left]
        assert (await other.call("acme:job", prompt="lava", reuse=True)).artifacts[0].text == "re: lava #0"
    assert len(studio.acme.sent) == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_finds_a_sample_taken_by_another_process_looks_again(studio, streamed):
    """Two that look for one at the same moment are takes of their own."""
    raced = []

    async def made(client):
        if not streamed:
            return await client.call("acme:live", prompt="lava")
        return [event async for event in client.stream("acme:live", prompt="lava")][-1].result

    async with await studio.open() as one, await studio.open() as other:
        await made(other)
        fresh = one.runtime.pay_once.fresh
        take = fresh.take

        async def late(call, count=1):
            taken = await take(call, count)
            if not raced:
                raced.append(await made(other))
            return taken

        fresh.take = late
        result = await made(one)
    assert (raced[0].artifacts[0].text, result.artifacts[0].text) == ("re: lava #1", "re: lava #2")
    assert samples(studio) == [0, 1, 2]


async def test_a_guessed_sample_that_may_be_paid_for_is_not_left_for_another(studio):
    """In doubt, text is sent once more as the same take, and then it is for the user to say."""
    lost = ConnectionFailedError("reset", sent=Sent.UNKNOWN)
    studio.acme.script["call"] = [lost, lost, lost, lost]
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError):
            await client.call("acme:text", prompt="lava")
        rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    assert len(studio.acme.sent) == 2
    assert len(rows) == 1


async def test_who_is_cancelled_while_the_call_is_opened_leaves_nothing_behind(studio):
    """Nothing is sent, the gate is left, and the next call is the same take."""
    async with await studio.open(settings=settings(max_day="5")) as client:
        await client.call("acme:priced", prompt="smoke")
        open_call = client.ledger.open_call

        async def cancelled(opening):
            task.cancel()
            return await open_call(opening)

        client.ledger.open_call = cancelled
        task = asyncio.create_task(client.call("acme:priced", prompt="lava"))
        with pytest.raises(asyncio.CancelledError):
            await task
        client.ledger.open_call = open_call
        assert (under_way(client), len(studio.acme.sent)) == (0, 1)
        assert (await client.call("acme:priced", prompt="lava")).artifacts[0].text == "re: lava #0"


@pytest.mark.parametrize("durable", [True, False])
async def test_a_call_over_its_budget_leaves_the_gate(studio, durable):
    """It was claimed, nothing was sent, and the place is free for others."""
    async with await studio.open(settings=settings(max_day="0.30"), durable=durable) as client:
        await client.call("acme:priced", prompt="smoke")
        if durable:
            with pytest.raises(BudgetExceededError):
                await client.call("acme:priced", prompt="lava")
        assert under_way(client) == 0
    assert len(studio.acme.sent) == 1


@pytest.mark.parametrize("durable", [True, False])
async def test_a_call_that_is_above_a_bound_by_itself_is_never_about_to_leave(studio, durable):
    """Where another one could, at once."""
    async with await studio.open(settings=settings(max_run="0.30"), durable=durable) as client:
        await client.call("acme:priced", prompt="smoke")
        before = len(studio.acme.events)
        with pytest.raises(BudgetExceededError):
            await client.call("acme:priced", prompt="lava", max_cost=Decimal("0.10"))
        assert under_way(client) == 0
    assert [event.type for event in studio.acme.events[before:]] == ["job.started", "attempt.failed"]


async def test_a_guessed_sample_that_is_taken_takes_nothing_of_a_budget(studio):
    """The next one fits where one does."""
    async with await studio.open() as client:
        await client.call("acme:priced", prompt="lava")
    async with await studio.open(settings=settings(max_run="0.30")) as client:
        await client.call("acme:text", prompt="smoke")
        assert (await client.call("acme:priced", prompt="lava")).artifacts[0].text == "re: lava #1"


async def test_what_is_paid_for_already_takes_nothing_of_a_budget(studio):
    """Of calls that come together, some are on record: the other one fits."""
    async with await studio.open(settings=settings(max_run="0.30")) as client:
        await client.call("acme:priced", prompt="smoke", reuse=True)
        asked = [{"prompt": "smoke"}, {"prompt": "lava"}]
        done = await client.batch("acme:priced", asked, reuse=True)
        services = client.runtime.services
        budget = Budget.of(services, services.policies.money, many=True)
        known, new = (SimpleNamespace(cost=Cost.exactly("0.25")) for _ in range(2))
        assert budget.ahead(known, "known") is None  # it would count until its claim is answered
        await budget.reserve(new, "new", patient=False)
    assert [result.artifacts[0].text for result in done] == ["re: smoke #0", "re: lava #0"]
    assert len(studio.acme.sent) == 2


async def test_what_the_budget_refused_is_the_next_take(studio):
    """Nothing was sent of it: asking for it by name afterwards finds what was paid for, and pays for nothing else."""
    async with await studio.open(settings=settings(max_run="0.10")) as client:
        with pytest.raises(BudgetExceededError):
            await client.call("acme:priced", prompt="lava")
    async with await studio.open() as client:
        assert (await client.call("acme:priced", prompt="lava")).artifacts[0].text == "re: lava #0"
        assert (await client.call("acme:priced", prompt="lava", reuse=True)).artifacts[0].text == "re: lava #0"
    assert len(studio.acme.sent) == 1


async def test_what_was_given_up_in_line_is_the_next_take(studio):
    """Whoever goes away before the request leaves has taken no sample; in this process and in the next one."""
    waiting = asyncio.Event()

    async def sleep(_seconds):
        waiting.set()
        await asyncio.Event().wait()

    studio.acme.sleep = sleep
    async with await studio.open(settings=settings(LimitPolicy(requests=0.001))) as client:
        await client.call("acme:text", prompt="smoke")
        task = asyncio.create_task(client.call("acme:text", prompt="lava"))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with await studio.open() as client:
        one, two = await asyncio.gather(*(client.call("acme:text", prompt="lava") for _ in range(2)))
    assert {one.artifacts[0].text, two.artifacts[0].text} == {"re: lava #0", "re: lava #1"}
