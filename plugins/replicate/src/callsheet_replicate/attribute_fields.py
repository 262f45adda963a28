"""Which field of a model takes which general attribute: by the field's name, its type, and what it offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callsheet.plugin import Operation
from callsheet_replicate.file_types import FILE_TYPES
from callsheet_replicate.languages import languages_among
from callsheet_replicate.nearest import lines, pixels, ratio
from callsheet_replicate.output_kinds import is_file
from callsheet_replicate.plain_schema import type_of

__all__ = ["AttributeFields", "attribute_fields"]

Field = Mapping[str, Any]
Fields = Mapping[str, Field]

_PROMPT = ("prompt", "text_prompt", "positive_prompt", "user_prompt", "pos_prompt", "caption", "text", "description")
_TEXT = ("text", "text_input", "input_text", "gen_text", "tts_text", "script", "prompt", "sentence", "input", "message")
_ASKED = ("prompt", "question", "query", "message", "instruction", "instructions", "input", "text", "input_text")
_IMAGES = (
    "image_input", "input_images", "images", "image_inputs", "reference_images", "image", "input_image", "init_image",
    "img", "source_image", "image_prompt", "image_path", "image_url", "input", "file",
)  # fmt: skip
_FIRST = (
    "image", "start_image", "first_frame_image", "first_frame", "input_image", "image_input", "init_image", "img",
    "source_image", "image_url", "image_path", "reference_image",
)  # fmt: skip
_LAST = (
    "last_frame_image",
    "last_frame",
    "end_image",
    "end_frame",
    "tail_image",
    "last_image",
    "image_end",
    "image_tail",
)
_REFERENCES = ("reference_images", "references", "input_references", "image_references", "subject_reference", "images")
_SOUND = (
    "audio",
    "audio_file",
    "input_audio",
    "audio_input",
    "audio_path",
    "audio_url",
    "driven_audio",
    "sound",
    "file",
)
_HEARD = (*_SOUND, "file_path", "audio_filepath", "speech", "input", "video", "media")
_COUNT = (
    "num_outputs", "num_images", "number_of_images", "number_of_outputs", "max_images", "num_samples", "n",
    "image_count", "num_images_per_prompt", "images_per_prompt", "batch_size", "samples",
)  # fmt: skip
_NAMES: Mapping[str, tuple[str, ...]] = {
    "system": ("system_prompt", "system_instruction", "system_message", "system"),
    "negative_prompt": ("negative_prompt", "n_prompt", "neg_prompt", "negative", "uncond_prompt"),
    "mask": ("mask", "mask_image", "mask_img", "image_mask", "inpaint_mask"),
    "files": ("files", "videos", "documents", "video", "file", "document", "pdf"),
    "aspect_ratio": ("aspect_ratio", "ratio", "image_aspect_ratio", "video_aspect_ratio", "aspect"),
    "resolution": ("resolution", "output_resolution", "image_size", "video_size", "size", "quality"),
    "duration": ("duration", "duration_seconds", "seconds", "audio_duration", "video_length", "length", "audio_length"),
    "fps": ("fps", "frames_per_second", "frame_rate", "framerate", "output_fps"),
    "count": _COUNT,
    "seed": ("seed", "random_seed", "noise_seed"),
    "format": ("output_format", "audio_format", "image_format", "video_format", "format", "file_format", "output_type"),
    "voice": ("voice", "voice_id", "speaker", "speaker_id", "voice_name", "preset_voice", "preset_speaker", "history_prompt"),
    "language": ("language", "language_code", "lang", "language_boost", "language_id", "text_language"),
    "speed": ("speed", "speaking_rate", "speech_rate"),
    "emotion": ("emotion",),
    "instructions": ("instructions", "instruct", "style_instructions", "voice_instructions", "style_prompt", "description"),
    "lyrics": ("lyrics", "lyric", "lyrics_prompt"),
    "generate_audio": ("generate_audio", "audio", "with_audio", "enable_audio", "audio_enabled", "sound"),
    "max_tokens": ("max_tokens", "max_output_tokens", "max_new_tokens", "max_completion_tokens", "max_length"),
    "temperature": ("temperature",),
    "timestamps": ("timestamps", "timestamp", "timestamp_granularity", "timestamp_granularities"),
    "diarize": ("diarize", "diarization", "diarise_audio", "speaker_diarization", "diarize_audio"),
    "texts": ("texts", "inputs", "sentences", "documents"),
    "dimensions": ("dimensions", "output_dimensionality", "dimension"),
    "text": _TEXT,
    "prompt": _PROMPT,
    "images": _IMAGES,
    "image": _FIRST,
    "last_frame": _LAST,
    "audio": _SOUND,
}  # fmt: skip
_NAMES_OF: Mapping[tuple[Operation, str], tuple[str, ...]] = {
    (Operation.TEXT_GENERATE, "prompt"): _ASKED,
    (Operation.VIDEO_GENERATE, "images"): _REFERENCES,
    (Operation.AUDIO_TRANSCRIBE, "audio"): _HEARD,
    (Operation.AUDIO_TRANSCRIBE, "prompt"): ("initial_prompt", "prompt"),
}
_ORDER: Mapping[Operation, tuple[str, ...]] = {
    Operation.TEXT_GENERATE: ("prompt", "system", "images", "audio", "files", "max_tokens", "temperature", "seed", "language"),
    Operation.IMAGE_GENERATE: ("prompt", "negative_prompt", "images", "mask", "aspect_ratio", "size", "resolution", "count", "seed", "format"),
    Operation.VIDEO_GENERATE: (
        "prompt", "negative_prompt", "image", "last_frame", "images", "generate_audio", "audio", "aspect_ratio", "size",
        "resolution", "duration", "fps", "count", "seed", "format",
    ),
    Operation.SPEECH_GENERATE: ("text", "voice", "language", "speed", "emotion", "instructions", "format", "seed"),
    Operation.MUSIC_GENERATE: ("lyrics", "prompt", "negative_prompt", "duration", "format", "seed"),
    Operation.SOUND_GENERATE: ("prompt", "duration", "format", "seed"),
    Operation.AUDIO_TRANSCRIBE: ("audio", "prompt", "language", "timestamps", "diarize"),
    Operation.TEXT_EMBED: ("texts", "text", "dimensions"),
    Operation.TEXT_MODERATE: ("text", "images"),
}  # fmt: skip
"""The attributes of each operation, in the order in which they choose a field."""

_FILES = frozenset({"audio", "files", "image", "images", "last_frame", "mask"})
_NUMBERS = frozenset({"dimensions", "duration", "fps", "speed", "temperature"})
_WHOLE = frozenset({"count", "max_tokens", "seed"})
_FLAGS = frozenset({"diarize", "generate_audio"})
_FREE = frozenset({"instructions", "lyrics", "negative_prompt", "prompt", "system", "text"})
"""Attributes of any words: a field that offers a few fixed ones is another thing."""
_SIZES = ("size", "image_size", "resolution", "output_size", "dimensions")
_SOLE = ("prompt", "text", "images", "image", "audio")
"""Attributes that take the one required field of their type, whatever it is called; except for these."""
_SECRET = re.compile(r"(\A|_)(token|secret|password|api_?key)\Z", re.IGNORECASE)
_NO_IMAGE = re.compile(r"audio|video|voice|speech|sound|mesh|zip", re.IGNORECASE)
_NO_SOUND = re.compile(r"image|picture|photo|mask|video|mesh|zip", re.IGNORECASE)
_WORDS = {"images": "images", "count": "count", "seed": "seed", "speed": "speed", "emotion": "emotion",
          "generate_audio": "audio", "image": "first_frame", "last_frame": "last_frame"}  # fmt: skip
"""The capability that a mapped attribute is listed under."""


@dataclass(slots=True)
class AttributeFields:
    """`inputs` maps attributes to fields; `data` is what the mapping has to know beside it; `sole` were told by type alone."""

    inputs: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    sole: list[str] = field(default_factory=list)

    @property
    def taken(self) -> frozenset[str]:
        """The fields that an attribute has."""
        return frozenset(part for each in self.inputs.values() for part in each.split("+"))

    @property
    def capabilities(self) -> list[str]:
        """The words that the model is found by."""
        return [word for attribute, word in _WORDS.items() if attribute in self.inputs]


def attribute_fields(operation: Operation, fields: Fields, required: tuple[str, ...], output: str) -> AttributeFields:
    """The mapping of a model with these fields. Each field goes to one attribute at most."""
    found = AttributeFields()
    for attribute in _ORDER.get(operation, ()):
        if attribute == "size":
            chosen = _size_field(fields, found)
        else:
            names = _NAMES_OF.get((operation, attribute), _NAMES.get(attribute, ()))
            free = {name.lower(): name for name in fields if name not in found.taken}
            fitting = (free[name] for name in names if name in free)
            chosen = next((name for name in fitting if _fits(attribute, fields[name], output)), "")
        if chosen:
            found.inputs[attribute] = chosen
    _take_sole(operation, fields, required, found)
    _add_data(operation, fields, found)
    return found


def _size_field(fields: Fields, found: AttributeFields) -> str:
    if all(type_of(fields.get(side, {})) == "integer" for side in ("width", "height")):
        return "width+height"
    return next((name for name in _SIZES if name not in found.taken and _offers(fields.get(name, {}), pixels)), "")


def _fits(attribute: str, schema: Field, output: str) -> bool:
    """True when the field's type and values can take the attribute."""
    kind, offered = type_of(schema), schema.get("enum", ())
    if attribute in _FILES:
        return is_file(schema) or any(map(is_file, (schema.get("items", {}), *schema.get("anyOf", ()))))
    if attribute in _NUMBERS:
        if attribute == "speed" and not schema.get("minimum", 0) <= 1 <= schema.get("maximum", 10):
            return False  # not a multiple of the voice's own pace
        return kind in ("integer", "number")
    if attribute in _WHOLE:
        return kind == "integer"
    if attribute in _FLAGS:
        return kind == "boolean"
    if attribute == "texts":
        return kind == "array" and type_of(schema.get("items", {})) == "string"
    if kind != "string" or is_file(schema):
        return False
    match attribute:
        case "aspect_ratio":
            return not offered or _offers(schema, ratio)
        case "resolution":
            return _offers(schema, lines)
        case "format":
            return any(_medium_of(each) == output.partition("/")[0] for each in offered)
        case "timestamps":
            return "word" in offered
    return not (offered and attribute in _FREE)


def _offers(schema: Field, measure: Any) -> bool:
    """True when one of the words that the field offers can be measured so."""
    return any(isinstance(each, str) and measure(each) is not None for each in schema.get("enum", ()))


def _medium_of(word: object) -> str:
    return FILE_TYPES.get(str(word).lower(), "").partition("/")[0]


def _take_sole(operation: Operation, fields: Fields, required: tuple[str, ...], found: AttributeFields) -> None:
    for attribute in _ORDER.get(operation, ()):
        if attribute not in _SOLE or attribute in found.inputs:
            continue
        left = [
            name
            for name in required
            if name not in found.taken
            and _fits(attribute, fields.get(name, {}), "")
            and not _is_other(attribute, name, fields.get(name, {}))
        ]
        if len(left) == 1:
            found.inputs[attribute] = left[0]
            found.sole.append(attribute)


def _is_other(attribute: str, name: str, schema: Field) -> bool:
    """True when the field's name says that it is for another thing: a key is no prompt, a mesh no sound."""
    if attribute not in _FILES:
        return schema.get("format") == "password" or _SECRET.search(name) is not None
    return (_NO_SOUND if attribute == "audio" else _NO_IMAGE).search(name) is not None


def _add_data(operation: Operation, fields: Fields, found: AttributeFields) -> None:
    language = found.inputs.get("language", "")
    spelled = languages_among(fields.get(language, {}).get("enum", ()))
    if spelled:
        found.data["values"] = {language: spelled}
    accepts: dict[str, list[str]] = {}
    files = found.inputs.get("files", "")
    if "video" in files.lower():
        accepts[files] = ["video/*"]
    heard = found.inputs.get("audio", "")
    if operation is Operation.AUDIO_TRANSCRIBE and heard and "audio" not in heard.lower():
        accepts[heard] = ["audio/*", "video/*"]
    if accepts:
        found.data["accepts"] = accepts
