"""ElevenLabs' own OpenAPI document as judge of what we send, and of what the loopback server answers.

The document describes open objects. Here every object of a request is closed, so that a misspelt field is a finding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jsonschema_rs

from callsheet.testing import Exchange

DOCUMENT = Path(__file__).parents[3] / "tests" / "vendor_specs" / "elevenlabs" / "openapi.json"
JSON, FORM = "application/json", "multipart/form-data"
SCHEMAS = "#/components/schemas/"


class Vendor:
    """The document, ready to judge. Every method gives the list of what is wrong; an empty one is the good news."""

    def __init__(self, path: Path = DOCUMENT) -> None:
        whole = json.loads(path.read_text(encoding="utf-8"))
        self._schemas = whole["components"]["schemas"]
        self._closed = {name: close(schema) for name, schema in self._schemas.items()}
        self._paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), verbs) for path, verbs in whole["paths"].items()
        ]

    def operation(self, verb: str, path: str) -> Mapping | None:
        """The operation of a request, or None when the vendor has none there."""
        found = (verbs for pattern, verbs in self._paths if pattern.match(path) and verb.lower() in verbs)
        verbs = next(found, None)
        return None if verbs is None else verbs[verb.lower()]

    def exchange(self, seen: Exchange) -> list[str]:
        """Judge a request with the right key as the server saw it, and the JSON that answers it."""
        if seen.status in (0, 401):
            return []
        # two endpoints are each other's twins, but that one also has WAV
        path = seen.path
        if str(seen.query.get("output_format", "")).startswith("wav") and not path.endswith("/with-timestamps"):
            path += "/stream"
        problems = self.query(seen.method, path, seen.query)
        if seen.parts:
            fields = [(part.name, part.filename or part.data.decode()) for part in seen.parts]
            problems += self.form(seen.method, path, fields)
        elif seen.method == "POST":
            problems += self.request(seen.method, path, seen.json)
        if seen.reply is not None:
            problems += self.reply(seen.method, path, seen.status, seen.reply)
        return problems

    def request(self, verb: str, path: str, body: object, media_type: str = JSON) -> list[str]:
        """Judge a request's body."""
        operation = self.operation(verb, path)
        if operation is None:
            return [f"{verb} {path}: the vendor has no such operation"]
        content = operation.get("requestBody", {}).get("content", {})
        if media_type not in content:
            return [f"{verb} {path}: takes {', '.join(content) or 'no body'}, and not {media_type}"]
        return self._check(close(content[media_type]["schema"]), body, f"{verb} {path}", self._closed)

    def form(self, verb: str, path: str, fields: list[tuple[str, str]]) -> list[str]:
        """Judge a multipart form, as the object that its fields (files: their names) stand for."""
        content = (self.operation(verb, path) or {}).get("requestBody", {}).get("content", {})
        if FORM not in content:
            return [f"{verb} {path}: takes no form"]
        schema = content[FORM]["schema"]
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].removeprefix(SCHEMAS)]
        body: dict[str, object] = {}
        for name, text in fields:
            known = schema["properties"].get(name, {})
            if known.get("type") == "array":
                body.setdefault(name, []).append(text)
            else:
                body[name] = text if '"string"' in json.dumps(known) else json.loads(text)
        return self.request(verb, path, body, FORM)

    def query(self, verb: str, path: str, query: Mapping[str, str]) -> list[str]:
        """Judge a query's parameters: their names, and the values of those that are a choice."""
        known = {
            each["name"]: each["schema"]
            for each in (self.operation(verb, path) or {}).get("parameters", ())
            if each["in"] == "query"
        }
        problems = [f"{verb} {path}: there is no parameter {name}" for name in query if name not in known]
        for name, value in query.items():
            choice = known.get(name, {}).get("enum")
            if choice and value not in choice and not value.startswith("wav"):
                problems.append(f"{verb} {path}: {name} cannot be {value}")
        return problems

    def reply(self, verb: str, path: str, status: int, body: object) -> list[str]:
        """Judge a JSON reply of the counterpart. The document knows of errors only what 422 looks like."""
        operation = self.operation(verb, path)
        content = {} if operation is None else operation["responses"].get(str(status), {}).get("content", {})
        if JSON not in content:
            return [] if status >= 400 else [f"{verb} {path} answered {status}: not with JSON"]
        return self._check(content[JSON]["schema"], body, f"{verb} {path} answered {status}", self._schemas)

    def _check(self, schema: Mapping, value: object, where: str, schemas: Mapping) -> list[str]:
        found = jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": schemas}}).iter_errors(value)
        return [f"{where}: {'/'.join(map(str, e.instance_path)) or 'body'}: {e.message[:300]}" for e in found]


def close(node: object) -> object:
    """A schema whose objects have no other properties than those described."""
    if isinstance(node, list):
        return [close(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {word: close(value) for word, value in node.items() if word not in ("discriminator", "default", "enum")}
    if "enum" in node:
        made["enum"] = node["enum"]
    if "properties" in node and isinstance(node["properties"], dict) and "additionalProperties" not in node:
        made["additionalProperties"] = False
    return made


@cache
def vendor() -> Vendor:
    """The document, read once a process."""
    return Vendor()
