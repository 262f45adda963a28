"""The blob store: 64 MB from memory to a durable file with its digest, against the loop that one would write by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import median

from benchmarks.measuring import Figure, module_child
from callsheet.stores.blobs import LocalBlobs

__all__ = ["figures", "forget_peak", "peak"]

MEGABYTES = 64
PIECE = os.urandom(64 * 1024)
PIECES = MEGABYTES * 16
ROUNDS = 9


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


async def stored(folder: Path) -> None:
    """Through the store."""
    file = await LocalBlobs(folder).put(_pieces(), "application/octet-stream")
    if file.bytes != MEGABYTES * 2**20:
        raise RuntimeError("the file is not whole")


async def by_hand(folder: Path) -> None:
    """Hash, write, fsync, rename."""
    folder.mkdir()
    digest = hashlib.sha256()
    with (folder / "draft").open("wb", buffering=0) as file:
        async for piece in _pieces():
            digest.update(piece)
            file.write(piece)
        os.fsync(file.fileno())
    (folder / "draft").rename(folder / digest.hexdigest())


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Both ways in turn: medians of CPU and wall seconds, of the ratio within a round, and how far memory grew."""
    ways = {"hand": by_hand, "store": stored}
    taken: dict[str, list[float]] = {name: [] for name in ("hand", "store", "hand wall", "store wall")}
    grown = 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            for way, run in ways.items():
                before = forget_peak()
                wall, cpu = time.monotonic(), time.process_time()
                asyncio.run(run(Path(name) / f"{way}-{number}"))
                taken[way].append(time.process_time() - cpu)
                taken[f"{way} wall"].append(time.monotonic() - wall)
                grown = max(grown, peak() - before) if way == "store" else grown
    ratios = [hand / store for hand, store in zip(taken["hand"], taken["store"], strict=True)]
    return {name: median(values) for name, values in taken.items()} | {"ratio": median(ratios), "memory": grown / 1024}


def peak() -> int:
    """The largest resident memory so far, in KB. Not `ru_maxrss`: a child inherits that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def forget_peak() -> int:
    """Let the largest begin anew at what is resident now, which it gives, in KB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    found = module_child("blobs")
    yield Figure(
        "64 MB to disk with sha256, in pieces of 64 KB: speed by CPU time",
        f"{found['store'] * 1000:.0f} ms CPU, {found['store wall'] * 1000:.0f} ms wall",
        f"by hand {found['hand'] * 1000:.0f} ms CPU, {found['hand wall'] * 1000:.0f} ms wall",
        found["ratio"],
        "≥ 0.9 ×",
        found["ratio"] >= 0.9,
    )
    yield Figure(
        "… and how far resident memory grows", f"+{found['memory']:.1f} MB", "", None, "≤ +8 MB", found["memory"] <= 8
    )


if __name__ == "__main__":
    print(json.dumps(measure()))
