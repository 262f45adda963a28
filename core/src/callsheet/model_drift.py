"""What has changed in a model since its row was written: the provider's description then and now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callsheet.handler import ModelDescription
from callsheet.model_schemas import input_schema
from callsheet.models import ModelInfo

__all__ = ["Change", "drift"]

_WORDS = frozenset({"title", "description", "examples", "$comment", "deprecated"})
"""Keywords that say nothing about what is taken; so do those of nobody's (`x-order`)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `what` is revision, output or field; of a field, `key` is the keyword, empty for one that came or went.

    `before` is None for what is new, `after` for what is gone.
    """

    what: str
    before: object
    after: object
    field: str = ""
    key: str = ""


def drift(info: ModelInfo, now: ModelDescription) -> list[Change]:
    """All differences between a row with its schema and a description. Raises as `input_schema`."""
    before = input_schema(info)
    changes = []
    for what, old in (("revision", info.revision), ("output", info.output)):
        new = now.row.get(what)
        if new and new != old:
            changes.append(Change(what, old or None, new))
    return [*changes, *_of_fields(before.whole, now.schema)] if before.whole else changes


def _of_fields(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Change]:
    old, new = _fields(before), _fields(after)
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old or name not in new:
            yield Change("field", old.get(name), new.get(name), name)
            continue
        for key in [*new[name], *(key for key in old[name] if key not in new[name])]:
            one, other = old[name].get(key), new[name].get(key)
            if one != other or isinstance(one, bool) != isinstance(other, bool):
                yield Change("field", one, other, name, key)


def _fields(schema: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """The fields with the keywords that matter, `required` as one of them; lists without an order are sorted."""
    properties, required = schema.get("properties"), schema.get("required")
    needed = required if isinstance(required, (list, tuple)) else ()
    fields: dict[str, dict[str, object]] = {}
    for name, each in properties.items() if isinstance(properties, Mapping) else ():
        told = each if isinstance(each, Mapping) else {"schema": each}
        fields[str(name)] = {key: value for key, value in told.items() if key not in _WORDS and key[:2] != "x-"}
        kinds = fields[str(name)].get("type")
        if isinstance(kinds, (list, tuple)):
            fields[str(name)]["type"] = sorted(map(str, kinds))
        if name in needed:
            fields[str(name)]["required"] = True
    return fields
