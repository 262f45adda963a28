"""Structured answers of the counterpart are valid by the schema that was asked for."""

from __future__ import annotations

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet_openai.schemas import strictly, why_not_strict
from callsheet_openai.testing.schema_values import example

BOUND = st.integers(-50, 50)


def numbers(low: int, width: int, step: int | None, kind: str) -> dict:
    """A number within limits that have a multiple of the step between them."""
    schema = {"type": kind, "minimum": low, "maximum": low + width}
    return {**schema, "multipleOf": step} if step and step <= width else schema


LEAVES = st.one_of(
    st.builds(
        numbers, BOUND, st.integers(2, 40), st.none() | st.integers(1, 9), st.sampled_from(["integer", "number"])
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}, BOUND),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, *[st.integers(0, 9)] * 2
    ),
    st.sampled_from(["date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["ash", 2]}, {"const": 3}]),
    st.just({"type": ["string", "null"]}),
)


def objects(properties: dict) -> dict:
    """An object as strict mode wants it."""
    whole = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {**whole, "additionalProperties": False}


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abcd"), inner, max_size=3).map(objects),
        st.builds(
            lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: {"anyOf": ways}),
    ),
    max_leaves=8,
)


def valid(value: object, schema: dict) -> bool:
    """As the core checks an answer."""
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(value)


@given(SCHEMAS)
def test_the_value_is_valid(schema):
    """Limits, steps, formats, alternatives and whatever is nested in what."""
    assert valid(example(schema), schema)


@given(st.dictionaries(st.sampled_from("abcd"), SCHEMAS, max_size=3).map(objects))
def test_what_strict_mode_sends_is_answered(schema):
    """The schema as the plugin sends it, where strict mode takes it."""
    sent = strictly(schema) if not why_not_strict(schema) else schema
    assert valid(example(sent), sent)


NODE = objects({"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}})
LOOPS = {
    "a list of itself": {**objects({"parts": {"type": "array", "items": {"$ref": "#"}}})},
    "a chain": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "an optional self": {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"$ref": "#"}},
        "required": ["x"],
    },
    "parts together": {
        "allOf": [
            {"$ref": "#/$defs/a"},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ],
        "$defs": {"a": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
    },
    "nothing said": {},
    "an object of nothing": {"type": "object"},
}


@pytest.mark.parametrize("name", LOOPS)
def test_references_and_loops_end(name):
    """A schema that refers to itself has a finite answer."""
    assert valid(example(LOOPS[name]), LOOPS[name])
