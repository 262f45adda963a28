"""Schemas of OpenAPI documents in plain words, and hostile ones."""

from __future__ import annotations

import json

import pytest
from replicate_counterpart.descriptions import PROMPT, URI, described, row_of

from callsheet.errors import ConfigError
from callsheet_replicate.description import describe_model
from callsheet_replicate.plain_schema import DEEPEST, MOST_NODES


def field_of(node, **schemas):
    """One field's schema in plain words."""
    return row_of({"field": node}, URI, schemas=schemas).schema["properties"]["field"]


@pytest.mark.parametrize(
    ("node", "plain"),
    [
        ({"type": "integer", "nullable": True, "default": None}, {"type": ["integer", "null"]}),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "title": "T"}, {"type": ["integer", "null"], "minimum": 1, "title": "T"}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"allOf": [{"$ref": "#/components/schemas/e"}], "nullable": True}, {"type": ["string", "null"], "enum": ["a", "b", None]}),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ({"anyOf": [{"type": "string", "format": "uri"}, {"type": "string"}], "title": "T"}, {"type": "string", "format": "uri", "title": "T"}),
        ({"anyOf": [{"type": "string"}, {"type": "string", "format": "uri"}, {"type": "null"}]}, {"type": ["string", "null"], "format": "uri"}),
        ({"anyOf": [{"type": "string", "minLength": 1}, {"type": "string"}]}, {"anyOf": [{"type": "string", "minLength": 1}, {"type": "string"}]}),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 0}),
        ({"type": "number", "exclusiveMaximum": 2, "maximum": 3}, {"type": "number", "exclusiveMaximum": 2, "maximum": 3}),
        ({"allOf": [{"$ref": "#/components/schemas/e"}], "default": "b"}, {"type": "string", "enum": ["a", "b"], "default": "b"}),
        ({"$ref": "#/components/schemas/chain"}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "array", "items": {"$ref": "#/components/schemas/e"}}, {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
        ({"type": "string", "pattern": "(a+)+$", "x-cog-secret": True, "example": 1}, {"type": "string"}),
        ({"type": "integer", "minimum": "low", "multipleOf": 0, "minLength": -1}, {"type": "integer"}),
        ({"type": "file"}, {}),
        (True, {}),
    ],
)  # fmt: skip
def test_words_of_a_schema(node, plain):
    """References, null and the words of OpenAPI 3.0 end up as JSON Schema 2020-12; what says nothing here is left out."""
    chain = {"allOf": [{"$ref": "#/components/schemas/e"}]}
    assert field_of(node, e={"type": "string", "enum": ["a", "b"]}, chain=chain) == plain


def test_a_name_with_slashes():
    """A pointer's ~1, ~0 and percent signs are read (RFC 6901)."""
    assert field_of({"$ref": "#/components/schemas/a~1b~0c%20d"}, **{"a/b~c d": {"type": "boolean"}}) == {
        "type": "boolean"
    }


def test_parts_of_an_object():
    """allOf joins properties and what is required."""
    base = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    node = {"allOf": [{"$ref": "#/components/schemas/base"}], "properties": {"b": {}}, "required": ["b", "a"]}
    assert field_of(node, base=base) == {
        **base,
        "properties": {"a": {"type": "string"}, "b": {}},
        "required": ["a", "b"],
    }


DEEP = {"type": "string"}
for _ in range(DEEPEST + 1):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("schemas", "why"),
    [
        ({"loop": {"$ref": "#/components/schemas/loop"}}, "contains itself"),
        ({"loop": {"allOf": [{"$ref": "#/components/schemas/two"}]}, "two": {"items": {"$ref": "#/components/schemas/loop"}}}, "contains itself"),
        ({"loop": {"$ref": "https://example.com/schema.json"}}, "another document"),
        ({"loop": {"$ref": "#/components/schemas/absent"}}, "does not have"),
        ({"loop": {"$ref": "#/openapi/3"}}, "does not have"),
        ({"loop": DEEP}, "levels deep"),
        ({"loop": {"type": "number", "default": float("inf")}}, "the number inf"),
        ({"loop": {"enum": list(range(MOST_NODES))}}, "more than 50,000"),
    ],
)  # fmt: skip
def test_hostile_schemas(schemas, why):
    """They end in an error that names the model and the cause."""
    with pytest.raises(ConfigError, match=f"replicate:owner/name .*{why}"):
        field_of({"$ref": "#/components/schemas/loop"}, **schemas)


def test_references_that_multiply():
    """Ten levels of ten references each would be ten thousand million schemas."""
    levels = {
        f"l{n}": {"properties": {str(k): {"$ref": f"#/components/schemas/l{n + 1}"} for k in range(10)}}
        for n in range(10)
    }
    with pytest.raises(ConfigError, match="more than 50,000 schemas"):
        field_of({"$ref": "#/components/schemas/l0"}, **levels, l10={})


def test_a_long_description():
    """Four megabytes of prose and of fields that nobody uses are read, and kept short."""
    prose = {f"field_{n}": {"type": "string", "description": "word " * 900, "x-order": -n} for n in range(1000)}
    document = described(PROMPT | prose, URI, schemas={f"other_{n}": {"$ref": "#/nowhere"} for n in range(1000)})
    assert len(json.dumps(document)) > 4_000_000
    made = describe_model("owner/name", document)
    assert next(iter(made.schema["properties"])) == "field_999"
    assert len(made.schema["properties"]["field_1"]["description"]) <= 1001
    assert max(map(len, made.notes)) <= 1001
