"""Transcription (POST /audio/transcriptions), with times and speakers where the model gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.plugin import (
    Artifact,
    Expected,
    HttpReply,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    MalformedOutputError,
    ProviderRequest,
    TextArtifact,
    TranscribeInputs,
    Usage,
    check_attachment,
)
from callsheet_openai.api import checked, headers, json_object
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.forms import form_of
from callsheet_openai.usage import count

__all__ = ["TranscriptionHandler"]

LARGEST_FILE = 25 * 1024 * 1024
MOST_SECONDS = 1e9
# flac, mp3, mp4, mpeg, mpga, m4a, ogg, wav, webm
TAKEN = ("audio/*", "video/mp4", "video/webm", "video/mpeg")
_TEXTS = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
_TIMED = ("verbose_json", "diarized_json")


class TranscriptionHandler:
    """The wire `transcription`."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises CapabilityUnsupportedError for a file that is too large or no sound."""
        inputs = job.inputs
        assert isinstance(inputs, TranscribeInputs)
        assert inputs.audio is not None
        draft = OpenAIDraft(job)
        check_attachment(inputs.audio, ref=draft.ref, media_types=TAKEN, max_bytes=LARGEST_FILE)
        draft.put("file", inputs.audio, "audio")
        draft.put("prompt", inputs.prompt)
        if inputs.language:
            # ISO 639-1 is what the vendor takes: the language of a tag without its region
            language = inputs.language.partition("-")[0].lower()
            if language != inputs.language.lower():
                draft.adjusted("language", inputs.language, language)
            draft.put("language", language)
        _put_detail(draft, inputs)
        draft.options(("file",))
        kind = str(draft.body.get("response_format", "json"))
        if kind in _TIMED:
            return draft.request(Expected("json", "application/json"))
        return draft.request(Expected("text", _TEXTS.get(kind, "text/plain")))

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The transcript: text, or with times and speakers JSON of `text`, `segments` and `words`."""
        form, files = await form_of(request.body, context.files)
        reply = checked(
            await context.http.send(
                "POST", "/audio/transcriptions", form=form, files=files, headers=await headers(context)
            ),
            context,
        )
        kind = str(request.body.get("response_format", "json"))
        if kind in _TEXTS:
            return JobResult((_text_of(reply, kind, request),), warnings=request.warnings)
        answer = json_object(reply, context)
        if not isinstance(answer.get("text"), str):
            raise MalformedOutputError(f"{request.ref} gave no transcript", ref=str(request.ref))
        artifact: Artifact = TextArtifact(answer["text"].strip())
        if kind in _TIMED:
            artifact = JsonArtifact(_timed(answer, request))
        meta = {name: answer[name] for name in ("language", "languages", "duration", "logprobs") if answer.get(name)}
        return JobResult((artifact,), usage=_usage(answer), warnings=request.warnings, meta=meta)


def _put_detail(draft: OpenAIDraft, inputs: TranscribeInputs) -> None:
    """Times and speakers, by what the row's `data.timestamps` and `data.diarize` say of the model."""
    times = draft.names("timestamps")
    if inputs.timestamps is not None and inputs.timestamps not in ("segment", "word"):
        raise draft.invalid(f"gives times for each segment or word, not {inputs.timestamps!r}")
    wished = inputs.timestamps if inputs.timestamps in times else None
    if inputs.timestamps and not wished:
        draft.unsupported("timestamps", f"it has no times of a {inputs.timestamps}")
    diarizes = draft.data.get("diarize") is True
    if inputs.diarize and not diarizes:
        draft.unsupported("diarize", "it does not tell speakers apart")
    if diarizes and (inputs.diarize or wished):
        draft.put("response_format", "diarized_json")
    elif wished:
        draft.put("response_format", "verbose_json")
        draft.put("timestamp_granularities", ["segment"] if wished == "segment" else ["segment", "word"])
    if diarizes:
        # needed for more than 30 seconds of sound, and harmless below
        draft.put("chunking_strategy", "auto")


def _text_of(reply: HttpReply, kind: str, request: ProviderRequest) -> TextArtifact:
    try:
        return TextArtifact(reply.body.decode().strip(), _TEXTS[kind])
    except UnicodeDecodeError:
        raise MalformedOutputError(f"{request.ref} gave a transcript that is no text", ref=str(request.ref)) from None


def _timed(answer: Mapping[str, Any], request: ProviderRequest) -> dict[str, object]:
    """The same shape for every vendor: times in seconds, `speaker` where speakers are told apart."""
    try:
        value: dict[str, object] = {
            "text": answer["text"].strip(),
            "segments": [_span(each, "text") for each in answer.get("segments") or ()],
        }
        if answer.get("words"):
            value["words"] = [_span(each, "word") for each in answer["words"]]
    except (KeyError, TypeError, AttributeError):
        raise MalformedOutputError(f"{request.ref} gave times that cannot be read", ref=str(request.ref)) from None
    return value


def _span(item: Mapping[str, Any], text: str) -> dict[str, object]:
    speaker = {"speaker": item["speaker"]} if "speaker" in item else {}
    return {"start": item["start"], "end": item["end"], "text": item[text].strip(), **speaker}


def _usage(answer: Mapping[str, Any]) -> Usage:
    usage = answer.get("usage")
    told: Mapping[str, Any] = usage if isinstance(usage, Mapping) else {}
    seconds, taken, given = (
        told.get("seconds", answer.get("duration")),
        count(told, "input_tokens"),
        count(told, "output_tokens"),
    )
    units: dict[str, float] = {}
    if isinstance(seconds, (int, float)) and 0 <= seconds < MOST_SECONDS:
        units["second"] = float(seconds)
    if taken is not None and given is not None:
        details = told.get("input_token_details")
        sound = count(details, "audio_tokens") if isinstance(details, Mapping) else None
        heard = float(taken if sound is None else min(sound, taken))
        units |= {"input_token": taken - heard, "input_audio_token": heard, "output_token": float(given)}
    return Usage(input_tokens=taken, output_tokens=given, units=units)
