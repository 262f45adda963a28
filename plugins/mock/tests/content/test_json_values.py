"""Values for JSON Schemas, validated by an independent implementation."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callsheet_mock.content.json_values import UnsatisfiableSchema, example
from callsheet_mock.content.seeds import Seed

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"$ref": "#/$defs/node"},
            },
            "required": ["value"],
        }
    },
    "$ref": "#/$defs/node",
}
EXPRESSION = {
    "definitions": {
        "expression": {"anyOf": [{"$ref": "#/definitions/sum"}, {"$ref": "#/definitions/sum"}, {"type": "number"}]},
        "sum": {
            "type": "object",
            "properties": {"left": {"$ref": "#/definitions/expression"}, "right": {"$ref": "#/definitions/expression"}},
            "required": ["left", "right"],
            "additionalProperties": False,
        },
    },
    "$ref": "#/definitions/expression",
}
SHOT_LIST = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "scenes": {
            "type": "array",
            "minItems": 2,
            "maxItems": 5,
            "items": {
                "type": "object",
                "properties": {
                    "narration": {"type": "string", "minLength": 20},
                    "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 12, "multipleOf": 0.5},
                    "camera": {"enum": ["wide", "close", None]},
                },
                "required": ["narration", "seconds", "camera"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "scenes"],
    "additionalProperties": False,
}
SCHEMAS: list[Any] = [
    True,
    {},
    {"type": "null"},
    {"type": "boolean"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "string"},
    {"type": "array"},
    {"type": "object"},
    {"type": ["string", "null"]},
    {"type": ["integer", "array"]},
    {"enum": [1, "a", None, {"b": []}]},
    {"const": {"a": [1, 2.5]}},
    {"type": "string", "enum": [1, "x"]},
    {"type": "string", "minLength": 300},
    {"type": "string", "maxLength": 5},
    {"type": "string", "minLength": 7, "maxLength": 7},
    {"type": "string", "maxLength": 0},
    {"type": "integer", "minimum": 5, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
    {"type": "integer", "multipleOf": 7, "minimum": 15, "maximum": 27},
    {"type": "integer", "minimum": -3.5, "maximum": -2.5},
    {"type": "integer", "multipleOf": 0.75},
    {"type": "integer", "minimum": 10**20},
    {"type": "number", "multipleOf": 0.01, "minimum": 0.005, "maximum": 0.015},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
    {"type": "number", "minimum": 0.1, "maximum": 0.1},
    {"type": "number", "maximum": -1000.5},
    {"type": "number", "multipleOf": 1000, "minimum": 1},
    {"allOf": [{"multipleOf": 4}, {"multipleOf": 6}, {"minimum": 1, "type": "integer"}]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 12},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}, "minItems": 9, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 60}, "minItems": 60, "uniqueItems": True},
    {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
    {"type": "array", "prefixItems": [{"type": "string"}, {"const": 2}], "items": False},
    {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "number"}, "minItems": 4},
    {"type": "array", "contains": {"const": 5}, "items": {"type": "integer"}, "minItems": 4},
    {
        "type": "array",
        "contains": {"const": 5},
        "items": {"type": "integer"},
        "minContains": 2,
        "maxContains": 2,
        "minItems": 5,
    },
    {"type": "array", "contains": {"type": "string"}, "minContains": 0, "maxItems": 0},
    {"type": "array", "maxItems": 1, "items": False},
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
    {"type": "object", "minProperties": 4, "properties": {"a": {}}},
    {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "minProperties": 3,
        "propertyNames": {"pattern": "^x_[a-z]{3}$"},
    },
    {
        "type": "object",
        "patternProperties": {"^S_": {"type": "string"}, "^I_": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 3,
    },
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1},
    {"type": "object", "properties": {"a": {}, "b": False}},
    {"type": "object", "properties": {"a": {}, "long_name": {}}, "propertyNames": {"maxLength": 3}},
    {"properties": {"card": {"type": "integer"}}, "required": ["card"], "dependentRequired": {"card": ["address"]}},
    {
        "properties": {"card": {}},
        "required": ["card"],
        "dependentSchemas": {"card": {"required": ["zip"], "properties": {"zip": {"type": "integer"}}}},
    },
    {"type": "object", "dependencies": {"a": ["b"], "b": {"required": ["c"]}}, "required": ["a"]},
    {
        "allOf": [
            {"properties": {"a": {"minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer", "maximum": 4}}},
        ],
        "type": "object",
    },
    {"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {"b": {}}}], "type": "object"},
    {"allOf": [{"type": ["string", "number"]}, {"type": ["integer", "null"]}]},
    {"anyOf": [{"type": "string", "minLength": 9, "maxLength": 3}, {"const": 7}]},
    {"anyOf": [False, {"type": "boolean"}]},
    {
        "type": "object",
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        "properties": {"a": {"type": "null"}, "b": {"const": 1}},
    },
    {"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}], "type": "integer", "minimum": 1},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {
        "oneOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}],
        "type": "object",
    },
    {
        "oneOf": [
            {"properties": {"a": {}, "b": {}}, "required": ["a"]},
            {"properties": {"a": {}, "b": {}}, "required": ["b"]},
        ],
        "type": "object",
    },
    {
        "oneOf": [
            {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind", "lives"]},
            {"properties": {"kind": {"const": "dog"}}, "required": ["kind"]},
        ],
        "type": "object",
    },
    {"not": {"type": "string"}},
    {"not": {"enum": [True]}, "type": "boolean"},
    {"type": "object", "properties": {"a": {}, "b": {}}, "not": {"required": ["a"]}},
    {"not": {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "array"}]}},
    {
        "type": "object",
        "properties": {"k": {"enum": ["x", "y"]}, "n": {"type": "integer"}},
        "required": ["k"],
        "if": {"properties": {"k": {"const": "x"}}},
        "then": {"required": ["n"]},
        "else": {"not": {"required": ["n"]}},
    },
    {"type": "integer", "if": {"minimum": 50}, "then": {"multipleOf": 10}, "else": {"maximum": -5}},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    {"type": "string", "pattern": "^[a-z]+$", "minLength": 30, "maxLength": 31},
    {"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "z$"}]},
    {"type": "string", "format": "date-time", "pattern": "^20"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "integer"}}, "$ref": "#/$defs/a"},
    {"$defs": {"a/b~c": {"const": 3}}, "properties": {"x": {"$ref": "#/$defs/a~1b~0c"}}, "required": ["x"]},
    {
        "$defs": {"thing": {"$anchor": "here", "type": "boolean"}},
        "items": {"$ref": "#here"},
        "type": "array",
        "minItems": 1,
    },
    {"$defs": {"positive": {"minimum": 1}}, "$ref": "#/$defs/positive", "type": "integer", "maximum": 1},
    {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
    {
        "type": "object",
        "properties": {"parts": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["parts"],
        "unevaluatedProperties": False,
    },
    TREE,
    EXPRESSION,
    SHOT_LIST,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=[f"{n}-{json.dumps(s)[:60]}" for n, s in enumerate(SCHEMAS)])
def test_values_are_valid(schema: Any) -> None:
    """The values of eight seeds are valid, plain JSON and the same each time."""
    for number in range(8):
        value = example(schema, Seed(bytes([number])))
        jsonschema_rs.validate(schema, value)
        assert json.loads(json.dumps(value)) == value
        assert example(schema, Seed(bytes([number]))) == value


DRAFT_7 = [
    {"type": "array", "items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False, "minItems": 2},
    {"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "null"}, "minItems": 3},
    {"type": "object", "dependencies": {"a": ["b"]}, "properties": {"a": {"type": "integer"}}},
    {
        "definitions": {"n": {"type": "number", "minimum": 2}},
        "properties": {"a": {"$ref": "#/definitions/n"}},
        "required": ["a"],
    },
    {"if": {"type": "string"}, "then": {"maxLength": 3}},
]


@pytest.mark.parametrize("schema", DRAFT_7, ids=lambda schema: json.dumps(schema)[:60])
def test_draft_7_is_understood(schema: dict[str, Any]) -> None:
    """Tuples as items and dependencies, as before 2019."""
    validator = jsonschema_rs.Draft7Validator(schema)
    for number in range(8):
        validator.validate(example(schema, Seed(bytes([number]))))


def test_openapi_3_0_is_understood() -> None:
    """Boolean exclusive bounds hold; nullable does not make a value null."""
    schema = {
        "type": "integer",
        "nullable": True,
        "minimum": 3,
        "exclusiveMinimum": True,
        "maximum": 5,
        "exclusiveMaximum": True,
    }
    assert example(schema, Seed(b"1")) == 4


FORMATS = [
    "date", "time", "date-time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
    "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer", "relative-json-pointer", "regex",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_kept(form: str) -> None:
    """A validator that asserts formats accepts the strings."""
    validator = jsonschema_rs.validator_for({"type": "string", "format": form}, validate_formats=True)
    for number in range(20):
        validator.validate(example({"type": "string", "format": form}, Seed(bytes([number]))))


def test_defaults_and_examples_are_the_last_resort() -> None:
    """A value nobody could guess is taken from the schema."""
    code = {"type": "string", "pattern": "^(?=x)(?=.*y)(?!.*a)(?<=)xq{17}y(?#end)?$"}
    assert example({**code, "examples": ["no", "x" + 17 * "q" + "y"]}, Seed(b"1")) == "x" + 17 * "q" + "y"


UNSATISFIABLE: list[tuple[Any, str]] = [
    (False, "#"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "#"),
    ({"type": "string", "pattern": "^(?!a)a$"}, "#"),
    ({"enum": []}, "#"),
    ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "#"),
    (
        {"type": "object", "properties": {"a/b": {"type": "integer", "const": "x"}}, "required": ["a/b"]},
        "#/properties/a~1b",
    ),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True}, "#/items"),
    ({"type": "object", "required": ["a"], "additionalProperties": False}, "#/additionalProperties"),
    ({"$ref": "https://example.com/other.json"}, "#"),
    ({"$ref": "#/$defs/missing"}, "#"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "#"),
]


@pytest.mark.parametrize(("schema", "pointer"), UNSATISFIABLE, ids=lambda part: json.dumps(part)[:60])
def test_contradictions_are_named(schema: Any, pointer: str) -> None:
    """The error names the place in the schema."""
    with pytest.raises(UnsatisfiableSchema) as caught:
        example(schema, Seed(b"1"))
    assert caught.value.pointer == pointer


@pytest.mark.parametrize("kind", [{"type": "object"}, {}])
def test_endless_required_recursion_ends(kind: dict[str, Any]) -> None:
    """A value that must contain itself is refused, not tried for ever."""
    with pytest.raises(UnsatisfiableSchema):
        example(
            {**kind, "type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
            Seed(b"1"),
        )


def test_the_depth_can_be_limited() -> None:
    """A value deeper than allowed is not made."""
    schema = {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1}}
    with pytest.raises(UnsatisfiableSchema, match="nested more than 1 deep"):
        example(schema, Seed(b"1"), max_depth=1)
    assert example(schema, Seed(b"1"), max_depth=2)


def test_text_fits_the_property_name() -> None:
    """A title is a few words, a narration a sentence."""
    made: Any = example(SHOT_LIST, Seed(b"1"))
    assert len(made["title"].split()) <= 5
    assert made["scenes"][0]["narration"].endswith(".")
    assert made["scenes"][0]["camera"] in ("wide", "close")


NAMES = st.sampled_from(["title", "count", "notes", "a", "b", "c"])


@st.composite
def _integers(draw: st.DrawFn) -> dict[str, Any]:
    low, span, step = draw(st.integers(-50, 50)), draw(st.integers(6, 90)), draw(st.sampled_from([1, 2, 3, 5, 0.5]))
    return {"type": "integer", "minimum": low, "maximum": low + span, "multipleOf": step}


@st.composite
def _numbers(draw: st.DrawFn) -> dict[str, Any]:
    low, span = draw(st.floats(-1e6, 1e6)), draw(st.floats(1, 1e4))
    schema = {"type": "number", "minimum": low, "exclusiveMaximum": low + span}
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([0.5, 0.25, 0.1, 0.01]))
    return schema


@st.composite
def _strings(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.integers(0, 60))
    schema = {"type": "string", "minLength": low, "maxLength": low + draw(st.integers(0, 60))}
    if draw(st.booleans()):
        schema["pattern"] = draw(st.sampled_from(["^[a-f]*$", "^.*$", r"^[\w-]*$", "^([a-z] ?)*$"]))
    return schema


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    members = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": members}
    schema["required"] = draw(st.lists(st.sampled_from(sorted(members)), unique=True)) if members else []
    schema["additionalProperties"] = draw(st.booleans() | inner)
    if schema["additionalProperties"] is not False and draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, 5))
    return schema


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    low = draw(st.integers(0, 3))
    schema: dict[str, Any] = {
        "type": "array",
        "items": draw(inner),
        "minItems": low,
        "maxItems": low + draw(st.integers(0, 3)),
    }
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=2))
    return schema


def _combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    unions = st.lists(inner, min_size=1, max_size=3)
    return unions.map(lambda parts: {"anyOf": parts}) | inner.map(lambda part: {"allOf": [part, {"title": "x"}]})


LEAVES = st.one_of(
    _integers(),
    _numbers(),
    _strings(),
    st.sampled_from(
        [{"type": "null"}, {"type": "boolean"}, {}, True, {"enum": ["a", 1, None]}, {"type": ["null", "string"]}]
    ),
)
ANY_SCHEMA = st.recursive(LEAVES, lambda inner: _objects(inner) | _arrays(inner) | _combined(inner), max_leaves=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_SCHEMA, st.binary(max_size=3))
def test_random_schemas_get_valid_values(schema: Any, data: bytes) -> None:
    """Whatever the combination of keywords, the value is valid."""
    jsonschema_rs.validate(schema, example(schema, Seed(data)))


def test_golden_value() -> None:
    """The values never change."""
    assert (
        json.dumps(example(SHOT_LIST, Seed(b"golden")))[:90]
        == '{"title": "Patient pale wet dust", "scenes": [{"narration": "The young path touches the la'
    )
