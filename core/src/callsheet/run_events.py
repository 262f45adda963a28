"""What events say of a result: enough to derive the manifest, never the bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import fields

from callsheet.artifacts import Artifact, BlobArtifact, FileRef
from callsheet.digests import json_ready
from callsheet.inputs import Inputs
from callsheet.jobs import JobResult, Usage

__all__ = ["MAX_INPUT", "inputs_summary", "result_summary"]

MAX_INPUT = 2000
"""How many characters of an input the events keep."""

_LARGEST = 2**53 - 1
_LARGEST_SHOWN = 4096


def _artifact_summary(artifact: Artifact) -> dict[str, object]:
    if isinstance(artifact, BlobArtifact):
        file = artifact.file
        summary: dict[str, object] = {
            "kind": artifact.kind,
            "media_type": file.media_type,
            "sha256": file.sha256,
            "bytes": file.bytes,
        }
        known = {"width": artifact.width, "height": artifact.height, "duration": artifact.duration}
        return summary | {name: value for name, value in known.items() if value is not None}
    data = artifact.data()
    digest = hashlib.sha256(data).hexdigest()
    return {"kind": artifact.kind, "media_type": artifact.media_type, "sha256": digest, "bytes": len(data)}


def _storable(value: object) -> object:
    """JSON data as RFC 8785 can write it: what was paid for is never lost over a number in the provider's metadata."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return f"{value:#x}" if value.bit_length() > _LARGEST_SHOWN else str(value)
    if isinstance(value, dict):
        return {str(_storable(k)): _storable(v) for k, v in value.items()}
    return [_storable(v) for v in value] if isinstance(value, list) else value


def result_summary(result: JobResult) -> dict[str, object]:
    """`artifacts`, `usage`, `finish`, `meta` and the provider's own warnings of a result, as JSON."""
    return {
        "artifacts": [_artifact_summary(artifact) for artifact in result.artifacts],
        "finish": result.finish,
        "meta": _storable(json_ready(result.meta)),
        "usage": {k: _storable(v) for k, v in _usage(result).items() if v},
    }


def _usage(result: JobResult) -> dict[str, object]:
    counted = ((name, getattr(result.usage, name)) for name in Usage.__slots__)
    return {name: json_ready(value) for name, value in counted if value is not None}


def inputs_summary(inputs: Inputs, redact: Callable[[str], str]) -> dict[str, object]:
    """What a job was made from: each input that was given, redacted and then cut, files by their digest."""
    given = ((each.name, getattr(inputs, each.name), each.default) for each in fields(inputs))
    return {name: _shown(value, redact) for name, value, usual in given if value not in (None, "", (), usual)}


def _shown(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, FileRef):
        name = _cut(redact(value.name))
        return {"sha256": value.sha256, "media_type": value.media_type, **({"name": name} if name else {})}
    if isinstance(value, tuple) and value and all(isinstance(each, FileRef) for each in value):
        return [_shown(each, redact) for each in value]
    if isinstance(value, (bool, int, float)):
        return _storable(value)
    return _cut(redact(value if isinstance(value, str) else json.dumps(json_ready(value), ensure_ascii=False)))


def _cut(text: str) -> str:
    stored = str(_storable(text))
    return stored if len(stored) <= MAX_INPUT else stored[: MAX_INPUT - 1] + "…"
