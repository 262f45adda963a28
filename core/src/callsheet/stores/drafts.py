"""Files on their way into the blob store: written under a lock, hashed while written, linked into place when whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import uuid4

from callsheet.errors import CallsheetError
from callsheet.stores.filesystem import make_folder, sync_folder

__all__ = ["Draft", "sweep"]


class Draft:
    """One unfinished file. Its own file lock tells other processes that it is in use.

    `write` and `finish` run in threads which nothing can stop, so `drop` (from the event loop, after a cancellation)
    never waits for them: the thread that is at work cleans up after itself.
    """

    def __init__(self, folder: Path) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._busy = Lock()
        self._dropped = False
        try:
            self._path, self._file = _create(folder)
        except OSError as error:
            raise _refused(folder, error) from error

    def write(self, *chunks: bytes) -> None:
        """Append the chunks. Raises CallsheetError when the disk refuses."""
        try:
            with self._busy:
                if self._dropped:
                    return
                # Many small chunks are joined, to save system calls; large ones are not copied.
                for chunk in chunks if len(chunks) <= 64 else (b"".join(chunks),):
                    self._hash.update(chunk)
                    self._size += len(chunk)
                    rest = memoryview(chunk)
                    while rest:
                        rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise _refused(self._path, error) from error
        finally:
            self._clean()

    def finish(self, files: Path) -> tuple[str, int]:
        """Put the file in its place below `files`, durably, and return its sha256 and size in bytes."""
        try:
            with self._busy:
                sha256 = self._hash.hexdigest()
                if not self._dropped:
                    os.fsync(self._file)
                    self._place(files / sha256[:2], sha256)
                    self._dropped = True
                return sha256, self._size
        except OSError as error:
            raise _refused(self._path, error) from error
        finally:
            self._clean()

    def drop(self) -> None:
        """Remove what is left of the draft. Safe to call at any time and more than once."""
        self._dropped = True
        self._clean()

    def _place(self, folder: Path, name: str) -> None:
        make_folder(folder)
        target = folder / name
        try:
            os.link(self._path, target)
        except OSError:
            # There already (perhaps cut short or altered: ours is whole), or a file system without links.
            self._path.replace(target)
        sync_folder(folder)

    def _clean(self) -> None:
        # Asked again after each piece of work: a drop that came meanwhile could not take the lock.
        if not (self._dropped and self._busy.acquire(blocking=False)):
            return
        try:
            if self._file >= 0:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = -1
        finally:
            self._busy.release()


def sweep(folder: Path) -> None:
    """Remove the drafts of dead processes: those which nobody has locked."""
    for path in folder.iterdir():
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / uuid4().hex
        # Read-only for everybody else: an application that edits it in place would alter what was paid for.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # a process that was sweeping removed it before it was locked


def _refused(path: Path, error: OSError) -> CallsheetError:
    return CallsheetError(f"cannot write to {path}: {error.strerror or error}; make room or check the permissions")
