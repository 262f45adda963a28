"""JSON Schemas for editors: of the parsers' own lists of keys, with the words of the reference pages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from references.pages import CODE, plain, read, section, table
from references.shapes import (
    ANY,
    FLAG,
    TABLE,
    TEMPLATE,
    TEXT,
    TEXTS,
    Shape,
    choice,
    closed,
    either,
    formed,
    listed,
    number,
    open_table,
    whole,
)

from callsheet import config_tables, plugin_manifest, policy_tables, sheet
from callsheet.inputs import attribute_names, file_attributes, inputs_type, list_attributes
from callsheet.models import Operation

__all__ = ["SCHEMAS", "documents"]

_OPERATIONS = [operation.value for operation in Operation]
_AMOUNT = either(
    {"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"}
)
_LOCAL = r"(localhost|127\.0\.0\.1|\[::1\])"
_URL = {"type": "string", "pattern": r"^(https?://[^\s?#@]+)?$"}
_HTTPS = {"type": "string", "pattern": rf"^(https://[^\s?#@]+|http://{_LOCAL}[^\s?#@]*)?$"}
_DAY = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_NO_EMPTY = {"type": "string", "minLength": 1}


def _told(keys: Collection[str], shapes: Mapping[str, Shape], meanings: Mapping[str, str]) -> dict[str, Shape]:
    """The shape of each key, with what the page says of it (other tests see to it that it does)."""
    return {key: {**({"description": meanings[key]} if key in meanings else {}), **shapes[key]} for key in keys}


def _meanings(text: str, column: int) -> dict[str, str]:
    return {name: plain(row[column]) for row in table(text, "key") for name in CODE.findall(row[0])}


def _row(*, of_plugin: bool) -> Shape:
    """A `[[models]]` table; one outside of a plugin says whose model it is."""
    page = read("reference/plugin-toml.md")
    price = {"per": _NO_EMPTY, "usd": _AMOUNT, "as_of": _DAY, "source": _NO_EMPTY}
    prices = closed(_told(plugin_manifest._PRICE, price, _meanings(section(page, "Prices"), 2)), plugin_manifest._PRICE)
    shapes: dict[str, Shape] = {
        "model": {"type": "string", "pattern": r"^\S+$"},
        "operation": choice(*_OPERATIONS),
        "wire": formed(plugin_manifest._WIRE_OF_ROW),
        "title": TEXT,
        "aliases": listed({"type": "string", "pattern": r"^[^\s:@]{1,128}$"}),
        "capabilities": TEXTS,
        "inputs": open_table(TEXT),
        "output": TEXT,
        "schema": {"type": "string", "pattern": r"^([^/\\][^\\]*\.json)?$", "not": {"pattern": r"(^|/)\.\.(/|$)"}},
        "digest": formed(plugin_manifest._DIGEST),
        "revision": TEXT,
        "price": listed(prices),
        "tier": TEXT,
        "deprecated": TEXT,
        "data": TABLE,
    }
    keys = _told(plugin_manifest._ROW, shapes, _meanings(section(page, "Model rows"), 2))
    required = ["model", "operation"]
    if not of_plugin:
        keys = {
            "provider": {"description": "Whose model it is.", **formed(plugin_manifest.PROVIDER_NAME, empty=False)},
            **keys,
        }
        required = ["provider", *required]
    attributes = [
        {
            "if": {"properties": {"operation": {"const": operation.value}}, "required": ["operation"]},
            "then": {"properties": {"inputs": {"propertyNames": {"enum": list(attribute_names(operation))}}}},
        }
        for operation in Operation
    ]
    return closed(keys, required, dependencies={"digest": ["schema"]}, allOf=attributes)


def plugin_schema() -> Shape:
    """`plugin.toml`."""
    page = read("reference/plugin-toml.md")
    secret = formed(plugin_manifest._VARIABLE, empty=False)
    batch = {
        "max_requests": whole(1, 10_000_000),
        "max_bytes": whole(1, 1 << 50),
        "price_factor": number(0, 1),
    }
    provider = {
        "name": {**formed(plugin_manifest.PROVIDER_NAME, empty=False), "not": {"const": "auto"}},
        "title": TEXT,
        "docs_url": TEXT,
        "origin": _HTTPS,
        "origin_env": formed(plugin_manifest._VARIABLE),
        "secrets": listed(secret),
        "idempotency_key": FLAG,
        "rate_keys": listed(choice(*plugin_manifest.RATE_KEYS)),
        "open_models": FLAG,
        "batch": closed(
            _told(plugin_manifest._BATCH, batch, _meanings(section(page, "Batches"), 2)), ["max_requests", "max_bytes"]
        ),
    }
    conformance = {"samples": open_table(TABLE), "refuse": open_table(TEXT)}
    top = {
        "api": {"type": "integer", "minimum": 1, "maximum": plugin_manifest.PLUGIN_API},
        "provider": closed(
            _told(plugin_manifest._PROVIDER, provider, _meanings(section(page, "Provider"), 2)), ["name"]
        ),
        "simulates": FLAG,
        "provides": listed(choice(*plugin_manifest.PROVIDES)),
        "commands": listed(formed(plugin_manifest._COMMAND, empty=False)),
        "wires": listed(formed(plugin_manifest._WIRE, empty=False)),
        "loopback": formed(plugin_manifest._OBJECT),
        "conformance": closed(
            _told(plugin_manifest._CONFORMANCE, conformance, _meanings(section(page, "Conformance"), 2))
        ),
        "models": listed(_row(of_plugin=True)),
    }
    keys = _told(plugin_manifest._TOP, top, _meanings(section(page, "Top level"), 2))
    return closed(keys, ["api"], dependencies={"models": ["provider"]})


_LENT = {"dependencies": {"wire": ["base_url"], "secret": ["wire"]}}
_PER_MINUTE = ("requests", "tokens")


def _or_none(shape: Shape) -> Shape:
    return either(shape, {"const": policy_tables.NONE})


def _policies() -> dict[str, dict[str, Shape]]:
    """The shape of each key of the policies' tables."""
    count, seconds = whole(1, policy_tables._MOST), number(0.001, policy_tables._LONGEST)
    rate = _or_none(number(0.001, policy_tables._MOST))
    shapes: dict[str, dict[str, Shape]] = {
        "limits": dict.fromkeys(policy_tables.POLICY_TABLES["limits"], rate) | {"concurrency": _or_none(count)},
        "retry": {"attempts": count, "seconds": seconds, "longest_wait": seconds, "first_wait": seconds},
        "breaker": {"failures": count, "cooldown": seconds, "longest_cooldown": seconds},
        "deadlines": {key: _or_none(seconds) for key in policy_tables.POLICY_TABLES["deadlines"]},
        "money": {
            "max_run": _or_none(_AMOUNT),
            "max_day": _or_none(_AMOUNT),
            "confirm_above": _or_none(_AMOUNT),
            "unknown": choice("allow", "refuse"),
        },
    }
    return shapes


def config_schema() -> Shape:
    """`callsheet.toml`, and the user's own file, which may have commands but no model rows."""
    rows = table(section(read("reference/configuration.md"), "Keys"), "table")
    meanings = {(of, (CODE.findall(row[1]) or ["*"])[0]): plain(row[4]) for row in rows for of in CODE.findall(row[0])}

    def of(name: str, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        return _told(shapes, shapes, {key: meanings[name, key] for key in shapes})

    name, secret = (f"^{form.pattern}$" for form in (plugin_manifest.PROVIDER_NAME, config_tables.SECRET_NAME))
    command = {**listed(_NO_EMPTY), "minItems": 1}
    provider = {
        "base_url": _URL,
        "wire": formed(config_tables._LENT_WIRE),
        "secret": formed(config_tables.SECRET_NAME),
        "webhook": _HTTPS,
    }
    assert tuple(provider) == config_tables.PROVIDER_KEYS
    tables: dict[str, Shape] = {
        "run": closed(of("run", {"concurrency": whole(1, config_tables.MAX_CONCURRENCY), "salt": TEXT})),
        "plugins": closed(of("plugins", {"allow": TEXTS, "deny": TEXTS, "pins": open_table(TEXT)})),
        "providers": open_table(closed(of("providers.NAME", provider), **_LENT), name),
        "aliases": open_table({"type": "string", "pattern": r"\S"}, r"^[^\s:@]+$"),
        "secrets": closed(of("secrets", {"env_file": TEXT, "keyring": FLAG, "commands": open_table(command, secret)})),
        "models": {"description": "Rows for models that no plugin has one for.", **listed(_row(of_plugin=False))},
    }
    for policy, shapes in _policies().items():
        by_rate_key = policy in policy_tables.BY_RATE_KEY
        keys = of(f"{policy}.KEY" if policy == "limits" else policy, shapes)
        one = closed(keys, **_one_of_two(shapes))
        tables[policy] = (
            {**(one if policy != "limits" else TABLE), "additionalProperties": one, **_rate_keys(shapes, policy)}
            if by_rate_key
            else one
        )
    return closed({key: tables[key] for key in (*config_tables.TABLES, "models")})


def _one_of_two(shapes: Mapping[str, Shape]) -> Shape:
    """A rate is told by the second or by the minute."""
    pairs = [[f"{what}_per_second", f"{what}_per_minute"] for what in _PER_MINUTE if f"{what}_per_minute" in shapes]
    return {"allOf": [{"not": {"required": pair}} for pair in pairs]} if pairs else {}


def _rate_keys(shapes: Mapping[str, Shape], policy: str) -> Shape:
    own = [] if policy == "limits" else [{"enum": list(shapes)}]
    return {"propertyNames": either(*own, {"pattern": f"^{policy_tables._RATE_KEY.pattern}$"})}


def _attribute(operation: Operation, name: str) -> Shape:
    """What a sheet may give for an attribute of an operation."""
    if name == "output_schema":
        return either(TEXT, TABLE)
    many = name in list_attributes(operation)
    if name in file_attributes(operation):
        return either(TEXT, TEXTS)
    if many:
        return either(TEXT, listed(ANY))
    kind = next(str(each.type) for each in fields(inputs_type(operation)) if each.name == name)
    numbers = {"int": "integer", "float": "number", "bool": "boolean"}
    word = kind.partition(" ")[0]
    return either({"type": numbers[word]}, TEMPLATE) if word in numbers else TEXT


def _producer() -> Shape:
    page = read("reference/call-sheet.md")
    meanings = _meanings(section(page, "A producer"), 2) | {"models": "The first is primary, the rest are fallbacks."}
    attributes = {
        name: plain(row[2]) for row in table(section(page, "Attributes"), "attribute") for name in CODE.findall(row[0])
    }
    shapes: dict[str, Shape] = {
        name: _attribute(operation, name) for operation in reversed(Operation) for name in attribute_names(operation)
    }
    choices = {
        "ref": _NO_EMPTY,
        "options": TABLE,
        "inputs": TABLE,
        "needs": listed(_NO_EMPTY),
        "max_price": {"type": "number", "minimum": 0},
        "providers": listed(_NO_EMPTY),
        "context": {"type": "integer", "minimum": 0},
    }
    entry = closed(_told(sheet._MODEL_KEYS, choices, _meanings(section(page, "models"), 2)), ["ref"])
    own = {
        "operation": choice(*_OPERATIONS),
        "models": either({"type": "array", "minItems": 1, "items": either(_NO_EMPTY, entry)}, _NO_EMPTY),
        "for_each": either(TEXT, {"type": "integer"}),
        "dispatch": choice(*sheet._DISPATCH),
        "pin": either(TEXT, TEXTS),
        "options": TABLE,
    }
    keys = _told(sheet._OWN_KEYS, own, meanings) | _told(sorted(shapes), shapes, attributes)
    return closed(keys, ["operation", "models"], allOf=[_of_operation(each) for each in Operation])


def _of_operation(operation: Operation) -> Shape:
    """Which keys a producer of this operation may have: its own, and the attributes of the operation."""
    names = attribute_names(operation)
    others = {name for each in Operation for name in attribute_names(each)} - set(names)
    entries: Any = {"items": {"properties": {"inputs": {"propertyNames": {"enum": list(names)}}}}}
    own = {name: _attribute(operation, name) for name in names}
    return {
        "if": {"properties": {"operation": {"const": operation.value}}, "required": ["operation"]},
        "then": {"properties": {"models": entries, **own, **dict.fromkeys(sorted(others), False)}},
    }


def sheet_schema() -> Shape:
    """`sheet.toml`."""
    reserved = sorted({each for name in sheet._RESERVED for each in (name, name.upper(), name.capitalize())})
    producers = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{sheet._NAME.pattern}$", "not": {"enum": reserved}},
        "additionalProperties": _producer(),
    }
    shapes = {"title": TEXT, "inputs": TABLE, "producers": producers}
    meanings = _meanings(section(read("reference/call-sheet.md"), "Top level"), 2)
    return closed(_told(shapes, shapes, meanings), ["producers"])


SCHEMAS = {"plugin": plugin_schema, "config": config_schema, "sheet": sheet_schema}
_TITLES = {"plugin": "callsheet: plugin.toml", "config": "callsheet: callsheet.toml", "sheet": "callsheet: sheet.toml"}


def documents() -> dict[str, Shape]:
    """Each schema, complete, by its name."""
    head = "http://json-schema.org/draft-07/schema#"
    return {name: {"$schema": head, "title": _TITLES[name], **make()} for name, make in SCHEMAS.items()}
