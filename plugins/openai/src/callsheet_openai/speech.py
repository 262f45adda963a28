"""Speech (POST /audio/speech), straight from the wire into the blob store."""

from __future__ import annotations

from callsheet.plugin import Expected, HttpLimits, Job, JobContext, JobResult, ProviderRequest, SpeechInputs, Usage
from callsheet_openai.api import headers
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.errors import vendor_error

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
        draft.options()
        media_type = FORMATS.get(str(draft.body.get("response_format", "mp3")), "application/octet-stream")
        return draft.request(Expected("blob", media_type), units={"character": float(len(text))})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The sound, in the blob store."""
        async with context.http.stream(
            "POST", "/audio/speech", json=request.body, headers=await headers(context), limits=LIMITS
        ) as reply:
            if reply.status != 200:
                raise vendor_error(await reply.whole(), context)
            artifact = await context.receive(reply, request.expects[0].media_type)
        return JobResult((artifact,), usage=Usage(units=request.units), warnings=request.warnings)
