"""Values that are valid against a JSON Schema (2020-12, draft 7, and the flavour of OpenAPI 3.0).

A value is made from the demands of the schema, then checked against the schema itself; where that fails the
next way is tried: another branch, another type, fewer optional properties, another draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from .json_arrays import array
from .json_check import Checker
from .json_numbers import number
from .json_objects import object_value
from .json_place import Place
from .json_schema import Document, Schema, UnsatisfiableSchema, items_of
from .json_shapes import Shape, Shapes
from .json_strings import string
from .seeds import Seed

_TYPES: Final = ("string", "object", "array", "integer", "number", "boolean", "null")
_ATTEMPTS: Final = {"string": 12, "object": 3, "array": 4, "integer": 300, "number": 300, "boolean": 2, "null": 1}
_SHAPES: Final = 60  # combinations of branches tried
_BUDGET: Final = 10000  # values made in all, before giving up
_OPTIONAL_BUDGET: Final = 2000  # after so many, optional parts are left out
_OPEN_LEVELS: Final = 3  # nesting to which a recursive schema is followed where that is optional


def example(schema: Schema, seed: Seed, *, max_depth: int = 64) -> object:
    """A JSON value that is valid against the schema.

    Optional properties are filled too, recursive ones only near the root. Raises
    :class:`UnsatisfiableSchema`, which names a JSON pointer, where no value was found.
    """
    builder = _Builder(Document(schema), max_depth)
    return builder.build(schema, seed.fork("json"), Place("#", "", 0, frozenset({"#"})))


class _Builder:
    """Makes the values of one document."""

    def __init__(self, document: Document, max_depth: int) -> None:
        self._document = document
        self._checker = Checker(document)
        self._max_depth = max_depth
        self._made = 0

    def build(self, schema: Schema, seed: Seed, place: Place) -> object:
        """A valid value for the schema at the place."""
        self._made += 1
        if place.depth > self._max_depth:
            raise UnsatisfiableSchema(place.pointer, f"values are nested more than {self._max_depth} deep")
        if self._made > _BUDGET:
            raise UnsatisfiableSchema(place.pointer, "the schema is too large, or too hard to satisfy")
        reason: UnsatisfiableSchema | None = None
        closing = place.active if place.depth >= _OPEN_LEVELS else frozenset[str]()
        for shape in islice(Shapes(self._document, closing, seed).of(schema), _SHAPES):
            again = bool(shape.visited & place.active)
            inner = replace(place, active=place.active | shape.visited, again=again)
            try:
                for value in self._candidates(schema, shape, seed, inner):
                    if self._checker.ok(schema, value):
                        return value
            except UnsatisfiableSchema as error:
                reason = reason or error
        for value in _given(schema):
            if self._checker.ok(schema, value):
                return value
        raise reason or UnsatisfiableSchema(place.pointer, "no valid value was found")

    def may_follow(self, schema: Schema, place: Place) -> bool:
        """Whether to make an optional value: not for ever deeper, and not too many."""
        if self._made > _OPTIONAL_BUDGET:
            return False
        return place.depth < _OPEN_LEVELS or not self._document.reenters(schema, place.active)

    def _candidates(self, schema: Schema, shape: Shape, seed: Seed, place: Place) -> Iterator[object]:
        """Values for the shape, the likely ones first; an error of the last kind tried is raised at the end."""
        if shape.choices is not None:
            start = seed.integer(0, max(0, len(shape.choices) - 1))
            yield from sorted(shape.choices[start:] + shape.choices[:start], key=lambda value: value is None)
            return

        def accepts(made: object) -> bool:
            return self._checker.ok(schema, made)

        reason: UnsatisfiableSchema | None = None
        # Deep in a recursion, a type that ends it comes first.
        ending = place.depth >= _OPEN_LEVELS and place.again
        for kind in _ordered(shape, seed, ending=ending):
            for attempt in range(_ATTEMPTS[kind]):
                try:
                    value = self._make(kind, shape, seed, place, attempt=attempt, accepts=accepts)
                except UnsatisfiableSchema as error:
                    reason = reason or error
                    break
                yield value
        if reason:
            raise reason

    def _make(
        self, kind: str, shape: Shape, seed: Seed, place: Place, *, attempt: int, accepts: Callable[[object], bool]
    ) -> object:
        """One value of a type; ``attempt`` varies it."""
        if kind == "object":
            return object_value(shape, seed.fork(f"object {attempt}"), place, self, accepts)
        if kind == "array":
            return array(shape, seed.fork(f"array {attempt}"), place, self)
        if kind == "boolean":
            return (seed.fork(kind).integer(0, 1) + attempt) % 2 == 0
        if kind == "null":
            return None
        value: object
        if kind == "string":
            value = string(place.name, shape.format, shape.patterns, shape.lengths, seed, offset=attempt)
        else:
            whole = kind == "integer"
            value = number(
                shape.bounds, shape.open_bounds, shape.steps, seed.fork("number"), whole=whole, offset=attempt
            )
        if value is None:
            raise UnsatisfiableSchema(place.pointer, f"no {kind} was found that meets all demands")
        return value


def _ordered(shape: Shape, seed: Seed, *, ending: bool) -> list[str]:
    """The types to try: those the schema names, null last; without any, first those its keywords are about."""
    if shape.kinds is not None:
        named = sorted(shape.kinds & set(_TYPES) - {"null"})
        start = seed.fork("type").integer(0, max(0, len(named) - 1))
        return named[start:] + named[:start] + (["null"] if "null" in shape.kinds else [])
    nothing = Shape()
    hints = {
        "object": (shape.members, shape.patterned, shape.others, shape.names, shape.required, shape.sizes != (0, None)),
        "array": (shape.first, shape.rest, shape.counts != nothing.counts, shape.unique, shape.contains),
        "string": (shape.lengths != nothing.lengths, shape.patterns, shape.format),
        "number": (shape.bounds != nothing.bounds, shape.open_bounds != nothing.open_bounds, shape.steps),
    }
    likely = [kind for kind, signs in hints.items() if any(signs)]
    kinds = likely + [kind for kind in _TYPES if kind not in likely]
    return sorted(kinds, key=lambda kind: kind in ("object", "array")) if ending else kinds


def _given(schema: Schema) -> Iterator[object]:
    """The values a schema shows itself."""
    if not isinstance(schema, bool):
        if "default" in schema:
            yield schema["default"]
        yield from items_of(schema.get("examples"))
        if "example" in schema:
            yield schema["example"]


__all__ = ["UnsatisfiableSchema", "example"]
