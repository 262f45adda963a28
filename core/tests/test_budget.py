"""Budgets: what is sent is within them, whatever is billed counts, and what is paid for goes on."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.budget import failed_cost
from callsheet.errors import BudgetExceededError, InvalidRequestError, JobFailedError, OverloadedError, Sent
from callsheet.failures import failure_of, raise_failure
from callsheet.jobs import JobResult
from callsheet.money import Cost
from callsheet.policies import MoneyPolicy, Policies, RetryPolicy
from callsheet.runs import RunRequest
from callsheet.settings import Settings
from callsheet.sheet import CallSheet

FOUR = """
[producers.a]
operation = "text.generate"
models = ["acme:priced"]
for_each = 4
prompt = "{{ index }}"
[producers.b]
operation = "text.generate"
models = ["acme:priced"]
for_each = "a"
prompt = "{{ a[index] }}"
"""
ONE_BY_ONE = 1


def settings(concurrency=ONE_BY_ONE, origins=None, attempts=1, **money) -> Settings:
    """A project with a money policy, amounts as text."""
    amounts = {name: value if name == "unknown" else Decimal(value) for name, value in money.items()}
    policies = Policies(money=MoneyPolicy(**amounts), retries={"": RetryPolicy(attempts=attempts)})
    return Settings(concurrency=concurrency, policies=policies, origins=origins or {})


def bound(usd: str, **asked) -> RunRequest:
    """A run with `--max-cost`."""
    return RunRequest(max_cost=Decimal(usd), **asked)


def statuses(run):
    """Job id to status."""
    return {name: outcome.status.value for name, outcome in run.outcomes.items()}


async def test_a_run_stops_before_the_job_that_would_exceed_it(studio):
    """That one failed and says why, what comes later is skipped, and what needs them is blocked; paid ones go on."""
    sheet = CallSheet.load(studio.sheet(FOUR))
    async with await studio.open(settings=settings()) as client:
        run = await client.run(sheet, bound("0.60"))
        ended = statuses(run)
        again = await client.run(sheet, bound("0"))
        whole = await client.resume(run.id, max_cost=Decimal(2))
    assert ended == {
        "a[0]": "executed",
        "a[1]": "executed",
        "a[2]": "failed",
        "a[3]": "skipped",
        "b[0]": "skipped",
        "b[1]": "skipped",
        "b[2]": "blocked",
        "b[3]": "blocked",
    }
    assert (run.status, run.manifest["cost"]) == ("partial", {"usd": "0.50"})
    assert str(run.outcomes["a[2]"].error) == (
        "a[2] (acme:priced) was not started: it costs $0.25, and of the $0.60 for this run $0.50 is spent and $0.00 "
        "reserved for calls under way"
    )
    assert run.outcomes["a[3]"].detail == "a[3] was not started: the budget did not allow a[2]"
    job = next(job for job in run.manifest["jobs"] if job["id"] == "a[2]")
    assert (job["status"], job["kind"], job["sent"]) == ("failed", "budget", "not_sent")
    assert statuses(again)["a[0]"] == statuses(again)["a[1]"] == "reused"
    assert statuses(again)["a[2]"] == "failed"
    assert (whole.status, whole.manifest["cost"]) == ("succeeded", {"usd": "2.00"})
    assert len(studio.acme.sent) == 8


async def test_calls_wait_for_what_others_may_give_back(studio):
    """What is set aside is the most that may be billed; what is billed is known when they end."""

    async def cheaper(request, context):
        return JobResult((TextArtifact("x"),), cost=Cost.exactly("0.05"))

    sheet = CallSheet.load(studio.sheet(FOUR.partition("[producers.b]")[0]))
    studio.acme.script = {f"a[{number}]": [cheaper] for number in range(4)}
    async with await studio.open(settings=settings(concurrency=4)) as client:
        run = await client.run(sheet, bound("0.40"))
    assert run.status == "succeeded"
    assert run.manifest["cost"] == {"usd": "0.20"}
    assert 0.5 in studio.acme.slept


async def test_an_unknown_price_under_a_bound(studio):
    """`--max-cost` refuses it, unless the configuration allows it; a configured bound alone allows it, unless told to refuse."""
    sheet = CallSheet.load(
        studio.sheet('[producers.a]\noperation = "text.generate"\nmodels = ["acme:text"]\nprompt = "{{ 1 }}"\n')
    )
    allowed = {("money", "unknown"): "callsheet.toml"}
    asked = [
        (settings(), bound("5"), "failed"),
        (settings(max_run="5", unknown="refuse"), RunRequest(), "failed"),
        (settings(unknown="allow", origins=allowed), bound("5"), "succeeded"),
    ]
    for number, (project, request, status) in enumerate(asked):
        async with await studio.open(settings=project) as client:
            run = await client.run(sheet, request)
        assert run.status == status, number
        if status == "failed":
            told = str(run.outcomes["a"].error)
            assert "unknown (no price is on record for this model), and a budget is set" in told
            assert '[money] unknown = "allow"' in told
    assert studio.acme.sent == ["a"]


async def test_an_unknown_price_stops_nobody_else(studio):
    """The bound is not reached: what has a price is made."""
    text = '[producers.{}]\noperation = "text.generate"\nmodels = ["acme:{}"]\nprompt = "x"\n'
    sheet = CallSheet.load(studio.sheet(text.format("a", "text") + text.format("b", "priced")))
    async with await studio.open(settings=settings()) as client:
        run = await client.run(sheet, bound("5"))
    assert statuses(run) == {"a": "failed", "b": "executed"}


async def test_a_single_call_is_within_the_bounds(studio):
    """Of a run by itself, of a day with all that was called before, also by other processes; streams and the unrecorded too."""
    async with await studio.open(settings=settings(max_run="0.20")) as client:
        with pytest.raises(BudgetExceededError, match=r"\$0\.20 for a call outside of a run"):
            await client.call("acme:priced", prompt="x")
        with pytest.raises(BudgetExceededError):
            await anext(client.stream("acme:priced", prompt="x"))
    async with await studio.open(settings=settings(max_run="0.20"), durable=False) as client:
        with pytest.raises(BudgetExceededError):
            await client.call("acme:priced", prompt="x")
    assert studio.acme.sent == []
    for _ in range(2):
        async with await studio.open(settings=settings(max_day="0.60")) as client:
            await client.call("acme:priced", prompt="x")
    async with await studio.open(settings=settings(max_day="0.60")) as client:
        with pytest.raises(BudgetExceededError, match=r"\$0\.60 for this project today \$0\.50 is spent"):
            await client.call("acme:priced", prompt="x")
    assert len(studio.acme.sent) == 2


async def test_a_call_brings_its_own_bound(studio):
    """It takes the place of the configured one, up or down; a stream likewise."""
    async with await studio.open(settings=settings(max_run="0.20")) as client:
        await client.call("acme:priced", prompt="x", max_cost=Decimal("0.25"))
        with pytest.raises(BudgetExceededError, match=r"\$0\.24 for a call outside of a run"):
            await client.call("acme:priced", prompt="x", max_cost=Decimal("0.24"))
        with pytest.raises(BudgetExceededError):
            await anext(client.stream("acme:priced", prompt="x", max_cost=Decimal(0)))
        with pytest.raises(BudgetExceededError, match="a budget is set"):
            await client.call("acme:text", prompt="x", max_cost=Decimal(5))
    assert len(studio.acme.sent) == 1


@pytest.mark.parametrize(("model", "count"), [("acme:priced", 2), ("acme:batch-priced", 4)])
async def test_many_calls_share_one_bound(studio, model, count):
    """One by one, and by batch for half the price; what does not fit is an error in its place."""
    async with await studio.open(settings=settings(max_run="0.60")) as client:
        ended = await client.batch(model, [{"prompt": str(number)} for number in range(6)])
    assert sum(isinstance(each, JobResult) for each in ended) == count
    assert sum(isinstance(each, BudgetExceededError) for each in ended) == 6 - count


async def test_a_plan_prices_what_waits(studio):
    """Where upstream gives texts, and the price is not by their length; elsewhere it is priced when it is there."""
    sheet = studio.sheet(FOUR)
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(sheet))
        text = FOUR.replace('prompt = "{{ a[index] }}"', 'prompt = "x"\noptions = { size = "{{ a[index] }}" }')
        other = await client.plan(CallSheet.load(studio.sheet(text)))
    assert (plan.cost, plan.most) == (Cost.exactly(2), Decimal(2))
    assert {job.cost for job in plan.jobs} == {Cost.exactly("0.25")}
    assert other.most == Decimal(1)
    assert {job.cost.reason for job in other.jobs} == {"", "priced when its upstream is there"}


async def test_what_failed_is_billed_as_far_as_is_known(studio):
    """A refused request costs nothing, a result that is not as promised its price; else nobody knows, and the bound holds."""

    async def wrong(request, context):
        return JobResult((), cost=Cost.exactly("0.07"))

    studio.acme.script = {"call": [InvalidRequestError("no"), wrong, JobFailedError("broke", retryable=False)]}
    async with await studio.open(settings=settings(max_day="0.50")) as client:
        for _ in range(3):
            with pytest.raises(Exception, match=r"no|acme|broke"):
                await client.call("acme:priced", prompt="x")
        paid = await client.ledger.spending.attempts()
        with pytest.raises(BudgetExceededError, match=r"\$0\.32 is spent"):
            await client.call("acme:priced", prompt="x")
    assert [(each.outcome, each.cost) for each in paid] == [
        ("failed", Cost.exactly("0.07")),
        ("failed", Cost.unknown("the provider does not say what a failed job costs")),
    ]


async def test_each_attempt_needs_its_own_room(studio):
    """A failed one may be billed, so the next is another one for the budget."""
    studio.acme.script = {"a": [JobFailedError("broke"), JobFailedError("broke"), JobFailedError("broke")]}
    text = '[producers.a]\noperation = "text.generate"\nmodels = ["acme:priced"]\nprompt = "x"\n'
    async with await studio.open(settings=settings(attempts=3)) as client:
        run = await client.run(CallSheet.load(studio.sheet(text)), bound("0.60"))
    assert studio.acme.sent == ["a", "a"]
    assert isinstance(run.outcomes["a"].error, BudgetExceededError)
    assert run.manifest["cost"]["usd"] is None


async def test_two_processes_share_a_day(studio):
    """What one has set aside for a call under way, the other cannot have."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request, context):
        begun.set()
        await go_on.wait()
        return JobResult((TextArtifact("x"),))

    studio.acme.script = {"call": [slow]}
    project = settings(max_day="0.40")
    async with await studio.open(settings=project) as one, await studio.open(settings=project) as other:
        first = asyncio.create_task(one.call("acme:priced", prompt="x"))
        await begun.wait()
        waiting = asyncio.create_task(other.call("acme:priced", prompt="y"))
        while 0.5 not in studio.acme.slept:
            await asyncio.sleep(0)
        go_on.set()
        await first
        with pytest.raises(BudgetExceededError, match=r"\$0\.25 is spent and \$0\.00 reserved"):
            await waiting
    assert studio.acme.sent == ["call"]


async def test_a_job_that_goes_on_at_the_provider_keeps_its_money(studio):
    """Its process has ended, the job has not: what it may cost is not free for others."""

    async def accepted(request, context):
        raise asyncio.CancelledError

    async with await studio.open(settings=settings(max_day="0.40")) as client:
        studio.acme.script = {"call": [accepted]}
        with pytest.raises(asyncio.CancelledError):
            await client.call("acme:priced", prompt="x")
    async with await studio.open(settings=settings(max_day="0.40")) as client:
        with pytest.raises(BudgetExceededError):
            await client.call("acme:priced", prompt="y")


def test_a_request_is_as_it_was_on_resume():
    """The bound goes on with the run."""
    request = RunRequest(max_cost=Decimal("1.50"))
    kept = json.loads(json.dumps(request.to_json()))
    assert RunRequest.from_json(kept, run="r", output="o").max_cost == Decimal("1.50")
    assert RunRequest.from_json(RunRequest().to_json(), run="r", output="o").max_cost is None


def test_the_error_survives_as_data():
    """Its kind is a word of its own."""
    failure = failure_of(BudgetExceededError("too dear"), str)
    assert (failure.kind, failure.sent, failure.message) == ("budget", "not_sent", "too dear")
    with pytest.raises(BudgetExceededError, match="too dear"):
        raise_failure(failure)


@pytest.mark.parametrize(
    ("sent", "simulated", "usd"),
    [
        ("not_sent", False, 0),
        ("rejected", False, 0),
        ("finished", False, None),
        ("unknown", False, None),
        ("unknown", True, 0),
    ],
)
def test_the_cost_of_a_failure(sent, simulated, usd):
    """Nothing where nothing was started, else unknown with its reason."""
    cost = failed_cost(sent, simulated=simulated)
    assert cost.high == usd
    assert bool(cost.reason) is (usd is None)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(("sent", "left"), [(Sent.REJECTED, 0), (Sent.FINISHED, 1)])
async def test_an_attempt_that_may_be_billed_counts_for_the_next_one(studio, sent, left, durable):
    """Outside of a run, too: of a call that fails and is made again, both are within the bound."""
    studio.acme.script["call"] = [OverloadedError("busy", sent=sent)]
    async with await studio.open(settings=settings(attempts=2, max_run="0.40"), durable=durable) as client:
        if left:
            with pytest.raises(BudgetExceededError):
                await client.call("acme:priced", prompt="x")
            studio.acme.script["call"] = [OverloadedError("busy", sent=sent)]
        bound = Decimal("0.50") if left else None
        assert (await client.call("acme:priced", prompt="x", max_cost=bound)).cost == Cost.exactly("0.25")
    assert len(studio.acme.sent) == 2 + left


@pytest.mark.parametrize(("attempts", "fallbacks"), [(2, []), (1, ["acme:priced"])], ids=["again", "fallback"])
@pytest.mark.parametrize("sent", [Sent.REJECTED, Sent.FINISHED])
async def test_a_stream_that_may_be_billed_counts_for_what_comes_after_it(studio, sent, attempts, fallbacks):
    """One that was refused costs nothing, and takes nothing of the bound."""
    studio.acme.script["call"] = [OverloadedError("busy", sent=sent)]
    async with await studio.open(settings=settings(attempts=attempts, max_run="0.40")) as client:
        reading = client.stream("acme:live-priced", prompt="x", fallbacks=fallbacks)
        if sent is Sent.FINISHED:
            with pytest.raises(BudgetExceededError):
                _ = [event async for event in reading]
        else:
            assert [event async for event in reading][-1].result.cost == Cost.exactly("0.25")
    assert len(studio.acme.sent) == (1 if sent is Sent.FINISHED else 2)


@pytest.mark.parametrize("durable", [True, False])
async def test_many_calls_outside_of_a_run_share_one_bound(studio, durable):
    """Whether or not a ledger is kept."""
    async with await studio.open(settings=settings(max_run="0.40"), durable=durable) as client:
        first, *others = await client.batch("acme:priced", [{"prompt": prompt} for prompt in "abc"])
    assert first.cost == Cost.exactly("0.25")
    assert [type(other) for other in others] == [BudgetExceededError] * 2
    assert len(studio.acme.sent) == 1
