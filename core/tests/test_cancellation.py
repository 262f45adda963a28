"""Cancelling a run from another process: a living owner is asked, a dead one's jobs are aborted from here."""

from __future__ import annotations

import asyncio
import json

import pytest

from callsheet import cancel_watch, cancellation
from callsheet.cancellation import cancel_run
from callsheet.errors import AuthenticationError, ConfigError, Sent
from callsheet.jobs import AbortOutcome
from callsheet.runner import JobStatus
from callsheet.sheet import CallSheet

SHEET = """
[producers.a]
operation = "text.generate"
models = ["acme:text"]
prompt = "x"
[producers.b]
operation = "text.generate"
models = ["acme:job"]
prompt = "{{ a }}"
"""


@pytest.fixture
def hanging(studio, monkeypatch):
    """A sheet whose second job stays with the provider; `submitted` is set once it is there."""
    monkeypatch.setattr(cancel_watch, "LOOK_SECONDS", 0)
    submitted = asyncio.Event()

    async def hang():
        submitted.set()
        await asyncio.Event().wait()

    studio.acme.polls = {"remote-b": [hang]}
    return CallSheet.load(studio.sheet(SHEET)), submitted


async def left_behind(studio, sheet, submitted):
    """The id of a run whose process died while a job was with the provider."""
    client = await studio.open()
    task = asyncio.create_task(client.run(sheet))
    await submitted.wait()
    run = (await client.ledger.runs())[0].id
    ledger = client.ledger
    calls = await ledger.open_calls()
    task.cancel()
    studio.acme.abort_outcome, kept = AbortOutcome.UNKNOWN, studio.acme.abort_outcome
    with pytest.raises(asyncio.CancelledError):
        await task
    studio.acme.abort_outcome = kept
    await ledger._write(
        lambda turn: turn.db.execute("UPDATE runs SET status = 'running', ended = NULL WHERE id = ?", (run,)) and None
    )
    await client.aclose()
    studio.acme.aborted.clear()
    assert [call.job for call in calls] == ["b"]
    return run


async def test_a_living_owner_is_asked_and_stops(studio, hanging):
    """Its paid job is aborted, its run ends as cancelled, its manifest is written, and its caller gets the run."""
    sheet, submitted = hanging
    async with await studio.open() as owner, await studio.open() as other:
        task = asyncio.create_task(owner.run(sheet))
        await submitted.wait()
        ended = await cancel_run(other.runtime, (await other.ledger.runs())[0].id)
        run = await task
    assert (ended.run.status, ended.by_owner) == ("cancelled", True)
    assert [(call.job, call.outcome, call.ok) for call in ended.calls] == [("b", "stopped", True)]
    assert studio.acme.aborted == ["remote-b"]
    assert run.status == "cancelled"
    assert run.outcomes["b"].status is JobStatus.CANCELLED
    assert json.loads((run.output / "manifest.json").read_text())["status"] == "cancelled"
    assert (run.output / "report.html").is_file()


async def test_a_cancelled_run_can_be_resumed(studio, hanging):
    """The request is over with the run that it was for."""
    sheet, submitted = hanging
    async with await studio.open() as owner, await studio.open() as other:
        task = asyncio.create_task(owner.run(sheet))
        await submitted.wait()
        await cancel_run(other.runtime, (await other.ledger.runs())[0].id)
        run = await task
        assert not await other.ledger.is_cancel_requested(run.id)
        again = await owner.resume(run.id)
    assert again.status == "succeeded"


async def test_ones_own_cancellation_goes_on(studio, hanging):
    """Whoever cancels the task gets CancelledError, also when somebody asked for it as well."""
    sheet, submitted = hanging
    async with await studio.open() as owner:
        task = asyncio.create_task(owner.run(sheet))
        await submitted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await owner.ledger.runs())[0].status == "cancelled"


async def test_a_dead_owners_jobs_are_aborted_from_here(studio, hanging):
    """The run is cancelled, what was paid for lies in the output folder, and everything verifies."""
    from callsheet.verification import verify_run

    run = await left_behind(studio, *hanging)
    async with await studio.open() as client:
        ended = await cancel_run(client.runtime, run)
        assert await client.ledger.open_calls() == []
        verified = await verify_run(client.runtime.services, ended.run)
    assert (ended.run.status, ended.by_owner, ended.notes) == ("cancelled", False, ())
    assert [(call.job, call.job_id, call.outcome) for call in ended.calls] == [("b", "remote-b", "stopped")]
    assert studio.acme.aborted == ["remote-b"]
    assert (verified.problems, verified.notes) == ((), ())
    manifest = json.loads((studio.folder / "output/manifest.json").read_text())
    assert {job["id"]: job["status"] for job in manifest["jobs"]} == {"a": "executed", "b": "cancelled"}
    assert (studio.folder / "output/a.txt").is_file()


@pytest.mark.parametrize(
    "outcome", [AbortOutcome.CLIENT_SIDE_ONLY, AbortOutcome.UNKNOWN, AbortOutcome.ALREADY_FINISHED]
)
async def test_what_the_provider_does_not_stop_is_kept(studio, hanging, outcome):
    """Its receipt stays, the manifest says pending, and a resume collects it."""
    run = await left_behind(studio, *hanging)
    studio.acme.abort_outcome = outcome
    async with await studio.open() as client:
        ended = await cancel_run(client.runtime, run)
        assert [call.job for call in await client.ledger.open_calls()] == ["b"]
        manifest = json.loads((studio.folder / "output/manifest.json").read_text())
        again = await client.resume(run)
    assert [call.outcome for call in ended.calls] == [outcome.value]
    assert {job["id"]: job["status"] for job in manifest["jobs"]}["b"] == "pending"
    assert again.status == "succeeded"
    assert studio.acme.sent == ["a", "b"]


async def test_a_handler_that_is_not_to_be_had_hides_no_error(studio, hanging, monkeypatch):
    """The provider refuses before there is anything to ask with: the log has its words, and the receipt stays."""
    run = await left_behind(studio, *hanging)

    async def refused(*_):
        raise AuthenticationError("no key was given out", sent=Sent.NOT_SENT)

    async with await studio.open() as client:
        logged = []
        monkeypatch.setattr(cancellation, "bound_of", refused)
        monkeypatch.setattr(client.runtime.services.log, "warning", lambda *told, **more: logged.append((told, more)))
        ended = await cancel_run(client.runtime, run)
        assert [call.job for call in await client.ledger.open_calls()] == ["b"]
    assert [call.outcome for call in ended.calls] == ["unknown"]
    assert [(told, more["error"]) for told, more in logged] == [
        (("job.abort_failed",), "AuthenticationError: no key was given out")
    ]


async def test_a_run_that_has_ended_is_left_alone(studio):
    """There is nothing to cancel, and an unknown run is an error."""
    sheet = CallSheet.load(studio.sheet(SHEET))
    async with await studio.open() as client:
        run = await client.run(sheet)
        ended = await cancel_run(client.runtime, run.id)
        with pytest.raises(ConfigError, match="no run"):
            await cancel_run(client.runtime, "nothing")
    assert (ended.run.status, ended.calls) == ("succeeded", ())
    assert studio.acme.aborted == []
