"""A part of a model's OpenAPI document as plain JSON Schema 2020-12: no references, no OpenAPI 3.0 words, within limits.

OpenAPI 3.0 (spec.openapis.org/oas/v3.0.3, "Schema Object") has `nullable` and a Boolean `exclusiveMinimum`; the
documents that Cog writes put every enumeration behind `allOf: [{$ref}]` and order fields by `x-order`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from callsheet.plugin import ConfigError, excerpt

__all__ = ["PlainSchemas", "fields_of", "type_of"]

MOST_NODES = 50_000
"""Schemas and values that one description may come to when every reference is written out."""
DEEPEST = 40
LONGEST_PROSE = 1000
_LARGEST = 1 << 64

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_ONE_OF_MANY = ("anyOf", "oneOf")
_PROSE = ("title", "description", "format")

Node = Mapping[str, Any]


class PlainSchemas:
    """Writes out schemas of one document. `what` names the document in errors; the limits are for all of it together."""

    def __init__(self, document: Node, what: str) -> None:
        self._document = document
        self._what = what
        self._left = MOST_NODES

    def plain(self, node: object, trail: tuple[str, ...] = (), depth: int = 0) -> dict[str, Any]:
        """The schema without references. A default of null is left out: a field that is not given says the same.

        Raises ConfigError for a reference that leads nowhere, to itself or out of the document, and beyond the limits.
        """
        self._count(depth)
        if not isinstance(node, Mapping):
            return {}
        made: dict[str, Any] = {}
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in trail:
                raise self._error(f"has a schema that contains itself: {reference}")
            made = self.plain(self._target(reference), (*trail, reference), depth + 1)
        for each in _listed(node, "allOf"):
            made = _merged(made, self.plain(each, trail, depth + 1))
        made = _merged(made, self._own(node, trail, depth))
        for word in _ONE_OF_MANY:
            if word in node:
                made = self._alternatives(made, _listed(node, word), trail, depth)
        return _with_null(made) if node.get("nullable") is True else made

    def _own(self, node: Node, trail: tuple[str, ...], depth: int) -> dict[str, Any]:
        """The node's own words, as far as they mean something here."""
        made: dict[str, Any] = {}
        kinds = [each for each in _words(node.get("type")) if each in _TYPES]
        if kinds:
            made["type"] = kinds[0] if len(kinds) == 1 else kinds
        for word in _PROSE:
            if isinstance(node.get(word), str):
                made[word] = excerpt(node[word], LONGEST_PROSE)
        offered = [self._value(each, depth) for each in _listed(node, "enum")]
        if offered:
            made["enum"] = offered
        if node.get("default") is not None:
            made["default"] = self._value(node["default"], depth)
        if node.get("deprecated") is True:
            made["deprecated"] = True
        made |= _limits(node)
        if "items" in node:
            made["items"] = self.plain(node["items"], trail, depth + 1)
        properties = node.get("properties")
        if isinstance(properties, Mapping):
            ordered = sorted(properties.items(), key=lambda pair: _order(pair[1]))
            made["properties"] = {str(name): self.plain(each, trail, depth + 1) for name, each in ordered}
        required = dict.fromkeys(each for each in _listed(node, "required") if isinstance(each, str))
        if required:
            made["required"] = list(required)
        closed = node.get("additionalProperties")
        if isinstance(closed, Mapping):
            made["additionalProperties"] = self.plain(closed, trail, depth + 1)
        elif closed is False:
            made["additionalProperties"] = False
        return made

    def _alternatives(
        self, made: dict[str, Any], nodes: list[Any], trail: tuple[str, ...], depth: int
    ) -> dict[str, Any]:
        """One of several; one thing or null is that thing with null."""
        plain = [self.plain(each, trail, depth + 1) for each in nodes]
        given = [each for each in plain if each.get("type") != "null"]
        if given and _alike(given):
            whole = _merged(next((each for each in given if "format" in each), given[0]), made)
            return whole if len(plain) == len(given) else _with_null(whole)
        return {**made, "anyOf": plain} if given else made

    def _target(self, reference: str) -> object:
        """What a JSON pointer (RFC 6901) leads to."""
        if not reference.startswith("#/"):
            raise self._error(f"refers to another document: {reference}")
        node: object = self._document
        for part in reference[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or name not in node:
                raise self._error(f"refers to what it does not have: {reference}")
            node = node[name]
        return node

    def _value(self, value: object, depth: int) -> object:
        """A value of an enumeration or a default. JSON knows no infinity, though Python reads it."""
        self._count(depth)
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(f"has the number {value}")
        if isinstance(value, Mapping):
            return {str(key): self._value(each, depth + 1) for key, each in value.items()}
        return [self._value(each, depth + 1) for each in value] if isinstance(value, list) else value

    def _count(self, depth: int) -> None:
        self._left -= 1
        if depth > DEEPEST:
            raise self._error(f"is nested more than {DEEPEST} levels deep")
        if self._left < 0:
            raise self._error(f"comes to more than {MOST_NODES:,} schemas and values")

    def _error(self, problem: str) -> ConfigError:
        return ConfigError(f"the description of {self._what} {excerpt(problem, 300)}")


def fields_of(schema: Node) -> Mapping[str, Node]:
    """The schemas of an object's properties; empty for anything else."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def type_of(schema: Node) -> str:
    """The one type of a value that is not null; empty where there are several, or none is said."""
    kinds = [each for each in _words(schema.get("type")) if each != "null"]
    return kinds[0] if len(kinds) == 1 else ""


def _with_null(made: dict[str, Any]) -> dict[str, Any]:
    """The schema, for null as well."""
    kinds = _words(made.get("type"))
    null: dict[str, Any] = {"type": [*kinds, "null"]} if kinds and "null" not in kinds else {}
    if "enum" in made and None not in made["enum"]:
        null["enum"] = [*made["enum"], None]
    return {**made, **null}


def _merged(one: dict[str, Any], other: Node) -> dict[str, Any]:
    """Both, as `allOf` means it where they do not contradict each other; else what was said later."""
    made = {**one, **other}
    if "properties" in one and "properties" in other:
        made["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        made["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return made


def _alike(schemas: list[dict[str, Any]]) -> bool:
    """True when all take the same values: Cog's `Path | str` is a text of the format `uri` or any text."""
    checked = [{word: value for word, value in each.items() if word not in _PROSE} for each in schemas]
    formats = {each["format"] for each in schemas if "format" in each}
    return all(each == checked[0] for each in checked) and len(formats) <= 1


def _limits(node: Node) -> dict[str, Any]:
    made: dict[str, Any] = {word: node[word] for word in _NUMBERS if _is_number(node.get(word))}
    if made.get("multipleOf", 1) <= 0:
        del made["multipleOf"]
    for word in ("minimum", "maximum"):
        strict = f"exclusive{word.capitalize()}"
        if node.get(strict) is True and word in made:
            made[strict] = made.pop(word)
    for word in _COUNTS:
        if isinstance(node.get(word), int) and node[word] >= 0:
            made[word] = int(node[word])
    if node.get("uniqueItems") is True:
        made["uniqueItems"] = True
    return made


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST


def _order(node: object) -> float:
    """Fields in the order of the model's own page; those that have none come last."""
    place = node.get("x-order") if isinstance(node, Mapping) else None
    return place if isinstance(place, (int, float)) and _is_number(place) else math.inf


def _words(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [each for each in _list(value) if isinstance(each, str)]


def _listed(node: Node, word: str) -> list[Any]:
    return _list(node.get(word))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
