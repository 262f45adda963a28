"""Whether a JSON value is valid: the assertions of JSON Schema 2020-12 and draft 7, and OpenAPI's nullable.

Formats and the unevaluated keywords are not asserted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .json_schema import (
    Document,
    Schema,
    as_schema,
    canonical,
    count_of,
    exact,
    is_list,
    items_of,
    mapping_of,
    names_of,
    type_names,
)
from .regex import searcher

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class Checker:
    """Checks values against schemas of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def ok(self, schema: Schema, value: object, trail: frozenset[str] = frozenset()) -> bool:
        """Whether the value is valid; ``trail`` are the references followed for this same value."""
        if isinstance(schema, bool):
            return schema
        if value is None and schema.get("nullable") is True:
            return True
        return (
            self._typed(schema, value)
            and self._combined(schema, value, trail)
            and (not isinstance(value, str) or self._string(schema, value))
            and self._number(schema, value)
            and (not isinstance(value, Mapping) or self._object(schema, value))
            and (not is_list(value) or self._array(schema, items_of(value)))
        )

    def _typed(self, schema: Mapping[str, object], value: object) -> bool:
        kinds = schema.get("type")
        if kinds is not None and type_names(value).isdisjoint(names_of(kinds if is_list(kinds) else [kinds])):
            return False
        if "const" in schema and canonical(schema["const"]) != canonical(value):
            return False
        return "enum" not in schema or canonical(value) in [canonical(item) for item in items_of(schema["enum"])]

    def _combined(self, schema: Mapping[str, object], value: object, trail: frozenset[str]) -> bool:
        for key in _REFERENCES:
            reference = schema.get(key)
            if isinstance(reference, str):
                pointer, target = self._document.resolve(reference)
                if pointer not in trail and not self.ok(target, value, trail | {pointer}):
                    return False

        def holds(part: object) -> bool:
            return self.ok(as_schema(part), value, trail)

        if not all(holds(part) for part in items_of(schema.get("allOf"))):
            return False
        if "anyOf" in schema and not any(holds(part) for part in items_of(schema["anyOf"])):
            return False
        if "oneOf" in schema and sum(holds(part) for part in items_of(schema["oneOf"])) != 1:
            return False
        if "not" in schema and holds(schema["not"]):
            return False
        return "if" not in schema or holds(schema.get("then" if holds(schema["if"]) else "else", True))

    def _string(self, schema: Mapping[str, object], value: str) -> bool:
        low, high = count_of(schema, "minLength"), count_of(schema, "maxLength")
        if (low is not None and len(value) < low) or (high is not None and len(value) > high):
            return False
        pattern = schema.get("pattern")
        return not isinstance(pattern, str) or _found(pattern, value)

    def _number(self, schema: Mapping[str, object], value: object) -> bool:
        number = exact(value)
        if number is None:
            return True
        low, high = exact(schema.get("minimum")), exact(schema.get("maximum"))
        over, under = exact(schema.get("exclusiveMinimum")), exact(schema.get("exclusiveMaximum"))
        step = exact(schema.get("multipleOf"))
        # Up to draft 4 and in OpenAPI 3.0 the exclusive keywords are booleans.
        if schema.get("exclusiveMinimum") is True:
            over = low
        if schema.get("exclusiveMaximum") is True:
            under = high
        return (
            (low is None or number >= low)
            and (high is None or number <= high)
            and (over is None or number > over)
            and (under is None or number < under)
            and (not step or number % step == 0)
        )

    def _object(self, schema: Mapping[str, object], value: Mapping[str, object]) -> bool:
        low, high = count_of(schema, "minProperties"), count_of(schema, "maxProperties")
        if (low is not None and len(value) < low) or (high is not None and len(value) > high):
            return False
        if any(name not in value for name in names_of(schema.get("required"))):
            return False
        if "propertyNames" in schema and not all(self.ok(as_schema(schema["propertyNames"]), name) for name in value):
            return False
        return self._members(schema, value) and self._dependent(schema, value)

    def _members(self, schema: Mapping[str, object], value: Mapping[str, object]) -> bool:
        named, patterned = mapping_of(schema.get("properties")), mapping_of(schema.get("patternProperties"))
        for name, item in value.items():
            parts = [named[name]] if name in named else []
            parts += [part for pattern, part in patterned.items() if _found(pattern, name)]
            parts = parts or [schema.get("additionalProperties", True)]
            if not all(self.ok(as_schema(part), item) for part in parts):
                return False
        return True

    def _dependent(self, schema: Mapping[str, object], value: Mapping[str, object]) -> bool:
        for key in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, needed in mapping_of(schema.get(key)).items():
                if name not in value:
                    continue
                if is_list(needed):
                    if any(other not in value for other in names_of(needed)):
                        return False
                elif not self.ok(as_schema(needed), value):
                    return False
        return True

    def _array(self, schema: Mapping[str, object], value: list[object]) -> bool:
        low, high = count_of(schema, "minItems"), count_of(schema, "maxItems")
        if (low is not None and len(value) < low) or (high is not None and len(value) > high):
            return False
        if schema.get("uniqueItems") is True and len({canonical(item) for item in value}) < len(value):
            return False
        first, rest = tuple_items(schema)
        for number, item in enumerate(value):
            if not self.ok(as_schema(first[number] if number < len(first) else rest), item):
                return False
        if "contains" not in schema:
            return True
        found = sum(self.ok(as_schema(schema["contains"]), item) for item in value)
        least, most = count_of(schema, "minContains"), count_of(schema, "maxContains")
        return found >= (1 if least is None else least) and (most is None or found <= most)


def _found(pattern: str, text: str) -> bool:
    """Whether the pattern is found; one that cannot be read never is."""
    test = searcher(pattern)
    return test is not None and test(text)


def tuple_items(schema: Mapping[str, object]) -> tuple[list[object], object]:
    """The schemas of the first elements and of the rest, in the keywords of 2020-12 or of draft 7."""
    items = schema.get("items", True)
    if is_list(items):
        return items_of(items), schema.get("additionalItems", True)
    return items_of(schema.get("prefixItems")), items
