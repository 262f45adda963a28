"""Who works on a call: an owner is a file lock held for the life of a process. No clock, no heartbeat, no lease."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from callsheet.errors import ConfigError
from callsheet.stores.filesystem import make_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Owner"]

_ID = re.compile(r"[0-9a-f]{32}")


class Owner:
    """This process's identity among those that share a state folder.

    The kernel drops the lock when the process ends, however it ends; it is also dropped when nothing refers to this
    object any more (a Ledger refers to its owner). A child made by a bare `os.fork` shares the lock:
    its owner counts as alive until both are gone.
    """

    def __init__(self, folder: Path, owner_id: str, lock: BaseFileLock) -> None:
        self.folder = folder
        self.id = owner_id
        self._lock: BaseFileLock | None = lock

    @classmethod
    def start(cls, folder: Path) -> Owner:
        """Become an owner in the state folder `folder`: the lock `owners/<id>.lock` is held when this returns.

        Raises ConfigError when the folder cannot be written or its file system has no locks.
        """
        owners = folder / "owners"
        make_folder(owners)
        _sweep(owners)
        while True:
            owner_id = uuid4().hex
            path = owners / f"{owner_id}.lock"
            lock = _lock(path)
            # A sweeping process may have removed the file just before it was locked; then the lock guards no name.
            if _locked(path):
                return cls(folder, owner_id, lock)
            lock.release()

    def is_alive(self, owner_id: str) -> bool:
        """True while the process with this id lives; an id nobody has is dead."""
        if owner_id == self.id:
            return self._lock is not None
        return _ID.fullmatch(owner_id) is not None and _locked(self.folder / "owners" / f"{owner_id}.lock")

    def close(self) -> None:
        """Stop being an owner: what it still holds may be taken over. Safe to call twice."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        (self.folder / "owners" / f"{self.id}.lock").unlink(missing_ok=True)
        lock.release()


def _lock(path: Path) -> BaseFileLock:
    import warnings

    from filelock import FileLock, SoftFileLock

    lock = FileLock(path, thread_local=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise ConfigError(f"cannot lock {path}: {error}; the state folder must be on a local, writable disk") from error
    if isinstance(
        lock, SoftFileLock
    ):  # filelock's stand-in where the kernel has no locks; it outlives a killed process
        lock.release()
        raise ConfigError(f"the file system of {path.parent} has no file locks: move the project to a local disk")
    return lock


def _locked(path: Path) -> bool:
    # Shared, so that processes which ask at the same moment do not take each other for the owner; and without creating
    # the file. The owner holds the same kernel lock (flock) exclusively, through filelock.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _sweep(owners: Path) -> None:
    """Remove the lock files of dead owners; a missing file says the same."""
    for path in owners.glob("*.lock"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)
