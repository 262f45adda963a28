"""What events say of a result: enough to derive the manifest, never the bytes."""

from __future__ import annotations

import hashlib

from callsheet.artifacts import Artifact, BlobArtifact
from callsheet.digests import json_ready
from callsheet.jobs import JobResult

__all__ = ["result_summary"]


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


def result_summary(result: JobResult) -> dict[str, object]:
    """`artifacts`, `usage`, `finish`, `meta` and the provider's own warnings of a result, as JSON."""
    return {
        "artifacts": [_artifact_summary(artifact) for artifact in result.artifacts],
        "finish": result.finish,
        "meta": json_ready(result.meta),
        "usage": {k: v for k, v in _usage(result).items() if v},
    }


def _usage(result: JobResult) -> dict[str, object]:
    ready = json_ready(result.usage)
    assert isinstance(ready, dict)
    return ready
