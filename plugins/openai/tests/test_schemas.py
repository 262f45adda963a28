"""Output schemas on their way to strict mode."""

from __future__ import annotations

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet_openai.schemas import is_wrapped, loosely, strictly, why_not_strict


def closed(**properties):
    """An object as strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (closed(x=TEXT), ""),
        (closed(x={"type": "string", "maxLength": 3, "format": "uri"}), ""),
        (closed(x={"type": ["string", "null"]}, y={"anyOf": [TEXT, closed(z=TEXT)]}), ""),
        ({**closed(x={"$ref": "#/$defs/N"}), "$defs": {"N": closed(y=TEXT)}}, ""),
        ({"type": "array", "items": closed(x=TEXT)}, ""),
        ({**closed(x=TEXT), "required": []}, "the schema: x is not required"),
        ({"type": "object"}, "the schema allows other properties"),
        (closed(x={"type": "object", "properties": {}}), "x allows other properties"),
        (closed(x={"type": "array", "items": {"type": "object"}}), "x/items allows other properties"),
        (closed(x={"oneOf": [TEXT]}), "x uses oneOf"),
        (closed(x={"type": "string", "if": {}}), "x uses if"),
        (closed(x={"enum": [1]}), "x says no type"),
        (closed(x=True), "x is not an object of keywords"),
        (closed(x={"anyOf": [TEXT, {"allOf": [TEXT]}]}), "x/anyOf/1 uses allOf"),
    ],
)
def test_strict_mode(schema, problem):
    """What strict mode does not take is found, and told with its place."""
    assert why_not_strict(schema) == problem


def test_unknown_keywords_are_told():
    """Keywords about values that strict mode does not know stand in the description; nothing else changes."""
    given = closed(x={"type": "string", "description": "A name", "maxLength": 3, "pattern": "a"}, y=TEXT)
    sent = strictly({"$schema": "https://json-schema.org/draft/2020-12/schema", **given})
    assert sent == closed(x={"type": "string", "pattern": "a", "description": "A name; maxLength: 3"}, y=TEXT)
    assert given["properties"]["x"]["maxLength"] == 3


def test_property_called_as_a_keyword():
    """A property may have any name, that of a keyword too."""
    schema = closed(maxLength=TEXT, oneOf=TEXT)
    assert why_not_strict(schema) == ""
    assert strictly(schema) == schema


def test_root_that_is_no_object():
    """The vendor takes only objects: another root is a property, and what it refers to stays where it is looked for."""
    schema = {"$ref": "#/$defs/N", "$defs": {"N": closed(next={"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]})}}
    sent = strictly(schema)
    assert is_wrapped(schema)
    assert sent == {**closed(value={"$ref": "#/$defs/N"}), "$defs": schema["$defs"]}
    assert jsonschema_rs.is_valid(sent, {"value": {"next": {"next": None}}})
    assert not jsonschema_rs.is_valid(sent, {"value": {"next": 1}})


leaves = st.sampled_from(
    [TEXT, {"type": "integer", "minimum": 1}, {"type": "string", "maxLength": 2}, {"type": ["boolean", "null"]}]
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda named: closed(**named)),
        st.lists(inner, min_size=1, max_size=2).map(lambda several: {"anyOf": several}),
    ),
    max_leaves=6,
)


@given(schemas)
def test_strict_schemas_stay_strict(schema):
    """Whatever is sent in strict mode is itself what strict mode takes, with an object at the root."""
    assert why_not_strict(schema) == ""
    sent = strictly(schema)
    assert why_not_strict(sent) == ""
    assert sent["type"] == "object"
    assert loosely(schema)["type"] == "object"
