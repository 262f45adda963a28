"""The output folder: finished files under human names, with the manifest that says which are ours."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from callsheet.artifacts import Artifact, BlobArtifact
from callsheet.errors import ConfigError
from callsheet.storage import BlobStore

__all__ = ["MANIFEST", "OutputFolder"]

MANIFEST = "manifest.json"


class OutputFolder:
    """A folder that callsheet owns: it was empty, or its manifest says that a run made it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raises ConfigError when the folder holds files that no run made: nothing of others is ever overwritten."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ConfigError("is a file; the artifacts go into a folder", where=str(self.path))
        if any(self.path.iterdir()) and not self._owned():
            raise ConfigError(
                f"has files but no {MANIFEST} of callsheet: choose an empty or new folder with -o", where=str(self.path)
            )

    def write(
        self, manifest: Mapping[str, object], results: Mapping[str, tuple[Artifact, ...]], blobs: BlobStore
    ) -> list[Path]:
        """Put every artifact in place, remove what an earlier run made and this one does not, and return the paths.

        The manifest is replaced last: a folder whose manifest names a file has that file whole.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        before = self._owned()
        written: list[Path] = []
        jobs = manifest["jobs"]
        assert isinstance(jobs, list)
        for job in jobs:
            for listed, artifact in zip(job["artifacts"], results.get(job["id"], ()), strict=False):
                self._put(listed["file"], artifact, blobs)
                written.append(self.path / listed["file"])
        for name in before - {path.name for path in written}:
            (self.path / name).unlink(missing_ok=True)
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        self._replace(MANIFEST, (text + "\n").encode())
        return written

    def manifest(self) -> dict[str, object] | None:
        """The folder's manifest, or None when there is none that can be read."""
        try:
            data = json.loads((self.path / MANIFEST).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return data if isinstance(data, dict) and "callsheet" in data and isinstance(data.get("jobs"), list) else None

    def _owned(self) -> set[str]:
        manifest = self.manifest()
        if manifest is None:
            return set()
        jobs = manifest["jobs"]
        assert isinstance(jobs, list)
        names = {str(a.get("file")) for job in jobs for a in job.get("artifacts", ())} | {MANIFEST}
        return {name for name in names if Path(name).name == name}

    def _put(self, name: str, artifact: Artifact, blobs: BlobStore) -> None:
        if not isinstance(artifact, BlobArtifact):
            self._replace(name, artifact.data())
            return
        source = blobs.path(artifact.file.sha256)
        draft = self._draft(name)
        shutil.copyfile(source, draft)
        draft.replace(self.path / name)

    def _replace(self, name: str, data: bytes) -> None:
        draft = self._draft(name)
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.path / name)

    def _draft(self, name: str) -> Path:
        return self.path / f".{name}.{uuid.uuid4().hex[:8]}"
