"""Repair of a run's output folder: what the ledger and the blob store can give is put back as it was."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callsheet.artifacts import Artifact, BlobArtifact, FileRef
from callsheet.outputs import OutputFolder
from callsheet.services import Services
from callsheet.storage import RunRecord
from callsheet.verification import later_run, rebuild_manifest

__all__ = ["repair_run"]


async def repair_run(services: Services, record: RunRecord) -> tuple[Path, ...]:
    """Write again what is missing or altered in the output folder of an ended run, and give the paths.

    The manifest is derived from the events, files come from the blobs and the ledger; what neither has stays as it is
    (`verify_run` names it). Nothing is done while the run is under way, or when a later run took the folder over.
    Raises CallsheetError when the folder cannot be written.
    """
    folder = OutputFolder(Path(record.output))
    if record.ended is None or await later_run(services, record, folder):
        return ()
    manifest = await rebuild_manifest(services, record)
    artifacts = await _artifacts(services, manifest)
    return tuple(await asyncio.to_thread(_restore, folder, manifest, artifacts, services))


async def _artifacts(services: Services, manifest: Mapping[str, Any]) -> dict[str, Artifact]:
    """What is still here of the run's results, by their digest."""
    keys = [str(job["key"]) for job in manifest["jobs"] if job["artifacts"] and "key" in job]
    found: dict[str, Artifact] = {}
    for record in (await services.ledger.get_many(keys)).values():
        for artifact in record.result.artifacts if record.result is not None else ():
            if not isinstance(artifact, BlobArtifact):
                found[hashlib.sha256(artifact.data()).hexdigest()] = artifact
    for listed in (listed for job in manifest["jobs"] for listed in job["artifacts"]):
        if listed["kind"] == "blob":  # also that of a pinned file, which no call has made
            file = FileRef(listed["sha256"], listed["media_type"], int(listed["bytes"]))
            found[listed["sha256"]] = BlobArtifact(file)
    return found


def _restore(
    folder: OutputFolder, manifest: Mapping[str, Any], artifacts: Mapping[str, Artifact], services: Services
) -> list[Path]:
    wanted: dict[str, Artifact] = {}
    for listed in (listed for job in manifest["jobs"] for listed in job["artifacts"]):
        name, sha256 = str(listed["file"]), str(listed["sha256"])
        artifact = artifacts.get(sha256)
        whole = not isinstance(artifact, BlobArtifact) or not services.blobs.verify(sha256)
        if artifact is not None and whole and not _is(folder.path / name, sha256):
            wanted[name] = artifact
    current = folder.manifest() == manifest
    if current and not wanted:
        return []
    restored = folder.restore(wanted, services.blobs, None if current else manifest)
    return [*restored, *([] if folder.report_is_current(manifest) else [folder.write_report(manifest)])]


def _is(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return False
