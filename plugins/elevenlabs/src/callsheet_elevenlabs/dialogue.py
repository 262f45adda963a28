"""Dialogue of several voices (POST /v1/text-to-dialogue): a script becomes turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from callsheet.plugin import Expected, Job, JobContext, JobResult, ProviderRequest, SpeechInputs
from callsheet_elevenlabs.api import spoken
from callsheet_elevenlabs.draft import ElevenLabsDraft
from callsheet_elevenlabs.speech import LARGEST_SEED
from callsheet_elevenlabs.voices import DEFAULT_VOICE, Voices

__all__ = ["DialogueHandler"]

LONGEST_SCRIPT = 2000
MOST_VOICES = 10


class DialogueHandler:
    """The wire `dialogue`: `text` is a script, and the option `voices` says which voice speaks for whom in it."""

    def __init__(self) -> None:
        self._voices = Voices()

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises InvalidRequestError for a script that is too long, and for too many voices."""
        inputs = job.inputs
        assert isinstance(inputs, SpeechInputs)
        draft = ElevenLabsDraft(job)
        script = draft.text(LONGEST_SCRIPT)
        cast = job.options.get("voices", {})
        if not isinstance(cast, Mapping) or not all(isinstance(each, str) and each for each in cast.values()):
            raise draft.invalid('takes voices as a table of speakers, for example {Anna = "Sarah", Ben = "George"}')
        turns = _turns(script, {str(k): v for k, v in cast.items()}, inputs.voice or DEFAULT_VOICE)
        if not turns:
            raise draft.invalid("has nothing to say: the script has names and no words")
        if len({turn["voice"] for turn in turns}) > MOST_VOICES:
            raise draft.invalid(f"speaks with at most {MOST_VOICES} voices in a call")
        draft.put("inputs", turns)
        draft.language(inputs.language)
        draft.seed(inputs.seed, LARGEST_SEED)
        draft.format(inputs.format, wav=True)
        draft.refuse(("speed", "instructions"))
        if inputs.emotion:
            draft.unsupported("emotion", f"write it into the text, as [{inputs.emotion}]")
        draft.options(("inputs",))
        draft.body.pop("voices", None)
        said = sum(len(turn["text"]) for turn in turns)
        return draft.request(Expected("blob", draft.media_type()), units={"character": float(said)})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The sound, in the blob store."""
        body = dict(request.body)
        turns: Any = body["inputs"]
        ids = {name: await self._voices.id_of(name, context) for name in dict.fromkeys(turn["voice"] for turn in turns)}
        body["inputs"] = [{"text": turn["text"], "voice_id": ids[turn["voice"]]} for turn in turns]
        whole = str(body.get("output_format", "")).startswith("wav")
        return await spoken(request, context, f"/v1/text-to-dialogue{'' if whole else '/stream'}", body)


def _turns(script: str, cast: Mapping[str, str], first: str) -> Sequence[dict[str, str]]:
    """A line `NAME: words` begins a turn when NAME is in the cast; what comes before the first one is said by `first`."""
    voices = {name.strip().casefold(): voice for name, voice in cast.items()}
    turns: list[tuple[str, list[str]]] = [(first, [])]
    for line in script.splitlines():
        name, colon, words = line.partition(":")
        voice = voices.get(name.strip().strip("*").casefold()) if colon else None
        if voice is None:
            turns[-1][1].append(line)
        else:
            turns.append((voice, [words.lstrip("*")]))
    said = [{"text": "\n".join(lines).strip(), "voice": voice} for voice, lines in turns]
    return [turn for turn in said if turn["text"]]
