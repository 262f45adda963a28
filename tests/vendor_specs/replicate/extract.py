"""Cut the paths that tests need, and the schemas which these reach, out of Replicate's whole OpenAPI document.

python extract.py WHOLE_DOCUMENT.json > openapi.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

KEPT = {
    "/predictions": ("get", "post"),
    "/predictions/{prediction_id}": ("get",),
    "/predictions/{prediction_id}/cancel": ("post",),
    "/models/{model_owner}/{model_name}/predictions": ("post",),
    "/files": ("post",),
}
PROSE = {"description", "summary", "example", "operationId", "x-feature-flag"}
REFERENCE = re.compile(r'"#/components/(\w+)/([^"]+)"')


def bare(node: object, *, names: bool = False) -> object:
    """The node without prose; the keys of `properties` and the like are names, and all of them stay."""
    if isinstance(node, list):
        return [bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = node if names else {k: v for k, v in node.items() if k not in PROSE}
    return {k: bare(v, names=not names and k in ("properties", "content", "responses")) for k, v in kept.items()}


def extract(whole: dict) -> dict:
    """The part of the document."""
    paths = {path: {verb: bare(whole["paths"][path][verb]) for verb in verbs} for path, verbs in KEPT.items()}
    components: dict[str, dict] = {}
    wanted = set(REFERENCE.findall(json.dumps(paths)))
    while wanted:
        kind, name = wanted.pop()
        components.setdefault(kind, {})[name] = bare(whole["components"][kind][name])
        found = set(REFERENCE.findall(json.dumps(components[kind][name])))
        wanted |= {(k, n) for k, n in found if n not in components.get(k, {})}
    info = {k: whole["info"][k] for k in ("title", "version")}
    return {"openapi": whole["openapi"], "info": info, "paths": paths, "components": components}


if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(extract(document), separators=(",", ":"), ensure_ascii=False, sort_keys=True) + "\n")
