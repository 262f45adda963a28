"""The checks that callsheet has for every plugin, with whole streams of both text wires; and with text as a remote job."""

from __future__ import annotations

import json

from callsheet.testing import Conformance, Exchange
from callsheet_openai.testing import Account
from callsheet_openai.testing.server import endpoints


def streamed(path: str, **body: object) -> bytes:
    """What the counterpart streams."""
    asked = {"model": "gpt-5", "stream": True, **body}
    request = Exchange("POST", path, {}, {}, json.dumps(asked).encode())
    return b"".join(endpoints(Account())[path](request).pieces)


STREAMS = {
    "responses": streamed("/v1/responses", input="x"),
    "chat": streamed("/v1/chat/completions", messages=[], stream_options={"include_usage": True}),
}
BACKGROUND = {"responses": {"options": {"background": True}}}


class TestOpenAI(Conformance, plugin="callsheet_openai", streams=STREAMS): ...


class TestBackground(Conformance, plugin="callsheet_openai", streams=STREAMS, samples=BACKGROUND): ...
