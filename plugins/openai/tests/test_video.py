"""Video: a remote job, with what the vendor offers of lengths and sizes."""

from __future__ import annotations

import base64

import pytest
from openai_counterpart.stage import context, deprecations, file, handler, job, prepared, stored, told

from callsheet.errors import (
    CapabilityUnsupportedError,
    ContentRejectedError,
    InvalidRequestError,
    JobFailedError,
    JobLostError,
    MalformedOutputError,
    ProviderError,
    Sent,
)
from callsheet.handler import FindsJobs
from callsheet.jobs import AbortOutcome, Expected, RemoteState
from callsheet_openai.testing import Fault, refusal
from callsheet_openai.testing.media import CLIP, picture

MODEL = "sora-2"


def test_a_plain_wish_is_a_plain_request():
    """The vendor's own length and size are promised; the row says that the vendor gives the model up."""
    request = prepared(MODEL, prompt="lava")
    assert request.body == {"model": MODEL, "prompt": "lava"}
    assert request.expects == (Expected("blob", "video/mp4", width=720, height=1280, duration=4.0),)
    assert request.units == {"second": 4.0}
    assert "2026-09-24" in deprecations(request)[0].message


@pytest.mark.parametrize(
    ("wish", "body", "warnings"),
    [
        ({"duration": 8}, {"seconds": "8"}, []),
        ({"duration": 6}, {"seconds": "8"}, [("adjusted", "duration")]),
        ({"duration": 60}, {"seconds": "12"}, [("adjusted", "duration")]),
        ({"size": "1280x720"}, {"size": "1280x720"}, []),
        ({"size": "1920x1080"}, {"size": "1280x720"}, [("adjusted", "size")]),
        ({"aspect_ratio": "16:9"}, {"size": "1280x720"}, []),
        ({"aspect_ratio": "9:16", "resolution": "1024p"}, {"size": "1024x1792"}, [("adjusted", "aspect_ratio")]),
        ({"aspect_ratio": "1:1"}, {"size": "1024x1792"}, [("adjusted", "aspect_ratio")]),
        ({"resolution": "720p", "aspect_ratio": "16:9"}, {"size": "1280x720"}, []),
        ({"resolution": "720p"}, {"size": "720x1280"}, []),
        ({"resolution": "1080p"}, {"size": "720x1280"}, [("unsupported", "resolution")]),
        ({"resolution": "1792x1024"}, {"size": "1792x1024"}, []),
        (
            {"negative_prompt": "a", "fps": 24, "seed": 1, "generate_audio": False, "count": 2, "format": "mov"},
            {},
            [
                ("unsupported", "negative_prompt"),
                ("unsupported", "fps"),
                ("unsupported", "seed"),
                ("unsupported", "generate_audio"),
                ("adjusted", "count"),
                ("adjusted", "format"),
            ],
        ),
        ({"generate_audio": True, "format": "MP4"}, {}, []),
    ],
)
def test_the_nearest_offer_is_taken_and_told(wish, body, warnings):
    """Lengths and sizes come from the row; what has no field is a warning."""
    request = prepared(MODEL, prompt="lava", **wish)
    assert request.body == {"model": MODEL, "prompt": "lava", **body}
    assert told(request) == warnings
    assert request.expects[0].duration == float(body.get("seconds", 4))


def test_a_model_without_a_row_gets_what_was_asked_for():
    """Nobody knows its offers: the vendor decides."""
    request = prepared("sora-9", "video.generate", prompt="a", duration=5, size="640x360")
    assert request.body == {"model": "sora-9", "prompt": "a", "seconds": "5", "size": "640x360"}
    assert (request.expects[0].width, request.expects[0].duration) == (640, 5.0)


def test_options_have_the_last_word():
    """What they say is promised, and what is no length is left to the vendor."""
    assert prepared(MODEL, prompt="a", duration=4, options={"seconds": "12"}).units == {"second": 12.0}
    odd = prepared(MODEL, prompt="a", options={"seconds": "long"})
    assert (odd.body["seconds"], odd.units) == ("long", {"second": 4.0})


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"image": file()}, InvalidRequestError),
        ({"prompt": "a" * 32_001}, InvalidRequestError),
        ({"prompt": "a", "last_frame": file()}, CapabilityUnsupportedError),
        ({"prompt": "a", "images": [file()]}, CapabilityUnsupportedError),
        ({"prompt": "a", "audio": file("audio/wav")}, CapabilityUnsupportedError),
        ({"prompt": "a", "image": file("image/gif")}, CapabilityUnsupportedError),
        ({"prompt": "a", "image": file(size=15_000_001)}, CapabilityUnsupportedError),
    ],
)
def test_what_the_model_cannot_do_is_refused(wish, error):
    """Nothing was sent."""
    with pytest.raises(error) as caught:
        prepared(MODEL, **wish)
    assert caught.value.sent is Sent.NOT_SENT


async def test_a_clip_is_made_polled_and_fetched(server, opened):
    """The first frame goes inside of the request; the file comes from the vendor's own origin, with the key."""
    frame = picture(64, 36)
    async with opened() as client:
        image = await stored(client, frame, "image/png")
        result = await client.call(f"openai:{MODEL}", prompt="lava", image=image, duration=8, size="1280x720")
        (clip,) = result.artifacts
        assert clip.location.read_bytes() == CLIP
    assert (clip.media_type, clip.width, clip.height, clip.duration) == ("video/mp4", 1280, 720, 8.0)
    assert result.usage.units == {"second": 8.0}
    (paid,) = server.paid
    assert paid.json["input_reference"] == {"image_url": f"data:image/png;base64,{base64.b64encode(frame).decode()}"}
    assert [seen.path.split("/")[-1] for seen in server.journal if seen.method == "GET"][-1] == "content"
    assert {seen.headers["authorization"] for seen in server.journal} == {f"Bearer {server.key}"}


async def submitted(client):
    """A job under way: its receipt and its context."""
    wanted, videos = job(MODEL, prompt="something bad"), handler("video.generate")
    services = context(client, wanted)
    return await videos.submit(videos.prepare(wanted), services), services, videos


async def test_the_receipt_says_all_that_is_needed(opened):
    """It holds no URL and no key, and is polled by another process."""
    async with opened() as client:
        receipt, services, videos = await submitted(client)
        assert (receipt.key, receipt.state) == ("k" * 64, {})
        assert receipt.expects[0].duration == 4.0
        first = await videos.poll(receipt, services)
        assert (first.state, first.progress) == (RemoteState.RUNNING, 0.0)
        assert (await videos.poll(receipt, services)).state is RemoteState.SUCCEEDED
    assert not isinstance(videos, FindsJobs)


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (("moderation_blocked", "Blocked by our moderation system."), ContentRejectedError),
        (("internal_error", "It broke."), JobFailedError),
    ],
)
async def test_a_failed_job_has_its_reason(server, opened, failing, error):
    """Refused content is not tried again; it is named, with the vendor's words."""
    server.account.failure = failing
    async with opened() as client:
        with pytest.raises(error, match=failing[1]) as caught:
            await client.call(f"openai:{MODEL}", prompt="something bad")
    assert caught.value.sent is Sent.FINISHED
    assert caught.value.prompt == ("something bad" if error is ContentRejectedError else "")


async def test_abort_says_what_it_cannot_do(opened):
    """The vendor stops no video: while it runs only we let go of it; afterwards it is finished."""
    async with opened() as client:
        receipt, services, videos = await submitted(client)
        assert await videos.abort(receipt, services) is AbortOutcome.CLIENT_SIDE_ONLY
        assert await videos.abort(receipt, services) is AbortOutcome.ALREADY_FINISHED


async def test_a_job_that_is_gone_is_lost(server, opened):
    """404 for a job means that the vendor has forgotten it, when asking and when fetching."""
    async with opened() as client:
        receipt, services, videos = await submitted(client)
        server.fail(refusal(404, "Video not found."), refusal(404, "Video not found."))
        with pytest.raises(JobLostError):
            await videos.poll(receipt, services)
        with pytest.raises(JobLostError):
            await videos.collect(receipt, services)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=200, body=CLIP, headers={"content-type": "video/mp4"}, promise=10),
        Fault(size=20, abrupt=True),
        Fault(status=200, body=b"<html>no</html>"),
    ],
)
async def test_a_clip_that_is_not_whole_is_no_clip(server, opened, fault):
    """A cut file and a page in its place are errors."""
    async with opened() as client:
        receipt, services, videos = await submitted(client)
        await videos.poll(receipt, services)
        await videos.poll(receipt, services)
        server.fail(fault)
        with pytest.raises(ProviderError):
            await videos.collect(receipt, services)


@pytest.mark.parametrize("answer", [{"status": "queued"}, {"id": "", "status": "queued"}, {"id": 7}])
async def test_a_job_without_an_id_is_unknown(server, opened, answer):
    """It may run and cost money: nobody can say."""
    server.judges_replies = False
    server.scripted["/videos"] = answer
    async with opened() as client:
        with pytest.raises(MalformedOutputError) as caught:
            await submitted(client)
    assert caught.value.sent is Sent.UNKNOWN


async def test_an_unknown_status_is_not_guessed(server, opened):
    """Neither running nor done."""
    async with opened() as client:
        receipt, services, videos = await submitted(client)
        server.judges_replies = False
        server.scripted[f"/videos/{receipt.job_id}"] = {"id": receipt.job_id, "status": "paused"}
        with pytest.raises(MalformedOutputError, match="paused"):
            await videos.poll(receipt, services)
