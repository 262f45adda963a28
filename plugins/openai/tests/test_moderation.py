"""Moderation: one verdict on a text, an image, or both."""

from __future__ import annotations

import base64

import pytest
from openai_counterpart.stage import file, prepared, stored, told

from callsheet.errors import CapabilityUnsupportedError, MalformedOutputError, Sent
from callsheet_openai.testing.media import picture

MODEL = "omni-moderation-latest"


def test_a_text_is_sent_as_it_is_and_images_as_parts():
    """The image is a leaf of the body."""
    image = file()
    assert prepared(MODEL, text="a").body == {"model": MODEL, "input": "a"}
    part = {"type": "image_url", "image_url": {"url": image}}
    assert prepared(MODEL, images=[image]).body == {"model": MODEL, "input": [part]}
    assert prepared(MODEL, text="a", images=[image]).body["input"] == [{"type": "text", "text": "a"}, part]


def test_no_option_replaces_what_is_judged():
    """One verdict is on one text: that of several would be refused when it was made."""
    request = prepared(MODEL, text="a", options={"input": ["b", "c"]})
    assert request.body == {"model": MODEL, "input": "a"}
    assert told(request) == [("unsupported", "input")]


@pytest.mark.parametrize(
    ("model", "image"),
    [("text-moderation-stable", file()), (MODEL, file("application/pdf")), (MODEL, file(size=20_000_001))],
)
def test_what_cannot_be_looked_at_is_refused(model, image):
    """Nothing was sent."""
    with pytest.raises(CapabilityUnsupportedError) as caught:
        prepared(model, text="a", images=[image])
    assert caught.value.sent is Sent.NOT_SENT


@pytest.mark.parametrize(("text", "flagged"), [("kill them", True), ("a flower", False)])
async def test_the_verdict_is_json(opened, text, flagged):
    """Yes or no, and why, in the vendor's categories."""
    async with opened() as client:
        result = await client.call(f"openai:{MODEL}", text=text)
    verdict = result.artifacts[0].value
    assert verdict["flagged"] is flagged
    assert verdict["categories"]["violence"] is flagged
    assert verdict["category_scores"]["violence"] == (0.9 if flagged else 0.001)
    assert verdict["category_applied_input_types"]["violence"] == ["text"]
    assert result.meta == {"id": "modr_1", "model": MODEL}


async def test_an_image_goes_inside_of_the_request(server, opened):
    """As a data URL."""
    data = picture(8, 8)
    async with opened() as client:
        result = await client.call(f"openai:{MODEL}", text="a", images=[await stored(client, data, "image/png")])
    assert result.artifacts[0].value["category_applied_input_types"]["violence"] == ["image", "text"]
    url = server.paid[0].json["input"][1]["image_url"]["url"]
    assert url == f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("results", [None, [], [{"flagged": None, "categories": {}}], [{"flagged": True}], [{}, {}]])
async def test_no_verdict_is_no_yes(server, opened, results):
    """What says neither yes nor no is malformed."""
    server.judges_replies = False
    server.scripted["/moderations"] = {"id": "x", "model": MODEL, "results": results}
    async with opened() as client:
        with pytest.raises(MalformedOutputError):
            await client.call(f"openai:{MODEL}", text="a")
