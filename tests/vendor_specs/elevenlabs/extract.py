"""Cut the paths that tests need, and the schemas which these reach, out of ElevenLabs' whole OpenAPI document.

python extract.py WHOLE_DOCUMENT.json > openapi.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

KEPT = {
    "/v1/text-to-speech/{voice_id}/stream": ("post",),
    "/v1/text-to-speech/{voice_id}/with-timestamps": ("post",),
    "/v1/text-to-dialogue/stream": ("post",),
    "/v1/sound-generation": ("post",),
    "/v1/music": ("post",),
    "/v1/speech-to-text": ("post",),
    "/v2/voices": ("get",),
}
EXTRA = ("HTTPValidationError",)
PROSE = {
    "description",
    "summary",
    "example",
    "examples",
    "externalDocs",
    "tags",
    "title",
    "x-fern-ignore",
}
REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')


def bare(node: object, *, names: bool = False) -> object:
    """The node without prose; the keys of `properties` and `schemas` are names, and all of them stay."""
    if isinstance(node, list):
        return [bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = node if names else {k: v for k, v in node.items() if k not in PROSE}
    return {
        k: bare(v, names=not names and k in ("properties", "schemas", "mapping", "content")) for k, v in kept.items()
    }


def operation(whole: dict) -> dict:
    """Bodies, query parameters and replies of one operation."""
    kept = {k: whole[k] for k in ("operationId", "deprecated", "parameters", "requestBody") if k in whole}
    replies = {
        status: {"content": reply["content"]} for status, reply in whole["responses"].items() if "content" in reply
    }
    return {**kept, "responses": replies}


def extract(whole: dict) -> dict:
    """The part of the document."""
    paths = {path: {verb: operation(whole["paths"][path][verb]) for verb in verbs} for path, verbs in KEPT.items()}
    paths = bare(paths, names=True)
    schemas, wanted = {}, {*EXTRA, *REFERENCE.findall(json.dumps(paths))}
    while wanted:
        name = wanted.pop()
        schemas[name] = bare(whole["components"]["schemas"][name])
        wanted |= set(REFERENCE.findall(json.dumps(schemas[name]))) - schemas.keys()
    info = {k: whole["info"][k] for k in ("title", "version")}
    head = {"openapi": whole["openapi"], "info": info, "paths": paths}
    return {**head, "components": {"schemas": dict(sorted(schemas.items()))}}


if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(extract(document), separators=(",", ":"), ensure_ascii=False) + "\n")
