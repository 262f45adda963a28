"""What a model makes, by its output schema, its example and the words about it: kind, operation and media type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from callsheet.plugin import ConfigError, Operation
from callsheet_replicate.file_types import FILE_TYPES
from callsheet_replicate.plain_schema import fields_of, type_of

__all__ = ["Kind", "Making", "Subject", "is_file", "making", "output_kind"]

Kind = Literal["file", "files", "text", "json"]
_Medium = Literal["image", "video", "audio"]

_USUAL: Mapping[_Medium, str] = {"image": "image/png", "video": "video/mp4", "audio": "audio/mpeg"}
_FORMATS = ("output_format", "audio_format", "format", "image_format", "video_format", "file_format")
_NAME, _FIELD, _PROSE = 4, 2, 1
"""What a hint weighs, by where it stands."""
_DEEPEST = 8
_MEDIA: Mapping[_Medium, re.Pattern[str]] = {
    "video": re.compile(r"video|animat|movie|film|footage|clip\b|\b[tirv]2v|lip.?sync|talking|avatar|frames"),
    "image": re.compile(
        r"image|picture|photo|\bart|draw|paint|face|portrait|upscal|background|inpaint|diffusion|flux|sdxl"
    ),
    "audio": re.compile(r"audio|speech|voice|\btts|music|song|sound|vocal|sing|melod|spoken|narrat"),
}
_MEDIA_FIELDS: Mapping[_Medium, re.Pattern[str]] = {
    "video": re.compile(r"fps|frame|generate_audio|(start|end|last)_image|camera|video|motion|duration|seconds"),
    "image": re.compile(r"num_images|images_per_prompt|num_outputs|img|image_size|megapixels|mask"),
    "audio": re.compile(r"voice|speaker|sample_rate|bitrate|lyrics|audio_(length|format|duration)|tempo|bpm"),
}
_SOUNDS: Mapping[Operation, re.Pattern[str]] = {
    Operation.SPEECH_GENERATE: re.compile(r"speech|\btts|voice|speak|narrat|spoken|dialog"),
    Operation.MUSIC_GENERATE: re.compile(r"music|song|melod|instrumental|\bsing|lyric|riff|compos"),
    Operation.SOUND_GENERATE: re.compile(r"sound|foley|\bsfx|noise|effect"),
}
_SOUND_FIELDS: Mapping[Operation, re.Pattern[str]] = {
    Operation.SPEECH_GENERATE: re.compile(r"\A(text|text_input|gen_text|script)\Z|voice|speaker|history_prompt"),
    Operation.MUSIC_GENERATE: re.compile(r"lyrics|melody|tempo|bpm|genre|instrumental"),
    Operation.SOUND_GENERATE: re.compile(r"sound"),
}
_TEXT = re.compile(r"text|prompt|script|sentence|message|\Ainput\Z")
_TRANSCRIBES = re.compile(r"transcri|whisper|speech.(to.text|recognition)|\basr\b|diari[sz]|caption.*audio")
_EMBEDS = re.compile(r"embed|sentence.transformer|feature vector")
_MODERATES = re.compile(r"moderat|guard\b|nsfw.*(detect|classif)|safety.(check|classif)|toxic")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a model beside its output: its name, the sentence about it, its fields, an example's output."""

    name: str
    prose: str = ""
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    example: object = None

    @property
    def links(self) -> tuple[str, ...]:
        """The addresses of files in the example."""
        return tuple(_links(self.example))


@dataclass(frozen=True, slots=True)
class Making:
    """The operation, and a row's `output`; `guess` says by what the medium was told, empty where it is certain."""

    operation: Operation
    output: str
    guess: str = ""


def output_kind(schema: Mapping[str, Any], subject: Subject, *, streamed: bool) -> Kind:
    """What an output is; `streamed` says that a list is the pieces of one.

    Raises ConfigError for a schema that says nothing, where no example helps.
    """
    files = list(_files(schema))
    if files:
        return "files" if len(files) > 1 or files[0] else "file"
    kind = type_of(schema)
    media = [link for link in subject.links if _extension(link) in FILE_TYPES]
    if media:  # some models call the address of a file a text
        return "file" if len(media) == 1 else "files"
    if kind == "array" and streamed and type_of(schema.get("items", {})) == "string":
        return "text"
    if kind or "anyOf" in schema or fields_of(schema):
        return "text" if kind == "string" else "json"
    if subject.example is None:
        what = "does not say what its output is, and has no example of one"
        raise ConfigError(f"replicate:{subject.name} {what}: nothing to make a row of")
    return "text" if isinstance(subject.example, str) else "json"


def making(kind: Kind, subject: Subject) -> Making:
    """Operation and media type. Raises ConfigError for files that no operation makes."""
    if kind in ("text", "json"):
        return _words_or_values(kind, subject)
    media_type, guess = _media_type(subject)
    output = media_type + ("[]" if kind == "files" else "")
    match media_type.partition("/")[0]:
        case "image":
            return Making(Operation.IMAGE_GENERATE, output, guess)
        case "video":
            return Making(Operation.VIDEO_GENERATE, output, guess)
    usual = Operation.MUSIC_GENERATE if "duration" in subject.fields else Operation.SOUND_GENERATE
    operation = _best(_SOUNDS, _SOUND_FIELDS, subject) or usual
    if operation is Operation.SPEECH_GENERATE and not any(_TEXT.search(name) for name in subject.fields):
        operation = Operation.SOUND_GENERATE  # it changes a voice, and reads nothing out
    return Making(operation, output, guess or "its name and its fields")


def is_file(schema: Mapping[str, Any]) -> bool:
    """True for a field that takes (or gives) one file: Cog's `Path` is a text of the format `uri`, Python's of `path`."""
    return type_of(schema) == "string" and schema.get("format") in ("uri", "path")


def _files(schema: Mapping[str, Any]) -> Iterator[bool]:
    """The files in an output: False for one, True for a list of them."""
    if is_file(schema):
        yield False
    elif type_of(schema) == "array" and any(True for _ in _files(schema.get("items", {}))):
        yield True
    for each in fields_of(schema).values():
        yield from _files(each)
    alternatives = [several for each in schema.get("anyOf", ()) for several in _files(each)]
    if alternatives:
        yield any(alternatives)


def _words_or_values(kind: Kind, subject: Subject) -> Making:
    output = "application/json" if kind == "json" else "text/plain"
    told = f"{subject.name} {subject.prose}".lower()
    heard, files = _heard(subject)
    silent = not any(name in subject.required for name in ("prompt", "text", "question"))
    if (heard and silent) or (_TRANSCRIBES.search(told) and files):
        return Making(Operation.AUDIO_TRANSCRIBE, output, "its fields and name")
    if kind == "json" and _EMBEDS.search(told):
        return Making(Operation.TEXT_EMBED, output, "its name")
    if _MODERATES.search(told):
        return Making(Operation.TEXT_MODERATE, "application/json", "its name")
    return Making(Operation.TEXT_GENERATE, output, "" if kind == "text" else "its output, which is JSON")


def _heard(subject: Subject) -> tuple[list[str], list[str]]:
    """The fields that take a sound, and all that take a file."""
    files = [name for name, each in subject.fields.items() if is_file(each)]
    return [name for name in files if re.search(r"audio|sound|speech", name)], files


def _media_type(subject: Subject) -> tuple[str, str]:
    """The media type, and what told it."""
    extensions = [extension for link in subject.links if (extension := _extension(link))]
    known = [FILE_TYPES[each] for each in extensions if each in FILE_TYPES]
    if known:
        return known[0], ""
    if extensions:
        what = f"makes .{extensions[0]} files (as its example shows)"
        raise ConfigError(f"replicate:{subject.name} {what}, and no operation makes those: nothing to make a row of")
    for name in _FORMATS:
        default = str(subject.fields.get(name, {}).get("default", "")).lower()
        for offered in (default, *map(str, subject.fields.get(name, {}).get("enum", ()))):
            if offered in FILE_TYPES:
                return FILE_TYPES[offered], f"its field {name}"
    for word in re.findall(r"[a-z0-9]+", subject.name.lower()):
        if word in FILE_TYPES:
            return FILE_TYPES[word], "its name"
    medium = _best(_MEDIA, _MEDIA_FIELDS, subject)
    heard, files = _heard(subject)
    if medium is None and files and heard == files:
        medium = "audio"
    return _USUAL[medium or "image"], "its name, its fields and the words about it" if medium else "nothing at all"


def _best(words: Mapping[Any, re.Pattern[str]], fields: Mapping[Any, re.Pattern[str]], subject: Subject) -> Any:
    """What most hints speak for; None when there is no hint."""
    name = subject.name.partition("/")[2].lower().replace("_", "-")
    weights = {
        each: _NAME * bool(words[each].search(name))
        + _PROSE * min(2, len(set(words[each].findall(subject.prose.lower()))))
        + _FIELD * min(2, sum(bool(fields[each].search(one.lower())) for one in subject.fields))
        for each in words
    }
    best = max(weights, key=lambda each: weights[each])
    return best if weights[best] else None


def _links(value: object, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        if value.startswith("https://") and not any(each.isspace() for each in value) and _extension(value):
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _links(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _links(each, depth + 1)


def _extension(link: str) -> str:
    """The extension of a link's file, in lower case; empty without one."""
    try:
        last = urlsplit(link).path.rpartition("/")[2]
    except ValueError:
        return ""
    stem, dot, extension = last.rpartition(".")
    return extension.lower() if stem and dot and re.fullmatch(r"[A-Za-z0-9]{1,8}", extension) else ""
