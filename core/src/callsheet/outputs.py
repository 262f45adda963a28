"""The output folder: finished files under human names, with the manifest that says which are ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from callsheet.artifacts import Artifact, BlobArtifact
from callsheet.errors import CallsheetError, ConfigError
from callsheet.report import MAX_TEXT, REPORT, is_report, render_report, shows_text
from callsheet.storage import BlobStore
from callsheet.stores.filesystem import whole_file

__all__ = ["MANIFEST", "OutputFolder"]

MANIFEST = "manifest.json"
_STARTED = b'{"callsheet": 1, "status": "writing", "jobs": []}\n'


class OutputFolder:
    """A folder that callsheet owns: it was empty, or its manifest says that a run made it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raises ConfigError when the folder holds files that no run made: nothing of others is ever overwritten."""
        if not self.path.exists():
            self._check_parent()
            return
        if not self.path.is_dir():
            raise ConfigError("is a file; the artifacts go into a folder", where=str(self.path))
        self._check_writable(self.path)
        if any(self.path.iterdir()) and self.manifest() is None:
            raise ConfigError(
                f"has files but no {MANIFEST} of callsheet: choose an empty or new folder with -o", where=str(self.path)
            )

    def write(
        self, manifest: Mapping[str, object], results: Mapping[str, tuple[Artifact, ...]], blobs: BlobStore
    ) -> list[Path]:
        """Put every artifact in place, remove what an earlier run made and this one does not, and return the paths.

        The manifest comes after the files and the report: a folder whose manifest names a file has that file whole. What an earlier
        manifest names is removed only when it is still what that run wrote. Raises CallsheetError.
        """
        try:
            return self._write(manifest, results, blobs)
        except OSError as error:
            told = f"{error.strerror or error}; nothing is lost, the results are in the store: run the sheet again"
            raise CallsheetError(f"{self.path}: the outputs cannot be written: {told}") from error

    def _write(
        self, manifest: Mapping[str, object], results: Mapping[str, tuple[Artifact, ...]], blobs: BlobStore
    ) -> list[Path]:
        self.path.mkdir(parents=True, exist_ok=True)
        before = self._listed(self.manifest() or {})
        if self.manifest() is None:
            self._replace(MANIFEST, _STARTED)  # from here on the folder is ours, whatever interrupts the rest
        written: list[Path] = []
        jobs = manifest["jobs"]
        assert isinstance(jobs, list)
        for job in jobs:
            for listed, artifact in zip(job["artifacts"], results.get(job["id"], ()), strict=False):
                if not _is_plain_name(listed["file"]):
                    raise CallsheetError(f"{self.path}: {listed['file']!r} is no file name for an artifact")
                self._put(listed["file"], artifact, blobs)
                written.append(self.path / listed["file"])
        self._put_report(self.report(manifest))
        self._put_manifest(manifest)
        self._remove_stale(before, {path.name.casefold() for path in written})
        return written

    def restore(
        self, artifacts: Mapping[str, Artifact], blobs: BlobStore, manifest: Mapping[str, object] | None = None
    ) -> list[Path]:
        """Put single files of this folder back by their names, the manifest last. Raises CallsheetError.

        What stands there under such a name was changed by somebody: it is kept beside, as `NAME.altered.EXT`.
        """
        restored: list[Path] = []
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name, artifact in artifacts.items():
                if _is_plain_name(name):
                    self._set_aside(name)
                    self._put(name, artifact, blobs)
                    restored.append(self.path / name)
            if manifest is not None:
                self._put_manifest(manifest)
                restored.append(self.path / MANIFEST)
        except OSError as error:
            raise CallsheetError(f"{self.path}: the outputs cannot be written: {error.strerror or error}") from error
        return restored

    def _set_aside(self, name: str) -> None:
        path = self.path / name
        if path.is_file():
            path.replace(path.with_name(f"{path.stem}.altered{path.suffix}"))

    def manifest(self) -> dict[str, object] | None:
        """The folder's manifest, or None when there is none that can be read."""
        try:
            data = json.loads((self.path / MANIFEST).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return data if isinstance(data, dict) and "callsheet" in data and isinstance(data.get("jobs"), list) else None

    def report(self, manifest: Mapping[str, object]) -> bytes:
        """The page about this manifest and the files that are here."""
        files: dict[str, str | None] = {}
        jobs = manifest["jobs"]
        assert isinstance(jobs, list)
        for artifact in (artifact for job in jobs for artifact in job["artifacts"]):
            path = self.path / artifact["file"]
            if _is_plain_name(artifact["file"]) and path.is_file():
                files[path.name] = _beginning(path) if shows_text(str(artifact.get("media_type"))) else None
        return render_report(manifest, files)

    def report_is_current(self, manifest: Mapping[str, object]) -> bool:
        """True when the report is what `report` gives; False also when it is not there."""
        try:
            return (self.path / REPORT).read_bytes() == self.report(manifest)
        except OSError:
            return False

    def write_report(self, manifest: Mapping[str, object]) -> Path:
        """Write the report anew, where it is not current. Raises CallsheetError for a page that is not ours."""
        path = self.path / REPORT
        try:
            if not self.report_is_current(manifest) and not self._put_report(self.report(manifest)):
                raise CallsheetError(f"{path} is no report of callsheet, so it stays: move it away")
        except OSError as error:
            raise CallsheetError(f"{path} cannot be written: {error.strerror or error}") from error
        return path

    def _put_manifest(self, manifest: Mapping[str, object]) -> None:
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        self._replace(MANIFEST, (text + "\n").encode(errors="replace"))

    def _put_report(self, page: bytes) -> bool:
        """Put the page in its place, unless somebody's own page lies there."""
        path = self.path / REPORT
        if path.is_symlink() or path.exists():
            if path.is_symlink() or not path.is_file():
                return False
            with path.open("rb") as stream:
                if not is_report(stream.read(4096)):
                    return False
        self._replace(REPORT, page)
        return True

    def _check_parent(self) -> None:
        if self.path.is_symlink():
            raise ConfigError("is a link that leads nowhere", where=str(self.path))
        parent = next(parent for parent in self.path.absolute().parents if parent.exists())
        if not parent.is_dir():
            raise ConfigError(f"cannot be a folder: {parent} is a file", where=str(self.path))
        self._check_writable(parent)

    def _check_writable(self, folder: Path) -> None:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot be written: {folder} allows no new files", where=str(self.path))

    def _listed(self, manifest: Mapping[str, object]) -> dict[str, str]:
        """The files that a manifest names, by digest. It may be hostile: only plain names count."""
        jobs = manifest.get("jobs")
        lists = [job.get("artifacts") for job in jobs if isinstance(job, dict)] if isinstance(jobs, list) else []
        artifacts = [a for listed in lists if isinstance(listed, list) for a in listed if isinstance(a, dict)]
        return {str(a["file"]): str(a.get("sha256")) for a in artifacts if _is_plain_name(a.get("file"))}

    def _remove_stale(self, before: Mapping[str, str], written: set[str]) -> None:
        for name, sha256 in before.items():
            path = self.path / name
            if name.casefold() in written or name == MANIFEST or path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as stream:
                is_ours = hashlib.file_digest(stream, "sha256").hexdigest() == sha256
            if is_ours:
                path.unlink(missing_ok=True)

    def _put(self, name: str, artifact: Artifact, blobs: BlobStore) -> None:
        if not isinstance(artifact, BlobArtifact):
            self._replace(name, artifact.data())
            return
        source = blobs.path(artifact.file.sha256)
        with whole_file(self.path / name) as draft:
            shutil.copyfile(source, draft)

    def _replace(self, name: str, data: bytes) -> None:
        with whole_file(self.path / name) as draft, draft.open("wb") as stream:
            stream.write(data)


def _beginning(path: Path) -> str:
    """The first characters of a text file, one more than are shown."""
    with path.open("rb") as stream:
        data = stream.read(4 * (MAX_TEXT + 1))
    return data.decode(errors="replace")[: MAX_TEXT + 1]


def _is_plain_name(name: object) -> bool:
    """True for a visible file name of this folder: no path, no way up."""
    return (
        isinstance(name, str)
        and name != ""
        and Path(name).name == name
        and not name.startswith(".")
        and name.isprintable()
    )
