"""OpenAI's plugin through a real client, against a mock of the vendor that other people wrote."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callsheet.client import Client
from callsheet.errors import ProviderError, RateLimitedError, Sent
from callsheet.messages import Message, TextPart, ToolResultPart
from callsheet.pay_once import OnUnknown
from callsheet.project import Project
from callsheet.secrets import MappingSecrets
from callsheet.settings import ProviderSettings, Settings
from callsheet.streams import StreamFinished, TextDelta

KEY = "sk-test-aimock-4fZq9XbN7wLr2K"
SAID = "The mountain breathes out, and the birds are the first to know."
RESPONSES, CHAT = "openai:gpt-5", "openai:gpt-audio-1.5"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "height": {"type": "integer"}},
    "required": ["name", "height"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}


@pytest.fixture
def anyio_backend():
    """Tests run on asyncio."""
    return "asyncio"


@pytest.fixture
async def client(folder: Path, aimock) -> AsyncIterator[Client]:
    """A client whose OpenAI is aimock; it never sleeps."""

    async def sleep(_seconds: float) -> None:
        """Nobody waits."""

    settings = Settings(providers={"openai": ProviderSettings(base_url=aimock.origin)})
    secrets = MappingSecrets({"OPENAI_API_KEY": KEY})
    async with await Client.open(Project.at(folder), settings, secrets=secrets, sleep=sleep) as opened:
        yield opened


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_text(client, ref):
    """One call, one answer."""
    result = await client.call(ref, prompt="Tell me about the mountain.")
    assert result.artifacts[0].text == SAID
    assert result.finish == "stop"


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_stream(client, ref):
    """Pieces that add up, and the result last."""
    events = [event async for event in client.stream(ref, prompt="Tell me about the mountain.")]
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 1
    assert "".join(texts) == SAID
    assert isinstance(events[-1], StreamFinished)
    assert events[-1].result.artifacts[0].text == SAID


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_a_cut_stream_is_an_error(client, ref):
    """aimock ends the connection after two pieces."""
    read = []

    async def follow() -> None:
        async for event in client.stream(ref, prompt="Please cut me.", on_unknown=OnUnknown.FAIL):
            read.append(event)  # noqa: PERF401 - what came before the error is looked at

    with pytest.raises(ProviderError) as caught:
        await follow()
    assert caught.value.sent is Sent.UNKNOWN
    assert not any(isinstance(event, StreamFinished) for event in read)


@pytest.mark.parametrize("ref", [RESPONSES, "openai:gpt-5-search-api"])
async def test_structured(client, ref):
    """JSON as its schema says."""
    result = await client.call(ref, prompt="Give it to me as JSON.", output_schema=SCHEMA)
    assert result.artifacts[0].value == {"name": "Etna", "height": 3357}


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_tools(client, ref):
    """The model asks for a function, gets its result in the history, and answers."""
    asked = Message("user", (TextPart("Look at the lava."),))
    first = await client.call(ref, messages=[asked], options={"tools": [TOOL]})
    assert first.finish == "tool_calls"
    (call,) = (part for part in first.parts if part.kind == "tool_call")
    assert (call.name, call.arguments) == ("look", {"at": "lava"})
    history = [asked, Message("assistant", first.parts), Message("tool", (ToolResultPart(call.id, "Red."),))]
    second = await client.call(ref, messages=history, options={"tools": [TOOL]})
    assert second.artifacts[0].text == "It glows."


async def test_a_rate_limit_keeps_its_wait(client):
    """429 with Retry-After."""
    with pytest.raises(RateLimitedError) as caught:
        await client.call(RESPONSES, prompt="Please rate me.")
    assert caught.value.sent is Sent.REJECTED
    assert caught.value.retry_after == 1.0


async def test_an_image_comes_into_the_store(client):
    """A PNG of the asked size."""
    result = await client.call("openai:gpt-image-1", prompt="A volcano.", size="1024x1024")
    assert result.artifacts[0].media_type == "image/png"
    assert result.artifacts[0].location.read_bytes().startswith(b"\x89PNG")


async def test_speech_comes_into_the_store(client):
    """An MP3."""
    result = await client.call("openai:gpt-4o-mini-tts", text="The mountain breathes out.")
    assert result.artifacts[0].media_type == "audio/mpeg"
    assert result.artifacts[0].location.read_bytes()[:2] == b"\xff\xfb"


async def test_transcription(client, folder):
    """A sound goes in as a form, its text comes out."""
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 80, "NONE", ""))
        file.writeframes(bytes(160))
    result = await client.call("openai:gpt-4o-transcribe", audio=folder / "voice.wav")
    assert result.artifacts[0].text == "The mountain breathes out."


async def test_embeddings(client):
    """One vector for each text; aimock sends lists though text was asked for, as compatible vendors do."""
    result = await client.call("openai:text-embedding-3-small", texts=["lava", "ash"])
    assert result.artifacts[0].value == [[0.25, 0.5, -0.125, 0.0]] * 2


async def test_moderation(client):
    """A verdict."""
    result = await client.call("openai:omni-moderation-latest", text="Lava is warm.")
    assert result.artifacts[0].kind == "json"


async def test_a_batch_of_files_and_lines(client, aimock):
    """Upload, batch, poll, output file; aimock answers every line of a batch with the same words."""
    before = len(aimock.journal())
    prompts = [{"prompt": f"Tell me about mountain {number}."} for number in range(3)]
    results = await client.batch(RESPONSES, prompts)
    assert [result.artifacts[0].text for result in results] == ["Mock batch completion"] * 3
    asked = [(entry["method"], entry["path"]) for entry in aimock.journal()[before:]]
    assert ("POST", "/v1/files") in asked
    assert ("POST", "/v1/batches") in asked


async def test_a_background_response_may_be_whole_at_once(client):
    """aimock answers at once: that is a result, and no receipt is needed."""
    result = await client.call(RESPONSES, prompt="Tell me about it.", options={"background": True})
    assert result.artifacts[0].text == SAID


async def test_the_key_went_to_the_vendor_alone(client, aimock, folder):
    """It is in the header of each request, and in no file of the project."""
    before = len(aimock.journal())
    await client.call(RESPONSES, prompt="Tell me about the key.")
    (entry,) = aimock.journal()[before:]
    assert entry["headers"]["authorization"] == "[REDACTED]"  # aimock's own mask: there was one
    assert KEY not in str(entry["body"])
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert KEY.encode() not in kept
