"""Reading JSON Schema documents: types, exact numbers, equality, references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from urllib.parse import unquote

Schema = Mapping[str, object] | bool


class UnsatisfiableSchema(ValueError):
    """No value could be made for a schema; the message names the place as a JSON pointer."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer or '#'}: {reason}")
        self.pointer = pointer or "#"
        self.reason = reason


def as_schema(value: object, pointer: str = "#") -> Schema:
    """The value as a schema."""
    if isinstance(value, (bool, Mapping)):
        return value
    raise UnsatisfiableSchema(pointer, f"a schema must be an object or a boolean, not {type(value).__name__}")


def is_list(value: object) -> bool:
    """Whether the value is a JSON array."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def items_of(value: object) -> list[object]:
    """The elements of a JSON array; of anything else none."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else []


def mapping_of(value: object) -> Mapping[str, object]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def names_of(value: object) -> list[str]:
    """The strings of a JSON array."""
    return [item for item in items_of(value) if isinstance(item, str)]


def exact(value: object) -> Fraction | None:
    """A JSON number as the decimal it is written as (0.1 is a tenth); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float):
        return Fraction(repr(value)) if value - value == 0 else None
    return Fraction(value)


def count_of(schema: Mapping[str, object], key: str) -> int | None:
    """The value of a keyword that counts something (1.0 counts as 1)."""
    number = exact(schema.get(key))
    return None if number is None else int(number)


def canonical(value: object) -> object:
    """A hashable stand-in, equal for values that JSON Schema calls equal (1 and 1.0; not 1 and true)."""
    if isinstance(value, Mapping):
        return ("object", frozenset((name, canonical(item)) for name, item in value.items()))
    if is_list(value):
        return ("array", tuple(canonical(item) for item in items_of(value)))
    number = exact(value)
    return (type(value).__name__, value) if number is None else ("number", number)


def type_names(value: object) -> frozenset[str]:
    """The JSON Schema types a value has."""
    if value is None:
        return frozenset({"null"})
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, str):
        return frozenset({"string"})
    if isinstance(value, Mapping):
        return frozenset({"object"})
    number = exact(value)
    if number is not None:
        return frozenset({"number", "integer"}) if number.denominator == 1 else frozenset({"number"})
    return frozenset({"array"}) if is_list(value) else frozenset()


def escape(name: str) -> str:
    """A name as part of a JSON pointer (RFC 6901, 3)."""
    return name.replace("~", "~0").replace("/", "~1")


class Document:
    """A root schema and the places its references lead to."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._named: dict[str, tuple[str, Schema]] = {}
        for pointer, schema in _walk(root, "#"):
            for key in ("$id", "id", "$anchor", "$dynamicAnchor"):
                name = schema.get(key)
                if isinstance(name, str):
                    self._named.setdefault(name if key.endswith("id") else f"#{name}", (pointer, schema))

    @property
    def root(self) -> Schema:
        return self._root

    def resolve(self, reference: str, pointer: str = "#") -> tuple[str, Schema]:
        """Where a local reference leads: the JSON pointer and the schema there."""
        if reference in self._named:
            return self._named[reference]
        base, _, fragment = reference.partition("#")
        if base and base in self._named:
            start, found = self._named[base]
        elif base:
            raise UnsatisfiableSchema(pointer, f"the reference {reference!r} leads out of the schema")
        else:
            start, found = "#", self._root
        value: object = found
        for part in fragment.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping) and name in value:
                value = value[name]
            elif is_list(value) and name.isdecimal() and int(name) < len(items_of(value)):
                value = items_of(value)[int(name)]
            else:
                raise UnsatisfiableSchema(pointer, f"the reference {reference!r} leads nowhere")
        if fragment and not fragment.startswith("/"):
            raise UnsatisfiableSchema(pointer, f"the reference {reference!r} leads nowhere")
        return start + fragment, as_schema(value, start + fragment)

    def reenters(self, schema: object, active: frozenset[str]) -> bool:
        """Whether a reference within the schema leads back to one of the active places."""
        for _, part in _walk(schema, ""):
            for key in ("$ref", "$dynamicRef", "$recursiveRef"):
                reference = part.get(key)
                if isinstance(reference, str) and self.resolve(reference)[0] in active:
                    return True
        return False


def _walk(value: object, pointer: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """All JSON objects within a value with their pointers; data such as enum values is left out."""
    if isinstance(value, Mapping):
        yield pointer, value
        for name, item in value.items():
            if name not in ("enum", "const", "default", "examples"):
                yield from _walk(item, f"{pointer}/{escape(str(name))}")
    elif is_list(value):
        for number, item in enumerate(items_of(value)):
            yield from _walk(item, f"{pointer}/{number}")
