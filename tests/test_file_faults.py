"""A disk that is full, breaks, or loses its process in the middle of a system call: nothing torn is read as whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")

LEDGER = [
    *(("fdatasync", "signal=SIGKILL", n) for n in (2, 12)),
    *(("fdatasync", "error=EIO", n) for n in (5, 12)),
    ("fdatasync", "error=ENOSPC", 7),
    *(("pwrite64", "signal=SIGKILL", n) for n in (5, 120, 250)),
    *(("pwrite64", "error=ENOSPC", n) for n in (40, 170)),
    ("pwrite64", "error=EIO", 100),
]
FILES = [
    *(("link", "signal=SIGKILL", n) for n in (2, 6)),
    ("link", "error=EIO", 3),
    *(("fsync", "signal=SIGKILL", n) for n in (5, 14)),
    *(("fsync", "error=ENOSPC", n) for n in (6, 11)),
    ("fsync", "error=EIO", 9),
    *(("rename", "signal=SIGKILL", n) for n in (3, 7)),
    ("rename", "error=ENOSPC", 5),
    *(("write", "signal=SIGKILL", n) for n in (9, 24)),
]
"""System call, fault, and at which call of a thread: of the ledger's files, and of blobs, outputs and the journal."""


@pytest.fixture(scope="session")
def strace():
    """The beginning of a command under strace. It is no option: without it these tests would prove nothing."""
    if not sys.platform.startswith("linux") or (YAMA.exists() and YAMA.read_text().strip() == "3"):
        pytest.skip("no process may trace another one on this machine")
    found = shutil.which("strace")
    if found is None:
        pytest.fail("strace is needed for these tests: apt-get install strace")
    tried = subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, timeout=60)
    if "Operation not permitted" in tried.stderr:
        pytest.skip("no process may trace another one in this container")
    assert tried.returncode == 0, tried.stderr
    return (found, "-f", "-qq", "-o")


def faulty(stage, strace, point, files=()):
    """Run the sheet with one fault injected; gives the ended process. The fault must have happened."""
    call, fault, number = point
    log = stage.folder.parent / "strace.log"
    quick = [] if fault.startswith("signal") else ["--seccomp-bpf"]  # strace 6.1 injects no signals with it
    paths = [word for file in files for word in ("-P", str(file))]
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}")
    ended = stage.run("run", ".", before=(*strace, str(log), *quick, *paths, *inject))
    told = log.read_text()
    assert "killed by SIGKILL" in told or "(INJECTED)" in told, "the fault was never reached"
    return ended


def assert_recovers(stage, undisturbed, ended):
    """The fault was told in words; what is there is whole; the run completes, and no receipt's job is paid twice."""
    assert "Traceback" not in ended.stderr
    assert "bug in callsheet" not in ended.stderr
    assert stage.torn() == []
    if stage.latest():
        verified = stage.run("runs", "verify", "--json")
        told = json.loads(verified.stdout)
        assert verified.returncode == (0 if told["ok"] else 1), verified.stderr
        assert told["ok"] or told["problems"]
        again = json.loads(stage.run("runs", "verify", "--json").stdout)
        assert (again["ok"], again["repaired"]) == (told["ok"], [])
    resumed = stage.go_on()
    if resumed.returncode:
        assert "--on-unknown retry" in resumed.stderr, resumed.stderr
        resumed = stage.go_on("--on-unknown", "retry")
    assert resumed.returncode == 0, resumed.stderr
    stage.assert_whole(undisturbed)


@pytest.mark.parametrize("point", LEDGER, ids=lambda point: "-".join(map(str, point)))
def test_the_ledger_under_faults(stage, undisturbed, strace, point):
    """One system call on the ledger's files fails, or is the process's last."""
    files = [stage.state / f"ledger.sqlite3{end}" for end in ("", "-wal", "-journal")]
    assert_recovers(stage, undisturbed, faulty(stage, strace, point, files))


@pytest.mark.parametrize("point", FILES, ids=lambda point: "-".join(map(str, point)))
def test_blobs_and_outputs_under_faults(stage, undisturbed, strace, point):
    """One system call on any other file fails, or is the process's last."""
    assert_recovers(stage, undisturbed, faulty(stage, strace, point))
