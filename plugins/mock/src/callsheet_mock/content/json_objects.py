"""Objects for JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from .json_place import Builder, Place, all_of
from .json_schema import Schema, UnsatisfiableSchema, escape
from .json_shapes import Shape
from .prose import words
from .regex import matching, searcher
from .seeds import Seed

_NAME_ATTEMPTS: Final = 20  # for each name that is missing
Values = dict[str, object]


def object_value(shape: Shape, seed: Seed, place: Place, builder: Builder, accepts: Callable[[object], bool]) -> Values:
    """An object of the shape: with all optional properties, or those that ``accepts`` lets through."""
    maker = _Members(shape, seed, place, builder)
    needed = maker.required()
    optional = {name: value for name, value in maker.optional() if name not in needed}
    most = shape.sizes[1]
    if most is not None:
        optional = dict(list(optional.items())[: max(0, most - len(needed))])
    full = maker.filled({**needed, **optional})
    if accepts(full):
        return full
    kept = maker.filled(dict(needed))
    for name, value in optional.items():
        trial = maker.filled({**needed, **{key: kept[key] for key in optional if key in kept}, name: value})
        if accepts(trial):
            kept = trial
    if accepts(kept):
        return kept
    for name in optional:
        trial = {key: value for key, value in full.items() if key != name}
        if accepts(trial):
            return trial
    return kept


class _Members:
    """Makes the members of one object."""

    def __init__(self, shape: Shape, seed: Seed, place: Place, builder: Builder) -> None:
        self._shape = shape
        self._seed = seed
        self._place = place
        self._builder = builder
        self._tests = {pattern: searcher(pattern) for pattern in shape.patterned}

    def required(self) -> Values:
        """The members that must be there, and those that these depend on."""
        values: Values = {}
        waiting = list(self._shape.required)
        while waiting:
            name = waiting.pop(0)
            if name not in values:
                values[name] = self._value(name)
                waiting += self._shape.dependent.get(name, ())
        return values

    def optional(self) -> Iterator[tuple[str, object]]:
        """The other members that have a name, where a value can be made; and what they depend on."""
        waiting = [name for name in self._shape.members if name not in self._shape.required]
        seen = set(self._shape.required)
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            if self._builder.may_follow(self._schema(name), self._place):
                try:
                    yield name, self._value(name)
                except UnsatisfiableSchema:
                    continue
                waiting += self._shape.dependent.get(name, ())

    def filled(self, values: Values) -> Values:
        """The members in the schema's order, with invented ones where too few have a name."""
        shape = self._shape
        least, most = shape.sizes
        free = all_of([*shape.others, *(schema for schemas in shape.patterned.values() for schema in schemas)])
        # A map without any named members shows what an entry looks like.
        if not shape.members and not values and most != 0 and not isinstance(free, bool):
            least = max(least, 1) if self._builder.may_follow(free, self._place) else least
        for name in self._invented(max(0, least - len(values)) * _NAME_ATTEMPTS):
            if len(values) >= least:
                break
            if name not in values:
                try:
                    values[name] = self._value(name)
                except UnsatisfiableSchema:
                    continue
        order = [name for name in shape.members if name in values]
        return {name: values[name] for name in dict.fromkeys([*order, *values])}

    def _invented(self, count: int) -> Iterator[str]:
        """Up to ``count`` names, as the schemas of names and the patterns ask for."""
        patterns = list(self._shape.patterned)
        for number in range(count):
            seed = self._seed.fork(f"name {number}")
            if self._shape.names:
                name = self._builder.build(all_of(self._shape.names), seed, self._place.inside("propertyNames", "name"))
            elif patterns and (False in self._shape.others or number % 2 == 0):
                # Ever longer, as a pattern such as '^x_' has only one shortest name.
                pattern = seed.choice(patterns)
                name = matching([pattern], number % 24, None, seed, number) or matching(
                    [pattern], 0, None, seed, number
                )
            else:
                name = words(seed, 1).lower().rstrip(".")
            if isinstance(name, str) and (name in self._shape.members or self._allowed(name)):
                yield name

    def _allowed(self, name: str) -> bool:
        return False not in self._schemas(name)

    def _schemas(self, name: str) -> list[Schema]:
        schemas = list(self._shape.members.get(name, ()))
        for pattern, test in self._tests.items():
            if test is not None and test(name):
                schemas += self._shape.patterned[pattern]
        return schemas or list(self._shape.others)

    def _schema(self, name: str) -> Schema:
        return all_of(self._schemas(name))

    def _value(self, name: str) -> object:
        part = f"properties/{escape(name)}" if name in self._shape.members else "additionalProperties"
        place = self._place.inside(part, name)
        if not self._allowed(name):
            raise UnsatisfiableSchema(place.pointer, f"the property {name!r} is not allowed")
        return self._builder.build(self._schema(name), self._seed.fork(f"member {name}"), place)
