"""Transcription (POST /v1/speech-to-text), with times and speakers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from callsheet.plugin import (
    Artifact,
    Expected,
    FileRef,
    FormFile,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    ProviderRequest,
    TextArtifact,
    TranscribeInputs,
    Usage,
    check_attachment,
    extension_for,
)
from callsheet_elevenlabs.api import checked, headers, split
from callsheet_elevenlabs.draft import ElevenLabsDraft
from callsheet_elevenlabs.errors import malformed

__all__ = ["TranscriptionHandler"]

LARGEST_FILE = 5_000_000_000
_OURS = ("file", "cloud_storage_url", "source_url", "webhook", "webhook_id", "webhook_metadata")
_ENDS = (".", "?", "!", "…", "。", "？", "！")
_MOST_SECONDS = 1e9


class TranscriptionHandler:
    """The wire `transcription`."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises CapabilityUnsupportedError for a file that is too large or no sound."""
        inputs = job.inputs
        assert isinstance(inputs, TranscribeInputs)
        assert inputs.audio is not None
        draft = ElevenLabsDraft(job)
        check_attachment(inputs.audio, ref=draft.ref, media_types=("audio/*", "video/*"), max_bytes=LARGEST_FILE)
        if inputs.timestamps is not None and inputs.timestamps not in ("segment", "word"):
            raise draft.invalid(f"gives times for each segment or word, not {inputs.timestamps!r}")
        draft.put("file", inputs.audio, "audio")
        draft.language(inputs.language)
        draft.put("diarize", inputs.diarize)
        timed = bool(inputs.timestamps or inputs.diarize)
        # segments are made of words, which the vendor alone has times for
        draft.put("timestamps_granularity", "word" if timed else "none")
        if inputs.timestamps == "segment":
            draft.put("segments", True)
        draft.refuse(("prompt",))
        draft.options(_OURS)
        if draft.body.get("use_multi_channel") is True:
            draft.body.setdefault("multichannel_output_style", "combined")
        timed = draft.body["timestamps_granularity"] != "none"
        return draft.request(Expected("json", "application/json") if timed else Expected("text", "text/plain"))

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The transcript: text, or with times and speakers JSON of `text`, `segments` and `words`."""
        data, query = split(request.body)
        only_segments = data.pop("segments", False) is True
        form, files = await _form(data, context)
        reply = checked(
            await context.http.send(
                "POST", "/v1/speech-to-text", form=form, files=files, query=query, headers=await headers(context)
            ),
            context,
        )
        answer: Any = reply.json()
        if not isinstance(answer, Mapping) or not isinstance(answer.get("text"), str):
            raise malformed("gave no transcript", context)
        artifact: Artifact = TextArtifact(answer["text"].strip())
        if request.expects[0].kind == "json":
            artifact = JsonArtifact(_timed(answer, context, words=not only_segments))
        known = ("language_code", "language_probability", "additional_formats", "entities", "transcription_id")
        meta = {name: answer[name] for name in known if answer.get(name)}
        return JobResult((artifact,), usage=_usage(answer), warnings=request.warnings, meta=meta)


async def _form(
    body: Mapping[str, object], context: JobContext
) -> tuple[dict[str, str | Sequence[str]], list[FormFile]]:
    """Fields and the file: a list of texts as one field each, other lists and tables as JSON."""
    fields: dict[str, str | Sequence[str]] = {}
    files: list[FormFile] = []
    for name, value in body.items():
        if isinstance(value, FileRef):
            # a name of ours: the user's stays here
            file = f"{value.sha256[:12]}.{extension_for(value.media_type)}"
            files.append(FormFile(name, file, value.media_type, await context.files.read(value)))
        elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            fields[name] = [str(each) for each in value]
        elif value is not None:
            fields[name] = value if isinstance(value, str) else json.dumps(value)
    return fields, files


def _timed(answer: Mapping[str, Any], context: JobContext, *, words: bool) -> dict[str, object]:
    """The same shape for every vendor: times in seconds, `speaker` where speakers are told apart."""
    try:
        value: dict[str, object] = {"text": answer["text"].strip(), "segments": _segments(answer["words"])}
        if words:
            spoken = (each for each in answer["words"] if each["type"] == "word" and each.get("start") is not None)
            value["words"] = [_span(each) for each in spoken]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise malformed("gave times that cannot be read", context) from None
    return value


def _span(item: Mapping[str, Any]) -> dict[str, Any]:
    speaker = {"speaker": item["speaker_id"]} if item.get("speaker_id") else {}
    return {"start": float(item["start"]), "end": float(item["end"]), "text": item["text"].strip(), **speaker}


def _segments(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sentences, each of one speaker; words, spaces between them, and events such as (laughter)."""
    made: list[dict[str, Any]] = []
    space = ""
    for item in items:
        if item["type"] == "spacing":
            space = item["text"]
            continue
        if item.get("start") is None:
            continue
        span = _span(item)
        last = made[-1] if made else None
        if last is None or last["text"].endswith(_ENDS) or last.get("speaker") != span.get("speaker"):
            made.append(span)
        else:
            last["text"] += space + span["text"]
            last["end"] = span["end"]
        space = ""
    return made


def _usage(answer: Mapping[str, Any]) -> Usage:
    seconds = answer.get("audio_duration_secs")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        return Usage()
    known = 0 <= seconds < _MOST_SECONDS
    return Usage(units={"second": float(seconds), "hour": seconds / 3600} if known else {})
