"""The typed inputs of every operation."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.artifacts import FileRef
from callsheet.errors import ConfigError
from callsheet.inputs import (
    SpeechInputs,
    TextInputs,
    attribute_names,
    blank_inputs,
    file_attributes,
    inputs_type,
    list_attributes,
    parse_inputs,
    text_attributes,
)
from callsheet.models import Operation

FILE = FileRef("ab" * 32, "image/png", 3)
LEAST: dict[Operation, dict[str, object]] = {
    Operation.TEXT_GENERATE: {"prompt": "p"},
    Operation.IMAGE_GENERATE: {"prompt": "p"},
    Operation.VIDEO_GENERATE: {"image": FILE},
    Operation.SPEECH_GENERATE: {"text": "t"},
    Operation.MUSIC_GENERATE: {"lyrics": "la"},
    Operation.SOUND_GENERATE: {"prompt": "p"},
    Operation.AUDIO_TRANSCRIBE: {"audio": FILE},
    Operation.TEXT_EMBED: {"texts": ("a",)},
    Operation.TEXT_MODERATE: {"images": FILE},
    Operation.VIDEO_ASSEMBLE: {"clips": [FILE]},
}
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3))


@pytest.mark.parametrize("operation", Operation)
def test_the_least_that_is_needed(operation: Operation) -> None:
    """Every operation takes its required attribute, and nothing but it."""
    parsed = parse_inputs(operation, LEAST[operation])
    assert type(parsed) is inputs_type(operation)
    with pytest.raises(ConfigError, match=f"here: .*needs {' or '.join(inputs_type(operation).required[0])}"):
        parse_inputs(operation, {}, "here")


@pytest.mark.parametrize("operation", Operation)
def test_an_unknown_attribute_has_a_near_name(operation: Operation) -> None:
    """A typing error gets the nearest name; what is near to none gets them all."""
    for name in attribute_names(operation):
        with pytest.raises(ConfigError, match="did you mean") as caught:
            parse_inputs(operation, {f"{name}z": 1}, "sheet.toml: producers.x")
        assert "sheet.toml: producers.x: " in str(caught.value)
    with pytest.raises(ConfigError, match=rf"it takes {attribute_names(operation)[0]}.*`options`"):
        parse_inputs(operation, {"qqqqqqqq": 1})


@pytest.mark.parametrize("operation", Operation)
def test_wrong_values_name_the_attribute(operation: Operation) -> None:
    """A value of no use is refused under its attribute's name, and the value is not shown."""
    for name in attribute_names(operation):
        with pytest.raises(ConfigError, match=name):
            parse_inputs(operation, {**LEAST[operation], name: object()})


@pytest.mark.parametrize("operation", Operation)
@settings(deadline=None)
@given(st.data())
def test_arbitrary_values_raise_config_errors_only(operation: Operation, data: st.DataObject) -> None:
    """Whatever a sheet says, the answer is inputs or a ConfigError."""
    names = st.sampled_from(attribute_names(operation))
    try:
        parsed = parse_inputs(operation, data.draw(st.dictionaries(names, VALUES, max_size=5)))
    except ConfigError as error:
        told = str(error)
        assert told
    else:
        assert type(parsed) is inputs_type(operation)


@pytest.mark.parametrize("operation", Operation)
def test_the_groups_of_attributes(operation: Operation) -> None:
    """File, list and text attributes are told apart by type; one text is never a file or a list."""
    names = set(attribute_names(operation))
    files, lists, texts = file_attributes(operation), list_attributes(operation), text_attributes(operation)
    assert files | lists | texts <= names
    assert not texts & (files | lists)
    assert {"image", "images", "audio", "mask", "clips", "last_frame", "music"} & names <= files
    assert {"prompt", "text", "system", "voice"} & names <= texts


@pytest.mark.parametrize("operation", Operation)
def test_blank_inputs(operation: Operation) -> None:
    """Blank inputs have every field at its default, required or not."""
    blank = blank_inputs(operation)
    assert all(getattr(blank, f.name) == f.default for f in fields(inputs_type(operation)))


def test_texts_become_numbers() -> None:
    """Text from a template or a command line becomes what the attribute wants, and numbers become text."""
    parsed = parse_inputs(
        Operation.VIDEO_GENERATE,
        {"prompt": 7, "duration": "2.5", "fps": "24", "generate_audio": "true", "count": "2", "seed": "0"},
    )
    assert (parsed.prompt, parsed.duration, parsed.fps) == ("7", 2.5, 24)  # type: ignore[union-attr]
    assert (parsed.generate_audio, parsed.count, parsed.seed) == (True, 2, 0)  # type: ignore[union-attr]


def test_one_value_for_a_list() -> None:
    """A single value stands for a list of one."""
    assert parse_inputs(Operation.TEXT_EMBED, {"texts": "a"}).texts == ("a",)  # type: ignore[union-attr]
    assert parse_inputs(Operation.IMAGE_GENERATE, {"prompt": "p", "images": FILE}).images == (FILE,)  # type: ignore[union-attr]


@pytest.mark.parametrize("size", ["1024", "0x5", "10 x 10", "1024X768", "1024x768\n", "٣x٣", "100000x1", "-1x2"])
def test_wrong_sizes(size: str) -> None:
    """A size is WIDTHxHEIGHT in plain digits."""
    with pytest.raises(ConfigError, match="size must be WIDTHxHEIGHT"):
        parse_inputs(Operation.IMAGE_GENERATE, {"prompt": "p", "size": size})


@settings(deadline=None)
@given(st.integers(1, 9999), st.integers(1, 9999))
def test_sizes_and_ratios(width: int, height: int) -> None:
    """Every positive size and ratio is taken as it is."""
    values = {"prompt": "p", "size": f"{width}x{height}", "aspect_ratio": f"{width}:{height}"}
    parsed = parse_inputs(Operation.IMAGE_GENERATE, values)
    assert (parsed.size, parsed.aspect_ratio) == (values["size"], values["aspect_ratio"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value", [0, -1, "nan", "inf", float("nan"), float("inf"), 1e9], ids=lambda v: f"{type(v).__name__}-{v}"
)
@pytest.mark.parametrize("name", ["duration", "fps", "count"])
def test_amounts_are_above_zero(name: str, value: object) -> None:
    """Nothing is made 0 times, backwards, or without end."""
    with pytest.raises(ConfigError, match=name):
        parse_inputs(Operation.VIDEO_GENERATE, {"prompt": "p", name: value})


def test_temperature_is_a_number() -> None:
    """NaN is no temperature, 0 is one."""
    with pytest.raises(ConfigError, match="temperature"):
        parse_inputs(Operation.TEXT_GENERATE, {"prompt": "p", "temperature": float("nan")})
    parsed = parse_inputs(Operation.TEXT_GENERATE, {"prompt": "p", "temperature": 0})
    assert isinstance(parsed, TextInputs)
    assert parsed.temperature == 0


def test_an_empty_text_is_no_text() -> None:
    """An empty required text counts as absent, also when the class is used directly."""
    with pytest.raises(ValueError, match="needs text"):
        SpeechInputs(text="")


def test_messages_from_plain_data() -> None:
    """A conversation may be written as tables."""
    messages = [{"role": "user", "parts": [{"kind": "text", "text": "hi"}, {"kind": "file", "file": FILE}]}]
    parsed = parse_inputs(Operation.TEXT_GENERATE, {"messages": messages})
    assert isinstance(parsed, TextInputs)
    assert parsed.messages[0].parts[1].file == FILE  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"messages\.0\.role"):
        parse_inputs(Operation.TEXT_GENERATE, {"messages": [{"role": "boss", "parts": []}]})
