"""Verification of a run: the ledger's events, the blob store and the output folder must tell the same story."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callsheet.manifest import build_manifest, check_digest
from callsheet.outputs import MANIFEST, OutputFolder
from callsheet.report import REPORT
from callsheet.services import Services
from callsheet.storage import RunRecord

__all__ = ["Verification", "later_run", "rebuild_manifest", "verify_run"]

MAX_DIFFERENCES = 5


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: `problems` are wrong, `notes` only worth knowing; how many blobs and files were compared."""

    run: str
    output: Path
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    blobs: int
    files: int

    @property
    def ok(self) -> bool:
        """True when everything is as the events say."""
        return not self.problems


async def rebuild_manifest(services: Services, record: RunRecord) -> dict[str, Any]:
    """The run's manifest, derived from its events alone."""
    title = str(record.request.get("title", ""))
    manifest = build_manifest(record, title, await services.ledger.events(record.id))
    rebuilt: dict[str, Any] = json.loads(json.dumps(manifest))
    return rebuilt


async def verify_run(services: Services, record: RunRecord) -> Verification:
    """Compare the run's events with its manifest, every blob and every output file. Changes nothing."""
    manifest = await rebuild_manifest(services, record)
    digests = sorted({str(a["sha256"]) for _, a in _artifacts(manifest) if a.get("kind") == "blob"})
    problems = await asyncio.to_thread(_blob_problems, services, digests)
    if record.ended is None:
        note = "the run has not ended, so it has no manifest yet and no output files to compare"
        return Verification(record.id, Path(record.output), tuple(problems), (note,), len(digests), 0)
    folder = OutputFolder(Path(record.output))
    written = folder.manifest()
    successor = await later_run(services, record, folder)
    if successor:
        note = f"{record.output} holds the later run {successor} by now: only the ledger and the blobs were compared"
        return Verification(record.id, folder.path, tuple(problems), (note,), len(digests), 0)
    problems += _manifest_problems(folder.path / MANIFEST, written, manifest)
    files = {str(a["file"]): str(a["sha256"]) for _, a in _artifacts(manifest)}
    problems += await asyncio.to_thread(_file_problems, folder.path, files)
    current = await asyncio.to_thread(folder.report_is_current, manifest)
    notes = () if current else (f"{folder.path / REPORT} is not as written: `callsheet runs open` writes it again",)
    return Verification(record.id, folder.path, tuple(problems), notes, len(digests), len(files))


async def later_run(services: Services, record: RunRecord, folder: OutputFolder) -> str:
    """The id of the later run that took the output folder over, as an unaltered manifest of it says."""
    written = folder.manifest()
    if written is None or written.get("run") == record.id or not check_digest(written):
        return ""
    known = {run.id for run in await services.ledger.runs(limit=100_000) if run.started >= record.started}
    return str(written["run"]) if written.get("run") in known else ""


def _artifacts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for job in manifest["jobs"]:
        for artifact in job["artifacts"]:
            yield job["id"], artifact


def _blob_problems(services: Services, digests: list[str]) -> list[str]:
    found = ((sha256, services.blobs.verify(sha256)) for sha256 in digests)
    return [
        f"the blob {sha256} is {what}: bring it back from a backup, or run again (it is then paid again)"
        for sha256, what in found
        if what
    ]


def _manifest_problems(path: Path, written: Mapping[str, object] | None, rebuilt: Mapping[str, object]) -> list[str]:
    if written is None:
        return [f"{path} is missing or no manifest: `callsheet resume {rebuilt['run']}` writes it again"]
    problems = []
    if not check_digest(written):
        problems.append(f"{path} was edited: its digest does not fit its content")
    differences = list(_differences(written, rebuilt, ""))
    for place, there, wanted in differences[:MAX_DIFFERENCES]:
        problems.append(f"{path}: {place} is {_short(there)}, the events say {_short(wanted)}")
    if len(differences) > MAX_DIFFERENCES:
        problems.append(f"{path}: {len(differences) - MAX_DIFFERENCES} more differences from the events")
    return problems


def _differences(there: object, wanted: object, place: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(key for key in there if key not in wanted)]:
            if key != "digest" or place:
                yield from _differences(there.get(key), wanted.get(key), f"{place}.{key}" if place else key)
    elif isinstance(there, list) and isinstance(wanted, list) and len(there) == len(wanted):
        for number, (one, other) in enumerate(zip(there, wanted, strict=True)):
            yield from _differences(one, other, f"{place}[{number}]")
    elif there != wanted:
        yield place, there, wanted


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:80] + "…"


def _file_problems(folder: Path, files: Mapping[str, str]) -> list[str]:
    problems = []
    for name, sha256 in files.items():
        path = folder / name
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            problems.append(f"the output file {path} is missing")
        except OSError as error:
            problems.append(f"the output file {path} cannot be read: {error.strerror or error}")
        else:
            if found != sha256:
                problems.append(f"the output file {path} was changed: its sha256 is {found}, and was {sha256}")
    return problems
