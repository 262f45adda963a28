"""Predictions from the first request to the last file, through a whole client, with the line cut at every place."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from replicate_counterpart.stage import CLIP, SOUND, STAGE, job, picture

from callsheet.errors import (
    ContentRejectedError,
    JobCancelledError,
    JobFailedError,
    JobLostError,
    MalformedOutputError,
    ProviderError,
)
from callsheet.jobs import AbortOutcome
from callsheet_replicate.predictions import PredictionHandler
from callsheet_replicate.testing import Delivery, Fault, Script

RED, BLUE = picture(colour="red"), picture(colour="blue")
IMAGEN, VEO, GEMINI = "replicate:google/imagen-4", "replicate:google/veo-3-fast", "replicate:google/gemini-2.5-flash"
SEEDREAM = "replicate:bytedance/seedream-4"


def png(data=RED):
    """A file of an output."""
    return Delivery(data, "image/png")


def stage(client, ahead=0.0):
    """A request, and the services of its call by a clock that is so many seconds ahead."""
    wanted = job("google/imagen-4")
    context = STAGE.context(client, wanted)
    return PredictionHandler().prepare(wanted), replace(context, clock=lambda: time.time() + ahead)


def bytes_of(result):
    """The files of a result."""
    return [artifact.location.read_bytes() for artifact in result.artifacts]


@pytest.mark.parametrize(
    ("ref", "output", "files"),
    [
        (IMAGEN, png(), [RED]),
        (SEEDREAM, [png(), png(BLUE)], [RED, BLUE]),
        (VEO, Delivery(CLIP, "video/mp4"), [CLIP]),
        ("replicate:elevenlabs/v3", Delivery(SOUND, "audio/mpeg"), [SOUND]),
        ("replicate:stability-ai/stable-audio-2.5", {"audio": Delivery(SOUND, "audio/mpeg"), "score": 1}, [SOUND]),
    ],
)
async def test_files_of_every_kind(server, opened, ref, output, files):
    """One link, a list of them, an object with one: each file is in the store; there is one create, which never waits."""
    server.script(ref.partition(":")[2], Script(output, polls=3))
    words = "text" if "elevenlabs" in ref else "prompt"
    async with opened() as client:
        result = await client.call(ref, **{words: "lava"})
        assert bytes_of(result) == files
    (create,) = server.asked("create")
    assert create.headers["cancel-after"] == "30m"
    assert "prefer" not in create.headers
    assert create.path == f"/models/{ref.partition(':')[2]}/predictions"
    assert result.usage.units.get("image", 1.0) == float(len(files))
    assert result.meta["id"] in server.predictions


@pytest.mark.parametrize("output", ["The lava flows.", ["The ", "lava ", "flows."]])
async def test_texts(server, opened, output):
    """A whole text, or an iterator's pieces put together; the vendor's count of tokens is kept."""
    metrics = {"input_token_count": 3, "output_token_count": 5}
    server.script("google/gemini-2.5-flash", Script(output, metrics=metrics))
    async with opened() as client:
        result = await client.call(GEMINI, prompt="Hello")
    assert result.artifacts[0].text == "The lava flows."
    assert (result.usage.input_tokens, result.usage.output_tokens) == (3, 5)


async def test_a_text_that_is_to_be_json(server, opened):
    """It is read, and checked by the core; a code fence around it is no harm."""
    server.script("google/gemini-2.5-flash", Script(["```json\n", '{"a": 1}', "\n```"]))
    async with opened() as client:
        result = await client.call(GEMINI, prompt="Hello", output_schema={"type": "object"})
    assert result.artifacts[0].value == {"a": 1}


async def test_a_pinned_version_without_a_row(server, opened):
    """It is created by its version, and runs with a warning."""
    version = "ab" * 32
    server.script(version, Script(["a", "b"]))
    async with opened() as client:
        result = await client.call(f"replicate:owner/name:{version}", operation="text.generate", prompt="Hello")
    assert server.asked("create")[0].path == "/predictions"
    assert server.asked("create")[0].json["version"] == version
    assert result.artifacts[0].text == "ab"
    assert [str(warning.kind) for warning in result.warnings] == ["unchecked"]


async def test_small_files_go_inside_and_large_ones_are_uploaded_first(server, opened):
    """A data URL up to the vendor's limit, else the files API, each file once."""
    large = RED + b"\0" * 256_000
    server.script("google/nano-banana", Script(png()))
    async with opened() as client:
        blobs = client.runtime.services.blobs
        small, big = await blobs.put(RED, "image/png", "a.png"), await blobs.put(large, "image/png", "b.png")
        await client.call("replicate:google/nano-banana", prompt="lava", images=[small, big, big])
    (upload,) = server.asked("upload")
    assert large in upload.body
    sent = server.asked("create")[0].json["input"]["image_input"]
    assert sent[0].startswith("data:image/png;base64,")
    assert sent[1:] == [upload.reply["urls"]["get"]] * 2


async def test_an_upload_that_fails_costs_nothing(server, opened):
    """No prediction was created, and nobody needs to ask whether one was."""
    server.fail("upload", *[Fault(reset="after")] * 12)
    async with opened() as client:
        big = await client.runtime.services.blobs.put(RED + b"\0" * 256_000, "image/png", "b.png")
        with pytest.raises(ProviderError) as caught:
            await client.call("replicate:google/nano-banana", prompt="lava", images=[big])
    assert str(caught.value.sent) == "not_sent"
    assert server.predictions == {}


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        (Script(status="failed", error="E1001: out of memory"), JobFailedError, "make the input smaller"),
        (
            Script(status="failed", error="The input or output was flagged as sensitive. (E005)"),
            ContentRejectedError,
            "change the prompt",
        ),
        (Script(status="failed"), JobFailedError, "without an explanation"),
        (Script(status="canceled"), JobCancelledError, "cancelled"),
        (Script(status="aborted"), JobCancelledError, "cancelled"),
        (Script(data_removed=True), JobLostError, "for an hour"),
        (Script("no link"), MalformedOutputError, "no file"),
        (Script([png(), Delivery(b"<html>no</html>", "text/html")]), MalformedOutputError, "image"),
    ],
)
async def test_predictions_that_end_otherwise(server, opened, script, error, said):
    """Each with its own error, once, and never created again."""
    server.script("google/imagen-4", script)
    async with opened() as client:
        with pytest.raises(error, match=said) as caught:
            await client.call(IMAGEN, prompt="something bad")
    assert caught.value.prompt == ("something bad" if error is ContentRejectedError else "")
    assert len(server.asked("create")) == 1


async def test_cancelling_stops_the_prediction(server, opened):
    """None is left running at the vendor."""
    server.script("google/veo-3-fast", Script(polls=10**9))
    polled = asyncio.Event()

    async def sleep(_seconds):
        polled.set()
        await asyncio.sleep(0)

    async with opened(sleep=sleep) as client:
        call = asyncio.create_task(client.call(VEO, prompt="lava"))
        await polled.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(server.asked("cancel")) == 1
    assert server.running == []


async def test_a_create_whose_reply_was_lost_is_found(server, opened):
    """By the account's list, over its pages; other models and other inputs are not it."""
    server.script("google/imagen-4", Script(png()))
    server.script("google/nano-banana", Script(png()))
    server.fail("create", Fault(reset="after"))
    async with opened() as client:
        assert bytes_of(await client.call(IMAGEN, prompt="lava", aspect_ratio="16:9")) == [RED]
        await client.call("replicate:google/nano-banana", prompt="lava")
        await client.call(IMAGEN, prompt="ash")
        server.fail("create", Fault(reset="after"))
        assert bytes_of(await client.call(IMAGEN, prompt="steam")) == [RED]
    assert len(server.asked("create")) == len(server.predictions) == 4
    assert len(server.asked("list")) >= 2


async def test_a_prediction_that_another_call_has_is_not_found(server, opened):
    """Of two equal calls the first has its prediction; the second's never began, and nobody gives it the first's."""
    server.script("google/imagen-4", Script(png()))
    async with opened() as client:
        await client.call(IMAGEN, prompt="lava")
        server.fail("create", Fault(reset="before"))
        with pytest.raises(ProviderError, match="lists no such prediction yet"):
            await client.call(IMAGEN, prompt="lava")
    assert len(server.predictions) == 1


@pytest.mark.parametrize(
    "faults", [{"create": Fault(reset="before")}, {"create": Fault(reset="after"), "list": Fault(status=500)}]
)
async def test_a_create_that_nobody_can_find_is_unknown(server, opened, faults):
    """It is put to the user, and not created again."""
    for route, fault in faults.items():
        server.fail(route, fault)
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call(IMAGEN, prompt="lava")
    assert str(caught.value.sent) == "unknown"
    assert len(server.asked("create")) == 1


async def test_what_is_surely_not_there_was_not_accepted(opened):
    """The list covers the time, and enough of it has passed: only then may the request be sent again."""
    async with opened() as client:
        request, context = stage(client, ahead=3600)
        assert await PredictionHandler().find(request, time.time(), context) is None
        request, context = stage(client)
        with pytest.raises(MalformedOutputError, match="ask again"):
            await PredictionHandler().find(request, time.time(), context)


async def test_the_list_is_read_by_the_vendors_clock(server, opened):
    """Ours is an hour ahead, and what was created just now is still after the attempt."""
    async with opened() as client:
        request, context = stage(client, ahead=3600)
        receipt = await PredictionHandler().submit(request, context)
        found = await PredictionHandler().find(request, time.time() + 3600, context)
    assert found == replace(receipt, created=found.created)


@pytest.mark.parametrize("case", ["equal", "removed", "failed", "long ago"])
async def test_a_prediction_that_is_a_little_too_old_does_not_say_that_there_is_none(server, opened, case):
    """Our clock was half an hour ahead when the request left, and has been set since: a second one may be paid twice."""
    server.script("google/imagen-4", Script(status="failed", polls=0) if case == "failed" else Script())
    async with opened() as client:
        request, context = stage(client, ahead=7200)
        receipt = await PredictionHandler().submit(request, context)
        since = time.time() + (3700 if case == "long ago" else 1800)
        if case == "removed":
            server.predictions[receipt.job_id] |= {"data_removed": True, "input": {}}
        if case == "failed":
            with pytest.raises(JobFailedError):
                await PredictionHandler().poll(receipt, context)
        server.ahead = 7200  # it is later, for both
        if case in ("failed", "long ago"):
            assert await PredictionHandler().find(request, since, context) is None
        else:
            with pytest.raises(MalformedOutputError, match=f"{receipt.job_id} before this call.*the clock") as caught:
                await PredictionHandler().find(request, since, context)
            assert str(caught.value.sent) == "unknown"


@pytest.mark.parametrize("padding", [0, 256_000])
async def test_files_are_compared(server, opened, padding):
    """A file inside of the request, or the address of one that was uploaded, tells two calls apart."""
    server.script("google/nano-banana", Script(png()))
    async with opened() as client:
        put = client.runtime.services.blobs.put
        first, second = [await put(data + b"\0" * padding, "image/png", "") for data in (RED, BLUE)]
        server.fail("create", Fault(reset="after"))
        assert bytes_of(await client.call("replicate:google/nano-banana", prompt="lava", images=[first])) == [RED]
        server.fail("create", Fault(reset="before"))
        with pytest.raises(ProviderError) as caught:
            await client.call("replicate:google/nano-banana", prompt="lava", images=[second])
    assert str(caught.value.sent) == "unknown"
    assert len(server.predictions) == 1


async def test_a_link_of_which_nobody_knows_is_not_guessed_at(server, opened):
    """The file's address is forgotten: the prediction that is there may be this one or another."""
    server.fail("create", Fault(reset="after"))
    server.fail("list", Fault(status=500))
    async with opened() as client:
        services = client.runtime.services
        asked = {"prompt": "lava", "images": [await services.blobs.put(RED + b"\0" * 256_000, "image/png", "")]}
        with pytest.raises(ProviderError):
            await client.call("replicate:google/nano-banana", **asked)
        await services.ledger.uploads.forget(server.origin, {asked["images"][0].sha256})
        with pytest.raises(ProviderError, match="nobody can say whether its files are the same"):
            await client.call("replicate:google/nano-banana", **asked, reuse=True)
    assert len(server.predictions) == len(server.asked("upload")) == 1


@pytest.mark.parametrize("case", ["several", "removed", "shapeless", "endless"])
async def test_a_list_that_does_not_say_is_an_error(server, opened, case):
    """Several equal ones, an input that was deleted, another form: none of them is guessed at."""
    async with opened() as client:
        request, context = stage(client, ahead=3600)
        for _ in range(2):
            receipt = await PredictionHandler().submit(request, context)
        if case == "removed":
            server.predictions[receipt.job_id] |= {"data_removed": True, "input": {}}
        if case in ("shapeless", "endless"):
            page = {"results": [], "next": f"{server.origin}/predictions"} if case == "endless" else {}
            server.fail("list", Fault(status=200, body=page))
        with pytest.raises(MalformedOutputError) as caught:
            await PredictionHandler().find(request, time.time(), context)
    assert str(caught.value.sent) == "unknown"


@pytest.mark.parametrize(
    ("script", "polled", "outcome"),
    [
        (Script(polls=9), 0, AbortOutcome.STOPPED),
        (Script(polls=1), 1, AbortOutcome.STOPPED),
        (Script(png(), polls=0), 1, AbortOutcome.ALREADY_FINISHED),
    ],
)
async def test_abort_says_what_it_reached(server, opened, script, polled, outcome):
    """Aborted before it ran, cancelled while it did, or over already."""
    server.script("google/imagen-4", script)
    async with opened() as client:
        request, context = stage(client)
        receipt = await PredictionHandler().submit(request, context)
        for _ in range(polled):
            await PredictionHandler().poll(receipt, context)
        assert await PredictionHandler().abort(receipt, context) is outcome
    assert server.running == []


async def test_an_abort_that_reached_nothing_says_so(server, opened):
    """The vendor took it, and the prediction runs on."""
    server.script("google/imagen-4", Script(polls=9))
    async with opened() as client:
        request, context = stage(client)
        receipt = await PredictionHandler().submit(request, context)
        server.fail("cancel", Fault(status=200, body=server.predictions[receipt.job_id]))
        assert await PredictionHandler().abort(receipt, context) is AbortOutcome.UNKNOWN
        assert receipt.state == {"units": {"image": 1.0}}
        assert server.origin not in repr(receipt)


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("get", Fault(reset="before")),
        ("get", Fault(reset="after")),
        ("get", Fault(status=503)),
        ("get", Fault(status=429, body={"detail": "Request was throttled. Your rate limit resets in ~30s."})),
        ("get", Fault(size=20)),
        ("file", Fault(reset="before")),
        ("file", Fault(size=100)),
        ("file", Fault(status=502)),
        ("file", Fault(status=403)),
    ],
)
async def test_a_cut_line_costs_no_second_create(server, opened, route, fault):
    """While polling, between the files of a list and within one: all of them are whole in the end."""
    server.script("bytedance/seedream-4", Script([png(), png(BLUE)]))
    server.fail(route, Fault(status=502) if route == "file" else fault, fault)
    async with opened() as client:
        result = await client.call(SEEDREAM, prompt="lava", count=2)
        assert bytes_of(result) == [RED, BLUE]
    assert len(server.asked("create")) == 1


async def test_a_throttled_poll_waits_as_the_text_says(server, opened):
    """There is no Retry-After: the seconds stand in the sentence."""
    server.script("google/imagen-4", Script(png()))
    server.fail("get", Fault(status=429, body={"detail": "Request was throttled. Your rate limit resets in ~30s."}))
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async with opened(sleep=sleep) as client:
        await client.call(IMAGEN, prompt="lava")
    assert any(30.0 <= seconds <= 37.5 for seconds in waited)


async def test_links_that_stay_expired_end_the_call(server, opened):
    """The prediction is asked for once more, and no further."""
    server.script("google/imagen-4", Script(png()))
    server.fail("file", Fault(status=403), Fault(status=403))
    async with opened() as client:
        with pytest.raises(MalformedOutputError, match="403"):
            await client.call(IMAGEN, prompt="lava")
    assert len(server.asked("file")) == 2
    assert len(server.asked("create")) == 1
