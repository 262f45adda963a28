"""A sheet from plan to outputs: states, reasons, branches, selections, pins, and what a second run does."""

from __future__ import annotations

import asyncio
import json

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.errors import ConfigError, ConnectionFailedError, InvalidRequestError, OverloadedError, Sent
from callsheet.jobs import JobResult, RemoteState, RemoteStatus
from callsheet.manifest import check_digest
from callsheet.models import Mode
from callsheet.pay_once import OnUnknown
from callsheet.plan import JobState, Reason
from callsheet.runner import JobStatus
from callsheet.runs import RunRequest
from callsheet.sheet import CallSheet

CHAIN = """
[inputs]
n = 2
[producers.a]
operation = "text.generate"
models = ["acme:text"]
for_each = "inputs.n"
prompt = "first {{ index }}"
[producers.b]
operation = "text.generate"
models = ["acme:job"]
for_each = "a"
prompt = "second: {{ a[index] }}"
[producers.c]
operation = "text.generate"
models = ["acme:text"]
prompt = "all: {{ b[0] }} / {{ b[1] }}"
"""
ONE = """
[producers.a]
operation = "text.generate"
models = ["acme:text"]
prompt = "lava"
"""


def states(plan):
    """Job id to (state, reason)."""
    return {job.id: (job.state.value, job.reason.value if job.reason else None) for job in plan.jobs}


def statuses(run):
    """Job id to status."""
    return {name: outcome.status.value for name, outcome in run.outcomes.items()}


async def test_a_chain_runs_in_order_and_its_outputs_have_human_names(studio):
    """Every job after its upstream; one file for each, and a manifest."""
    folder = studio.sheet(CHAIN)
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder))
    assert run.status == "succeeded"
    assert studio.acme.sent[-1] == "c"
    assert studio.acme.sent.index("a[1]") < studio.acme.sent.index("b[1]")
    names = {path.name for path in (folder / "output").iterdir()}
    assert names == {"a-0.txt", "a-1.txt", "b-0.txt", "b-1.txt", "c.txt", "manifest.json", "report.html"}
    assert (folder / "output/c.txt").read_text() == (
        "re: all: re: second: re: first 0 #0 #0 / re: second: re: first 1 #0 #0 #0"
    )


async def test_a_second_run_executes_nothing(studio):
    """Everything is paid for."""
    sheet = CallSheet.load(studio.sheet(CHAIN))
    async with await studio.open() as client:
        await client.run(sheet)
        sent = list(studio.acme.sent)
        plan = await client.plan(sheet)
        again = await client.run(sheet)
    assert studio.acme.sent == sent
    assert {state for state, _ in states(plan).values()} == {"cached"}
    assert again.count(JobStatus.REUSED) == 5
    assert again.status == "succeeded"


async def test_a_plan_has_the_prices_of_what_may_be_paid(studio):
    """Those of the manifest, at the price of a batch for a batch; none for what is there already or has none."""
    batch = ONE.replace("producers.a", "producers.b").replace("acme:text", "acme:batch-priced")
    text = ONE.replace("acme:text", "acme:priced") + batch + 'dispatch = "batch"\n' + ONE.replace("rs.a", "rs.c")
    sheet = CallSheet.load(studio.sheet(text))
    async with await studio.open() as client:
        plan = await client.plan(sheet)
        await client.run(sheet)
        again = await client.plan(sheet)
    told = {job.id: [(row.per, str(row.usd), row.as_of) for row in job.prices] for job in plan.jobs}
    assert told == {"a": [("run", "0.25", "2026-11-01")], "b": [("run", "0.125", "2026-11-01")], "c": []}
    assert not any(job.prices for job in again.jobs)


async def test_the_first_plan_knows_what_waits(studio):
    """What has no upstream runs, the rest waits for it; nothing is sent."""
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(studio.sheet(CHAIN)))
    assert states(plan) == {
        "a[0]": ("run", "new"),
        "a[1]": ("run", "new"),
        "b[0]": ("maybe", "upstream"),
        "b[1]": ("maybe", "upstream"),
        "c": ("maybe", "upstream"),
    }
    assert studio.acme.sent == []


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        (('prompt = "lava"', 'prompt = "ash"'), Reason.INPUTS, "prompt"),
        (('["acme:text"]', '["acme:other"]'), Reason.MODEL, "acme:text"),
        (('["acme:text"]', '[{ ref = "acme:text", options = { heat = 2 } }]'), Reason.OPTIONS, ""),
    ],
)
async def test_a_plan_says_why_a_job_runs_again(studio, change, reason, detail):
    """The reason names what changed."""
    folder = studio.sheet(ONE)
    async with await studio.open() as client:
        await client.run(CallSheet.load(folder))
        studio.sheet(ONE.replace(*change))
        job = (await client.plan(CallSheet.load(folder))).jobs[0]
    assert (job.state, job.reason, job.detail) == (JobState.RUN, reason, detail)


async def test_going_back_to_an_earlier_wording_costs_nothing(studio):
    """The ledger keeps every result, not only the last."""
    folder = studio.sheet(ONE)
    async with await studio.open() as client:
        await client.run(CallSheet.load(folder))
        studio.sheet(ONE.replace("lava", "ash"))
        await client.run(CallSheet.load(folder))
        studio.sheet(ONE)
        back = await client.run(CallSheet.load(folder))
    assert statuses(back) == {"a": "reused"}
    assert (folder / "output/a.txt").read_text() == "re: lava #0"


async def test_an_early_cut_off_ends_the_chain_of_changes(studio):
    """When upstream runs again but gives the same, downstream does not run."""
    folder = studio.sheet(CHAIN)

    async def same(request, context):
        return JobResult((TextArtifact("the same"),))

    studio.acme.script = {"a[0]": [same, same], "a[1]": [same, same]}
    async with await studio.open() as client:
        await client.run(CallSheet.load(folder))
        studio.sheet(CHAIN.replace("first", "erst"))
        again = await client.run(CallSheet.load(folder))
    assert statuses(again) == {
        "a[0]": "executed",
        "a[1]": "executed",
        "b[0]": "reused",
        "b[1]": "reused",
        "c": "reused",
    }


async def test_equal_requests_of_one_producer_are_takes(studio):
    """Three indices of one prompt are three samples, and stay so."""
    folder = studio.sheet(ONE + "for_each = 3\n")
    async with await studio.open() as client:
        await client.run(CallSheet.load(folder))
        again = await client.run(CallSheet.load(folder))
    assert [(folder / f"output/a-{i}.txt").read_text() for i in range(3)] == [f"re: lava #{i}" for i in range(3)]
    assert again.count(JobStatus.REUSED) == 3


async def test_equal_requests_of_two_producers_are_one_call(studio):
    """Across producers samples are shared."""
    folder = studio.sheet(ONE + ONE.replace("producers.a", "producers.b"))
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder))
    assert len(studio.acme.sent) == 1
    assert sorted(statuses(run).values()) == ["executed", "reused"]


async def test_a_failed_branch_blocks_its_dependants_and_no_others(studio):
    """Keep going is the default."""
    folder = studio.sheet(CHAIN)
    studio.acme.script["a[1]"] = [InvalidRequestError("not this", prompt="first 1")]
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder))
    assert statuses(run) == {
        "a[0]": "executed",
        "a[1]": "failed",
        "b[0]": "executed",
        "b[1]": "blocked",
        "c": "blocked",
    }
    assert run.status == "partial"
    jobs = {job["id"]: job for job in run.manifest["jobs"]}
    assert (jobs["a[1]"]["kind"], jobs["a[1]"]["prompt"]) == ("invalid_request", "first 1")
    assert jobs["c"]["needs"] == ["b[1]"]


async def test_fail_fast_starts_nothing_new(studio):
    """What is under way finishes, the rest is skipped."""
    folder = studio.sheet(ONE + "for_each = 4\n")
    studio.acme.script["a[0]"] = [InvalidRequestError("no")]
    from callsheet.settings import Settings

    async with await studio.open(settings=Settings(concurrency=1)) as client:
        run = await client.run(CallSheet.load(folder), RunRequest(fail_fast=True))
    assert statuses(run) == {"a[0]": "failed", "a[1]": "skipped", "a[2]": "skipped", "a[3]": "skipped"}
    assert run.status == "failed"


async def test_no_more_calls_are_under_way_than_allowed(studio):
    """Pulling is bounded, but a job that only waits gives its slot back."""
    folder = studio.sheet(ONE.replace("acme:text", "acme:job") + "for_each = 6\n")
    active, most = 0, 0

    async def count(request, context):
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1
        return JobResult((TextArtifact("x"),))

    everybody = asyncio.Event()

    async def wait_for_all():
        if len(studio.acme.sent) == 6:
            everybody.set()
        await everybody.wait()
        return RemoteStatus(RemoteState.SUCCEEDED)

    studio.acme.script = {f"a[{i}]": [count] for i in range(6)}
    studio.acme.polls = {f"remote-a[{i}]": [wait_for_all] for i in range(6)}
    from callsheet.settings import Settings

    async with await studio.open(settings=Settings(concurrency=2)) as client:
        run = await client.run(CallSheet.load(folder))
    assert run.status == "succeeded"
    assert most <= 2


async def test_a_fallback_is_asked_when_the_first_is_surely_over(studio):
    """Overloaded is rejected: the next model may be paid."""
    folder = studio.sheet(ONE.replace('["acme:text"]', '["acme:text", "acme:other"]'))
    studio.acme.script["a"] = [OverloadedError("busy")]
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder))
        again = await client.run(CallSheet.load(folder))
    job = run.manifest["jobs"][0]
    assert job["ref"] == "acme:other"
    assert job["attempts"][0]["kind"] == "overloaded"
    assert "acme:other was asked" in job["warnings"][0]
    assert statuses(again) == {"a": "reused"}


@pytest.mark.parametrize(
    "error", [InvalidRequestError("no"), ConnectionFailedError("cut", sent=Sent.UNKNOWN)], ids=["rejected", "unknown"]
)
async def test_no_fallback_when_it_could_not_help_or_could_pay_twice(studio, error):
    """A wrong request is wrong elsewhere too, and an unknown outcome is not over."""
    folder = studio.sheet(ONE.replace('["acme:text"]', '["acme:text", "acme:other"]'))
    studio.acme.script["a"] = [error]
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder), RunRequest(on_unknown=OnUnknown.FAIL))
    assert studio.acme.sent == ["a"]
    assert run.status == "failed"


async def test_a_pin_stands_in_for_a_producer(studio):
    """A pinned result is not made, and its dependants read the file."""
    folder = studio.sheet(CHAIN + '[producers.d]\noperation = "text.generate"\nmodels = ["acme:text"]\nprompt = "{{ s.k }}"\n'
                          '[producers.s]\noperation = "text.generate"\nmodels = ["acme:text"]\nprompt = "x"\npin = "s.json"\n',
                          s_json='{"k": "pinned text"}')  # fmt: skip
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(folder))
        run = await client.run(CallSheet.load(folder))
    assert states(plan)["s"] == ("cached", "pinned")
    assert statuses(run)["s"] == "reused"
    assert "s" not in studio.acme.sent
    assert (folder / "output/d.txt").read_text() == "re: pinned text #0"
    assert json.loads((folder / "output/s.json").read_text()) == {"k": "pinned text"}


class TestSelection:
    """`--model` is used, kept, replayed and forgotten on request."""

    async def test_a_choice_is_used_kept_and_replayed(self, studio):
        """The next plain run uses it and says so."""
        sheet = CallSheet.load(studio.sheet(ONE))
        async with await studio.open() as client:
            await client.run(sheet)
            chosen = await client.run(sheet, RunRequest(models={"a": "acme:other"}))
            plain = await client.run(sheet)
            reset = await client.run(sheet, RunRequest(reset_selection=True))
            after = await client.run(sheet)
        assert [r.manifest["jobs"][0]["ref"] for r in (chosen, plain, reset, after)] == [
            "acme:other", "acme:other", "acme:text", "acme:text",
        ]  # fmt: skip
        assert statuses(chosen) == {"a": "executed"}
        assert "chosen earlier" in plain.notes[0]
        assert reset.notes == after.notes == ()

    async def test_a_plan_keeps_no_choice(self, studio):
        """Looking is free of consequences."""
        sheet = CallSheet.load(studio.sheet(ONE))
        async with await studio.open() as client:
            await client.plan(sheet, RunRequest(models={"a": "acme:other"}))
            plan = await client.plan(sheet)
        assert plan.jobs[0].ref == "acme:text"

    async def test_an_unknown_choice_is_an_error_before_anything(self, studio):
        """A typo in --model sends nothing and is not kept."""
        sheet = CallSheet.load(studio.sheet(ONE))
        async with await studio.open() as client:
            with pytest.raises(ConfigError, match="acme"):
                await client.run(sheet, RunRequest(models={"a": "acme:txet"}))
            assert await client.ledger.selection("sheet.toml") == {}


async def test_an_unknown_model_ends_it_before_any_money(studio):
    """One wrong producer, and none is sent."""
    folder = studio.sheet(CHAIN.replace('["acme:job"]', '["acme:jbo"]'))
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match=r"sheet.toml: producers.b.models\[0\].*jbo"):
            await client.run(CallSheet.load(folder))
    assert studio.acme.sent == []


async def test_a_fallback_that_nobody_provides_is_a_warning(studio):
    """It is told, and counts as an error under --strict."""
    folder = studio.sheet(ONE.replace('["acme:text"]', '["acme:text", "nobody:there"]'))
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(folder))
        assert "nobody:there" in plan.warnings[0].message
        with pytest.raises(ConfigError, match="--strict"):
            await client.run(CallSheet.load(folder), RunRequest(strict=True))
    assert studio.acme.sent == []


async def test_a_missing_neighbour_fails_that_branch_unsent(studio):
    """clip[index-1] at index 0 does not exist; the others run."""
    sheet = """
[producers.p]
operation = "image.generate"
models = ["acme:picture"]
for_each = 2
prompt = "x"
[producers.q]
operation = "image.generate"
models = ["acme:picture"]
for_each = "p"
prompt = "y"
images = ["p[index-1]"]
"""

    async def draw(request, context):
        return JobResult((await context.keep(b"\x89PNG\r\n\x1a\n" + context.job.id.encode() * 9, "image/png"),))

    studio.acme.script = {name: [draw] for name in ("p[0]", "p[1]", "q[1]")}
    folder = studio.sheet(sheet)
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(folder))
        run = await client.run(CallSheet.load(folder))
    assert states(plan)["q[0]"] == ("blocked", "impossible")
    assert statuses(run)["q[0]"] == "failed"
    assert statuses(run)["q[1]"] == "executed"
    assert "q[0]" not in studio.acme.sent


async def test_cancelling_a_run_keeps_what_is_done_and_resume_goes_on(studio):
    """The run's record says cancelled; the next attempt starts where it ended, under the same id."""
    folder = studio.sheet(CHAIN)
    waiting = asyncio.Event()

    async def never():
        waiting.set()
        await asyncio.Event().wait()

    studio.acme.polls["remote-b[0]"] = [never]
    async with await studio.open() as client:
        task = asyncio.create_task(client.run(CallSheet.load(folder)))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        record = (await client.ledger.runs())[0]
        assert record.status == "cancelled"
        assert "remote-b[0]" in studio.acme.aborted
        manifest = json.loads((folder / "output/manifest.json").read_text())
        assert manifest["status"] == "cancelled"
        run = await client.resume(record.id[:6])
    assert run.id == record.id
    assert run.status == "succeeded"
    assert studio.acme.sent.count("a[0]") == 1
    assert check_digest(run.manifest)


async def test_a_folder_of_others_is_never_written_into(studio, tmp_path):
    """Refused before anything is sent."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    folder = studio.sheet(ONE)
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match="empty or new folder"):
            await client.run(CallSheet.load(folder), RunRequest(output=foreign))
    assert studio.acme.sent == []
    assert [p.name for p in foreign.iterdir()] == ["thesis.txt"]


async def test_the_cost_of_a_run_is_what_was_executed(studio):
    """Reused jobs cost nothing now."""
    folder = studio.sheet(ONE.replace("acme:text", "acme:priced") + "for_each = 2\n")
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(folder))
        run = await client.run(CallSheet.load(folder))
        again = await client.run(CallSheet.load(folder))
    assert str(plan.cost) == "$0.50"
    assert run.manifest["cost"] == {"usd": "0.50"}
    assert again.manifest["cost"] == {"usd": "0.00"}


async def test_a_mocked_run_without_a_simulator_says_what_to_install(studio):
    """The stand-in is a plugin like any other."""
    folder = studio.sheet(ONE)
    async with await studio.open() as client:
        with pytest.raises(ConfigError, match="pip install callsheet-mock") as caught:
            await client.run(CallSheet.load(folder), RunRequest(mode=Mode.MOCK))
    assert caught.value.exit_code == 3


async def test_inputs_can_be_given_for_a_run(studio):
    """They take the type of the sheet's own value; a wrong one is named."""
    sheet = CallSheet.load(studio.sheet(CHAIN))
    async with await studio.open() as client:
        run = await client.run(sheet.with_inputs({}), RunRequest(inputs={"n": "3"}))
        with pytest.raises(ConfigError, match=r"inputs.n.*wants int"):
            await client.plan(sheet, RunRequest(inputs={"n": "many"}))
        with pytest.raises(ConfigError, match="no input 'm'"):
            await client.plan(sheet, RunRequest(inputs={"m": "1"}))
    assert "b[2]" in run.outcomes
