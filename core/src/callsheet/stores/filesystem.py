"""What the stores need of a file system: durable directory entries, and locks which hold (so no network mounts)."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callsheet.errors import ConfigError

__all__ = ["make_folder", "network_type", "refuse_network", "sync_folder", "whole_file"]

# fmt: off
_NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph",
    "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb3", "smbfs",
})
# fmt: on
_MOUNTS = Path("/proc/self/mountinfo")


def network_type(path: Path, mountinfo: str) -> str:
    """The type of the network file system that holds `path` (absolute, resolved); empty when it is a local one.

    `mountinfo` is the text of Linux's /proc/self/mountinfo.
    """
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        words = left.split()
        if not dash or len(words) < 5 or not right:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), words[4]))
        # A later mount hides an earlier one on the same folder, hence not "greater than" alone.
        if len(point.parts) >= best and path.is_relative_to(point):
            best, kind = len(point.parts), right.split()[0]
    return kind if kind in _NETWORK else ""


def refuse_network(path: Path) -> None:
    """Raise ConfigError when `path` lies on a network file system, where file locks and SQLite's WAL do not hold."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    if kind := network_type(path.resolve(), mounts):
        raise ConfigError(
            f"{path} lies on a network file system ({kind}), where locks do not hold and a call could be paid twice: "
            "move the project to a local disk"
        )


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, durably. Raises ConfigError when that is not possible."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {folder}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to fill; it takes the name `path` when it is whole, and is gone when something went wrong."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield draft
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
