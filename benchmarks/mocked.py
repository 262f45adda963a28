"""The mock: CPU of the volcano example, from a new process to its files, and once more when all is paid for."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import ROOT, Figure, child

__all__ = ["figures"]


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    command = [sys.executable, "-m", "callsheet", "run", ".", "--mode", "mock", "--json"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "volcano"
        ignored = shutil.ignore_patterns(".callsheet", "output*")
        shutil.copytree(ROOT / "examples" / "volcano", folder, ignore=ignored)
        bare = child([sys.executable, "-c", "pass"])
        for what in ("first run", "second run: everything reused"):
            spent = child(command, cwd=folder)
            yield Figure(
                f"volcano example, mocked, {what}",
                f"{spent.cpu:.2f} s CPU, {spent.memory:.0f} MB",
                f"bare python {bare.cpu:.2f} s",
                spent.cpu / bare.cpu,
            )
