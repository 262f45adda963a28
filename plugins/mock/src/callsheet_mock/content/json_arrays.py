"""Arrays for JSON Schema."""

from __future__ import annotations

from .json_place import Builder, Place, all_of
from .json_schema import Schema, UnsatisfiableSchema
from .json_shapes import Shape
from .seeds import Seed


def array(shape: Shape, seed: Seed, place: Place, builder: Builder) -> list[object]:
    """An array of the shape: all elements that have a schema of their own, then a few more."""
    needed: list[Schema] = [part.schema for part in shape.contains for _ in range(part.least)]
    size = _size(shape, len(needed), seed, place, builder)
    # Elements that something must be contained in come after those with a schema of their own, if they can.
    start = min(len(shape.first), max(0, size - len(needed)))
    values: list[object] = []
    for index in range(size):
        own = shape.first[index] if index < len(shape.first) else shape.rest
        demands = list(own)
        if start <= index < start + len(needed):
            demands.append(needed[index - start])
        else:
            demands += [{"not": part.schema} for part in shape.contains if part.most is not None]
        if shape.unique and values:
            demands.append({"not": {"enum": list(values)}})
        part = f"prefixItems/{index}" if index < len(shape.first) else "items"
        try:
            values.append(builder.build(all_of(demands), seed.fork(f"item {index}"), place.inside(part, place.name)))
        except UnsatisfiableSchema:
            if index < max(shape.counts[0], start + len(needed) if needed else 0):
                raise
            break
    return values


def _size(shape: Shape, needed: int, seed: Seed, place: Place, builder: Builder) -> int:
    """How many elements to make."""
    least, most = shape.counts
    size = len(shape.first) + needed
    if False in shape.rest:
        most = len(shape.first) if most is None else min(most, len(shape.first))
    elif not size:
        size = seed.integer(1, 3)
    if most is not None and least > most:
        raise UnsatisfiableSchema(place.pointer, f"at least {least} and at most {most} elements")
    optional = all_of([schema for schemas in (*shape.first, shape.rest) for schema in schemas])
    if not needed and not builder.may_follow(optional, place):
        size = 0
    return max(least, size if most is None else min(size, most))
