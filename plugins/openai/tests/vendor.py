"""OpenAI's own OpenAPI document as judge of what we send, and of what the loopback server answers.

The document describes open objects. Here every object is closed, so that a misspelt field is a finding, and alternatives
are read as `anyOf`: the vendor's `oneOf` overlap (a user's message is valid under three of its schemas).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jsonschema_rs

DOCUMENT = Path(__file__).parents[3] / "tests" / "vendor_specs" / "openai" / "openapi.json"
JSON, EVENTS, FORM = "application/json", "text/event-stream", "multipart/form-data"
SCHEMAS = "#/components/schemas/"


@dataclass(frozen=True)
class Newer:
    """Something which the vendor's SDK knows and the older document does not; `patch` is merged into the place."""

    place: tuple[str, ...]
    patch: Mapping[str, object]
    source: str


EXCEPTIONS = (
    Newer(
        ("Embedding", "properties", "embedding"),
        {"type": ["array", "string"]},
        "openai 3.54.0, lib/_parsing/_embeddings.py: decodes a vector that comes as base64 text",
    ),
)


class Vendor:
    """The document, ready to judge. Every method gives the list of what is wrong; an empty one is the good news."""

    def __init__(self, path: Path = DOCUMENT) -> None:
        whole = json.loads(path.read_text(encoding="utf-8"))
        self._schemas = whole["components"]["schemas"]
        for newer in EXCEPTIONS:
            node = self._schemas
            for step in newer.place:
                node = node[step]
            node.update(newer.patch)
        self._paths = {
            re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"): verbs for path, verbs in whole["paths"].items()
        }
        # Left open where they are defined, because an `allOf` may refer to them; closed where they are referred to.
        self._closed = {name: self._close(schema, sealed=False) for name, schema in self._schemas.items()}
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def operation(self, verb: str, path: str) -> Mapping | None:
        """The operation of a request, or None when the vendor has none there."""
        for pattern, verbs in self._paths.items():
            if pattern.match(path) and verb.lower() in verbs:
                return verbs[verb.lower()]
        return None

    def request(self, verb: str, path: str, body: object, media_type: str = JSON) -> list[str]:
        """Judge a request's body (None: there is none)."""
        operation = self.operation(verb, path)
        if operation is None:
            return [f"{verb} {path}: the vendor has no such operation"]
        content = operation.get("requestBody", {}).get("content", {})
        if body is None:
            return [f"{verb} {path}: a body is needed"] if content else []
        if media_type not in content:
            return [f"{verb} {path}: takes {', '.join(content) or 'no body'}, and not {media_type}"]
        return self.check(content[media_type]["schema"], body, f"{verb} {path}")

    def form(self, verb: str, path: str, fields: Iterable[tuple[str, str]]) -> list[str]:
        """Judge a multipart form, as the object that its fields (files: their names) stand for."""
        operation = self.operation(verb, path) or {}
        content = operation.get("requestBody", {}).get("content", {})
        if FORM not in content:
            return [f"{verb} {path}: takes no form"]
        schema = content[FORM]["schema"]
        properties = self._resolve(schema).get("properties", {})
        body: dict[str, object] = {}
        problems = []
        for raw, text in fields:
            name, inner, _ = raw.partition("[")
            if inner and not raw.endswith("[]"):  # an object's member: name[key]
                body.setdefault(name, {})[inner.rstrip("]")] = _from_text(text, {"number"})
                continue
            kinds = self._kinds(properties.get(name, {}))
            value = _from_text(text, kinds)
            several = "array" in kinds and (raw != name or not kinds & {"string", "object"} or name in body)
            if raw != name and "array" not in kinds:
                problems.append(f"{verb} {path}: {raw} is no list")
            if not several:
                if name in body:
                    problems.append(f"{verb} {path}: {name} comes twice")
                body[name] = value
            else:
                known = body.get(name, [])
                body[name] = [*(known if isinstance(known, list) else [known]), value]
        return problems + self.check(schema, body, f"{verb} {path}")

    def query(self, verb: str, path: str, names: Iterable[str]) -> list[str]:
        """Judge the names of a query's parameters."""
        known = {
            each["name"] for each in (self.operation(verb, path) or {}).get("parameters", ()) if each["in"] == "query"
        }
        return [f"{verb} {path}: there is no parameter {name}" for name in names if name not in known]

    def reply(self, verb: str, path: str, status: int, body: object) -> list[str]:
        """Judge a JSON reply of the counterpart: the operation's own for 200, the error envelope for the rest."""
        where = f"{verb} {path} answered {status}"
        if status >= 400:
            return self.check({"$ref": SCHEMAS + "ErrorResponse"}, body, where)
        operation = self.operation(verb, path)
        if operation is None:
            return [f"{where}: the vendor has no such operation"]
        content = operation["responses"].get(str(status), {}).get("content", {})
        if JSON not in content:
            return [] if (verb, body.get("deleted")) == ("DELETE", True) else [f"{where}: not with JSON"]
        return self.check(content[JSON]["schema"], body, where)

    def event(self, verb: str, path: str, data: object) -> list[str]:
        """Judge one event of a stream."""
        operation = self.operation(verb, path)
        content = {} if operation is None else operation["responses"]["200"]["content"]
        if EVENTS not in content:
            return [f"{verb} {path}: does not stream"]
        schema = content[EVENTS]["schema"]
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            schema = self._event_schema(schema, data["type"])
        return self.check(schema, data, f"{verb} {path}, an event")

    def check(self, schema: Mapping, value: object, where: str) -> list[str]:
        """What is wrong with a value under a schema of the document."""
        name = json.dumps(schema, sort_keys=True)
        if name not in self._validators:
            root = {**self._close(schema), "components": {"schemas": self._closed}}
            self._validators[name] = jsonschema_rs.Draft202012Validator(root)
        found = self._validators[name].iter_errors(value)
        return [f"{where}: {'/'.join(map(str, e.instance_path)) or 'body'}: {_short(e.message)}" for e in found]

    def _event_schema(self, schema: Mapping, kind: str) -> Mapping:
        """The one alternative with this `type`: its message is readable, that of 60 alternatives is not."""
        for each in self._resolve(schema).get("anyOf", ()):
            if kind in self._resolve(each).get("properties", {}).get("type", {}).get("enum", ()):
                return each
        return schema

    def _resolve(self, schema: Mapping) -> Mapping:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].removeprefix(SCHEMAS)]
        return schema

    def _kinds(self, schema: Mapping) -> set[str]:
        """The JSON types a schema allows."""
        schema = self._resolve(schema)
        own = schema.get("type", ())
        kinds = {own} if isinstance(own, str) else set(own)
        for word in ("anyOf", "oneOf", "allOf"):
            kinds |= {kind for each in schema.get(word, ()) for kind in self._kinds(each)}
        return kinds

    def _close(self, node: object, *, sealed: bool = True) -> object:
        """A schema for a validator: objects closed wherever they are not a part of an `allOf`."""
        if not isinstance(node, dict):
            return node
        made: dict[str, object] = {}
        for word, value in node.items():
            if word in ("oneOf", "anyOf"):
                made.setdefault("anyOf", []).extend(self._close(each, sealed=sealed) for each in value)
            elif word == "allOf":
                made[word] = [self._close(each, sealed=False) for each in value]
            elif word == "properties":
                made[word] = {name: self._close(each) for name, each in value.items()}
            elif word in ("items", "additionalProperties", "not", "propertyNames"):
                made[word] = self._close(value)
            elif word not in ("nullable", "discriminator"):
                made[word] = value
        if sealed and "additionalProperties" not in node and self._is_described(node):
            made["unevaluatedProperties"] = False
        return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") else made

    def _is_described(self, node: Mapping, seen: frozenset[str] = frozenset()) -> bool:
        """Whether all objects under a schema say which properties they have."""
        if "$ref" in node:
            name = node["$ref"].removeprefix(SCHEMAS)
            return name in seen or self._is_described(self._schemas[name], seen | {name})
        parts = [each for word in ("anyOf", "oneOf", "allOf") for each in node.get(word, ())]
        if node.get("additionalProperties") not in (None, False):
            return False
        if parts:
            return all(self._is_described(each, seen) for each in parts)
        return "properties" in node or node.get("type", "object") != "object"


def _from_text(text: str, kinds: set[str]) -> object:
    """A form's text as the JSON value it stands for."""
    if kinds & {"integer", "number", "boolean", "object"}:
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if "string" not in kinds or not isinstance(value, str) else text
    return text


def _short(message: str) -> str:
    return message if len(message) < 600 else f"{message[:400]} … {message[-180:]}"


@cache
def vendor() -> Vendor:
    """The document, read once a process."""
    return Vendor()
