"""Sound effects (POST /v1/sound-generation)."""

from __future__ import annotations

from callsheet.plugin import Expected, Job, JobContext, JobResult, ProviderRequest, SoundInputs
from callsheet_elevenlabs.api import spoken
from callsheet_elevenlabs.draft import ElevenLabsDraft

__all__ = ["SoundHandler"]

SHORTEST, LONGEST = 0.5, 30.0


class SoundHandler:
    """The wire `sound`."""

    def prepare(self, job: Job) -> ProviderRequest:
        """The nearest duration that the vendor has is taken, with a warning."""
        inputs = job.inputs
        assert isinstance(inputs, SoundInputs)
        draft = ElevenLabsDraft(job)
        draft.put("text", inputs.prompt)
        if inputs.duration is not None:
            draft.put("duration_seconds", draft.clamped("duration", inputs.duration, SHORTEST, LONGEST), "duration")
        draft.format(inputs.format)
        draft.refuse(("seed",))
        draft.options(("text",))
        expected = Expected("blob", draft.media_type(), duration=draft.length("duration_seconds"))
        return draft.request(expected, units={"run": 1.0})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The sound, in the blob store."""
        return await spoken(request, context, "/v1/sound-generation", request.body)
