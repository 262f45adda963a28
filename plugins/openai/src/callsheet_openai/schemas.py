"""An output schema on its way to the vendor: strict where its subset of JSON Schema allows, inside of an object always.

Source: the structured outputs guide (platform.openai.com/docs/guides/structured-outputs, "Supported schemas"). Strict mode
wants every property required and no others, and knows few keywords about values. Those it does not know are told to the
model as text: the core checks the answer against the whole schema in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["WRAPPED", "in_words", "is_wrapped", "loosely", "strictly", "why_not_strict"]

WRAPPED = "value"
"""The one property of the object around a schema whose root is no object."""

_KNOWN = frozenset(
    [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "$ref",
        "$defs",
        "definitions",
        "title",
        "description",
        "pattern",
        "format",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    ]
)
_AS_TEXT = frozenset(
    ["minLength", "maxLength", "minProperties", "maxProperties", "uniqueItems", "default", "examples", "example"]
)
_SILENT = frozenset(("$schema", "$id", "$comment"))
_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"])
_MANY = ("properties", "$defs", "definitions")


def is_wrapped(schema: Mapping[str, object]) -> bool:
    """True when the answer is an object around the value: the vendor takes nothing but objects at the root."""
    return schema.get("type") != "object"


def why_not_strict(schema: object, at: str = "the schema") -> str:
    """The first thing that strict mode does not take, or an empty text."""
    if not isinstance(schema, Mapping):
        return f"{at} is not an object of keywords"
    for keyword in schema:
        if keyword not in _KNOWN and keyword not in _AS_TEXT and keyword not in _SILENT:
            return f"{at} uses {keyword}"
    if not any(keyword in schema for keyword in ("type", "anyOf", "$ref")):
        return f"{at} says no type"
    if "properties" in schema or schema.get("type") == "object":
        properties = _table(schema, "properties")
        required = schema.get("required")
        for name in properties:
            if not isinstance(required, Sequence) or name not in required:
                return f"{at}: {name} is not required"
        if schema.get("additionalProperties") is not False:
            return f"{at} allows other properties"
    for place, part in _parts(schema):
        problem = why_not_strict(part, f"{at}/{place}" if at != "the schema" else place)
        if problem:
            return problem
    return ""


def strictly(schema: Mapping[str, object]) -> dict[str, Any]:
    """A schema that `why_not_strict` has nothing against, in the words of strict mode."""
    return _wrapped(_told(schema), schema)


def loosely(schema: Mapping[str, object]) -> dict[str, Any]:
    """Any schema as it is, inside of an object."""
    return _wrapped(dict(schema), schema)


def in_words(schema: Mapping[str, object]) -> str:
    """The wish for JSON as an instruction, for a model without structured output."""
    import json

    text = json.dumps(loosely(schema), ensure_ascii=False, sort_keys=True)
    return f"Answer with one JSON object and nothing else, valid against this JSON Schema:\n{text}"


def _wrapped(sent: dict[str, Any], schema: Mapping[str, object]) -> dict[str, Any]:
    if not is_wrapped(schema):
        return sent
    # references start at the root, so what they refer to moves up
    moved: dict[str, Any] = {name: sent.pop(name) for name in ("$defs", "definitions") if name in sent}
    around: dict[str, Any] = {
        "type": "object",
        "properties": {WRAPPED: sent},
        "required": [WRAPPED],
        "additionalProperties": False,
    }
    return {**around, **moved}


def _told(schema: Mapping[str, object]) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    wishes: list[str] = []
    for keyword, value in schema.items():
        if keyword in _AS_TEXT or (keyword == "format" and value not in _FORMATS):
            wishes.append(f"{keyword}: {value}")
        elif keyword in _MANY and isinstance(value, Mapping):
            sent[keyword] = {name: _told(part) for name, part in value.items()}
        elif keyword == "items" and isinstance(value, Mapping):
            sent[keyword] = _told(value)
        elif keyword == "anyOf" and isinstance(value, Sequence):
            sent[keyword] = [_told(part) for part in value]
        elif keyword not in _SILENT:
            sent[keyword] = value
    if wishes:
        known = schema.get("description")
        sent["description"] = "; ".join([*([known] if isinstance(known, str) and known else []), *wishes])
    if sent.get("type") == "object":
        sent.setdefault("properties", {})
        sent.setdefault("required", [])
    return sent


def _table(schema: Mapping[str, object], keyword: str) -> Mapping[str, object]:
    value = schema.get(keyword, {})
    return value if isinstance(value, Mapping) else {}


def _parts(schema: Mapping[str, object]) -> list[tuple[str, object]]:
    parts = [(str(name), part) for keyword in _MANY for name, part in _table(schema, keyword).items()]
    if "items" in schema:
        parts.append(("items", schema["items"]))
    several = schema.get("anyOf", ())
    if isinstance(several, Sequence) and not isinstance(several, str):
        parts += [(f"anyOf/{number}", part) for number, part in enumerate(several)]
    return parts
