"""Sample jobs: for each model the least that its operation needs, and one more attribute at a time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache

from callsheet.artifacts import FileRef
from callsheet.inputs import attribute_names, list_attributes, parse_inputs
from callsheet.jobs import Job
from callsheet.messages import Message, TextPart
from callsheet.models import ModelInfo, ModelRef, Operation

__all__ = ["Samples", "sample_file", "sample_files", "sample_job", "variants"]

Samples = Mapping[str, Mapping[str, object]]
"""Attribute values by model name or wire, for models that do not take the usual ones (`options` is a table of them)."""

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
_WAV = (
    b"RIFF"
    + (44).to_bytes(4, "little")
    + b"WAVEfmt "
    + bytes.fromhex("10000000010001001127000011270000010008006461746108000000")
)
_CONTENT = {
    "image/png": _PNG,
    "audio/wav": _WAV + b"\x80" * 8,
    "video/mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "application/pdf": b"%PDF-1.4\n%%EOF\n",
}
_MEDIA = {
    "images": "image/png",
    "image": "image/png",
    "last_frame": "image/png",
    "mask": "image/png",
    "audio": "audio/wav",
    "narration": "audio/wav",
    "music": "audio/wav",
    "clips": "video/mp4",
    "files": "application/pdf",
}
_LEAST: Mapping[Operation, Mapping[str, object]] = {
    Operation.TEXT_GENERATE: {"prompt": "Tell me about lava."},
    Operation.IMAGE_GENERATE: {"prompt": "a volcano at dusk"},
    Operation.VIDEO_GENERATE: {"prompt": "lava runs into the sea"},
    Operation.SPEECH_GENERATE: {"text": "The mountain clears its throat."},
    Operation.MUSIC_GENERATE: {"prompt": "slow drums"},
    Operation.SOUND_GENERATE: {"prompt": "a distant rumble"},
    Operation.TEXT_EMBED: {"text": "basalt"},
    Operation.TEXT_MODERATE: {"text": "a quiet harbour"},
}
_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
_VALUES: Mapping[str, tuple[object, ...]] = {
    "prompt": ("a second wording",),
    "system": ("Answer in one line.",),
    "messages": tuple((Message("user", (TextPart(f"Tell me about {rock}."),)),) for rock in ("basalt", "pumice")),
    "output_schema": (_SCHEMA,),
    "max_tokens": (333,),
    "temperature": (0.25, 1.0, 0.0),
    "seed": (41, 0),
    "language": ("de", "en"),
    "negative_prompt": ("people",),
    "aspect_ratio": ("16:9", "9:16", "1:1"),
    "size": ("1536x1024", "1024x1024", "1280x720", "720x1280"),
    "resolution": ("720p", "1080p", "2K"),
    "count": (2,),
    "format": ("jpeg", "webp", "wav", "mp3", "mp4"),
    "duration": (8.0, 4.0, 5.0),
    "fps": (24, 30),
    "generate_audio": (False, True),
    "text": ("A second wording.",),
    "texts": (("basalt", "obsidian"), ("pumice", "tuff")),
    "voice": ("alloy", "narrator"),
    "speed": (1.25,),
    "emotion": ("calm",),
    "instructions": ("Speak slowly.",),
    "lyrics": ("Ash on the window",),
    "timestamps": ("word", "segment"),
    "diarize": (True,),
    "dimensions": (256,),
}
_NEEDS = {"mask": ("images",), "last_frame": ("image",)}
_INSTEAD = {"messages": "prompt", "texts": "text"}


@cache
def sample_file(media_type: str) -> FileRef:
    """A small file of this type."""
    data = _CONTENT[media_type]
    return FileRef(hashlib.sha256(data).hexdigest(), media_type, len(data), f"sample.{media_type.rpartition('/')[2]}")


def sample_files() -> Mapping[str, bytes]:
    """The content of every sample file, by media type."""
    return _CONTENT


def _file_value(operation: Operation, name: str) -> object:
    file = sample_file(_MEDIA[name])
    return (file,) if name in list_attributes(operation) else file


def _least(info: ModelInfo, samples: Samples) -> dict[str, object]:
    values = dict(_LEAST.get(info.operation, {}))
    if info.operation is Operation.AUDIO_TRANSCRIBE:
        values["audio"] = sample_file("audio/wav")
    if info.operation is Operation.VIDEO_ASSEMBLE:
        values["clips"] = (sample_file("video/mp4"),)
    values.update(samples.get(info.wire, {}))
    values.update(samples.get(info.model, {}))
    return values


def sample_job(info: ModelInfo, samples: Samples, more: Mapping[str, object] | None = None) -> Job:
    """A job for this model: the least its operation needs, what `samples` say, and `more` (`options`: a table).

    Raises ConfigError for attributes that the operation does not have.
    """
    values = {**_least(info, samples), **(more or {})}
    given = values.pop("options", {})
    options = dict(given) if isinstance(given, Mapping) else {}
    inputs = parse_inputs(info.operation, values, info.name)
    return Job("conformance", ModelRef(info.provider, info.model), info, info.operation, inputs, options)


def variants(info: ModelInfo, samples: Samples) -> Iterator[tuple[str, Mapping[str, object], tuple[object, ...]]]:
    """Each attribute that the least job does not have: its name, what else changes with it, and values to try."""
    given = _least(info, samples)
    for name in attribute_names(info.operation):
        if name in given:
            continue
        beside = {each: _file_value(info.operation, each) for each in _NEEDS.get(name, ())}
        if name in _INSTEAD:
            beside[_INSTEAD[name]] = None
        yield name, beside, (_file_value(info.operation, name),) if name in _MEDIA else _VALUES[name]
