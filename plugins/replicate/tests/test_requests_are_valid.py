"""Whatever is asked for: what leaves is valid under the model's own schema, or nothing does."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicate_counterpart.stage import ROOT, file, prepared, rows

from callsheet.artifacts import FileRef
from callsheet.errors import CapabilityUnsupportedError, InvalidRequestError

IMAGE = file()
VALUES = {
    "prompt": st.text(min_size=1, max_size=20),
    "text": st.text(min_size=1, max_size=20),
    "system": st.text(max_size=20),
    "negative_prompt": st.text(max_size=20),
    "image": st.just(IMAGE),
    "last_frame": st.just(IMAGE),
    "images": st.lists(st.just(IMAGE), max_size=12).map(tuple),
    "aspect_ratio": st.sampled_from(["16:9", "9:16", "1:1", "50:1"]),
    "size": st.sampled_from(["1024x1024", "1280x720", "1x1", "9999x2"]),
    "resolution": st.sampled_from(["480p", "720p", "2K", "4k", "8K", "1920x1080", "huge", "0p"]),
    "duration": st.floats(0.01, 1e6),
    "fps": st.integers(1, 1000),
    "count": st.integers(1, 40),
    "seed": st.integers(0, 2**31),
    "format": st.sampled_from(["png", "JPEG", "webp", "mp3", "wav", "mp4", "strange"]),
    "generate_audio": st.booleans(),
    "voice": st.sampled_from(["Rachel", "aria", "nobody"]),
    "language": st.sampled_from(["en", "de-DE", "zh-Hant", "yue", "tlh", ""]),
    "speed": st.floats(0.01, 100),
    "emotion": st.sampled_from(["calm", "Happy", "bored"]),
    "instructions": st.text(max_size=9),
    "lyrics": st.text(max_size=9),
    "max_tokens": st.integers(1, 10**7),
    "temperature": st.floats(0, 10),
}


def closed(model):
    """A validator of the model's schema that takes no other property."""
    schema = json.loads((ROOT / rows()[model].schema).read_text(encoding="utf-8"))
    return jsonschema_rs.Draft202012Validator({**schema, "additionalProperties": False}), schema


def plain(value):
    """The value with a link in the place of each file."""
    if isinstance(value, FileRef):
        return "https://example.com/file"
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("model", rows())
@given(data=st.data())
def test_attributes(model, data):
    """Any mixture of general attributes gives a valid input, or a refusal of the right kind."""
    from callsheet.inputs import attribute_names

    names = [name for name in attribute_names(rows()[model].operation) if name in VALUES]
    asked = data.draw(st.fixed_dictionaries({}, optional={name: VALUES[name] for name in names}))
    validator, _ = closed(model)
    try:
        request = prepared(model, **asked)
    except (InvalidRequestError, CapabilityUnsupportedError):
        return
    assert [each.message for each in validator.iter_errors(plain(request.body["input"]))] == []


@pytest.mark.parametrize("model", rows())
def test_defaults(model):
    """The model's own defaults are accepted as options, one by one, and reach the vendor unchanged."""
    _, schema = closed(model)
    for name, each in schema["properties"].items():
        if "default" not in each:
            continue
        request = prepared(model, options={name: each["default"]})
        beside = [w.attribute for w in request.warnings]
        assert request.body["input"].get(name) == each["default"] or beside == [name]


@pytest.mark.parametrize("model", rows())
@given(data=st.data())
def test_options(model, data):
    """Values of each property's own schema are taken, unless a rule of the model forbids them together."""
    validator, schema = closed(model)
    options = data.draw(st.fixed_dictionaries({}, optional={n: of(each) for n, each in schema["properties"].items()}))
    refusal = ""
    try:
        request = prepared(model, options=options)
    except InvalidRequestError as error:
        refusal = str(error)
    if refusal:
        assert rows()[model].data
        assert "does not take this input" not in refusal
        return
    assert validator.is_valid(plain(request.body["input"]))


def of(schema):
    """Values of one property's schema."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    most, least = schema.get("maximum", 10**6), schema.get("minimum", 0)
    match kind:
        case "integer":
            return st.integers(least, most)
        case "number":
            return st.floats(least, most)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(st.just("https://example.com/file"), max_size=3)
    return st.text(max_size=12)
