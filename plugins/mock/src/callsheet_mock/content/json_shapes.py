"""A schema and what it refers to, allows and combines, merged into one flat set of demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from .json_check import tuple_items
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
)
from .seeds import Seed

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_DEPTH: Final = 40  # schemas inside each other for one value (allOf in anyOf in ...)


@dataclass(frozen=True)
class Contains:
    """What some elements of an array must be, and how many."""

    schema: Schema
    least: int
    most: int | None


@dataclass(frozen=True)
class Shape:
    """Demands on one value; None and empty mean no demand."""

    kinds: frozenset[str] | None = None
    choices: tuple[object, ...] | None = None
    bounds: tuple[Fraction | None, Fraction | None] = (None, None)  # inclusive
    open_bounds: tuple[Fraction | None, Fraction | None] = (None, None)  # exclusive
    steps: tuple[Fraction, ...] = ()
    lengths: tuple[int, int | None] = (0, None)
    patterns: tuple[str, ...] = ()
    format: str | None = None
    members: Mapping[str, tuple[Schema, ...]] = field(default_factory=dict)
    patterned: Mapping[str, tuple[Schema, ...]] = field(default_factory=dict)
    others: tuple[Schema, ...] = ()
    names: tuple[Schema, ...] = ()
    required: tuple[str, ...] = ()
    dependent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: tuple[int, int | None] = (0, None)  # members of an object
    first: tuple[tuple[Schema, ...], ...] = ()
    rest: tuple[Schema, ...] = ()
    counts: tuple[int, int | None] = (0, None)  # elements of an array
    unique: bool = False
    contains: tuple[Contains, ...] = ()
    visited: frozenset[str] = frozenset()  # pointers of the references followed


def _tighter(first: tuple[int, int | None], second: tuple[int, int | None]) -> tuple[int, int | None]:
    highs = [high for high in (first[1], second[1]) if high is not None]
    return max(first[0], second[0]), min(highs, default=None)


def _bounds(
    first: tuple[Fraction | None, Fraction | None], second: tuple[Fraction | None, Fraction | None]
) -> tuple[Fraction | None, Fraction | None]:
    lows = [low for low in (first[0], second[0]) if low is not None]
    highs = [high for high in (first[1], second[1]) if high is not None]
    return max(lows, default=None), min(highs, default=None)


def _joined(
    first: Mapping[str, tuple[Schema, ...]], second: Mapping[str, tuple[Schema, ...]]
) -> dict[str, tuple[Schema, ...]]:
    return {name: (*first.get(name, ()), *second.get(name, ())) for name in (*first, *second)}


def _kinds(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    if first is None or second is None:
        return first if second is None else second
    # An integer is a number.
    return frozenset(
        kind
        for kind in first | second
        if all(kind in side or (kind == "integer" and "number" in side) for side in (first, second))
    )


def _choices(first: Shape, second: Shape) -> tuple[object, ...] | None:
    if first.choices is None or second.choices is None:
        return first.choices if second.choices is None else second.choices
    allowed = {canonical(value) for value in second.choices}
    return tuple(value for value in first.choices if canonical(value) in allowed)


def merge(first: Shape, second: Shape) -> Shape:
    """The demands of both."""
    length = max(len(first.first), len(second.first))

    def element(number: int) -> tuple[Schema, ...]:
        sides = (side.first[number] if number < len(side.first) else side.rest for side in (first, second))
        return tuple(schema for schemas in sides for schema in schemas)

    return Shape(
        kinds=_kinds(first.kinds, second.kinds),
        choices=_choices(first, second),
        bounds=_bounds(first.bounds, second.bounds),
        open_bounds=_bounds(first.open_bounds, second.open_bounds),
        steps=first.steps + second.steps,
        lengths=_tighter(first.lengths, second.lengths),
        patterns=first.patterns + second.patterns,
        format=first.format or second.format,
        members=_joined(first.members, second.members),
        patterned=_joined(first.patterned, second.patterned),
        others=first.others + second.others,
        names=first.names + second.names,
        required=tuple(dict.fromkeys(first.required + second.required)),
        dependent={
            name: (*first.dependent.get(name, ()), *second.dependent.get(name, ()))
            for name in (*first.dependent, *second.dependent)
        },
        sizes=_tighter(first.sizes, second.sizes),
        first=tuple(element(number) for number in range(length)),
        rest=first.rest + second.rest,
        counts=_tighter(first.counts, second.counts),
        unique=first.unique or second.unique,
        contains=first.contains + second.contains,
        visited=first.visited | second.visited,
    )


def _range(schema: Mapping[str, object], low: str, high: str) -> tuple[int, int | None]:
    return count_of(schema, low) or 0, count_of(schema, high)


def _own(schema: Mapping[str, object]) -> Shape:
    """The demands a schema makes itself."""
    kinds = schema.get("type")
    choices: tuple[object, ...] | None = None
    if "const" in schema:
        choices = (schema["const"],)
    elif "enum" in schema:
        choices = tuple(items_of(schema["enum"]))
    low, high = exact(schema.get("minimum")), exact(schema.get("maximum"))
    over, under = exact(schema.get("exclusiveMinimum")), exact(schema.get("exclusiveMaximum"))
    step, pattern, form = exact(schema.get("multipleOf")), schema.get("pattern"), schema.get("format")
    shape = Shape(
        kinds=frozenset({kinds} if isinstance(kinds, str) else names_of(kinds)) if kinds is not None else None,
        choices=choices,
        bounds=(low, high),
        # Up to draft 4 and in OpenAPI 3.0 the exclusive keywords are booleans.
        open_bounds=(
            low if schema.get("exclusiveMinimum") is True else over,
            high if schema.get("exclusiveMaximum") is True else under,
        ),
        steps=(step,) if step else (),
        lengths=_range(schema, "minLength", "maxLength"),
        patterns=(pattern,) if isinstance(pattern, str) else (),
        format=form if isinstance(form, str) else None,
    )
    return _with_arrays(_with_objects(shape, schema), schema)


def _with_objects(shape: Shape, schema: Mapping[str, object]) -> Shape:
    dependencies = {**mapping_of(schema.get("dependencies")), **mapping_of(schema.get("dependentRequired"))}
    return replace(
        shape,
        members={name: (as_schema(part),) for name, part in mapping_of(schema.get("properties")).items()},
        patterned={name: (as_schema(part),) for name, part in mapping_of(schema.get("patternProperties")).items()},
        others=(as_schema(schema["additionalProperties"]),) if "additionalProperties" in schema else (),
        names=(as_schema(schema["propertyNames"]),) if "propertyNames" in schema else (),
        required=tuple(names_of(schema.get("required"))),
        dependent={name: tuple(names_of(needed)) for name, needed in dependencies.items() if is_list(needed)},
        sizes=_range(schema, "minProperties", "maxProperties"),
    )


def _with_arrays(shape: Shape, schema: Mapping[str, object]) -> Shape:
    first, rest = tuple_items(schema)
    contains: tuple[Contains, ...] = ()
    if "contains" in schema:
        least = count_of(schema, "minContains")
        most = count_of(schema, "maxContains")
        contains = (Contains(as_schema(schema["contains"]), 1 if least is None else least, most),)
    return replace(
        shape,
        first=tuple((as_schema(part),) for part in first),
        rest=() if rest is True else (as_schema(rest),),
        counts=_range(schema, "minItems", "maxItems"),
        unique=schema.get("uniqueItems") is True,
        contains=contains,
    )


_Group = Callable[[], Iterator[Shape]]


class Shapes:
    """The ways to satisfy a schema, as far as its combining keywords tell."""

    def __init__(self, document: Document, active: frozenset[str], seed: Seed) -> None:
        self._document = document
        self._active = active  # branches that lead back here come last
        self._seed = seed

    def of(self, schema: Schema, trail: tuple[str, ...] = (), depth: int = 0) -> Iterator[Shape]:
        """One shape for each choice of branches; ``trail`` are the references followed on the way here."""
        if isinstance(schema, bool) or depth > _DEPTH:
            if schema is True:
                yield Shape()
            return
        groups = [*self._references(schema, trail, depth), *self._combinations(schema, trail, depth)]
        yield from _product(_own(schema), groups)

    def _references(self, schema: Mapping[str, object], trail: tuple[str, ...], depth: int) -> Iterator[_Group]:
        for key in _REFERENCES:
            reference = schema.get(key)
            if isinstance(reference, str):
                pointer, target = self._document.resolve(reference)
                if pointer not in trail:
                    yield self._followed(pointer, target, trail, depth)

    def _followed(self, pointer: str, target: Schema, trail: tuple[str, ...], depth: int) -> _Group:
        def group() -> Iterator[Shape]:
            for shape in self.of(target, (*trail, pointer), depth + 1):
                yield replace(shape, visited=shape.visited | {pointer})

        return group

    def _combinations(self, schema: Mapping[str, object], trail: tuple[str, ...], depth: int) -> Iterator[_Group]:
        for part in items_of(schema.get("allOf")):
            yield self._union((part,), trail, depth)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                yield self._union(self._ordered(items_of(schema[key]), depth), trail, depth)
        if "if" in schema:
            # A value that fails the condition is found by trying: there is no shape for "not".
            both = {"allOf": [schema["if"], schema.get("then", True)]}
            yield self._union((both, schema.get("else", True)), trail, depth)
        for key in ("dependentSchemas", "dependencies"):
            for part in mapping_of(schema.get(key)).values():
                if not is_list(part):
                    yield self._union((part, True), trail, depth)

    def _union(self, parts: Sequence[object], trail: tuple[str, ...], depth: int) -> _Group:
        def group() -> Iterator[Shape]:
            for part in parts:
                yield from self.of(as_schema(part), trail, depth + 1)

        return group

    def _ordered(self, parts: list[object], depth: int) -> list[object]:
        """The branches from one the seed chooses on."""
        if not parts:
            return parts
        start = self._seed.fork(f"branch {depth}").integer(0, len(parts) - 1)
        turned = parts[start:] + parts[:start]
        turned.sort(key=lambda part: part == {"type": "null"})
        return sorted(turned, key=lambda part: self._document.reenters(part, self._active)) if self._active else turned


def _product(shape: Shape, groups: Sequence[_Group]) -> Iterator[Shape]:
    """The shape merged with one of each group, in all combinations."""
    if not groups:
        yield shape
        return
    for other in groups[0]():
        merged = merge(shape, other)
        if merged.kinds != frozenset() and merged.choices != ():
            yield from _product(merged, groups[1:])
