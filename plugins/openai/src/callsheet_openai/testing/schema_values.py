"""A value that a JSON Schema accepts, for the keywords that structured outputs know (but `pattern`)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any

__all__ = ["example"]

_FORMATS = {
    "date-time": "2026-01-01T12:00:00Z",
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_DEEPEST = 6
"""From this depth on, of several ways the one is taken that ends soonest: schemas may refer to themselves."""


def example(schema: object, root: object = None, depth: int = 0) -> Any:
    """The value; references are looked up in `root`, else in the schema itself."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping):
        return None
    if "$ref" in schema:
        return example({**_referred(str(schema["$ref"]), root), **_but(schema, "$ref")}, root, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            ways = [each for each in schema[word] if isinstance(each, Mapping)]
            way = min(ways, key=_weight) if depth >= _DEEPEST else ways[0]
            return example({**_but(schema, word), **way}, root, depth)
    if "allOf" in schema:
        parts = [_referred(each["$ref"], root) if "$ref" in each else each for each in schema["allOf"]]
        return example(_together([_but(schema, "allOf"), *parts]), root, depth)
    return _of_kind(schema, root, depth)


def _of_kind(schema: Mapping[str, Any], root: object, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if not isinstance(kind, str):
        kind = "null" if depth >= _DEEPEST and "null" in kind else kind[0]
    match kind:
        case "object":
            wanted = schema.get("required", ()) if depth >= _DEEPEST else schema.get("properties", {})
            return {name: example(schema["properties"][name], root, depth + 1) for name in wanted}
        case "array":
            count = max(schema.get("minItems", 0), min(1, schema.get("maxItems", 1)) if depth < _DEEPEST else 0)
            return [example(schema.get("items", {}), root, depth + 1) for _ in range(count)]
        case "string":
            text = _FORMATS.get(schema.get("format", ""), "lava" * max(1, ceil(schema.get("minLength", 1) / 4)))
            return text[: schema.get("maxLength", len(text))]
        case "integer":
            return int(_number(schema, whole=True))
        case "number":
            return _number(schema, whole=False)
        case "boolean":
            return True
    return None


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    """1, or the number nearest to it that the limits and the step allow."""
    step = schema.get("multipleOf") or (1 if whole else None)
    apart = step or 2**-10
    low = max(schema.get("minimum", -1e15), schema.get("exclusiveMinimum", -1e15) + apart)
    high = min(schema.get("maximum", 1e15), schema.get("exclusiveMaximum", 1e15) - apart)
    wish: float = min(max(1, low), high)
    if not step:
        return wish
    times: int = ceil(wish / step) if ceil(wish / step) * step <= high else floor(wish / step)
    return float(times * step)


def _referred(reference: str, root: object) -> Mapping[str, Any]:
    """The part that a reference names; an empty schema where there is none."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _weight(schema: Mapping[str, Any]) -> int:
    """How far a way is from its end."""
    if "$ref" in schema:
        return 3
    kind = schema.get("type", "object")
    return {"object": 3 if schema.get("properties") else 1, "array": 2}.get(kind if isinstance(kind, str) else "", 0)


def _but(schema: Mapping[str, Any], word: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != word}


def _together(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            known = whole.get(name)
            if isinstance(value, Mapping) and isinstance(known, Mapping):
                whole[name] = {**known, **value}
            elif name == "required" and known:
                whole[name] = [*known, *value]
            else:
                whole[name] = value
    return whole
