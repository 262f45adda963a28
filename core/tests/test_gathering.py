"""`dispatch = "batch"` in a sheet: what leaves together, what comes back, and what a later run makes of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from callsheet.cancellation import cancel_run
from callsheet.discovery import discover
from callsheet.errors import ConfigError, OverloadedError, Sent
from callsheet.jobs import AbortOutcome, RemoteState, RemoteStatus
from callsheet.models import Mode
from callsheet.pay_once import OnUnknown
from callsheet.plugin_host import PluginHost
from callsheet.runs import RunRequest
from callsheet.settings import Settings
from callsheet.sheet import CallSheet
from callsheet.storage import CallState

BATCH = """
[producers.b]
operation = "text.generate"
models = ["acme:batch-priced", "acme:other"]
dispatch = "batch"
for_each = 3
prompt = "number {{ index }}"
"""
ALL = ["number 0", "number 1", "number 2"]


def statuses(run):
    """Job id to status."""
    return {name: outcome.status.value for name, outcome in run.outcomes.items()}


def texts(run):
    """Job id to text."""
    return {name: outcome.artifacts[0].text for name, outcome in run.outcomes.items() if outcome.artifacts}


async def run_of(studio, sheet, request=None, **options):
    """Run a sheet to its end."""
    folder = studio.sheet(sheet)
    async with await studio.open(**options) as client:
        return await client.run(CallSheet.load(folder), request or RunRequest())


async def test_a_producer_s_jobs_leave_together(studio):
    """One batch for all of them, however few calls may be under way at once."""
    run = await run_of(studio, BATCH, settings=Settings(concurrency=1))
    assert studio.acme.batches == [ALL]
    assert texts(run) == {f"b[{n}]": f"batched: number {n}" for n in range(3)}
    assert run.status == "succeeded"


async def test_the_price_is_that_of_a_batch(studio):
    """In the plan before, and in the manifest afterwards."""
    folder = studio.sheet(BATCH)
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(folder))
        run = await client.run(CallSheet.load(folder))
    assert str(plan.cost) == "$0.375"
    assert {job.dispatch for job in plan.jobs} == {"batch"}
    assert run.manifest["cost"] == {"usd": "0.375"}
    assert {job["dispatch"] for job in run.manifest["jobs"]} == {"batch"}


async def test_what_is_paid_for_does_not_go_again(studio):
    """The batch has only what is not in the store."""
    await run_of(studio, BATCH)
    run = await run_of(studio, BATCH.replace("for_each = 3", "for_each = 5"))
    assert studio.acme.batches == [ALL, ["number 3", "number 4"]]
    assert sorted(set(statuses(run).values())) == ["executed", "reused"]


async def test_a_batch_waits_for_jobs_that_can_still_come(studio):
    """Its calls are gathered until their upstream is there, also when one of them failed there."""
    studio.acme.script["a[1]"] = [OverloadedError("busy", sent=Sent.REJECTED)]
    run = await run_of(
        studio,
        """
        [producers.a]
        operation = "text.generate"
        models = ["acme:text"]
        for_each = 3
        prompt = "first {{ index }}"
        [producers.b]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        for_each = "a"
        prompt = "{{ a[index] }}"
        """,
    )
    assert studio.acme.batches == [["re: first 0 #0", "re: first 2 #0"]]
    assert statuses(run)["b[1]"] == "blocked"


async def test_a_chain_within_a_producer_goes_link_by_link(studio):
    """What needs the batch does not hold it up."""
    run = await run_of(
        studio,
        """
        [producers.b]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        for_each = 3
        prompt = "{% if index > 0 %}{{ b[index-1] }} and {% endif %}{{ index }}"
        """,
    )
    assert studio.acme.batches == [["0"], ["batched: 0 and 1"], ["batched: batched: 0 and 1 and 2"]]
    assert run.status == "succeeded"


async def test_two_batches_that_need_each_other_by_turns_both_leave(studio):
    """Neither waits for a job that waits for it."""
    run = await run_of(
        studio,
        """
        [producers.p]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        for_each = 2
        prompt = "p{{ index }}{% if index > 0 %} {{ q[index-1] }}{% endif %}"
        [producers.q]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        for_each = 2
        prompt = "q{{ index }}{% if index > 0 %} {{ p[index-1] }}{% endif %}"
        """,
    )
    assert run.status == "succeeded"
    assert sorted(map(len, studio.acme.batches)) == [1, 1, 2]  # q[0] waits for q[1], once p[0] is on its way


async def test_equal_calls_of_two_batches_are_one_call(studio):
    """A twin needs no place of its own, and holds nothing up."""
    run = await run_of(
        studio,
        """
        [producers.p]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        for_each = 2
        prompt = "{% if index > 0 %}{{ q }}{% else %}same{% endif %}"
        [producers.q]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        prompt = "same"
        """,
    )
    assert run.status == "succeeded"
    assert sorted(studio.acme.batches) == [["batched: same"], ["same"]]


async def test_an_item_that_fails_goes_to_the_next_model_by_itself(studio):
    """Fallbacks are plain calls."""
    studio.acme.ends = {"number 1": ["missing"]}
    run = await run_of(studio, BATCH)
    assert studio.acme.batches == [ALL]
    assert studio.acme.sent == ["b[1]"]
    assert texts(run)["b[1]"] == "re: number 1 #0"


async def test_fail_fast_starts_no_batch(studio):
    """What was gathered is skipped."""
    studio.acme.script["a[0]"] = [OverloadedError("busy", sent=Sent.REJECTED)]
    run = await run_of(
        studio,
        """
        [producers.a]
        operation = "text.generate"
        models = ["acme:text"]
        for_each = 1
        prompt = "first"
        [producers.b]
        operation = "text.generate"
        models = ["acme:batch"]
        dispatch = "batch"
        for_each = 2
        prompt = "{{ index }}{% if index > 0 %}{{ a[0] }}{% endif %}"
        """,
        RunRequest(fail_fast=True),
    )
    assert studio.acme.batches == []
    assert statuses(run)["b[0]"] == "skipped"


@pytest.mark.parametrize("strict", [False, True])
async def test_a_provider_without_batches_is_told_of(studio, strict):
    """A warning in plan and run, an error under --strict; the calls are made one by one."""
    sheet = CallSheet.load(studio.sheet(BATCH.replace("acme:batch-priced", "acme:text")))
    async with await studio.open() as client:
        if strict:
            with pytest.raises(ConfigError, match="batch"):
                await client.plan(sheet, RunRequest(strict=True))
            return
        plan = await client.plan(sheet)
        run = await client.run(sheet)
    assert [w.kind.value for w in plan.warnings] == ["emulated"]
    assert {job.dispatch for job in plan.jobs} == {"call"}
    assert (run.status, studio.acme.batches) == ("succeeded", [])
    assert all("batch" in job["warnings"][0] for job in run.manifest["jobs"])


async def test_a_mocked_run_needs_no_batch(studio):
    """The stand-in makes its calls, and says nothing about the provider."""
    folder = studio.sheet(BATCH)
    host = PluginHost(discover(environ={}), extra=studio.extra())
    async with await studio.open(host=host) as client:
        plan = await client.plan(CallSheet.load(folder), RunRequest(mode=Mode.MOCK))
        run = await client.run(CallSheet.load(folder), mode="mock")
    assert plan.warnings == ()
    assert run.status == "succeeded"
    assert studio.acme.batches == []


async def stopped_run(studio, reach):
    """A run whose process stops (as Ctrl-C does) while its batch is with the provider; its id."""
    studio.acme.abort_outcome = AbortOutcome.CLIENT_SIDE_ONLY
    folder = studio.sheet(BATCH)
    hang = asyncio.Event()

    async def stall():
        reach.set()
        await hang.wait()

    studio.acme.polls["batch-1"] = [stall]
    async with await studio.open() as client:
        task = asyncio.create_task(client.run(CallSheet.load(folder)))
        await reach.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return (await client.ledger.runs())[0].id


async def test_a_resumed_run_collects_its_batch(studio):
    """Another process polls it once and sends nothing."""
    run_id = await stopped_run(studio, asyncio.Event())
    async with await studio.open() as client:
        calls = await client.ledger.open_calls(run_id)
        run = await client.resume(run_id)
    assert {(call.state, call.receipt.job_id) for call in calls} == {(CallState.SUBMITTED, "batch-1")}
    assert run.status == "succeeded"
    assert studio.acme.batches == [ALL]
    assert len(studio.acme.polled) == 2


async def test_a_batch_is_collected_by_its_receipt_alone(studio):
    """All of its calls, in order; a second time the ledger answers by itself."""
    run_id = await stopped_run(studio, asyncio.Event())
    studio.acme.ends = {"number 1": [OverloadedError("busy", sent=Sent.REJECTED)]}
    async with await studio.open() as client:
        receipt = (await client.ledger.open_calls(run_id))[0].receipt
        result = await client.collect(receipt)
        again = await client.collect(receipt)
        assert await client.ledger.open_calls() == []
    assert [a.text for a in result.artifacts] == ["batched: number 0", "batched: number 2"]
    assert [w.message for w in result.warnings] == ["busy"]
    assert again.artifacts == result.artifacts
    assert studio.acme.batches == [ALL]


async def test_a_foreign_batch_is_refused(studio, tmp_path):
    """Its calls are known only where it was sent."""
    run_id = await stopped_run(studio, asyncio.Event())
    async with await studio.open() as client:
        receipt = (await client.ledger.open_calls(run_id))[0].receipt
    other = tmp_path / "elsewhere"
    other.mkdir()
    studio.folder = other
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match="resume it where it was sent"):
            await client.collect(receipt)


async def test_a_dead_run_s_batch_is_aborted_once(studio):
    """`runs cancel` stops the batch, and with it all of its calls."""
    run_id = await stopped_run(studio, asyncio.Event())
    studio.acme.aborted.clear()
    studio.acme.abort_outcome = AbortOutcome.STOPPED
    async with await studio.open() as client:
        ended = await cancel_run(client.runtime, run_id)
    assert [call.outcome for call in ended.calls] == ["stopped"] * 3
    assert studio.acme.aborted == ["batch-1"]


async def test_a_wait_that_is_given_up_leaves_the_batch_pending(studio):
    """The receipts stay good, and a resume asks again."""
    studio.acme.polls["batch-1"] = [OverloadedError("busy")] * 12
    folder = studio.sheet(BATCH.replace(', "acme:other"', ""))
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder))
        again = await client.resume(run.id, on_unknown=OnUnknown.FAIL)
    assert set(statuses(run).values()) == {"pending"}
    assert again.status == "succeeded"
    assert studio.acme.batches == [ALL]


async def test_the_report_and_events_say_that_it_was_a_batch(studio):
    """Each call names the batch that it left in."""
    studio.acme.polls["batch-1"] = [RemoteStatus(RemoteState.RUNNING)]
    run = await run_of(studio, BATCH)
    assert "batch" in (run.output / "report.html").read_text(encoding="utf-8")
    async with await studio.open() as client:
        events = await client.ledger.events(run.id)
    submitted = [event.body for event in events if event.type == "job.submitted"]
    assert {(body["job_id"], len(str(body["batch"]))) for body in submitted} == {("batch-1", 64)}
    assert json.loads((run.output / "manifest.json").read_text(encoding="utf-8"))["jobs"][0]["dispatch"] == "batch"


def test_dispatch_is_call_or_batch(studio):
    """Anything else is refused with its place."""
    with pytest.raises(ConfigError, match=r"producers\.b\.dispatch: wants 'call' or 'batch', got 'bulk'"):
        CallSheet.load(studio.sheet(BATCH.replace('"batch"', '"bulk"')))
