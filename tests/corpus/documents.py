"""The vendor's descriptions of many real models, from a folder outside of the checkout.

The folder is the one that CALLSHEET_CORPUS names, else `corpus` in the user's cache folder; nothing fills it by itself. Each
of its *.json files holds what `GET /models/OWNER/NAME` answers, a list of those, a page of them (`results`, as `GET /models`
answers), or the OpenAPI document alone, as Cog writes it, in a file named OWNER--NAME.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from callsheet.user_folders import user_folder

VARIABLE = "CALLSHEET_CORPUS"


def folder() -> Path:
    """Where the descriptions lie."""
    return Path(os.environ.get(VARIABLE) or user_folder("cache") / "corpus")


def documents(most: int | None = None) -> list[tuple[str, dict]]:
    """Each model once, with its description: a fixed selection of `most`, else all."""
    found = {}
    for path in sorted(folder().glob("**/*.json")):
        for model, document in _of_file(path):
            found.setdefault(model, document)
    chosen = sorted(found, key=lambda model: hashlib.sha256(model.encode()).digest())[:most]
    return [(model, found[model]) for model in sorted(chosen)]


def kind_of_output(document: dict) -> str:
    """The output as its schema calls it."""
    version = document.get("latest_version") or document
    whole = version.get("openapi_schema", version) if isinstance(version, dict) else {}
    schemas = whole.get("components", {}).get("schemas", {})
    output = schemas.get("Output")
    if not isinstance(output, dict):
        return "none"
    kind = str(output.get("format") or output.get("type") or "other")
    if kind != "array":
        return "object" if "$ref" in output else kind
    items = output.get("items", {})
    iterator = " iterator" if output.get("x-cog-array-type") == "iterator" else ""
    return f"{items.get('format') or items.get('type') or 'object'}[]{iterator}"


def _of_file(path: Path) -> Iterator[tuple[str, dict]]:
    held = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(held, dict) and "results" in held:
        held = held["results"]
    for document in held if isinstance(held, list) else [held]:
        if "owner" in document and "name" in document:
            yield f"{document['owner']}/{document['name']}", document
        elif "components" in document and "--" in path.stem:
            yield path.stem.replace("--", "/", 1), document
