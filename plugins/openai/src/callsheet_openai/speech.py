"""Speech (POST /audio/speech), straight from the wire into the blob store."""

from __future__ import annotations

import base64
from dataclasses import replace

from callsheet.plugin import (
    Expected,
    HttpLimits,
    HttpReply,
    HttpStream,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    Sent,
    SpeechInputs,
    Usage,
)
from callsheet_openai.api import headers, json_object
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.errors import job_error, malformed, vendor_error
from callsheet_openai.usage import token_usage

__all__ = ["SpeechHandler"]

LONGEST_TEXT = 4096
SLOWEST, FASTEST = 0.25, 4.0
VOICE = "alloy"
LIMITS = HttpLimits(max_bytes=1 << 30)
# pcm: 24 kHz, 16 bit, little-endian, one channel, and no header that would say so
FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class SpeechHandler:
    """The wire `speech`."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises InvalidRequestError for a text that is too long and a speed out of range."""
        inputs = job.inputs
        assert isinstance(inputs, SpeechInputs)
        draft = OpenAIDraft(job)
        text = inputs.text or ""
        if len(text) > LONGEST_TEXT:
            raise draft.invalid(
                f"speaks at most {LONGEST_TEXT:,} characters in a call, not {len(text):,}: split the text"
            )
        if inputs.speed is not None and not SLOWEST <= inputs.speed <= FASTEST:
            raise draft.invalid(f"speaks at a speed of {SLOWEST} to {FASTEST}, not {inputs.speed:g}")
        draft.put("input", text)
        draft.put("voice", inputs.voice or draft.data.get("voice", VOICE))
        draft.put("instructions", inputs.instructions)
        draft.put("speed", inputs.speed)
        wish = (inputs.format or "mp3").lower()
        if wish not in FORMATS:
            draft.adjusted("format", inputs.format, "mp3")
        elif inputs.format:
            draft.put("response_format", wish, "format")
        draft.refuse(("language", "emotion", "seed"))
        draft.options(("input",))
        media_type = FORMATS.get(str(draft.body.get("response_format", "mp3")), "application/octet-stream")
        return draft.request(Expected("blob", media_type), units={"character": float(len(text))})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The sound, in the blob store."""
        # only events tell the tokens: for a model that is paid by them, the cost would be unknown without
        told = any(price.per.endswith("_token") for price in context.job.model.price)
        body = {**request.body, "stream_format": "sse"} if told else request.body
        usage, media_type = Usage(), request.expects[0].media_type
        async with context.http.stream(
            "POST", "/audio/speech", json=body, headers=await headers(context), limits=LIMITS
        ) as reply:
            if reply.status != 200:
                raise vendor_error(await reply.whole(), context)
            if told and reply.headers.get("content-type", "").startswith("text/event-stream"):
                sound, usage = await _told(reply, context)
                artifact = await context.keep(sound, media_type)
            else:
                artifact = await context.receive(reply, media_type)
        usage = replace(usage, units={**request.units, **usage.units})
        return JobResult((artifact,), usage=usage, warnings=request.warnings)


async def _told(reply: HttpStream, context: JobContext) -> tuple[bytes, Usage]:
    """The sound of a reply in events, and its tokens. Raises MalformedOutputError for one that is not whole."""
    sound = bytearray()
    async for event in reply.events():
        value = json_object(HttpReply(reply.status, reply.headers, event.data.encode()), context)
        match value.get("type"):
            case "speech.audio.delta":
                piece = value.get("audio")
                try:
                    sound += base64.b64decode(piece if isinstance(piece, str) else "?", validate=True)
                except ValueError:
                    raise malformed("sent sound that is not base64", context, sent=Sent.UNKNOWN) from None
            case "speech.audio.done":
                return bytes(sound), token_usage(value.get("usage"), context)
            case "error":
                raise job_error(value.get("error", value), context)
    raise malformed("ended its sound before it was whole", context, sent=Sent.UNKNOWN)
