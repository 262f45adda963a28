"""Any model as a row, by the vendor's own description of it."""

from __future__ import annotations

import json
from functools import cache

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replicate_counterpart.descriptions import PIECES, PROMPT, URI, VERSION, described, prepared, row_of
from replicate_counterpart.stage import ROOT, picture, rows

from callsheet.errors import AuthenticationError, ConfigError, ModelNotFoundError
from callsheet.handler import DescribesModels
from callsheet.model_descriptions import describe
from callsheet.model_shelf import Shelf, Wishes
from callsheet.plugin_manifest import model_row
from callsheet_replicate.description import describe_model
from callsheet_replicate.predictions import PredictionHandler
from callsheet_replicate.testing import Delivery, Fault, Script

TEXT = PIECES | {"x-cog-array-display": "concatenate"}
SENTENCES = {"stability-ai/stable-audio-2.5": "Generate high-quality music and sound from text prompts"}


@cache
def upstream(model):
    """The model's answer as the vendor gives it: each enumeration behind a reference, words of Cog's own, other order."""
    schema = json.loads((ROOT / rows()[model].schema).read_text(encoding="utf-8"))
    schemas, properties = {}, {}
    for place, (name, each) in enumerate(schema["properties"].items()):
        raw = {"title": name.title(), "x-order": place, "description": f"What {name} is.", **each}
        if isinstance(raw["type"], list):
            raw |= {"type": raw["type"][0], "nullable": True, "default": None}
        if "enum" in raw:
            schemas[name] = {
                "enum": raw.pop("enum"),
                "type": raw.pop("type"),
                "title": name,
                "description": "An enumeration.",
            }
            raw["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
        properties[name] = raw
    backwards = dict(reversed(properties.items()))
    several = rows()[model].output.endswith("[]")
    several_files = {"type": "array", "items": URI}
    output = TEXT if rows()[model].output.startswith("text") else several_files if several else URI
    about = {"description": SENTENCES.get(model), "is_official": True, "default_example": None}
    return described(backwards, output, name=model, required=schema["required"], schemas=schemas, **about)


@pytest.mark.parametrize("model", rows())
def test_schemas_of_the_rows_made_by_hand(model):
    """What is made of the vendor's form is the schema that lies in the package, in the same order."""
    made = describe_model(model, upstream(model)).schema
    kept = json.loads((ROOT / rows()[model].schema).read_text(encoding="utf-8"))
    assert made["required"] == kept["required"]
    assert list(made["properties"]) == list(kept["properties"])
    for name, each in made["properties"].items():
        bare = {key: value for key, value in each.items() if key not in ("title", "description")}
        assert bare == kept["properties"][name]
    jsonschema_rs.Draft202012Validator(made)


@pytest.mark.parametrize("model", rows())
def test_rows_made_by_hand(model):
    """Operation, attributes and kind of output are told as a person told them; what only prose says is left to people."""
    made, kept = describe_model(model, upstream(model)).row, rows()[model]
    assert made["operation"] == kept.operation
    assert made["inputs"] == kept.inputs
    assert made["output"].partition("/")[0] == kept.output.partition("/")[0]
    assert made["output"].endswith("[]") == kept.output.endswith("[]")
    assert set(made.get("capabilities", ())) == kept.capabilities
    for field, spelled in kept.data.get("values", {}).items():
        assert made["data"]["values"][field] == spelled


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["string", "uri", "array"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "items", "properties", "allOf", "anyOf", "enum", "default", "format", "required", "$ref", "x-order",
                 "prompt", "image", "minimum", "width", "output", "latest_version", "openapi_schema"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(properties=JSON, output=JSON, example=JSON, about=JSON)
def test_any_document(properties, output, example, about):
    """Whatever a description holds: it becomes a row that is valid, or is refused with a ConfigError."""
    document = described(PROMPT, output, description=about, is_official=about, default_example={"output": example})
    document["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"]["properties"] = properties
    try:
        made = describe_model("owner/name", document)
    except ConfigError:
        return
    assert model_row(made.row, "replicate", "").model == "owner/name"
    json.dumps(made.schema, allow_nan=False)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "no version"),
        ({"latest_version": None}, "no version"),
        ({"latest_version": {"id": VERSION, "openapi_schema": {}}}, "no schema of its input"),
        ({"latest_version": {"id": VERSION, "openapi_schema": None}}, "no schema of its input"),
        ({"components": {"schemas": {"Input": True}}}, "no schema of its input"),
        (described(PROMPT, None), "does not say what its output is"),
        (described(PROMPT, {"title": "Output"}, default_example={}), "does not say what its output is"),
        (described(PROMPT, URI, default_example={"output": "https://x.example/mesh.glb"}), r"makes \.glb files"),
    ],
)
def test_no_row(document, why):
    """What no row can be made of is refused with the cause."""
    with pytest.raises(ConfigError, match=f"replicate:owner/name .*{why}"):
        describe_model("owner/name", document)


@pytest.mark.parametrize("name", ["", "name", VERSION, "a/b/c", "owner/name:latest", "../x", "owner/na me"])
def test_no_model(name):
    """A name of another form is refused before anything is asked."""
    with pytest.raises(ConfigError, match="no model of Replicate"):
        describe_model(name, described())


def test_what_a_model_is_called_by(tmp_path):
    """An official model by its name; any other by its version, which the row keeps."""
    for official, version in ((True, None), (False, VERSION), (None, VERSION)):
        about = {} if official is None else {"is_official": official}
        made = row_of(PROMPT, URI, **about)
        assert made.row["revision"] == VERSION
        assert prepared(tmp_path, made, prompt="lava").body.get("version") == version
    hidden = described(PROMPT, URI, is_official=True)
    hidden["latest_version"]["id"] = "hidden"
    assert "revision" not in describe_model("owner/name", hidden).row


def test_other_forms_of_a_description(tmp_path):
    """A version's own answer, and the OpenAPI document alone, with the version from the model's name."""
    version = described(PROMPT, URI)["latest_version"]
    for name, document, revision in (
        (f"owner/name:{VERSION}", version, VERSION),
        ("owner/name", version, VERSION),
        (f"owner/name:{VERSION}", version["openapi_schema"], VERSION),
        ("owner/name", version["openapi_schema"], None),
    ):
        made = describe_model(name, document)
        assert (made.row["model"], made.row.get("revision")) == ("owner/name", revision)
        assert prepared(tmp_path, made, prompt="lava").body.get("version") == revision
    with pytest.raises(ConfigError, match=f"of the version {VERSION}"):
        describe_model(f"owner/name:{'0' * 64}", version)


async def test_from_the_vendor_to_a_prediction(server, opened, tmp_path):
    """The description is fetched with the token; the row's model then runs by its version, and is found again by it."""
    server.models["owner/name"] = described(
        PROMPT | {"num_outputs": {"type": "integer", "default": 1}}, {"type": "array", "items": URI}
    )
    server.script(VERSION, Script([Delivery(picture(), "image/png")] * 2))
    async with opened() as client:
        description = await describe(client.runtime, "replicate", "owner/name")
        assert await describe(client.runtime, "replicate", f"owner/name:{VERSION}") == description
        shelf = Shelf(client.runtime.project.folder / "models")
        shelf.write(shelf.draft("replicate", description, Wishes()))
    asked = [each.path for each in server.journal]
    assert asked == ["/models/owner/name", f"/models/owner/name/versions/{VERSION}"]
    server.fail("create", Fault(reset="after"))
    async with opened() as client:
        result = await client.call("replicate:owner/name", prompt="lava", count=2)
    (create,) = server.asked("create")
    assert create.path == "/predictions"
    assert create.json == {"version": VERSION, "input": {"prompt": "lava", "num_outputs": 2}}
    assert [each.media_type for each in result.artifacts] == ["image/png"] * 2
    assert not result.warnings


async def test_a_model_that_is_not_there(server, opened):
    """Unknown names, and a token that is refused, are errors of their own."""
    async with opened() as client:
        with pytest.raises(ModelNotFoundError, match="replicate:owner/absent is not there"):
            await describe(client.runtime, "replicate", "owner/absent")
        server.key = "another"
        with pytest.raises(AuthenticationError, match="REPLICATE_API_TOKEN"):
            await describe(client.runtime, "replicate", "owner/absent")


def test_the_handler_describes_models():
    """The core finds it by its methods."""
    assert isinstance(PredictionHandler(), DescribesModels)
