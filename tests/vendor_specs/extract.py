"""Cut the operations that tests need, and the components which these reach, out of a vendor's whole OpenAPI document.

python extract.py VENDOR WHOLE_DOCUMENT.json > VENDOR/openapi.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

KEPT = {
    "elevenlabs": {
        "/v1/text-to-speech/{voice_id}/stream": ("post",),
        "/v1/text-to-speech/{voice_id}/with-timestamps": ("post",),
        "/v1/text-to-dialogue/stream": ("post",),
        "/v1/sound-generation": ("post",),
        "/v1/music": ("post",),
        "/v1/speech-to-text": ("post",),
        "/v2/voices": ("get",),
    },
    "openai": {
        "/responses": ("post",),
        "/responses/{response_id}": ("get", "delete"),
        "/responses/{response_id}/cancel": ("post",),
        "/chat/completions": ("post",),
        "/images/generations": ("post",),
        "/images/edits": ("post",),
        "/audio/speech": ("post",),
        "/audio/transcriptions": ("post",),
        "/embeddings": ("post",),
        "/moderations": ("post",),
        "/files": ("get", "post"),
        "/files/{file_id}": ("get", "delete"),
        "/files/{file_id}/content": ("get",),
        "/batches": ("get", "post"),
        "/batches/{batch_id}": ("get",),
        "/batches/{batch_id}/cancel": ("post",),
        "/videos": ("get", "post"),
        "/videos/{video_id}": ("get", "delete"),
        "/videos/{video_id}/content": ("get",),
        "/models": ("get",),
        "/models/{model}": ("get",),
    },
    "replicate": {
        "/predictions": ("get", "post"),
        "/predictions/{prediction_id}": ("get",),
        "/predictions/{prediction_id}/cancel": ("post",),
        "/models/{model_owner}/{model_name}": ("get",),
        "/models/{model_owner}/{model_name}/predictions": ("post",),
        "/models/{model_owner}/{model_name}/versions/{version_id}": ("get",),
        "/files": ("post",),
        "/webhooks/default/secret": ("get",),
        "/account": ("get",),
    },
}
EXTRA = {"openai": {("schemas", "ErrorResponse")}, "elevenlabs": {("schemas", "HTTPValidationError")}}
"""Components that no operation refers to, and that tests want."""
PROSE = {"description", "summary", "example", "examples", "externalDocs", "tags", "title"}
PROSE |= {"x-oaiMeta", "x-stainless-const", "x-fern-ignore", "x-feature-flag"}
NAMES = ("properties", "schemas", "mapping", "content", "responses")
REFERENCE = re.compile(r'"#/components/(\w+)/([^"]+)"')


def bare(node: object, *, names: bool = False) -> object:
    """The node without prose; the keys of `properties` and the like are names, and all of them stay."""
    if isinstance(node, list):
        return [bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = node if names else {k: v for k, v in node.items() if k not in PROSE}
    return {k: bare(v, names=not names and k in NAMES) for k, v in kept.items()}


def operation(whole: dict) -> dict:
    """Bodies, parameters and replies of one operation."""
    kept = {k: whole[k] for k in ("operationId", "deprecated", "parameters", "requestBody") if k in whole}
    replies = {
        status: {"content": reply["content"]} for status, reply in whole["responses"].items() if "content" in reply
    }
    return bare({**kept, "responses": replies})


def extract(vendor: str, whole: dict) -> dict:
    """The part of a vendor's document."""
    paths = {
        path: {verb: operation(whole["paths"][path][verb]) for verb in verbs} for path, verbs in KEPT[vendor].items()
    }
    components: dict[str, dict] = {}
    wanted = EXTRA.get(vendor, set()) | set(REFERENCE.findall(json.dumps(paths)))
    while wanted:
        kind, name = wanted.pop()
        components.setdefault(kind, {})[name] = made = bare(whole["components"][kind][name])
        found = set(REFERENCE.findall(json.dumps(made)))
        wanted |= {(k, n) for k, n in found if n not in components.get(k, {})}
    info = {k: whole["info"][k] for k in ("title", "version", "license") if k in whole["info"]}
    kept = {kind: dict(sorted(found.items())) for kind, found in sorted(components.items())}
    return {"openapi": whole["openapi"], "info": info, "paths": paths, "components": kept}


if __name__ == "__main__":
    document = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    part = extract(sys.argv[1], document)
    sys.stdout.write(json.dumps(part, separators=(",", ":"), ensure_ascii=False) + "\n")
