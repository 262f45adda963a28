"""Typed inputs: the general attributes that each operation takes, before a plugin maps them to its vendor's fields.

Durations are in seconds, sizes in pixels as `WIDTHxHEIGHT`, aspect ratios as `W:H`. A field left at None was not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from callsheet.artifacts import FileRef
from callsheet.errors import ConfigError
from callsheet.messages import Message
from callsheet.models import Operation

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "AssembleInputs",
    "EmbedInputs",
    "ImageInputs",
    "Inputs",
    "ModerateInputs",
    "MusicInputs",
    "SoundInputs",
    "SpeechInputs",
    "TextInputs",
    "TranscribeInputs",
    "VideoInputs",
    "attribute_names",
    "blank_inputs",
    "file_attributes",
    "inputs_type",
    "list_attributes",
    "parse_inputs",
    "text_attributes",
]

_STRICT: dict[str, object] = {
    "extra": "forbid",
    "hide_input_in_errors": True,
    "coerce_numbers_to_str": True,
    "allow_inf_nan": False,
}
_SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}")
_RATIO = re.compile(r"[1-9]\d{0,3}:[1-9]\d{0,3}")


class _Checked:
    """Shared checks of attributes that several operations have."""

    __slots__ = ()
    required: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __post_init__(self) -> None:
        for names in self.required:
            if all(getattr(self, name) in (None, "", ()) for name in names):
                raise ValueError(f"needs {' or '.join(names)}")
        self._check_form("size", _SIZE, "WIDTHxHEIGHT in pixels, for example 1024x768")
        self._check_form("aspect_ratio", _RATIO, "W:H, for example 16:9")
        for name in ("duration", "fps", "speed", "count", "dimensions", "max_tokens"):
            value = getattr(self, name, None)
            if value is not None and not 0 < value < 1e9:
                raise ValueError(f"{name} must be above 0, got {value}")

    def _check_form(self, name: str, pattern: re.Pattern[str], form: str) -> None:
        value = getattr(self, name, None)
        if value is not None and not pattern.fullmatch(value):
            raise ValueError(f"{name} must be {form}, got {value!r}")


@dataclass(frozen=True, slots=True)
class TextInputs(_Checked):
    """`text.generate`. `output_schema` is a JSON Schema: the answer is then JSON valid against it."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "messages"),)
    prompt: str | None = None
    system: str | None = None
    messages: tuple[Message, ...] = ()
    images: tuple[FileRef, ...] = ()
    files: tuple[FileRef, ...] = ()
    audio: FileRef | None = None
    output_schema: dict[str, Any] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ImageInputs(_Checked):
    """`image.generate`: from text, or an edit of `images` (with `mask`)."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt",),)
    prompt: str | None = None
    negative_prompt: str | None = None
    images: tuple[FileRef, ...] = ()
    mask: FileRef | None = None
    aspect_ratio: str | None = None
    size: str | None = None
    resolution: str | None = None
    count: int = 1
    seed: int | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class VideoInputs(_Checked):
    """`video.generate`: `image` is the first frame, `last_frame` the last, `images` are for reference."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "image"),)
    prompt: str | None = None
    negative_prompt: str | None = None
    image: FileRef | None = None
    last_frame: FileRef | None = None
    images: tuple[FileRef, ...] = ()
    audio: FileRef | None = None
    aspect_ratio: str | None = None
    size: str | None = None
    resolution: str | None = None
    duration: float | None = None
    fps: int | None = None
    generate_audio: bool | None = None
    count: int = 1
    seed: int | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechInputs(_Checked):
    """`speech.generate`: `speed` 1.0 is the voice's own pace; `language` is a BCP 47 tag."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("text",),)
    text: str | None = None
    voice: str | None = None
    language: str | None = None
    speed: float | None = None
    emotion: str | None = None
    instructions: str | None = None
    format: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class MusicInputs(_Checked):
    """`music.generate`."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "lyrics"),)
    prompt: str | None = None
    negative_prompt: str | None = None
    lyrics: str | None = None
    duration: float | None = None
    format: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SoundInputs(_Checked):
    """`sound.generate`: a sound effect."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt",),)
    prompt: str | None = None
    duration: float | None = None
    format: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TranscribeInputs(_Checked):
    """`audio.transcribe`: `timestamps` is `segment` or `word`."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("audio",),)
    audio: FileRef | None = None
    prompt: str | None = None
    language: str | None = None
    timestamps: str | None = None
    diarize: bool | None = None


@dataclass(frozen=True, slots=True)
class EmbedInputs(_Checked):
    """`text.embed`: one vector for each of `texts` (or for `text`)."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("text", "texts"),)
    text: str | None = None
    texts: tuple[str, ...] = ()
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class ModerateInputs(_Checked):
    """`text.moderate`: is this text (or image) acceptable?"""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("text", "images"),)
    text: str | None = None
    images: tuple[FileRef, ...] = ()


@dataclass(frozen=True, slots=True)
class AssembleInputs(_Checked):
    """`video.assemble`: clips or stills in order, with narration and music, to one film."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT
    required: ClassVar[tuple[tuple[str, ...], ...]] = (("clips", "images"),)
    clips: tuple[FileRef, ...] = ()
    images: tuple[FileRef, ...] = ()
    narration: tuple[FileRef, ...] = ()
    music: FileRef | None = None
    size: str | None = None
    fps: int | None = None
    format: str | None = None


Inputs = (
    TextInputs
    | ImageInputs
    | VideoInputs
    | SpeechInputs
    | MusicInputs
    | SoundInputs
    | TranscribeInputs
    | EmbedInputs
    | ModerateInputs
    | AssembleInputs
)

_TYPES: Mapping[Operation, type[Inputs]] = dict(zip(Operation, get_args(Inputs), strict=True))


def inputs_type(operation: Operation) -> type[Inputs]:
    """The dataclass of this operation's general attributes."""
    return _TYPES[operation]


def blank_inputs(operation: Operation) -> Inputs:
    """Inputs with nothing in them, for a job that is known by its receipt alone."""
    cls = _TYPES[operation]
    blank = object.__new__(cls)
    for each in fields(cls):
        object.__setattr__(blank, each.name, each.default)
    return blank


@cache
def attribute_names(operation: Operation) -> tuple[str, ...]:
    """The names of this operation's general attributes, in order."""
    return tuple(f.name for f in fields(_TYPES[operation]))


@cache
def file_attributes(operation: Operation) -> frozenset[str]:
    """The attributes which take files: a sheet gives them references or paths, never templates."""
    return frozenset(f.name for f in fields(_TYPES[operation]) if "FileRef" in str(f.type))


@cache
def list_attributes(operation: Operation) -> frozenset[str]:
    """The attributes which take several values."""
    return frozenset(f.name for f in fields(_TYPES[operation]) if str(f.type).startswith("tuple"))


@cache
def text_attributes(operation: Operation) -> frozenset[str]:
    """The attributes which take one text: JSON data in their place is written out as JSON."""
    return frozenset(f.name for f in fields(_TYPES[operation]) if str(f.type).startswith("str"))


@cache
def _adapter(operation: Operation) -> TypeAdapter[Inputs]:
    from pydantic import TypeAdapter

    return TypeAdapter(_TYPES[operation])


def parse_inputs(operation: Operation, values: Mapping[str, object], where: str = "") -> Inputs:
    """Check and convert attribute values (text from a sheet becomes a number where one is wanted).

    Raises ConfigError that names the attribute and, for an unknown one, the nearest known name.
    """
    from pydantic import ValidationError

    names = attribute_names(operation)
    for name in values:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(names)}"
            raise ConfigError(f"{operation} takes no {name!r}{hint} (vendor settings go under `options`)", where=where)
    listed = list_attributes(operation)
    shaped = {k: (v,) if k in listed and not isinstance(v, (list, tuple)) else v for k, v in values.items()}
    try:
        return _adapter(operation).validate_python(shaped)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {message}" if path else message, where=where) from None
