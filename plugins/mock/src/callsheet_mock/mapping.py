"""The mock's own mapping: from the general attributes of any operation to a request, without any vendor's plugin."""

from __future__ import annotations

from callsheet.plugin import (
    AssembleInputs,
    EmbedInputs,
    Expected,
    ImageInputs,
    Inputs,
    Job,
    ModerateInputs,
    MusicInputs,
    ProviderRequest,
    SoundInputs,
    SpeechInputs,
    TextInputs,
    TranscribeInputs,
    VideoInputs,
)
from callsheet_mock.sizes import frame_size, picture_size

__all__ = ["VIDEO_FPS", "VIDEO_SECONDS", "request_for", "spoken_text"]

VIDEO_SECONDS = 5.0
VIDEO_FPS = 24
MUSIC_SECONDS = 30.0
SOUND_SECONDS = 2.0

_PICTURES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}
_SOUNDS = {"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "opus": "audio/opus", "aac": "audio/aac"}


def request_for(job: Job) -> ProviderRequest:
    """The request of a job: its attributes and options as they are, and what they promise as output."""
    body = {
        "model": job.ref.model,
        "inputs": {name: value for name, value in _given(job.inputs).items() if value not in (None, ())},
        "options": dict(job.options),
    }
    expects = expected_of(job.inputs)
    return ProviderRequest(job.ref, job.operation, body, (expects,), _units(job.inputs, expects))


def expected_of(inputs: Inputs) -> Expected:
    """What these attributes ask for."""
    match inputs:
        case TextInputs(output_schema=schema) if schema is not None:
            return Expected("json", "application/json", schema=schema)
        case TextInputs():
            return Expected("text", "text/plain")
        case ImageInputs():
            width, height = picture_size(inputs.size, inputs.resolution, inputs.aspect_ratio)
            media_type = _PICTURES.get((inputs.format or "png").lower(), "image/png")
            return Expected("blob", media_type, count=inputs.count, width=width, height=height)
        case VideoInputs():
            width, height = frame_size(inputs.size, inputs.resolution, inputs.aspect_ratio)
            return Expected(
                "blob",
                "video/mp4",
                count=inputs.count,
                width=width,
                height=height,
                duration=inputs.duration or VIDEO_SECONDS,
                fps=inputs.fps or VIDEO_FPS,
                audio=inputs.generate_audio is not False,
            )
        case SpeechInputs():
            return Expected("blob", _sound_type(inputs.format))
        case MusicInputs():
            return Expected("blob", _sound_type(inputs.format), duration=inputs.duration or MUSIC_SECONDS)
        case SoundInputs():
            return Expected("blob", _sound_type(inputs.format), duration=inputs.duration or SOUND_SECONDS)
        case TranscribeInputs(timestamps=None, diarize=diarize) if not diarize:
            return Expected("text", "text/plain")
        case AssembleInputs():
            width, height = frame_size(inputs.size, None, None)
            seconds = VIDEO_SECONDS * max(1, len(inputs.clips) + len(inputs.images))
            fps = inputs.fps or VIDEO_FPS
            return Expected("blob", "video/mp4", width=width, height=height, duration=seconds, fps=fps, audio=True)
        case TranscribeInputs() | EmbedInputs() | ModerateInputs():
            return Expected("json", "application/json")


def spoken_text(inputs: Inputs) -> str:
    """The words that a person would recognise the request by."""
    match inputs:
        case TextInputs() | ImageInputs() | VideoInputs() | SoundInputs() | TranscribeInputs():
            return inputs.prompt or ""
        case MusicInputs():
            return inputs.prompt or inputs.lyrics or ""
        case SpeechInputs() | ModerateInputs():
            return inputs.text or ""
        case EmbedInputs():
            return inputs.text or " ".join(inputs.texts)
        case AssembleInputs():
            return "assembled"


def _given(inputs: Inputs) -> dict[str, object]:
    return {name: getattr(inputs, name) for name in type(inputs).__dataclass_fields__}


def _sound_type(form: str | None) -> str:
    return _SOUNDS.get((form or "wav").lower(), "audio/wav")


def _units(inputs: Inputs, expects: Expected) -> dict[str, float]:
    units: dict[str, float] = {"run": 1.0}
    if expects.media_type.startswith("image/"):
        units["image"] = float(expects.count)
    if expects.duration is not None:
        units["second"] = expects.duration * expects.count
    if isinstance(inputs, SpeechInputs):
        units["character"] = float(len(inputs.text or ""))
    return units
