"""Files by their sha256 on this machine's disk."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterable
from pathlib import Path

from callsheet.artifacts import FileRef
from callsheet.errors import CallsheetError
from callsheet.stores.drafts import Draft, sweep
from callsheet.stores.filesystem import make_folder, sync_folder

__all__ = ["LocalBlobs"]

_HEX = re.compile(r"[0-9a-f]{64}")
_INLINE = 64 * 1024
"""Bytes below which a thread costs more than the work."""
_PIECE = 4 * 1024 * 1024
"""Bytes gathered from a stream (not copied) before they are hashed and written at once."""


class LocalBlobs:
    """A `BlobStore` in a folder: `sha256/ab/<hex>`, written to `tmp/`, fsynced and linked into place.

    A file is in the store whole or not at all, also when the process is killed or the machine loses power.
    """

    def __init__(self, folder: Path) -> None:
        """Open the store, creating it if needed; unfinished files of dead processes are removed."""
        self.folder = folder
        self._files = folder / "sha256"
        self._drafts = folder / "tmp"
        make_folder(self._files)
        make_folder(self._drafts)
        sweep(self._drafts)

    async def put(self, data: bytes | AsyncIterable[bytes], media_type: str, name: str = "") -> FileRef:
        """Store the bytes durably and return their reference. Raises CallsheetError when the disk refuses them."""
        if isinstance(data, (bytes, bytearray, memoryview)):
            sha256, size = await self._put_whole(bytes(data))
        else:
            sha256, size = await self._put_stream(data)
        return FileRef(sha256, media_type, size, name)

    def path(self, sha256: str) -> Path:
        """Where the file lies. Raises CallsheetError when it is not in the store."""
        path = self._place(sha256)
        if path is None or not path.is_file():
            raise CallsheetError(_missing(sha256, self.folder))
        return path

    def has(self, sha256: str) -> bool:
        """True when the store holds the file; its content is not looked at (see `verify`)."""
        path = self._place(sha256)
        return path is not None and path.is_file()

    async def read(self, file: FileRef) -> bytes:
        """The file's bytes. Raises CallsheetError when it is missing or no longer what its digest says."""
        path = self.path(file.sha256)
        if file.bytes < _INLINE and path.stat().st_size < _INLINE:
            return self._read(file.sha256, path)
        return await asyncio.to_thread(self._read, file.sha256, path)

    def verify(self, sha256: str) -> str:
        """Read the file and compare: "" when it is as it was stored, else "missing" or "altered"."""
        path = self._place(sha256)
        if path is None:
            return "missing"
        try:
            with path.open("rb") as file:
                return "" if hashlib.file_digest(file, "sha256").hexdigest() == sha256 else "altered"
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "altered"

    def list_digests(self) -> list[str]:
        """The digests of all files in the store, sorted."""
        found = (path.name for path in self._files.glob("[0-9a-f][0-9a-f]/*") if path.is_file())
        return sorted(name for name in found if _HEX.fullmatch(name))

    def _place(self, sha256: str) -> Path | None:
        # Digests come from receipts and results of others: nothing but a digest becomes a path.
        return self._files / sha256[:2] / sha256 if _HEX.fullmatch(sha256) else None

    def _read(self, sha256: str, path: Path) -> bytes:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise CallsheetError(_missing(sha256, self.folder)) from None
        except OSError as error:
            raise CallsheetError(f"the file {path} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CallsheetError(
                f"the file {sha256} was altered after it was stored: bring {path} back from a backup, "
                "or delete it and run again (the call that made it is then paid again)"
            )
        return data

    async def _put_whole(self, data: bytes) -> tuple[str, int]:
        if len(data) < _INLINE:
            return self._write_whole(data)
        return await asyncio.to_thread(self._write_whole, data)

    def _write_whole(self, data: bytes) -> tuple[str, int]:
        sha256 = hashlib.sha256(data).hexdigest()
        if self._holds(sha256, len(data)):
            return sha256, len(data)
        draft = Draft(self._drafts)
        try:
            draft.write(data)
            return draft.finish(self._files)
        finally:
            draft.drop()

    def _holds(self, sha256: str, size: int) -> bool:
        path = self._files / sha256[:2] / sha256
        try:
            if path.stat().st_size != size:
                return False
            # Whoever linked it may not have come to this yet, and we are about to say that it is durable.
            sync_folder(path.parent)
        except OSError:
            return False
        return True

    async def _put_stream(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        draft: Draft | None = None
        gathered: list[bytes] = []
        size = 0
        try:
            async for chunk in chunks:
                gathered.append(bytes(chunk))  # costs nothing for bytes; a stream that reuses its buffer is copied
                size += len(chunk)
                if size >= _PIECE:
                    draft = draft or Draft(self._drafts)
                    await asyncio.to_thread(draft.write, *gathered)
                    gathered, size = [], 0
            if draft is None:
                return await self._put_whole(b"".join(gathered))
            if gathered:
                await asyncio.to_thread(draft.write, *gathered)
            return await asyncio.to_thread(draft.finish, self._files)
        finally:
            if draft is not None:
                draft.drop()


def _missing(sha256: str, folder: Path) -> str:
    return (
        f"the file {sha256!r:.80} is not in {folder}: bring it back from a backup, "
        "or run again (the call that made it is then paid again)"
    )
