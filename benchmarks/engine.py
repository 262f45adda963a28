"""The engine: CPU of a run of jobs that do nothing, by phase, against a bare TaskGroup."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Clock, Figure, limit, module_child
from benchmarks.studio import CHAIN, FLAT, open_client, write_sheet
from callsheet import runs
from callsheet.expansion import Cell, expand
from callsheet.outputs import OutputFolder
from callsheet.runner import JobOutcome, JobStatus, Runner, RunOptions
from callsheet.runs import RunRequest, SheetRun

__all__ = ["figures"]

JOBS = 10_000
SIZES = (1_000, JOBS, 100_000)
SHEETS = {"flat": FLAT, "chain": CHAIN}


class _OnlyScheduling(Runner):
    """The runner without what a job does: queue, slots, tasks, edges and outcomes remain."""

    __slots__ = ()

    async def _outcome(self, cell: Cell, slot: object) -> JobOutcome:  # noqa: ARG002
        return JobOutcome(cell.id, JobStatus.EXECUTED)


async def _noop() -> None:
    return None


async def bare_tasks(jobs: int) -> dict[str, float]:
    """A TaskGroup of coroutines that do nothing."""
    gc.collect()
    clock = Clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(_noop())
    return {"cpu": clock.lap()}


async def scheduling(jobs: int, sheet: str) -> dict[str, float]:
    """The runner's scheduling alone, of a sheet that is already expanded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expansion = expand(write_sheet(folder, SHEETS[sheet], jobs), folder)
    nothing: Any = None
    runner = _OnlyScheduling(
        run_id="",
        sheet="",
        expansion=expansion,
        preparer=nothing,
        performer=nothing,
        services=nothing,
        options=RunOptions(64),
        pinned={},
        prior={},
    )
    gc.collect()
    clock = Clock()
    outcomes = await runner.run()
    taken = clock.lap()
    if len(outcomes) != jobs:
        raise RuntimeError("not every job was scheduled")
    return {"cpu": taken}


class _NoFolder(OutputFolder):
    """No output files: ten thousand of them, each flushed to the disk, would be most of the time."""

    def write(self, *_: object) -> list[Path]:
        """Nothing."""
        return []


def _files_by_hand(folder: Path, jobs: int) -> float:
    """CPU seconds of what the output folder asks of the file system: write, fsync and rename each file."""
    folder.mkdir()
    clock = Clock()
    for number in range(jobs):
        draft = folder / f".{number}.draft"
        with draft.open("wb") as stream:
            stream.write(b"job")
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(folder / f"a-{number}.txt")
    return clock.lap()


async def phases(jobs: int, sheet: str, ledger: str) -> dict[str, float]:
    """Expand, plan, run without output files, and plan again when everything is paid for; `ledger` is on or off."""
    setattr(runs, "OutputFolder", _NoFolder)  # noqa: B010 - the run makes its folder itself
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with await open_client(folder, durable=ledger == "on") as client:
            warm = write_sheet(folder, SHEETS[sheet], 10)
            await client.run(warm, RunRequest(output=folder / "warm"))
            loaded = write_sheet(folder, SHEETS[sheet], jobs)
            gc.collect()
            clock = Clock()
            expand(loaded, folder)
            taken = {"expand": clock.lap()}
            prepared = await SheetRun.prepare(client.runtime, loaded, RunRequest(output=folder / "out"))
            clock.lap()
            await prepared.plan()
            taken["plan"] = clock.lap()
            run = await client.run(loaded, RunRequest(output=folder / "out"))
            taken["run"] = clock.lap()
            plan = await client.plan(loaded)
            taken["replan"] = clock.lap()
    if run.status != "succeeded" or any(job.state != "cached" for job in plan.jobs):
        raise RuntimeError(f"the run ended as {run.status}")
    return taken


async def outputs(jobs: int) -> dict[str, float]:
    """The output folder of a finished run, written once more into a new place, and as many files by hand."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with await open_client(folder, durable=False) as client:
            run = await client.run(write_sheet(folder, FLAT, jobs), RunRequest(output=folder / "out"))
            results = {name: outcome.artifacts for name, outcome in run.outcomes.items()}
            gc.collect()
            clock = Clock()
            OutputFolder(folder / "again").write(run.manifest, results, client.runtime.services.blobs)
            taken = {"outputs": clock.lap()}
        taken["by hand"] = _files_by_hand(folder / "by-hand", jobs)
    return taken


async def planning(jobs: int, sheet: str) -> dict[str, float]:
    """Expand and plan, nothing else: for sizes whose run takes too long."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with await open_client(folder, durable=False) as client:
            await client.plan(write_sheet(folder, SHEETS[sheet], 10))
            loaded = write_sheet(folder, SHEETS[sheet], jobs)
            gc.collect()
            clock = Clock()
            expand(loaded, folder)
            taken = {"expand": clock.lap()}
            prepared = await SheetRun.prepare(client.runtime, loaded, RunRequest())
            clock.lap()
            await prepared.plan()
            taken["plan"] = clock.lap()
    return taken


def figures(*, large: bool = True) -> Iterator[Figure]:
    """Rows for the table."""
    rounds = [
        (module_child("engine", "bare", JOBS), module_child("engine", "scheduling", JOBS, "flat")) for _ in range(5)
    ]
    bare = median(taken["cpu"] for taken, _ in rounds)
    only = median(taken["cpu"] for _, taken in rounds)
    yield Figure(
        "schedule 10,000 no-op jobs (queue, slots, tasks, edges, outcomes; nothing prepared or recorded)",
        f"{_each(only)} a job",
        f"bare TaskGroup: {_each(bare)}",
        only / bare,
        "≤ 2 ×",
        limit(only / bare, 2.0),
    )
    for ledger, told in (("off", "ledger in memory"), ("on", "ledger on disk")):
        for sheet in SHEETS:
            yield from _whole_run(
                module_child("engine", "phases", JOBS, sheet, ledger), f"{sheet}, {told}", bare, ledger
            )
    yield from _growth(large=large)
    files = module_child("engine", "outputs", SIZES[0])
    yield Figure(
        "the output folder of 1,000 texts (files, manifest)",
        f"{files['outputs'] / SIZES[0] * 1e6:.0f} µs a file",
        f"write, fsync, rename by hand: {files['by hand'] / SIZES[0] * 1e6:.0f} µs",
        files["outputs"] / files["by hand"],
    )


def _whole_run(taken: dict[str, float], told: str, bare: float, ledger: str) -> Iterator[Figure]:
    engine = taken["run"]
    judged = ledger == "on"
    yield Figure(
        f"engine: 10,000 no-op jobs, {told} (expand, plan, run, manifest; without the output files)",
        f"{_each(engine)} a job",
        f"bare TaskGroup: {_each(bare)}",
        engine / bare,
        "≤ 1 ms CPU a job" if judged else "",
        limit(engine / JOBS, 1e-3) if judged else None,
    )
    parts = ", ".join(f"{name} {_each(taken[name])}" for name in ("expand", "plan", "replan"))
    yield Figure(f"of that, {told} (`replan` is a plan when all is paid for)", f"{parts} a job")


def _growth(*, large: bool) -> Iterator[Figure]:
    for jobs in SIZES[1:] if large else SIZES[1:2]:
        few, many = (module_child("engine", "planning", n, "chain") for n in (SIZES[0], jobs))
        few["schedule"], many["schedule"] = (
            module_child("engine", "scheduling", n, "chain")["cpu"] for n in (SIZES[0], jobs)
        )
        for phase, seconds in many.items():
            now, then = seconds / jobs, few[phase] / SIZES[0]
            yield Figure(
                f"growth of {phase}: {jobs:,} jobs (chain, in memory)",
                f"{now * 1e6:.0f} µs a job",
                f"{SIZES[0]:,} jobs: {then * 1e6:.0f} µs a job",
                now / then,
                "linear: ≤ 2 ×",
                limit(now / then, 2.0),
            )


def _each(seconds: float) -> str:
    return f"{seconds / JOBS * 1e6:.0f} µs"


def main(what: str, jobs: str, *args: str) -> None:
    """Measure one thing in this process and print it as JSON."""
    known = {"bare": bare_tasks, "scheduling": scheduling, "phases": phases, "planning": planning, "outputs": outputs}
    print(json.dumps(asyncio.run(known[what](int(jobs), *args))))  # type: ignore[operator]


if __name__ == "__main__":
    main(*sys.argv[1:])
