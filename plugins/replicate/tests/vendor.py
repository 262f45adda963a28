"""The vendor's own OpenAPI document as judge of what is sent, and of what the loopback server answers."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import jsonschema_rs

DOCUMENT = Path(__file__).parents[3] / "tests" / "vendor_specs" / "replicate" / "openapi.json"


def draft_2020(node):
    """The schema without `nullable`, which is of OpenAPI 3.0."""
    if isinstance(node, list):
        return [draft_2020(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: draft_2020(each) for key, each in node.items()}
    if made.pop("nullable", False):
        made["type"] = [made["type"], "null"]
    if "oneOf" in made:  # any text, or the text `hidden`: both at once are meant
        made["anyOf"] = made.pop("oneOf")
    return made


@cache
def document():
    """The document, read once."""
    return draft_2020(json.loads(DOCUMENT.read_text(encoding="utf-8")))


@cache
def validator(schema):
    """A validator of a schema, given as JSON."""
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": document()["components"]})


def operation(method, path):
    """The document's operation, or None."""
    for template, verbs in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            return verbs.get(method.lower())
    return None


def problems(exchange):
    """What the document objects to in one request and its reply."""
    if exchange.route in ("file", "stream") or exchange.status >= 400:
        return []  # neither errors nor events are in the document
    where, wanted = f"{exchange.method} {exchange.path}", operation(exchange.method, exchange.path)
    if wanted is None:
        return [f"{where}: there is no such operation"]
    found = []
    content = wanted.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        found += errors(content["application/json"]["schema"], exchange.json, where)
    if "prefer" in exchange.headers:
        found.append(f"{where}: it must not wait")
    if exchange.reply is not None:
        answers = wanted["responses"].get(str(exchange.status), {}).get("content", {})
        if "application/json" not in answers:
            return [*found, f"{where}: {exchange.status} is not documented"]
        found += errors(answers["application/json"]["schema"], exchange.reply, f"{where} answered")
    return found


def errors(schema, value, where):
    """The errors of a value, as texts."""
    return [f"{where}: {each.message}" for each in validator(json.dumps(schema, sort_keys=True)).iter_errors(value)]
