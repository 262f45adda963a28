"""Memory of a job that waits for its provider: resident memory of a run whose jobs never end, by their number."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Figure, module_child
from benchmarks.studio import FLAT, Idle, open_client, write_sheet
from callsheet.runs import RunRequest

__all__ = ["figures"]

SIZES = (10_000, 100_000)
FIRST = asyncio.FIRST_COMPLETED
DEADLINE = 240.0
"""Seconds after which what is measured is what there is."""


def _resident() -> int:
    """Bytes of resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure(jobs: int) -> dict[str, float]:
    """Submit all jobs, wait until each was polled once, look at the memory, and leave without a clean end."""
    idle = Idle(jobs)

    async def sleep(seconds: float) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client = await open_client(folder, idle, durable=False, sleep=sleep)
        sheet = write_sheet(folder, FLAT, jobs, model="job")
        await client.plan(write_sheet(folder, FLAT, 10, model="job"))
        gc.collect()
        before, cpu = _resident(), time.process_time()
        task = asyncio.create_task(client.run(sheet, RunRequest(output=folder / "out")))
        await asyncio.wait([task, asyncio.create_task(idle.all_polled.wait())], timeout=DEADLINE, return_when=FIRST)
        if task.done():
            task.result()
        gc.collect()
        grown, cpu = _resident() - before, time.process_time() - cpu
    return {"waiting": idle.polled, "bytes": grown / idle.polled, "cpu": cpu / idle.polled, "resident": grown / 2**20}


def figures(*, large: bool = True) -> Iterator[Figure]:
    """Rows for the table."""
    first: float | None = None
    for jobs in SIZES if large else SIZES[:1]:
        found = module_child("waiting", jobs)
        yield Figure(
            f"{found['waiting']:,} remote jobs that wait (ledger, plan and sheet in memory included)",
            f"{found['bytes'] / 1024:.1f} KB a job, {found['resident']:,.0f} MB",
            "" if first is None else "a job among 10,000",
            None if first is None else found["bytes"] / first,
        )
        first = found["bytes"]


if __name__ == "__main__":
    # The jobs wait for ever, and to cancel 100,000 of them is not what is measured.
    found = asyncio.Runner().run(measure(int(sys.argv[1])))
    print(json.dumps(found), flush=True)
    os._exit(0)
