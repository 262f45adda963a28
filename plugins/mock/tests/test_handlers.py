"""The handlers, alone and under the real engine: answers, remote jobs, failures, receipts that travel."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from callsheet.client import Client
from callsheet.errors import CallsheetError, ConfigError
from callsheet.inputs import blank_inputs
from callsheet.jobs import Job
from callsheet.pay_once import UnknownOutcomeError
from callsheet.plugin import (
    AbortOutcome,
    ConnectionFailedError,
    ErrorKind,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    ProviderError,
    RemoteState,
    Sent,
    error_for,
)
from callsheet.result_check import schema_problem
from callsheet.stores.records import decode_receipt, encode_receipt
from callsheet_mock.journal import VARIABLE

PROCESS = Path(__file__).with_name("remote_process.py")
SMALL = {"prompt": "lava", "size": "64x48", "duration": 2}


def events(lines) -> list[str]:
    """What happened, in order."""
    return [line["event"] for line in lines]


def digests(result) -> list[str]:
    """The files of a result."""
    return [artifact.file.sha256 for artifact in result.artifacts]


# --- answers, without the engine


async def test_answer_is_journalled_first(stage):
    """The journal's line is on disk before the answer is made."""
    request, context = stage.prepared(stage.job("mock:image", "image.generate", prompt="x", size="8x8"), sample=2)
    seen = []

    async def store(data, media_type, name):
        seen.append(events(stage.journal()))
        return await stage.blobs.put(data, media_type, name)

    await stage.answers.invoke(request, replace(context, store=store))
    assert seen == [["accepted"]]
    assert stage.journal()[0] == {"event": "accepted", "key": context.key, "ref": "mock:image", "sample": 2}


async def test_latency_of_an_answer(stage, monkeypatch):
    """An answer takes the scripted time, and is accepted before it."""
    slept = []

    async def sleep(seconds):
        slept.append((seconds, events(stage.journal())))

    monkeypatch.setattr("asyncio.sleep", sleep)
    await stage.answer(stage.job("mock:text", "text.generate", {"latency": 2.5}, prompt="x"))
    assert slept == [(2.5, ["accepted"])]


async def test_hanging_answer_can_be_cancelled(stage):
    """A call that hangs was accepted, never ends by itself, and ends when it is cancelled."""
    task = asyncio.ensure_future(stage.answer(stage.job("mock:text", "text.generate", {"hang": True}, prompt="x")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert events(stage.journal()) == ["accepted"]
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("wire", ["answer", "remote"])
@pytest.mark.parametrize("kind", ErrorKind)
async def test_failures_by_kind(stage, wire, kind):
    """The first attempts fail as scripted, are not accepted, and the next one is good."""
    fail = {"first": 2, "kind": kind.value, "message": "no luck"}
    job = stage.job("mock:image", "image.generate", {"fail": fail}, prompt="lava", size="8x8")
    for _ in range(2):
        with pytest.raises(error_for(kind), match="no luck") as caught:
            await getattr(stage, wire)(job)
        assert caught.value.ref == "mock:image"
        assert caught.value.prompt == ("lava" if kind is ErrorKind.CONTENT_REJECTED else "")
    await getattr(stage, wire)(job)
    assert events(stage.journal())[:3] == ["rejected", "rejected", "accepted"]
    assert stage.journal()[0]["kind"] == kind


@pytest.mark.parametrize("sent", Sent)
async def test_failures_by_sent(stage, sent):
    """What is known of a failed request is as scripted."""
    job = stage.job("mock:text", "text.generate", {"fail": {"sent": sent.value, "retry_after": 9}}, prompt="x")
    with pytest.raises(ProviderError) as caught:
        await stage.answer(job)
    assert (caught.value.sent, caught.value.retry_after) == (sent, 9.0)
    assert stage.journal()[0]["sent"] == sent


async def test_lost_answers(stage):
    """Accepted and paid, but the answer is cut off; so many times, then it comes through."""
    job = stage.job("mock:text", "text.generate", {"fail_after_acceptance": 2}, prompt="x")
    for _ in range(2):
        with pytest.raises(ConnectionFailedError) as caught:
            await stage.answer(job)
        assert caught.value.sent is Sent.UNKNOWN
    await stage.answer(job)
    assert events(stage.journal()) == ["accepted"] * 3


async def test_options_of_others_script_nothing(stage):
    """The options of another provider's model are never a script, for either handler."""
    options = {"hang": True, "latency": 1e9, "fail": {"first": 9}, "fail_after_acceptance": True}
    job = stage.job("acme:image", "image.generate", options, prompt="x", size="8x8")
    assert (await stage.answer(job)).artifacts == (await stage.remote(job)).artifacts


@pytest.mark.parametrize("wire", ["answers", "jobs"])
async def test_too_much_is_refused_before_acceptance(stage, wire):
    """A live plugin's promise of too many outputs never reaches the journal."""
    job = stage.job("acme:image", "image.generate", prompt="x")
    request, context = stage.prepared(job)
    request = replace(request, expects=(replace(request.expects[0], count=5000),))
    send = stage.answers.invoke if wire == "answers" else stage.jobs.submit
    with pytest.raises(InvalidRequestError, match="at most 1000 outputs"):
        await send(request, context)
    assert stage.journal() == []


# --- remote jobs, without the engine


async def submitted(stage, **options):
    """A receipt, through JSON, and the context of a process that knows only it."""
    job = stage.job("mock:video", "video.generate", options, **SMALL)
    receipt = await stage.jobs.submit(*stage.prepared(job))
    again = decode_receipt(encode_receipt(receipt))
    assert again == receipt
    return again, stage.stranger(again)


async def test_life_of_a_job(stage):
    """Accepted, running until its time has come, then collected."""
    receipt, context = await submitted(stage, latency=90)
    status = await stage.jobs.poll(receipt, context)
    assert (status.state, status.poll_after) == (RemoteState.RUNNING, 90.0)
    stage.clock.now += 60
    assert (await stage.jobs.poll(receipt, context)).poll_after == 30.0
    stage.clock.now += 30
    assert (await stage.jobs.poll(receipt, context)).state is RemoteState.SUCCEEDED
    result = await stage.jobs.collect(receipt, context)
    assert (result.artifacts[0].width, result.artifacts[0].duration) == (64, 2.0)
    assert events(stage.journal()) == ["accepted", "collected"]
    assert stage.journal()[0]["job"] == receipt.job_id


async def test_receipt_holds_no_secret_and_no_url(stage):
    """A receipt is ids, promises and a small state."""
    receipt, _ = await submitted(stage, latency=1)
    assert (receipt.origin, receipt.account, receipt.expires, receipt.version) == ("mock", "", None, 1)
    assert receipt.state.keys() == {"caption", "sample", "ready", "hangs", "fails"}
    assert "://" not in encode_receipt(receipt)


async def test_abort_while_running(stage):
    """A running job is stopped, once; a later poll says cancelled, a second abort says the same."""
    receipt, context = await submitted(stage, latency=90)
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED
    stage.clock.now += 100
    assert (await stage.jobs.poll(receipt, context)).state is RemoteState.CANCELLED
    assert events(stage.journal()) == ["accepted", "aborted"]


async def test_abort_after_the_end(stage):
    """A job that is done cannot be stopped any more, and stays collectable."""
    receipt, context = await submitted(stage, latency=90)
    stage.clock.now += 90
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.ALREADY_FINISHED
    assert (await stage.jobs.poll(receipt, context)).state is RemoteState.SUCCEEDED
    assert events(stage.journal()) == ["accepted"]


async def test_abort_stops_one_job_only(stage):
    """A new job of the same call is not stopped by the abort of an earlier one."""
    first, context = await submitted(stage, latency=90)
    await stage.jobs.abort(first, context)
    second, _ = await submitted(stage, latency=90)
    assert (await stage.jobs.poll(second, context)).state is RemoteState.RUNNING
    assert (await stage.jobs.poll(first, context)).state is RemoteState.CANCELLED


async def test_hanging_job(stage):
    """A job that hangs runs for ever, and can be stopped at any time."""
    receipt, context = await submitted(stage, hang=True)
    stage.clock.now += 1e8
    status = await stage.jobs.poll(receipt, context)
    assert (status.state, status.poll_after) == (RemoteState.RUNNING, None)
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED


async def test_job_that_fails_at_its_end(stage):
    """Accepted and paid, runs its time, and fails; the next attempt is good."""
    first, context = await submitted(stage, latency=5, fail_after_acceptance=1)
    assert (await stage.jobs.poll(first, context)).state is RemoteState.RUNNING
    stage.clock.now += 5
    status = await stage.jobs.poll(first, context)
    assert (status.state, status.error) == (RemoteState.FAILED, "scripted: the job failed")
    second, _ = await submitted(stage, latency=0, fail_after_acceptance=1)
    assert (await stage.jobs.poll(second, context)).state is RemoteState.SUCCEEDED


async def test_find(stage):
    """The newest job of the call since a time is found, with the receipt that was lost."""
    job = stage.job("mock:video", "video.generate", {"latency": 5}, **SMALL)
    request, context = stage.prepared(job)
    assert await stage.jobs.find(request, 0.0, context) is None
    await stage.jobs.submit(request, context)
    stage.clock.now += 1
    newest = await stage.jobs.submit(request, context)
    assert await stage.jobs.find(request, stage.clock.now, context) == newest
    assert await stage.jobs.find(request, 0.0, context) == newest
    assert await stage.jobs.find(request, stage.clock.now + 1, context) is None
    other, elsewhere = stage.prepared(job, key="o" * 64)
    assert await stage.jobs.find(other, 0.0, elsewhere) is None


async def test_find_passes_over_answers(stage):
    """What was answered at once has no job to find."""
    job = stage.job("mock:image", "image.generate", prompt="x", size="8x8")
    request, context = stage.prepared(job)
    await stage.answers.invoke(request, context)
    assert await stage.jobs.find(request, 0.0, context) is None


async def test_a_shared_journal_is_a_shared_vendor(stage, tmp_path, monkeypatch):
    """With the journal elsewhere, two projects see the same jobs."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "shared.jsonl"))
    receipt, context = await submitted(stage, latency=90)
    assert await stage.jobs.abort(receipt, context) is AbortOutcome.STOPPED
    other = replace(context, workspace=tmp_path / "another")
    assert (await stage.jobs.poll(receipt, other)).state is RemoteState.CANCELLED
    assert stage.journal() == []


# --- under the engine

CALLS = {
    "text": {"prompt": "a volcano"},
    "image": {"prompt": "a volcano", "aspect_ratio": "16:9", "count": 2},
    "image-job": {"prompt": "a volcano", "size": "320x200"},
    "video": {"prompt": "a volcano", "size": "320x180", "duration": 3, "fps": 30},
    "video-answer": {"prompt": "a volcano", "resolution": "480p", "duration": 1.5, "generate_audio": False},
    "speech": {"text": "lava flows slowly downhill tonight"},
    "speech-job": {"text": "lava flows slowly downhill tonight", "format": "mp3"},
    "music": {"prompt": "calm", "duration": 4.5},
    "sound": {"prompt": "rumble", "duration": 1},
    "transcribe": {"timestamps": "segment"},
    "embed": {"texts": ["lava", "ash"], "dimensions": 16},
    "moderate": {"text": "lava"},
    "assemble": {"size": "320x180"},
}
PICTURES = {"image": (1360, 765), "image-job": (320, 200)}
CLIPS = {
    "video": (320, 180, 3.0, 30, True),
    "video-answer": (854, 480, 1.5, 24, False),
    "assemble": (320, 180, 5.0, 24, True),
}
SOUNDS = {"speech": 2.0, "speech-job": 2.0, "music": 4.5, "sound": 1.0}


def attributes_of(model: str, folder: Path) -> dict:
    """A call's attributes; file attributes get a file."""
    files = {"transcribe": ("audio", "in.wav"), "assemble": ("images", "in.png")}
    if model not in files:
        return CALLS[model]
    name, file = files[model]
    path = folder / file
    if file.endswith("png"):
        Image.new("RGB", (8, 8)).save(path)
    else:
        path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt " + bytes(24))
    return CALLS[model] | {name: path}


def check(model: str, result, probe) -> None:
    """Size, frame rate, length and sound of what was made are as asked."""
    for artifact in result.artifacts:
        if model in PICTURES:
            with Image.open(artifact.location) as picture:
                assert (picture.format, picture.size) == ("PNG", PICTURES[model])
        elif model in CLIPS:
            width, height, seconds, fps, sound = CLIPS[model]
            streams, duration = probe(artifact.location)
            video = streams["video"]
            assert (video["width"], video["height"], video["r_frame_rate"]) == (width, height, f"{fps}/1")
            assert duration == pytest.approx(seconds, abs=1 / fps)
            assert ("audio" in streams) is sound
        elif model in SOUNDS:
            _, duration = probe(artifact.location)
            assert duration == pytest.approx(SOUNDS[model], abs=0.04)
        else:
            assert artifact.kind in ("text", "json")


@pytest.mark.parametrize("model", CALLS)
async def test_own_models(opened, probe, tmp_path, journal_of, model):
    """Every model of the mock, through the whole engine: as asked, mocked, and told to the journal."""
    async with opened(tmp_path / "a") as client:
        result = await client.call(f"mock:{model}", **attributes_of(model, tmp_path))
    assert result.meta == {"mocked": True}
    assert result.warnings == ()
    assert len(result.artifacts) == CALLS[model].get("count", 1)
    check(model, result, probe)
    remote = model.endswith("-job") or model in ("video", "music", "assemble")
    assert events(journal_of(tmp_path / "a")) == (["accepted", "collected"] if remote else ["accepted"])


FOREIGN = {
    "text.generate": "text",
    "image.generate": "image",
    "video.generate": "video",
    "speech.generate": "speech",
    "music.generate": "music",
    "sound.generate": "sound",
    "audio.transcribe": "transcribe",
    "text.embed": "embed",
    "text.moderate": "moderate",
    "video.assemble": "assemble",
}


@pytest.mark.parametrize("operation", FOREIGN)
async def test_models_of_others(opened, probe, tmp_path, operation):
    """A model that nobody here knows, in mock mode: the same media, from the general attributes."""
    model = FOREIGN[operation]
    async with opened(tmp_path / "a") as client:
        attributes = attributes_of(model, tmp_path)
        options = {"hang": True, "guidance": 7}
        result = await client.call("acme:any/thing", operation=operation, mode="mock", options=options, **attributes)
        with pytest.raises(ConfigError, match="no plugin provides"):
            await client.call("acme:any/thing", operation=operation, **attributes)
    assert result.meta == {"mocked": True}
    check(model, result, probe)


@pytest.mark.parametrize("model", CALLS)
async def test_same_bytes_in_two_projects(opened, tmp_path, model):
    """The same request gives the same bytes in any project; a second sample gives others."""
    found = []
    for name in ("a", "b"):
        async with opened(tmp_path / name) as client:
            found.append(await client.call(f"mock:{model}", **attributes_of(model, tmp_path)))
            again = await client.call(f"mock:{model}", **attributes_of(model, tmp_path))
    assert found[0].artifacts == found[1].artifacts
    if model not in ("embed", "moderate", "speech-job"):  # an MP3 is silence, and silence is all alike
        assert again.artifacts != found[0].artifacts


async def test_schema_through_the_engine(opened, tmp_path):
    """JSON valid against a schema, checked by the engine too."""
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 3}}}
    async with opened(tmp_path / "a") as client:
        result = await client.call("mock:text", prompt="x", output_schema=schema)
    assert schema_problem(result.artifacts[0].value, schema) == ""


async def test_warnings_reach_the_caller_once(opened, tmp_path):
    """A wish that the mock cannot meet is a warning, and an error under strict, before anything is sent."""
    wishes = {"prompt": "x", "format": "webp", "size": "8x8"}
    async with opened(tmp_path / "a") as client:
        with pytest.raises(ConfigError, match="image/png where image/webp was asked for"):
            await client.call("mock:image", strict=True, **wishes)
        result = await client.call("mock:image", **wishes)
    assert [w.attribute for w in result.warnings] == ["format"]


async def test_wrong_options_reach_the_caller(opened, tmp_path, journal_of):
    """A wrong script is refused before the ledger or the journal hears of it."""
    async with opened(tmp_path / "a") as client:
        with pytest.raises(InvalidRequestError, match="no 'latancy'"):
            await client.call("mock:video", options={"latancy": 1}, **SMALL)
    assert journal_of(tmp_path / "a") == []


async def test_engine_waits_for_a_job(opened, clock, tmp_path):
    """The engine waits as long as the mock says."""
    async with opened(tmp_path / "a") as client:
        await client.call("mock:video", options={"latency": 150}, **SMALL)
    assert clock.slept == [60.0, 60.0, 30.0]


async def test_failed_job_is_paid_anew(opened, tmp_path, journal_of):
    """A job that failed at its end is a failed call; the next call is another job, and is good."""
    async with opened(tmp_path / "a") as client:
        with pytest.raises(JobFailedError, match="scripted: the job failed"):
            await client.call("mock:video", options={"fail_after_acceptance": 1}, **SMALL)
        await client.call("mock:video", options={"fail_after_acceptance": 1}, **SMALL)
    assert events(journal_of(tmp_path / "a")) == ["accepted", "accepted", "collected"]


async def test_lost_answer_is_put_to_the_user(opened, tmp_path, journal_of):
    """Nobody knows whether a picture was paid for: it is not sent again by itself."""
    async with opened(tmp_path / "a") as client:
        for _ in range(2):
            with pytest.raises(UnknownOutcomeError, match="on-unknown retry"):
                await client.call("mock:image", options={"fail_after_acceptance": True}, prompt="x", reuse=True)
    assert events(journal_of(tmp_path / "a")) == ["accepted"]


async def test_rejected_call_can_be_repeated(opened, tmp_path, journal_of):
    """A call that was refused was not paid for; the next one goes through."""
    fail = {"first": 1, "kind": "rate_limited", "retry_after": 3}
    async with opened(tmp_path / "a") as client:
        with pytest.raises(ProviderError) as caught:
            await client.call("mock:image", options={"fail": fail}, prompt="x")
        assert (caught.value.kind, caught.value.retry_after) == (ErrorKind.RATE_LIMITED, 3.0)
        await client.call("mock:image", options={"fail": fail}, prompt="x")
    assert events(journal_of(tmp_path / "a")) == ["rejected", "accepted"]


async def start_hanging(opened, folder):
    """A call in a task, cancelled while the engine waits for its job; what the next poll says, by the receipt."""
    waiting = asyncio.Event()

    async def sleep(_seconds):
        waiting.set()
        await asyncio.Event().wait()

    async with opened(folder, sleep=sleep) as client:
        task = asyncio.ensure_future(client.call("mock:video", options={"hang": True}, **SMALL))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelled_call_stops_its_job(opened, tmp_path, journal_of):
    """Cancelling a call that hangs tells the provider to stop; the next call is a new job."""
    await start_hanging(opened, tmp_path / "a")
    assert events(journal_of(tmp_path / "a")) == ["accepted", "aborted"]
    await start_hanging(opened, tmp_path / "a")
    lines = journal_of(tmp_path / "a")
    assert events(lines) == ["accepted", "aborted"] * 2
    assert len({line["job"] for line in lines}) == 2
    assert len({line["key"] for line in lines}) == 1


def dead_process(mode: str, folder: Path, latency: float) -> str:
    """What a process printed that made a job and died."""
    command = [sys.executable, str(PROCESS), mode, str(folder), str(latency)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (9, "")
    return done.stdout


async def test_another_process_collects(opened, clock, probe, tmp_path, journal_of):
    """The process that made a job is gone: any other, with nothing but the receipt's JSON, collects the same bytes."""
    text = dead_process("receipt", tmp_path / "a", 3600)
    assert json.loads(text)["job_id"] == journal_of(tmp_path / "a")[0]["job"]
    receipt = decode_receipt(text)
    clock.now = receipt.created
    collected = []
    for name in ("b", "c"):
        async with opened(tmp_path / name) as client:
            collected.append(await client.collect(receipt))
    assert sum(clock.slept) == pytest.approx(3600)
    async with opened(tmp_path / "a") as client:  # and the project that made it goes on where it was
        call = await client.call("mock:video", options={"latency": 3600.0}, reuse=True, **SMALL)
    assert digests(collected[0]) == digests(collected[1]) == digests(call)
    streams, duration = probe(collected[0].artifacts[0].location)
    assert (streams["video"]["width"], duration) == (64, pytest.approx(2, abs=1 / 24))
    assert events(journal_of(tmp_path / "a")) == ["accepted", "collected"]


async def test_job_of_a_lost_receipt_is_found(opened, clock, tmp_path, journal_of):
    """A process died between acceptance and record: the engine finds the job and pays for no second one."""
    assert dead_process("lost", tmp_path / "a", 0) == ""
    accepted = journal_of(tmp_path / "a")
    assert events(accepted) == ["accepted"]
    clock.now = accepted[0]["created"] + 10
    async with opened(tmp_path / "a") as client:
        result = await client.call("mock:video", options={"latency": 0.0}, reuse=True, **SMALL)
    assert result.meta == {"mocked": True}
    lines = journal_of(tmp_path / "a")
    assert events(lines) == ["accepted", "collected"]
    assert lines[1]["job"] == accepted[0]["job"]


async def test_receipt_of_an_aborted_job(opened, clock, tmp_path):
    """A job that was stopped meanwhile cannot be collected."""
    text = dead_process("receipt", tmp_path / "a", 3600)
    receipt = decode_receipt(text)
    clock.now = receipt.created
    async with opened(tmp_path / "a") as client:
        bound = client.runtime.registry.resolve(receipt.ref, receipt.operation)
        outcome = await bound.handler.abort(receipt, _context_of(client, bound, receipt))
        assert outcome is AbortOutcome.STOPPED
        with pytest.raises(JobCancelledError):
            await client.call("mock:video", options={"latency": 3600.0}, reuse=True, **SMALL)


def _context_of(client: Client, bound, receipt):
    """A context of the engine for a job known by its receipt."""
    job = Job("x", receipt.ref, bound.info, receipt.operation, blank_inputs(receipt.operation))
    digest = receipt.request_digest
    return client.runtime.services.context(
        bound, job, key=receipt.key, request_digest=digest, sample=0, attempt=1, accepted=lambda _id: None
    )


async def test_hostile_receipts(opened, clock, tmp_path):
    """Receipts that were tampered with are errors of callsheet's own, never a crash."""
    receipt = decode_receipt(dead_process("receipt", tmp_path / "a", 0.5))
    clock.now = receipt.created + 1
    expected = receipt.expects[0]
    async with opened(tmp_path / "b") as client:
        for number, strange in enumerate(
            (
                replace(receipt, state={}),
                replace(receipt, expects=(replace(expected, count=10**9),)),
                replace(receipt, state={**receipt.state, "sample": "../../x"}),
            )
        ):
            with pytest.raises(CallsheetError):
                await client.collect(replace(strange, key=f"{number:064x}"))
        huge = replace(expected, width=10**9, height=3, duration=1e300, fps=10**6)
        result = await client.collect(replace(receipt, expects=(huge,)))
    assert result.artifacts[0].file.bytes < 4_000_000
    assert {w.attribute for w in result.warnings} == {"size", "fps", "duration"}
