"""Network file systems are found in Linux's mount table."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import ConfigError
from callsheet.stores import filesystem
from callsheet.stores.filesystem import make_folder, network_type, refuse_network

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw - nfs4 server:/home rw
31 30 8:2 / /home/me/local rw shared:2 master:1 - xfs /dev/sdb rw
32 22 0:41 / /mnt/my\\040share rw - cifs //server/share rw
33 22 0:42 / /mnt/ssh rw - fuse.sshfs me@host: rw
34 22 0:43 / /twice rw - nfs server:/ rw
35 22 8:3 / /twice rw - ext4 /dev/sdc rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/project", ""),
        ("/home/me/project", "nfs4"),
        ("/home/me/local/project", ""),
        ("/homework", ""),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/twice/x", ""),
    ],
)
def test_the_deepest_and_latest_mount_decides(path, kind):
    """Also with escaped spaces, nested mounts and folders that only begin alike."""
    assert network_type(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """The message says why and what to do."""
    table = tmp_path / "mountinfo"
    table.write_text("22 1 8:1 / / rw - nfs server:/ rw\n")
    monkeypatch.setattr(filesystem, "_MOUNTS", table)
    with pytest.raises(ConfigError, match=r"\(nfs\).*local disk"):
        refuse_network(tmp_path / "ledger.sqlite3")


def test_no_mount_table_is_no_reason_to_refuse(tmp_path, monkeypatch):
    """Other systems have none."""
    monkeypatch.setattr(filesystem, "_MOUNTS", tmp_path / "absent")
    assert refuse_network(tmp_path) is None


def test_folders_are_made_with_their_parents(tmp_path):
    """Also when they are there already."""
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
