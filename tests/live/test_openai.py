"""OpenAI itself: the few things that no counterpart can prove."""

from __future__ import annotations

import pytest

from callsheet.client import Client
from callsheet.errors import AuthenticationError
from callsheet.project import Project
from callsheet.secrets import MappingSecrets
from callsheet.settings import Settings
from callsheet.streams import StreamFinished, TextDelta

MOST = {"max_tokens": 800}
TOKENS = {"output_token": 800, "input_token": 400}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "height": {"type": "integer"}},
    "required": ["name", "height"],
    "additionalProperties": False,
}


async def test_text(client, afford):
    """An answer with tokens counted."""
    result = await client.call(afford("text.generate", **TOKENS), prompt="Tell me in one line what lava is.", **MOST)
    assert result.artifacts[0].text.strip()
    assert result.usage.output_tokens is not None


async def test_stream(client, afford):
    """Pieces that add up to the result."""
    ref = afford("text.generate", **TOKENS)
    events = [event async for event in client.stream(ref, prompt="Tell me in one line what ash is.", **MOST)]
    assert isinstance(events[-1], StreamFinished)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == events[-1].result.artifacts[0].text


async def test_structured(client, afford):
    """JSON as its schema says."""
    ref = afford("text.generate", **TOKENS)
    result = await client.call(ref, prompt="Give me one volcano as JSON.", output_schema=SCHEMA, **MOST)
    assert set(result.artifacts[0].value) == {"name", "height"}


async def test_embeddings(client, afford):
    """One vector a text."""
    result = await client.call(afford("text.embed", input_token=20), texts=["lava", "ash"])
    assert len(result.artifacts[0].value) == 2


async def test_moderation(client):
    """A verdict; it costs nothing."""
    result = await client.call("openai:omni-moderation-latest", text="Lava is warm.")
    assert result.artifacts[0].kind == "json"


async def test_a_wrong_key_is_refused(tmp_path):
    """401, and nothing is paid."""
    wrong = MappingSecrets({"OPENAI_API_KEY": "sk-wrong-0123456789abcdef"})
    async with await Client.open(Project.at(tmp_path / "other"), Settings(), secrets=wrong) as client:
        with pytest.raises(AuthenticationError):
            await client.call("openai:text-embedding-3-small", text="lava")
