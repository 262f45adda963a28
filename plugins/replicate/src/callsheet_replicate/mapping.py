"""From general attributes to a model's own input, by its row and its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from callsheet.plugin import (
    CapabilityUnsupportedError,
    Expected,
    FileRef,
    Job,
    Operation,
    ProviderRequest,
    TextInputs,
    check_attachment,
)
from callsheet_replicate.api import LARGEST_FILE, Address
from callsheet_replicate.draft import ReplicateDraft
from callsheet_replicate.file_types import FILE_TYPES
from callsheet_replicate.nearest import (
    lines,
    named,
    nearest_lines,
    nearest_number,
    nearest_ratio,
    nearest_size,
    pixels,
    ratio,
)
from callsheet_replicate.rules import apply_rules

__all__ = ["prediction_request"]

_USUAL: Mapping[str, str] = {
    "count": "num_outputs",
    "format": "output_format",
    "last_frame": "last_frame_image",
    "size": "width+height",
    "system": "system_prompt",
}
"""The fields of a model without a row, where they usually have another name than the attribute."""
_ALONE = ("messages", "output_schema", "size", "aspect_ratio", "resolution")
"""Attributes that are not simply put into a field."""
_TAKEN: Mapping[str, tuple[str, ...]] = {"audio": ("audio/*",), "files": ()}
_MADE: Mapping[Operation, str] = {
    Operation.IMAGE_GENERATE: "image/png",
    Operation.VIDEO_GENERATE: "video/mp4",
    Operation.SPEECH_GENERATE: "audio/mpeg",
    Operation.MUSIC_GENERATE: "audio/mpeg",
    Operation.SOUND_GENERATE: "audio/mpeg",
    Operation.TEXT_EMBED: "application/json",
    Operation.TEXT_MODERATE: "application/json",
}


def prediction_request(job: Job) -> ProviderRequest:
    """The request. Raises InvalidRequestError, CapabilityUnsupportedError for files that the model does not take."""
    draft = ReplicateDraft(job)
    address = Address(job.ref.model)
    if not address.valid:
        raise draft.invalid("is no model of Replicate: write owner/name or owner/name:version")
    mapping = _mapping(job)
    for each in fields(job.inputs):
        value = getattr(job.inputs, each.name)
        field = mapping.get(each.name, "")
        asked = value is not None and value != each.default
        if each.name == "count" and field:  # a model may make several unless it is told that one will do
            asked = asked or draft.property(field).get("default", value) != value
        if asked and each.name not in _ALONE:
            _put(draft, field, each.name, value)
    _shape(draft, mapping)
    draft.options()
    if isinstance(job.inputs, TextInputs):
        _words(draft, job.inputs, mapping)  # after the options: also their prompt asks for what is checked
    apply_rules(draft)
    draft.check()
    expected = _expected(draft, mapping)
    version = address.version or ("" if draft.data.get("official") else job.model.revision)
    body = {"input": draft.body} | ({"version": version} if version else {})
    return draft.request(expected, units=_units(draft, mapping, expected), body=body)


def _mapping(job: Job) -> Mapping[str, str]:
    if job.model.inputs or job.model.schema:
        return job.model.inputs
    return {
        each.name: _USUAL.get(each.name, each.name) for each in fields(job.inputs) if each.name not in _ALONE[:2]
    } | {"size": _USUAL["size"]}


def _put(draft: ReplicateDraft, field: str, attribute: str, value: object) -> None:
    files = [value] if isinstance(value, FileRef) else list(value) if isinstance(value, tuple) else []
    if any(isinstance(each, FileRef) for each in files):
        _put_files(draft, field, attribute, [each for each in files if isinstance(each, FileRef)])
    elif not field:
        _unmapped(draft, attribute, value)
    else:
        taken = _converted(draft, field, attribute, value)
        if taken is not None:
            draft.body[field] = taken


def _unmapped(draft: ReplicateDraft, attribute: str, value: object) -> None:
    own = draft.job.model.output.partition("[")[0]
    if attribute == "format" and draft.schema.known:
        if FILE_TYPES.get(str(value).lower()) != own:
            draft.adjusted(attribute, value, own)
    elif attribute == "count":
        draft.adjusted(attribute, value, "one a call")
    elif (attribute, value) != ("generate_audio", False):  # without the field it is silent anyway
        draft.unsupported(attribute)


def _put_files(draft: ReplicateDraft, field: str, attribute: str, files: list[FileRef]) -> None:
    if not field:
        raise CapabilityUnsupportedError(f"{draft.ref} takes no {attribute}", ref=draft.ref)
    taken = draft.table("accepts").get(field, _TAKEN.get(attribute, ("image/*",)))
    largest = draft.table("largest").get(field, LARGEST_FILE)
    for file in files:
        check_attachment(file, ref=draft.ref, media_types=tuple(taken), max_bytes=largest)
    several = "array" in str(draft.property(field).get("type", "array" if attribute in ("images", "files") else ""))
    if not several and len(files) > 1:
        raise CapabilityUnsupportedError(f"{draft.ref} takes one file as {attribute}, not {len(files)}", ref=draft.ref)
    draft.body[field] = files if several else files[0]


def _converted(draft: ReplicateDraft, field: str, attribute: str, value: object) -> object:
    """The vendor's value: the same, its name for it, or the nearest with a warning; None when there is none."""
    schema = draft.property(field)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = nearest_number(value, schema)
        if number != value:
            draft.adjusted(attribute, f"{value:g}", f"{number:g}")
        return int(number) if float(number).is_integer() else number
    if not isinstance(value, str):
        return list(value) if isinstance(value, tuple) else value
    return _word(draft, field, attribute, value)


def _word(draft: ReplicateDraft, field: str, attribute: str, value: str) -> str | None:
    schema, names = draft.property(field), draft.table("values").get(field, {})
    base = value.partition("-")[0].lower() if attribute == "language" else value
    if draft.schema.known and attribute == "language" and value not in names:
        if base != value and (base in names or not names):
            draft.adjusted(attribute, value, base)
        value = base
    value = names.get(value, value)
    if attribute == "format" and draft.schema.known:
        value = {"jpeg": "jpg"}.get(value.lower(), value)
    if "enum" not in schema:
        return value
    known = named(value, schema["enum"])
    if known is None and attribute == "format":
        draft.adjusted(attribute, value, schema.get("default"))
    elif known is None:
        draft.unsupported(attribute, f"{value} is none of {', '.join(map(str, schema['enum']))}")
    return known


def _shape(draft: ReplicateDraft, mapping: Mapping[str, str]) -> None:
    """Aspect ratio, resolution and size: each in its own field, or the size by the other two."""
    inputs = draft.job.inputs
    wished: dict[str, str | None] = {
        name: getattr(inputs, name, None) for name in ("aspect_ratio", "resolution", "size")
    }
    size = pixels(wished["size"])
    in_pixels = "+" in mapping.get("size", "")
    if size and in_pixels:
        taken = []
        for side, length in zip(mapping["size"].split("+"), size, strict=True):
            number = nearest_number(length, draft.property(side))
            draft.body[side] = int(number)
            taken.append(str(int(number)))
        if "x".join(taken) != wished["size"]:
            draft.adjusted("size", wished["size"], "x".join(taken))
    offers = {name: draft.property(mapping.get(name, "")).get("enum", ()) for name in ("aspect_ratio", "resolution")}
    for name, nearest, measure in (("aspect_ratio", nearest_ratio, ratio), ("resolution", nearest_lines, lines)):
        text = wished[name]
        if text is None:
            continue
        field, value = mapping.get(name, ""), measure(text)
        taken_text = named(text, offers[name]) or (nearest(value, offers[name]) if value else None)
        if field and not offers[name]:
            draft.body[field] = text
        elif not field or taken_text is None:
            draft.unsupported(name)
        else:
            draft.body[field] = taken_text
            if taken_text.casefold() != text.casefold():
                draft.adjusted(name, text, taken_text)
    if size and not in_pixels:
        offered = nearest_size(size, draft.property(mapping.get("size", "")).get("enum", ()))
        if offered is None:
            _size_by_shape(draft, mapping, offers, size)
            return
        draft.body[mapping["size"]] = offered
        if pixels(offered) != size:
            draft.adjusted("size", wished["size"], offered)


def _size_by_shape(
    draft: ReplicateDraft, mapping: Mapping[str, str], offers: Mapping[str, Any], size: tuple[int, int]
) -> None:
    """A size for a model that knows only shapes and numbers of lines."""
    width, height = size
    shape = nearest_ratio(width / height, offers["aspect_ratio"])
    count = nearest_lines(min(size), offers["resolution"])
    taken = {mapping.get("aspect_ratio", ""): shape, mapping.get("resolution", ""): count}
    added = {field: value for field, value in taken.items() if field and value and field not in draft.body}
    if not added:
        draft.unsupported("size")
        return
    draft.body.update(added)
    exact = shape and count and ratio(shape) == width / height and lines(count) == min(size) and len(added) == 2
    if not exact:
        draft.adjusted("size", f"{width}x{height}", " and ".join(added.values()))


def _words(draft: ReplicateDraft, inputs: TextInputs, mapping: Mapping[str, str]) -> None:
    """What a text model is asked in words, because it has no field for it."""
    if inputs.messages:
        raise CapabilityUnsupportedError(f"{draft.ref} takes a prompt and no messages", ref=draft.ref)
    if inputs.output_schema is not None:
        schema = json.dumps(inputs.output_schema, ensure_ascii=False, sort_keys=True)
        told = f"Answer with JSON alone, without a code fence, valid under this JSON Schema:\n{schema}"
        field = mapping.get("prompt", "prompt")
        draft.body[field] = f"{draft.body.get(field, '')}\n\n{told}"
        draft.emulated(
            "output_schema", "has no output_schema: it was asked for in the prompt, and the answer is checked"
        )


def _expected(draft: ReplicateDraft, mapping: Mapping[str, str]) -> Expected:
    job = draft.job
    if job.operation in (Operation.TEXT_GENERATE, Operation.AUDIO_TRANSCRIBE):
        schema = getattr(job.inputs, "output_schema", None)
        if schema is None and job.model.output != "application/json":
            return Expected("text", "text/plain")
        return Expected("json", "application/json", schema=schema)
    media_type = job.model.output.partition("[")[0] or _MADE[job.operation]
    if media_type == "application/json":
        return Expected("json", media_type)
    named_type = FILE_TYPES.get(str(draft.value(mapping.get("format", ""))).lower(), media_type)
    if named_type.partition("/")[0] == media_type.partition("/")[0]:
        media_type = named_type

    def number(attribute: str) -> Any:
        value = draft.value(mapping.get(attribute, ""))
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None

    sides: list[int | None] = [None, None]
    if draft.value("size") == "custom" or ("width" in draft.body and draft.value("size") is None):
        sides = [value if isinstance(value := draft.value(side), int) else None for side in ("width", "height")]
    sound = draft.value(mapping.get("generate_audio", ""))
    return Expected(
        "blob",
        media_type,
        width=sides[0],
        height=sides[1],
        duration=float(number("duration")) if number("duration") else None,
        fps=number("fps"),
        audio=sound if isinstance(sound, bool) else None,
    )


def _units(draft: ReplicateDraft, mapping: Mapping[str, str], expected: Expected) -> dict[str, float]:
    """What the prices count. `data.priced_by` names a field each of whose values has a price of its own."""
    match draft.job.operation:
        case Operation.IMAGE_GENERATE:
            most = draft.value(mapping.get("count", ""))
            return {"image": float(most if isinstance(most, int) else 1)}
        case Operation.VIDEO_GENERATE:
            seconds = expected.duration
            field = draft.data.get("priced_by")
            if seconds is None or not isinstance(field, str):
                return {} if seconds is None else {"second": seconds}
            taken = draft.value(field)
            return {f"second_{each}": seconds * (each == taken) for each in draft.property(field).get("enum", ())}
        case Operation.SPEECH_GENERATE:
            return {"character": float(len(str(draft.value(mapping.get("text", "")) or "")))}
        case Operation.TEXT_GENERATE:
            return {}
    return {"run": 1.0}
