"""The mock under the real engine: as asked, the same everywhere, paid once, and receipts that travel."""

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
from callsheet.discovery import discover
from callsheet.errors import CallsheetError, ConfigError
from callsheet.inputs import blank_inputs
from callsheet.jobs import Job
from callsheet.pay_once import UnknownOutcomeError
from callsheet.plugin import (
    AbortOutcome,
    ErrorKind,
    Expected,
    HandlerSpec,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    ProviderError,
    ProviderRequest,
    hookimpl,
)
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.project import Project
from callsheet.result_check import schema_problem
from callsheet.settings import Settings
from callsheet.stores.records import decode_receipt
from callsheet.testing import assert_audio, assert_image, assert_video

PROCESS = Path(__file__).with_name("remote_process.py")
SMALL = {"prompt": "lava", "size": "64x48", "duration": 2}


def events(lines) -> list[str]:
    """What happened, in order."""
    return [line["event"] for line in lines]


def digests(result) -> list[str]:
    """The files of a result."""
    return [artifact.file.sha256 for artifact in result.artifacts]


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


def check(model: str, result) -> None:
    """Size, frame rate, length and sound of what was made are as asked."""
    for artifact in result.artifacts:
        if model in PICTURES:
            width, height = PICTURES[model]
            assert_image(artifact, width=width, height=height, media_type="image/png")
        elif model in CLIPS:
            width, height, seconds, fps, sound = CLIPS[model]
            asked = {"width": width, "height": height, "seconds": seconds, "sound": sound}
            assert assert_video(artifact, within=1 / fps, **asked).fps == pytest.approx(fps)
        elif model in SOUNDS:
            assert_audio(artifact, seconds=SOUNDS[model], within=0.04)
        else:
            assert artifact.kind in ("text", "json")


@pytest.mark.parametrize("model", CALLS)
async def test_own_models(opened, tmp_path, journal_of, model):
    """Every model of the mock, through the whole engine: as asked, mocked, and told to the journal."""
    async with opened(tmp_path / "a") as client:
        result = await client.call(f"mock:{model}", **attributes_of(model, tmp_path))
    assert result.meta == {"mocked": True}
    assert result.warnings == ()
    assert len(result.artifacts) == CALLS[model].get("count", 1)
    check(model, result)
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
async def test_models_of_others(opened, tmp_path, operation):
    """A model that nobody here knows, in mock mode: the same media, from the general attributes."""
    model = FOREIGN[operation]
    async with opened(tmp_path / "a") as client:
        attributes = attributes_of(model, tmp_path)
        options = {"hang": True, "guidance": 7}
        result = await client.call("acme:any/thing", operation=operation, mode="mock", options=options, **attributes)
        with pytest.raises(ConfigError, match="no plugin provides"):
            await client.call("acme:any/thing", operation=operation, **attributes)
    assert result.meta == {"mocked": True}
    check(model, result)


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
            with pytest.raises(UnknownOutcomeError, match="call again"):
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


async def test_another_process_collects(opened, clock, tmp_path, journal_of):
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
    assert_video(collected[0].artifacts[0], width=64, seconds=2, within=1 / 24)
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


class LivePlugin:
    """A provider's own plugin: it maps, promises little, and must never be asked to perform."""

    def prepare(self, job):
        """A request with gaps in its promise."""
        expects = (Expected("blob", "video/webm", fps=25), Expected("text", "text/plain"))
        return ProviderRequest(job.ref, job.operation, {"vendor_prompt": job.inputs.prompt}, expects)

    async def invoke(self, request, context):
        """Not in mock mode."""
        raise AssertionError("a mocked call reached the live plugin")

    @hookimpl
    def callsheet_register_handlers(self):
        """This object handles the provider."""
        return [HandlerSpec(provider="acme", factory=lambda: self)]


async def test_live_plugin_maps_and_the_mock_performs(tmp_path):
    """With the provider's plugin installed, its `prepare` says what the mock makes; the mock fills the gaps."""
    row = {"model": "v", "operation": "video.generate"}
    manifest = PluginManifest.parse({"api": 1, "provider": {"name": "acme"}, "models": [row]}, "plugin.toml", "acme")
    host = PluginHost(discover(), extra=[("acme", LivePlugin(), manifest)])
    async with await Client.open(Project.at(tmp_path), Settings(), host=host) as client:
        result = await client.call("acme:v", mode="mock", options={"hang": True}, **SMALL)
        with pytest.raises(UnknownOutcomeError, match="nobody knows whether acme:v accepted"):
            await client.call("acme:v", **SMALL)
    clip, text = result.artifacts
    assert assert_video(clip, width=64, seconds=2, within=0.04).fps == 25
    assert text.kind == "text"
    assert [w.message for w in result.warnings] == ["the mock makes video/mp4 where video/webm was asked for"]
