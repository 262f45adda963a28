"""Local files on their way in: attachments into the blob store, pins as the artifacts that they stand for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from callsheet.artifacts import Artifact, BlobArtifact, FileRef, JsonArtifact, TextArtifact
from callsheet.errors import ConfigError
from callsheet.expansion import Expansion
from callsheet.media import HEAD_BYTES, media_type_of
from callsheet.references import job_id
from callsheet.sheet_files import inside, parse_json, read_text
from callsheet.storage import BlobStore

__all__ = ["MAX_FILE_BYTES", "pinned_artifacts", "take_in", "take_in_all"]

MAX_FILE_BYTES = 1 << 30
_TEXTS = {".txt": "text/plain", ".md": "text/markdown"}


async def take_in(path: Path, blobs: BlobStore, where: str = "") -> FileRef:
    """Put a local file into the blob store. Raises ConfigError when it cannot be read or is over 1 GiB."""
    data = await asyncio.to_thread(_read, path, where)
    return await blobs.put(data, media_type_of(path.name, data[:HEAD_BYTES]), path.name)


def _read(path: Path, where: str) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path.name} is larger than {MAX_FILE_BYTES >> 30} GiB", where=where)
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror or error}", where=where) from None


async def take_in_all(paths: Iterable[Path], blobs: BlobStore) -> dict[Path, FileRef]:
    """`take_in` for each path."""
    return {path: await take_in(path, blobs) for path in sorted(paths)}


async def pinned_artifacts(expansion: Expansion, blobs: BlobStore) -> dict[str, tuple[Artifact, ...]]:
    """The artifacts of every pinned cell by job id. Raises ConfigError for missing files and wrong numbers of them."""
    pinned: dict[str, tuple[Artifact, ...]] = {}
    sheet = expansion.sheet
    for name, compiled in expansion.producers.items():
        pins, size = compiled.producer.pin, expansion.sizes[name]
        if not pins:
            continue
        where = f"{sheet.source.name}: producers.{name}.pin"
        if len(pins) != (1 if size is None else size):
            wanted = "one file" if size is None else f"a list of {size} files, one for each index"
            raise ConfigError(f"wants {wanted}, got {len(pins)}", where=where)
        for number, pin in enumerate(pins):
            path = inside(expansion.project, sheet.folder, pin, where)
            cell = job_id(name, None if size is None else number)
            pinned[cell] = (await _artifact(path, blobs, where),)
    return pinned


async def _artifact(path: Path, blobs: BlobStore, where: str) -> Artifact:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return JsonArtifact(parse_json(read_text(path, where), f"{where}: {path.name}"))
    if suffix in _TEXTS:
        return TextArtifact(read_text(path, where), _TEXTS[suffix])
    return BlobArtifact(await take_in(path, blobs, where))
