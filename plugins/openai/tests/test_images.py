"""Images: the mapping to the vendor's request, generations, edits, partial pictures."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_counterpart.stage import context, deprecations, file, handler, job, prepared, rows, stored, told
from PIL import Image

from callsheet.errors import (
    CapabilityUnsupportedError,
    ConnectionFailedError,
    ContentRejectedError,
    InvalidRequestError,
    MalformedOutputError,
    OverloadedError,
    Sent,
)
from callsheet.jobs import Expected
from callsheet.models import Operation
from callsheet.streams import ImageDelta, StreamFinished
from callsheet_openai.testing import Fault, refusal
from callsheet_openai.testing.media import picture

GENERATIONS, EDITS = "/images/generations", "/images/edits"


def test_a_plain_wish_is_a_plain_request():
    """Nothing is sent that was not asked for."""
    request = prepared("gpt-image-2", prompt="a volcano")
    assert request.body == {"model": "gpt-image-2", "prompt": "a volcano"}
    assert request.expects == (Expected("blob", "image/png"),)
    assert request.units == {"image": 1.0}
    assert request.warnings == ()


def test_every_attribute_has_its_field():
    """Count, size, format and the vendor's own options reach the body."""
    options = {"quality": "low", "background": "opaque", "moderation": "low", "output_compression": 80, "user": "u"}
    request = prepared("gpt-image-1.5", prompt="a", count=3, size="1536x1024", format="JPG", options=options)
    assert request.body == {
        "model": "gpt-image-1.5",
        "prompt": "a",
        "n": 3,
        "size": "1536x1024",
        "output_format": "jpeg",
        **options,
    }
    assert request.expects == (Expected("blob", "image/jpeg", count=3, width=1536, height=1024),)
    assert told(request) == []


@pytest.mark.parametrize(
    ("model", "wish", "size", "warnings"),
    [
        ("gpt-image-2", {"size": "1536x864"}, "1536x864", []),
        ("gpt-image-2", {"size": "1920x1080"}, "1920x1088", [("adjusted", "size")]),
        ("gpt-image-2", {"size": "64x64"}, "832x832", [("adjusted", "size")]),
        ("gpt-image-2", {"aspect_ratio": "16:9"}, "1280x720", []),
        ("gpt-image-2", {"aspect_ratio": "16:9", "resolution": "4K"}, "3840x2160", []),
        ("gpt-image-2", {"resolution": "2K"}, "2048x2048", []),
        ("gpt-image-2", {"resolution": "512x2048"}, "592x1776", [("adjusted", "size")]),
        ("gpt-image-2", {"aspect_ratio": "4:1"}, "1776x592", [("adjusted", "aspect_ratio")]),
        ("gpt-image-2", {"resolution": "huge"}, None, [("unsupported", "resolution")]),
        ("gpt-image-1.5", {"size": "1000x1000"}, "1024x1024", [("adjusted", "size")]),
        ("gpt-image-1.5", {"aspect_ratio": "3:2"}, "1536x1024", []),
        ("gpt-image-1.5", {"aspect_ratio": "9:16"}, "1024x1536", [("adjusted", "aspect_ratio")]),
        ("gpt-image-1.5", {"resolution": "2K"}, None, [("unsupported", "resolution")]),
        (
            "gpt-image-1.5",
            {"size": "1024x1024", "aspect_ratio": "16:9"},
            "1024x1024",
            [("unsupported", "aspect_ratio")],
        ),
        ("dall-e-2", {"size": "300x300"}, "256x256", [("adjusted", "size")]),
        ("an-unknown-model", {"aspect_ratio": "1:1"}, "1024x1024", []),
    ],
)
def test_the_nearest_size_is_taken_and_told(model, wish, size, warnings):
    """A size that the model has not becomes the nearest one, with a warning; one that it has is left alone."""
    request = prepared(model, "image.generate", prompt="a", **wish)
    assert request.body.get("size") == size
    assert told(request) == warnings
    if size is not None:
        width, height = map(int, request.body["size"].split("x"))
        assert (request.expects[0].width, request.expects[0].height) == (width, height)


@given(st.integers(1, 9999), st.integers(1, 9999), st.booleans())
def test_every_size_is_one_that_the_model_takes(width, height, exact):
    """Whatever is wished, multiples of 16 within 3:1, the edge and the pixels come out; what fits is not changed."""
    wish = {"size": f"{width}x{height}"} if exact else {"aspect_ratio": f"{width}:{height}"}
    request = prepared("gpt-image-2", prompt="a", **wish)
    across, down = map(int, request.body["size"].split("x"))
    assert across % 16 == down % 16 == 0
    assert max(across, down) <= min(3840, 3 * min(across, down))
    assert 655_360 <= across * down <= 8_294_400
    kept = (across, down) == (width, height) if exact else across * height == down * width
    assert (request.warnings == ()) == kept


def test_what_a_model_cannot_take_is_told_and_left_out():
    """Attributes without a field, options of other models, and fields that are not the user's."""
    options = {"style": "vivid", "stream": True, "input_fidelity": "high"}
    request = prepared("gpt-image-2", prompt="a", negative_prompt="b", seed=0, format="tiff", options=options)
    assert request.body == {"model": "gpt-image-2", "prompt": "a"}
    assert told(request) == [
        ("adjusted", "format"),
        ("unsupported", "negative_prompt"),
        ("unsupported", "seed"),
        ("unsupported", "style"),
        ("unsupported", "stream"),
        ("unsupported", "input_fidelity"),
    ]


def test_retired_models_say_so_and_keep_their_own_fields():
    """DALL·E gives base64 only when asked, and knows no formats."""
    request = prepared("dall-e-3", prompt="a", format="png", options={"style": "vivid"})
    assert request.body == {"model": "dall-e-3", "prompt": "a", "response_format": "b64_json", "style": "vivid"}
    assert "gpt-image-2.5-flare" in deprecations(request)[0].message


@pytest.mark.parametrize(
    ("model", "wish", "error"),
    [
        ("gpt-image-2", {"count": 11}, InvalidRequestError),
        ("dall-e-3", {"count": 2}, InvalidRequestError),
        ("gpt-image-2", {"prompt": "a" * 32_001}, InvalidRequestError),
        ("dall-e-3", {"images": [file()]}, CapabilityUnsupportedError),
        ("gpt-image-2", {"images": [file(name=str(n)) for n in range(17)]}, CapabilityUnsupportedError),
        ("gpt-image-2", {"images": [file("image/gif")]}, CapabilityUnsupportedError),
        ("gpt-image-2", {"images": [file(size=50_000_001)]}, CapabilityUnsupportedError),
        ("gpt-image-2", {"images": [file()], "mask": file("image/jpeg")}, CapabilityUnsupportedError),
        ("dall-e-2", {"images": [file(size=4_000_001)]}, CapabilityUnsupportedError),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_sent(model, wish, error):
    """Nothing was sent, and the error says what would be taken."""
    with pytest.raises(error) as caught:
        prepared(model, **{"prompt": "a", **wish})
    assert caught.value.sent is Sent.NOT_SENT
    assert f"openai:{model}" in str(caught.value)


def test_input_images_are_leaves_of_the_body():
    """One image is a field of its own, several are a list, a mask needs an image."""
    one, two, mask = file(name="1"), file("image/webp", name="2"), file(name="m")
    assert prepared("gpt-image-2", prompt="a", images=[one]).body["image"] == one
    body = prepared("gpt-image-2", prompt="a", images=[one, two], mask=mask).body
    assert (body["image"], body["mask"]) == ([one, two], mask)
    alone = prepared("gpt-image-2", prompt="a", mask=mask)
    assert "mask" not in alone.body
    assert told(alone) == [("unsupported", "mask")]


async def test_images_come_into_the_store(server, opened):
    """Each image is a file of its true type and size, tokens are counted by kind, and its price is known."""
    async with opened() as client:
        result = await client.call("openai:gpt-image-1.5", prompt="a", count=2, size="1024x1536", format="webp")
        assert [(a.media_type, a.width, a.height) for a in result.artifacts] == [("image/webp", 1024, 1536)] * 2
        assert Image.open(BytesIO(result.artifacts[0].location.read_bytes())).size == (1024, 1536)
    assert result.usage.units == {
        "image": 2.0,
        "input_token": 1.0,
        "input_image_token": 0.0,
        "output_token": 0.0,
        "output_image_token": 544.0,
    }
    (seen,) = server.paid
    assert (seen.path, seen.json["n"]) == (GENERATIONS, 2)


async def test_an_edit_is_a_form_with_the_files(server, opened, tmp_path):
    """The images and the mask arrive byte for byte, under names of ours."""
    first, second, mask = (picture(64, 64, shade=n) for n in (1, 2, 3))
    paths = []
    for number, data in enumerate((first, second, mask)):
        paths.append(tmp_path / f"my secret holiday {number}.png")
        paths[-1].write_bytes(data)
    async with opened() as client:
        result = await client.call("openai:gpt-image-2", prompt="ü", images=paths[:2], mask=paths[2], size="1024x1024")
    assert len(result.artifacts) == 1
    (seen,) = server.paid
    assert seen.path == EDITS
    assert seen.form == {"model": "gpt-image-2", "prompt": "ü", "size": "1024x1024"}
    files = [(part.name, part.media_type, part.data) for part in seen.parts if part.filename]
    assert files == [("image[]", "image/png", first), ("image[]", "image/png", second), ("mask", "image/png", mask)]
    assert all(
        "holiday" not in part.filename and part.filename.endswith(".png") for part in seen.parts if part.filename
    )


async def test_a_revised_prompt_is_kept(opened):
    """What the vendor made of the prompt stands in the metadata."""
    async with opened() as client:
        result = await client.call("openai:dall-e-3", prompt="a")
    assert result.meta["revised_prompt"] == "a, at dusk"


async def test_an_image_behind_a_url_is_fetched(server, opened):
    """An answer with a URL instead of base64 goes through the guarded transfer, which refuses an inner address."""
    server.judges_replies = False
    server.scripted[GENERATIONS] = {"created": 1, "data": [{"url": "https://10.0.0.1/x.png"}]}
    async with opened() as client:
        with pytest.raises(MalformedOutputError, match=r"10\.0\.0\.1"):
            await client.call("openai:dall-e-3", prompt="a", options={"response_format": "url"})


@pytest.mark.parametrize(
    "answer", [{"created": 1}, {"created": 1, "data": [{"b64_json": "?"}]}, {"created": 1, "data": []}]
)
async def test_an_answer_without_images_is_malformed(server, opened, answer):
    """Paid for and not there: an error, not an empty result."""
    server.scripted[GENERATIONS] = answer
    async with opened() as client:
        with pytest.raises(MalformedOutputError):
            await client.call("openai:gpt-image-2", prompt="a")


async def test_a_rejected_prompt_is_named(server, opened):
    """The error holds the prompt."""
    server.fail(refusal(400, "Your request was rejected by the safety system.", code="moderation_blocked"))
    async with opened() as client:
        with pytest.raises(ContentRejectedError) as caught:
            await client.call("openai:gpt-image-2", prompt="something bad")
    assert (caught.value.prompt, caught.value.sent) == ("something bad", Sent.REJECTED)


@pytest.mark.parametrize("edit", [False, True])
async def test_partial_images_come_before_the_result(server, opened, edit):
    """Each partial image is a whole file; the finished one is stored; both ways of asking stream."""
    async with opened() as client:
        images = [await stored(client, picture(64, 64), "image/png")] if edit else []
        wanted = job("gpt-image-2", prompt="a", images=images, options={"partial_images": 2}, format="jpeg")
        images = handler("image.generate")
        services = context(client, wanted)
        events = [event async for event in images.stream(images.prepare(wanted), services)]
    assert [type(event) for event in events] == [ImageDelta, ImageDelta, StreamFinished]
    assert [(event.index, event.media_type, event.data[:3]) for event in events[:2]] == [
        (0, "image/jpeg", b"\xff\xd8\xff"),
        (1, "image/jpeg", b"\xff\xd8\xff"),
    ]
    assert events[-1].result.artifacts[0].media_type == "image/jpeg"
    assert server.paid[0].path == (EDITS if edit else GENERATIONS)


@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_a_stream_that_ends_early_is_an_error(server, opened, cut):
    """Without its completed event no stream of images is a success."""
    server.fail(Fault(events=cut, clean=True))
    async with opened() as client:
        wanted = job("gpt-image-2", prompt="a", options={"partial_images": 2})
        images = handler("image.generate")
        with pytest.raises(MalformedOutputError, match="ended after 0 of 1 images") as caught:
            [event async for event in images.stream(images.prepare(wanted), context(client, wanted))]
    assert caught.value.sent is Sent.UNKNOWN


@pytest.mark.parametrize(
    ("fault", "error", "sent"),
    [
        (refusal(400, "No.", code="moderation_blocked"), ContentRejectedError, Sent.REJECTED),
        (
            Fault(
                status=200,
                body=b'event: error\ndata: {"type": "error", "error": {"message": "m", "code": "server_error"}}\n\n',
                headers={"content-type": "text/event-stream"},
            ),
            OverloadedError,
            Sent.FINISHED,
        ),
        (Fault(events=1, abrupt=True), ConnectionFailedError, Sent.UNKNOWN),
        (Fault(malformed=1), MalformedOutputError, Sent.UNKNOWN),
    ],
)
async def test_a_stream_that_fails_has_its_class(server, opened, fault, error, sent):
    """A refusal at its head, an error in its middle, a broken connection, an event that is no JSON."""
    server.fail(fault)
    async with opened() as client:
        wanted = job("gpt-image-2", prompt="a", options={"partial_images": 2})
        images = handler("image.generate")
        with pytest.raises(error) as caught:
            [event async for event in images.stream(images.prepare(wanted), context(client, wanted))]
    assert caught.value.sent is sent


async def test_partial_images_are_for_streams_only(server, opened):
    """A plain call does not send what only a stream may ask for."""
    async with opened() as client:
        await client.call("openai:gpt-image-2", prompt="a", options={"partial_images": 2})
    assert "partial_images" not in server.paid[0].json


def test_edits_are_not_batched():
    """Generations share a batch by model, an edit has files."""
    images = handler("image.generate")
    assert images.batch_group(prepared("gpt-image-2", prompt="a")) == "/v1/images/generations gpt-image-2"
    assert images.batch_group(prepared("gpt-image-2", prompt="a", images=[file()])) == ""


def test_the_rows_say_what_the_handler_reads():
    """Every size of a row is a size, and every row has the usual square."""
    image_rows = [row for row in rows().values() if row.operation is Operation.IMAGE_GENERATE]
    assert len(image_rows) == 11
    for row in image_rows:
        request = prepared(row.model, prompt="a", aspect_ratio="1:1")
        assert request.body["size"] == "1024x1024"
