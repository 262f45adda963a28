"""What events say of a result: enough to derive the manifest, never the bytes."""

from __future__ import annotations

import hashlib
import math

from callsheet.artifacts import Artifact, BlobArtifact
from callsheet.digests import json_ready
from callsheet.jobs import JobResult

__all__ = ["result_summary"]

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
    ready = json_ready(result.usage)
    assert isinstance(ready, dict)
    return ready
