"""Speech of one voice (POST /v1/text-to-speech), straight from the wire into the blob store; times on request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from callsheet.plugin import (
    Expected,
    HttpLimits,
    HttpReply,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    ProviderContext,
    ProviderRequest,
    SpeechInputs,
)
from callsheet_elevenlabs.api import checked, headers, split, spoken, usage_of
from callsheet_elevenlabs.draft import ElevenLabsDraft
from callsheet_elevenlabs.errors import malformed
from callsheet_elevenlabs.voices import DEFAULT_VOICE, Voices

__all__ = ["SpeechHandler"]

LONGEST_TEXT = 40_000
SLOWEST, FASTEST = 0.7, 1.2
LARGEST_SEED = 4_294_967_295
LIMITS = HttpLimits(max_bytes=1 << 29)
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_TEXTS = {"type": "array", "items": {"type": "string"}}
TIMES: Mapping[str, object] = {
    "type": "object",
    "properties": {"characters": _TEXTS, "starts": _NUMBERS, "ends": _NUMBERS},
    "required": ["characters", "starts", "ends"],
}
"""The second artifact of a call with `timestamps`: each character with its start and end in seconds."""


class SpeechHandler:
    """The wire `speech`."""

    def __init__(self) -> None:
        self._voices = Voices()

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises InvalidRequestError for a text that is too long, and a speed or seed out of range."""
        inputs = job.inputs
        assert isinstance(inputs, SpeechInputs)
        draft = ElevenLabsDraft(job)
        text = draft.text(LONGEST_TEXT)
        if inputs.speed is not None and not SLOWEST <= inputs.speed <= FASTEST:
            raise draft.invalid(f"speaks at a speed of {SLOWEST} to {FASTEST}, not {inputs.speed:g}")
        draft.put("text", text)
        draft.put("voice", inputs.voice or DEFAULT_VOICE)
        draft.language(inputs.language)
        draft.seed(inputs.seed, LARGEST_SEED)
        draft.format(inputs.format, wav=True)
        if inputs.emotion:
            why = f"write it into the text, as [{inputs.emotion}]" if draft.data.get("tags") else "it was left out"
            draft.unsupported("emotion", why)
        draft.refuse(("instructions",))
        draft.options(("text", "voice_id"))
        _put_speed(draft, inputs.speed)
        if not isinstance(draft.body.get("timestamps", False), bool):
            raise draft.invalid("takes timestamps = true or false")
        sound = Expected("blob", draft.media_type())
        times = (Expected("json", "application/json", schema=TIMES),) if draft.body.get("timestamps") is True else ()
        return draft.request(sound, *times, units={"character": float(len(text))})

    async def check_health(self, context: ProviderContext) -> None:
        """A look at the voices costs nothing, and a key that may speak may look. Raises ProviderError, ConfigError."""
        query = {"page_size": "1"}
        checked(await context.http.send("GET", "/v2/voices", query=query, headers=await headers(context)), context)

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The sound, in the blob store; with `timestamps` also JSON of `characters`, `starts` and `ends`."""
        body = dict(request.body)
        timed = body.pop("timestamps", None) is True
        voice = await self._voices.id_of(str(body.pop("voice")), context)
        path = f"/v1/text-to-speech/{quote(voice, safe='')}"
        if not timed:
            # the endpoint that streams has no WAV: its head says how long the sound is
            whole = str(body.get("output_format", "")).startswith("wav")
            return await spoken(request, context, path if whole else f"{path}/stream", body)
        data, query = split(body)
        key = await headers(context)
        reply = checked(
            await context.http.send(
                "POST", f"{path}/with-timestamps", json=data, query=query, headers=key, limits=LIMITS
            ),
            context,
        )
        return await _timed(reply, request, context)


def _put_speed(draft: ElevenLabsDraft, speed: float | None) -> None:
    """The speed is one of the voice's settings; an option with the vendor's name has the last word."""
    settings = draft.body.get("voice_settings")
    if speed is None:
        return
    if settings is not None and not isinstance(settings, Mapping):
        raise draft.invalid("takes a table as voice_settings")
    draft.put("voice_settings", {"speed": speed, **(settings or {})}, "speed")


async def _timed(reply: HttpReply, request: ProviderRequest, context: JobContext) -> JobResult:
    answer: Any = reply.json()
    try:
        sound = base64.b64decode(answer["audio_base64"], validate=True)
        found = answer.get("alignment") or answer["normalized_alignment"]
        times = {
            "characters": found["characters"],
            "starts": found["character_start_times_seconds"],
            "ends": found["character_end_times_seconds"],
        }
        even = len({len(each) for each in times.values()}) == 1
        duration = max(times["ends"], default=0.0)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error):
        raise malformed("gave a sound or times that cannot be read", context) from None
    if not sound or not even:
        raise malformed("gave a sound without its times", context)
    artifact = await context.keep(sound, request.expects[0].media_type, duration=duration or None)
    usage = usage_of(request, reply.headers)
    return JobResult((artifact, JsonArtifact(times)), usage=usage, warnings=request.warnings)
