"""Where in a document and a value the making of JSON values is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .json_schema import Schema
from .seeds import Seed


@dataclass(frozen=True)
class Place:
    """A schema's pointer, the property name, the nesting, the pointers of the references followed
    so far, and whether one was followed again to get here.
    """

    pointer: str
    name: str
    depth: int
    active: frozenset[str]
    again: bool = False

    def inside(self, part: str, name: str) -> Place:
        """The place of a member or an element."""
        return Place(f"{self.pointer}/{part}", name, self.depth + 1, self.active)


class Builder(Protocol):
    """Makes the values inside objects and arrays."""

    def build(self, schema: Schema, seed: Seed, place: Place) -> object:
        """A valid value for the schema at the place."""

    def may_follow(self, schema: Schema, place: Place) -> bool:
        """Whether to make an optional value."""


def all_of(schemas: Sequence[Schema]) -> Schema:
    """One schema that demands what all do."""
    if len(schemas) == 1:
        return schemas[0]
    return {"allOf": list(schemas)} if schemas else True
