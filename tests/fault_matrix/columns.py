"""The columns of the matrix: one kind of call each, and the counterpart of the vendor that it goes to."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from PIL import Image

from callsheet.client import Client
from callsheet.errors import CallsheetError
from callsheet.models import Operation
from callsheet.testing import Exchange, Fault, LoopbackServer, PluginStage
from callsheet_elevenlabs import testing as elevenlabs
from callsheet_openai import testing as openai
from callsheet_replicate.testing import Delivery, ReplicateServer, Script

__all__ = ["COLUMNS", "Column"]


class Column:
    """One kind of call. `routes` says what a place (`submit`, `poll`, `fetch`) is called by the server."""

    name: str
    operation: Operation
    plugin: str
    secret: str
    routes: Mapping[str, str]
    calls = 1
    """How many it makes at once."""

    def server(self) -> Any:
        """The vendor's counterpart, not started."""
        raise NotImplementedError

    async def ask(self, client: Client) -> None:
        """Make the call, an equal one each time. Raises what it raises."""
        raise NotImplementedError

    def refusal(self, status: int, code: str, headers: Mapping[str, str]) -> Fault:
        """The vendor's answer with this status, and its own code for it."""
        raise NotImplementedError

    def running(self, server: Any) -> Sequence[str]:
        """The jobs that the vendor still works on."""
        return ()

    def stage(self) -> PluginStage:
        """The installed plugin."""
        return _stage(self.plugin)

    def paid(self, server: LoopbackServer) -> list[Exchange]:
        """The requests of which each would be paid for."""
        return server.asked(self.routes["submit"])


@cache
def _stage(plugin: str) -> PluginStage:
    return PluginStage(plugin)


class Text(Column):
    """A text in one answer."""

    name, operation = "text", Operation.TEXT_GENERATE
    plugin, secret = "callsheet_openai", "OPENAI_API_KEY"
    routes: Mapping[str, str] = {"submit": "respond"}

    def server(self) -> Any:
        """OpenAI's."""
        return openai.OpenAIServer()

    async def ask(self, client: Client) -> None:
        """One call."""
        await client.call("openai:gpt-5", prompt="Why do volcanoes erupt?", reuse=True)

    def refusal(self, status: int, code: str, headers: Mapping[str, str]) -> Fault:
        """OpenAI's envelope."""
        made = openai.refusal(status, code=code or None)
        return Fault(status=status, body=made.body, headers=headers)


class Stream(Text):
    """A text that is read while it is made."""

    name = "stream"

    async def ask(self, client: Client) -> None:
        """One call, read to its end."""
        async for _ in client.stream("openai:gpt-5", prompt="Why do volcanoes erupt?", reuse=True):
            continue


class Prediction(Column):
    """A picture that is made while it is asked for."""

    name, operation = "prediction", Operation.IMAGE_GENERATE
    plugin, secret = "callsheet_replicate", "REPLICATE_API_TOKEN"
    routes: Mapping[str, str] = {"submit": "create", "poll": "get", "fetch": "file"}
    model = "google/imagen-4"

    def server(self) -> Any:
        """Replicate's."""
        made = ReplicateServer()
        made.script(self.model, self.script())
        return made

    def script(self, **how: Any) -> Script:
        """How a prediction goes that gives a picture, but where it says otherwise."""
        return Script(Delivery(_picture(), "image/png"), **how)

    async def ask(self, client: Client) -> None:
        """One call."""
        await client.call(f"replicate:{self.model}", prompt="A volcano", reuse=True)

    def refusal(self, status: int, code: str, headers: Mapping[str, str]) -> Fault:
        """A problem document."""
        body = {"title": code or "Refused", "detail": "It went wrong.", "status": status}
        return Fault(status=status, body=body, headers={"content-type": "application/problem+json", **headers})

    def running(self, server: Any) -> Sequence[str]:
        """Predictions that have not ended."""
        return list(server.running)


class Speech(Column):
    """A sound in one answer, straight into the store."""

    name, operation = "speech", Operation.SPEECH_GENERATE
    plugin, secret = "callsheet_elevenlabs", "ELEVENLABS_API_KEY"
    routes: Mapping[str, str] = {"submit": "speech"}

    def server(self) -> Any:
        """ElevenLabs'."""
        return elevenlabs.Server()

    async def ask(self, client: Client) -> None:
        """One call."""
        await client.call("elevenlabs:eleven_flash_v2_5", text="The mountain breathes out.", reuse=True)

    def refusal(self, status: int, code: str, headers: Mapping[str, str]) -> Fault:
        """ElevenLabs' envelope."""
        made = elevenlabs.refusal(status, code)
        return Fault(status=status, body=made.body, headers=headers)


class Batch(Text):
    """Two pictures in one batch."""

    name, operation, calls = "batch", Operation.IMAGE_GENERATE, 2
    routes: Mapping[str, str] = {"submit": "batch", "poll": "batch_status", "fetch": "content"}

    async def ask(self, client: Client) -> None:
        """Both calls. Raises the error that both ended with."""
        calls = [{"prompt": "A volcano"}, {"prompt": "Its crater"}]
        ends = await client.batch("openai:gpt-image-2", calls, reuse=True)
        errors = [end for end in ends if isinstance(end, CallsheetError)]
        assert len(errors) in (0, len(ends)), ends
        for error in errors:
            raise error

    def running(self, server: Any) -> Sequence[str]:
        """Batches that have not ended."""
        return list(server.running)


@cache
def _picture() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(stream, "PNG")
    return stream.getvalue()


COLUMNS: Sequence[Column] = (Text(), Stream(), Prediction(), Speech(), Batch())
