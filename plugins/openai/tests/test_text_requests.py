"""What reaches the wire: files inside of the body, the key in its header, other origins, and batches."""

from __future__ import annotations

import base64
import json

import pytest
from openai_counterpart import stage
from openai_counterpart.text_stage import handler

from callsheet.plugin import (
    Batches,
    BatchItem,
    ConfigError,
    ContentRejectedError,
    JobResult,
    RemoteState,
    TextArtifact,
)
from callsheet.settings import ProviderSettings, Settings
from callsheet_openai.testing import KEY, Fault
from callsheet_openai.testing.answers import Answer, chat

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PAPER = b"%PDF-1.4\n%%EOF\n"
SOUND = b"ID3\x03\x00\x00\x00\x00\x00\x00"


def url(media_type, data):
    """A data URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


async def test_files_are_sent(server, opened):
    """A picture and a document go as data URLs, a sound as bare base64; the vendor's document takes all of them."""
    async with opened() as client:
        picture = await stage.stored(client, PIXEL, "image/png")
        paper = await stage.stored(client, PAPER, "application/pdf")
        sound = await stage.stored(client, SOUND, "audio/mpeg")
        await client.call("openai:gpt-5", prompt="Look", images=[picture], files=[paper])
        await client.call("openai:gpt-audio", prompt="Listen", audio=sound)
    content = server.journal[0].json["input"][0]["content"]
    assert [content[1]["image_url"], content[2]["file_data"]] == [
        url("image/png", PIXEL),
        url("application/pdf", PAPER),
    ]
    heard = server.journal[1].json["messages"][0]["content"][1]
    assert heard["input_audio"] == {"data": base64.b64encode(SOUND).decode(), "format": "mp3"}


async def test_key(server, opened):
    """The key goes in one header of each request, and a missing one is told before anything is sent."""
    async with opened() as client:
        await client.call("openai:gpt-5", prompt="Hi")
    assert server.journal[0].headers["authorization"] == f"Bearer {KEY}"
    async with opened(key="") as client:
        with pytest.raises(ConfigError, match="export OPENAI_API_KEY"):
            await client.call("openai:gpt-5", prompt="Hi")
    assert len(server.journal) == 1


@pytest.mark.parametrize(
    ("model", "endpoint"), [("gpt-5", "/v1/responses"), ("gpt-5-search-api", "/v1/chat/completions")]
)
async def test_batch(server, opened, model, endpoint):
    """Both wires take part in batches: each item has its own answer or its own error."""
    server.account.polls = 0
    server.account.answers += [Answer("One."), Answer("Two."), Answer(refusal="Not this.")]
    async with opened() as client:
        jobs = [stage.job(model, "", prompt=prompt) for prompt in ("a", "b", "c")]
        wire = handler(jobs[0].model.wire)
        assert isinstance(wire, Batches)
        items = [BatchItem(f"key-{number}", wire.prepare(job)) for number, job in enumerate(jobs)]
        assert len({wire.batch_group(item.request) for item in items}) == 1
        context = stage.context(client, jobs[0])
        receipt = await wire.submit_batch(items, context)
        assert (await wire.poll(receipt, context)).state is RemoteState.SUCCEEDED
        ended = await wire.collect_batch(receipt, items, context)
    upload = next(each for each in server.journal if each.path == "/files")
    lines = [json.loads(line) for line in upload.parts[-1].data.splitlines()]
    assert [(line["custom_id"], line["url"], line["body"]["model"]) for line in lines] == [
        (f"key-{number}", endpoint, model) for number in range(3)
    ]
    assert isinstance(ended["key-0"], JobResult)
    assert ended["key-0"].artifacts == (TextArtifact("One."),)
    assert ended["key-1"].artifacts == (TextArtifact("Two."),)
    assert isinstance(ended["key-2"], ContentRejectedError)


def borrowed(server, secret):
    """Settings of a vendor without a package that speaks the exported wire."""
    near = ProviderSettings(base_url=server.origin, wire="openai:chat", secret=secret)
    return Settings(providers={"near": near})


async def test_compatible_vendor(server, opened):
    """The exported wire serves a vendor without a package: its key, its base URL, the names that every vendor knows."""
    async with opened(settings=borrowed(server, "OPENAI_API_KEY")) as client:
        call = {"operation": "text.generate", "prompt": "Hi", "max_tokens": 30}
        result = await client.call("near:gpt-4o", **call)
        events = [event async for event in client.stream("near:gpt-4o", **call)]
    assert result.artifacts == events[-1].result.artifacts == (TextArtifact("The mountain breathes out."),)
    assert [each.path for each in server.journal] == ["/chat/completions"] * 2
    assert server.journal[0].json == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 30,
    }


async def test_compatible_vendor_without_a_key(server, opened):
    """A vendor that wants no key gets none, and surely not that of the wire's owner."""
    server.fail(Fault(status=200, body=chat(Answer("Free."), {"model": "gpt-4o"})))
    async with opened(settings=borrowed(server, "")) as client:
        result = await client.call("near:gpt-4o", operation="text.generate", prompt="Hi")
    assert result.artifacts == (TextArtifact("Free."),)
    assert "authorization" not in server.journal[0].headers
