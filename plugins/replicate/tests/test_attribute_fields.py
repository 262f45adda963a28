"""Which field takes which attribute, and what is then sent."""

from __future__ import annotations

import pytest
from replicate_counterpart.descriptions import PROMPT, URI, prepared, row_of
from replicate_counterpart.stage import file, told

from callsheet.errors import InvalidRequestError


def test_fields_by_other_names(tmp_path):
    """Names that mean the same are known; the one required field of a type is taken whatever it is called."""
    fields = {
        "animal": {"type": "string"},
        "image_a": URI,
        "num_images": {"type": "integer", "default": 4, "maximum": 8},
        "size": {"type": "string", "enum": ["1024x1024", "1536x1024"]},
        "style": {"type": "string"},
        "steps": {"type": "integer"},
    }
    made = row_of(fields, URI, required=["animal", "image_a", "steps"])
    assert made.row["inputs"] == {"size": "size", "count": "num_images", "prompt": "animal", "images": "image_a"}
    assert made.row["capabilities"] == ["images", "count"]
    notes = "\n".join(made.notes)
    assert "count = num_images" in notes
    assert "prompt = animal: the one required field" in notes
    assert "no attribute fills steps" in notes
    assert "options only: style" in notes
    request = prepared(tmp_path, made, {"steps": 4}, prompt="a cat", images=[file()], size="1500x1000")
    assert request.body["input"] == {
        "animal": "a cat",
        "image_a": file(),
        "num_images": 1,
        "size": "1536x1024",
        "steps": 4,
    }
    assert told(request) == [("adjusted", "size")]
    assert request.units == {"image": 1.0}


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ("hf_token", {"type": "string"}),
        ("API_Key", {"type": "string"}),
        ("access", {"type": "string", "format": "password"}),
        ("mesh_path", URI),
        ("driving_video", URI),
        ("ref_audio", URI),
    ],
)
def test_a_required_field_for_another_thing(field, schema):
    """A secret is no prompt, and a mesh, a clip or a sound no picture: the field is named, and left to the options."""
    made = row_of({field: schema}, {"type": "object"}, required=[field])
    assert "images" not in made.row.get("inputs", {})
    assert "prompt" not in made.row.get("inputs", {})
    fields = {field: schema, "animal": {"type": "string"}, "subject": URI}
    made = row_of(fields, URI, required=list(fields), name="owner/painter")
    assert made.row["inputs"] == {"prompt": "animal", "images": "subject"}
    assert any(f"no attribute fills {field}, which the model needs" in each for each in made.notes)


def test_a_field_without_the_attributes_meaning():
    """A field of the name, but of another type or of other values, is left to the options."""
    fields = {
        "prompt": {"type": "string", "enum": ["cat", "dog"]},
        "seed": {"type": "string"},
        "aspect_ratio": {"type": "string", "enum": ["square", "wide"]},
        "output_format": {"type": "string", "enum": ["safetensors", "ckpt"]},
        "resolution": {"type": "integer"},
        "mask": {"type": "boolean"},
    }
    made = row_of(fields, URI)
    assert "inputs" not in made.row
    assert any("image.generate asks for prompt, for which the model has no field" in each for each in made.notes)


def test_a_model_without_mapped_fields(tmp_path):
    """Its prompt is left out with a warning: no field is made up for it."""
    made = row_of({"strength": {"type": "number"}}, URI)
    request = prepared(tmp_path, made, {"strength": 0.5}, prompt="lava")
    assert request.body["input"] == {"strength": 0.5}
    assert told(request) == [("unsupported", "prompt")]


def test_a_ratio_in_any_words(tmp_path):
    """A text field without an enumeration takes the aspect ratio as it is; width and height take a size."""
    sides = {side: {"type": "integer", "minimum": 64, "maximum": 1024} for side in ("width", "height")}
    made = row_of(PROMPT | {"aspect_ratio": {"type": "string"}} | sides, URI)
    request = prepared(tmp_path, made, prompt="lava", aspect_ratio="16:9", size="640x2000")
    assert request.body["input"] == {"prompt": "lava", "aspect_ratio": "16:9", "width": 640, "height": 1024}
    assert (request.expects[0].width, request.expects[0].height) == (640, 1024)
    assert told(request) == [("adjusted", "size")]


def test_options_against_the_schema(tmp_path):
    """A wrong one is refused, whatever the row was made by."""
    made = row_of(PROMPT | {"steps": {"type": "integer", "maximum": 50}}, URI)
    with pytest.raises(InvalidRequestError, match="steps"):
        prepared(tmp_path, made, {"steps": 51}, prompt="lava")


def test_languages_by_their_names(tmp_path):
    """A list of English names is taken by tags."""
    fields = {
        "text": {"type": "string"},
        "voice": {"type": "string"},
        "language": {"type": "string", "enum": ["Auto", "german", "English"]},
    }
    made = row_of(fields, URI, required=["text"])
    request = prepared(tmp_path, made, text="Lava", language="de-AT")
    assert request.body["input"] == {"text": "Lava", "language": "german"}
