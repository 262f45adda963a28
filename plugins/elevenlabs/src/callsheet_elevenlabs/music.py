"""Music (POST /v1/music)."""

from __future__ import annotations

from callsheet.plugin import Expected, Job, JobContext, JobResult, MusicInputs, ProviderRequest
from callsheet_elevenlabs.api import spoken
from callsheet_elevenlabs.draft import ElevenLabsDraft

__all__ = ["MusicHandler"]

SHORTEST, LONGEST = 3.0, 600.0
LONGEST_PROMPT, LONGEST_LYRICS = 4100, 4000


class MusicHandler:
    """The wire `music`."""

    def prepare(self, job: Job) -> ProviderRequest:
        """The nearest duration that the vendor has is taken, with a warning. Raises InvalidRequestError for long texts."""
        inputs = job.inputs
        assert isinstance(inputs, MusicInputs)
        draft = ElevenLabsDraft(job)
        for name, text, most in (("prompt", inputs.prompt, LONGEST_PROMPT), ("lyrics", inputs.lyrics, LONGEST_LYRICS)):
            if len(text or "") > most:
                raise draft.invalid(f"takes {name} of at most {most:,} characters, not {len(text or ''):,}")
        planned = "composition_plan" in job.options
        if planned:
            # a plan has its own words and lengths, and stands in the prompt's place
            draft.refuse(("prompt", "lyrics", "duration"))
            draft.put("seed", inputs.seed)
        else:
            _put_song(draft, inputs)
            if inputs.seed is not None:
                draft.unsupported("seed", "the vendor takes one with a composition_plan alone")
        # the vendor's own choice differs from model to model
        draft.format(inputs.format, default="mp3_44100_128")
        draft.refuse(("negative_prompt",))
        draft.options()
        duration = None if planned else draft.length("music_length_ms", 1000)
        units = {} if duration is None else {"minute": duration / 60}
        return draft.request(Expected("blob", draft.media_type(), duration=duration), units=units)

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The song, in the blob store; `meta` has the vendor's id of it."""
        return await spoken(request, context, "/v1/music", request.body)


def _put_song(draft: ElevenLabsDraft, inputs: MusicInputs) -> None:
    draft.put("prompt", inputs.prompt)
    draft.put("lyrics_text", inputs.lyrics, "lyrics")
    if inputs.duration is not None:
        duration = draft.clamped("duration", inputs.duration, SHORTEST, LONGEST)
        draft.put("music_length_ms", round(duration * 1000), "duration")
